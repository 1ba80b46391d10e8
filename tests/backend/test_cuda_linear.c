/* Matrix products of the CUDA backend beside the reference: both activation types, values and gradients. */
#include "ops_check.h"

#include "cuda_check.h"

struct shape {
  int rows, cols, n;
};
static const struct shape shapes[] = {{1, 1, 1}, {13, 6, 5}, {64, 32, 33}, {96, 200, 7}, {33, 64, 130}};
#define N_SHAPES (int)(sizeof shapes / sizeof *shapes)

struct products {
  struct check_values y, sum, apart, biased, dx, dx_sum;
  float *dw, *dbias;
};

static struct tpo_linear *weights(struct tpo_backend *be, const struct shape *s, enum tpo_dtype dtype)
{
  struct tpo_linear *w;
  assert_int_equal(tpo_ops(be)->linear_create(be, s->rows, s->cols, dtype, &w, NULL), 0);
  float *values = check_rounded((size_t)(s->rows * s->cols), 1, dtype);
  tpo_ops(be)->linear_set(be, w, 0, s->rows, values, TPO_F32);
  check_wait(be);
  return w;
}

/* All products of one shape with activations of `dtype`, as fp32. */
static struct products run(struct tpo_backend *be, const struct shape *s, enum tpo_dtype dtype)
{
  const struct tpo_ops *ops = tpo_ops_for(be, dtype);
  struct tpo_linear *w = weights(be, s, dtype);
  size_t in = (size_t)(s->n * s->cols), out = (size_t)(s->n * s->rows);
  struct check_values x = check_values(ops, in, 2, dtype), dy = check_values(ops, out, 3, dtype);
  struct products p = {.y = check_values(ops, out, 4, dtype),
                       .sum = check_values(ops, out, 5, dtype),
                       .apart = check_values(ops, out, 10, dtype),
                       .biased = check_values(ops, out, 11, dtype),
                       .dx = check_values(ops, in, 6, dtype),
                       .dx_sum = check_values(ops, in, 7, dtype),
                       .dw = normal((size_t)(s->rows * s->cols), 8),
                       .dbias = normal((size_t)s->rows, 12)};
  struct check_values base = check_values(ops, out, 9, dtype);
  ops->linear_forward(be, w, x.data, p.y.data, s->n);
  ops->linear_forward_add(be, w, x.data, p.sum.data, p.sum.data, s->n);
  ops->linear_forward_add(be, w, x.data, base.data, p.apart.data, s->n);
  ops->linear_forward_bias(be, w, check_rounded((size_t)s->rows, 13, dtype), x.data, p.biased.data, s->n);
  ops->bias_backward(be, dy.data, p.dbias, s->n, s->rows);
  ops->linear_backward_input(be, w, dy.data, p.dx.data, s->n, false);
  ops->linear_backward_input(be, w, dy.data, p.dx_sum.data, s->n, true);
  ops->linear_backward_weight(be, w, dy.data, x.data, p.dw, s->n);
  check_wait(be);
  ops->linear_free(be, w);
  return p;
}

static void products_match_the_reference(enum tpo_dtype dtype, double tolerance)
{
  for (int i = 0; i < N_SHAPES; i++) {
    const struct shape *s = &shapes[i];
    struct products got = run(check_cuda, s, dtype), expected = run(check_reference, s, dtype);
    check_values_close("y", &got.y, &expected.y, tolerance);
    check_values_close("y +=", &got.sum, &expected.sum, tolerance);
    check_values_close("base + y", &got.apart, &expected.apart, tolerance);
    check_values_close("y + bias", &got.biased, &expected.biased, tolerance);
    check_all_close("dbias", got.dbias, expected.dbias, (size_t)s->rows, 2e-6);
    check_values_close("dx", &got.dx, &expected.dx, tolerance);
    check_values_close("dx +=", &got.dx_sum, &expected.dx_sum, tolerance);
    check_all_close("dw", got.dw, expected.dw, (size_t)(s->rows * s->cols),
                    dtype == TPO_F32 ? tolerance : 1e-5);
  }
}

static void fp32_products_match_the_reference(void **state)
{
  (void)state;
  products_match_the_reference(TPO_F32, 2e-6);
}

static void bf16_products_match_the_reference(void **state)
{
  (void)state;
  products_match_the_reference(TPO_BF16, 8e-3);
}

static void a_row_has_the_same_bits_alone_and_in_any_batch(void **state)
{
  (void)state;
  const struct shape s = {96, 64, 130};
  for (int b = 0; b < 2; b++) {
    enum tpo_dtype dtype = b ? TPO_BF16 : TPO_F32;
    const struct tpo_ops *ops = tpo_ops_for(check_cuda, dtype);
    struct tpo_linear *w = weights(check_cuda, &s, dtype);
    struct check_values x = check_values(ops, 130 * 64, 2, dtype), y = check_values(ops, 130 * 96, 3, dtype),
                        alone = check_values(ops, 96, 4, dtype), dx = check_values(ops, 130 * 64, 5, dtype);
    struct check_values biased = check_values(ops, 130 * 96, 6, dtype);
    float *bias = check_rounded(96, 7, dtype);
    ops->linear_forward(check_cuda, w, x.data, y.data, 130);
    ops->linear_forward_bias(check_cuda, w, bias, x.data, biased.data, 130);
    ops->linear_backward_input(check_cuda, w, y.data, dx.data, 130, false);
    for (int row = 0; row < 130; row += 43) {
      char *in = (char *)x.data + (size_t)(row * 64) * ops->activation_size;
      char *out = (char *)y.data + (size_t)(row * 96) * ops->activation_size;
      char *gradient = (char *)dx.data + (size_t)(row * 64) * ops->activation_size;
      ops->linear_forward(check_cuda, w, in, alone.data, 1);
      check_wait(check_cuda);
      assert_memory_equal(alone.data, out, 96 * ops->activation_size);
      ops->linear_forward_bias(check_cuda, w, bias, in, alone.data, 1);
      check_wait(check_cuda);
      assert_memory_equal(alone.data, (char *)biased.data + (size_t)(row * 96) * ops->activation_size,
                          96 * ops->activation_size);
      ops->linear_backward_input(check_cuda, w, out, alone.data, 1, false);
      check_wait(check_cuda);
      assert_memory_equal(alone.data, gradient, 64 * ops->activation_size);
    }
    ops->linear_free(check_cuda, w);
  }
}

static void bf16_weights_round_fp32_activations_only(void **state)
{
  (void)state;
  const struct shape s = {13, 40, 9};
  const struct tpo_ops *ops = tpo_ops(check_cuda);
  struct tpo_linear *w = weights(check_cuda, &s, TPO_BF16), *same = weights(check_reference, &s, TPO_BF16);
  float *x = check_rounded(9 * 40, 2, TPO_BF16), *y = zeros(9 * 13), *expected = zeros(9 * 13);
  ops->linear_forward(check_cuda, w, x, y, 9);
  tpo_ops(check_reference)->linear_forward(check_reference, same, x, expected, 9);
  assert_close("y", y, expected, 9 * 13, 2e-6);
  ops->linear_free(check_cuda, w);
  tpo_ops(check_reference)->linear_free(check_reference, same);
}

/* The emulated cuBLASLt refuses what TPO_EMULATION_REFUSE says; a real one has its own mind. */
static bool emulated(void)
{
  return strstr(check_cuda->description, "emulated") != NULL;
}

static void a_number_of_rows_that_the_algorithm_refuses_gets_one_with_the_same_sums(void **state)
{
  (void)state;
  const struct shape s = {48, 40, 78};
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, TPO_BF16);
  struct tpo_linear *w = weights(check_cuda, &s, TPO_BF16);
  struct check_values x = check_values(ops, 78 * 40, 2, TPO_BF16),
                      y = check_values(ops, 78 * 48, 3, TPO_BF16),
                      fewer = check_values(ops, 77 * 48, 4, TPO_BF16);
  ops->linear_forward(check_cuda, w, x.data, y.data, 78);
  setenv("TPO_EMULATION_REFUSE", "77", 1);
  for (int i = 0; i < 2; i++) { /* found out, and known */
    memset(fewer.data, 0xff, 77 * 48 * fewer.size);
    ops->linear_forward(check_cuda, w, x.data, fewer.data, 77);
    check_wait(check_cuda);
    assert_memory_equal(fewer.data, y.data, 77 * 48 * fewer.size);
  }
  float *dw = zeros(48 * 40), *expected = zeros(48 * 40);
  ops->linear_backward_weight(check_cuda, w, y.data, x.data, dw, 77);
  check_wait(check_cuda);
  unsetenv("TPO_EMULATION_REFUSE");
  struct check_values rx = check_values_of(tpo_ops(check_reference), check_floats(&x), 78 * 40),
                      ry = check_values_of(tpo_ops(check_reference), check_floats(&y), 78 * 48);
  tpo_ops(check_reference)
      ->linear_backward_weight(check_reference, weights(check_reference, &s, TPO_F32), ry.data, rx.data,
                               expected, 77);
  check_all_close("dw", dw, expected, 48 * 40, 1e-5);
  ops->linear_free(check_cuda, w);
}

static void a_number_of_rows_that_no_such_algorithm_takes_is_refused(void **state)
{
  (void)state;
  if (!emulated()) skip();
  const struct shape s = {44, 36, 60};
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, TPO_F32);
  struct tpo_linear *w = weights(check_cuda, &s, TPO_F32);
  struct check_values x = check_values(ops, 60 * 36, 2, TPO_F32), y = check_values(ops, 60 * 44, 3, TPO_F32);
  struct tpo_error err = {0};
  setenv("TPO_EMULATION_REFUSE", "59:all", 1);
  ops->linear_forward(check_cuda, w, x.data, y.data, 59);
  assert_int_equal(ops->check(check_cuda, &err), TPO_E_UNSUPPORTED);
  assert_non_null(strstr(err.message, "44 x 59 over 36 in the order of sums"));
  ops->linear_forward(check_cuda, w, x.data, y.data, 60); /* other numbers of rows go on */
  check_wait(check_cuda);
  unsetenv("TPO_EMULATION_REFUSE");
  ops->linear_forward(check_cuda, w, x.data, y.data, 59); /* a refusal is asked about anew */
  check_wait(check_cuda);
  ops->linear_free(check_cuda, w);
}

/* The rounded copy of fp32 activations that a recording reads is given back only together with the recording. */
static void a_recording_never_outlives_its_rounded_activations(void **state)
{
  (void)state;
  const struct shape s = {16, 40, 9};
  const int many = 3000;
  const struct tpo_ops *ops = tpo_ops(check_cuda);
  struct tpo_linear *w = weights(check_cuda, &s, TPO_BF16);
  float *x = check_rounded((size_t)many * 40, 2, TPO_BF16), *y = zeros(9 * 16), *first = zeros(9 * 16),
        *large = zeros((size_t)many * 16);
  ops->linear_forward(check_cuda, w, x, first, 9);
  assert_int_equal(ops->replay(check_cuda, 77), 0);
  ops->linear_forward(check_cuda, w, x, y, 9);
  ops->record_end(check_cuda);
  assert_bits("recorded", y, first, 9 * 16);
  memset(y, 0, 9 * 16 * sizeof *y);
  assert_int_equal(ops->replay(check_cuda, 77), 1);
  assert_bits("replayed", y, first, 9 * 16);
  ops->linear_forward(check_cuda, w, x, large, many); /* more than there was room for */
  assert_int_equal(ops->replay(check_cuda, 77), 0);
  ops->linear_forward(check_cuda, w, x, y, 9);
  ops->record_end(check_cuda);
  assert_bits("recorded anew", y, first, 9 * 16);
  ops->linear_free(check_cuda, w);
}

/* The bias itself is what a recording reads, in bf16 too: not a copy that was made when it began. */
static void a_replayed_product_adds_the_bias_as_it_stands(void **state)
{
  (void)state;
  const struct shape s = {16, 40, 9};
  for (int b = 0; b < 2; b++) {
    enum tpo_dtype dtype = b ? TPO_BF16 : TPO_F32;
    const struct tpo_ops *ops = tpo_ops_for(check_cuda, dtype);
    struct tpo_linear *w = weights(check_cuda, &s, dtype);
    struct check_values x = check_values(ops, 9 * 40, 2, dtype), y = check_values(ops, 9 * 16, 3, dtype),
                        expected = check_values(ops, 9 * 16, 4, dtype);
    float *bias = check_rounded(16, 5, dtype), *other = check_rounded(16, 6, dtype);
    ops->linear_forward_bias(check_cuda, w, bias, x.data, y.data, 9);
    assert_int_equal(ops->replay(check_cuda, 78), 0);
    ops->linear_forward_bias(check_cuda, w, bias, x.data, y.data, 9);
    ops->record_end(check_cuda);
    ops->linear_forward_bias(check_cuda, w, other, x.data, expected.data, 9);
    check_wait(check_cuda);
    memcpy(bias, other, 16 * sizeof *bias);
    assert_int_equal(ops->replay(check_cuda, 78), 1);
    check_wait(check_cuda);
    assert_memory_equal(y.data, expected.data, 9 * 16 * ops->activation_size);
    ops->forget(check_cuda);
    ops->linear_free(check_cuda, w);
  }
}

/* What cuBLASLt may count on of a bias's address is asked about anew. */
static void a_bias_may_lie_anywhere(void **state)
{
  (void)state;
  const struct shape s = {20, 24, 7};
  for (int b = 0; b < 2; b++) {
    enum tpo_dtype dtype = b ? TPO_BF16 : TPO_F32;
    const struct tpo_ops *ops = tpo_ops_for(check_cuda, dtype);
    struct tpo_linear *w = weights(check_cuda, &s, dtype);
    struct check_values x = check_values(ops, 7 * 24, 2, dtype), y = check_values(ops, 7 * 20, 3, dtype),
                        moved = check_values(ops, 7 * 20, 4, dtype);
    float *bias = check_rounded(20, 5, dtype), *apart = zeros(21);
    memcpy(apart + 1, bias, 20 * sizeof *bias);
    ops->linear_forward_bias(check_cuda, w, bias, x.data, y.data, 7);
    ops->linear_forward_bias(check_cuda, w, apart + 1, x.data, moved.data, 7);
    check_wait(check_cuda);
    check_values_close("moved", &moved, &y, b ? 8e-3 : 2e-6);
    ops->linear_free(check_cuda, w);
  }
}

/* Rows for several partial sums, columns for several blocks, addresses off the 16-byte grid. */
static void gradients_of_biases_match_the_reference(void **state)
{
  (void)state;
  static const int shapes_here[][2] = {{1, 1}, {3, 7}, {700, 100}, {90, 2051}, {33, 4096}};
  for (int b = 0; b < 2; b++)
    for (int i = 0; i < 5; i++)
      for (int shift = 0; shift < 2; shift++) {
        enum tpo_dtype dtype = b ? TPO_BF16 : TPO_F32;
        int n = shapes_here[i][0], dim = shapes_here[i][1];
        const struct tpo_ops *ops = tpo_ops_for(check_cuda, dtype);
        float *dy = check_rounded((size_t)(n * dim + shift), 1, dtype), *expected = normal((size_t)dim, 2),
              *got = copy_of(expected, (size_t)dim), *again = copy_of(expected, (size_t)dim);
        struct check_values act = check_values_of(ops, dy, (size_t)(n * dim + shift));
        const char *at = (char *)act.data + (size_t)shift * ops->activation_size;
        tpo_ops(check_reference)->bias_backward(check_reference, dy + shift, expected, n, dim);
        ops->bias_backward(check_cuda, at, got, n, dim);
        ops->bias_backward(check_cuda, at, again, n, dim);
        check_all_close("dbias", got, expected, (size_t)dim, 2e-6);
        assert_bits("dbias again", again, got, (size_t)dim);
        check_free(NULL);
      }
}

static void weights_come_back_from_every_type(void **state)
{
  (void)state;
  static const enum tpo_dtype types[] = {TPO_F32, TPO_F16, TPO_BF16};
  const size_t n = 37 * 11;
  float *values = normal(n, 1), *back = zeros(n), *expected = zeros(n);
  values[0] = 0x1p-24f, values[1] = -0x1.8p-20f, values[2] = 65504, values[3] = -0.0f; /* fp16's edges */
  for (int source = 0; source < 3; source++)
    for (int kept = 0; kept < 3; kept += 2) {
      void *src = check_alloc(n * 4);
      tpo_convert(src, types[source], values, TPO_F32, n);
      struct tpo_backend *both[] = {check_cuda, check_reference};
      for (int b = 0; b < 2; b++) {
        const struct tpo_ops *ops = tpo_ops(both[b]);
        struct tpo_linear *w;
        assert_int_equal(ops->linear_create(both[b], 37, 11, types[kept], &w, NULL), 0);
        /* two uneven parts: the second begins off the 16-byte grid */
        ops->linear_set(both[b], w, 0, 3, src, types[source]);
        ops->linear_set(both[b], w, 3, 34, (char *)src + 3 * 11 * tpo_dtype_size(types[source]),
                        types[source]);
        ops->linear_get(both[b], w, 0, 37, b ? expected : back);
        check_wait(both[b]);
        ops->linear_free(both[b], w);
      }
      assert_bits("weights", back, expected, n);
    }
}

static void a_shape_without_elements_is_refused(void **state)
{
  (void)state;
  struct tpo_linear *w;
  struct tpo_error err = {0};
  assert_int_equal(tpo_ops(check_cuda)->linear_create(check_cuda, 0, 3, TPO_F32, &w, &err),
                   TPO_E_UNSUPPORTED);
  assert_int_equal(tpo_ops(check_cuda)->linear_create(check_cuda, 3, 3, TPO_F16, &w, &err),
                   TPO_E_UNSUPPORTED);
  assert_non_null(strstr(err.message, "fp16"));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(fp32_products_match_the_reference),
      CHECK_TEST(bf16_products_match_the_reference),
      CHECK_TEST(a_row_has_the_same_bits_alone_and_in_any_batch),
      CHECK_TEST(bf16_weights_round_fp32_activations_only),
      CHECK_TEST(a_number_of_rows_that_the_algorithm_refuses_gets_one_with_the_same_sums),
      CHECK_TEST(a_number_of_rows_that_no_such_algorithm_takes_is_refused),
      CHECK_TEST(a_recording_never_outlives_its_rounded_activations),
      CHECK_TEST(a_replayed_product_adds_the_bias_as_it_stands),
      CHECK_TEST(a_bias_may_lie_anywhere),
      CHECK_TEST(gradients_of_biases_match_the_reference),
      CHECK_TEST(weights_come_back_from_every_type),
      CHECK_TEST(a_shape_without_elements_is_refused),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
