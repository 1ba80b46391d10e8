/* Rates of the CPU backend's matrix products on the shapes of SmolLM2-135M, as a share of the machine's
 * measured peak of multiply-adds, then the other operations: bench_ops [THREADS [fp32|bf16|rows [ROWS...]]].
 * TPO_CPU_ISA chooses a lower instruction set. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "backend/cpu/cpu.h"
#include "base/clock.h"
#include "ops.h"

#define PEAK_STEPS 400000
#define MIN_SECONDS 0.1

static volatile float sink;

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 24")
#endif
#if defined(__x86_64__)
#define SUMS(type, count, start)                                                                             \
  type sum[count];                                                                                           \
  UNROLL for (int i = 0; i < count; i++) sum[i] = start
#define KEEP(v) __asm__ volatile("" : "+v"(v))

/* Registers hold everything; the sums stay finite. Returns floating-point operations a step. */
static __attribute__((target("avx2,fma"))) int peak_avx2(void)
{
  SUMS(__m256, 12, _mm256_set1_ps(1));
  __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(1);
  for (int k = 0; k < PEAK_STEPS; k++) {
    UNROLL for (int i = 0; i < 12; i++)
    {
      sum[i] = _mm256_fmadd_ps(sum[i], a, b);
      KEEP(sum[i]);
    }
  }
  UNROLL for (int i = 0; i < 12; i++) sink += _mm256_cvtss_f32(sum[i]);
  return 12 * 16;
}

static __attribute__((target("avx512f"))) int peak_avx512(void)
{
  SUMS(__m512, 24, _mm512_set1_ps(1));
  __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(1);
  for (int k = 0; k < PEAK_STEPS; k++) {
    UNROLL for (int i = 0; i < 24; i++)
    {
      sum[i] = _mm512_fmadd_ps(sum[i], a, b);
      KEEP(sum[i]);
    }
  }
  UNROLL for (int i = 0; i < 24; i++) sink += _mm512_cvtss_f32(sum[i]);
  return 24 * 32;
}

static __attribute__((target("avx512f,avx512bf16"))) int peak_bf16(void)
{
  SUMS(__m512, 24, _mm512_setzero_ps());
  __m512bh a = (__m512bh)_mm512_set1_epi32(0x3f803f80), b = (__m512bh)_mm512_set1_epi32(0x00003f80);
  for (int k = 0; k < PEAK_STEPS; k++) {
    UNROLL for (int i = 0; i < 24; i++)
    {
      sum[i] = _mm512_dpbf16_ps(sum[i], a, b);
      KEEP(sum[i]);
    }
  }
  UNROLL for (int i = 0; i < 24; i++) sink += _mm512_cvtss_f32(sum[i]);
  return 24 * 64;
}
#endif

static int peak_plain(void)
{
  float sum[64], a = 0.5f, b = 1.0f;
  for (int i = 0; i < 64; i++) sum[i] = (float)i;
  for (int k = 0; k < PEAK_STEPS; k++)
    for (int i = 0; i < 64; i++) sum[i] = sum[i] * a + b;
  for (int i = 0; i < 64; i++) sink += sum[i];
  return 2 * 64;
}

struct peak {
  int (*run)(void);
  int operations;
};

static void peak_task(void *arg, int task, int thread)
{
  (void)task;
  (void)thread;
  struct peak *peak = arg;
  int operations = peak->run();
  if (task == 0) peak->operations = operations;
}

/* GFLOP/s of all threads together: the best of a few runs. */
static double measure_peak(struct tpo_cpu *cpu, int (*run)(void))
{
  struct peak peak = {run, 0};
  double best = 0;
  for (int i = 0; i < 20; i++) {
    double start = tpo_seconds();
    tpo_pool_run(cpu->pool, cpu->threads, peak_task, &peak);
    double rate = (double)peak.operations * PEAK_STEPS * cpu->threads / (tpo_seconds() - start) * 1e-9;
    if (rate > best) best = rate;
  }
  return best;
}

struct shape {
  const char *name;
  int rows, cols;
};
static const struct shape shapes[] = {
    {"qkv", 960, 576}, {"attention out", 576, 576}, {"gate and up", 3072, 576}, {"down", 576, 1536}};
#define VOCAB 49152
#define HIDDEN 576

struct bench {
  struct tpo_backend *be;
  enum tpo_dtype dtype;
  double peak;
};

enum what { FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT, HEAD, HEAD_BACKWARD, LOGITS };
static const char *const what_names[] = {"forward",         "backward_input",           "backward_weight",
                                         "lm_head_logprob", "lm_head_logprob_backward", "lm_head_logits"};

struct buffers {
  float *x, *y, *dw, *lse, *dlogprob; // [n, cols], [n, rows], [rows, cols], [n], [n]
  int32_t *targets;
};

static void call(const struct bench *b, enum what what, const struct tpo_linear *w, const struct buffers *t,
                 int n)
{
  const struct tpo_ops *ops = tpo_ops(b->be);
  switch (what) {
  case FORWARD: ops->linear_forward(b->be, w, t->x, t->y, n); break;
  case BACKWARD_INPUT: ops->linear_backward_input(b->be, w, t->y, t->x, n, false); break;
  case BACKWARD_WEIGHT: ops->linear_backward_weight(b->be, w, t->y, t->x, t->dw, n); break;
  case HEAD: ops->lm_head_logprob(b->be, w, t->x, t->targets, t->dlogprob, t->lse, n, 0); break;
  case HEAD_BACKWARD:
    ops->lm_head_logprob_backward(b->be, w, t->x, t->targets, t->lse, t->dlogprob, t->y, t->dw, n, 0);
    break;
  case LOGITS: ops->lm_head_logits(b->be, w, t->x, t->y, n, 0); break;
  }
}

static float *numbers(struct tpo_backend *be, size_t n)
{
  void *p;
  if (tpo_ops(be)->alloc(be, n * sizeof(float), &p, NULL) < 0) {
    fprintf(stderr, "bench_ops: no memory for %zu numbers\n", n);
    exit(1);
  }
  float *x = p;
  uint32_t state = 1;
  for (size_t i = 0; i < n; i++) {
    state = state * 1664525u + 1013904223u;
    x[i] = (float)(state >> 8) * 0x1p-24f - 0.5f;
  }
  return x;
}

/* Several matrices in turn, as in a model, so that small batches read their weights from memory. */
static void measure(const struct bench *b, enum what what, const struct shape *shape, int n)
{
  enum { COPIES = 8 };
  const struct tpo_ops *ops = tpo_ops(b->be);
  int copies = what >= HEAD ? 1 : COPIES;
  struct tpo_linear *w[COPIES];
  float *weights = numbers(b->be, (size_t)shape->rows * shape->cols);
  for (int i = 0; i < copies; i++) {
    if (ops->linear_create(b->be, shape->rows, shape->cols, b->dtype, &w[i], NULL) < 0) exit(1);
    ops->linear_set(b->be, w[i], 0, shape->rows, weights, TPO_F32);
  }
  size_t y_width = what == HEAD || what == HEAD_BACKWARD ? shape->cols : shape->rows;
  struct buffers t = {numbers(b->be, (size_t)n * shape->cols),
                      numbers(b->be, (size_t)n * y_width),
                      weights,
                      numbers(b->be, n),
                      numbers(b->be, n),
                      (int32_t *)numbers(b->be, n)};
  for (int i = 0; i < n; i++) t.targets[i] = i * 37 % shape->rows;
  for (int i = 0; i < copies; i++) call(b, what, w[i], &t, n);
  double begin = tpo_seconds(), best = 1e9;
  do { /* the best round: other programs share the machine */
    double start = tpo_seconds();
    for (int i = 0; i < copies; i++) call(b, what, w[i], &t, n);
    double seconds = tpo_seconds() - start;
    if (seconds < best) best = seconds;
  } while (tpo_seconds() - begin < MIN_SECONDS);
  double products = what == HEAD_BACKWARD ? 3 : 1;
  double rate = products * 2e-9 * n * shape->rows * shape->cols * copies / best;
  printf("%-24s %-13s %6d %10.1f %6.0f %%\n", what_names[what], shape->name, n, rate, 100 * rate / b->peak);
  fflush(stdout);
  for (int i = 0; i < copies; i++) ops->linear_free(b->be, w[i]);
  void *all[] = {t.x, t.y, t.dw, t.lse, t.dlogprob, t.targets};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) ops->free(b->be, all[i]);
}

static void measure_dtype(struct bench *b, const int *rows, int n_rows)
{
  static const struct shape head = {"vocabulary", VOCAB, HIDDEN};
  printf("\nweights %s\n%-24s %-13s %6s %10s %8s\n", tpo_dtype_name(b->dtype), "operation", "matrix", "rows",
         "GFLOP/s", "of peak");
  for (int i = 0; i < n_rows; i++)
    for (int what = FORWARD; what <= LOGITS; what++) {
      if (what >= HEAD) {
        if (what != LOGITS || rows[i] <= 128) measure(b, what, &head, rows[i]);
        continue;
      }
      for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) measure(b, what, &shapes[s], rows[i]);
    }
}

static void print_machine(void)
{
  FILE *f = fopen("/proc/cpuinfo", "r");
  char line[256];
  while (f && fgets(line, sizeof line, f))
    if (strncmp(line, "model name", 10) == 0) {
      printf("machine:%s", strchr(line, ':') + 1);
      break;
    }
  if (f) fclose(f);
}

int main(int argc, char **argv)
{
  static const int default_rows[] = {1, 8, 16, 32, 64, 128, 512, 2048};
  int rows[32], n_rows = 0;
  struct tpo_error err = {0};
  struct bench b = {0};
  if (tpo_backend_open(&b.be, TPO_BACKEND_CPU, argc > 1 ? atoi(argv[1]) : 0, &err) < 0) {
    fprintf(stderr, "bench_ops: %s\n", err.message);
    return 1;
  }
  for (int i = 3; i < argc && n_rows < 32; i++) rows[n_rows++] = atoi(argv[i]);
  if (n_rows == 0) {
    n_rows = (int)(sizeof default_rows / sizeof *default_rows);
    memcpy(rows, default_rows, sizeof default_rows);
  }
  struct tpo_cpu *cpu = tpo_cpu(b.be);
  print_machine();
  printf("backend: %s\n", tpo_backend_describe(b.be));
  double fp32 = 0, bf16 = 0;
#if defined(__x86_64__)
  if (cpu->isa >= TPO_CPU_AVX512)
    fp32 = measure_peak(cpu, peak_avx512);
  else if (cpu->isa >= TPO_CPU_AVX2)
    fp32 = measure_peak(cpu, peak_avx2);
  if (tpo_cpu_detect() >= TPO_CPU_AVX512_BF16) bf16 = measure_peak(cpu, peak_bf16);
#endif
  if (fp32 == 0) fp32 = measure_peak(cpu, peak_plain);
  printf("peak: fp32 %.1f GFLOP/s", fp32);
  if (bf16 > 0) printf(", bf16 products %.1f GFLOP/s", bf16);
  printf("\n");
  for (int pass = 0; pass < 2; pass++) {
    b.dtype = pass ? TPO_BF16 : TPO_F32;
    b.peak = pass && cpu->gemm_bf16 ? bf16 : fp32;
    if (argc < 3 || strcmp(argv[2], tpo_dtype_name(b.dtype)) == 0) measure_dtype(&b, rows, n_rows);
  }
  if (argc < 3 || strcmp(argv[2], "rows") == 0) bench_rows(b.be);
  tpo_backend_close(b.be);
  return 0;
}
