/* Reads the routes of a configuration, and finds the one that an instruction takes. */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/memory.h"
#include "judge/route.h"
#include "tpo/checks.h"

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

static int parse(struct route *route, const char *text, struct tpo_error *err)
{
  route->text = text;
  route->block = strdup(text);
  if (!route->block) return tpo_fail(err, TPO_E_MEMORY, "no memory for routes");
  char *arrow = strstr(route->block, "->");
  if (!arrow) return bad_route(route, "it has no \"->\"", err);
  *arrow = '\0';
  route->kind = trim(arrow + 2);
  char *equals = strchr(route->block, '=');
  if (equals) {
    *equals = '\0';
    route->value = trim(equals + 1);
    if (!*route->value) return bad_route(route, "no value stands after \"=\"", err);
  }
  route->field = trim(route->block);
  if (!*route->kind) return bad_route(route, "no judge stands after \"->\"", err);
  if (strncmp(route->kind, "route", strcspn(route->kind, ":")) == 0 && strcspn(route->kind, ":") == 5)
    return bad_route(route, "a route can't lead to further routes", err);
  if (strcmp(route->field, "*") == 0) {
    route->field = NULL;
    return route->value ? bad_route(route, "\"*\" fits every instruction and takes no value", err) : 0;
  }
  return is_field(route->field)
             ? 0
             : bad_route(
                   route,
                   "instructions have the fields id, instruction, checks, reference, category, dataset and messages",
                   err);
}

int routes_parse(struct routes *routes, const struct tpo_judge_config *config, struct tpo_error *err)
{
  *routes = (struct routes){0};
  if (config->n_routes == 0)
    return tpo_fail(err, TPO_E_USAGE,
                    "judge.routes is empty; judge.kind: route needs texts such as \"checks -> rule\"");
  routes->list = tpo_calloc((size_t)config->n_routes, sizeof *routes->list, err);
  if (!routes->list) return TPO_E_MEMORY;
  for (int i = 0; i < config->n_routes; i++) {
    struct route *route = &routes->list[routes->n++];
    int status = parse(route, config->routes[i], err);
    if (status < 0) return status;
    if (i > 0 && !routes->list[i - 1].field)
      return bad_route(route, "nothing reaches it, the route before fits every instruction", err);
    route->judge = routes->n_judges;
    for (int j = 0; j < i && route->judge == routes->n_judges; j++)
      if (strcmp(routes->list[j].kind, route->kind) == 0) route->judge = routes->list[j].judge;
    if (route->judge == routes->n_judges) routes->n_judges++;
  }
  return 0;
}

void routes_free(struct routes *routes)
{
  for (int i = 0; i < routes->n; i++) free(routes->list[i].block);
  free(routes->list);
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

int routes_find(const struct routes *routes, const struct tpo_judge_item *item, int *found,
                struct tpo_error *err)
{
  *found = -1;
  const char *text = item->meta ? item->meta : "{}";
  json_t *meta = tpo_json_parse(text, strlen(text), "meta", err);
  int status = !meta                   ? TPO_E_INPUT
               : !json_is_object(meta) ? tpo_fail(err, TPO_E_INPUT, "meta: expected an object")
                                       : 0;
  for (int i = 0; status == 0 && i < routes->n && *found < 0; i++)
    if (fits(&routes->list[i], meta, item)) *found = i;
  json_decref(meta);
  return status;
}

int tpo_judge_validate(const struct tpo_judge_config *config, const struct tpo_judge_item *item,
                       struct tpo_error *err)
{
  struct routes routes = {0};
  const char *kind = config->kind ? config->kind : "";
  int status = 0;
  if (strcmp(kind, "route") == 0) {
    int found = -1;
    status = routes_parse(&routes, config, err);
    if (status == 0) status = routes_find(&routes, item, &found, err);
    kind = found >= 0 ? routes.list[found].kind : "";
  }
  if (status == 0 && strcmp(kind, "rule") == 0)
    status = tpo_checks_validate(item->meta ? item->meta : "{}", err);
  routes_free(&routes);
  return status;
}
