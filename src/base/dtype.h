/* Element types of tensors, and exact or round-to-nearest-even conversions. */
#ifndef TPO_BASE_DTYPE_H
#define TPO_BASE_DTYPE_H

#include <string.h>
#include "tpo/base.h"

static inline size_t tpo_dtype_size(enum tpo_dtype dtype)
{
  return dtype == TPO_F32 ? 4 : 2;
}
const char *tpo_dtype_name(enum tpo_dtype dtype); /* "fp32", "fp16", "bf16" */

static inline float tpo_bf16_to_f32(uint16_t h)
{
  uint32_t bits = (uint32_t)h << 16;
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static inline uint16_t tpo_f32_to_bf16(float f) /* NaN stays NaN */
{
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((bits >> 16) | 0x40);
  return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

float tpo_f16_to_f32(uint16_t h);
uint16_t tpo_f32_to_f16(float f);
/* n elements of any type to any type. */
void tpo_convert(void *out, enum tpo_dtype out_dtype, const void *in, enum tpo_dtype in_dtype, size_t n);

#endif
