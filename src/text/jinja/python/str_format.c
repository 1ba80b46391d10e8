/* str.format: {field!conversion:spec}, fields with attributes and items, specs with fields in them. */
#include <stdlib.h>
#include <string.h>
#include "text/jinja/builtin/builtins.h"

enum { NESTED_MAX = 2 };

struct formatting {
  struct jinja_run *run;
  const struct jinja_args *args;
  size_t next;            /* of {} */
  bool numbered, counted; /* {0} was seen, {} was seen */
};

static int format_into(struct formatting *f, const struct jinja_string *text, int depth,
                       struct jinja_builder *b);

static struct jinja_string part(const struct jinja_string *s, size_t begin, size_t end)
{
  return (struct jinja_string){.bytes = s->bytes + begin, .origins = s->origins + begin, .len = end - begin};
}

static bool all_digits(const struct jinja_string *s)
{
  for (size_t i = 0; i < s->len; i++)
    if (s->bytes[i] < '0' || s->bytes[i] > '9') return false;
  return s->len > 0 && s->len < 10;
}

static int numbered_argument(struct formatting *f, const struct jinja_string *name, struct jinja_value *out)
{
  size_t i = name->len ? strtoul(name->bytes, NULL, 10) : f->next++;
  *(name->len ? &f->numbered : &f->counted) = true;
  if (f->numbered && f->counted)
    return jinja_fail(f->run, TPO_E_INPUT, "a format can't have both {} and fields with numbers");
  if (i >= f->args->n)
    return jinja_fail(f->run, TPO_E_INPUT, "replacement index %zu out of range for positional args", i);
  *out = f->args->args[i];
  return 0;
}

static int argument(struct formatting *f, const struct jinja_string *name, struct jinja_value *out)
{
  if (name->len == 0 || all_digits(name)) return numbered_argument(f, name, out);
  if (jinja_spend(f->run, f->args->n_named / 8) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < f->args->n_named; i++)
    if (strlen(f->args->names[i]) == name->len && memcmp(f->args->names[i], name->bytes, name->len) == 0) {
      *out = f->args->named[i];
      return 0;
    }
  return jinja_fail(f->run, TPO_E_INPUT, "the format's field '%.*s' is not among its arguments",
                    (int)name->len, name->bytes);
}

static int step_into(struct formatting *f, struct jinja_string name, bool item, struct jinja_value *v)
{
  struct jinja_value key;
  if (name.len == 0) return jinja_fail(f->run, TPO_E_INPUT, "empty attribute in format string");
  if (item && all_digits(&name)) {
    key = jinja_int((int64_t)strtoul(name.bytes, NULL, 10));
    return jinja_item(f->run, *v, key, v);
  }
  if (jinja_string_new(f->run, name.bytes, name.len, 0, &key) < 0) return TPO_E_INPUT;
  return item ? jinja_item(f->run, *v, key, v) : jinja_attribute(f->run, *v, key.string->bytes, v);
}

/* name(.name | [key])* */
static int field(struct formatting *f, const struct jinja_string *text, struct jinja_value *out)
{
  size_t at = 0;
  while (at < text->len && text->bytes[at] != '.' && text->bytes[at] != '[') at++;
  struct jinja_string name = part(text, 0, at);
  if (argument(f, &name, out) < 0) return TPO_E_INPUT;
  while (at < text->len) {
    bool item = text->bytes[at] == '[';
    if (!item && text->bytes[at] != '.')
      return jinja_fail(f->run, TPO_E_INPUT, "only '.' or '[' may follow ']' in a format's field");
    size_t begin = ++at;
    while (at < text->len &&
           (item ? text->bytes[at] != ']' : text->bytes[at] != '.' && text->bytes[at] != '['))
      at++;
    if (item && at == text->len) return jinja_fail(f->run, TPO_E_INPUT, "missing ']' in format string");
    if (step_into(f, part(text, begin, at), item, out) < 0) return TPO_E_INPUT;
    if (item) at++;
  }
  return 0;
}

static int convert(struct formatting *f, char how, struct jinja_value *v)
{
  if (how == 's') return jinja_str(f->run, *v, v);
  if (how != 'r')
    return jinja_fail(f->run, TPO_E_UNSUPPORTED, "the conversion !%c of a format is not supported", how);
  struct jinja_builder text = {.run = f->run};
  if (jinja_repr(f->run, *v, &text) < 0) return TPO_E_INPUT;
  return jinja_build_end(&text, v);
}

/* What stands between braces. */
static int replacement(struct formatting *f, struct jinja_string inner, int depth, struct jinja_builder *b)
{
  size_t at = 0;
  int brackets = 0;
  for (; at < inner.len && (brackets || (inner.bytes[at] != '!' && inner.bytes[at] != ':')); at++)
    brackets += (inner.bytes[at] == '[') - (inner.bytes[at] == ']' && brackets);
  struct jinja_string name = part(&inner, 0, at);
  struct jinja_value v, made;
  char how = 0;
  if (at < inner.len && inner.bytes[at] == '!') {
    if (at + 1 >= inner.len || (at + 2 < inner.len && inner.bytes[at + 2] != ':'))
      return jinja_fail(f->run, TPO_E_INPUT, "expected ':' after conversion specifier");
    how = inner.bytes[at + 1];
    at += 2;
  }
  if (field(f, &name, &v) < 0 || (how && convert(f, how, &v) < 0)) return TPO_E_INPUT;
  struct jinja_string spec = part(&inner, at < inner.len ? at + 1 : inner.len, inner.len);
  struct jinja_builder text = {.run = f->run};
  if (format_into(f, &spec, depth + 1, &text) < 0 || jinja_build_end(&text, &made) < 0) return TPO_E_INPUT;
  return jinja_format_spec(f->run, v, made.string, b);
}

static int closing(struct formatting *f, const struct jinja_string *text, size_t begin, size_t *end)
{
  int depth = 1;
  for (*end = begin; *end < text->len; ++*end) {
    if (text->bytes[*end] == '{') depth++;
    if (text->bytes[*end] == '}' && --depth == 0) return 0;
  }
  return jinja_fail(f->run, TPO_E_INPUT, "expected '}' before end of string");
}

static int format_into(struct formatting *f, const struct jinja_string *text, int depth,
                       struct jinja_builder *b)
{
  if (depth > NESTED_MAX) return jinja_fail(f->run, TPO_E_INPUT, "Max string recursion exceeded");
  for (size_t at = 0; at < text->len; at++) {
    char c = text->bytes[at];
    bool twice = at + 1 < text->len && text->bytes[at + 1] == c;
    if (c != '{' && c != '}') {
      jinja_build_slice(b, text, at, at + 1);
    } else if (twice) {
      jinja_build_slice(b, text, at, at + 1);
      at++;
    } else if (c == '}') {
      return jinja_fail(f->run, TPO_E_INPUT, "Single '}' encountered in format string");
    } else {
      size_t end;
      if (closing(f, text, at + 1, &end) < 0 || replacement(f, part(text, at + 1, end), depth, b) < 0)
        return TPO_E_INPUT;
      at = end;
    }
  }
  return b->failed ? TPO_E_INPUT : 0;
}

int jinja_str_format(struct jinja_run *run, const struct jinja_string *format, const struct jinja_args *args,
                     struct jinja_value *out)
{
  struct formatting f = {.run = run, .args = args};
  struct jinja_builder b = {.run = run};
  if (format->markup)
    return jinja_fail(run, TPO_E_UNSUPPORTED,
                      "format() of a string that the filter `safe` or `escape` made is not supported");
  if (format_into(&f, format, 0, &b) < 0) return TPO_E_INPUT;
  return jinja_build_end(&b, out);
}
