/* fp32 matrix products with AVX-512. */
#define TPO_SIMD_AVX512
#define MR 8
#define NV 3
#define NAME(x) avx512_##x
#define VW vf
#define LOAD_W(p) vload((const float *)(p))
#define SPLAT_W(p) vset(*(const float *)(p))
#define MULTIPLY_ADD(c, a, b) vfma(a, b, c)
#define LOW_HALF(p) ((vf)((vu)LOAD_W(p) << 16))
#define HIGH_HALF(p) ((vf)(*(const vu *)(p)&0xffff0000u))
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
