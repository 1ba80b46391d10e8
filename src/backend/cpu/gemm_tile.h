/* A kernel's functions, written once; each gemm_<isa>.c says what a vector is there and includes this.
 *
 *   MR rows of the largest tile; NV vectors of LANES words a panel; NAME(x) the function's name in this file
 *   VF vector of fp32, VW vector of words; LOAD_W SPLAT_W LOAD_F STORE_F ZERO_F; MULTIPLY_ADD(c, a, b): c + a
 * * b
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

static inline __attribute__((always_inline)) void NAME(tile_rows)(const int rows, int kc, const uint32_t *a,
                                                                  ptrdiff_t a_row, ptrdiff_t a_k,
                                                                  const uint32_t *b, float *c, ptrdiff_t ldc,
                                                                  bool load_c, const char *prefetch)
{
  VF sum[MR][NV];
  UNROLL for (int r = 0; r < rows; r++)
  {
    UNROLL for (int v = 0; v < NV; v++) sum[r][v] = load_c ? LOAD_F(c + r * ldc + v * LANES) : ZERO_F();
  }
  for (int k = 0; k < kc; k++, a += a_k, b += NR) {
    VW bv[NV];
    UNROLL for (int v = 0; v < NV; v++) bv[v] = LOAD_W(b + v * LANES);
    __builtin_prefetch(prefetch + 64 * k, 0, 2);
    UNROLL for (int r = 0; r < rows; r++)
    {
      VW av = SPLAT_W(a + r * a_row);
      UNROLL for (int v = 0; v < NV; v++) sum[r][v] = MULTIPLY_ADD(sum[r][v], av, bv[v]);
    }
  }
  UNROLL for (int r = 0; r < rows; r++)
  {
    UNROLL for (int v = 0; v < NV; v++) STORE_F(c + r * ldc + v * LANES, sum[r][v]);
  }
}

static void NAME(tile)(int rows, int kc, const uint32_t *a, ptrdiff_t a_row, ptrdiff_t a_k, const uint32_t *b,
                       float *c, ptrdiff_t ldc, bool load_c, const char *prefetch)
{
#define ROWS(r)                                                                                              \
  case r: NAME(tile_rows)(r, kc, a, a_row, a_k, b, c, ldc, load_c, prefetch); break
  switch (rows) {
    ROWS(1);
    ROWS(2);
    ROWS(3);
    ROWS(4);
#if MR > 4
    ROWS(5);
    ROWS(6);
    ROWS(7);
    ROWS(8);
#endif
  }
#undef ROWS
}

#ifndef PAIRS
static void NAME(expand)(uint32_t *dst, const uint32_t *pairs, int n)
{
  for (int k = 0; k < n; k++, dst += 2 * NR, pairs += NR)
    for (int j = 0; j < NR; j++) {
      uint32_t word = pairs[j];
      dst[j] = word << 16;
      dst[NR + j] = word & 0xffff0000u;
    }
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
