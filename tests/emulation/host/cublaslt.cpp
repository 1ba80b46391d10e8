/* Emulated CUDA: cublasLtMatmul, D = alpha op(A) op(B) + beta C (+ a bias for each column), column-major. An element's sum runs over k
 * in order from 0, in fp32, so that its bits depend on its row of op(A) and column of op(B) alone. */
#include "emulation.h"

#include <algorithm>

#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

struct cublasLtContext {
  int unused;
};

struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type;
  int32_t order;
  uint64_t rows, cols;
  int64_t ld;
  int32_t batch_count;
  int64_t batch_stride; /* elements */
};

struct cublasLtMatmulDescOpaque_t {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  int32_t pointer_mode, transpose_a, transpose_b, transpose_c;
  uint32_t epilogue;
  const void *bias;  /* [rows of D], of D's type */
  int32_t bias_type; /* -1: D's */
};

struct cublasLtMatmulPreferenceOpaque_t {
  uint64_t workspace_bytes;
  uint32_t reduction_mask;
  uint32_t alignment[4]; /* of A, B, C, D, bytes */
};

namespace tpo_emulation {

namespace {

typedef cublasLtMatrixLayoutOpaque_t layout;

constexpr int tile_rows = 16, tile_cols = 4;
constexpr int algorithm_id = 1;
/* The words of cublasLtMatmulAlgo_t. */
enum {
  WORD_ID,
  WORD_SPLITK,
  WORD_REDUCTION,
  WORD_ALIGNMENT,
  WORD_CHOICE,
  WORD_SWIZZLE,
  WORD_CLUSTER,
  WORD_BIAS
};

size_t element_bytes(cudaDataType_t type)
{
  return type == CUDA_R_32F ? 4 : 2;
}

float load(const void *matrix, cudaDataType_t type, size_t at)
{
  if (type == CUDA_R_32F) return static_cast<const float *>(matrix)[at];
  const unsigned short bits = static_cast<const unsigned short *>(matrix)[at];
  return type == CUDA_R_16BF ? tpo_bf16_value(bits) : tpo_fp16_value(bits);
}

void store(void *matrix, cudaDataType_t type, size_t at, float x)
{
  if (type == CUDA_R_32F) {
    static_cast<float *>(matrix)[at] = x;
  } else {
    static_cast<unsigned short *>(matrix)[at] = type == CUDA_R_16BF ? tpo_bf16_bits(x) : tpo_fp16_bits(x);
  }
}

struct product {
  size_t m, n, k;
  bool transpose_a, transpose_b;
  float alpha, beta;
  layout la, lb, lc, ld;
  const void *a, *b, *c, *bias;
  void *d;

  /* Rows (of op(A)) or columns (of op(B)) first .. first + count - 1 as [k][width]; what is beyond count is
   * 0. */
  static void pack(float *out, const void *matrix, const layout &l, size_t batch, bool along, size_t first,
                   size_t count, size_t width, size_t k);
  void run() const;
  void run_batch(size_t batch) const;
};

void product::pack(float *out, const void *matrix, const layout &l, size_t batch, bool along, size_t first,
                   size_t count, size_t width, size_t k)
{
  const size_t base = batch * static_cast<size_t>(l.batch_stride), ld = static_cast<size_t>(l.ld);
  std::fill(out, out + k * width, 0.0f);
  for (size_t i = 0; i < count; i++) {
    for (size_t at = 0; at < k; at++) {
      out[at * width + i] =
          load(matrix, l.type, base + (along ? (first + i) + at * ld : (first + i) * ld + at));
    }
  }
}

inline __attribute__((always_inline)) void multiply_any(float (*sum)[tile_rows], const float *a,
                                                        const float *b, size_t k)
{
  float s[tile_cols][tile_rows] = {};
  for (size_t at = 0; at < k; at++, a += tile_rows, b += tile_cols) {
    for (int j = 0; j < tile_cols; j++) {
      for (int i = 0; i < tile_rows; i++) s[j][i] += a[i] * b[j];
    }
  }
  memcpy(sum, s, sizeof s);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) void multiply_avx2(float (*sum)[tile_rows], const float *a, const float *b,
                                                   size_t k)
{
  multiply_any(sum, a, b, k);
}
#endif

void multiply(float (*sum)[tile_rows], const float *a, const float *b, size_t k)
{
#ifdef __x86_64__
  static const bool avx2 = __builtin_cpu_supports("avx2");
  if (avx2) return multiply_avx2(sum, a, b, k);
#endif
  multiply_any(sum, a, b, k);
}

void product::run_batch(size_t batch) const
{
  const size_t column_tiles = (n + tile_cols - 1) / tile_cols;
  std::vector<float> packed_a(k * tile_rows), packed_b(column_tiles * k * tile_cols);
  for (size_t t = 0; t < column_tiles; t++) {
    const size_t first = t * tile_cols;
    pack(&packed_b[t * k * tile_cols], b, lb, batch, transpose_b, first,
         std::min<size_t>(tile_cols, n - first), tile_cols, k);
  }
  const size_t c_base = batch * static_cast<size_t>(lc.batch_stride);
  const size_t d_base = batch * static_cast<size_t>(ld.batch_stride);
  for (size_t row = 0; row < m; row += tile_rows) {
    const size_t rows = std::min<size_t>(tile_rows, m - row);
    pack(packed_a.data(), a, la, batch, !transpose_a, row, rows, tile_rows, k);
    for (size_t t = 0; t < column_tiles; t++) {
      float sum[tile_cols][tile_rows];
      multiply(sum, packed_a.data(), &packed_b[t * k * tile_cols], k);
      for (size_t j = 0; j < std::min<size_t>(tile_cols, n - t * tile_cols); j++) {
        const size_t column = t * tile_cols + j;
        for (size_t i = 0; i < rows; i++) {
          float x = alpha * sum[j][i];
          if (beta != 0.0f)
            x += beta * load(c, lc.type, c_base + column * static_cast<size_t>(lc.ld) + row + i);
          if (bias != nullptr) x += load(bias, ld.type, row + i);
          store(d, ld.type, d_base + column * static_cast<size_t>(ld.ld) + row + i, x);
        }
      }
    }
  }
}

void product::run() const
{
  if (k == 0) return;
  for (size_t batch = 0; batch < static_cast<size_t>(ld.batch_count); batch++) run_batch(batch);
}

template <class T> cublasStatus_t set(T *field, const void *value, size_t bytes)
{
  if (value == nullptr || bytes != sizeof *field) return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(field, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

/* A bias has D's type in all combinations of types that are here. */
bool epilogue_known(const cublasLtMatmulDescOpaque_t &desc, const layout &d)
{
  if (desc.epilogue == CUBLASLT_EPILOGUE_DEFAULT) return true;
  return desc.epilogue == CUBLASLT_EPILOGUE_BIAS && desc.bias != nullptr &&
         (desc.bias_type == -1 || desc.bias_type == static_cast<int32_t>(d.type));
}

/* What cublasLt's table of types allows, of the types that are here. */
cublasStatus_t check(const cublasLtMatmulDescOpaque_t &desc, const layout &a, const layout &b,
                     const layout &c, const layout &d)
{
  const bool ta = desc.transpose_a != CUBLAS_OP_N, tb = desc.transpose_b != CUBLAS_OP_N;
  const uint64_t m = ta ? a.cols : a.rows, k = ta ? a.rows : a.cols;
  if ((tb ? b.cols : b.rows) != k || d.rows != m || d.cols != (tb ? b.rows : b.cols)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (c.rows != d.rows || c.cols != d.cols) return CUBLAS_STATUS_INVALID_VALUE;
  for (const layout *l : {&a, &b, &c, &d}) {
    if (l->ld < static_cast<int64_t>(l->rows) || l->rows == 0 || l->cols == 0)
      return CUBLAS_STATUS_INVALID_VALUE;
    if (l->order != CUBLASLT_ORDER_COL) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (l->batch_count != d.batch_count) return CUBLAS_STATUS_INVALID_VALUE;
  }
  const bool compute_known = desc.compute == CUBLAS_COMPUTE_32F ||
                             desc.compute == CUBLAS_COMPUTE_32F_PEDANTIC ||
                             (desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32 && a.type == CUDA_R_32F);
  if (!compute_known || desc.scale != CUDA_R_32F || !epilogue_known(desc, d) ||
      desc.transpose_c != CUBLAS_OP_N || desc.pointer_mode != CUBLASLT_POINTER_MODE_HOST) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (a.type != b.type || c.type != d.type) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool known = a.type == CUDA_R_32F || a.type == CUDA_R_16BF || a.type == CUDA_R_16F;
  return known && (d.type == CUDA_R_32F || d.type == a.type) ? CUBLAS_STATUS_SUCCESS
                                                             : CUBLAS_STATUS_NOT_SUPPORTED;
}

/* Of the device or page-locked, aligned as the algorithm was promised (beyond 16 bytes nothing needs it), and
 * large enough. */
bool check_matrix(const char *name, const void *p, const layout &l, uint64_t alignment)
{
  const size_t extent = static_cast<size_t>(l.batch_count - 1) * static_cast<size_t>(l.batch_stride) +
                        static_cast<size_t>(l.cols - 1) * static_cast<size_t>(l.ld) +
                        static_cast<size_t>(l.rows);
  const char *wrong = nullptr;
  if (!is_device(p) && !is_pinned(p, 1)) {
    wrong = "is memory that the device cannot use";
  } else if (reinterpret_cast<uintptr_t>(p) % alignment != 0) {
    wrong = "is less aligned than the algorithm was chosen for";
  } else if (!in_bounds(p, extent * element_bytes(l.type))) {
    wrong = "reaches beyond its memory";
  }
  if (wrong == nullptr) return true;
  last_error = std::string("cublasLtMatmul: ") + name + " " + wrong;
  fprintf(stderr, "emulated CUDA: %s\n", last_error.c_str());
  return false;
}

/* The algorithm counts on what its description had of the bias's address when it was asked for. */
bool check_bias(const cublasLtMatmulDescOpaque_t &desc, const layout &d, const cublasLtMatmulAlgo_t *algo)
{
  if (desc.epilogue != CUBLASLT_EPILOGUE_BIAS) return true;
  const uint64_t alignment = algo != nullptr && algo->data[WORD_BIAS] != 0 ? algo->data[WORD_BIAS] : 1;
  const layout vector = {d.type, CUBLASLT_ORDER_COL, d.rows, 1, static_cast<int64_t>(d.rows), 1, 0};
  return check_matrix("the bias", desc.bias, vector, alignment);
}

/* What TPO_EMULATION_REFUSE says: algorithms whose blocks share a cluster don't take products with so many
 * columns, or over so many elements; with ":all" no algorithm does. */
bool refused(const layout &d, uint64_t k, const cublasLtMatmulAlgo_t *algo)
{
  const std::string rule = environment("TPO_EMULATION_REFUSE", "");
  if (rule.empty() || algo == nullptr) return false;
  const uint64_t rows = strtoull(rule.c_str(), nullptr, 10);
  if (d.cols != rows && k != rows) return false;
  const bool all = rule.size() > 4 && rule.compare(rule.size() - 4, 4, ":all") == 0;
  return all || algo->data[WORD_CLUSTER] != CUBLASLT_CLUSTER_SHAPE_1x1x1;
}

/* The largest power of two up to 16 that divides the address. */
uint64_t address_alignment(const void *p)
{
  uint64_t alignment = 16;
  while (reinterpret_cast<uintptr_t>(p) % alignment != 0) alignment /= 2;
  return alignment;
}

uint32_t alignment_of(const cublasLtMatmulPreferenceOpaque_t *preference, int matrix)
{
  const uint32_t promised = preference != nullptr ? preference->alignment[matrix] : 256;
  return promised < 16 ? promised : 16;
}

} // namespace
} // namespace tpo_emulation

using namespace tpo_emulation;

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out)
{
  TPO_EMULATION_LOCK;
  *out = nullptr;
  if (current_error() != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  *out = new cublasLtContext();
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion(void)
{
  return 130100;
}

const char *cublasLtGetStatusName(cublasStatus_t status)
{
  switch (status) {
  case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
  case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
  case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
  case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
  case CUBLAS_STATUS_ARCH_MISMATCH: return "CUBLAS_STATUS_ARCH_MISMATCH";
  case CUBLAS_STATUS_MAPPING_ERROR: return "CUBLAS_STATUS_MAPPING_ERROR";
  case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
  case CUBLAS_STATUS_INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
  case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
  case CUBLAS_STATUS_LICENSE_ERROR: return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "CUBLAS_STATUS_UNKNOWN";
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
  switch (status) {
  case CUBLAS_STATUS_SUCCESS: return "success";
  case CUBLAS_STATUS_NOT_INITIALIZED: return "the library was not initialized";
  case CUBLAS_STATUS_ALLOC_FAILED: return "the resource allocation failed";
  case CUBLAS_STATUS_INVALID_VALUE: return "an invalid value was passed";
  case CUBLAS_STATUS_ARCH_MISMATCH: return "the device lacks a feature that the operation needs";
  case CUBLAS_STATUS_EXECUTION_FAILED: return "the operation failed on the device";
  case CUBLAS_STATUS_INTERNAL_ERROR: return "an internal operation failed";
  case CUBLAS_STATUS_NOT_SUPPORTED: return "the operation is not supported";
  default: return cublasLtGetStatusName(status);
  }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld)
{
  *out = new cublasLtMatrixLayoutOpaque_t{type, CUBLASLT_ORDER_COL, rows, cols, ld, 1, 0};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
  delete l;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void *value,
                                                size_t bytes)
{
  if (l == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
  case CUBLASLT_MATRIX_LAYOUT_TYPE: return set(&l->type, value, bytes);
  case CUBLASLT_MATRIX_LAYOUT_ORDER: return set(&l->order, value, bytes);
  case CUBLASLT_MATRIX_LAYOUT_ROWS: return set(&l->rows, value, bytes);
  case CUBLASLT_MATRIX_LAYOUT_COLS: return set(&l->cols, value, bytes);
  case CUBLASLT_MATRIX_LAYOUT_LD: return set(&l->ld, value, bytes);
  case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT: return set(&l->batch_count, value, bytes);
  case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET: return set(&l->batch_stride, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
  *out = new cublasLtMatmulDescOpaque_t{compute,     scale,       CUBLASLT_POINTER_MODE_HOST, CUBLAS_OP_N,
                                        CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT,  nullptr,
                                        -1};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute, const void *value,
                                              size_t bytes)
{
  if (desc == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
  case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE: return set(&desc->compute, value, bytes);
  case CUBLASLT_MATMUL_DESC_SCALE_TYPE: return set(&desc->scale, value, bytes);
  case CUBLASLT_MATMUL_DESC_POINTER_MODE: return set(&desc->pointer_mode, value, bytes);
  case CUBLASLT_MATMUL_DESC_TRANSA: return set(&desc->transpose_a, value, bytes);
  case CUBLASLT_MATMUL_DESC_TRANSB: return set(&desc->transpose_b, value, bytes);
  case CUBLASLT_MATMUL_DESC_TRANSC: return set(&desc->transpose_c, value, bytes);
  case CUBLASLT_MATMUL_DESC_EPILOGUE: return set(&desc->epilogue, value, bytes);
  case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return set(&desc->bias, value, bytes);
  case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return set(&desc->bias_type, value, bytes);
  case CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET: return CUBLAS_STATUS_SUCCESS;
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out)
{
  *out = new cublasLtMatmulPreferenceOpaque_t{0, CUBLASLT_REDUCTION_SCHEME_MASK, {256, 256, 256, 256}};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *value, size_t bytes)
{
  if (preference == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
  case CUBLASLT_MATMUL_PREF_SEARCH_MODE: return CUBLAS_STATUS_SUCCESS;
  case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return set(&preference->workspace_bytes, value, bytes);
  case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: return set(&preference->reduction_mask, value, bytes);
  case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
  case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
  case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
  case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
    return set(&preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

/* Several answers, as the real one gives, though all of them compute the same; the first splits k if allowed,
 * as it is where no preference forbids it. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int *returned)
{
  *returned = 0;
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (desc == nullptr || a == nullptr || b == nullptr || c == nullptr || d == nullptr || requested < 1) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const cublasStatus_t status = check(*desc, *a, *b, *c, *d);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  uint64_t alignment = 0;
  for (int i = 0; i < 4; i++) alignment |= static_cast<uint64_t>(alignment_of(preference, i)) << 8 * i;
  const uint32_t reductions = preference != nullptr ? preference->reduction_mask : 0u;
  for (int choice = 0; choice < (requested < 3 ? requested : 3); choice++) {
    const bool split = choice == 0 && requested > 1 && (reductions & CUBLASLT_REDUCTION_SCHEME_INPLACE) != 0;
    cublasLtMatmulHeuristicResult_t *r = &results[(*returned)++];
    *r = {};
    r->algo.data[WORD_ID] = algorithm_id;
    r->algo.data[WORD_SPLITK] = split ? 2 : 1;
    r->algo.data[WORD_REDUCTION] = split ? CUBLASLT_REDUCTION_SCHEME_INPLACE : CUBLASLT_REDUCTION_SCHEME_NONE;
    r->algo.data[WORD_ALIGNMENT] = alignment;
    r->algo.data[WORD_CHOICE] = static_cast<uint64_t>(choice);
    r->algo.data[WORD_CLUSTER] = CUBLASLT_CLUSTER_SHAPE_2x1x1;
    r->algo.data[WORD_BIAS] = desc->bias != nullptr ? address_alignment(desc->bias) : 0;
    r->state = CUBLAS_STATUS_SUCCESS;
    r->wavesCount = 1.0f;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algo,
                                       cublasLtMatmulHeuristicResult_t *result)
{
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (desc == nullptr || a == nullptr || b == nullptr || c == nullptr || d == nullptr || algo == nullptr ||
      result == nullptr || algo->data[WORD_ID] != algorithm_id) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const cublasStatus_t status = check(*desc, *a, *b, *c, *d);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (refused(*d, desc->transpose_a != CUBLAS_OP_N ? a->rows : a->cols, algo))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  result->workspaceSize = 0;
  result->state = CUBLAS_STATUS_SUCCESS;
  result->wavesCount = 1.0f;
  return CUBLAS_STATUS_SUCCESS;
}

static int config_word(cublasLtMatmulAlgoConfigAttributes_t attribute)
{
  switch (attribute) {
  case CUBLASLT_ALGO_CONFIG_ID: return WORD_ID;
  case CUBLASLT_ALGO_CONFIG_SPLITK_NUM: return WORD_SPLITK;
  case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME: return WORD_REDUCTION;
  case CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING: return WORD_SWIZZLE;
  case CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID: return WORD_CLUSTER;
  default: return WORD_CHOICE;
  }
}

/* Most attributes have 4 bytes, the last two 2. */
static size_t config_bytes(cublasLtMatmulAlgoConfigAttributes_t attribute)
{
  return attribute == CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID ||
                 attribute == CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID
             ? 2
             : 4;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    void *value, size_t bytes, size_t *written)
{
  if (algo == nullptr || value == nullptr || bytes != config_bytes(attribute))
    return CUBLAS_STATUS_INVALID_VALUE;
  const uint64_t word = algo->data[config_word(attribute)];
  memcpy(value, &word, bytes);
  if (written != nullptr) *written = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigSetAttribute(cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    const void *value, size_t bytes)
{
  if (algo == nullptr || value == nullptr || bytes != config_bytes(attribute))
    return CUBLAS_STATUS_INVALID_VALUE;
  uint64_t word = 0;
  memcpy(&word, value, bytes);
  algo->data[config_word(attribute)] = word;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algo, void *, size_t, cudaStream_t stream)
{
  TPO_EMULATION_LOCK;
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (desc == nullptr || alpha == nullptr || beta == nullptr || a_layout == nullptr || b_layout == nullptr ||
      c_layout == nullptr || d_layout == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const cublasStatus_t status = check(*desc, *a_layout, *b_layout, *c_layout, *d_layout);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (refused(*d_layout, desc->transpose_a != CUBLAS_OP_N ? a_layout->rows : a_layout->cols, algo))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const uint64_t alignments = algo != nullptr ? algo->data[WORD_ALIGNMENT] : 0x10101010u;
  product p = {};
  memcpy(&p.alpha, alpha, sizeof p.alpha);
  memcpy(&p.beta, beta, sizeof p.beta);
  if (!check_matrix("A", a, *a_layout, alignments & 255) ||
      !check_matrix("B", b, *b_layout, alignments >> 8 & 255) ||
      (p.beta != 0.0f && !check_matrix("C", c, *c_layout, alignments >> 16 & 255)) ||
      !check_matrix("D", d, *d_layout, alignments >> 24 & 255) || !check_bias(*desc, *d_layout, algo)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  p.transpose_a = desc->transpose_a != CUBLAS_OP_N;
  p.transpose_b = desc->transpose_b != CUBLAS_OP_N;
  p.m = d_layout->rows;
  p.n = d_layout->cols;
  p.k = p.transpose_a ? a_layout->rows : a_layout->cols;
  p.la = *a_layout;
  p.lb = *b_layout;
  p.lc = *c_layout;
  p.ld = *d_layout;
  p.a = a;
  p.b = b;
  p.c = c;
  p.d = d;
  p.bias = desc->epilogue == CUBLASLT_EPILOGUE_BIAS ? desc->bias : nullptr;
  return enqueue_function(stream, [p] { p.run(); }) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                                   : CUBLAS_STATUS_EXECUTION_FAILED;
}
