/* Passes over a row of logits. Weights and their sums
 * are exact (vecmath.h), so lanes may add in any order. */
#ifndef TPO_BACKEND_CPU_SIMD_SAMPLE_H
#define TPO_BACKEND_CPU_SIMD_SAMPLE_H

#include "backend/cpu/simd/table.h"
#include "backend/cpu/simd/vector.h"

#define LARGEST_FLOAT 0x1.fffffep+127f

INLINE vf load_logits(const float *logits, int left) /* lanes past the end: -infinity */
{
  if (left >= VL) return vload(logits);
  float lanes[VL];
  for (int i = 0; i < VL; i++) lanes[i] = i < left ? logits[i] : -INFINITY;
  return vload(lanes);
}

static bool sample_highest(const float *logits, int vocab, float *highest)
{
  vf top = vset(-INFINITY);
  unsigned fit = (1u << VL) - 1; /* NaN and +infinity fail the comparison */
  for (int i = 0; i < vocab; i += VL) {
    vf x = load_logits(logits + i, vocab - i);
    top = vmax(top, x);
    fit &= vmask_ge(vset(LARGEST_FLOAT), x);
  }
  *highest = vhighest(top);
  return fit == (1u << VL) - 1;
}

static void sample_sums(const float *logits, int vocab, float highest, float inverse_temperature, double *sum,
                        double *weights)
{
  vd plain = vdset(0), low = vdset(0), high = vdset(0), magic = vdset(TPO_SAMPLE_ROUND);
  vf top = vset(highest), inverse = vset(inverse_temperature);
  for (int block = 0; block < vocab; block += 64 * VL) {
    int end = block + 64 * VL < vocab ? block + 64 * VL : vocab;
    vf part = vset(0);
    for (int i = block; i < end; i += VL) {
      vf below = load_logits(logits + i, vocab - i) - top;
      part = part + vexp(below);
      if (!weights) continue;
      vf e = vexp(below * inverse);
      low += (vlow(e) + magic) - magic;
      high += (vhigh(e) + magic) - magic;
    }
    plain += vlow(part) + vhigh(part);
  }
  *sum = vdsum(plain);
  if (weights) *weights = vdsum(low + high);
}

static int sample_gather(const float *logits, int vocab, float threshold, int32_t *ids)
{
  int count = 0;
  vf least = vset(threshold);
  for (int i = 0; i < vocab; i += VL) {
    unsigned mask = vmask_ge(load_logits(logits + i, vocab - i), least);
    for (; mask; mask &= mask - 1) {
      int id = i + __builtin_ctz(mask);
      if (id < vocab) ids[count++] = id;
    }
  }
  return count;
}

#endif
