/* Sums of columns over rows, in two stages with a fixed order: the gradient of a bias, dbias += sum of dy's rows,
 * and the second stage alone, for gradients of weights whose first stage is part of another kernel.
 *
 * First stage: a thread owns a pack of 16 bytes of every gridDim.y-th row and leaves its sum in a partial row.
 * Second: a warp adds up every 8th partial row for 32 columns, then a block's warps in their order. There are
 * at most two partial rows for each multiprocessor, some percent of the traffic for 4096 rows and more. Bytes:
 * dy once; the bound is the memory's bandwidth. */
#include "ops.cuh"
#include "pack.cuh"

namespace {

enum { THREADS = 256, COLUMNS = 32, LEAST_ROWS = 16 };

/* partial [gridDim.y, dim] */
template <class Act>
__global__ void __launch_bounds__(THREADS)
    column_sums(const Act *__restrict__ dy, float *__restrict__ partial, int n, int dim, bool whole)
{
  int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) * tpo_pack<Act>::count;
  float sum[tpo_pack<Act>::count] = {0};
#pragma unroll 4
  for (int row = static_cast<int>(blockIdx.y); row < n; row += static_cast<int>(gridDim.y)) {
    const tpo_pack<Act> d = load_pack(dy + static_cast<size_t>(row) * dim, c, dim, whole);
#pragma unroll
    for (int i = 0; i < tpo_pack<Act>::count; i++) sum[i] += to_float(d.at[i]);
  }
#pragma unroll
  for (int i = 0; i < tpo_pack<Act>::count; i++)
    if (c + i < dim) partial[static_cast<size_t>(blockIdx.y) * dim + c + i] = sum[i];
}

__global__ void __launch_bounds__(THREADS)
    add_partial(float *__restrict__ dw, const float *__restrict__ partial, int n_partial, int dim)
{
  constexpr int warps = THREADS / COLUMNS;
  TPO_SHARED(float, sums, THREADS);
  int warp = static_cast<int>(threadIdx.x) / COLUMNS, lane = static_cast<int>(threadIdx.x) % COLUMNS;
  int c = static_cast<int>(blockIdx.x) * COLUMNS + lane;
  float sum = 0;
  if (c < dim)
#pragma unroll 4
    for (int p = warp; p < n_partial; p += warps) sum += partial[static_cast<size_t>(p) * dim + c];
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (warp > 0 || c >= dim) return;
  for (int k = 1; k < warps; k++) sum += sums[k * COLUMNS + lane];
  dw[c] += sum;
}

} // namespace

void tpo_cuda_add_partial(struct tpo_cuda *cuda, float *dw, const float *partial, int n_partial, int dim)
{
  TPO_LAUNCH(add_partial, dim3(static_cast<unsigned>(tpo_ceil_div(dim, COLUMNS))), dim3(THREADS), 0,
             cuda->stream, dw, partial, n_partial, dim);
  tpo_cuda_launched(cuda, "sums over rows");
}

size_t tpo_cuda_bias_scratch(const struct tpo_cuda *cuda, int dim)
{
  return 2 * static_cast<size_t>(cuda->multiprocessors) * static_cast<size_t>(dim) * sizeof(float);
}

template <class Act>
void tpo_cuda_bias_backward(struct tpo_backend *be, const void *dy, float *dbias, int n, int dim)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n == 0 || dim == 0) return;
  int packs = tpo_ceil_div(dim, tpo_pack<Act>::count), partials = tpo_ceil_div(n, LEAST_ROWS);
  int threads = packs < THREADS ? tpo_ceil_div(packs, 32) * 32 : THREADS;
  if (partials > 2 * cuda->multiprocessors) partials = 2 * cuda->multiprocessors;
  size_t bytes = static_cast<size_t>(partials) * static_cast<size_t>(dim) * sizeof(float);
  float *partial = static_cast<float *>(tpo_cuda_scratch(cuda, TPO_CUDA_SLOT_PARTIAL, bytes));
  if (!partial) return;
  dim3 grid(static_cast<unsigned>(tpo_ceil_div(packs, threads)), static_cast<unsigned>(partials));
  TPO_LAUNCH(column_sums<Act>, grid, dim3(static_cast<unsigned>(threads)), 0, cuda->stream,
             static_cast<const Act *>(dy), partial, n, dim, tpo_whole_packs<Act>(dy, dim));
  tpo_cuda_launched(cuda, "bias_backward");
  tpo_cuda_add_partial(cuda, dbias, partial, partials, dim);
}

template void tpo_cuda_bias_backward<float>(struct tpo_backend *, const void *, float *, int, int);
template void tpo_cuda_bias_backward<__nv_bfloat16>(struct tpo_backend *, const void *, float *, int, int);
