/* Scores of several judges on one scale, each in standard deviations from its judge's own mean.
 *
 * A pair compares scores of one prompt, hence of one judge, but margins and means over prompts mix judges
 * whose units differ (a share of checks, a reward model's logits). */
#ifndef TPO_JUDGE_SCALES_H
#define TPO_JUDGE_SCALES_H

#include "tpo/base.h"
#include "tpo/store.h"

/* Replaces the score of each scored row whose detail has "judge" and "raw" by (raw - mean) / sd, and notes
 * the two as "scale" in the detail. A judge's scale is the one kept in the file at `path` and, when the file
 * does not have it, that of these samples (sample standard deviation; 1 for fewer than two responses or equal
 * scores), which is then added to the file, atomically. path NULL: nothing is read or kept. Scores that come
 * from comparing a prompt's responses ("comparisons" in the judge's detail) mean something within the prompt
 * only, and stay. Doing it again to the same samples changes nothing. Errors: the file is not what this wrote
 * (TPO_E_INPUT), can't be read or written, memory. */
int scales_apply(struct tpo_samples *samples, const char *path, struct tpo_error *err);

#endif
