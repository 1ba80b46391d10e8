/* Operations that go row by row or over flat arrays, at every instruction set, against the reference. */
#include "ops_check.h"

#include "backend/cpu/simd/vector.h"

/* Full vectors, tails, less than a vector; enough rows for several tasks. */
static const int dims[] = {1, 3, 16, 37, 64, 576};
#define N_DIMS ((int)(sizeof dims / sizeof *dims))
#define N 131

static void exp_is_accurate(void **state)
{
  (void)state;
  double worst = 0;
  for (int i = 0; i <= 1750000; i++) {
    float x = -87.0f + (float)i * 1e-4f;
    double expected = exp((double)x), ulp = ldexp(1, ilogb(expected) - 23);
    double error = fabs(tpo_exp_f32(x) - expected) / ulp;
    if (error > worst) worst = error;
  }
  assert_true(worst < 1.1);
  assert_true(tpo_exp_f32(0.0f) == 1.0f);
  assert_true(tpo_exp_f32(-INFINITY) == 0.0f);
  assert_true(tpo_exp_f32(-87.5f) == 0.0f);
  assert_true(tpo_exp_f32(1000.0f) == tpo_exp_f32(88.0f));
  assert_true(isnan(tpo_exp_f32(NAN)));
}

/* Of the vectors that every machine has; the other widths do the same operations. */
static void tanh_is_accurate(void **state)
{
  (void)state;
  double worst = 0;
  for (int i = 0; i <= 2400000; i++) {
    float x = i < 400000 ? ldexpf(1.0f + (float)i * 2.5e-6f, -3 - i % 24) : (float)(i - 400000) * 5e-6f;
    float y[VL];
    vstore(y, vtanh(vset(i % 2 ? x : -x)));
    double expected = tanh(i % 2 ? (double)x : -(double)x);
    double error = x == 0 ? y[0] != 0 : fabs(y[0] - expected) / ldexp(1, ilogb(expected) - 23);
    if (error > worst) worst = error;
  }
  assert_true(worst < 3);
  static const float far[] = {9.011f, 1000, INFINITY, -20, -INFINITY, NAN, 0, -0.0f};
  float y[8];
  for (int i = 0; i < 8; i += VL) vstore(y + i, vtanh(vload(far + i)));
  assert_true(y[0] == 1 && y[1] == 1 && y[2] == 1 && y[3] == -1 && y[4] == -1 && isnan(y[5]));
  assert_true(y[6] == 0 && !signbit(y[6]) && y[7] == 0 && signbit(y[7]));
}

static void rms_norm_matches_reference(void **state)
{
  (void)state;
  for (int d = 0; d < N_DIMS; d++) {
    size_t dim = (size_t)dims[d], size = N * dim;
    float *x = normal(size, 1), *w = normal(dim, 2), *expected = zeros(size), *expected_rstd = zeros(N);
    tpo_ops(check_reference)->rms_norm(check_reference, x, w, expected, expected_rstd, N, dims[d], 1e-5f);
    for (int c = 0; c < check_n_cpus; c++) {
      float *y = zeros(size), *rstd = zeros(N);
      tpo_ops(check_cpus[c].be)->rms_norm(check_cpus[c].be, x, w, y, rstd, N, dims[d], 1e-5f);
      assert_close("y", y, expected, size, 1e-6);
      assert_close("rstd", rstd, expected_rstd, N, 1e-6);
      float *alone = zeros(dim);
      for (int i = 0; i < N; i += 13) {
        tpo_ops(check_cpus[c].be)
            ->rms_norm(check_cpus[c].be, x + (size_t)i * dim, w, alone, NULL, 1, dims[d], 1e-5f);
        assert_bits("row alone", alone, y + (size_t)i * dim, dim);
      }
    }
  }
}

struct norm_case {
  float *x, *w, *dy, *y;
  int n, dim;
};

static double norm_loss(void *context)
{
  struct norm_case *c = context;
  tpo_ops(check_reference)->rms_norm(check_reference, c->x, c->w, c->y, NULL, c->n, c->dim, 1e-5f);
  return weighted_sum(c->dy, c->y, (size_t)(c->n * c->dim));
}

static void rms_norm_backward_matches_differences(void **state)
{
  (void)state;
  struct norm_case c = {normal(3 * 7, 1), normal(7, 2), normal(3 * 7, 3), zeros(3 * 7), 3, 7};
  float *rstd = zeros(3), *dx = filled(3 * 7, 2), *dw = zeros(7);
  tpo_ops(check_reference)->rms_norm(check_reference, c.x, c.w, c.y, rstd, 3, 7, 1e-5f);
  tpo_ops(check_reference)->rms_norm_backward(check_reference, c.dy, c.x, c.w, rstd, dx, dw, 3, 7);
  for (int i = 0; i < 21; i++) dx[i] -= 2; /* it adds */
  assert_gradient("dx", c.x, dx, 21, norm_loss, &c, 2e-3);
  assert_gradient("dw", c.w, dw, 7, norm_loss, &c, 2e-3);
}

static void rms_norm_backward_matches_reference(void **state)
{
  (void)state;
  for (int d = 0; d < N_DIMS; d++) {
    size_t dim = (size_t)dims[d], size = N * dim;
    float *x = normal(size, 1), *w = normal(dim, 2), *dy = normal(size, 3), *y = zeros(size),
          *rstd = zeros(N);
    float *dx0 = normal(size, 4), *dw0 = normal(dim, 5);
    float *expected = copy_of(dx0, size), *expected_dw = copy_of(dw0, dim), *first_dw[CHECK_LEVELS] = {NULL};
    const struct tpo_ops *ops = tpo_ops(check_reference);
    ops->rms_norm(check_reference, x, w, y, rstd, N, dims[d], 1e-5f);
    ops->rms_norm_backward(check_reference, dy, x, w, rstd, expected, expected_dw, N, dims[d]);
    for (int c = 0; c < check_n_cpus; c++) {
      struct check_backend *b = &check_cpus[c];
      float *dx = copy_of(dx0, size), *dw = copy_of(dw0, dim);
      tpo_ops(b->be)->rms_norm_backward(b->be, dy, x, w, rstd, dx, dw, N, dims[d]);
      assert_close("dx", dx, expected, size, dims[d] == 1 ? 1e-4 : 5e-6); /* dim 1: all cancels */
      assert_close("dw", dw, expected_dw, dim, 1e-5);
      if (!first_dw[b->level]) first_dw[b->level] = dw;
      assert_bits("dw at another number of threads", dw, first_dw[b->level], dim);
    }
  }
}

static void rope_rotates_and_its_inverse_undoes_it(void **state)
{
  (void)state;
  static const int head_dims[] = {2, 8, 24, 64, 128};
  for (int d = 0; d < 5; d++) {
    struct tpo_attention_shape shape = SHAPE(6, 2, head_dims[d]);
    size_t row = (size_t)(10 * head_dims[d]), size = 33 * row;
    float *qkv = normal(size, 1), *table = zeros((size_t)(50 * head_dims[d]));
    int32_t *pos = check_alloc(33 * sizeof *pos);
    for (int i = 0; i < 33; i++) pos[i] = i * 7 % 50;
    for (int i = 0; i < 50 * head_dims[d]; i++) {
      int p = i / head_dims[d], half = head_dims[d] / 2, c = i % head_dims[d];
      double angle = p * pow(10000, -(double)(c % half) / half);
      table[i] = (float)(c < half ? cos(angle) : sin(angle));
    }
    float *expected = copy_of(qkv, size);
    tpo_ops(check_reference)->rope(check_reference, expected, pos, table, shape, 33, false);
    for (int i = 0; i < 33; i++) { /* q_i is turned by its position's angle; v stays */
      double a = qkv[(size_t)i * row], b = qkv[(size_t)i * row + (size_t)head_dims[d] / 2], t = pos[i];
      assert_true(fabs(expected[(size_t)i * row] - (a * cos(t) - b * sin(t))) < 1e-5);
      assert_bits("v", expected + (size_t)i * row + 8 * head_dims[d],
                  qkv + (size_t)i * row + 8 * head_dims[d], (size_t)(2 * head_dims[d]));
    }
    for (int c = 0; c < check_n_cpus; c++) {
      float *x = copy_of(qkv, size);
      tpo_ops(check_cpus[c].be)->rope(check_cpus[c].be, x, pos, table, shape, 33, false);
      assert_close("rope", x, expected, size, 1e-6);
      tpo_ops(check_cpus[c].be)->rope(check_cpus[c].be, x, pos, table, shape, 33, true);
      assert_close("there and back", x, qkv, size, 2e-6);
    }
  }
}

struct swiglu_case {
  float *gate_up, *dout, *out;
  int n, dim;
};

static double swiglu_loss(void *context)
{
  struct swiglu_case *c = context;
  tpo_ops(check_reference)->swiglu(check_reference, c->gate_up, c->out, c->n, c->dim);
  return weighted_sum(c->dout, c->out, (size_t)(c->n * c->dim));
}

static void swiglu_backward_matches_differences(void **state)
{
  (void)state;
  struct swiglu_case c = {normal(3 * 10, 1), normal(3 * 5, 2), zeros(3 * 5), 3, 5};
  float *gradient = filled(3 * 10, 9);
  tpo_ops(check_reference)->swiglu_backward(check_reference, c.dout, c.gate_up, gradient, 3, 5);
  assert_gradient("dgate_up", c.gate_up, gradient, 30, swiglu_loss, &c, 1e-3);
}

static void swiglu_matches_reference(void **state)
{
  (void)state;
  for (int d = 0; d < N_DIMS; d++) {
    size_t dim = (size_t)dims[d], size = N * dim;
    float *x = normal(2 * size, 1), *dout = normal(size, 2), *out = zeros(size), *dx = zeros(2 * size);
    for (size_t i = 0; i < 2 * size; i++) x[i] *= 4;
    x[0] = -200; /* exp(200) has no fp32 */
    x[(size_t)(N - 1) * 2 * dim] = 200;
    tpo_ops(check_reference)->swiglu(check_reference, x, out, N, dims[d]);
    tpo_ops(check_reference)->swiglu_backward(check_reference, dout, x, dx, N, dims[d]);
    for (int c = 0; c < check_n_cpus; c++) {
      struct tpo_backend *be = check_cpus[c].be;
      float *y = zeros(size), *dy = zeros(2 * size), *alone = zeros(dim);
      tpo_ops(be)->swiglu(be, x, y, N, dims[d]);
      tpo_ops(be)->swiglu_backward(be, dout, x, dy, N, dims[d]);
      assert_close("swiglu", y, out, size, 1e-6);
      assert_close("swiglu backward", dy, dx, 2 * size, 2e-6);
      tpo_ops(be)->swiglu(be, x + 2 * 77 * dim, alone, 1, dims[d]);
      assert_bits("row alone", alone, y + 77 * dim, dim);
    }
  }
}

static double geglu_loss(void *context)
{
  struct swiglu_case *c = context;
  tpo_ops(check_reference)->geglu(check_reference, c->gate_up, c->out, c->n, c->dim);
  return weighted_sum(c->dout, c->out, (size_t)(c->n * c->dim));
}

static void geglu_backward_matches_differences(void **state)
{
  (void)state;
  struct swiglu_case c = {normal(3 * 10, 1), normal(3 * 5, 2), zeros(3 * 5), 3, 5};
  float *gradient = filled(3 * 10, 9);
  tpo_ops(check_reference)->geglu_backward(check_reference, c.dout, c.gate_up, gradient, 3, 5);
  assert_gradient("dgate_up", c.gate_up, gradient, 30, geglu_loss, &c, 1e-3);
}

static void geglu_matches_reference(void **state)
{
  (void)state;
  for (int d = 0; d < N_DIMS; d++) {
    size_t dim = (size_t)dims[d], size = N * dim;
    float *x = normal(2 * size, 1), *dout = normal(size, 2), *out = zeros(size), *dx = zeros(2 * size);
    for (size_t i = 0; i < 2 * size; i++) x[i] *= 4;
    x[0] = -200; /* exp of its cube has no fp32 */
    x[(size_t)(N - 1) * 2 * dim] = 200;
    tpo_ops(check_reference)->geglu(check_reference, x, out, N, dims[d]);
    tpo_ops(check_reference)->geglu_backward(check_reference, dout, x, dx, N, dims[d]);
    assert_true(out[0] == 0); /* gelu(-200) */
    for (int c = 0; c < check_n_cpus; c++) {
      struct tpo_backend *be = check_cpus[c].be;
      float *y = zeros(size), *dy = zeros(2 * size), *alone = zeros(dim);
      tpo_ops(be)->geglu(be, x, y, N, dims[d]);
      tpo_ops(be)->geglu_backward(be, dout, x, dy, N, dims[d]);
      assert_close("geglu", y, out, size, 1e-6);
      assert_close("geglu backward", dy, dx, 2 * size, 4e-6);
      tpo_ops(be)->geglu(be, x + 2 * 77 * dim, alone, 1, dims[d]);
      assert_bits("row alone", alone, y + 77 * dim, dim);
    }
  }
}

/* The formulas themselves; in place and not, for more than a thread's stretch. */
static void scaled_sums_are_what_they_say(void **state)
{
  (void)state;
  static const size_t counts[] = {0, 1, 37, 100003};
  for (int k = 0; k < 4; k++)
    for (int b = 0; b <= check_n_cpus; b++) {
      struct tpo_backend *be = b < check_n_cpus ? check_cpus[b].be : check_reference;
      size_t n = counts[k];
      float *x = normal(n, 1), *base = normal(n, 2), *y = filled(n + 1, 7), *in_place = copy_of(base, n);
      float *expected = zeros(n);
      for (size_t i = 0; i < n; i++) expected[i] = base[i] + 0.22f * x[i];
      tpo_ops(be)->add_scaled(be, base, x, y, 0.22f, n);
      assert_close("base + scale x", y, expected, n, 1e-7);
      tpo_ops(be)->add_scaled(be, in_place, x, in_place, 0.22f, n);
      assert_bits("in place", in_place, y, n);
      for (size_t i = 0; i < n; i++) expected[i] = 12 * x[i];
      tpo_ops(be)->add_scaled(be, NULL, x, y, 12, n);
      assert_close("scale x", y, expected, n, 0);
      for (size_t i = 0; i < n; i++) expected[i] = x[i] + 1;
      tpo_ops(be)->shift(be, x, y, 1, n);
      assert_close("x + by", y, expected, n, 0);
      assert_true(y[n] == 7);
    }
}

static void rows_are_gathered_and_scattered(void **state)
{
  (void)state;
  const int32_t picked[] = {5, 0, 99, 7};
  const int32_t *index = check_dup(picked, sizeof picked);
  float *x = normal(100 * 5, 1);
  for (int b = 0; b <= check_n_cpus; b++) {
    struct tpo_backend *be = b < check_n_cpus ? check_cpus[b].be : check_reference;
    float *out = zeros(4 * 5), *dx = filled(100 * 5, 3);
    tpo_ops(be)->gather_rows(be, x, index, out, 4, 5);
    for (int i = 0; i < 4; i++) assert_bits("gather", out + i * 5, x + index[i] * 5, 5);
    tpo_ops(be)->scatter_rows(be, out, index, dx, 4, 100, 5);
    for (int i = 0; i < 100; i++) {
      bool named = i == 5 || i == 0 || i == 99 || i == 7;
      assert_bits("scatter", dx + i * 5, named ? x + i * 5 : zeros(5), 5);
    }
  }
}

static const struct tpo_adamw_args adamw_args = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.271f, 0.002997f, 0.5f};

static void adamw_matches_reference_wherever_a_stretch_begins(void **state)
{
  (void)state;
  size_t n = 100003;
  float *param = normal(n, 1), *grad = normal(n, 2), *m = normal(n, 3), *v = normal(n, 4);
  for (size_t i = 0; i < n; i++) v[i] = v[i] * v[i];
  float *p0 = copy_of(param, n), *m0 = copy_of(m, n), *v0 = copy_of(v, n);
  tpo_ops(check_reference)->adamw(check_reference, p0, grad, m0, v0, n, &adamw_args, NULL, TPO_F32);
  for (int c = 0; c < check_n_cpus; c++) {
    struct tpo_backend *be = check_cpus[c].be;
    float *p1 = copy_of(param, n), *m1 = copy_of(m, n), *v1 = copy_of(v, n);
    tpo_ops(be)->adamw(be, p1, grad, m1, v1, n, &adamw_args, NULL, TPO_F32);
    assert_close("param", p1, p0, n, 1e-6);
    assert_close("m", m1, m0, n, 1e-6);
    assert_close("v", v1, v0, n, 1e-6);
    float *p2 = copy_of(param, n), *m2 = copy_of(m, n), *v2 = copy_of(v, n);
    size_t cut = 33335; /* as another division of the parameters among ranks would have it */
    tpo_ops(be)->adamw(be, p2, grad, m2, v2, cut, &adamw_args, NULL, TPO_F32);
    tpo_ops(be)->adamw(be, p2 + cut, grad + cut, m2 + cut, v2 + cut, n - cut, &adamw_args, NULL, TPO_F32);
    assert_bits("param in two calls", p2, p1, n);
    assert_bits("v in two calls", v2, v1, n);
  }
}

static void adamw_stores_the_new_parameters_as_weights(void **state)
{
  (void)state;
  size_t n = 70001;
  for (int b = 0; b <= check_n_cpus; b++) {
    struct tpo_backend *be = b < check_n_cpus ? check_cpus[b].be : check_reference;
    float *param = normal(n, 1), *grad = normal(n, 2), *m = zeros(n), *v = zeros(n), *same = zeros(n);
    uint16_t *rounded = check_alloc((n + 1) * sizeof *rounded);
    tpo_ops(be)->adamw(be, param, grad, m, v, n, &adamw_args, same, TPO_F32);
    assert_bits("fp32 weights", same, param, n);
    tpo_ops(be)->adamw(be, param, grad, m, v, n, &adamw_args, rounded, TPO_BF16);
    check_ready();
    for (size_t i = 0; i < n; i++) assert_int_equal(rounded[i], tpo_f32_to_bf16(param[i]));
    assert_int_equal(rounded[n], 0);
  }
}

/* First step from zero moments: m / bias1 = g and v / bias2 = g^2,
 * so the step is lr * sign(g) and the decay. */
static void adamw_first_step_is_the_textbooks(void **state)
{
  (void)state;
  struct tpo_adamw_args args = {0.1f, 0.9f, 0.999f, 0, 0.01f, 0.1f, 0.001f, 1};
  float param[2] = {1, -2}, grad[2] = {0.5f, -3}, m[2] = {0}, v[2] = {0};
  tpo_ops(check_reference)->adamw(check_reference, param, grad, m, v, 2, &args, NULL, TPO_F32);
  assert_true(fabsf(param[0] - (1 - 0.1f - 0.001f)) < 1e-6f);
  assert_true(fabsf(param[1] - (-2 + 0.1f + 0.002f)) < 1e-6f);
}

static void sum_of_squares_has_one_order(void **state)
{
  (void)state;
  static const size_t counts[] = {0, 1, 15, 32768, 100003};
  for (int k = 0; k < 5; k++) {
    float *x = normal(counts[k], 1);
    double expected = tpo_ops(check_reference)->sum_squares(check_reference, x, counts[k]),
           first[CHECK_LEVELS] = {-1, -1, -1, -1, -1};
    for (int c = 0; c < check_n_cpus; c++) {
      struct check_backend *b = &check_cpus[c];
      double got = tpo_ops(b->be)->sum_squares(b->be, x, counts[k]);
      assert_true(fabs(got - expected) <= 1e-12 * expected);
      if (first[b->level] < 0) first[b->level] = got;
      assert_true(got == first[b->level]);
    }
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(exp_is_accurate),
      CHECK_TEST(tanh_is_accurate),
      CHECK_TEST(rms_norm_matches_reference),
      CHECK_TEST(rms_norm_backward_matches_differences),
      CHECK_TEST(rms_norm_backward_matches_reference),
      CHECK_TEST(rope_rotates_and_its_inverse_undoes_it),
      CHECK_TEST(swiglu_backward_matches_differences),
      CHECK_TEST(swiglu_matches_reference),
      CHECK_TEST(geglu_backward_matches_differences),
      CHECK_TEST(geglu_matches_reference),
      CHECK_TEST(scaled_sums_are_what_they_say),
      CHECK_TEST(rows_are_gathered_and_scattered),
      CHECK_TEST(adamw_matches_reference_wherever_a_stretch_begins),
      CHECK_TEST(adamw_stores_the_new_parameters_as_weights),
      CHECK_TEST(adamw_first_step_is_the_textbooks),
      CHECK_TEST(sum_of_squares_has_one_order),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
