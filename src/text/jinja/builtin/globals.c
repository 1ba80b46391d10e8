/* What templates can call without an object: range, dict, namespace, cycler, joiner, raise_exception,
 * strftime_now. */
#include <string.h>
#include "text/jinja/builtin/filters.h"

#define GLOBAL(name)                                                                                         \
  static int name(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)

enum { RANGE_MAX = 100000 }; /* the sandbox's */

static int range_bounds(struct jinja_run *run, const struct jinja_args *args, int64_t bounds[3])
{
  int64_t given[3] = {0};
  if (args->n_named > 0) return jinja_fail(run, TPO_E_INPUT, "range() takes no keyword arguments");
  if (args->n < 1 || args->n > 3)
    return jinja_fail(run, TPO_E_INPUT, "range expected 1 to 3 arguments, got %zu", args->n);
  for (size_t i = 0; i < args->n; i++)
    if (jinja_want_int(run, "range", args->args[i], &given[i]) < 0) return TPO_E_INPUT;
  bounds[0] = args->n > 1 ? given[0] : 0;
  bounds[1] = args->n > 1 ? given[1] : given[0];
  bounds[2] = args->n > 2 ? given[2] : 1;
  return bounds[2] != 0 ? 0 : jinja_fail(run, TPO_E_INPUT, "range() arg 3 must not be zero");
}

GLOBAL(global_range)
{
  int64_t *bounds = jinja_alloc(run, 3 * sizeof *bounds);
  if (!bounds || range_bounds(run, args, bounds) < 0) return TPO_E_INPUT;
  bool up = bounds[2] > 0, some = up ? bounds[0] < bounds[1] : bounds[0] > bounds[1];
  uint64_t step = up ? (uint64_t)bounds[2] : 0 - (uint64_t)bounds[2];
  uint64_t span = up ? (uint64_t)bounds[1] - (uint64_t)bounds[0] : (uint64_t)bounds[0] - (uint64_t)bounds[1];
  uint64_t n = some ? (span - 1) / step + 1 : 0;
  if (n > RANGE_MAX)
    return jinja_fail(run, TPO_E_INPUT,
                      "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", RANGE_MAX);
  if (jinja_spend(run, n) < 0 || jinja_list_of_kind(run, JINJA_RANGE, n, out) < 0) return TPO_E_INPUT;
  out->list->bounds = bounds;
  for (uint64_t i = 0; i < n; i++)
    if (jinja_list_push(run, out->list, jinja_int(bounds[0] + (int64_t)i * bounds[2])) < 0)
      return TPO_E_INPUT;
  return 0;
}

static int put_pairs(struct jinja_run *run, struct jinja_value from, struct jinja_dict *dict)
{
  struct jinja_value row, pair;
  if (from.type == JINJA_UNDEFINED)
    return jinja_fail_undefined(run, from); /* whose keys are asked for first */
  if (from.type == JINJA_DICT && jinja_dict_view(run, from.dict, JINJA_ITEMS, &from) < 0) return TPO_E_INPUT;
  if (jinja_iterate(run, from, &row) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < row.list->n; i++) {
    if (jinja_iterate(run, row.list->items[i], &pair) < 0) return TPO_E_INPUT;
    if (pair.list->n != 2)
      return jinja_fail(run, TPO_E_INPUT,
                        "dictionary update sequence element #%zu has length %zu; 2 is required", i,
                        pair.list->n);
    if (jinja_dict_put(run, dict, pair.list->items[0], pair.list->items[1]) < 0) return TPO_E_INPUT;
  }
  return 0;
}

GLOBAL(global_dict)
{
  if (args->n > 1) return jinja_fail(run, TPO_E_INPUT, "dict expected at most 1 argument, got %zu", args->n);
  if (jinja_dict_new(run, out) < 0 || (args->n == 1 && put_pairs(run, args->args[0], out->dict) < 0))
    return TPO_E_INPUT;
  for (size_t i = 0; i < args->n_named; i++) {
    struct jinja_value key;
    if (jinja_string_new(run, args->names[i], strlen(args->names[i]), 0, &key) < 0 ||
        jinja_dict_put(run, out->dict, key, args->named[i]) < 0)
      return TPO_E_INPUT;
  }
  return 0;
}

GLOBAL(global_namespace)
{
  if (global_dict(run, args, out) < 0) return TPO_E_INPUT;
  out->type = JINJA_NAMESPACE;
  for (size_t i = 0; i < out->dict->n; i++) {
    struct jinja_value key = out->dict->keys[i];
    if (key.type == JINJA_STRING && key.string->bytes[0] == '_')
      return jinja_fail(
          run, TPO_E_INPUT,
          "Chat templates cannot store underscore-prefixed attributes on a namespace, but got '%s'.",
          key.string->bytes);
  }
  return 0;
}

/* cycler(...): an object with next(), reset() and current */
struct cycler {
  struct jinja_callable callable; /* first */
  struct jinja_value items;
  size_t at;
};

static int call_cycler(struct jinja_run *run, const struct jinja_callable *self,
                       const struct jinja_args *args, struct jinja_value *out)
{
  (void)self;
  (void)args;
  (void)out;
  return jinja_fail(run, TPO_E_INPUT, "'Cycler' object is not callable");
}

static int cycler_next(struct jinja_run *run, const struct jinja_callable *self,
                       const struct jinja_args *args, struct jinja_value *out)
{
  struct cycler *cycler = self->data;
  if (jinja_bind(run, "next", args, NULL, 0, 0, NULL) < 0) return TPO_E_INPUT;
  *out = cycler->items.list->items[cycler->at];
  cycler->at = (cycler->at + 1) % cycler->items.list->n;
  return 0;
}

static int cycler_reset(struct jinja_run *run, const struct jinja_callable *self,
                        const struct jinja_args *args, struct jinja_value *out)
{
  if (jinja_bind(run, "reset", args, NULL, 0, 0, NULL) < 0) return TPO_E_INPUT;
  ((struct cycler *)self->data)->at = 0;
  *out = jinja_none();
  return 0;
}

GLOBAL(global_cycler)
{
  struct cycler *cycler = jinja_alloc(run, sizeof *cycler);
  if (!cycler || jinja_list_new(run, JINJA_TUPLE, args->n, &cycler->items) < 0) return TPO_E_INPUT;
  if (args->n == 0) return jinja_fail(run, TPO_E_INPUT, "at least one item has to be provided");
  for (size_t i = 0; i < args->n; i++)
    if (jinja_list_push(run, cycler->items.list, args->args[i]) < 0) return TPO_E_INPUT;
  cycler->callable = (struct jinja_callable){.name = "cycler", .call = call_cycler, .data = cycler};
  *out = (struct jinja_value){.type = JINJA_CALLABLE, .callable = &cycler->callable};
  return 0;
}

int jinja_function_attribute(struct jinja_run *run, struct jinja_value obj, const char *name, bool *found,
                             struct jinja_value *out)
{
  bool next = strcmp(name, "next") == 0, reset = strcmp(name, "reset") == 0,
       current = strcmp(name, "current") == 0;
  *found = obj.callable->call == call_cycler && (next || reset || current);
  if (!*found) return 0;
  struct cycler *cycler = obj.callable->data;
  if (current) {
    *out = cycler->items.list->items[cycler->at];
    return 0;
  }
  struct jinja_callable *method = jinja_alloc(run, sizeof *method);
  if (!method) return TPO_E_INPUT;
  *method = (struct jinja_callable){.name = next ? "next" : "reset",
                                    .call = next ? cycler_next : cycler_reset,
                                    .self = obj,
                                    .data = cycler};
  *out = (struct jinja_value){.type = JINJA_CALLABLE, .callable = method};
  return 0;
}

/* joiner(sep): nothing at the first call, then sep */
struct joiner {
  struct jinja_callable callable; /* first */
  struct jinja_value separator;
  bool used;
};

static int call_joiner(struct jinja_run *run, const struct jinja_callable *self,
                       const struct jinja_args *args, struct jinja_value *out)
{
  struct joiner *joiner = self->data;
  if (jinja_bind(run, "joiner", args, NULL, 0, 0, NULL) < 0) return TPO_E_INPUT;
  *out = joiner->separator;
  if (joiner->used) return 0;
  joiner->used = true;
  return jinja_string_new(run, "", 0, 0, out);
}

GLOBAL(global_joiner)
{
  static const char *const names[] = {"sep"};
  struct joiner *joiner = jinja_alloc(run, sizeof *joiner);
  if (!joiner || jinja_string_new(run, ", ", 2, 0, &joiner->separator) < 0 ||
      jinja_bind(run, "joiner", args, names, 1, 0, &joiner->separator) < 0)
    return TPO_E_INPUT;
  joiner->callable = (struct jinja_callable){.name = "joiner", .call = call_joiner, .data = joiner};
  *out = (struct jinja_value){.type = JINJA_CALLABLE, .callable = &joiner->callable};
  return 0;
}

GLOBAL(global_raise_exception)
{
  static const char *const names[] = {"message"};
  struct jinja_value message, text;
  (void)out;
  if (jinja_bind(run, "raise_exception", args, names, 1, 1, &message) < 0 ||
      jinja_str(run, message, &text) < 0)
    return TPO_E_INPUT;
  return jinja_fail(run, TPO_E_INPUT, "%s", text.string->bytes);
}

GLOBAL(global_strftime_now)
{
  static const char *const names[] = {"format"};
  struct jinja_value v;
  const struct jinja_string *format;
  if (jinja_bind(run, "strftime_now", args, names, 1, 1, &v) < 0 ||
      jinja_want_string(run, "strftime_now", v, &format) < 0)
    return TPO_E_INPUT;
  return jinja_strftime(run, format, out);
}

GLOBAL(global_lipsum)
{
  (void)args;
  (void)out;
  return jinja_fail(run, TPO_E_UNSUPPORTED, "lipsum() is not supported: a prompt must be the same each time");
}

jinja_function jinja_find_global(const char *name)
{
  static const struct jinja_filter_row rows[] = {{"range", global_range},
                                                 {"dict", global_dict},
                                                 {"namespace", global_namespace},
                                                 {"raise_exception", global_raise_exception},
                                                 {"strftime_now", global_strftime_now},
                                                 {"cycler", global_cycler},
                                                 {"joiner", global_joiner},
                                                 {"lipsum", global_lipsum}};
  return JINJA_FIND(rows, name);
}
