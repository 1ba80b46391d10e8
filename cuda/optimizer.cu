/* AdamW and the sum of squares over flat fp32 arrays.
 *
 * adamw: g = grad_scale grad; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
 * param -= lr (m / bias1 / (sqrt(v / bias2) + eps) + weight_decay param); weights = param, rounded.
 * A thread owns four elements and has its four 16-byte loads in flight at once. Bytes moved per element: 16
 * read, 12 written and 2 (bf16) or 4 for the weights, each once and past the caches; the bound is the
 * memory's bandwidth. No product is fused with a sum, so the bits are the reference's. Packs are laid so that
 * they are aligned in `param`; an array that lies otherwise is read and written element by element, with the
 * same arithmetic.
 *
 * sum_squares: a block adds up STRETCH elements in double precision, the last kernel the blocks' sums in
 * their order; 4 bytes read per element. The order depends on n alone. */
#include "base/shared_code.h"
#include "ops.cuh"
#include "pack.cuh"
#include "ptx.cuh"
#include "reduce.cuh"

#include <math.h>

namespace {

enum { THREADS = 256, EACH = 4, FINAL_THREADS = 512 };
constexpr size_t STRETCH = 32768;

struct floats {
  float at[EACH];
};

/* Elements k .. k + 3 of those in [0, n). */
__device__ __forceinline__ floats load(const float *__restrict__ x, ptrdiff_t k, ptrdiff_t n, bool aligned)
{
  floats f;
  if (aligned && k >= 0 && k + EACH <= n) {
    const uint4 bits = load_streaming(reinterpret_cast<const uint4 *>(x + k));
    f.at[0] = __uint_as_float(bits.x);
    f.at[1] = __uint_as_float(bits.y);
    f.at[2] = __uint_as_float(bits.z);
    f.at[3] = __uint_as_float(bits.w);
  } else {
#pragma unroll
    for (int i = 0; i < EACH; i++) f.at[i] = k + i >= 0 && k + i < n ? x[k + i] : 0.0f;
  }
  return f;
}

__device__ __forceinline__ void store(float *__restrict__ x, ptrdiff_t k, ptrdiff_t n, bool aligned,
                                      const floats &f)
{
  if (aligned && k >= 0 && k + EACH <= n) {
    store_streaming(reinterpret_cast<uint4 *>(x + k),
                    make_uint4(__float_as_uint(f.at[0]), __float_as_uint(f.at[1]), __float_as_uint(f.at[2]),
                               __float_as_uint(f.at[3])));
  } else {
#pragma unroll
    for (int i = 0; i < EACH; i++)
      if (k + i >= 0 && k + i < n) x[k + i] = f.at[i];
  }
}

__device__ __forceinline__ void store(__nv_bfloat16 *__restrict__ x, ptrdiff_t k, ptrdiff_t n, bool aligned,
                                      const floats &f)
{
  struct alignas(8) four {
    __nv_bfloat16 at[EACH];
  } rounded;
#pragma unroll
  for (int i = 0; i < EACH; i++) rounded.at[i] = __float2bfloat16_rn(f.at[i]);
  if (aligned && k >= 0 && k + EACH <= n) {
    *reinterpret_cast<four *>(x + k) = rounded;
  } else {
#pragma unroll
    for (int i = 0; i < EACH; i++)
      if (k + i >= 0 && k + i < n) x[k + i] = rounded.at[i];
  }
}

/* Which of the arrays have aligned packs, once these begin `shift` elements before the first element. */
struct layout {
  ptrdiff_t n;
  int shift;
  bool param, grad, m, v, weights;
};

template <class Weight>
__global__ void __launch_bounds__(THREADS)
    adamw(float *__restrict__ param, const float *__restrict__ grad, float *__restrict__ m,
          float *__restrict__ v, Weight *__restrict__ weights, layout at, tpo_adamw_args args)
{
  ptrdiff_t k = (static_cast<ptrdiff_t>(blockIdx.x) * THREADS + threadIdx.x) * EACH - at.shift;
  if (k >= at.n) return;
  floats p = load(param, k, at.n, at.param), g = load(grad, k, at.n, at.grad);
  floats m_k = load(m, k, at.n, at.m), v_k = load(v, k, at.n, at.v);
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    float scaled = g.at[i] * args.grad_scale, p_i = p.at[i];
    m_k.at[i] = TPO_PRODUCT(args.beta1, m_k.at[i]) + TPO_PRODUCT(1.0f - args.beta1, scaled);
    v_k.at[i] =
        TPO_PRODUCT(args.beta2, v_k.at[i]) + TPO_PRODUCT(TPO_PRODUCT(1.0f - args.beta2, scaled), scaled);
    float step = (m_k.at[i] / args.bias1) / (sqrtf(v_k.at[i] / args.bias2) + args.eps);
    p.at[i] = p_i - TPO_PRODUCT(args.lr, step + TPO_PRODUCT(args.weight_decay, p_i));
  }
  store(param, k, at.n, at.param, p);
  store(m, k, at.n, at.m, m_k);
  store(v, k, at.n, at.v, v_k);
  if (weights) store(weights, k, at.n, at.weights, p);
}

bool aligned(const void *p, int shift, size_t size)
{
  return (reinterpret_cast<uintptr_t>(p) - static_cast<size_t>(shift) * size) % (EACH * size) == 0;
}

template <class Weight>
void launch_adamw(struct tpo_cuda *cuda, float *param, const float *grad, float *m, float *v, Weight *weights,
                  size_t n, const struct tpo_adamw_args *args)
{
  int shift = static_cast<int>(reinterpret_cast<uintptr_t>(param) % 16 / sizeof(float));
  const layout at = {static_cast<ptrdiff_t>(n),
                     shift,
                     aligned(param, shift, sizeof(float)),
                     aligned(grad, shift, sizeof(float)),
                     aligned(m, shift, sizeof(float)),
                     aligned(v, shift, sizeof(float)),
                     aligned(weights, shift, sizeof(Weight))};
  size_t a_block = static_cast<size_t>(THREADS) * EACH;
  size_t blocks = (n + static_cast<size_t>(shift) + a_block - 1) / a_block;
  TPO_LAUNCH((adamw<Weight>), dim3(static_cast<unsigned>(blocks)), dim3(THREADS), 0, cuda->stream, param,
             grad, m, v, weights, at, *args);
  tpo_cuda_launched(cuda, "adamw");
}

__global__ void __launch_bounds__(THREADS)
    sum_squares(const float *__restrict__ x, double *__restrict__ partial, size_t n, bool aligned)
{
  TPO_SHARED(double, scratch, THREADS / 32);
  size_t first = static_cast<size_t>(blockIdx.x) * STRETCH;
  ptrdiff_t length = static_cast<ptrdiff_t>(n - first < STRETCH ? n - first : STRETCH);
  double sum = 0;
#pragma unroll 8
  for (ptrdiff_t k = threadIdx.x * EACH; k < length; k += THREADS * EACH) {
    const floats f = load(x + first, k, length, aligned);
#pragma unroll
    for (int i = 0; i < EACH; i++) sum = fma(static_cast<double>(f.at[i]), static_cast<double>(f.at[i]), sum);
  }
  sum = block_sum<THREADS>(sum, scratch);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(FINAL_THREADS)
    sum_partial(const double *__restrict__ partial, double *__restrict__ out, size_t n)
{
  TPO_SHARED(double, scratch, FINAL_THREADS / 32);
  double sum = 0;
  for (size_t i = threadIdx.x; i < n; i += FINAL_THREADS) sum += partial[i];
  sum = block_sum<FINAL_THREADS>(sum, scratch);
  if (threadIdx.x == 0) *out = sum;
}

} // namespace

void tpo_cuda_adamw(struct tpo_backend *be, float *param, const float *grad, float *m, float *v, size_t n,
                    const struct tpo_adamw_args *args, void *weights, enum tpo_dtype weights_dtype)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n == 0) return;
  if (weights && weights_dtype == TPO_BF16)
    launch_adamw(cuda, param, grad, m, v, static_cast<__nv_bfloat16 *>(weights), n, args);
  else
    launch_adamw(cuda, param, grad, m, v, static_cast<float *>(weights), n, args);
}

double tpo_cuda_sum_squares(struct tpo_backend *be, const float *x, size_t n)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n == 0) return 0;
  size_t blocks = (n + STRETCH - 1) / STRETCH;
  double *partial =
      static_cast<double *>(tpo_cuda_scratch(cuda, TPO_CUDA_SLOT_PARTIAL, (blocks + 1) * sizeof(double)));
  double sum = NAN;
  if (!partial) return sum;
  TPO_LAUNCH(sum_squares, dim3(static_cast<unsigned>(blocks)), dim3(THREADS), 0, cuda->stream, x, partial + 1,
             n, tpo_aligned_16(x));
  TPO_LAUNCH(sum_partial, dim3(1), dim3(FINAL_THREADS), 0, cuda->stream, partial + 1, partial, blocks);
  tpo_cuda_launched(cuda, "sum_squares");
  tpo_cuda_download(be, &sum, partial, sizeof sum);
  return sum;
}
