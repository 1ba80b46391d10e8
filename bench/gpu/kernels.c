/* Times the CUDA backend's kernels at the shapes of Llama-3-8B: bench_gpu_kernels [--small] [--seconds S]
 * [--only NAME]. Each kernel is first compared with the plain reference at small sizes; one that differs
 * isn't timed, and the program ends with 1. Writes a line of JSON for each: `tests` name the sizes, `seconds`
 * is the median of one call over several rounds of many calls, one after another. The two ceilings come
 * first: a copy in device memory and a large bf16 product.
 * --small times small sizes too, for the emulated build. bench/gpu/run makes the table. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/clock.h"
#include "jobs.h"

enum { ROUNDS = 5, MOST_CALLS = 2000 };

static const struct sizes check_sizes = {.hidden = 512,
                                         .heads = 4,
                                         .kv_heads = 2,
                                         .head_dim = 128,
                                         .ffn = 384,
                                         .vocab = 1000,
                                         .seqs = 3,
                                         .seq_len = 70,
                                         .head_rows = 37,
                                         .decode = 5,
                                         .context = 45,
                                         .params = 5000,
                                         .dequantise = 2048};
static const struct sizes small_sizes = {.hidden = 256,
                                         .heads = 2,
                                         .kv_heads = 1,
                                         .head_dim = 128,
                                         .ffn = 256,
                                         .vocab = 512,
                                         .seqs = 2,
                                         .seq_len = 48,
                                         .head_rows = 32,
                                         .decode = 4,
                                         .context = 40,
                                         .params = 4096,
                                         .dequantise = 8192};
static const struct sizes llama_sizes = {.hidden = 4096,
                                         .heads = 32,
                                         .kv_heads = 8,
                                         .head_dim = 128,
                                         .ffn = 14336,
                                         .vocab = 128256,
                                         .seqs = 4,
                                         .seq_len = 4096,
                                         .head_rows = 4096,
                                         .decode = 256,
                                         .context = 512,
                                         .params = 1 << 28,
                                         .dequantise = 1 << 28};

static void begin(struct job *job, struct side *side, const struct sizes *d, const struct kernel *k)
{
  memset(job, 0, sizeof *job);
  job->side = side;
  job->d = d;
  side->ops->begin_pass(side->be, strcmp(k->group, "generation") == 0 ? TPO_PASS_PAGED : TPO_PASS_PACKED);
  k->make(job, k->which);
}

static double verify(const struct kernel *k, struct side *fast, struct side *plain, const char **worst)
{
  struct job got, expected;
  struct job *both[] = {&got, &expected};
  struct side *sides[] = {fast, plain};
  for (int i = 0; i < 2; i++) {
    begin(both[i], sides[i], &check_sizes, k);
    k->call(both[i]);
    if (k->finish) k->finish(both[i]);
    job_wait(both[i]);
  }
  double difference = job_difference(&got, &expected, worst);
  job_free(&got);
  job_free(&expected);
  return difference;
}

static int by_size(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Seconds of one call; everything is warm. The GPU works through the calls of a round without a pause. */
static double measure(struct job *job, void (*call)(struct job *job), double seconds, int *calls)
{
  double rounds[ROUNDS];
  for (int i = 0; i < 2; i++) call(job);
  job_wait(job);
  double start = tpo_seconds();
  call(job);
  job_wait(job);
  double once = tpo_seconds() - start;
  *calls = (int)fmin(fmax(seconds / ROUNDS / fmax(once, 1e-7), 1), MOST_CALLS);
  for (int r = 0; r < ROUNDS; r++) {
    start = tpo_seconds();
    for (int i = 0; i < *calls; i++) call(job);
    job_wait(job);
    rounds[r] = (tpo_seconds() - start) / *calls;
  }
  qsort(rounds, ROUNDS, sizeof *rounds, by_size);
  return rounds[ROUNDS / 2];
}

static void copy(struct job *job)
{
  job->side->ops->copy(job->side->be, job->p[1], job->p[0], (size_t)(job->bytes / 2));
}

static void product(struct job *job)
{
  job->side->ops->linear_forward(job->side->be, job->w[0], job->p[0], job->p[1], job->n);
}

/* What this GPU can do at most: bytes a second, read and written;
 * floating-point operations a second in bf16. */
static void measure_ceilings(struct side *fast, bool small, double seconds)
{
  int calls;
  size_t elements = small ? 1 << 12 : 1 << 29; /* 2 GiB: far more than the caches hold */
  struct job job = {.side = fast, .what = "copy"};
  job.p[0] = job_floats(&job, elements, 1, 1);
  job.p[1] = job_float_space(&job, elements);
  job.bytes = 8.0 * (double)elements;
  double each = measure(&job, copy, seconds, &calls);
  printf("{\"ceiling\": \"copy\", \"what\": \"%zu MiB\", \"seconds\": %.9g, \"per_second\": %.6g}\n",
         elements >> 18, each, job.bytes / each);
  job_free(&job);

  int n = small ? 128 : 8192;
  job = (struct job){.side = fast, .n = n, .what = "product"};
  job_weight(&job, n, n, 1);
  job.p[0] = job_numbers(&job, (size_t)n * n, 1, 1);
  job.p[1] = job_space(&job, (size_t)n * n);
  fast->ops->begin_pass(fast->be, TPO_PASS_PACKED);
  each = measure(&job, product, seconds, &calls);
  printf("{\"ceiling\": \"product\", \"what\": \"%d x %d x %d bf16\", "
         "\"seconds\": %.9g, \"per_second\": %.6g}\n",
         n, n, n, each, 2.0 * n * n * n / each);
  job_free(&job);
}

static void time_kernel(const struct kernel *k, struct side *fast, const struct sizes *d, double seconds,
                        double difference)
{
  struct job job;
  int calls;
  begin(&job, fast, d, k);
  double each = measure(&job, k->call, seconds, &calls);
  printf("{\"kernel\": \"%s\", \"group\": \"%s\", \"what\": \"%s\", \"seconds\": %.9g, "
         "\"bytes\": %.9g, \"flops\": %.9g, \"calls\": %d, \"difference\": %.3g}\n",
         k->name, k->group, job.what, each, job.bytes, job.flops, calls, difference);
  job_free(&job);
}

/* Of `n` kernels those whose name has `only` in it (NULL: all); how many were wrong. */
static int run_list(const struct kernel *kernels, int n, struct side *fast, struct side *plain, bool small,
                    double seconds, const char *only)
{
  int wrong = 0;
  for (int i = 0; i < n; i++) {
    const struct kernel *k = &kernels[i];
    const char *worst = "";
    if (only && !strstr(k->name, only)) continue;
    double difference = verify(k, fast, plain, &worst);
    if (difference <= k->tolerance) {
      time_kernel(k, fast, small ? &small_sizes : &llama_sizes, seconds, difference);
    } else {
      wrong++;
      printf("{\"kernel\": \"%s\", \"group\": \"%s\", \"which\": %d, "
             "\"wrong\": \"%s differs by %.3g of its size, %.3g allowed\"}\n",
             k->name, k->group, k->which, worst, isfinite(difference) ? difference : 1e30, k->tolerance);
    }
    fflush(stdout);
  }
  return wrong;
}

static int run(struct tpo_backend *cuda, struct tpo_backend *reference, bool small, double seconds,
               const char *only)
{
  struct side fast = {cuda, tpo_ops_for(cuda, TPO_BF16), true},
              plain = {reference, tpo_ops(reference), false};
  measure_ceilings(&fast, small, seconds);
  int wrong = run_list(bench_kernels, bench_n_kernels, &fast, &plain, small, seconds, only);
  wrong += run_list(bench_family_kernels, bench_n_family_kernels, &fast, &plain, small, seconds, only);
  return wrong > 0;
}

int main(int argc, char **argv)
{
  bool small = false;
  double seconds = 0.25;
  const char *only = NULL;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--small") == 0)
      small = true;
    else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
      seconds = atof(argv[++i]);
    else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
      only = argv[++i];
    else {
      fprintf(stderr, "usage: bench_gpu_kernels [--small] [--seconds S] [--only NAME]\n");
      return 2;
    }
  }
  struct tpo_error err = {0};
  struct tpo_backend *cuda = NULL, *reference = NULL;
  if (tpo_backend_open(&cuda, TPO_BACKEND_CUDA, 0, &err) < 0 ||
      tpo_backend_open_reference(&reference, &err) < 0) {
    fprintf(stderr, "bench_gpu_kernels: %s\n", err.message);
    return 1;
  }
  fprintf(stderr, "%s\n", tpo_backend_describe(cuda));
  int status = run(cuda, reference, small, seconds, only);
  tpo_backend_close(cuda);
  tpo_backend_close(reference);
  return status;
}
