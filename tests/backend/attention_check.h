/* What the tests of attention share: a paged cache, prompts written to it, packed sequences. */
#ifndef TPO_TESTS_BACKEND_ATTENTION_CHECK_H
#define TPO_TESTS_BACKEND_ATTENTION_CHECK_H

#include "ops_check.h"

/* A paged cache with its block table: sequences use blocks in a scrambled order. */
struct cache {
  struct tpo_kv_layer kv;
  int32_t *blocks; /* [n_seqs, max_blocks] */
  int max_blocks, n_seqs;
  int32_t spare; /* block that is never written: NaN */
};

static inline struct cache make_cache(struct tpo_attention_shape shape, enum tpo_dtype dtype,
                                      int block_tokens, int n_seqs, int max_tokens)
{
  struct cache cache = {.n_seqs = n_seqs, .max_blocks = (max_tokens + block_tokens - 1) / block_tokens};
  int n_blocks = n_seqs * cache.max_blocks + 1; /* one more for copies */
  size_t bytes = (size_t)(n_blocks * shape.kv_heads * block_tokens * shape.head_dim) * tpo_dtype_size(dtype);
  cache.kv = (struct tpo_kv_layer){check_alloc(bytes), check_alloc(bytes), dtype,
                                   block_tokens,       shape.kv_heads,     shape.head_dim};
  cache.spare = n_blocks - 1;
  memset(cache.kv.k, 0xff, bytes); /* NaN: what was not written must not be used */
  memset(cache.kv.v, 0xff, bytes);
  cache.blocks = check_alloc((size_t)(n_seqs * cache.max_blocks) * sizeof(int32_t));
  for (int i = 0; i < n_seqs * cache.max_blocks; i++) cache.blocks[i] = n_blocks - 2 - i;
  return cache;
}

/* Gives back the blocks of seq that lie wholly before pos's window: their numbers become `number`. */
static inline void release_blocks(struct cache *cache, struct tpo_attention_shape shape, int seq, int pos,
                                  int32_t number)
{
  int kept = tpo_window_first(shape, pos) / cache->kv.block_tokens;
  for (int b = 0; b < kept; b++) cache->blocks[seq * cache->max_blocks + b] = number;
}

static inline int row_floats(struct tpo_attention_shape shape)
{
  return (shape.heads + 2 * shape.kv_heads) * shape.head_dim;
}

/* Rows in memory that every backend reads, planned for attention_paged. */
static inline struct tpo_paged_rows plan_rows(struct tpo_backend *be, const struct cache *cache,
                                              struct tpo_attention_shape shape, int n, const int32_t *seq,
                                              const int32_t *pos)
{
  struct tpo_paged_rows rows = {.n = n,
                                .seq = check_dup(seq, (size_t)n * sizeof *seq),
                                .pos = check_dup(pos, (size_t)n * sizeof *pos),
                                .blocks = cache->blocks,
                                .max_blocks = cache->max_blocks};
  struct tpo_paged_host host = {rows.seq, rows.pos, cache->blocks, cache->n_seqs};
  tpo_ops(be)->paged_prepare(be, &rows, &host, shape, cache->kv.block_tokens);
  return rows;
}

/* Writes tokens at .. at+count-1 of sequence seq, whose rows of qkv and out are those from its token 0 on, and
 * attends for them in one call. */
static inline void prefill_rows(struct tpo_backend *be, struct cache *cache, struct tpo_attention_shape shape,
                                int seq, int at, int count, const float *qkv, float *out)
{
  int32_t rows_seq[256], pos[256];
  assert_true(count <= 256);
  for (int i = 0; i < count; i++) {
    rows_seq[i] = seq;
    pos[i] = at + i;
  }
  struct tpo_paged_rows rows = plan_rows(be, cache, shape, count, rows_seq, pos);
  const float *part = qkv + (size_t)at * (size_t)row_floats(shape);
  tpo_ops(be)->kv_write(be, &cache->kv, part, shape, &rows);
  tpo_ops(be)->attention_paged(be, &cache->kv, part, out + (size_t)(at * shape.heads * shape.head_dim), shape,
                               &rows);
}

/* The same for tokens 0 .. n-1, in calls of at most `step` rows. */
static inline void prefill(struct tpo_backend *be, struct cache *cache, struct tpo_attention_shape shape,
                           int seq, int n, int step, const float *qkv, float *out)
{
  for (int at = 0; at < n; at += step)
    prefill_rows(be, cache, shape, seq, at, n - at < step ? n - at : step, qkv, out);
}

struct train_case {
  struct tpo_attention_shape shape;
  const int32_t *cu;
  int n_seqs;
  float *qkv, *dout, *out, *lse;
};

static inline struct train_case make_train(struct tpo_attention_shape shape, const int32_t *cu, int n_seqs)
{
  size_t n = (size_t)cu[n_seqs], width = (size_t)(shape.heads * shape.head_dim);
  struct train_case c = {shape,
                         cu,
                         n_seqs,
                         normal(n * (size_t)row_floats(shape), 1),
                         normal(n * width, 2),
                         zeros(n * width),
                         zeros(n * (size_t)shape.heads)};
  return c;
}

static inline double attention_loss(void *context)
{
  struct train_case *c = context;
  tpo_ops(check_reference)->attention(check_reference, c->qkv, c->out, c->lse, c->shape, c->cu, c->n_seqs);
  return weighted_sum(c->dout, c->out, (size_t)(c->cu[c->n_seqs] * c->shape.heads * c->shape.head_dim));
}

#endif
