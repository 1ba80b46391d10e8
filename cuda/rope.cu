/* Rotary embedding and the way into the paged cache. For each pair (a, b) = (head[i], head[i + head_dim / 2])
 * of queries and keys, with cosine c and sine s of the row's position: a' = a c - b s, b' = b c + a s.
 *
 * A block has a row; a thread a pack of PACK elements of a head's first half and the pack beside it in the
 * second. In one pass queries are rotated in place, keys are rotated on their way to the cache and values
 * copied there. Bytes (bf16, fused): 4 head_dim a query head, 4 head_dim a key and a value head, the cosines
 * and sines from the caches. Bound: memory; a decode pass's rows are so few that launching takes longer,
 * hence the fusion. */
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

/* Heads [first, first + count) of a row in place. */
template <class Act, int PACK>
__device__ __forceinline__ void rotate_heads(const rope_arguments &a, Act *row, const float *cosines,
                                             int count)
{
  typedef pack<Act, PACK> packed;
  int half = a.head_dim / 2, packs = half / PACK;
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

template <class Act, int PACK> __global__ void __launch_bounds__(256, 4) rope_in_place(rope_arguments a)
{
  size_t row = blockIdx.x;
  Act *x = static_cast<Act *>(a.qkv) + row * (size_t)((a.heads + 2 * a.kv_heads) * a.head_dim);
  const float *cosines = a.cos_sin + (size_t)a.pos[row] * a.head_dim;
  rotate_heads<Act, PACK>(a, x, cosines, a.heads + a.kv_heads);
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
  if (ROTATE) rotate_heads<Act, PACK>(a, x, cosines, a.heads);
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

/* Whether whole packs of 16 bytes of Act serve:
 * rows, halves of heads and tables must begin at such places. */
template <class Act> bool has_packs(const rope_arguments &a)
{
  return a.head_dim % (2 * tpo_pack<Act>::count) == 0 && aligned(a.qkv) && aligned(a.cos_sin) &&
         aligned(a.k) && aligned(a.v);
}

/* Threads for a row of that many packs. */
dim3 row_threads(int packs)
{
  return dim3(packs >= 256 ? 256 : packs <= 32 ? 32 : (unsigned)(packs + 31) / 32 * 32);
}

template <class Act, class Cache, int PACK>
void launch_write(struct tpo_cuda *cuda, const rope_arguments &a, int n)
{
  int packs = a.head_dim / 2 / PACK;
  dim3 blocks((unsigned)n);
  if (a.cos_sin)
    TPO_LAUNCH((write_cache<Act, Cache, PACK, true>), blocks, row_threads(a.heads * packs), 0, cuda->stream,
               a);
  else
    TPO_LAUNCH((write_cache<Act, Cache, PACK, false>), blocks, row_threads(a.kv_heads * packs), 0,
               cuda->stream, a);
}

template <class Act, class Cache> void choose_write(struct tpo_cuda *cuda, const rope_arguments &a, int n)
{
  if (has_packs<Act>(a))
    launch_write<Act, Cache, tpo_pack<Act>::count>(cuda, a, n);
  else
    launch_write<Act, Cache, 1>(cuda, a, n);
}

template <class Act>
void write_rows(struct tpo_backend *be, const struct tpo_kv_layer *kv, void *qkv, const float *cos_sin,
                struct tpo_attention_shape shape, const struct tpo_paged_rows *rows, const char *what)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (rows->n == 0) return;
  rope_arguments a = {
      qkv,          rows->pos,        cos_sin,          kv->k,       kv->v,          rows->seq,
      rows->blocks, rows->max_blocks, kv->block_tokens, shape.heads, shape.kv_heads, shape.head_dim,
      false};
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
  if (tpo_rotated(shape) != shape.head_dim)
    return tpo_cuda_fail(cuda, TPO_E_UNSUPPORTED, "backend cuda: partial rotation");
  rope_arguments a = {};
  a.qkv = qkv;
  a.pos = pos;
  a.cos_sin = cos_sin;
  a.heads = shape.heads;
  a.kv_heads = shape.kv_heads;
  a.head_dim = shape.head_dim;
  a.inverse = inverse;
  constexpr int count = tpo_pack<Act>::count;
  int pairs = (shape.heads + shape.kv_heads) * (shape.head_dim / 2);
  dim3 blocks((unsigned)n);
  if (has_packs<Act>(a))
    TPO_LAUNCH((rope_in_place<Act, count>), blocks, row_threads(pairs / count), 0, cuda->stream, a);
  else
    TPO_LAUNCH((rope_in_place<Act, 1>), blocks, row_threads(pairs), 0, cuda->stream, a);
  tpo_cuda_launched(cuda, "rope");
}

template <class Act>
void tpo_cuda_kv_write(struct tpo_backend *be, const struct tpo_kv_layer *kv, const void *qkv,
                       struct tpo_attention_shape shape, const struct tpo_paged_rows *rows)
{
  write_rows<Act>(be, kv, const_cast<void *>(qkv), NULL, shape, rows, "kv_write");
}

template <class Act>
void tpo_cuda_rope_kv_write(struct tpo_backend *be, const struct tpo_kv_layer *kv, void *qkv,
                            const struct tpo_qk_norm *norm, const float *cos_sin,
                            struct tpo_attention_shape shape, const struct tpo_paged_rows *rows)
{
  if (norm || rows->rope_at || tpo_rotated(shape) != shape.head_dim)
    tpo_cuda_fail(tpo_cuda_of(be), TPO_E_UNSUPPORTED, "backend cuda: norms of heads and partial rotation");
  else
    write_rows<Act>(be, kv, qkv, cos_sin, shape, rows, "rope_kv_write");
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
