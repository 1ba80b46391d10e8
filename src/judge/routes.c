/* Reads the routes or terms of a configuration, and finds those that an instruction takes. */
#include "judge/routes.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/memory.h"
#include "config/judge_kinds.h"

/* What an instruction can have: a name that is none of these would never fit, so it is a mistake. */
static const char *const fields[] = {"id",       "instruction", "checks",  "reference",
                                     "category", "dataset",     "messages"};
static const char *const blanks = " \t\r\n";

/* Takes white space off both ends, in place. */
static char *trim(char *text)
{
  text += strspn(text, blanks);
  size_t len = strlen(text);
  while (len > 0 && strchr(blanks, text[len - 1])) len--;
  text[len] = '\0';
  return text;
}

static int bad_route(const struct route *route, const char *why, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_USAGE,
                  "judge.routes, \"%.200s\": %s; expected FIELD -> KIND[:ARG], "
                  "FIELD=VALUE -> KIND[:ARG] or * -> KIND[:ARG]",
                  route->text, why);
}

static bool is_field(const char *name)
{
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (strcmp(fields[i], name) == 0) return true;
  return false;
}

static int kind_of(const char *kind)
{
  const char *argument;
  return kind ? config_judge_kind(kind, &argument) : -1;
}

/* Whether it hands on to others, and so can't be one of them. */
static bool hands_on(const char *kind)
{
  return kind_of(kind) == JUDGE_KIND_ROUTE || kind_of(kind) == JUDGE_KIND_SUM;
}

/* What stands before the arrow: FIELD, FIELD=VALUE or *. */
static int parse_condition(struct route *route, char *text, struct tpo_error *err)
{
  char *equals = strchr(text, '=');
  if (equals) {
    *equals = '\0';
    route->value = trim(equals + 1);
    if (!*route->value) return bad_route(route, "no value stands after \"=\"", err);
  }
  route->field = trim(text);
  return 0;
}

/* Whether the parts can go together. */
static int check_parts(struct route *route, struct tpo_error *err)
{
  if (!*route->kind) return bad_route(route, "no judge stands after \"->\"", err);
  if (hands_on(route->kind)) return bad_route(route, "a route can't lead to further routes or a sum", err);
  if (strcmp(route->field, "*") == 0) {
    route->field = NULL;
    return route->value ? bad_route(route, "\"*\" fits every instruction and takes no value", err) : 0;
  }
  if (is_field(route->field)) return 0;
  return bad_route(
      route,
      "instructions have the fields id, instruction, checks, reference, category, dataset and messages", err);
}

static int parse(struct route *route, const char *text, struct tpo_error *err)
{
  route->text = text;
  route->block = strdup(text);
  if (!route->block) return tpo_fail(err, TPO_E_MEMORY, "no memory for routes");
  char *arrow = strstr(route->block, "->");
  if (!arrow) return bad_route(route, "it has no \"->\"", err);
  *arrow = '\0';
  route->kind = trim(arrow + 2);
  int status = parse_condition(route, route->block, err);
  return status < 0 ? status : check_parts(route, err);
}

/* Gives the last route the judge of an earlier one of the same kind, or the next number. */
static void number_judge(struct routes *routes)
{
  struct route *route = &routes->list[routes->n - 1];
  route->judge = routes->n_judges;
  for (int i = 0; i < routes->n - 1; i++)
    if (strcmp(routes->list[i].kind, route->kind) == 0) route->judge = routes->list[i].judge;
  if (route->judge == routes->n_judges) routes->n_judges++;
}

static int parse_all(struct routes *routes, const struct tpo_judge_config *config, struct tpo_error *err)
{
  for (int i = 0; i < config->n_routes; i++) {
    struct route *route = &routes->list[routes->n++];
    int status = parse(route, config->routes[i], err);
    if (status < 0) return status;
    if (i > 0 && !routes->list[i - 1].field)
      return bad_route(route, "nothing reaches it, the route before fits every instruction", err);
    number_judge(routes);
  }
  return 0;
}

static int bad_term(const char *kind, const char *why, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_USAGE, "judge.terms, \"%.200s\": %s", kind, why);
}

static int check_term(const struct routes *routes, const struct tpo_judge_term *term, struct tpo_error *err)
{
  if (!judge_given(term->kind)) return bad_term("", "expected the KIND[:ARG] of a judge", err);
  if (hands_on(term->kind))
    return bad_term(term->kind, "a term can be neither a route nor a further sum", err);
  if (!isfinite(term->weight) || term->weight == 0)
    return bad_term(term->kind, "the weight must be a finite number that isn't 0", err);
  for (int i = 0; i < routes->n; i++)
    if (strcmp(routes->list[i].kind, term->kind) == 0)
      return bad_term(term->kind, "the judge stands in an earlier term already; expected one weight for it",
                      err);
  return 0;
}

static int take_terms(struct routes *routes, const struct tpo_judge_config *config, struct tpo_error *err)
{
  for (int i = 0; i < config->n_terms; i++) {
    const struct tpo_judge_term *term = &config->terms[i];
    int status = check_term(routes, term, err);
    if (status < 0) return status;
    routes->list[routes->n++] =
        (struct route){.text = term->kind, .kind = term->kind, .weight = term->weight, .judge = i};
  }
  routes->n_judges = routes->n;
  return 0;
}

/* A judge that hands on to no others takes everything. */
static void take_all(struct routes *routes, const struct tpo_judge_config *config)
{
  const char *kind = config->kind ? config->kind : "";
  routes->list[routes->n++] = (struct route){.text = kind, .kind = kind};
  routes->n_judges = 1;
}

static int configure_judges(struct routes *routes, const struct tpo_judge_config *config,
                            struct tpo_error *err)
{
  routes->judges = tpo_calloc((size_t)routes->n_judges, sizeof *routes->judges, err);
  if (!routes->judges) return TPO_E_MEMORY;
  for (int j = 0; j < routes->n_judges; j++) {
    routes->judges[j] = *config;
    routes->judges[j].kind = (char *)routes_first(routes, j)->kind; /* borrowed: the routes stay */
    if (config->repetition > 0 && hands_on(config->kind))           /* taken off once, of what comes of all */
      routes->judges[j].repetition = routes->judges[j].repetition_penalty = 0;
  }
  return 0;
}

int routes_open(struct routes *routes, const struct tpo_judge_config *config, struct tpo_error *err)
{
  bool routed = kind_of(config->kind) == JUDGE_KIND_ROUTE, sums = kind_of(config->kind) == JUDGE_KIND_SUM;
  *routes = (struct routes){.all = sums};
  if (routed && config->n_routes == 0)
    return tpo_fail(err, TPO_E_USAGE,
                    "judge.routes is empty; judge.kind: route needs texts such as \"checks -> rule\"");
  if (sums && config->n_terms == 0)
    return tpo_fail(err, TPO_E_USAGE,
                    "judge.terms is empty; judge.kind: sum needs terms such as {kind: rule, weight: 1}");
  int n = routed ? config->n_routes : sums ? config->n_terms : 1, status = 0;
  routes->list = tpo_calloc((size_t)n, sizeof *routes->list, err);
  if (!routes->list) return TPO_E_MEMORY;
  if (routed)
    status = parse_all(routes, config, err);
  else if (sums)
    status = take_terms(routes, config, err);
  else
    take_all(routes, config);
  return status < 0 ? status : configure_judges(routes, config, err);
}

void routes_free(struct routes *routes)
{
  for (int i = 0; i < routes->n; i++) free(routes->list[i].block);
  free(routes->list);
  free(routes->judges);
  *routes = (struct routes){0};
}

const struct route *routes_first(const struct routes *routes, int judge)
{
  int i = 0;
  while (routes->list[i].judge != judge) i++;
  return &routes->list[i];
}

static bool is_there(const json_t *value)
{
  if (!value || json_is_null(value)) return false;
  if (json_is_string(value)) return json_string_length(value) > 0;
  return (!json_is_array(value) || json_array_size(value) > 0) &&
         (!json_is_object(value) || json_object_size(value) > 0);
}

/* A string is compared as it is, another value as it is written in JSON. */
static bool equals(const json_t *value, const char *text)
{
  if (json_is_string(value)) return strcmp(json_string_value(value), text) == 0;
  char *written = value ? tpo_json_dump(value) : NULL;
  bool same = written && strcmp(written, text) == 0;
  free(written);
  return same;
}

static bool fits(const struct route *route, const json_t *meta, const struct tpo_judge_item *item)
{
  if (!route->field) return true;
  const char *own = strcmp(route->field, "id") == 0            ? item->id
                    : strcmp(route->field, "instruction") == 0 ? item->instruction
                                                               : NULL;
  if (own) return route->value ? strcmp(own, route->value) == 0 : *own != '\0';
  const json_t *value = json_object_get(meta, route->field);
  return is_there(value) && (!route->value || equals(value, route->value));
}

/* The fields of an item; NULL with err set. */
static json_t *fields_of(const struct tpo_judge_item *item, struct tpo_error *err)
{
  const char *text = item->meta ? item->meta : "{}";
  json_t *meta = tpo_json_parse(text, strlen(text), "meta", err);
  if (!meta || json_is_object(meta)) return meta;
  json_decref(meta);
  tpo_fail(err, TPO_E_INPUT, "meta: expected an object");
  return NULL;
}

int routes_find(const struct routes *routes, const struct tpo_judge_item *item, int *found,
                struct tpo_error *err)
{
  *found = 0;
  if (!routes->list[0].field) return 0;
  *found = -1;
  json_t *meta = fields_of(item, err);
  if (!meta) return TPO_E_INPUT;
  for (int i = 0; i < routes->n && *found < 0; i++)
    if (fits(&routes->list[i], meta, item)) *found = i;
  json_decref(meta);
  return 0;
}

int routes_judges(const struct routes *routes, const struct tpo_judge_item *item, int *first, int *n,
                  struct tpo_error *err)
{
  int found = 0, status = routes->all ? 0 : routes_find(routes, item, &found, err);
  *first = found < 0 ? 0 : routes->list[found].judge;
  *n = found < 0 ? 0 : routes->all ? routes->n_judges : 1;
  return status;
}
