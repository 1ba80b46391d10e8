/* Filters of numbers: abs, int, float, round, filesizeformat. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "text/jinja/builtin/filters.h"

#define FILTER(name)                                                                                         \
  static int name(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)

FILTER(filter_abs)
{
  static const char *const names[] = {"x"};
  struct jinja_value v;
  int64_t i;
  if (jinja_bind(run, "abs", args, names, 1, 1, &v) < 0) return TPO_E_INPUT;
  if (v.type == JINJA_FLOAT) {
    *out = jinja_float(fabs(v.real));
    return 0;
  }
  if (jinja_is_integer(v, &i)) return jinja_unary(run, i < 0 ? '-' : '+', v, out);
  if (v.type == JINJA_UNDEFINED) return jinja_fail_undefined(run, v);
  return jinja_fail(run, TPO_E_INPUT, "bad operand type for abs(): '%s'", jinja_type_name(v));
}

/* int(x) of a float; *done false: it has none. */
static int whole(struct jinja_run *run, double x, bool *done, struct jinja_value *out)
{
  *done = isfinite(x);
  if (!*done) return 0;
  if (fabs(x) >= 0x1p63)
    return jinja_fail(run, TPO_E_UNSUPPORTED,
                      "int: the number needs more than the 64 bits that integers have here");
  *out = jinja_int((int64_t)x);
  return 0;
}

static bool all_digits(const struct jinja_string *s)
{
  bool some = false;
  for (size_t i = 0; i < s->len; i++) {
    bool digit = s->bytes[i] >= '0' && s->bytes[i] <= '9';
    if (!digit && !(i == 0 && (s->bytes[0] == '-' || s->bytes[0] == '+'))) return false;
    some = some || digit;
  }
  return some;
}

static int string_to_int(struct jinja_run *run, const struct jinja_string *s, int64_t base,
                         struct jinja_value *out)
{
  int64_t value;
  double real;
  bool done;
  if (base != 0 && (base < 2 || base > 36)) return 0; /* a ValueError, after which jinja2 tries float() */
  if (jinja_parse_int(s, (int)base, &value)) {
    *out = jinja_int(value);
    return 0;
  }
  if (all_digits(s) && base == 10)
    return jinja_fail(run, TPO_E_UNSUPPORTED, "int: '%s' needs more than the 64 bits that integers have here",
                      s->bytes);
  return jinja_parse_float(s, &real) ? whole(run, real, &done, out) : 0;
}

FILTER(filter_int)
{
  static const char *const names[] = {"value", "default", "base"};
  struct jinja_value a[3] = {jinja_none(), jinja_int(0), jinja_int(10)};
  int64_t base, value;
  bool done = true;
  if (jinja_bind(run, "int", args, names, 3, 1, a) < 0 || jinja_want_int(run, "int", a[2], &base) < 0)
    return TPO_E_INPUT;
  *out = a[1];
  if (a[0].type == JINJA_UNDEFINED) return jinja_fail_undefined(run, a[0]);
  if (a[0].type == JINJA_STRING) return string_to_int(run, a[0].string, base, out);
  if (a[0].type == JINJA_FLOAT && whole(run, a[0].real, &done, out) < 0) return TPO_E_INPUT;
  if (!done && isinf(a[0].real))
    return jinja_fail(run, TPO_E_INPUT, "cannot convert float infinity to integer");
  if (jinja_is_integer(a[0], &value)) *out = jinja_int(value);
  return 0;
}

FILTER(filter_float)
{
  static const char *const names[] = {"value", "default"};
  struct jinja_value a[2] = {jinja_none(), jinja_float(0)};
  int64_t i;
  double x;
  if (jinja_bind(run, "float", args, names, 2, 1, a) < 0) return TPO_E_INPUT;
  if (a[0].type == JINJA_UNDEFINED) return jinja_fail_undefined(run, a[0]);
  *out = a[1];
  if (a[0].type == JINJA_FLOAT) *out = a[0];
  if (jinja_is_integer(a[0], &i)) *out = jinja_float((double)i);
  if (a[0].type == JINJA_STRING && jinja_parse_float(a[0].string, &x)) *out = jinja_float(x);
  return 0;
}

/* To the nearest, of two as near to the even one; exactly, by way of the decimal digits. */
static double round_real(double x, int64_t digits)
{
  char text[800];
  if (!isfinite(x) || digits > 330) return x;
  if (digits < -310) return copysign(0.0, x);
  if (digits >= 0) {
    snprintf(text, sizeof text, "%.*f", (int)digits, x);
    return strtod(text, NULL);
  }
  long double unit = powl(10, (long double)-digits);
  return (double)(rintl((long double)x / unit) * unit);
}

static int round_int(struct jinja_run *run, int64_t i, int64_t digits, struct jinja_value *out)
{
  *out = jinja_int(i);
  if (digits >= 0) return 0;
  int64_t unit = 1;
  for (int64_t k = digits; k < 0; k++)
    if (__builtin_mul_overflow(unit, 10, &unit) || unit > INT64_MAX / 20) {
      *out = jinja_int(0);
      if (k > digits + 17 || digits < -18) return 0;
      return jinja_fail(run, TPO_E_UNSUPPORTED, "round to %lld digits is not supported", (long long)digits);
    }
  int64_t rest = i % unit, down = i - rest;
  if (rest < 0) rest += unit, down -= unit;
  bool up = rest * 2 > unit || (rest * 2 == unit && down / unit % 2 != 0);
  return jinja_binary(run, "+", jinja_int(down), jinja_int(up ? unit : 0), out);
}

static int round_one_way(struct jinja_run *run, double x, int64_t digits, bool up, struct jinja_value *out)
{
  double unit = pow(10, (double)digits), moved = up ? ceil(x * unit) : floor(x * unit);
  if (!isfinite(moved))
    return jinja_fail(run, TPO_E_INPUT, "cannot convert float infinity or NaN to integer");
  *out = jinja_float((moved + 0.0) / unit); /* Python's is an integer, which has no -0 */
  return 0;
}

FILTER(filter_round)
{
  static const char *const names[] = {"value", "precision", "method"};
  struct jinja_value a[3] = {jinja_none(), jinja_int(0), jinja_none()};
  const struct jinja_string *method;
  int64_t digits, i = 0;
  if (jinja_string_new(run, "common", 6, 0, &a[2]) < 0 ||
      jinja_bind(run, "round", args, names, 3, 1, a) < 0 ||
      jinja_want_string(run, "round", a[2], &method) < 0)
    return TPO_E_INPUT;
  bool common = strcmp(method->bytes, "common") == 0, up = strcmp(method->bytes, "ceil") == 0;
  if (!common && !up && strcmp(method->bytes, "floor") != 0)
    return jinja_fail(run, TPO_E_INPUT, "method must be common, ceil or floor");
  if (a[0].type == JINJA_UNDEFINED) return jinja_fail_undefined(run, a[0]);
  if (!jinja_is_number(a[0]))
    return jinja_fail(run, TPO_E_INPUT, "type %s doesn't define __round__ method", jinja_type_name(a[0]));
  bool integer = jinja_is_integer(a[0], &i);
  if (common && integer && a[1].type == JINJA_NONE) a[1] = jinja_int(0);
  if (jinja_want_int(run, "round", a[1], &digits) < 0) return TPO_E_INPUT;
  if (!common) return round_one_way(run, integer ? (double)i : a[0].real, digits, up, out);
  if (integer) return round_int(run, i, digits, out);
  *out = jinja_float(round_real(a[0].real, digits));
  return 0;
}

static int size_text(struct jinja_run *run, double bytes, bool binary, struct jinja_value *out)
{
  static const char prefixes[] = "kMGTPEZY";
  double base = binary ? 1024 : 1000, unit = base * base;
  char text[400];
  size_t i = 0;
  if (bytes == 1)
    snprintf(text, sizeof text, "1 Byte");
  else if (bytes < base)
    snprintf(text, sizeof text, "%.0f Bytes", trunc(bytes) + 0.0);
  else {
    for (; i < 7 && bytes >= unit; i++) unit *= base;
    char prefix = binary && prefixes[i] == 'k' ? 'K' : prefixes[i];
    snprintf(text, sizeof text, "%.1f %c%sB", base * bytes / unit, prefix, binary ? "i" : "");
  }
  return jinja_string_new(run, text, strlen(text), 0, out);
}

FILTER(filter_filesizeformat)
{
  static const char *const names[] = {"value", "binary"};
  struct jinja_value a[2] = {jinja_none(), jinja_bool(false)}, number;
  if (jinja_bind(run, "filesizeformat", args, names, 2, 1, a) < 0) return TPO_E_INPUT;
  struct jinja_value both[] = {a[0], jinja_none()};
  if (filter_float(run, &(struct jinja_args){.args = both, .n = 2}, &number) < 0) return TPO_E_INPUT;
  if (number.type != JINJA_FLOAT) return jinja_fail(run, TPO_E_INPUT, "filesizeformat wants a number");
  return size_text(run, number.real, jinja_truthy(a[1]), out);
}

jinja_function jinja_find_number_filter(const char *name)
{
  static const struct jinja_filter_row rows[] = {{"abs", filter_abs},
                                                 {"int", filter_int},
                                                 {"float", filter_float},
                                                 {"round", filter_round},
                                                 {"filesizeformat", filter_filesizeformat}};
  return JINJA_FIND(rows, name);
}
