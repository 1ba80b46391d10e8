/* Attention without tensor cores, for fp32 and for head dimensions that the tensor-core kernels
 * don't take: plain fp32 arithmetic, any head_dim up to 256. attention.cu and
 * attention_backward.cu launch what is here. */
#ifndef TPO_CUDA_ATTENTION_PLAIN_CUH
#define TPO_CUDA_ATTENTION_PLAIN_CUH

#include "attention_tile.cuh"

/* 256 threads as 16 x 16, tiles of 32 tokens in fp32. A thread (x, y) has scores of rows y, y + 16 and
 * columns x, x + 16, and of results rows y, y + 16 and columns 4 x .. 4 x + 3 of every 64; SLOTS: how many
 * times 64 columns. Rows are padded by 16 bytes, so that 8 rows at one column lie in different banks. */
enum { PLAIN_ROWS = 32, PLAIN_THREADS = 256, PLAIN_SCORES = PLAIN_ROWS + 1 };

template <int SLOTS> struct plain_tile {
  static constexpr int width = 64 * SLOTS + 4;
  static constexpr int floats = PLAIN_ROWS * width;
  static constexpr int blocks = SLOTS == 1 ? 2 : 1; /* a multiprocessor */
};

template <class Act, int SLOTS>
__device__ __forceinline__ void plain_load(float *tile, const Act *from, size_t row_elements, int rows,
                                           int head_dim)
{
  int width = (head_dim + 3) / 4 * 4; /* the dot products read whole groups of 4 */
  for (int i = (int)threadIdx.x; i < PLAIN_ROWS * width; i += PLAIN_THREADS) {
    int row = i / width, c = i % width;
    bool valid = row < rows && c < head_dim;
    tile[row * plain_tile<SLOTS>::width + c] = valid ? to_float(from[(size_t)row * row_elements + c]) : 0.0f;
  }
}

__device__ __forceinline__ float dot4(float4 a, float4 b, float sum)
{
  return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

/* s[i][j] = a row (y + 16 i) . b row (x + 16 j) */
template <int SLOTS>
__device__ __forceinline__ void plain_dots(float (&s)[2][2], const float *a, const float *b, int head_dim)
{
  constexpr int width = plain_tile<SLOTS>::width;
  int x = (int)threadIdx.x % 16, y = (int)threadIdx.x / 16;
  s[0][0] = s[0][1] = s[1][0] = s[1][1] = 0;
#pragma unroll 2
  for (int c = 0; c < head_dim; c += 4) {
    float4 a0 = *reinterpret_cast<const float4 *>(a + y * width + c);
    float4 a1 = *reinterpret_cast<const float4 *>(a + (y + 16) * width + c);
    float4 b0 = *reinterpret_cast<const float4 *>(b + x * width + c);
    float4 b1 = *reinterpret_cast<const float4 *>(b + (x + 16) * width + c);
    s[0][0] = dot4(a0, b0, s[0][0]);
    s[0][1] = dot4(a0, b1, s[0][1]);
    s[1][0] = dot4(a1, b0, s[1][0]);
    s[1][1] = dot4(a1, b1, s[1][1]);
  }
}

/* acc[i] (row y + 16 i) += sum over k of weights[(y + 16 i) row_step + k k_step] b row k */
template <int SLOTS>
__device__ __forceinline__ void plain_accumulate(float4 (&acc)[2][SLOTS], const float *weights, int row_step,
                                                 int k_step, const float *b, int head_dim)
{
  int x = (int)threadIdx.x % 16, y = (int)threadIdx.x / 16;
#pragma unroll 2
  for (int k = 0; k < PLAIN_ROWS; k++) {
    float w0 = weights[y * row_step + k * k_step], w1 = weights[(y + 16) * row_step + k * k_step];
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++) {
      int c = 64 * slot + 4 * x;
      if (c >= head_dim) continue;
      float4 v = *reinterpret_cast<const float4 *>(b + k * plain_tile<SLOTS>::width + c);
      float4 &low = acc[0][slot], &high = acc[1][slot];
      low =
          make_float4(fmaf(w0, v.x, low.x), fmaf(w0, v.y, low.y), fmaf(w0, v.z, low.z), fmaf(w0, v.w, low.w));
      high = make_float4(fmaf(w1, v.x, high.x), fmaf(w1, v.y, high.y), fmaf(w1, v.z, high.z),
                         fmaf(w1, v.w, high.w));
    }
  }
}

/* Row y + 16 i of the tile, if it is one of `rows`, becomes scale[i] acc[i]. */
template <class Act, int SLOTS>
__device__ __forceinline__ void plain_store(Act *to, size_t row_elements, int rows, int head_dim,
                                            const float4 (&acc)[2][SLOTS], const float (&scale)[2])
{
  int x = (int)threadIdx.x % 16, y = (int)threadIdx.x / 16;
#pragma unroll
  for (int i = 0; i < 2; i++) {
    if (y + 16 * i >= rows) continue;
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++) {
      float4 v = acc[i][slot];
      float values[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
      for (int e = 0; e < 4; e++) {
        int c = 64 * slot + 4 * x + e;
        if (c < head_dim) to[(size_t)(y + 16 * i) * row_elements + c] = from_float<Act>(values[e] * scale[i]);
      }
    }
  }
}

/* One tile of keys: s becomes exponentials in `p`, acc is scaled down. A row's 16 threads are one half of a
 * warp. */
template <int SLOTS>
__device__ __forceinline__ void plain_softmax(float (&s)[2][2], float *p, float (&highest)[2],
                                              float (&sum)[2], float4 (&acc)[2][SLOTS])
{
  int x = (int)threadIdx.x % 16, y = (int)threadIdx.x / 16;
#pragma unroll
  for (int i = 0; i < 2; i++) {
    float top = fmaxf(highest[i], fmaxf(s[i][0], s[i][1]));
#pragma unroll
    for (int step = 8; step > 0; step /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, step));
    float factor = expf(highest[i] - top), p0 = expf(s[i][0] - top), p1 = expf(s[i][1] - top);
    highest[i] = top;
    sum[i] = sum[i] * factor + (p0 + p1);
    p[(y + 16 * i) * PLAIN_SCORES + x] = p0;
    p[(y + 16 * i) * PLAIN_SCORES + x + 16] = p1;
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++) {
      float4 &v = acc[i][slot];
      v = make_float4(v.x * factor, v.y * factor, v.z * factor, v.w * factor);
    }
  }
}

/* The score of a product of query and key. */
template <bool LOCAL>
__device__ __forceinline__ float plain_score(float dot, float scale, const struct attention_local &local)
{
  if (LOCAL && local.softcap > 0) return local.softcap * tanhf(dot * scale / local.softcap);
  return dot * scale;
}

/* The first tile of keys that queries from `at` on see. */
template <bool LOCAL> __device__ __forceinline__ int plain_begin(int at, const struct attention_local &local)
{
  return LOCAL ? max(at - local.window + 1, 0) / PLAIN_ROWS * PLAIN_ROWS : 0;
}

/* Grid: heads, tiles of PLAIN_ROWS. */
template <class Act, int SLOTS, bool LOCAL>
__global__ void __launch_bounds__(PLAIN_THREADS, plain_tile<SLOTS>::blocks)
    plain_forward(const kernel_args<forward_args<Act>, LOCAL> args)
{
  TPO_DYNAMIC_SHARED(float, q);
  float *k = q + plain_tile<SLOTS>::floats, *v = k + plain_tile<SLOTS>::floats,
        *p = v + plain_tile<SLOTS>::floats;
  const struct tpo_attention_tile tile = args.tiles[blockIdx.y];
  const int head = (int)blockIdx.x, head_dim = args.size.head_dim, x = (int)threadIdx.x % 16,
            y = (int)threadIdx.x / 16;
  const int kv_head = head / args.size.group;
  const size_t row_elements = args.size.row_elements, out_elements = (size_t)args.size.heads * head_dim;
  const Act *sequence = args.qkv + (size_t)tile.start * row_elements;
  const Act *keys = sequence + (size_t)(args.size.heads + kv_head) * head_dim;
  const Act *values = keys + (size_t)args.size.value_at;
  const int rows = tile.length - tile.at;

  plain_load<Act, SLOTS>(q, sequence + (size_t)tile.at * row_elements + (size_t)head * head_dim, row_elements,
                         rows, head_dim);
  float highest[2] = {no_score<LOCAL>(), no_score<LOCAL>()}, sum[2] = {0, 0};
  float4 acc[2][SLOTS];
#pragma unroll
  for (int slot = 0; slot < SLOTS; slot++) acc[0][slot] = acc[1][slot] = make_float4(0, 0, 0, 0);
  for (int first = plain_begin<LOCAL>(tile.at, local_of(args)); first <= tile.at; first += PLAIN_ROWS) {
    __syncthreads();
    plain_load<Act, SLOTS>(k, keys + (size_t)first * row_elements, row_elements, tile.length - first,
                           head_dim);
    plain_load<Act, SLOTS>(v, values + (size_t)first * row_elements, row_elements, tile.length - first,
                           head_dim);
    __syncthreads();
    float s[2][2];
    plain_dots<SLOTS>(s, q, k, head_dim);
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int j = 0; j < 2; j++) {
        int key = first + x + 16 * j, query = tile.at + y + 16 * i;
        bool seen = key <= query && (!LOCAL || query - key < local_of(args).window);
        s[i][j] = seen ? plain_score<LOCAL>(s[i][j], args.size.scale, local_of(args)) : -INFINITY;
      }
    plain_softmax<SLOTS>(s, p, highest, sum, acc);
    __syncwarp(); /* a row of p is of one warp */
    plain_accumulate<SLOTS>(acc, p, PLAIN_SCORES, 1, v, head_dim);
  }
  float inverse[2];
#pragma unroll
  for (int i = 0; i < 2; i++) {
#pragma unroll
    for (int step = 8; step > 0; step /= 2) sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], step);
    inverse[i] = 1.0f / sum[i];
    if (x == 0 && y + 16 * i < rows)
      args.lse[(size_t)(tile.start + tile.at + y + 16 * i) * args.size.heads + head] =
          highest[i] + logf(sum[i]);
  }
  plain_store<Act, SLOTS>(args.out + (size_t)(tile.start + tile.at) * out_elements + (size_t)head * head_dim,
                          out_elements, rows, head_dim, acc, inverse);
}

/* p = exp(s - lse) and ds of 32 queries and 32 keys, into tiles of [query, key]; zero where the query doesn't
 * see the key or isn't there. `ahead`: the first query less the first key. */
template <int SLOTS, bool LOCAL>
__device__ __forceinline__ void plain_gradients(float *p, float *ds, const float *q, const float *k,
                                                const float *dout, const float *v, const float2 *rows,
                                                int ahead, int n_rows, int head_dim, float scale,
                                                const struct attention_local &local)
{
  int x = (int)threadIdx.x % 16, y = (int)threadIdx.x / 16;
  float s[2][2], dp[2][2];
  plain_dots<SLOTS>(s, q, k, head_dim);
  plain_dots<SLOTS>(dp, dout, v, head_dim);
#pragma unroll
  for (int i = 0; i < 2; i++) {
    int query = y + 16 * i;
    float2 row = query < n_rows ? rows[query] : make_float2(0, 0);
#pragma unroll
    for (int j = 0; j < 2; j++) {
      int key = x + 16 * j;
      bool seen = key <= query + ahead && query < n_rows;
      if constexpr (LOCAL) {
        float score = plain_score<LOCAL>(s[i][j], scale, local), slope = 1;
        if (local.softcap > 0) slope -= score / local.softcap * (score / local.softcap);
        seen = seen && query + ahead - key < local.window;
        s[i][j] = seen ? expf(score - row.x) : 0.0f;
        dp[i][j] = seen ? s[i][j] * (dp[i][j] - row.y) * slope : 0.0f;
      } else {
        s[i][j] = seen ? expf(fmaf(s[i][j], scale, -row.x)) : 0.0f;
        dp[i][j] = seen ? s[i][j] * (dp[i][j] - row.y) : 0.0f;
      }
      if (p) p[query * PLAIN_SCORES + key] = s[i][j];
      ds[query * PLAIN_SCORES + key] = dp[i][j];
    }
  }
}

/* Grid: key heads, tiles of PLAIN_ROWS keys. */
template <class Act, int SLOTS, bool LOCAL>
__global__ void __launch_bounds__(PLAIN_THREADS, plain_tile<SLOTS>::blocks)
    plain_keys(const kernel_args<backward_args<Act>, LOCAL> args)
{
  constexpr int floats = plain_tile<SLOTS>::floats;
  TPO_DYNAMIC_SHARED(float, k);
  float *v = k + floats, *q = v + floats, *dout = q + floats, *p = dout + floats,
        *ds = p + PLAIN_ROWS * PLAIN_SCORES;
  const struct tpo_attention_tile tile = args.key_tiles[blockIdx.y];
  const struct attention_sizes size = args.size;
  const int kv_head = (int)blockIdx.x, group = size.group, head_dim = size.head_dim;
  const size_t row_elements = args.size.row_elements, out_elements = args.size.out_elements;
  const Act *sequence = args.qkv + (size_t)tile.start * row_elements;
  const size_t key_at = (size_t)tile.at * row_elements + (size_t)(size.heads + kv_head) * head_dim;
  const int rows = tile.length - tile.at;

  plain_load<Act, SLOTS>(k, sequence + key_at, row_elements, rows, head_dim);
  plain_load<Act, SLOTS>(v, sequence + key_at + size.value_at, row_elements, rows, head_dim);
  float4 dk[2][SLOTS], dv[2][SLOTS];
#pragma unroll
  for (int slot = 0; slot < SLOTS; slot++)
    dk[0][slot] = dk[1][slot] = dv[0][slot] = dv[1][slot] = make_float4(0, 0, 0, 0);
  /* after the last query that sees a key of the tile */
  const int end = LOCAL ? min(tile.at + PLAIN_ROWS - 1 + local_of(args).window, tile.length) : tile.length;
  for (int head = kv_head * group; head < (kv_head + 1) * group; head++)
    for (int first = tile.at; first < end; first += PLAIN_ROWS) {
      const size_t row = (size_t)tile.start + first;
      __syncthreads();
      plain_load<Act, SLOTS>(q, args.qkv + row * row_elements + (size_t)head * head_dim, row_elements,
                             tile.length - first, head_dim);
      plain_load<Act, SLOTS>(dout, args.dout + row * out_elements + (size_t)head * head_dim, out_elements,
                             tile.length - first, head_dim);
      __syncthreads();
      plain_gradients<SLOTS, LOCAL>(p, ds, q, k, dout, v, args.rows + (size_t)head * args.rows_step + row,
                                    first - tile.at, tile.length - first, head_dim, args.size.scale,
                                    local_of(args));
      __syncthreads();
      plain_accumulate<SLOTS>(dv, p, 1, PLAIN_SCORES, dout, head_dim);
      plain_accumulate<SLOTS>(dk, ds, 1, PLAIN_SCORES, q, head_dim);
    }
  Act *to = args.dqkv + (size_t)tile.start * row_elements + key_at;
  const float dk_scale[2] = {args.size.scale, args.size.scale}, dv_scale[2] = {1, 1};
  plain_store<Act, SLOTS>(to, row_elements, rows, head_dim, dk, dk_scale);
  plain_store<Act, SLOTS>(to + size.value_at, row_elements, rows, head_dim, dv, dv_scale);
}

/* Grid: heads, tiles of PLAIN_ROWS queries. */
template <class Act, int SLOTS, bool LOCAL>
__global__ void __launch_bounds__(PLAIN_THREADS, plain_tile<SLOTS>::blocks)
    plain_queries(const kernel_args<backward_args<Act>, LOCAL> args)
{
  constexpr int floats = plain_tile<SLOTS>::floats;
  TPO_DYNAMIC_SHARED(float, q);
  float *dout = q + floats, *k = dout + floats, *v = k + floats, *ds = v + floats;
  const struct tpo_attention_tile tile = args.query_tiles[blockIdx.y];
  const struct attention_sizes size = args.size;
  const int head = (int)blockIdx.x, kv_head = head / size.group, head_dim = size.head_dim;
  const size_t row_elements = args.size.row_elements, out_elements = args.size.out_elements;
  const Act *sequence = args.qkv + (size_t)tile.start * row_elements;
  const Act *keys = sequence + (size_t)(size.heads + kv_head) * head_dim;
  const size_t row = (size_t)tile.start + tile.at, column = (size_t)head * head_dim;
  const int rows = tile.length - tile.at;

  plain_load<Act, SLOTS>(q, args.qkv + row * row_elements + column, row_elements, rows, head_dim);
  plain_load<Act, SLOTS>(dout, args.dout + row * out_elements + column, out_elements, rows, head_dim);
  float4 dq[2][SLOTS];
#pragma unroll
  for (int slot = 0; slot < SLOTS; slot++) dq[0][slot] = dq[1][slot] = make_float4(0, 0, 0, 0);
  for (int first = plain_begin<LOCAL>(tile.at, local_of(args)); first <= tile.at; first += PLAIN_ROWS) {
    const Act *from = keys + (size_t)first * row_elements;
    __syncthreads();
    plain_load<Act, SLOTS>(k, from, row_elements, tile.length - first, head_dim);
    plain_load<Act, SLOTS>(v, from + size.value_at, row_elements, tile.length - first, head_dim);
    __syncthreads();
    plain_gradients<SLOTS, LOCAL>(NULL, ds, q, k, dout, v, args.rows + (size_t)head * args.rows_step + row,
                                  tile.at - first, rows, head_dim, args.size.scale, local_of(args));
    __syncwarp(); /* a row of ds is of one warp */
    plain_accumulate<SLOTS>(dq, ds, PLAIN_SCORES, 1, k, head_dim);
  }
  const float scale[2] = {args.size.scale, args.size.scale};
  plain_store<Act, SLOTS>(args.dqkv + row * row_elements + column, row_elements, rows, head_dim, dq, scale);
}

#endif
