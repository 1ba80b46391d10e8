/* RMSNorm of queries and keys, of each head by itself or of all of a token's together: y = x rstd w over a vector
 * of head_dim, or of heads * head_dim (keys: kv_heads * head_dim), elements. Backward, with g = dy w, in place of
 * dy: dx = rstd (g - x rstd^2 mean(g x)); dw += sum over vectors of dy x rstd.
 *
 * A head belongs to LANES neighbours of a warp, a power of two that has enough of them for 8 elements each (at
 * head dimension 128 to 16, two heads a warp), all heads together to a block. Bytes moved per element: 2
 * activations forward (the second reading comes from the L1 cache), 3 backward, each once; w comes from L1; the
 * bound is the memory's bandwidth.
 *
 * The gradient of heads, up to 256 elements: a thread owns 8 elements of one head in every gridDim.y-th row and
 * keeps their share of dw in registers; a block adds up its heads in their order and leaves a partial row, which
 * columns.cu adds up. Other vectors (_any) take two kernels, the partial rows first, and read all twice. */
#include "ops.cuh"
#include "pack.cuh"
#include "reduce.cuh"

namespace {

enum { THREADS = 256, EACH = 8, LONGEST_HEAD = 32 * EACH };

/* The vectors of a row: of queries, of keys, and of values, which are only copied. */
struct vectors {
  const float *q, *k;
  int heads, kv_heads, head_dim;
  int normed, all; /* with and without the values */
  float eps;
  bool packs; /* everything is aligned, so that rows can be read and written in whole packs */
};

struct one_vector {
  int at, length; /* of the first element in the row; elements */
  const float *w; /* NULL: values */
};

template <bool WHOLE> __device__ __forceinline__ one_vector vector_of(const vectors &a, int which)
{
  one_vector v;
  v.w = which >= a.normed ? NULL : which < (WHOLE ? 1 : a.heads) ? a.q : a.k;
  v.length = !WHOLE ? a.head_dim : which == 0 ? a.heads * a.head_dim : a.kv_heads * a.head_dim;
  v.at = !WHOLE ? which * a.head_dim : which == 0 ? 0 : (a.heads + (which - 1) * a.kv_heads) * a.head_dim;
  return v;
}

__device__ __forceinline__ size_t row_size(const vectors &a)
{
  return static_cast<size_t>(a.heads + 2 * a.kv_heads) * a.head_dim;
}

/* Over `lanes` neighbours, a power of two; all of a warp's threads call. */
__device__ __forceinline__ float lanes_sum(float x, int lanes)
{
  for (int step = lanes / 2; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}

/* raw may be qkv: a thread writes the elements that it alone has read. */
template <class Act, bool WHOLE>
__global__ void __launch_bounds__(THREADS)
    head_norm(const Act *raw, Act *qkv, vectors a, float *__restrict__ rstd, int n_vectors, int lanes)
{
  constexpr int COUNT = tpo_pack<Act>::count;
  TPO_SHARED(float, scratch, THREADS / 32);
  const int group = static_cast<int>(threadIdx.x) / lanes,
            first = static_cast<int>(threadIdx.x) % lanes * COUNT;
  const int i = static_cast<int>(blockIdx.x) * (THREADS / lanes) + group, row = i / a.all, which = i % a.all;
  const one_vector v = vector_of<WHOLE>(a, which);
  const size_t at = row * row_size(a) + v.at;
  float squares = 0;
  if (i < n_vectors && v.w)
    for (int c = first; c < v.length; c += lanes * COUNT) {
      const tpo_pack<Act> x = load_pack(raw + at, c, v.length, a.packs);
#pragma unroll
      for (int e = 0; e < COUNT; e++) squares += to_float(x.at[e]) * to_float(x.at[e]);
    }
  squares = WHOLE ? block_sum<THREADS>(squares, scratch) : lanes_sum(squares, lanes);
  if (i >= n_vectors) return;
  const float r = 1.0f / sqrtf(squares / static_cast<float>(v.length) + a.eps);
  for (int c = first; c < v.length; c += lanes * COUNT) {
    tpo_pack<Act> x = load_pack(raw + at, c, v.length, a.packs);
    if (v.w) {
      tpo_weights<COUNT> w;
      w.load(v.w, c, v.length, a.packs);
#pragma unroll
      for (int e = 0; e < COUNT; e++) x.at[e] = from_float<Act>(to_float(x.at[e]) * r * w.at[e]);
    }
    store_pack(qkv + at, c, v.length, a.packs, x);
  }
  if (rstd && v.w && first == 0) rstd[static_cast<size_t>(row) * a.normed + which] = r;
}

/* A thread's 8 elements of a head: one pack of bf16, two of fp32. */
template <class Act> struct eight {
  static constexpr int COUNT = tpo_pack<Act>::count, PACKS = EACH / COUNT;
  tpo_pack<Act> packs[PACKS];

  __device__ __forceinline__ void load(const Act *head, int first, int end, bool whole)
  {
#pragma unroll
    for (int k = 0; k < PACKS; k++) packs[k] = load_pack(head, first + k * COUNT, end, whole);
  }
  __device__ __forceinline__ void store(Act *head, int first, int end, bool whole) const
  {
#pragma unroll
    for (int k = 0; k < PACKS; k++) store_pack(head, first + k * COUNT, end, whole, packs[k]);
  }
  __device__ __forceinline__ float get(int i) const
  {
    return to_float(packs[i / COUNT].at[i % COUNT]);
  }
  __device__ __forceinline__ void set(int i, float x)
  {
    packs[i / COUNT].at[i % COUNT] = from_float<Act>(x);
  }
};

/* Blocks (tile of heads, stretch of rows); those of queries come first: q_tiles of them, then those of keys.
 * partial [gridDim.y * q_tiles, head_dim] of queries, then the same of keys. */
template <class Act>
__global__ void __launch_bounds__(THREADS)
    head_backward(Act *__restrict__ dqkv, const Act *__restrict__ raw, vectors a,
                  const float *__restrict__ rstd, float *__restrict__ partial, int n, int lanes, int q_tiles)
{
  TPO_SHARED(float, shared, THREADS *EACH);
  const bool of_k = static_cast<int>(blockIdx.x) >= q_tiles;
  const int tile = static_cast<int>(blockIdx.x) - (of_k ? q_tiles : 0), groups = THREADS / lanes;
  const int in_kind = tile * groups + static_cast<int>(threadIdx.x) / lanes;
  const int first = static_cast<int>(threadIdx.x) % lanes * EACH;
  const int end =
      in_kind < (of_k ? a.kv_heads : a.heads) ? a.head_dim : 0; /* 0: nothing is read or written */
  const int head = in_kind + (of_k ? a.heads : 0);
  tpo_weights<EACH> w;
  w.load(of_k ? a.k : a.q, first, end, a.packs);
  float sum[EACH] = {0};
  for (int row = static_cast<int>(blockIdx.y); row < n; row += static_cast<int>(gridDim.y)) {
    const size_t at = row * row_size(a) + static_cast<size_t>(head) * a.head_dim;
    eight<Act> d, x;
    d.load(dqkv + at, first, end, a.packs);
    x.load(raw + at, first, end, a.packs);
    const float r = end ? rstd[static_cast<size_t>(row) * a.normed + head] : 0.0f;
    float mean = 0;
#pragma unroll
    for (int i = 0; i < EACH; i++) mean += d.get(i) * w.at[i] * x.get(i);
    const float factor = r * r * r * (lanes_sum(mean, lanes) / static_cast<float>(a.head_dim));
#pragma unroll
    for (int i = 0; i < EACH; i++) {
      const float d_i = d.get(i), x_i = x.get(i);
      sum[i] += d_i * (x_i * r);
      d.set(i, d_i * w.at[i] * r - x_i * factor);
    }
    d.store(dqkv + at, first, end, a.packs);
  }
#pragma unroll
  for (int i = 0; i < EACH; i++) shared[threadIdx.x * EACH + i] = sum[i];
  __syncthreads();
  const int k_tiles = static_cast<int>(gridDim.x) - q_tiles, stretches = static_cast<int>(gridDim.y);
  const int stretch = static_cast<int>(blockIdx.y);
  const int out = of_k ? stretches * q_tiles + stretch * k_tiles + tile : stretch * q_tiles + tile;
  for (int c = static_cast<int>(threadIdx.x); c < a.head_dim; c += THREADS) {
    float total = 0;
    for (int g = 0; g < groups; g++) total += shared[g * lanes * EACH + c];
    partial[static_cast<size_t>(out) * a.head_dim + c] = total;
  }
}

/* A thread owns a pack of every gridDim.y-th row of queries or keys: partial [gridDim.y, heads * head_dim], then
 * [gridDim.y, kv_heads * head_dim]. A pack ends where its vector ends. */
template <class Act, bool WHOLE>
__global__ void __launch_bounds__(THREADS)
    weight_gradient_any(const Act *__restrict__ dqkv, const Act *__restrict__ raw, vectors a,
                        const float *__restrict__ rstd, float *__restrict__ partial, int n)
{
  constexpr int COUNT = tpo_pack<Act>::count;
  const one_vector v = vector_of<WHOLE>(a, static_cast<int>(blockIdx.z));
  const int c = static_cast<int>(blockIdx.x * THREADS + threadIdx.x) * COUNT;
  if (c >= v.length) return;
  float sum[COUNT] = {0};
  for (int row = static_cast<int>(blockIdx.y); row < n; row += static_cast<int>(gridDim.y)) {
    const size_t at = row * row_size(a) + v.at;
    const tpo_pack<Act> d = load_pack(dqkv + at, c, v.length, a.packs),
                        x = load_pack(raw + at, c, v.length, a.packs);
    const float r = rstd[static_cast<size_t>(row) * a.normed + blockIdx.z];
#pragma unroll
    for (int i = 0; i < COUNT; i++) sum[i] += to_float(d.at[i]) * (to_float(x.at[i]) * r);
  }
  const int q_size = a.heads * a.head_dim, k_size = a.kv_heads * a.head_dim;
  const size_t stretch = blockIdx.y;
  float *out = v.at < q_size
                   ? partial + stretch * q_size + v.at
                   : partial + static_cast<size_t>(gridDim.y) * q_size + stretch * k_size + (v.at - q_size);
#pragma unroll
  for (int i = 0; i < COUNT; i++)
    if (c + i < v.length) out[c + i] = sum[i];
}

/* A block for each vector. */
template <class Act, bool WHOLE>
__global__ void __launch_bounds__(THREADS) backward_any(Act *__restrict__ dqkv, const Act *__restrict__ raw,
                                                        vectors a, const float *__restrict__ rstd)
{
  constexpr int COUNT = tpo_pack<Act>::count;
  TPO_SHARED(float, scratch, THREADS / 32);
  const one_vector v = vector_of<WHOLE>(a, static_cast<int>(blockIdx.y));
  const size_t row = blockIdx.x, at = row * row_size(a) + v.at;
  const float r = rstd[row * a.normed + blockIdx.y];
  float mean = 0;
  for (int c = static_cast<int>(threadIdx.x) * COUNT; c < v.length; c += THREADS * COUNT) {
    const tpo_pack<Act> d = load_pack(dqkv + at, c, v.length, a.packs),
                        x = load_pack(raw + at, c, v.length, a.packs);
    tpo_weights<COUNT> w;
    w.load(v.w, c, v.length, a.packs);
#pragma unroll
    for (int i = 0; i < COUNT; i++) mean += to_float(d.at[i]) * w.at[i] * to_float(x.at[i]);
  }
  mean = block_sum<THREADS>(mean, scratch) / static_cast<float>(v.length);
  const float factor = r * r * r * mean;
  for (int c = static_cast<int>(threadIdx.x) * COUNT; c < v.length; c += THREADS * COUNT) {
    tpo_pack<Act> d = load_pack(dqkv + at, c, v.length, a.packs);
    const tpo_pack<Act> x = load_pack(raw + at, c, v.length, a.packs);
    tpo_weights<COUNT> w;
    w.load(v.w, c, v.length, a.packs);
#pragma unroll
    for (int i = 0; i < COUNT; i++)
      d.at[i] = from_float<Act>(to_float(d.at[i]) * w.at[i] * r - to_float(x.at[i]) * factor);
    store_pack(dqkv + at, c, v.length, a.packs, d);
  }
}

vectors vectors_of(const struct tpo_qk_norm *norm, struct tpo_attention_shape shape, bool packs)
{
  int normed = norm->whole ? 2 : shape.heads + shape.kv_heads;
  vectors a = {norm->q, norm->k, shape.heads, shape.kv_heads, shape.head_dim,
               normed,  normed,  norm->eps,   false};
  a.packs = packs && tpo_aligned_16(norm->q) && tpo_aligned_16(norm->k);
  return a;
}

/* A head's: enough for EACH elements a lane, as far as a warp goes. */
int lanes_of(int head_dim)
{
  int lanes = 1;
  while (lanes < 32 && lanes * EACH < head_dim) lanes *= 2;
  return lanes;
}

template <class Act, bool WHOLE>
void launch_norm(struct tpo_cuda *cuda, const Act *raw, Act *qkv, const vectors &a, float *rstd, int n)
{
  int lanes = WHOLE ? THREADS : lanes_of(a.head_dim), n_vectors = n * a.all;
  TPO_LAUNCH((head_norm<Act, WHOLE>), dim3(static_cast<unsigned>(tpo_ceil_div(n_vectors, THREADS / lanes))),
             dim3(THREADS), 0, cuda->stream, raw, qkv, a, rstd, n_vectors, lanes);
  tpo_cuda_launched(cuda, "qk_norm");
}

/* What one backward call works on. */
template <class Act> struct backward {
  Act *dqkv;
  const Act *raw;
  const float *rstd;
  float *dq, *dk;
  int n;
};

/* Partial rows for each column there are at most. */
int most_partials(const struct tpo_cuda *cuda)
{
  return 2 * cuda->multiprocessors;
}

float *partials(struct tpo_cuda *cuda, size_t floats)
{
  return static_cast<float *>(tpo_cuda_scratch(cuda, TPO_CUDA_SLOT_PARTIAL, floats * sizeof(float)));
}

template <class Act> void launch_heads(struct tpo_cuda *cuda, const backward<Act> &b, const vectors &a)
{
  int lanes = lanes_of(a.head_dim), groups = THREADS / lanes;
  int q_tiles = tpo_ceil_div(a.heads, groups), k_tiles = tpo_ceil_div(a.kv_heads, groups);
  int stretches = 2 * most_partials(cuda) / (q_tiles + k_tiles);
  stretches = stretches < 1 ? 1 : stretches < b.n ? stretches : b.n;
  int rows = stretches * (q_tiles + k_tiles), q_rows = stretches * q_tiles;
  float *partial = partials(cuda, static_cast<size_t>(rows) * static_cast<size_t>(a.head_dim));
  if (!partial) return;
  dim3 grid(static_cast<unsigned>(q_tiles + k_tiles), static_cast<unsigned>(stretches));
  TPO_LAUNCH(head_backward<Act>, grid, dim3(THREADS), 0, cuda->stream, b.dqkv, b.raw, a, b.rstd, partial, b.n,
             lanes, q_tiles);
  tpo_cuda_launched(cuda, "qk_norm_backward");
  tpo_cuda_add_partial(cuda, b.dq, partial, q_rows, a.head_dim);
  tpo_cuda_add_partial(cuda, b.dk, partial + static_cast<size_t>(q_rows) * static_cast<size_t>(a.head_dim),
                       rows - q_rows, a.head_dim);
}

/* A partial row of all heads together is one of each head, where these have their weights in common. */
template <class Act, bool WHOLE>
void launch_any(struct tpo_cuda *cuda, const backward<Act> &b, const vectors &a)
{
  size_t q_size = static_cast<size_t>(a.heads) * static_cast<size_t>(a.head_dim);
  size_t k_size = static_cast<size_t>(a.kv_heads) * static_cast<size_t>(a.head_dim);
  int most = most_partials(cuda), stretches = b.n < most ? b.n : most;
  float *partial = partials(cuda, static_cast<size_t>(stretches) * (q_size + k_size));
  if (!partial) return;
  int longest = !WHOLE ? a.head_dim : static_cast<int>(q_size > k_size ? q_size : k_size);
  unsigned blocks = static_cast<unsigned>(tpo_ceil_div(longest, THREADS * tpo_pack<Act>::count));
  dim3 grid(blocks, static_cast<unsigned>(stretches), static_cast<unsigned>(a.normed));
  TPO_LAUNCH((weight_gradient_any<Act, WHOLE>), grid, dim3(THREADS), 0, cuda->stream, b.dqkv, b.raw, a,
             b.rstd, partial, b.n);
  TPO_LAUNCH((backward_any<Act, WHOLE>), dim3(static_cast<unsigned>(b.n), static_cast<unsigned>(a.normed)),
             dim3(THREADS), 0, cuda->stream, b.dqkv, b.raw, a, b.rstd);
  tpo_cuda_launched(cuda, "qk_norm_backward");
  int q_rows = WHOLE ? stretches : stretches * a.heads, k_rows = WHOLE ? stretches : stretches * a.kv_heads;
  tpo_cuda_add_partial(cuda, b.dq, partial, q_rows, static_cast<int>(q_size) * stretches / q_rows);
  tpo_cuda_add_partial(cuda, b.dk, partial + static_cast<size_t>(stretches) * q_size, k_rows,
                       static_cast<int>(k_size) * stretches / k_rows);
}

} // namespace

/* What launch_any takes; launch_heads takes less. */
size_t tpo_cuda_qk_norm_scratch(const struct tpo_cuda *cuda, struct tpo_attention_shape shape)
{
  return static_cast<size_t>(most_partials(cuda)) * static_cast<size_t>(shape.heads + shape.kv_heads) *
         static_cast<size_t>(shape.head_dim) * sizeof(float);
}

template <class Act>
void tpo_cuda_qk_norm(struct tpo_backend *be, const void *raw, void *qkv, const struct tpo_qk_norm *norm,
                      float *rstd, struct tpo_attention_shape shape, int n)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n == 0 || shape.head_dim == 0) return;
  vectors a = vectors_of(norm, shape, tpo_whole_packs<Act>(raw, shape.head_dim) && tpo_aligned_16(qkv));
  if (raw != qkv) a.all += norm->whole ? 1 : shape.kv_heads; /* values are where they belong otherwise */
  const Act *from = static_cast<const Act *>(raw);
  if (norm->whole)
    launch_norm<Act, true>(cuda, from, static_cast<Act *>(qkv), a, rstd, n);
  else
    launch_norm<Act, false>(cuda, from, static_cast<Act *>(qkv), a, rstd, n);
}

template <class Act>
void tpo_cuda_qk_norm_backward(struct tpo_backend *be, void *dqkv, const void *raw,
                               const struct tpo_qk_norm *norm, const float *rstd, float *dq, float *dk,
                               struct tpo_attention_shape shape, int n)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n == 0 || shape.head_dim == 0) return;
  const vectors a =
      vectors_of(norm, shape, tpo_whole_packs<Act>(raw, shape.head_dim) && tpo_aligned_16(dqkv));
  const backward<Act> b = {static_cast<Act *>(dqkv), static_cast<const Act *>(raw), rstd, dq, dk, n};
  if (norm->whole)
    launch_any<Act, true>(cuda, b, a);
  else if (shape.head_dim > LONGEST_HEAD)
    launch_any<Act, false>(cuda, b, a);
  else
    launch_heads<Act>(cuda, b, a);
}

#define INSTANTIATE(Act)                                                                                     \
  template void tpo_cuda_qk_norm<Act>(struct tpo_backend *, const void *, void *,                            \
                                      const struct tpo_qk_norm *, float *, struct tpo_attention_shape, int); \
  template void tpo_cuda_qk_norm_backward<Act>(struct tpo_backend *, void *, const void *,                   \
                                               const struct tpo_qk_norm *, const float *, float *, float *,  \
                                               struct tpo_attention_shape, int);
INSTANTIATE(float)
INSTANTIATE(__nv_bfloat16)
