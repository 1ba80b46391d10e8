/* Causal attention forward for up to TPO_QUERY_ROWS query rows of one key head: a row is (token, query head).
 *
 *   for each tile of TPO_KEY_TILE keys:  S = Q K^T; m' = max(m, row max of S); P = exp(S - m');
 *                                        l = l exp(m - m') + row sum of P; O = O exp(m - m') + P V
 *   out = O / l; lse = m + log(l)             (Milakov & Gimelshein 2018, Dao et al. 2022)
 *
 * Tiles begin at multiples of TPO_KEY_TILE in the sequence and each sum is one ascending chain, so a row's
 * bits depend on its position alone. Keys past a row's own, and those before its window, get probability 0; a
 * row goes through the tiles that hold a key of its own, and keys before all rows' windows are not read. The
 * work is the two products; a tile of K and V is read once for all rows. */
#ifndef TPO_BACKEND_CPU_SIMD_ATTENTION_H
#define TPO_BACKEND_CPU_SIMD_ATTENTION_H

#include "backend/cpu/simd/product.h"
#include "backend/cpu/simd/rows.h"
#include "backend/cpu/simd/table.h"

#define TILE TPO_KEY_TILE
#define TILE_VECTORS (TILE / VL)

/* What is computed at a time: rows first .. end-1 by keys key0 + low .. key0 + n-1 of the tile at key0. */
struct flash_part {
  int first, end, key0, low, n;
};

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
  float scale = tpo_attention_scale(t->shape);
  ptrdiff_t row = (ptrdiff_t)(t->shape.heads + 2 * t->shape.kv_heads) * hd;
  for (int r = 0; r < f->rows; r++) {
    const float *from = t->qkv + r / f->group * row + (t->kv_head * f->group + r % f->group) * hd;
    for (int c = 0; c < hd; c++) f->q[r * f->padded + c] = from[c] * scale;
    f->highest[r] = -INFINITY;
    f->sum[r] = 0;
  }
  memset(f->o, 0, (size_t)f->rows * (size_t)f->padded * sizeof(float));
}

/* Where the cache holds key `key` of the task's sequence and key head: elements before its block, and its
 * place in the block. */
static size_t cache_block(const struct tpo_flash *t, int key, int *at)
{
  const struct tpo_kv_layer *kv = t->kv;
  size_t block = (size_t)t->blocks[key / kv->block_tokens] * (size_t)kv->kv_heads + (size_t)t->kv_head;
  *at = key % kv->block_tokens;
  return block * (size_t)kv->head_dim * (size_t)kv->block_tokens;
}

/* K of the part's keys as fp32 [head_dim, TILE]. All blocks of the tile are read side by side: several
 * streams come faster from memory than one. */
static void unpack_keys(const struct tpo_flash *t, struct flash_part p, float *to)
{
  const struct tpo_kv_layer *kv = t->kv;
  size_t from[TILE];
  int at, bt = kv->block_tokens, width = bt % VL == 0 && kv->dtype == TPO_BF16 ? VL : 1;
  int low = p.low / width * width;
  for (int j = low; j < p.n; j += width) {
    from[j] = cache_block(t, p.key0 + j, &at);
    from[j] += (size_t)at;
  }
  for (int c = 0; c < kv->head_dim; c++, to += TILE) {
    size_t row = (size_t)c * (size_t)bt;
    if (width == VL)
      for (int j = low; j < p.n; j += VL) vstore(to + j, vload_bf16((const uint16_t *)kv->k + from[j] + row));
    else if (kv->dtype == TPO_BF16)
      for (int j = low; j < p.n; j++) to[j] = tpo_bf16_to_f32(((const uint16_t *)kv->k)[from[j] + row]);
    else
      for (int j = low; j < p.n; j++) to[j] = ((const float *)kv->k)[from[j] + row];
  }
}

/* V of the part's keys as fp32 [n, padded]; the order of reading is as above. */
static void unpack_values(const struct tpo_flash *t, struct flash_part p, float *to, int padded)
{
  const struct tpo_kv_layer *kv = t->kv;
  const int streams = 4;
  int hd = t->shape.head_dim, per_stream = TILE / streams;
  for (int i = 0; i < TILE; i++) {
    int j = i % streams * per_stream + i / streams, at, c = 0;
    if (j < p.low || j >= p.n) continue;
    float *row = to + j * padded;
    if (!kv) {
      memcpy(row, t->v + (p.key0 + j) * t->v_row, (size_t)hd * sizeof(float));
      c = hd;
    } else {
      size_t from = cache_block(t, p.key0 + j, &at);
      from += (size_t)at * (size_t)hd;
      if (kv->dtype == TPO_F32) {
        memcpy(row, (const float *)kv->v + from, (size_t)hd * sizeof(float));
        c = hd;
      } else {
        const uint16_t *v = (const uint16_t *)kv->v + from;
        for (; c + VL <= hd; c += VL) vstore(row + c, vload_bf16(v + c));
        for (; c < hd; c++) row[c] = tpo_bf16_to_f32(v[c]);
      }
    }
    for (; c < padded; c++) row[c] = 0;
  }
}

/* S of the part, in whole vectors: lanes beside its keys hold anything. */
static void flash_scores(const struct tpo_flash *t, const struct flash_state *f, struct flash_part p)
{
  const float *columns[TILE_VECTORS];
  const struct tpo_kv_layer *kv = t->kv;
  int low = p.low / VL, vectors = (p.n + VL - 1) / VL;
  ptrdiff_t column_row = TILE;
  if (!kv) {
    for (int v = low; v < vectors; v++)
      columns[v] = t->k_tiles + (ptrdiff_t)(p.key0 / TILE) * t->shape.head_dim * TILE + v * VL;
  } else if (kv->dtype == TPO_F32 && kv->block_tokens % VL == 0) {
    column_row = kv->block_tokens;
    for (int v = low; v < vectors; v++) {
      int at;
      size_t block = cache_block(t, p.key0 + v * VL, &at);
      columns[v] = (const float *)kv->k + block + at;
    }
  } else {
    unpack_keys(t, p, f->k);
    for (int v = low; v < vectors; v++) columns[v] = f->k + v * VL;
  }
  struct product product = {
      t->shape.head_dim, f->q + p.first * f->padded,       f->padded, 1,    columns + low,
      column_row,        f->s + p.first * TILE + low * VL, TILE,      false};
  product_vectors(product, p.end - p.first, vectors - low);
}

/* O += P V of the part. A lone token reads fp32 values where they lie, a block at a time. */
static void flash_values(const struct tpo_flash *t, const struct flash_state *f, struct flash_part p)
{
  const struct tpo_kv_layer *kv = t->kv;
  int hd = t->shape.head_dim, vectors = (hd + VL - 1) / VL, rows = p.end - p.first, count;
  struct product product = {0, NULL, TILE, 1, NULL, hd, f->o + p.first * f->padded, f->padded, true};
  if (kv && kv->dtype == TPO_F32 && hd % VL == 0 && t->tokens == 1) {
    for (int j = p.low, at; j < p.n; j += count) {
      size_t block = cache_block(t, p.key0 + j, &at);
      count = kv->block_tokens - at < p.n - j ? kv->block_tokens - at : p.n - j;
      product.k = count;
      product.a = f->s + p.first * TILE + j;
      product_rows(product, (const float *)kv->v + block + (size_t)at * (size_t)hd, rows, vectors);
    }
    return;
  }
  product.k = p.n - p.low;
  product.a = f->s + p.first * TILE + p.low;
  product.b_row = f->padded;
  const float *v = f->v + p.low * f->padded;
  if (!kv && hd % VL == 0) {
    v = t->v + (p.key0 + p.low) * t->v_row;
    product.b_row = t->v_row;
  } else {
    unpack_values(t, p, f->v, f->padded);
  }
  product_rows(product, v, rows, vectors);
}

/* Turns one row of S into P, vectors low .. vectors-1 of it, keys begin .. end-1 of the tile being the row's,
 * and rescales its O. */
INLINE void softmax_row(const struct flash_state *f, int r, int low, int vectors, int begin, int end,
                        float cap)
{
  float *s = f->s + r * TILE;
  if (cap > 0) softcap(s + low * VL, (vectors - low) * VL, cap);
  for (int j = low * VL; j < begin; j++) s[j] = -INFINITY;
  for (int j = end; j < vectors * VL; j++) s[j] = -INFINITY;
  vf top = vload(s + low * VL);
  for (int v = low + 1; v < vectors; v++) top = vmax(top, vload(s + v * VL));
  float before = f->highest[r], highest = vhighest(top);
  if (before > highest) highest = before;
  vf sum = vset(0);
  for (int v = low; v < vectors; v++) {
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

/* P in place of S for the part's rows, whose keys are those up to their own position, of a window the last. A
 * function of its own: inlined, it took the registers of what unpacks a lone token's keys (5 % of decoding). */
__attribute__((noinline)) static void flash_softmax(const struct tpo_flash *t, const struct flash_state *f,
                                                    struct flash_part p)
{
  struct tpo_attention_shape shape = t->shape;
  int first_pos = t->pos, group = f->group, vectors = (p.n + VL - 1) / VL;
  for (int r = p.first; r < p.end; r++) {
    int pos = first_pos + r / group, end = pos + 1 - p.key0 < p.n ? pos + 1 - p.key0 : p.n;
    if (shape.window == 0 && shape.softcap == 0)
      softmax_row(f, r, 0, vectors, 0, end, 0);
    else
      softmax_row(f, r, p.low / VL, vectors, tpo_window_first(shape, pos) - p.key0, end, shape.softcap);
  }
}

/* The part of the tile at key0: tokens before the first see none of its keys, those from the end on have
 * their windows behind it. */
static struct flash_part flash_part(const struct tpo_flash *t, const struct flash_state *f, int key0)
{
  int keys = t->pos + t->tokens, window = t->shape.window, tokens = t->tokens;
  struct flash_part p = {.key0 = key0, .n = keys - key0 < TILE ? keys - key0 : TILE};
  int begin = tpo_window_first(t->shape, t->pos) - key0;
  if (begin > 0) p.low = begin;
  if (window > 0 && key0 + p.n - t->pos < tokens - window + 1) tokens = key0 + p.n - 1 - t->pos + window;
  p.first = (key0 > t->pos ? key0 - t->pos : 0) * f->group;
  p.end = tokens * f->group;
  return p;
}

static void flash(const struct tpo_flash *t, void *scratch)
{
  struct flash_state f;
  flash_begin(t, &f, scratch);
  int hd = t->shape.head_dim, keys = t->pos + t->tokens;
  for (int key0 = tpo_window_first(t->shape, t->pos) / TILE * TILE; key0 < keys; key0 += TILE) {
    struct flash_part p = flash_part(t, &f, key0);
    flash_scores(t, &f, p);
    flash_softmax(t, &f, p);
    flash_values(t, &f, p);
  }
  for (int r = 0; r < f.rows; r++) {
    int token = r / f.group, head = t->kv_head * f.group + r % f.group;
    float *out = t->out + ((ptrdiff_t)token * t->shape.heads + head) * hd, inverse = 1.0f / f.sum[r];
    for (int c = 0; c < hd; c++) out[c] = f.o[r * f.padded + c] * inverse;
    if (t->lse) t->lse[(ptrdiff_t)token * t->shape.heads + head] = f.highest[r] + logf(f.sum[r]);
  }
}

#endif
