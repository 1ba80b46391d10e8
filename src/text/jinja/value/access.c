/* obj.name, obj[key], obj[a:b:c] and what a for statement goes through. */
#include <stdio.h>
#include <string.h>
#include "text/jinja/builtin/builtins.h"

/* Methods that would change a value: the sandbox, which these templates were written for, has none of
 * them. */
static bool changes(struct jinja_value obj, const char *name)
{
  static const char *const of_list[] = {"append", "clear",  "pop",    "reverse", "insert",
                                        "sort",   "extend", "remove", NULL};
  static const char *const of_dict[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
  const char *const *names = obj.type == JINJA_LIST && obj.list->kind == JINJA_PLAIN_LIST ? of_list
                             : obj.type == JINJA_DICT                                     ? of_dict
                                                                                          : NULL;
  for (; names && *names; names++)
    if (strcmp(*names, name) == 0) return true;
  return false;
}

static const char *describe(struct jinja_value obj, char text[64])
{
  if (obj.type == JINJA_NONE) return "None";
  snprintf(text, 64, "'%s object'", jinja_type_name(obj));
  return text;
}

static int no_attribute(struct jinja_run *run, struct jinja_value obj, const char *name,
                        struct jinja_value *out)
{
  char text[64];
  return jinja_undefined_of(run, out, "%s has no attribute '%s'", describe(obj, text), name);
}

static int group_member(struct jinja_value obj, const char *name, struct jinja_value *out)
{
  if (obj.type != JINJA_TUPLE || !obj.list->names) return -1;
  for (size_t i = 0; i < obj.list->n; i++)
    if (strcmp(obj.list->names[i], name) == 0) {
      *out = obj.list->items[i];
      return 0;
    }
  return -1;
}

/* What Python's getattr() finds. */
static int own_attribute(struct jinja_run *run, struct jinja_value obj, const char *name, bool *found,
                         struct jinja_value *out)
{
  *found = true;
  if (obj.type == JINJA_NAMESPACE) {
    *found = jinja_dict_find(obj.dict, name, out);
    return 0;
  }
  if (strncmp(name, "__", 2) == 0 || changes(obj, name))
    return jinja_undefined_of(run, out, "access to attribute '%s' of '%s' object is unsafe.", name,
                              jinja_type_name(obj));
  if (group_member(obj, name, out) == 0) return 0;
  if (obj.type == JINJA_CALLABLE) return jinja_function_attribute(run, obj, name, found, out);
  return jinja_method(run, obj, name, found, out);
}

int jinja_attribute(struct jinja_run *run, struct jinja_value obj, const char *name, struct jinja_value *out)
{
  bool found;
  if (obj.type == JINJA_UNDEFINED) return jinja_fail_undefined(run, obj);
  if (own_attribute(run, obj, name, &found, out) < 0) return TPO_E_INPUT;
  if (found || (obj.type == JINJA_DICT && jinja_dict_find(obj.dict, name, out))) return 0;
  return no_attribute(run, obj, name, out);
}

static int element(struct jinja_run *run, struct jinja_value obj, int64_t index, bool *found,
                   struct jinja_value *out)
{
  if (obj.type == JINJA_STRING && jinja_spend_bytes(run, obj.string->len) < 0) return TPO_E_INPUT;
  size_t n = obj.type == JINJA_STRING ? jinja_length(obj.string) : obj.list->n;
  if (index < 0) index += (int64_t)n;
  *found = index >= 0 && (uint64_t)index < n;
  if (!*found) return 0;
  if (obj.type != JINJA_STRING) {
    *out = obj.list->items[index];
    return 0;
  }
  size_t begin = jinja_offset(obj.string, (size_t)index), end = begin;
  jinja_next(obj.string, &end);
  return jinja_substring(run, obj.string, begin, end, out);
}

static bool indexed(struct jinja_value obj)
{
  if (obj.type == JINJA_LIST) return obj.list->kind == JINJA_PLAIN_LIST || obj.list->kind == JINJA_RANGE;
  return obj.type == JINJA_STRING || obj.type == JINJA_TUPLE;
}

static int own_item(struct jinja_run *run, struct jinja_value obj, struct jinja_value key, bool *found,
                    struct jinja_value *out)
{
  int64_t index;
  *found = false;
  if (indexed(obj) && jinja_is_integer(key, &index)) return element(run, obj, index, found, out);
  if (obj.type != JINJA_DICT) return 0;
  bool hashable = key.type != JINJA_DICT && key.type != JINJA_LIST;
  if (!hashable) return 0; /* jinja2 takes the TypeError for "there is none" */
  if (jinja_check_key(run, key) < 0) return TPO_E_INPUT;
  *found = jinja_dict_get(obj.dict, key, out);
  return 0;
}

static int no_element(struct jinja_run *run, struct jinja_value obj, struct jinja_value key,
                      struct jinja_value *out)
{
  char text[64];
  if (key.type == JINJA_STRING) return no_attribute(run, obj, key.string->bytes, out);
  if (key.type == JINJA_INT)
    return jinja_undefined_of(run, out, "%s has no element %lld", describe(obj, text),
                              (long long)key.integer);
  return jinja_undefined_of(run, out, "%s has no element that a %s names", describe(obj, text),
                            jinja_type_name(key));
}

int jinja_item(struct jinja_run *run, struct jinja_value obj, struct jinja_value key, struct jinja_value *out)
{
  bool found;
  if (obj.type == JINJA_UNDEFINED) return jinja_fail_undefined(run, obj);
  if (own_item(run, obj, key, &found, out) < 0) return TPO_E_INPUT;
  if (found) return 0;
  if (key.type == JINJA_STRING && jinja_spend_bytes(run, key.string->len) < 0) return TPO_E_INPUT;
  bool name = key.type == JINJA_STRING && strlen(key.string->bytes) == key.string->len;
  if (name && own_attribute(run, obj, key.string->bytes, &found, out) < 0) return TPO_E_INPUT;
  return found ? 0 : no_element(run, obj, key, out);
}

struct bounds {
  int64_t begin, end, step;
  size_t count;
};

static int want_bound(struct jinja_run *run, const struct jinja_value *v, bool *given, int64_t *out)
{
  *given = v && v->type != JINJA_NONE;
  if (!*given || jinja_is_integer(*v, out)) return 0;
  if (v->type == JINJA_UNDEFINED) return jinja_fail_undefined(run, *v);
  return jinja_fail(run, TPO_E_INPUT, "slice indices must be integers or None");
}

static int64_t clip(int64_t i, int64_t n, int64_t low, int64_t high)
{
  if (i < 0) i = i < -n ? low : i + n;
  return i < low ? low : i > high ? high : i;
}

/* As Python's slice.indices(n). */
static int want_bounds(struct jinja_run *run, const struct jinja_value *begin, const struct jinja_value *end,
                       const struct jinja_value *step, size_t items, struct bounds *out)
{
  bool has_begin, has_end, has_step;
  int64_t n = (int64_t)items, b = 0, e = 0, s = 1;
  if (want_bound(run, begin, &has_begin, &b) < 0 || want_bound(run, end, &has_end, &e) < 0 ||
      want_bound(run, step, &has_step, &s) < 0)
    return TPO_E_INPUT;
  if (s == 0) return jinja_fail(run, TPO_E_INPUT, "slice step cannot be zero");
  if (s < -INT64_MAX / 2) s = -INT64_MAX / 2;
  if (s > INT64_MAX / 2) s = INT64_MAX / 2;
  int64_t low = s < 0 ? -1 : 0, high = s < 0 ? n - 1 : n;
  b = has_begin ? clip(b, n, low, high) : s < 0 ? high : low;
  e = has_end ? clip(e, n, low, high) : s < 0 ? low : high;
  *out = (struct bounds){.begin = b, .end = e, .step = s};
  if (s > 0 ? b < e : b > e) out->count = (size_t)(s > 0 ? (e - b - 1) / s + 1 : (b - e - 1) / -s + 1);
  return 0;
}

int jinja_want_range(struct jinja_run *run, struct jinja_value begin, struct jinja_value end, size_t n,
                     size_t *first, size_t *last)
{
  struct bounds bounds = {0};
  if (want_bounds(run, &begin, &end, NULL, n, &bounds) < 0) return TPO_E_INPUT;
  *first = (size_t)bounds.begin;
  *last = (size_t)bounds.end;
  return 0;
}

static int slice_string(struct jinja_run *run, const struct jinja_string *s, const struct bounds *bounds,
                        struct jinja_value *out)
{
  size_t n = jinja_length(s);
  if (bounds->step == 1) {
    size_t begin = jinja_offset(s, (size_t)bounds->begin);
    size_t end = bounds->count ? jinja_offset(s, (size_t)bounds->end) : begin;
    return jinja_substring(run, s, begin, end, out);
  }
  size_t *offsets = jinja_alloc(run, (n + 1) * sizeof *offsets);
  if (!offsets) return TPO_E_INPUT;
  for (size_t i = 0, at = 0; i < n; i++) {
    offsets[i] = at;
    jinja_next(s, &at);
    offsets[i + 1] = at;
  }
  struct jinja_builder b = {.run = run};
  int64_t at = bounds->begin;
  for (size_t i = 0; i < bounds->count; i++, at += bounds->step)
    jinja_build_slice(&b, s, offsets[at], offsets[at + 1]);
  return jinja_build_end_like(&b, s, out);
}

static int slice_list(struct jinja_run *run, struct jinja_value obj, const struct bounds *bounds,
                      struct jinja_value *out)
{
  if (jinja_list_new(run, obj.type, bounds->count, out) < 0) return TPO_E_INPUT;
  int64_t at = bounds->begin;
  for (size_t i = 0; i < bounds->count; i++, at += bounds->step)
    if (jinja_list_push(run, out->list, obj.list->items[at]) < 0) return TPO_E_INPUT;
  if (obj.list->kind != JINJA_RANGE) return 0;
  int64_t *kept = jinja_alloc(run, 3 * sizeof *kept); /* a slice of a range is one */
  if (!kept) return TPO_E_INPUT;
  const int64_t *old = obj.list->bounds;
  kept[0] = old[0] + bounds->begin * old[2];
  kept[1] = old[0] + bounds->end * old[2];
  kept[2] = old[2] * bounds->step;
  out->list->kind = JINJA_RANGE;
  out->list->bounds = kept;
  return 0;
}

int jinja_slice(struct jinja_run *run, struct jinja_value obj, const struct jinja_value *begin,
                const struct jinja_value *end, const struct jinja_value *step, struct jinja_value *out)
{
  struct bounds bounds = {0};
  if (obj.type == JINJA_UNDEFINED) return jinja_fail_undefined(run, obj);
  if (!indexed(obj)) return jinja_fail(run, TPO_E_INPUT, "'%s' object can't be sliced", jinja_type_name(obj));
  if (obj.type == JINJA_STRING && jinja_spend_bytes(run, obj.string->len) < 0) return TPO_E_INPUT;
  size_t n = obj.type == JINJA_STRING ? jinja_length(obj.string) : obj.list->n;
  if (want_bounds(run, begin, end, step, n, &bounds) < 0) return TPO_E_INPUT;
  return obj.type == JINJA_STRING ? slice_string(run, obj.string, &bounds, out)
                                  : slice_list(run, obj, &bounds, out);
}

/* Of a Markup too, plain strings. */
static int iterate_string(struct jinja_run *run, const struct jinja_string *from, struct jinja_value *out)
{
  struct jinja_string plain = *from, *s = &plain;
  plain.markup = false;
  if (jinja_spend(run, s->len) < 0 || jinja_list_new(run, JINJA_LIST, jinja_length(s), out) < 0)
    return TPO_E_INPUT;
  for (size_t at = 0; at < s->len;) {
    size_t begin = at;
    struct jinja_value item;
    jinja_next(s, &at);
    if (jinja_substring(run, s, begin, at, &item) < 0 || jinja_list_push(run, out->list, item) < 0)
      return TPO_E_INPUT;
  }
  return 0;
}

static int iterate_keys(struct jinja_run *run, const struct jinja_dict *dict, struct jinja_value *out)
{
  if (jinja_list_new(run, JINJA_LIST, dict->n, out) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < dict->n; i++)
    if (jinja_list_push(run, out->list, dict->keys[i]) < 0) return TPO_E_INPUT;
  return 0;
}

static int iterate_list(struct jinja_run *run, struct jinja_list *list, struct jinja_value *out)
{
  struct jinja_list *plain = jinja_alloc(run, sizeof *plain);
  if (!plain) return TPO_E_INPUT;
  *plain = *list;
  plain->kind = JINJA_PLAIN_LIST;
  plain->capacity = plain->n; /* who adds to it doesn't write behind the original's items */
  if (list->kind == JINJA_GENERATOR) list->n = 0;
  *out = (struct jinja_value){.type = JINJA_LIST, .list = plain};
  return 0;
}

int jinja_iterate(struct jinja_run *run, struct jinja_value v, struct jinja_value *out)
{
  switch (v.type) {
  case JINJA_UNDEFINED: return jinja_list_new(run, JINJA_LIST, 0, out);
  case JINJA_STRING: return iterate_string(run, v.string, out);
  case JINJA_LIST:
    if (v.list->kind != JINJA_PLAIN_LIST) return iterate_list(run, v.list, out);
    *out = v;
    return 0;
  case JINJA_TUPLE: return iterate_list(run, v.list, out);
  case JINJA_DICT: return iterate_keys(run, v.dict, out);
  default: return jinja_fail(run, TPO_E_INPUT, "'%s' object is not iterable", jinja_type_name(v));
  }
}
