/* The LM head with log-softmax and gather. The logits are made in blocks of rows by chunks of the vocabulary
 * that stay in cache; a row's log-sum-exp joins its chunks in order, in double precision. */
#include <math.h>
#include <string.h>

#include "backend/cpu/gemm.h"
#include "backend/cpu/linear.h"
#include "backend/cpu/simd/table.h"

#define BLOCK_ROWS 128
#define CHUNK_COLS 768 /* vocabulary entries; a multiple of every panel */
#define GRAD_ROWS TPO_HEAD_ROWS
#define GRAD_COLS TPO_HEAD_COLS /* two chunks */

struct partial {
  float largest, sum; /* of exp(logit - largest) */
};

struct head_tasks {
  struct tpo_cpu *cpu;
  struct tpo_gemm g; /* A and kernel; C and the part of W are set by each task */
  int n, n_blocks, n_chunks;
  float softcap; /* 0: none */
  const int32_t *targets;
  float *logprob;           /* forward: the target's logit */
  struct partial *partials; // [n, n_chunks]
  /* backward: */
  int col0, cols; /* part of the vocabulary */
  const float *lse, *dlogprob;
  float *dlogits; // [n, cols]
};

static int min_int(int a, int b)
{
  return a < b ? a : b;
}
static int ceil_div(int a, int b)
{
  return (a + b - 1) / b;
}

static void logits_block(const struct head_tasks *t, int row0, int rows, int col0, int cols, float *c,
                         int ldc, void *scratch)
{
  struct tpo_gemm g = t->g;
  g.m = rows;
  g.n = cols;
  g.a += row0 * g.a_row;
  g.w_row0 = col0;
  g.c = c;
  g.ldc = ldc;
  tpo_gemm_block(&g, 0, rows, 0, ceil_div(cols, g.kernel->nr), scratch);
}

static void forward_task(void *arg, int task, int thread)
{
  const struct head_tasks *t = arg;
  int chunk = task / t->n_blocks, row0 = task % t->n_blocks * BLOCK_ROWS,
      rows = min_int(BLOCK_ROWS, t->n - row0);
  int col0 = chunk * CHUNK_COLS, cols = min_int(CHUNK_COLS, t->g.w->rows - col0);
  float *logits = t->cpu->per_thread[thread].data; // [rows, CHUNK_COLS]
  logits_block(t, row0, rows, col0, cols, logits, CHUNK_COLS, logits + BLOCK_ROWS * CHUNK_COLS);
  for (int i = 0; i < rows; i++) {
    float *row = logits + i * CHUNK_COLS;
    if (t->softcap > 0) tpo_simd(t->cpu)->softcap(row, cols, t->softcap);
    struct partial *partial = &t->partials[(size_t)(row0 + i) * t->n_chunks + chunk];
    t->g.kernel->sum_exp(row, cols, &partial->largest, &partial->sum);
    int target = t->targets[row0 + i];
    if (target >= col0 && target < col0 + cols) t->logprob[row0 + i] = row[target - col0];
  }
}

static void join_row(const struct head_tasks *t, int row, float *lse)
{
  const struct partial *partials = t->partials + (size_t)row * t->n_chunks;
  double largest = partials[0].largest, sum = 0;
  for (int c = 1; c < t->n_chunks; c++)
    if (partials[c].largest > largest) largest = partials[c].largest;
  for (int c = 0; c < t->n_chunks; c++) sum += partials[c].sum * exp(partials[c].largest - largest);
  double value = largest + log(sum);
  lse[row] = (float)value;
  t->logprob[row] = t->targets[row] < 0 ? 0.0f : (float)(t->logprob[row] - value);
}

static struct head_tasks head_tasks(struct tpo_cpu *cpu, const struct tpo_linear *w, const int32_t *targets,
                                    int n, float softcap)
{
  const struct tpo_gemm_kernel *kernel = tpo_gemm_kernel_for(cpu, w);
  struct head_tasks tasks = {
      .cpu = cpu, .n = n, .targets = targets, .n_blocks = ceil_div(n, BLOCK_ROWS), .softcap = softcap};
  tasks.g = (struct tpo_gemm){
      .kernel = kernel, .k = kernel->pairs ? w->k_words : w->cols, .b = TPO_GEMM_B_WEIGHTS, .w = w};
  return tasks;
}

void tpo_cpu_lm_head_logprob(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                             const int32_t *targets, float *logprob, float *lse, int n, float softcap)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  if (n <= 0) return;
  struct head_tasks tasks = head_tasks(cpu, w, targets, n, softcap);
  tasks.n_chunks = ceil_div(w->rows, CHUNK_COLS);
  tasks.logprob = logprob;
  tasks.partials =
      tpo_cpu_scratch(cpu, TPO_CPU_SLOT_PARTIAL, (size_t)n * tasks.n_chunks * sizeof *tasks.partials);
  size_t bytes = sizeof(float) * BLOCK_ROWS * CHUNK_COLS + tpo_gemm_scratch_bytes(&tasks.g, BLOCK_ROWS);
  if (!tasks.partials || tpo_cpu_reserve(cpu, bytes) < 0 ||
      !tpo_gemm_set_a(cpu, &tasks.g, TPO_CPU_SLOT_A, h, n, w->cols))
    return;
  tpo_pool_run(cpu->pool, tasks.n_blocks * tasks.n_chunks, forward_task, &tasks);
  for (int i = 0; i < n; i++) join_row(&tasks, i, lse);
}

/* One row of logits, turned into the loss's gradient by them: dlogprob * (1[target] - softmax), of capped
 * logits times the cap's derivative. The target is a column of the row where it is in 0 .. cols-1. */
static void gradient_row(const struct head_tasks *t, float *row, int cols, int target, float lse,
                         float dlogprob)
{
  const struct tpo_simd *simd = tpo_simd(t->cpu);
  float capped[CHUNK_COLS];
  if (t->softcap > 0) {
    simd->softcap(row, cols, t->softcap);
    memcpy(capped, row, (size_t)cols * sizeof *row);
  }
  t->g.kernel->softmax_scaled(row, cols, lse, -dlogprob);
  if (target >= 0 && target < cols) row[target] += dlogprob;
  if (t->softcap > 0) simd->softcap_backward(capped, row, cols, t->softcap);
}

static void gradient_task(void *arg, int task, int thread)
{
  const struct head_tasks *t = arg;
  int row0 = task % t->n_blocks * BLOCK_ROWS, rows = min_int(BLOCK_ROWS, t->n - row0);
  int first = task / t->n_blocks * CHUNK_COLS, cols = min_int(CHUNK_COLS, t->cols - first);
  float *block = t->dlogits + (size_t)row0 * t->cols + first;
  logits_block(t, row0, rows, t->col0 + first, cols, block, t->cols, t->cpu->per_thread[thread].data);
  for (int i = 0; i < rows; i++) {
    float *row = block + (size_t)i * t->cols;
    int target = t->targets[row0 + i];
    if (target < 0)
      memset(row, 0, (size_t)cols * sizeof *row);
    else
      gradient_row(t, row, cols, target - t->col0 - first, t->lse[row0 + i], t->dlogprob[row0 + i]);
  }
}

/* One part of the vocabulary for up to GRAD_ROWS rows. */
static bool gradient_chunk(struct head_tasks *t, const float *h, float *dh, float *dw)
{
  struct tpo_cpu *cpu = t->cpu;
  const struct tpo_linear *w = t->g.w;
  if (tpo_cpu_reserve(cpu, tpo_gemm_scratch_bytes(&t->g, BLOCK_ROWS)) < 0) return false;
  tpo_pool_run(cpu->pool, t->n_blocks * ceil_div(t->cols, CHUNK_COLS), gradient_task, t);
  bool pairs = t->g.kernel->pairs;
  struct tpo_gemm input = {.kernel = t->g.kernel,
                           .m = t->n,
                           .n = w->cols,
                           .k = pairs ? ceil_div(t->cols, 2) : t->cols,
                           .b = TPO_GEMM_B_TRANSPOSED,
                           .w = w,
                           .w_row0 = t->col0,
                           .c = dh,
                           .ldc = w->cols,
                           .base = t->col0 > 0 ? dh : NULL,
                           .base_ld = w->cols};
  if (!tpo_gemm_set_a(cpu, &input, TPO_CPU_SLOT_B, t->dlogits, t->n, t->cols)) return false;
  tpo_gemm_run(cpu, &input);
  struct tpo_gemm weight = {.kernel = t->g.kernel,
                            .m = t->cols,
                            .n = w->cols,
                            .k = pairs ? ceil_div(t->n, 2) : t->n,
                            .a_columns = t->dlogits,
                            .a_ld = t->cols,
                            .b = TPO_GEMM_B_ROWS,
                            .rows = h,
                            .rows_ld = w->cols,
                            .k_rows = t->n,
                            .c = dw + (size_t)t->col0 * w->cols,
                            .ldc = w->cols,
                            .base = dw + (size_t)t->col0 * w->cols,
                            .base_ld = w->cols};
  tpo_gemm_run(cpu, &weight);
  return true;
}

void tpo_cpu_lm_head_logprob_backward(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                                      const int32_t *targets, const float *lse, const float *dlogprob,
                                      void *dh, float *dw, int n, float softcap)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  for (int row0 = 0; row0 < n; row0 += GRAD_ROWS) {
    struct head_tasks tasks = head_tasks(cpu, w, targets + row0, min_int(GRAD_ROWS, n - row0), softcap);
    const float *h_rows = (const float *)h + (size_t)row0 * w->cols;
    tasks.lse = lse + row0;
    tasks.dlogprob = dlogprob + row0;
    tasks.dlogits =
        tpo_cpu_scratch(cpu, TPO_CPU_SLOT_LOGITS, sizeof(float) * tasks.n * min_int(GRAD_COLS, w->rows));
    if (!tasks.dlogits || !tpo_gemm_set_a(cpu, &tasks.g, TPO_CPU_SLOT_A, h_rows, tasks.n, w->cols)) return;
    for (int col0 = 0; col0 < w->rows; col0 += GRAD_COLS) {
      tasks.col0 = col0;
      tasks.cols = min_int(GRAD_COLS, w->rows - col0);
      if (!gradient_chunk(&tasks, h_rows, (float *)dh + (size_t)row0 * w->cols, dw)) return;
    }
  }
}
