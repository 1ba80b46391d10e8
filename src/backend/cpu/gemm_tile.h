/* A kernel's functions, written once; each gemm_<isa>.c says what a vector is there and includes this.
 *
 *   MR rows of the largest tile; NV vectors of LANES words a panel; NAME(x) the function's name in this file
 *   VF vector of fp32, VW vector of words; LOAD_W SPLAT_W LOAD_F STORE_F ADD_F ZERO_F
 *   MULTIPLY_ADD(c, a, b): c + a * b; LOW_HALF(p), HIGH_HALF(p): fp32 from half of each bf16 pair
 *
 * Registers: MR * NV sums, NV vectors of B, one splat of A: 28 of 32 with AVX-512 (8 x 48), 16 of 16 with
 * AVX2 (4 x 24). A step of k costs MR * NV multiply-adds and MR + NV loads, so the multipliers are the bound.
 */
#include <string.h>

#include "backend/vecmath.h"

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define NR (NV * LANES)

#define INLINE static inline __attribute__((always_inline))

/* One step of k: sum[r][v] += A[r] * b[v]. */
INLINE void NAME(step)(const int rows, VF sum[MR][NV], const uint32_t *a, ptrdiff_t a_row, const VW b[NV])
{
  UNROLL for (int r = 0; r < rows; r++)
  {
    VW av = SPLAT_W(a + r * a_row);
    UNROLL for (int v = 0; v < NV; v++) sum[r][v] = MULTIPLY_ADD(sum[r][v], av, b[v]);
  }
}

INLINE void NAME(begin)(const int rows, VF sum[MR][NV], const float *c, ptrdiff_t ldc)
{
  UNROLL for (int r = 0; r < rows; r++)
  {
    UNROLL for (int v = 0; v < NV; v++)
    {
      sum[r][v] = ZERO_F();
      __builtin_prefetch(c + r * ldc + v * LANES, 1, 3);
    }
  }
}

INLINE void NAME(end)(const int rows, VF sum[MR][NV], float *c, ptrdiff_t ldc, bool load_c)
{
  UNROLL for (int r = 0; r < rows; r++)
  {
    UNROLL for (int v = 0; v < NV; v++)
    {
      float *to = c + r * ldc + v * LANES;
      if (load_c) sum[r][v] = ADD_F(LOAD_F(to), sum[r][v]);
      STORE_F(to, sum[r][v]);
    }
  }
}

INLINE void NAME(tile_rows)(const int rows, int kc, const uint32_t *a, ptrdiff_t a_row, ptrdiff_t a_k,
                            const uint32_t *b, float *c, ptrdiff_t ldc, bool load_c, const char *prefetch)
{
  VF sum[MR][NV];
  NAME(begin)(rows, sum, c, ldc);
  for (int k = 0; k < kc; k++, a += a_k, b += NR) {
    VW words[NV];
    UNROLL for (int v = 0; v < NV; v++) words[v] = LOAD_W(b + v * LANES);
    __builtin_prefetch(prefetch + 64 * k, 0, 2);
    NAME(step)(rows, sum, a, a_row, words);
  }
  NAME(end)(rows, sum, c, ldc, load_c);
}

#define SWITCH_ROWS(f, ...)                                                                                  \
  switch (rows) {                                                                                            \
  case 1: f(1, __VA_ARGS__); break;                                                                          \
  case 2: f(2, __VA_ARGS__); break;                                                                          \
  case 3: f(3, __VA_ARGS__); break;                                                                          \
  case 4:                                                                                                    \
    f(4, __VA_ARGS__);                                                                                       \
    break;                                                                                                   \
    MORE_ROWS(f, __VA_ARGS__)                                                                                \
  }
#if MR == 8
#define MORE_ROWS(f, ...)                                                                                    \
  case 5: f(5, __VA_ARGS__); break;                                                                          \
  case 6: f(6, __VA_ARGS__); break;                                                                          \
  case 7: f(7, __VA_ARGS__); break;                                                                          \
  case 8:                                                                                                    \
    f(8, __VA_ARGS__);                                                                                       \
    break;
#else
#define MORE_ROWS(f, ...)
#endif

static void NAME(tile)(int rows, int kc, const uint32_t *a, ptrdiff_t a_row, ptrdiff_t a_k, const uint32_t *b,
                       float *c, ptrdiff_t ldc, bool load_c, const char *prefetch)
{
  SWITCH_ROWS(NAME(tile_rows), kc, a, a_row, a_k, b, c, ldc, load_c, prefetch)
}

#ifndef PAIRS
/* B is bf16 pairs, widened in registers: the low half is shifted up, the high half kept. */
INLINE void NAME(tile_widen_rows)(const int rows, int kc, const uint32_t *a, ptrdiff_t a_row, ptrdiff_t a_k,
                                  const uint32_t *b, float *c, ptrdiff_t ldc, bool load_c,
                                  const char *prefetch)
{
  VF sum[MR][NV];
  NAME(begin)(rows, sum, c, ldc);
  for (int k = 0; k < kc; k += 2, a += 2 * a_k, b += NR) {
    VW words[NV];
    UNROLL for (int v = 0; v < NV; v++) words[v] = LOW_HALF(b + v * LANES);
    __builtin_prefetch(prefetch + 32 * k, 0, 2);
    NAME(step)(rows, sum, a, a_row, words);
    if (k + 1 == kc) break;
    UNROLL for (int v = 0; v < NV; v++) words[v] = HIGH_HALF(b + v * LANES);
    NAME(step)(rows, sum, a + a_k, a_row, words);
  }
  NAME(end)(rows, sum, c, ldc, load_c);
}

static void NAME(tile_widen)(int rows, int kc, const uint32_t *a, ptrdiff_t a_row, ptrdiff_t a_k,
                             const uint32_t *b, float *c, ptrdiff_t ldc, bool load_c, const char *prefetch)
{
  SWITCH_ROWS(NAME(tile_widen_rows), kc, a, a_row, a_k, b, c, ldc, load_c, prefetch)
}

static void NAME(pack_b)(uint32_t *dst, const float *even, const float *odd, int n)
{
  (void)odd;
  memcpy(dst, even, (size_t)n * sizeof *dst);
}

static void NAME(pack_a)(uint32_t *dst, ptrdiff_t stride, const float *even, const float *odd, int n)
{
  (void)odd;
  int whole = n / MR * MR;
  for (int i = 0; i < whole; i += MR, dst += stride) memcpy(dst, even + i, MR * sizeof *dst);
  for (int i = whole; i < n; i++) memcpy(dst + i - whole, even + i, sizeof *dst);
}
#endif

/* 16 partial results whatever the vector's width, joined in a fixed order. */
static float NAME(join_sum)(float *part)
{
  for (int half = 8; half > 0; half /= 2)
    for (int j = 0; j < half; j++) part[j] += part[j + half];
  return part[0];
}

static void NAME(sum_exp)(const float *x, int n, float *largest, float *sum)
{
  float high[16], part[16] = {0};
  int whole = n / 16 * 16;
  for (int j = 0; j < 16; j++) high[j] = x[0];
  for (int i = 0; i < whole; i += 16)
    for (int j = 0; j < 16; j++) high[j] = x[i + j] > high[j] ? x[i + j] : high[j];
  for (int i = whole; i < n; i++) high[0] = x[i] > high[0] ? x[i] : high[0];
  for (int j = 1; j < 16; j++) high[0] = high[j] > high[0] ? high[j] : high[0];
  float shift = high[0];
  for (int i = 0; i < whole; i += 16)
    for (int j = 0; j < 16; j++) part[j] += tpo_exp_f32(x[i + j] - shift);
  for (int i = whole; i < n; i++) part[i - whole] += tpo_exp_f32(x[i] - shift);
  *largest = shift;
  *sum = NAME(join_sum)(part);
}

static void NAME(softmax_scaled)(float *x, int n, float lse, float scale)
{
  for (int i = 0; i < n; i++) x[i] = scale * tpo_exp_f32(x[i] - lse);
}
