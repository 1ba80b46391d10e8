/* Filters that order items by a key: sort, dictsort, groupby, unique, min, max. */
#include <string.h>
#include "text/jinja/builtin/filters.h"

struct keyed {
  struct jinja_value key, item;
};

static int ignore_case(struct jinja_run *run, bool case_sensitive, struct jinja_value *key)
{
  if (case_sensitive || key->type != JINJA_STRING) return 0;
  return jinja_convert_case(run, key->string, JINJA_LOWER, key);
}

/* a stays before b unless b is less, or the other way round where the order is. */
static int goes_first(struct jinja_run *run, const struct keyed *a, const struct keyed *b, bool reverse,
                      bool *first)
{
  int order;
  struct jinja_value left = reverse ? a->key : b->key, right = reverse ? b->key : a->key;
  if (jinja_order(run, "<", left, right, &order) < 0) return TPO_E_INPUT;
  *first = order != -1;
  return 0;
}

/* Merges [begin, middle) and [middle, end) of from into to. */
static int merge(struct jinja_run *run, const struct keyed *from, struct keyed *to, size_t begin,
                 size_t middle, size_t end, bool reverse)
{
  size_t i = begin, j = middle;
  for (size_t k = begin; k < end; k++) {
    bool first = j == end;
    if (i < middle && j < end && goes_first(run, &from[i], &from[j], reverse, &first) < 0) return TPO_E_INPUT;
    to[k] = i < middle && first ? from[i++] : from[j++];
  }
  return 0;
}

/* Stable, also in reverse, as Python's is. */
static int sort(struct jinja_run *run, struct keyed **items, size_t n, bool reverse)
{
  struct keyed *from = *items, *to = jinja_alloc(run, (n + 1) * sizeof *to);
  if (!to) return TPO_E_INPUT;
  for (size_t width = 1; width < n; width *= 2) {
    for (size_t begin = 0; begin < n; begin += 2 * width) {
      size_t middle = begin + width < n ? begin + width : n, end = middle + width < n ? middle + width : n;
      if (merge(run, from, to, begin, middle, end, reverse) < 0) return TPO_E_INPUT;
    }
    struct keyed *swap = from;
    from = to;
    to = swap;
  }
  *items = from;
  return 0;
}

/* Python takes an integer for `reverse`, not whatever is true. */
static int want_reverse(struct jinja_run *run, const char *filter, struct jinja_value v, bool *out)
{
  int64_t reverse = 0;
  if (jinja_want_int(run, filter, v, &reverse) < 0) return TPO_E_INPUT;
  *out = reverse != 0;
  return 0;
}

/* "a,b": the key is a list of each path's value. */
static int several_keys(struct jinja_run *run, struct jinja_value item, struct jinja_value paths,
                        bool case_sensitive, struct jinja_value *out)
{
  const struct jinja_string *s = paths.type == JINJA_STRING ? paths.string : NULL;
  if (jinja_list_new(run, JINJA_LIST, 1, out) < 0) return TPO_E_INPUT;
  for (size_t begin = 0; s ? begin <= s->len : begin == 0;) {
    const char *comma = s ? memchr(s->bytes + begin, ',', s->len - begin) : NULL;
    size_t end = s ? comma ? (size_t)(comma - s->bytes) : s->len : 0;
    struct jinja_value path = paths, key;
    if (s && jinja_substring(run, s, begin, end, &path) < 0) return TPO_E_INPUT;
    if (jinja_path(run, item, path, jinja_none(), &key) < 0 || ignore_case(run, case_sensitive, &key) < 0 ||
        jinja_list_push(run, out->list, key) < 0)
      return TPO_E_INPUT;
    begin = end + 1;
  }
  return 0;
}

static int make_keyed(struct jinja_run *run, const struct jinja_list *row, struct keyed **out)
{
  if (jinja_spend(run, row->n) < 0 || !(*out = jinja_alloc(run, (row->n + 1) * sizeof **out)))
    return TPO_E_INPUT;
  for (size_t i = 0; i < row->n; i++) (*out)[i].item = row->items[i];
  return 0;
}

static int push_sorted(struct jinja_run *run, const struct keyed *items, size_t n, struct jinja_value *out)
{
  if (jinja_list_new(run, JINJA_LIST, n, out) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < n; i++)
    if (jinja_list_push(run, out->list, items[i].item) < 0) return TPO_E_INPUT;
  return 0;
}

static int filter_sort(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  static const char *const names[] = {"value", "reverse", "case_sensitive", "attribute"};
  struct jinja_value a[4] = {jinja_none(), jinja_bool(false), jinja_bool(false), jinja_none()}, row;
  struct keyed *items;
  bool reverse;
  if (jinja_bind(run, "sort", args, names, 4, 1, a) < 0 || want_reverse(run, "sort", a[1], &reverse) < 0 ||
      jinja_iterate(run, a[0], &row) < 0 || make_keyed(run, row.list, &items) < 0)
    return TPO_E_INPUT;
  for (size_t i = 0; i < row.list->n; i++)
    if (several_keys(run, items[i].item, a[3], jinja_truthy(a[2]), &items[i].key) < 0) return TPO_E_INPUT;
  if (sort(run, &items, row.list->n, reverse) < 0) return TPO_E_INPUT;
  return push_sorted(run, items, row.list->n, out);
}

static int want_by(struct jinja_run *run, struct jinja_value by, size_t *position)
{
  const struct jinja_string *s;
  if (jinja_want_string(run, "dictsort", by, &s) < 0) return TPO_E_INPUT;
  *position = strcmp(s->bytes, "value") == 0;
  if (*position || strcmp(s->bytes, "key") == 0) return 0;
  return jinja_fail(run, TPO_E_INPUT, "You can only sort by either \"key\" or \"value\"");
}

static int filter_dictsort(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  static const char *const names[] = {"value", "case_sensitive", "by", "reverse"};
  struct jinja_value a[4] = {jinja_none(), jinja_bool(false), jinja_none(), jinja_bool(false)}, row;
  struct keyed *items;
  size_t position;
  bool reverse;
  if (jinja_string_new(run, "key", 3, 0, &a[2]) < 0 ||
      jinja_bind(run, "dictsort", args, names, 4, 1, a) < 0 || want_by(run, a[2], &position) < 0 ||
      want_reverse(run, "dictsort", a[3], &reverse) < 0)
    return TPO_E_INPUT;
  if (a[0].type == JINJA_UNDEFINED) return jinja_fail_undefined(run, a[0]);
  if (a[0].type != JINJA_DICT)
    return jinja_fail(run, TPO_E_INPUT, "'%s' object has no attribute 'items'", jinja_type_name(a[0]));
  if (jinja_dict_view(run, a[0].dict, JINJA_PLAIN_LIST, &row) < 0 || make_keyed(run, row.list, &items) < 0)
    return TPO_E_INPUT;
  for (size_t i = 0; i < row.list->n; i++) {
    items[i].key = items[i].item.list->items[position];
    if (ignore_case(run, jinja_truthy(a[1]), &items[i].key) < 0) return TPO_E_INPUT;
  }
  if (sort(run, &items, row.list->n, reverse) < 0) return TPO_E_INPUT;
  return push_sorted(run, items, row.list->n, out);
}

static int sort_dict(struct jinja_run *run, const struct jinja_dict *dict, struct jinja_value *out)
{
  struct jinja_value pairs, value;
  struct keyed *items;
  if (jinja_dict_new(run, out) < 0 || jinja_dict_view(run, dict, JINJA_PLAIN_LIST, &pairs) < 0 ||
      make_keyed(run, pairs.list, &items) < 0)
    return TPO_E_INPUT;
  for (size_t i = 0; i < dict->n; i++) items[i].key = dict->keys[i];
  if (sort(run, &items, dict->n, false) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < dict->n; i++)
    if (jinja_sort_dicts(run, items[i].item.list->items[1], &value) < 0 ||
        jinja_dict_put(run, out->dict, items[i].key, value) < 0)
      return TPO_E_INPUT;
  return 0;
}

int jinja_sort_dicts(struct jinja_run *run, struct jinja_value v, struct jinja_value *out)
{
  *out = v;
  if (v.type == JINJA_DICT) return sort_dict(run, v.dict, out);
  bool row = v.type == JINJA_TUPLE || (v.type == JINJA_LIST && v.list->kind == JINJA_PLAIN_LIST);
  if (!row) return 0;
  if (jinja_spend(run, 1) < 0 || jinja_list_new(run, v.type, v.list->n, out) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < v.list->n; i++) {
    struct jinja_value item;
    if (jinja_sort_dicts(run, v.list->items[i], &item) < 0 || jinja_list_push(run, out->list, item) < 0)
      return TPO_E_INPUT;
  }
  return 0;
}

/* The real key stands for a group, not its lower case: the first item's. */
static int push_group(struct jinja_run *run, const struct keyed *items, size_t n, struct jinja_value path,
                      struct jinja_value otherwise, struct jinja_value *out)
{
  static const char *const names[] = {"grouper", "list"};
  struct jinja_value group, key, list;
  if (jinja_list_new(run, JINJA_TUPLE, 2, &group) < 0 || push_sorted(run, items, n, &list) < 0 ||
      jinja_path(run, items[0].item, path, otherwise, &key) < 0 ||
      jinja_list_push(run, group.list, key) < 0 || jinja_list_push(run, group.list, list) < 0)
    return TPO_E_INPUT;
  group.list->names = names;
  return jinja_list_push(run, out->list, group);
}

static int filter_groupby(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  static const char *const names[] = {"value", "attribute", "default", "case_sensitive"};
  struct jinja_value a[4] = {jinja_none(), jinja_none(), jinja_none(), jinja_bool(false)}, row;
  struct keyed *items;
  if (jinja_bind(run, "groupby", args, names, 4, 2, a) < 0 || jinja_iterate(run, a[0], &row) < 0 ||
      make_keyed(run, row.list, &items) < 0 || jinja_list_new(run, JINJA_LIST, 0, out) < 0)
    return TPO_E_INPUT;
  for (size_t i = 0; i < row.list->n; i++)
    if (jinja_path(run, items[i].item, a[1], a[2], &items[i].key) < 0 ||
        ignore_case(run, jinja_truthy(a[3]), &items[i].key) < 0)
      return TPO_E_INPUT;
  if (sort(run, &items, row.list->n, false) < 0) return TPO_E_INPUT;
  for (size_t begin = 0, end; begin < row.list->n; begin = end) {
    bool same = true;
    for (end = begin + 1; end < row.list->n; end++) {
      if (jinja_same(run, items[begin].key, items[end].key, &same) < 0) return TPO_E_INPUT;
      if (!same) break;
    }
    if (push_group(run, items + begin, end - begin, a[1], a[2], out) < 0) return TPO_E_INPUT;
  }
  return 0;
}

static int bind_by_attribute(struct jinja_run *run, const char *name, const struct jinja_args *args,
                             struct jinja_value a[3], struct jinja_value *row)
{
  static const char *const names[] = {"value", "case_sensitive", "attribute"};
  a[1] = jinja_bool(false);
  a[2] = jinja_none();
  if (jinja_bind(run, name, args, names, 3, 1, a) < 0) return TPO_E_INPUT;
  return jinja_iterate(run, a[0], row);
}

static int filter_unique(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  struct jinja_value a[3], row, seen, key;
  if (bind_by_attribute(run, "unique", args, a, &row) < 0 || jinja_dict_new(run, &seen) < 0 ||
      jinja_list_of_kind(run, JINJA_GENERATOR, 0, out) < 0)
    return TPO_E_INPUT;
  for (size_t i = 0; i < row.list->n; i++) {
    size_t known = seen.dict->n;
    if (jinja_path(run, row.list->items[i], a[2], jinja_none(), &key) < 0 ||
        ignore_case(run, jinja_truthy(a[1]), &key) < 0 ||
        jinja_dict_put(run, seen.dict, key, jinja_none()) < 0)
      return TPO_E_INPUT;
    if (seen.dict->n > known && jinja_list_push(run, out->list, row.list->items[i]) < 0) return TPO_E_INPUT;
  }
  return 0;
}

static int extreme(struct jinja_run *run, const char *name, const char *op, const struct jinja_args *args,
                   struct jinja_value *out)
{
  struct jinja_value a[3], row, best = {0}, key;
  if (bind_by_attribute(run, name, args, a, &row) < 0) return TPO_E_INPUT;
  *out = jinja_undefined("No aggregated item, sequence was empty.");
  for (size_t i = 0; i < row.list->n; i++) {
    int order = *op == '<' ? -1 : 1;
    if (jinja_path(run, row.list->items[i], a[2], jinja_none(), &key) < 0 ||
        ignore_case(run, jinja_truthy(a[1]), &key) < 0)
      return TPO_E_INPUT;
    if (i > 0 && jinja_order(run, op, key, best, &order) < 0) return TPO_E_INPUT;
    if (order != (*op == '<' ? -1 : 1)) continue;
    best = key;
    *out = row.list->items[i];
  }
  return 0;
}

static int filter_min(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  return extreme(run, "min", "<", args, out);
}

static int filter_max(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  return extreme(run, "max", ">", args, out);
}

jinja_function jinja_find_sort_filter(const char *name)
{
  static const struct jinja_filter_row rows[] = {{"sort", filter_sort},       {"dictsort", filter_dictsort},
                                                 {"groupby", filter_groupby}, {"unique", filter_unique},
                                                 {"min", filter_min},         {"max", filter_max}};
  return JINJA_FIND(rows, name);
}
