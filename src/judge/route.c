/* The judge that leaves each instruction to another, chosen by the instruction's fields. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "judge/several.h"

struct router {
  struct several several;
  json_int_t *prompts; /* [n routes + 1] that took each route; last: none */
};

static void route_close(void *state)
{
  struct router *router = state;
  several_close(&router->several);
  free(router->prompts);
  free(router);
}

static int route_open(void **state, const char *argument, const struct tpo_judge_config *config,
                      const struct tpo_judge_env *env, struct tpo_error *err)
{
  (void)argument;
  struct router *router = tpo_calloc(1, sizeof *router, err);
  if (!router) return TPO_E_MEMORY;
  int status = several_open(&router->several, config, env, err);
  if (status == 0) {
    router->prompts = tpo_calloc((size_t)router->several.routes.n + 1, sizeof *router->prompts, err);
    status = router->prompts ? 0 : TPO_E_MEMORY;
  }
  if (status < 0)
    route_close(router);
  else
    *state = router;
  return status;
}

/* One judge's part of a batch. */
struct part {
  struct tpo_judge_item *items;
  struct tpo_judge_result **targets; /* [n_items] where each item's results go */
  struct tpo_judge_result *results;  /* [n_results] the judge's own */
  int n_items;
  size_t n_results;
};

static void free_part(struct part *part)
{
  for (size_t i = 0; part->results && i < part->n_results; i++) free(part->results[i].detail);
  free(part->items);
  free(part->targets);
  free(part->results);
}

/* choices: [n_items] routes. */
static int collect_part(const struct router *router, int judge, const int *choices,
                        const struct tpo_judge_item *items, int n_items, struct tpo_judge_result *results,
                        struct part *part, struct tpo_error *err)
{
  part->items = tpo_calloc((size_t)n_items, sizeof *part->items, err);
  part->targets = tpo_calloc((size_t)n_items, sizeof *part->targets, err);
  if (!part->items || !part->targets) return TPO_E_MEMORY;
  for (int i = 0; i < n_items; results += items[i++].n_responses) {
    if (choices[i] < 0 || router->several.routes.list[choices[i]].judge != judge) continue;
    part->targets[part->n_items] = results;
    part->items[part->n_items++] = items[i];
    part->n_results += (size_t)items[i].n_responses;
  }
  part->results = tpo_calloc(part->n_results, sizeof *part->results, err);
  return part->results ? 0 : TPO_E_MEMORY;
}

static int take_result(const struct router *router, int judge, const struct tpo_judge_result *own,
                       struct tpo_judge_result *result, struct tpo_error *err)
{
  json_t *detail = several_detail(&router->several, judge, own, err);
  if (!detail) return TPO_E_MEMORY;
  return own->ok ? judge_set_score(result, own->score, detail, err) : judge_set_unscored(result, detail, err);
}

static int score_part(struct router *router, int judge, struct part *part, struct tpo_error *err)
{
  int status = several_ask(&router->several, judge, part->items, part->n_items, part->results, err);
  const struct tpo_judge_result *own = part->results;
  for (int i = 0; i < part->n_items; i++)
    for (int k = 0; k < part->items[i].n_responses && status == 0; k++)
      status = take_result(router, judge, own++, &part->targets[i][k], err);
  return status;
}

/* Chooses a route for each item; those that have none fail. */
static int choose(struct router *router, const struct tpo_judge_item *items, int n_items, int *choices,
                  struct tpo_judge_result *results, struct tpo_error *err)
{
  int status = 0;
  const struct routes *routes = &router->several.routes;
  for (int i = 0; i < n_items && status == 0; results += items[i++].n_responses) {
    struct tpo_error problem = {0};
    const char *why = routes_find(routes, &items[i], &choices[i], &problem) < 0
                          ? problem.message
                          : "no judge: none of judge.routes fits this instruction";
    router->prompts[choices[i] < 0 ? routes->n : choices[i]]++;
    if (choices[i] >= 0) continue;
    for (int k = 0; k < items[i].n_responses && status == 0; k++)
      status = judge_set_failure(&results[k], items[i].responses[k] ? why : JUDGE_NO_RESPONSE, err);
  }
  return status;
}

static int route_score(void *state, const struct tpo_judge_item *items, int n_items,
                       struct tpo_judge_result *results, struct tpo_error *err)
{
  struct router *router = state;
  double responses = 0;
  int *choices = tpo_calloc((size_t)n_items, sizeof *choices, err);
  if (!choices) return TPO_E_MEMORY;
  int status = choose(router, items, n_items, choices, results, err);
  for (int i = 0; i < n_items; i++) responses += items[i].n_responses;
  several_begin(&router->several, responses);
  for (int j = 0; j < router->several.routes.n_judges && status == 0; j++) {
    struct part part = {0};
    status = collect_part(router, j, choices, items, n_items, results, &part, err);
    if (status == 0) status = score_part(router, j, &part, err);
    free_part(&part);
  }
  free(choices);
  return status;
}

static json_t *route_counts(const void *state)
{
  const struct router *router = state;
  json_t *counts = json_object();
  int n = router->several.routes.n, status = counts ? 0 : -1;
  for (int i = 0; i <= n && status == 0; i++) {
    char name[32];
    snprintf(name, sizeof name, i < n ? "route-%d.prompts" : "route-none.prompts", i + 1);
    status = json_object_set_new(counts, name, json_integer(router->prompts[i]));
  }
  if (status == 0) status = several_add_counts(&router->several, counts);
  if (status == 0) return counts;
  json_decref(counts);
  return NULL;
}

const struct judge_kind judge_kind_route = {.check = several_check,
                                            .open = route_open,
                                            .score = route_score,
                                            .close = route_close,
                                            .counts = route_counts,
                                            .cost = several_cost,
                                            .validate = several_validate,
                                            .needs_model = several_needs_model,
                                            .compares = several_compares,
                                            .keeps_answers = several_keeps_answers,
                                            .identify = several_identify,
                                            .mixes = true};
