/* Functions that C and the kernels of CUDA C++ have in common, with the same bits in both: TPO_SHARED_CODE
 * begins their definition, and a product that a sum follows stands in TPO_PRODUCT, because nvcc would fuse
 * the two (C is compiled with -ffp-contract=off). */
#ifndef TPO_BASE_SHARED_CODE_H
#define TPO_BASE_SHARED_CODE_H

#ifdef __CUDACC__
#define TPO_SHARED_CODE __device__ static inline
#define TPO_PRODUCT(a, b) __fmul_rn(a, b)
#else
#define TPO_SHARED_CODE static inline
#define TPO_PRODUCT(a, b) ((a) * (b))
#endif

#endif
