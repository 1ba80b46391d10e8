/* Matrix products, embedding and LM head. W is [rows, cols]; bf16 weights are rounded once, when set. */
#include "backend/reference/reference.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

struct tpo_linear {
  int rows, cols;
  enum tpo_dtype dtype;
  float *w; /* [rows, cols] */
};

int tpo_reference_linear_create(struct tpo_backend *be, int rows, int cols, enum tpo_dtype dtype,
                                struct tpo_linear **out, struct tpo_error *err)
{
  (void)be;
  *out = NULL;
  if (rows < 1 || cols < 1 || dtype == TPO_F16)
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "a weight matrix of %d x %d as %s; expected at least 1 x 1, fp32 or bf16", rows, cols,
                    tpo_dtype_name(dtype));
  struct tpo_linear *linear = tpo_calloc(1, sizeof *linear, err);
  if (!linear) return TPO_E_MEMORY;
  linear->w = tpo_calloc((size_t)rows, (size_t)cols * sizeof(float), err);
  if (!linear->w) {
    free(linear);
    return TPO_E_MEMORY;
  }
  linear->rows = rows;
  linear->cols = cols;
  linear->dtype = dtype;
  *out = linear;
  return 0;
}

void tpo_reference_linear_free(struct tpo_backend *be, struct tpo_linear *w)
{
  (void)be;
  if (w) free(w->w);
  free(w);
}

void tpo_reference_linear_set(struct tpo_backend *be, struct tpo_linear *w, int row0, int n_rows,
                              const void *src, enum tpo_dtype src_dtype)
{
  (void)be;
  float *dst = w->w + (size_t)row0 * (size_t)w->cols;
  size_t n = (size_t)n_rows * (size_t)w->cols;
  tpo_convert(dst, TPO_F32, src, src_dtype, n);
  if (w->dtype == TPO_BF16)
    for (size_t i = 0; i < n; i++) dst[i] = tpo_bf16_to_f32(tpo_f32_to_bf16(dst[i]));
}

void tpo_reference_linear_get(struct tpo_backend *be, const struct tpo_linear *w, int row0, int n_rows,
                              float *dst)
{
  (void)be;
  const float *src = w->w + (size_t)row0 * (size_t)w->cols;
  for (size_t i = 0; i < (size_t)n_rows * (size_t)w->cols; i++) dst[i] = src[i];
}

static double dot(const float *a, const float *b, int n)
{
  double sum = 0;
  for (int i = 0; i < n; i++) sum += (double)a[i] * b[i];
  return sum;
}

static const float *row_of(const struct tpo_linear *w, int row)
{
  return w->w + (size_t)row * (size_t)w->cols;
}

/* y[i, r] = sum over c of x[i, c] W[r, c] (+ base[i, r]) */
static void forward(const struct tpo_linear *w, const float *x, const float *base, float *y, int n)
{
  for (int i = 0; i < n; i++)
    for (int r = 0; r < w->rows; r++) {
      size_t at = (size_t)i * w->rows + r;
      float value = (float)dot(x + (size_t)i * w->cols, row_of(w, r), w->cols);
      y[at] = base ? base[at] + value : value;
    }
}

void tpo_reference_linear_forward(struct tpo_backend *be, const struct tpo_linear *w, const void *x, void *y,
                                  int n)
{
  (void)be;
  forward(w, x, NULL, y, n);
}

void tpo_reference_linear_forward_add(struct tpo_backend *be, const struct tpo_linear *w, const void *x,
                                      const void *base, void *y, int n)
{
  (void)be;
  forward(w, x, base, y, n);
}

void tpo_reference_linear_forward_bias(struct tpo_backend *be, const struct tpo_linear *w, const float *bias,
                                       const void *x, void *y, int n)
{
  (void)be;
  forward(w, x, NULL, y, n);
  for (int i = 0; i < n; i++)
    for (int r = 0; r < w->rows; r++) ((float *)y)[(size_t)i * w->rows + r] += bias[r];
}

void tpo_reference_bias_backward(struct tpo_backend *be, const void *dy, float *dbias, int n, int dim)
{
  (void)be;
  for (int c = 0; c < dim; c++) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += ((const float *)dy)[(size_t)i * dim + c];
    dbias[c] += (float)sum;
  }
}

/* dx[i, c] (+)= sum over r of dy[i, r] W[r, c] */
void tpo_reference_linear_backward_input(struct tpo_backend *be, const struct tpo_linear *w, const void *dy,
                                         void *dx, int n, bool add)
{
  (void)be;
  for (int i = 0; i < n; i++) {
    const float *dy_i = (const float *)dy + (size_t)i * w->rows;
    float *dx_i = (float *)dx + (size_t)i * w->cols;
    for (int c = 0; c < w->cols; c++) {
      double sum = 0;
      for (int r = 0; r < w->rows; r++) sum += (double)dy_i[r] * row_of(w, r)[c];
      dx_i[c] = add ? dx_i[c] + (float)sum : (float)sum;
    }
  }
}

/* dw[r, c] += sum over i of dy[i, r] x[i, c] */
void tpo_reference_linear_backward_weight(struct tpo_backend *be, const struct tpo_linear *w, const void *dy,
                                          const void *x, float *dw, int n)
{
  (void)be;
  for (int r = 0; r < w->rows; r++)
    for (int c = 0; c < w->cols; c++) {
      double sum = 0;
      for (int i = 0; i < n; i++)
        sum += (double)((const float *)dy)[(size_t)i * w->rows + r] *
               ((const float *)x)[(size_t)i * w->cols + c];
      dw[(size_t)r * w->cols + c] += (float)sum;
    }
}

void tpo_reference_embed(struct tpo_backend *be, const struct tpo_linear *table, const int32_t *ids,
                         void *out, int n)
{
  for (int i = 0; i < n; i++)
    tpo_reference_linear_get(be, table, ids[i], 1, (float *)out + (size_t)i * table->cols);
}

/* dtable[ids[i]] += dout[i], in the order of i */
void tpo_reference_embed_backward(struct tpo_backend *be, const int32_t *ids, const void *dout, float *dtable,
                                  int n, int dim)
{
  (void)be;
  for (int i = 0; i < n; i++)
    for (int c = 0; c < dim; c++)
      dtable[(size_t)ids[i] * dim + c] += ((const float *)dout)[(size_t)i * dim + c];
}

/* Logits are rounded to fp32, as a backend that stores them has them. */
static double logit(const struct tpo_linear *w, const float *h_i, int r, float softcap)
{
  double z = dot(h_i, row_of(w, r), w->cols);
  return (float)(softcap > 0 ? softcap * tanh(z / softcap) : z);
}

/* lse_i = log sum over r of exp(h_i . W_r), with the largest logit taken out of the sum; logprob_i = z_target
 * - lse_i */
void tpo_reference_lm_head_logprob(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                                   const int32_t *targets, float *logprob, float *lse, int n, float softcap)
{
  (void)be;
  for (int i = 0; i < n; i++) {
    const float *h_i = (const float *)h + (size_t)i * w->cols;
    double highest = -INFINITY, sum = 0;
    for (int r = 0; r < w->rows; r++) highest = fmax(highest, logit(w, h_i, r, softcap));
    for (int r = 0; r < w->rows; r++) sum += exp(logit(w, h_i, r, softcap) - highest);
    double lse_i = highest + log(sum);
    lse[i] = (float)lse_i;
    logprob[i] = targets[i] < 0 ? 0.0f : (float)(logit(w, h_i, targets[i], softcap) - lse_i);
  }
}

/* With p = softmax(z_i): dz[r] = dlogprob_i ([r is the target] - p_r); dh_i = sum of dz[r] W_r; dw_r += dz[r]
 * h_i; of capped logits, dz is multiplied by 1 - (z / softcap)^2 */
void tpo_reference_lm_head_logprob_backward(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                                            const int32_t *targets, const float *lse, const float *dlogprob,
                                            void *dh, float *dw, int n, float softcap)
{
  double *dh_sum = tpo_reference_buffer(be, (size_t)w->cols);
  if (!dh_sum) return;
  for (int i = 0; i < n; i++) {
    const float *h_i = (const float *)h + (size_t)i * w->cols;
    for (int c = 0; c < w->cols; c++) dh_sum[c] = 0;
    for (int r = 0; targets[i] >= 0 && r < w->rows; r++) {
      double z = logit(w, h_i, r, softcap);
      double dz = dlogprob[i] * ((r == targets[i] ? 1.0 : 0.0) - exp(z - lse[i]));
      if (softcap > 0) dz *= 1 - z / softcap * (z / softcap);
      for (int c = 0; c < w->cols; c++) {
        dh_sum[c] += dz * row_of(w, r)[c];
        dw[(size_t)r * w->cols + c] += (float)(dz * h_i[c]);
      }
    }
    for (int c = 0; c < w->cols; c++) ((float *)dh)[(size_t)i * w->cols + c] = (float)dh_sum[c];
  }
  free(dh_sum);
}

void tpo_reference_lm_head_logits(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                                  float *logits, int n, float softcap)
{
  (void)be;
  for (int i = 0; i < n; i++)
    for (int r = 0; r < w->rows; r++)
      logits[(size_t)i * w->rows + r] = (float)logit(w, (const float *)h + (size_t)i * w->cols, r, softcap);
}
