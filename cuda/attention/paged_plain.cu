/* Attention over a paged cache in fp32 arithmetic, any types and head dimension (what is computed:
 * attention_paged.cu).
 *
 * A warp has a row and head of an item. Scores: 8 lanes a position, each every eighth dimension, so that a
 * load takes 4 positions' 32 successive bytes (fp32). Values: a lane a dimension. The query, a chunk's p and
 * the sum so far lie in shared memory.
 *
 * Bytes: keys and values are read again for every query head that shares them, from the caches for the most
 * part; in the limit 8 head_dim (fp32) a position and key head. Bound: the caches' bandwidth; this is the
 * exact mode, not the fast one. */
#include "paged_work.cuh"
#include "reduce.cuh"

namespace {

template <class Cache>
__device__ __forceinline__ float plain_dot(const float *q, const Cache *k, int head_dim)
{
  float sum = 0;
#pragma unroll 4
  for (int c = (int)threadIdx.x % 8; c < head_dim; c += 8) sum = __fmaf_rn(q[c], to_float(k[c]), sum);
#pragma unroll
  for (int step = 4; step > 0; step /= 2) sum = __fadd_rn(sum, __shfl_xor_sync(0xffffffffu, sum, step));
  return sum;
}

/* p and the sums of a chunk of which positions [begin, n) count; rows: where their keys and values lie. */
template <class Cache, bool LOCAL>
__device__ __forceinline__ void plain_scores(const paged_arguments &a, const float *q, float *p,
                                             const unsigned *rows, int begin, int n, float &m, float &l)
{
  int lane = (int)threadIdx.x % 32;
  const Cache *k = static_cast<const Cache *>(a.k);
  for (int i = 0; i < PAGED_CHUNK; i += 4) {
    int j = i + lane / 8;
    float dot = 0;
    if constexpr (LOCAL) {
      int at = j < begin ? begin : j < n ? j : n - 1;
      if (i < n && i + 4 > begin) dot = plain_dot(q, k + (size_t)rows[at] * a.head_dim, a.head_dim);
      float t = __fmul_rn(dot, a.scale);
      if (a.softcap_log2 > 0) t = __fmul_rn(a.softcap_log2, tanhf(__fdiv_rn(t, a.softcap_log2)));
      if (lane % 8 == 0) p[j] = j >= begin && j < n ? t : -INFINITY;
    } else {
      if (i < n) dot = plain_dot(q, k + (size_t)rows[j < n ? j : i] * a.head_dim, a.head_dim);
      if (lane % 8 == 0) p[j] = j < n ? __fmul_rn(dot, a.scale) : -INFINITY;
    }
  }
  __syncwarp();
  float t[4], sums[4];
#pragma unroll
  for (int g = 0; g < 4; g++) t[g] = p[32 * g + lane];
  m = warp_max(fmaxf(fmaxf(t[0], t[1]), fmaxf(t[2], t[3])));
#pragma unroll
  for (int g = 0; g < 4; g++) {
    t[g] = exp2_fast(__fsub_rn(t[g], m));
    sums[g] = warp_sum(t[g]);
    p[32 * g + lane] = t[g];
  }
  l = __fadd_rn(__fadd_rn(__fadd_rn(sums[0], sums[1]), sums[2]), sums[3]);
  __syncwarp();
}

/* acc = acc folded with p v, or p v itself. */
template <class Cache>
__device__ __forceinline__ void plain_values(const paged_arguments &a, float *acc, const float *p,
                                             const unsigned *rows, int begin, int n, bool fresh,
                                             fold_factors f)
{
  const Cache *v = static_cast<const Cache *>(a.v);
  for (int c = (int)threadIdx.x % 32; c < a.head_dim; c += 32) {
    float o = 0;
#pragma unroll 8
    for (int j = begin; j < n; j++) o = __fmaf_rn(p[j], to_float(v[(size_t)rows[j] * a.head_dim + c]), o);
    acc[c] = fresh ? o : fold_value(acc[c], o, f);
  }
}

template <class Act, class Cache, bool LOCAL>
__device__ __forceinline__ void plain_row(const paged_arguments &a, const paged_work &work, paged_query row,
                                          float *memory)
{
  int lane = (int)threadIdx.x % 32;
  float *q = memory, *acc = q + a.head_dim, *p = acc + a.head_dim;
  unsigned *rows = reinterpret_cast<unsigned *>(p + PAGED_CHUNK);
  const int32_t *table = a.blocks + (size_t)work.item->seq * a.max_blocks;
  const Act *from = static_cast<const Act *>(a.qkv) +
                    ((size_t)row.row * (a.heads + 2 * a.kv_heads) + row.head) * a.head_dim;
  for (int c = lane; c < a.head_dim; c += 32) q[c] = to_float(from[c]);
  float m = -INFINITY, l = 0;
  int start = work.item->chunk;
  if (LOCAL) start = max(start, max(row.pos - a.window + 1, 0) / PAGED_CHUNK);
  for (int chunk = start; chunk < work.item->end; chunk++) {
    int first = chunk * PAGED_CHUNK, n = min(row.pos - first + 1, (int)PAGED_CHUNK);
    if (n <= 0) break;
    const int begin = LOCAL ? max(row.pos - a.window + 1 - first, 0) : 0;
    for (int j = begin + lane; j < n; j += 32) {
      int t = first + j;
      rows[j] = (unsigned)table[t / a.block_tokens] * (unsigned)(a.kv_heads * a.block_tokens) +
                (unsigned)(work.kv_head * a.block_tokens + t % a.block_tokens);
    }
    __syncwarp();
    float chunk_m, chunk_l;
    plain_scores<Cache, LOCAL>(a, q, p, rows, begin, n, chunk_m, chunk_l);
    bool fresh = chunk == start;
    fold_factors f = {0, 0};
    if (fresh) {
      m = chunk_m;
      l = chunk_l;
    } else {
      f = fold_sums(m, l, chunk_m, chunk_l);
    }
    plain_values<Cache>(a, acc, p, rows, begin, n, fresh, f);
    __syncwarp();
  }
  if (m > -INFINITY) {
    float *part = part_at(a, max(row.part, 0), row.head);
    Act *out = static_cast<Act *>(a.out) + ((size_t)row.row * a.heads + row.head) * a.head_dim;
    float inverse = __frcp_rn(l);
    for (int c = lane; c < a.head_dim; c += 32) {
      if (row.part >= 0)
        part[4 + c] = acc[c];
      else
        out[c] = from_float<Act>(acc[c] * inverse);
    }
    if (row.part >= 0 && lane == 0) {
      part[0] = m;
      part[1] = l;
    }
  }
  __syncwarp();
}

template <class Act, class Cache, bool LOCAL>
__global__ void __launch_bounds__(128, LOCAL ? 6 : 8) paged_plain(paged_arguments a)
{
  TPO_DYNAMIC_SHARED(float, memory);
  int warp = (int)threadIdx.x / 32;
  memory += (size_t)warp * (2 * a.head_dim + 2 * PAGED_CHUNK);
  paged_work work;
  for (int round = 0; take_work(work, a, round); round++)
    for (int query = warp; query < work.item->n_rows * a.tile_heads; query += 4) {
      paged_query row = find_row(a, work, query);
      if (row.pos >= 0) plain_row<Act, Cache, LOCAL>(a, work, row, memory);
    }
}

template <class Act, class Cache, bool LOCAL>
void launch_plain(struct tpo_cuda *cuda, const paged_arguments &a, long long most)
{
  size_t bytes = 4 * sizeof(float) * (2 * (size_t)a.head_dim + 2 * PAGED_CHUNK);
  long long blocks = (long long)cuda->multiprocessors * 8;
  if (blocks > most) blocks = most;
  if (tpo_attention_allow_shared(cuda, reinterpret_cast<const void *>(paged_plain<Act, Cache, LOCAL>), bytes))
    TPO_LAUNCH((paged_plain<Act, Cache, LOCAL>), dim3((unsigned)blocks), dim3(128), bytes, cuda->stream, a);
}

template <class Act, class Cache>
void launch_plain(struct tpo_cuda *cuda, const paged_arguments &a, bool local, long long most)
{
  if (local)
    launch_plain<Act, Cache, true>(cuda, a, most);
  else
    launch_plain<Act, Cache, false>(cuda, a, most);
}

} // namespace

template <class Act>
void tpo_paged_plain(struct tpo_cuda *cuda, const paged_arguments &a, enum tpo_dtype cache, bool local,
                     long long most)
{
  if (cache == TPO_BF16)
    launch_plain<Act, __nv_bfloat16>(cuda, a, local, most);
  else
    launch_plain<Act, float>(cuda, a, local, most);
}

template void tpo_paged_plain<float>(struct tpo_cuda *, const paged_arguments &, enum tpo_dtype, bool,
                                     long long);
template void tpo_paged_plain<__nv_bfloat16>(struct tpo_cuda *, const paged_arguments &, enum tpo_dtype, bool,
                                             long long);
