/* Matrix products through cuBLASLt, and weight matrices in row-major memory.
 *
 * cuBLASLt is column-major: a row-major matrix [r, c] is its column-major [c, r]. So y = x W^T is computed as
 * Y = W^T X with W [cols, rows], X [cols, n], Y [rows, n], all with their first dimension contiguous.
 *
 * The algorithm of a product is chosen once for its weight shape, and kept: for a fixed number of rows that
 * stands for the kind of pass (few in paged passes, many in packed ones), never for the call's own number. A
 * tile's sums over k then have one order whatever n is, and only algorithms without splits over k are taken:
 * a row's result has the same bits in every batch. fp32 products are computed in fp32, not in TF32. */
#include "ops.cuh"

#include <stdlib.h>
#include <string.h>

enum {
  ROWS_PAGED = 256,   /* n that stands for paged passes */
  ROWS_PACKED = 4096, /* and for packed batches */
  CANDIDATES = 32,
};
static const size_t WORKSPACE_BYTES = (size_t)32 << 20;

/* One product D = alpha op(A) op(B) + beta D, column-major, alpha 1. */
struct product {
  cublasOperation_t op_a, op_b;
  int m, n, k; /* D [m, n] */
  cudaDataType_t in, out;
  int lda, ldb, ldd;
  bool add;         /* beta 1 */
  bool sums_tokens; /* k is the number of rows (weight gradients); else n is */
};

/* An algorithm, and the product it was chosen for with its number of rows replaced by one that stands for
 * all. */
struct choice {
  struct product product;
  uint32_t alignment;
  cublasLtMatmulAlgo_t algo;
};

struct tpo_cuda_gemm {
  cublasLtHandle_t lt;
  void *workspace;
  struct choice *choices; /* [n] */
  int n, capacity;
  struct tpo_cuda_scratch rounded; /* fp32 activations rounded to bf16 on their way into a product */
};

int tpo_cuda_gemm_open(struct tpo_cuda *cuda, struct tpo_error *err)
{
  struct tpo_cuda_gemm *gemm = static_cast<struct tpo_cuda_gemm *>(calloc(1, sizeof *gemm));
  if (!gemm) return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  cuda->gemm = gemm;
  cublasStatus_t status = cublasLtCreate(&gemm->lt);
  if (status != CUBLAS_STATUS_SUCCESS)
    return tpo_fail(err, TPO_E_UNSUPPORTED, "cuBLASLt could not start on GPU %d: %s", cuda->device,
                    cublasLtGetStatusString(status));
  return tpo_cuda_alloc(&cuda->base, WORKSPACE_BYTES, &gemm->workspace, err);
}

void tpo_cuda_gemm_close(struct tpo_cuda *cuda)
{
  struct tpo_cuda_gemm *gemm = cuda->gemm;
  if (!gemm) return;
  if (gemm->lt) cublasLtDestroy(gemm->lt);
  tpo_cuda_free(&cuda->base, gemm->workspace);
  tpo_cuda_free(&cuda->base, gemm->rounded.data);
  free(gemm->choices);
  free(gemm);
  cuda->gemm = NULL;
}

static bool blas_ok(struct tpo_cuda *cuda, cublasStatus_t status, const struct product *p)
{
  if (status == CUBLAS_STATUS_SUCCESS) return true;
  tpo_cuda_fail(cuda, TPO_E_IO, "GPU %d: a product of %d x %d over %d failed: %s", cuda->device, p->m, p->n,
                p->k, cublasLtGetStatusString(status));
  return false;
}

/* The descriptions that cuBLASLt wants of a product. */
struct description {
  cublasLtMatmulDesc_t product;
  cublasLtMatrixLayout_t a, b, d;
};

static void destroy(struct description *desc)
{
  if (desc->product) cublasLtMatmulDescDestroy(desc->product);
  if (desc->a) cublasLtMatrixLayoutDestroy(desc->a);
  if (desc->b) cublasLtMatrixLayoutDestroy(desc->b);
  if (desc->d) cublasLtMatrixLayoutDestroy(desc->d);
}

static bool describe(struct tpo_cuda *cuda, const struct product *p, struct description *desc)
{
  *desc = {};
  bool plain_a = p->op_a == CUBLAS_OP_N, plain_b = p->op_b == CUBLAS_OP_N;
  return blas_ok(cuda, cublasLtMatmulDescCreate(&desc->product, CUBLAS_COMPUTE_32F, CUDA_R_32F), p) &&
         blas_ok(cuda,
                 cublasLtMatmulDescSetAttribute(desc->product, CUBLASLT_MATMUL_DESC_TRANSA, &p->op_a,
                                                sizeof p->op_a),
                 p) &&
         blas_ok(cuda,
                 cublasLtMatmulDescSetAttribute(desc->product, CUBLASLT_MATMUL_DESC_TRANSB, &p->op_b,
                                                sizeof p->op_b),
                 p) &&
         blas_ok(cuda,
                 cublasLtMatrixLayoutCreate(&desc->a, p->in, plain_a ? p->m : p->k, plain_a ? p->k : p->m,
                                            p->lda),
                 p) &&
         blas_ok(cuda,
                 cublasLtMatrixLayoutCreate(&desc->b, p->in, plain_b ? p->k : p->n, plain_b ? p->n : p->k,
                                            p->ldb),
                 p) &&
         blas_ok(cuda, cublasLtMatrixLayoutCreate(&desc->d, p->out, p->m, p->n, p->ldd), p);
}

/* The largest power of two up to 16 that divides the addresses and row sizes in bytes. */
static uint32_t alignment_of(const struct product *p, const void *a, const void *b, const void *d)
{
  size_t in = p->in == CUDA_R_32F ? 4 : 2, out = p->out == CUDA_R_32F ? 4 : 2;
  size_t bits =
      (size_t)a | (size_t)b | (size_t)d | (size_t)p->lda * in | (size_t)p->ldb * in | (size_t)p->ldd * out;
  uint32_t alignment = 16;
  while (bits % alignment) alignment /= 2;
  return alignment;
}

static bool splits_k(const cublasLtMatmulAlgo_t *algo)
{
  int32_t splits = 1;
  uint32_t scheme = 0;
  size_t written;
  cublasLtMatmulAlgoConfigGetAttribute(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits, sizeof splits,
                                       &written);
  cublasLtMatmulAlgoConfigGetAttribute(algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme, sizeof scheme,
                                       &written);
  return splits > 1 || scheme != 0;
}

static bool ask(struct tpo_cuda *cuda, const struct product *p, uint32_t alignment,
                cublasLtMatmulAlgo_t *algo)
{
  struct description desc;
  cublasLtMatmulPreference_t preference = NULL;
  cublasLtMatmulHeuristicResult_t found[CANDIDATES];
  int n_found = 0;
  size_t workspace = WORKSPACE_BYTES;
  bool ok = describe(cuda, p, &desc) && blas_ok(cuda, cublasLtMatmulPreferenceCreate(&preference), p);
  ok = ok && blas_ok(cuda,
                     cublasLtMatmulPreferenceSetAttribute(
                         preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace),
                     p);
  static const cublasLtMatmulPreferenceAttributes_t operands[] = {
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
  for (int i = 0; ok && i < 4; i++)
    ok = blas_ok(
        cuda, cublasLtMatmulPreferenceSetAttribute(preference, operands[i], &alignment, sizeof alignment), p);
  ok = ok && blas_ok(cuda,
                     cublasLtMatmulAlgoGetHeuristic(cuda->gemm->lt, desc.product, desc.a, desc.b, desc.d,
                                                    desc.d, preference, CANDIDATES, found, &n_found),
                     p);
  int best = 0;
  while (ok && best < n_found && (found[best].state != CUBLAS_STATUS_SUCCESS || splits_k(&found[best].algo)))
    best++;
  if (ok && best == n_found) {
    tpo_cuda_fail(cuda, TPO_E_UNSUPPORTED,
                  "GPU %d: cuBLASLt has no algorithm for %d x %d over %d in one order", cuda->device, p->m,
                  p->n, p->k);
    ok = false;
  }
  if (ok) *algo = found[best].algo;
  if (preference) cublasLtMatmulPreferenceDestroy(preference);
  destroy(&desc);
  return ok;
}

static bool same(const struct product *a, const struct product *b)
{
  return a->op_a == b->op_a && a->op_b == b->op_b && a->m == b->m && a->n == b->n && a->k == b->k &&
         a->in == b->in && a->out == b->out && a->lda == b->lda && a->ldb == b->ldb && a->ldd == b->ldd &&
         a->add == b->add && a->sums_tokens == b->sums_tokens;
}

static const cublasLtMatmulAlgo_t *choose(struct tpo_cuda *cuda, const struct product *p, uint32_t alignment)
{
  struct tpo_cuda_gemm *gemm = cuda->gemm;
  struct product typical = *p;
  *(p->sums_tokens ? &typical.k : &typical.n) = cuda->pass == TPO_PASS_PAGED ? ROWS_PAGED : ROWS_PACKED;
  for (int i = 0; i < gemm->n; i++)
    if (gemm->choices[i].alignment == alignment && same(&gemm->choices[i].product, &typical))
      return &gemm->choices[i].algo;
  if (gemm->n == gemm->capacity) {
    int capacity = gemm->capacity ? 2 * gemm->capacity : 64;
    void *grown = realloc(gemm->choices, (size_t)capacity * sizeof *gemm->choices);
    if (!grown) {
      tpo_cuda_fail(cuda, TPO_E_MEMORY, "out of memory");
      return NULL;
    }
    gemm->choices = static_cast<struct choice *>(grown);
    gemm->capacity = capacity;
  }
  struct choice *made = &gemm->choices[gemm->n];
  if (!ask(cuda, &typical, alignment, &made->algo)) return NULL;
  made->product = typical;
  made->alignment = alignment;
  gemm->n++;
  return &made->algo;
}

static void multiply(struct tpo_cuda *cuda, const struct product *p, const void *a, const void *b, void *d)
{
  if (p->m == 0 || p->n == 0 || p->k == 0 || cuda->error.code) return;
  struct description desc;
  const cublasLtMatmulAlgo_t *algo = choose(cuda, p, alignment_of(p, a, b, d));
  if (!algo) return;
  float one = 1, beta = p->add ? 1.0f : 0.0f;
  if (describe(cuda, p, &desc))
    blas_ok(cuda,
            cublasLtMatmul(cuda->gemm->lt, desc.product, &one, a, desc.a, b, desc.b, &beta, d, desc.d, d,
                           desc.d, algo, cuda->gemm->workspace, WORKSPACE_BYTES, cuda->stream),
            p);
  destroy(&desc);
}

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
  struct tpo_cuda_scratch *rounded = &cuda->gemm->rounded;
  if (count * 2 > rounded->bytes) {
    tpo_cuda_free(&cuda->base, rounded->data);
    rounded->bytes = 0;
    struct tpo_error err = {};
    if (tpo_cuda_alloc(&cuda->base, count * 2, &rounded->data, &err) < 0) {
      tpo_cuda_fail(cuda, err.code, "%s", err.message);
      return NULL;
    }
    rounded->bytes = count * 2;
  }
  tpo_cuda_convert(cuda, rounded->data, TPO_BF16, x, TPO_F32, count);
  return rounded->data;
}

/* y [n, count] (+)= x [n, cols] W[row0 ..]^T */
template <class Act>
static void forward(struct tpo_cuda *cuda, const struct tpo_linear *w, int row0, int count, const void *x,
                    void *y, enum tpo_dtype out, int n, bool add)
{
  x = operand<Act>(cuda, w, x, (size_t)n * (size_t)w->cols);
  if (!x) return;
  const char *rows =
      static_cast<const char *>(w->data) + (size_t)row0 * (size_t)w->cols * tpo_dtype_size(w->dtype);
  struct product p = {CUBLAS_OP_T,    CUBLAS_OP_N, count,   n,     w->cols, blas_type(w->dtype),
                      blas_type(out), w->cols,     w->cols, count, add,     false};
  multiply(cuda, &p, rows, x, y);
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
  struct product p = {
      CUBLAS_OP_N, CUBLAS_OP_N, w->cols, n,   count, blas_type(w->dtype), blas_type(dtype_of<Act>()),
      w->cols,     count,       w->cols, add, false};
  multiply(cuda, &p, rows, dy, dx);
}

/* dw [count, cols] += dy [n, count]^T x [n, cols], in the activations' type */
template <class Act>
static void backward_weight(struct tpo_cuda *cuda, int count, int cols, const void *dy, const void *x,
                            float *dw, int n)
{
  cudaDataType_t in = blas_type(dtype_of<Act>());
  struct product p = {CUBLAS_OP_N, CUBLAS_OP_T, cols,  count, n,    in,
                      CUDA_R_32F,  cols,        count, cols,  true, true};
  multiply(cuda, &p, x, dy, dw);
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
  forward<Act>(tpo_cuda_of(be), w, 0, w->rows, x, y, dtype_of<Act>(), n, false);
}

template <class Act>
void tpo_cuda_linear_forward_add(struct tpo_backend *be, const struct tpo_linear *w, const void *x, void *y,
                                 int n)
{
  forward<Act>(tpo_cuda_of(be), w, 0, w->rows, x, y, dtype_of<Act>(), n, true);
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
  forward<Act>(cuda, w, row0, count, h, logits, TPO_F32, n, false);
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
                                                 const void *, void *, int);                                 \
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
