/* Norm, rotary embedding, SwiGLU, rows, optimizer. */
#include "backend/reference/reference.h"

#include <math.h>

#include "base/ggml_blocks.h"

/* rstd = 1 / sqrt(mean(x^2) + eps); y = x rstd w */
void tpo_reference_rms_norm(struct tpo_backend *be, const void *x, const float *w, void *y, float *rstd,
                            int n, int dim, float eps)
{
  (void)be;
  for (int i = 0; i < n; i++) {
    const float *x_i = (const float *)x + (size_t)i * dim;
    float *y_i = (float *)y + (size_t)i * dim;
    double squares = 0;
    for (int c = 0; c < dim; c++) squares += (double)x_i[c] * x_i[c];
    float r = (float)(1.0 / sqrt(squares / dim + eps));
    for (int c = 0; c < dim; c++) y_i[c] = x_i[c] * r * w[c];
    if (rstd) rstd[i] = r;
  }
}

/* With g = dy w: dx += rstd (g - x rstd^2 mean(g x)); dw += sum over rows of dy x rstd */
void tpo_reference_rms_norm_backward(struct tpo_backend *be, const void *dy, const void *x, const float *w,
                                     const float *rstd, void *dx, float *dw, int n, int dim)
{
  (void)be;
  for (int i = 0; i < n; i++) {
    const float *dy_i = (const float *)dy + (size_t)i * dim;
    const float *x_i = (const float *)x + (size_t)i * dim;
    float *dx_i = (float *)dx + (size_t)i * dim;
    double r = rstd[i], mean = 0;
    for (int c = 0; c < dim; c++) mean += (double)dy_i[c] * w[c] * x_i[c];
    mean /= dim;
    for (int c = 0; c < dim; c++) dx_i[c] += (float)(r * ((double)dy_i[c] * w[c] - x_i[c] * r * r * mean));
  }
  for (int c = 0; c < dim; c++) {
    double sum = 0;
    for (int i = 0; i < n; i++)
      sum += (double)((const float *)dy)[(size_t)i * dim + c] * ((const float *)x)[(size_t)i * dim + c] *
             rstd[i];
    dw[c] += (float)sum;
  }
}

/* For each pair (a, b) = (head[i], head[i + head_dim/2]) of q and k:
 * a' = a cos - b sin, b' = b cos + a sin */
void tpo_reference_rope(struct tpo_backend *be, void *qkv, const int32_t *pos, const float *cos_sin,
                        struct tpo_attention_shape shape, int n, bool inverse)
{
  (void)be;
  int half = shape.head_dim / 2;
  size_t stride = (size_t)(shape.heads + 2 * shape.kv_heads) * shape.head_dim;
  for (int i = 0; i < n; i++)
    for (int head = 0; head < shape.heads + shape.kv_heads; head++) {
      float *v = (float *)qkv + (size_t)i * stride + (size_t)head * shape.head_dim;
      const float *cosine = cos_sin + (size_t)pos[i] * shape.head_dim, *sine = cosine + half;
      for (int c = 0; c < half; c++) {
        float a = v[c], b = v[c + half], s = inverse ? -sine[c] : sine[c];
        v[c] = a * cosine[c] - b * s;
        v[c + half] = b * cosine[c] + a * s;
      }
    }
}

/* out = silu(gate) up, silu(g) = g / (1 + exp(-g)) */
void tpo_reference_swiglu(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim)
{
  (void)be;
  for (int i = 0; i < n; i++) {
    const float *gate = (const float *)gate_up + (size_t)i * 2 * dim, *up = gate + dim;
    for (int c = 0; c < dim; c++) {
      double g = gate[c];
      ((float *)out)[(size_t)i * dim + c] = (float)(g / (1 + exp(-g)) * up[c]);
    }
  }
}

/* With s = 1 / (1 + exp(-gate)): dup = dout gate s; dgate = dout up s (1 + gate (1 - s)) */
void tpo_reference_swiglu_backward(struct tpo_backend *be, const void *dout, const void *gate_up,
                                   void *dgate_up, int n, int dim)
{
  (void)be;
  for (int i = 0; i < n; i++) {
    const float *gate = (const float *)gate_up + (size_t)i * 2 * dim, *up = gate + dim;
    float *dgate = (float *)dgate_up + (size_t)i * 2 * dim, *dup = dgate + dim;
    for (int c = 0; c < dim; c++) {
      double g = gate[c], s = 1 / (1 + exp(-g)), d = ((const float *)dout)[(size_t)i * dim + c];
      double u = up[c];
      dup[c] = (float)(d * g * s);
      dgate[c] = (float)(d * u * s * (1 + g * (1 - s)));
    }
  }
}

void tpo_reference_gather_rows(struct tpo_backend *be, const void *x, const int32_t *index, void *out, int n,
                               int dim)
{
  (void)be;
  for (int i = 0; i < n; i++)
    for (int c = 0; c < dim; c++)
      ((float *)out)[(size_t)i * dim + c] = ((const float *)x)[(size_t)index[i] * dim + c];
}

void tpo_reference_scatter_rows(struct tpo_backend *be, const void *dout, const int32_t *index, void *dx,
                                int n, int n_total, int dim)
{
  (void)be;
  for (size_t i = 0; i < (size_t)n_total * dim; i++) ((float *)dx)[i] = 0;
  for (int i = 0; i < n; i++)
    for (int c = 0; c < dim; c++)
      ((float *)dx)[(size_t)index[i] * dim + c] = ((const float *)dout)[(size_t)i * dim + c];
}

/* g = grad_scale grad; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
 * param -= lr (m / bias1 / (sqrt(v / bias2) + eps) + weight_decay param) */
void tpo_reference_adamw(struct tpo_backend *be, float *param, const float *grad, float *m, float *v,
                         size_t n, const struct tpo_adamw_args *args, void *weights,
                         enum tpo_dtype weights_dtype)
{
  (void)be;
  for (size_t i = 0; i < n; i++) {
    float g = grad[i] * args->grad_scale;
    m[i] = args->beta1 * m[i] + (1.0f - args->beta1) * g;
    v[i] = args->beta2 * v[i] + (1.0f - args->beta2) * g * g;
    float step = (m[i] / args->bias1) / (sqrtf(v[i] / args->bias2) + args->eps);
    param[i] -= args->lr * (step + args->weight_decay * param[i]);
  }
  if (weights) tpo_convert(weights, weights_dtype, param, TPO_F32, n);
}

double tpo_reference_sum_squares(struct tpo_backend *be, const float *x, size_t n)
{
  (void)be;
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
  return sum;
}

void tpo_reference_dequantise(struct tpo_backend *be, const void *raw, uint32_t ggml_type, float *out,
                              size_t n)
{
  (void)be;
  tpo_ggml_dequantise(ggml_type, raw, out, n);
}
