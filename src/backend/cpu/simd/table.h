/* The kernels that exist once an instruction set. simd/rows.h, attention.h, attention_backward.h and sample.h
 * hold their text; simd_scalar.c, simd_avx2.c and simd_avx512.c compile it. */
#ifndef TPO_BACKEND_CPU_SIMD_TABLE_H
#define TPO_BACKEND_CPU_SIMD_TABLE_H

#include "backend/cpu/cpu.h"

/* Attention works on tiles of this many keys that begin at multiples of it, so that a row's sums are in the
 * same order whatever rows are computed beside it. */
#define TPO_KEY_TILE 64
/* Query rows (tokens times heads of one key head) that one task computes together, one token at least. */
#define TPO_QUERY_ROWS 48

/* Consecutive tokens of one sequence, all query heads of one key head. Keys come either from the paged
 * cache (kv set) or packed from the rows of a training step. */
struct tpo_flash {
  struct tpo_attention_shape shape;
  int kv_head;
  int tokens, pos;  /* token t is at position pos + t and attends to those up to it, of a window the last */
  const float *qkv; /* the first token's row */
  float *out;       /* [tokens, heads * head_dim], the first token's row */
  float *lse;       /* [tokens, heads], or NULL */

  const struct tpo_kv_layer *kv;
  const int32_t
      *blocks; /* the sequence's block numbers; those before the first token's window are not read */

  const float *k_tiles; /* [n_tiles, head_dim, TPO_KEY_TILE] of this sequence and key head */
  const float *v;       /* values of the sequence's first token */
  ptrdiff_t v_row;      /* floats from a token's values to the next token's */
};

/* One query head of one sequence; see simd/attention_backward.h. */
struct tpo_flash_backward {
  struct tpo_attention_shape shape;
  int head, tokens;
  const float *qkv, *dout, *out, *lse; /* rows of the sequence's first token */
  const float *k_tiles, *v_tiles;      /* as in tpo_flash */
  float *dqkv;                         /* the q part of this head is written */
  float *dk, *dv;                      /* [tokens, padded head_dim], written; */
};

struct tpo_simd {
  float (*rms_norm)(const float *x, const float *w, float *y, int dim, float eps); /* returns rstd */
  void (*rms_norm_backward)(const float *dy, const float *x, const float *w, float rstd, float *dx, float *dw,
                            int dim);
  /* the same with dx written over dy */
  void (*rms_norm_backward_in_place)(float *dy, const float *x, const float *w, float rstd, float *dw,
                                     int dim);
  void (*rope)(float *heads, int n_heads, int head_dim, int half, const float *cosine, const float *sine,
               bool inverse);
  void (*swiglu)(const float *gate_up, float *out, int dim);
  void (*swiglu_backward)(const float *dout, const float *gate_up, float *dgate_up, int dim);
  void (*geglu)(const float *gate_up, float *out, int dim);
  void (*geglu_backward)(const float *dout, const float *gate_up, float *dgate_up, int dim);
  /* y = base + scale x, base NULL: scale x; and y = x + by */
  void (*add_scaled)(const float *base, const float *x, float *y, float scale, size_t n);
  void (*shift)(const float *x, float *y, float by, size_t n);
  void (*add)(float *to, const float *from, float scale, int n);         /* to += scale * from */
  void (*softcap)(float *x, int n, float cap);                           /* x = cap tanh(x / cap) */
  void (*softcap_backward)(const float *y, float *dx, int n, float cap); /* of y = softcap(x), in place */
  void (*to_bf16)(uint16_t *to, const float *from, int n);
  void (*adamw)(float *param, const float *grad, float *m, float *v, size_t n,
                const struct tpo_adamw_args *args);
  double (*sum_squares)(const float *x, size_t n);

  void (*flash)(const struct tpo_flash *task, void *scratch);
  void (*flash_backward)(const struct tpo_flash_backward *task, void *scratch);

  /* Highest logit; false when one is NaN or +infinity. */
  bool (*sample_highest)(const float *logits, int vocab, float *highest);
  /* Sums of exp(logit - highest), and (unless NULL) of tpo_sample_weight. */
  void (*sample_sums)(const float *logits, int vocab, float highest, float inverse_temperature, double *sum,
                      double *weights);
  /* Ids of logits >= threshold, ascending; returns how many. */
  int (*sample_gather)(const float *logits, int vocab, float threshold, int32_t *ids);
};

extern const struct tpo_simd tpo_simd_scalar, tpo_simd_avx2, tpo_simd_avx512;

static inline const struct tpo_simd *tpo_simd(const struct tpo_cpu *cpu)
{
  return cpu->isa >= TPO_CPU_AVX512 ? &tpo_simd_avx512
         : cpu->isa == TPO_CPU_AVX2 ? &tpo_simd_avx2
                                    : &tpo_simd_scalar;
}

/* head_dim as kernels store it in scratch: a multiple of every vector length. */
static inline int tpo_flash_padded(int head_dim)
{
  return (head_dim + 15) / 16 * 16;
}

/* Tokens that one flash task takes. */
static inline int tpo_flash_tokens(struct tpo_attention_shape shape)
{
  int group = shape.heads / shape.kv_heads;
  return group < TPO_QUERY_ROWS ? TPO_QUERY_ROWS / group : 1;
}

/* Bytes of scratch that flash needs; below, flash_backward. */
static inline size_t tpo_flash_bytes(struct tpo_attention_shape shape)
{
  size_t padded = (size_t)tpo_flash_padded(shape.head_dim);
  size_t rows = (size_t)tpo_flash_tokens(shape) * (size_t)(shape.heads / shape.kv_heads);
  return (2 * rows * padded + rows * TPO_KEY_TILE + 2 * rows + 2 * padded * TPO_KEY_TILE) * sizeof(float);
}

/* Floats for a number a token, so that what follows them is aligned as they are. */
static inline size_t tpo_flash_sums(int tokens)
{
  return ((size_t)tokens + 15) / 16 * 16;
}

static inline size_t tpo_flash_backward_bytes(int head_dim, int tokens)
{
  size_t padded = (size_t)tpo_flash_padded(head_dim);
  return (4 * padded * (size_t)tokens + tpo_flash_sums(tokens) + 2 * TPO_KEY_TILE * TPO_KEY_TILE) *
         sizeof(float);
}

#endif
