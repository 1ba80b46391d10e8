/* UTF-8 is decoded, encoded and checked, and judged by what it does to a terminal. */
#include "base/utf8.h"

#include <string.h>

int tpo_utf8_decode(const uint8_t *bytes, size_t len, uint32_t *cp)
{
  if (len == 0) return 0;
  uint32_t lead = bytes[0];
  if (lead < 0x80) {
    *cp = lead;
    return 1;
  }
  int need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || len < (size_t)need) return 0;
  uint32_t value = lead & (0xffu >> (need + 1));
  for (int i = 1; i < need; i++) {
    if ((bytes[i] & 0xc0) != 0x80) return 0;
    value = value << 6 | (bytes[i] & 0x3f);
  }
  static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < least[need] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return 0;
  *cp = value;
  return need;
}

uint32_t tpo_utf8_next(const char *text, size_t len, size_t *at)
{
  uint32_t cp;
  int used = tpo_utf8_decode((const uint8_t *)text + *at, len - *at, &cp);
  *at += used > 0 ? (size_t)used : 1;
  return used > 0 ? cp : 0xfffd;
}

int tpo_utf8_encode(uint32_t cp, char out[4])
{
  if (cp < 0x80) {
    out[0] = (char)cp;
    return 1;
  }
  if (cp < 0x800) {
    out[0] = (char)(0xc0 | cp >> 6);
    out[1] = (char)(0x80 | (cp & 0x3f));
    return 2;
  }
  if ((cp >= 0xd800 && cp <= 0xdfff) || cp > 0x10ffff) cp = 0xfffd;
  if (cp < 0x10000) {
    out[0] = (char)(0xe0 | cp >> 12);
    out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
    out[2] = (char)(0x80 | (cp & 0x3f));
    return 3;
  }
  out[0] = (char)(0xf0 | cp >> 18);
  out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
  out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
  out[3] = (char)(0x80 | (cp & 0x3f));
  return 4;
}

void tpo_utf8_append(struct tpo_buf *out, uint32_t cp)
{
  char bytes[4];
  tpo_buf_append(out, bytes, (size_t)tpo_utf8_encode(cp, bytes));
}

bool tpo_utf8_valid(const char *text, size_t len, size_t *bad)
{
  const uint8_t *bytes = (const uint8_t *)text;
  for (size_t i = 0; i < len;) {
    uint32_t cp;
    int used = tpo_utf8_decode(bytes + i, len - i, &cp);
    if (used == 0) {
      if (bad) *bad = i;
      return false;
    }
    i += (size_t)used;
  }
  return true;
}

size_t tpo_utf8_count(const char *text, size_t len)
{
  const uint8_t *bytes = (const uint8_t *)text;
  size_t count = 0;
  for (size_t i = 0; i < len; count++) {
    uint32_t cp;
    int used = tpo_utf8_decode(bytes + i, len - i, &cp);
    i += used ? (size_t)used : 1;
  }
  return count;
}

/* True when bytes[0..len) can be continued to a valid sequence but is not one yet. */
static bool is_incomplete(const uint8_t *bytes, size_t len)
{
  uint8_t padded[4] = {bytes[0], 0x80, 0x80, 0x80};
  uint8_t lead = bytes[0];
  size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 1;
  if (lead > 0xf4 || len >= need) return false;
  for (size_t i = 1; i < len; i++) padded[i] = bytes[i];
  /* With the second byte still to come, the one that is always allowed after these leads. */
  if (len == 1 && (lead == 0xe0 || lead == 0xf0)) padded[1] = 0xa0;
  uint32_t cp;
  return tpo_utf8_decode(padded, need, &cp) != 0;
}

size_t tpo_utf8_incomplete_tail(const char *text, size_t len)
{
  const uint8_t *bytes = (const uint8_t *)text;
  for (size_t tail = 1; tail <= 3 && tail <= len; tail++)
    if ((bytes[len - tail] & 0xc0) == 0xc0) return is_incomplete(bytes + len - tail, tail) ? tail : 0;
  return 0;
}

bool tpo_utf8_is_tame(uint32_t cp)
{
  bool is_control = cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
  bool is_direction =
      cp == 0x200e || cp == 0x200f || (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
  return !is_control && !is_direction;
}
