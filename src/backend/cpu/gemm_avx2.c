/* fp32 matrix products with AVX2 and FMA. */
#define TPO_SIMD_AVX2
#define MR 6
#define NV 2
#define NAME(x) avx2_##x
#define VW vf
#define LOAD_W(p) vload((const float *)(p))
#define SPLAT_W(p) vset(*(const float *)(p))
#define MULTIPLY_ADD(c, a, b) vfma(a, b, c)
#define LOW_HALF(p) ((vf)((vu)LOAD_W(p) << 16))
#define HIGH_HALF(p) ((vf)(*(const vu *)(p)&0xffff0000u))
#include "backend/cpu/gemm_tile.h"

const struct tpo_gemm_kernel tpo_gemm_avx2 = {.mr = MR,
                                              .nr = NR,
                                              .kc = 384,
                                              .tile = avx2_tile,
                                              .tile_widen = avx2_tile_widen,
                                              .pack_a = avx2_pack_a,
                                              .pack_b = avx2_pack_b,
                                              .sum_exp = avx2_sum_exp,
                                              .softmax_scaled = avx2_softmax_scaled};
