/* A set of characters as PCRE2 is to read it. PCRE2's own properties are quick to match but of its own version
 * of Unicode. A text that has none of the characters in which the two versions differ is matched with them as
 * they are; for the others a class says beside them what they lack or have too much. */
#ifndef TPO_TEXT_REGEX_CHARCLASS_H
#define TPO_TEXT_REGEX_CHARCLASS_H

#include "base/buf.h"
#include "text/unicode/set.h"

enum { TPO_MAX_VIEWS = 12 };

/* A property as this PCRE2 has it. */
struct tpo_view {
  char name[32];
  struct tpo_set set;
};
/* Those that a pattern names. Zero-initialise. */
struct tpo_views {
  struct tpo_view items[TPO_MAX_VIEWS];
  size_t n;
  struct tpo_set asked;   /* code points that a version of Unicode may change */
  struct tpo_buf text;    /* these */
  struct tpo_set differs; /* in which PCRE2's properties are not the table's */
  bool quick;             /* write classes for texts without those */
  bool whole; /* letters match regardless of case: a class has to list the set, not what is left of it */
};
void tpo_views_free(struct tpo_views *views);
/* Takes a property into account where PCRE2 has it under that name and there is room; otherwise ranges will do. */
int tpo_views_want(struct tpo_views *views, const char *name, struct tpo_error *err);

/* Appends an expression that matches one character of the set, or (inverted) one that is not in it. */
int tpo_charclass_write(const struct tpo_views *views, const struct tpo_set *set, bool inverted,
                        struct tpo_buf *out, struct tpo_error *err);

#endif
