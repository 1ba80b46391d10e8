/* jinja2's tests: `x is name`. */
#include <string.h>
#include "text/jinja/builtin/filters.h"

#define TEST(name)                                                                                           \
  static int name(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)

static int value_alone(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *v)
{
  static const char *const names[] = {"value"};
  return jinja_bind(run, "a test", args, names, 1, 1, v);
}

static int two_values(struct jinja_run *run, const struct jinja_args *args, struct jinja_value v[2])
{
  static const char *const names[] = {"value", "other"};
  return jinja_bind(run, "a test", args, names, 2, 2, v);
}

/* A test of a value alone that can't fail. */
#define SIMPLE(name, condition)                                                                              \
  TEST(name)                                                                                                 \
  {                                                                                                          \
    struct jinja_value v;                                                                                    \
    if (value_alone(run, args, &v) < 0) return TPO_E_INPUT;                                                  \
    *out = jinja_bool(condition);                                                                            \
    return 0;                                                                                                \
  }

static bool is_sequence(struct jinja_value v)
{
  if (v.type == JINJA_LIST) return v.list->kind == JINJA_PLAIN_LIST || v.list->kind == JINJA_RANGE;
  return v.type == JINJA_STRING || v.type == JINJA_TUPLE || v.type == JINJA_DICT || v.type == JINJA_UNDEFINED;
}

static bool is_iterable(struct jinja_value v)
{
  return v.type == JINJA_LIST || v.type == JINJA_LOOP || is_sequence(v);
}

static bool is_callable(struct jinja_value v)
{
  return v.type == JINJA_CALLABLE || v.type == JINJA_LOOP || v.type == JINJA_UNDEFINED;
}

SIMPLE(test_defined, v.type != JINJA_UNDEFINED)
SIMPLE(test_undefined, v.type == JINJA_UNDEFINED)
SIMPLE(test_none, v.type == JINJA_NONE)
SIMPLE(test_boolean, v.type == JINJA_BOOL)
SIMPLE(test_true, v.type == JINJA_BOOL && v.truth)
SIMPLE(test_false, v.type == JINJA_BOOL && !v.truth)
SIMPLE(test_integer, v.type == JINJA_INT)
SIMPLE(test_float, v.type == JINJA_FLOAT)
SIMPLE(test_number, jinja_is_number(v))
SIMPLE(test_string, v.type == JINJA_STRING)
SIMPLE(test_mapping, v.type == JINJA_DICT)
SIMPLE(test_sequence, is_sequence(v))
SIMPLE(test_iterable, is_iterable(v))
SIMPLE(test_callable, is_callable(v))
SIMPLE(test_escaped, v.type == JINJA_STRING && v.string->markup)

static int remainder_is(struct jinja_run *run, struct jinja_value v, struct jinja_value by, int64_t what,
                        struct jinja_value *out)
{
  struct jinja_value rest;
  if (jinja_binary(run, "%", v, by, &rest) < 0) return TPO_E_INPUT;
  *out = jinja_bool(jinja_equal(rest, jinja_int(what)));
  return 0;
}

TEST(test_odd)
{
  struct jinja_value v;
  return value_alone(run, args, &v) < 0 ? TPO_E_INPUT : remainder_is(run, v, jinja_int(2), 1, out);
}

TEST(test_even)
{
  struct jinja_value v;
  return value_alone(run, args, &v) < 0 ? TPO_E_INPUT : remainder_is(run, v, jinja_int(2), 0, out);
}

TEST(test_divisibleby)
{
  static const char *const names[] = {"value", "num"};
  struct jinja_value v[2];
  if (jinja_bind(run, "divisibleby", args, names, 2, 2, v) < 0) return TPO_E_INPUT;
  return remainder_is(run, v[0], v[1], 0, out);
}

/* str(value).islower() and isupper() */
static int one_case(struct jinja_run *run, const struct jinja_args *args, const char *method,
                    struct jinja_value *out)
{
  struct jinja_value v, text, call;
  bool found;
  if (value_alone(run, args, &v) < 0 || jinja_str(run, v, &text) < 0 ||
      jinja_method(run, text, method, &found, &call) < 0)
    return TPO_E_INPUT;
  return jinja_call(run, call, &(struct jinja_args){0}, out);
}

TEST(test_lower)
{
  return one_case(run, args, "islower", out);
}
TEST(test_upper)
{
  return one_case(run, args, "isupper", out);
}

/* Python's `is`: numbers and strings of one value are taken for one object. */
TEST(test_sameas)
{
  struct jinja_value v[2];
  if (two_values(run, args, v) < 0) return TPO_E_INPUT;
  bool row = v[0].type == JINJA_LIST || v[0].type == JINJA_TUPLE;
  bool same = v[0].type == v[1].type;
  if (same && row) same = v[0].list == v[1].list;
  if (same && v[0].type == JINJA_DICT) same = v[0].dict == v[1].dict;
  *out = jinja_bool(same && (row || jinja_equal(v[0], v[1])));
  return 0;
}

static int compare(struct jinja_run *run, const struct jinja_args *args, const char *op,
                   struct jinja_value *out)
{
  struct jinja_value v[2];
  bool result;
  if (two_values(run, args, v) < 0 || jinja_compare(run, op, v[0], v[1], &result) < 0) return TPO_E_INPUT;
  *out = jinja_bool(result);
  return 0;
}

TEST(test_eq)
{
  return compare(run, args, "==", out);
}
TEST(test_ne)
{
  return compare(run, args, "!=", out);
}
TEST(test_lt)
{
  return compare(run, args, "<", out);
}
TEST(test_le)
{
  return compare(run, args, "<=", out);
}
TEST(test_gt)
{
  return compare(run, args, ">", out);
}
TEST(test_ge)
{
  return compare(run, args, ">=", out);
}
TEST(test_in)
{
  return compare(run, args, "in", out);
}

static int is_known(struct jinja_run *run, const struct jinja_args *args,
                    jinja_function (*find)(const char *), struct jinja_value *out)
{
  struct jinja_value v;
  if (value_alone(run, args, &v) < 0 || jinja_check_key(run, v) < 0) return TPO_E_INPUT;
  *out = jinja_bool(v.type == JINJA_STRING && find(v.string->bytes) != NULL);
  return 0;
}

TEST(test_filter)
{
  return is_known(run, args, jinja_find_filter, out);
}
TEST(test_test)
{
  return is_known(run, args, jinja_find_test, out);
}

static const struct jinja_filter_row tests[] = {{"defined", test_defined},
                                                {"undefined", test_undefined},
                                                {"none", test_none},
                                                {"string", test_string},
                                                {"mapping", test_mapping},
                                                {"sequence", test_sequence},
                                                {"iterable", test_iterable},
                                                {"true", test_true},
                                                {"false", test_false},
                                                {"boolean", test_boolean},
                                                {"integer", test_integer},
                                                {"float", test_float},
                                                {"number", test_number},
                                                {"odd", test_odd},
                                                {"even", test_even},
                                                {"divisibleby", test_divisibleby},
                                                {"eq", test_eq},
                                                {"equalto", test_eq},
                                                {"==", test_eq},
                                                {"ne", test_ne},
                                                {"!=", test_ne},
                                                {"lt", test_lt},
                                                {"lessthan", test_lt},
                                                {"<", test_lt},
                                                {"le", test_le},
                                                {"<=", test_le},
                                                {"gt", test_gt},
                                                {"greaterthan", test_gt},
                                                {">", test_gt},
                                                {"ge", test_ge},
                                                {">=", test_ge},
                                                {"in", test_in},
                                                {"lower", test_lower},
                                                {"upper", test_upper},
                                                {"callable", test_callable},
                                                {"sameas", test_sameas},
                                                {"escaped", test_escaped},
                                                {"filter", test_filter},
                                                {"test", test_test}};

jinja_function jinja_find_test(const char *name)
{
  return JINJA_FIND(tests, name);
}
