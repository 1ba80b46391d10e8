/* Responses that a judge left without a score: for which reasons, and whether there are too many. */
#ifndef TPO_STEPS_FAILURES_H
#define TPO_STEPS_FAILURES_H

#include "tpo/config.h"
#include "tpo/store.h"

/* Why the row has no score; NULL: no reason is told. free() it. */
char *failure_reason(const struct tpo_sample_row *row);
/* A warning with how many there are, and the reasons of most of them, each counted. None: nothing. */
void failures_tell(const struct tpo_samples *samples);
/* A warning with how many answers of judge models held no verdict or number, why, and up to 3 texts that
 * matched and mean nothing. In comparisons such an answer counts for nobody, so that no failure tells of
 * it. None: nothing. */
void failures_tell_unread(const struct tpo_samples *samples);
/* Too many are no judging: what went wrong must be seen before more is spent. What is lost are prompts (one
 * response without a score leaves no pair of its prompt): an error where more than the share
 * config->max_failed of the prompts that were judged have one. */
int failures_check(const struct tpo_samples *samples, const struct tpo_judge_config *config,
                   struct tpo_error *err);

#endif
