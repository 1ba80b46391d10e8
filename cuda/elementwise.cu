/* Flat arrays, element by element: y = base + scale x, y = x + by, and logits z that become cap tanh(z / cap).
 *
 * A thread owns a pack of 16 bytes, or the same elements one by one where an array is not 16-byte aligned or
 * ends inside the pack. Bytes moved per element: each input read and each output written once; the bound is
 * the memory's bandwidth. */
#include "ops.cuh"
#include "pack.cuh"

#include <math.h>

namespace {

enum { THREADS = 256 };

/* The thread's elements: [first, end) of n, fewer than a pack or whole. */
template <class T> struct stretch {
  size_t first;
  bool whole;

  __device__ __forceinline__ stretch(size_t n, bool aligned)
  {
    first = ((size_t)blockIdx.x * THREADS + threadIdx.x) * tpo_pack<T>::count;
    whole = aligned && first + tpo_pack<T>::count <= n;
  }
  __device__ __forceinline__ tpo_pack<T> load(const T *x, size_t n) const
  {
    if (whole) return *reinterpret_cast<const tpo_pack<T> *>(x + first);
    tpo_pack<T> pack;
#pragma unroll
    for (int i = 0; i < tpo_pack<T>::count; i++)
      pack.at[i] = first + i < n ? x[first + i] : from_float<T>(0.0f);
    return pack;
  }
  __device__ __forceinline__ void store(T *x, size_t n, const tpo_pack<T> &pack) const
  {
    if (whole) {
      *reinterpret_cast<tpo_pack<T> *>(x + first) = pack;
    } else {
#pragma unroll
      for (int i = 0; i < tpo_pack<T>::count; i++)
        if (first + i < n) x[first + i] = pack.at[i];
    }
  }
};

/* base and x may be y: a thread reads its own elements before it writes them, so nothing is __restrict__. */
template <class Act, bool BASE>
__global__ void __launch_bounds__(THREADS)
    scaled_sum(const Act *base, const Act *x, Act *y, float scale, size_t n, bool aligned)
{
  const stretch<Act> mine(n, aligned);
  tpo_pack<Act> sum = mine.load(x, n), from;
  if (BASE) from = mine.load(base, n);
#pragma unroll
  for (int i = 0; i < tpo_pack<Act>::count; i++) {
    float product = __fmul_rn(scale, to_float(sum.at[i]));
    sum.at[i] = from_float<Act>(BASE ? __fadd_rn(to_float(from.at[i]), product) : product);
  }
  mine.store(y, n, sum);
}

__global__ void __launch_bounds__(THREADS) shifted(const float *x, float *y, float by, size_t n, bool aligned)
{
  const stretch<float> mine(n, aligned);
  tpo_pack<float> sum = mine.load(x, n);
#pragma unroll
  for (int i = 0; i < tpo_pack<float>::count; i++) sum.at[i] += by;
  mine.store(y, n, sum);
}

__global__ void __launch_bounds__(THREADS) capped(float *z, float cap, size_t n, bool aligned)
{
  const stretch<float> mine(n, aligned);
  tpo_pack<float> values = mine.load(z, n);
#pragma unroll
  for (int i = 0; i < tpo_pack<float>::count; i++) values.at[i] = tpo_soft_cap(values.at[i], cap);
  mine.store(z, n, values);
}

dim3 blocks_for(size_t n, int each)
{
  size_t per_block = (size_t)THREADS * (size_t)each;
  return dim3((unsigned)((n + per_block - 1) / per_block));
}

} // namespace

template <class Act>
void tpo_cuda_add_scaled(struct tpo_backend *be, const void *base, const void *x, void *y, float scale,
                         size_t n)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n == 0) return;
  bool aligned = tpo_aligned_16(base) && tpo_aligned_16(x) && tpo_aligned_16(y);
  const Act *from = static_cast<const Act *>(base), *more = static_cast<const Act *>(x);
  dim3 blocks = blocks_for(n, tpo_pack<Act>::count);
  if (base)
    TPO_LAUNCH((scaled_sum<Act, true>), blocks, dim3(THREADS), 0, cuda->stream, from, more,
               static_cast<Act *>(y), scale, n, aligned);
  else
    TPO_LAUNCH((scaled_sum<Act, false>), blocks, dim3(THREADS), 0, cuda->stream, from, more,
               static_cast<Act *>(y), scale, n, aligned);
  tpo_cuda_launched(cuda, "add_scaled");
}

void tpo_cuda_shift(struct tpo_backend *be, const float *x, float *y, float by, size_t n)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n == 0) return;
  TPO_LAUNCH(shifted, blocks_for(n, tpo_pack<float>::count), dim3(THREADS), 0, cuda->stream, x, y, by, n,
             tpo_aligned_16(x) && tpo_aligned_16(y));
  tpo_cuda_launched(cuda, "shift");
}

void tpo_cuda_cap_logits(struct tpo_cuda *cuda, float *logits, float softcap, size_t n)
{
  if (n == 0) return;
  TPO_LAUNCH(capped, blocks_for(n, tpo_pack<float>::count), dim3(THREADS), 0, cuda->stream, logits, softcap,
             n, tpo_aligned_16(logits));
  tpo_cuda_launched(cuda, "lm_head_logits");
}

template void tpo_cuda_add_scaled<float>(struct tpo_backend *, const void *, const void *, void *, float,
                                         size_t);
template void tpo_cuda_add_scaled<__nv_bfloat16>(struct tpo_backend *, const void *, const void *, void *,
                                                 float, size_t);
