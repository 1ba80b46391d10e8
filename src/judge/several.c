/* Judges that others hand on to. */
#include "judge/several.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "config/judge_kinds.h"
#include "judge/identity.h"

static void tell_part(void *arg, double share)
{
  const struct several *several = arg;
  if (several->all > 0)
    tpo_watch_tell(&several->watch, (several->before + share * several->part) / several->all);
}

static int name_judge(const struct routes *routes, int judge, struct tpo_error *err)
{
  return tpo_fail_prefix(err, "judge.%s, \"%.200s\"", routes->all ? "terms" : "routes",
                         routes_first(routes, judge)->text);
}

int several_check(const char *argument, const struct tpo_judge_config *config, struct tpo_error *err)
{
  struct routes routes;
  int status = routes_open(&routes, config, argument ? NULL : err);
  if (argument)
    status =
        tpo_fail(err, TPO_E_USAGE,
                 "judge.kind: \"%.*s\" takes no argument, \"%s\" was given; its judges stand in judge.%s",
                 (int)strcspn(config->kind, ":"), config->kind, argument, routes.all ? "terms" : "routes");
  for (int j = 0; j < routes.n_judges && status == 0; j++) {
    status = tpo_judge_check(&routes.judges[j], err);
    if (status < 0) name_judge(&routes, j, err);
  }
  routes_free(&routes);
  return status;
}

static bool any(const struct tpo_judge_config *config, bool (*is)(const struct tpo_judge_config *))
{
  struct routes routes;
  bool found = false;
  if (routes_open(&routes, config, NULL) == 0)
    for (int j = 0; j < routes.n_judges && !found; j++) found = is(&routes.judges[j]);
  routes_free(&routes);
  return found;
}

bool several_needs_model(const struct tpo_judge_config *config)
{
  return any(config, tpo_judge_needs_model);
}

bool several_compares(const struct tpo_judge_config *config)
{
  return any(config, tpo_judge_compares);
}

bool several_keeps_answers(const struct tpo_judge_config *config)
{
  return any(config, tpo_judge_keeps_answers);
}

int several_identify(const char *argument, const struct tpo_judge_config *config, struct tpo_buf *out,
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

int several_validate(const struct tpo_judge_config *config, const struct tpo_judge_item *item,
                     struct tpo_error *err)
{
  struct routes routes;
  int first = 0, n = 0, status = routes_open(&routes, config, err);
  if (status == 0) status = routes_judges(&routes, item, &first, &n, err);
  for (int j = first; j < first + n && status == 0; j++)
    status = tpo_judge_validate(&routes.judges[j], item, err);
  routes_free(&routes);
  return status;
}

struct tpo_judge_cost several_cost(const struct tpo_judge_config *config, const struct tpo_judge_item *item,
                                   int k, int comparisons)
{
  struct tpo_judge_cost sum = {.unit = "calls"};
  struct routes routes;
  int first = 0, n = 0, status = routes_open(&routes, config, NULL);
  if (status == 0) status = routes_judges(&routes, item, &first, &n, NULL);
  for (int j = first; j < first + n && status == 0; j++) {
    struct tpo_judge_cost cost = tpo_judge_cost(&routes.judges[j], item, k, comparisons);
    sum.calls += cost.calls;
    sum.detail_bytes += cost.detail_bytes;
    if (n == 1) sum.unit = cost.unit;
  }
  routes_free(&routes);
  return sum;
}

int several_open(struct several *several, const struct tpo_judge_config *config,
                 const struct tpo_judge_env *env, struct tpo_error *err)
{
  int status = routes_open(&several->routes, config, err);
  if (status < 0) return status;
  int n = several->routes.n_judges;
  struct tpo_judge_env own = *env;
  several->watch = env->watch;
  own.watch = (struct tpo_watch){tell_part, several};
  several->judges = tpo_calloc((size_t)n, sizeof *several->judges, err);
  if (!several->judges) return TPO_E_MEMORY;
  for (int j = 0; j < n && status == 0; j++) {
    status = tpo_judge_open(&several->judges[j], &several->routes.judges[j], &own, err);
    if (status < 0) name_judge(&several->routes, j, err);
  }
  return status;
}

void several_close(struct several *several)
{
  for (int j = 0; several->judges && j < several->routes.n_judges; j++) tpo_judge_close(several->judges[j]);
  free(several->judges);
  routes_free(&several->routes);
}

void several_begin(struct several *several, double responses)
{
  several->before = several->part = 0;
  several->all = responses;
}

int several_ask(struct several *several, int judge, const struct tpo_judge_item *items, int n_items,
                struct tpo_judge_result *results, struct tpo_error *err)
{
  if (n_items == 0) return 0;
  for (int i = 0; i < n_items; i++) several->part += items[i].n_responses;
  int status = tpo_judge_score(several->judges[judge], items, n_items, results, err);
  several->before += several->part;
  several->part = 0;
  return status;
}

/* Of a failure, the reason on top, and what else the judge noted as its detail. */
static json_t *pack_detail(const char *kind, const struct tpo_judge_result *own, json_t *detail)
{
  if (own->ok) return json_pack("{s:s, s:f, s:O*}", "judge", kind, "raw", own->score, "detail", detail);
  json_t *error = json_object_get(detail, "error"), *noted = error ? json_copy(detail) : json_incref(detail);
  if (error) json_object_del(noted, "error");
  json_t *packed = json_pack("{s:O*, s:s, s:O*}", "error", error, "judge", kind, "detail",
                             error && json_object_size(noted) == 0 ? NULL : noted);
  json_decref(noted);
  return packed;
}

json_t *several_detail(const struct several *several, int judge, const struct tpo_judge_result *own,
                       struct tpo_error *err)
{
  json_t *detail =
      own->detail ? tpo_json_parse(own->detail, strlen(own->detail), "a judge's detail", err) : NULL;
  if (own->detail && !detail) return NULL;
  struct tpo_buf name = {0};
  config_tell_addresses(several->routes.judges[judge].kind, &name);
  json_t *named = name.failed ? NULL : pack_detail(name.data, own, detail);
  json_decref(detail);
  tpo_buf_free(&name);
  if (!named) tpo_fail(err, TPO_E_MEMORY, "out of memory while judging");
  return named;
}

/* Those of "max_" as "max_NAME.COUNT", so that they stay such. */
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
static void short_name(const struct several *several, int judge, char out[64])
{
  const char *kind = several->routes.judges[judge].kind;
  int len = (int)strcspn(kind, ":"), number = 1;
  for (int j = 0; j < judge; j++)
    number += (int)strcspn(several->routes.judges[j].kind, ":") == len &&
              strncmp(several->routes.judges[j].kind, kind, (size_t)len) == 0;
  if (number > 1)
    snprintf(out, 64, "%.*s-%d", len, kind, number);
  else
    snprintf(out, 64, "%.*s", len, kind);
}

int several_add_counts(const struct several *several, json_t *counts)
{
  int status = 0;
  for (int j = 0; j < several->routes.n_judges && status == 0; j++) {
    char name[64];
    short_name(several, j, name);
    status = add_counts(counts, name, several->judges[j]);
  }
  return status;
}
