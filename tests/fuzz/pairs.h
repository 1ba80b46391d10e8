/* Pairs that are read, by whatever reader, are whole, and equal after they were written and read again. */
#ifndef TPO_TESTS_FUZZ_PAIRS_H
#define TPO_TESTS_FUZZ_PAIRS_H

#include "fuzz/fuzz.h"
#include "tpo/store.h"

static inline void fuzz_same_ids(const int32_t *a, int32_t n_a, const int32_t *b, int32_t n_b)
{
  CLAIM(n_a == n_b && n_a >= 0, "%d and %d tokens", n_a, n_b);
  CLAIM(n_a == 0 || memcmp(a, b, (size_t)n_a * sizeof *a) == 0);
}

static inline void fuzz_same_mask(const uint8_t *a, const uint8_t *b, int32_t n)
{
  for (int32_t i = 0; i < n; i++) CLAIM(a[i] <= 1 && a[i] == b[i], "token %d: %d and %d", i, a[i], b[i]);
}

static inline void fuzz_same_number(double a, double b)
{
  CLAIM(a == b || (a != a && b != b), "%g and %g", a, b);
}

static inline void fuzz_same_pair(const struct tpo_pair_row *a, const struct tpo_pair_row *b)
{
  CLAIM(strcmp(a->prompt_id, b->prompt_id) == 0, "%s and %s", a->prompt_id, b->prompt_id);
  fuzz_same_ids(a->prompt_ids, a->n_prompt, b->prompt_ids, b->n_prompt);
  fuzz_same_ids(a->chosen_ids, a->n_chosen, b->chosen_ids, b->n_chosen);
  fuzz_same_ids(a->rejected_ids, a->n_rejected, b->rejected_ids, b->n_rejected);
  fuzz_same_mask(a->chosen_mask, b->chosen_mask, a->n_chosen);
  fuzz_same_mask(a->rejected_mask, b->rejected_mask, a->n_rejected);
  fuzz_same_number(a->chosen_score, b->chosen_score);
  fuzz_same_number(a->rejected_score, b->rejected_score);
  fuzz_same_number(a->margin, b->margin);
  fuzz_same_number(a->chosen_ref_logprob, b->chosen_ref_logprob);
  fuzz_same_number(a->rejected_ref_logprob, b->rejected_ref_logprob);
  CLAIM(a->step == b->step && a->step >= 0, "%d and %d", a->step, b->step);
  CLAIM(a->chosen_row == b->chosen_row && a->rejected_row == b->rejected_row);
}

static inline void fuzz_pairs_round_trip(const struct tpo_pairs *pairs)
{
  struct tpo_pairs again = {0};
  struct tpo_error err = {0};
  CLAIM(tpo_pairs_write(pairs, fuzz_path("again.h5"), &err) == 0, "%s", err.message);
  CLAIM(tpo_pairs_read(&again, fuzz_path("again.h5"), &err) == 0, "%s", err.message);
  CLAIM(again.n == pairs->n, "%zu and %zu pairs", again.n, pairs->n);
  for (size_t i = 0; i < pairs->n; i++) fuzz_same_pair(&pairs->rows[i], &again.rows[i]);
  CLAIM(strcmp(again.ref_model, pairs->ref_model) == 0, "%s and %s", again.ref_model, pairs->ref_model);
  tpo_pairs_free(&again);
}

#endif
