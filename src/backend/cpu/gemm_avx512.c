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
#define LOAD_F(p) _mm512_loadu_ps(p)
#define STORE_F(p, v) _mm512_storeu_ps(p, v)
#define ZERO_F() _mm512_setzero_ps()
#define MULTIPLY_ADD(c, a, b) _mm512_fmadd_ps(a, b, c)
#define NAME(x) avx512_##x
#include "backend/cpu/gemm_tile.h"

const struct tpo_gemm_kernel tpo_gemm_avx512 = {.mr = MR,
                                                .nr = NR,
                                                .kc = 256,
                                                .tile = avx512_tile,
                                                .expand = avx512_expand,
                                                .pack_a = avx512_pack_a,
                                                .pack_b = avx512_pack_b,
                                                .sum_exp = avx512_sum_exp,
                                                .softmax_scaled = avx512_softmax_scaled};
