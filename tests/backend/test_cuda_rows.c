/* Operations over rows of the CUDA backend beside the reference, with both types of activations. */
#include "ops_check.h"

#include "cuda_check.h"

/* Each way of dividing a row: parts of a warp, whole packs and not, a block of 1 to 4 packs (fp32: 8) a
 * thread, longer. */
static const int dims[] = {1, 3, 37, 64, 256, 259, 576, 770, 1024, 1025, 2048, 3001, 4096, 5000, 8192, 8200};
#define N_DIMS ((int)(sizeof dims / sizeof *dims))
#define N 5

/* What bf16 results lose in rounding: at most 2^-8 of themselves. */
static double tolerance_of(enum tpo_dtype dtype)
{
  return dtype == TPO_BF16 ? 4.5e-3 : 2e-6;
}

static enum tpo_dtype dtypes[] = {TPO_F32, TPO_BF16};

struct norm_results {
  struct check_values y, dx;
  float *rstd, *dw;
};

static struct norm_results norms(struct tpo_backend *be, int n, int dim, enum tpo_dtype dtype)
{
  const struct tpo_ops *ops = tpo_ops_for(be, dtype);
  size_t size = (size_t)n * (size_t)dim;
  struct check_values x = check_values(ops, size, 1, dtype), dy = check_values(ops, size, 2, dtype);
  float *w = normal((size_t)dim, 3);
  struct norm_results r = {.y = check_values(ops, size, 4, dtype),
                           .dx = check_values(ops, size, 5, dtype),
                           .rstd = zeros((size_t)n),
                           .dw = normal((size_t)dim, 6)};
  ops->rms_norm(be, x.data, w, r.y.data, r.rstd, n, dim, 1e-5f);
  ops->rms_norm_backward(be, dy.data, x.data, w, r.rstd, r.dx.data, r.dw, n, dim);
  check_wait(be);
  return r;
}

static void norm_matches_the_reference(int n, int dim, enum tpo_dtype dtype)
{
  struct norm_results got = norms(check_cuda, n, dim, dtype);
  struct norm_results expected = norms(check_reference, n, dim, dtype);
  double tolerance = tolerance_of(dtype);
  check_values_close("y", &got.y, &expected.y, tolerance);
  check_values_close("dx", &got.dx, &expected.dx, dim == 1 ? 1e-4 + tolerance : tolerance);
  assert_close("rstd", got.rstd, expected.rstd, (size_t)n, 1e-6);
  check_all_close("dw", got.dw, expected.dw, (size_t)dim, 2e-6);
}

static void rms_norm_and_its_gradients_match_the_reference(void **state)
{
  (void)state;
  for (int t = 0; t < 2; t++)
    for (int d = 0; d < N_DIMS; d++) {
      norm_matches_the_reference(N, dims[d], dtypes[t]);
      check_free(NULL);
    }
}

/* More rows than all blocks have warps, so that a group sums several. */
static void gradients_of_many_rows_match_the_reference(void **state)
{
  (void)state;
  static const int shapes[][2] = {{700, 100}, {300, 777}, {90, 1030}, {90, 8200}};
  for (int t = 0; t < 2; t++)
    for (int s = 0; s < 4; s++) {
      norm_matches_the_reference(shapes[s][0], shapes[s][1], dtypes[t]);
      check_free(NULL);
    }
}

static void a_weight_gradient_has_the_same_bits_every_time(void **state)
{
  (void)state;
  for (int t = 0; t < 2; t++) {
    struct norm_results first = norms(check_cuda, 70, 1030, dtypes[t]);
    struct norm_results again = norms(check_cuda, 70, 1030, dtypes[t]);
    assert_bits("dw", again.dw, first.dw, 1030);
  }
}

/* One row of `bytes` bytes of x, at an address that is a multiple of 16 plus `shift`. */
static unsigned char *row_of(const void *x, size_t row, size_t bytes, size_t shift)
{
  unsigned char *p = check_alloc(bytes + 16);
  return memcpy(p + shift, (const unsigned char *)x + row * bytes, bytes);
}

static void assert_row(const char *what, int dim, const void *got, const struct check_values *in, size_t row,
                       size_t bytes)
{
  check_ready();
  if (memcmp(got, (const unsigned char *)in->data + row * bytes, bytes) != 0)
    fail_msg("%s: a row of %d has other bits alone", what, dim);
}

static void a_row_has_the_same_bits_alone(void **state)
{
  (void)state;
  for (int t = 0; t < 2; t++)
    for (int d = 0; d < N_DIMS; d++) {
      const struct tpo_ops *ops = tpo_ops_for(check_cuda, dtypes[t]);
      int dim = dims[d];
      size_t size = N * (size_t)dim, bytes = (size_t)dim * ops->activation_size, row = 3;
      struct check_values x = check_values(ops, size, 1, dtypes[t]),
                          dy = check_values(ops, size, 2, dtypes[t]),
                          y = check_values(ops, size, 3, dtypes[t]),
                          dx = check_values(ops, size, 4, dtypes[t]),
                          gate_up = check_values(ops, 2 * size, 5, dtypes[t]),
                          out = check_values(ops, size, 6, dtypes[t]),
                          dgate_up = check_values(ops, 2 * size, 7, dtypes[t]);
      float *w = normal((size_t)dim, 8), *rstd = zeros(N), *dw = zeros((size_t)dim);
      size_t e = ops->activation_size;
      unsigned char *x1 = row_of(x.data, row, bytes, 0), *dy1 = row_of(dy.data, row, bytes, 0),
                    *y1 = row_of(y.data, row, bytes, 0), *dx1 = row_of(dx.data, row, bytes, 0),
                    *gate_up1 = row_of(gate_up.data, row, 2 * bytes, e),
                    *out1 = row_of(out.data, row, bytes, e),
                    *dgate_up1 = row_of(dgate_up.data, row, 2 * bytes, e);
      ops->rms_norm(check_cuda, x.data, w, y.data, rstd, N, dim, 1e-5f);
      ops->rms_norm(check_cuda, x1, w, y1, NULL, 1, dim, 1e-5f);
      ops->rms_norm_backward(check_cuda, dy.data, x.data, w, rstd, dx.data, dw, N, dim);
      ops->rms_norm_backward(check_cuda, dy1, x1, w, rstd + row, dx1, dw, 1, dim);
      ops->swiglu(check_cuda, gate_up.data, out.data, N, dim);
      ops->swiglu(check_cuda, gate_up1, out1, 1, dim);
      ops->swiglu_backward(check_cuda, dy.data, gate_up.data, dgate_up.data, N, dim);
      ops->swiglu_backward(check_cuda, dy1, gate_up1, dgate_up1, 1, dim);
      assert_row("rms_norm", dim, y1, &y, row, bytes);
      assert_row("rms_norm backward", dim, dx1, &dx, row, bytes);
      assert_row("swiglu", dim, out1, &out, row, bytes);
      assert_row("swiglu backward", dim, dgate_up1, &dgate_up, row, 2 * bytes);
      check_free(NULL);
    }
}

/* Rows of whole packs whose addresses aren't 16-byte aligned. */
static void rows_that_are_not_aligned_match_the_reference(void **state)
{
  (void)state;
  static const int widths[] = {64, 1024, 4096};
  for (int t = 0; t < 2; t++)
    for (int d = 0; d < 3; d++) {
      const struct tpo_ops *ops = tpo_ops_for(check_cuda, dtypes[t]);
      int dim = widths[d];
      size_t size = 2 * (size_t)dim, e = ops->activation_size;
      struct check_values values[4];
      unsigned char *moved[4]; /* x, dy, y, dx */
      for (int k = 0; k < 4; k++) {
        values[k] = check_values(ops, size, (uint32_t)k + 1, dtypes[t]);
        moved[k] = row_of(values[k].data, 0, size * e, e);
      }
      float *w = normal((size_t)dim, 8), *rstd = zeros(2), *dw = zeros((size_t)dim),
            *dw1 = zeros((size_t)dim);
      ops->rms_norm(check_cuda, values[0].data, w, values[2].data, rstd, 2, dim, 1e-5f);
      ops->rms_norm_backward(check_cuda, values[1].data, values[0].data, w, rstd, values[3].data, dw, 2, dim);
      ops->rms_norm(check_cuda, moved[0], w, moved[2], rstd, 2, dim, 1e-5f);
      ops->rms_norm_backward(check_cuda, moved[1], moved[0], w, rstd, moved[3], dw1, 2, dim);
      check_wait(check_cuda);
      for (int k = 2; k < 4; k++) {
        struct check_values got = {memcpy(check_alloc(size * e), moved[k], size * e), size, e};
        check_values_close("moved", &got, &values[k], dtypes[t] == TPO_BF16 ? 8e-3 : 2e-6);
      }
      check_all_close("dw", dw1, dw, (size_t)dim, 2e-6);
    }
}

static struct check_values gates(const struct tpo_ops *ops, size_t n, enum tpo_dtype dtype)
{
  float *x = check_rounded(n, 1, dtype);
  for (size_t i = 0; i < n; i++) x[i] *= 4;
  x[0] = -200; /* exp(200) has no fp32 */
  x[n / 2] = 200;
  return check_values_of(ops, x, n);
}

static void gated(struct tpo_backend *be, const struct tpo_ops *ops, bool gelu, int dim, enum tpo_dtype dtype,
                  struct check_values *out, struct check_values *dx)
{
  size_t size = N * (size_t)dim;
  struct check_values x = gates(ops, 2 * size, dtype), dout = check_values(ops, size, 2, dtype);
  *out = check_values(ops, size, 3, dtype);
  *dx = check_values(ops, 2 * size, 4, dtype);
  (gelu ? ops->geglu : ops->swiglu)(be, x.data, out->data, N, dim);
  (gelu ? ops->geglu_backward : ops->swiglu_backward)(be, dout.data, x.data, dx->data, N, dim);
}

static void gated_units_and_their_gradients_match_the_reference(void **state)
{
  (void)state;
  for (int t = 0; t < 4; t++)
    for (int d = 0; d < N_DIMS; d++) {
      enum tpo_dtype dtype = dtypes[t % 2];
      struct check_values out[2], dx[2];
      gated(check_cuda, tpo_ops_for(check_cuda, dtype), t / 2, dims[d], dtype, &out[0], &dx[0]);
      gated(check_reference, tpo_ops(check_reference), t / 2, dims[d], dtype, &out[1], &dx[1]);
      check_values_close(t / 2 ? "geglu" : "swiglu", &out[0], &out[1], tolerance_of(dtype));
      check_values_close(t / 2 ? "geglu backward" : "swiglu backward", &dx[0], &dx[1], tolerance_of(dtype));
      check_free(NULL);
    }
}

/* In place and not, with and without a base, from any address and of any length. */
static void scaled_sums_match_the_reference(void **state)
{
  (void)state;
  static const size_t lengths[] = {1, 7, 8, 64, 4099};
  for (int t = 0; t < 2; t++)
    for (int i = 0; i < 5; i++)
      for (int way = 0; way < 4; way++) { /* base apart; none; y is base; y is x */
        const struct tpo_ops *ops = tpo_ops_for(check_cuda, dtypes[t]);
        size_t n = lengths[i], shift = (size_t)(way % 2) * ops->activation_size;
        float *base = check_rounded(n + 1, 1, dtypes[t]), *x = check_rounded(n + 1, 2, dtypes[t]),
              *expected = zeros(n);
        struct check_values b = check_values_of(ops, base, n + 1), v = check_values_of(ops, x, n + 1),
                            y = check_values(ops, n + 1, 3, dtypes[t]);
        struct check_values *to = way == 2 ? &b : way == 3 ? &v : &y;
        size_t skip = shift > 0;
        tpo_ops(check_reference)
            ->add_scaled(check_reference, way == 1 ? NULL : base + skip, x + skip, expected, 0.22f, n);
        ops->add_scaled(check_cuda, way == 1 ? NULL : (char *)b.data + shift, (char *)v.data + shift,
                        (char *)to->data + shift, 0.22f, n);
        check_all_close("sum", check_floats(to) + skip, expected, n, tolerance_of(dtypes[t]));
        check_free(NULL);
      }
}

static void norms_are_shifted_to_the_bit(void **state)
{
  (void)state;
  static const size_t lengths[] = {1, 6, 4099};
  for (int i = 0; i < 3; i++) {
    size_t n = lengths[i];
    float *x = normal(n + 1, 1), *y = zeros(n + 1), *expected = zeros(n + 1);
    tpo_ops(check_reference)->shift(check_reference, x, expected, 1, n + 1);
    tpo_ops(check_cuda)->shift(check_cuda, x, y, 1, n + 1);
    assert_bits("aligned", y, expected, n + 1);
    tpo_ops(check_cuda)->shift(check_cuda, x + 1, x + 1, 1, n); /* in place */
    assert_bits("not aligned", x + 1, expected + 1, n);
  }
}

#define VOCAB 50

static void rows_are_copied_bit_for_bit(void **state)
{
  (void)state;
  static const int widths[] = {1, 7, 64, 300};
  const int32_t picked[] = {5, 0, 49, 7, 20};
  const int32_t *index = check_dup(picked, sizeof picked);
  for (int t = 0; t < 2; t++)
    for (int d = 0; d < 4; d++) {
      const struct tpo_ops *ops = tpo_ops_for(check_cuda, dtypes[t]);
      size_t bytes = (size_t)widths[d] * ops->activation_size;
      struct check_values x = check_values(ops, VOCAB * (size_t)widths[d], 1, dtypes[t]),
                          rows = check_values(ops, N * (size_t)widths[d], 2, dtypes[t]),
                          back = check_values(ops, VOCAB * (size_t)widths[d], 3, dtypes[t]);
      ops->gather_rows(check_cuda, x.data, index, rows.data, N, widths[d]);
      ops->scatter_rows(check_cuda, rows.data, index, back.data, N, VOCAB, widths[d]);
      check_wait(check_cuda);
      for (int i = 0; i < VOCAB; i++) {
        const unsigned char *in = (unsigned char *)x.data + (size_t)i * bytes,
                            *out = (unsigned char *)back.data + (size_t)i * bytes;
        bool named = false;
        for (int k = 0; k < N; k++) named = named || picked[k] == i;
        if (named)
          assert_memory_equal(out, in, bytes);
        else
          for (size_t b = 0; b < bytes; b++) assert_true(out[b] == 0);
      }
    }
}

static void embedding_and_its_gradient_match_the_reference(void **state)
{
  (void)state;
  const int32_t ids_here[] = {5, 0, 49, 5, 20, 5};
  const int32_t *ids = check_dup(ids_here, sizeof ids_here);
  enum { ROWS = 6, DIM = 72 };
  for (int t = 0; t < 4; t++) {
    enum tpo_dtype dtype = dtypes[t % 2], table_dtype = dtypes[t / 2];
    struct tpo_backend *both[] = {check_cuda, check_reference};
    struct check_values out[2];
    float *gradient[2];
    for (int b = 0; b < 2; b++) {
      const struct tpo_ops *ops = tpo_ops_for(both[b], dtype);
      struct tpo_linear *table;
      assert_int_equal(ops->linear_create(both[b], VOCAB, DIM, table_dtype, &table, NULL), 0);
      ops->linear_set(both[b], table, 0, VOCAB, check_rounded(VOCAB * DIM, 1, table_dtype), TPO_F32);
      struct check_values dout = check_values(ops, ROWS * DIM, 2, dtype);
      out[b] = check_values(ops, ROWS * DIM, 3, dtype);
      gradient[b] = normal(VOCAB * DIM, 4);
      ops->embed(both[b], table, ids, out[b].data, ROWS);
      ops->embed_backward(both[b], ids, dout.data, gradient[b], ROWS, DIM);
      check_wait(both[b]);
      ops->linear_free(both[b], table);
    }
    check_values_close("embed", &out[0], &out[1], dtype == TPO_BF16 ? 4e-3 : 0);
    check_all_close("embed backward", gradient[0], gradient[1], VOCAB * DIM, 1e-6);
  }
}

static void no_rows_are_no_work(void **state)
{
  (void)state;
  for (int t = 0; t < 2; t++) {
    const struct tpo_ops *ops = tpo_ops_for(check_cuda, dtypes[t]);
    struct check_values x = check_values(ops, 64, 1, dtypes[t]);
    float *w = normal(32, 2), *kept = copy_of(w, 32);
    ops->rms_norm(check_cuda, x.data, w, x.data, NULL, 0, 32, 1e-5f);
    ops->rms_norm_backward(check_cuda, x.data, x.data, w, w, x.data, w, 0, 32);
    ops->swiglu(check_cuda, x.data, x.data, 0, 32);
    ops->swiglu_backward(check_cuda, x.data, x.data, x.data, 0, 32);
    ops->geglu(check_cuda, x.data, x.data, 0, 32);
    ops->geglu_backward(check_cuda, x.data, x.data, x.data, 0, 32);
    ops->bias_backward(check_cuda, x.data, w, 0, 32);
    ops->add_scaled(check_cuda, x.data, x.data, x.data, 2, 0);
    ops->shift(check_cuda, w, w, 1, 0);
    ops->gather_rows(check_cuda, x.data, NULL, x.data, 0, 32);
    ops->embed_backward(check_cuda, NULL, x.data, w, 0, 32);
    check_wait(check_cuda);
    assert_bits("untouched", w, kept, 32);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(rms_norm_and_its_gradients_match_the_reference),
      CHECK_TEST(gradients_of_many_rows_match_the_reference),
      CHECK_TEST(a_weight_gradient_has_the_same_bits_every_time),
      CHECK_TEST(a_row_has_the_same_bits_alone),
      CHECK_TEST(rows_that_are_not_aligned_match_the_reference),
      CHECK_TEST(gated_units_and_their_gradients_match_the_reference),
      CHECK_TEST(scaled_sums_match_the_reference),
      CHECK_TEST(norms_are_shifted_to_the_bit),
      CHECK_TEST(rows_are_copied_bit_for_bit),
      CHECK_TEST(embedding_and_its_gradient_match_the_reference),
      CHECK_TEST(no_rows_are_no_work),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
