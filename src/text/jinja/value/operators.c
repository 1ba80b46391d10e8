/* Arithmetic of Python's kind: integers of 64 bits, where more is an error, floats, strings, lists and
 * tuples. */
#include <math.h>
#include <string.h>
#include "text/jinja/builtin/builtins.h"

static int too_big(struct jinja_run *run, const char *op)
{
  return jinja_fail(run, TPO_E_UNSUPPORTED,
                    "the result of %s needs more than the 64 bits that integers have here", op);
}

static int no_operation(struct jinja_run *run, const char *op, struct jinja_value a, struct jinja_value b)
{
  if (a.type == JINJA_UNDEFINED) return jinja_fail_undefined(run, a);
  if (b.type == JINJA_UNDEFINED) return jinja_fail_undefined(run, b);
  bool joins = op[0] == '+' && (a.type == JINJA_STRING || a.type == JINJA_LIST || a.type == JINJA_TUPLE);
  if (joins)
    return jinja_fail(run, TPO_E_INPUT, "can only concatenate %s (not \"%s\") to %s", jinja_type_name(a),
                      jinja_type_name(b), jinja_type_name(a));
  return jinja_fail(run, TPO_E_INPUT, "unsupported operand type(s) for %s: '%s' and '%s'", op,
                    jinja_type_name(a), jinja_type_name(b));
}

static double to_real(struct jinja_value v)
{
  int64_t i;
  return jinja_is_integer(v, &i) ? (double)i : v.real;
}

static int power_int(struct jinja_run *run, int64_t base, int64_t exponent, int64_t *out)
{
  int64_t result = 1;
  for (;;) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) return too_big(run, "**");
    if (!(exponent >>= 1)) break;
    if (__builtin_mul_overflow(base, base, &base)) return too_big(run, "**");
  }
  *out = result;
  return 0;
}

static int power_real(struct jinja_run *run, double a, double b, struct jinja_value *out)
{
  if (a == 0 && b < 0) return jinja_fail(run, TPO_E_INPUT, "0.0 cannot be raised to a negative power");
  if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b))
    return jinja_fail(run, TPO_E_UNSUPPORTED,
                      "a root of a negative number is complex; there are no complex numbers here");
  double power = pow(a, b);
  if (isinf(power) && isfinite(a) && isfinite(b))
    return jinja_fail(run, TPO_E_INPUT, "the result of ** is too large for a float");
  *out = jinja_float(power);
  return 0;
}

/* Rounded towards minus infinity, as Python does. */
static int divide_int(struct jinja_run *run, const char *op, int64_t a, int64_t b, struct jinja_value *out)
{
  if (b == 0) return jinja_fail(run, TPO_E_INPUT, "%s: division by zero", op);
  if (op[0] == '/' && op[1] == '\0') {
    *out = jinja_float((double)((long double)a / (long double)b));
    return 0;
  }
  if (b == -1) {
    if (op[0] == '/' && a == INT64_MIN) return too_big(run, op);
    *out = jinja_int(op[0] == '/' ? -a : 0);
    return 0;
  }
  int64_t quotient = a / b, rest = a % b;
  if (rest != 0 && (rest < 0) != (b < 0)) quotient--, rest += b;
  *out = jinja_int(op[0] == '/' ? quotient : rest);
  return 0;
}

static int on_ints(struct jinja_run *run, const char *op, int64_t a, int64_t b, struct jinja_value *out)
{
  int64_t result = 0;
  bool over;
  if (strcmp(op, "**") == 0) {
    if (b < 0) return power_real(run, (double)a, (double)b, out);
    if (power_int(run, a, b, &result) < 0) return TPO_E_INPUT;
  } else if (op[0] == '/' || op[0] == '%') {
    return divide_int(run, op, a, b, out);
  } else {
    over = op[0] == '+'   ? __builtin_add_overflow(a, b, &result)
           : op[0] == '-' ? __builtin_sub_overflow(a, b, &result)
                          : __builtin_mul_overflow(a, b, &result);
    if (over) return too_big(run, op);
  }
  *out = jinja_int(result);
  return 0;
}

static double real_mod(double a, double b)
{
  double rest = fmod(a, b);
  if (rest == 0) return copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

static double real_floor_div(double a, double b)
{
  double rest = fmod(a, b), quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return copysign(0.0, a / b);
  double whole = floor(quotient);
  return quotient - whole > 0.5 ? whole + 1 : whole;
}

static int on_reals(struct jinja_run *run, const char *op, double a, double b, struct jinja_value *out)
{
  if (strcmp(op, "**") == 0) return power_real(run, a, b, out);
  if ((op[0] == '/' || op[0] == '%') && b == 0)
    return jinja_fail(run, TPO_E_INPUT, "%s: division by zero", op);
  *out = jinja_float(op[0] == '+'            ? a + b
                     : op[0] == '-'          ? a - b
                     : op[0] == '*'          ? a * b
                     : op[0] == '%'          ? real_mod(a, b)
                     : strcmp(op, "//") == 0 ? real_floor_div(a, b)
                                             : a / b);
  return 0;
}

static int add_strings(struct jinja_run *run, const struct jinja_string *a, const struct jinja_string *b,
                       struct jinja_value *out)
{
  struct jinja_builder text = {.run = run};
  const struct jinja_string *parts[] = {a, b};
  bool markup = a->markup || b->markup;
  jinja_build_reserve(&text, a->len + b->len);
  for (int i = 0; i < 2; i++) {
    if (markup && !parts[i]->markup)
      jinja_build_escaped(&text, parts[i]);
    else
      jinja_build_string(&text, parts[i]);
  }
  return jinja_build_end_like(&text, a->markup ? a : b, out);
}

static int add_lists(struct jinja_run *run, struct jinja_value a, struct jinja_value b,
                     struct jinja_value *out)
{
  const struct jinja_list *parts[] = {a.list, b.list};
  if (jinja_list_new(run, a.type, a.list->n + b.list->n, out) < 0) return TPO_E_INPUT;
  for (int i = 0; i < 2; i++)
    for (size_t k = 0; k < parts[i]->n; k++)
      if (jinja_list_push(run, out->list, parts[i]->items[k]) < 0) return TPO_E_INPUT;
  return 0;
}

static int repeat_list(struct jinja_run *run, struct jinja_value v, int64_t times, struct jinja_value *out)
{
  size_t n;
  if (times < 0) times = 0;
  if (__builtin_mul_overflow(v.list->n, (size_t)times, &n)) n = SIZE_MAX;
  if (v.list->n == 0) times = 0;
  if (jinja_list_new(run, v.type, n, out) < 0) return TPO_E_INPUT;
  for (int64_t i = 0; i < times; i++)
    for (size_t k = 0; k < v.list->n; k++)
      if (jinja_list_push(run, out->list, v.list->items[k]) < 0) return TPO_E_INPUT;
  return 0;
}

static bool is_row(struct jinja_value v)
{
  return v.type == JINJA_TUPLE || (v.type == JINJA_LIST && v.list->kind == JINJA_PLAIN_LIST);
}

/* What is there for strings and lists; *done false: nothing of the kind. */
static int on_rows(struct jinja_run *run, const char *op, struct jinja_value a, struct jinja_value b,
                   bool *done, struct jinja_value *out)
{
  int64_t times;
  *done = true;
  if (op[0] == '%' && a.type == JINJA_STRING) return jinja_percent(run, a.string, b, out);
  if (op[0] == '+' && a.type == JINJA_STRING && b.type == JINJA_STRING)
    return add_strings(run, a.string, b.string, out);
  if (op[0] == '+' && is_row(a) && a.type == b.type && is_row(b)) return add_lists(run, a, b, out);
  struct jinja_value row = jinja_is_integer(b, &times) ? a : b;
  if (strcmp(op, "*") == 0 && (jinja_is_integer(b, &times) || jinja_is_integer(a, &times))) {
    if (is_row(row)) return repeat_list(run, row, times, out);
    if (row.type == JINJA_STRING) {
      struct jinja_builder text = {.run = run};
      jinja_build_times(&text, row.string, times < 0 ? 0 : (size_t)times);
      return jinja_build_end_like(&text, row.string, out);
    }
  }
  *done = false;
  return 0;
}

static int join_as_text(struct jinja_run *run, struct jinja_value a, struct jinja_value b,
                        struct jinja_value *out)
{
  struct jinja_builder text = {.run = run};
  jinja_build_value(&text, a);
  jinja_build_value(&text, b);
  return jinja_build_end(&text, out);
}

int jinja_binary(struct jinja_run *run, const char *op, struct jinja_value a, struct jinja_value b,
                 struct jinja_value *out)
{
  int64_t i = 0, j = 0;
  bool done;
  if (op[0] == '~') return join_as_text(run, a, b, out);
  if (jinja_is_integer(a, &i) && jinja_is_integer(b, &j)) return on_ints(run, op, i, j, out);
  if (jinja_is_number(a) && jinja_is_number(b)) return on_reals(run, op, to_real(a), to_real(b), out);
  if (on_rows(run, op, a, b, &done, out) < 0) return TPO_E_INPUT;
  return done ? 0 : no_operation(run, op, a, b);
}

int jinja_unary(struct jinja_run *run, char op, struct jinja_value v, struct jinja_value *out)
{
  int64_t i;
  if (v.type == JINJA_UNDEFINED) return jinja_fail_undefined(run, v);
  if (v.type == JINJA_FLOAT) {
    *out = jinja_float(op == '-' ? -v.real : v.real);
    return 0;
  }
  if (!jinja_is_integer(v, &i))
    return jinja_fail(run, TPO_E_INPUT, "bad operand type for unary %c: '%s'", op, jinja_type_name(v));
  if (op == '-' && i == INT64_MIN) return too_big(run, "-");
  *out = jinja_int(op == '-' ? -i : i);
  return 0;
}
