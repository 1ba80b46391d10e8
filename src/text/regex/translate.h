/* Reads a pattern as Oniguruma does and writes it for PCRE2. */
#ifndef TPO_TEXT_REGEX_TRANSLATE_H
#define TPO_TEXT_REGEX_TRANSLATE_H

#include "text/regex/charclass.h"

enum {
  TPO_MAX_GROUPS = 64,
  TPO_MAX_SETS = 256 /* in a pattern: each takes milliseconds to work out and to write */
};

struct tpo_pattern {
  const char *text; /* valid UTF-8 */
  size_t len, at;
  const char *place;
  bool own; /* may name the table's own sets, such as \p{(digits)} */
  struct tpo_buf *out;
  struct tpo_views views;
  bool caseless, in_set;
  int n_sets;      /* in brackets or named by an escape, so far */
  bool named;      /* has named groups */
  bool repeatable; /* out ends with something that can be repeated, which begins at atom */
  bool repeated;   /* and which is repeated already */
  size_t atom;
  struct tpo_pattern_group {
    size_t begin; /* in out */
    int more;     /* groups opened by options within it, which end with it */
    bool caseless, looks;
  } groups[TPO_MAX_GROUPS];
  size_t depth;
  struct tpo_error *err;
};

int tpo_pattern_translate(struct tpo_pattern *pattern);

/* What the files of this folder share. */
int tpo_pattern_refuse(struct tpo_pattern *pattern, const char *what);
/* For what Oniguruma refuses, too. */
int tpo_pattern_fault(struct tpo_pattern *pattern, const char *what);
int tpo_pattern_count_set(struct tpo_pattern *pattern);
/* The bracket at pattern->at is open; reads to its end and writes the set. */
int tpo_pattern_set(struct tpo_pattern *pattern);
/* A set that an escape names (\w, \p{...}), at the letter: 1 when it is one, 0 when not, or negative. */
int tpo_pattern_named_set(struct tpo_pattern *pattern, struct tpo_set *set);
/* An escape for a character, at what follows the backslash: 1 and the character, 0 none, or negative. */
int tpo_pattern_character(struct tpo_pattern *pattern, uint32_t *cp);

#endif
