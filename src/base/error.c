#include <stdio.h>
#include <string.h>
#include "tpo/base.h"

/* Messages quote names and values from files that may be hostile: control characters must not reach a
 * terminal, and a message cut at the buffer's end must not end inside a character. */
static void make_printable(char *text, size_t capacity)
{
  size_t len = strlen(text);
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)text[i];
    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) text[i] = '?';
  }
  if (len + 1 < capacity) return;
  size_t start = len;
  while (start > 0 && len - start < 3 && ((unsigned char)text[start - 1] & 0xc0) == 0x80) start--;
  if (start == 0) return;
  unsigned char lead = (unsigned char)text[start - 1];
  size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  if (len - (start - 1) < need) text[start - 1] = '\0';
}

int tpo_fail(struct tpo_error *err, int code, const char *format, ...)
{
  if (!err) return code;
  char text[sizeof err->message]; /* apart, because the arguments may quote err->message */
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  make_printable(text, sizeof text);
  memcpy(err->message, text, sizeof text);
  err->code = code;
  return code;
}

int tpo_fail_prefix(struct tpo_error *err, const char *format, ...)
{
  if (!err) return TPO_E_INPUT;
  char prefix[sizeof err->message];
  va_list args;
  va_start(args, format);
  vsnprintf(prefix, sizeof prefix, format, args);
  va_end(args);
  return tpo_fail(err, err->code, "%s: %s", prefix, err->message);
}

const char *tpo_version(void)
{
  return TPO_VERSION;
}
