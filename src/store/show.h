/* Text from a file made safe to print: names in messages, and all that `tpo inspect` shows. */
#ifndef TPO_STORE_SHOW_H
#define TPO_STORE_SHOW_H

#include <stdio.h>
#include "tpo/base.h"

/* A name for a message: at most 100 bytes of it, what is not printable ASCII or UTF-8 as '?'. */
struct tpo_shown {
  char text[112];
};
struct tpo_shown tpo_show_name(const void *bytes, size_t len);

/* Text on one line: control characters escaped (\n, \t, \x1b), malformed bytes as \xNN, and past `limit`
 * characters "... (N bytes)". Nothing that comes out can move a terminal's cursor or change its colours. */
void tpo_show_text(FILE *out, const void *bytes, size_t len, size_t limit);

#endif
