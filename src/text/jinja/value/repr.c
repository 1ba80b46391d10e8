/* repr() and str() of values as Python prints them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "text/jinja/builtin/builtins.h"

/* The shortest digits that read back as x, as d.ddd and its exponent: digits without a point into
 * digits[18]. */
static int shortest(double x, char digits[24], int *exponent)
{
  char text[40];
  /* 15 digits hold any shorter decimal, but for numbers too small to have as many */
  for (int precision = fabs(x) < 0x1p-1000 ? 1 : 15; precision <= 17; precision++) {
    snprintf(text, sizeof text, "%.*e", precision - 1, x);
    if (strtod(text, NULL) == x) break;
  }
  int n = 0;
  for (const char *c = text; *c && *c != 'e'; c++)
    if (*c >= '0' && *c <= '9') digits[n++] = *c;
  while (n > 1 && digits[n - 1] == '0') n--;
  digits[n] = '\0';
  *exponent = atoi(strchr(text, 'e') + 1);
  return n;
}

static void positional(char *out, const char *digits, int n, int exponent)
{
  int at = 0;
  if (exponent < 0) {
    out[at++] = '0';
    out[at++] = '.';
    for (int i = -1; i > exponent; i--) out[at++] = '0';
  }
  for (int i = 0; i < n || i <= exponent; i++) {
    if (i == exponent + 1 && exponent >= 0) out[at++] = '.';
    out[at++] = i < n ? digits[i] : '0';
  }
  if (exponent >= n - 1) out[at++] = '.', out[at++] = '0';
  out[at] = '\0';
}

void jinja_float_text(double x, char out[JINJA_FLOAT_TEXT])
{
  char digits[24];
  int exponent;
  if (isnan(x) || isinf(x)) {
    snprintf(out, JINJA_FLOAT_TEXT, "%s", isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
    return;
  }
  int n = shortest(fabs(x), digits, &exponent);
  if (signbit(x)) *out++ = '-';
  if (exponent >= -4 && exponent < 16)
    positional(out, digits, n, exponent);
  else
    snprintf(out, JINJA_FLOAT_TEXT - 1, "%c%s%se%c%02d", digits[0], n > 1 ? "." : "", digits + 1,
             exponent < 0 ? '-' : '+', abs(exponent));
}

bool jinja_printable(uint32_t cp)
{
  switch (utf8proc_category((utf8proc_int32_t)cp)) {
  case UTF8PROC_CATEGORY_CC:
  case UTF8PROC_CATEGORY_CF:
  case UTF8PROC_CATEGORY_CS:
  case UTF8PROC_CATEGORY_CO:
  case UTF8PROC_CATEGORY_CN:
  case UTF8PROC_CATEGORY_ZL:
  case UTF8PROC_CATEGORY_ZP: return false;
  case UTF8PROC_CATEGORY_ZS: return cp == ' ';
  default: return true;
  }
}

static void escape(struct jinja_builder *b, uint32_t cp, tpo_origin origin)
{
  static const char controls[] = "\t\n\r", letters[] = "tnr";
  char text[16];
  const char *known = cp && cp < 128 ? strchr(controls, (int)cp) : NULL;
  if (known)
    snprintf(text, sizeof text, "\\%c", letters[known - controls]);
  else if (cp < 0x100)
    snprintf(text, sizeof text, "\\x%02x", cp);
  else
    snprintf(text, sizeof text, cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
  jinja_build_bytes(b, text, strlen(text), origin);
}

static void repr_string(struct jinja_builder *b, const struct jinja_string *s)
{
  bool single = memchr(s->bytes, '\'', s->len) != NULL, twofold = memchr(s->bytes, '"', s->len) != NULL;
  char quote = single && !twofold ? '"' : '\'';
  jinja_build_bytes(b, &quote, 1, 0);
  for (size_t at = 0; at < s->len && !b->failed;) {
    size_t begin = at;
    uint32_t cp = jinja_next(s, &at);
    if (cp == (uint8_t)quote || cp == '\\') jinja_build_bytes(b, "\\", 1, s->origins[begin]);
    if (jinja_printable(cp))
      jinja_build_slice(b, s, begin, at);
    else
      escape(b, cp, s->origins[begin]);
  }
  jinja_build_bytes(b, &quote, 1, 0);
}

static int repr_at(struct jinja_builder *b, struct jinja_value v, int depth);

static int repr_items(struct jinja_builder *b, const struct jinja_list *list, int depth)
{
  for (size_t i = 0; i < list->n; i++) {
    if (i > 0) jinja_build_text(b, ", ");
    if (repr_at(b, list->items[i], depth) < 0) return TPO_E_INPUT;
  }
  return 0;
}

static int repr_tuple(struct jinja_builder *b, const struct jinja_list *list, int depth)
{
  jinja_build_text(b, "(");
  if (repr_items(b, list, depth) < 0) return TPO_E_INPUT;
  jinja_build_text(b, list->n == 1 ? ",)" : ")");
  return 0;
}

static void repr_range(struct jinja_builder *b, const struct jinja_list *list)
{
  char text[96];
  const int64_t *bounds = list->bounds;
  int len = snprintf(text, sizeof text, "range(%lld, %lld", (long long)bounds[0], (long long)bounds[1]);
  if (bounds[2] != 1) snprintf(text + len, sizeof text - (size_t)len, ", %lld", (long long)bounds[2]);
  jinja_build_text(b, text);
  jinja_build_text(b, ")");
}

static int repr_list(struct jinja_builder *b, const struct jinja_list *list, int depth)
{
  static const char *const begins[] = {[JINJA_PLAIN_LIST] = "[",
                                       [JINJA_KEYS] = "dict_keys([",
                                       [JINJA_VALUES] = "dict_values([",
                                       [JINJA_ITEMS] = "dict_items(["};
  if (list->kind == JINJA_GENERATOR)
    return jinja_fail(
        b->run, TPO_E_UNSUPPORTED,
        "a generator (of map, select and the like) can't be printed; its items can, after the filter `list`");
  if (list->kind == JINJA_RANGE) {
    repr_range(b, list);
    return 0;
  }
  jinja_build_text(b, begins[list->kind]);
  if (repr_items(b, list, depth) < 0) return TPO_E_INPUT;
  jinja_build_text(b, list->kind == JINJA_PLAIN_LIST ? "]" : "])");
  return 0;
}

static int repr_pair(struct jinja_builder *b, const struct jinja_dict *dict, size_t i, bool first, int depth)
{
  if (!first) jinja_build_text(b, ", ");
  if (repr_at(b, dict->keys[i], depth) < 0) return TPO_E_INPUT;
  jinja_build_text(b, ": ");
  return repr_at(b, dict->values[i], depth);
}

static int repr_dict(struct jinja_builder *b, const struct jinja_dict *dict, int depth)
{
  jinja_build_text(b, "{");
  for (size_t i = 0; i < dict->n; i++)
    if (repr_pair(b, dict, i, i == 0, depth) < 0) return TPO_E_INPUT;
  jinja_build_text(b, "}");
  return 0;
}

static void repr_scalar(struct jinja_builder *b, struct jinja_value v)
{
  char text[JINJA_FLOAT_TEXT];
  if (v.type == JINJA_INT)
    snprintf(text, sizeof text, "%lld", (long long)v.integer);
  else if (v.type == JINJA_FLOAT)
    jinja_float_text(v.real, text);
  else
    snprintf(text, sizeof text, "%s", v.type == JINJA_NONE ? "None" : v.truth ? "True" : "False");
  jinja_build_text(b, text);
}

static int repr_at(struct jinja_builder *b, struct jinja_value v, int depth)
{
  if (b->failed) return TPO_E_INPUT;
  if (depth > 2 * JINJA_DEPTH_MAX) /* only namespaces, which may hold themselves, get there */
    return jinja_fail(b->run, TPO_E_INPUT, "what is printed is nested too deep");
  if (jinja_spend(b->run, 2) < 0) return TPO_E_INPUT;
  switch (v.type) {
  case JINJA_UNDEFINED: jinja_build_text(b, "Undefined"); return 0;
  case JINJA_STRING:
    if (v.string->markup) jinja_build_text(b, "Markup(");
    repr_string(b, v.string);
    if (v.string->markup) jinja_build_text(b, ")");
    return 0;
  case JINJA_LIST: return repr_list(b, v.list, depth + 1);
  case JINJA_TUPLE: return repr_tuple(b, v.list, depth + 1);
  case JINJA_NAMESPACE:
    jinja_build_text(b, "<Namespace ");
    if (repr_dict(b, v.dict, depth + 1) < 0) return TPO_E_INPUT;
    jinja_build_text(b, ">");
    return 0;
  case JINJA_DICT: return repr_dict(b, v.dict, depth + 1);
  case JINJA_CALLABLE:
  case JINJA_LOOP:
    return jinja_fail(b->run, TPO_E_UNSUPPORTED, "a %s can't be printed%s%s", jinja_type_name(v),
                      v.type == JINJA_CALLABLE ? ": " : "", v.type == JINJA_CALLABLE ? v.callable->name : "");
  default: repr_scalar(b, v); return 0;
  }
}

int jinja_repr(struct jinja_run *run, struct jinja_value v, struct jinja_builder *b)
{
  (void)run;
  if (repr_at(b, v, 0) < 0) b->failed = true;
  return b->failed ? TPO_E_INPUT : 0;
}
