/* Element types into one another: out[i] = in[i], to nearest even. A thread takes 8 elements where both
 * arrays are 16-byte aligned, so that every access is of 16 bytes or more; bytes moved: one read, one write;
 * the bound is the memory's bandwidth. */
#include "ops.cuh"

extern "C" {
#include "base/ggml_blocks.h"
}

namespace {

struct half_bits {
  uint16_t bits;
};

__device__ __forceinline__ float widen(float x)
{
  return x;
}
__device__ __forceinline__ float widen(__nv_bfloat16 x)
{
  return __bfloat162float(x);
}
__device__ __forceinline__ float widen(half_bits x)
{
  return tpo_ggml_f16(x.bits);
}

enum { THREADS = 256, EACH = 8 };

template <class Out, class In>
__global__ void __launch_bounds__(THREADS)
    convert(Out *__restrict__ out, const In *__restrict__ in, size_t n, bool aligned)
{
  size_t first = ((size_t)blockIdx.x * THREADS + threadIdx.x) * EACH;
  if (aligned && first + EACH <= n) {
    struct alignas(16) source {
      In at[EACH];
    };
    struct alignas(16) target {
      Out at[EACH];
    } result;
    const source from = *reinterpret_cast<const source *>(in + first);
#pragma unroll
    for (int i = 0; i < EACH; i++) result.at[i] = from_float<Out>(widen(from.at[i]));
    *reinterpret_cast<target *>(out + first) = result;
    return;
  }
  for (size_t i = first; i < first + EACH && i < n; i++) out[i] = from_float<Out>(widen(in[i]));
}

template <class Out, class In> void launch(struct tpo_cuda *cuda, void *out, const void *in, size_t n)
{
  size_t blocks = (n + (size_t)THREADS * EACH - 1) / ((size_t)THREADS * EACH);
  bool aligned = ((uintptr_t)out | (uintptr_t)in) % 16 == 0;
  TPO_LAUNCH((convert<Out, In>), dim3((unsigned)blocks), dim3(THREADS), 0, cuda->stream,
             static_cast<Out *>(out), static_cast<const In *>(in), n, aligned);
  tpo_cuda_launched(cuda, "convert");
}

} // namespace

void tpo_cuda_convert(struct tpo_cuda *cuda, void *out, enum tpo_dtype out_dtype, const void *in,
                      enum tpo_dtype in_dtype, size_t n)
{
  if (n == 0) return;
  if (out_dtype == in_dtype) {
    tpo_cuda_copy(&cuda->base, out, in, n * tpo_dtype_size(in_dtype));
  } else if (out_dtype == TPO_F32) {
    if (in_dtype == TPO_BF16)
      launch<float, __nv_bfloat16>(cuda, out, in, n);
    else
      launch<float, half_bits>(cuda, out, in, n);
  } else if (out_dtype == TPO_BF16) {
    if (in_dtype == TPO_F32)
      launch<__nv_bfloat16, float>(cuda, out, in, n);
    else
      launch<__nv_bfloat16, half_bits>(cuda, out, in, n);
  } else {
    tpo_cuda_fail(cuda, TPO_E_UNSUPPORTED, "nothing is stored as fp16");
  }
}
