/* Activations of either type for tests of the CUDA tables. Values are made in fp32, rounded to the type, and
 * given to a table in the form that it computes with, so that the reference (always fp32) gets the same
 * numbers. */
#ifndef TPO_TESTS_BACKEND_CUDA_CHECK_H
#define TPO_TESTS_BACKEND_CUDA_CHECK_H

#include "ops_check.h"

struct check_values {
  void *data; /* [n] of `size` bytes each: what the table's operations take */
  size_t n, size;
};

/* Normal numbers that the dtype holds exactly. */
static inline float *check_rounded(size_t n, uint32_t stream, enum tpo_dtype dtype)
{
  float *x = normal(n, stream);
  for (size_t i = 0; dtype == TPO_BF16 && i < n; i++) x[i] = tpo_bf16_to_f32(tpo_f32_to_bf16(x[i]));
  return x;
}

static inline struct check_values check_values_of(const struct tpo_ops *ops, const float *x, size_t n)
{
  struct check_values v = {check_alloc(n * ops->activation_size), n, ops->activation_size};
  tpo_convert(v.data, v.size == 2 ? TPO_BF16 : TPO_F32, x, TPO_F32, n);
  return v;
}

static inline struct check_values check_values(const struct tpo_ops *ops, size_t n, uint32_t stream,
                                               enum tpo_dtype dtype)
{
  return check_values_of(ops, check_rounded(n, stream, dtype), n);
}

/* As fp32. */
static inline float *check_floats(const struct check_values *v)
{
  float *x = zeros(v->n);
  if (check_cuda) check_wait(check_cuda);
  tpo_convert(x, TPO_F32, v->data, v->size == 2 ? TPO_BF16 : TPO_F32, v->n);
  return x;
}

/* |got - expected| <= tolerance * the largest |expected| (at least 1): rounding errors of sums grow with the
 * size of what is summed, not of the result. */
static inline void check_all_close(const char *what, const float *got, const float *expected, size_t n,
                                   double tolerance)
{
  double largest = 1;
  check_ready();
  for (size_t i = 0; i < n; i++)
    if (fabs((double)expected[i]) > largest) largest = fabs((double)expected[i]);
  for (size_t i = 0; i < n; i++)
    if (!(fabs((double)got[i] - expected[i]) <= tolerance * largest))
      fail_msg("%s: element %zu of %zu is %.9g, expected %.9g (largest %.3g)", what, i, n, got[i],
               expected[i], largest);
}

static inline void check_values_close(const char *what, const struct check_values *got,
                                      const struct check_values *expected, double tolerance)
{
  assert_int_equal(got->n, expected->n);
  check_all_close(what, check_floats(got), check_floats(expected), got->n, tolerance);
}

#endif
