/* Strings: made whole or put together, with an origin for each byte. */
#include <string.h>
#include "base/utf8.h"
#include "text/jinja/builtin/builtins.h"

int jinja_string_new(struct jinja_run *run, const char *bytes, size_t len, tpo_origin origin,
                     struct jinja_value *out)
{
  struct jinja_builder b = {.run = run};
  jinja_build_reserve(&b, len);
  jinja_build_bytes(&b, bytes, len, origin);
  return jinja_build_end(&b, out);
}

bool jinja_build_reserve(struct jinja_builder *b, size_t more)
{
  size_t needed;
  if (b->failed) return false;
  if (__builtin_add_overflow(b->len, more, &needed) || needed > SIZE_MAX / 8) needed = SIZE_MAX / 8;
  if (needed <= b->capacity) return true;
  size_t capacity = needed < b->capacity * 2 ? b->capacity * 2 : needed;
  char *bytes = jinja_alloc(b->run, capacity + 1);
  tpo_origin *origins = bytes ? jinja_alloc(b->run, capacity * sizeof *origins) : NULL;
  if (!origins) {
    b->failed = true;
    return false;
  }
  if (b->len > 0) {
    memcpy(bytes, b->bytes, b->len);
    memcpy(origins, b->origins, b->len * sizeof *origins);
  }
  b->bytes = bytes;
  b->origins = origins;
  b->capacity = capacity;
  return true;
}

/* Room for one more piece. */
static bool begin_piece(struct jinja_builder *b, size_t len)
{
  if (!jinja_build_reserve(b, len) || len == 0) return false;
  if (++b->pieces < JINJA_PIECES) return true;
  b->pieces = 0;
  b->failed = jinja_spend(b->run, 1) < 0;
  return !b->failed;
}

void jinja_build_bytes(struct jinja_builder *b, const char *bytes, size_t len, tpo_origin origin)
{
  if (!begin_piece(b, len)) return;
  memcpy(b->bytes + b->len, bytes, len);
  for (size_t i = 0; i < len; i++) b->origins[b->len + i] = origin;
  b->len += len;
}

void jinja_build_slice(struct jinja_builder *b, const struct jinja_string *from, size_t begin, size_t end)
{
  size_t len = end - begin;
  if (!begin_piece(b, len)) return;
  memcpy(b->bytes + b->len, from->bytes + begin, len);
  memcpy(b->origins + b->len, from->origins + begin, len * sizeof *b->origins);
  b->len += len;
}

void jinja_build_string(struct jinja_builder *b, const struct jinja_string *from)
{
  jinja_build_slice(b, from, 0, from->len);
}

void jinja_build_text(struct jinja_builder *b, const char *text)
{
  jinja_build_bytes(b, text, strlen(text), 0);
}

void jinja_build_code_point(struct jinja_builder *b, uint32_t cp, tpo_origin origin)
{
  char bytes[4];
  jinja_build_bytes(b, bytes, (size_t)tpo_utf8_encode(cp, bytes), origin);
}

void jinja_build_times(struct jinja_builder *b, const struct jinja_string *from, size_t times)
{
  size_t len;
  if (__builtin_mul_overflow(from->len, times, &len)) len = SIZE_MAX;
  if (from->len == 0 || times == 0 || !jinja_build_reserve(b, len)) return;
  size_t begin = b->len, done = from->len;
  jinja_build_string(b, from);
  for (size_t more; done < len && !b->failed; done += more) { /* of what stands there, as much again */
    more = done < len - done ? done : len - done;
    struct jinja_string again = {.bytes = b->bytes + begin, .origins = b->origins + begin, .len = more};
    jinja_build_string(b, &again);
  }
}

void jinja_build_escaped(struct jinja_builder *b, const struct jinja_string *from)
{
  static const char specials[] = "&<>'\"";
  static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
  for (size_t i = 0; i < from->len; i++) {
    const char *found = from->bytes[i] ? strchr(specials, from->bytes[i]) : NULL;
    if (found)
      jinja_build_bytes(b, names[found - specials], strlen(names[found - specials]), from->origins[i]);
    else
      jinja_build_slice(b, from, i, i + 1);
  }
}

void jinja_build_value(struct jinja_builder *b, struct jinja_value value)
{
  if (b->failed || value.type == JINJA_UNDEFINED) return;
  if (value.type == JINJA_STRING)
    jinja_build_string(b, value.string);
  else if (jinja_repr(b->run, value, b) < 0)
    b->failed = true;
}

int jinja_build_end(struct jinja_builder *b, struct jinja_value *out)
{
  static const tpo_origin none;
  if (!jinja_build_reserve(b, 0)) return TPO_E_INPUT;
  struct jinja_string *string = jinja_alloc(b->run, sizeof *string);
  if (!string) return TPO_E_INPUT;
  string->bytes = b->bytes ? b->bytes : "";
  string->origins = b->origins ? b->origins : &none;
  string->len = b->len;
  if (b->bytes) b->bytes[b->len] = '\0';
  *out = (struct jinja_value){.type = JINJA_STRING, .string = string};
  return 0;
}

int jinja_build_end_like(struct jinja_builder *b, const struct jinja_string *like, struct jinja_value *out)
{
  if (jinja_build_end(b, out) < 0) return TPO_E_INPUT;
  return like->markup ? jinja_mark(b->run, *out, out) : 0;
}

int jinja_mark(struct jinja_run *run, struct jinja_value v, struct jinja_value *out)
{
  struct jinja_string *string = jinja_alloc(run, sizeof *string);
  if (!string) return TPO_E_INPUT;
  *string = *v.string;
  string->markup = true;
  *out = (struct jinja_value){.type = JINJA_STRING, .string = string};
  return 0;
}

int jinja_substring(struct jinja_run *run, const struct jinja_string *s, size_t begin, size_t end,
                    struct jinja_value *out)
{
  struct jinja_builder b = {.run = run};
  jinja_build_slice(&b, s, begin, end);
  return jinja_build_end_like(&b, s, out);
}

int jinja_str(struct jinja_run *run, struct jinja_value v, struct jinja_value *out)
{
  *out = v;
  if (v.type == JINJA_STRING) return 0;
  struct jinja_builder b = {.run = run};
  jinja_build_value(&b, v);
  return jinja_build_end(&b, out);
}

size_t jinja_length(const struct jinja_string *s)
{
  size_t n = 0;
  for (size_t i = 0; i < s->len; i++) n += ((uint8_t)s->bytes[i] & 0xc0) != 0x80;
  return n;
}

uint32_t jinja_next(const struct jinja_string *s, size_t *at)
{
  return tpo_utf8_next(s->bytes, s->len, at);
}

size_t jinja_previous(const struct jinja_string *s, size_t at)
{
  do at--;
  while (at > 0 && ((uint8_t)s->bytes[at] & 0xc0) == 0x80);
  return at;
}

size_t jinja_offset(const struct jinja_string *s, size_t index)
{
  size_t at = 0;
  while (at < s->len) {
    if (((uint8_t)s->bytes[at] & 0xc0) != 0x80 && index-- == 0) return at;
    at++;
  }
  return s->len;
}
