/* AdamW, sums, scaled sums and blocks of ggml over flat arrays, in stretches of fixed length whatever the
 * number of threads. */
#include <math.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/simd/table.h"
#include "base/ggml_blocks.h"

#define STRETCH 32768 /* elements a task; a whole number of any type's blocks */

struct flat_job {
  const struct tpo_simd *simd;
  float *param, *m, *v;
  const float *x; /* gradients, or what is summed */
  size_t n;
  const struct tpo_adamw_args *args;
  double *partial; /* [tasks] */
  void *weights;   /* copy of the parameters as weights_dtype, or NULL */
  enum tpo_dtype weights_dtype;
};

static size_t stretch_length(const struct flat_job *job, size_t at)
{
  return job->n - at < STRETCH ? job->n - at : STRETCH;
}

static void adamw_task(void *arg, int task, int thread)
{
  (void)thread;
  const struct flat_job *job = arg;
  size_t at = (size_t)task * STRETCH;
  size_t n = stretch_length(job, at);
  job->simd->adamw(job->param + at, job->x + at, job->m + at, job->v + at, n, job->args);
  if (job->weights)
    tpo_convert((char *)job->weights + at * tpo_dtype_size(job->weights_dtype), job->weights_dtype,
                job->param + at, TPO_F32, n);
}

void tpo_cpu_adamw(struct tpo_backend *be, float *param, const float *grad, float *m, float *v, size_t n,
                   const struct tpo_adamw_args *args, void *weights, enum tpo_dtype weights_dtype)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  struct flat_job job = {tpo_simd(cpu), param, m, v, grad, n, args, NULL, weights, weights_dtype};
  tpo_pool_run(cpu->pool, (int)((n + STRETCH - 1) / STRETCH), adamw_task, &job);
}

static void sum_squares_task(void *arg, int task, int thread)
{
  (void)thread;
  const struct flat_job *job = arg;
  size_t at = (size_t)task * STRETCH;
  job->partial[task] = job->simd->sum_squares(job->x + at, stretch_length(job, at));
}

/* Each stretch is summed by itself, then the stretches in order. */
double tpo_cpu_sum_squares(struct tpo_backend *be, const float *x, size_t n)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  size_t tasks = (n + STRETCH - 1) / STRETCH;
  double *partial = tpo_cpu_scratch(cpu, TPO_CPU_SLOT_OPS, tasks * sizeof(double));
  if (!partial) return NAN;
  struct flat_job job = {.simd = tpo_simd(cpu), .x = x, .n = n, .partial = partial};
  tpo_pool_run(cpu->pool, (int)tasks, sum_squares_task, &job);
  double sum = 0;
  for (size_t task = 0; task < tasks; task++) sum += partial[task];
  return sum;
}

struct blocks_job {
  const uint8_t *raw;
  uint32_t type;
  float *out;
  size_t n;
};

static void dequantise_task(void *arg, int task, int thread)
{
  (void)thread;
  const struct blocks_job *job = arg;
  const struct tpo_ggml_block *block = tpo_ggml_find_block(job->type);
  size_t at = (size_t)task * STRETCH, n = job->n - at < STRETCH ? job->n - at : STRETCH;
  tpo_ggml_dequantise(job->type, job->raw + at / block->elements * block->bytes, job->out + at, n);
}

void tpo_cpu_dequantise(struct tpo_backend *be, const void *raw, uint32_t ggml_type, float *out, size_t n)
{
  struct blocks_job job = {raw, ggml_type, out, n};
  tpo_pool_run(tpo_cpu(be)->pool, (int)((n + STRETCH - 1) / STRETCH), dequantise_task, &job);
}

struct scale_job {
  const struct tpo_simd *simd;
  const float *base, *x;
  float *y, by;
  size_t n;
};

static void add_scaled_task(void *arg, int task, int thread)
{
  (void)thread;
  const struct scale_job *job = arg;
  size_t at = (size_t)task * STRETCH, n = job->n - at < STRETCH ? job->n - at : STRETCH;
  job->simd->add_scaled(job->base ? job->base + at : NULL, job->x + at, job->y + at, job->by, n);
}

void tpo_cpu_add_scaled(struct tpo_backend *be, const void *base, const void *x, void *y, float scale,
                        size_t n)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  struct scale_job job = {tpo_simd(cpu), base, x, y, scale, n};
  tpo_pool_run(cpu->pool, (int)((n + STRETCH - 1) / STRETCH), add_scaled_task, &job);
}

/* Of a norm's weights: too few for more than one thread. */
void tpo_cpu_shift(struct tpo_backend *be, const float *x, float *y, float by, size_t n)
{
  tpo_simd(tpo_cpu(be))->shift(x, y, by, n);
}
