/* The judge `pairwise:DIR`: comparisons by a language model on our own engine. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "judge/compare/pairwise.h"
#include "judge/judge.h"

static int check(const char *argument, const struct tpo_judge_config *config, struct tpo_error *err)
{
  if (!judge_given(argument))
    return tpo_fail(err, TPO_E_USAGE, "judge.kind: pairwise needs a model, a folder or file: pairwise:DIR");
  int status = judge_pairwise_check(config, err);
  if (status < 0) return status;
  if (access(argument, R_OK) < 0)
    return tpo_fail(err, TPO_E_USAGE, "judge.kind: the judge model %s can't be read: %s", argument,
                    strerror(errno));
  return ask_check_engine(argument, err);
}

static int open_judge(void **state, const char *argument, const struct tpo_judge_config *config,
                      const struct tpo_judge_env *env, struct tpo_error *err)
{
  struct ask_chat chat;
  struct ask_options options = judge_ask_options(config, env);
  struct judge_pairwise *pairwise;
  int status = ask_open_engine(&chat, argument, &options, err);
  if (status == 0) status = judge_pairwise_open(&pairwise, chat, config, env->seed, err);
  if (status == 0) *state = pairwise;
  return status;
}

static int score(void *state, const struct tpo_judge_item *items, int n_items,
                 struct tpo_judge_result *results, struct tpo_error *err)
{
  return judge_pairwise_score(state, items, n_items, results, err);
}

static void close_judge(void *state)
{
  judge_pairwise_close(state);
}

static json_t *counts(const void *state)
{
  return judge_pairwise_counts(state);
}

static bool yes(const struct tpo_judge_config *config)
{
  (void)config;
  return true;
}

const struct tpo_judge_kind tpo_judge_pairwise = {.name = "pairwise",
                                                  .check = check,
                                                  .open = open_judge,
                                                  .score = score,
                                                  .close = close_judge,
                                                  .counts = counts,
                                                  .needs_model = yes,
                                                  .compares = yes};
