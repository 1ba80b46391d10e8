/* What the tests of operations share: the backends under test, memory that a test need not free, and
 * comparisons. */
#ifndef TPO_TESTS_BACKEND_OPS_CHECK_H
#define TPO_TESTS_BACKEND_OPS_CHECK_H

#include <math.h>

#include "backend/backend.h"
#include "unit.h"

#include "backend/cpu/cpu.h"
#ifdef TPO_HAVE_CUDA
#include "backend/cuda.h"
#endif
#include "base/philox.h"

/* An attention shape with the zeros that most models have. */
#define SHAPE(h, k, d)                                                                                       \
  {                                                                                                          \
    .heads = (h), .kv_heads = (k), .head_dim = (d)                                                           \
  }

/* Every instruction set of this machine with 1 and 3 threads, and the reference. Where a GPU is built in, that
 * one (its table with fp32 activations) and the best instruction set alone: the others are compared in builds
 * without a GPU. Opened by group setup. */
#define CHECK_LEVELS 5
#define CHECK_CUDA_LEVEL 4
struct check_backend {
  struct tpo_backend *be;
  int level, threads;
};
static struct check_backend check_cpus[9];
static int check_n_cpus;
static struct tpo_backend *check_reference;
static struct tpo_backend *check_cuda; /* also the last of check_cpus; NULL where it isn't built in */

#define CHECK_BLOCKS 4096
static void *check_blocks[CHECK_BLOCKS];
static int check_n_blocks;

/* Left out where the machine is below the level. */
static inline int check_open_cpu(int level, int threads)
{
  static const char *const levels[] = {"scalar", "avx2", "avx512", "avx512_bf16"};
  struct check_backend *check = &check_cpus[check_n_cpus];
  setenv("TPO_CPU_ISA", levels[level], 1);
  int status = tpo_backend_open(&check->be, TPO_BACKEND_CPU, threads, NULL);
  unsetenv("TPO_CPU_ISA");
  if (status < 0) return -1;
  check->level = level;
  check->threads = threads;
  if ((int)tpo_cpu(check->be)->isa == level)
    check_n_cpus++;
  else
    tpo_backend_close(check->be);
  return 0;
}

static inline int check_open(void **state)
{
  (void)state;
#ifdef TPO_HAVE_CUDA
  struct tpo_error err = {0};
  for (int level = 3; check_n_cpus == 0 && level >= 0; level--)
    if (check_open_cpu(level, 3) < 0) return -1;
  setenv("CUDA_LAUNCH_BLOCKING", "1", 1); /* the tests look at results as soon as a call returns */
  if (tpo_backend_open(&check_cuda, TPO_BACKEND_CUDA, 0, &err) < 0) {
    print_error("%s\n", err.message);
    return -1;
  }
  check_cpus[check_n_cpus++] = (struct check_backend){check_cuda, CHECK_CUDA_LEVEL, 0};
#else
  for (int level = 0; level < 4; level++)
    if (check_open_cpu(level, 1) < 0 || check_open_cpu(level, 3) < 0) return -1;
#endif
  return tpo_backend_open_reference(&check_reference, NULL);
}

static inline int check_close(void **state)
{
  (void)state;
  for (int i = 0; i < check_n_cpus; i++) tpo_backend_close(check_cpus[i].be);
  tpo_backend_close(check_reference);
  check_n_cpus = 0;
  return 0;
}

/* Memory that the host and every backend can read and write: with a GPU it is page-locked. */
#ifdef TPO_HAVE_CUDA
#define check_malloc tpo_cuda_host_alloc
#define check_release tpo_cuda_host_free
#else
#define check_malloc malloc
#define check_release free
#endif

static inline int check_free(void **state) /* test teardown */
{
  (void)state;
  while (check_n_blocks > 0) check_release(check_blocks[--check_n_blocks]);
  return 0;
}

/* Work of the GPU is done when a test looks at its results. */
static inline void check_wait(struct tpo_backend *be)
{
  struct tpo_error err = {0};
  if (tpo_ops(be)->check(be, &err) < 0) fail_msg("%s", err.message);
}

/* Exactly `bytes`, so that the sanitizer sees an access past the end; freed by check_free. */
static inline void *check_alloc(size_t bytes)
{
  assert_true(check_n_blocks < CHECK_BLOCKS);
  void *p = check_malloc(bytes ? bytes : 1);
  assert_non_null(p);
  memset(p, 0, bytes);
  return check_blocks[check_n_blocks++] = p;
}

static inline void *check_dup(const void *bytes, size_t len)
{
  return memcpy(check_alloc(len), bytes, len);
}

static inline float *zeros(size_t n)
{
  return check_alloc(n * sizeof(float));
}

static inline float *filled(size_t n, float value)
{
  float *x = zeros(n);
  for (size_t i = 0; i < n; i++) x[i] = value;
  return x;
}

static inline float *copy_of(const float *x, size_t n)
{
  float *y = zeros(n);
  memcpy(y, x, n * sizeof *y);
  return y;
}

/* Normal numbers, the same for the same stream. */
static inline float *normal(size_t n, uint32_t stream)
{
  struct tpo_rng rng;
  tpo_rng_init(&rng, 11, TPO_STREAM_INIT, stream, 1);
  float *x = zeros(n);
  for (size_t i = 0; i < n; i++) x[i] = (float)tpo_rng_normal(&rng);
  return x;
}

/* Before looking at results: the GPU may still be at work. */
static inline void check_ready(void)
{
  if (check_cuda) check_wait(check_cuda);
}

/* |got - expected| <= tolerance * (1 + |expected|) for each element. */
static inline void assert_close(const char *what, const float *got, const float *expected, size_t n,
                                double tolerance)
{
  check_ready();
  for (size_t i = 0; i < n; i++) {
    double gap = fabs((double)got[i] - expected[i]);
    if (!(gap <= tolerance * (1 + fabs((double)expected[i]))))
      fail_msg("%s: element %zu of %zu is %.9g, expected %.9g", what, i, n, got[i], expected[i]);
  }
}

static inline void assert_bits(const char *what, const float *got, const float *expected, size_t n)
{
  check_ready();
  for (size_t i = 0; i < n; i++)
    if (memcmp(&got[i], &expected[i], sizeof(float)) != 0)
      fail_msg("%s: element %zu of %zu is %.9g, expected the very bits of %.9g", what, i, n, got[i],
               expected[i]);
}

/* Central differences of loss(context) by each x[i], compared with `gradient`. loss reads x. */
static inline void assert_gradient(const char *what, float *x, const float *gradient, size_t n,
                                   double (*loss)(void *context), void *context, double tolerance)
{
  const float step = 1.0f / 128;
  for (size_t i = 0; i < n; i++) {
    float keep = x[i];
    x[i] = keep + step;
    double width = x[i], above = loss(context);
    x[i] = keep - step;
    width -= x[i];
    double below = loss(context);
    x[i] = keep;
    double expected = (above - below) / width;
    if (!(fabs(gradient[i] - expected) <= tolerance * (1 + fabs(expected))))
      fail_msg("%s: derivative %zu of %zu is %.9g, differences say %.9g", what, i, n, gradient[i], expected);
  }
}

static inline double weighted_sum(const float *weights, const float *x, size_t n)
{
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += (double)weights[i] * x[i];
  return sum;
}

#define CHECK_TEST(f) cmocka_unit_test_setup_teardown(f, NULL, check_free)

#endif
