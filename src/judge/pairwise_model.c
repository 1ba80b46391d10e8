/* The judge `pairwise:DIR`: comparisons by a language model on our own engine. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "judge/compare/pairwise.h"
#include "judge/compare/schedule.h"
#include "judge/identity.h"
#include "judge/judge.h"

static int check_chat(const char *argument, const struct tpo_judge_config *config, struct tpo_error *err)
{
  (void)config;
  if (!judge_given(argument))
    return tpo_fail(err, TPO_E_USAGE, "judge.kind: pairwise needs a model, a folder or file: pairwise:DIR");
  if (access(argument, R_OK) < 0)
    return tpo_fail(err, TPO_E_USAGE, "judge.kind: the judge model %s can't be read: %s", argument,
                    strerror(errno));
  return ask_check_engine(argument, err);
}

static int open_chat(struct ask_chat *out, const char *argument, const struct tpo_judge_config *config,
                     const struct tpo_judge_env *env, struct tpo_error *err)
{
  struct ask_options options = judge_ask_options(config, env);
  return ask_open_engine(out, argument, &options, err);
}

static int pairwise_check(const char *argument, const struct tpo_judge_config *config, struct tpo_error *err)
{
  int status = judge_given(argument) ? judge_pairwise_check(config, err) : 0;
  return status < 0 ? status : check_chat(argument, config, err);
}

static int pairwise_open(void **state, const char *argument, const struct tpo_judge_config *config,
                         const struct tpo_judge_env *env, struct tpo_error *err)
{
  struct ask_chat chat;
  struct judge_pairwise *pairwise;
  int status = open_chat(&chat, argument, config, env, err);
  if (status == 0) status = judge_pairwise_open(&pairwise, chat, config, env, err);
  if (status == 0) *state = pairwise;
  return status;
}

static int pairwise_score(void *state, const struct tpo_judge_item *items, int n_items,
                          struct tpo_judge_result *results, struct tpo_error *err)
{
  return judge_pairwise_score(state, items, n_items, results, err);
}

static void pairwise_close(void *state)
{
  judge_pairwise_close(state);
}

static json_t *pairwise_counts(const void *state)
{
  return judge_pairwise_counts(state);
}

static struct tpo_judge_cost pairwise_cost(const struct tpo_judge_config *config,
                                           const struct tpo_judge_item *item, int k, int comparisons)
{
  (void)config, (void)item;
  return (struct tpo_judge_cost){
      .calls = (double)schedule_size(k, comparisons), .unit = "comparisons", .detail_bytes = 110};
}

static int pairwise_identify(const char *argument, const struct tpo_judge_config *config, struct tpo_buf *out,
                             struct tpo_error *err)
{
  (void)config;
  return judge_identify_model(argument, out, err);
}

static bool yes(const struct tpo_judge_config *config)
{
  (void)config;
  return true;
}

const struct judge_kind judge_kind_pairwise = {.check = pairwise_check,
                                               .open = pairwise_open,
                                               .score = pairwise_score,
                                               .close = pairwise_close,
                                               .counts = pairwise_counts,
                                               .cost = pairwise_cost,
                                               .needs_model = yes,
                                               .compares = yes,
                                               .identify = pairwise_identify,
                                               .check_chat = check_chat,
                                               .open_chat = open_chat};
