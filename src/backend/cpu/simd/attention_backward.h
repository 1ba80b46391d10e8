/* Causal attention backward for one query head of one sequence.
 *
 *   P = exp(scale Q K^T - lse); D_i = dout_i . out_i; dS = P (dout V^T - D)
 *   dQ = scale dS K; dK = scale dS^T Q; dV = P^T dout
 *
 * (with a softcap c, P = exp(c T - lse), T = tanh(scale Q K^T / c), and dS has the factor 1 - T^2 as well)
 * in blocks of TPO_KEY_TILE queries by as many keys, keys outside, queries inside, so that every sum has one
 * order; blocks outside the window are passed over. Five products of 64 x 64 x head_dim a block: they are the
 * work. The caller adds up dK and dV over the query heads of a key head. */
#ifndef TPO_BACKEND_CPU_SIMD_ATTENTION_BACKWARD_H
#define TPO_BACKEND_CPU_SIMD_ATTENTION_BACKWARD_H

#include "backend/cpu/simd/product.h"
#include "backend/cpu/simd/table.h"

#define TILE TPO_KEY_TILE

struct backward_state {
  int tokens, hd, padded, vectors;
  float *q, *k, *dout, *dq; /* [tokens, padded] */
  float *d;                 /* [tokens] */
  float *p, *ds;            /* [TILE, TILE]: queries, keys */
};

static void copy_padded(float *to, int padded, const float *from, ptrdiff_t from_row, int rows, int hd,
                        float scale)
{
  for (int r = 0; r < rows; r++) {
    for (int c = 0; c < hd; c++) to[(ptrdiff_t)r * padded + c] = from[r * from_row + c] * scale;
    for (int c = hd; c < padded; c++) to[(ptrdiff_t)r * padded + c] = 0;
  }
}

static void backward_begin(const struct tpo_flash_backward *t, struct backward_state *b, float *scratch)
{
  int hd = t->shape.head_dim, heads = t->shape.heads, group = heads / t->shape.kv_heads;
  b->tokens = t->tokens;
  b->hd = hd;
  b->padded = tpo_flash_padded(hd);
  b->vectors = (hd + VL - 1) / VL;
  size_t size = (size_t)b->tokens * (size_t)b->padded;
  b->q = scratch;
  b->k = b->q + size;
  b->dout = b->k + size;
  b->dq = b->dout + size;
  b->d = b->dq + size;
  b->p = b->d + tpo_flash_sums(b->tokens);
  b->ds = b->p + TILE * TILE;
  ptrdiff_t qkv_row = (ptrdiff_t)(heads + 2 * t->shape.kv_heads) * hd, out_row = (ptrdiff_t)heads * hd;
  copy_padded(b->q, b->padded, t->qkv + t->head * hd, qkv_row, b->tokens, hd, tpo_attention_scale(t->shape));
  copy_padded(b->k, b->padded, t->qkv + (heads + t->head / group) * hd, qkv_row, b->tokens, hd, 1.0f);
  copy_padded(b->dout, b->padded, t->dout + t->head * hd, out_row, b->tokens, hd, 1.0f);
  memset(b->dq, 0, size * sizeof(float));
  for (int i = 0; i < b->tokens; i++) {
    const float *x = t->dout + i * out_row + t->head * hd, *y = t->out + i * out_row + t->head * hd;
    vf sum = vset(0);
    for (int c = 0; c < hd; c += VL)
      sum = hd - c >= VL ? vfma(vload(x + c), vload(y + c), sum)
                         : vfma(vload_n(x + c, hd - c), vload_n(y + c, hd - c), sum);
    b->d[i] = vsum(sum);
  }
}

/* A row of P and dS in place of S and dP, as if all keys were the query's. */
INLINE void backward_row(float *p, float *ds, float lse, float d, float cap, const bool capped)
{
  vf l = vset(lse), mean = vset(d);
  for (int j = 0; j < TILE; j += VL) {
    vf s = vload(p + j), slope = vload(ds + j) - mean;
    if (capped) {
      vf tanh = vtanh(s / vset(cap));
      s = vset(cap) * tanh;
      slope = slope * (vset(1) - tanh * tanh);
    }
    vf prob = vexp(s - l);
    vstore(p + j, prob);
    vstore(ds + j, prob * slope);
  }
}

/* P and dS in place of S and dP; rows are queries q0 .. q0+n-1. Keys after a query, or before its window, get
 * 0. */
static void backward_softmax(const struct tpo_flash_backward *t, const struct backward_state *b, int q0,
                             int n, int key0)
{
  const float *lse = t->lse + t->head;
  ptrdiff_t lse_row = t->shape.heads;
  struct tpo_attention_shape shape = t->shape;
  for (int r = 0; r < n; r++) {
    float *p = b->p + r * TILE, *ds = b->ds + r * TILE;
    int begin = tpo_window_first(shape, q0 + r) - key0, valid = q0 + r - key0 + 1;
    if (begin > TILE) begin = TILE;
    if (valid > TILE) valid = TILE;
    if (shape.softcap > 0)
      backward_row(p, ds, lse[(q0 + r) * lse_row], b->d[q0 + r], shape.softcap, true);
    else
      backward_row(p, ds, lse[(q0 + r) * lse_row], b->d[q0 + r], 0, false);
    for (int j = 0; j < begin; j++) p[j] = ds[j] = 0;
    for (int j = valid; j < TILE; j++) p[j] = ds[j] = 0;
  }
}

static void flash_backward(const struct tpo_flash_backward *t, void *scratch)
{
  struct backward_state b;
  backward_begin(t, &b, scratch);
  const int padded = b.padded;
  for (int key0 = 0; key0 < b.tokens; key0 += TILE) {
    int n_keys = b.tokens - key0 < TILE ? b.tokens - key0 : TILE;
    ptrdiff_t tile = (ptrdiff_t)(key0 / TILE) * b.hd * TILE;
    float *dk = t->dk + (ptrdiff_t)key0 * padded, *dv = t->dv + (ptrdiff_t)key0 * padded;
    for (int q0 = key0; q0 < b.tokens && tpo_window_first(t->shape, q0) < key0 + n_keys; q0 += TILE) {
      int n = b.tokens - q0 < TILE ? b.tokens - q0 : TILE;
      const float *q = b.q + (ptrdiff_t)q0 * padded, *dout = b.dout + (ptrdiff_t)q0 * padded;
      struct product s = {b.hd, q, padded, 1, NULL, TILE, b.p, TILE, false};
      product_rows(s, t->k_tiles + tile, n, TILE / VL);
      struct product dp = {b.hd, dout, padded, 1, NULL, TILE, b.ds, TILE, false};
      product_rows(dp, t->v_tiles + tile, n, TILE / VL);
      backward_softmax(t, &b, q0, n, key0);
      bool add = q0 > key0;
      struct product to_v = {n, b.p, 1, TILE, NULL, padded, dv, padded, add};
      product_rows(to_v, dout, n_keys, b.vectors);
      struct product to_k = {n, b.ds, 1, TILE, NULL, padded, dk, padded, add};
      product_rows(to_k, q, n_keys, b.vectors);
      struct product to_q = {n_keys, b.ds, TILE, 1, NULL, padded, b.dq + (ptrdiff_t)q0 * padded,
                             padded, true};
      product_rows(to_q, b.k + (ptrdiff_t)key0 * padded, n, b.vectors);
    }
  }
  float scale = tpo_attention_scale(t->shape);
  ptrdiff_t row = (ptrdiff_t)(t->shape.heads + 2 * t->shape.kv_heads) * b.hd;
  for (int i = 0; i < b.tokens; i++)
    for (int c = 0; c < b.hd; c++)
      t->dqkv[i * row + t->head * b.hd + c] = b.dq[(ptrdiff_t)i * padded + c] * scale;
}

#endif
