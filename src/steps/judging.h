/* Judging inside a run: what versus.c needs of judge.c. */
#ifndef TPO_STEPS_JUDGING_H
#define TPO_STEPS_JUDGING_H

#include "tpo/steps.h"

/* As tpo_score_samples, with rank 0's rows 2 i and 2 i + 1 as the two responses of an item, whatever the ids
 * of their neighbours. */
int score_couples(const struct tpo_session *session, struct tpo_samples *couples,
                  const struct tpo_score_options *options, size_t *failures, struct tpo_error *err);

#endif
