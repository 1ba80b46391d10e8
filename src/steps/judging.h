/* Judging over ranks: what comparisons, and evaluations with questions of their own, have in common with it. */
#ifndef TPO_STEPS_JUDGING_H
#define TPO_STEPS_JUDGING_H

#include "steps/scoring.h"
#include "tpo/judge.h"
#include "tpo/steps.h"

/* As tpo_score_samples, with rank 0's rows 2 i and 2 i + 1 as the two responses of an item, whatever the ids
 * of their neighbours. */
int score_couples(const struct tpo_session *session, struct tpo_samples *couples,
                  const struct tpo_score_options *options, size_t *failures, struct tpo_error *err);

/* As tpo_score_samples, where each rank has scored some prompts already, whole ones of these samples, which no other
 * rank has: their results are those, and are kept before ahead->status ends it. ahead's judge, opened with `work`, is asked for the rest. */
int score_rest(const struct tpo_session *session, struct tpo_samples *samples,
               const struct tpo_score_options *options, struct scoring *ahead, const char *work,
               size_t *failures, struct tpo_error *err);

/* What the session's judge works with. It keeps answers in the configured folder, else in one in the session's,
 * whose name goes to cache, else nowhere. work: as the field's, "" for NULL. Nobody watches. */
struct tpo_judge_env judge_env(const struct tpo_session *session, const char *work, char cache[4096]);

#endif
