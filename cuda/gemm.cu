/* Matrix products through cuBLASLt, so that a row's result has the same bits in every batch.
 *
 * The algorithm of a product is chosen once for its weight shape, and kept: for a fixed number of rows that
 * stands for the kind of pass (few in paged passes, many in packed ones), never for the call's own number. A
 * tile's sums over k then have one order whatever n is, and only algorithms without splits over k are asked
 * for. fp32 products are computed in fp32, not in TF32.
 *
 * cuBLASLt does not promise that an algorithm takes every number of rows, so it is asked about each number
 * once. Where it refuses, the same algorithm is tried with its blocks dealt out in another way (the order in
 * which they visit the matrix, how many of them share loads as a cluster): which block computes an element
 * has no part in the order of its sum. Any other algorithm has an order of its own, so without one of these
 * the product is refused. */
#include "gemm.cuh"
#include "ops.cuh"

#include <stdlib.h>
#include <string.h>

enum {
  ROWS_PAGED = 256,   /* n that stands for paged passes */
  ROWS_PACKED = 4096, /* and for packed batches */
  CANDIDATES = 8,
  MOST_ALIKE = 8, /* algorithms of one product: the one chosen, and those that sum as it does */
};
static const size_t WORKSPACE_BYTES = (size_t)32 << 20;

/* An algorithm, and the product it was chosen for with its number of rows replaced by one that stands for
 * all. */
struct choice {
  struct tpo_cuda_product product;
  uint32_t alignment;
  cublasLtMatmulAlgo_t algos[MOST_ALIKE]; /* [n_algos]; the chosen one first */
  int n_algos;
  unsigned char *taken; /* [n_taken] by number of rows: 1 + which of algos takes it; 0: not asked yet */
  int n_taken;
};

struct tpo_cuda_gemm {
  cublasLtHandle_t lt;
  void *workspace;
  struct choice *choices; /* [n] */
  int n, capacity;
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
  for (int i = 0; i < gemm->n; i++) free(gemm->choices[i].taken);
  free(gemm->choices);
  free(gemm);
  cuda->gemm = NULL;
}

static bool blas_ok(struct tpo_cuda *cuda, cublasStatus_t status, const struct tpo_cuda_product *p)
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

/* The bias is added to the fp32 sum, before that is rounded. Algorithms are asked for with its address in the
 * description: cuBLASLt takes the alignment that it may count on from there. */
static bool describe_bias(struct tpo_cuda *cuda, const struct tpo_cuda_product *p, cublasLtMatmulDesc_t desc)
{
  const uint32_t epilogue = CUBLASLT_EPILOGUE_BIAS;
  return blas_ok(
             cuda,
             cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue),
             p) &&
         blas_ok(cuda,
                 cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias,
                                                sizeof p->bias),
                 p);
}

static bool describe(struct tpo_cuda *cuda, const struct tpo_cuda_product *p, struct description *desc)
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
         (!p->bias || describe_bias(cuda, p, desc->product)) &&
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

/* The largest power of two up to 16 that divides the addresses and row sizes in bytes; c may be NULL. */
static uint32_t alignment_of(const struct tpo_cuda_product *p, const void *a, const void *b, const void *c,
                             const void *d)
{
  size_t in = p->in == CUDA_R_32F ? 4 : 2, out = p->out == CUDA_R_32F ? 4 : 2;
  size_t bits = (size_t)a | (size_t)b | (size_t)c | (size_t)d | (size_t)p->bias | (size_t)p->lda * in |
                (size_t)p->ldb * in | (size_t)p->ldd * out;
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
  return splits > 1 || scheme != CUBLASLT_REDUCTION_SCHEME_NONE;
}

/* Whether the algorithm computes the product as it is described, within the workspace. */
static bool takes(struct tpo_cuda *cuda, const struct description *desc, const cublasLtMatmulAlgo_t *algo)
{
  cublasLtMatmulHeuristicResult_t result = {};
  return cublasLtMatmulAlgoCheck(cuda->gemm->lt, desc->product, desc->a, desc->b, desc->d, desc->d, algo,
                                 &result) == CUBLAS_STATUS_SUCCESS &&
         result.workspaceSize <= WORKSPACE_BYTES;
}

static int *rows_of(struct tpo_cuda_product *p)
{
  return p->sums_tokens ? &p->k : &p->n;
}

/* What may be chosen: no splits over k, our workspace, no more than `alignment` bytes of alignment. */
static bool make_preference(struct tpo_cuda *cuda, const struct tpo_cuda_product *p, uint32_t alignment,
                            cublasLtMatmulPreference_t *preference)
{
  static const cublasLtMatmulPreferenceAttributes_t operands[] = {
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
  size_t workspace = WORKSPACE_BYTES;
  uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_NONE;
  bool ok =
      blas_ok(cuda, cublasLtMatmulPreferenceCreate(preference), p) &&
      blas_ok(cuda,
              cublasLtMatmulPreferenceSetAttribute(*preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                   &workspace, sizeof workspace),
              p) &&
      blas_ok(cuda,
              cublasLtMatmulPreferenceSetAttribute(*preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                   &reductions, sizeof reductions),
              p);
  for (int i = 0; ok && i < 4; i++)
    ok = blas_ok(cuda,
                 cublasLtMatmulPreferenceSetAttribute(*preference, operands[i], &alignment, sizeof alignment),
                 p);
  return ok;
}

/* Of `n` answers the best that can be kept: one that takes a single row too, if any does. -1: none. */
static int best_of(struct tpo_cuda *cuda, const struct description *one_row,
                   const cublasLtMatmulHeuristicResult_t *found, int n)
{
  int best = -1;
  for (int i = 0; i < n; i++) {
    if (found[i].state != CUBLAS_STATUS_SUCCESS || splits_k(&found[i].algo)) continue;
    if (takes(cuda, one_row, &found[i].algo)) return i;
    if (best < 0) best = i;
  }
  return best;
}

static bool ask(struct tpo_cuda *cuda, const struct tpo_cuda_product *p, uint32_t alignment,
                cublasLtMatmulAlgo_t *algo)
{
  struct description desc = {}, one_row = {};
  struct tpo_cuda_product single = *p;
  *rows_of(&single) = 1;
  cublasLtMatmulPreference_t preference = NULL;
  cublasLtMatmulHeuristicResult_t found[CANDIDATES];
  int n_found = 0, best = -1;
  bool ok = describe(cuda, p, &desc) && describe(cuda, &single, &one_row) &&
            make_preference(cuda, p, alignment, &preference) &&
            blas_ok(cuda,
                    cublasLtMatmulAlgoGetHeuristic(cuda->gemm->lt, desc.product, desc.a, desc.b, desc.d,
                                                   desc.d, preference, CANDIDATES, found, &n_found),
                    p);
  if (ok) best = best_of(cuda, &one_row, found, n_found);
  if (best >= 0)
    *algo = found[best].algo;
  else if (ok)
    tpo_cuda_fail(cuda, TPO_E_UNSUPPORTED,
                  "GPU %d: cuBLASLt has no algorithm for %d x %d over %d in one order", cuda->device, p->m,
                  p->n, p->k);
  if (preference) cublasLtMatmulPreferenceDestroy(preference);
  destroy(&desc);
  destroy(&one_row);
  return best >= 0;
}

static bool same(const struct tpo_cuda_product *a, const struct tpo_cuda_product *b)
{
  return a->op_a == b->op_a && a->op_b == b->op_b && a->m == b->m && a->n == b->n && a->k == b->k &&
         a->in == b->in && a->out == b->out && a->lda == b->lda && a->ldb == b->ldb && a->ldd == b->ldd &&
         a->sums_tokens == b->sums_tokens && (a->bias != NULL) == (b->bias != NULL);
}

static bool room_for_choice(struct tpo_cuda_gemm *gemm)
{
  if (gemm->n < gemm->capacity) return true;
  int capacity = gemm->capacity ? 2 * gemm->capacity : 64;
  void *grown = realloc(gemm->choices, (size_t)capacity * sizeof *gemm->choices);
  if (!grown) return false;
  gemm->choices = static_cast<struct choice *>(grown);
  gemm->capacity = capacity;
  return true;
}

static struct choice *choose(struct tpo_cuda *cuda, const struct tpo_cuda_product *p, uint32_t alignment)
{
  struct tpo_cuda_gemm *gemm = cuda->gemm;
  struct tpo_cuda_product typical = *p;
  *rows_of(&typical) = cuda->pass == TPO_PASS_PAGED ? ROWS_PAGED : ROWS_PACKED;
  for (int i = 0; i < gemm->n; i++)
    if (gemm->choices[i].alignment == alignment && same(&gemm->choices[i].product, &typical))
      return &gemm->choices[i];
  if (!room_for_choice(gemm)) {
    tpo_cuda_fail(cuda, TPO_E_MEMORY, "out of memory");
    return NULL;
  }
  struct choice *made = &gemm->choices[gemm->n];
  memset(made, 0, sizeof *made);
  if (!ask(cuda, &typical, alignment, &made->algos[0])) return NULL;
  made->product = typical;
  made->alignment = alignment;
  made->n_algos = 1;
  gemm->n++;
  return made;
}

static bool room_for_rows(struct choice *choice, int rows)
{
  if (rows < choice->n_taken) return true;
  int n = rows + 1 > 2 * choice->n_taken ? rows + 1 : 2 * choice->n_taken;
  void *grown = realloc(choice->taken, (size_t)n);
  if (!grown) return false;
  choice->taken = static_cast<unsigned char *>(grown);
  memset(choice->taken + choice->n_taken, 0, (size_t)(n - choice->n_taken));
  choice->n_taken = n;
  return true;
}

/* Another way of dealing out the blocks of the chosen algorithm that takes the product: appended to algos. */
static bool find_alike(struct tpo_cuda *cuda, struct choice *choice, const struct description *desc)
{
  static const uint16_t clusters[] = {CUBLASLT_CLUSTER_SHAPE_1x1x1, CUBLASLT_CLUSTER_SHAPE_AUTO};
  for (int i = 0; i < 4 && choice->n_algos < MOST_ALIKE; i++) {
    uint16_t cluster = clusters[i / 2];
    uint32_t swizzle = (uint32_t)(i % 2);
    cublasLtMatmulAlgo_t *algo = &choice->algos[choice->n_algos];
    *algo = choice->algos[0];
    if (cublasLtMatmulAlgoConfigSetAttribute(algo, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, &cluster,
                                             sizeof cluster) == CUBLAS_STATUS_SUCCESS &&
        cublasLtMatmulAlgoConfigSetAttribute(algo, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, &swizzle,
                                             sizeof swizzle) == CUBLAS_STATUS_SUCCESS &&
        takes(cuda, desc, algo)) {
      choice->n_algos++;
      return true;
    }
  }
  return false;
}

/* The algorithm of the choice that takes the product's own number of rows; NULL: none does (remembered). */
static const cublasLtMatmulAlgo_t *algorithm_for(struct tpo_cuda *cuda, struct choice *choice,
                                                 const struct tpo_cuda_product *p,
                                                 const struct description *desc)
{
  int rows = p->sums_tokens ? p->k : p->n;
  if (!room_for_rows(choice, rows)) {
    tpo_cuda_fail(cuda, TPO_E_MEMORY, "out of memory");
    return NULL;
  }
  unsigned char *taken = &choice->taken[rows];
  for (int i = 0; *taken == 0 && i < choice->n_algos; i++)
    if (takes(cuda, desc, &choice->algos[i])) *taken = (unsigned char)(i + 1);
  if (*taken == 0 && find_alike(cuda, choice, desc)) *taken = (unsigned char)choice->n_algos;
  if (*taken > 0) return &choice->algos[*taken - 1];
  tpo_cuda_fail(cuda, TPO_E_UNSUPPORTED,
                "GPU %d: cuBLASLt cannot compute %d x %d over %d in the order of sums that it has for other "
                "numbers of rows",
                cuda->device, p->m, p->n, p->k);
  return NULL;
}

void tpo_cuda_multiply(struct tpo_cuda *cuda, const struct tpo_cuda_product *p, const void *a, const void *b,
                       const void *c, void *d)
{
  if (p->m == 0 || p->n == 0 || p->k == 0 || cuda->error.code) return;
  struct description desc = {};
  struct choice *choice = choose(cuda, p, alignment_of(p, a, b, c, d));
  const cublasLtMatmulAlgo_t *algo = NULL;
  float one = 1, beta = c ? 1.0f : 0.0f;
  if (choice && describe(cuda, p, &desc)) algo = algorithm_for(cuda, choice, p, &desc);
  if (algo)
    blas_ok(cuda,
            cublasLtMatmul(cuda->gemm->lt, desc.product, &one, a, desc.a, b, desc.b, &beta, c ? c : d, desc.d,
                           d, desc.d, algo, cuda->gemm->workspace, WORKSPACE_BYTES, cuda->stream),
            p);
  destroy(&desc);
}
