/* Matrix products of the CPU backend, at every instruction set that this machine has, against plain double
 * loops. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "unit.h"

#include "backend/cpu/cpu.h"
#include "base/philox.h"

/* A test asks for more memory than there can be; AddressSanitizer would otherwise end the process. */
TPO_API const char *__asan_default_options(void); /* visible to the sanitizer's library */
const char *__asan_default_options(void)
{
  return "allocator_may_return_null=1";
}

static const char *const levels[] = {"scalar", "avx2", "avx512", "avx512_bf16"};
static const enum tpo_dtype dtypes[] = {TPO_F32, TPO_BF16};

/* NULL when the machine is below the level. */
static struct tpo_backend *open_level(int level, int threads)
{
  struct tpo_backend *be;
  struct tpo_error err = {0};
  setenv("TPO_CPU_ISA", levels[level], 1);
  assert_int_equal(tpo_backend_open(&be, TPO_BACKEND_CPU, threads, &err), 0);
  unsetenv("TPO_CPU_ISA");
  if ((int)tpo_cpu(be)->isa == level) return be;
  assert_true((int)tpo_cpu(be)->isa < level);
  tpo_backend_close(be);
  return NULL;
}

static float *numbers(size_t n, uint32_t stream)
{
  struct tpo_rng rng;
  tpo_rng_init(&rng, 7, TPO_STREAM_INIT, stream, 0);
  float *x = malloc((n ? n : 1) * sizeof *x);
  for (size_t i = 0; i < n; i++) x[i] = (float)tpo_rng_normal(&rng);
  return x;
}

static float *zeros(size_t n)
{
  return calloc(n ? n : 1, sizeof(float));
}

static float *copy_of(const float *x, size_t n)
{
  float *y = malloc((n ? n : 1) * sizeof *y);
  memcpy(y, x, n * sizeof *y);
  return y;
}

/* What the products see: rounded where the backend computes with bf16 pairs. */
static float *seen(const struct tpo_backend *be, enum tpo_dtype dtype, const float *x, size_t n)
{
  float *y = copy_of(x, n);
  if (dtype == TPO_BF16 && be->has_bf16)
    for (size_t i = 0; i < n; i++) y[i] = tpo_bf16_to_f32(tpo_f32_to_bf16(x[i]));
  return y;
}

static struct tpo_linear *matrix(struct tpo_backend *be, int rows, int cols, enum tpo_dtype dtype,
                                 const float *values)
{
  struct tpo_linear *w;
  assert_int_equal(tpo_ops(be)->linear_create(be, rows, cols, dtype, &w, NULL), 0);
  tpo_ops(be)->linear_set(be, w, 0, rows, values, TPO_F32);
  return w;
}

/* c[m, n] += sum_k a[m*am + k*ak] * b[n*bn + k*bk]; checks got against it, with an error relative to the sum
 * of magnitudes. */
static void check_product(const float *got, const float *before, const float *a, ptrdiff_t am, ptrdiff_t ak,
                          const float *b, ptrdiff_t bn, ptrdiff_t bk, int m, int n, int k)
{
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) {
      double sum = before ? before[(size_t)i * n + j] : 0, magnitude = fabs(sum);
      for (int l = 0; l < k; l++) {
        double product = (double)a[i * am + l * ak] * b[j * bn + l * bk];
        sum += product;
        magnitude += fabs(product);
      }
      if (!(fabs(got[(size_t)i * n + j] - sum) <= 2e-6 * magnitude + 1e-30))
        fail_msg("element (%d, %d) of %d x %d, k %d: %.9g, expected %.9g", i, j, m, n, k,
                 got[(size_t)i * n + j], sum);
    }
}

struct size {
  int rows, cols, n;
};
static const struct size sizes[] = {{1, 1, 1},     {5, 3, 2},      {48, 16, 8},   {49, 33, 9},
                                    {24, 64, 4},   {100, 257, 13}, {97, 513, 21}, {150, 600, 17},
                                    {33, 48, 530}, {7, 1100, 70}};
#define N_SIZES (sizeof sizes / sizeof *sizes)

static void check_layer(struct tpo_backend *be, enum tpo_dtype dtype, struct size s)
{
  const struct tpo_ops *ops = tpo_ops(be);
  size_t n_w = (size_t)s.rows * s.cols, n_x = (size_t)s.n * s.cols, n_y = (size_t)s.n * s.rows;
  float *values = numbers(n_w, 1), *x = numbers(n_x, 2), *dy = numbers(n_y, 3);
  struct tpo_linear *w = matrix(be, s.rows, s.cols, dtype, values);
  float *weights = zeros(n_w), *y = numbers(n_y, 4), *dx = numbers(n_x, 5), *dw = numbers(n_w, 6);
  ops->linear_get(be, w, 0, s.rows, weights);
  float *sx = seen(be, dtype, x, n_x), *sdy = seen(be, dtype, dy, n_y);

  float *y0 = copy_of(y, n_y);
  ops->linear_forward_add(be, w, x, y, y, s.n);
  check_product(y, y0, sx, s.cols, 1, weights, s.cols, 1, s.n, s.rows, s.cols);
  float *apart = numbers(n_y, 7);
  ops->linear_forward_add(be, w, x, y0, apart, s.n);
  assert_memory_equal(apart, y, n_y * sizeof *y); /* in place or not: the same bits */
  check_product(apart, y0, sx, s.cols, 1, weights, s.cols, 1, s.n, s.rows, s.cols);
  ops->linear_forward(be, w, x, y, s.n);
  check_product(y, NULL, sx, s.cols, 1, weights, s.cols, 1, s.n, s.rows, s.cols);
  ops->lm_head_logits(be, w, x, y, s.n, 0);
  check_product(y, NULL, sx, s.cols, 1, weights, s.cols, 1, s.n, s.rows, s.cols);

  float *dx0 = copy_of(dx, n_x);
  ops->linear_backward_input(be, w, dy, dx, s.n, true);
  check_product(dx, dx0, sdy, s.rows, 1, weights, 1, s.cols, s.n, s.cols, s.rows);
  ops->linear_backward_input(be, w, dy, dx, s.n, false);
  check_product(dx, NULL, sdy, s.rows, 1, weights, 1, s.cols, s.n, s.cols, s.rows);

  float *dw0 = copy_of(dw, n_w);
  ops->linear_backward_weight(be, w, dy, x, dw, s.n);
  check_product(dw, dw0, sdy, 1, s.rows, sx, 1, s.cols, s.rows, s.cols, s.n);

  assert_int_equal(ops->check(be, NULL), 0);
  ops->linear_free(be, w);
  float *all[] = {values, x, dy, weights, y, dx, dw, sx, sdy, y0, dx0, dw0, apart};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void each_product_equals_plain_loops_at_any_size(void **state)
{
  (void)state;
  for (int level = 0; level < 4; level++) {
    struct tpo_backend *be = open_level(level, 2);
    if (!be) continue;
    for (int d = 0; d < 2; d++)
      for (size_t i = 0; i < N_SIZES; i++) check_layer(be, dtypes[d], sizes[i]);
    tpo_backend_close(be);
  }
}

static void linear_get_returns_what_was_set(void **state)
{
  (void)state;
  enum { ROWS = 101, COLS = 67 };
  float *values = numbers(ROWS * COLS, 1), *got = zeros(ROWS * COLS);
  char *converted = malloc(sizeof(float) * ROWS * COLS);
  for (int level = 0; level < 4; level++) {
    struct tpo_backend *be = open_level(level, 2);
    if (!be) continue;
    const struct tpo_ops *ops = tpo_ops(be);
    for (int d = 0; d < 2; d++)
      for (int from = TPO_F32; from <= TPO_BF16; from++) {
        struct tpo_linear *w;
        assert_int_equal(ops->linear_create(be, ROWS, COLS, dtypes[d], &w, NULL), 0);
        tpo_convert(converted, (enum tpo_dtype)from, values, TPO_F32, ROWS * COLS);
        static const int cuts[] = {0, 1, 6, 50, 51, 99, ROWS};
        for (size_t c = 0; c + 1 < sizeof cuts / sizeof *cuts; c++)
          ops->linear_set(be, w, cuts[c], cuts[c + 1] - cuts[c],
                          converted + (size_t)cuts[c] * COLS * tpo_dtype_size((enum tpo_dtype)from),
                          (enum tpo_dtype)from);
        ops->linear_get(be, w, 0, 40, got);
        ops->linear_get(be, w, 40, ROWS - 40, got + 40 * COLS);
        for (int i = 0; i < ROWS * COLS; i++) {
          float expected = values[i];
          if (from == TPO_F16) expected = tpo_f16_to_f32(tpo_f32_to_f16(expected));
          if (from == TPO_BF16 || dtypes[d] == TPO_BF16)
            expected = tpo_bf16_to_f32(tpo_f32_to_bf16(expected));
          assert_true(got[i] == expected);
        }
        ops->linear_free(be, w);
      }
    tpo_backend_close(be);
  }
  free(values);
  free(got);
  free(converted);
}

#define MOST 70
#define VOCAB 801

struct outputs {
  float *y, *dx, *logprob, *lse, *dh; // [n, rows], [n, cols], [n], [n], [n, cols]
  float *dw;                          // [rows, cols]
};

static struct outputs outputs(int n, int rows, int cols)
{
  return (struct outputs){zeros((size_t)n * rows), zeros((size_t)n * cols),   zeros(n), zeros(n),
                          zeros((size_t)n * cols), zeros((size_t)rows * cols)};
}

static void outputs_free(struct outputs o)
{
  float *all[] = {o.y, o.dx, o.logprob, o.lse, o.dh, o.dw};
  for (size_t i = 0; i < 6; i++) free(all[i]);
}

static void run_layer(struct tpo_backend *be, const struct tpo_linear *w, const float *x, const float *dy,
                      int n, struct outputs *o)
{
  tpo_ops(be)->linear_forward(be, w, x, o->y, n);
  tpo_ops(be)->linear_forward_add(be, w, x, o->y, o->y, n);
  tpo_ops(be)->linear_backward_input(be, w, dy, o->dx, n, false);
}

static void run_all(struct tpo_backend *be, const struct tpo_linear *w, const float *x, const float *dy,
                    const int32_t *targets, const float *dlogprob, int n, struct outputs *o)
{
  const struct tpo_ops *ops = tpo_ops(be);
  run_layer(be, w, x, dy, n, o);
  ops->lm_head_logprob(be, w, x, targets, o->logprob, o->lse, n, 0);
  ops->lm_head_logprob_backward(be, w, x, targets, o->lse, dlogprob, o->dh, o->dw, n, 0);
}

static void assert_same(const float *a, const float *b, size_t n)
{
  assert_memory_equal(a, b, n * sizeof *a);
}

static void row_bits_do_not_depend_on_the_other_rows(void **state)
{
  (void)state;
  enum { COLS = 301 };
  float *values = numbers(VOCAB * COLS, 1), *x = numbers(MOST * COLS, 2), *dy = numbers(MOST * VOCAB, 3);
  float *dlogprob = numbers(MOST, 4);
  int32_t targets[MOST];
  for (int i = 0; i < MOST; i++) targets[i] = i * 97 % VOCAB;
  for (int level = 0; level < 4; level++) {
    struct tpo_backend *be = open_level(level, 2);
    if (!be) continue;
    for (int d = 0; d < 2; d++) {
      struct tpo_linear *w = matrix(be, VOCAB, COLS, dtypes[d], values);
      struct outputs whole = outputs(MOST, VOCAB, COLS), part = outputs(MOST, VOCAB, COLS);
      run_all(be, w, x, dy, targets, dlogprob, MOST, &whole);
      for (int n = 1; n <= MOST; n += level == 0 ? 13 : 1) {
        size_t o = (size_t)(n * 7 % (MOST - n + 1)), rows = (size_t)n;
        run_layer(be, w, x + o * COLS, dy + o * VOCAB, n, &part);
        assert_same(part.y, whole.y + o * VOCAB, rows * VOCAB);
        assert_same(part.dx, whole.dx + o * COLS, rows * COLS);
        if (n % 6 != 1) continue;
        run_all(be, w, x + o * COLS, dy + o * VOCAB, targets + o, dlogprob + o, n, &part);
        assert_same(part.logprob, whole.logprob + o, rows);
        assert_same(part.lse, whole.lse + o, rows);
        assert_same(part.dh, whole.dh + o * COLS, rows * COLS);
      }
      outputs_free(whole);
      outputs_free(part);
      tpo_ops(be)->linear_free(be, w);
    }
    tpo_backend_close(be);
  }
  free(values);
  free(x);
  free(dy);
  free(dlogprob);
}

/* Many rows: past the largest task, and past what is kept in cache at once. */
static void bits_do_not_depend_on_the_number_of_threads(void **state)
{
  (void)state;
  enum { N = 1030, ROWS = 130, COLS = 70 };
  float *values = numbers(ROWS * COLS, 1), *x = numbers(N * COLS, 2), *dy = numbers(N * ROWS, 3);
  float *dlogprob = numbers(N, 4);
  int32_t targets[N];
  for (int i = 0; i < N; i++) targets[i] = i * 97 % (ROWS + 1) - 1;
  for (int level = 0; level < 4; level++)
    for (int d = 0; d < 2; d++) {
      struct outputs first = outputs(N, ROWS, COLS);
      for (int threads = 1; threads <= 3; threads++) {
        struct tpo_backend *be = open_level(level, threads);
        if (!be) break;
        struct tpo_linear *w = matrix(be, ROWS, COLS, dtypes[d], values);
        struct outputs o = outputs(N, ROWS, COLS);
        run_all(be, w, x, dy, targets, dlogprob, N, &o);
        tpo_ops(be)->linear_backward_weight(be, w, dy, x, o.dw, N);
        if (threads == 1) {
          struct outputs swap = first;
          first = o;
          o = swap;
        } else {
          assert_same(o.y, first.y, N * ROWS);
          assert_same(o.dx, first.dx, N * COLS);
          assert_same(o.logprob, first.logprob, N);
          assert_same(o.dh, first.dh, N * COLS);
          assert_same(o.dw, first.dw, ROWS * COLS);
        }
        outputs_free(o);
        tpo_ops(be)->linear_free(be, w);
        tpo_backend_close(be);
      }
      outputs_free(first);
    }
  free(values);
  free(x);
  free(dy);
  free(dlogprob);
}

/* log softmax in double over the weights and rows as the backend sees them. */
static void plain_log_softmax(const float *weights, const float *h, int vocab, int cols, double *out)
{
  double largest = -INFINITY, sum = 0;
  for (int v = 0; v < vocab; v++) {
    out[v] = 0;
    for (int k = 0; k < cols; k++) out[v] += (double)weights[(size_t)v * cols + k] * h[k];
    if (out[v] > largest) largest = out[v];
  }
  for (int v = 0; v < vocab; v++) sum += exp(out[v] - largest);
  for (int v = 0; v < vocab; v++) out[v] -= largest + log(sum);
}

static void check_head(struct tpo_backend *be, enum tpo_dtype dtype, int vocab, int cols, int n)
{
  const struct tpo_ops *ops = tpo_ops(be);
  size_t n_w = (size_t)vocab * cols, n_h = (size_t)n * cols;
  float *values = numbers(n_w, 1), *h = numbers(n_h, 2), *dlogprob = numbers(n, 3), *weights = zeros(n_w);
  for (size_t i = 0; i < n_w; i++) values[i] *= 0.3f;
  int32_t *targets = malloc((size_t)n * sizeof *targets);
  for (int i = 0; i < n; i++) targets[i] = i % 5 == 3 ? -1 : (int)((int64_t)i * 7919 % vocab);
  targets[0] = vocab - 1;
  struct tpo_linear *w = matrix(be, vocab, cols, dtype, values);
  ops->linear_get(be, w, 0, vocab, weights);
  float *sh = seen(be, dtype, h, n_h);
  struct outputs o = outputs(n, 1, cols);
  float *dw = numbers(n_w, 4);
  double *expected_dw = malloc(n_w * sizeof *expected_dw), *magnitude = calloc(n_w, sizeof *magnitude);
  double *row = malloc((size_t)vocab * sizeof *row);
  for (size_t i = 0; i < n_w; i++) expected_dw[i] = dw[i];
  ops->lm_head_logprob(be, w, h, targets, o.logprob, o.lse, n, 0);
  ops->lm_head_logprob_backward(be, w, h, targets, o.lse, dlogprob, o.dh, dw, n, 0);
  /* of the sum of magnitudes */
  double tolerance = dtype == TPO_BF16 && be->has_bf16 ? 0x1p-8 : 1e-5;
  for (int i = 0; i < n; i++) {
    plain_log_softmax(weights, sh + (size_t)i * cols, vocab, cols, row);
    double expected = targets[i] < 0 ? 0 : row[targets[i]];
    if (!(fabs(o.logprob[i] - expected) <= 2e-5))
      fail_msg("log-probability of row %d: %.9g, expected %.9g", i, o.logprob[i], expected);
    for (int k = 0; k < cols; k++) {
      double dh = 0, dh_magnitude = 1e-3;
      for (int v = 0; targets[i] >= 0 && v < vocab; v++) {
        double d = dlogprob[i] * ((v == targets[i]) - exp(row[v]));
        dh += d * weights[(size_t)v * cols + k];
        dh_magnitude += fabs(d * weights[(size_t)v * cols + k]);
        expected_dw[(size_t)v * cols + k] += d * sh[(size_t)i * cols + k];
        magnitude[(size_t)v * cols + k] += fabs(d * sh[(size_t)i * cols + k]);
      }
      if (!(fabs(o.dh[(size_t)i * cols + k] - dh) <= tolerance * dh_magnitude))
        fail_msg("dh[%d, %d]: %.9g, expected %.9g", i, k, o.dh[(size_t)i * cols + k], dh);
    }
  }
  for (size_t i = 0; i < n_w; i++)
    if (!(fabs(dw[i] - expected_dw[i]) <= tolerance * (fabs(expected_dw[i]) + magnitude[i])))
      fail_msg("dw[%zu]: %.9g, expected %.9g", i, dw[i], expected_dw[i]);
  ops->linear_free(be, w);
  outputs_free(o);
  void *all[] = {values, h, dlogprob, weights, targets, sh, dw, expected_dw, magnitude, row};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void lm_head_and_its_gradients_equal_plain_loops(void **state)
{
  (void)state;
  for (int level = 0; level < 4; level++) {
    struct tpo_backend *be = open_level(level, 2);
    if (!be) continue;
    for (int d = 0; d < 2; d++) {
      check_head(be, dtypes[d], 1, 3, 2);
      check_head(be, dtypes[d], 769, 5, 9);
      check_head(be, dtypes[d], 1537, 33, 7);
      check_head(be, dtypes[d], 50, 20, 1100);
    }
    tpo_backend_close(be);
  }
}

static double head_loss(struct tpo_backend *be, const struct tpo_linear *w, const float *h,
                        const int32_t *targets, const float *dlogprob, int n)
{
  float logprob[8], lse[8];
  double loss = 0;
  tpo_ops(be)->lm_head_logprob(be, w, h, targets, logprob, lse, n, 0);
  for (int i = 0; i < n; i++) loss += (double)dlogprob[i] * logprob[i];
  return loss;
}

static void lm_head_gradients_agree_with_finite_differences(void **state)
{
  (void)state;
  enum { N = 4, DIM = 9, WORDS = 800 };
  const float step = 0.01f;
  for (int level = 0; level < 4; level++) {
    struct tpo_backend *be = open_level(level, 1);
    if (!be) continue;
    const struct tpo_ops *ops = tpo_ops(be);
    float *values = numbers(WORDS * DIM, 1), *h = numbers(N * DIM, 2), *dlogprob = numbers(N, 3);
    int32_t targets[N] = {0, 799, -1, 400};
    struct tpo_linear *w = matrix(be, WORDS, DIM, TPO_F32, values);
    float logprob[N], lse[N], *dh = zeros(N * DIM), *dw = zeros(WORDS * DIM);
    ops->lm_head_logprob(be, w, h, targets, logprob, lse, N, 0);
    ops->lm_head_logprob_backward(be, w, h, targets, lse, dlogprob, dh, dw, N, 0);
    for (int i = 0; i < N * DIM; i++) {
      float kept = h[i];
      h[i] = kept + step;
      double up = head_loss(be, w, h, targets, dlogprob, N);
      h[i] = kept - step;
      double down = head_loss(be, w, h, targets, dlogprob, N);
      h[i] = kept;
      assert_true(fabs((up - down) / (2 * step) - dh[i]) < 2e-3);
    }
    for (int i = 0; i < WORDS * DIM; i += 97) {
      float kept = values[i];
      values[i] = kept + step;
      ops->linear_set(be, w, 0, WORDS, values, TPO_F32);
      double up = head_loss(be, w, h, targets, dlogprob, N);
      values[i] = kept - step;
      ops->linear_set(be, w, 0, WORDS, values, TPO_F32);
      double down = head_loss(be, w, h, targets, dlogprob, N);
      values[i] = kept;
      assert_true(fabs((up - down) / (2 * step) - dw[i]) < 2e-3);
    }
    ops->linear_free(be, w);
    float *all[] = {values, h, dlogprob, dh, dw};
    for (size_t i = 0; i < 5; i++) free(all[i]);
    tpo_backend_close(be);
  }
}

/* Logits far from zero: the sum of exponentials must be taken relative to the largest. */
static void lm_head_stands_large_logits(void **state)
{
  (void)state;
  for (int level = 0; level < 4; level++) {
    struct tpo_backend *be = open_level(level, 1);
    if (!be) continue;
    float values[3] = {1, -1, 0.5f}, h[2] = {10000, -10000}, logprob[2], lse[2];
    int32_t targets[2] = {2, 0};
    struct tpo_linear *w = matrix(be, 3, 1, TPO_F32, values);
    tpo_ops(be)->lm_head_logprob(be, w, h, targets, logprob, lse, 2, 0);
    assert_true(lse[0] == 10000.0f && lse[1] == 10000.0f);
    assert_true(logprob[0] == -5000.0f && logprob[1] == -20000.0f);
    tpo_ops(be)->linear_free(be, w);
    tpo_backend_close(be);
  }
}

static void embed_copies_rows_and_its_backward_adds_them_up(void **state)
{
  (void)state;
  enum { WORDS = 90, DIM = 131, N = 7 };
  static const int32_t ids[N] = {3, 89, 3, 0, 47, 3, 48};
  float *values = numbers(WORDS * DIM, 1), *dout = numbers(N * DIM, 2);
  for (int level = 0; level < 4; level++) {
    struct tpo_backend *be = open_level(level, 2);
    if (!be) continue;
    for (int d = 0; d < 2; d++) {
      struct tpo_linear *w = matrix(be, WORDS, DIM, dtypes[d], values);
      float *out = zeros(N * DIM), *row = zeros(DIM), *dtable = zeros(WORDS * DIM);
      tpo_ops(be)->embed(be, w, ids, out, N);
      for (int i = 0; i < N; i++) {
        tpo_ops(be)->linear_get(be, w, ids[i], 1, row);
        assert_same(out + i * DIM, row, DIM);
      }
      dtable[3 * DIM] = 100;
      tpo_ops(be)->embed_backward(be, ids, dout, dtable, N, DIM);
      for (int j = 0; j < DIM; j++) {
        assert_true(dtable[3 * DIM + j] ==
                    (((j ? 0 : 100.0f) + dout[j]) + dout[2 * DIM + j]) + dout[5 * DIM + j]);
        assert_true(dtable[89 * DIM + j] == dout[DIM + j]);
        assert_true(dtable[5 * DIM + j] == 0);
      }
      free(out);
      free(row);
      free(dtable);
      tpo_ops(be)->linear_free(be, w);
    }
    tpo_backend_close(be);
  }
  free(values);
  free(dout);
}

static void no_rows_is_no_work(void **state)
{
  (void)state;
  for (int level = 0; level < 4; level++) {
    struct tpo_backend *be = open_level(level, 2);
    if (!be) continue;
    float values[6] = {1, 2, 3, 4, 5, 6}, dw[6] = {1, 1, 1, 1, 1, 1}, other[1] = {9};
    struct tpo_linear *w = matrix(be, 2, 3, TPO_BF16, values);
    const struct tpo_ops *ops = tpo_ops(be);
    ops->linear_forward(be, w, other, other, 0);
    ops->linear_backward_input(be, w, other, other, 0, false);
    ops->linear_backward_weight(be, w, other, other, dw, 0);
    ops->lm_head_logprob(be, w, other, NULL, other, other, 0, 0);
    ops->lm_head_logprob_backward(be, w, other, NULL, other, other, other, dw, 0, 0);
    ops->embed(be, w, NULL, other, 0);
    ops->linear_set(be, w, 1, 0, NULL, TPO_F32);
    assert_true(other[0] == 9 && dw[0] == 1 && dw[5] == 1);
    assert_int_equal(ops->check(be, NULL), 0);
    ops->linear_free(be, w);
    tpo_backend_close(be);
  }
}

static void impossible_matrices_are_refused(void **state)
{
  (void)state;
  struct tpo_backend *be = open_level(0, 1);
  struct tpo_linear *w;
  struct tpo_error err = {0};
  const struct tpo_ops *ops = tpo_ops(be);
  assert_int_equal(ops->linear_create(be, 0, 4, TPO_F32, &w, &err), TPO_E_USAGE);
  assert_int_equal(ops->linear_create(be, 4, -1, TPO_F32, &w, &err), TPO_E_USAGE);
  assert_int_equal(ops->linear_create(be, 4, 4, TPO_F16, &w, &err), TPO_E_UNSUPPORTED);
  assert_non_null(strstr(err.message, "fp16"));
  assert_int_equal(ops->linear_create(be, INT32_MAX, INT32_MAX, TPO_F32, &w, &err), TPO_E_MEMORY);
  assert_null(w);
  ops->linear_free(be, NULL);
  tpo_backend_close(be);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(linear_get_returns_what_was_set),
      cmocka_unit_test(each_product_equals_plain_loops_at_any_size),
      cmocka_unit_test(row_bits_do_not_depend_on_the_other_rows),
      cmocka_unit_test(bits_do_not_depend_on_the_number_of_threads),
      cmocka_unit_test(lm_head_and_its_gradients_equal_plain_loops),
      cmocka_unit_test(lm_head_gradients_agree_with_finite_differences),
      cmocka_unit_test(lm_head_stands_large_logits),
      cmocka_unit_test(embed_copies_rows_and_its_backward_adds_them_up),
      cmocka_unit_test(no_rows_is_no_work),
      cmocka_unit_test(impossible_matrices_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
