/* Writing into a growing byte string (struct tpo_buf, tpo/base.h). */
#ifndef TPO_BASE_BUF_H
#define TPO_BASE_BUF_H

#include "tpo/base.h"

void tpo_buf_append(struct tpo_buf *buf, const void *bytes, size_t len);
void tpo_buf_puts(struct tpo_buf *buf, const char *text);
void tpo_buf_putc(struct tpo_buf *buf, char c);
void tpo_buf_printf(struct tpo_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tpo_buf_clear(struct tpo_buf *buf); /* keeps the memory */
/* Hands the bytes to the caller (free() them) and empties buf; NULL after
 * a failed allocation. Never NULL otherwise. */
char *tpo_buf_take(struct tpo_buf *buf);

#endif
