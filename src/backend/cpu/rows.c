/* Operations that go row by row: norms, rotary embedding, SwiGLU and GeGLU, picking rows. A task is a few
 * whole rows. */
#include <string.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/simd/table.h"

#define TASK_FLOATS 16384 /* about what is worth handing to another thread */

struct rows_job {
  struct tpo_cpu *cpu;
  const struct tpo_simd *simd;
  int n, rows_per_task, dim;
  void (*row)(const struct rows_job *job, int i);
  const float *x, *w, *dy;
  float *y, *rstd;
  float eps;
  const int32_t *index;
  const struct tpo_qk_norm *norm;
  struct tpo_attention_shape shape;
  bool inverse;
};

static void rows_task(void *arg, int task, int thread)
{
  (void)thread;
  const struct rows_job *job = arg;
  int first = task * job->rows_per_task;
  int end = job->n - first < job->rows_per_task ? job->n : first + job->rows_per_task;
  for (int i = first; i < end; i++) job->row(job, i);
}

static void run_rows(struct tpo_backend *be, struct rows_job *job, int floats_per_row)
{
  job->cpu = tpo_cpu(be);
  job->simd = tpo_simd(job->cpu);
  job->rows_per_task =
      floats_per_row < TASK_FLOATS ? TASK_FLOATS / (floats_per_row > 0 ? floats_per_row : 1) : 1;
  int tasks = job->n / job->rows_per_task + (job->n % job->rows_per_task != 0);
  tpo_pool_run(job->cpu->pool, tasks, rows_task, job);
}

static void norm_row(const struct rows_job *job, int i)
{
  size_t at = (size_t)i * (size_t)job->dim;
  float rstd = job->simd->rms_norm(job->x + at, job->w, job->y + at, job->dim, job->eps);
  if (job->rstd) job->rstd[i] = rstd;
}

void tpo_cpu_rms_norm(struct tpo_backend *be, const void *x, const float *w, void *y, float *rstd, int n,
                      int dim, float eps)
{
  struct rows_job job = {
      .n = n, .dim = dim, .row = norm_row, .x = x, .w = w, .y = y, .rstd = rstd, .eps = eps};
  run_rows(be, &job, dim);
}

void tpo_cpu_qk_norm_row(const struct tpo_simd *simd, const float *raw, float *qkv,
                         const struct tpo_qk_norm *norm, struct tpo_attention_shape s, float *rstd)
{
  int norms = tpo_cpu_qk_norms(norm, s);
  for (int k = 0; k < norms; k++) {
    struct tpo_normed_heads h = tpo_cpu_normed_heads(norm, s, k);
    float r = simd->rms_norm(raw + h.at, h.w, qkv + h.at, h.n, norm->eps);
    if (rstd) rstd[k] = r;
  }
  size_t v = (size_t)(s.heads + s.kv_heads) * (size_t)s.head_dim;
  if (raw != qkv) memcpy(qkv + v, raw + v, (size_t)s.kv_heads * (size_t)s.head_dim * sizeof *qkv);
}

static void qk_norm_row(const struct rows_job *job, int i)
{
  size_t at = (size_t)i * (size_t)job->dim;
  float *rstd = job->rstd ? job->rstd + (size_t)i * (size_t)tpo_cpu_qk_norms(job->norm, job->shape) : NULL;
  tpo_cpu_qk_norm_row(job->simd, job->x + at, job->y + at, job->norm, job->shape, rstd);
}

void tpo_cpu_qk_norm(struct tpo_backend *be, const void *raw, void *qkv, const struct tpo_qk_norm *norm,
                     float *rstd, struct tpo_attention_shape shape, int n)
{
  struct rows_job job = {.n = n,
                         .dim = (shape.heads + 2 * shape.kv_heads) * shape.head_dim,
                         .row = qk_norm_row,
                         .x = raw,
                         .y = qkv,
                         .rstd = rstd,
                         .norm = norm,
                         .shape = shape};
  run_rows(be, &job, job.dim);
}

static void rope_row(const struct rows_job *job, int i)
{
  size_t rotated = (size_t)tpo_rotated(job->shape);
  tpo_cpu_rope_row(job->simd, job->y + (size_t)i * (size_t)job->dim, job->x + (size_t)job->index[i] * rotated,
                   job->shape, job->inverse);
}

void tpo_cpu_rope(struct tpo_backend *be, void *qkv, const int32_t *pos, const float *cos_sin,
                  struct tpo_attention_shape shape, int n, bool inverse)
{
  struct rows_job job = {.n = n,
                         .dim = (shape.heads + 2 * shape.kv_heads) * shape.head_dim,
                         .row = rope_row,
                         .x = cos_sin,
                         .y = qkv,
                         .index = pos,
                         .shape = shape,
                         .inverse = inverse};
  run_rows(be, &job, job.dim);
}

static void swiglu_row(const struct rows_job *job, int i)
{
  size_t at = (size_t)i * (size_t)job->dim;
  job->simd->swiglu(job->x + 2 * at, job->y + at, job->dim);
}

void tpo_cpu_swiglu(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim)
{
  struct rows_job job = {.n = n, .dim = dim, .row = swiglu_row, .x = gate_up, .y = out};
  run_rows(be, &job, 4 * dim);
}

static void swiglu_backward_row(const struct rows_job *job, int i)
{
  size_t at = (size_t)i * (size_t)job->dim;
  job->simd->swiglu_backward(job->dy + at, job->x + 2 * at, job->y + 2 * at, job->dim);
}

void tpo_cpu_swiglu_backward(struct tpo_backend *be, const void *dout, const void *gate_up, void *dgate_up,
                             int n, int dim)
{
  struct rows_job job = {
      .n = n, .dim = dim, .row = swiglu_backward_row, .x = gate_up, .dy = dout, .y = dgate_up};
  run_rows(be, &job, 4 * dim);
}

static void geglu_row(const struct rows_job *job, int i)
{
  size_t at = (size_t)i * (size_t)job->dim;
  job->simd->geglu(job->x + 2 * at, job->y + at, job->dim);
}

void tpo_cpu_geglu(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim)
{
  struct rows_job job = {.n = n, .dim = dim, .row = geglu_row, .x = gate_up, .y = out};
  run_rows(be, &job, 4 * dim);
}

static void geglu_backward_row(const struct rows_job *job, int i)
{
  size_t at = (size_t)i * (size_t)job->dim;
  job->simd->geglu_backward(job->dy + at, job->x + 2 * at, job->y + 2 * at, job->dim);
}

void tpo_cpu_geglu_backward(struct tpo_backend *be, const void *dout, const void *gate_up, void *dgate_up,
                            int n, int dim)
{
  struct rows_job job = {
      .n = n, .dim = dim, .row = geglu_backward_row, .x = gate_up, .dy = dout, .y = dgate_up};
  run_rows(be, &job, 4 * dim);
}

static void gather_row(const struct rows_job *job, int i)
{
  size_t dim = (size_t)job->dim;
  memcpy(job->y + (size_t)i * dim, job->x + (size_t)job->index[i] * dim, dim * sizeof(float));
}

void tpo_cpu_gather_rows(struct tpo_backend *be, const void *x, const int32_t *index, void *out, int n,
                         int dim)
{
  struct rows_job job = {.n = n, .dim = dim, .row = gather_row, .x = x, .y = out, .index = index};
  run_rows(be, &job, dim);
}

static void clear_row(const struct rows_job *job, int i)
{
  memset(job->y + (size_t)i * (size_t)job->dim, 0, (size_t)job->dim * sizeof(float));
}

static void scatter_row(const struct rows_job *job, int i)
{
  size_t dim = (size_t)job->dim;
  memcpy(job->y + (size_t)job->index[i] * dim, job->x + (size_t)i * dim, dim * sizeof(float));
}

void tpo_cpu_scatter_rows(struct tpo_backend *be, const void *dout, const int32_t *index, void *dx, int n,
                          int n_total, int dim)
{
  struct rows_job job = {.n = n_total, .dim = dim, .row = clear_row, .y = dx};
  run_rows(be, &job, dim);
  job.n = n;
  job.row = scatter_row;
  job.x = dout;
  job.index = index;
  run_rows(be, &job, dim);
}
