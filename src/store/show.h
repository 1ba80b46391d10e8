/* Text from a file made safe to print: names in messages, and all that `tpo inspect` shows. */
#ifndef TPO_STORE_SHOW_H
#define TPO_STORE_SHOW_H

#include <stdio.h>
#include "tpo/base.h"

/* A name for a message: at most 100 bytes of it as base/visible.h writes it. */
struct tpo_shown {
  char text[112];
};
struct tpo_shown tpo_show_name(const void *bytes, size_t len);

/* Text on one line as base/visible.h writes it, and past `limit` characters "... (N bytes)". Nothing that
 * comes out can move a terminal's cursor or change its colours. */
void tpo_show_text(FILE *out, const void *bytes, size_t len, size_t limit);

#endif
