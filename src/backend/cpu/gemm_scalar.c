/* fp32 matrix products for machines without AVX2: the four lanes that every x86-64 has. */
#define MR 4
#define NV 2
#define NAME(x) scalar_##x
#define VW vf
#define LOAD_W(p) vload((const float *)(p))
#define SPLAT_W(p) vset(*(const float *)(p))
#define MULTIPLY_ADD(c, a, b) vfma(a, b, c)
#define LOW_HALF(p) ((vf)((vu)LOAD_W(p) << 16))
#define HIGH_HALF(p) ((vf)(*(const vu *)(p)&0xffff0000u))
#include "backend/cpu/gemm_tile.h"

const struct tpo_gemm_kernel tpo_gemm_scalar = {.mr = MR,
                                                .nr = NR,
                                                .kc = 256,
                                                .tile = scalar_tile,
                                                .tile_widen = scalar_tile_widen,
                                                .pack_a = scalar_pack_a,
                                                .pack_b = scalar_pack_b,
                                                .sum_exp = scalar_sum_exp,
                                                .softmax_scaled = scalar_softmax_scaled};
