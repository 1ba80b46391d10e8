/* Log-probabilities that are computed between the engine's passes, with its model. */
#ifndef TPO_TESTS_ENGINE_BETWEEN_H
#define TPO_TESTS_ENGINE_BETWEEN_H

#include "engine/world.h"

enum { between_most = 90 }; /* tokens; fewer than the context */
static struct {
  float logprob[between_most]; /* of all tokens */
  int calls;
} between;

/* The first n tokens of a text. */
static inline int compute_logprobs(int n, float *logprob, struct tpo_error *err)
{
  int32_t ids[between_most];
  for (int i = 0; i < n; i++) ids[i] = 3 + (31 * i) % 200;
  const int32_t ends[] = {0, n};
  const struct tpo_batch batch = {.ids = ids, .cu_seqlens = ends, .n_tokens = n, .n_seqs = 1};
  return tpo_model_logprobs(w.model, &batch, logprob, err);
}

/* Ever longer, so that what the backend works in grows, and passes are recorded between. */
static inline int compute_between(void *arg, struct tpo_error *err)
{
  float got[between_most];
  (void)arg;
  int n = 2 + (7 * between.calls++) % (between_most - 2), status = compute_logprobs(n, got, err);
  assert_int_equal(w.next, n_prompts);
  if (status == 0) assert_memory_equal(got, between.logprob, (size_t)(n - 1) * sizeof *got);
  return status;
}

/* The same samples with and without. */
static inline void compare_between(void)
{
  struct tpo_error err = {0};
  struct tpo_samples expected = run_plainly();
  if (compute_logprobs(between_most, between.logprob, &err) < 0) fail_msg("%s", err.message);
  w.between = compute_between;
  between.calls = 0;
  struct tpo_samples got = run_plainly();
  assert_same(&expected, &got);
  assert_true(between.calls > 5);
  tpo_samples_free(&expected);
  tpo_samples_free(&got);
}

#endif
