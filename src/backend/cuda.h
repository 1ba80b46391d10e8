/* The CUDA backend's entry points for C (cuda/backend.cu); built with TPO_CUDA on or emulated. */
#ifndef TPO_BACKEND_CUDA_H
#define TPO_BACKEND_CUDA_H

#include "backend/ops.h"
#include "tpo/backend.h"

/* local_rank, local_size: of the ranks on this host; rank r uses GPU r. More ranks than GPUs is refused
 * unless TPO_CUDA_SHARE_GPU=1 is in the environment. */
int tpo_cuda_open(struct tpo_backend **out, int local_rank, int local_size, struct tpo_error *err);
/* "cuda (NVIDIA H100, 79 GiB, driver 580.159)", or why there is none: "cuda (no driver)". Never fails. */
const char *tpo_cuda_list(void);
/* GPUs that this process sees; 0 without a driver. */
int tpo_cuda_device_count(void);
/* From now on blocks take at most `bytes` of shared memory, as on a GPU that has no more; 0: what this one has. For
 * tests of what is chosen by it. */
void tpo_cuda_limit_shared(struct tpo_backend *be, size_t bytes);
/* Page-locked host memory, which kernels can read and write too:
 * lets one test serve both. NULL when short. */
void *tpo_cuda_host_alloc(size_t bytes);
void tpo_cuda_host_free(void *p);

/* What ops->training_scratch tells, without a GPU: logits and their gradients (a part of the vocabulary in fp32, all
 * of it in the activations' type: 545 MB with 128,256 entries), the workspace of products, and what attention
 * keeps of each row. */
static inline size_t tpo_cuda_training_scratch(const struct tpo_training_shape *shape)
{
  return ((size_t)640 << 20) + (size_t)shape->tokens * (size_t)shape->attention.heads * 2 * sizeof(float) +
         (size_t)(shape->tokens + shape->longest) * 64;
}

#endif
