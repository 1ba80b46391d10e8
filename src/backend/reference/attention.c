/* Causal attention with grouped heads: query head h reads key and value head h / (heads / kv_heads).
 * s_ij = cap(q_i . k_j scale), cap(s) = softcap tanh(s / softcap) where there is one; p_i = softmax of s_i over
 * j <= i, of a window the last of them; out_i = sum of p_ij v_j. */
#include "backend/reference/reference.h"

#include <math.h>
#include <stdlib.h>

static double dot(const float *a, const float *b, int n)
{
  double sum = 0;
  for (int i = 0; i < n; i++) sum += (double)a[i] * b[i];
  return sum;
}

static double capped(double score, struct tpo_attention_shape shape)
{
  return shape.softcap > 0 ? shape.softcap * tanh(score / shape.softcap) : score;
}

/* Element (block of pos, kv head, row of pos, 0) of a paged cache. */
static size_t cache_at(const struct tpo_kv_layer *kv, const struct tpo_paged_rows *rows, int seq, int pos,
                       int kv_head)
{
  int block = rows->blocks[(size_t)seq * rows->max_blocks + pos / kv->block_tokens];
  return (((size_t)block * kv->kv_heads + kv_head) * kv->block_tokens + pos % kv->block_tokens) *
         kv->head_dim;
}

static float cache_get(const void *cache, enum tpo_dtype dtype, size_t i)
{
  return dtype == TPO_F32 ? ((const float *)cache)[i] : tpo_bf16_to_f32(((const uint16_t *)cache)[i]);
}

static void cache_put(void *cache, enum tpo_dtype dtype, size_t i, float value)
{
  if (dtype == TPO_F32)
    ((float *)cache)[i] = value;
  else
    ((uint16_t *)cache)[i] = tpo_f32_to_bf16(value);
}

void tpo_reference_kv_write(struct tpo_backend *be, const struct tpo_kv_layer *kv, const void *qkv,
                            struct tpo_attention_shape shape, const struct tpo_paged_rows *rows)
{
  (void)be;
  int hd = shape.head_dim;
  for (int i = 0; i < rows->n; i++) {
    const float *row = (const float *)qkv + (size_t)i * (shape.heads + 2 * shape.kv_heads) * hd;
    for (int head = 0; head < shape.kv_heads; head++) {
      size_t to = cache_at(kv, rows, rows->seq[i], rows->pos[i], head);
      for (int c = 0; c < hd; c++) {
        cache_put(kv->k, kv->dtype, to + c, row[(size_t)(shape.heads + head) * hd + c]);
        cache_put(kv->v, kv->dtype, to + c, row[(size_t)(shape.heads + shape.kv_heads + head) * hd + c]);
      }
    }
  }
}

void tpo_reference_rope_kv_write(struct tpo_backend *be, const struct tpo_kv_layer *kv, void *qkv,
                                 const struct tpo_qk_norm *norm, const float *cos_sin,
                                 struct tpo_attention_shape shape, const struct tpo_paged_rows *rows)
{
  if (norm) tpo_reference_qk_norm(be, qkv, qkv, norm, NULL, shape, rows->n);
  if (cos_sin)
    tpo_reference_rope(be, qkv, rows->rope_at ? rows->rope_at : rows->pos, cos_sin, shape, rows->n, false);
  tpo_reference_kv_write(be, kv, qkv, shape, rows);
}

void tpo_reference_paged_prepare(struct tpo_backend *be, struct tpo_paged_rows *rows,
                                 const struct tpo_paged_host *host, struct tpo_attention_shape shape,
                                 int block_tokens)
{
  (void)be, (void)host, (void)shape, (void)block_tokens;
  rows->plan = NULL;
}

/* One query head of one row: scores are kept in `p` [pos + 1]. */
static void attend_paged(const struct tpo_kv_layer *kv, struct tpo_attention_shape shape,
                         const struct tpo_paged_rows *rows, int i, int kv_head, const float *q, float *out,
                         double *p)
{
  int hd = kv->head_dim, pos = rows->pos[i], first = tpo_window_first(shape, pos);
  double highest = -INFINITY, sum = 0, scale = tpo_attention_scale(shape);
  for (int j = first; j <= pos; j++) {
    size_t at = cache_at(kv, rows, rows->seq[i], j, kv_head);
    p[j] = 0;
    for (int c = 0; c < hd; c++) p[j] += (double)q[c] * cache_get(kv->k, kv->dtype, at + c);
    p[j] = capped(p[j] * scale, shape);
    highest = fmax(highest, p[j]);
  }
  for (int j = first; j <= pos; j++) sum += p[j] = exp(p[j] - highest);
  for (int c = 0; c < hd; c++) {
    double value = 0;
    for (int j = first; j <= pos; j++)
      value += p[j] * cache_get(kv->v, kv->dtype, cache_at(kv, rows, rows->seq[i], j, kv_head) + c);
    out[c] = (float)(value / sum);
  }
}

void tpo_reference_attention_paged(struct tpo_backend *be, const struct tpo_kv_layer *kv, const void *qkv,
                                   void *out, struct tpo_attention_shape shape,
                                   const struct tpo_paged_rows *rows)
{
  int hd = shape.head_dim, group = shape.heads / shape.kv_heads;
  for (int i = 0; i < rows->n; i++) {
    double *p = tpo_reference_buffer(be, (size_t)rows->pos[i] + 1);
    if (!p) return;
    for (int head = 0; head < shape.heads; head++) {
      const float *q = (const float *)qkv + ((size_t)i * (shape.heads + 2 * shape.kv_heads) + head) * hd;
      attend_paged(kv, shape, rows, i, head / group, q, (float *)out + ((size_t)i * shape.heads + head) * hd,
                   p);
    }
    free(p);
  }
}

void tpo_reference_kv_copy_block(struct tpo_backend *be, const struct tpo_kv_layer *kv, int dst, int src,
                                 int tokens)
{
  (void)be;
  for (int head = 0; head < kv->kv_heads; head++)
    for (int i = 0; i < tokens * kv->head_dim; i++) {
      size_t row = (size_t)kv->block_tokens * kv->head_dim;
      size_t to = ((size_t)dst * kv->kv_heads + head) * row + i,
             from = ((size_t)src * kv->kv_heads + head) * row + i;
      cache_put(kv->k, kv->dtype, to, cache_get(kv->k, kv->dtype, from));
      cache_put(kv->v, kv->dtype, to, cache_get(kv->v, kv->dtype, from));
    }
}

/* Pointers into packed qkv rows [n, (heads + 2 kv_heads) * head_dim]. */
static size_t q_at(struct tpo_attention_shape s, int row, int head)
{
  return ((size_t)row * (s.heads + 2 * s.kv_heads) + head) * s.head_dim;
}

static size_t k_at(struct tpo_attention_shape s, int row, int head)
{
  return q_at(s, row, s.heads + head / (s.heads / s.kv_heads));
}

static size_t v_at(struct tpo_attention_shape s, int row, int head)
{
  return q_at(s, row, s.heads + s.kv_heads + head / (s.heads / s.kv_heads));
}

/* lse_i = log sum over j of exp(s_ij) */
void tpo_reference_attention(struct tpo_backend *be, const void *qkv, void *out, float *lse,
                             struct tpo_attention_shape shape, const int32_t *cu_seqlens_host, int n_seqs)
{
  const float *x = qkv;
  int hd = shape.head_dim;
  double scale = tpo_attention_scale(shape);
  for (int s = 0; s < n_seqs; s++) {
    int first = cu_seqlens_host[s], end = cu_seqlens_host[s + 1];
    double *p = tpo_reference_buffer(be, (size_t)(end - first));
    if (!p) return;
    for (int i = first; i < end; i++)
      for (int head = 0; head < shape.heads; head++) {
        double highest = -INFINITY, sum = 0;
        int begin = first + tpo_window_first(shape, i - first);
        for (int j = begin; j <= i; j++) {
          p[j - first] = capped(dot(x + q_at(shape, i, head), x + k_at(shape, j, head), hd) * scale, shape);
          highest = fmax(highest, p[j - first]);
        }
        for (int j = begin; j <= i; j++) sum += p[j - first] = exp(p[j - first] - highest);
        lse[(size_t)i * shape.heads + head] = (float)(highest + log(sum));
        for (int c = 0; c < hd; c++) {
          double value = 0;
          for (int j = begin; j <= i; j++) value += p[j - first] * x[v_at(shape, j, head) + c];
          ((float *)out)[((size_t)i * shape.heads + head) * hd + c] = (float)(value / sum);
        }
      }
    free(p);
  }
}

/* What the backward of one (i, j, head) needs. */
struct pair {
  double p;  /* probability of j in row i */
  double ds; /* d loss / d (q_i . k_j), the scale and the softcap's derivative 1 - (s / softcap)^2 included */
};

static struct pair pair_of(const float *x, const float *dout, const float *out, const float *lse,
                           struct tpo_attention_shape shape, int i, int j, int head)
{
  int hd = shape.head_dim;
  size_t o = ((size_t)i * shape.heads + head) * hd;
  double scale = tpo_attention_scale(shape);
  double s = capped(dot(x + q_at(shape, i, head), x + k_at(shape, j, head), hd) * scale, shape);
  struct pair pair;
  pair.p = exp(s - lse[(size_t)i * shape.heads + head]);
  pair.ds = pair.p * (dot(dout + o, x + v_at(shape, j, head), hd) - dot(dout + o, out + o, hd)) * scale;
  if (shape.softcap > 0) pair.ds *= 1 - s / shape.softcap * (s / shape.softcap);
  return pair;
}

/* dp_ij = dout_i . v_j; ds_ij = p_ij (dp_ij - dout_i . out_i) scale;
 * dq_i = sum over j of ds_ij k_j;
 * dk_j = sum over i, heads of ds_ij q_i; dv_j = sum over i, heads of p_ij dout_i */
void tpo_reference_attention_backward(struct tpo_backend *be, const void *dout, const void *qkv,
                                      const void *out, const float *lse, void *dqkv,
                                      struct tpo_attention_shape shape, const int32_t *cu_seqlens_host,
                                      int n_seqs)
{
  const float *x = qkv, *d = dout;
  int hd = shape.head_dim, rows = n_seqs ? cu_seqlens_host[n_seqs] : 0;
  size_t stride = (size_t)(shape.heads + 2 * shape.kv_heads) * hd;
  double *sum = tpo_reference_buffer(be, (size_t)rows * stride); /* dqkv */
  if (!sum) return;
  for (int s = 0; s < n_seqs; s++)
    for (int i = cu_seqlens_host[s]; i < cu_seqlens_host[s + 1]; i++)
      for (int head = 0; head < shape.heads; head++)
        for (int j = cu_seqlens_host[s] + tpo_window_first(shape, i - cu_seqlens_host[s]); j <= i; j++) {
          struct pair pair = pair_of(x, d, out, lse, shape, i, j, head);
          for (int c = 0; c < hd; c++) {
            sum[q_at(shape, i, head) + c] += pair.ds * x[k_at(shape, j, head) + c];
            sum[k_at(shape, j, head) + c] += pair.ds * x[q_at(shape, i, head) + c];
            sum[v_at(shape, j, head) + c] += pair.p * d[((size_t)i * shape.heads + head) * hd + c];
          }
        }
  for (size_t i = 0; i < (size_t)rows * stride; i++) ((float *)dqkv)[i] = (float)sum[i];
  free(sum);
}
