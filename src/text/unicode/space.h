/* White space as Python's str.isspace and str.strip see it. */
#ifndef TPO_TEXT_UNICODE_SPACE_H
#define TPO_TEXT_UNICODE_SPACE_H

#include "tpo/base.h"

bool tpo_is_space(uint32_t cp);
/* Moves *begin and *end towards each other past white space; a malformed byte is none. */
void tpo_trim(const char *text, size_t *begin, size_t *end);

#endif
