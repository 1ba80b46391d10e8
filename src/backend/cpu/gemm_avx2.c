/* fp32 matrix products with AVX2 and FMA. */
#include <immintrin.h>

#include "backend/cpu/gemm.h"

#define MR 4
#define NV 3
#define LANES 8
#define VF __m256
#define VW __m256
#define LOAD_W(p) _mm256_load_ps((const float *)(p))
#define SPLAT_W(p) _mm256_set1_ps(*(const float *)(p))
#define LOW_HALF(p) _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_load_si256((const __m256i *)(p)), 16))
#define HIGH_HALF(p)                                                                                         \
  _mm256_castsi256_ps(                                                                                       \
      _mm256_and_si256(_mm256_load_si256((const __m256i *)(p)), _mm256_set1_epi32((int)0xffff0000)))
#define LOAD_F(p) _mm256_loadu_ps(p)
#define STORE_F(p, v) _mm256_storeu_ps(p, v)
#define ADD_F(a, b) _mm256_add_ps(a, b)
#define ZERO_F() _mm256_setzero_ps()
#define MULTIPLY_ADD(c, a, b) _mm256_fmadd_ps(a, b, c)
#define NAME(x) avx2_##x
#include "backend/cpu/gemm_tile.h"

const struct tpo_gemm_kernel tpo_gemm_avx2 = {.mr = MR,
                                              .nr = NR,
                                              .kc = 256,
                                              .tile = avx2_tile,
                                              .tile_widen = avx2_tile_widen,
                                              .pack_a = avx2_pack_a,
                                              .pack_b = avx2_pack_b,
                                              .sum_exp = avx2_sum_exp,
                                              .softmax_scaled = avx2_softmax_scaled};
