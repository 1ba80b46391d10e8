/* From logits to tokens: the same token as the reference, always; the right distribution; odd rows. */
#include "ops_check.h"

#include "backend/vecmath.h"

static const struct tpo_sample_params plain = {.temperature = 1, .top_p = 1};

static float uniform_at(struct tpo_rng *rng)
{
  return (float)(tpo_rng_u32(rng) >> 8) * 0x1p-24f;
}

/* Settings that a run may have, and a few that it should not. */
static struct tpo_sample_params random_params(struct tpo_rng *rng)
{
  static const float temperatures[] = {1, 0.8f, 0.3f, 2, 0, 1e-3f, 30, 1e-42f};
  static const float top_ps[] = {1, 0.95f, 0.5f, 0.999f, 0.1f, 0, 1, 1};
  static const float min_ps[] = {0, 0, 0.05f, 0.5f, 0, 1, 1.5f, 1e-6f};
  static const int32_t top_ks[] = {0, 0, 50, 1, 5, 0, 2000, 1000000};
  struct tpo_sample_params params = {temperatures[tpo_rng_below(rng, 8)], top_ps[tpo_rng_below(rng, 8)],
                                     min_ps[tpo_rng_below(rng, 8)], top_ks[tpo_rng_below(rng, 8)], 0};
  params.uniform = tpo_rng_below(rng, 8) ? uniform_at(rng) : tpo_rng_below(rng, 2) ? 0 : 1 - 0x1p-24f;
  return params;
}

enum row_kind { SPREAD, FLAT, EQUAL, TIES, PEAKED, HOLES, KINDS };

static void fill_row(float *logits, int vocab, enum row_kind kind, struct tpo_rng *rng)
{
  for (int i = 0; i < vocab; i++) {
    float x = (float)tpo_rng_normal(rng);
    switch (kind) {
    case SPREAD: logits[i] = 4 * x; break;
    case FLAT: logits[i] = 0.01f * x; break;
    case EQUAL: logits[i] = -0.0f; break;
    case TIES: logits[i] = truncf(x * 2); break; /* -0 and +0 among them */
    case PEAKED: logits[i] = x - 40; break;
    default: logits[i] = tpo_rng_below(rng, 3) ? 3 * x : -INFINITY; break;
    }
  }
  if (kind == PEAKED || kind == HOLES) logits[tpo_rng_below(rng, (uint32_t)vocab)] = 5;
}

static void token_is_the_references(void **state)
{
  (void)state;
  static const int vocabs[] = {1, 2, 5, 33, 1000, 8192};
  struct tpo_rng rng;
  tpo_rng_init(&rng, 5, TPO_STREAM_SYNTH, 0, 0);
  for (int v = 0; v < 6; v++) {
    int vocab = vocabs[v], n = vocab > 1000 ? 48 : 300;
    float *logits = zeros((size_t)(n * vocab)), *expected_logprob = zeros((size_t)n);
    struct tpo_sample_params *params = check_alloc((size_t)n * sizeof *params);
    int32_t *expected = check_alloc((size_t)n * sizeof *expected);
    for (int i = 0; i < n; i++) {
      fill_row(logits + (size_t)i * (size_t)vocab, vocab, (enum row_kind)(i % KINDS), &rng);
      params[i] = random_params(&rng);
    }
    tpo_ops(check_reference)->sample(check_reference, logits, params, expected, expected_logprob, n, vocab);
    for (int c = 0; c < check_n_cpus; c++) {
      struct tpo_backend *be = check_cpus[c].be;
      int32_t *token = check_alloc((size_t)n * sizeof *token);
      float *logprob = zeros((size_t)n), *again = zeros((size_t)n);
      tpo_ops(be)->sample(be, logits, params, token, logprob, n, vocab);
      check_ready();
      for (int i = 0; i < n; i++)
        if (token[i] != expected[i])
          fail_msg("row %d of %d tokens: token %d, expected %d (t %g, p %g, min %g, k %d, u %g)", i, vocab,
                   token[i], expected[i], params[i].temperature, params[i].top_p, params[i].min_p,
                   params[i].top_k, params[i].uniform);
      assert_close("logprob", logprob, expected_logprob, (size_t)n, 1e-6);
      tpo_ops(be)->token_logprob(be, logits, token, again, n, vocab);
      assert_bits("token_logprob", again, logprob, (size_t)n);
    }
    float *again = zeros((size_t)n);
    tpo_ops(check_reference)->token_logprob(check_reference, logits, expected, again, n, vocab);
    assert_bits("the reference's token_logprob", again, expected_logprob, (size_t)n);
    check_free(NULL);
  }
}

static void token_does_not_depend_on_batch(void **state)
{
  (void)state;
  enum { N = 24, VOCAB = 3000 };
  struct tpo_rng rng;
  tpo_rng_init(&rng, 6, TPO_STREAM_SYNTH, 0, 0);
  float *logits = zeros(N * VOCAB);
  struct tpo_sample_params params[N];
  for (int i = 0; i < N; i++) {
    fill_row(logits + i * VOCAB, VOCAB, (enum row_kind)(i % KINDS), &rng);
    params[i] = random_params(&rng);
  }
  for (int c = 0; c < check_n_cpus; c++) {
    struct tpo_backend *be = check_cpus[c].be;
    float *logprob = zeros(N), *alone_logprob = zeros(1);
    int32_t *token = check_alloc(N * sizeof *token), *alone = check_alloc(sizeof *alone);
    tpo_ops(be)->sample(be, logits, params, token, logprob, N, VOCAB);
    for (int i = 0; i < N; i++) {
      float *row = copy_of(logits + i * VOCAB, VOCAB); /* at another address */
      tpo_ops(be)->sample(be, row, &params[i], alone, alone_logprob, 1, VOCAB);
      assert_bits("logprob", alone_logprob, &logprob[i], 1);
      assert_int_equal(*alone, token[i]);
    }
    check_free(NULL);
    logits = zeros(N * VOCAB);
    tpo_rng_init(&rng, 6, TPO_STREAM_SYNTH, 0, 0);
    for (int i = 0; i < N; i++) {
      fill_row(logits + i * VOCAB, VOCAB, (enum row_kind)(i % KINDS), &rng);
      params[i] = random_params(&rng);
    }
  }
}

static int32_t draw(struct tpo_backend *be, const float *logits, int vocab, struct tpo_sample_params params)
{
  int32_t *token = check_alloc(sizeof *token);
  float *logprob = zeros(1), *copy = copy_of(logits, (size_t)vocab);
  tpo_ops(be)->sample(be, copy, &params, token, logprob, 1, vocab);
  check_ready();
  return *token;
}

/* b = -1 is the reference, then each CPU backend. */
static struct tpo_backend *each(int b)
{
  return b < 0 ? check_reference : check_cpus[b].be;
}

static void greedy_takes_the_lowest_of_equals(void **state)
{
  (void)state;
  float logits[40];
  for (int i = 0; i < 40; i++) logits[i] = -1;
  logits[7] = logits[21] = logits[39] = 2.5f;
  struct tpo_sample_params greedy = {.top_p = 1, .uniform = 0.99f};
  for (int b = -1; b < check_n_cpus; b++) {
    assert_int_equal(draw(each(b), logits, 40, greedy), 7);
    logits[3] = -0.0f;
    logits[9] = 0.0f;
    for (int i = 0; i < 40; i++)
      if (i != 3 && i != 9) logits[i] = -1;
    assert_int_equal(draw(each(b), logits, 40, greedy), 3);
    logits[7] = logits[21] = logits[39] = 2.5f;
  }
}

/* The cumulative share must exceed `uniform`: reaching it is not enough. */
static void equals_are_drawn_in_the_order_of_ids(void **state)
{
  (void)state;
  const float logits[5] = {-3, -0.0f, 0.0f, -0.0f, 0.0f};
  for (int b = -1; b < check_n_cpus; b++)
    for (int i = 0; i < 4; i++) {
      struct tpo_sample_params params = {
          .temperature = 1, .top_p = 1, .top_k = 4, .uniform = 0.25f * (float)i};
      assert_int_equal(draw(each(b), logits, 5, params), i + 1);
    }
}

static void truncations_keep_what_they_say(void **state)
{
  (void)state;
  /* probabilities 0.4 0.3 0.2 0.1 at ids 2 0 3 1 */
  float logits[4] = {logf(0.3f), logf(0.1f), logf(0.4f), logf(0.2f)};
  static const struct {
    struct tpo_sample_params params;
    int32_t token;
  } cases[] = {
      {{1, 1, 0, 0, 0.0f}, 2},       {{1, 1, 0, 0, 0.39f}, 2},        {{1, 1, 0, 0, 0.41f}, 0},
      {{1, 1, 0, 0, 0.69f}, 0},      {{1, 1, 0, 0, 0.71f}, 3},        {{1, 1, 0, 0, 0.91f}, 1},
      {{1, 1, 0, 2, 0.57f}, 2}, /* 0.4 of 0.7 is 0.571 */
      {{1, 1, 0, 2, 0.58f}, 0},      {{1, 1, 0, 2, 0.999f}, 0},       {{1, 0.65f, 0, 0, 0.999f}, 0},
      {{1, 0.75f, 0, 0, 0.999f}, 3}, {{1, 0.2f, 0, 0, 0.999f}, 2},    {{1, 1, 0.45f, 0, 0.999f}, 3},
      {{1, 1, 0.55f, 0, 0.999f}, 0}, {{1, 1, 0.8f, 0, 0.999f}, 2},    {{1, 0.65f, 0, 2, 0.999f}, 0},
      {{1, 0.55f, 0, 2, 0.999f}, 2},                                  /* of the two, the first has 0.571 */
      {{0.5f, 1, 0, 0, 0.52f}, 2},                                    /* 0.16 of 0.30 is 0.533 */
      {{0.5f, 1, 0, 0, 0.55f}, 0},   {{0.5f, 1, 0.5f, 0, 0.999f}, 0}, /* 0.09 of 0.16 stays, 0.04 does not */
  };
  for (int b = -1; b < check_n_cpus; b++)
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
      if (draw(each(b), logits, 4, cases[i].params) != cases[i].token) fail_msg("case %zu, backend %d", i, b);
}

static void unusable_rows_give_no_token(void **state)
{
  (void)state;
  enum { VOCAB = 50 };
  float *rows = normal(5 * VOCAB, 1), *logprob = zeros(5);
  const int32_t asked[5] = {0, 0, 0, 0, -1};
  int32_t *token = check_alloc(5 * sizeof *token), *wanted = check_dup(asked, sizeof asked);
  struct tpo_sample_params params[5] = {plain, plain, {.temperature = 0, .top_p = 1}, plain, plain};
  rows[49] = NAN;
  rows[VOCAB + 3] = INFINITY;
  rows[2 * VOCAB] = NAN;
  for (int i = 0; i < VOCAB; i++) rows[3 * VOCAB + i] = -INFINITY;
  for (int b = -1; b < check_n_cpus; b++) {
    tpo_ops(each(b))->sample(each(b), rows, params, token, logprob, 5, VOCAB);
    check_ready();
    for (int i = 0; i < 4; i++) {
      assert_int_equal(token[i], -1);
      assert_true(isnan(logprob[i]));
    }
    assert_in_range(token[4], 0, VOCAB - 1);
    assert_true(logprob[4] < 0);
    tpo_ops(each(b))->token_logprob(each(b), rows, wanted, logprob, 5, VOCAB);
    check_ready();
    for (int i = 0; i < 5; i++) assert_true(isnan(logprob[i]));
  }
}

/* Chi-square of the drawn tokens against the truncated distribution computed here, in double. */
static void drawn_tokens_follow_the_truncated_distribution(void **state)
{
  (void)state;
  enum { VOCAB = 60, DRAWS = 40000 };
  static const struct tpo_sample_params settings[] = {
      {0.8f, 0.95f, 0, 0, 0}, {1, 1, 0, 0, 0}, {1.3f, 1, 0, 20, 0}, {1, 1, 0.1f, 0, 0}};
  float *row = normal(VOCAB, 3), *logits = zeros((size_t)VOCAB * DRAWS), *logprob = zeros(DRAWS);
  struct tpo_sample_params *params = check_alloc(DRAWS * sizeof *params);
  int32_t *token = check_alloc(DRAWS * sizeof *token);
  for (int i = 0; i < DRAWS; i++) memcpy(logits + i * VOCAB, row, VOCAB * sizeof(float));
  for (int s = 0; s < 4; s++) {
    double p[VOCAB], total = 0, kept = 0;
    int order[VOCAB], counts[VOCAB] = {0}, last = 0, cells = 0;
    for (int i = 0; i < VOCAB; i++) {
      int at = i;
      for (; at > 0 && row[order[at - 1]] < row[i]; at--) order[at] = order[at - 1];
      order[at] = i;
    }
    int top_k = settings[s].top_k ? settings[s].top_k : VOCAB;
    for (int i = 0; i < top_k; i++)
      total += p[i] = exp((double)(row[order[i]] - row[order[0]]) / settings[s].temperature);
    for (; last < top_k && kept < settings[s].top_p * total && p[last] >= settings[s].min_p; last++)
      kept += p[last];
    struct tpo_sample_key key = {.seed = 42, .prompt = (uint64_t)s};
    for (int i = 0; i < DRAWS; i++) {
      params[i] = settings[s];
      params[i].uniform = tpo_sample_uniform(&key, (uint32_t)i);
    }
    struct tpo_backend *be = check_cpus[check_n_cpus - 1 - (check_cuda != NULL)].be; /* the fastest CPU */
    tpo_ops(be)->sample(be, logits, params, token, logprob, DRAWS, VOCAB);
    for (int i = 0; i < DRAWS; i++) counts[token[i]]++;
    double chi = 0;
    for (int i = 0; i < VOCAB; i++) {
      double expected = i < last ? p[i] / kept * DRAWS : 0;
      if (i >= last) assert_int_equal(counts[order[i]], 0);
      if (i < last) chi += (counts[order[i]] - expected) * (counts[order[i]] - expected) / expected;
      cells += i < last;
    }
    assert_true(cells > 5);
    double spread = sqrt(2.0 * (cells - 1));
    assert_true(chi < cells - 1 + 4 * spread && chi > cells - 1 - 4 * spread);
  }
}

static void repetition_penalty_divides_or_multiplies(void **state)
{
  (void)state;
  const int32_t row_of[] = {0, 1, 1}, token_of[] = {2, 0, 4};
  const int32_t *rows = check_dup(row_of, sizeof row_of), *tokens = check_dup(token_of, sizeof token_of);
  for (int b = -1; b < check_n_cpus; b++) {
    const float before[10] = {1, 1, 3, 1, 1, -2, 1, 1, 1, 0};
    float *logits = copy_of(before, 10);
    const float expected[10] = {1, 1, 2, 1, 1, -3, 1, 1, 1, 0};
    tpo_ops(each(b))->repetition_penalty(each(b), logits, rows, tokens, 3, 1.5f, 5);
    assert_bits("logits", logits, expected, 10);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(token_is_the_references),
      CHECK_TEST(token_does_not_depend_on_batch),
      CHECK_TEST(greedy_takes_the_lowest_of_equals),
      CHECK_TEST(equals_are_drawn_in_the_order_of_ids),
      CHECK_TEST(truncations_keep_what_they_say),
      CHECK_TEST(unusable_rows_give_no_token),
      CHECK_TEST(drawn_tokens_follow_the_truncated_distribution),
      CHECK_TEST(repetition_penalty_divides_or_multiplies),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
