/* SwiGLU: out = silu(gate) up, silu(g) = g s, s = 1 / (1 + exp(-g)); backward: dup = dout gate s,
 * dgate = dout up s (1 + gate (1 - s)).
 *
 * A thread owns a pack of 16 bytes of a row and loads all of its 2 (backward: 3) inputs before the first use;
 * a block owns up to 256 packs next to each other. Bytes moved per element: 3 activations, backward 5, each
 * once; the bound is the memory's bandwidth. With bf16 the sigmoid uses the fast exponential and division
 * (errors near 2^-21, far below the 2^-8 of the result's rounding), because the exact ones take about as long
 * as the memory does. */
#include "ops.cuh"
#include "pack.cuh"

namespace {

enum { THREADS = 256 };

template <class Act> __device__ __forceinline__ float sigmoid(float x);
template <> __device__ __forceinline__ float sigmoid<float>(float x)
{
  return 1.0f / (1.0f + expf(-x));
}
template <> __device__ __forceinline__ float sigmoid<__nv_bfloat16>(float x)
{
  return __fdividef(1.0f, 1.0f + __expf(-x)); /* an infinite divisor gives 0 */
}

/* `parts` blocks a row. */
template <class Act>
__global__ void __launch_bounds__(THREADS)
    swiglu(const Act *__restrict__ gate_up, Act *__restrict__ out, int dim, unsigned parts, bool whole)
{
  size_t row = blockIdx.x / parts;
  int c = static_cast<int>((blockIdx.x % parts * blockDim.x + threadIdx.x) * tpo_pack<Act>::count);
  const Act *gate_row = gate_up + row * 2 * dim;
  tpo_pack<Act> gate = load_pack(gate_row, c, dim, whole), up = load_pack(gate_row + dim, c, dim, whole);
#pragma unroll
  for (int i = 0; i < tpo_pack<Act>::count; i++) {
    float g = to_float(gate.at[i]);
    up.at[i] = from_float<Act>(g * sigmoid<Act>(g) * to_float(up.at[i]));
  }
  store_pack(out + row * dim, c, dim, whole, up);
}

template <class Act>
__global__ void __launch_bounds__(THREADS)
    swiglu_backward(const Act *__restrict__ dout, const Act *__restrict__ gate_up, Act *__restrict__ dgate_up,
                    int dim, unsigned parts, bool whole)
{
  size_t row = blockIdx.x / parts;
  int c = static_cast<int>((blockIdx.x % parts * blockDim.x + threadIdx.x) * tpo_pack<Act>::count);
  const Act *gate_row = gate_up + row * 2 * dim;
  tpo_pack<Act> gate = load_pack(gate_row, c, dim, whole), up = load_pack(gate_row + dim, c, dim, whole);
  const tpo_pack<Act> d_out = load_pack(dout + row * dim, c, dim, whole);
#pragma unroll
  for (int i = 0; i < tpo_pack<Act>::count; i++) {
    float g = to_float(gate.at[i]), u = to_float(up.at[i]), d = to_float(d_out.at[i]);
    float s = sigmoid<Act>(g);
    up.at[i] = from_float<Act>(d * g * s);
    gate.at[i] = from_float<Act>(d * u * s * (1.0f + g * (1.0f - s)));
  }
  store_pack(dgate_up + row * 2 * dim, c, dim, whole, gate);
  store_pack(dgate_up + row * 2 * dim + dim, c, dim, whole, up);
}

struct shape {
  unsigned threads, parts;
};

/* Blocks no wider than a row needs; rows of many packs get several. */
template <class Act> shape shape_of(int dim)
{
  int packs = tpo_ceil_div(dim, tpo_pack<Act>::count);
  int threads = packs < THREADS ? tpo_ceil_div(packs, 32) * 32 : THREADS;
  return {static_cast<unsigned>(threads), static_cast<unsigned>(tpo_ceil_div(packs, threads))};
}

} // namespace

template <class Act>
void tpo_cuda_swiglu(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n == 0 || dim == 0) return;
  shape s = shape_of<Act>(dim);
  bool whole = tpo_whole_packs<Act>(gate_up, dim) && tpo_aligned_16(out);
  TPO_LAUNCH((swiglu<Act>), dim3((unsigned)n * s.parts), dim3(s.threads), 0, cuda->stream,
             static_cast<const Act *>(gate_up), static_cast<Act *>(out), dim, s.parts, whole);
  tpo_cuda_launched(cuda, "swiglu");
}

template <class Act>
void tpo_cuda_swiglu_backward(struct tpo_backend *be, const void *dout, const void *gate_up, void *dgate_up,
                              int n, int dim)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n == 0 || dim == 0) return;
  shape s = shape_of<Act>(dim);
  bool whole = tpo_whole_packs<Act>(gate_up, dim) && tpo_aligned_16(dout) && tpo_aligned_16(dgate_up);
  TPO_LAUNCH((swiglu_backward<Act>), dim3((unsigned)n * s.parts), dim3(s.threads), 0, cuda->stream,
             static_cast<const Act *>(dout), static_cast<const Act *>(gate_up), static_cast<Act *>(dgate_up),
             dim, s.parts, whole);
  tpo_cuda_launched(cuda, "swiglu_backward");
}

#define INSTANTIATE(Act)                                                                                     \
  template void tpo_cuda_swiglu<Act>(struct tpo_backend *, const void *, void *, int, int);                  \
  template void tpo_cuda_swiglu_backward<Act>(struct tpo_backend *, const void *, const void *, void *, int, \
                                              int);
INSTANTIATE(float)
INSTANTIATE(__nv_bfloat16)
