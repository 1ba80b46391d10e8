/* Matrix products through cuBLASLt (gemm.cu), in its own terms: column-major matrices. */
#ifndef TPO_CUDA_GEMM_CUH
#define TPO_CUDA_GEMM_CUH

#include "backend.cuh"

/* D = op(A) op(B) (+ C) (+ bias for each column). */
struct tpo_cuda_product {
  cublasOperation_t op_a, op_b;
  int m, n, k; /* C and D [m, n] */
  cudaDataType_t in, out;
  int lda, ldb, ldd; /* C's is D's */
  bool sums_tokens;  /* k is the number of rows (weight gradients); else n is */
  const void *bias;  /* [m] of type out, which is what cuBLASLt takes of it; NULL: none */
};

/* `c`: what is added, possibly d itself; NULL: nothing. A failure is remembered for check. */
void tpo_cuda_multiply(struct tpo_cuda *cuda, const struct tpo_cuda_product *p, const void *a, const void *b,
                       const void *c, void *d);

#endif
