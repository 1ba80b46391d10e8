/* What every backend begins with; a backend's own struct has this as its first member. */
#ifndef TPO_BACKEND_BACKEND_H
#define TPO_BACKEND_BACKEND_H

#include "backend/ops.h"

struct tpo_backend {
  const struct tpo_ops *ops; /* first: tpo_ops() reads it */
  void (*close)(struct tpo_backend *be);
  bool has_bf16; /* bf16 products are computed in bf16 arithmetic */
  char description[128];
};

#endif
