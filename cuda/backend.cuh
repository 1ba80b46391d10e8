/* The CUDA backend's state, and what its files share. Every kernel family is a file of its own: formula,
 * parallelisation and bytes moved at the top, kernels, launchers at the bottom; ops.cuh declares the
 * launchers. */
#ifndef TPO_CUDA_BACKEND_CUH
#define TPO_CUDA_BACKEND_CUH

#include "portable.cuh"

#include <cublasLt.h>

extern "C" {
#include "backend/backend.h"
#include "backend/cuda.h"
}

/* Scratch memory on the device that is kept between calls, one buffer a purpose; an operation that calls
 * another must not share a slot with it. */
enum tpo_cuda_slot {
  TPO_CUDA_SLOT_LM_HEAD, /* lm_head: a chunk of logits and their gradients */
  TPO_CUDA_SLOT_PARTIAL, /* partial results of split reductions */
  TPO_CUDA_SLOT_OPS,     /* for the other operations */
  TPO_CUDA_SLOT_PAGED,   /* attention_paged: partial results */
  TPO_CUDA_SLOT_ROUNDED, /* products: fp32 activations or biases rounded to bf16 on their way into one */
  TPO_CUDA_SLOTS
};

struct tpo_cuda_scratch {
  void *data; /* 256-byte aligned, contents undefined */
  size_t bytes;
};

/* What a block can have of shared memory on every GPU from Ampere on, bytes; A100, H100 and B200 give more. */
#define TPO_CUDA_LEAST_SHARED (99 * 1024)

struct tpo_cuda_gemm;    /* gemm.cu: cublasLt handle, workspace, chosen algorithms */
struct tpo_cuda_paged;   /* attention_paged.cu: the plan of a pass */
struct tpo_cuda_record;  /* graph.cu: recorded graphs */
struct tpo_cuda_staging; /* memory.cu: page-locked buffers */

struct tpo_cuda {
  struct tpo_backend base;
  int device;
  int multiprocessors;
  size_t shared_limit; /* bytes a block may have after cudaFuncSetAttribute */
  cudaStream_t stream; /* all operations, in order */
  enum tpo_pass_kind pass;
  struct tpo_cuda_scratch slots[TPO_CUDA_SLOTS];
  struct tpo_cuda_gemm *gemm;
  struct tpo_cuda_paged *paged;
  struct tpo_cuda_record *record;
  struct tpo_cuda_staging *staging;
  struct tpo_error error; /* the first since the last check */
  bool stuck; /* an exchange that was aborted never ended: nothing may wait for the GPU any more */
};

static inline struct tpo_cuda *tpo_cuda_of(struct tpo_backend *be)
{
  return reinterpret_cast<struct tpo_cuda *>(be);
}

/* Remembers the first error for check(). */
void tpo_cuda_fail(struct tpo_cuda *cuda, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* True for cudaSuccess; otherwise remembers "WHAT: cuda's words" and gives false. */
bool tpo_cuda_ok(struct tpo_cuda *cuda, cudaError_t result, const char *what);
/* After a launch: remembers a failed launch as WHAT. */
void tpo_cuda_launched(struct tpo_cuda *cuda, const char *what);
/* The slot's buffer with room for at least `bytes`; NULL when memory is short (remembered for check), or when
 * it would have to grow while a graph is being recorded. */
void *tpo_cuda_scratch(struct tpo_cuda *cuda, enum tpo_cuda_slot slot, size_t bytes);

/* Host memory to the device through page-locked staging, in stream order; host_src may be reused at once. */
void tpo_cuda_upload(struct tpo_backend *be, void *dst, const void *host_src, size_t bytes);

/* Activations: float or __nv_bfloat16. */
template <class T> __device__ __forceinline__ float to_float(T x);
template <> __device__ __forceinline__ float to_float(float x)
{
  return x;
}
template <> __device__ __forceinline__ float to_float(__nv_bfloat16 x)
{
  return __bfloat162float(x);
}
template <class T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float(float x)
{
  return x;
}
template <> __device__ __forceinline__ __nv_bfloat16 from_float(float x)
{
  return __float2bfloat16_rn(x);
}

/* A logit under the LM head's soft cap; rounded, so that it has the same bits wherever it is made. */
__device__ __forceinline__ float tpo_soft_cap(float z, float cap)
{
  return __fmul_rn(cap, tanhf(z / cap));
}

/* 16 bytes of activations at a time, where pointers and row lengths allow. */
template <class T> struct alignas(16) tpo_pack {
  static constexpr int count = 16 / sizeof(T);
  T at[count];
};

static inline int tpo_ceil_div(int a, int b)
{
  return (a + b - 1) / b;
}

#endif
