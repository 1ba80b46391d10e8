/* The methods of strings. */
#include <string.h>
#include "text/jinja/builtin/builtins.h"

#define METHOD(name)                                                                                         \
  static int name(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,   \
                  struct jinja_value *out)

static const struct jinja_value absent = {.type = JINJA_NONE};

/* Up to four arguments, of which `required` must be there; the others are None. */
static int bind(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                size_t required, size_t n, struct jinja_value out[4])
{
  static const char *const none[4] = {"", "", "", ""};
  for (size_t i = 0; i < 4; i++) out[i] = absent;
  if (args->n_named > 0) return jinja_fail(run, TPO_E_INPUT, "%s() takes no keyword arguments", self->name);
  if (args->n < required)
    return jinja_fail(run, TPO_E_INPUT, "%s() takes at least %zu arguments, not %zu", self->name, required,
                      args->n);
  return jinja_bind(run, self->name, args, none, n, 0, out);
}

/* What markup would have to escape before it goes into the text. */
static int no_markup(struct jinja_run *run, const struct jinja_callable *self)
{
  if (!self->self.string->markup) return 0;
  return jinja_fail(run, TPO_E_UNSUPPORTED,
                    "%s() of a string that the filter `safe` or `escape` made is not supported", self->name);
}

static int convert(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                   enum jinja_case how, struct jinja_value *out)
{
  struct jinja_value none[4];
  if (bind(run, self, args, 0, 0, none) < 0) return TPO_E_INPUT;
  return jinja_convert_case(run, self->self.string, how, out);
}

METHOD(method_lower)
{
  return convert(run, self, args, JINJA_LOWER, out);
}
METHOD(method_upper)
{
  return convert(run, self, args, JINJA_UPPER, out);
}
METHOD(method_casefold)
{
  return convert(run, self, args, JINJA_FOLD, out);
}

METHOD(method_capitalize)
{
  struct jinja_value none[4];
  if (bind(run, self, args, 0, 0, none) < 0) return TPO_E_INPUT;
  return jinja_capitalize(run, self->self.string, out);
}

static bool is_cased(uint32_t cp)
{
  return jinja_is_upper(cp) || jinja_is_lower(cp) || jinja_is_title(cp);
}

static int recase(struct jinja_run *run, const struct jinja_string *s, bool swap, struct jinja_value *out)
{
  struct jinja_builder b = {.run = run};
  bool inside = false;
  for (size_t at = 0, next = 0; at < s->len; at = next) {
    uint32_t cp = jinja_next(s, &next);
    if (swap && !jinja_is_upper(cp) && !jinja_is_lower(cp))
      jinja_build_slice(&b, s, at, next);
    else if (swap)
      jinja_build_cased(&b, s, at, jinja_is_upper(cp) ? JINJA_LOWER : JINJA_UPPER);
    else
      jinja_build_cased(&b, s, at, inside ? JINJA_LOWER : JINJA_TITLE);
    inside = is_cased(cp);
  }
  return jinja_build_end_like(&b, s, out);
}

METHOD(method_title)
{
  struct jinja_value none[4];
  if (bind(run, self, args, 0, 0, none) < 0) return TPO_E_INPUT;
  return recase(run, self->self.string, false, out);
}

METHOD(method_swapcase)
{
  struct jinja_value none[4];
  if (bind(run, self, args, 0, 0, none) < 0) return TPO_E_INPUT;
  return recase(run, self->self.string, true, out);
}

static int strip(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                 bool left, bool right, struct jinja_value *out)
{
  struct jinja_value a[4];
  const struct jinja_string *characters = NULL;
  if (bind(run, self, args, 0, 1, a) < 0) return TPO_E_INPUT;
  if (a[0].type != JINJA_NONE && jinja_want_string(run, self->name, a[0], &characters) < 0)
    return TPO_E_INPUT;
  return jinja_strip(run, self->self.string, characters, left, right, out);
}

METHOD(method_strip)
{
  return strip(run, self, args, true, true, out);
}
METHOD(method_lstrip)
{
  return strip(run, self, args, true, false, out);
}
METHOD(method_rstrip)
{
  return strip(run, self, args, false, true, out);
}

/* The part of s that begin and end (None: all) name, in bytes; *exists false: begin lies behind the end. */
static int range_of(struct jinja_run *run, const struct jinja_string *s, struct jinja_value begin,
                    struct jinja_value end, size_t *first, size_t *last, bool *exists)
{
  size_t from, to;
  int64_t b = 0;
  *first = 0;
  *last = s->len;
  *exists = true;
  if (begin.type == JINJA_NONE && end.type == JINJA_NONE) return 0;
  if (jinja_spend_bytes(run, s->len) < 0) return TPO_E_INPUT;
  size_t n = jinja_length(s);
  if (jinja_want_range(run, begin, end, n, &from, &to) < 0) return TPO_E_INPUT;
  *exists = !(jinja_is_integer(begin, &b) && b > (int64_t)n) && from <= to;
  *first = jinja_offset(s, from);
  *last = jinja_offset(s, to);
  return *first > *last ? (*last = *first, 0) : 0;
}

static int is_at_edge(struct jinja_run *run, const struct jinja_string *s, size_t first, size_t last,
                      const struct jinja_string *part, bool end, bool *out)
{
  *out = part->len <= last - first;
  if (!*out) return 0;
  *out = part->len == 0 || memcmp(s->bytes + (end ? last - part->len : first), part->bytes, part->len) == 0;
  return jinja_spend_bytes(run, part->len);
}

static int edge(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                bool end, struct jinja_value *out)
{
  struct jinja_value a[4];
  size_t first, last;
  bool exists;
  if (bind(run, self, args, 1, 3, a) < 0) return TPO_E_INPUT;
  if (range_of(run, self->self.string, a[1], a[2], &first, &last, &exists) < 0) return TPO_E_INPUT;
  const struct jinja_value *parts = a[0].type == JINJA_TUPLE ? a[0].list->items : a;
  size_t n = a[0].type == JINJA_TUPLE ? a[0].list->n : 1;
  *out = jinja_bool(false);
  if (jinja_spend(run, n) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < n && !out->truth; i++) {
    const struct jinja_string *part;
    if (jinja_want_string(run, self->name, parts[i], &part) < 0) return TPO_E_INPUT;
    if (exists && is_at_edge(run, self->self.string, first, last, part, end, &out->truth) < 0)
      return TPO_E_INPUT;
  }
  return 0;
}

METHOD(method_startswith)
{
  return edge(run, self, args, false, out);
}
METHOD(method_endswith)
{
  return edge(run, self, args, true, out);
}

static int remove_edge(struct jinja_run *run, const struct jinja_callable *self,
                       const struct jinja_args *args, bool end, struct jinja_value *out)
{
  struct jinja_value a[4];
  const struct jinja_string *s = self->self.string, *part;
  if (bind(run, self, args, 1, 1, a) < 0 || jinja_want_string(run, self->name, a[0], &part) < 0)
    return TPO_E_INPUT;
  bool there;
  if (is_at_edge(run, s, 0, s->len, part, end, &there) < 0) return TPO_E_INPUT;
  size_t cut = there ? part->len : 0;
  return jinja_substring(run, s, end ? 0 : cut, end ? s->len - cut : s->len, out);
}

METHOD(method_removeprefix)
{
  return remove_edge(run, self, args, false, out);
}
METHOD(method_removesuffix)
{
  return remove_edge(run, self, args, true, out);
}

/* *found: an index in code points, -1: it isn't there. */
static int find(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                bool last, int64_t *found)
{
  struct jinja_value a[4];
  const struct jinja_string *s = self->self.string, *part;
  size_t begin, end, at;
  bool exists;
  if (bind(run, self, args, 1, 3, a) < 0 || jinja_want_string(run, self->name, a[0], &part) < 0)
    return TPO_E_INPUT;
  if (jinja_spend_bytes(run, s->len) < 0 || range_of(run, s, a[1], a[2], &begin, &end, &exists) < 0)
    return TPO_E_INPUT;
  *found = -1;
  if (!exists) return 0;
  if (last && jinja_find_last(run, s->bytes + begin, end - begin, part, &at) < 0) return TPO_E_INPUT;
  if (!last && !jinja_find_bytes(s->bytes + begin, end - begin, part->bytes, part->len, &at)) at = SIZE_MAX;
  if (at == SIZE_MAX) return 0;
  struct jinja_string before = {.bytes = s->bytes, .len = begin + at};
  *found = (int64_t)jinja_length(&before);
  return 0;
}

static int find_method(struct jinja_run *run, const struct jinja_callable *self,
                       const struct jinja_args *args, bool last, bool must, struct jinja_value *out)
{
  int64_t found;
  if (find(run, self, args, last, &found) < 0) return TPO_E_INPUT;
  if (must && found < 0) return jinja_fail(run, TPO_E_INPUT, "substring not found");
  *out = jinja_int(found);
  return 0;
}

METHOD(method_find)
{
  return find_method(run, self, args, false, false, out);
}
METHOD(method_rfind)
{
  return find_method(run, self, args, true, false, out);
}
METHOD(method_index)
{
  return find_method(run, self, args, false, true, out);
}
METHOD(method_rindex)
{
  return find_method(run, self, args, true, true, out);
}

METHOD(method_count)
{
  struct jinja_value a[4];
  const struct jinja_string *s = self->self.string, *part;
  size_t begin, end, at;
  bool exists;
  if (bind(run, self, args, 1, 3, a) < 0 || jinja_want_string(run, self->name, a[0], &part) < 0)
    return TPO_E_INPUT;
  if (jinja_spend_bytes(run, s->len) < 0 || range_of(run, s, a[1], a[2], &begin, &end, &exists) < 0)
    return TPO_E_INPUT;
  *out = jinja_int(0);
  if (part->len == 0) {
    struct jinja_string inside = {.bytes = s->bytes + begin, .len = end - begin};
    if (exists) out->integer = (int64_t)jinja_length(&inside) + 1;
    return 0;
  }
  for (; exists && jinja_find_bytes(s->bytes + begin, end - begin, part->bytes, part->len, &at);
       out->integer++) {
    if (jinja_spend(run, 1) < 0) return TPO_E_INPUT;
    begin += at + part->len;
  }
  return 0;
}

METHOD(method_replace)
{
  struct jinja_value a[4];
  const struct jinja_string *from, *to;
  int64_t count = -1;
  if (no_markup(run, self) < 0 || bind(run, self, args, 2, 3, a) < 0) return TPO_E_INPUT;
  if (jinja_want_string(run, self->name, a[0], &from) < 0 ||
      jinja_want_string(run, self->name, a[1], &to) < 0)
    return TPO_E_INPUT;
  if (args->n > 2 && jinja_want_int(run, self->name, a[2], &count) < 0) return TPO_E_INPUT;
  return jinja_replace(run, self->self.string, from, to, count, out);
}

METHOD(method_join)
{
  struct jinja_value a[4], list;
  if (no_markup(run, self) < 0 || bind(run, self, args, 1, 1, a) < 0) return TPO_E_INPUT;
  if (a[0].type == JINJA_UNDEFINED || jinja_iterate(run, a[0], &list) < 0)
    return a[0].type == JINJA_UNDEFINED ? jinja_string_new(run, "", 0, 0, out) : TPO_E_INPUT;
  return jinja_join(run, self->self.string, list.list, out);
}

METHOD(method_format)
{
  return jinja_str_format(run, self->self.string, args, out);
}

static int pad(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
               int where, struct jinja_value *out)
{
  struct jinja_value a[4];
  const struct jinja_string *fill = NULL;
  int64_t width;
  if (no_markup(run, self) < 0 || bind(run, self, args, 1, 2, a) < 0) return TPO_E_INPUT;
  if (jinja_want_int(run, self->name, a[0], &width) < 0) return TPO_E_INPUT;
  if (args->n > 1 && jinja_want_string(run, self->name, a[1], &fill) < 0) return TPO_E_INPUT;
  if (fill && jinja_length(fill) != 1)
    return jinja_fail(run, TPO_E_INPUT, "The fill character must be exactly one character long");
  return jinja_pad(run, self->self.string, width, fill, where, out);
}

METHOD(method_ljust)
{
  return pad(run, self, args, -1, out);
}
METHOD(method_center)
{
  return pad(run, self, args, 0, out);
}
METHOD(method_rjust)
{
  return pad(run, self, args, 1, out);
}

METHOD(method_zfill)
{
  struct jinja_value a[4];
  const struct jinja_string *s = self->self.string;
  tpo_origin computed = 0;
  struct jinja_string zero = {.bytes = "0", .origins = &computed, .len = 1};
  int64_t width;
  if (bind(run, self, args, 1, 1, a) < 0 || jinja_want_int(run, self->name, a[0], &width) < 0)
    return TPO_E_INPUT;
  size_t n = jinja_length(s), sign = s->len > 0 && (s->bytes[0] == '-' || s->bytes[0] == '+');
  struct jinja_builder b = {.run = run};
  jinja_build_slice(&b, s, 0, sign);
  jinja_build_times(&b, &zero, width > 0 && (uint64_t)width > n ? (size_t)width - n : 0);
  jinja_build_slice(&b, s, sign, s->len);
  return jinja_build_end_like(&b, s, out);
}

METHOD(method_expandtabs)
{
  static const char *const names[] = {"tabsize"};
  struct jinja_value size = jinja_int(8);
  const struct jinja_string *s = self->self.string;
  tpo_origin computed = 0;
  struct jinja_string space = {.bytes = " ", .origins = &computed, .len = 1};
  int64_t tab, column = 0;
  if (jinja_bind(run, self->name, args, names, 1, 0, &size) < 0 ||
      jinja_want_int(run, self->name, size, &tab) < 0)
    return TPO_E_INPUT;
  struct jinja_builder b = {.run = run};
  for (size_t at = 0, next = 0; at < s->len; at = next) {
    uint32_t cp = jinja_next(s, &next);
    if (cp != '\t') {
      jinja_build_slice(&b, s, at, next);
      column = cp == '\n' || cp == '\r' ? 0 : column + 1;
    } else if (tab > 0) {
      jinja_build_times(&b, &space, (size_t)(tab - column % tab));
      column = 0; /* a multiple of tab */
    }
  }
  return jinja_build_end_like(&b, s, out);
}

METHOD(method_format_map)
{
  struct jinja_value a[4];
  if (bind(run, self, args, 1, 1, a) < 0) return TPO_E_INPUT;
  if (a[0].type != JINJA_DICT) return jinja_fail(run, TPO_E_INPUT, "format_map() wants a dict");
  const struct jinja_dict *dict = a[0].dict;
  const char **names = jinja_alloc(run, (dict->n + 1) * sizeof *names);
  if (!names) return TPO_E_INPUT;
  for (size_t i = 0; i < dict->n; i++)
    names[i] = dict->keys[i].type == JINJA_STRING ? dict->keys[i].string->bytes : "";
  struct jinja_args named = {.names = names, .named = dict->values, .n_named = dict->n};
  return jinja_str_format(run, self->self.string, &named, out);
}

METHOD(method_refused)
{
  (void)args;
  (void)out;
  return jinja_fail(run, TPO_E_UNSUPPORTED, "the method %s of strings is not supported", self->name);
}

METHOD(method_splitlines)
{
  static const char *const names[] = {"keepends"};
  struct jinja_value keep = jinja_bool(false);
  if (jinja_bind(run, self->name, args, names, 1, 0, &keep) < 0) return TPO_E_INPUT;
  return jinja_split_lines(run, self->self.string, jinja_truthy(keep), out);
}

static const struct jinja_method_row rows[] = {
    {"capitalize", method_capitalize},
    {"casefold", method_casefold},
    {"center", method_center},
    {"count", method_count},
    {"encode", method_refused},
    {"endswith", method_endswith},
    {"expandtabs", method_expandtabs},
    {"find", method_find},
    {"format", method_format},
    {"format_map", method_format_map},
    {"index", method_index},
    {"join", method_join},
    {"ljust", method_ljust},
    {"lower", method_lower},
    {"lstrip", method_lstrip},
    {"maketrans", method_refused},
    {"removeprefix", method_removeprefix},
    {"removesuffix", method_removesuffix},
    {"replace", method_replace},
    {"rfind", method_rfind},
    {"rindex", method_rindex},
    {"rjust", method_rjust},
    {"rstrip", method_rstrip},
    {"splitlines", method_splitlines},
    {"startswith", method_startswith},
    {"strip", method_strip},
    {"swapcase", method_swapcase},
    {"title", method_title},
    {"translate", method_refused},
    {"upper", method_upper},
    {"zfill", method_zfill},
};

jinja_method_function jinja_find_string_method(const char *name)
{
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (strcmp(rows[i].name, name) == 0) return rows[i].call;
  jinja_method_function found = jinja_find_split_method(name);
  return found ? found : jinja_find_is_method(name);
}
