/* What training attention's forward and backward share: the list of tiles that blocks work on, bf16 tiles in
 * shared memory with their tensor-core fragments, and fp32 tiles for the kernels without tensor cores.
 *
 * A tile is a few successive tokens of one sequence, counted from the sequence's own beginning: what a block
 * computes never depends on where the sequence stands in the batch. */
#ifndef TPO_CUDA_ATTENTION_TILE_CUH
#define TPO_CUDA_ATTENTION_TILE_CUH

#include "ops.cuh"
#include "ptx.cuh"

#include <type_traits>

struct alignas(16) tpo_attention_tile {
  int32_t start;  /* row of the sequence's first token */
  int32_t length; /* tokens of the sequence */
  int32_t at;     /* the tile's first token within the sequence */
  int32_t unused;
};

/* What a tile's block loops over: the keys before it, or the queries after it. */
enum tpo_attention_order { TPO_TILES_OF_QUERIES, TPO_TILES_OF_KEYS };

/* The number of tiles of `rows` tokens in all sequences. */
int tpo_attention_count_tiles(const int32_t *cu_seqlens_host, int n_seqs, int rows);
/* Uploads them to `tiles` on the device, those with the most work first (attention.cu). False when memory is
 * short, which is remembered for check. */
bool tpo_attention_upload_tiles(struct tpo_cuda *cuda, struct tpo_attention_tile *tiles,
                                const int32_t *cu_seqlens_host, int n_seqs, int rows,
                                enum tpo_attention_order order);
/* Lets `kernel` have that much dynamic shared memory; false (remembered) where the device hasn't got it. */
bool tpo_attention_allow_shared(struct tpo_cuda *cuda, const void *kernel, size_t bytes);

/* The head dimensions that the tensor-core kernels are made for; a head between two of them is padded with
 * zeros. */
static inline bool tpo_attention_has_tensor_kernel(int head_dim)
{
  return head_dim % 8 == 0 && head_dim <= 256;
}

#define TPO_ATTENTION_LOG2E 1.4426950408889634f

static inline bool tpo_attention_is_local(struct tpo_attention_shape shape)
{
  return shape.window > 0 || shape.softcap > 0;
}

/* The window; where there is none, one that holds every sequence and can be added to any position. */
static inline int tpo_attention_window(struct tpo_attention_shape shape)
{
  const int all = 1 << 30;
  return shape.window > 0 && shape.window < all ? shape.window : all;
}

/* What cap_score takes. */
static inline float tpo_attention_capping(struct tpo_attention_shape shape)
{
  return shape.softcap > 0 ? 2 * TPO_ATTENTION_LOG2E * tpo_attention_scale(shape) / shape.softcap : 0;
}

/* What kernels need of the shape, worked out on the host: there it costs no registers. */
struct attention_sizes {
  int heads, kv_heads, head_dim;
  int group;               /* query heads of a key head */
  int pieces;              /* of 8 elements in a head */
  unsigned row_elements;   /* of qkv: (heads + 2 kv_heads) * head_dim */
  unsigned out_elements;   /* of out: heads * head_dim */
  int value_at;            /* elements from a key head to its values: kv_heads * head_dim */
  float scale, scale_log2; /* of q . k; times log2(e) */
};

/* What LOCAL kernels need besides: those of models whose attention has a window or a softcap. The kernels of all
 * others are compiled as if there were neither. */
struct attention_local {
  int window;                /* a query sees so many keys, its own the last */
  float softcap, capping;    /* 0: none; 2 log2(e) scale / softcap */
  float capped, capped_log2; /* what a score is multiplied by after cap_score; times log2(e) */
};

static inline struct attention_sizes tpo_attention_sizes(struct tpo_attention_shape shape)
{
  const float scale = tpo_attention_scale(shape);
  struct attention_sizes size = {shape.heads,
                                 shape.kv_heads,
                                 shape.head_dim,
                                 shape.heads / shape.kv_heads,
                                 shape.head_dim / 8,
                                 (unsigned)((shape.heads + 2 * shape.kv_heads) * shape.head_dim),
                                 (unsigned)(shape.heads * shape.head_dim),
                                 shape.kv_heads * shape.head_dim,
                                 scale,
                                 scale * TPO_ATTENTION_LOG2E};
  return size;
}

static inline struct attention_local tpo_attention_local(struct tpo_attention_shape shape)
{
  const float capped = shape.softcap > 0 ? shape.softcap : tpo_attention_scale(shape);
  struct attention_local local = {tpo_attention_window(shape), shape.softcap, tpo_attention_capping(shape),
                                  capped, capped * TPO_ATTENTION_LOG2E};
  return local;
}

template <class Act> struct forward_args {
  struct attention_sizes size;
  const Act *qkv; /* [n, (heads + 2 kv_heads) * head_dim] */
  Act *out;       /* [n, heads * head_dim] */
  float *lse;     /* [n, heads] */
  const struct tpo_attention_tile *tiles;
};

template <class Act> struct backward_args {
  struct attention_sizes size;
  const Act *dout, *qkv, *out; /* [n, heads * head_dim], [n, (heads + 2 kv_heads) * head_dim] */
  const float *lse;            /* [n, heads] */
  Act *dqkv;
  float2 *rows;  /* [heads, rows_step] of query rows: lse (the tensor kernels': times log2(e)), d */
  int n;         /* query rows */
  int rows_step; /* n, made even */
  const struct tpo_attention_tile *query_tiles, *key_tiles;
  int n_tiles; /* of either */
};

/* The arguments of a LOCAL kernel; those of the others have nothing more than before, as even what they don't look
 * at would change their registers. */
template <class Args> struct with_local : Args {
  struct attention_local local;
};
template <class Args, bool LOCAL> using kernel_args = std::conditional_t<LOCAL, with_local<Args>, Args>;

template <class Args>
__device__ __forceinline__ const struct attention_local &local_of(const with_local<Args> &args)
{
  return args.local;
}

/* There is none: for code that isn't run. */
template <class Args> __device__ __forceinline__ struct attention_local local_of(const Args &)
{
  return {};
}

/* bf16 tiles. Rows of HD elements (HD: the padded head dimension), in pieces of 8 elements (16 bytes). The
 * piece's place within a row is exclusive-ored with the row's number, so that 8 rows at one column, which is
 * what ldmatrix reads at a time, lie in 8 different groups of banks. */
template <int HD> struct bf16_tile {
  static constexpr int pieces = HD / 8;
  static constexpr int period = pieces % 8 == 0 ? 8 : pieces % 4 == 0 ? 4 : 2;

  static __device__ __forceinline__ int twist(int row) { return row / (8 / period) % period; }

  static __device__ __forceinline__ int at(int row, int piece) { return row * HD + (piece ^ twist(row)) * 8; }
};

/* threadIdx.x, worked out anew at each place: what follows from it can't move out of a loop and take
 * registers there. */
__device__ __forceinline__ int thread_here()
{
  int thread = (int)threadIdx.x;
  asm volatile("" : "+r"(thread));
  return thread;
}

/* Starts the copy of ROWS rows from row `first` of `from` on, of which `rows` exist; columns from 8 `pieces`
 * on and missing rows become zero. A thread's rows are so far apart that their twist is the same, where the
 * row has a power of two of pieces: one address serves them all. */
template <int HD, int ROWS, int THREADS>
__device__ __forceinline__ void load_tile(__nv_bfloat16 *tile, const __nv_bfloat16 *from, int first,
                                          unsigned row_elements, int rows, int pieces)
{
  constexpr int width = bf16_tile<HD>::pieces;
  if constexpr (THREADS % (8 * width) == 0 && ROWS * width % THREADS == 0) {
    constexpr int step = THREADS / width;
    int thread = thread_here(), row = thread / width, piece = thread % width;
    if (piece >= pieces) rows = 0;
    from += (size_t)(unsigned)(first + row) * row_elements + piece * 8;
    tile += bf16_tile<HD>::at(row, piece);
#pragma unroll
    for (int i = 0; i < ROWS; i += step) {
      cp_async_16(tile + i * HD, from, row + i < rows);
      from += (size_t)step * row_elements;
    }
  } else {
#pragma unroll 4
    for (int i = (int)threadIdx.x; i < ROWS * width; i += THREADS) {
      int row = i / width, piece = i % width;
      cp_async_16(tile + bf16_tile<HD>::at(row, piece),
                  from + (size_t)(unsigned)(first + row) * row_elements + piece * 8,
                  row < rows && piece < pieces);
    }
  }
}

/* The address that a lane gives to ldmatrix, for 16 rows and 16 columns at a time. BY_ROW: matrices 0 and 1
 * are rows 0-7 and 8-15 of the first 8 columns, 2 and 3 of the next 8. That order is what a fragment of `a`
 * wants, and, transposed, two fragments of `b` whose k runs along the rows. BY_COLUMN: 0 and 1 are the column
 * halves of rows 0-7: two fragments of `b` whose k runs along the columns. */
enum fragment_order { BY_ROW, BY_COLUMN };

template <int HD, fragment_order ORDER> struct fragment_address {
  const __nv_bfloat16 *row;
  int twist;

  __device__ __forceinline__ explicit fragment_address(const __nv_bfloat16 *tile,
                                                       int lane = (int)threadIdx.x % 32)
  {
    int r = ORDER == BY_ROW ? lane % 16 : lane / 16 * 8 + lane % 8;
    row = tile + r * HD;
    twist = bf16_tile<HD>::twist(r) ^ (ORDER == BY_ROW ? lane / 16 : lane / 8 % 2);
  }

  /* The 16 x 16 block at rows 16 i and columns 16 j. */
  __device__ __forceinline__ const __nv_bfloat16 *at(int i, int j) const
  {
    constexpr int period = bf16_tile<HD>::period; /* above it a column is a constant distance away */
    return row + (i * 16 * HD + 2 * j / period * period * 8) + ((2 * j % period) ^ twist) * 8;
  }
};

/* acc[0] and acc[1] (columns 0-7 and 8-15) += a b, with b's two fragments as ldmatrix_x4 gave them. */
__device__ __forceinline__ void mma_pair(float (&left)[4], float (&right)[4], const uint32_t (&a)[4],
                                         const uint32_t (&b)[4])
{
  const uint32_t b_left[2] = {b[0], b[1]}, b_right[2] = {b[2], b[3]};
  mma_m16n8k16(left, a, b_left);
  mma_m16n8k16(right, a, b_right);
}

__device__ __forceinline__ uint32_t pack_bf16(float low, float high)
{
  __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, sizeof bits);
  return bits;
}

/* Two neighbouring accumulators [16, 8] as one fragment of `a` [16, 16]. */
__device__ __forceinline__ void pack_fragment(uint32_t (&a)[4], const float (&left)[4],
                                              const float (&right)[4])
{
  a[0] = pack_bf16(left[0], left[1]);
  a[1] = pack_bf16(left[2], left[3]);
  a[2] = pack_bf16(right[0], right[1]);
  a[3] = pack_bf16(right[2], right[3]);
}

/* 2^x to about 2 units in the last place; results under 2^-126 become zero. */
__device__ __forceinline__ float exp2_fast(float x)
{
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return exp2f(x);
#endif
}

/* tanh(scale x / softcap) = 1 - 2 / (1 + 2^(capping x)), to about 1e-7. */
__device__ __forceinline__ float cap_score(float x, float capping)
{
  return 1.0f - __fdividef(2.0f, 1.0f + exp2_fast(x * capping));
}

/* A row's maximum before its first key. The first keys that a LOCAL kernel looks at may all lie before a row's
 * window: then the maximum has to be a number, under every score, for factors and exponentials to be such. */
template <bool LOCAL> __device__ __forceinline__ float no_score()
{
  return LOCAL ? -1e30f : -INFINITY;
}

/* Writes a warp's accumulator [16, COLS] as bf16 rows of 8 `pieces` elements, `rows` of them,
 * by way of `staging` ([16, COLS] of shared memory that only this warp uses): the rows then
 * leave in whole 16-byte pieces. */
template <int COLS>
__device__ __forceinline__ void store_rows(__nv_bfloat16 *to, size_t row_elements, int rows, int pieces,
                                           __nv_bfloat16 *staging, const float (&acc)[COLS / 8][4],
                                           float scale_low, float scale_high)
{
  int lane = (int)threadIdx.x % 32, group = lane / 4, quad = lane % 4;
  __syncwarp();
#pragma unroll
  for (int j = 0; j < COLS / 8; j++) {
    uint32_t low = pack_bf16(acc[j][0] * scale_low, acc[j][1] * scale_low);
    uint32_t high = pack_bf16(acc[j][2] * scale_high, acc[j][3] * scale_high);
    memcpy(staging + bf16_tile<COLS>::at(group, j) + 2 * quad, &low, sizeof low);
    memcpy(staging + bf16_tile<COLS>::at(group + 8, j) + 2 * quad, &high, sizeof high);
  }
  __syncwarp();
#pragma unroll
  for (int first = 0; first < 16 * (COLS / 8); first += 32) {
    int i = first + lane, row = i / (COLS / 8), piece = i % (COLS / 8);
    if (row < rows && piece < pieces)
      *reinterpret_cast<uint4 *>(to + (size_t)row * row_elements + piece * 8) =
          *reinterpret_cast<const uint4 *>(staging + bf16_tile<COLS>::at(row, piece));
  }
}

#endif
