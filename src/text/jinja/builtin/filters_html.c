/* Filters for HTML and addresses, which chat templates have little use for: escape, safe, striptags,
 * urlencode, xmlattr. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "text/jinja/builtin/filters.h"

#define FILTER(name)                                                                                         \
  static int name(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)

static int text_alone(struct jinja_run *run, const char *function, const struct jinja_args *args,
                      const struct jinja_string **s)
{
  static const char *const names[] = {"s"};
  struct jinja_value v;
  if (jinja_bind(run, function, args, names, 1, 1, &v) < 0) return TPO_E_INPUT;
  return jinja_text_of(run, args, s);
}

static int escaped(struct jinja_run *run, const struct jinja_string *s, struct jinja_value *out)
{
  struct jinja_builder b = {.run = run};
  jinja_build_escaped(&b, s);
  return jinja_build_end(&b, out) < 0 ? TPO_E_INPUT : jinja_mark(run, *out, out);
}

FILTER(filter_escape)
{
  const struct jinja_string *s;
  if (text_alone(run, "escape", args, &s) < 0) return TPO_E_INPUT;
  *out = args->args[0];
  return s->markup ? 0 : escaped(run, s, out);
}

FILTER(filter_forceescape)
{
  const struct jinja_string *s;
  return text_alone(run, "forceescape", args, &s) < 0 ? TPO_E_INPUT : escaped(run, s, out);
}

FILTER(filter_safe)
{
  const struct jinja_string *s;
  struct jinja_value text;
  if (text_alone(run, "safe", args, &s) < 0 || jinja_substring(run, s, 0, s->len, &text) < 0)
    return TPO_E_INPUT;
  return jinja_mark(run, text, out);
}

/* Where a tag or comment that begins at `at` ends; 0: it isn't closed. */
static size_t tag_end(const struct jinja_string *s, size_t at)
{
  size_t found;
  bool comment = s->len - at >= 4 && memcmp(s->bytes + at, "<!--", 4) == 0;
  size_t begin = comment ? at + 4 : at, mark = comment ? 3 : 1;
  if (!jinja_find_bytes(s->bytes + begin, s->len - begin, comment ? "-->" : ">", mark, &found)) return 0;
  return begin + found + mark;
}

static int without_tags(struct jinja_run *run, const struct jinja_string *s, struct jinja_value *out)
{
  struct jinja_builder b = {.run = run};
  size_t at = 0;
  while (at < s->len) {
    const char *tag = memchr(s->bytes + at, '<', s->len - at);
    size_t begin = tag ? (size_t)(tag - s->bytes) : s->len, end = tag ? tag_end(s, begin) : 0;
    if (end == 0) break;
    jinja_build_slice(&b, s, at, begin);
    at = end;
  }
  jinja_build_slice(&b, s, at, s->len);
  return jinja_build_end(&b, out);
}

/* The code point of "&name;" or "&#n;" at `at`, and its length; 0: none. */
static uint32_t entity(const struct jinja_string *s, size_t at, size_t *len)
{
  static const struct {
    const char *name;
    uint32_t cp;
  } known[] = {{"&amp;", '&'},  {"&lt;", '<'},    {"&gt;", '>'},
               {"&quot;", '"'}, {"&apos;", '\''}, {"&nbsp;", 0xa0}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    *len = strlen(known[i].name);
    if (s->len - at >= *len && memcmp(s->bytes + at, known[i].name, *len) == 0) return known[i].cp;
  }
  bool hex = s->bytes[at + 1] == '#' && (s->bytes[at + 2] | 32) == 'x';
  const char *digits = s->bytes + at + (hex ? 3 : 2);
  char *end;
  if (s->bytes[at + 1] != '#' || !strchr("0123456789abcdefABCDEF", digits[0]) || !digits[0]) return 0;
  unsigned long cp = strtoul(digits, &end, hex ? 16 : 10);
  if (end == digits || *end != ';' || cp < 0xa0 ? cp < 0x20 || cp > 0x7e || *end != ';' : false) return 0;
  if (cp > 0x10ffff || (cp & ~0x7fful) == 0xd800) return 0;
  *len = (size_t)(end + 1 - (s->bytes + at));
  return (uint32_t)cp;
}

static bool looks_like_entity(const struct jinja_string *s, size_t at)
{
  size_t n = 1 + strspn(s->bytes + at + 1, "#abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
  return n > 1 && s->bytes[at + n] == ';';
}

FILTER(filter_striptags)
{
  const struct jinja_string *s;
  struct jinja_value text, words;
  struct jinja_builder b = {.run = run};
  if (text_alone(run, "striptags", args, &s) < 0 || without_tags(run, s, &text) < 0 ||
      jinja_split_spaces(run, text.string, -1, &words) < 0)
    return TPO_E_INPUT;
  for (size_t i = 0; i < words.list->n; i++) {
    const struct jinja_string *word = words.list->items[i].string;
    if (i > 0) jinja_build_text(&b, " ");
    for (size_t at = 0, len; at < word->len; at += len) {
      uint32_t cp = word->bytes[at] == '&' ? entity(word, at, &len) : 0;
      if (cp)
        jinja_build_code_point(&b, cp, word->origins[at]);
      else if (word->bytes[at] == '&' && looks_like_entity(word, at))
        return jinja_fail(run, TPO_E_UNSUPPORTED,
                          "striptags of text with the HTML entity %.12s is not supported", word->bytes + at);
      else
        jinja_build_slice(&b, word, at, at + (len = 1));
    }
  }
  return jinja_build_end(&b, out);
}

static void build_quoted(struct jinja_builder *b, const struct jinja_string *s, bool query)
{
  for (size_t i = 0; i < s->len; i++) {
    char c = s->bytes[i], code[4];
    bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                 (c && strchr(query ? "_.-~" : "_.-~/", c));
    if (plain) {
      jinja_build_slice(b, s, i, i + 1);
    } else {
      snprintf(code, sizeof code, "%%%02X", (uint8_t)c);
      jinja_build_bytes(b, query && c == ' ' ? "+" : code, query && c == ' ' ? 1 : 3, s->origins[i]);
    }
  }
}

static int build_pairs(struct jinja_run *run, const struct jinja_list *pairs, struct jinja_builder *b)
{
  for (size_t i = 0; i < pairs->n; i++) {
    struct jinja_value pair, text;
    if (jinja_iterate(run, pairs->items[i], &pair) < 0) return TPO_E_INPUT;
    if (pair.list->n != 2) return jinja_fail(run, TPO_E_INPUT, "urlencode wants pairs of a key and a value");
    for (size_t k = 0; k < 2; k++) {
      if (i > 0 || k > 0) jinja_build_text(b, k ? "=" : "&");
      if (jinja_str(run, pair.list->items[k], &text) < 0) return TPO_E_INPUT;
      build_quoted(b, text.string, true);
    }
  }
  return 0;
}

FILTER(filter_urlencode)
{
  static const char *const names[] = {"value"};
  struct jinja_value v, row;
  const struct jinja_string *s;
  struct jinja_builder b = {.run = run};
  if (jinja_bind(run, "urlencode", args, names, 1, 1, &v) < 0) return TPO_E_INPUT;
  bool pairs = v.type == JINJA_LIST || v.type == JINJA_TUPLE || v.type == JINJA_DICT;
  if (!pairs) {
    if (jinja_text_of(run, args, &s) < 0) return TPO_E_INPUT;
    build_quoted(&b, s, false);
    return jinja_build_end(&b, out);
  }
  if (v.type == JINJA_DICT && jinja_dict_view(run, v.dict, JINJA_ITEMS, &v) < 0) return TPO_E_INPUT;
  if (jinja_iterate(run, v, &row) < 0 || build_pairs(run, row.list, &b) < 0) return TPO_E_INPUT;
  return jinja_build_end(&b, out);
}

static int attribute(struct jinja_run *run, struct jinja_value key, struct jinja_value value,
                     struct jinja_builder *b)
{
  const struct jinja_string *name;
  struct jinja_value text;
  if (jinja_want_string(run, "xmlattr", key, &name) < 0 || jinja_str(run, value, &text) < 0)
    return TPO_E_INPUT;
  if (strpbrk(name->bytes, " \t\n\v\f\r/>="))
    return jinja_fail(run, TPO_E_INPUT, "Invalid character in attribute name: '%s'", name->bytes);
  if (b->len > 0) jinja_build_text(b, " ");
  jinja_build_escaped(b, name);
  jinja_build_text(b, "=\"");
  if (text.string->markup)
    jinja_build_string(b, text.string);
  else
    jinja_build_escaped(b, text.string);
  jinja_build_text(b, "\"");
  return 0;
}

FILTER(filter_xmlattr)
{
  static const char *const names[] = {"d", "autospace"};
  struct jinja_value a[2] = {jinja_none(), jinja_bool(true)}, inside;
  struct jinja_builder b = {.run = run}, spaced = {.run = run};
  if (jinja_bind(run, "xmlattr", args, names, 2, 1, a) < 0) return TPO_E_INPUT;
  if (a[0].type != JINJA_DICT) return jinja_fail(run, TPO_E_INPUT, "xmlattr wants a dict");
  for (size_t i = 0; i < a[0].dict->n; i++) {
    struct jinja_value value = a[0].dict->values[i];
    if (value.type == JINJA_NONE || value.type == JINJA_UNDEFINED) continue;
    if (attribute(run, a[0].dict->keys[i], value, &b) < 0) return TPO_E_INPUT;
  }
  if (jinja_build_end(&b, &inside) < 0) return TPO_E_INPUT;
  if (inside.string->len > 0 && jinja_truthy(a[1])) jinja_build_text(&spaced, " ");
  jinja_build_string(&spaced, inside.string);
  return jinja_build_end(&spaced, out);
}

jinja_function jinja_find_html_filter(const char *name)
{
  static const struct jinja_filter_row rows[] = {
      {"escape", filter_escape},           {"e", filter_escape},
      {"forceescape", filter_forceescape}, {"safe", filter_safe},
      {"striptags", filter_striptags},     {"urlencode", filter_urlencode},
      {"xmlattr", filter_xmlattr}};
  return JINJA_FIND(rows, name);
}
