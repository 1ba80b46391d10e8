/* Words of a text in any script, for counting and comparing. */
#ifndef TPO_BASE_WORDS_H
#define TPO_BASE_WORDS_H

#include "tpo/base.h"

struct word {
  size_t begin, end; /* byte offsets */
};

/* The next word at or after *at, which moves behind it; false when there is none. A word is a run of letters,
 * marks and digits, with apostrophes inside it; of scripts that are written without spaces (Han, kana, Thai,
 * Lao, Khmer, Burmese) each letter is one. Bytes that are not UTF-8 separate words. */
bool words_next(const char *text, size_t len, size_t *at, struct word *out);
size_t words_count(const char *text);
/* The text in NFKC with letter case folded: equal for texts that differ in these alone. free() it; NULL when
 * memory is short or text is not UTF-8. */
char *words_fold(const char *text);

#endif
