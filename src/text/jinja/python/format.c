/* Numbers in the forms of Python's format specifications, and the specifications themselves:
 * [[fill]align][sign][#][0][width][grouping][.precision][type]. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "text/jinja/python/format.h"

static void to_base(uint64_t n, unsigned base, bool upper, char out[72])
{
  char reversed[72];
  size_t len = 0;
  do {
    unsigned digit = (unsigned)(n % base);
    reversed[len++] = (char)(digit < 10 ? '0' + digit : (upper ? 'A' : 'a') + digit - 10);
  } while (n /= base);
  for (size_t i = 0; i < len; i++) out[i] = reversed[len - 1 - i];
  out[len] = '\0';
}

/* A float without a type but with a precision: as %g, with a point kept and an exponent one digit earlier. */
static void general_with_point(double x, int precision, char *out)
{
  char text[JINJA_FLOAT_TEXT + JINJA_PRECISION_MAX];
  if (precision == 0) precision = 1;
  snprintf(text, sizeof text, "%.*e", precision - 1, x);
  int exponent = atoi(strchr(text, 'e') + 1);
  if (exponent < -4 || exponent >= precision - 1) {
    char *mark = strchr(text, 'e');
    char *end = mark;
    while (strchr(text, '.') && end[-1] == '0') end--;
    if (end[-1] == '.') end--;
    sprintf(out, "%.*s%s", (int)(end - text), text, mark);
    return;
  }
  snprintf(out, JINJA_NUMBER_TEXT, "%.*g", precision, x);
  if (!strchr(out, '.')) strcat(out, ".0");
}

/* x >= 0, without a sign. */
static void real_digits(double x, const struct jinja_number_format *format, char *out)
{
  char type = format->type == 'n' ? 'g' : format->type;
  if (isnan(x) || isinf(x)) {
    bool upper = type == 'E' || type == 'F' || type == 'G';
    strcpy(out, isnan(x) ? upper ? "NAN" : "nan" : upper ? "INF" : "inf");
    if (type == '%') strcat(out, "%");
  } else if (type == 0 && format->precision < 0) {
    jinja_float_text(x, out);
  } else if (type == 0) {
    general_with_point(x, format->precision, out);
  } else {
    char pattern[8];
    int precision = format->precision < 0 ? 6 : format->precision;
    snprintf(pattern, sizeof pattern, "%%%s.*%c", format->alternate ? "#" : "", type == '%' ? 'f' : type);
    snprintf(out, JINJA_NUMBER_TEXT / 2, pattern, precision, type == '%' ? x * 100 : x);
    if (type == '%') strcat(out, "%");
  }
}

/* The digits before the point in groups, with zeros in front until there are `width` characters. */
static void group(const char *digits, char mark, size_t size, size_t width, char *out)
{
  size_t whole = strspn(digits, "0123456789abcdefABCDEF"), rest = strlen(digits + whole), n = 0;
  if (strchr(digits, 'e') && whole > (size_t)(strchr(digits, 'e') - digits) && size == 3)
    whole = (size_t)(strchr(digits, 'e') - digits), rest = strlen(digits + whole);
  char reversed[JINJA_NUMBER_TEXT];
  size_t count = 0;
  for (size_t i = 0; i < whole || (n + rest < width && i < JINJA_NUMBER_TEXT / 2); i++) {
    if (mark && count == size) reversed[n++] = mark, count = 0;
    reversed[n++] = i < whole ? digits[whole - 1 - i] : '0';
    count++;
  }
  for (size_t i = 0; i < n; i++) out[i] = reversed[n - 1 - i];
  memcpy(out + n, digits + whole, rest + 1);
}

static bool is_real_type(char type)
{
  return type && strchr("eEfFgG%", type) != NULL;
}

static int integer_digits(struct jinja_run *run, int64_t i, const struct jinja_number_format *format,
                          char *out, char prefix[3])
{
  char type = format->type;
  unsigned base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
  if (type && !strchr("dnboxX", type))
    return jinja_fail(run, TPO_E_INPUT, "unknown format code '%c' for an integer", type);
  if (base != 10 && format->alternate) sprintf(prefix, "0%c", type);
  to_base(i < 0 ? 0 - (uint64_t)i : (uint64_t)i, base, type == 'X', out);
  return 0;
}

int jinja_format_number(struct jinja_run *run, struct jinja_value v, const struct jinja_number_format *format,
                        char out[JINJA_NUMBER_TEXT], size_t *sign)
{
  char digits[JINJA_NUMBER_TEXT], prefix[3] = "";
  int64_t i;
  bool whole = jinja_is_integer(v, &i), negative = whole ? i < 0 : signbit(v.real) && !isnan(v.real);
  if (whole && !is_real_type(format->type)) {
    if (integer_digits(run, i, format, digits, prefix) < 0) return TPO_E_INPUT;
  } else {
    if (format->type && !is_real_type(format->type) && format->type != 'n')
      return jinja_fail(run, TPO_E_INPUT, "unknown format code '%c' for a float", format->type);
    real_digits(fabs(whole ? (double)i : v.real), format, digits);
  }
  size_t at = 0;
  if (negative || format->sign != '-') out[at++] = negative ? '-' : format->sign;
  for (const char *c = prefix; *c; c++) out[at++] = *c;
  *sign = at;
  size_t width = format->zeros_to > (int)at ? (size_t)format->zeros_to - at : 0;
  if (width > JINJA_NUMBER_TEXT / 4)
    return jinja_fail(run, TPO_E_UNSUPPORTED, "a number padded to %zu digits is not supported", width);
  bool binary = format->type && strchr("boxX", format->type) != NULL;
  group(digits, format->grouping, binary ? 4 : 3, width, out + at);
  return 0;
}

struct spec {
  struct jinja_number_format number;
  struct jinja_string fill; /* one code point; len 0: none given */
  char align;               /* < > ^ = or 0 */
  bool zero;
  int64_t width;
};

static bool is_align(char c)
{
  return c == '<' || c == '>' || c == '^' || c == '=';
}

static size_t parse_digits(const struct jinja_string *spec, size_t at, int64_t *out)
{
  *out = 0;
  for (; at < spec->len && spec->bytes[at] >= '0' && spec->bytes[at] <= '9'; at++)
    if (*out <= JINJA_WIDTH_MAX) *out = *out * 10 + spec->bytes[at] - '0';
  return at;
}

static size_t parse_fill(const struct jinja_string *text, struct spec *spec)
{
  size_t at = 0;
  if (text->len > 0) jinja_next(text, &at);
  if (at > 0 && at < text->len && is_align(text->bytes[at])) {
    spec->fill = (struct jinja_string){.bytes = text->bytes, .origins = text->origins, .len = at};
    spec->align = text->bytes[at];
    return at + 1;
  }
  if (text->len > 0 && is_align(text->bytes[0])) {
    spec->align = text->bytes[0];
    return 1;
  }
  return 0;
}

static int parse_spec(struct jinja_run *run, const struct jinja_string *text, struct spec *spec)
{
  *spec = (struct spec){.number = {.sign = '-', .precision = -1}};
  size_t at = parse_fill(text, spec);
  const char *bytes = text->bytes; /* a NUL follows */
  int64_t precision;
  if (bytes[at] == '+' || bytes[at] == '-' || bytes[at] == ' ') spec->number.sign = bytes[at++];
  if (bytes[at] == '#') spec->number.alternate = true, at++;
  if (bytes[at] == '0') spec->zero = true, at++;
  at = parse_digits(text, at, &spec->width);
  if (bytes[at] == ',' || bytes[at] == '_') spec->number.grouping = bytes[at++];
  if (bytes[at] == '.') {
    size_t digits = at + 1;
    at = parse_digits(text, digits, &precision);
    if (at == digits) return jinja_fail(run, TPO_E_INPUT, "format specifier missing precision");
    if (precision > JINJA_PRECISION_MAX)
      return jinja_fail(run, TPO_E_UNSUPPORTED, "a format's precision of more than %d is not supported",
                        JINJA_PRECISION_MAX);
    spec->number.precision = (int)precision;
  }
  if (at < text->len) spec->number.type = bytes[at++];
  if (at < text->len) return jinja_fail(run, TPO_E_INPUT, "invalid format specifier '%s'", bytes);
  if (spec->width > JINJA_WIDTH_MAX)
    return jinja_fail(run, TPO_E_UNSUPPORTED, "a format's width of more than %d is not supported",
                      JINJA_WIDTH_MAX);
  return 0;
}

static void fill(struct jinja_builder *b, const struct spec *spec, size_t n)
{
  tpo_origin computed = 0;
  struct jinja_string space = {
      .bytes = spec->zero && !spec->align ? "0" : " ", .origins = &computed, .len = 1};
  jinja_build_times(b, spec->fill.len ? &spec->fill : &space, n);
}

static int string_with_spec(struct jinja_run *run, const struct jinja_string *s, const struct spec *spec,
                            struct jinja_builder *b)
{
  if (spec->number.type && spec->number.type != 's')
    return jinja_fail(run, TPO_E_INPUT, "unknown format code '%c' for a string", spec->number.type);
  if (spec->align == '=' || spec->number.sign != '-' || spec->number.alternate || spec->number.grouping)
    return jinja_fail(run, TPO_E_INPUT,
                      "a sign, '=', '#' and grouping are not allowed in a string's format specifier");
  if (jinja_spend_bytes(run, s->len) < 0) return TPO_E_INPUT;
  size_t n = jinja_length(s);
  if (spec->number.precision >= 0 && (size_t)spec->number.precision < n) n = (size_t)spec->number.precision;
  size_t padding = (size_t)spec->width > n ? (size_t)spec->width - n : 0;
  size_t left = spec->align == '>' ? padding : spec->align == '^' ? padding / 2 : 0;
  fill(b, spec, left);
  jinja_build_slice(b, s, 0, jinja_offset(s, n));
  fill(b, spec, padding - left);
  return 0;
}

static int number_with_spec(struct jinja_run *run, struct jinja_value v, struct spec *spec,
                            struct jinja_builder *b)
{
  char text[JINJA_NUMBER_TEXT];
  size_t sign;
  int64_t i;
  if (spec->number.precision >= 0 && jinja_is_integer(v, &i) && !is_real_type(spec->number.type))
    return jinja_fail(run, TPO_E_INPUT, "precision not allowed in integer format specifier");
  bool zeros = spec->zero && !spec->align;
  if (zeros && spec->fill.len == 0) spec->number.zeros_to = (int)spec->width;
  if (jinja_format_number(run, v, &spec->number, text, &sign) < 0) return TPO_E_INPUT;
  size_t n = strlen(text), padding = (size_t)spec->width > n ? (size_t)spec->width - n : 0;
  size_t left = spec->align == '<' ? 0 : spec->align == '^' ? padding / 2 : padding;
  if (spec->align == '=') {
    jinja_build_bytes(b, text, sign, 0);
    fill(b, spec, padding);
    jinja_build_text(b, text + sign);
    return 0;
  }
  fill(b, spec, left);
  jinja_build_text(b, text);
  fill(b, spec, padding - left);
  return 0;
}

int jinja_format_spec(struct jinja_run *run, struct jinja_value v, const struct jinja_string *text,
                      struct jinja_builder *b)
{
  struct spec spec;
  if (text->len == 0) {
    jinja_build_value(b, v);
    return b->failed ? TPO_E_INPUT : 0;
  }
  if (v.type != JINJA_STRING && !jinja_is_number(v))
    return jinja_fail(run, TPO_E_INPUT, "unsupported format string passed to %s.__format__",
                      jinja_type_name(v));
  if (parse_spec(run, text, &spec) < 0) return TPO_E_INPUT;
  if (v.type == JINJA_STRING) return string_with_spec(run, v.string, &spec, b);
  return number_with_spec(run, v, &spec, b);
}
