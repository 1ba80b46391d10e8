/* The rule judge: the checks that an instruction carries, less a penalty for repetition. */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/memory.h"
#include "checks/checks.h"
#include "judge/judge.h"
#include "tpo/checks.h"

struct rule {
  bool loose;
  double repetition_penalty, empty_score;
  struct tpo_watch watch;
};

static int rule_check(const char *argument, const struct tpo_judge_config *config, struct tpo_error *err)
{
  (void)config;
  if (!argument) return 0;
  return tpo_fail(err, TPO_E_USAGE, "judge.kind: \"rule\" takes no argument, \"%s\" was given", argument);
}

static int rule_open(void **state, const char *argument, const struct tpo_judge_config *config,
                     const struct tpo_judge_env *env, struct tpo_error *err)
{
  (void)argument;
  struct rule *rule = tpo_calloc(1, sizeof *rule, err);
  if (!rule) return TPO_E_MEMORY;
  rule->loose = !config->strict;
  rule->repetition_penalty = config->repetition > 0 ? 0 : config->repetition_penalty; /* taken off once */
  rule->empty_score = config->empty_score;
  rule->watch = env->watch;
  *state = rule;
  return 0;
}

static void rule_close(void *state)
{
  free(state);
}

static struct tpo_judge_cost rule_cost(const struct tpo_judge_config *config,
                                       const struct tpo_judge_item *item, int k, int comparisons)
{
  enum { DETAIL = 75, DETAIL_OF_CHECK = 55 }; /* bytes, about */
  (void)config, (void)k, (void)comparisons;
  double checks = 0;
  for (const char *at = item->meta; at && (at = strstr(at, "\"type\"")); at++) checks++;
  return (struct tpo_judge_cost){.unit = "verifiable checks, no calls",
                                 .detail_bytes = DETAIL + DETAIL_OF_CHECK * checks};
}

static int rule_validate(const struct tpo_judge_config *config, const struct tpo_judge_item *item,
                         struct tpo_error *err)
{
  (void)config;
  return tpo_checks_validate(item->meta ? item->meta : "{}", err);
}

/* Runs all checks on the response; their verdicts go to `list`.
 * Returns how many passed, or a negative error. */
static int run_checks(const struct rule *rule, const struct tpo_judge_item *item, const json_t *checks,
                      const char *response, json_t *list, struct tpo_error *err)
{
  int passed = 0;
  for (size_t i = 0; i < json_array_size(checks); i++) {
    const json_t *check = json_array_get(checks, i);
    int status = check_run(check, item->instruction, response, rule->loose ? CHECK_LOOSE : CHECK_STRICT, err);
    if (status < 0) return status;
    passed += status;
    json_array_append_new(list,
                          json_pack("{s:O, s:b}", "type", json_object_get(check, "type"), "passed", status));
  }
  return passed;
}

static int score_response(const struct rule *rule, const struct tpo_judge_item *item, const json_t *checks,
                          const char *response, struct tpo_judge_result *result, struct tpo_error *err)
{
  size_t n = json_array_size(checks);
  json_t *list = json_array();
  struct tpo_error problem = {0};
  int passed = run_checks(rule, item, checks, response, list, &problem);
  double repetition = text_repetition(span_of(response));
  if (passed < 0 || repetition < 0) {
    json_decref(list);
    return passed < 0 ? judge_set_failure(result, problem.message, err)
                      : tpo_fail(err, TPO_E_MEMORY, "out of memory while judging");
  }
  bool empty = text_strip(span_of(response)).len == 0;
  double penalty = empty ? 0 : rule->repetition_penalty * repetition;
  double score = empty ? rule->empty_score : (n ? passed / (double)n : 0) - penalty;
  return judge_set_score(result, score,
                         json_pack("{s:o, s:i, s:b, s:f, s:f}", "checks", list, "passed", passed, "empty",
                                   empty, "repetition", repetition, "penalty", penalty),
                         err);
}

static int score_item(const struct rule *rule, const struct tpo_judge_item *item,
                      struct tpo_judge_result *results, struct tpo_error *err)
{
  struct tpo_error problem = {0};
  json_t *checks = checks_of_meta(item->meta ? item->meta : "{}", &problem);
  int status = 0;
  for (int k = 0; k < item->n_responses && status == 0; k++) {
    const char *response = item->responses[k];
    if (!response)
      status = judge_set_failure(&results[k], JUDGE_NO_RESPONSE, err);
    else if (!checks)
      status = judge_set_failure(&results[k], problem.message, err);
    else
      status = score_response(rule, item, checks, response, &results[k], err);
  }
  json_decref(checks);
  return status;
}

static int rule_score(void *state, const struct tpo_judge_item *items, int n_items,
                      struct tpo_judge_result *results, struct tpo_error *err)
{
  const struct rule *rule = state;
  int status = 0;
  for (int i = 0; i < n_items && status == 0; i++) {
    status = score_item(rule, &items[i], results, err);
    results += items[i].n_responses;
    if (status == 0) tpo_watch_tell(&rule->watch, (i + 1.0) / n_items);
  }
  return status;
}

const struct judge_kind judge_kind_rule = {.check = rule_check,
                                           .open = rule_open,
                                           .score = rule_score,
                                           .close = rule_close,
                                           .cost = rule_cost,
                                           .validate = rule_validate};
