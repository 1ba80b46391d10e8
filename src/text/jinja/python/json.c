/* The filter tojson as transformers has it: Python's json.dumps, with characters beyond ASCII as they are. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "text/jinja/builtin/filters.h"

struct dump {
  struct jinja_run *run;
  struct jinja_builder *b;
  bool ascii, sorted, lines; /* lines: each item on one of its own */
  struct jinja_value indent;
  struct jinja_value item_separator, key_separator; /* strings */
};

static int dump(struct dump *d, struct jinja_value v, size_t depth);

static void dump_escape(struct jinja_builder *b, uint32_t cp, tpo_origin origin)
{
  static const char specials[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
  const char *known = cp && cp < 0x80 ? strchr(specials, (int)cp) : NULL;
  char text[16];
  if (known)
    snprintf(text, sizeof text, "\\%c", letters[known - specials]);
  else if (cp < 0x10000)
    snprintf(text, sizeof text, "\\u%04x", cp);
  else
    snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd800 + ((cp - 0x10000) >> 10),
             0xdc00 + ((cp - 0x10000) & 0x3ff));
  jinja_build_bytes(b, text, strlen(text), origin);
}

static void dump_string(struct dump *d, const struct jinja_string *s)
{
  size_t done = 0;
  jinja_build_text(d->b, "\"");
  for (size_t at = 0; at < s->len && !d->b->failed;) {
    size_t begin = at;
    uint32_t cp = jinja_next(s, &at);
    if (cp >= 0x20 && cp != '"' && cp != '\\' && !(d->ascii && cp >= 0x7f + 1)) continue;
    jinja_build_slice(d->b, s, done, begin);
    dump_escape(d->b, cp, s->origins[begin]);
    done = at;
  }
  jinja_build_slice(d->b, s, done, s->len);
  jinja_build_text(d->b, "\"");
}

static void scalar_text(struct jinja_value v, char text[JINJA_FLOAT_TEXT])
{
  if (v.type == JINJA_INT)
    snprintf(text, JINJA_FLOAT_TEXT, "%lld", (long long)v.integer);
  else if (v.type == JINJA_FLOAT && isfinite(v.real))
    jinja_float_text(v.real, text);
  else if (v.type == JINJA_FLOAT)
    snprintf(text, JINJA_FLOAT_TEXT, "%s", isnan(v.real) ? "NaN" : v.real < 0 ? "-Infinity" : "Infinity");
  else
    snprintf(text, JINJA_FLOAT_TEXT, "%s", v.type == JINJA_NONE ? "null" : v.truth ? "true" : "false");
}

static void line(struct dump *d, size_t depth)
{
  if (!d->lines) return;
  jinja_build_text(d->b, "\n");
  jinja_build_times(d->b, d->indent.string, depth);
}

static int dump_list(struct dump *d, const struct jinja_list *list, size_t depth)
{
  if (list->n == 0) {
    jinja_build_text(d->b, "[]");
    return 0;
  }
  jinja_build_text(d->b, "[");
  for (size_t i = 0; i < list->n; i++) {
    if (i > 0) jinja_build_string(d->b, d->item_separator.string);
    line(d, depth + 1);
    if (dump(d, list->items[i], depth + 1) < 0) return TPO_E_INPUT;
  }
  line(d, depth);
  jinja_build_text(d->b, "]");
  return 0;
}

static int dump_key(struct dump *d, struct jinja_value key)
{
  char text[JINJA_FLOAT_TEXT];
  if (key.type == JINJA_STRING) {
    dump_string(d, key.string);
  } else if (key.type == JINJA_NONE || jinja_is_number(key)) {
    scalar_text(key, text);
    jinja_build_text(d->b, "\"");
    jinja_build_text(d->b, text);
    jinja_build_text(d->b, "\"");
  } else {
    return jinja_fail(d->run, TPO_E_INPUT, "keys must be str, int, float, bool or None, not %s",
                      jinja_type_name(key));
  }
  jinja_build_string(d->b, d->key_separator.string);
  return 0;
}

/* The keys' places, in the order in which they are written. */
static size_t *order_keys(struct dump *d, const struct jinja_dict *dict)
{
  size_t *order = jinja_alloc(d->run, (dict->n + 1) * sizeof *order);
  for (size_t i = 0; order && i < dict->n; i++) {
    size_t at = i;
    for (int less = -1; d->sorted && at > 0; at--) {
      if (jinja_order(d->run, "<", dict->keys[i], dict->keys[order[at - 1]], &less) < 0) return NULL;
      if (less != -1) break;
      order[at] = order[at - 1];
    }
    order[at] = i;
  }
  return order;
}

static int dump_dict(struct dump *d, const struct jinja_dict *dict, size_t depth)
{
  if (dict->n == 0) {
    jinja_build_text(d->b, "{}");
    return 0;
  }
  size_t *order = order_keys(d, dict);
  if (!order) return TPO_E_INPUT;
  jinja_build_text(d->b, "{");
  for (size_t i = 0; i < dict->n; i++) {
    if (i > 0) jinja_build_string(d->b, d->item_separator.string);
    line(d, depth + 1);
    if (dump_key(d, dict->keys[order[i]]) < 0 || dump(d, dict->values[order[i]], depth + 1) < 0)
      return TPO_E_INPUT;
  }
  line(d, depth);
  jinja_build_text(d->b, "}");
  return 0;
}

static int dump(struct dump *d, struct jinja_value v, size_t depth)
{
  char text[JINJA_FLOAT_TEXT];
  if (d->b->failed || jinja_spend(d->run, 1) < 0) return TPO_E_INPUT;
  switch (v.type) {
  case JINJA_NONE:
  case JINJA_BOOL:
  case JINJA_INT:
  case JINJA_FLOAT:
    scalar_text(v, text);
    jinja_build_text(d->b, text);
    return 0;
  case JINJA_STRING: dump_string(d, v.string); return 0;
  case JINJA_DICT: return dump_dict(d, v.dict, depth);
  case JINJA_TUPLE: return dump_list(d, v.list, depth);
  case JINJA_LIST:
    if (v.list->kind == JINJA_PLAIN_LIST) return dump_list(d, v.list, depth);
    /* fall through */
  default:
    return jinja_fail(d->run, TPO_E_INPUT, "Object of type %s is not JSON serializable", jinja_type_name(v));
  }
}

static int want_indent(struct dump *d, struct jinja_value indent)
{
  int64_t n;
  tpo_origin computed = 0;
  struct jinja_string space = {.bytes = " ", .origins = &computed, .len = 1};
  struct jinja_builder b = {.run = d->run};
  d->lines = indent.type != JINJA_NONE;
  d->indent = indent;
  if (!d->lines || indent.type == JINJA_STRING) return 0;
  if (jinja_want_int(d->run, "tojson", indent, &n) < 0) return TPO_E_INPUT;
  jinja_build_times(&b, &space, n > 0 ? (size_t)n : 0);
  return jinja_build_end(&b, &d->indent);
}

static int want_separators(struct dump *d, struct jinja_value separators)
{
  struct jinja_value pair;
  const struct jinja_string *ignored;
  if (separators.type == JINJA_NONE) {
    const char *between = d->lines ? "," : ", ";
    if (jinja_string_new(d->run, between, strlen(between), 0, &d->item_separator) < 0) return TPO_E_INPUT;
    return jinja_string_new(d->run, ": ", 2, 0, &d->key_separator);
  }
  if (jinja_iterate(d->run, separators, &pair) < 0) return TPO_E_INPUT;
  if (pair.list->n != 2) return jinja_fail(d->run, TPO_E_INPUT, "tojson: separators must be two");
  d->item_separator = pair.list->items[0];
  d->key_separator = pair.list->items[1];
  if (jinja_want_string(d->run, "tojson", d->item_separator, &ignored) < 0) return TPO_E_INPUT;
  return jinja_want_string(d->run, "tojson", d->key_separator, &ignored);
}

int jinja_filter_tojson(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  static const char *const names[] = {"x", "ensure_ascii", "indent", "separators", "sort_keys"};
  struct jinja_value a[5] = {jinja_none(), jinja_bool(false), jinja_none(), jinja_none(), jinja_bool(false)};
  struct jinja_builder b = {.run = run};
  if (jinja_bind(run, "tojson", args, names, 5, 1, a) < 0) return TPO_E_INPUT;
  struct dump d = {.run = run, .b = &b, .ascii = jinja_truthy(a[1]), .sorted = jinja_truthy(a[4])};
  if (want_indent(&d, a[2]) < 0 || want_separators(&d, a[3]) < 0 || dump(&d, a[0], 0) < 0) return TPO_E_INPUT;
  return jinja_build_end(&b, out);
}
