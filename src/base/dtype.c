/* fp16 and bf16 to fp32 and back, rounded to nearest even. */
#include "base/dtype.h"

#include "base/ggml_blocks.h"

const char *tpo_dtype_name(enum tpo_dtype dtype)
{
  switch (dtype) {
  case TPO_F32: return "fp32";
  case TPO_F16: return "fp16";
  case TPO_BF16: return "bf16";
  }
  return "unknown";
}

static uint32_t float_bits(float f)
{
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

static float bits_float(uint32_t bits)
{
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

float tpo_f16_to_f32(uint16_t h)
{
  return tpo_ggml_f16(h);
}

uint16_t tpo_f32_to_f16(float f)
{
  uint32_t bits = float_bits(f), magnitude = bits & 0x7fffffffu;
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff)); /* quiet NaN */
  if (magnitude >= 0x47800000u) return (uint16_t)(sign | 0x7c00); /* 65536 and up */
  if (magnitude >= 0x38800000u) { /* normal, from 2^-14; the carry may run on to infinity, which is right */
    uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
    return (uint16_t)(sign | ((rounded - (112u << 23)) >> 13));
  }
  /* Denormal in units of 2^-24: adding 0.5, whose last bit is worth 2^-24, rounds to nearest even. */
  float sum = bits_float(magnitude) + 0.5f;
  return (uint16_t)(sign | (float_bits(sum) - float_bits(0.5f)));
}

static float load(const void *in, enum tpo_dtype dtype, size_t i)
{
  switch (dtype) {
  case TPO_F16: return tpo_f16_to_f32(((const uint16_t *)in)[i]);
  case TPO_BF16: return tpo_bf16_to_f32(((const uint16_t *)in)[i]);
  default: return ((const float *)in)[i];
  }
}

void tpo_convert(void *out, enum tpo_dtype out_dtype, const void *in, enum tpo_dtype in_dtype, size_t n)
{
  if (n == 0) return;
  if (out_dtype == in_dtype) {
    memmove(out, in, n * tpo_dtype_size(in_dtype));
    return;
  }
  float *floats = out;
  uint16_t *halves = out;
  switch (out_dtype) {
  case TPO_F32:
    if (in_dtype == TPO_BF16)
      for (size_t i = 0; i < n; i++) floats[i] = tpo_bf16_to_f32(((const uint16_t *)in)[i]);
    else
      for (size_t i = 0; i < n; i++) floats[i] = tpo_f16_to_f32(((const uint16_t *)in)[i]);
    break;
  case TPO_BF16:
    if (in_dtype == TPO_F32)
      for (size_t i = 0; i < n; i++) halves[i] = tpo_f32_to_bf16(((const float *)in)[i]);
    else
      for (size_t i = 0; i < n; i++) halves[i] = tpo_f32_to_bf16(load(in, in_dtype, i));
    break;
  case TPO_F16:
    for (size_t i = 0; i < n; i++) halves[i] = tpo_f32_to_f16(load(in, in_dtype, i));
    break;
  }
}
