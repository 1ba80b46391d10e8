/* Emulated CUDA: the host meaning of ptx.cuh's instructions (their contracts stand there). */
#ifndef TPO_EMULATION_PTX_HOST_H
#define TPO_EMULATION_PTX_HOST_H

#include <tpo_emulation.h>

namespace tpo_emulation {
void mma_bf16(float *d, const uint32_t *a, const uint32_t *b, place at);
void load_matrices(uint32_t *r, const void *row, bool transposed, place at);
void copy_async(void *shared, const void *global, bool valid);
void copy_async_commit();
void copy_async_wait(int groups_left);
void counted_barrier(unsigned threads, place at);
} // namespace tpo_emulation

__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
  ::tpo_emulation::mma_bf16(d, a, b, {__FILE__, __LINE__});
}

__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void *shared_row)
{
  ::tpo_emulation::load_matrices(r, shared_row, false, {__FILE__, __LINE__});
}

__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void *shared_row)
{
  ::tpo_emulation::load_matrices(r, shared_row, true, {__FILE__, __LINE__});
}

__device__ __forceinline__ void cp_async_16(void *shared, const void *global, bool valid)
{
  ::tpo_emulation::copy_async(shared, global, valid);
}

__device__ __forceinline__ void cp_async_commit()
{
  ::tpo_emulation::copy_async_commit();
}

template <int N> __device__ __forceinline__ void cp_async_wait()
{
  ::tpo_emulation::copy_async_wait(N);
}

/* One place for all: here. */
template <int THREADS> __device__ __forceinline__ void block_barrier()
{
  ::tpo_emulation::counted_barrier(THREADS, {__FILE__, __LINE__});
}

__device__ __forceinline__ uint4 load_streaming(const uint4 *p)
{
  return *p;
}

__device__ __forceinline__ void store_streaming(uint4 *p, uint4 x)
{
  *p = x;
}

#endif
