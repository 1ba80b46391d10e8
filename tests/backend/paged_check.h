/* A paged cache on the GPU, the rows of a step over it, and their attention: for tests of the CUDA tables. */
#ifndef TPO_TESTS_BACKEND_PAGED_CHECK_H
#define TPO_TESTS_BACKEND_PAGED_CHECK_H

#include "cuda_check.h"

/* cuda/paged_plan.cuh */
void tpo_cuda_paged_counts(const void *plan, size_t *read, size_t *served, size_t *parts);
const float *tpo_cuda_paged_parts(struct tpo_backend *be);

struct cache {
  struct tpo_kv_layer kv;
  int32_t *blocks; /* [n_seqs, max_blocks] */
  int n_seqs, max_blocks, n_blocks;
};

static inline struct cache make_cache(struct tpo_attention_shape shape, enum tpo_dtype dtype,
                                      int block_tokens, int n_seqs, int max_tokens)
{
  struct cache cache = {.n_seqs = n_seqs, .max_blocks = (max_tokens + block_tokens - 1) / block_tokens};
  cache.n_blocks = n_seqs * cache.max_blocks + 1;
  size_t bytes = (size_t)cache.n_blocks * (size_t)(shape.kv_heads * block_tokens * shape.head_dim) *
                 tpo_dtype_size(dtype);
  cache.kv = (struct tpo_kv_layer){check_alloc(bytes), check_alloc(bytes), dtype,
                                   block_tokens,       shape.kv_heads,     shape.head_dim};
  memset(cache.kv.k, 0xff, bytes); /* NaN: what was not written must not be used */
  memset(cache.kv.v, 0xff, bytes);
  cache.blocks = check_alloc((size_t)(n_seqs * cache.max_blocks) * sizeof(int32_t));
  for (int i = 0; i < n_seqs * cache.max_blocks; i++) cache.blocks[i] = cache.n_blocks - 2 - i;
  return cache;
}

static inline size_t row_width(struct tpo_attention_shape shape)
{
  return (size_t)((shape.heads + 2 * shape.kv_heads) * shape.head_dim);
}

static inline size_t out_width(struct tpo_attention_shape shape)
{
  return (size_t)(shape.heads * shape.head_dim);
}

/* Rows of a step; their qkv is that of `tokens` at the same position. */
struct step {
  int n;
  int32_t *seq, *pos;
};

static inline struct step make_step(int n)
{
  return (struct step){n, check_alloc((size_t)n * sizeof(int32_t)), check_alloc((size_t)n * sizeof(int32_t))};
}

/* n successive positions of one sequence. */
static inline struct step make_run(int seq, int first, int n)
{
  struct step step = make_step(n);
  for (int i = 0; i < n; i++) {
    step.seq[i] = seq;
    step.pos[i] = first + i;
  }
  return step;
}

static inline struct tpo_paged_rows rows_of(const struct cache *cache, const struct step *step)
{
  return (struct tpo_paged_rows){.n = step->n,
                                 .seq = step->seq,
                                 .pos = step->pos,
                                 .blocks = cache->blocks,
                                 .max_blocks = cache->max_blocks};
}

static inline void prepare(const struct cache *cache, const struct step *step,
                           struct tpo_attention_shape shape, struct tpo_paged_rows *rows)
{
  struct tpo_paged_host host = {step->seq, step->pos, cache->blocks, cache->n_seqs};
  check_ready(); /* host arrays and the device's are one here */
  tpo_ops(check_cuda)->paged_prepare(check_cuda, rows, &host, shape, cache->kv.block_tokens);
  assert_non_null(rows->plan);
}

/* One sequence's tokens, rounded so that both tables can hold them: qkv [n, row]. */
static inline float *make_tokens(struct tpo_attention_shape shape, int n, uint32_t stream)
{
  return check_rounded((size_t)n * row_width(shape), stream, TPO_BF16);
}

/* The rows of qkv that a step's rows take from their sequences' tokens. */
static inline float *gather(struct tpo_attention_shape shape, const struct step *step, float *const *tokens)
{
  size_t row = row_width(shape);
  float *x = zeros((size_t)step->n * row);
  for (int i = 0; i < step->n; i++)
    memcpy(x + (size_t)i * row, tokens[step->seq[i]] + (size_t)step->pos[i] * row, row * sizeof *x);
  return x;
}

static inline void write_rows(struct tpo_backend *be, const struct tpo_ops *ops, const struct cache *cache,
                              const struct step *step, struct tpo_attention_shape shape, float *const *tokens)
{
  struct tpo_paged_rows rows = rows_of(cache, step);
  struct check_values x =
      check_values_of(ops, gather(shape, step, tokens), (size_t)step->n * row_width(shape));
  ops->kv_write(be, &cache->kv, x.data, shape, &rows);
  check_ready();
}

static inline void write_tokens(struct tpo_backend *be, const struct tpo_ops *ops, const struct cache *cache,
                                int seq, int first, int n, struct tpo_attention_shape shape,
                                float *const *tokens)
{
  struct step step = make_run(seq, first, n);
  write_rows(be, ops, cache, &step, shape, tokens);
}

enum preparation { UNPREPARED, PREPARED };

/* Attention of a step whose keys and values are written: [n, out_width] as fp32. */
static inline float *attend(const struct tpo_ops *ops, const struct cache *cache, const struct step *step,
                            struct tpo_attention_shape shape, float *const *tokens, enum preparation how)
{
  struct tpo_paged_rows rows = rows_of(cache, step);
  size_t n = (size_t)step->n;
  struct check_values x = check_values_of(ops, gather(shape, step, tokens), n * row_width(shape));
  struct check_values out = check_values_of(ops, filled(n * out_width(shape), 77), n * out_width(shape));
  if (how == PREPARED) prepare(cache, step, shape, &rows);
  ops->attention_paged(check_cuda, &cache->kv, x.data, out.data, shape, &rows);
  check_ready();
  return check_floats(&out);
}

static inline float *attend_reference(const struct cache *cache, const struct step *step,
                                      struct tpo_attention_shape shape, float *const *tokens)
{
  struct tpo_paged_rows rows = rows_of(cache, step);
  float *out = zeros((size_t)step->n * out_width(shape));
  check_ready();
  tpo_ops(check_reference)
      ->attention_paged(check_reference, &cache->kv, gather(shape, step, tokens), out, shape, &rows);
  return out;
}

/* Results of rows [at, at + n) of a step and of a whole run of positions from `first` on. */
static inline void assert_rows(const char *what, const float *got, const float *all, int first, int n,
                               struct tpo_attention_shape shape)
{
  size_t width = out_width(shape);
  assert_bits(what, got, all + (size_t)first * width, (size_t)n * width);
}

/* Samples 0 .. 8 begin with the same 260 tokens, 6 .. 8 with the same 390; 9 with the second chunk of the
 * others, which no engine would do. `shared` finds them in the same blocks, `own` has copies. */
enum { SAMPLES = 10, SAMPLE_TOKENS = 410 };

static inline int first_own(int sample)
{
  return sample == 5 ? 288 : sample > 6 ? 384 : sample > 0 ? 256 : 0;
}

static inline void make_samples(struct tpo_attention_shape shape, enum tpo_dtype act, struct cache *shared,
                                struct cache *own, float **tokens)
{
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, act);
  size_t row = row_width(shape);
  *shared = make_cache(shape, act, 32, SAMPLES, SAMPLE_TOKENS);
  *own = make_cache(shape, act, 16, SAMPLES, SAMPLE_TOKENS);
  for (int s = 0; s < SAMPLES; s++) {
    tokens[s] = make_tokens(shape, SAMPLE_TOKENS, (uint32_t)s);
    int from = s < 7 ? 0 : 6, n = s < 9 ? first_own(s) : 0;
    memcpy(tokens[s], tokens[from], (size_t)n * row * sizeof(float));
    int32_t *blocks = shared->blocks + s * shared->max_blocks;
    memcpy(blocks, shared->blocks + from * shared->max_blocks, (size_t)(n / 32) * sizeof *blocks);
    if (s == 9) {
      memcpy(tokens[s] + 128 * row, tokens[0] + 128 * row, 128 * row * sizeof(float));
      memcpy(blocks + 4, shared->blocks + 4, 4 * sizeof *blocks);
    }
    write_tokens(check_cuda, ops, own, s, 0, SAMPLE_TOKENS, shape, tokens);
    write_tokens(check_cuda, ops, shared, s, n, SAMPLE_TOKENS - n, shape, tokens);
  }
}

/* The cache as it is left when blocks that no row of the step sees were given away: their places in the table
 * hold `instead`. */
static inline struct cache seen_blocks(const struct cache *cache, const struct step *step,
                                       struct tpo_attention_shape shape, int32_t instead)
{
  struct cache seen = *cache;
  size_t n = (size_t)(cache->n_seqs * cache->max_blocks);
  seen.blocks = check_alloc(n * sizeof *seen.blocks);
  for (size_t i = 0; i < n; i++) seen.blocks[i] = instead;
  for (int i = 0; i < step->n; i++)
    for (int p = tpo_window_first(shape, step->pos[i]); p <= step->pos[i]; p++) {
      int at = step->seq[i] * cache->max_blocks + p / cache->kv.block_tokens;
      seen.blocks[at] = cache->blocks[at];
    }
  return seen;
}

#endif
