/* Responses that a judge left without a score: for which reasons, and whether there are too many. */
#ifndef TPO_STEPS_FAILURES_H
#define TPO_STEPS_FAILURES_H

#include <jansson.h>
#include "tpo/config.h"
#include "tpo/judge.h"
#include "tpo/store.h"

/* Why the row has no score; NULL: no reason is told. free() it. */
char *failure_reason(const struct tpo_sample_row *row);
/* A warning with how many there are, and the reasons of most of them, each counted; where these are many, by their
 * kinds, each with an example. None: nothing. */
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

/* A judge that fails on everything is asked no more, however many failures are allowed. */
struct failure_row {
  size_t n;       /* responses in a row without a score, up to the last */
  json_t *judges; /* of a route: {JUDGE: [the same of those that it got, the last one's reason]} */
};
/* Of a batch. */
struct failure_batch {
  bool any;   /* some response has a score, or none was judged */
  bool every; /* and so it is with each of a route's judges */
};
/* The results of a batch, in its order: responses [n], NULL entries were not judged. An error where
 * ASK_IN_A_ROW or more of a row are at its end, whichever row: what a route's other judges score is no
 * sign that one of them works. failure_row_free() it, also after an error. */
int failures_follow(struct failure_row *row, const struct tpo_judge_config *config,
                    const char *const *responses, const struct tpo_judge_result *results, size_t n,
                    struct failure_batch *batch, struct tpo_error *err);
void failure_row_free(struct failure_row *row);

#endif
