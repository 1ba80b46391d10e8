/* Filters that take rows of values apart and put them together. */
#include <string.h>
#include "text/jinja/builtin/filters.h"

#define FILTER(name)                                                                                         \
  static int name(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)

static int value_alone(struct jinja_run *run, const char *function, const struct jinja_args *args,
                       struct jinja_value *v)
{
  static const char *const names[] = {"value"};
  return jinja_bind(run, function, args, names, 1, 1, v);
}

FILTER(filter_length)
{
  struct jinja_value v;
  if (value_alone(run, "length", args, &v) < 0) return TPO_E_INPUT;
  bool row = v.type == JINJA_TUPLE || (v.type == JINJA_LIST && v.list->kind != JINJA_GENERATOR);
  if (v.type == JINJA_STRING && jinja_spend_bytes(run, v.string->len) < 0) return TPO_E_INPUT;
  if (row)
    *out = jinja_int((int64_t)v.list->n);
  else if (v.type == JINJA_DICT)
    *out = jinja_int((int64_t)v.dict->n);
  else if (v.type == JINJA_STRING)
    *out = jinja_int((int64_t)jinja_length(v.string));
  else if (v.type == JINJA_UNDEFINED)
    *out = jinja_int(0);
  else
    return jinja_fail(run, TPO_E_INPUT, "object of type '%s' has no len()", jinja_type_name(v));
  return 0;
}

/* The first code point alone, without making all the others. */
static int first_of_string(struct jinja_run *run, const struct jinja_string *s, struct jinja_value *out)
{
  size_t end = 0;
  if (s->len > 0) jinja_next(s, &end);
  return jinja_substring(run, s, 0, end, out);
}

FILTER(filter_first)
{
  struct jinja_value v, row;
  if (value_alone(run, "first", args, &v) < 0) return TPO_E_INPUT;
  if (v.type == JINJA_STRING && v.string->len > 0) return first_of_string(run, v.string, out);
  bool generator = v.type == JINJA_LIST && v.list->kind == JINJA_GENERATOR;
  if (generator && v.list->n > 0) {
    *out = *v.list->items++;
    v.list->n--;
    return 0;
  }
  if (jinja_iterate(run, v, &row) < 0) return TPO_E_INPUT;
  *out = row.list->n ? row.list->items[0] : jinja_undefined("No first item, sequence was empty.");
  return 0;
}

FILTER(filter_last)
{
  struct jinja_value v, row;
  if (value_alone(run, "last", args, &v) < 0) return TPO_E_INPUT;
  if (v.type == JINJA_LIST && v.list->kind == JINJA_GENERATOR)
    return jinja_fail(run, TPO_E_INPUT, "'generator' object is not reversible");
  if (v.type == JINJA_STRING && v.string->len > 0)
    return jinja_substring(run, v.string, jinja_previous(v.string, v.string->len), v.string->len, out);
  if (jinja_iterate(run, v, &row) < 0) return TPO_E_INPUT;
  *out =
      row.list->n ? row.list->items[row.list->n - 1] : jinja_undefined("No last item, sequence was empty.");
  return 0;
}

static int copy_row(struct jinja_run *run, const struct jinja_list *from, size_t begin, size_t end,
                    enum jinja_list_kind kind, struct jinja_value *out)
{
  if (jinja_list_of_kind(run, kind, end - begin, out) < 0) return TPO_E_INPUT;
  for (size_t i = begin; i < end; i++)
    if (jinja_list_push(run, out->list, from->items[i]) < 0) return TPO_E_INPUT;
  return 0;
}

FILTER(filter_list)
{
  struct jinja_value v;
  if (value_alone(run, "list", args, &v) < 0) return TPO_E_INPUT;
  return jinja_iterate(run, v, out);
}

FILTER(filter_items)
{
  struct jinja_value v;
  if (value_alone(run, "items", args, &v) < 0) return TPO_E_INPUT;
  if (v.type == JINJA_UNDEFINED) return jinja_list_of_kind(run, JINJA_GENERATOR, 0, out);
  if (v.type != JINJA_DICT) return jinja_fail(run, TPO_E_INPUT, "Can only get item pairs from a mapping.");
  return jinja_dict_view(run, v.dict, JINJA_GENERATOR, out);
}

static int reverse_string(struct jinja_run *run, const struct jinja_string *s, struct jinja_value *out)
{
  struct jinja_builder b = {.run = run};
  for (size_t at = s->len; at > 0;) {
    size_t begin = jinja_previous(s, at);
    jinja_build_slice(&b, s, begin, at);
    at = begin;
  }
  return jinja_build_end_like(&b, s, out);
}

FILTER(filter_reverse)
{
  struct jinja_value v, row;
  if (value_alone(run, "reverse", args, &v) < 0) return TPO_E_INPUT;
  if (v.type == JINJA_STRING) return reverse_string(run, v.string, out);
  bool generator = v.type == JINJA_LIST && v.list->kind == JINJA_GENERATOR;
  if (jinja_iterate(run, v, &row) < 0 || jinja_spend(run, row.list->n) < 0 ||
      jinja_list_of_kind(run, generator ? JINJA_PLAIN_LIST : JINJA_GENERATOR, row.list->n, out) < 0)
    return TPO_E_INPUT;
  for (size_t i = row.list->n; i-- > 0;)
    if (jinja_list_push(run, out->list, row.list->items[i]) < 0) return TPO_E_INPUT;
  return 0;
}

FILTER(filter_join)
{
  static const char *const names[] = {"value", "d", "attribute"};
  struct jinja_value a[3] = {jinja_none(), jinja_none(), jinja_none()}, row, between, item;
  struct jinja_builder b = {.run = run};
  if (jinja_string_new(run, "", 0, 0, &a[1]) < 0 || jinja_bind(run, "join", args, names, 3, 1, a) < 0 ||
      jinja_str(run, a[1], &between) < 0 || jinja_iterate(run, a[0], &row) < 0 ||
      jinja_spend(run, row.list->n) < 0)
    return TPO_E_INPUT;
  for (size_t i = 0; i < row.list->n; i++) {
    if (i > 0) jinja_build_string(&b, between.string);
    if (jinja_path(run, row.list->items[i], a[2], jinja_none(), &item) < 0) return TPO_E_INPUT;
    jinja_build_value(&b, item);
  }
  return jinja_build_end(&b, out);
}

FILTER(filter_batch)
{
  static const char *const names[] = {"value", "linecount", "fill_with"};
  struct jinja_value a[3] = {jinja_none(), jinja_none(), jinja_none()}, row, line;
  int64_t count;
  if (jinja_bind(run, "batch", args, names, 3, 2, a) < 0 || jinja_want_int(run, "batch", a[1], &count) < 0 ||
      jinja_iterate(run, a[0], &row) < 0 || jinja_list_of_kind(run, JINJA_GENERATOR, 0, out) < 0)
    return TPO_E_INPUT;
  if (count < 1)
    return jinja_fail(run, TPO_E_UNSUPPORTED,
                      "the filter batch with fewer than one item a row is not supported");
  for (size_t begin = 0; begin < row.list->n; begin += (size_t)count) {
    bool whole = row.list->n - begin >= (size_t)count;
    size_t end = whole ? begin + (size_t)count : row.list->n;
    if (copy_row(run, row.list, begin, end, JINJA_PLAIN_LIST, &line) < 0) return TPO_E_INPUT;
    while (a[2].type != JINJA_NONE && line.list->n < (size_t)count)
      if (jinja_list_push(run, line.list, a[2]) < 0) return TPO_E_INPUT;
    if (jinja_list_push(run, out->list, line) < 0) return TPO_E_INPUT;
    if (!whole) break;
  }
  return 0;
}

FILTER(filter_slice)
{
  static const char *const names[] = {"value", "slices", "fill_with"};
  struct jinja_value a[3] = {jinja_none(), jinja_none(), jinja_none()}, row, part;
  int64_t slices;
  if (jinja_bind(run, "slice", args, names, 3, 2, a) < 0 || jinja_want_int(run, "slice", a[1], &slices) < 0 ||
      jinja_iterate(run, a[0], &row) < 0 || jinja_list_of_kind(run, JINJA_GENERATOR, 0, out) < 0)
    return TPO_E_INPUT;
  if (slices == 0) return jinja_fail(run, TPO_E_INPUT, "slice: division by zero");
  if (slices < 0) slices = 0;
  size_t n = (size_t)slices, begin = 0;
  for (size_t i = 0; i < n; i++) {
    bool extra = i < row.list->n % n;
    size_t end = begin + row.list->n / n + extra;
    if (jinja_spend(run, 1) < 0 || copy_row(run, row.list, begin, end, JINJA_PLAIN_LIST, &part) < 0)
      return TPO_E_INPUT;
    if (a[2].type != JINJA_NONE && !extra && jinja_list_push(run, part.list, a[2]) < 0) return TPO_E_INPUT;
    if (jinja_list_push(run, out->list, part) < 0) return TPO_E_INPUT;
    begin = end;
  }
  return 0;
}

FILTER(filter_sum)
{
  static const char *const names[] = {"iterable", "attribute", "start"};
  struct jinja_value a[3] = {jinja_none(), jinja_none(), jinja_int(0)}, row, item;
  if (jinja_bind(run, "sum", args, names, 3, 1, a) < 0 || jinja_iterate(run, a[0], &row) < 0)
    return TPO_E_INPUT;
  if (a[2].type == JINJA_STRING) return jinja_fail(run, TPO_E_INPUT, "sum() can't sum strings");
  *out = a[2];
  for (size_t i = 0; i < row.list->n; i++) {
    if (jinja_spend(run, 1) < 0 || jinja_path(run, row.list->items[i], a[1], jinja_none(), &item) < 0 ||
        jinja_binary(run, "+", *out, item, out) < 0)
      return TPO_E_INPUT;
  }
  return 0;
}

jinja_function jinja_find_sequence_filter(const char *name)
{
  static const struct jinja_filter_row rows[] = {
      {"length", filter_length}, {"count", filter_length},    {"first", filter_first},
      {"last", filter_last},     {"list", filter_list},       {"items", filter_items},
      {"join", filter_join},     {"reverse", filter_reverse}, {"batch", filter_batch},
      {"slice", filter_slice},   {"sum", filter_sum}};
  return JINJA_FIND(rows, name);
}
