/* Filters that apply a filter or a test to each item: map, select, reject, selectattr, rejectattr. */
#include <string.h>
#include "text/jinja/builtin/filters.h"

static int find_named(struct jinja_run *run, const char *what, jinja_function (*find)(const char *),
                      struct jinja_value name, jinja_function *out)
{
  const struct jinja_string *s;
  if (jinja_want_string(run, what, name, &s) < 0) return TPO_E_INPUT;
  if ((*out = find(s->bytes))) return 0;
  return jinja_fail(run, TPO_E_INPUT, "No %s named '%s'.", what, s->bytes);
}

static int need_value(struct jinja_run *run, const char *filter, const struct jinja_args *args)
{
  if (args->n > 0) return 0;
  return jinja_fail(run, TPO_E_INPUT, "%s() is missing its argument 'value'", filter);
}

/* As in jinja2, what is false has no items. */
static int items_of(struct jinja_run *run, struct jinja_value v, struct jinja_value *row)
{
  if (jinja_truthy(v)) return jinja_iterate(run, v, row);
  return jinja_list_new(run, JINJA_LIST, 0, row);
}

static int map_attribute(struct jinja_run *run, const struct jinja_args *args, const struct jinja_list *row,
                         struct jinja_value *out)
{
  static const char *const names[] = {"", "attribute", "default"};
  struct jinja_value a[3] = {jinja_none(), jinja_none(), jinja_none()}, item;
  if (jinja_bind(run, "map", args, names, 3, 1, a) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < row->n; i++)
    if (jinja_spend(run, 1) < 0 || jinja_path(run, row->items[i], a[1], a[2], &item) < 0 ||
        jinja_list_push(run, out->list, item) < 0)
      return TPO_E_INPUT;
  return 0;
}

static bool names_attribute(const struct jinja_args *args)
{
  for (size_t i = 0; i < args->n_named; i++)
    if (strcmp(args->names[i], "attribute") == 0) return args->n == 1;
  return false;
}

static int filter_map(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  struct jinja_value row, item;
  jinja_function filter;
  if (need_value(run, "map", args) < 0 || items_of(run, args->args[0], &row) < 0 ||
      jinja_list_of_kind(run, JINJA_GENERATOR, row.list->n, out) < 0)
    return TPO_E_INPUT;
  if (row.list->n == 0) return 0;
  if (names_attribute(args)) return map_attribute(run, args, row.list, out);
  if (args->n < 2) return jinja_fail(run, TPO_E_INPUT, "map requires a filter argument");
  if (find_named(run, "filter", jinja_find_filter, args->args[1], &filter) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < row.list->n; i++)
    if (jinja_spend(run, 1) < 0 || jinja_call_named(run, filter, row.list->items[i], args, 2, &item) < 0 ||
        jinja_list_push(run, out->list, item) < 0)
      return TPO_E_INPUT;
  return 0;
}

/* args: the value, for *attr the attribute, then maybe a test and its arguments. */
static int choose(struct jinja_run *run, const char *name, const struct jinja_args *args, bool attribute,
                  bool keep, struct jinja_value *out)
{
  struct jinja_value row, item, result;
  jinja_function test = NULL;
  size_t skip = attribute ? 2 : 1;
  if (need_value(run, name, args) < 0 || items_of(run, args->args[0], &row) < 0 ||
      jinja_list_of_kind(run, JINJA_GENERATOR, row.list->n, out) < 0)
    return TPO_E_INPUT;
  if (row.list->n == 0) return 0;
  if (args->n < skip) return jinja_fail(run, TPO_E_INPUT, "Missing parameter for attribute name");
  if (args->n > skip && find_named(run, "test", jinja_find_test, args->args[skip], &test) < 0)
    return TPO_E_INPUT;
  for (size_t i = 0; i < row.list->n; i++) {
    struct jinja_value path = attribute ? args->args[1] : jinja_none();
    if (jinja_spend(run, 1) < 0 || jinja_path(run, row.list->items[i], path, jinja_none(), &item) < 0)
      return TPO_E_INPUT;
    result = item;
    if (test && jinja_call_named(run, test, item, args, skip + 1, &result) < 0) return TPO_E_INPUT;
    if (jinja_truthy(result) == keep && jinja_list_push(run, out->list, row.list->items[i]) < 0)
      return TPO_E_INPUT;
  }
  return 0;
}

static int filter_select(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  return choose(run, "select", args, false, true, out);
}

static int filter_reject(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  return choose(run, "reject", args, false, false, out);
}

static int filter_selectattr(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  return choose(run, "selectattr", args, true, true, out);
}

static int filter_rejectattr(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  return choose(run, "rejectattr", args, true, false, out);
}

jinja_function jinja_find_select_filter(const char *name)
{
  static const struct jinja_filter_row rows[] = {{"map", filter_map},
                                                 {"select", filter_select},
                                                 {"reject", filter_reject},
                                                 {"selectattr", filter_selectattr},
                                                 {"rejectattr", filter_rejectattr}};
  return JINJA_FIND(rows, name);
}
