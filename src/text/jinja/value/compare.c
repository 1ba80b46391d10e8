/* Equality, order, containment and hashes, as Python has them. */
#include <math.h>
#include <string.h>
#include "text/jinja/builtin/builtins.h"

enum { UNORDERED = 2 }; /* a NaN is on one side */

bool jinja_is_number(struct jinja_value v)
{
  return v.type == JINJA_BOOL || v.type == JINJA_INT || v.type == JINJA_FLOAT;
}

bool jinja_is_integer(struct jinja_value v, int64_t *out)
{
  if (v.type == JINJA_BOOL) *out = v.truth;
  if (v.type == JINJA_INT) *out = v.integer;
  return v.type == JINJA_BOOL || v.type == JINJA_INT;
}

/* -1, 0, 1 or UNORDERED. Exact: a double of 2^53 and more is not what an integer beside it rounds to. */
static int order_int_double(int64_t i, double x)
{
  if (isnan(x)) return UNORDERED;
  if (x >= 0x1p63) return -1;
  if (x < -0x1p63) return 1;
  int64_t whole = (int64_t)x;
  if (i != whole) return i < whole ? -1 : 1;
  double rest = x - (double)whole;
  return rest > 0 ? -1 : rest < 0;
}

static int order_numbers(struct jinja_value a, struct jinja_value b)
{
  int64_t i = 0, j = 0;
  bool a_whole = jinja_is_integer(a, &i), b_whole = jinja_is_integer(b, &j);
  if (a_whole && b_whole) return (i > j) - (i < j);
  if (a_whole) return order_int_double(i, b.real);
  if (b_whole) {
    int order = order_int_double(j, a.real);
    return order == UNORDERED ? UNORDERED : -order;
  }
  if (isnan(a.real) || isnan(b.real)) return UNORDERED;
  return (a.real > b.real) - (a.real < b.real);
}

/* UTF-8's bytes are in the order of code points. */
static int order_strings(const struct jinja_string *a, const struct jinja_string *b)
{
  size_t len = a->len < b->len ? a->len : b->len;
  int order = len ? memcmp(a->bytes, b->bytes, len) : 0;
  if (order != 0) return order < 0 ? -1 : 1;
  return (a->len > b->len) - (a->len < b->len);
}

static bool equal_rows(const struct jinja_list *a, const struct jinja_list *b)
{
  if (a->n != b->n) return false;
  for (size_t i = 0; i < a->n; i++)
    if (!jinja_equal(a->items[i], b->items[i])) return false;
  return true;
}

static bool holds(const struct jinja_list *list, struct jinja_value item)
{
  for (size_t i = 0; i < list->n; i++)
    if (jinja_equal(list->items[i], item)) return true;
  return false;
}

static bool equal_lists(const struct jinja_list *a, const struct jinja_list *b)
{
  if (a == b) return true;
  bool a_set = a->kind == JINJA_KEYS || a->kind == JINJA_ITEMS,
       b_set = b->kind == JINJA_KEYS || b->kind == JINJA_ITEMS;
  if (a_set && b_set) { /* views of keys and items compare as sets */
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
      if (!holds(b, a->items[i])) return false;
    return true;
  }
  return a->kind == b->kind && (a->kind == JINJA_PLAIN_LIST || a->kind == JINJA_RANGE) && equal_rows(a, b);
}

static bool equal_dicts(const struct jinja_dict *a, const struct jinja_dict *b)
{
  if (a->n != b->n) return false;
  for (size_t i = 0; i < a->n; i++) {
    struct jinja_value other;
    if (!jinja_dict_get(b, a->keys[i], &other) || !jinja_equal(a->values[i], other)) return false;
  }
  return true;
}

bool jinja_equal(struct jinja_value a, struct jinja_value b)
{
  if (jinja_is_number(a) && jinja_is_number(b)) return order_numbers(a, b) == 0;
  if (a.type != b.type) return false;
  switch (a.type) {
  case JINJA_STRING: return a.string->len == b.string->len && order_strings(a.string, b.string) == 0;
  case JINJA_LIST: return equal_lists(a.list, b.list);
  case JINJA_TUPLE: return equal_rows(a.list, b.list);
  case JINJA_DICT: return a.dict == b.dict || equal_dicts(a.dict, b.dict);
  case JINJA_NAMESPACE: return a.dict == b.dict;
  case JINJA_CALLABLE: return a.callable == b.callable;
  case JINJA_LOOP: return a.loop == b.loop;
  default: return true; /* None, undefined */
  }
}

/* Views of sets are compared each with each. */
static size_t cost_of(struct jinja_value a, struct jinja_value b)
{
  size_t i = jinja_weight(a), j = jinja_weight(b), cost;
  if (a.type != b.type) return 1;
  if (a.type != JINJA_LIST || a.list->kind == JINJA_PLAIN_LIST) return i < j ? i : j;
  return __builtin_mul_overflow(i, j, &cost) ? SIZE_MAX : cost;
}

int jinja_same(struct jinja_run *run, struct jinja_value a, struct jinja_value b, bool *out)
{
  if (jinja_spend(run, cost_of(a, b)) < 0) return TPO_E_INPUT;
  *out = jinja_equal(a, b);
  return 0;
}

static uint64_t mix(uint64_t hash)
{
  hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdu;
  return hash ^ hash >> 33;
}

static uint64_t hash_double(double x)
{
  uint64_t bits;
  if (x >= -0x1p63 && x < 0x1p63 && x == floor(x)) return mix((uint64_t)(int64_t)x);
  memcpy(&bits, &x, sizeof bits);
  return mix(bits);
}

uint64_t jinja_hash(struct jinja_value v)
{
  int64_t whole;
  uint64_t hash = 14695981039346656037u;
  if (jinja_is_integer(v, &whole)) return mix((uint64_t)whole);
  switch (v.type) {
  case JINJA_FLOAT: return hash_double(v.real);
  case JINJA_STRING:
    for (size_t i = 0; i < v.string->len; i++) hash = (hash ^ (uint8_t)v.string->bytes[i]) * 1099511628211u;
    return mix(hash);
  case JINJA_TUPLE:
    for (size_t i = 0; i < v.list->n; i++) hash = mix(hash ^ jinja_hash(v.list->items[i])) * 3;
    return hash;
  default: return hash + v.type;
  }
}

static int no_order(struct jinja_run *run, const char *op, struct jinja_value a, struct jinja_value b)
{
  if (a.type == JINJA_UNDEFINED) return jinja_fail_undefined(run, a);
  if (b.type == JINJA_UNDEFINED) return jinja_fail_undefined(run, b);
  return jinja_fail(run, TPO_E_INPUT, "'%s' not supported between instances of '%s' and '%s'", op,
                    jinja_type_name(a), jinja_type_name(b));
}

/* The first pair that differs decides, else the lengths. */
static int order_rows(struct jinja_run *run, const char *op, const struct jinja_list *a,
                      const struct jinja_list *b, int *out)
{
  size_t n = a->n < b->n ? a->n : b->n;
  for (size_t i = 0; i < n; i++)
    if (!jinja_equal(a->items[i], b->items[i])) return jinja_order(run, op, a->items[i], b->items[i], out);
  *out = (a->n > b->n) - (a->n < b->n);
  return 0;
}

int jinja_order(struct jinja_run *run, const char *op, struct jinja_value a, struct jinja_value b, int *out)
{
  if (jinja_spend(run, 1 + cost_of(a, b)) < 0) return TPO_E_INPUT;
  bool lists = a.type == JINJA_LIST && b.type == JINJA_LIST && a.list->kind == JINJA_PLAIN_LIST &&
               b.list->kind == JINJA_PLAIN_LIST;
  if (jinja_is_number(a) && jinja_is_number(b))
    *out = order_numbers(a, b);
  else if (a.type == JINJA_STRING && b.type == JINJA_STRING)
    *out = order_strings(a.string, b.string);
  else if (lists || (a.type == JINJA_TUPLE && b.type == JINJA_TUPLE))
    return order_rows(run, op, a.list, b.list, out);
  else
    return no_order(run, op, a, b);
  return 0;
}

bool jinja_find_bytes(const char *text, size_t len, const char *part, size_t part_len, size_t *at)
{
  const char *found = part_len == 0 ? text : part_len > len ? NULL : memmem(text, len, part, part_len);
  if (found && at) *at = (size_t)(found - text);
  return found != NULL;
}

/* A generator is emptied up to what was looked for. */
static int row_contains(struct jinja_run *run, struct jinja_list *list, struct jinja_value item, bool *out)
{
  size_t i = 0;
  for (*out = false; i < list->n && !*out; i++)
    if (jinja_same(run, list->items[i], item, out) < 0) return TPO_E_INPUT;
  if (list->kind == JINJA_GENERATOR && i > 0) list->items += i, list->n -= i;
  return 0;
}

static int contains(struct jinja_run *run, struct jinja_value item, struct jinja_value in, bool *out)
{
  struct jinja_value ignored;
  switch (in.type) {
  case JINJA_UNDEFINED: *out = false; return 0;
  case JINJA_STRING:
    if (item.type != JINJA_STRING)
      return jinja_fail(run, TPO_E_INPUT, "'in <string>' requires string as left operand, not %s",
                        jinja_type_name(item));
    *out = jinja_find_bytes(in.string->bytes, in.string->len, item.string->bytes, item.string->len, NULL);
    return jinja_spend_bytes(run, in.string->len);
  case JINJA_LIST:
  case JINJA_TUPLE: return row_contains(run, in.list, item, out);
  case JINJA_DICT:
    if (jinja_check_key(run, item) < 0) return TPO_E_INPUT;
    *out = jinja_dict_get(in.dict, item, &ignored);
    return 0;
  default: return jinja_fail(run, TPO_E_INPUT, "argument of type '%s' is not iterable", jinja_type_name(in));
  }
}

int jinja_compare(struct jinja_run *run, const char *op, struct jinja_value a, struct jinja_value b,
                  bool *out)
{
  bool negated = op[0] == '!' || op[0] == 'n';
  if (strcmp(op, "==") == 0 || strcmp(op, "!=") == 0) {
    if (jinja_same(run, a, b, out) < 0) return TPO_E_INPUT;
  } else if (strcmp(op, "in") == 0 || strcmp(op, "not in") == 0) {
    if (contains(run, a, b, out) < 0) return TPO_E_INPUT;
  } else {
    int order;
    if (jinja_order(run, op, a, b, &order) < 0) return TPO_E_INPUT;
    *out = order != UNORDERED && ((op[0] == '<' ? order < 0 : order > 0) || (op[1] == '=' && order == 0));
  }
  if (negated) *out = !*out;
  return 0;
}
