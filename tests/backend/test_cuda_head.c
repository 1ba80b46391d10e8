/* The GPU's LM head in both tables: values and gradients against the reference, over the boundaries of its
 * chunks. */
#include "ops_check.h"

static float rounded(float x)
{
  return tpo_bf16_to_f32(tpo_f32_to_bf16(x));
}

/* The same numbers as both backends take them: fp32, and the table's activations. */
struct head {
  enum tpo_dtype dtype;
  int vocab, cols, n;
  float softcap;
  struct tpo_linear *reference, *cuda;
  float *h; // [n, cols]
  void *act;
  int32_t *targets;
  float *dlogprob;
};

struct results {
  float *logprob, *lse; // [n]
  float *dh;            // [n, cols]
  float *dw;            // [vocab, cols]
};

static const struct tpo_ops *table(const struct head *c)
{
  return tpo_ops_for(check_cuda, c->dtype);
}

static void *to_act(enum tpo_dtype dtype, const float *x, size_t n)
{
  if (dtype == TPO_F32) return copy_of(x, n);
  uint16_t *act = check_alloc(n * sizeof *act);
  for (size_t i = 0; i < n; i++) act[i] = tpo_f32_to_bf16(x[i]);
  return act;
}

static float *from_act(enum tpo_dtype dtype, const void *act, size_t n)
{
  if (dtype == TPO_F32) return copy_of(act, n);
  float *x = zeros(n);
  for (size_t i = 0; i < n; i++) x[i] = tpo_bf16_to_f32(((const uint16_t *)act)[i]);
  return x;
}

/* `spread` of logits, which are capped if softcap isn't 0; every seventh row has no target. */
static struct head head(enum tpo_dtype dtype, int vocab, int cols, int n, float spread, float softcap)
{
  struct head c = {.dtype = dtype, .vocab = vocab, .cols = cols, .n = n, .softcap = softcap};
  size_t n_w = (size_t)vocab * (size_t)cols, n_h = (size_t)n * (size_t)cols;
  float *w = normal(n_w, 1);
  c.h = normal(n_h, 2);
  c.dlogprob = normal((size_t)n, 3);
  c.targets = check_alloc((size_t)n * sizeof *c.targets);
  for (int i = 0; i < n; i++) c.targets[i] = i % 7 == 3 ? -1 : i == n - 1 ? vocab - 1 : i * 3571 % vocab;
  for (size_t i = 0; i < n_w; i++) w[i] *= spread / sqrtf((float)cols);
  if (dtype == TPO_BF16)
    for (size_t i = 0; i < n_h; i++) c.h[i] = rounded(c.h[i]);
  c.act = to_act(dtype, c.h, n_h);
  struct tpo_backend *both[2] = {check_reference, check_cuda};
  struct tpo_linear **into[2] = {&c.reference, &c.cuda};
  for (int b = 0; b < 2; b++) {
    assert_int_equal(tpo_ops(both[b])->linear_create(both[b], vocab, cols, dtype, into[b], NULL), 0);
    tpo_ops(both[b])->linear_set(both[b], *into[b], 0, vocab, w, TPO_F32);
  }
  return c;
}

static void head_free(struct head *c)
{
  tpo_ops(check_reference)->linear_free(check_reference, c->reference);
  check_wait(check_cuda);
  tpo_ops(check_cuda)->linear_free(check_cuda, c->cuda);
}

static struct results results(const struct head *c)
{
  size_t n = (size_t)c->n, cols = (size_t)c->cols;
  return (struct results){zeros(n), zeros(n), zeros(n * cols), normal((size_t)c->vocab * cols, 4)};
}

static struct results run_reference(const struct head *c)
{
  struct results r = results(c);
  const struct tpo_ops *ops = tpo_ops(check_reference);
  ops->lm_head_logprob(check_reference, c->reference, c->h, c->targets, r.logprob, r.lse, c->n, c->softcap);
  ops->lm_head_logprob_backward(check_reference, c->reference, c->h, c->targets, r.lse, c->dlogprob, r.dh,
                                r.dw, c->n, c->softcap);
  return r;
}

/* n rows from row `first` on. */
static struct results run_cuda(const struct head *c, int first, int n)
{
  struct results r = results(c);
  const struct tpo_ops *ops = table(c);
  size_t size = ops->activation_size, offset = (size_t)first * (size_t)c->cols,
         n_h = (size_t)n * (size_t)c->cols;
  char *h = check_alloc(n_h * size), *dh = check_alloc(n_h * size);
  memcpy(h, (char *)c->act + offset * size, n_h * size);
  ops->lm_head_logprob(check_cuda, c->cuda, h, c->targets + first, r.logprob, r.lse, n, c->softcap);
  ops->lm_head_logprob_backward(check_cuda, c->cuda, h, c->targets + first, r.lse, c->dlogprob + first, dh,
                                r.dw, n, c->softcap);
  check_wait(check_cuda);
  r.dh = from_act(c->dtype, dh, n_h);
  return r;
}

static void assert_near(const char *what, const struct head *c, const float *got, const float *expected,
                        size_t n, double tolerance)
{
  double largest = 0;
  for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs((double)expected[i]));
  for (size_t i = 0; i < n; i++)
    if (!(fabs((double)got[i] - expected[i]) <= tolerance * largest))
      fail_msg("%s [%zu] of %d x %d, %d rows, %s: %.9g, expected %.9g", what, i, c->vocab, c->cols, c->n,
               tpo_dtype_name(c->dtype), got[i], expected[i]);
}

static void check_head(enum tpo_dtype dtype, int vocab, int cols, int n, float spread, float softcap)
{
  struct head c = head(dtype, vocab, cols, n, spread, softcap);
  struct results expected = run_reference(&c), got = run_cuda(&c, 0, n);
  /* of the largest; lse is rounded to fp32, dz and dh to Act */
  double tolerance = dtype == TPO_F32 ? 1e-5 : 1e-2;
  assert_close("lse", got.lse, expected.lse, (size_t)n, 2e-6);
  assert_close("logprob", got.logprob, expected.logprob, (size_t)n, 1e-5);
  assert_near("dh", &c, got.dh, expected.dh, (size_t)n * (size_t)cols, tolerance);
  assert_near("dw", &c, got.dw, expected.dw, (size_t)vocab * (size_t)cols, tolerance);
  for (int i = 0; i < n; i++) {
    if (c.targets[i] >= 0) continue;
    assert_true(got.logprob[i] == 0);
    for (int k = 0; k < cols; k++) assert_true(got.dh[(size_t)i * (size_t)cols + (size_t)k] == 0);
  }
  head_free(&c);
  check_free(NULL);
}

static const enum tpo_dtype dtypes[] = {TPO_F32, TPO_BF16};

/* Chunks of the vocabulary have 4096 entries; rows come by 2048; odd sizes are read number by number. */
static void head_and_its_gradients_match_reference(void **state)
{
  (void)state;
  for (int d = 0; d < 2; d++) {
    check_head(dtypes[d], 1, 3, 2, 1, 0);
    check_head(dtypes[d], 50, 20, 9, 1, 0);
    check_head(dtypes[d], 769, 33, 5, 3, 0);
    check_head(dtypes[d], 4096, 8, 4, 2, 0);
    check_head(dtypes[d], 4097, 8, 3, 2, 0);
    check_head(dtypes[d], 8212, 16, 8, 5, 0);
    check_head(dtypes[d], 6, 4, 2050, 1, 0);
  }
}

/* Caps far below, about and far above the logits. */
static void capped_head_and_its_gradients_match_reference(void **state)
{
  (void)state;
  static const float caps[] = {0.5f, 5, 300};
  for (int d = 0; d < 2; d++)
    for (int i = 0; i < 3; i++) {
      check_head(dtypes[d], 50, 20, 9, 3, caps[i]);
      check_head(dtypes[d], 4097, 8, 3, 4, caps[i]);
      check_head(dtypes[d], 4100, 8, 8, 4, caps[i]);
    }
}

/* Logits far from zero: exponentials are taken relative to the largest. */
static void head_stands_large_logits(void **state)
{
  (void)state;
  for (int d = 0; d < 2; d++) check_head(dtypes[d], 300, 16, 8, 100, 0);
}

static void row_bits_do_not_depend_on_the_other_rows(void **state)
{
  (void)state;
  enum { VOCAB = 4300, COLS = 24, N = 11 };
  for (int d = 0; d < 2; d++) {
    struct head c = head(dtypes[d], VOCAB, COLS, N, 2, d ? 3 : 0);
    struct results whole = run_cuda(&c, 0, N);
    for (int first = 0; first < N; first += 2) {
      int n = first % 4 ? 1 : N - first;
      struct results part = run_cuda(&c, first, n);
      assert_bits("logprob", part.logprob, whole.logprob + first, (size_t)n);
      assert_bits("lse", part.lse, whole.lse + first, (size_t)n);
      assert_bits("dh", part.dh, whole.dh + first * COLS, (size_t)n * COLS);
    }
    head_free(&c);
    check_free(NULL);
  }
}

/* In fp32, capped or not; and what is capped is what log-probabilities are taken of. */
static void logits_match_reference_in_fp32(void **state)
{
  (void)state;
  static const float caps[] = {0, 2};
  for (int d = 0; d < 2; d++)
    for (int i = 0; i < 2; i++) {
      struct head c = head(dtypes[d], 1003, 40, 5, 3, caps[i]);
      float *expected = zeros(5 * 1003), *got = zeros(5 * 1003), *logprob = zeros(5);
      tpo_ops(check_reference)->lm_head_logits(check_reference, c.reference, c.h, expected, c.n, caps[i]);
      table(&c)->lm_head_logits(check_cuda, c.cuda, c.act, got, c.n, caps[i]);
      assert_close("logits", got, expected, 5 * 1003, 1e-5);
      struct results r = run_cuda(&c, 0, 5);
      for (int row = 0; row < 5; row++)
        if (c.targets[row] >= 0) logprob[row] = got[row * 1003 + c.targets[row]] - r.lse[row];
      assert_close("logprob", logprob, r.logprob, 5, 1e-5);
      head_free(&c);
      check_free(NULL);
    }
}

static void no_rows_are_no_work(void **state)
{
  (void)state;
  struct head c = head(TPO_BF16, 5, 4, 1, 1, 0);
  float *dw = normal(20, 5), *before = copy_of(dw, 20);
  table(&c)->lm_head_logprob(check_cuda, c.cuda, c.act, c.targets, NULL, NULL, 0, 0);
  table(&c)->lm_head_logprob_backward(check_cuda, c.cuda, c.act, c.targets, NULL, NULL, NULL, dw, 0, 0);
  table(&c)->lm_head_logits(check_cuda, c.cuda, c.act, NULL, 0, 0);
  assert_bits("dw", dw, before, 20);
  head_free(&c);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(head_and_its_gradients_match_reference),
      CHECK_TEST(capped_head_and_its_gradients_match_reference),
      CHECK_TEST(head_stands_large_logits),
      CHECK_TEST(row_bits_do_not_depend_on_the_other_rows),
      CHECK_TEST(logits_match_reference_in_fp32),
      CHECK_TEST(no_rows_are_no_work),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
