/* The kernels that are measured. */
#ifndef TPO_BENCH_GPU_JOBS_H
#define TPO_BENCH_GPU_JOBS_H

#include "harness.h"

struct kernel {
  const char *name, *group; /* group "generation": few rows, the paged pass */
  double tolerance;         /* of job_difference at the small sizes */
  void (*make)(struct job *job, int which);
  void (*call)(struct job *job);
  void (*finish)(struct job *job); /* before outputs are compared; may be NULL */
  int which;                       /* variant: a matrix, a format */
};

extern const struct kernel bench_kernels[];
extern const int bench_n_kernels;
/* families.c: what Llama has not. */
extern const struct kernel bench_family_kernels[];
extern const int bench_n_family_kernels;

#endif
