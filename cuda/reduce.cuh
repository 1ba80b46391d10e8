/* Sums and maxima over a warp or a block, in a fixed order. All threads of the warp or block must call, and
 * all get the result. */
#ifndef TPO_CUDA_REDUCE_CUH
#define TPO_CUDA_REDUCE_CUH

#include "portable.cuh"

template <class T> __device__ __forceinline__ T warp_sum(T x)
{
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}

__device__ __forceinline__ float warp_max(float x)
{
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
  return x;
}

/* `scratch`: shared memory of THREADS / 32 elements. */
template <int THREADS, class T> __device__ __forceinline__ T block_sum(T x, T *scratch)
{
  constexpr int warps = THREADS / 32;
  x = warp_sum(x);
  if (warps == 1) return x;
  __syncthreads(); /* scratch may still be read from an earlier reduction */
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
  __syncthreads();
  T total = scratch[0];
#pragma unroll
  for (int w = 1; w < warps; w++) total += scratch[w];
  return total;
}

template <int THREADS> __device__ __forceinline__ float block_max(float x, float *scratch)
{
  constexpr int warps = THREADS / 32;
  x = warp_max(x);
  if (warps == 1) return x;
  __syncthreads();
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
  __syncthreads();
  float highest = scratch[0];
#pragma unroll
  for (int w = 1; w < warps; w++) highest = fmaxf(highest, scratch[w]);
  return highest;
}

#endif
