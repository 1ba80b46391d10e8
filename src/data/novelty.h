/* Which of many texts a new one is most like, by the word n-grams that they share. */
#ifndef TPO_DATA_NOVELTY_H
#define TPO_DATA_NOVELTY_H

#include "tpo/base.h"

struct novelty;

/* n: words of an n-gram, 1 to 8. */
int novelty_create(struct novelty **out, int n, struct tpo_error *err);
/* Text number 0, 1, ... in the order of adding. Nothing of `text` is kept but hashes. */
int novelty_add(struct novelty *index, const char *text, struct tpo_error *err);
/* The largest overlap, 0 to 1, with any text that was added, and the first that has it (0 with overlap 0).
 *
 * A text's n-grams are those of its words, case folded, with n - 1 marks put before the first and behind the
 * last, so that a text of one word has n-grams too and beginnings and ends count. Of two texts that have A
 * and B different n-grams and share S, the overlap is 2 S / (A + B); where the smaller has at least n + 7 of
 * them, as 8 words give, it is S / min(A, B), so that a text which holds another one whole is like it,
 * whatever it adds.
 *
 * Time is that of walking the texts which share an n-gram, by an inverted index. */
int novelty_nearest(struct novelty *index, const char *text, double *overlap, size_t *which,
                    struct tpo_error *err);
void novelty_free(struct novelty *index);

#endif
