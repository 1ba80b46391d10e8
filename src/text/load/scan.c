/* A scanner of JSON that skips, takes numbers and strings, and cuts two members out. */
#include "text/load/scan.h"

#include <string.h>
#include "base/utf8.h"

static void skip_space(struct tpo_scan *s)
{
  while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t')) s->at++;
}

bool tpo_scan_take(struct tpo_scan *s, char c)
{
  skip_space(s);
  if (s->at >= s->end || *s->at != c) return false;
  s->at++;
  return true;
}

bool tpo_scan_int(struct tpo_scan *s, int64_t *out)
{
  skip_space(s);
  const char *from = s->at;
  *out = 0;
  while (s->at < s->end && s->at - from < 9 && *s->at >= '0' && *s->at <= '9')
    *out = *out * 10 + (*s->at++ - '0');
  bool more = s->at < s->end && (strchr(".eE+-", *s->at) ? *s->at != '\0' : *s->at >= '0' && *s->at <= '9');
  return s->at > from && !more && !(*from == '0' && s->at - from > 1);
}

static bool skip_string(struct tpo_scan *s)
{
  if (!tpo_scan_take(s, '"')) return false;
  while (s->at < s->end && *s->at != '"') s->at += *s->at == '\\' ? 2 : 1;
  if (s->at >= s->end) return false;
  s->at++;
  return true;
}

static bool hex4(struct tpo_scan *s, uint32_t *out)
{
  static const char digits[] = "0123456789abcdefABCDEF";
  *out = 0;
  if (s->end - s->at < 4) return false;
  for (int i = 0; i < 4; i++) {
    const char *d = memchr(digits, *s->at++, 22);
    if (!d) return false;
    *out = *out * 16 + (uint32_t)(d - digits < 16 ? d - digits : d - digits - 6);
  }
  return true;
}

/* The escape after a backslash. */
static bool unescape(struct tpo_scan *s, struct tpo_buf *buf)
{
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  if (s->at >= s->end) return false;
  char c = *s->at++;
  if (c != 'u') {
    const char *found = memchr(from, c, strlen(from));
    if (!found) return false;
    tpo_buf_putc(buf, to[found - from]);
    return true;
  }
  uint32_t cp, low;
  if (!hex4(s, &cp) || (cp >= 0xdc00 && cp < 0xe000)) return false;
  if (cp >= 0xd800 && cp < 0xdc00) {
    if (s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u') return false;
    s->at += 2;
    if (!hex4(s, &low) || low < 0xdc00 || low > 0xdfff) return false;
    cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
  }
  tpo_utf8_append(buf, cp);
  return true;
}

bool tpo_scan_string(struct tpo_scan *s, struct tpo_buf *buf, const char **text, size_t *len)
{
  if (!tpo_scan_take(s, '"')) return false;
  const char *from = s->at;
  while (s->at < s->end && *s->at != '"' && *s->at != '\\' && (unsigned char)*s->at >= 0x20) s->at++;
  if (s->at >= s->end) return false;
  *text = from;
  *len = (size_t)(s->at - from);
  if (*s->at == '"') {
    s->at++;
    return tpo_utf8_valid(*text, *len, NULL);
  }
  tpo_buf_clear(buf);
  tpo_buf_append(buf, from, *len);
  while (s->at < s->end && *s->at != '"') {
    char c = *s->at++;
    if (c == '\\' ? !unescape(s, buf) : (unsigned char)c < 0x20) return false;
    if (c != '\\') tpo_buf_putc(buf, c);
  }
  if (s->at >= s->end || buf->failed) return false;
  s->at++;
  *text = buf->data;
  *len = buf->len;
  return tpo_utf8_valid(*text, *len, NULL);
}

static bool skip_value(struct tpo_scan *s)
{
  size_t depth = 0;
  do {
    skip_space(s);
    if (s->at >= s->end) return false;
    char c = *s->at;
    if (c == '"') {
      if (!skip_string(s)) return false;
    } else if (c == '{' || c == '[') {
      depth++;
      s->at++;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return false;
      depth--;
      s->at++;
    } else if (c == ',' || c == ':') {
      if (depth == 0) return false;
      s->at++;
    } else {
      while (s->at < s->end && !memchr(" \n\r\t,:{}[]\"", *s->at, 11)) s->at++;
    }
  } while (depth > 0);
  return true;
}

/* Calls fn for each key of the object at s, to take its value or (false) to stop. */
static bool each_key(struct tpo_scan *s,
                     bool (*fn)(struct tpo_scan *s, const char *key, size_t len, void *arg), void *arg)
{
  if (!tpo_scan_take(s, '{')) return false;
  if (tpo_scan_take(s, '}')) return true;
  struct tpo_buf buf = {0};
  bool good;
  do {
    const char *key;
    size_t len;
    good = tpo_scan_string(s, &buf, &key, &len) && tpo_scan_take(s, ':') && fn(s, key, len, arg);
  } while (good && tpo_scan_take(s, ','));
  tpo_buf_free(&buf);
  return good && tpo_scan_take(s, '}');
}

struct finder {
  const char *key;
  struct tpo_scan *value;
};

static bool in_object(struct tpo_scan *s, const char *key, size_t len, void *arg)
{
  const struct finder *finder = arg;
  bool found = len == strlen(finder->key) && memcmp(key, finder->key, len) == 0;
  skip_space(s);
  const char *from = s->at;
  if (!skip_value(s)) return false;
  if (found) *finder->value = (struct tpo_scan){from, s->at};
  return true;
}

bool tpo_scan_member(const char *text, size_t len, const char *key, struct tpo_scan *value)
{
  struct tpo_scan s = {text, text + len};
  struct finder finder = {key, value};
  *value = (struct tpo_scan){0};
  return each_key(&s, in_object, &finder);
}

struct splitter {
  struct tpo_scan_parts *parts;
  const char *copied; /* up to here the text is in rest */
  bool found_model;
};

static bool take_part(struct tpo_scan *s, struct splitter *split, struct tpo_scan *part, const char *instead)
{
  if (part->at) return false; /* the key stands twice */
  skip_space(s);
  part->at = s->at;
  if (!skip_value(s)) return false;
  part->end = s->at;
  tpo_buf_append(&split->parts->rest, split->copied, (size_t)(part->at - split->copied));
  tpo_buf_puts(&split->parts->rest, instead);
  split->copied = s->at;
  return true;
}

static bool in_model(struct tpo_scan *s, const char *key, size_t len, void *arg)
{
  struct splitter *split = arg;
  if (len == 5 && memcmp(key, "vocab", 5) == 0) return take_part(s, split, &split->parts->vocab, "{}");
  if (len == 6 && memcmp(key, "merges", 6) == 0) return take_part(s, split, &split->parts->merges, "[]");
  return skip_value(s);
}

static bool in_root(struct tpo_scan *s, const char *key, size_t len, void *arg)
{
  struct splitter *split = arg;
  if (len != 5 || memcmp(key, "model", 5) != 0) return skip_value(s);
  split->found_model = true;
  return each_key(s, in_model, split);
}

bool tpo_scan_split(const char *text, size_t len, struct tpo_scan_parts *parts)
{
  struct tpo_scan s = {text, text + len};
  struct splitter split = {.parts = parts, .copied = text};
  *parts = (struct tpo_scan_parts){0};
  bool good = each_key(&s, in_root, &split) && split.found_model;
  tpo_buf_append(&parts->rest, split.copied, (size_t)(text + len - split.copied));
  return good && !parts->rest.failed;
}
