/* Sets of code points, as ranges: what regular expressions, normal forms and added tokens ask of Unicode. The
 * properties are those of the package tokenizers, of whatever version the libraries here are (make_table.py). */
#ifndef TPO_TEXT_UNICODE_SET_H
#define TPO_TEXT_UNICODE_SET_H

#include "tpo/base.h"

enum { TPO_LAST_CODE_POINT = 0x10ffff };

struct tpo_range {
  uint32_t from, to; /* both in it */
};
/* Zero-initialise. */
struct tpo_set {
  struct tpo_range *items; /* in order and apart, but for what was added since the last tpo_set_tidy */
  size_t n, capacity;
};

void tpo_set_free(struct tpo_set *set);
/* Adds a range, whatever there is: tidy before anything else is asked of the set. */
int tpo_set_add(struct tpo_set *set, uint32_t from, uint32_t to, struct tpo_error *err);
void tpo_set_tidy(struct tpo_set *set);
/* set = set or other, set = what is not in set, set = set but not other. They take and leave tidy ones. */
int tpo_set_unite(struct tpo_set *set, const struct tpo_set *other, struct tpo_error *err);
int tpo_set_invert(struct tpo_set *set, struct tpo_error *err);
int tpo_set_subtract(struct tpo_set *set, const struct tpo_set *other, struct tpo_error *err);
bool tpo_set_has(const struct tpo_set *set, uint32_t code_point);

/* Unites set, a tidy one, with the property of this name: 1, 0 when there is none, or a negative error. Names
 * in brackets or after a backslash are those of make_table.py: "[:alpha:]", "\\w", "(digits)". */
int tpo_set_add_property(struct tpo_set *set, const char *name, size_t len, struct tpo_error *err);

#endif
