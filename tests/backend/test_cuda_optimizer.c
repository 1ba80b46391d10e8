/* The CUDA backend's optimizer: results don't depend on where arrays lie in memory or on how they are cut. */
#include "ops_check.h"

static const struct tpo_adamw_args args = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.271f, 0.002997f, 0.5f};

/* The arrays of adamw, each `lead` elements into its memory with as many after it, which must stay. */
struct arrays {
  float *param, *grad, *m, *v;
  uint16_t *weights;
  size_t n, lead;
};
#define AROUND 8

static float *placed(const float *x, size_t n, size_t lead)
{
  float *memory = filled(n + 2 * AROUND, 77);
  memcpy(memory + lead, x, n * sizeof *x);
  return memory + lead;
}

/* Bit k of `places` moves array k by k + 1 elements. */
static struct arrays arrays_at(size_t n, int places)
{
  float *v = normal(n, 4);
  for (size_t i = 0; i < n; i++) v[i] = v[i] * v[i];
  struct arrays a = {.n = n};
  a.param = placed(normal(n, 1), n, places & 1 ? 1 : 0);
  a.grad = placed(normal(n, 2), n, places & 2 ? 2 : 0);
  a.m = placed(normal(n, 3), n, places & 4 ? 3 : 0);
  a.v = placed(v, n, places & 8 ? 1 : 0);
  a.weights = (uint16_t *)check_alloc((n + AROUND) * sizeof *a.weights) + (places & 16 ? 1 : 0);
  return a;
}

static void step(struct tpo_backend *be, struct arrays *a, size_t from, size_t to)
{
  tpo_ops(be)->adamw(be, a->param + from, a->grad + from, a->m + from, a->v + from, to - from, &args,
                     a->weights + from, TPO_BF16);
}

static void assert_same(const struct arrays *got, const struct arrays *expected)
{
  assert_bits("param", got->param, expected->param, got->n);
  assert_bits("m", got->m, expected->m, got->n);
  assert_bits("v", got->v, expected->v, got->n);
  assert_memory_equal(got->weights, expected->weights, got->n * sizeof *got->weights);
}

static void adamw_has_the_bits_of_the_reference(void **state)
{
  (void)state;
  struct arrays got = arrays_at(5000, 0), expected = arrays_at(5000, 0);
  for (int i = 0; i < 3; i++) {
    step(check_cuda, &got, 0, 5000);
    step(check_reference, &expected, 0, 5000);
  }
  assert_same(&got, &expected);
}

static void adamw_has_the_same_bits_wherever_its_arrays_lie(void **state)
{
  (void)state;
  static const size_t counts[] = {1, 2, 3, 4, 5, 9, 1023, 2051};
  for (int c = 0; c < 8; c++) {
    struct arrays aligned = arrays_at(counts[c], 0);
    step(check_cuda, &aligned, 0, counts[c]);
    for (int places = 1; places < 32; places++) {
      struct arrays moved = arrays_at(counts[c], places);
      step(check_cuda, &moved, 0, counts[c]);
      assert_same(&moved, &aligned);
      assert_true(moved.param[counts[c]] == 77 && moved.m[counts[c]] == 77 && moved.v[counts[c]] == 77);
      assert_true(moved.weights[counts[c]] == 0);
      if (places & 1) assert_true(moved.param[-1] == 77);
      if (places & 4) assert_true(moved.m[-1] == 77);
      if (places & 16) assert_true(moved.weights[-1] == 0);
    }
    check_free(NULL);
  }
}

static void adamw_has_the_same_bits_however_it_is_cut(void **state)
{
  (void)state;
  size_t n = 3001;
  struct arrays whole = arrays_at(n, 0);
  step(check_cuda, &whole, 0, n);
  for (size_t cut = 0; cut < 8; cut++) {
    struct arrays parts = arrays_at(n, 0);
    step(check_cuda, &parts, 0, 1021 + cut);
    step(check_cuda, &parts, 1021 + cut, n);
    assert_same(&parts, &whole);
  }
}

static void adamw_stores_the_new_parameters_as_weights(void **state)
{
  (void)state;
  size_t n = 1030;
  struct arrays a = arrays_at(n, 0), plain = arrays_at(n, 0);
  step(check_cuda, &a, 0, n);
  float *weights = zeros(n);
  tpo_ops(check_cuda)
      ->adamw(check_cuda, plain.param, plain.grad, plain.m, plain.v, n, &args, weights, TPO_F32);
  assert_bits("fp32 weights", weights, a.param, n);
  for (size_t i = 0; i < n; i++) assert_int_equal(a.weights[i], tpo_f32_to_bf16(a.param[i]));
}

static void the_sum_of_squares_does_not_depend_on_where_it_begins(void **state)
{
  (void)state;
  static const size_t counts[] = {1, 3, 4, 32767, 32769, 70001};
  for (int c = 0; c < 6; c++) {
    float *x = normal(counts[c], 1);
    double aligned = tpo_ops(check_cuda)->sum_squares(check_cuda, x, counts[c]);
    for (size_t lead = 1; lead < 4; lead++)
      assert_true(tpo_ops(check_cuda)->sum_squares(check_cuda, placed(x, counts[c], lead), counts[c]) ==
                  aligned);
  }
}

static void squares_beyond_fp32_are_summed(void **state)
{
  (void)state;
  float *x = filled(1000, 1e30f);
  double sum = tpo_ops(check_cuda)->sum_squares(check_cuda, x, 1000);
  assert_true(fabs(sum - 1e63) < 1e57);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(adamw_has_the_bits_of_the_reference),
      CHECK_TEST(adamw_has_the_same_bits_wherever_its_arrays_lie),
      CHECK_TEST(adamw_has_the_same_bits_however_it_is_cut),
      CHECK_TEST(adamw_stores_the_new_parameters_as_weights),
      CHECK_TEST(the_sum_of_squares_does_not_depend_on_where_it_begins),
      CHECK_TEST(squares_beyond_fp32_are_summed),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
