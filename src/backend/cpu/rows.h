/* What is done to a single row of queries, keys and values: its norms and its rotation. */
#ifndef TPO_BACKEND_CPU_ROWS_H
#define TPO_BACKEND_CPU_ROWS_H

#include "backend/cpu/simd/table.h"

/* Heads of a row that share one mean, one after another: all of q's, all of k's, or each alone. */
struct tpo_normed_heads {
  size_t at;      /* of their first feature in the row */
  int n;          /* features */
  const float *w; // [n]
  bool keys;
};

/* How many such groups a row has. */
static inline int tpo_cpu_qk_norms(const struct tpo_qk_norm *norm, struct tpo_attention_shape s)
{
  return norm->whole ? 2 : s.heads + s.kv_heads;
}

static inline struct tpo_normed_heads tpo_cpu_normed_heads(const struct tpo_qk_norm *norm,
                                                           struct tpo_attention_shape s, int i)
{
  bool keys = i >= (norm->whole ? 1 : s.heads);
  int head = norm->whole ? i * s.heads : i, heads = !norm->whole ? 1 : keys ? s.kv_heads : s.heads;
  return (struct tpo_normed_heads){(size_t)head * (size_t)s.head_dim, heads * s.head_dim,
                                   keys ? norm->k : norm->q, keys};
}

/* ops.h's qk_norm and rope of one row; rstd may be NULL, cos_sin is the position's row. */
void tpo_cpu_qk_norm_row(const struct tpo_simd *simd, const float *raw, float *qkv,
                         const struct tpo_qk_norm *norm, struct tpo_attention_shape s, float *rstd);

static inline void tpo_cpu_rope_row(const struct tpo_simd *simd, float *qkv, const float *cos_sin,
                                    struct tpo_attention_shape s, bool inverse)
{
  int half = tpo_rotated(s) / 2;
  simd->rope(qkv, s.heads + s.kv_heads, s.head_dim, half, cos_sin, cos_sin + half, inverse);
}

#endif
