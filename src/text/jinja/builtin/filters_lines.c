/* Filters that work line by line: indent, wordwrap. */
#include <string.h>
#include "text/jinja/builtin/filters.h"

static int indentation(struct jinja_run *run, struct jinja_value width, struct jinja_value *out)
{
  int64_t n;
  tpo_origin computed = 0;
  struct jinja_string space = {.bytes = " ", .origins = &computed, .len = 1};
  *out = width;
  if (width.type == JINJA_STRING) return 0;
  if (jinja_want_int(run, "indent", width, &n) < 0) return TPO_E_INPUT;
  struct jinja_builder b = {.run = run};
  jinja_build_times(&b, &space, n > 0 ? (size_t)n : 0);
  return jinja_build_end(&b, out);
}

/* The line feeds between lines are the text's own where it has line feeds there. */
static void build_indented(struct jinja_builder *b, const struct jinja_string *s,
                           const struct jinja_list *lines, const struct jinja_string *indent, bool blank)
{
  size_t at = 0;
  for (size_t i = 0; i < lines->n; i++) {
    const struct jinja_string *line = lines->items[i].string;
    if (i > 0) {
      jinja_build_bytes(b, "\n", 1, s->origins[at]);
      if (s->bytes[at] == '\r' && at + 1 < s->len && s->bytes[at + 1] == '\n') at++;
      jinja_next(s, &at);
      if (blank || line->len > 0) jinja_build_string(b, indent);
    }
    jinja_build_string(b, line);
    at += line->len;
  }
}

static int filter_indent(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  static const char *const names[] = {"s", "width", "first", "blank"};
  struct jinja_value a[4] = {jinja_none(), jinja_int(4), jinja_bool(false), jinja_bool(false)}, indent, lines,
                     empty;
  const struct jinja_string *s;
  struct jinja_builder b = {.run = run};
  if (jinja_bind(run, "indent", args, names, 4, 1, a) < 0 || jinja_want_string(run, "indent", a[0], &s) < 0 ||
      indentation(run, a[1], &indent) < 0 || jinja_split_lines(run, s, false, &lines) < 0)
    return TPO_E_INPUT;
  size_t last = s->len ? jinja_previous(s, s->len) : 0;
  /* jinja2 adds a line feed before it looks for lines, so that one of nothing follows; one of "\r\n" is no
   * other line */
  bool ends = s->len == 0 || (s->bytes[last] != '\r' && jinja_is_line_end(jinja_next(s, &last)));
  if (ends && (jinja_substring(run, s, 0, 0, &empty) < 0 || jinja_list_push(run, lines.list, empty) < 0))
    return TPO_E_INPUT;
  if (jinja_truthy(a[2])) jinja_build_string(&b, indent.string);
  build_indented(&b, s, lines.list, indent.string, jinja_truthy(a[3]));
  return jinja_build_end_like(&b, s, out);
}

jinja_function jinja_find_lines_filter(const char *name)
{
  static const struct jinja_filter_row rows[] = {{"indent", filter_indent},
                                                 {"wordwrap", jinja_filter_wordwrap}};
  return JINJA_FIND(rows, name);
}
