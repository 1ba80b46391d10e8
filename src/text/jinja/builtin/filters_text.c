/* Filters of strings that are methods of Python's, or nearly. */
#include <string.h>
#include "text/jinja/builtin/filters.h"
#include "text/unicode/space.h"

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

FILTER(filter_upper)
{
  const struct jinja_string *s;
  return text_alone(run, "upper", args, &s) < 0 ? TPO_E_INPUT : jinja_convert_case(run, s, JINJA_UPPER, out);
}

FILTER(filter_lower)
{
  const struct jinja_string *s;
  return text_alone(run, "lower", args, &s) < 0 ? TPO_E_INPUT : jinja_convert_case(run, s, JINJA_LOWER, out);
}

FILTER(filter_capitalize)
{
  const struct jinja_string *s;
  return text_alone(run, "capitalize", args, &s) < 0 ? TPO_E_INPUT : jinja_capitalize(run, s, out);
}

static bool begins_word(uint32_t cp)
{
  return tpo_is_space(cp) || (cp && cp < 128 && strchr("-({[<", (int)cp));
}

/* Where the word that begins at `at` ends. */
static size_t word_end(const struct jinja_string *s, size_t at)
{
  for (size_t next = at; at < s->len; at = next)
    if (begins_word(jinja_next(s, &next))) break;
  return at;
}

/* As jinja2 does it: what follows a word's first letter becomes lower case as if it stood alone. */
FILTER(filter_title)
{
  const struct jinja_string *s;
  struct jinja_builder b = {.run = run};
  if (text_alone(run, "title", args, &s) < 0) return TPO_E_INPUT;
  for (size_t at = 0; at < s->len;) {
    size_t next = at, end = word_end(s, at);
    jinja_next(s, &next);
    jinja_build_cased(&b, s, at, JINJA_UPPER);
    if (end < next) end = next;
    struct jinja_string rest = {.bytes = s->bytes + next, .origins = s->origins + next, .len = end - next};
    for (size_t i = 0; i < rest.len; jinja_next(&rest, &i)) jinja_build_cased(&b, &rest, i, JINJA_LOWER);
    at = end;
  }
  return jinja_build_end_like(&b, s, out);
}

FILTER(filter_trim)
{
  static const char *const names[] = {"value", "chars"};
  struct jinja_value a[2] = {jinja_none(), jinja_none()};
  const struct jinja_string *s, *characters = NULL;
  if (jinja_bind(run, "trim", args, names, 2, 1, a) < 0 || jinja_text_of(run, args, &s) < 0)
    return TPO_E_INPUT;
  if (a[1].type != JINJA_NONE && jinja_want_string(run, "trim", a[1], &characters) < 0) return TPO_E_INPUT;
  return jinja_strip(run, s, characters, true, true, out);
}

FILTER(filter_center)
{
  static const char *const names[] = {"value", "width"};
  struct jinja_value a[2] = {jinja_none(), jinja_int(80)};
  const struct jinja_string *s;
  int64_t width;
  if (jinja_bind(run, "center", args, names, 2, 1, a) < 0 || jinja_text_of(run, args, &s) < 0 ||
      jinja_want_int(run, "center", a[1], &width) < 0)
    return TPO_E_INPUT;
  return jinja_pad(run, s, width, NULL, 0, out);
}

FILTER(filter_replace)
{
  static const char *const names[] = {"s", "old", "new", "count"};
  struct jinja_value a[4] = {jinja_none(), jinja_none(), jinja_none(), jinja_none()}, from, to;
  const struct jinja_string *s;
  int64_t count = -1;
  if (jinja_bind(run, "replace", args, names, 4, 3, a) < 0 || jinja_text_of(run, args, &s) < 0)
    return TPO_E_INPUT;
  if (jinja_str(run, a[1], &from) < 0 || jinja_str(run, a[2], &to) < 0) return TPO_E_INPUT;
  if (a[3].type != JINJA_NONE && jinja_want_int(run, "replace", a[3], &count) < 0) return TPO_E_INPUT;
  struct jinja_string plain = *s; /* str() of markup is a plain string */
  plain.markup = false;
  return jinja_replace(run, &plain, from.string, to.string, count, out);
}

static int named_as_dict(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  if (jinja_dict_new(run, out) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < args->n_named; i++) {
    struct jinja_value key;
    if (jinja_string_new(run, args->names[i], strlen(args->names[i]), 0, &key) < 0 ||
        jinja_dict_put(run, out->dict, key, args->named[i]) < 0)
      return TPO_E_INPUT;
  }
  return 0;
}

FILTER(filter_format)
{
  const struct jinja_string *s;
  struct jinja_value values;
  if (args->n > 1 && args->n_named > 0)
    return jinja_fail(run, TPO_E_INPUT,
                      "format can't handle positional and keyword arguments at the same time");
  if (jinja_text_of(run, args, &s) < 0) return TPO_E_INPUT;
  if (args->n_named > 0) {
    if (named_as_dict(run, args, &values) < 0) return TPO_E_INPUT;
    return jinja_percent(run, s, values, out);
  }
  if (jinja_list_new(run, JINJA_TUPLE, args->n, &values) < 0) return TPO_E_INPUT;
  for (size_t i = 1; i < args->n; i++)
    if (jinja_list_push(run, values.list, args->args[i]) < 0) return TPO_E_INPUT;
  return jinja_percent(run, s, values, out);
}

/* A row of values that is short enough stays as it is, too; a longer one can't be cut. */
static int fits(struct jinja_run *run, struct jinja_value v, int64_t most, bool *out)
{
  struct jinja_value n;
  if (jinja_find_filter("length")(run, &(struct jinja_args){.args = &v, .n = 1}, &n) < 0) return TPO_E_INPUT;
  *out = n.integer <= most;
  return 0;
}

static int truncate_text(struct jinja_run *run, const struct jinja_string *s, int64_t length, bool kill_words,
                         const struct jinja_string *end, struct jinja_value *out)
{
  size_t cut = jinja_offset(s, (size_t)(length - (int64_t)jinja_length(end)));
  const char *space = kill_words ? NULL : memrchr(s->bytes, ' ', cut);
  struct jinja_builder b = {.run = run};
  jinja_build_slice(&b, s, 0, space ? (size_t)(space - s->bytes) : cut);
  jinja_build_string(&b, end);
  return jinja_build_end_like(&b, s, out);
}

FILTER(filter_truncate)
{
  static const char *const names[] = {"s", "length", "killwords", "end", "leeway"};
  struct jinja_value a[5] = {jinja_none(), jinja_int(255), jinja_bool(false), jinja_none(), jinja_none()};
  const struct jinja_string *s, *end;
  int64_t length, leeway = 5, most;
  bool whole;
  if (jinja_string_new(run, "...", 3, 0, &a[3]) < 0 ||
      jinja_bind(run, "truncate", args, names, 5, 1, a) < 0 ||
      jinja_want_string(run, "truncate", a[3], &end) < 0 ||
      jinja_want_int(run, "truncate", a[1], &length) < 0 ||
      (a[4].type != JINJA_NONE && jinja_want_int(run, "truncate", a[4], &leeway) < 0))
    return TPO_E_INPUT;
  if (length < (int64_t)jinja_length(end) || leeway < 0)
    return jinja_fail(run, TPO_E_INPUT, "truncate: the length must hold the end, and leeway not be negative");
  if (__builtin_add_overflow(length, leeway, &most)) most = INT64_MAX;
  if (fits(run, a[0], most, &whole) < 0) return TPO_E_INPUT;
  *out = a[0];
  if (whole) return 0;
  if (jinja_want_string(run, "truncate", a[0], &s) < 0) return TPO_E_INPUT;
  return truncate_text(run, s, length, jinja_truthy(a[2]), end, out);
}

FILTER(filter_wordcount)
{
  const struct jinja_string *s;
  bool inside = false;
  if (text_alone(run, "wordcount", args, &s) < 0 || jinja_spend(run, s->len / 8) < 0) return TPO_E_INPUT;
  *out = jinja_int(0);
  for (size_t at = 0; at < s->len;) {
    uint32_t cp = jinja_next(s, &at);
    bool word = cp == '_' || jinja_is_letter(cp) || jinja_is_numeric(cp);
    out->integer += word && !inside;
    inside = word;
  }
  return 0;
}

jinja_function jinja_find_text_filter(const char *name)
{
  static const struct jinja_filter_row rows[] = {
      {"trim", filter_trim},          {"upper", filter_upper},     {"lower", filter_lower},
      {"title", filter_title},        {"replace", filter_replace}, {"capitalize", filter_capitalize},
      {"format", filter_format},      {"center", filter_center},   {"truncate", filter_truncate},
      {"wordcount", filter_wordcount}};
  return JINJA_FIND(rows, name);
}
