/* From ggml's block formats to fp32. A block holds a scale (and an offset) in fp16 and small integers:
 * x = d * q (+ m). The K formats have blocks of 256 whose parts have 6- or 8-bit scales of their own.
 * Products are taken in fp32 in one fixed order, so that values equal those of the `gguf` Python package bit
 * for bit.
 *
 * A decoder does the steps [first, end) of a block, each of which writes elements of its own: a whole block
 * on the CPU, one step a thread on a GPU. */
#ifndef TPO_BASE_GGML_BLOCKS_H
#define TPO_BASE_GGML_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/shared_code.h"

/* Numbers of the types that are read, as in GGUF. */
enum tpo_ggml_number {
  TPO_GGML_F32 = 0,
  TPO_GGML_F16 = 1,
  TPO_GGML_Q4_0 = 2,
  TPO_GGML_Q4_1 = 3,
  TPO_GGML_Q5_0 = 6,
  TPO_GGML_Q5_1 = 7,
  TPO_GGML_Q8_0 = 8,
  TPO_GGML_Q4_K = 12,
  TPO_GGML_Q5_K = 13,
  TPO_GGML_Q6_K = 14,
  TPO_GGML_BF16 = 30
};

struct tpo_ggml_block {
  uint32_t elements, bytes; /* of a block */
  uint32_t steps;           /* of its decoder */
};

/* NULL for a type without a decoder: F32, which needs none, and those that are not read. */
const struct tpo_ggml_block *tpo_ggml_find_block(uint32_t type);
static inline bool tpo_ggml_can_dequantise(uint32_t type)
{
  return tpo_ggml_find_block(type) != NULL;
}
/* The reverse, to F32, F16, BF16 and Q8_0, in which a number or scale too large for fp16 becomes infinite.
 * n: a whole number of blocks. */
void tpo_ggml_quantise(uint32_t type, const float *in, void *out, size_t n);
/* n elements, a whole number of blocks; raw is aligned for fp16 where the type is F16 or BF16. */
void tpo_ggml_dequantise(uint32_t type, const void *raw, float *out, size_t n);
/* Whether all values of these blocks are finite, told by the scales: what they are multiplied with is too
 * small to make an infinity, and an infinite or NaN scale spoils its whole block. */
bool tpo_ggml_is_finite(uint32_t type, const void *raw, size_t n_blocks);

TPO_SHARED_CODE float tpo_ggml_bits(uint32_t bits)
{
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

/* fp16 to fp32, exact. */
TPO_SHARED_CODE float tpo_ggml_f16(uint16_t h)
{
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = h & 0x7fff, bits;
  /* infinity, NaN */
  if (magnitude >= 0x7c00) return tpo_ggml_bits(sign | 0x7f800000u | (magnitude & 0x3ff) << 13);
  if (magnitude >= 0x400) return tpo_ggml_bits(sign | ((magnitude << 13) + (112u << 23)));
  float denormal = (float)magnitude * 0x1p-24f; /* or zero; exact */
  memcpy(&bits, &denormal, sizeof bits);
  return tpo_ggml_bits(sign | bits);
}

TPO_SHARED_CODE uint16_t tpo_ggml_u16(const uint8_t *p)
{
  return (uint16_t)(p[0] | p[1] << 8);
}

TPO_SHARED_CODE uint32_t tpo_ggml_u32(const uint8_t *p)
{
  return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

TPO_SHARED_CODE float tpo_ggml_scale(const uint8_t *p)
{
  return tpo_ggml_f16(tpo_ggml_u16(p));
}

/* Q4: 16 bytes whose low halves are elements 0-15 and high halves 16-31. */
TPO_SHARED_CODE void tpo_ggml_q4_0(const uint8_t *__restrict__ in, float *__restrict__ out, int first,
                                   int end)
{
  float d = tpo_ggml_scale(in);
  const uint8_t *q = in + 2;
  for (int i = first; i < end; i++) {
    out[i] = d * (float)((q[i] & 15) - 8);
    out[i + 16] = d * (float)((q[i] >> 4) - 8);
  }
}

TPO_SHARED_CODE void tpo_ggml_q4_1(const uint8_t *__restrict__ in, float *__restrict__ out, int first,
                                   int end)
{
  float d = tpo_ggml_scale(in), m = tpo_ggml_scale(in + 2);
  const uint8_t *q = in + 4;
  for (int i = first; i < end; i++) {
    out[i] = TPO_PRODUCT(d, (float)(q[i] & 15)) + m;
    out[i + 16] = TPO_PRODUCT(d, (float)(q[i] >> 4)) + m;
  }
}

/* Q5: as Q4, with the fifth bits of elements 0-31 in one 32-bit word. */
TPO_SHARED_CODE void tpo_ggml_q5_0(const uint8_t *__restrict__ in, float *__restrict__ out, int first,
                                   int end)
{
  float d = tpo_ggml_scale(in);
  uint32_t high = tpo_ggml_u32(in + 2);
  const uint8_t *q = in + 6;
  for (int i = first; i < end; i++) {
    out[i] = d * (float)((int)((q[i] & 15) | (high >> i & 1) << 4) - 16);
    out[i + 16] = d * (float)((int)(q[i] >> 4 | (high >> (i + 16) & 1) << 4) - 16);
  }
}

TPO_SHARED_CODE void tpo_ggml_q5_1(const uint8_t *__restrict__ in, float *__restrict__ out, int first,
                                   int end)
{
  float d = tpo_ggml_scale(in), m = tpo_ggml_scale(in + 2);
  uint32_t high = tpo_ggml_u32(in + 4);
  const uint8_t *q = in + 8;
  for (int i = first; i < end; i++) {
    out[i] = TPO_PRODUCT(d, (float)((q[i] & 15) | (high >> i & 1) << 4)) + m;
    out[i + 16] = TPO_PRODUCT(d, (float)(q[i] >> 4 | (high >> (i + 16) & 1) << 4)) + m;
  }
}

TPO_SHARED_CODE void tpo_ggml_q8_0(const uint8_t *__restrict__ in, float *__restrict__ out, int first,
                                   int end)
{
  float d = tpo_ggml_scale(in);
  for (int i = first; i < end; i++) out[i] = d * (float)(int8_t)in[2 + i];
}

/* Q4_K and Q5_K: eight parts of 32 with 6-bit scales and minima packed into 12 bytes. Parts 0-3 take the low
 * six bits of bytes 0-7; parts 4-7 have four bits in bytes 8-11 and two at the top of bytes 0-7. */
TPO_SHARED_CODE void tpo_ggml_unpack_scale(const uint8_t *packed, int part, float *scale, float *minimum)
{
  int s, m;
  if (part < 4) {
    s = packed[part] & 63;
    m = packed[part + 4] & 63;
  } else {
    s = (packed[part + 4] & 15) | (packed[part - 4] >> 6) << 4;
    m = packed[part + 4] >> 4 | (packed[part] >> 6) << 4;
  }
  *scale = (float)s;
  *minimum = (float)m;
}

TPO_SHARED_CODE void tpo_ggml_q4_k(const uint8_t *__restrict__ in, float *__restrict__ out, int first,
                                   int end)
{
  float d = tpo_ggml_scale(in), d_min = tpo_ggml_scale(in + 2);
  for (int part = 0; part < 8; part++) {
    const uint8_t *q = in + 16 + part / 2 * 32; /* two parts share 32 bytes: low halves, then high halves */
    int shift = part % 2 * 4;
    float scale, minimum;
    tpo_ggml_unpack_scale(in + 4, part, &scale, &minimum);
    scale *= d;
    minimum = TPO_PRODUCT(minimum, d_min);
    for (int i = first; i < end; i++)
      out[part * 32 + i] = TPO_PRODUCT(scale, (float)(q[i] >> shift & 15)) - minimum;
  }
}

TPO_SHARED_CODE void tpo_ggml_q5_k(const uint8_t *__restrict__ in, float *__restrict__ out, int first,
                                   int end)
{
  float d = tpo_ggml_scale(in), d_min = tpo_ggml_scale(in + 2);
  const uint8_t *high = in + 16; /* bit `part` of byte i: the fifth bit of the part's element i */
  for (int part = 0; part < 8; part++) {
    const uint8_t *q = in + 48 + part / 2 * 32;
    int shift = part % 2 * 4;
    float scale, minimum;
    tpo_ggml_unpack_scale(in + 4, part, &scale, &minimum);
    scale *= d;
    minimum = TPO_PRODUCT(minimum, d_min);
    for (int i = first; i < end; i++)
      out[part * 32 + i] =
          TPO_PRODUCT(scale, (float)((q[i] >> shift & 15) | (high[i] >> part & 1) << 4)) - minimum;
  }
}

/* Q6_K: two halves of 128; low four bits in 64 bytes, high two bits in 32 bytes, signed 8-bit scales for
 * each 16. */
TPO_SHARED_CODE void tpo_ggml_q6_k(const uint8_t *__restrict__ in, float *__restrict__ out, int first,
                                   int end)
{
  float d = tpo_ggml_scale(in + 208);
  for (int half = 0; half < 2; half++) {
    const uint8_t *low = in + half * 64, *high = in + 128 + half * 32, *scales = in + 192 + half * 8;
    for (int quarter = 0; quarter < 4; quarter++)
      for (int i = first; i < end; i++) {
        int q = (low[quarter % 2 * 32 + i] >> (quarter / 2 * 4) & 15) | (high[i] >> (quarter * 2) & 3) << 4;
        float scale = d * (float)(int8_t)scales[quarter * 2 + i / 16];
        out[half * 128 + quarter * 32 + i] = scale * (float)(q - 32);
      }
  }
}

/* The steps [first, end) of one block of the type. */
TPO_SHARED_CODE void tpo_ggml_steps(uint32_t type, const uint8_t *__restrict__ in, float *__restrict__ out,
                                    int first, int end)
{
  switch (type) {
  case TPO_GGML_F16: *out = tpo_ggml_scale(in); break;
  case TPO_GGML_BF16: *out = tpo_ggml_bits((uint32_t)tpo_ggml_u16(in) << 16); break;
  case TPO_GGML_Q4_0: tpo_ggml_q4_0(in, out, first, end); break;
  case TPO_GGML_Q4_1: tpo_ggml_q4_1(in, out, first, end); break;
  case TPO_GGML_Q5_0: tpo_ggml_q5_0(in, out, first, end); break;
  case TPO_GGML_Q5_1: tpo_ggml_q5_1(in, out, first, end); break;
  case TPO_GGML_Q8_0: tpo_ggml_q8_0(in, out, first, end); break;
  case TPO_GGML_Q4_K: tpo_ggml_q4_k(in, out, first, end); break;
  case TPO_GGML_Q5_K: tpo_ggml_q5_k(in, out, first, end); break;
  case TPO_GGML_Q6_K: tpo_ggml_q6_k(in, out, first, end); break;
  default: break;
  }
}

#endif
