/* The table of filters, and what concerns no one kind of value. */
#include <string.h>
#include "text/jinja/builtin/filters.h"

jinja_function jinja_find_row(const struct jinja_filter_row *rows, size_t n, const char *name)
{
  for (size_t i = 0; i < n; i++)
    if (strcmp(rows[i].name, name) == 0) return rows[i].call;
  return NULL;
}

int jinja_text_of(struct jinja_run *run, const struct jinja_args *args, const struct jinja_string **out)
{
  struct jinja_value text;
  if (jinja_str(run, args->args[0], &text) < 0) return TPO_E_INPUT;
  *out = text.string;
  return 0;
}

/* One part of a path: digits are an index. */
static int step(struct jinja_run *run, const struct jinja_string *part, struct jinja_value *item)
{
  struct jinja_value key;
  int64_t index = 0;
  bool digits = part->len > 0;
  for (size_t at = 0; digits && at < part->len;) digits = jinja_is_digit(jinja_next(part, &at));
  if (digits && jinja_parse_int(part, 10, &index))
    key = jinja_int(index);
  else if (jinja_substring(run, part, 0, part->len, &key) < 0)
    return TPO_E_INPUT;
  return jinja_item(run, *item, key, item);
}

int jinja_path(struct jinja_run *run, struct jinja_value item, struct jinja_value path,
               struct jinja_value otherwise, struct jinja_value *out)
{
  *out = item;
  if (path.type == JINJA_NONE) return 0;
  const struct jinja_string *s = path.type == JINJA_STRING ? path.string : NULL;
  for (size_t begin = 0; s ? begin <= s->len : begin == 0;) {
    const char *dot = s ? memchr(s->bytes + begin, '.', s->len - begin) : NULL;
    size_t end = s ? dot ? (size_t)(dot - s->bytes) : s->len : 0;
    struct jinja_string part = {0};
    if (s)
      part =
          (struct jinja_string){.bytes = s->bytes + begin, .origins = s->origins + begin, .len = end - begin};
    if ((s ? step(run, &part, out) : jinja_item(run, *out, path, out)) < 0) return TPO_E_INPUT;
    if (otherwise.type != JINJA_NONE && out->type == JINJA_UNDEFINED) *out = otherwise;
    begin = end + 1;
  }
  return 0;
}

static int filter_default(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  static const char *const names[] = {"value", "default_value", "boolean"};
  struct jinja_value a[3] = {0};
  a[2] = jinja_bool(false);
  if (jinja_string_new(run, "", 0, 0, &a[1]) < 0 || jinja_bind(run, "default", args, names, 3, 1, a) < 0)
    return TPO_E_INPUT;
  bool lacks = a[0].type == JINJA_UNDEFINED || (jinja_truthy(a[2]) && !jinja_truthy(a[0]));
  *out = lacks ? a[1] : a[0];
  return 0;
}

static int filter_attr(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  static const char *const names[] = {"obj", "name"};
  struct jinja_value a[2];
  const struct jinja_string *name;
  if (jinja_bind(run, "attr", args, names, 2, 2, a) < 0 || jinja_want_string(run, "attr", a[1], &name) < 0)
    return TPO_E_INPUT;
  if (jinja_attribute(run, a[0], name->bytes, out) < 0) return TPO_E_INPUT;
  struct jinja_value item; /* an item of that name is no attribute */
  bool method = out->type == JINJA_CALLABLE && out->callable->self.type != JINJA_UNDEFINED;
  if (a[0].type == JINJA_DICT && !method && jinja_dict_find(a[0].dict, name->bytes, &item))
    return jinja_undefined_of(run, out, "'dict object' has no attribute '%s'", name->bytes);
  return 0;
}

static int filter_string(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  static const char *const names[] = {"object"};
  struct jinja_value v;
  if (jinja_bind(run, "string", args, names, 1, 1, &v) < 0) return TPO_E_INPUT;
  return jinja_str(run, v, out);
}

/* On one line; what Python breaks into several is refused. */
static int filter_pprint(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  static const char *const names[] = {"value"};
  struct jinja_value v;
  struct jinja_builder b = {.run = run};
  if (jinja_bind(run, "pprint", args, names, 1, 1, &v) < 0 || jinja_sort_dicts(run, v, &v) < 0 ||
      jinja_repr(run, v, &b) < 0)
    return TPO_E_INPUT;
  if (jinja_build_end(&b, out) < 0) return TPO_E_INPUT;
  if (jinja_length(out->string) <= 80) return 0;
  return jinja_fail(run, TPO_E_UNSUPPORTED,
                    "the filter pprint of what doesn't fit on a line of 80 characters is not supported");
}

static int filter_random(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  (void)args;
  (void)out;
  return jinja_fail(run, TPO_E_UNSUPPORTED,
                    "the filter random is not supported: a prompt must be the same each time");
}

static int filter_urlize(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  (void)args;
  (void)out;
  return jinja_fail(run, TPO_E_UNSUPPORTED, "the filter urlize is not supported");
}

jinja_function jinja_find_filter(const char *name)
{
  static const struct jinja_filter_row rows[] = {
      {"default", filter_default}, {"d", filter_default},          {"attr", filter_attr},
      {"string", filter_string},   {"pprint", filter_pprint},      {"random", filter_random},
      {"urlize", filter_urlize},   {"tojson", jinja_filter_tojson}};
  static jinja_function (*const finders[])(const char *) = {
      jinja_find_text_filter,   jinja_find_sequence_filter, jinja_find_select_filter, jinja_find_sort_filter,
      jinja_find_number_filter, jinja_find_lines_filter,    jinja_find_html_filter};
  jinja_function found = JINJA_FIND(rows, name);
  for (size_t i = 0; !found && i < sizeof finders / sizeof *finders; i++) found = finders[i](name);
  return found;
}
