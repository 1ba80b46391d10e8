/* The judge `reward:DIR`: a reward model on our own backend. */
#include "judge/reward.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "judge/identity.h"
#include "judge/judge.h"
#include "judge/messages.h"
#include "model/shelf.h"

/* Texts are handed over so many tokens at a time, in order that their ids don't all lie in memory. */
enum { TOKENS_AT_ONCE = 1 << 20 };

struct reward {
  struct tpo_reward *model;
  struct tpo_model_shelf *shelf; /* that the model is of; NULL: none */
  struct tpo_tokenizer *tokenizer;
  struct tpo_template *tmpl;
  json_int_t refused; /* responses whose chat can't be rendered; the model counts what it gets alone */
  struct tpo_watch watch;
  double before, waiting, all; /* responses that are done with, that the model has, and all of the call */
};

static void tell_texts(void *arg, double share)
{
  const struct reward *reward = arg;
  tpo_watch_tell(&reward->watch, (reward->before + share * reward->waiting) / reward->all);
}

static int find_folder(const char *argument, struct tpo_error *err)
{
  if (judge_given(argument)) return 0;
  return tpo_fail(err, TPO_E_USAGE, "judge.kind: reward needs a reward model's folder: reward:DIR");
}

static int open_text(struct reward *reward, const char *folder, struct tpo_error *err)
{
  int status = tpo_tokenizer_open(&reward->tokenizer, folder, err);
  return status < 0 ? status : tpo_template_open(&reward->tmpl, reward->tokenizer, NULL, err);
}

static void reward_close(void *state)
{
  struct reward *reward = state;
  shelf_put_reward(reward->shelf, reward->model);
  tpo_template_close(reward->tmpl);
  tpo_tokenizer_close(reward->tokenizer);
  free(reward);
}

static int reward_check(const char *argument, const struct tpo_judge_config *config, struct tpo_error *err)
{
  struct tpo_arch arch;
  int status = find_folder(argument, err);
  if (status < 0) return status;
  struct reward *reward = tpo_calloc(1, sizeof *reward, err);
  if (!reward) return TPO_E_MEMORY;
  status = tpo_reward_check(&arch, argument, config->head, err);
  if (status == 0) status = open_text(reward, argument, err);
  if (status == 0) status = tpo_tokenizer_check_vocab(reward->tokenizer, arch.vocab_size, err);
  if (status < 0) tpo_fail_prefix(err, "the reward model");
  reward_close(reward);
  return status;
}

static int open_parts(struct reward *reward, const char *folder, const struct tpo_judge_config *config,
                      const struct tpo_judge_env *env, struct tpo_error *err)
{
  struct tpo_reward_options options = {.backend = env->backend,
                                       .dtype = env->dtype,
                                       .head = config->head,
                                       .batch_tokens = config->batch_tokens,
                                       .watch = {tell_texts, reward}};
  reward->watch = env->watch;
  reward->shelf = env->models;
  int status = open_text(reward, folder, err);
  return status < 0 ? status : shelf_take_reward(&reward->model, reward->shelf, folder, &options, err);
}

static int reward_open(void **state, const char *argument, const struct tpo_judge_config *config,
                       const struct tpo_judge_env *env, struct tpo_error *err)
{
  if (!env->backend)
    return tpo_fail(err, TPO_E_USAGE, "the reward model %s needs a backend to compute on", argument);
  struct reward *reward = tpo_calloc(1, sizeof *reward, err);
  if (!reward) return TPO_E_MEMORY;
  int status = open_parts(reward, argument, config, env, err);
  if (status < 0) {
    tpo_fail_prefix(err, "the reward model");
    reward_close(reward);
    return status;
  }
  *state = reward;
  return 0;
}

static bool reward_needs_model(const struct tpo_judge_config *config)
{
  (void)config;
  return true;
}

static int reward_identify(const char *argument, const struct tpo_judge_config *config, struct tpo_buf *out,
                           struct tpo_error *err)
{
  (void)config;
  return judge_identify_model(argument, out, err);
}

static struct tpo_judge_cost reward_cost(const struct tpo_judge_config *config,
                                         const struct tpo_judge_item *item, int k, int comparisons)
{
  (void)config, (void)item, (void)comparisons;
  return (struct tpo_judge_cost){.calls = k, .unit = "responses scored", .detail_bytes = 400};
}

static json_t *reward_counts(const void *state)
{
  const struct reward *reward = state;
  struct tpo_reward_stats stats;
  tpo_reward_stats(reward->model, &stats);
  return json_pack("{s:I, s:I, s:I, s:I}", "scored", (json_int_t)stats.scored, "failed",
                   (json_int_t)stats.failed + reward->refused, "tokens", (json_int_t)stats.tokens,
                   "computed_tokens", (json_int_t)stats.computed);
}

static int encode(const struct tpo_template *tmpl, struct judge_messages *chat, const char *response,
                  struct tpo_ids *ids, struct tpo_error *err)
{
  chat->list[chat->n] = (struct tpo_message){"assistant", response};
  return tpo_template_encode(tmpl, chat->list, chat->n + (response != NULL), false, ids, err);
}

int judge_reward_encode_chat(const struct tpo_template *tmpl, const json_t *chat, const char *response,
                             struct tpo_ids *ids, struct tpo_error *err)
{
  struct judge_messages messages;
  int status = judge_messages_read(&messages, chat, err);
  if (status == 0) status = encode(tmpl, &messages, response, ids, err);
  judge_messages_free(&messages);
  return status;
}

int judge_reward_encode(const struct tpo_template *tmpl, const struct tpo_judge_item *item,
                        const char *response, struct tpo_ids *ids, struct tpo_error *err)
{
  struct judge_messages messages;
  int status = judge_messages_of_item(&messages, item, err);
  if (status == 0) status = encode(tmpl, &messages, response, ids, err);
  judge_messages_free(&messages);
  return status;
}

/* Responses that wait to be scored, in one call of the model. */
struct waiting {
  struct tpo_ids *ids; /* [capacity] */
  struct tpo_judge_result **results;
  /* [capacity] An item's first: items share nothing, so that what is computed doesn't depend on which are
   * judged at once. */
  bool *firsts;
  const struct tpo_judge_item *last; /* of the last one */
  size_t n, capacity, tokens;
};

static json_t *numbers(const double *values, int n)
{
  json_t *array = json_array();
  for (int i = 0; i < n; i++) json_array_append_new(array, json_real(values[i]));
  return array;
}

static json_t *make_detail(const struct tpo_reward *model, const struct tpo_reward_result *result)
{
  int n = tpo_reward_objectives(model);
  if (n > 0)
    return json_pack("{s:o, s:o}", "objectives", numbers(result->objectives, n), "gating",
                     numbers(result->gating, n));
  return tpo_reward_normalises(model) ? json_pack("{s:f}", "raw", result->raw) : json_object();
}

static void clear(struct waiting *waiting)
{
  for (size_t i = 0; i < waiting->n; i++) tpo_ids_free(&waiting->ids[i]);
  waiting->n = waiting->tokens = 0;
}

static int score_waiting(struct reward *reward, struct waiting *waiting, struct tpo_error *err)
{
  struct tpo_reward_text *texts = tpo_calloc(waiting->n, sizeof *texts, err);
  struct tpo_reward_result *found = tpo_calloc(waiting->n, sizeof *found, err);
  int status = texts && found ? 0 : TPO_E_MEMORY;
  for (size_t i = 0; status == 0 && i < waiting->n; i++)
    texts[i] = (struct tpo_reward_text){waiting->ids[i].ids, waiting->ids[i].n, waiting->firsts[i]};
  reward->waiting = (double)waiting->n;
  if (status == 0) status = tpo_reward_score(reward->model, texts, waiting->n, found, err);
  reward->before += reward->waiting;
  for (size_t i = 0; status == 0 && i < waiting->n; i++)
    status = found[i].ok ? judge_set_score(waiting->results[i], found[i].score,
                                           make_detail(reward->model, &found[i]), err)
                         : judge_set_failure(waiting->results[i], found[i].why, err);
  clear(waiting);
  free(texts);
  free(found);
  return status;
}

static int add_response(struct reward *reward, struct waiting *waiting, const struct tpo_judge_item *item,
                        const char *response, struct tpo_judge_result *result, struct tpo_error *err)
{
  struct tpo_error problem = {0};
  struct tpo_ids *ids = &waiting->ids[waiting->n];
  *ids = (struct tpo_ids){0};
  int status = judge_reward_encode(reward->tmpl, item, response, ids, &problem);
  if (status < 0) {
    tpo_ids_free(ids);
    if (status == TPO_E_MEMORY) return tpo_fail(err, status, "%s", problem.message);
    reward->refused++;
    return judge_set_failure(result, problem.message, err);
  }
  waiting->firsts[waiting->n] = waiting->last != item;
  waiting->last = item;
  waiting->results[waiting->n++] = result;
  waiting->tokens += ids->n;
  return 0;
}

static int reward_score(void *state, const struct tpo_judge_item *items, int n_items,
                        struct tpo_judge_result *results, struct tpo_error *err)
{
  struct reward *reward = state;
  struct waiting waiting = {0};
  size_t total = 0;
  for (int i = 0; i < n_items; i++) total += (size_t)items[i].n_responses;
  reward->before = 0;
  reward->all = (double)total;
  waiting.ids = tpo_calloc(total, sizeof *waiting.ids, err);
  waiting.results = tpo_calloc(total, sizeof *waiting.results, err);
  waiting.firsts = tpo_calloc(total, sizeof *waiting.firsts, err);
  int status = waiting.ids && waiting.results && waiting.firsts ? 0 : TPO_E_MEMORY;
  for (int i = 0; i < n_items && status == 0; results += items[i++].n_responses) {
    for (int k = 0; k < items[i].n_responses && status == 0; k++)
      status = items[i].responses[k]
                   ? add_response(reward, &waiting, &items[i], items[i].responses[k], &results[k], err)
                   : judge_set_failure(&results[k], JUDGE_NO_RESPONSE, err);
    if (status == 0 && waiting.tokens >= TOKENS_AT_ONCE) status = score_waiting(reward, &waiting, err);
  }
  if (status == 0 && waiting.n > 0) status = score_waiting(reward, &waiting, err);
  clear(&waiting);
  free(waiting.ids);
  free(waiting.results);
  free(waiting.firsts);
  return status;
}

const struct judge_kind judge_kind_reward = {.check = reward_check,
                                             .open = reward_open,
                                             .score = reward_score,
                                             .close = reward_close,
                                             .counts = reward_counts,
                                             .cost = reward_cost,
                                             .needs_model = reward_needs_model,
                                             .identify = reward_identify};
