/* Strings cut up and put together: strip, split, lines, join, replace, padding. */
#include <string.h>
#include "text/jinja/builtin/builtins.h"
#include "text/unicode/space.h"

static bool among(const struct jinja_string *characters, uint32_t cp)
{
  if (!characters) return tpo_is_space(cp);
  for (size_t at = 0; at < characters->len;)
    if (jinja_next(characters, &at) == cp) return true;
  return false;
}

int jinja_strip(struct jinja_run *run, const struct jinja_string *s, const struct jinja_string *characters,
                bool left, bool right, struct jinja_value *out)
{
  size_t begin = 0, end = s->len, next;
  if (characters && jinja_spend(run, s->len / 64 * (1 + characters->len)) < 0) return TPO_E_INPUT;
  while (left && begin < end) {
    next = begin;
    if (!among(characters, jinja_next(s, &next))) break;
    begin = next;
  }
  while (right && end > begin) {
    size_t last = next = jinja_previous(s, end);
    if (!among(characters, jinja_next(s, &next))) break;
    end = last;
  }
  return jinja_substring(run, s, begin, end, out);
}

static int push_part(struct jinja_run *run, const struct jinja_string *s, size_t begin, size_t end,
                     struct jinja_value *list)
{
  struct jinja_value part;
  if (jinja_spend(run, 1) < 0 || jinja_substring(run, s, begin, end, &part) < 0) return TPO_E_INPUT;
  return jinja_list_push(run, list->list, part);
}

int jinja_split_lines(struct jinja_run *run, const struct jinja_string *s, bool keep_ends,
                      struct jinja_value *out)
{
  if (jinja_list_new(run, JINJA_LIST, 0, out) < 0) return TPO_E_INPUT;
  for (size_t begin = 0; begin < s->len;) {
    size_t at = begin, end = begin;
    while (at < s->len) {
      uint32_t cp = jinja_next(s, &at);
      if (cp == '\r' && at < s->len && s->bytes[at] == '\n') at++;
      if (jinja_is_line_end(cp)) break;
      end = at;
    }
    if (push_part(run, s, begin, keep_ends ? at : end, out) < 0) return TPO_E_INPUT;
    begin = at;
  }
  return 0;
}

static size_t skip_spaces(const struct jinja_string *s, size_t at)
{
  while (at < s->len) {
    size_t next = at;
    if (!tpo_is_space(jinja_next(s, &next))) break;
    at = next;
  }
  return at;
}

int jinja_split_spaces(struct jinja_run *run, const struct jinja_string *s, int64_t max,
                       struct jinja_value *out)
{
  if (jinja_list_new(run, JINJA_LIST, 0, out) < 0) return TPO_E_INPUT;
  for (size_t begin = skip_spaces(s, 0); begin < s->len;) {
    size_t end = begin, next = begin;
    bool rest = max >= 0 && (int64_t)out->list->n == max;
    while (next < s->len && (rest || !tpo_is_space(jinja_next(s, &next)))) {
      if (rest) next = s->len;
      end = next;
    }
    if (push_part(run, s, begin, end, out) < 0) return TPO_E_INPUT;
    begin = rest ? s->len : skip_spaces(s, end);
  }
  return 0;
}

int jinja_join(struct jinja_run *run, const struct jinja_string *between, const struct jinja_list *list,
               struct jinja_value *out)
{
  struct jinja_builder b = {.run = run};
  for (size_t i = 0; i < list->n; i++) {
    if (list->items[i].type != JINJA_STRING)
      return jinja_fail(run, TPO_E_INPUT, "sequence item %zu: expected str instance, %s found", i,
                        jinja_type_name(list->items[i]));
    if (i > 0) jinja_build_string(&b, between);
    jinja_build_string(&b, list->items[i].string);
  }
  return jinja_build_end_like(&b, between, out);
}

/* An empty one is found before each code point and at the end. */
static void replace_nothing(struct jinja_builder *b, const struct jinja_string *s,
                            const struct jinja_string *to, int64_t count)
{
  for (size_t at = 0; !b->failed;) {
    size_t begin = at;
    if (count != 0) jinja_build_string(b, to);
    if (count > 0) count--;
    if (at == s->len) break;
    jinja_next(s, &at);
    jinja_build_slice(b, s, begin, at);
  }
}

int jinja_replace(struct jinja_run *run, const struct jinja_string *s, const struct jinja_string *from,
                  const struct jinja_string *to, int64_t count, struct jinja_value *out)
{
  struct jinja_builder b = {.run = run};
  size_t at = 0, found;
  if (jinja_spend(run, 1 + s->len / 64) < 0) return TPO_E_INPUT;
  if (from->len == 0) {
    replace_nothing(&b, s, to, count);
    return jinja_build_end_like(&b, s, out);
  }
  while (count != 0 && jinja_find_bytes(s->bytes + at, s->len - at, from->bytes, from->len, &found)) {
    jinja_build_slice(&b, s, at, at + found);
    jinja_build_string(&b, to);
    at += found + from->len;
    if (count > 0) count--;
  }
  jinja_build_slice(&b, s, at, s->len);
  return jinja_build_end_like(&b, s, out);
}

int jinja_pad(struct jinja_run *run, const struct jinja_string *s, int64_t width,
              const struct jinja_string *fill, int where, struct jinja_value *out)
{
  tpo_origin computed = 0;
  struct jinja_string space = {.bytes = " ", .origins = &computed, .len = 1};
  size_t n = jinja_length(s), padding = width > 0 && (uint64_t)width > n ? (size_t)width - n : 0;
  size_t left = where < 0 ? 0 : where > 0 ? padding : padding / 2 + (padding & (size_t)width & 1);
  struct jinja_builder b = {.run = run};
  jinja_build_times(&b, fill ? fill : &space, left);
  jinja_build_string(&b, s);
  jinja_build_times(&b, fill ? fill : &space, padding - left);
  return jinja_build_end_like(&b, s, out);
}
