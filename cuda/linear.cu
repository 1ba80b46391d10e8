/* Weight matrices in row-major memory, and their products.
 *
 * cuBLASLt is column-major: a row-major matrix [r, c] is its column-major [c, r]. So y = x W^T is computed as
 * Y = W^T X with W [cols, rows], X [cols, n], Y [rows, n], all with their first dimension contiguous. */
#include "gemm.cuh"
#include "ops.cuh"

#include <stdlib.h>

static cudaDataType_t blas_type(enum tpo_dtype dtype)
{
  return dtype == TPO_F32 ? CUDA_R_32F : CUDA_R_16BF;
}

template <class Act> constexpr enum tpo_dtype dtype_of()
{
  return sizeof(Act) == 4 ? TPO_F32 : TPO_BF16;
}

/* Activations as the weights' type wants them: bf16 weights with fp32 activations round these to bf16 (the
 * output stays fp32). The reverse, fp32 weights with bf16 activations, no model has. */
template <class Act>
static const void *operand(struct tpo_cuda *cuda, const struct tpo_linear *w, const void *x, size_t count)
{
  if (w->dtype == dtype_of<Act>()) return x;
  if (w->dtype == TPO_F32) {
    tpo_cuda_fail(cuda, TPO_E_UNSUPPORTED, "fp32 weights cannot be multiplied with bf16 activations");
    return NULL;
  }
  void *rounded = tpo_cuda_scratch(cuda, TPO_CUDA_SLOT_ROUNDED, count * 2);
  if (rounded) tpo_cuda_convert(cuda, rounded, TPO_BF16, x, TPO_F32, count);
  return rounded;
}

/* The bias [count] as the output's type wants it. Its bf16 copy is exact where the model's vectors are bf16
 * numbers; it takes the slot of operand, which has nothing to round where the output is bf16. */
static const void *bias_as(struct tpo_cuda *cuda, const float *bias, enum tpo_dtype out, int count)
{
  if (out == TPO_F32) return bias;
  void *rounded = tpo_cuda_scratch(cuda, TPO_CUDA_SLOT_ROUNDED, (size_t)count * 2);
  if (rounded) tpo_cuda_convert(cuda, rounded, TPO_BF16, bias, TPO_F32, (size_t)count);
  return rounded;
}

/* y [n, count] = x [n, cols] W[row0 ..]^T (+ base [n, count], which may be y; NULL: nothing) (+ bias [count] of
 * type out; NULL: none) */
template <class Act>
static void forward(struct tpo_cuda *cuda, const struct tpo_linear *w, int row0, int count, const void *x,
                    const void *base, const void *bias, void *y, enum tpo_dtype out, int n)
{
  x = operand<Act>(cuda, w, x, (size_t)n * (size_t)w->cols);
  if (!x) return;
  const char *rows =
      static_cast<const char *>(w->data) + (size_t)row0 * (size_t)w->cols * tpo_dtype_size(w->dtype);
  struct tpo_cuda_product p = {CUBLAS_OP_T,    CUBLAS_OP_N, count,   n,     w->cols, blas_type(w->dtype),
                               blas_type(out), w->cols,     w->cols, count, false,   bias};
  tpo_cuda_multiply(cuda, &p, rows, x, base, y);
}

/* dx [n, cols] (+)= dy [n, count] W[row0 ..] */
template <class Act>
static void backward_input(struct tpo_cuda *cuda, const struct tpo_linear *w, int row0, int count,
                           const void *dy, void *dx, int n, bool add)
{
  dy = operand<Act>(cuda, w, dy, (size_t)n * (size_t)count);
  if (!dy) return;
  const char *rows =
      static_cast<const char *>(w->data) + (size_t)row0 * (size_t)w->cols * tpo_dtype_size(w->dtype);
  struct tpo_cuda_product p = {
      CUBLAS_OP_N, CUBLAS_OP_N, w->cols, n,     count, blas_type(w->dtype), blas_type(dtype_of<Act>()),
      w->cols,     count,       w->cols, false, NULL};
  tpo_cuda_multiply(cuda, &p, rows, dy, add ? dx : NULL, dx);
}

/* dw [count, cols] += dy [n, count]^T x [n, cols], in the activations' type */
template <class Act>
static void backward_weight(struct tpo_cuda *cuda, int count, int cols, const void *dy, const void *x,
                            float *dw, int n)
{
  cudaDataType_t in = blas_type(dtype_of<Act>());
  struct tpo_cuda_product p = {CUBLAS_OP_N, CUBLAS_OP_T, cols,  count, n,    in,
                               CUDA_R_32F,  cols,        count, cols,  true, NULL};
  tpo_cuda_multiply(cuda, &p, x, dy, dw, dw);
}

int tpo_cuda_linear_create(struct tpo_backend *be, int rows, int cols, enum tpo_dtype dtype,
                           struct tpo_linear **out, struct tpo_error *err)
{
  *out = NULL;
  if (rows < 1 || cols < 1 || dtype == TPO_F16)
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "a weight matrix of %d x %d as %s; expected at least 1 x 1, fp32 or bf16", rows, cols,
                    tpo_dtype_name(dtype));
  struct tpo_linear *linear = static_cast<struct tpo_linear *>(calloc(1, sizeof *linear));
  if (!linear) return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  int code = tpo_cuda_alloc(be, (size_t)rows * (size_t)cols * tpo_dtype_size(dtype), &linear->data, err);
  if (code < 0) {
    free(linear);
    return code;
  }
  linear->rows = rows;
  linear->cols = cols;
  linear->dtype = dtype;
  *out = linear;
  return 0;
}

void tpo_cuda_linear_free(struct tpo_backend *be, struct tpo_linear *w)
{
  if (w) tpo_cuda_free(be, w->data);
  free(w);
}

void tpo_cuda_linear_set(struct tpo_backend *be, struct tpo_linear *w, int row0, int n_rows, const void *src,
                         enum tpo_dtype src_dtype)
{
  size_t cols = (size_t)w->cols;
  char *dst = static_cast<char *>(w->data) + (size_t)row0 * cols * tpo_dtype_size(w->dtype);
  tpo_cuda_convert(tpo_cuda_of(be), dst, w->dtype, src, src_dtype, (size_t)n_rows * cols);
}

void tpo_cuda_linear_get(struct tpo_backend *be, const struct tpo_linear *w, int row0, int n_rows, float *dst)
{
  size_t cols = (size_t)w->cols;
  const char *src = static_cast<const char *>(w->data) + (size_t)row0 * cols * tpo_dtype_size(w->dtype);
  tpo_cuda_convert(tpo_cuda_of(be), dst, TPO_F32, src, w->dtype, (size_t)n_rows * cols);
}

template <class Act>
void tpo_cuda_linear_forward(struct tpo_backend *be, const struct tpo_linear *w, const void *x, void *y,
                             int n)
{
  forward<Act>(tpo_cuda_of(be), w, 0, w->rows, x, NULL, NULL, y, dtype_of<Act>(), n);
}

template <class Act>
void tpo_cuda_linear_forward_add(struct tpo_backend *be, const struct tpo_linear *w, const void *x,
                                 const void *base, void *y, int n)
{
  forward<Act>(tpo_cuda_of(be), w, 0, w->rows, x, base, NULL, y, dtype_of<Act>(), n);
}

template <class Act>
void tpo_cuda_linear_forward_bias(struct tpo_backend *be, const struct tpo_linear *w, const float *bias,
                                  const void *x, void *y, int n)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  const void *added = bias_as(cuda, bias, dtype_of<Act>(), w->rows);
  if (added) forward<Act>(cuda, w, 0, w->rows, x, NULL, added, y, dtype_of<Act>(), n);
}

template <class Act>
void tpo_cuda_linear_backward_input(struct tpo_backend *be, const struct tpo_linear *w, const void *dy,
                                    void *dx, int n, bool add)
{
  backward_input<Act>(tpo_cuda_of(be), w, 0, w->rows, dy, dx, n, add);
}

template <class Act>
void tpo_cuda_linear_backward_weight(struct tpo_backend *be, const struct tpo_linear *w, const void *dy,
                                     const void *x, float *dw, int n)
{
  backward_weight<Act>(tpo_cuda_of(be), w->rows, w->cols, dy, x, dw, n);
}

template <class Act>
void tpo_cuda_logits(struct tpo_cuda *cuda, const struct tpo_linear *w, int row0, int count, const void *h,
                     float *logits, int n)
{
  forward<Act>(cuda, w, row0, count, h, NULL, NULL, logits, TPO_F32, n);
}

template <class Act>
void tpo_cuda_logits_backward(struct tpo_cuda *cuda, const struct tpo_linear *w, int row0, int count,
                              const Act *dz, const void *h, void *dh, bool add, float *dw, int n)
{
  backward_input<Act>(cuda, w, row0, count, dz, dh, n, add);
  backward_weight<Act>(cuda, count, w->cols, dz, h, dw + (size_t)row0 * (size_t)w->cols, n);
}

#define INSTANTIATE(Act)                                                                                     \
  template void tpo_cuda_linear_forward<Act>(struct tpo_backend *, const struct tpo_linear *, const void *,  \
                                             void *, int);                                                   \
  template void tpo_cuda_linear_forward_add<Act>(struct tpo_backend *, const struct tpo_linear *,            \
                                                 const void *, const void *, void *, int);                   \
  template void tpo_cuda_linear_forward_bias<Act>(struct tpo_backend *, const struct tpo_linear *,           \
                                                  const float *, const void *, void *, int);                 \
  template void tpo_cuda_linear_backward_input<Act>(struct tpo_backend *, const struct tpo_linear *,         \
                                                    const void *, void *, int, bool);                        \
  template void tpo_cuda_linear_backward_weight<Act>(struct tpo_backend *, const struct tpo_linear *,        \
                                                     const void *, const void *, float *, int);              \
  template void tpo_cuda_logits<Act>(struct tpo_cuda *, const struct tpo_linear *, int, int, const void *,   \
                                     float *, int);                                                          \
  template void tpo_cuda_logits_backward<Act>(struct tpo_cuda *, const struct tpo_linear *, int, int,        \
                                              const Act *, const void *, void *, bool, float *, int);
INSTANTIATE(float)
INSTANTIATE(__nv_bfloat16)
