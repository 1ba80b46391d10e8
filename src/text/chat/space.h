/* White space around a text, as Python's str.strip sees it. */
#ifndef TPO_TEXT_CHAT_SPACE_H
#define TPO_TEXT_CHAT_SPACE_H

#include "tpo/base.h"

/* Moves *begin and *end towards each other past white space; a malformed byte is none. */
void tpo_trim(const char *text, size_t *begin, size_t *end);

#endif
