/* RMSNorm: rstd = 1 / sqrt(mean(x^2) + eps), y = x rstd w. Backward, with g = dy w:
 * dx += rstd (g - x rstd^2 mean(g x)), dw += sum over rows of dy x rstd.
 *
 * A row of up to 1024 elements belongs to a warp, one of up to 8192 to a block; each of the GROUP threads
 * keeps up to EACH elements of it in registers, in packs of 16 bytes, so that the row is read once. Rows that
 * are longer, not aligned, or not made of whole packs belong to a block that reads them twice (the kernels
 * named _any). Bytes moved per element: 2 activations forward, 4 backward, each once (w comes from the L1
 * cache); the bound is the memory's bandwidth.
 *
 * dw in two stages: a group takes rows by a fixed stride and keeps its share of the sum in
 * registers, a block leaves one partial row of [dim], and a second kernel (columns.cu) adds these up in their
 * order. There are at most two blocks for each multiprocessor, so the partial rows are some percent
 * of the traffic for 4096 rows and more. */
#include "ops.cuh"
#include "pack.cuh"
#include "reduce.cuh"

namespace {

enum { THREADS = 256, LONGEST = 8192 };

/* One thread's share of a row: packs lane, lane + GROUP, ... */
template <class Act, int GROUP, int EACH> struct share {
  static constexpr int COUNT = tpo_pack<Act>::count, PACKS = EACH / COUNT;
  tpo_pack<Act> packs[PACKS];

  __device__ __forceinline__ static int first(int k)
  {
    return (k * GROUP + static_cast<int>(threadIdx.x % GROUP)) * COUNT;
  }
  __device__ __forceinline__ void load(const Act *__restrict__ row, int dim)
  {
#pragma unroll
    for (int k = 0; k < PACKS; k++) packs[k] = load_whole_pack(row, first(k), dim);
  }
  __device__ __forceinline__ void store(Act *__restrict__ row, int dim) const
  {
#pragma unroll
    for (int k = 0; k < PACKS; k++) store_pack(row, first(k), dim, true, packs[k]);
  }
};

template <int GROUP> __device__ __forceinline__ float group_sum(float x, float *scratch)
{
  if (GROUP != 32) return block_sum<THREADS>(x, scratch);
  __syncwarp();
  return warp_sum(x);
}

template <class Act, int GROUP, int EACH>
__global__ void __launch_bounds__(THREADS)
    norm(const Act *__restrict__ x, const float *__restrict__ w, Act *__restrict__ y,
         float *__restrict__ rstd, int n, int dim, float eps)
{
  using part = share<Act, GROUP, EACH>;
  TPO_SHARED(float, scratch, THREADS / 32);
  int row = static_cast<int>(blockIdx.x) * (THREADS / GROUP) + static_cast<int>(threadIdx.x) / GROUP;
  if (row >= n) return; /* whole warps; with a block a row there are no such rows */
  part v;
  v.load(x + static_cast<size_t>(row) * dim, dim);
  float squares = 0;
#pragma unroll
  for (int k = 0; k < part::PACKS; k++)
#pragma unroll
    for (int i = 0; i < part::COUNT; i++) {
      float value = to_float(v.packs[k].at[i]);
      squares += value * value;
    }
  squares = group_sum<GROUP>(squares, scratch);
  float r = 1.0f / sqrtf(squares / static_cast<float>(dim) + eps);
#pragma unroll
  for (int k = 0; k < part::PACKS; k++) {
    tpo_weights<part::COUNT> weight;
    weight.load(w, part::first(k), dim);
#pragma unroll
    for (int i = 0; i < part::COUNT; i++)
      v.packs[k].at[i] = from_float<Act>(to_float(v.packs[k].at[i]) * r * weight.at[i]);
  }
  v.store(y + static_cast<size_t>(row) * dim, dim);
  if (rstd && threadIdx.x % GROUP == 0) rstd[row] = r;
}

template <class Act>
__global__ void __launch_bounds__(THREADS)
    norm_any(const Act *__restrict__ x, const float *__restrict__ w, Act *__restrict__ y,
             float *__restrict__ rstd, int dim, float eps)
{
  TPO_SHARED(float, scratch, THREADS / 32);
  size_t row = blockIdx.x;
  const Act *from = x + row * dim;
  Act *to = y + row * dim;
  float squares = 0;
  for (int c = threadIdx.x; c < dim; c += THREADS) squares += to_float(from[c]) * to_float(from[c]);
  squares = block_sum<THREADS>(squares, scratch);
  float r = 1.0f / sqrtf(squares / static_cast<float>(dim) + eps);
  for (int c = threadIdx.x; c < dim; c += THREADS) to[c] = from_float<Act>(to_float(from[c]) * r * w[c]);
  if (rstd && threadIdx.x == 0) rstd[row] = r;
}

/* Of the block's warps, in their order: what each keeps in `sum`. With a block a row there is one share. */
template <class Act, int GROUP, int EACH>
__device__ __forceinline__ void leave_partial(const float (&sum)[EACH], float *__restrict__ partial, int dim,
                                              float *shared)
{
  using part = share<Act, GROUP, EACH>;
  if (GROUP == 32) {
    for (int group = 0; group < THREADS / 32; group++) {
      if (static_cast<int>(threadIdx.x) / 32 == group)
#pragma unroll
        for (int k = 0; k < EACH; k++) {
          int c = part::first(k / part::COUNT) + k % part::COUNT;
          shared[c] = group == 0 ? sum[k] : shared[c] + sum[k];
        }
      __syncthreads();
    }
    for (int c = threadIdx.x; c < dim; c += THREADS) partial[c] = shared[c];
  } else {
#pragma unroll
    for (int k = 0; k < EACH; k++) {
      int c = part::first(k / part::COUNT) + k % part::COUNT;
      if (c < dim) partial[c] = sum[k];
    }
  }
}

/* w may be loaded again after the sum rather than kept in registers, so it is not __restrict__. */
template <class Act, int GROUP, int EACH>
__global__ void __launch_bounds__(THREADS, EACH * sizeof(Act) <= 48 ? 2 : 1)
    norm_backward(const Act *__restrict__ dy, const Act *__restrict__ x, const float *w,
                  const float *__restrict__ rstd, Act *__restrict__ dx, float *__restrict__ partial, int n,
                  int dim)
{
  using part = share<Act, GROUP, EACH>;
  constexpr int ROWS = THREADS / GROUP;
  TPO_SHARED(float, scratch, THREADS / 32);
  TPO_SHARED(float, shared, GROUP == 32 ? 32 * EACH : 1);
  float sum[EACH] = {0};
  for (int row = static_cast<int>(blockIdx.x) * ROWS + static_cast<int>(threadIdx.x) / GROUP; row < n;
       row += static_cast<int>(gridDim.x) * ROWS) {
    size_t at = static_cast<size_t>(row) * dim;
    part d, v, to;
    d.load(dy + at, dim);
    v.load(x + at, dim);
    to.load(dx + at, dim);
    float r = rstd[row], mean = 0;
#pragma unroll
    for (int k = 0; k < part::PACKS; k++) {
      tpo_weights<part::COUNT> weight;
      weight.load(w, part::first(k), dim);
#pragma unroll
      for (int i = 0; i < part::COUNT; i++)
        mean += to_float(d.packs[k].at[i]) * weight.at[i] * to_float(v.packs[k].at[i]);
    }
    mean = group_sum<GROUP>(mean, scratch) / static_cast<float>(dim);
    float factor = r * r * r * mean;
#pragma unroll
    for (int k = 0; k < part::PACKS; k++) {
      tpo_weights<part::COUNT> weight;
      weight.load(w, part::first(k), dim);
#pragma unroll
      for (int i = 0; i < part::COUNT; i++) {
        float d_i = to_float(d.packs[k].at[i]), x_i = to_float(v.packs[k].at[i]);
        float change = d_i * weight.at[i] * r - x_i * factor;
        to.packs[k].at[i] = from_float<Act>(to_float(to.packs[k].at[i]) + change);
        sum[k * part::COUNT + i] += d_i * (x_i * r);
      }
    }
    to.store(dx + at, dim);
  }
  leave_partial<Act, GROUP, EACH>(sum, partial + static_cast<size_t>(blockIdx.x) * dim, dim, shared);
}

template <class Act>
__global__ void __launch_bounds__(THREADS)
    norm_backward_any(const Act *__restrict__ dy, const Act *__restrict__ x, const float *__restrict__ w,
                      const float *__restrict__ rstd, Act *__restrict__ dx, int dim)
{
  TPO_SHARED(float, scratch, THREADS / 32);
  size_t row = blockIdx.x, at = row * dim;
  float r = rstd[row], mean = 0;
  for (int c = threadIdx.x; c < dim; c += THREADS) mean += to_float(dy[at + c]) * w[c] * to_float(x[at + c]);
  mean = block_sum<THREADS>(mean, scratch) / static_cast<float>(dim);
  float factor = r * r * r * mean;
  for (int c = threadIdx.x; c < dim; c += THREADS) {
    float change = to_float(dy[at + c]) * w[c] * r - to_float(x[at + c]) * factor;
    dx[at + c] = from_float<Act>(to_float(dx[at + c]) + change);
  }
}

/* The partial rows of dw for rows of any kind: a thread owns a column of every gridDim.y-th row. */
template <class Act>
__global__ void __launch_bounds__(THREADS)
    weight_gradient_any(const Act *__restrict__ dy, const Act *__restrict__ x, const float *__restrict__ rstd,
                        float *__restrict__ partial, int n, int dim)
{
  int c = static_cast<int>(blockIdx.x) * THREADS + static_cast<int>(threadIdx.x);
  if (c >= dim) return;
  float sum = 0;
#pragma unroll 4
  for (int row = blockIdx.y; row < n; row += static_cast<int>(gridDim.y)) {
    size_t at = static_cast<size_t>(row) * dim + c;
    sum += to_float(dy[at]) * (to_float(x[at]) * rstd[row]);
  }
  partial[static_cast<size_t>(blockIdx.y) * dim + c] = sum;
}

template <class Act, int GROUP, int EACH>
void launch_norm(struct tpo_cuda *cuda, const Act *x, const float *w, Act *y, float *rstd, int n, int dim,
                 float eps)
{
  TPO_LAUNCH((norm<Act, GROUP, EACH>), dim3(static_cast<unsigned>(tpo_ceil_div(n, THREADS / GROUP))),
             dim3(THREADS), 0, cuda->stream, x, w, y, rstd, n, dim, eps);
}

/* What one backward call works on. */
template <class Act> struct backward {
  const Act *dy, *x;
  const float *w, *rstd;
  Act *dx;
  int n, dim, partials;
  float *partial; // [partials, dim]
};

template <class Act, int GROUP, int EACH> void launch_backward(struct tpo_cuda *cuda, const backward<Act> &b)
{
  TPO_LAUNCH((norm_backward<Act, GROUP, EACH>), dim3(static_cast<unsigned>(b.partials)), dim3(THREADS), 0,
             cuda->stream, b.dy, b.x, b.w, b.rstd, b.dx, b.partial, b.n, b.dim);
}

template <class Act> void launch_backward_any(struct tpo_cuda *cuda, const backward<Act> &b)
{
  TPO_LAUNCH(norm_backward_any<Act>, dim3(static_cast<unsigned>(b.n)), dim3(THREADS), 0, cuda->stream, b.dy,
             b.x, b.w, b.rstd, b.dx, b.dim);
  dim3 grid(static_cast<unsigned>(tpo_ceil_div(b.dim, THREADS)), static_cast<unsigned>(b.partials));
  TPO_LAUNCH(weight_gradient_any<Act>, grid, dim3(THREADS), 0, cuda->stream, b.dy, b.x, b.rstd, b.partial,
             b.n, b.dim);
}

/* How many partial rows of dw there are at most. */
int most_partials(const struct tpo_cuda *cuda, bool whole)
{
  return !whole ? 64 : 2 * cuda->multiprocessors;
}

/* How many there are: blocks of the kernel, or stretches of rows for rows of any kind. */
int partials_of(const struct tpo_cuda *cuda, int n, int dim, bool whole)
{
  int rows = !whole ? 16 : dim > 1024 ? 1 : THREADS / 32, most = most_partials(cuda, whole);
  int partials = tpo_ceil_div(n, rows);
  return partials < most ? partials : most;
}

} // namespace

size_t tpo_cuda_norm_scratch(const struct tpo_cuda *cuda, int dim)
{
  int whole = most_partials(cuda, true), any = most_partials(cuda, false);
  return static_cast<size_t>(whole > any ? whole : any) * static_cast<size_t>(dim) * sizeof(float);
}

template <class Act>
void tpo_cuda_rms_norm(struct tpo_backend *be, const void *x, const float *w, void *y, float *rstd, int n,
                       int dim, float eps)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  const Act *from = static_cast<const Act *>(x);
  Act *to = static_cast<Act *>(y);
  bool whole = dim <= LONGEST && tpo_whole_packs<Act>(x, dim) && tpo_aligned_16(y) && tpo_aligned_16(w);
  if (n == 0 || dim == 0) return;
  if (!whole)
    TPO_LAUNCH(norm_any<Act>, dim3(static_cast<unsigned>(n)), dim3(THREADS), 0, cuda->stream, from, w, to,
               rstd, dim, eps);
  else if (dim <= 32 * 8)
    launch_norm<Act, 32, 8>(cuda, from, w, to, rstd, n, dim, eps);
  else if (dim <= 32 * 24)
    launch_norm<Act, 32, 24>(cuda, from, w, to, rstd, n, dim, eps);
  else if (dim <= 32 * 32)
    launch_norm<Act, 32, 32>(cuda, from, w, to, rstd, n, dim, eps);
  else if (dim <= THREADS * 8)
    launch_norm<Act, THREADS, 8>(cuda, from, w, to, rstd, n, dim, eps);
  else if (dim <= THREADS * 16)
    launch_norm<Act, THREADS, 16>(cuda, from, w, to, rstd, n, dim, eps);
  else
    launch_norm<Act, THREADS, 32>(cuda, from, w, to, rstd, n, dim, eps);
  tpo_cuda_launched(cuda, "rms_norm");
}

template <class Act>
void tpo_cuda_rms_norm_backward(struct tpo_backend *be, const void *dy, const void *x, const float *w,
                                const float *rstd, void *dx, float *dw, int n, int dim)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n == 0 || dim == 0) return;
  bool whole = dim <= LONGEST && tpo_whole_packs<Act>(x, dim) && tpo_aligned_16(dy) && tpo_aligned_16(dx) &&
               tpo_aligned_16(w);
  backward<Act> b;
  b.dy = static_cast<const Act *>(dy);
  b.x = static_cast<const Act *>(x);
  b.w = w;
  b.rstd = rstd;
  b.dx = static_cast<Act *>(dx);
  b.n = n;
  b.dim = dim;
  b.partials = partials_of(cuda, n, dim, whole);
  size_t bytes = static_cast<size_t>(b.partials) * static_cast<size_t>(dim) * sizeof(float);
  b.partial = static_cast<float *>(tpo_cuda_scratch(cuda, TPO_CUDA_SLOT_PARTIAL, bytes));
  if (!b.partial) return;
  if (!whole)
    launch_backward_any(cuda, b);
  else if (dim <= 32 * 8)
    launch_backward<Act, 32, 8>(cuda, b);
  else if (dim <= 32 * 24)
    launch_backward<Act, 32, 24>(cuda, b);
  else if (dim <= 32 * 32)
    launch_backward<Act, 32, 32>(cuda, b);
  else if (dim <= THREADS * 8)
    launch_backward<Act, THREADS, 8>(cuda, b);
  else if (dim <= THREADS * 16)
    launch_backward<Act, THREADS, 16>(cuda, b);
  else
    launch_backward<Act, THREADS, 32>(cuda, b);
  tpo_cuda_launched(cuda, "rms_norm_backward");
  tpo_cuda_add_partial(cuda, dw, b.partial, b.partials, dim);
}

#define INSTANTIATE(Act)                                                                                     \
  template void tpo_cuda_rms_norm<Act>(struct tpo_backend *, const void *, const float *, void *, float *,   \
                                       int, int, float);                                                     \
  template void tpo_cuda_rms_norm_backward<Act>(struct tpo_backend *, const void *, const void *,            \
                                                const float *, const float *, void *, float *, int, int);
INSTANTIATE(float)
INSTANTIATE(__nv_bfloat16)
