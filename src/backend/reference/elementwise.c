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

/* The heads of q and k of a row that share one mean, one after another: all of q's, all of k's, or each alone. */
struct normed_heads {
  size_t at; /* of the first feature in the row */
  int n;     /* features */
  const float *w;
};

static struct normed_heads normed_heads(const struct tpo_qk_norm *norm, struct tpo_attention_shape shape,
                                        int i)
{
  size_t hd = (size_t)shape.head_dim;
  if (!norm->whole)
    return (struct normed_heads){(size_t)i * hd, shape.head_dim, i < shape.heads ? norm->q : norm->k};
  return i == 0 ? (struct normed_heads){0, shape.heads * shape.head_dim, norm->q}
                : (struct normed_heads){(size_t)shape.heads * hd, shape.kv_heads * shape.head_dim, norm->k};
}

static int norms_of(const struct tpo_qk_norm *norm, struct tpo_attention_shape shape)
{
  return norm->whole ? 2 : shape.heads + shape.kv_heads;
}

void tpo_reference_qk_norm(struct tpo_backend *be, const void *raw, void *qkv, const struct tpo_qk_norm *norm,
                           float *rstd, struct tpo_attention_shape shape, int n)
{
  size_t stride = (size_t)(shape.heads + 2 * shape.kv_heads) * (size_t)shape.head_dim;
  int norms = norms_of(norm, shape);
  for (int i = 0; i < n; i++) {
    const float *from = (const float *)raw + (size_t)i * stride;
    float *to = (float *)qkv + (size_t)i * stride;
    for (int k = 0; k < norms; k++) {
      struct normed_heads h = normed_heads(norm, shape, k);
      tpo_reference_rms_norm(be, from + h.at, h.w, to + h.at, rstd ? rstd + (size_t)i * norms + k : NULL, 1,
                             h.n, norm->eps);
    }
    for (size_t c = (size_t)(shape.heads + shape.kv_heads) * (size_t)shape.head_dim; c < stride; c++)
      to[c] = from[c];
  }
}

/* dw of the k-th norm of all rows, before d becomes the gradient of raw */
static void qk_norm_weights(const float *d, const float *x, size_t stride, const float *rstd, int norms,
                            float *dw, int dim, int n)
{
  for (int c = 0; c < dim; c++) {
    double sum = 0;
    for (int i = 0; i < n; i++)
      sum += (double)d[(size_t)i * stride + c] * x[(size_t)i * stride + c] * rstd[(size_t)i * norms];
    dw[c] += (float)sum;
  }
}

/* As rms_norm_backward for each, but written instead of added. */
void tpo_reference_qk_norm_backward(struct tpo_backend *be, void *dqkv, const void *raw,
                                    const struct tpo_qk_norm *norm, const float *rstd, float *dq, float *dk,
                                    struct tpo_attention_shape shape, int n)
{
  (void)be;
  size_t stride = (size_t)(shape.heads + 2 * shape.kv_heads) * (size_t)shape.head_dim;
  int norms = norms_of(norm, shape);
  for (int k = 0; k < norms; k++) {
    struct normed_heads h = normed_heads(norm, shape, k);
    float *d_all = (float *)dqkv + h.at;
    const float *x_all = (const float *)raw + h.at;
    qk_norm_weights(d_all, x_all, stride, rstd + k, norms, h.w == norm->q ? dq : dk, h.n, n);
    for (int i = 0; i < n; i++) {
      const float *x = x_all + (size_t)i * stride;
      float *d = d_all + (size_t)i * stride;
      double r = rstd[(size_t)i * norms + k], mean = 0;
      for (int c = 0; c < h.n; c++) mean += (double)d[c] * h.w[c] * x[c];
      mean /= h.n;
      for (int c = 0; c < h.n; c++) d[c] = (float)(r * ((double)d[c] * h.w[c] - x[c] * r * r * mean));
    }
  }
}

/* y = base + scale x */
void tpo_reference_add_scaled(struct tpo_backend *be, const void *base, const void *x, void *y, float scale,
                              size_t n)
{
  (void)be;
  for (size_t i = 0; i < n; i++)
    ((float *)y)[i] = (base ? ((const float *)base)[i] : 0) + scale * ((const float *)x)[i];
}

void tpo_reference_shift(struct tpo_backend *be, const float *x, float *y, float by, size_t n)
{
  (void)be;
  for (size_t i = 0; i < n; i++) y[i] = x[i] + by;
}

/* For each pair (a, b) = (head[i], head[i + rotated/2]) of q and k:
 * a' = a cos - b sin, b' = b cos + a sin */
void tpo_reference_rope(struct tpo_backend *be, void *qkv, const int32_t *pos, const float *cos_sin,
                        struct tpo_attention_shape shape, int n, bool inverse)
{
  (void)be;
  int rotated = tpo_rotated(shape), half = rotated / 2;
  size_t stride = (size_t)(shape.heads + 2 * shape.kv_heads) * shape.head_dim;
  for (int i = 0; i < n; i++)
    for (int head = 0; head < shape.heads + shape.kv_heads; head++) {
      float *v = (float *)qkv + (size_t)i * stride + (size_t)head * shape.head_dim;
      const float *cosine = cos_sin + (size_t)pos[i] * rotated, *sine = cosine + half;
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

#define GELU_SCALE 0.79788456080286535588 /* sqrt(2 / pi) */

static double gelu_tanh(double g)
{
  return tanh(GELU_SCALE * (g + 0.044715 * g * g * g));
}

/* out = gelu(gate) up, gelu(g) = g/2 (1 + tanh(sqrt(2/pi) (g + 0.044715 g^3))) */
void tpo_reference_geglu(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim)
{
  (void)be;
  for (int i = 0; i < n; i++) {
    const float *gate = (const float *)gate_up + (size_t)i * 2 * dim, *up = gate + dim;
    for (int c = 0; c < dim; c++)
      ((float *)out)[(size_t)i * dim + c] = (float)(0.5 * gate[c] * (1 + gelu_tanh(gate[c])) * up[c]);
  }
}

/* With t = tanh(u), u = sqrt(2/pi) (g + 0.044715 g^3): dup = dout g/2 (1 + t);
 * dgate = dout up ((1 + t) / 2 + g/2 (1 - t^2) sqrt(2/pi) (1 + 3 * 0.044715 g^2)) */
void tpo_reference_geglu_backward(struct tpo_backend *be, const void *dout, const void *gate_up,
                                  void *dgate_up, int n, int dim)
{
  (void)be;
  for (int i = 0; i < n; i++) {
    const float *gate = (const float *)gate_up + (size_t)i * 2 * dim, *up = gate + dim;
    float *dgate = (float *)dgate_up + (size_t)i * 2 * dim, *dup = dgate + dim;
    for (int c = 0; c < dim; c++) {
      double g = gate[c], t = gelu_tanh(g), d = ((const float *)dout)[(size_t)i * dim + c], u = up[c];
      double slope = 0.5 * (1 + t) + 0.5 * g * (1 - t * t) * GELU_SCALE * (1 + 3 * 0.044715 * g * g);
      dup[c] = (float)(d * 0.5 * g * (1 + t));
      dgate[c] = (float)(d * u * slope);
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
