/* Text that nobody vouches for, written so that a person sees what is in it: what would move a terminal's
 * cursor, end the line, turn the writing around it or show nothing at all stands there by its name. The rest
 * stays as it is, also a backslash: what was made visible once is the same when it is quoted again. */
#ifndef TPO_BASE_VISIBLE_H
#define TPO_BASE_VISIBLE_H

#include "base/buf.h"

enum { TPO_LABEL_BYTES = 24 };

/* Control characters (newline and tab among them); marks of writing direction; spaces without width (joiners
 * among them), soft hyphens, invisible operators; line and paragraph separators; tags and the variation
 * selectors beside them, which can carry whole hidden texts. */
bool tpo_is_unseen(uint32_t cp);
/* How it is written: \n, \t, \r, \x1b for the controls, else ‹U+200B›. */
void tpo_label_unseen(uint32_t cp, char label[TPO_LABEL_BYTES]);

/* Takes the code point that text[0..len) begins with, or one byte that is no UTF-8, written \xff then; len is
 * not 0. Returns its bytes; label is "" where it stays as it is. */
size_t tpo_visible_next(const char *text, size_t len, char label[TPO_LABEL_BYTES]);
void tpo_visible_append(struct tpo_buf *out, const char *text, size_t len);
/* The same of a whole text into out[size], with what doesn't fit cut off, between characters. */
void tpo_visible_copy(char *out, size_t size, const char *text);

#endif
