/* Arithmetic that several implementations must share to the last bit.
 *
 * A sampled token follows from comparisons of sums of exponentials. For all backends and instruction sets to
 * choose the same token, the exponential is defined here by its operations (each rounded to fp32, none fused;
 * the build passes -ffp-contract=off), and the sampler's weights are rounded so that their sums are exact in
 * any order. */
#ifndef TPO_BACKEND_VECMATH_H
#define TPO_BACKEND_VECMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* nvcc would fuse products with sums; a product in this word stays by itself. */
#ifdef __CUDACC__
#define TPO_VECMATH __device__ static inline
#define TPO_UNFUSED(a, b) __fmul_rn(a, b)
#else
#define TPO_VECMATH static inline
#define TPO_UNFUSED(a, b) ((a) * (b))
#endif

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln(2)/2, exp(r) by a polynomial fitted for least relative
 * error. ln 2 is split so that n * TPO_EXP_LN2_HIGH is exact. Adding TPO_EXP_ROUND leaves n in the low bits
 * of the sum. */
#define TPO_EXP_LOWEST (-87.0f) /* below: 0 */
#define TPO_EXP_HIGHEST 88.0f   /* above: as if it were this */
#define TPO_EXP_LOG2E 0x1.715476p+0f
#define TPO_EXP_LN2_HIGH 0x1.62ep-1f
#define TPO_EXP_LN2_LOW 0x1.0bfbe8p-15f
#define TPO_EXP_ROUND 0x1.8p+23f
#define TPO_EXP_C2 0x1.fffffcp-2f
#define TPO_EXP_C3 0x1.55549p-3f
#define TPO_EXP_C4 0x1.5558f8p-5f
#define TPO_EXP_C5 0x1.123b02p-7f
#define TPO_EXP_C6 0x1.6a2254p-10f

/* Error below 1.1 ulp on [-87, 88] (tests/backend/test_ops_vecmath.c); NaN stays NaN. */
TPO_VECMATH float tpo_exp_f32(float x)
{
  if (x < TPO_EXP_LOWEST) return 0.0f;
  if (x > TPO_EXP_HIGHEST) x = TPO_EXP_HIGHEST;
  float shifted = TPO_UNFUSED(x, TPO_EXP_LOG2E) + TPO_EXP_ROUND;
  float n = shifted - TPO_EXP_ROUND;
  float r = (x - TPO_UNFUSED(n, TPO_EXP_LN2_HIGH)) - TPO_UNFUSED(n, TPO_EXP_LN2_LOW);
  float p = TPO_EXP_C6;
  p = TPO_UNFUSED(p, r) + TPO_EXP_C5;
  p = TPO_UNFUSED(p, r) + TPO_EXP_C4;
  p = TPO_UNFUSED(p, r) + TPO_EXP_C3;
  p = TPO_UNFUSED(p, r) + TPO_EXP_C2;
  p = TPO_UNFUSED(TPO_UNFUSED(p, r), r) + r;
  p = p + 1.0f;
  uint32_t exponent, bits;
  memcpy(&exponent, &shifted, sizeof exponent);
  memcpy(&bits, &p, sizeof bits);
  bits += exponent << 23;
  memcpy(&p, &bits, sizeof p);
  return p;
}

/* Adding and subtracting this rounds a double in [0, 1] to a multiple of 2^-35. */
#define TPO_SAMPLE_ROUND 0x1p+17

/* Unnormalised probability of a logit: exp((logit - highest) / temperature) as a multiple of 2^-35, so that
 * sums of up to 2^18 of them are exact in double precision, whatever their order. Less than 2^-36 counts as
 * impossible. */
TPO_VECMATH double tpo_sample_weight(float logit, float highest, float inverse_temperature)
{
  return ((double)tpo_exp_f32(TPO_UNFUSED(logit - highest, inverse_temperature)) + TPO_SAMPLE_ROUND) -
         TPO_SAMPLE_ROUND;
}

/* x of [0, 1] in units of the last place of `round`, 2^52 units itself, rounded to nearest:
 * with TPO_SAMPLE_ROUND the weight of exp(..) = x in units of 2^-35, so that sums in
 * integers are exact as well. */
TPO_VECMATH uint64_t tpo_sample_units(float x, double round)
{
  double rounded = (double)x + round;
  uint64_t units, zero;
  memcpy(&units, &rounded, sizeof units);
  memcpy(&zero, &round, sizeof zero);
  return units - zero;
}

/* True when the most probable token is simply taken: temperature 0, or one so small that its inverse
 * overflows. */
TPO_VECMATH int tpo_sample_is_greedy(float temperature)
{
  return !(temperature > 0.0f) || !isfinite(1.0f / temperature);
}

#endif
