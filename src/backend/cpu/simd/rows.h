/* Kernels over one row, or a stretch of a flat array. Elements past the last full vector go through the same
 * vector arithmetic, so that an element's bits do not depend on where a stretch begins or ends. */
#ifndef TPO_BACKEND_CPU_SIMD_ROWS_H
#define TPO_BACKEND_CPU_SIMD_ROWS_H

#include "backend/cpu/simd/table.h"
#include "backend/cpu/simd/vector.h"

/* rstd = 1 / sqrt(mean(x^2) + eps); y = x rstd w */
static float rms_norm(const float *x, const float *w, float *y, int dim, float eps)
{
  vf sum[4] = {vset(0), vset(0), vset(0), vset(0)};
  int i = 0;
  for (; i + 4 * VL <= dim; i += 4 * VL)
    for (int u = 0; u < 4; u++) {
      vf v = vload(x + i + u * VL);
      sum[u] = vfma(v, v, sum[u]);
    }
  for (; i < dim; i += VL) {
    vf v = i + VL <= dim ? vload(x + i) : vload_n(x + i, dim - i);
    sum[0] = vfma(v, v, sum[0]);
  }
  float squares = vsum((sum[0] + sum[1]) + (sum[2] + sum[3]));
  float rstd = 1.0f / sqrtf(squares / (float)dim + eps);
  vf r = vset(rstd);
  for (i = 0; i + VL <= dim; i += VL) vstore(y + i, vload(x + i) * r * vload(w + i));
  if (i < dim) vstore_n(y + i, vload_n(x + i, dim - i) * r * vload_n(w + i, dim - i), dim - i);
  return rstd;
}

/* With g = dy w: dx (+)= rstd (g - x rstd^2 mean(g x)); dw += dy x rstd. dx may be dy. */
INLINE void norm_gradient(const float *dy, const float *x, const float *w, float rstd, float *dx, float *dw,
                          int dim, const bool add)
{
  vf sum[2] = {vset(0), vset(0)}, r = vset(rstd);
  int i = 0;
  for (; i + 2 * VL <= dim; i += 2 * VL)
    for (int u = 0; u < 2; u++) {
      int at = i + u * VL;
      sum[u] = vfma(vload(dy + at) * vload(w + at), vload(x + at), sum[u]);
    }
  for (; i < dim; i += VL) {
    int n = dim - i < VL ? dim - i : VL;
    sum[0] = vfma(vload_n(dy + i, n) * vload_n(w + i, n), vload_n(x + i, n), sum[0]);
  }
  vf factor = vset(rstd * rstd * rstd * (vsum(sum[0] + sum[1]) / (float)dim));
  for (i = 0; i + VL <= dim; i += VL) {
    vf d = vload(dy + i), v = vload(x + i), gradient = d * vload(w + i) * r - v * factor;
    if (add) gradient = vload(dx + i) + gradient;
    vstore(dx + i, gradient);
    vstore(dw + i, vfma(d, v * r, vload(dw + i)));
  }
  if (i < dim) {
    int n = dim - i;
    vf d = vload_n(dy + i, n), v = vload_n(x + i, n), gradient = d * vload_n(w + i, n) * r - v * factor;
    if (add) gradient = vload_n(dx + i, n) + gradient;
    vstore_n(dx + i, gradient, n);
    vstore_n(dw + i, vfma(d, v * r, vload_n(dw + i, n)), n);
  }
}

static void rms_norm_backward(const float *dy, const float *x, const float *w, float rstd, float *dx,
                              float *dw, int dim)
{
  norm_gradient(dy, x, w, rstd, dx, dw, dim, true);
}

/* dy becomes dx. */
static void rms_norm_backward_in_place(float *dy, const float *x, const float *w, float rstd, float *dw,
                                       int dim)
{
  norm_gradient(dy, x, w, rstd, dy, dw, dim, false);
}

/* a' = a cos - b sin, b' = b cos + a sin for the halves (a, b) of each head's first 2 * half features */
static void rope(float *heads, int n_heads, int head_dim, int half, const float *cosine, const float *sine,
                 bool inverse)
{
  vf sign = vset(inverse ? -1.0f : 1.0f);
  for (int head = 0; head < n_heads; head++) {
    float *a = heads + (size_t)head * (size_t)head_dim, *b = a + half;
    int i = 0;
    for (; i + VL <= half; i += VL) {
      vf x = vload(a + i), y = vload(b + i), c = vload(cosine + i), s = vload(sine + i) * sign;
      vstore(a + i, x * c - y * s);
      vstore(b + i, y * c + x * s);
    }
    if (i < half) {
      int n = half - i;
      vf x = vload_n(a + i, n), y = vload_n(b + i, n), c = vload_n(cosine + i, n),
         s = vload_n(sine + i, n) * sign;
      vstore_n(a + i, x * c - y * s, n);
      vstore_n(b + i, y * c + x * s, n);
    }
  }
}

INLINE vf sigmoid(vf x)
{
  return vset(1) / (vset(1) + vexp(vset(0) - x));
}

static void swiglu(const float *gate_up, float *out, int dim)
{
  const float *gate = gate_up, *up = gate_up + dim;
  int i = 0;
  for (; i + VL <= dim; i += VL) {
    vf g = vload(gate + i);
    vstore(out + i, g * sigmoid(g) * vload(up + i));
  }
  if (i < dim) {
    vf g = vload_n(gate + i, dim - i);
    vstore_n(out + i, g * sigmoid(g) * vload_n(up + i, dim - i), dim - i);
  }
}

/* dup = dout gate s; dgate = dout up s (1 + gate (1 - s)) */
static void swiglu_backward(const float *dout, const float *gate_up, float *dgate_up, int dim)
{
  const float *gate = gate_up, *up = gate_up + dim;
  for (int i = 0; i < dim; i += VL) {
    int n = dim - i;
    bool full = n >= VL;
    vf d = full ? vload(dout + i) : vload_n(dout + i, n);
    vf g = full ? vload(gate + i) : vload_n(gate + i, n);
    vf u = full ? vload(up + i) : vload_n(up + i, n);
    vf s = sigmoid(g);
    vf dgate = d * u * s * (vset(1) + g * (vset(1) - s)), dup = d * g * s;
    if (full) {
      vstore(dgate_up + i, dgate);
      vstore(dgate_up + dim + i, dup);
    } else {
      vstore_n(dgate_up + i, dgate, n);
      vstore_n(dgate_up + dim + i, dup, n);
    }
  }
}

#define GELU_SCALE 0.7978845608f /* sqrt(2 / pi) */
#define GELU_CUBE 0.044715f

/* gelu(g) = g/2 (1 + tanh(u)) = g s, s = 1 / (1 + e), e = exp(-2u), u = GELU_SCALE (g + GELU_CUBE g^3):
 * without the cancellation of 1 + tanh. */
INLINE vf gelu_exp(vf g)
{
  return vexp(vset(-2 * GELU_SCALE) * (g + vset(GELU_CUBE) * g * g * g));
}

static void geglu(const float *gate_up, float *out, int dim)
{
  for (int i = 0; i < dim; i += VL) {
    vf g = vload_left(gate_up + i, dim - i), u = vload_left(gate_up + dim + i, dim - i);
    vstore_left(out + i, g * (vset(1) / (vset(1) + gelu_exp(g))) * u, dim - i);
  }
}

/* dup = dout g s; dgate = dout up (s + 2 g s (1 - s) GELU_SCALE (1 + 3 GELU_CUBE g^2)), 1 - s = e s */
static void geglu_backward(const float *dout, const float *gate_up, float *dgate_up, int dim)
{
  for (int i = 0; i < dim; i += VL) {
    int n = dim - i;
    vf d = vload_left(dout + i, n), g = vload_left(gate_up + i, n), u = vload_left(gate_up + dim + i, n);
    vf e = gelu_exp(g), s = vset(1) / (vset(1) + e);
    vf inner = vset(2 * GELU_SCALE) * (vset(1) + vset(3 * GELU_CUBE) * g * g);
    vstore_left(dgate_up + i, d * u * (s + g * s * (e * s) * inner), n);
    vstore_left(dgate_up + dim + i, d * g * s, n);
  }
}

/* y = base + scale x, base NULL: scale x */
static void add_scaled(const float *base, const float *x, float *y, float scale, size_t n)
{
  vf by = vset(scale);
  for (size_t i = 0; i < n; i += VL) {
    int left = n - i < VL ? (int)(n - i) : VL;
    vf sum = vload_left(x + i, left) * by;
    if (base) sum = vload_left(base + i, left) + sum;
    vstore_left(y + i, sum, left);
  }
}

/* y = x + by */
static void shift(const float *x, float *y, float by, size_t n)
{
  for (size_t i = 0; i < n; i += VL) {
    int left = n - i < VL ? (int)(n - i) : VL;
    vstore_left(y + i, vload_left(x + i, left) + vset(by), left);
  }
}

static void add(float *to, const float *from, float scale, int n)
{
  int i = 0;
  for (; i + VL <= n; i += VL) vstore(to + i, vload(to + i) + vload(from + i) * vset(scale));
  if (i < n) vstore_n(to + i, vload_n(to + i, n - i) + vload_n(from + i, n - i) * vset(scale), n - i);
}

/* x = cap tanh(x / cap) */
static void softcap(float *x, int n, float cap)
{
  vf c = vset(cap);
  for (int i = 0; i < n; i += VL) vstore_left(x + i, c * vtanh(vload_left(x + i, n - i) / c), n - i);
}

/* dx = dx (1 - (y / cap)^2), y being what softcap made */
static void softcap_backward(const float *y, float *dx, int n, float cap)
{
  vf c = vset(cap);
  for (int i = 0; i < n; i += VL) {
    vf tanh = vload_left(y + i, n - i) / c;
    vstore_left(dx + i, vload_left(dx + i, n - i) * (vset(1) - tanh * tanh), n - i);
  }
}

static void to_bf16(uint16_t *to, const float *from, int n)
{
  int i = 0;
  for (; i + VL <= n; i += VL) vstore_bf16(to + i, vload(from + i));
  for (; i < n; i++) to[i] = tpo_f32_to_bf16(from[i]);
}

/* One vector of parameters; see the reference for the formula. Bytes moved: 28 a parameter. */
INLINE vf adamw_step(vf param, vf grad, vf *m, vf *v, const struct tpo_adamw_args *a)
{
  vf g = grad * vset(a->grad_scale);
  *m = vset(a->beta1) * *m + vset(1.0f - a->beta1) * g;
  *v = vset(a->beta2) * *v + vset(1.0f - a->beta2) * g * g;
  vf step = (*m / vset(a->bias1)) / (vsqrt(*v / vset(a->bias2)) + vset(a->eps));
  return param - vset(a->lr) * (step + vset(a->weight_decay) * param);
}

static void adamw(float *param, const float *grad, float *m, float *v, size_t n,
                  const struct tpo_adamw_args *args)
{
  size_t i = 0;
  for (; i + VL <= n; i += VL) {
    vf m_i = vload(m + i), v_i = vload(v + i);
    vstore(param + i, adamw_step(vload(param + i), vload(grad + i), &m_i, &v_i, args));
    vstore(m + i, m_i);
    vstore(v + i, v_i);
  }
  if (i < n) {
    int left = (int)(n - i);
    vf m_i = vload_n(m + i, left), v_i = vload_n(v + i, left);
    vstore_n(param + i, adamw_step(vload_n(param + i, left), vload_n(grad + i, left), &m_i, &v_i, args),
             left);
    vstore_n(m + i, m_i, left);
    vstore_n(v + i, v_i, left);
  }
}

/* Four stretches side by side: several streams come faster from memory than one. */
static double sum_squares(const float *x, size_t n)
{
  vd sum[4] = {vdset(0), vdset(0), vdset(0), vdset(0)};
  size_t quarter = n / (4 * VL) * VL;
  for (size_t i = 0; i < quarter; i += VL)
    for (size_t s = 0; s < 4; s++) {
      vf v = vload(x + s * quarter + i);
      vd low = vlow(v), high = vhigh(v);
      sum[s] += low * low + high * high;
    }
  for (size_t i = 4 * quarter; i < n; i += VL) {
    vf v = n - i >= VL ? vload(x + i) : vload_n(x + i, (int)(n - i));
    vd low = vlow(v), high = vhigh(v);
    sum[0] += low * low + high * high;
  }
  return vdsum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

#endif
