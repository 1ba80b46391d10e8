/* Gradients of weight vectors, which are sums over rows: of norms and of biases. A task sums SUM_ROWS rows,
 * then the tasks' sums are added in order, so that the result is the same at any number of threads. */
#include <string.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/rows.h"

#define SUM_ROWS 64

struct sums_job {
  const struct tpo_simd *simd;
  /* adds row i to sums [width] */
  void (*row)(const struct sums_job *job, int i, float *sums);
  int n, dim, width;
  const float *dy, *x, *w, *rstd;
  float *dx;
  const struct tpo_qk_norm *norm;
  struct tpo_attention_shape shape;
  float *partial; /* [tasks, width] */
};

static void sums_task(void *arg, int task, int thread)
{
  (void)thread;
  const struct sums_job *job = arg;
  float *sums = job->partial + (size_t)task * (size_t)job->width;
  memset(sums, 0, (size_t)job->width * sizeof *sums);
  int first = task * SUM_ROWS, end = job->n - first < SUM_ROWS ? job->n : first + SUM_ROWS;
  for (int i = first; i < end; i++) job->row(job, i, sums);
}

/* Goes over the rows; returns how many tasks' sums are in job->partial. */
static int run_sums(struct tpo_backend *be, struct sums_job *job)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  int tasks = job->n / SUM_ROWS + (job->n % SUM_ROWS != 0);
  job->simd = tpo_simd(cpu);
  job->partial =
      tpo_cpu_scratch(cpu, TPO_CPU_SLOT_OPS, (size_t)tasks * (size_t)job->width * sizeof *job->partial);
  if (!job->partial) return 0;
  tpo_pool_run(cpu->pool, tasks, sums_task, job);
  return tasks;
}

/* to [n] += the tasks' sums at column `at` */
static void add_sums(const struct sums_job *job, int tasks, int at, float *to, int n)
{
  for (int task = 0; task < tasks; task++)
    job->simd->add(to, job->partial + (size_t)task * (size_t)job->width + at, 1.0f, n);
}

static void norm_row(const struct sums_job *job, int i, float *sums)
{
  size_t at = (size_t)i * (size_t)job->dim;
  job->simd->rms_norm_backward(job->dy + at, job->x + at, job->w, job->rstd[i], job->dx + at, sums, job->dim);
}

void tpo_cpu_rms_norm_backward(struct tpo_backend *be, const void *dy, const void *x, const float *w,
                               const float *rstd, void *dx, float *dw, int n, int dim)
{
  struct sums_job job = {
      .row = norm_row, .n = n, .dim = dim, .width = dim, .dy = dy, .x = x, .w = w, .rstd = rstd, .dx = dx};
  add_sums(&job, run_sums(be, &job), 0, dw, dim);
}

static void bias_row(const struct sums_job *job, int i, float *sums)
{
  job->simd->add(sums, job->dy + (size_t)i * (size_t)job->dim, 1.0f, job->dim);
}

void tpo_cpu_bias_backward(struct tpo_backend *be, const void *dy, float *dbias, int n, int dim)
{
  struct sums_job job = {.row = bias_row, .n = n, .dim = dim, .width = dim, .dy = dy};
  add_sums(&job, run_sums(be, &job), 0, dbias, dim);
}

/* Features that a norm of q, or of k, has weights for. */
static int normed_width(const struct sums_job *job, int heads)
{
  return (job->norm->whole ? heads : 1) * job->shape.head_dim;
}

static void qk_norm_row(const struct sums_job *job, int i, float *sums)
{
  size_t at = (size_t)i * (size_t)job->dim;
  int norms = tpo_cpu_qk_norms(job->norm, job->shape), keys = normed_width(job, job->shape.heads);
  for (int k = 0; k < norms; k++) {
    struct tpo_normed_heads h = tpo_cpu_normed_heads(job->norm, job->shape, k);
    job->simd->rms_norm_backward_in_place(job->dx + at + h.at, job->x + at + h.at, h.w,
                                          job->rstd[(size_t)i * (size_t)norms + (size_t)k],
                                          sums + (h.keys ? keys : 0), h.n);
  }
}

void tpo_cpu_qk_norm_backward(struct tpo_backend *be, void *dqkv, const void *raw,
                              const struct tpo_qk_norm *norm, const float *rstd, float *dq, float *dk,
                              struct tpo_attention_shape shape, int n)
{
  struct sums_job job = {.row = qk_norm_row,
                         .n = n,
                         .dim = (shape.heads + 2 * shape.kv_heads) * shape.head_dim,
                         .x = raw,
                         .rstd = rstd,
                         .dx = dqkv,
                         .norm = norm,
                         .shape = shape};
  int queries = normed_width(&job, shape.heads), keys = normed_width(&job, shape.kv_heads);
  job.width = queries + keys;
  int tasks = run_sums(be, &job);
  add_sums(&job, tasks, 0, dq, queries);
  add_sums(&job, tasks, queries, dk, keys);
}
