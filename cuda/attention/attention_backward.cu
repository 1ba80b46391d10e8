/* Training attention, backward (forward: attention.cu).
 *
 *   p_ij = exp(s_ij - lse_i);  d_i = dout_i . out_i
 *   dp_ij = dout_i . v_j;  ds_ij = p_ij (dp_ij - d_i) scale, with a softcap times 1 - (s_ij / softcap)^2
 *   dq_i = sum_j ds_ij k_j;  dk_j = sum_i ds_ij q_i;  dv_j = sum_i p_ij dout_i
 *
 * where the sums for a key head go over the queries i of all its query heads, in a window those that see j.
 *
 * Three kernels, all sums in a fixed order and none by atomics: d (memory-bound: dout and out once); dk and
 * dv; dq. The last two both compute p and dp: 7 products of matrices where 5 would do, which costs less than
 * passing dq's partial sums through memory in a fixed order.
 *
 * bf16, head_dim a multiple of 8: a block owns 128 keys (64 for head_dim <= 64 or > 128) and goes over the
 * queries after them, for each query head of the group, 64 at a time, double-buffered (32 for head_dim > 128,
 * and half where a GPU has less shared memory); for dq the other way round. A warp owns 16 keys (or queries):
 * their fragments (for keys of 128 columns, 7/8 of them) and their gradients stay in registers, and the
 * transposed scores of 16 queries at a time turn into the next product's operand where they are, so nothing
 * but the inputs passes through shared memory. That makes one ldmatrix.x4 for 2 mma.m16n8k16, the bound on
 * H100: about 0.8 of the mma.sync peak (which is 60-70 % of wgmma's). For head_dim > 128, dk and dv are
 * computed in two halves of columns and fragments are read from shared memory each time.
 *
 * fp32, and bf16 with other head dimensions: the same in plain fp32 arithmetic, 32 queries and 32 keys at a
 * time. */
#include "attention_plain.cuh"

/* rows[head][i] = (lse_i lse_scale, d_i). LANES threads a row and head, WIDTH elements a thread at a time. */
template <class Act, int WIDTH, int LANES>
__global__ void __launch_bounds__(256) row_sums(const backward_args<Act> args, float lse_scale)
{
  struct alignas(WIDTH * sizeof(Act)) elements {
    Act at[WIDTH];
  };
  size_t item = (size_t)blockIdx.x * (256 / LANES) + threadIdx.x / LANES;
  bool valid = item < (size_t)args.n * args.size.heads;
  float sum = 0;
  if (valid) {
    const Act *dout = args.dout + item * args.size.head_dim, *out = args.out + item * args.size.head_dim;
    for (int c = (int)threadIdx.x % LANES * WIDTH; c < args.size.head_dim; c += LANES * WIDTH) {
      elements a = *reinterpret_cast<const elements *>(dout + c),
               b = *reinterpret_cast<const elements *>(out + c);
#pragma unroll
      for (int e = 0; e < WIDTH; e++) sum = fmaf(to_float(a.at[e]), to_float(b.at[e]), sum);
    }
  }
#pragma unroll
  for (int step = LANES / 2; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  if (valid && threadIdx.x % LANES == 0) {
    size_t row = item / args.size.heads, head = item % args.size.heads;
    args.rows[head * args.rows_step + row] = make_float2(args.lse[item] * lse_scale, sum);
  }
}

/* Queries or keys that a block meets at a time. A GPU whose blocks can't have the shared memory for so many
 * takes half: 16 come after 16 either way, so the sums have the same order and the results the same bits. */
template <int HD> constexpr int backward_stage_rows = HD <= 128 ? 64 : 32;

template <int HD, int STAGE_ROWS> struct backward_plan {
  static constexpr int warps = HD == 96 || HD == 128 ? 8 : 4;
  static constexpr int threads = 32 * warps;
  static constexpr int rows = 16 * warps; /* keys or queries that a block owns */
  static constexpr int stage_rows = STAGE_ROWS;
  /* fragments of its own rows that stay in registers: with 8, dk and dv would leave too few */
  static constexpr int held_keys = HD <= 96 ? HD / 16 : HD <= 128 ? 7 : 0;
  static constexpr int held_queries = HD <= 128 ? HD / 16 : 0;
  static constexpr int columns = HD <= 128 ? HD : 128; /* of dk and dv */
  static constexpr int blocks = HD <= 64 ? 3 : 1;      /* a multiprocessor */
  static constexpr int stage = 2 * stage_rows * HD;    /* elements: two tiles */
  static constexpr int stage_sums = stage_rows + 2;    /* float2: the first may be one before an even place */
  static constexpr size_t shared_bytes = (size_t)(2 * rows * HD + 2 * stage) * sizeof(__nv_bfloat16);
  static constexpr size_t shared_bytes_sums = shared_bytes + 2 * stage_sums * sizeof(float2);
};

/* Fragments of `a` of a warp's 16 rows: the first HELD stay in registers, the others are read each time. */
template <int HD, int HELD> struct own_rows {
  uint32_t fragment[HELD > 0 ? HELD : 1][4];
  fragment_address<HD, BY_ROW> from;

  __device__ __forceinline__ explicit own_rows(const __nv_bfloat16 *tile) : from(tile)
  {
#pragma unroll
    for (int c = 0; c < HELD; c++) ldmatrix_x4(fragment[c], from.at(0, c));
  }

  __device__ __forceinline__ void get(uint32_t (&a)[4], int c) const
  {
    if (c >= HELD) {
      ldmatrix_x4(a, from.at(0, c));
      return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) a[i] = fragment[c][i];
  }
};

template <int N> __device__ __forceinline__ void clear(float (&acc)[N][4])
{
#pragma unroll
  for (int j = 0; j < N; j++) acc[j][0] = acc[j][1] = acc[j][2] = acc[j][3] = 0;
}

/* s = own_s met^T and dp = own_dp met_dp^T, for 16 own rows and PAIRS * 16 rows of the stage's
 * two tiles, which lie APART rows from one another. The two go side by side, as each alone
 * would wait for its own sums. */
template <int HD, int HELD, int PAIRS, int APART>
__device__ __forceinline__ void
backward_scores(float (&s)[2 * PAIRS][4], float (&dp)[2 * PAIRS][4], const own_rows<HD, HELD> &own_s,
                const own_rows<HD, HELD> &own_dp, fragment_address<HD, BY_COLUMN> met)
{
  clear(s);
  clear(dp);
#pragma unroll(HELD > 0 ? HD / 16 : 4) /* where fragments aren't held, fewer live at a time */
  for (int c = 0; c < HD / 16; c++) {
    uint32_t a[4], b[4];
    own_s.get(a, c);
#pragma unroll
    for (int n = 0; n < PAIRS; n++) {
      ldmatrix_x4(b, met.at(n, c));
      mma_pair(s[2 * n], s[2 * n + 1], a, b);
    }
    own_dp.get(a, c);
#pragma unroll
    for (int n = 0; n < PAIRS; n++) {
      ldmatrix_x4(b, met.at(APART / 16 + n, c));
      mma_pair(dp[2 * n], dp[2 * n + 1], a, b);
    }
  }
}

/* acc [16, COLS] += a [16, 16] rows 16 i .. of the tile */
template <int HD, int COLS>
__device__ __forceinline__ void add_product(float (&acc)[COLS / 8][4], const uint32_t (&a)[4],
                                            fragment_address<HD, BY_ROW> tile, int i)
{
#pragma unroll
  for (int j = 0; j < COLS / 16; j++) {
    uint32_t b[4];
    ldmatrix_x4_trans(b, tile.at(i, j));
    mma_pair(acc[2 * j], acc[2 * j + 1], a, b);
  }
}

/* ds of a LOCAL kernel's score, of its dp less d. */
__device__ __forceinline__ float score_gradient(float p, float dp, float tanh_of_score, float capping)
{
  return capping > 0 ? p * dp * fmaf(-tanh_of_score, tanh_of_score, 1.0f) : p * dp;
}

/* Scores of 16 queries become fragments of p^T and ds^T. `ahead`: the first query less the warp's first key;
 * `rows`: queries that exist. */
template <bool LOCAL>
__device__ __forceinline__ void key_fragments(uint32_t (&p)[4], uint32_t (&ds)[4], float (&s)[2][4],
                                              float (&dp)[2][4], const float2 *sums, int ahead, int rows,
                                              float scale, const struct attention_local &local)
{
  int lane = (int)threadIdx.x % 32, group = lane / 4, column = lane % 4 * 2;
  bool whole = ahead >= 15 && rows >= 16;
  if (LOCAL) whole = whole && ahead + 15 < local.window;
#pragma unroll
  for (int n = 0; n < 2; n++)
#pragma unroll
    for (int c = 0; c < 2; c++) {
      int query = 8 * n + column + c;
      float2 row = sums[query];
#pragma unroll
      for (int r = 0; r < 2; r++) {
        float &x = s[n][2 * r + c], &y = dp[n][2 * r + c];
        bool seen = whole || (group + 8 * r <= ahead + query && query < rows);
        if constexpr (LOCAL) {
          seen = seen && (whole || ahead + query - group - 8 * r < local.window);
          if (local.capping > 0) x = cap_score(x, local.capping);
          const float tanh_of_score = x;
          x = seen ? exp2_fast(fmaf(x, scale, -row.x)) : 0.0f;
          y = seen ? score_gradient(x, y - row.y, tanh_of_score, local.capping) : 0.0f;
        } else {
          x = seen ? exp2_fast(fmaf(x, scale, -row.x)) : 0.0f;
          y = seen ? x * (y - row.y) : 0.0f;
        }
      }
    }
  pack_fragment(p, s[0], s[1]);
  pack_fragment(ds, dp[0], dp[1]);
}

/* Grid: key heads and halves of columns, tiles of keys. */
template <int HD, int STAGE_ROWS, bool LOCAL>
__global__ void __launch_bounds__(backward_plan<HD, STAGE_ROWS>::threads,
                                  backward_plan<HD, STAGE_ROWS>::blocks)
    flash_keys(const kernel_args<backward_args<__nv_bfloat16>, LOCAL> args)
{
  using plan = backward_plan<HD, STAGE_ROWS>;
  constexpr int slices = HD / plan::columns;
  TPO_DYNAMIC_SHARED(__nv_bfloat16, k_tile);
  __nv_bfloat16 *v_tile = k_tile + plan::rows * HD, *stages = v_tile + plan::rows * HD;
  float2 *sums = reinterpret_cast<float2 *>(stages + 2 * plan::stage);
  const struct tpo_attention_tile tile = args.key_tiles[blockIdx.y];
  const int kv_head = (int)blockIdx.x / slices, slice = (int)blockIdx.x % slices;
  const int head_dim = args.size.head_dim, pieces = args.size.pieces, group = args.size.group;
  const unsigned row_elements = args.size.row_elements, out_elements = args.size.out_elements;
  /* after the last query that sees a key of the block */
  const int end = LOCAL ? min(tile.at + plan::rows - 1 + local_of(args).window, tile.length) : tile.length;

  auto load_stage = [&](int step, int head, int first) {
    const struct tpo_attention_tile tile = args.key_tiles[blockIdx.y];
    __nv_bfloat16 *to = stages + step % 2 * plan::stage;
    load_tile<HD, plan::stage_rows, plan::threads>(to, args.qkv + head * head_dim, tile.start + first,
                                                   row_elements, tile.length - first, pieces);
    load_tile<HD, plan::stage_rows, plan::threads>(to + plan::stage_rows * HD, args.dout + head * head_dim,
                                                   tile.start + first, out_elements, tile.length - first,
                                                   pieces);
    int even = (tile.start + first) / 2 * 2 + 2 * (int)threadIdx.x; /* 16 bytes are two rows */
    if (threadIdx.x < plan::stage_sums / 2)
      cp_async_16(sums + step % 2 * plan::stage_sums + 2 * threadIdx.x,
                  args.rows + (size_t)head * args.rows_step + even, even < args.rows_step);
    cp_async_commit();
  };
  const __nv_bfloat16 *keys = args.qkv + (args.size.heads + kv_head) * head_dim;
  load_tile<HD, plan::rows, plan::threads>(k_tile, keys, tile.start + tile.at, row_elements,
                                           tile.length - tile.at, pieces);
  load_tile<HD, plan::rows, plan::threads>(v_tile, keys + args.size.value_at, tile.start + tile.at,
                                           row_elements, tile.length - tile.at, pieces);
  cp_async_commit();
  int next_head = kv_head * group, next_first = tile.at, step = 0;
  load_stage(0, next_head, next_first);
  cp_async_wait<1>();
  __syncthreads();

  const int warp = (int)threadIdx.x / 32, first_key = tile.at + 16 * warp;
  own_rows<HD, plan::held_keys> k(k_tile + 16 * warp * HD), v(v_tile + 16 * warp * HD);
  float dk[plan::columns / 8][4], dv[plan::columns / 8][4];
  clear(dk);
  clear(dv);
  while (next_head < (kv_head + 1) * group) {
    const int first = next_first;
    next_first += plan::stage_rows;
    if (next_first >= end) {
      next_first = tile.at;
      next_head++;
    }
    cp_async_wait<0>();
    __syncthreads(); /* the stage is there, and all warps are done with the one before */
    if (next_head < (kv_head + 1) * group) load_stage(step + 1, next_head, next_first);
    /* 16 queries at a time: how far they are ahead of the warp's first key */
    int ahead = max(first - first_key, 0);
    const int start = ahead + first_key - first;
    int ahead_end = min(first + plan::stage_rows, tile.length) - first_key;
    if (LOCAL) ahead_end = min(ahead_end, local_of(args).window + 15);
    /* q; dout is stage_rows further on */
    const __nv_bfloat16 *met = stages + step % 2 * plan::stage + start * HD;
    const float2 *met_sums = sums + step % 2 * plan::stage_sums + (tile.start + first) % 2 + start;
    step++;
    if (first_key >= tile.length) continue;
#pragma unroll 1
    for (; ahead < ahead_end; ahead += 16) {
      float s[2][4], dp[2][4];
      uint32_t p[4], ds[4];
      backward_scores<HD, plan::held_keys, 1, plan::stage_rows>(
          s, dp, k, v, fragment_address<HD, BY_COLUMN>(met, thread_here() % 32));
      key_fragments<LOCAL>(p, ds, s, dp, met_sums, ahead, ahead_end - ahead,
                           LOCAL ? local_of(args).capped_log2 : args.size.scale_log2, local_of(args));
      fragment_address<HD, BY_ROW> columns(met + slice * plan::columns, thread_here() % 32);
      add_product<HD, plan::columns>(dv, p, columns, plan::stage_rows / 16);
      add_product<HD, plan::columns>(dk, ds, columns, 0);
      met += 16 * HD;
      met_sums += 16;
    }
  }
  __syncthreads(); /* the stages become the warps' staging */
  if (first_key >= tile.length) return;
  __nv_bfloat16 *to = args.dqkv + (size_t)(tile.start + first_key) * row_elements +
                      (args.size.heads + kv_head) * head_dim + slice * plan::columns;
  __nv_bfloat16 *staging = stages + warp * 16 * plan::columns;
  int kept = pieces - slice * (plan::columns / 8);
  store_rows<plan::columns>(to, row_elements, tile.length - first_key, kept, staging, dk, args.size.scale,
                            args.size.scale);
  store_rows<plan::columns>(to + args.size.value_at, row_elements, tile.length - first_key, kept, staging, dv,
                            1.0f, 1.0f);
}

/* Scores of 16 queries and PAIRS * 16 keys: dp becomes ds. `ahead`: the warp's first query less the first
 * key. */
template <int PAIRS, bool LOCAL>
__device__ __forceinline__ void query_gradients(float (&s)[2 * PAIRS][4], float (&dp)[2 * PAIRS][4],
                                                const float2 (&sums)[2], int ahead, float scale,
                                                const struct attention_local &local)
{
  int lane = (int)threadIdx.x % 32, last = ahead + lane / 4 - lane % 4 * 2;
  bool whole = ahead >= 16 * PAIRS - 1;
  if (LOCAL) whole = whole && ahead + 15 < local.window;
#pragma unroll
  for (int n = 0; n < 2 * PAIRS; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) {
      float2 row = sums[e / 2];
      bool seen = whole || 8 * n + e % 2 - e / 2 * 8 <= last;
      if constexpr (LOCAL) {
        seen = seen && (whole || 8 * n + e % 2 - e / 2 * 8 > last - local.window);
        if (local.capping > 0) s[n][e] = cap_score(s[n][e], local.capping);
        const float p = exp2_fast(fmaf(s[n][e], scale, -row.x));
        dp[n][e] = seen ? score_gradient(p, dp[n][e] - row.y, s[n][e], local.capping) : 0.0f;
      } else {
        dp[n][e] = seen ? exp2_fast(fmaf(s[n][e], scale, -row.x)) * (dp[n][e] - row.y) : 0.0f;
      }
    }
}

/* Grid: heads, tiles of queries. */
template <int HD, int STAGE_ROWS, bool LOCAL>
__global__ void __launch_bounds__(backward_plan<HD, STAGE_ROWS>::threads,
                                  backward_plan<HD, STAGE_ROWS>::blocks)
    flash_queries(const kernel_args<backward_args<__nv_bfloat16>, LOCAL> args)
{
  using plan = backward_plan<HD, STAGE_ROWS>;
  constexpr int pairs = HD <= 128 ? 2 : 1;
  TPO_DYNAMIC_SHARED(__nv_bfloat16, q_tile);
  __nv_bfloat16 *dout_tile = q_tile + plan::rows * HD, *stages = dout_tile + plan::rows * HD;
  const struct tpo_attention_tile tile = args.query_tiles[blockIdx.y];
  const int head = (int)blockIdx.x, kv_head = head / args.size.group;
  const int head_dim = args.size.head_dim, pieces = args.size.pieces;
  const unsigned row_elements = args.size.row_elements, out_elements = args.size.out_elements;
  const __nv_bfloat16 *keys = args.qkv + (args.size.heads + kv_head) * head_dim;
  const int end = min(tile.at + plan::rows, tile.length); /* keys that the block sees */
  const int begin =
      LOCAL ? max(tile.at - local_of(args).window + 1, 0) / plan::stage_rows * plan::stage_rows : 0;

  auto load_stage = [&](int first) {
    __nv_bfloat16 *to = stages + first / plan::stage_rows % 2 * plan::stage;
    load_tile<HD, plan::stage_rows, plan::threads>(to, keys, tile.start + first, row_elements, end - first,
                                                   pieces);
    load_tile<HD, plan::stage_rows, plan::threads>(to + plan::stage_rows * HD, keys + args.size.value_at,
                                                   tile.start + first, row_elements, end - first, pieces);
    cp_async_commit();
  };
  load_tile<HD, plan::rows, plan::threads>(q_tile, args.qkv + head * head_dim, tile.start + tile.at,
                                           row_elements, tile.length - tile.at, pieces);
  load_tile<HD, plan::rows, plan::threads>(dout_tile, args.dout + head * head_dim, tile.start + tile.at,
                                           out_elements, tile.length - tile.at, pieces);
  cp_async_commit();
  load_stage(begin);
  cp_async_wait<1>();
  __syncthreads();

  const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, first_query = tile.at + 16 * warp;
  own_rows<HD, plan::held_queries> q(q_tile + 16 * warp * HD), dout(dout_tile + 16 * warp * HD);
  float2 sums[2];
#pragma unroll
  for (int r = 0; r < 2; r++) {
    int row = first_query + lane / 4 + 8 * r;
    sums[r] =
        row < tile.length ? args.rows[(size_t)head * args.rows_step + tile.start + row] : make_float2(0, 0);
  }
  float dq[HD / 8][4];
  clear(dq);
  for (int first = begin; first < end; first += plan::stage_rows) {
    cp_async_wait<0>();
    __syncthreads(); /* the stage is there, and all warps are done with the one before */
    if (first + plan::stage_rows < end) load_stage(first + plan::stage_rows);
    const __nv_bfloat16 *stage = stages + first / plan::stage_rows % 2 * plan::stage;
    if (first_query >= tile.length) continue;
    const int most = min(plan::stage_rows, first_query + 16 - first);
    /* 16 keys at a time, from the first that the warp's first query sees */
    int i = LOCAL ? max(first_query - local_of(args).window + 1 - first, 0) / (16 * pairs) * pairs : 0;
#pragma unroll 1
    for (; 16 * i < most; i += pairs) {
      float s[2 * pairs][4], dp[2 * pairs][4];
      const __nv_bfloat16 *met = stage + i * 16 * HD; /* 16 rows of k, and those of v further on */
      backward_scores<HD, plan::held_queries, pairs, plan::stage_rows>(s, dp, q, dout,
                                                                       fragment_address<HD, BY_COLUMN>(met));
      query_gradients<pairs, LOCAL>(s, dp, sums, first_query - first - 16 * i,
                                    LOCAL ? local_of(args).capped_log2 : args.size.scale_log2,
                                    local_of(args));
#pragma unroll
      for (int n = 0; n < pairs; n++) {
        uint32_t ds[4];
        pack_fragment(ds, dp[2 * n], dp[2 * n + 1]);
        add_product<HD, HD>(dq, ds, fragment_address<HD, BY_ROW>(met), n);
      }
    }
  }
  if (first_query >= tile.length) return;
  store_rows<HD>(args.dqkv + (size_t)(tile.start + first_query) * row_elements + head * head_dim,
                 row_elements, tile.length - first_query, pieces, q_tile + 16 * warp * HD, dq,
                 args.size.scale, args.size.scale);
}

/* Everything that the launches need: false when there is nothing to do or no memory. */
template <class Act>
static bool prepare(struct tpo_cuda *cuda, backward_args<Act> *args, int rows, const int32_t *cu_seqlens_host,
                    int n_seqs)
{
  int n_tiles = tpo_attention_count_tiles(cu_seqlens_host, n_seqs, rows);
  if (n_tiles == 0) return false;
  args->n = cu_seqlens_host[n_seqs];
  args->rows_step = (args->n + 1) / 2 * 2;
  size_t tile_bytes = (size_t)n_tiles * sizeof(struct tpo_attention_tile);
  char *scratch = static_cast<char *>(tpo_cuda_scratch(
      cuda, TPO_CUDA_SLOT_OPS, 2 * tile_bytes + (size_t)args->size.heads * args->rows_step * sizeof(float2)));
  if (!scratch) return false;
  struct tpo_attention_tile *query_tiles = reinterpret_cast<struct tpo_attention_tile *>(scratch),
                            *key_tiles = query_tiles + n_tiles;
  args->query_tiles = query_tiles;
  args->key_tiles = key_tiles;
  args->rows = reinterpret_cast<float2 *>(scratch + 2 * tile_bytes);
  args->n_tiles = n_tiles;
  return tpo_attention_upload_tiles(cuda, query_tiles, cu_seqlens_host, n_seqs, rows, TPO_TILES_OF_QUERIES) &&
         tpo_attention_upload_tiles(cuda, key_tiles, cu_seqlens_host, n_seqs, rows, TPO_TILES_OF_KEYS);
}

template <class Act, int WIDTH, int LANES>
static void launch_row_sums(struct tpo_cuda *cuda, const backward_args<Act> &args, float lse_scale)
{
  const size_t items = (size_t)args.n * args.size.heads, each = 256 / LANES;
  TPO_LAUNCH((row_sums<Act, WIDTH, LANES>), dim3((unsigned)((items + each - 1) / each)), dim3(256), 0,
             cuda->stream, args, lse_scale);
  tpo_cuda_launched(cuda, "attention_backward");
}

template <int HD, int STAGE_ROWS, bool LOCAL>
static void launch_stages(struct tpo_cuda *cuda, with_local<backward_args<__nv_bfloat16>> args,
                          const int32_t *cu_seqlens_host, int n_seqs)
{
  using plan = backward_plan<HD, STAGE_ROWS>;
  if (!prepare(cuda, &args, plan::rows, cu_seqlens_host, n_seqs) ||
      !tpo_attention_allow_shared(cuda, reinterpret_cast<const void *>(flash_keys<HD, STAGE_ROWS, LOCAL>),
                                  plan::shared_bytes_sums) ||
      !tpo_attention_allow_shared(cuda, reinterpret_cast<const void *>(flash_queries<HD, STAGE_ROWS, LOCAL>),
                                  plan::shared_bytes))
    return;
  launch_row_sums<__nv_bfloat16, 8, HD <= 64 ? 8 : 16>(cuda, args, TPO_ATTENTION_LOG2E);
  const dim3 key_grid((unsigned)(args.size.kv_heads * (HD / plan::columns)), (unsigned)args.n_tiles),
      query_grid((unsigned)args.size.heads, (unsigned)args.n_tiles);
  TPO_LAUNCH((flash_keys<HD, STAGE_ROWS, LOCAL>), key_grid, dim3(plan::threads), plan::shared_bytes_sums,
             cuda->stream, args);
  tpo_cuda_launched(cuda, "attention_backward");
  TPO_LAUNCH((flash_queries<HD, STAGE_ROWS, LOCAL>), query_grid, dim3(plan::threads), plan::shared_bytes,
             cuda->stream, args);
  tpo_cuda_launched(cuda, "attention_backward");
}

template <int HD, bool LOCAL>
static void launch_flash(struct tpo_cuda *cuda, const with_local<backward_args<__nv_bfloat16>> &args,
                         const int32_t *cu_seqlens_host, int n_seqs)
{
  constexpr int rows = backward_stage_rows<HD>;
  if constexpr (backward_plan<HD, rows>::shared_bytes_sums > TPO_CUDA_LEAST_SHARED)
    if (backward_plan<HD, rows>::shared_bytes_sums > cuda->shared_limit) {
      launch_stages<HD, rows / 2, LOCAL>(cuda, args, cu_seqlens_host, n_seqs);
      return;
    }
  launch_stages<HD, rows, LOCAL>(cuda, args, cu_seqlens_host, n_seqs);
}

template <class Act, int SLOTS, bool LOCAL>
static void launch_plain(struct tpo_cuda *cuda, with_local<backward_args<Act>> args,
                         const int32_t *cu_seqlens_host, int n_seqs)
{
  const size_t bytes =
      (size_t)(4 * plain_tile<SLOTS>::floats + 2 * PLAIN_ROWS * PLAIN_SCORES) * sizeof(float);
  if (!prepare(cuda, &args, PLAIN_ROWS, cu_seqlens_host, n_seqs) ||
      !tpo_attention_allow_shared(cuda, reinterpret_cast<const void *>(plain_keys<Act, SLOTS, LOCAL>),
                                  bytes) ||
      !tpo_attention_allow_shared(cuda, reinterpret_cast<const void *>(plain_queries<Act, SLOTS, LOCAL>),
                                  bytes))
    return;
  launch_row_sums<Act, 1, 32>(cuda, args, 1.0f);
  const dim3 key_grid((unsigned)args.size.kv_heads, (unsigned)args.n_tiles),
      query_grid((unsigned)args.size.heads, (unsigned)args.n_tiles);
  TPO_LAUNCH((plain_keys<Act, SLOTS, LOCAL>), key_grid, dim3(PLAIN_THREADS), bytes, cuda->stream, args);
  tpo_cuda_launched(cuda, "attention_backward");
  TPO_LAUNCH((plain_queries<Act, SLOTS, LOCAL>), query_grid, dim3(PLAIN_THREADS), bytes, cuda->stream, args);
  tpo_cuda_launched(cuda, "attention_backward");
}

template <bool LOCAL, class Act>
static void backward_plain(struct tpo_cuda *cuda, const with_local<backward_args<Act>> &args,
                           const int32_t *cu, int n_seqs)
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
static void backward(struct tpo_cuda *cuda, const with_local<backward_args<float>> &args, const int32_t *cu,
                     int n_seqs)
{
  backward_plain<LOCAL>(cuda, args, cu, n_seqs);
}

/* Heads of 32 and less as in the forward. */
template <bool LOCAL>
static void backward(struct tpo_cuda *cuda, const with_local<backward_args<__nv_bfloat16>> &args,
                     const int32_t *cu, int n_seqs)
{
  int head_dim = args.size.head_dim;
  if (!tpo_attention_has_tensor_kernel(head_dim))
    backward_plain<LOCAL>(cuda, args, cu, n_seqs);
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
void tpo_cuda_attention_backward(struct tpo_backend *be, const void *dout, const void *qkv, const void *out,
                                 const float *lse, void *dqkv, struct tpo_attention_shape shape,
                                 const int32_t *cu_seqlens_host, int n_seqs)
{
  with_local<backward_args<Act>> args = {};
  args.dout = static_cast<const Act *>(dout);
  args.qkv = static_cast<const Act *>(qkv);
  args.out = static_cast<const Act *>(out);
  args.lse = lse;
  args.dqkv = static_cast<Act *>(dqkv);
  args.size = tpo_attention_sizes(shape);
  args.local = tpo_attention_local(shape);
  if (tpo_attention_is_local(shape))
    backward<true>(tpo_cuda_of(be), args, cu_seqlens_host, n_seqs);
  else
    backward<false>(tpo_cuda_of(be), args, cu_seqlens_host, n_seqs);
}

template void tpo_cuda_attention_backward<float>(struct tpo_backend *, const void *, const void *,
                                                 const void *, const float *, void *,
                                                 struct tpo_attention_shape, const int32_t *, int);
template void tpo_cuda_attention_backward<__nv_bfloat16>(struct tpo_backend *, const void *, const void *,
                                                         const void *, const float *, void *,
                                                         struct tpo_attention_shape, const int32_t *, int);
