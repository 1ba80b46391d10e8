/* The GPU's sampler: the reference's token for any setting and any row, its numbers, and what they must not
 * depend on. */
#include "ops_check.h"

#include "backend/vecmath.h"

static float uniform_at(struct tpo_rng *rng)
{
  return (float)(tpo_rng_u32(rng) >> 8) * 0x1p-24f;
}

static void integer_weights_are_the_weights(void **state)
{
  (void)state;
  struct tpo_rng rng;
  tpo_rng_init(&rng, 7, TPO_STREAM_SYNTH, 0, 0);
  for (int i = 0; i < 200000; i++) {
    float x = i < 1000 ? -24.0f - 0.002f * (float)i : -28 * uniform_at(&rng);
    double weight = tpo_sample_weight(x, 0, 1);
    assert_true((double)tpo_sample_units(tpo_exp_f32(x), TPO_SAMPLE_ROUND) == weight * 0x1p35);
  }
  assert_true(tpo_sample_units(1, TPO_SAMPLE_ROUND) == UINT64_C(1) << 35);
  assert_true(tpo_sample_units(0x1p-36f, TPO_SAMPLE_ROUND) == 0);
}

enum row_kind { SPREAD, FLAT, EQUAL, TIES, PEAKED, HOLES, CLOSE, STEPS, KINDS };

static void fill_row(float *logits, int vocab, enum row_kind kind, struct tpo_rng *rng)
{
  for (int i = 0; i < vocab; i++) {
    float x = (float)tpo_rng_normal(rng);
    switch (kind) {
    case SPREAD: logits[i] = 4 * x - 3; break;
    case FLAT: logits[i] = 0.01f * x; break;
    case EQUAL: logits[i] = i % 3 ? 0.0f : -0.0f; break;
    case TIES: logits[i] = truncf(x * 2); break;
    case PEAKED: logits[i] = x - 40; break;
    case HOLES: logits[i] = tpo_rng_below(rng, 3) ? 3 * x : -INFINITY; break;
    case CLOSE: logits[i] = 7 + (float)tpo_rng_below(rng, 40) * 0x1p-21f; break; /* neighbours in fp32 */
    default: logits[i] = (float)(i % 5) * -0.5f + (x > 2 ? 0.25f : 0); break;
    }
  }
  if (kind == PEAKED || kind == HOLES) logits[tpo_rng_below(rng, (uint32_t)vocab)] = 5;
}

/* Setting number i of all combinations. */
#define N_SETTINGS (6 * 5 * 5 * 5)
static struct tpo_sample_params setting(int i, struct tpo_rng *rng)
{
  static const float temperatures[] = {1, 0.7f, 0, 2.5f, 40}, top_ps[] = {1, 0.95f, 0.4f, 0.9999f, 0},
                     min_ps[] = {0, 0.05f, 1e-7f, 1, 2};
  static const int32_t top_ks[] = {0, 1, 7, 50, 3000, 1 << 30};
  struct tpo_sample_params params = {temperatures[i % 5], top_ps[i / 5 % 5], min_ps[i / 25 % 5],
                                     top_ks[i / 125 % 6], uniform_at(rng)};
  if (tpo_rng_below(rng, 12) == 0) params.uniform = tpo_rng_below(rng, 2) ? 0 : 1 - 0x1p-24f;
  return params;
}

/* So that every setting meets every kind in N_SETTINGS * KINDS rows. */
static enum row_kind kind_of(int row)
{
  return (enum row_kind)((row + row / N_SETTINGS) % KINDS);
}

static void check_tokens(int vocab, int n, int first_setting, int stride)
{
  struct tpo_rng rng;
  tpo_rng_init(&rng, 8, TPO_STREAM_SYNTH, (uint64_t)vocab, 0);
  float *logits = zeros((size_t)n * (size_t)vocab), *logprob = zeros((size_t)n),
        *expected_logprob = zeros((size_t)n), *again = zeros((size_t)n);
  struct tpo_sample_params *params = check_alloc((size_t)n * sizeof *params);
  int32_t *token = check_alloc((size_t)n * sizeof *token), *expected = check_alloc((size_t)n * sizeof *token);
  for (int i = 0; i < n; i++) {
    fill_row(logits + (size_t)i * (size_t)vocab, vocab, kind_of(i), &rng);
    params[i] = setting((first_setting + i * stride) % N_SETTINGS, &rng);
  }
  tpo_ops(check_reference)->sample(check_reference, logits, params, expected, expected_logprob, n, vocab);
  tpo_ops(check_cuda)->sample(check_cuda, logits, params, token, logprob, n, vocab);
  check_wait(check_cuda);
  for (int i = 0; i < n; i++)
    if (token[i] != expected[i])
      fail_msg("row %d (kind %d) of %d tokens: token %d, expected %d (t %g, p %g, min %g, k %d, u %.9g)", i,
               (int)kind_of(i), vocab, token[i], expected[i], params[i].temperature, params[i].top_p,
               params[i].min_p, params[i].top_k, params[i].uniform);
  assert_close("logprob", logprob, expected_logprob, (size_t)n, 1e-6);
  tpo_ops(check_cuda)->token_logprob(check_cuda, logits, token, again, n, vocab);
  assert_bits("token_logprob", again, logprob, (size_t)n);
  check_free(NULL);
}

/* Strides are coprime to the number of settings. */
static void token_is_the_references_at_any_setting(void **state)
{
  (void)state;
  check_tokens(1, 60, 0, 7);
  check_tokens(2, 150, 1, 7);
  check_tokens(31, N_SETTINGS * KINDS, 0, 1);
  check_tokens(1000, 2 * N_SETTINGS, 0, 1);
}

static void token_is_the_references_in_large_vocabularies(void **state)
{
  (void)state;
  check_tokens(4096, 40, 11, 101);
  check_tokens(4099, 120, 0, 83);
  check_tokens(49152, 48, 5, 47);
}

/* More equals, or neighbours, than the list in shared memory holds: each digit of the key and the id is found
 * by reading the row. */
static void token_is_the_references_among_many_equals(void **state)
{
  (void)state;
  enum { VOCAB = 20011, N = 30 };
  struct tpo_rng rng;
  tpo_rng_init(&rng, 9, TPO_STREAM_SYNTH, 0, 0);
  float *logits = zeros(N * VOCAB), *logprob = zeros(N), *expected_logprob = zeros(N);
  struct tpo_sample_params *params = check_alloc(N * sizeof *params);
  int32_t *token = check_alloc(N * sizeof *token), *expected = check_alloc(N * sizeof *expected);
  for (int i = 0; i < N; i++) {
    fill_row(logits + i * VOCAB, VOCAB, i % 2 ? EQUAL : i % 4 ? CLOSE : STEPS, &rng);
    params[i] = (struct tpo_sample_params){.temperature = 1,
                                           .top_p = i % 3 ? 1 : 0.8f,
                                           .min_p = i % 5 ? 0 : 0.5f,
                                           .top_k = i % 7 ? 0 : 15000,
                                           .uniform = uniform_at(&rng)};
  }
  tpo_ops(check_reference)->sample(check_reference, logits, params, expected, expected_logprob, N, VOCAB);
  tpo_ops(check_cuda)->sample(check_cuda, logits, params, token, logprob, N, VOCAB);
  check_wait(check_cuda);
  for (int i = 0; i < N; i++) assert_int_equal(token[i], expected[i]);
  assert_close("logprob", logprob, expected_logprob, N, 1e-6);
}

/* The last of the uniforms points past the most probable token when all others together weigh 2^-20 or so. */
static void improbable_tokens_can_be_drawn(void **state)
{
  (void)state;
  static const int vocabs[] = {300, 6000};
  for (int v = 0; v < 2; v++) {
    float *logits = normal((size_t)vocabs[v], 1), logprob, expected_logprob;
    for (int i = 0; i < vocabs[v]; i++) logits[i] = 0.01f * logits[i] - (v ? 22.0f : 19.5f);
    logits[17] = 0;
    struct tpo_sample_params params = {.temperature = 1, .top_p = 1, .uniform = 1 - 0x1p-24f};
    int32_t *token = check_alloc(sizeof *token), expected;
    float *out = zeros(1);
    tpo_ops(check_reference)
        ->sample(check_reference, logits, &params, &expected, &expected_logprob, 1, vocabs[v]);
    tpo_ops(check_cuda)->sample(check_cuda, logits, &params, token, out, 1, vocabs[v]);
    check_wait(check_cuda);
    logprob = *out;
    assert_int_not_equal(expected, 17);
    assert_int_equal(*token, expected);
    assert_close("logprob", &logprob, &expected_logprob, 1, 1e-6);
  }
}

static void token_and_bits_do_not_depend_on_the_other_rows(void **state)
{
  (void)state;
  static const int vocabs[] = {777, 5001};
  for (int v = 0; v < 2; v++) {
    enum { N = 12 };
    size_t vocab = (size_t)vocabs[v];
    struct tpo_rng rng;
    tpo_rng_init(&rng, 10, TPO_STREAM_SYNTH, 0, 0);
    float *logits = zeros(N * vocab), *logprob = zeros(N), *part = zeros(N);
    struct tpo_sample_params *params = check_alloc(N * sizeof *params);
    int32_t *token = check_alloc(N * sizeof *token), *part_token = check_alloc(N * sizeof *token);
    for (int i = 0; i < N; i++) {
      fill_row(logits + (size_t)i * vocab, vocabs[v], (enum row_kind)(i % KINDS), &rng);
      params[i] = setting(61 * i, &rng);
    }
    tpo_ops(check_cuda)->sample(check_cuda, logits, params, token, logprob, N, vocabs[v]);
    for (int first = 0; first < N; first++) {
      int n = first % 3 ? 1 : N - first;
      float *moved = copy_of(logits + (size_t)first * vocab, (size_t)n * vocab);
      tpo_ops(check_cuda)->sample(check_cuda, moved, params + first, part_token, part, n, vocabs[v]);
      check_wait(check_cuda);
      for (int i = 0; i < n; i++) assert_int_equal(part_token[i], token[first + i]);
      assert_bits("logprob", part, logprob + first, (size_t)n);
    }
  }
}

static void a_pair_mentioned_twice_is_penalised_twice(void **state)
{
  (void)state;
  enum { N = 4, VOCAB = 70, ITEMS = 500 };
  struct tpo_rng rng;
  tpo_rng_init(&rng, 12, TPO_STREAM_SYNTH, 0, 0);
  float *logits = normal(N * VOCAB, 1), *expected = copy_of(logits, N * VOCAB);
  int32_t *rows = check_alloc(ITEMS * sizeof *rows), *tokens = check_alloc(ITEMS * sizeof *tokens);
  for (int i = 0; i < ITEMS; i++) {
    rows[i] = (int32_t)tpo_rng_below(&rng, N);
    tokens[i] = (int32_t)tpo_rng_below(&rng, VOCAB);
  }
  tpo_ops(check_reference)->repetition_penalty(check_reference, expected, rows, tokens, ITEMS, 1.3f, VOCAB);
  tpo_ops(check_cuda)->repetition_penalty(check_cuda, logits, rows, tokens, ITEMS, 1.3f, VOCAB);
  assert_bits("logits", logits, expected, N * VOCAB);
}

static void no_rows_are_no_work(void **state)
{
  (void)state;
  float *logits = normal(8, 1);
  tpo_ops(check_cuda)->sample(check_cuda, logits, NULL, NULL, NULL, 0, 8);
  tpo_ops(check_cuda)->token_logprob(check_cuda, logits, NULL, NULL, 0, 8);
  tpo_ops(check_cuda)->repetition_penalty(check_cuda, logits, NULL, NULL, 0, 2, 8);
  check_wait(check_cuda);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(integer_weights_are_the_weights),
      CHECK_TEST(token_is_the_references_at_any_setting),
      CHECK_TEST(token_is_the_references_in_large_vocabularies),
      CHECK_TEST(token_is_the_references_among_many_equals),
      CHECK_TEST(improbable_tokens_can_be_drawn),
      CHECK_TEST(token_and_bits_do_not_depend_on_the_other_rows),
      CHECK_TEST(a_pair_mentioned_twice_is_penalised_twice),
      CHECK_TEST(no_rows_are_no_work),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
