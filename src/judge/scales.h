/* Scores of several judges on one scale, each in standard deviations from its judge's own mean.
 *
 * Of a route a pair compares scores of one prompt, hence of one judge, but margins and means over prompts
 * mix judges whose units differ (a share of checks, a reward model's logits). A sum mixes them in each
 * score. */
#ifndef TPO_JUDGE_SCALES_H
#define TPO_JUDGE_SCALES_H

#include "tpo/base.h"
#include "tpo/store.h"

/* Replaces the score of each scored row whose detail has "judge" and "raw" by (raw - mean) / sd, and notes
 * the two as "scale" in the detail; of one whose detail has "terms", each with "judge", "raw" and
 * "weight", by the sum of weight (raw - mean) / sd, and notes in each term its "scale" and "standardised",
 * what is weighted. From either, what judge/repetition.h noted is taken off. A judge's scale is the one
 * kept in the file at `path` and, when the file does not have it, that of these samples' scored rows (of a
 * sum those that all terms scored; sample standard deviation; 1 for fewer than two responses or equal
 * scores), which is then added to the file, atomically. path NULL: nothing is read or kept. A route's scores that come from comparing a prompt's responses
 * ("comparisons" in the judge's detail) mean something within the prompt only, and stay; as a sum's term
 * they are scaled as others are. Doing it again to the same samples changes nothing. Errors: the file is
 * not what this wrote (TPO_E_INPUT), can't be read or written, memory. */
int scales_apply(struct tpo_samples *samples, const char *path, struct tpo_error *err);
/* The scores of `other` as they would be on the scales that the details of `samples` note, to scores
 * [other->n]; those that no scale bears on as they are. A judge that `samples` doesn't have keeps its own
 * scale. */
int scales_carry_over(const struct tpo_samples *samples, const struct tpo_samples *other, double *scores,
                      struct tpo_error *err);

#endif
