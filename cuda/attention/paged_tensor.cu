/* Attention over a paged cache in bf16 with tensor cores (what is computed: attention_paged.cu).
 *
 * Persistent blocks of 4 warps take items, heads of an item side by side. Keys and values of a chunk are two
 * tiles of a ring of three in shared memory: while one is multiplied, the next two are on their way (head
 * dimension 128: 64 KiB a block, 128 KiB a multiprocessor), across the ends of items too. Narrow items have
 * one tile of 16 queries, whose scores the warps share out by position and whose values by dimension; wide
 * items have a tile of 16 queries a warp. Tensor-core products go over positions and dimensions in the same
 * order in both, maxima are exact and sums are taken 32 positions at a time, and so the bits are the same.
 *
 * Bytes: 4 head_dim a position and key head, once for all rows that share the block; the products of a narrow
 * tile take about a tenth of the time that memory needs. Bound: the memory's bandwidth. */
#include "paged_work.cuh"

namespace {

/* The ring of tiles in shared memory, and the loader that runs two tiles ahead through all of the block's
 * works. Tiles alternate between keys and values. */
template <int HD, bool LOCAL> struct kv_ring {
  static constexpr int tile_elements = PAGED_CHUNK * HD;
  static constexpr int n_tiles = 3;

  const paged_arguments &a;
  __nv_bfloat16 *tiles;
  int fill, use; /* places in the ring */
  paged_work work;
  int round, chunk, end;
  bool more, values;
  int block;       /* of this lane's position in the chunk; -1: none */
  unsigned inside; /* row of that position within the block; rows of a cache are counted in 32 bits */

  __device__ __forceinline__ kv_ring(const paged_arguments &a, __nv_bfloat16 *tiles)
      : a(a), tiles(tiles), fill(0), use(0), work(), round(0), chunk(0), end(0), values(false), block(-1),
        inside(0)
  {
    begin_work();
    start();
    start();
  }

  __device__ __forceinline__ void begin_work()
  {
    more = take_work(work, a, round);
    if (!more) return;
    chunk = work.item->chunk;
    end = work.item->end;
    find_block();
  }

  /* Each warp copies 32 positions, a lane knowing where one of them lies; asked for one chunk ahead. */
  __device__ __forceinline__ void find_block()
  {
    int position = chunk * PAGED_CHUNK + (int)threadIdx.x;
    block = -1;
    if (position < work.item->tokens && (!LOCAL || position >= first_position(a, work)))
      block = a.blocks[(size_t)work.item->seq * a.max_blocks + position / a.block_tokens];
    inside = (unsigned)(work.kv_head * a.block_tokens + position % a.block_tokens);
  }

  __device__ __forceinline__ void copy_tile()
  {
    constexpr int pieces = HD / 8, rows = 32 / pieces; /* rows: at a time */
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, piece = lane % pieces;
    const __nv_bfloat16 *from = static_cast<const __nv_bfloat16 *>(values ? a.v : a.k) + piece * 8;
    __nv_bfloat16 *to = tiles + fill * tile_elements;
    unsigned row = (unsigned)block * (unsigned)(a.kv_heads * a.block_tokens) + inside;
    if (block < 0) row = 0xffffffffu;
    bool in_head = piece * 8 < a.head_dim;
#pragma unroll 4
    for (int i = 0; i < 32; i += rows) {
      unsigned mine = __shfl_sync(0xffffffffu, row, i + lane / pieces);
      bool valid = in_head && mine != 0xffffffffu;
      cp_async_16(to + bf16_tile<HD>::at(warp * 32 + i + lane / pieces, piece),
                  from + (valid ? (size_t)mine * (unsigned)a.head_dim : 0), valid);
    }
  }

  __device__ __forceinline__ void start()
  {
    if (more) {
      copy_tile();
      if (values) {
        if (++chunk < end) {
          find_block();
        } else {
          round++;
          begin_work();
        }
      }
      values = !values;
    }
    cp_async_commit(); /* an empty group keeps the count */
    fill = fill == n_tiles - 1 ? 0 : fill + 1;
  }

  /* The next tile, complete; all threads are done with the one before it. */
  __device__ __forceinline__ const __nv_bfloat16 *next()
  {
    cp_async_wait<1>();
    block_barrier<128>();
    const __nv_bfloat16 *tile = tiles + use * tile_elements;
    use = use == n_tiles - 1 ? 0 : use + 1;
    start();
    return tile;
  }
};

/* Shared memory of paged_tensor besides the ring: the item's queries, and what warps that share a tile show
 * each other. */
template <int HD> struct paged_shared {
  static constexpr int narrow = 16 * (HD + PAGED_CHUNK), wide = HD <= 128 ? 64 * HD : 0;

  /* Queries [16 or 64, HD]; behind those of a narrow item its p [16, PAGED_CHUNK]. */
  __nv_bfloat16 q[narrow > wide ? narrow : wide];
  float highest[4 * 16], sums[4 * 16]; /* by warp, of the 16 queries */

  __device__ __forceinline__ __nv_bfloat16 *p() { return q + 16 * HD; }
};

/* The item's queries to shared memory; missing ones become zero. */
template <int HD, int MT>
__device__ __forceinline__ void load_queries(__nv_bfloat16 *q, const paged_arguments &a,
                                             const paged_work &work)
{
  constexpr int pieces = HD / 8;
#pragma unroll 4
  for (int i = (int)threadIdx.x; i < 16 * MT * pieces; i += 128) {
    int query = i / pieces, piece = i % pieces;
    paged_query row = find_row(a, work, query);
    uint4 x = make_uint4(0, 0, 0, 0);
    if (row.pos >= 0 && piece * 8 < a.head_dim)
      x = *reinterpret_cast<const uint4 *>(
          static_cast<const __nv_bfloat16 *>(a.qkv) +
          ((size_t)row.row * (a.heads + 2 * a.kv_heads) + row.head) * a.head_dim + piece * 8);
    *reinterpret_cast<uint4 *>(q + bf16_tile<HD>::at(query, piece)) = x;
  }
}

/* MT: tiles of 16 queries in the item. The warps that share one divide positions and dimensions. */
template <int HD, int MT> struct paged_tile {
  static constexpr int sharers = 4 / MT;
  static constexpr int positions = PAGED_CHUNK / sharers; /* of a warp's scores */
  static constexpr int dims = HD / sharers;               /* of a warp's values */
  static constexpr int groups = positions / 32;

  float acc[dims / 8][4];
  float m[2], l[2];
  paged_query rows[2];
  int share; /* which of the sharers this warp is */

  /* s = q k^T for the warp's positions */
  __device__ __forceinline__ void scores(float (&s)[positions / 8][4], const __nv_bfloat16 *q,
                                         const __nv_bfloat16 *keys) const
  {
    fragment_address<HD, BY_ROW> q_address(q);
    fragment_address<HD, BY_COLUMN> address(keys + share * positions * HD);
#pragma unroll
    for (int i = 0; i < positions / 8; i++) s[i][0] = s[i][1] = s[i][2] = s[i][3] = 0;
#pragma unroll 2
    for (int k = 0; k < HD / 16; k++) {
      uint32_t a[4];
      ldmatrix_x4(a, q_address.at(0, k));
#pragma unroll
      for (int i = 0; i < positions / 16; i++) {
        uint32_t b[4];
        ldmatrix_x4(b, address.at(i, k));
        mma_pair(s[2 * i], s[2 * i + 1], a, b);
      }
    }
  }

  /* Minus infinity at positions that a row doesn't see. */
  template <bool LOCAL>
  __device__ __forceinline__ void mask(float (&s)[positions / 8][4], int chunk, int window) const
  {
    int first = chunk * PAGED_CHUNK + share * positions;
    if (first + positions - 1 <= min(rows[0].pos, rows[1].pos) &&
        (!LOCAL || first > max(rows[0].pos, rows[1].pos) - window))
      return;
    first += (int)threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < positions / 8; i++)
#pragma unroll
      for (int e = 0; e < 4; e++)
        if (first + 8 * i + e % 2 > rows[e / 2].pos ||
            (LOCAL && first + 8 * i + e % 2 <= rows[e / 2].pos - window))
          s[i][e] = -INFINITY;
  }

  __device__ __forceinline__ void cap(float (&s)[positions / 8][4], float capping) const
  {
#pragma unroll
    for (int i = 0; i < positions / 8; i++)
#pragma unroll
      for (int e = 0; e < 4; e++) s[i][e] = cap_score(s[i][e], capping);
  }

  /* The chunk's maxima (unscaled). */
  __device__ __forceinline__ void maxima(float (&highest)[2], const float (&s)[positions / 8][4],
                                         paged_shared<HD> *shared) const
  {
    int lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float x = -INFINITY;
#pragma unroll
      for (int i = 0; i < positions / 8; i++) x = fmaxf(x, fmaxf(s[i][2 * r], s[i][2 * r + 1]));
      x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
      highest[r] = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
    }
    if constexpr (sharers > 1) {
      if (lane % 4 == 0) {
        shared->highest[share * 16 + lane / 4] = highest[0];
        shared->highest[share * 16 + lane / 4 + 8] = highest[1];
      }
      __syncthreads();
#pragma unroll
      for (int r = 0; r < 2; r++)
#pragma unroll
        for (int w = 0; w < sharers; w++)
          highest[r] = fmaxf(highest[r], shared->highest[w * 16 + lane / 4 + 8 * r]);
    }
  }

  /* s becomes p; sums[g] are those of 32 positions each. */
  __device__ __forceinline__ void exponentials(float (&s)[positions / 8][4], float (&sums)[groups][2],
                                               const float (&highest)[2], float scale) const
  {
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float shift = highest[r] == -INFINITY ? 0.0f : __fmul_rn(highest[r], scale);
#pragma unroll
      for (int g = 0; g < groups; g++) {
        float sum = 0;
#pragma unroll
        for (int i = 4 * g; i < 4 * g + 4; i++)
#pragma unroll
          for (int e = 2 * r; e < 2 * r + 2; e++) {
            s[i][e] = exp2_fast(__fmaf_rn(s[i][e], scale, -shift));
            sum = __fadd_rn(sum, s[i][e]);
          }
        sum = __fadd_rn(sum, __shfl_xor_sync(0xffffffffu, sum, 1));
        sums[g][r] = __fadd_rn(sum, __shfl_xor_sync(0xffffffffu, sum, 2));
      }
    }
  }

  /* Sharers leave their p and sums for the others. */
  __device__ __forceinline__ void show(const float (&s)[positions / 8][4], const float (&sums)[groups][2],
                                       paged_shared<HD> *shared) const
  {
    int lane = (int)threadIdx.x % 32, group = lane / 4, quad = lane % 4;
#pragma unroll
    for (int i = 0; i < positions / 8; i++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        int piece = share * (positions / 8) + i;
        uint32_t pair = pack_bf16(s[i][2 * r], s[i][2 * r + 1]);
        memcpy(shared->p() + bf16_tile<PAGED_CHUNK>::at(group + 8 * r, piece) + 2 * quad, &pair, sizeof pair);
      }
    if (quad == 0) {
      shared->sums[share * 16 + group] = sums[0][0];
      shared->sums[share * 16 + group + 8] = sums[0][1];
    }
  }

  __device__ __forceinline__ float sum_of_groups(const float (&sums)[groups][2], int r,
                                                 const paged_shared<HD> *shared) const
  {
    float x[4];
#pragma unroll
    for (int g = 0; g < 4; g++) {
      if constexpr (sharers > 1)
        x[g] = shared->sums[g * 16 + (int)threadIdx.x % 32 / 4 + 8 * r];
      else
        x[g] = sums[g][r];
    }
    return __fadd_rn(__fadd_rn(__fadd_rn(x[0], x[1]), x[2]), x[3]);
  }

  /* o = p v for dimensions [first, first + WIDTH) of the warp's */
  template <int WIDTH>
  __device__ __forceinline__ void products(float (&o)[WIDTH / 8][4], const uint32_t (&p)[PAGED_CHUNK / 16][4],
                                           const __nv_bfloat16 *values, int first) const
  {
    fragment_address<HD, BY_ROW> address(values);
#pragma unroll
    for (int i = 0; i < WIDTH / 8; i++) o[i][0] = o[i][1] = o[i][2] = o[i][3] = 0;
#pragma unroll
    for (int k = 0; k < PAGED_CHUNK / 16; k++)
#pragma unroll
      for (int i = 0; i < WIDTH / 16; i++) {
        uint32_t b[4];
        ldmatrix_x4_trans(b, address.at(k, (share * dims + first) / 16 + i));
        mma_pair(o[2 * i], o[2 * i + 1], p[k], b);
      }
  }

  __device__ __forceinline__ void begin_item()
  {
    m[0] = m[1] = -INFINITY;
    l[0] = l[1] = 0;
#pragma unroll
    for (int i = 0; i < dims / 8; i++) acc[i][0] = acc[i][1] = acc[i][2] = acc[i][3] = 0;
  }

  /* Folds a chunk in. Of an item's first chunk nothing but the chunk itself must remain. */
  __device__ __forceinline__ void fold_chunk(const uint32_t (&p)[PAGED_CHUNK / 16][4],
                                             const __nv_bfloat16 *values, const float (&chunk_m)[2],
                                             const float (&chunk_l)[2])
  {
    constexpr int width = dims < 64 ? dims : 64;
    fold_factors f[2];
    bool fresh[2], some[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
      some[r] = chunk_m[r] > -INFINITY;
      fresh[r] = some[r] && m[r] == -INFINITY;
      f[r] = {1, 0};
      if (fresh[r]) {
        m[r] = chunk_m[r];
        l[r] = chunk_l[r];
      } else if (some[r]) {
        f[r] = fold_sums(m[r], l[r], chunk_m[r], chunk_l[r]);
      }
    }
#pragma unroll
    for (int first = 0; first < dims; first += width) {
      float o[width / 8][4];
      products<width>(o, p, values, first);
#pragma unroll
      for (int i = 0; i < width / 8; i++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          float &sum = acc[first / 8 + i][e];
          float folded = fold_value(sum, o[i][e], f[e / 2]);
          sum = fresh[e / 2] ? o[i][e] : some[e / 2] ? folded : sum;
        }
    }
  }

  __device__ __forceinline__ void store(const paged_arguments &a) const
  {
    int lane = (int)threadIdx.x % 32, quad = lane % 4;
#pragma unroll
    for (int r = 0; r < 2; r++) {
      if (m[r] == -INFINITY) continue; /* no such row, or none of its chunks is here */
      float *part = part_at(a, max(rows[r].part, 0), rows[r].head);
      __nv_bfloat16 *out =
          static_cast<__nv_bfloat16 *>(a.out) + ((size_t)rows[r].row * a.heads + rows[r].head) * a.head_dim;
      float inverse = __frcp_rn(l[r]);
#pragma unroll
      for (int i = 0; i < dims / 8; i++) {
        int c = share * dims + 8 * i + 2 * quad;
        float2 x = make_float2(acc[i][2 * r], acc[i][2 * r + 1]);
        if (c >= a.head_dim) continue;
        if (rows[r].part >= 0)
          *reinterpret_cast<float2 *>(part + 4 + c) = x;
        else
          *reinterpret_cast<uint32_t *>(out + c) = pack_bf16(x.x * inverse, x.y * inverse);
      }
      if (rows[r].part >= 0 && share == 0 && quad == 0)
        *reinterpret_cast<float4 *>(part) = make_float4(m[r], l[r], 0, 0);
    }
  }
};

template <int HD, int MT, bool LOCAL>
__device__ __forceinline__ void attend_item(const paged_arguments &a, const paged_work &work,
                                            kv_ring<HD, LOCAL> &ring, paged_shared<HD> *shared)
{
  typedef paged_tile<HD, MT> tile_of;
  constexpr int sharers = tile_of::sharers;
  int warp = (int)threadIdx.x / 32, group = (int)threadIdx.x % 32 / 4;
  int chunk = work.item->chunk, end = work.item->end;
  tile_of t;
  t.share = warp / MT;
  int query = warp % MT * 16;
  __syncthreads(); /* the last item's queries are done with */
  load_queries<HD, MT>(shared->q, a, work);
  /* This warp only helps to load: it meets the others at the ring's barriers. One loop for both would cost 24
   * bytes of spilled registers at head dimension 128. */
  if (MT > 1 && query >= work.item->n_rows * a.tile_heads) {
    for (; chunk < end; chunk++) {
      ring.next();
      ring.next();
    }
    return;
  }
  t.rows[0] = find_row(a, work, query + group);
  t.rows[1] = find_row(a, work, query + group + 8);
  t.begin_item();
  const float scale = LOCAL ? a.capped_log2 : a.scale;
  for (; chunk < end; chunk++) {
    float s[tile_of::positions / 8][4], sums[tile_of::groups][2], chunk_m[2], chunk_l[2];
    uint32_t p[PAGED_CHUNK / 16][4];
    t.scores(s, shared->q + query * HD, ring.next());
    if (LOCAL && a.capping > 0) t.cap(s, a.capping);
    t.template mask<LOCAL>(s, chunk, a.window);
    t.maxima(chunk_m, s, shared);
    t.exponentials(s, sums, chunk_m, scale);
    if constexpr (sharers > 1) {
      t.show(s, sums, shared);
    } else {
#pragma unroll
      for (int k = 0; k < PAGED_CHUNK / 16; k++) pack_fragment(p[k], s[2 * k], s[2 * k + 1]);
    }
    const __nv_bfloat16 *values = ring.next();
    if constexpr (sharers > 1) {
      fragment_address<PAGED_CHUNK, BY_ROW> address(shared->p());
#pragma unroll
      for (int k = 0; k < PAGED_CHUNK / 16; k++) ldmatrix_x4(p[k], address.at(0, k));
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
      chunk_l[r] = t.sum_of_groups(sums, r, shared);
      if (chunk_m[r] > -INFINITY) chunk_m[r] = __fmul_rn(chunk_m[r], scale);
    }
    t.fold_chunk(p, values, chunk_m, chunk_l);
  }
  t.store(a);
}

template <int HD> constexpr int paged_blocks = HD <= 128 ? 2 : 1; /* on a multiprocessor */

template <int HD, bool LOCAL>
__global__ void __launch_bounds__(128, paged_blocks<HD>) paged_tensor(paged_arguments a)
{
  TPO_DYNAMIC_SHARED(unsigned char, bytes);
  __nv_bfloat16 *tiles = reinterpret_cast<__nv_bfloat16 *>(bytes);
  paged_shared<HD> *shared = reinterpret_cast<paged_shared<HD> *>(
      tiles + kv_ring<HD, LOCAL>::n_tiles * kv_ring<HD, LOCAL>::tile_elements);
  kv_ring<HD, LOCAL> ring(a, tiles);
  paged_work work;
  for (int round = 0; take_work(work, a, round); round++) {
    if constexpr (HD <= 128) {
      if (work.item->wide) {
        attend_item<HD, 4, LOCAL>(a, work, ring, shared);
        continue;
      }
    }
    attend_item<HD, 1, LOCAL>(a, work, ring, shared);
  }
  cp_async_wait<0>();
}

template <int HD, bool LOCAL>
bool launch_tensor(struct tpo_cuda *cuda, const paged_arguments &a, long long most)
{
  size_t bytes =
      (size_t)kv_ring<HD, LOCAL>::n_tiles * kv_ring<HD, LOCAL>::tile_elements * sizeof(__nv_bfloat16) +
      sizeof(paged_shared<HD>);
  size_t fit = cuda->shared_limit / bytes;
  if (fit == 0) return false;
  long long blocks =
      (long long)cuda->multiprocessors * (fit < paged_blocks<HD> ? (int)fit : paged_blocks<HD>);
  if (blocks > most) blocks = most;
  if (tpo_attention_allow_shared(cuda, reinterpret_cast<const void *>(paged_tensor<HD, LOCAL>), bytes))
    TPO_LAUNCH((paged_tensor<HD, LOCAL>), dim3((unsigned)blocks), dim3(128), bytes, cuda->stream, a);
  return true;
}

template <bool LOCAL> bool launch_head(struct tpo_cuda *cuda, const paged_arguments &a, long long most)
{
  if (a.head_dim % 8 != 0 || a.head_dim > 256) return false;
  if (a.head_dim <= 64) return launch_tensor<64, LOCAL>(cuda, a, most);
  if (a.head_dim <= 128) return launch_tensor<128, LOCAL>(cuda, a, most);
  return launch_tensor<256, LOCAL>(cuda, a, most);
}

} // namespace

bool tpo_paged_tensor(struct tpo_cuda *cuda, const paged_arguments &a, bool local, long long most)
{
  return local ? launch_head<true>(cuda, a, most) : launch_head<false>(cuda, a, most);
}
