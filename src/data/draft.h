/* A model's answer that should be a new instruction: what of it is one, and whether it can be used. */
#ifndef TPO_DATA_DRAFT_H
#define TPO_DATA_DRAFT_H

#include "tpo/base.h"

enum draft_fault {
  DRAFT_GOOD,
  DRAFT_CUT,        /* generation ended without an end token */
  DRAFT_EMPTY,      /* nothing is left once labels and quotes are taken off */
  DRAFT_CHARACTERS, /* bytes that are not UTF-8, control characters, U+FFFD */
  DRAFT_MARKER,     /* a template's marker or a special token's name */
  DRAFT_SHORT,
  DRAFT_LONG,
  DRAFT_REPLY,      /* a refusal, or talk to whoever asked */
  DRAFT_UNBALANCED, /* a quote, bracket or code fence without its other half */
  DRAFT_UNFINISHED, /* ends in the middle of a sentence */
  DRAFT_LIKE_SEED,
  DRAFT_LIKE_OTHER, /* like one that was accepted before */
  N_DRAFT_FAULTS
};
/* "too short", ...: what a count of it is called in messages. */
const char *draft_fault_name(enum draft_fault fault);

/* The first instruction of an answer: without the sentence that introduces it, labels ("Request 9:"),
 * numbering, bullets, quotes or emphasis around it, and without what follows it: further items, an answer, a
 * remark. A blank line ends it unless a colon stands before it, a code fence is open, or the text speaks of
 * what follows or stands below. Line ends become \n. answer: any bytes without NUL. free() it; NULL when
 * memory is short. */
char *draft_clean(const char *answer);

struct draft_rules {
  size_t min_words, max_words;
  const char *const *markers; /* [n_markers] texts that must not occur */
  size_t n_markers;
};
/* The first fault of a cleaned text, one of DRAFT_GOOD and DRAFT_EMPTY to DRAFT_UNFINISHED, looked for in
 * their order. */
enum draft_fault draft_check(const char *text, const struct draft_rules *rules);

#endif
