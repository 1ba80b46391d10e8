/* Regular expressions of tokenizers. They are written for Oniguruma's Ruby dialect and run by PCRE2 (UTF,
 * UCP, JIT): what the two read differently (\s \w \d \h \u, line anchors, sets in sets) is rewritten or
 * refused. */
#ifndef TPO_TEXT_REGEX_H
#define TPO_TEXT_REGEX_H

#include "tpo/base.h"

struct tpo_regex {
  void *code;
};
/* one a thread; zero-initialise */
struct tpo_regex_scratch {
  void *match, *context, *stack;
};

int tpo_regex_compile(struct tpo_regex *regex, const char *pattern, size_t len, const char *place,
                      struct tpo_error *err);
void tpo_regex_free(struct tpo_regex *regex);
/* The first match that is not empty at or after `from`: 1 with its place, 0 none, negative error. text is
 * valid UTF-8. */
int tpo_regex_next(const struct tpo_regex *regex, struct tpo_regex_scratch *scratch, const char *text,
                   size_t len, size_t from, size_t *begin, size_t *end, struct tpo_error *err);
void tpo_regex_scratch_free(struct tpo_regex_scratch *scratch);

#endif
