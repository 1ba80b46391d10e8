/* UTF-8, strict (no surrogates, no overlong forms, up to U+10FFFF). */
#ifndef TPO_BASE_UTF8_H
#define TPO_BASE_UTF8_H

#include "base/buf.h"
#include "tpo/base.h"

/* Decodes one code point at bytes[0..len);
 * returns its length 1-4 and *cp, or 0 when malformed or len is 0. */
int tpo_utf8_decode(const uint8_t *bytes, size_t len, uint32_t *cp);
/* The code point at text[*at..len), U+FFFD for a byte that is malformed; moves *at < len past it. */
uint32_t tpo_utf8_next(const char *text, size_t len, size_t *at);
int tpo_utf8_encode(uint32_t cp, char out[4]); /* length 1-4 */
void tpo_utf8_append(struct tpo_buf *out, uint32_t cp);
/* True when all of it is valid; otherwise *bad (may be NULL) is the first offending byte's offset. */
bool tpo_utf8_valid(const char *text, size_t len, size_t *bad);
size_t tpo_utf8_count(const char *text, size_t len); /* code points; a malformed byte counts as one */
/* How many bytes at the end of text are an incomplete but so far valid sequence (0-3): for streaming. */
size_t tpo_utf8_incomplete_tail(const char *text, size_t len);

/* False for what can move a terminal's cursor, change its colours or reorder the text around it: control
 * characters, newline and tab among them, and marks of writing direction. */
bool tpo_utf8_is_tame(uint32_t cp);

#endif
