/* Training attention, forward: packed causal sequences with grouped heads.
 *
 *   s_ij = cap(q_i . k_j scale), i - window < j <= i;  cap(s) = softcap tanh(s / softcap), or s
 *   lse_i = log sum_j exp(s_ij);  out_i = sum_j exp(s_ij - lse_i) v_j
 *
 * bf16, head_dim a multiple of 8: a block owns 128 queries of one head and goes over the keys 64 at a time
 * (32 for head_dim > 128), which the next cp.async copies bring in while the tensor cores work on these. A
 * warp owns 32 queries (16 for head_dim > 128): its scores, its softmax and its rows of out stay in
 * registers, the scores turn into the second product's operand where they are, and every fragment of K and V
 * that is read from shared memory serves two tiles of 16 queries. Maxima and sums are online, in powers of 2.
 * Keys that no query of a warp may see are skipped by 64, so the diagonal costs half and a window no more than
 * its width. For head_dim > 128 a block owns 64 queries where a GPU has less shared memory.
 *
 * Work: 4 head_dim flop a query, key and head. Bound: mma.sync, which on H100 reaches 60-70 % of wgmma's peak
 * (about 600 of 989 TFLOP/s); reads of shared memory take 3/4 of that time beside it. Bytes: q, out once; k,
 * v once a block, mostly from L2, as blocks of one key head run together.
 *
 * fp32, and bf16 with other head dimensions: the same order of work in plain fp32 arithmetic, 32 queries and
 * 32 keys at a time. */
#include "attention_plain.cuh"

#include <stdlib.h>
#include <string.h>

int tpo_attention_count_tiles(const int32_t *cu_seqlens_host, int n_seqs, int rows)
{
  int n = 0;
  for (int s = 0; s < n_seqs; s++) n += tpo_ceil_div(cu_seqlens_host[s + 1] - cu_seqlens_host[s], rows);
  return n;
}

/* How many tiles of the other kind the i-th of n tiles meets, less one. */
static int work_of(int i, int n, enum tpo_attention_order order)
{
  return order == TPO_TILES_OF_QUERIES ? i : n - 1 - i;
}

/* Sorted by counting; place [most + 1] for a longest sequence of `most` tiles. */
static void sort_tiles(struct tpo_attention_tile *tiles, int *place, int most, const int32_t *cu, int n_seqs,
                       int rows, enum tpo_attention_order order)
{
  memset(place, 0, (size_t)(most + 1) * sizeof *place);
  for (int s = 0; s < n_seqs; s++) {
    int n = tpo_ceil_div(cu[s + 1] - cu[s], rows);
    if (n > 0) place[n - 1]++;
  }
  /* from sequences with exactly work + 1 tiles to those
   * with more than work: each has one tile with that much */
  for (int work = most - 1; work >= 0; work--) place[work] += place[work + 1];
  for (int work = most - 1, before = 0; work >= 0; work--) {
    int here = place[work];
    place[work] = before;
    before += here;
  }
  for (int s = 0; s < n_seqs; s++) {
    int length = cu[s + 1] - cu[s], n = tpo_ceil_div(length, rows);
    for (int i = 0; i < n; i++) {
      struct tpo_attention_tile tile = {cu[s], length, i * rows, 0};
      tiles[place[work_of(i, n, order)]++] = tile;
    }
  }
}

bool tpo_attention_upload_tiles(struct tpo_cuda *cuda, struct tpo_attention_tile *tiles,
                                const int32_t *cu_seqlens_host, int n_seqs, int rows,
                                enum tpo_attention_order order)
{
  int n_tiles = tpo_attention_count_tiles(cu_seqlens_host, n_seqs, rows), most = 0;
  for (int s = 0; s < n_seqs; s++) {
    int n = tpo_ceil_div(cu_seqlens_host[s + 1] - cu_seqlens_host[s], rows);
    if (n > most) most = n;
  }
  size_t bytes = (size_t)n_tiles * sizeof *tiles;
  void *host = malloc(bytes + (size_t)(most + 1) * sizeof(int));
  if (!host) {
    tpo_cuda_fail(cuda, TPO_E_MEMORY, "attention: no host memory for a list of %d tiles", n_tiles);
    return false;
  }
  int *place = reinterpret_cast<int *>(static_cast<char *>(host) + bytes);
  sort_tiles(static_cast<struct tpo_attention_tile *>(host), place, most, cu_seqlens_host, n_seqs, rows,
             order);
  tpo_cuda_upload(&cuda->base, tiles, host, bytes);
  free(host);
  return true;
}

bool tpo_attention_allow_shared(struct tpo_cuda *cuda, const void *kernel, size_t bytes)
{
  if (bytes <= 48 * 1024) return true;
  if (bytes > cuda->shared_limit) {
    tpo_cuda_fail(cuda, TPO_E_UNSUPPORTED,
                  "attention: a block of GPU %d can have %zu bytes of shared memory, heads of this size and "
                  "type need %zu",
                  cuda->device, cuda->shared_limit, bytes);
    return false;
  }
  return tpo_cuda_ok(cuda,
                     cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes),
                     "attention: shared memory of a block");
}

/* Warps of a block: half of them where a GPU's blocks can't have the shared memory for the queries of all. A
 * warp's results don't depend on how many there are. */
template <int HD> constexpr int forward_warps = HD <= 128 ? 4 : 8;

template <int HD, int WARPS = forward_warps<HD>> struct forward_plan {
  static constexpr int m_tiles = HD <= 128 ? 2 : 1; /* of 16 queries, a warp */
  static constexpr int warps = WARPS;
  static constexpr int threads = 32 * warps;
  static constexpr int rows = 16 * m_tiles * warps;
  static constexpr int keys = HD <= 128 ? 64 : 32;
  static constexpr int blocks = HD <= 32 ? 3 : HD <= 128 ? 2 : 1; /* a multiprocessor */
  static constexpr int stage = 2 * keys * HD;                     /* elements: keys, then values */
  static constexpr size_t shared_bytes = (size_t)(rows * HD + 2 * stage) * sizeof(__nv_bfloat16);
};

/* A warp's results so far; the lane has rows group and group + 8 of each m tile. */
template <int HD> struct forward_state {
  static constexpr int m_tiles = forward_plan<HD>::m_tiles;
  float out[m_tiles][HD / 8][4];
  float highest[m_tiles][2]; /* of the row's scores, unscaled */
  float sum[m_tiles][2];     /* of exponentials in this lane's columns */
};

/* s = q k^T for the warp's queries and all keys of the stage */
template <int HD>
__device__ __forceinline__ void
forward_scores(float (&s)[forward_plan<HD>::m_tiles][forward_plan<HD>::keys / 8][4],
               fragment_address<HD, BY_ROW> q, const __nv_bfloat16 *keys)
{
  using plan = forward_plan<HD>;
  fragment_address<HD, BY_COLUMN> k(keys);
#pragma unroll
  for (int m = 0; m < plan::m_tiles; m++)
#pragma unroll
    for (int n = 0; n < plan::keys / 8; n++) s[m][n][0] = s[m][n][1] = s[m][n][2] = s[m][n][3] = 0;
#pragma unroll 4 /* as addresses repeat; all at once would take more registers than there are */
  for (int c = 0; c < HD / 16; c++) {
    uint32_t a[plan::m_tiles][4];
#pragma unroll
    for (int m = 0; m < plan::m_tiles; m++) ldmatrix_x4(a[m], q.at(m, c));
#pragma unroll
    for (int n = 0; n < plan::keys / 16; n++) {
      uint32_t b[4];
      ldmatrix_x4(b, k.at(n, c));
#pragma unroll
      for (int m = 0; m < plan::m_tiles; m++) mma_pair(s[m][2 * n], s[m][2 * n + 1], a[m], b);
    }
  }
}

/* s = tanh(s scale / softcap) */
template <int M_TILES, int KEYS>
__device__ __forceinline__ void forward_cap(float (&s)[M_TILES][KEYS / 8][4], float capping)
{
#pragma unroll
  for (int m = 0; m < M_TILES; m++)
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) s[m][n][e] = cap_score(s[m][n][e], capping);
}

/* Minus infinity where the key comes after the query or before its window; `ahead`: the warp's first query
 * less the first key. */
template <bool LOCAL, int M_TILES, int KEYS>
__device__ __forceinline__ void forward_mask(float (&s)[M_TILES][KEYS / 8][4], int ahead, int window)
{
  int lane = (int)threadIdx.x % 32, last = ahead + lane / 4 - lane % 4 * 2;
#pragma unroll
  for (int m = 0; m < M_TILES; m++)
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        const int key = 8 * n + e % 2 - 16 * m - e / 2 * 8;
        if (key > last || (LOCAL && key <= last - window)) s[m][n][e] = -INFINITY;
      }
}

/* The rows' maxima with these scores; what was gathered under a lower maximum is scaled down. Maxima are
 * finite: the first tile has a key for every query, or no_score() is. */
template <int HD>
__device__ __forceinline__ void
forward_rescale(const float (&s)[forward_plan<HD>::m_tiles][forward_plan<HD>::keys / 8][4],
                forward_state<HD> &state, float scale)
{
  using plan = forward_plan<HD>;
  float factor[plan::m_tiles][2];
  bool rises = false;
#pragma unroll
  for (int m = 0; m < plan::m_tiles; m++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float before = state.highest[m][r], highest = before;
#pragma unroll
      for (int n = 0; n < plan::keys / 8; n++)
        highest = fmaxf(highest, fmaxf(s[m][n][2 * r], s[m][n][2 * r + 1]));
      highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, 1));
      highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, 2));
      rises = rises || highest > before;
      factor[m][r] = exp2_fast((before - highest) * scale);
      state.highest[m][r] = highest;
    }
  if (!__any_sync(0xffffffffu, rises)) return; /* all factors are 1: most tiles, after the first few */
#pragma unroll
  for (int m = 0; m < plan::m_tiles; m++) {
    state.sum[m][0] *= factor[m][0];
    state.sum[m][1] *= factor[m][1];
#pragma unroll
    for (int j = 0; j < HD / 8; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) state.out[m][j][e] *= factor[m][e / 2];
  }
}

/* s = exp(s - highest) */
template <int HD>
__device__ __forceinline__ void
forward_exponentials(float (&s)[forward_plan<HD>::m_tiles][forward_plan<HD>::keys / 8][4],
                     forward_state<HD> &state, float scale)
{
  using plan = forward_plan<HD>;
#pragma unroll
  for (int m = 0; m < plan::m_tiles; m++)
#pragma unroll
    for (int n = 0; n < plan::keys / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++)
        state.sum[m][e / 2] += s[m][n][e] =
            exp2_fast(fmaf(s[m][n][e], scale, -state.highest[m][e / 2] * scale));
}

/* out += p v */
template <int HD>
__device__ __forceinline__ void
forward_values(forward_state<HD> &state,
               const float (&p)[forward_plan<HD>::m_tiles][forward_plan<HD>::keys / 8][4],
               const __nv_bfloat16 *values)
{
  using plan = forward_plan<HD>;
  fragment_address<HD, BY_ROW> v(values);
#pragma unroll
  for (int n = 0; n < plan::keys / 16; n++) {
    uint32_t a[plan::m_tiles][4];
#pragma unroll
    for (int m = 0; m < plan::m_tiles; m++) pack_fragment(a[m], p[m][2 * n], p[m][2 * n + 1]);
#pragma unroll
    for (int j = 0; j < HD / 16; j++) {
      uint32_t b[4];
      ldmatrix_x4_trans(b, v.at(n, j));
#pragma unroll
      for (int m = 0; m < plan::m_tiles; m++) mma_pair(state.out[m][2 * j], state.out[m][2 * j + 1], a[m], b);
    }
  }
}

/* `first`: the warp's first query in the tile; `staging`: its rows of the queries' tile. `scale`: of scores. */
template <int HD>
__device__ __forceinline__ void forward_store(const forward_args<__nv_bfloat16> &args,
                                              const struct tpo_attention_tile &tile, int head, int first,
                                              __nv_bfloat16 *staging, forward_state<HD> &state, float scale)
{
  size_t out_elements = args.size.out_elements;
  int lane = (int)threadIdx.x % 32;
#pragma unroll
  for (int m = 0; m < forward_plan<HD>::m_tiles; m++) {
    int row = tile.at + first + 16 * m; /* within the sequence */
    float inverse[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float sum = state.sum[m][r];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      inverse[r] = 1.0f / sum;
      int mine = row + lane / 4 + 8 * r;
      if (lane % 4 == 0 && mine < tile.length)
        args.lse[(size_t)(tile.start + mine) * args.size.heads + head] =
            state.highest[m][r] * scale + logf(sum);
    }
    store_rows<HD>(args.out + (size_t)(tile.start + row) * out_elements + (size_t)head * args.size.head_dim,
                   out_elements, tile.length - row, args.size.pieces, staging + m * 16 * HD, state.out[m],
                   inverse[0], inverse[1]);
  }
}

/* Grid: heads, tiles. */
template <int HD, int WARPS, bool LOCAL>
__global__ void __launch_bounds__(forward_plan<HD, WARPS>::threads, forward_plan<HD, WARPS>::blocks)
    flash_forward(const kernel_args<forward_args<__nv_bfloat16>, LOCAL> args)
{
  using plan = forward_plan<HD, WARPS>;
  TPO_DYNAMIC_SHARED(__nv_bfloat16, q_tile);
  __nv_bfloat16 *stages = q_tile + plan::rows * HD;
  const struct tpo_attention_tile tile = args.tiles[blockIdx.y];
  const int head = (int)blockIdx.x, head_dim = args.size.head_dim, pieces = args.size.pieces;
  const int kv_head = head / args.size.group;
  const unsigned row_elements = args.size.row_elements;
  const __nv_bfloat16 *keys = args.qkv + (args.size.heads + kv_head) * head_dim;
  const int end = min(tile.at + plan::rows, tile.length); /* keys that the block sees */
  const int window = local_of(args).window;
  const int begin = LOCAL ? max(tile.at - window + 1, 0) / plan::keys * plan::keys : 0;

  auto load_stage = [&](int first) {
    __nv_bfloat16 *to = stages + first / plan::keys % 2 * plan::stage;
    load_tile<HD, plan::keys, plan::threads>(to, keys, tile.start + first, row_elements, end - first, pieces);
    load_tile<HD, plan::keys, plan::threads>(to + plan::keys * HD, keys + args.size.value_at,
                                             tile.start + first, row_elements, end - first, pieces);
    cp_async_commit();
  };
  load_tile<HD, plan::rows, plan::threads>(q_tile, args.qkv + head * head_dim, tile.start + tile.at,
                                           row_elements, tile.length - tile.at, pieces);
  load_stage(begin);

  const int first_row = (int)threadIdx.x / 32 * 16 * plan::m_tiles; /* of the warp, in the tile */
  /* after the last key that the warp sees; what it doesn't store needs none */
  const int warp_end = tile.at + first_row < tile.length ? tile.at + first_row + 16 * plan::m_tiles : 0;
  forward_state<HD> state;
#pragma unroll
  for (int m = 0; m < plan::m_tiles; m++) {
    state.highest[m][0] = state.highest[m][1] = no_score<LOCAL>();
    state.sum[m][0] = state.sum[m][1] = 0;
#pragma unroll
    for (int j = 0; j < HD / 8; j++)
      state.out[m][j][0] = state.out[m][j][1] = state.out[m][j][2] = state.out[m][j][3] = 0;
  }
  for (int first = begin; first < end; first += plan::keys) {
    cp_async_wait<0>();
    __syncthreads(); /* the stage is there, and all warps are done with the one before */
    if (first + plan::keys < end) load_stage(first + plan::keys);
    if (first >= warp_end) continue;
    if (LOCAL && first + plan::keys + window <= warp_end - 16 * plan::m_tiles + 1) continue;
    const __nv_bfloat16 *stage = stages + first / plan::keys % 2 * plan::stage;
    const int thread = thread_here();
    fragment_address<HD, BY_ROW> q(q_tile + thread / 32 * 16 * plan::m_tiles * HD, thread % 32);
    float s[plan::m_tiles][plan::keys / 8][4];
    forward_scores<HD>(s, q, stage);
    if (LOCAL && local_of(args).capping > 0)
      forward_cap<plan::m_tiles, plan::keys>(s, local_of(args).capping);
    if (first + plan::keys + 16 * plan::m_tiles > warp_end + 1 || (LOCAL && first + window < warp_end))
      forward_mask<LOCAL, plan::m_tiles, plan::keys>(s, warp_end - 16 * plan::m_tiles - first, window);
    const float scale_log2 = LOCAL ? local_of(args).capped_log2 : args.size.scale_log2;
    forward_rescale<HD>(s, state, scale_log2);
    forward_exponentials<HD>(s, state, scale_log2);
    forward_values<HD>(state, s, stage + plan::keys * HD);
  }
  if (warp_end > 0)
    forward_store<HD>(args, args.tiles[blockIdx.y], (int)blockIdx.x, first_row, q_tile + first_row * HD,
                      state, LOCAL ? local_of(args).capped : args.size.scale);
}

/* Everything that a launch needs besides the kernel: false when there is nothing to do or no memory. */
template <class Act>
static bool prepare(struct tpo_cuda *cuda, forward_args<Act> *args, int rows, const int32_t *cu_seqlens_host,
                    int n_seqs, dim3 *grid)
{
  int n_tiles = tpo_attention_count_tiles(cu_seqlens_host, n_seqs, rows);
  if (n_tiles == 0) return false;
  struct tpo_attention_tile *tiles = static_cast<struct tpo_attention_tile *>(
      tpo_cuda_scratch(cuda, TPO_CUDA_SLOT_OPS, (size_t)n_tiles * sizeof *tiles));
  if (!tiles || !tpo_attention_upload_tiles(cuda, tiles, cu_seqlens_host, n_seqs, rows, TPO_TILES_OF_QUERIES))
    return false;
  args->tiles = tiles;
  *grid = dim3((unsigned)args->size.heads, (unsigned)n_tiles);
  return true;
}

template <int HD, int WARPS, bool LOCAL>
static void launch_warps(struct tpo_cuda *cuda, with_local<forward_args<__nv_bfloat16>> args,
                         const int32_t *cu_seqlens_host, int n_seqs)
{
  using plan = forward_plan<HD, WARPS>;
  dim3 grid;
  if (!prepare(cuda, &args, plan::rows, cu_seqlens_host, n_seqs, &grid) ||
      !tpo_attention_allow_shared(cuda, reinterpret_cast<const void *>(flash_forward<HD, WARPS, LOCAL>),
                                  plan::shared_bytes))
    return;
  TPO_LAUNCH((flash_forward<HD, WARPS, LOCAL>), grid, dim3(plan::threads), plan::shared_bytes, cuda->stream,
             args);
  tpo_cuda_launched(cuda, "attention");
}

template <int HD, bool LOCAL>
static void launch_flash(struct tpo_cuda *cuda, const with_local<forward_args<__nv_bfloat16>> &args,
                         const int32_t *cu_seqlens_host, int n_seqs)
{
  constexpr int warps = forward_warps<HD>;
  if constexpr (forward_plan<HD, warps>::shared_bytes > TPO_CUDA_LEAST_SHARED)
    if (forward_plan<HD, warps>::shared_bytes > cuda->shared_limit) {
      launch_warps<HD, warps / 2, LOCAL>(cuda, args, cu_seqlens_host, n_seqs);
      return;
    }
  launch_warps<HD, warps, LOCAL>(cuda, args, cu_seqlens_host, n_seqs);
}

template <class Act, int SLOTS, bool LOCAL>
static void launch_plain(struct tpo_cuda *cuda, with_local<forward_args<Act>> args,
                         const int32_t *cu_seqlens_host, int n_seqs)
{
  const size_t bytes = (size_t)(3 * plain_tile<SLOTS>::floats + PLAIN_ROWS * PLAIN_SCORES) * sizeof(float);
  dim3 grid;
  if (!prepare(cuda, &args, PLAIN_ROWS, cu_seqlens_host, n_seqs, &grid) ||
      !tpo_attention_allow_shared(cuda, reinterpret_cast<const void *>(plain_forward<Act, SLOTS, LOCAL>),
                                  bytes))
    return;
  TPO_LAUNCH((plain_forward<Act, SLOTS, LOCAL>), grid, dim3(PLAIN_THREADS), bytes, cuda->stream, args);
  tpo_cuda_launched(cuda, "attention");
}

template <bool LOCAL, class Act>
static void forward_plain(struct tpo_cuda *cuda, const with_local<forward_args<Act>> &args, const int32_t *cu,
                          int n_seqs)
{
  if (args.size.head_dim <= 64)
    launch_plain<Act, 1, LOCAL>(cuda, args, cu, n_seqs);
  else if (args.size.head_dim <= 128)
    launch_plain<Act, 2, LOCAL>(cuda, args, cu, n_seqs);
  else if (args.size.head_dim <= 256)
    launch_plain<Act, 4, LOCAL>(cuda, args, cu, n_seqs);
  else
    tpo_cuda_fail(cuda, TPO_E_UNSUPPORTED, "attention: head_dim is %d, at most 256 is possible",
                  args.size.head_dim);
}

template <bool LOCAL>
static void forward(struct tpo_cuda *cuda, const with_local<forward_args<float>> &args, const int32_t *cu,
                    int n_seqs)
{
  forward_plain<LOCAL>(cuda, args, cu, n_seqs);
}

/* No model with heads of 32 or less has a window that people train: one kernel serves them all. */
template <bool LOCAL>
static void forward(struct tpo_cuda *cuda, const with_local<forward_args<__nv_bfloat16>> &args,
                    const int32_t *cu, int n_seqs)
{
  int head_dim = args.size.head_dim;
  if (!tpo_attention_has_tensor_kernel(head_dim))
    forward_plain<LOCAL>(cuda, args, cu, n_seqs);
  else if (!LOCAL && head_dim <= 16)
    launch_flash<LOCAL ? 64 : 16, LOCAL>(cuda, args, cu, n_seqs);
  else if (!LOCAL && head_dim <= 32)
    launch_flash<LOCAL ? 64 : 32, LOCAL>(cuda, args, cu, n_seqs);
  else if (head_dim <= 64)
    launch_flash<64, LOCAL>(cuda, args, cu, n_seqs);
  else if (head_dim <= 96)
    launch_flash<96, LOCAL>(cuda, args, cu, n_seqs);
  else if (head_dim <= 128)
    launch_flash<128, LOCAL>(cuda, args, cu, n_seqs);
  else
    launch_flash<256, LOCAL>(cuda, args, cu, n_seqs);
}

template <class Act>
void tpo_cuda_attention(struct tpo_backend *be, const void *qkv, void *out, float *lse,
                        struct tpo_attention_shape shape, const int32_t *cu_seqlens_host, int n_seqs)
{
  with_local<forward_args<Act>> args = {
      {tpo_attention_sizes(shape), static_cast<const Act *>(qkv), static_cast<Act *>(out), lse, NULL},
      tpo_attention_local(shape)};
  if (tpo_attention_is_local(shape))
    forward<true>(tpo_cuda_of(be), args, cu_seqlens_host, n_seqs);
  else
    forward<false>(tpo_cuda_of(be), args, cu_seqlens_host, n_seqs);
}

template void tpo_cuda_attention<float>(struct tpo_backend *, const void *, void *, float *,
                                        struct tpo_attention_shape, const int32_t *, int);
template void tpo_cuda_attention<__nv_bfloat16>(struct tpo_backend *, const void *, void *, float *,
                                                struct tpo_attention_shape, const int32_t *, int);
