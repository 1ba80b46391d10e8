/* Regular expressions of tokenizers. They are written for Oniguruma and run by PCRE2 (UTF, JIT): what the two
 * read differently (properties of another version of Unicode, sets in sets, options, quantifiers) is rewritten
 * or refused by name. */
#ifndef TPO_TEXT_REGEX_H
#define TPO_TEXT_REGEX_H

#include "text/unicode/set.h"
#include "tpo/base.h"

struct tpo_regex {
  void *quick, *exact; /* for texts without and with characters of `differs`; without those exact is NULL */
  int n_sets;          /* sets of characters that the pattern names, which is what opening it costs */
  struct tpo_set differs;
  uint64_t blocks[TPO_LAST_CODE_POINT / 256 / 64 + 1]; /* a bit for 256 code points of which some differ */
};
/* one a thread; zero-initialise */
struct tpo_regex_scratch {
  void *match, *context, *stack;
};

int tpo_regex_compile(struct tpo_regex *regex, const char *pattern, size_t len, const char *place,
                      struct tpo_error *err);
/* One of ours, which may name the table's own sets too: \p{(digits)}, \p{(punctuation)}. */
int tpo_regex_compile_own(struct tpo_regex *regex, const char *pattern, const char *place,
                          struct tpo_error *err);
void tpo_regex_free(struct tpo_regex *regex);
/* Whether the text, valid UTF-8, has a character of regex->differs. */
bool tpo_regex_differs(const struct tpo_regex *regex, const char *text, size_t len);
/* The first match at or after `from`: 1 with its place, 0 none, negative error. again: a match ended at from, so
 * that no empty one is looked for there. text is valid UTF-8; exact: what tpo_regex_differs says of it, or of a
 * text that it is part of. */
int tpo_regex_next(const struct tpo_regex *regex, struct tpo_regex_scratch *scratch, bool exact,
                   const char *text, size_t len, size_t from, bool again, size_t *begin, size_t *end,
                   struct tpo_error *err);
void tpo_regex_scratch_free(struct tpo_regex_scratch *scratch);

#endif
