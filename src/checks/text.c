/* Steps through a text by code points, with Python's ideas of space, word and case. */
#include <string.h>
#include <utf8proc.h>
#include "base/utf8.h"
#include "checks/text.h"

uint32_t text_next(struct span text, size_t *at)
{
  return tpo_utf8_next(text.text, text.len, at);
}

uint32_t text_before(struct span text, size_t at)
{
  size_t start = at - 1;
  while (start > 0 && at - start < 4 && ((unsigned char)text.text[start] & 0xc0) == 0x80) start--;
  return text_next(text, &start);
}

bool text_is_space(uint32_t cp)
{
  return (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x20) || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
         (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f ||
         cp == 0x3000;
}

bool text_is_word(uint32_t cp)
{
  if (cp < 128)
    return (cp >= '0' && cp <= '9') || (cp >= 'A' && cp <= 'Z') || (cp >= 'a' && cp <= 'z') || cp == '_';
  switch (utf8proc_category((utf8proc_int32_t)cp)) {
  case UTF8PROC_CATEGORY_LU:
  case UTF8PROC_CATEGORY_LL:
  case UTF8PROC_CATEGORY_LT:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_LO:
  case UTF8PROC_CATEGORY_ND:
  case UTF8PROC_CATEGORY_NL:
  case UTF8PROC_CATEGORY_NO: return true;
  default: return false;
  }
}

bool text_is_digit(uint32_t cp)
{
  if (cp < 128) return cp >= '0' && cp <= '9';
  return utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_ND;
}

/* upper: whether capitals are what is wanted. Title-case letters count as neither. */
static bool is_all(struct span text, bool upper)
{
  bool some = false;
  for (size_t at = 0; at < text.len;) {
    utf8proc_int32_t cp = (utf8proc_int32_t)text_next(text, &at);
    bool is_upper = utf8proc_isupper(cp), is_lower = utf8proc_islower(cp);
    if (utf8proc_category(cp) == UTF8PROC_CATEGORY_LT || (upper ? is_lower : is_upper)) return false;
    some |= upper ? is_upper : is_lower;
  }
  return some;
}

bool text_is_upper(struct span text)
{
  return is_all(text, true);
}

bool text_is_lower(struct span text)
{
  return is_all(text, false);
}

struct span text_strip(struct span text)
{
  while (text.len > 0) {
    size_t at = 0;
    if (!text_is_space(text_next(text, &at))) break;
    text.text += at;
    text.len -= at;
  }
  while (text.len > 0) {
    size_t start = text.len - 1;
    while (start > 0 && text.len - start < 4 && ((unsigned char)text.text[start] & 0xc0) == 0x80) start--;
    size_t at = start;
    if (!text_is_space(text_next(text, &at))) break;
    text.len = start;
  }
  return text;
}

struct span text_strip_char(struct span text, char c)
{
  while (text.len > 0 && text.text[0] == c) {
    text.text++;
    text.len--;
  }
  while (text.len > 0 && text.text[text.len - 1] == c) text.len--;
  return text;
}

struct span text_first_token(struct span text)
{
  for (size_t at = 0; at < text.len;) {
    size_t start = at;
    if (text_is_space(text_next(text, &at))) return (struct span){text.text, start};
  }
  return text;
}

bool text_starts(struct span text, const char *prefix)
{
  size_t len = strlen(prefix);
  return text.len >= len && (len == 0 || memcmp(text.text, prefix, len) == 0);
}

bool text_ends(struct span text, struct span suffix)
{
  return text.len >= suffix.len &&
         (suffix.len == 0 || memcmp(text.text + text.len - suffix.len, suffix.text, suffix.len) == 0);
}

size_t text_find(struct span text, struct span needle, size_t from)
{
  if (from > text.len) return SIZE_MAX;
  if (needle.len == 0) return from;
  const char *found = memmem(text.text + from, text.len - from, needle.text, needle.len);
  return found ? (size_t)(found - text.text) : SIZE_MAX;
}

void text_lower(struct span text, struct tpo_buf *out)
{
  for (size_t at = 0; at < text.len;)
    tpo_utf8_append(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)text_next(text, &at)));
}

void text_repair(struct span text, struct tpo_buf *out)
{
  for (size_t at = 0; at < text.len;) tpo_utf8_append(out, text_next(text, &at));
}

size_t text_count_words(struct span text)
{
  size_t n = 0;
  bool inside = false;
  for (size_t at = 0; at < text.len;) {
    bool word = text_is_word(text_next(text, &at));
    n += word && !inside;
    inside = word;
  }
  return n;
}
