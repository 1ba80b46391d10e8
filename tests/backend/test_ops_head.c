/* The LM head with capped logits, and linear layers with a bias, on every backend. */
#include "ops_check.h"

struct head_case {
  int vocab, cols, n;
  float softcap;
  float *values, *h, *dlogprob; /* [vocab, cols], [n, cols], [n] */
  int32_t *targets;
  struct tpo_linear *w; /* the reference's */
  float *logprob, *lse;
};

static struct tpo_linear *matrix(struct tpo_backend *be, int rows, int cols, const float *values)
{
  struct tpo_linear *w;
  assert_int_equal(tpo_ops(be)->linear_create(be, rows, cols, TPO_F32, &w, NULL), 0);
  tpo_ops(be)->linear_set(be, w, 0, rows, values, TPO_F32);
  return w;
}

static struct head_case make_head(int vocab, int cols, int n, float softcap)
{
  struct head_case c = {.vocab = vocab, .cols = cols, .n = n, .softcap = softcap};
  c.values = normal((size_t)(vocab * cols), 1);
  c.h = normal((size_t)(n * cols), 2);
  c.dlogprob = normal((size_t)n, 3);
  c.targets = check_alloc((size_t)n * sizeof *c.targets);
  for (int i = 0; i < n; i++) c.targets[i] = i % 5 == 3 ? -1 : (int)((int64_t)i * 7919 % vocab);
  c.targets[0] = vocab - 1;
  c.w = matrix(check_reference, vocab, cols, c.values);
  c.logprob = zeros((size_t)n);
  c.lse = zeros((size_t)n);
  return c;
}

static double head_loss(void *context)
{
  struct head_case *c = context;
  const struct tpo_ops *ops = tpo_ops(check_reference);
  ops->linear_set(check_reference, c->w, 0, c->vocab, c->values, TPO_F32);
  ops->lm_head_logprob(check_reference, c->w, c->h, c->targets, c->logprob, c->lse, c->n, c->softcap);
  return weighted_sum(c->dlogprob, c->logprob, (size_t)c->n);
}

/* Some logits are far into the cap, some below it. */
static void reference_backward_of_capped_logits_matches_differences(void **state)
{
  (void)state;
  struct head_case c = make_head(13, 6, 5, 3);
  float *dh = filled(5 * 6, 9), *dw = zeros(13 * 6);
  head_loss(&c);
  tpo_ops(check_reference)
      ->lm_head_logprob_backward(check_reference, c.w, c.h, c.targets, c.lse, c.dlogprob, dh, dw, 5, 3);
  assert_gradient("dh", c.h, dh, 5 * 6, head_loss, &c, 1e-3);
  assert_gradient("dw", c.values, dw, 13 * 6, head_loss, &c, 1e-3);
  tpo_ops(check_reference)->linear_free(check_reference, c.w);
}

/* Logits are those without a cap, capped; log-probabilities are theirs. */
static void check_logits(struct tpo_backend *be, const struct tpo_linear *w, const struct head_case *c)
{
  size_t size = (size_t)(c->n * c->vocab);
  float *plain = zeros(size), *capped = zeros(size), *expected = zeros(size);
  tpo_ops(be)->lm_head_logits(be, w, c->h, plain, c->n, 0);
  tpo_ops(be)->lm_head_logits(be, w, c->h, capped, c->n, c->softcap);
  check_wait(be);
  for (size_t i = 0; i < size; i++) expected[i] = c->softcap * (float)tanh((double)plain[i] / c->softcap);
  assert_close("logits", capped, expected, size, 1e-6);
}

static void capped_head_matches_reference(void **state)
{
  (void)state;
  static const int sizes[][3] = {{1, 3, 2}, {769, 5, 9}, {1537, 33, 7}, {50, 20, 1100}};
  for (int s = 0; s < 4; s++) {
    struct head_case c = make_head(sizes[s][0], sizes[s][1], sizes[s][2], s % 2 ? 30 : 2);
    size_t n_w = (size_t)(c.vocab * c.cols), n_h = (size_t)(c.n * c.cols);
    float *dh = zeros(n_h), *dw0 = normal(n_w, 4), *dw = copy_of(dw0, n_w);
    head_loss(&c);
    check_logits(check_reference, c.w, &c);
    tpo_ops(check_reference)
        ->lm_head_logprob_backward(check_reference, c.w, c.h, c.targets, c.lse, c.dlogprob, dh, dw, c.n,
                                   c.softcap);
    for (int b = 0; b < check_n_cpus; b++) {
      struct tpo_backend *be = check_cpus[b].be;
      const struct tpo_ops *ops = tpo_ops(be);
      struct tpo_linear *w = matrix(be, c.vocab, c.cols, c.values);
      float *logprob = zeros((size_t)c.n), *lse = zeros((size_t)c.n), *dh1 = filled(n_h, 9),
            *dw1 = copy_of(dw0, n_w);
      ops->lm_head_logprob(be, w, c.h, c.targets, logprob, lse, c.n, c.softcap);
      ops->lm_head_logprob_backward(be, w, c.h, c.targets, lse, c.dlogprob, dh1, dw1, c.n, c.softcap);
      assert_close("logprob", logprob, c.logprob, (size_t)c.n, 5e-6);
      assert_close("lse", lse, c.lse, (size_t)c.n, 2e-6);
      assert_close("dh", dh1, dh, n_h, 1e-5);
      assert_close("dw", dw1, dw, n_w, 2e-5);
      check_logits(be, w, &c);
      ops->linear_free(be, w);
    }
    tpo_ops(check_reference)->linear_free(check_reference, c.w);
    check_free(NULL);
  }
}

/* y = x W^T, then bias added: both to the last bit but one; whole panels, edges, several chunks along k. */
static void bias_is_added_to_the_product(void **state)
{
  (void)state;
  static const int sizes[][3] = {{1, 1, 1}, {48, 16, 8}, {49, 33, 9}, {100, 1100, 13}, {150, 600, 70}};
  for (int s = 0; s < 5; s++)
    for (int b = 0; b <= check_n_cpus; b++) {
      struct tpo_backend *be = b < check_n_cpus ? check_cpus[b].be : check_reference;
      const struct tpo_ops *ops = tpo_ops(be);
      size_t rows = (size_t)sizes[s][0], cols = (size_t)sizes[s][1], n = (size_t)sizes[s][2];
      float *x = normal(n * cols, 2), *bias = normal(rows, 3), *plain = zeros(n * rows),
            *y = filled(n * rows, 9);
      struct tpo_linear *w = matrix(be, (int)rows, (int)cols, normal(rows * cols, 1));
      ops->linear_forward(be, w, x, plain, (int)n);
      ops->linear_forward_bias(be, w, bias, x, y, (int)n);
      check_wait(be);
      for (size_t i = 0; i < n * rows; i++) plain[i] += bias[i % rows];
      assert_close("y", y, plain, n * rows, 3e-6);
      float *alone = zeros(rows), *last = y + (n - 1) * rows;
      ops->linear_forward_bias(be, w, bias, x + (n - 1) * cols, alone, 1);
      if (be != check_cuda) assert_bits("row alone", alone, last, rows);
      ops->linear_forward_bias(be, w, bias, x, y, 0);
      assert_int_equal(ops->check(be, NULL), 0);
      ops->linear_free(be, w);
      check_free(NULL);
    }
}

static void gradient_of_a_bias_is_the_sum_of_rows(void **state)
{
  (void)state;
  static const int dims[] = {1, 7, 64, 960}, counts[] = {0, 1, 64, 301};
  for (int d = 0; d < 4; d++)
    for (int k = 0; k < 4; k++) {
      size_t dim = (size_t)dims[d], n = (size_t)counts[k];
      float *dy = normal(n * dim, 1), *before = normal(dim, 2), *first[CHECK_LEVELS] = {NULL};
      float *expected = zeros(dim);
      for (size_t c = 0; c < dim; c++) {
        double sum = before[c];
        for (size_t i = 0; i < n; i++) sum += dy[i * dim + c];
        expected[c] = (float)sum;
      }
      for (int b = 0; b <= check_n_cpus; b++) {
        struct tpo_backend *be = b < check_n_cpus ? check_cpus[b].be : check_reference;
        float *dbias = copy_of(before, dim);
        tpo_ops(be)->bias_backward(be, dy, dbias, (int)n, (int)dim);
        assert_close("dbias", dbias, expected, dim, 5e-6);
        if (b == check_n_cpus) continue;
        if (!first[check_cpus[b].level]) first[check_cpus[b].level] = dbias;
        assert_bits("dbias at another number of threads", dbias, first[check_cpus[b].level], dim);
      }
      check_free(NULL);
    }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(reference_backward_of_capped_logits_matches_differences),
      CHECK_TEST(capped_head_matches_reference),
      CHECK_TEST(bias_is_added_to_the_product),
      CHECK_TEST(gradient_of_a_bias_is_the_sum_of_rows),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
