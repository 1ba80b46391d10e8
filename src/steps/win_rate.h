/* Win rates of one model's responses against another's. */
#ifndef TPO_STEPS_WIN_RATE_H
#define TPO_STEPS_WIN_RATE_H

#include "measure/dynamics.h"
#include "tpo/steps.h"

/* How often `now` wins against `before`, rank 0's samples of the same instructions: by the scores that
 * both hold, on the scales of `now` where a judge mixes scales, or, with a judge that compares, by asking
 * it. unparsed: what an output that does not parse counts with among scores. options: how comparisons are
 * kept, may be NULL. outcomes: as win_rate_of_scores has them, on rank 0; may be NULL. counts: what the judge
 * counted for comparing, to be freed, NULL where it was not asked; may be NULL. All ranks; *out and *counts on rank 0. */
int win_rate_between(const struct tpo_session *session, const struct tpo_samples *now,
                     const struct tpo_samples *before, double unparsed,
                     const struct tpo_score_options *options, double *outcomes, struct win_rate *out,
                     char **counts, struct tpo_error *err);

#endif
