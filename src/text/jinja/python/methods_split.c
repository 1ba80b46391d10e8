/* Methods that cut strings at a separator: split, rsplit, partition, rpartition. */
#include <string.h>
#include "text/jinja/builtin/builtins.h"
#include "text/unicode/space.h"

int jinja_find_last(struct jinja_run *run, const char *text, size_t len, const struct jinja_string *part,
                    size_t *at)
{
  *at = SIZE_MAX;
  if (part->len > len) return 0;
  for (size_t i = len - part->len + 1; i-- > 0;) {
    if (part->len > 0 && text[i] != part->bytes[0]) continue;
    if (jinja_spend(run, part->len / 64) < 0) return TPO_E_INPUT;
    if (part->len > 0 && memcmp(text + i, part->bytes, part->len) != 0) continue;
    *at = i;
    break;
  }
  return 0;
}

static int push(struct jinja_run *run, const struct jinja_string *s, size_t begin, size_t end,
                struct jinja_value *list)
{
  struct jinja_value part;
  if (jinja_substring(run, s, begin, end, &part) < 0) return TPO_E_INPUT;
  return jinja_list_push(run, list->list, part);
}

static int split_at(struct jinja_run *run, const struct jinja_string *s, const struct jinja_string *separator,
                    int64_t max, struct jinja_value *out)
{
  size_t begin = 0, at;
  if (jinja_list_new(run, JINJA_LIST, 0, out) < 0) return TPO_E_INPUT;
  while (max-- != 0 &&
         jinja_find_bytes(s->bytes + begin, s->len - begin, separator->bytes, separator->len, &at)) {
    if (push(run, s, begin, begin + at, out) < 0) return TPO_E_INPUT;
    begin += at + separator->len;
  }
  return push(run, s, begin, s->len, out);
}

static void turn_around(struct jinja_list *list)
{
  for (size_t i = 0; i < list->n / 2; i++) {
    struct jinja_value item = list->items[i];
    list->items[i] = list->items[list->n - 1 - i];
    list->items[list->n - 1 - i] = item;
  }
}

static int split_last(struct jinja_run *run, const struct jinja_string *s,
                      const struct jinja_string *separator, int64_t max, struct jinja_value *out)
{
  size_t end = s->len, at;
  if (jinja_list_new(run, JINJA_LIST, 0, out) < 0) return TPO_E_INPUT;
  while (max-- != 0) {
    if (jinja_find_last(run, s->bytes, end, separator, &at) < 0) return TPO_E_INPUT;
    if (at == SIZE_MAX) break;
    if (push(run, s, at + separator->len, end, out) < 0) return TPO_E_INPUT;
    end = at;
  }
  if (push(run, s, 0, end, out) < 0) return TPO_E_INPUT;
  turn_around(out->list);
  return 0;
}

static size_t strip_right(const struct jinja_string *s, size_t end)
{
  while (end > 0) {
    size_t begin = jinja_previous(s, end), next = begin;
    if (!tpo_is_space(jinja_next(s, &next))) break;
    end = begin;
  }
  return end;
}

static int split_last_spaces(struct jinja_run *run, const struct jinja_string *s, int64_t max,
                             struct jinja_value *out)
{
  if (jinja_list_new(run, JINJA_LIST, 0, out) < 0) return TPO_E_INPUT;
  for (size_t end = strip_right(s, s->len); end > 0;) {
    size_t begin = end;
    if (max-- == 0) { /* the rest keeps the white space before it */
      if (push(run, s, 0, end, out) < 0) return TPO_E_INPUT;
      break;
    }
    while (begin > 0) {
      size_t before = jinja_previous(s, begin), next = before;
      if (tpo_is_space(jinja_next(s, &next))) break;
      begin = before;
    }
    if (push(run, s, begin, end, out) < 0) return TPO_E_INPUT;
    end = strip_right(s, begin);
  }
  turn_around(out->list);
  return 0;
}

static int split(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                 bool last, struct jinja_value *out)
{
  static const char *const names[] = {"sep", "maxsplit"};
  struct jinja_value a[2] = {jinja_none(), jinja_int(-1)};
  const struct jinja_string *separator, *s = self->self.string;
  int64_t max;
  if (jinja_bind(run, self->name, args, names, 2, 0, a) < 0 ||
      jinja_want_int(run, self->name, a[1], &max) < 0)
    return TPO_E_INPUT;
  if (jinja_spend(run, s->len / 64) < 0) return TPO_E_INPUT;
  if (max < 0) max = -1;
  if (a[0].type == JINJA_NONE)
    return last ? split_last_spaces(run, s, max, out) : jinja_split_spaces(run, s, max, out);
  if (jinja_want_string(run, self->name, a[0], &separator) < 0) return TPO_E_INPUT;
  if (separator->len == 0) return jinja_fail(run, TPO_E_INPUT, "empty separator");
  return last ? split_last(run, s, separator, max, out) : split_at(run, s, separator, max, out);
}

static int method_split(struct jinja_run *run, const struct jinja_callable *self,
                        const struct jinja_args *args, struct jinja_value *out)
{
  return split(run, self, args, false, out);
}

static int method_rsplit(struct jinja_run *run, const struct jinja_callable *self,
                         const struct jinja_args *args, struct jinja_value *out)
{
  return split(run, self, args, true, out);
}

static int partition(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                     bool last, struct jinja_value *out)
{
  static const char *const names[] = {"sep"};
  const struct jinja_string *s = self->self.string, *separator;
  struct jinja_value sep;
  size_t at, behind;
  if (jinja_bind(run, self->name, args, names, 1, 1, &sep) < 0 ||
      jinja_want_string(run, self->name, sep, &separator) < 0 || jinja_spend(run, s->len / 64) < 0)
    return TPO_E_INPUT;
  if (separator->len == 0) return jinja_fail(run, TPO_E_INPUT, "empty separator");
  if (last && jinja_find_last(run, s->bytes, s->len, separator, &at) < 0) return TPO_E_INPUT;
  if (!last && !jinja_find_bytes(s->bytes, s->len, separator->bytes, separator->len, &at)) at = SIZE_MAX;
  behind = at == SIZE_MAX ? 0 : at + separator->len;
  if (at == SIZE_MAX) at = last ? 0 : s->len, behind = last ? 0 : s->len;
  if (jinja_list_new(run, JINJA_TUPLE, 3, out) < 0 || push(run, s, 0, at, out) < 0) return TPO_E_INPUT;
  /* the separator is the text's own bytes */
  return push(run, s, at, behind, out) < 0 ? TPO_E_INPUT : push(run, s, behind, s->len, out);
}

static int method_partition(struct jinja_run *run, const struct jinja_callable *self,
                            const struct jinja_args *args, struct jinja_value *out)
{
  return partition(run, self, args, false, out);
}

static int method_rpartition(struct jinja_run *run, const struct jinja_callable *self,
                             const struct jinja_args *args, struct jinja_value *out)
{
  return partition(run, self, args, true, out);
}

jinja_method_function jinja_find_split_method(const char *name)
{
  static const struct jinja_method_row rows[] = {{"split", method_split},
                                                 {"rsplit", method_rsplit},
                                                 {"partition", method_partition},
                                                 {"rpartition", method_rpartition}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (strcmp(rows[i].name, name) == 0) return rows[i].call;
  return NULL;
}
