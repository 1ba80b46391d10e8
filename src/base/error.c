/* Error messages: one printable sentence, whatever the texts in it hold. */
#include <stdio.h>
#include <string.h>
#include "base/utf8.h"
#include "base/visible.h"
#include "tpo/base.h"

/* Where a text was cut at the buffer's end, no character is. */
static void drop_cut_character(char *text, size_t capacity)
{
  size_t len = strlen(text);
  if (len + 1 >= capacity) text[len - tpo_utf8_incomplete_tail(text, len)] = '\0';
}

int tpo_fail(struct tpo_error *err, int code, const char *format, ...)
{
  if (!err) return code;
  char text[sizeof err->message]; /* apart, because the arguments may quote err->message */
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  drop_cut_character(text, sizeof text);
  tpo_visible_copy(err->message, sizeof err->message, text);
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
