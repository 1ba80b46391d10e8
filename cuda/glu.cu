/* Gated units: out = f(gate) up, where f(g) = g s(v), s(v) = 1 / (1 + exp(-v)):
 *   SwiGLU: v = g. Backward: dup = dout gate s, dgate = dout up s (1 + gate (1 - s)).
 *   GeGLU: v = 2 sqrt(2/pi) (g + 0.044715 g^3), since (1 + tanh(u)) / 2 = s(2u). Backward:
 *   dup = dout gate s, dgate = dout up (s + gate s (1 - s) dv/dg).
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

/* What the gate's function puts into the sigmoid, and the function's slope where the sigmoid is s. */
struct silu {
  static __device__ __forceinline__ float inner(float g) { return g; }
  static __device__ __forceinline__ float slope(float g, float s) { return s * (1.0f + g * (1.0f - s)); }
};
struct gelu {
  static constexpr float SCALE = 1.5957691216057308f, CUBE = 0.044715f; /* 2 sqrt(2/pi) */
  static __device__ __forceinline__ float inner(float g) { return SCALE * g * (1.0f + CUBE * g * g); }
  static __device__ __forceinline__ float slope(float g, float s)
  {
    return s + s * (1.0f - s) * g * (SCALE + 3.0f * SCALE * CUBE * g * g);
  }
};

/* `parts` blocks a row. */
template <class Gate, class Act>
__global__ void __launch_bounds__(THREADS)
    glu(const Act *__restrict__ gate_up, Act *__restrict__ out, int dim, unsigned parts, bool whole)
{
  size_t row = blockIdx.x / parts;
  int c = static_cast<int>((blockIdx.x % parts * blockDim.x + threadIdx.x) * tpo_pack<Act>::count);
  const Act *gate_row = gate_up + row * 2 * dim;
  tpo_pack<Act> gate = load_pack(gate_row, c, dim, whole), up = load_pack(gate_row + dim, c, dim, whole);
#pragma unroll
  for (int i = 0; i < tpo_pack<Act>::count; i++) {
    float g = to_float(gate.at[i]);
    up.at[i] = from_float<Act>(g * sigmoid<Act>(Gate::inner(g)) * to_float(up.at[i]));
  }
  store_pack(out + row * dim, c, dim, whole, up);
}

template <class Gate, class Act>
__global__ void __launch_bounds__(THREADS)
    glu_backward(const Act *__restrict__ dout, const Act *__restrict__ gate_up, Act *__restrict__ dgate_up,
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
    float s = sigmoid<Act>(Gate::inner(g));
    up.at[i] = from_float<Act>(d * g * s);
    gate.at[i] = from_float<Act>(d * u * Gate::slope(g, s));
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

template <class Gate, class Act>
void forward(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim, const char *what)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n == 0 || dim == 0) return;
  shape s = shape_of<Act>(dim);
  bool whole = tpo_whole_packs<Act>(gate_up, dim) && tpo_aligned_16(out);
  TPO_LAUNCH((glu<Gate, Act>), dim3((unsigned)n * s.parts), dim3(s.threads), 0, cuda->stream,
             static_cast<const Act *>(gate_up), static_cast<Act *>(out), dim, s.parts, whole);
  tpo_cuda_launched(cuda, what);
}

template <class Gate, class Act>
void backward(struct tpo_backend *be, const void *dout, const void *gate_up, void *dgate_up, int n, int dim,
              const char *what)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n == 0 || dim == 0) return;
  shape s = shape_of<Act>(dim);
  bool whole = tpo_whole_packs<Act>(gate_up, dim) && tpo_aligned_16(dout) && tpo_aligned_16(dgate_up);
  TPO_LAUNCH((glu_backward<Gate, Act>), dim3((unsigned)n * s.parts), dim3(s.threads), 0, cuda->stream,
             static_cast<const Act *>(dout), static_cast<const Act *>(gate_up), static_cast<Act *>(dgate_up),
             dim, s.parts, whole);
  tpo_cuda_launched(cuda, what);
}

} // namespace

template <class Act>
void tpo_cuda_swiglu(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim)
{
  forward<silu, Act>(be, gate_up, out, n, dim, "swiglu");
}

template <class Act>
void tpo_cuda_swiglu_backward(struct tpo_backend *be, const void *dout, const void *gate_up, void *dgate_up,
                              int n, int dim)
{
  backward<silu, Act>(be, dout, gate_up, dgate_up, n, dim, "swiglu_backward");
}

template <class Act>
void tpo_cuda_geglu(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim)
{
  forward<gelu, Act>(be, gate_up, out, n, dim, "geglu");
}

template <class Act>
void tpo_cuda_geglu_backward(struct tpo_backend *be, const void *dout, const void *gate_up, void *dgate_up,
                             int n, int dim)
{
  backward<gelu, Act>(be, dout, gate_up, dgate_up, n, dim, "geglu_backward");
}

#define INSTANTIATE(Act)                                                                                     \
  template void tpo_cuda_swiglu<Act>(struct tpo_backend *, const void *, void *, int, int);                  \
  template void tpo_cuda_swiglu_backward<Act>(struct tpo_backend *, const void *, const void *, void *, int, \
                                              int);                                                          \
  template void tpo_cuda_geglu<Act>(struct tpo_backend *, const void *, void *, int, int);                   \
  template void tpo_cuda_geglu_backward<Act>(struct tpo_backend *, const void *, const void *, void *, int,  \
                                             int);
INSTANTIATE(float)
INSTANTIATE(__nv_bfloat16)
