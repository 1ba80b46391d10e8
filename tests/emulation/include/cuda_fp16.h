/* Emulated CUDA: half precision, conversions only. */
#ifndef TPO_EMULATION_CUDA_FP16_H
#define TPO_EMULATION_CUDA_FP16_H

#include <cuda_runtime.h>

static inline float tpo_fp16_value(unsigned short half)
{
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16, exponent = half >> 10 & 31u;
  uint32_t mantissa = half & 1023u, bits;
  float x;
  if (exponent == 31) {
    bits = sign | 0x7f800000u | mantissa << 13;
  } else if (exponent > 0) {
    bits = sign | (exponent + 112) << 23 | mantissa << 13;
  } else {
    x = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -x : x;
  }
  memcpy(&x, &bits, sizeof x);
  return x;
}

static inline unsigned short tpo_fp16_bits(float x)
{
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const unsigned short sign = static_cast<unsigned short>(bits >> 16 & 0x8000u);
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return 0x7fff;
  if (bits >= 0x477ff000u) return sign | 0x7c00; /* at least half a step above the largest: infinity */
  if (bits < 0x38800000u) { /* below the smallest normal: a multiple of 2^-24, rounded by an fp32 addition */
    float magnitude;
    memcpy(&magnitude, &bits, sizeof magnitude);
    magnitude += 0.5f;
    memcpy(&bits, &magnitude, sizeof bits);
    return static_cast<unsigned short>(sign | (bits - 0x3f000000u));
  }
  bits += 0xfffu + (bits >> 13 & 1);
  return static_cast<unsigned short>(sign | ((bits >> 13) - (112u << 10)));
}

struct __half_raw {
  unsigned short x;
};

struct __half {
  unsigned short __x;

  __half() = default;
  __half(const __half_raw &raw) : __x(raw.x) {}
  __half(float x) : __x(tpo_fp16_bits(x)) {}
  operator float() const { return tpo_fp16_value(__x); }
  operator __half_raw() const { return {__x}; }
};
typedef __half half;

struct alignas(4) __half2 {
  __half x, y;

  __half2() = default;
  __half2(const __half &x, const __half &y) : x(x), y(y) {}
};
typedef __half2 half2;

static inline float __half2float(__half x)
{
  return tpo_fp16_value(x.__x);
}
static inline __half __float2half_rn(float x)
{
  return __half_raw{tpo_fp16_bits(x)};
}
static inline __half __float2half(float x)
{
  return __float2half_rn(x);
}
static inline __half2 __floats2half2_rn(float x, float y)
{
  return {__float2half_rn(x), __float2half_rn(y)};
}
static inline float2 __half22float2(__half2 v)
{
  return {__half2float(v.x), __half2float(v.y)};
}
static inline unsigned short __half_as_ushort(__half x)
{
  return x.__x;
}
static inline __half __ushort_as_half(unsigned short bits)
{
  return __half_raw{bits};
}
static inline __half2 __halves2half2(__half x, __half y)
{
  return {x, y};
}
static inline float __low2float(__half2 v)
{
  return __half2float(v.x);
}
static inline float __high2float(__half2 v)
{
  return __half2float(v.y);
}

#endif
