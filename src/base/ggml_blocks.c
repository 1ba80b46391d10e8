/* ggml's block types by their number, and the loops that make, convert and check their blocks. */
#include "base/ggml_blocks.h"

#include <math.h>

#include "base/dtype.h"

const struct tpo_ggml_block *tpo_ggml_find_block(uint32_t type)
{
  static const struct tpo_ggml_block plain = {1, 2, 1}, q4_0 = {32, 18, 16}, q4_1 = {32, 20, 16},
                                     q5_0 = {32, 22, 16}, q5_1 = {32, 24, 16}, q8_0 = {32, 34, 32},
                                     q4_k = {256, 144, 32}, q5_k = {256, 176, 32}, q6_k = {256, 210, 32};
  switch (type) {
  case TPO_GGML_F16:
  case TPO_GGML_BF16: return &plain;
  case TPO_GGML_Q4_0: return &q4_0;
  case TPO_GGML_Q4_1: return &q4_1;
  case TPO_GGML_Q5_0: return &q5_0;
  case TPO_GGML_Q5_1: return &q5_1;
  case TPO_GGML_Q8_0: return &q8_0;
  case TPO_GGML_Q4_K: return &q4_k;
  case TPO_GGML_Q5_K: return &q5_k;
  case TPO_GGML_Q6_K: return &q6_k;
  default: return NULL;
  }
}

/* A loop for each type, so that the steps are unrolled. */
#define EACH_BLOCK(decoder, steps)                                                                           \
  for (size_t done = 0; done < n; done += block->elements, in += block->bytes)                               \
    decoder(in, out + done, 0, steps);                                                                       \
  break

void tpo_ggml_dequantise(uint32_t type, const void *raw, float *out, size_t n)
{
  const struct tpo_ggml_block *block = tpo_ggml_find_block(type);
  const uint8_t *in = raw;
  switch (type) {
  case TPO_GGML_F16: tpo_convert(out, TPO_F32, raw, TPO_F16, n); break;
  case TPO_GGML_BF16: tpo_convert(out, TPO_F32, raw, TPO_BF16, n); break;
  case TPO_GGML_Q4_0: EACH_BLOCK(tpo_ggml_q4_0, 16);
  case TPO_GGML_Q4_1: EACH_BLOCK(tpo_ggml_q4_1, 16);
  case TPO_GGML_Q5_0: EACH_BLOCK(tpo_ggml_q5_0, 16);
  case TPO_GGML_Q5_1: EACH_BLOCK(tpo_ggml_q5_1, 16);
  case TPO_GGML_Q8_0: EACH_BLOCK(tpo_ggml_q8_0, 32);
  case TPO_GGML_Q4_K: EACH_BLOCK(tpo_ggml_q4_k, 32);
  case TPO_GGML_Q5_K: EACH_BLOCK(tpo_ggml_q5_k, 32);
  case TPO_GGML_Q6_K: EACH_BLOCK(tpo_ggml_q6_k, 32);
  default: break;
  }
}

/* As ggml's own: the largest element becomes 127 of the scale, which is rounded to fp16 after the elements were
 * divided by it. */
static void make_q8_0(const float *in, uint8_t *out)
{
  float largest = 0;
  for (int i = 0; i < 32; i++) largest = fmaxf(largest, fabsf(in[i]));
  float d = largest / 127, inverse = d > 0 ? 1 / d : 0;
  uint16_t scale = tpo_f32_to_f16(d);
  memcpy(out, &scale, sizeof scale);
  for (int i = 0; i < 32; i++) out[2 + i] = (uint8_t)(int8_t)roundf(in[i] * inverse);
}

void tpo_ggml_quantise(uint32_t type, const float *in, void *out, size_t n)
{
  switch (type) {
  case TPO_GGML_F32: memcpy(out, in, n * sizeof *in); break;
  case TPO_GGML_F16: tpo_convert(out, TPO_F16, in, TPO_F32, n); break;
  case TPO_GGML_BF16: tpo_convert(out, TPO_BF16, in, TPO_F32, n); break;
  case TPO_GGML_Q8_0:
    for (size_t i = 0; i < n; i += 32) make_q8_0(in + i, (uint8_t *)out + i / 32 * 34);
    break;
  default: break;
  }
}

/* A function of its own, so that a constant distance makes it a vector loop. */
static inline bool has_exponent(const uint8_t *p, size_t distance, size_t n, uint16_t exponent)
{
  unsigned found = 0;
  for (size_t i = 0; i < n; i++) {
    uint16_t h;
    memcpy(&h, p + i * distance, sizeof h);
    found |= (h & exponent) == exponent;
  }
  return found;
}

bool tpo_ggml_is_finite(uint32_t type, const void *raw, size_t n_blocks)
{
  if (type == TPO_GGML_BF16) return !has_exponent(raw, 2, n_blocks, 0x7f80);
  if (type == TPO_GGML_F16) return !has_exponent(raw, 2, n_blocks, 0x7c00);
  const uint8_t *d = (const uint8_t *)raw + (type == TPO_GGML_Q6_K ? 208 : 0);
  size_t distance = tpo_ggml_find_block(type)->bytes;
  bool two = type == TPO_GGML_Q4_1 || type == TPO_GGML_Q5_1 || type == TPO_GGML_Q4_K || type == TPO_GGML_Q5_K;
  return !has_exponent(d, distance, n_blocks, 0x7c00) &&
         !(two && has_exponent(d + 2, distance, n_blocks, 0x7c00));
}
