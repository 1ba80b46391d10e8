/* fp32 matrix products in plain C, for machines without AVX2. */
#include "backend/cpu/gemm.h"

#define MR 4
#define NV 4
#define LANES 4
typedef float scalar_vector __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint32_t scalar_words __attribute__((vector_size(16), aligned(4), may_alias));
#define VF scalar_vector
#define VW scalar_vector
#define LOAD_W(p) (*(const scalar_vector *)(p))
#define SPLAT_W(p) scalar_splat(p)
#define LOW_HALF(p) ((scalar_vector)(*(const scalar_words *)(p) << 16))
#define HIGH_HALF(p) ((scalar_vector)(*(const scalar_words *)(p)&0xffff0000u))
#define LOAD_F(p) (*(const scalar_vector *)(p))
#define STORE_F(p, v) (*(scalar_vector *)(p) = (v))
#define ADD_F(a, b) ((a) + (b))
#define ZERO_F() ((scalar_vector){0})
#define MULTIPLY_ADD(c, a, b) ((c) + (a) * (b))
#define NAME(x) scalar_##x

static inline scalar_vector scalar_splat(const uint32_t *p)
{
  float f;
  __builtin_memcpy(&f, p, sizeof f);
  return (scalar_vector){f, f, f, f};
}

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
