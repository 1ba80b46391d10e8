/* What sort of thoughts a model writes, told by keywords: English words and phrases in one table, no model and
 * no more than that. Plain counting on rank 0. */
#ifndef TPO_MEASURE_THOUGHTS_H
#define TPO_MEASURE_THOUGHTS_H

#include "base/memory.h"
#include "tpo/store.h"

enum thought_kind {
  THOUGHT_RESTATING,
  THOUGHT_PLANNING,
  THOUGHT_DRAFTING,
  THOUGHT_EVALUATING,
  THOUGHT_ENUMERATING,
  THOUGHT_CORRECTING,
  N_THOUGHT_KINDS /* a thought of none of them is "other" */
};

/* A thought is of a kind when `least` of its patterns' occurrences stand in it. A pattern is words in a row,
 * whatever stands between them; letter case doesn't matter.
 *   word*   any word that begins so
 *   ^word   at the beginning of a sentence or a line
 *   #       (alone) a line that begins with a bullet, or with a number and "." or ")" */
enum { MOST_PATTERNS = 40 };
struct thought_rule {
  const char *name;
  int least;
  const char *patterns[MOST_PATTERNS]; /* up to the first NULL */
};
extern const struct thought_rule thought_rules[N_THOUGHT_KINDS];

struct thought_occurrence {
  int n;        /* of a kind's patterns, at most one to a word */
  size_t first; /* byte of the first; the text's length where there is none */
};
/* text: UTF-8. */
void thought_occurrences(const char *text, struct thought_occurrence out[N_THOUGHT_KINDS]);
static inline bool thought_is(enum thought_kind kind, const struct thought_occurrence *of)
{
  return of[kind].n >= thought_rules[kind].least;
}

/* Share of the response's different sequences of three words that stand in the thought too, letter case aside;
 * NaN of a response of fewer words. Negative: memory is short. */
double thought_overlap(const char *thought, const char *response);

struct thought_counts {
  size_t thoughts, empty; /* of outputs that parse */
  size_t of[N_THOUGHT_KINDS], other;
  /* Means of thought_overlap over thoughts that are drafting, and over those that aren't; NaN of none. */
  size_t drafts, undrafted; /* with an overlap */
  double draft_overlap, draft_overlap_se, undrafted_overlap;
  /* The sentence in which a kind shows, of one of its thoughts, chosen by a hash of prompt and number; NULL
   * without any. Of `other` its beginning. */
  const char *examples[N_THOUGHT_KINDS + 1];
  struct tpo_arena arena;
};
int thoughts_count(struct thought_counts *out, const struct tpo_samples *samples, struct tpo_error *err);
void thoughts_free(struct thought_counts *counts);

#endif
