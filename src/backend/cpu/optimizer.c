/* AdamW and sums over flat arrays, in stretches of fixed length whatever the number of threads. */
#include <math.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/simd/table.h"

#define STRETCH 32768 /* elements a task */

struct flat_job {
  const struct tpo_simd *simd;
  float *param, *m, *v;
  const float *x; /* gradients, or what is summed */
  size_t n;
  const struct tpo_adamw_args *args;
  double *partial; /* [tasks] */
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
  job->simd->adamw(job->param + at, job->x + at, job->m + at, job->v + at, stretch_length(job, at),
                   job->args);
}

void tpo_cpu_adamw(struct tpo_backend *be, float *param, const float *grad, float *m, float *v, size_t n,
                   const struct tpo_adamw_args *args)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  struct flat_job job = {tpo_simd(cpu), param, m, v, grad, n, args, NULL};
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
