/* Vectors of fp32 and the few operations that the kernels need, for the instruction set that the including
 * file is compiled for: TPO_SIMD_AVX512 (16 lanes), TPO_SIMD_AVX2 (8), otherwise what every x86-64 has (4).
 * +, -, *, / are GCC's vector arithmetic; nothing is fused unless vfma says so. */
#ifndef TPO_BACKEND_CPU_SIMD_VECTOR_H
#define TPO_BACKEND_CPU_SIMD_VECTOR_H

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "backend/vecmath.h"

#define INLINE static inline __attribute__((always_inline, unused))

#if defined(TPO_SIMD_AVX512)
#define VL 16
typedef __m512 vf;
typedef __m512d vd; /* half as many lanes */
typedef uint32_t vu __attribute__((vector_size(64)));
typedef uint16_t vh __attribute__((vector_size(32)));
INLINE vf vset(float x)
{
  return _mm512_set1_ps(x);
}
INLINE vf vload(const float *p)
{
  return _mm512_loadu_ps(p);
}
INLINE void vstore(float *p, vf x)
{
  _mm512_storeu_ps(p, x);
}
INLINE vf vfma(vf a, vf b, vf c)
{
  return _mm512_fmadd_ps(a, b, c);
}
/* b when either is NaN */
INLINE vf vmin(vf a, vf b)
{
  return _mm512_min_ps(a, b);
}
INLINE vf vmax(vf a, vf b)
{
  return _mm512_max_ps(a, b);
}
INLINE vf vsqrt(vf x)
{
  return _mm512_sqrt_ps(x);
}
INLINE unsigned vmask_ge(vf a, vf b)
{
  return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ);
}
INLINE vf vclear_less(vf x, vf a, vf b) /* x, 0 where a < b */
{
  return _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), _mm512_setzero_ps());
}
INLINE vd vlow(vf x)
{
  return _mm512_cvtps_pd(_mm512_castps512_ps256(x));
}
INLINE vd vhigh(vf x)
{
  return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
}
#elif defined(TPO_SIMD_AVX2)
#define VL 8
typedef __m256 vf;
typedef __m256d vd;
typedef uint32_t vu __attribute__((vector_size(32)));
typedef uint16_t vh __attribute__((vector_size(16)));
INLINE vf vset(float x)
{
  return _mm256_set1_ps(x);
}
INLINE vf vload(const float *p)
{
  return _mm256_loadu_ps(p);
}
INLINE void vstore(float *p, vf x)
{
  _mm256_storeu_ps(p, x);
}
INLINE vf vfma(vf a, vf b, vf c)
{
  return _mm256_fmadd_ps(a, b, c);
}
INLINE vf vmin(vf a, vf b)
{
  return _mm256_min_ps(a, b);
}
INLINE vf vmax(vf a, vf b)
{
  return _mm256_max_ps(a, b);
}
INLINE vf vsqrt(vf x)
{
  return _mm256_sqrt_ps(x);
}
INLINE unsigned vmask_ge(vf a, vf b)
{
  return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ));
}
INLINE vf vclear_less(vf x, vf a, vf b)
{
  return _mm256_andnot_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ), x);
}
INLINE vd vlow(vf x)
{
  return _mm256_cvtps_pd(_mm256_castps256_ps128(x));
}
INLINE vd vhigh(vf x)
{
  return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
}
#else
#define VL 4
typedef __m128 vf;
typedef __m128d vd;
typedef uint32_t vu __attribute__((vector_size(16)));
typedef uint16_t vh __attribute__((vector_size(8)));
INLINE vf vset(float x)
{
  return _mm_set1_ps(x);
}
INLINE vf vload(const float *p)
{
  return _mm_loadu_ps(p);
}
INLINE void vstore(float *p, vf x)
{
  _mm_storeu_ps(p, x);
}
INLINE vf vfma(vf a, vf b, vf c)
{
  return a * b + c; /* rounded twice here */
}
INLINE vf vmin(vf a, vf b)
{
  return _mm_min_ps(a, b);
}
INLINE vf vmax(vf a, vf b)
{
  return _mm_max_ps(a, b);
}
INLINE vf vsqrt(vf x)
{
  return _mm_sqrt_ps(x);
}
INLINE unsigned vmask_ge(vf a, vf b)
{
  return (unsigned)_mm_movemask_ps(_mm_cmpge_ps(a, b));
}
INLINE vf vclear_less(vf x, vf a, vf b)
{
  return _mm_andnot_ps(_mm_cmplt_ps(a, b), x);
}
INLINE vd vlow(vf x)
{
  return _mm_cvtps_pd(x);
}
INLINE vd vhigh(vf x)
{
  return _mm_cvtps_pd(_mm_movehl_ps(x, x));
}
#endif

/* The first n < VL elements, zero in the other lanes; and back. Lanes
 * give the same bits as in a full vector. */
INLINE vf vload_n(const float *p, int n)
{
  float lanes[VL] = {0};
  memcpy(lanes, p, (size_t)n * sizeof(float));
  return vload(lanes);
}

INLINE void vstore_n(float *p, vf x, int n)
{
  float lanes[VL];
  vstore(lanes, x);
  memcpy(p, lanes, (size_t)n * sizeof(float));
}

/* The same with however many are left, a vector of them at most. */
INLINE vf vload_left(const float *p, int left)
{
  return left >= VL ? vload(p) : vload_n(p, left);
}

INLINE void vstore_left(float *p, vf x, int left)
{
  if (left >= VL)
    vstore(p, x);
  else
    vstore_n(p, x, left);
}

/* Sum and maximum of the lanes, by halves. */
INLINE float vsum_4(__m128 x)
{
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}

INLINE float vhighest_4(__m128 x)
{
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps(x, x, 1)));
}

#if VL == 4
INLINE float vsum(vf x)
{
  return vsum_4(x);
}
INLINE float vhighest(vf x)
{
  return vhighest_4(x);
}
#elif VL == 8
INLINE float vsum(vf x)
{
  return vsum_4(_mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1)));
}
INLINE float vhighest(vf x)
{
  return vhighest_4(_mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1)));
}
#else
INLINE float vsum(vf x)
{
  __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  return vsum_4(_mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
INLINE float vhighest(vf x)
{
  __m256 half = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  return vhighest_4(_mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
#endif

INLINE double vdsum(vd x)
{
  double lanes[VL / 2];
  memcpy(lanes, &x, sizeof lanes);
  double sum = 0;
  for (int i = 0; i < VL / 2; i++) sum += lanes[i];
  return sum;
}

INLINE vd vdset(double x)
{
  vd zero = {0};
  return zero + x;
}

/* tpo_exp_f32 in every lane, to the bit. */
INLINE vf vexp(vf x)
{
  vf at = vmin(vset(TPO_EXP_HIGHEST), x);
  vf shifted = at * vset(TPO_EXP_LOG2E) + vset(TPO_EXP_ROUND);
  vf n = shifted - vset(TPO_EXP_ROUND);
  vf r = (at - n * vset(TPO_EXP_LN2_HIGH)) - n * vset(TPO_EXP_LN2_LOW);
  vf p = vset(TPO_EXP_C6);
  p = p * r + vset(TPO_EXP_C5);
  p = p * r + vset(TPO_EXP_C4);
  p = p * r + vset(TPO_EXP_C3);
  p = p * r + vset(TPO_EXP_C2);
  p = (p * r) * r + r;
  p = p + vset(1.0f);
  vf y = (vf)((vu)p + ((vu)shifted << 23));
  return vclear_less(y, x, vset(TPO_EXP_LOWEST));
}

/* exp(|2x|) - 1 by the steps of vexp, then tanh |x| = that / (that + 2), and x's sign: error below 3 ulp, the
 * same bits at every instruction set (tests/backend/test_ops_rows.c); NaN stays NaN. From 9.011 on it is 1. */
#define TANH_HIGHEST 20.0f /* of |2x| */
INLINE vf vtanh(vf x)
{
  vu sign = (vu)x & 0x80000000u;
  vf size = (vf)((vu)x & 0x7fffffffu);
  vf at = vmin(vset(TANH_HIGHEST), size + size);
  vf shifted = at * vset(TPO_EXP_LOG2E) + vset(TPO_EXP_ROUND);
  vf n = shifted - vset(TPO_EXP_ROUND);
  vf r = (at - n * vset(TPO_EXP_LN2_HIGH)) - n * vset(TPO_EXP_LN2_LOW);
  vf p = vset(TPO_EXP_C6);
  p = p * r + vset(TPO_EXP_C5);
  p = p * r + vset(TPO_EXP_C4);
  p = p * r + vset(TPO_EXP_C3);
  p = p * r + vset(TPO_EXP_C2);
  p = (p * r) * r + r;
  vf power = (vf)(((vu)shifted << 23) + (vu)vset(1.0f)); /* 2^n */
  vf minus_one = power * p + (power - vset(1.0f));
  return (vf)((vu)(minus_one / (minus_one + vset(2.0f))) | sign);
}

INLINE vf vload_bf16(const uint16_t *p)
{
#if VL == 16
  return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i_u *)p)), 16);
#elif VL == 8
  return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i_u *)p)), 16);
#else
  return (vf)_mm_unpacklo_epi16(_mm_setzero_si128(), _mm_loadl_epi64((const __m128i_u *)p));
#endif
}

/* tpo_f32_to_bf16 in every lane */
INLINE void vstore_bf16(uint16_t *p, vf x)
{
  vu bits = (vu)x;
  vu rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  vu nan = (vu)((bits & 0x7fffffff) > 0x7f800000);
  vh half = __builtin_convertvector((rounded & ~nan) | (((bits >> 16) | 0x40) & nan), vh);
  memcpy(p, &half, sizeof half);
}

#endif
