/* JSON is read, dumped and looked into, by jansson. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "base/visible.h"

json_t *tpo_json_parse(const char *text, size_t len, const char *place, struct tpo_error *err)
{
  const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY;
  json_error_t problem;
  json_t *value = json_loadb(text ? text : "", len, flags, &problem);
  /* Integers beyond 64 bits occur in real files (a tokenizer's "no limit" is 1e30 written out). */
  if (!value && json_error_code(&problem) == json_error_numeric_overflow)
    value = json_loadb(text, len, flags | JSON_DECODE_INT_AS_REAL, &problem);
  if (!value) {
    if (problem.line > 1)
      tpo_fail(err, TPO_E_INPUT, "%s: not valid JSON (line %d, column %d): %s", place, problem.line,
               problem.column, problem.text);
    else
      tpo_fail(err, TPO_E_INPUT, "%s: not valid JSON (column %d): %s", place, problem.column, problem.text);
  }
  return value;
}

json_t *tpo_json_load(const char *path, size_t max_bytes, struct tpo_error *err)
{
  struct tpo_buf text = {0};
  json_t *value = NULL;
  if (tpo_read_file(path, max_bytes, &text, err) == 0) value = tpo_json_parse(text.data, text.len, path, err);
  tpo_buf_free(&text);
  return value;
}

void tpo_json_append_double(struct tpo_buf *buf, double x)
{
  if (!isfinite(x)) { /* JSON has no such numbers */
    tpo_buf_puts(buf, "null");
    return;
  }
  char text[40];
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, x);
    if (strtod(text, NULL) == x) break;
  }
  tpo_buf_puts(buf, text);
  if (!strpbrk(text, ".e")) tpo_buf_puts(buf, ".0"); /* a real stays a real when read again */
}

static void dump(struct tpo_buf *buf, const json_t *value)
{
  switch (json_typeof(value)) {
  case JSON_NULL: tpo_buf_puts(buf, "null"); break;
  case JSON_TRUE: tpo_buf_puts(buf, "true"); break;
  case JSON_FALSE: tpo_buf_puts(buf, "false"); break;
  case JSON_INTEGER: tpo_buf_printf(buf, "%" JSON_INTEGER_FORMAT, json_integer_value(value)); break;
  case JSON_REAL: tpo_json_append_double(buf, json_real_value(value)); break;
  case JSON_STRING: tpo_json_append_string(buf, json_string_value(value), json_string_length(value)); break;
  case JSON_ARRAY:
    tpo_buf_putc(buf, '[');
    for (size_t i = 0; i < json_array_size(value); i++) {
      if (i > 0) tpo_buf_putc(buf, ',');
      dump(buf, json_array_get(value, i));
    }
    tpo_buf_putc(buf, ']');
    break;
  case JSON_OBJECT: {
    json_t *object = (json_t *)value; /* iteration takes no const, but changes nothing */
    tpo_buf_putc(buf, '{');
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
      if (buf->data[buf->len - 1] != '{') tpo_buf_putc(buf, ',');
      const char *key = json_object_iter_key(at);
      tpo_json_append_string(buf, key, strlen(key));
      tpo_buf_putc(buf, ':');
      dump(buf, json_object_iter_value(at));
    }
    tpo_buf_putc(buf, '}');
    break;
  }
  }
}

char *tpo_json_dump(const json_t *value)
{
  if (!value) return NULL;
  struct tpo_buf buf = {0};
  dump(&buf, value);
  return tpo_buf_take(&buf);
}

json_t *tpo_json_visible(const char *text)
{
  struct tpo_buf buf = {0};
  tpo_visible_append(&buf, text, strlen(text));
  json_t *string = buf.failed ? NULL : json_string(buf.data ? buf.data : "");
  tpo_buf_free(&buf);
  return string;
}

static const char *kind_of(const json_t *value)
{
  switch (json_typeof(value)) {
  case JSON_OBJECT: return "an object";
  case JSON_ARRAY: return "an array";
  case JSON_STRING: return "a string";
  case JSON_INTEGER: return "an integer";
  case JSON_REAL: return "a real number";
  case JSON_TRUE: return "true";
  case JSON_FALSE: return "false";
  default: return "null";
  }
}

/* The member, or NULL when it is absent or null. */
static const json_t *member(const json_t *object, const char *key)
{
  const json_t *value = json_object_get(object, key);
  return value && !json_is_null(value) ? value : NULL;
}

int tpo_json_get_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *out,
                     const char *place, struct tpo_error *err)
{
  const json_t *value = member(object, key);
  if (!value) return 0;
  int64_t number = 0;
  bool whole = json_is_integer(value);
  if (whole) {
    number = json_integer_value(value);
  } else if (json_is_real(value)) { /* 4096.0 is what some writers make of 4096; exact up to 2^53 */
    double real = json_real_value(value);
    whole = fabs(real) <= 0x1p53 && real == floor(real);
    if (whole) number = (int64_t)real;
  }
  if (!whole)
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" must be an integer, not %s", place, key, kind_of(value));
  if (number < min || number > max)
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" is %lld, expected %lld to %lld", place, key,
                    (long long)number, (long long)min, (long long)max);
  *out = number;
  return 0;
}

int tpo_json_get_double(const json_t *object, const char *key, double *out, const char *place,
                        struct tpo_error *err)
{
  const json_t *value = member(object, key);
  if (!value) return 0;
  if (!json_is_number(value))
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" must be a number, not %s", place, key, kind_of(value));
  *out = json_number_value(value);
  return 0;
}

int tpo_json_get_bool(const json_t *object, const char *key, bool *out, const char *place,
                      struct tpo_error *err)
{
  const json_t *value = member(object, key);
  if (!value) return 0;
  if (!json_is_boolean(value))
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" must be true or false, not %s", place, key, kind_of(value));
  *out = json_is_true(value);
  return 0;
}

int tpo_json_get_string(const json_t *object, const char *key, const char **out, const char *place,
                        struct tpo_error *err)
{
  const json_t *value = member(object, key);
  if (!value) return 0;
  if (!json_is_string(value))
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" must be a string, not %s", place, key, kind_of(value));
  *out = json_string_value(value);
  return 0;
}

void tpo_json_append_string(struct tpo_buf *buf, const char *text, size_t len)
{
  tpo_buf_putc(buf, '"');
  for (size_t i = 0; i < len;) {
    unsigned char c = (unsigned char)text[i];
    uint32_t cp;
    int used = tpo_utf8_decode((const uint8_t *)text + i, len - i, &cp);
    if (used == 0)
      tpo_buf_puts(buf, "\xef\xbf\xbd");
    else if (c == '"' || c == '\\')
      tpo_buf_printf(buf, "\\%c", c);
    else if (c == '\n')
      tpo_buf_puts(buf, "\\n");
    else if (c == '\r')
      tpo_buf_puts(buf, "\\r");
    else if (c == '\t')
      tpo_buf_puts(buf, "\\t");
    else if (c < 0x20 || c == 0x7f)
      tpo_buf_printf(buf, "\\u%04x", c);
    else
      tpo_buf_append(buf, text + i, (size_t)used);
    i += used ? (size_t)used : 1;
  }
  tpo_buf_putc(buf, '"');
}
