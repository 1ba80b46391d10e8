/* Labels for what can't be seen. */
#include "base/visible.h"
#include <stdio.h>
#include <string.h>
#include "base/utf8.h"

static bool is_control(uint32_t cp)
{
  return cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
}

bool tpo_is_unseen(uint32_t cp)
{
  static const struct {
    uint32_t first, last;
  } ranges[] = {{0xad, 0xad},     {0x34f, 0x34f},   {0x61c, 0x61c},   {0x180e, 0x180e}, {0x200b, 0x200f},
                {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe01ef}};
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
    if (cp >= ranges[i].first && cp <= ranges[i].last) return true;
  return is_control(cp);
}

void tpo_label_unseen(uint32_t cp, char label[TPO_LABEL_BYTES])
{
  const char *named = cp == '\n' ? "\\n" : cp == '\t' ? "\\t" : cp == '\r' ? "\\r" : NULL;
  if (named)
    strcpy(label, named);
  else if (is_control(cp))
    snprintf(label, TPO_LABEL_BYTES, "\\x%02x", (unsigned)cp);
  else
    snprintf(label, TPO_LABEL_BYTES, "\u2039U+%04X\u203a", (unsigned)cp);
}

size_t tpo_visible_next(const char *text, size_t len, char label[TPO_LABEL_BYTES])
{
  uint32_t cp;
  int n = tpo_utf8_decode((const uint8_t *)text, len, &cp);
  label[0] = '\0';
  if (n == 0)
    snprintf(label, TPO_LABEL_BYTES, "\\x%02x", (unsigned)(unsigned char)*text);
  else if (tpo_is_unseen(cp))
    tpo_label_unseen(cp, label);
  return n > 0 ? (size_t)n : 1;
}

void tpo_visible_append(struct tpo_buf *out, const char *text, size_t len)
{
  char label[TPO_LABEL_BYTES];
  for (size_t i = 0, n; i < len; i += n) {
    n = tpo_visible_next(text + i, len - i, label);
    if (label[0])
      tpo_buf_puts(out, label);
    else
      tpo_buf_append(out, text + i, n);
  }
}

void tpo_visible_copy(char *out, size_t size, const char *text)
{
  char label[TPO_LABEL_BYTES];
  size_t used = 0, len = strlen(text);
  for (size_t i = 0, n; i < len; i += n) {
    n = tpo_visible_next(text + i, len - i, label);
    const char *from = label[0] ? label : text + i;
    size_t width = label[0] ? strlen(label) : n;
    if (used + width >= size) break;
    memcpy(out + used, from, width);
    used += width;
  }
  out[used] = '\0';
}
