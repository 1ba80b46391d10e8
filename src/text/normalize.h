/* What is done to a text before it is cut: Unicode normal forms, replacements. */
#ifndef TPO_TEXT_NORMALIZE_H
#define TPO_TEXT_NORMALIZE_H

#include "base/buf.h"
#include "text/unicode/set.h"
#include "tpo/base.h"

enum tpo_normal_kind {
  TPO_NORMAL_NFC,
  TPO_NORMAL_NFD,
  TPO_NORMAL_NFKC,
  TPO_NORMAL_NFKD,
  TPO_NORMAL_PREPEND,
  TPO_NORMAL_REPLACE
};

struct tpo_normal_step {
  enum tpo_normal_kind kind;
  char *what; /* REPLACE: the text to find; owned */
  size_t what_len;
  char *by; /* REPLACE, PREPEND; owned */
  size_t by_len;
};
struct tpo_normalizer {
  struct tpo_normal_step *steps;
  size_t n, capacity;
  struct tpo_set inert; /* what the package's normal forms, of an older Unicode, pass by; with a form alone */
};

/* One of the normal forms. */
int tpo_normalizer_add_form(struct tpo_normalizer *norm, enum tpo_normal_kind kind, struct tpo_error *err);
/* PREPEND (`what` is not looked at) or REPLACE. The texts may hold NUL. */
int tpo_normalizer_add(struct tpo_normalizer *norm, enum tpo_normal_kind kind, const char *what,
                       size_t what_len, const char *by, size_t by_len, struct tpo_error *err);
void tpo_normalizer_free(struct tpo_normalizer *norm);

/* *text becomes the normalised text: itself, or bytes held by one of the two buffers. begins: see
 * pretokenize.h; without it nothing is prepended. text is valid UTF-8. */
int tpo_normalize(const struct tpo_normalizer *norm, const char **text, size_t *len, bool begins,
                  struct tpo_buf buffers[2], struct tpo_error *err);

#endif
