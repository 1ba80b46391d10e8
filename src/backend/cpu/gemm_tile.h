/* A kernel's functions, written once; each gemm_<isa>.c says what it computes with and includes this.
 *
 *   TPO_SIMD_...  the vectors of simd/vector.h: vf, VL lanes       NAME(x)  the function's name in this file
 *   MR  rows of the largest tile                NV  vectors of words a panel
 *   VW  vector of words; LOAD_W(p), SPLAT_W(p); MULTIPLY_ADD(c, a, b): c + a * b
 *   LOW_HALF(p), HIGH_HALF(p): fp32 from half of each bf16 pair, unless words are bf16 PAIRS
 *
 * Registers: MR * NV sums, NV vectors of B, one splat of A: 28 of 32 with AVX-512 (8 x 48), 15 of 16 with
 * AVX2 (6 x 16; the mask of HIGH_HALF takes the last). A step of k costs MR * NV multiply-adds and MR + NV
 * loads, so the multipliers are the bound. */
#include <string.h>

#include "backend/cpu/gemm.h"
#include "backend/cpu/simd/vector.h"

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define NR (NV * VL)

/* One step of k: sum[r][v] += A[r] * b[v]. */
INLINE void NAME(step)(const int rows, vf sum[MR][NV], const uint32_t *a, ptrdiff_t a_row, const VW b[NV])
{
  UNROLL for (int r = 0; r < rows; r++)
  {
    VW av = SPLAT_W(a + r * a_row);
    UNROLL for (int v = 0; v < NV; v++) sum[r][v] = MULTIPLY_ADD(sum[r][v], av, b[v]);
  }
}

INLINE void NAME(begin)(const int rows, vf sum[MR][NV], const float *c, ptrdiff_t ldc)
{
  UNROLL for (int r = 0; r < rows; r++)
  {
    UNROLL for (int v = 0; v < NV; v++)
    {
      sum[r][v] = vset(0);
      __builtin_prefetch(c + r * ldc + v * VL, 1, 3);
    }
  }
}

INLINE void NAME(end)(const int rows, vf sum[MR][NV], float *c, ptrdiff_t ldc, bool load_c)
{
  UNROLL for (int r = 0; r < rows; r++)
  {
    UNROLL for (int v = 0; v < NV; v++)
    {
      float *to = c + r * ldc + v * VL;
      if (load_c) sum[r][v] = vload(to) + sum[r][v];
      vstore(to, sum[r][v]);
    }
  }
}

INLINE void NAME(tile_rows)(const int rows, int kc, const uint32_t *a, ptrdiff_t a_row, ptrdiff_t a_k,
                            const uint32_t *b, float *c, ptrdiff_t ldc, bool load_c, const char *prefetch)
{
  vf sum[MR][NV];
  NAME(begin)(rows, sum, c, ldc);
  for (int k = 0; k < kc; k++, a += a_k, b += NR) {
    VW words[NV];
    UNROLL for (int v = 0; v < NV; v++) words[v] = LOAD_W(b + v * VL);
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
    ROWS_5_6(f, __VA_ARGS__)                                                                                 \
    ROWS_7_8(f, __VA_ARGS__)                                                                                 \
  }
#if MR >= 6
#define ROWS_5_6(f, ...)                                                                                     \
  case 5: f(5, __VA_ARGS__); break;                                                                          \
  case 6:                                                                                                    \
    f(6, __VA_ARGS__);                                                                                       \
    break;
#else
#define ROWS_5_6(f, ...)
#endif
#if MR >= 8
#define ROWS_7_8(f, ...)                                                                                     \
  case 7: f(7, __VA_ARGS__); break;                                                                          \
  case 8:                                                                                                    \
    f(8, __VA_ARGS__);                                                                                       \
    break;
#else
#define ROWS_7_8(f, ...)
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
  vf sum[MR][NV];
  NAME(begin)(rows, sum, c, ldc);
  for (int k = 0; k < kc; k += 2, a += 2 * a_k, b += NR) {
    VW words[NV];
    UNROLL for (int v = 0; v < NV; v++) words[v] = LOW_HALF(b + v * VL);
    __builtin_prefetch(prefetch + 32 * k, 0, 2);
    NAME(step)(rows, sum, a, a_row, words);
    if (k + 1 == kc) break;
    UNROLL for (int v = 0; v < NV; v++) words[v] = HIGH_HALF(b + v * VL);
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

/* Largest of x[0..n] and the sum of exp(x - largest). */
static void NAME(sum_exp)(const float *x, int n, float *largest, float *sum)
{
  int whole = n / VL * VL;
  vf high = vset(x[0]), total = vset(0);
  for (int i = 0; i < whole; i += VL) high = vmax(vload(x + i), high);
  float top = vhighest(high);
  for (int i = whole; i < n; i++) top = x[i] > top ? x[i] : top;
  for (int i = 0; i < whole; i += VL) total = total + vexp(vload(x + i) - vset(top));
  *largest = top;
  *sum = vsum(total);
  for (int i = whole; i < n; i++) *sum += tpo_exp_f32(x[i] - top);
}

/* x = scale * exp(x - lse) */
static void NAME(softmax_scaled)(float *x, int n, float lse, float scale)
{
  int whole = n / VL * VL;
  for (int i = 0; i < whole; i += VL) vstore(x + i, vset(scale) * vexp(vload(x + i) - vset(lse)));
  for (int i = whole; i < n; i++) x[i] = scale * tpo_exp_f32(x[i] - lse);
}
