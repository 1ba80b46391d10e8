/* The judge that leaves each instruction to another, chosen by the instruction's fields. */
#include "judge/identity.h"
#include "judge/routes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/memory.h"

struct router {
  struct routes routes;
  struct tpo_judge **judges; /* [n_judges] */
  json_int_t *prompts;       /* [n routes + 1] that took each route; last: none */
  struct tpo_watch watch;    /* of all judges' items; each judge tells of its own */
  double before, part, all;  /* responses of the parts that are scored, of the one under way, of all */
};

static void tell_part(void *arg, double share)
{
  const struct router *router = arg;
  if (router->all > 0) tpo_watch_tell(&router->watch, (router->before + share * router->part) / router->all);
}

static int name_route(const struct routes *routes, int judge, struct tpo_error *err)
{
  return tpo_fail_prefix(err, "judge.routes, \"%.200s\"", routes_first(routes, judge)->text);
}

static int route_check(const char *argument, const struct tpo_judge_config *config, struct tpo_error *err)
{
  if (argument)
    return tpo_fail(err, TPO_E_USAGE,
                    "judge.kind: \"route\" takes no argument, \"%s\" was given; routes stand in judge.routes",
                    argument);
  struct routes routes;
  int status = routes_open(&routes, config, err);
  for (int j = 0; j < routes.n_judges && status == 0; j++) {
    status = tpo_judge_check(&routes.judges[j], err);
    if (status < 0) name_route(&routes, j, err);
  }
  routes_free(&routes);
  return status;
}

/* Whether any route's judge answers yes. */
static bool any(const struct tpo_judge_config *config, bool (*is)(const struct tpo_judge_config *))
{
  struct routes routes;
  bool found = false;
  if (routes_open(&routes, config, NULL) == 0)
    for (int j = 0; j < routes.n_judges && !found; j++) found = is(&routes.judges[j]);
  routes_free(&routes);
  return found;
}

static bool route_needs_model(const struct tpo_judge_config *config)
{
  return any(config, tpo_judge_needs_model);
}

static bool route_compares(const struct tpo_judge_config *config)
{
  return any(config, tpo_judge_compares);
}

static bool route_keeps_answers(const struct tpo_judge_config *config)
{
  return any(config, tpo_judge_keeps_answers);
}

static int route_identify(const char *argument, const struct tpo_judge_config *config, struct tpo_buf *out,
                          struct tpo_error *err)
{
  (void)argument;
  struct routes routes;
  int status = routes_open(&routes, config, err);
  for (int j = 0; j < routes.n_judges && status == 0; j++)
    status = judge_identify(&routes.judges[j], out, err);
  routes_free(&routes);
  return status;
}

static int route_validate(const struct tpo_judge_config *config, const struct tpo_judge_item *item,
                          struct tpo_error *err)
{
  struct routes routes;
  int judge, status = routes_open(&routes, config, err);
  if (status == 0) status = routes_judge(&routes, item, &judge, err);
  if (status == 0 && judge >= 0) status = tpo_judge_validate(&routes.judges[judge], item, err);
  routes_free(&routes);
  return status;
}

static struct tpo_judge_cost route_cost(const struct tpo_judge_config *config,
                                        const struct tpo_judge_item *item, int k, int comparisons)
{
  struct tpo_judge_cost cost = {.unit = "calls"};
  struct routes routes;
  int judge;
  if (routes_open(&routes, config, NULL) == 0 && routes_judge(&routes, item, &judge, NULL) == 0 && judge >= 0)
    cost = tpo_judge_cost(&routes.judges[judge], item, k, comparisons);
  routes_free(&routes);
  return cost;
}

static void route_close(void *state)
{
  struct router *router = state;
  for (int j = 0; router->judges && j < router->routes.n_judges; j++) tpo_judge_close(router->judges[j]);
  routes_free(&router->routes);
  free(router->judges);
  free(router->prompts);
  free(router);
}

static int open_judges(struct router *router, const struct tpo_judge_config *config,
                       const struct tpo_judge_env *env, struct tpo_error *err)
{
  int status = routes_open(&router->routes, config, err);
  if (status < 0) return status;
  size_t n = (size_t)router->routes.n_judges;
  struct tpo_judge_env own = *env;
  router->watch = env->watch;
  own.watch = (struct tpo_watch){tell_part, router};
  router->judges = tpo_calloc(n, sizeof *router->judges, err);
  router->prompts = tpo_calloc((size_t)router->routes.n + 1, sizeof *router->prompts, err);
  if (!router->judges || !router->prompts) return TPO_E_MEMORY;
  for (int j = 0; j < (int)n && status == 0; j++) {
    status = tpo_judge_open(&router->judges[j], &router->routes.judges[j], &own, err);
    if (status < 0) name_route(&router->routes, j, err);
  }
  return status;
}

static int route_open(void **state, const char *argument, const struct tpo_judge_config *config,
                      const struct tpo_judge_env *env, struct tpo_error *err)
{
  (void)argument;
  struct router *router = tpo_calloc(1, sizeof *router, err);
  if (!router) return TPO_E_MEMORY;
  int status = open_judges(router, config, env, err);
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

/* The judge's detail within one that names it.
 * A failure keeps its reason on top, where all judges have it. */
static int wrap_result(const char *kind, const struct tpo_judge_result *own, struct tpo_judge_result *result,
                       struct tpo_error *err)
{
  json_t *detail =
      own->detail ? tpo_json_parse(own->detail, strlen(own->detail), "a judge's detail", err) : NULL;
  if (own->detail && !detail) return TPO_E_INPUT;
  json_t *error = json_object_get(detail, "error");
  json_t *wrapped;
  if (own->ok)
    wrapped = json_pack("{s:s, s:f, s:O*}", "judge", kind, "raw", own->score, "detail", detail);
  else
    wrapped = json_pack("{s:O*, s:s, s:O*}", "error", error, "judge", kind, "detail", error ? NULL : detail);
  json_decref(detail);
  result->ok = own->ok;
  result->score = own->score;
  result->detail = wrapped ? tpo_json_dump(wrapped) : NULL;
  json_decref(wrapped);
  return result->detail ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory while judging");
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
    if (choices[i] < 0 || router->routes.list[choices[i]].judge != judge) continue;
    part->targets[part->n_items] = results;
    part->items[part->n_items++] = items[i];
    part->n_results += (size_t)items[i].n_responses;
  }
  part->results = tpo_calloc(part->n_results, sizeof *part->results, err);
  return part->results ? 0 : TPO_E_MEMORY;
}

/* Gives the judge all its items at once, so that it can fill its batches. */
static int score_part(const struct router *router, int judge, struct part *part, struct tpo_error *err)
{
  if (part->n_items == 0) return 0;
  int status = tpo_judge_score(router->judges[judge], part->items, part->n_items, part->results, err);
  if (status < 0) return status;
  const char *kind = router->routes.judges[judge].kind;
  const struct tpo_judge_result *own = part->results;
  for (int i = 0; i < part->n_items; i++)
    for (int k = 0; k < part->items[i].n_responses && status == 0; k++)
      status = wrap_result(kind, own++, &part->targets[i][k], err);
  return status;
}

/* Chooses a route for each item; those that have none fail. */
static int choose(struct router *router, const struct tpo_judge_item *items, int n_items, int *choices,
                  struct tpo_judge_result *results, struct tpo_error *err)
{
  int status = 0;
  for (int i = 0; i < n_items && status == 0; results += items[i++].n_responses) {
    struct tpo_error problem = {0};
    const char *why = routes_find(&router->routes, &items[i], &choices[i], &problem) < 0
                          ? problem.message
                          : "no judge: none of judge.routes fits this instruction";
    router->prompts[choices[i] < 0 ? router->routes.n : choices[i]]++;
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
  int *choices = tpo_calloc((size_t)n_items, sizeof *choices, err);
  if (!choices) return TPO_E_MEMORY;
  int status = choose(router, items, n_items, choices, results, err);
  router->before = router->all = 0;
  for (int i = 0; i < n_items; i++) router->all += items[i].n_responses;
  for (int j = 0; j < router->routes.n_judges && status == 0; j++) {
    struct part part = {0};
    status = collect_part(router, j, choices, items, n_items, results, &part, err);
    router->part = (double)part.n_results;
    if (status == 0) status = score_part(router, j, &part, err);
    router->before += router->part;
    free_part(&part);
  }
  free(choices);
  return status;
}

/* Adds a judge's counts as "<name>.<count>", those of "max_" as
 * "max_<name>.<count>" so that they stay such. */
static int add_counts(json_t *counts, const char *name, const struct tpo_judge *judge)
{
  char *text = tpo_judge_counts(judge);
  json_t *own = text ? json_loads(text, 0, NULL) : NULL, *value;
  const char *key;
  int status = own ? 0 : -1;
  json_object_foreach(own, key, value)
  {
    bool largest = strncmp(key, "max_", 4) == 0;
    struct tpo_buf full = {0};
    tpo_buf_printf(&full, "%s%s.%s", largest ? "max_" : "", name, largest ? key + 4 : key);
    if (full.failed || json_object_set(counts, full.data, value) < 0) status = -1;
    tpo_buf_free(&full);
  }
  json_decref(own);
  free(text);
  return status;
}

/* A judge's name in the counts: its kind, with a number from the second of that kind. */
static void short_name(const struct router *router, int judge, char out[64])
{
  const char *kind = router->routes.judges[judge].kind;
  int len = (int)strcspn(kind, ":"), number = 1;
  for (int j = 0; j < judge; j++)
    number += (int)strcspn(router->routes.judges[j].kind, ":") == len &&
              strncmp(router->routes.judges[j].kind, kind, (size_t)len) == 0;
  if (number > 1)
    snprintf(out, 64, "%.*s-%d", len, kind, number);
  else
    snprintf(out, 64, "%.*s", len, kind);
}

static json_t *route_counts(const void *state)
{
  const struct router *router = state;
  json_t *counts = json_object();
  int status = counts ? 0 : -1;
  for (int i = 0; i <= router->routes.n && status == 0; i++) {
    char name[32];
    snprintf(name, sizeof name, i < router->routes.n ? "route-%d.prompts" : "route-none.prompts", i + 1);
    status = json_object_set_new(counts, name, json_integer(router->prompts[i]));
  }
  for (int j = 0; j < router->routes.n_judges && status == 0; j++) {
    char name[64];
    short_name(router, j, name);
    status = add_counts(counts, name, router->judges[j]);
  }
  if (status == 0) return counts;
  json_decref(counts);
  return NULL;
}

const struct judge_kind judge_kind_route = {.check = route_check,
                                            .open = route_open,
                                            .score = route_score,
                                            .close = route_close,
                                            .counts = route_counts,
                                            .cost = route_cost,
                                            .validate = route_validate,
                                            .needs_model = route_needs_model,
                                            .compares = route_compares,
                                            .keeps_answers = route_keeps_answers,
                                            .identify = route_identify,
                                            .mixes = true};
