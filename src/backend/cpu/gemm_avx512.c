/* fp32 matrix products with AVX-512. */
#include <immintrin.h>

#include "backend/cpu/gemm.h"

#define MR 8
#define NV 3
#define LANES 16
#define VF __m512
#define VW __m512
#define LOAD_W(p) _mm512_load_ps((const float *)(p))
#define SPLAT_W(p) _mm512_set1_ps(*(const float *)(p))
#define LOW_HALF(p) _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_load_si512(p), 16))
#define HIGH_HALF(p)                                                                                         \
  _mm512_castsi512_ps(_mm512_and_si512(_mm512_load_si512(p), _mm512_set1_epi32((int)0xffff0000)))
#define LOAD_F(p) _mm512_loadu_ps(p)
#define STORE_F(p, v) _mm512_storeu_ps(p, v)
#define ADD_F(a, b) _mm512_add_ps(a, b)
#define ZERO_F() _mm512_setzero_ps()
#define MULTIPLY_ADD(c, a, b) _mm512_fmadd_ps(a, b, c)
#define NAME(x) avx512_##x
#include "backend/cpu/gemm_tile.h"

const struct tpo_gemm_kernel tpo_gemm_avx512 = {.mr = MR,
                                                .nr = NR,
                                                .kc = 640,
                                                .tile = avx512_tile,
                                                .tile_widen = avx512_tile_widen,
                                                .pack_a = avx512_pack_a,
                                                .pack_b = avx512_pack_b,
                                                .sum_exp = avx512_sum_exp,
                                                .softmax_scaled = avx512_softmax_scaled};
