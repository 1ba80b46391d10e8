/* What every backend begins with; a backend's own struct has this as its first member. */
#ifndef TPO_BACKEND_BACKEND_H
#define TPO_BACKEND_BACKEND_H

#include "backend/collectives.h"
#include "backend/ops.h"

struct tpo_backend {
  const struct tpo_ops *ops;      /* first: tpo_ops() reads it */
  const struct tpo_ops *ops_bf16; /* second, for tpo_ops_for(): for models that compute in bf16; may be ops */
  void (*close)(struct tpo_backend *be);
  int sharers;   /* host backends: ranks that share the host's memory; 0: none but this one */
  bool has_bf16; /* bf16 products are computed in bf16 arithmetic */
  void *fetched[TPO_FETCH_SLOTS]; /* host backends: what fetch_begin noted */
  char description[128];
  char kernels[32];                          /* as tpo_backend_kernels gives it */
  const struct tpo_collectives *collectives; /* for tensors that MPI can't reach; NULL: host memory */
};

/* The plain implementation of every operation, for tests. */
int tpo_backend_open_reference(struct tpo_backend **out, struct tpo_error *err);

#endif
