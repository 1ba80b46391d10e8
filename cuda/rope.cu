/* Rotary embedding and the way into the paged cache. For each pair (a, b) = (head[i], head[i + rotated / 2]) of
 * queries and keys, i < rotated / 2, with cosine c and sine s of the row's position: a' = a c - b s,
 * b' = b c + a s.
 *
 * A block has a row; a thread a pack of PACK elements of a head's first half and the pack beside it in the
 * second. In one pass queries are rotated in place, keys are rotated on their way to the cache and values
 * copied there. Bytes (bf16, fused): 4 head_dim a query head, 4 head_dim a key and a value head, the cosines
 * and sines from the caches. Bound: memory; a decode pass's rows are so few that launching takes longer,
 * hence the fusion.
 *
 * write_cache is for models that rotate whole heads, or none. In write_cache_any LANES neighbours have a head,
 * whose norm (qk_norm.cu has the formula) they take first: it goes with partial rotation, rows of the table
 * that are not the positions, or no rotation, and moves the same bytes. */
#include "ops.cuh"

namespace {

/* N elements that are loaded and stored together. */
template <class T, int N> struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) pack {
  T at[N];
};

struct rope_arguments {
  void *qkv;
  const int32_t *pos;
  const float *cos_sin;
  void *k, *v; /* the cache */
  const int32_t *seq, *blocks;
  int max_blocks, block_tokens;
  int heads, kv_heads, head_dim;
  bool inverse;
  /* what the kernels named _any, and PARTIAL ones, take besides */
  int rotated;            /* 0: nothing */
  const int32_t *rope_at; /* rows of cos_sin */
  const float *q_norm, *k_norm;
  float eps; /* of the norms */
};

template <class Act, int PACK>
__device__ __forceinline__ void rotate(pack<Act, PACK> &low, pack<Act, PACK> &high, const float *cosines,
                                       const float *sines, bool inverse)
{
  pack<float, PACK> c = *reinterpret_cast<const pack<float, PACK> *>(cosines);
  pack<float, PACK> s = *reinterpret_cast<const pack<float, PACK> *>(sines);
#pragma unroll
  for (int e = 0; e < PACK; e++) {
    float a = to_float(low.at[e]), b = to_float(high.at[e]), sine = inverse ? -s.at[e] : s.at[e];
    low.at[e] = from_float<Act>(__fmaf_rn(-b, sine, __fmul_rn(a, c.at[e])));
    high.at[e] = from_float<Act>(__fmaf_rn(a, sine, __fmul_rn(b, c.at[e])));
  }
}

template <class Cache, class Act, int PACK>
__device__ __forceinline__ void put(Cache *to, const pack<Act, PACK> &from)
{
  pack<Cache, PACK> x;
#pragma unroll
  for (int e = 0; e < PACK; e++) x.at[e] = from_float<Cache>(to_float(from.at[e]));
  *reinterpret_cast<pack<Cache, PACK> *>(to) = x;
}

/* Heads [0, count) of a row in place. */
template <class Act, int PACK>
__device__ __forceinline__ void rotate_heads(const rope_arguments &a, Act *row, const float *cosines,
                                             int rotated, int count)
{
  typedef pack<Act, PACK> packed;
  int half = rotated / 2, packs = half / PACK;
#pragma unroll 1
  for (int i = (int)threadIdx.x; i < count * packs; i += (int)blockDim.x) {
    int c = i % packs * PACK;
    Act *at = row + i / packs * a.head_dim + c;
    packed low = *reinterpret_cast<packed *>(at), high = *reinterpret_cast<packed *>(at + half);
    rotate<Act, PACK>(low, high, cosines + c, cosines + half + c, a.inverse);
    *reinterpret_cast<packed *>(at) = low;
    *reinterpret_cast<packed *>(at + half) = high;
  }
}

template <class Act, int PACK, bool PARTIAL>
__global__ void __launch_bounds__(256, 4) rope_in_place(rope_arguments a)
{
  size_t row = blockIdx.x;
  Act *x = static_cast<Act *>(a.qkv) + row * (size_t)((a.heads + 2 * a.kv_heads) * a.head_dim);
  int rotated = PARTIAL ? a.rotated : a.head_dim;
  const float *cosines = a.cos_sin + (size_t)a.pos[row] * rotated;
  rotate_heads<Act, PACK>(a, x, cosines, rotated, a.heads + a.kv_heads);
}

/* ROTATE: rope_kv_write; otherwise kv_write. */
template <class Act, class Cache, int PACK, bool ROTATE>
__global__ void __launch_bounds__(256, 4) write_cache(rope_arguments a)
{
  typedef pack<Act, PACK> packed;
  size_t row = blockIdx.x, hd = (size_t)a.head_dim;
  int pos = a.pos[row], half = a.head_dim / 2, packs = half / PACK;
  Act *x = static_cast<Act *>(a.qkv) + row * (size_t)((a.heads + 2 * a.kv_heads) * a.head_dim);
  const float *cosines = ROTATE ? a.cos_sin + (size_t)pos * hd : NULL;
  int32_t block = a.blocks[(size_t)a.seq[row] * a.max_blocks + pos / a.block_tokens];
  size_t first = (size_t)block * a.kv_heads * a.block_tokens + pos % a.block_tokens; /* of head 0 */
  if (ROTATE) rotate_heads<Act, PACK>(a, x, cosines, a.head_dim, a.heads);
#pragma unroll 1
  for (int i = (int)threadIdx.x; i < a.kv_heads * packs; i += (int)blockDim.x) {
    int head = i / packs, c = i % packs * PACK;
    const Act *k = x + (size_t)(a.heads + head) * hd + c, *v = k + a.kv_heads * hd;
    size_t to = (first + (size_t)head * a.block_tokens) * hd + c;
    packed low = *reinterpret_cast<const packed *>(k), high = *reinterpret_cast<const packed *>(k + half);
    packed v_low = *reinterpret_cast<const packed *>(v), v_high = *reinterpret_cast<const packed *>(v + half);
    if (ROTATE) rotate<Act, PACK>(low, high, cosines + c, cosines + half + c, false);
    put(static_cast<Cache *>(a.k) + to, low);
    put(static_cast<Cache *>(a.k) + to + half, high);
    put(static_cast<Cache *>(a.v) + to, v_low);
    put(static_cast<Cache *>(a.v) + to + half, v_high);
  }
  if (a.head_dim % 2 == 0) return;
  for (int head = (int)threadIdx.x; head < a.kv_heads; head += (int)blockDim.x) { /* what has no partner */
    const Act *k = x + (size_t)(a.heads + head + 1) * hd - 1, *v = k + a.kv_heads * hd;
    size_t to = (first + (size_t)head * a.block_tokens + 1) * hd - 1;
    static_cast<Cache *>(a.k)[to] = from_float<Cache>(to_float(*k));
    static_cast<Cache *>(a.v)[to] = from_float<Cache>(to_float(*v));
  }
}

/* A lane's items of a head: the pairs of packs that are rotated, then the packs that are not. */
template <class Act, int PACK> struct head_items {
  int half, pairs, n;

  __device__ __forceinline__ head_items(const rope_arguments &a)
  {
    half = a.rotated / 2;
    pairs = half / PACK;
    n = pairs + (a.head_dim - 2 * half) / PACK;
  }
  /* Of the first element of item i, or of the first in its pair. */
  __device__ __forceinline__ int at(int i) const { return i < pairs ? i * PACK : (i + pairs) * PACK; }
};

template <class Act, int PACK> __device__ __forceinline__ float squares(const pack<Act, PACK> &x)
{
  float sum = 0;
#pragma unroll
  for (int e = 0; e < PACK; e++) sum += to_float(x.at[e]) * to_float(x.at[e]);
  return sum;
}

/* x times the head's rstd and the weights, rounded as qk_norm rounds it. */
template <class Act, int PACK>
__device__ __forceinline__ void scale(pack<Act, PACK> &x, float rstd, const float *weights)
{
  const pack<float, PACK> w = *reinterpret_cast<const pack<float, PACK> *>(weights);
#pragma unroll
  for (int e = 0; e < PACK; e++) x.at[e] = from_float<Act>(to_float(x.at[e]) * rstd * w.at[e]);
}

/* Over a head, whose lanes all call, as do all others of the warp; `mine`: the lane has part in the sum. */
template <class Act, int PACK>
__device__ __forceinline__ float head_rstd(const rope_arguments &a, const head_items<Act, PACK> &items,
                                           const Act *head, bool mine, int lane, int lanes)
{
  typedef pack<Act, PACK> packed;
  float sum = 0;
  for (int i = lane; mine && i < items.n; i += lanes) {
    const Act *x = head + items.at(i);
    sum += squares<Act, PACK>(*reinterpret_cast<const packed *>(x));
    if (i < items.pairs) sum += squares<Act, PACK>(*reinterpret_cast<const packed *>(x + items.half));
  }
  for (int step = lanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  return 1.0f / sqrtf(sum / (float)a.head_dim + a.eps);
}

/* One query or key head: normed, rotated and stored, queries where they were, keys in the cache. */
template <class Act, class Cache, int PACK>
__device__ __forceinline__ void move_head(const head_items<Act, PACK> &items, Act *head, Cache *cached,
                                          const float *weights, float rstd, const float *cosines, int lane,
                                          int lanes)
{
  typedef pack<Act, PACK> packed;
#pragma unroll 1
  for (int i = lane; i < items.n; i += lanes) {
    int c = items.at(i), half = items.half;
    bool pair = i < items.pairs;
    packed low = *reinterpret_cast<const packed *>(head + c), high = low;
    if (pair) high = *reinterpret_cast<const packed *>(head + c + half);
    if (weights) scale<Act, PACK>(low, rstd, weights + c);
    if (weights && pair) scale<Act, PACK>(high, rstd, weights + c + half);
    if (pair) rotate<Act, PACK>(low, high, cosines + c, cosines + half + c, false);
    if (cached) {
      put(cached + c, low);
      if (pair) put(cached + c + half, high);
    } else {
      *reinterpret_cast<packed *>(head + c) = low;
      if (pair) *reinterpret_cast<packed *>(head + c + half) = high;
    }
  }
}

template <class Act, class Cache, int PACK>
__global__ void __launch_bounds__(256, 4) write_cache_any(rope_arguments a, int lanes)
{
  typedef pack<Act, PACK> packed;
  const size_t row = blockIdx.x, hd = (size_t)a.head_dim;
  const int pos = a.pos[row], group = (int)threadIdx.x / lanes, lane = (int)threadIdx.x % lanes;
  const int groups = (int)blockDim.x / lanes, both = a.heads + a.kv_heads;
  const head_items<Act, PACK> items(a);
  Act *x = static_cast<Act *>(a.qkv) + row * (size_t)((a.heads + 2 * a.kv_heads) * a.head_dim);
  const float *cosines = a.cos_sin + (size_t)(a.rope_at ? a.rope_at[row] : pos) * a.rotated;
  const int32_t block = a.blocks[(size_t)a.seq[row] * a.max_blocks + pos / a.block_tokens];
  const size_t first = (size_t)block * a.kv_heads * a.block_tokens + pos % a.block_tokens; /* of head 0 */
#pragma unroll 1
  for (int start = 0; start < both; start += groups) {
    const int head = start + group;
    const bool mine = head < both, is_q = head < a.heads;
    Act *at = x + (size_t)head * hd;
    float rstd = 1;
    if (a.q_norm) rstd = head_rstd<Act, PACK>(a, items, at, mine, lane, lanes);
    Cache *cached =
        is_q ? NULL : static_cast<Cache *>(a.k) + (first + (size_t)(head - a.heads) * a.block_tokens) * hd;
    if (mine)
      move_head<Act, Cache, PACK>(items, at, cached, is_q ? a.q_norm : a.k_norm, rstd, cosines, lane, lanes);
  }
  const int packs = a.head_dim / PACK;
#pragma unroll 1
  for (int i = (int)threadIdx.x; i < a.kv_heads * packs; i += (int)blockDim.x) {
    const int head = i / packs, c = i % packs * PACK;
    const Act *v = x + (size_t)(both + head) * hd + c;
    put(static_cast<Cache *>(a.v) + (first + (size_t)head * a.block_tokens) * hd + c,
        *reinterpret_cast<const packed *>(v));
  }
}

/* Blocks (head, k or v): the first `count` units of T of a head's part of the block. */
template <class T>
__global__ void __launch_bounds__(128)
    copy_block(void *k, void *v, int dst, int src, int kv_heads, int count, size_t head_units)
{
  T *cache = static_cast<T *>(blockIdx.y ? v : k);
  T *to = cache + ((size_t)dst * kv_heads + blockIdx.x) * head_units;
  const T *from = cache + ((size_t)src * kv_heads + blockIdx.x) * head_units;
  for (int i = (int)threadIdx.x; i < count; i += (int)blockDim.x) to[i] = from[i];
}

bool aligned(const void *p)
{
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

/* Whether heads are rotated whole, or not at all, and only that. */
bool is_plain(const rope_arguments &a)
{
  return !a.q_norm && (!a.cos_sin || (a.rotated == a.head_dim && !a.rope_at));
}

/* Whether whole packs of 16 bytes of Act serve:
 * rows, halves of heads and tables must begin at such places. */
template <class Act> bool has_packs(const rope_arguments &a)
{
  constexpr int count = tpo_pack<Act>::count;
  int halves = is_plain(a) ? a.head_dim : a.rotated;
  return halves % (2 * count) == 0 && a.head_dim % count == 0 && aligned(a.qkv) && aligned(a.cos_sin) &&
         aligned(a.k) && aligned(a.v) && aligned(a.q_norm) && aligned(a.k_norm);
}

/* Threads for a row of that many packs. */
dim3 row_threads(int packs)
{
  return dim3(packs >= 256 ? 256 : packs <= 32 ? 32 : (unsigned)(packs + 31) / 32 * 32);
}

template <class Act, bool PARTIAL> void launch_rope(struct tpo_cuda *cuda, const rope_arguments &a, int n)
{
  constexpr int count = tpo_pack<Act>::count;
  int pairs = (a.heads + a.kv_heads) * (a.rotated / 2);
  dim3 blocks((unsigned)n);
  if (has_packs<Act>(a))
    TPO_LAUNCH((rope_in_place<Act, count, PARTIAL>), blocks, row_threads(pairs / count), 0, cuda->stream, a);
  else
    TPO_LAUNCH((rope_in_place<Act, 1, PARTIAL>), blocks, row_threads(pairs), 0, cuda->stream, a);
}

/* A power of two of neighbours for so many items of a head, as far as a warp goes. */
int lanes_of(int items)
{
  int lanes = 1;
  while (lanes < 32 && lanes < items) lanes *= 2;
  return lanes;
}

template <class Act, class Cache, int PACK>
void launch_write(struct tpo_cuda *cuda, const rope_arguments &a, int n)
{
  int packs = a.head_dim / 2 / PACK;
  dim3 blocks((unsigned)n);
  if (!is_plain(a)) {
    int half = a.rotated / 2, lanes = lanes_of((a.head_dim - half) / PACK);
    TPO_LAUNCH((write_cache_any<Act, Cache, PACK>), blocks, row_threads(a.heads * lanes), 0, cuda->stream, a,
               lanes);
  } else if (a.cos_sin) {
    TPO_LAUNCH((write_cache<Act, Cache, PACK, true>), blocks, row_threads(a.heads * packs), 0, cuda->stream,
               a);
  } else {
    TPO_LAUNCH((write_cache<Act, Cache, PACK, false>), blocks, row_threads(a.kv_heads * packs), 0,
               cuda->stream, a);
  }
}

template <class Act, class Cache> void choose_write(struct tpo_cuda *cuda, const rope_arguments &a, int n)
{
  if (has_packs<Act>(a))
    launch_write<Act, Cache, tpo_pack<Act>::count>(cuda, a, n);
  else
    launch_write<Act, Cache, 1>(cuda, a, n);
}

/* `norm`: of each head by itself; NULL: none. */
template <class Act>
void write_rows(struct tpo_backend *be, const struct tpo_kv_layer *kv, void *qkv,
                const struct tpo_qk_norm *norm, const float *cos_sin, struct tpo_attention_shape shape,
                const struct tpo_paged_rows *rows, const char *what)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (rows->n == 0) return;
  rope_arguments a = {};
  a.qkv = qkv;
  a.pos = rows->pos;
  a.cos_sin = cos_sin;
  a.k = kv->k;
  a.v = kv->v;
  a.seq = rows->seq;
  a.blocks = rows->blocks;
  a.max_blocks = rows->max_blocks;
  a.block_tokens = kv->block_tokens;
  a.heads = shape.heads;
  a.kv_heads = shape.kv_heads;
  a.head_dim = shape.head_dim;
  a.rotated = cos_sin ? tpo_rotated(shape) : 0;
  a.rope_at = rows->rope_at;
  if (norm) {
    a.q_norm = norm->q;
    a.k_norm = norm->k;
    a.eps = norm->eps;
  }
  if (kv->dtype == TPO_BF16)
    choose_write<Act, __nv_bfloat16>(cuda, a, rows->n);
  else
    choose_write<Act, float>(cuda, a, rows->n);
  tpo_cuda_launched(cuda, what);
}

} // namespace

template <class Act>
void tpo_cuda_rope(struct tpo_backend *be, void *qkv, const int32_t *pos, const float *cos_sin,
                   struct tpo_attention_shape shape, int n, bool inverse)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n == 0 || shape.head_dim < 2) return;
  rope_arguments a = {};
  a.qkv = qkv;
  a.pos = pos;
  a.cos_sin = cos_sin;
  a.heads = shape.heads;
  a.kv_heads = shape.kv_heads;
  a.head_dim = shape.head_dim;
  a.inverse = inverse;
  a.rotated = tpo_rotated(shape);
  if (a.rotated == shape.head_dim)
    launch_rope<Act, false>(cuda, a, n);
  else
    launch_rope<Act, true>(cuda, a, n);
  tpo_cuda_launched(cuda, "rope");
}

template <class Act>
void tpo_cuda_kv_write(struct tpo_backend *be, const struct tpo_kv_layer *kv, const void *qkv,
                       struct tpo_attention_shape shape, const struct tpo_paged_rows *rows)
{
  write_rows<Act>(be, kv, const_cast<void *>(qkv), NULL, NULL, shape, rows, "kv_write");
}

template <class Act>
void tpo_cuda_rope_kv_write(struct tpo_backend *be, const struct tpo_kv_layer *kv, void *qkv,
                            const struct tpo_qk_norm *norm, const float *cos_sin,
                            struct tpo_attention_shape shape, const struct tpo_paged_rows *rows)
{
  if (norm && norm->whole) { /* a mean over all heads needs the whole block; the next reads from L2 */
    tpo_cuda_qk_norm<Act>(be, qkv, qkv, norm, NULL, shape, rows->n);
    norm = NULL;
  }
  write_rows<Act>(be, kv, qkv, norm, cos_sin, shape, rows, "rope_kv_write");
}

void tpo_cuda_kv_copy_block(struct tpo_backend *be, const struct tpo_kv_layer *kv, int dst, int src,
                            int tokens)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  size_t size = kv->dtype == TPO_BF16 ? 2 : 4, row = (size_t)kv->head_dim * size;
  size_t bytes = (size_t)tokens * row, head_bytes = (size_t)kv->block_tokens * row;
  if (bytes == 0 || dst == src) return;
  dim3 blocks((unsigned)kv->kv_heads, 2);
  if (row % 16 == 0 && aligned(kv->k) && aligned(kv->v))
    TPO_LAUNCH(copy_block<uint4>, blocks, dim3(128), 0, cuda->stream, kv->k, kv->v, dst, src, kv->kv_heads,
               (int)(bytes / 16), head_bytes / 16);
  else
    TPO_LAUNCH(copy_block<uint16_t>, blocks, dim3(128), 0, cuda->stream, kv->k, kv->v, dst, src, kv->kv_heads,
               (int)(bytes / 2), head_bytes / 2);
  tpo_cuda_launched(cuda, "kv_copy_block");
}

#define INSTANTIATE(Act)                                                                                     \
  template void tpo_cuda_rope<Act>(struct tpo_backend *, void *, const int32_t *, const float *,             \
                                   struct tpo_attention_shape, int, bool);                                   \
  template void tpo_cuda_kv_write<Act>(struct tpo_backend *, const struct tpo_kv_layer *, const void *,      \
                                       struct tpo_attention_shape, const struct tpo_paged_rows *);           \
  template void tpo_cuda_rope_kv_write<Act>(struct tpo_backend *, const struct tpo_kv_layer *, void *,       \
                                            const struct tpo_qk_norm *, const float *,                       \
                                            struct tpo_attention_shape, const struct tpo_paged_rows *);
INSTANTIATE(float)
INSTANTIATE(__nv_bfloat16)
