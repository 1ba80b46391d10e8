/* The table of kinds, and the public functions, which pass on to the kind that is configured. */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/memory.h"
#include "config/judge_kinds.h"
#include "judge/chat.h"
#include "judge/identity.h"
#include "judge/judge.h"
#include "judge/repetition.h"

static const struct judge_kind *const kinds[] = {
    [JUDGE_KIND_RULE] = &judge_kind_rule,         [JUDGE_KIND_REWARD] = &judge_kind_reward,
    [JUDGE_KIND_PAIRWISE] = &judge_kind_pairwise, [JUDGE_KIND_HTTP] = &judge_kind_http,
    [JUDGE_KIND_HTTPS] = &judge_kind_http,        [JUDGE_KIND_COMMAND] = &judge_kind_command,
    [JUDGE_KIND_ROUTE] = &judge_kind_route,       [JUDGE_KIND_SUM] = &judge_kind_sum,
};
_Static_assert(sizeof kinds / sizeof *kinds == N_JUDGE_KINDS, "a judge for each kind of the list");

struct tpo_judge {
  const struct judge_kind *kind;
  void *state;
  double repetition; /* judge.repetition */
};

const char *tpo_judge_kinds(void)
{
  return CONFIG_JUDGE_KINDS_TOLD;
}

/* NULL: there is none of this name. */
static const struct judge_kind *find(const struct tpo_judge_config *config, const char **argument)
{
  int kind = config_judge_kind(config->kind ? config->kind : "", argument);
  return kind < 0 ? NULL : kinds[kind];
}

static const struct judge_kind *kind_of(const struct tpo_judge_config *config)
{
  const char *argument;
  return find(config, &argument);
}

int tpo_judge_check(const struct tpo_judge_config *config, struct tpo_error *err)
{
  const char *argument;
  const struct judge_kind *kind = find(config, &argument);
  if (!kind)
    return tpo_fail(err, TPO_E_USAGE, "judge.kind: there is no judge \"%s\"; expected one of: %s",
                    config->kind ? config->kind : "", tpo_judge_kinds());
  return kind->check(argument, config, err);
}

int tpo_judge_open(struct tpo_judge **out, const struct tpo_judge_config *config,
                   const struct tpo_judge_env *env, struct tpo_error *err)
{
  *out = NULL;
  const char *argument;
  const struct judge_kind *kind = find(config, &argument);
  int status = tpo_judge_check(config, err);
  if (status < 0) return status;
  struct tpo_judge *judge = tpo_calloc(1, sizeof *judge, err);
  if (!judge) return TPO_E_MEMORY;
  judge->kind = kind;
  judge->repetition = config->repetition;
  status = kind->open(&judge->state, argument, config, env, err);
  if (status < 0)
    free(judge);
  else
    *out = judge;
  return status < 0 ? status : 0;
}

int tpo_judge_validate(const struct tpo_judge_config *config, const struct tpo_judge_item *item,
                       struct tpo_error *err)
{
  const struct judge_kind *kind = kind_of(config);
  return kind && kind->validate ? kind->validate(config, item, err) : 0;
}

bool tpo_judge_needs_model(const struct tpo_judge_config *config)
{
  const struct judge_kind *kind = kind_of(config);
  return kind && kind->needs_model && kind->needs_model(config);
}

bool tpo_judge_waits(const struct tpo_judge_config *config)
{
  return kind_of(config) && !tpo_judge_needs_model(config);
}

bool tpo_judge_compares(const struct tpo_judge_config *config)
{
  const struct judge_kind *kind = kind_of(config);
  return kind && kind->compares && kind->compares(config);
}

bool tpo_judge_keeps_answers(const struct tpo_judge_config *config)
{
  const struct judge_kind *kind = kind_of(config);
  return kind && kind->keeps_answers && kind->keeps_answers(config);
}

int judge_identify(const struct tpo_judge_config *config, struct tpo_buf *out, struct tpo_error *err)
{
  const char *argument;
  const struct judge_kind *kind = find(config, &argument);
  return kind && kind->identify ? kind->identify(argument, config, out, err) : 0;
}

int judge_chat_check(const struct tpo_judge_config *config, struct tpo_error *err)
{
  const char *argument;
  const struct judge_kind *kind = find(config, &argument);
  if (kind && kind->check_chat) return kind->check_chat(argument, config, err);
  return tpo_fail(
      err, TPO_E_USAGE,
      "judge.kind is %s, and a language model is to be asked: expected http:URL or pairwise:MODEL",
      config->kind && *config->kind ? config->kind : "not given");
}

int judge_chat_open(struct ask_chat *out, const struct tpo_judge_config *config,
                    const struct tpo_judge_env *env, struct tpo_error *err)
{
  const char *argument;
  int status = judge_chat_check(config, err);
  if (status < 0) return status;
  return find(config, &argument)->open_chat(out, argument, config, env, err);
}

bool tpo_judge_mixes(const struct tpo_judge_config *config)
{
  const struct judge_kind *kind = kind_of(config);
  return kind && kind->mixes;
}

struct tpo_judge_cost tpo_judge_cost(const struct tpo_judge_config *config, const struct tpo_judge_item *item,
                                     int k, int comparisons)
{
  const struct judge_kind *kind = kind_of(config);
  return kind ? kind->cost(config, item, k, comparisons) : (struct tpo_judge_cost){.unit = "calls"};
}

int tpo_judge_score(struct tpo_judge *judge, const struct tpo_judge_item *items, int n_items,
                    struct tpo_judge_result *results, struct tpo_error *err)
{
  size_t n = 0;
  for (int i = 0; i < n_items; i++) n += (size_t)items[i].n_responses;
  memset(results, 0, n * sizeof *results);
  int status = judge->kind->score(judge->state, items, n_items, results, err);
  if (status == 0 && judge->repetition > 0)
    status = repetition_take(judge->repetition, items, n_items, results, err);
  if (status == 0) return 0;
  for (size_t i = 0; i < n; i++) {
    free(results[i].detail);
    results[i] = (struct tpo_judge_result){0};
  }
  return status;
}

char *tpo_judge_counts(const struct tpo_judge *judge)
{
  json_t *counts = judge->kind->counts ? judge->kind->counts(judge->state) : json_object();
  char *text = counts ? tpo_json_dump(counts) : NULL;
  json_decref(counts);
  return text;
}

void tpo_judge_close(struct tpo_judge *judge)
{
  if (!judge) return;
  judge->kind->close(judge->state);
  free(judge);
}

struct ask_options judge_ask_options(const struct tpo_judge_config *config, const struct tpo_judge_env *env)
{
  return (struct ask_options){.config = config,
                              .backend = env->backend,
                              .dtype = env->dtype,
                              .models = env->models,
                              .seed = env->seed,
                              .rank = env->rank,
                              .size = env->size,
                              .deadline = env->deadline,
                              .cache_dir = env->cache_dir,
                              .work = env->work};
}

int judge_set_failure(struct tpo_judge_result *result, const char *why, struct tpo_error *err)
{
  struct tpo_buf detail = {0};
  tpo_buf_puts(&detail, "{\"error\":");
  tpo_json_append_string(&detail, why, strlen(why));
  tpo_buf_putc(&detail, '}');
  result->ok = false;
  result->detail = tpo_buf_take(&detail);
  return result->detail ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory while judging");
}

static int set_result(struct tpo_judge_result *result, bool ok, double score, json_t *detail,
                      struct tpo_error *err)
{
  result->ok = ok;
  result->score = score;
  result->detail = detail ? tpo_json_dump(detail) : NULL;
  json_decref(detail);
  return result->detail ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory while judging");
}

int judge_set_score(struct tpo_judge_result *result, double score, json_t *detail, struct tpo_error *err)
{
  return set_result(result, true, score, detail, err);
}

int judge_set_unscored(struct tpo_judge_result *result, json_t *detail, struct tpo_error *err)
{
  return set_result(result, false, 0, detail, err);
}
