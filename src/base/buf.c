/* A growing byte string. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"

/* Room for `extra` more bytes and the NUL. */
static bool reserve(struct tpo_buf *buf, size_t extra)
{
  if (buf->failed) return false;
  if (extra > SIZE_MAX / 2 || buf->len > SIZE_MAX / 2 - extra - 1) {
    buf->failed = true;
    return false;
  }
  size_t need = buf->len + extra + 1;
  if (need <= buf->capacity) return true;
  size_t capacity = buf->capacity < 64 ? 64 : buf->capacity + buf->capacity / 2;
  if (capacity < need) capacity = need;
  char *data = realloc(buf->data, capacity);
  if (!data) {
    buf->failed = true;
    return false;
  }
  buf->data = data;
  buf->capacity = capacity;
  return true;
}

void tpo_buf_append(struct tpo_buf *buf, const void *bytes, size_t len)
{
  if (!reserve(buf, len)) return;
  if (len > 0) memcpy(buf->data + buf->len, bytes, len);
  buf->len += len;
  buf->data[buf->len] = '\0';
}

void tpo_buf_puts(struct tpo_buf *buf, const char *text)
{
  tpo_buf_append(buf, text, strlen(text));
}

void tpo_buf_putc(struct tpo_buf *buf, char c)
{
  tpo_buf_append(buf, &c, 1);
}

void tpo_buf_printf(struct tpo_buf *buf, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  int len = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (len < 0) {
    buf->failed = true;
    return;
  }
  if (!reserve(buf, (size_t)len)) return;
  va_start(args, format);
  vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
  va_end(args);
  buf->len += (size_t)len;
}

void tpo_buf_clear(struct tpo_buf *buf)
{
  buf->len = 0;
  buf->failed = false;
  if (buf->data) buf->data[0] = '\0';
}

void tpo_buf_free(struct tpo_buf *buf)
{
  free(buf->data);
  *buf = (struct tpo_buf){0};
}

char *tpo_buf_take(struct tpo_buf *buf)
{
  reserve(buf, 0);
  if (buf->failed) {
    tpo_buf_free(buf);
    return NULL;
  }
  char *data = buf->data;
  data[buf->len] = '\0';
  *buf = (struct tpo_buf){0};
  return data;
}
