/* Events that tell a set of samples apart: `groups` and `group_wins` by what the instructions are, `thoughts`
 * by what the thoughts do (README.md lists their fields). All on rank 0. */
#ifndef TPO_RUN_GROUP_EVENTS_H
#define TPO_RUN_GROUP_EVENTS_H

#include "run/loop.h"

/* Of loop->samples, scored. unparsed: what an output that does not parse counts with. */
int loop_tell_judged_groups(struct loop *loop, double unparsed, struct tpo_error *err);
/* Of validation's samples, after iteration 0 also against the start model's. */
int loop_tell_validated_groups(struct loop *loop, const struct tpo_samples *now,
                               const struct tpo_samples *start, double unparsed, struct tpo_error *err);
/* outcomes: as win_rate_of_scores notes them. */
int loop_tell_group_wins(struct loop *loop, const struct tpo_samples *now, const double *outcomes,
                         const char *against, int iteration, struct tpo_error *err);
/* of: "sample" or "validate". Nothing where the model is asked for no thoughts. */
int loop_tell_thoughts(struct loop *loop, const struct tpo_samples *samples, const char *of,
                       struct tpo_error *err);

#endif
