/* Causal attention forward for up to TPO_QUERY_ROWS query rows of one key head: a row is (token, query head).
 *
 *   for each tile of TPO_KEY_TILE keys:  S = Q K^T; m' = max(m, row max of S); P = exp(S - m');
 *                                        l = l exp(m - m') + row sum of P; O = O exp(m - m') + P V
 *   out = O / l; lse = m + log(l)                                   (Milakov & Gimelshein 2018, Dao et al.
 * 2022)
 *
 * Tiles begin at multiples of TPO_KEY_TILE in the sequence and each sum is one ascending chain, so a row's
 * bits depend on its position alone. Keys past a row's own get probability 0. The work is the two products; a
 * tile of K and V is read once for all rows. */
#ifndef TPO_BACKEND_CPU_SIMD_ATTENTION_H
#define TPO_BACKEND_CPU_SIMD_ATTENTION_H

#include "backend/cpu/simd/product.h"
#include "backend/cpu/simd/table.h"

#define TILE TPO_KEY_TILE
#define TILE_VECTORS (TILE / VL)

struct flash_state {
  int rows, group, padded; /* group: query heads of a key head */
  float *q, *o;            /* [rows, padded] */
  float *s;                /* [rows, TILE] */
  float *highest, *sum;    /* [rows] */
  float *k, *v;            /* [head_dim, TILE], [TILE, padded] when the tile has to be unpacked */
};

static void flash_begin(const struct tpo_flash *t, struct flash_state *f, float *scratch)
{
  int hd = t->shape.head_dim;
  f->group = t->shape.heads / t->shape.kv_heads;
  f->rows = t->tokens * f->group;
  f->padded = tpo_flash_padded(hd);
  f->q = scratch;
  f->o = f->q + f->rows * f->padded;
  f->k = f->o + f->rows * f->padded;
  f->v = f->k + f->padded * TILE;
  f->s = f->v + f->padded * TILE;
  f->highest = f->s + f->rows * TILE;
  f->sum = f->highest + f->rows;
  float scale = 1.0f / sqrtf((float)hd);
  ptrdiff_t row = (ptrdiff_t)(t->shape.heads + 2 * t->shape.kv_heads) * hd;
  for (int r = 0; r < f->rows; r++) {
    const float *from = t->qkv + r / f->group * row + (t->kv_head * f->group + r % f->group) * hd;
    for (int c = 0; c < hd; c++) f->q[r * f->padded + c] = from[c] * scale;
    f->highest[r] = -INFINITY;
    f->sum[r] = 0;
  }
  memset(f->o, 0, (size_t)f->rows * (size_t)f->padded * sizeof(float));
}

/* Keys and values of a run of one cache block: row `at` of the block on. */
static void unpack_keys(const struct tpo_kv_layer *kv, size_t block, int at, int count, float *to)
{
  int bt = kv->block_tokens;
  for (int c = 0; c < kv->head_dim; c++) {
    size_t from = (block * (size_t)kv->head_dim + (size_t)c) * (size_t)bt + (size_t)at;
    float *row = to + c * TILE;
    int j = 0;
    if (kv->dtype == TPO_BF16) {
      const uint16_t *k = (const uint16_t *)kv->k + from;
      for (; j + VL <= count; j += VL) vstore(row + j, vload_bf16(k + j));
      for (; j < count; j++) row[j] = tpo_bf16_to_f32(k[j]);
    } else {
      memcpy(row, (const float *)kv->k + from, (size_t)count * sizeof(float));
    }
  }
}

static void unpack_values(const struct tpo_kv_layer *kv, size_t block, int at, int count, float *to,
                          int padded)
{
  int hd = kv->head_dim;
  for (int j = 0; j < count; j++) {
    size_t from = (block * (size_t)kv->block_tokens + (size_t)(at + j)) * (size_t)hd;
    float *row = to + j * padded;
    int c = 0;
    if (kv->dtype == TPO_BF16) {
      const uint16_t *v = (const uint16_t *)kv->v + from;
      for (; c + VL <= hd; c += VL) vstore(row + c, vload_bf16(v + c));
      for (; c < hd; c++) row[c] = tpo_bf16_to_f32(v[c]);
    } else {
      memcpy(row, (const float *)kv->v + from, (size_t)hd * sizeof(float));
      c = hd;
    }
    for (; c < padded; c++) row[c] = 0;
  }
}

/* S for rows first .. rows-1 and keys key0 .. key0+n-1. Columns up to the next whole vector are written. */
static void flash_scores(const struct tpo_flash *t, const struct flash_state *f, int first, int key0, int n)
{
  const float *columns[TILE_VECTORS];
  const struct tpo_kv_layer *kv = t->kv;
  int vectors = (n + VL - 1) / VL;
  ptrdiff_t column_row = TILE;
  if (!kv) {
    for (int v = 0; v < vectors; v++)
      columns[v] = t->k_tiles + (ptrdiff_t)(key0 / TILE) * t->shape.head_dim * TILE + v * VL;
  } else if (kv->dtype == TPO_F32 && kv->block_tokens % VL == 0) {
    column_row = kv->block_tokens;
    for (int v = 0; v < vectors; v++) {
      int key = key0 + v * VL;
      size_t block = (size_t)t->blocks[key / kv->block_tokens] * (size_t)kv->kv_heads + (size_t)t->kv_head;
      columns[v] = (const float *)kv->k + block * (size_t)kv->head_dim * (size_t)kv->block_tokens +
                   key % kv->block_tokens;
    }
  } else {
    for (int j = 0; j < n;) {
      int at = (key0 + j) % kv->block_tokens, count = kv->block_tokens - at;
      if (count > n - j) count = n - j;
      size_t block =
          (size_t)t->blocks[(key0 + j) / kv->block_tokens] * (size_t)kv->kv_heads + (size_t)t->kv_head;
      unpack_keys(kv, block, at, count, f->k + j);
      j += count;
    }
    for (int v = 0; v < vectors; v++) columns[v] = f->k + v * VL;
  }
  struct product p = {t->shape.head_dim, f->q + first * f->padded, f->padded, 1,    columns,
                      column_row,        f->s + first * TILE,      TILE,      false};
  product_vectors(p, f->rows - first, vectors);
}

/* O += P V for the same rows and keys. */
static void flash_values(const struct tpo_flash *t, const struct flash_state *f, int first, int key0, int n)
{
  const struct tpo_kv_layer *kv = t->kv;
  int hd = t->shape.head_dim, vectors = (hd + VL - 1) / VL;
  bool in_place = hd % VL == 0 && (!kv || kv->dtype == TPO_F32);
  for (int j = 0; j < n;) {
    int count = n - j;
    const float *v = f->v;
    ptrdiff_t v_row = f->padded;
    if (kv) {
      int at = (key0 + j) % kv->block_tokens;
      if (count > kv->block_tokens - at) count = kv->block_tokens - at;
      size_t block =
          (size_t)t->blocks[(key0 + j) / kv->block_tokens] * (size_t)kv->kv_heads + (size_t)t->kv_head;
      if (in_place) {
        v = (const float *)kv->v + (block * (size_t)kv->block_tokens + (size_t)at) * (size_t)hd;
        v_row = hd;
      } else {
        unpack_values(kv, block, at, count, f->v, f->padded);
      }
    } else if (in_place) {
      v = t->v + (key0 + j) * t->v_row;
      v_row = t->v_row;
    } else {
      for (int i = 0; i < count; i++) {
        memset(f->v + i * f->padded, 0, (size_t)f->padded * sizeof(float));
        memcpy(f->v + i * f->padded, t->v + (key0 + j + i) * t->v_row, (size_t)hd * sizeof(float));
      }
    }
    struct product p = {count, f->s + first * TILE + j,  TILE,      1,   NULL,
                        v_row, f->o + first * f->padded, f->padded, true};
    product_rows(p, v, f->rows - first, vectors);
    j += count;
  }
}

/* Turns one row of S into P, the first `valid` of `n` keys being the row's, and rescales its O. */
static void flash_softmax(const struct flash_state *f, int r, int valid, int n)
{
  float *s = f->s + r * TILE;
  int vectors = (n + VL - 1) / VL;
  for (int j = valid; j < vectors * VL; j++) s[j] = -INFINITY;
  vf top = vload(s);
  for (int v = 1; v < vectors; v++) top = vmax(top, vload(s + v * VL));
  float before = f->highest[r], highest = vhighest(top);
  if (before > highest) highest = before;
  vf sum = vset(0);
  for (int v = 0; v < vectors; v++) {
    vf p = vexp(vload(s + v * VL) - vset(highest));
    vstore(s + v * VL, p);
    sum = sum + p;
  }
  float shrink = tpo_exp_f32(before - highest);
  f->sum[r] = f->sum[r] * shrink + vsum(sum);
  f->highest[r] = highest;
  if (shrink != 1.0f)
    for (int c = 0; c < f->padded; c += VL)
      vstore(f->o + r * f->padded + c, vload(f->o + r * f->padded + c) * vset(shrink));
}

static void flash(const struct tpo_flash *t, void *scratch)
{
  struct flash_state f;
  flash_begin(t, &f, scratch);
  int hd = t->shape.head_dim, keys = t->pos + t->tokens;
  for (int key0 = 0; key0 < keys; key0 += TILE) {
    int n = keys - key0 < TILE ? keys - key0 : TILE;
    int first_token = key0 > t->pos ? key0 - t->pos : 0; /* tokens before it see none of these keys */
    int first = first_token * f.group;
    flash_scores(t, &f, first, key0, n);
    for (int r = first; r < f.rows; r++) {
      int valid = t->pos + r / f.group + 1 - key0;
      flash_softmax(&f, r, valid < n ? valid : n, n);
    }
    flash_values(t, &f, first, key0, n);
  }
  for (int r = 0; r < f.rows; r++) {
    int token = r / f.group, head = t->kv_head * f.group + r % f.group;
    float *out = t->out + ((ptrdiff_t)token * t->shape.heads + head) * hd, inverse = 1.0f / f.sum[r];
    for (int c = 0; c < hd; c++) out[c] = f.o[r * f.padded + c] * inverse;
    if (t->lse) t->lse[(ptrdiff_t)token * t->shape.heads + head] = f.highest[r] + logf(f.sum[r]);
  }
}

#endif
