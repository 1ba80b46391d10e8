/* What make_table.py writes: Unicode properties as lists of ranges. */
#ifndef TPO_TEXT_UNICODE_TABLE_H
#define TPO_TEXT_UNICODE_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum {
  TPO_UNICODE_MAJOR = 16,     /* the version of the categories */
  TPO_UNICODE_CATEGORIES = 29 /* the last is Cn, which is what the others leave */
};

/* n of tpo_unicode_numbers from `begin`: two a range, how far its first code point is from the last of the
 * range before, and how far its last one is from its first. */
struct tpo_unicode_list {
  uint32_t begin, n;
};
struct tpo_unicode_set {
  const char *name;    /* lower case, without spaces, _ and - */
  uint32_t categories; /* a bit for each that the set has */
  struct tpo_unicode_list more, less;
};

extern const uint32_t tpo_unicode_numbers[];
extern const struct tpo_unicode_list tpo_unicode_categories[];
extern const struct tpo_unicode_set tpo_unicode_sets[]; /* in the order of their names */
extern const size_t tpo_unicode_n_sets;

#endif
