/* The CUDA backend's collectives (cuda/nccl.cu). */
#ifndef TPO_BACKEND_CUDA_NCCL_H
#define TPO_BACKEND_CUDA_NCCL_H

#include "backend/collectives.h"

extern const struct tpo_collectives tpo_cuda_collectives;

#endif
