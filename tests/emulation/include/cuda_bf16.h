/* Emulated CUDA: bfloat16, rounded as the GPU's instructions
 * do (to nearest even; every NaN becomes 0x7fff). */
#ifndef TPO_EMULATION_CUDA_BF16_H
#define TPO_EMULATION_CUDA_BF16_H

#include <cuda_runtime.h>

static inline unsigned short tpo_bf16_bits(float x)
{
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return static_cast<unsigned short>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

static inline float tpo_bf16_value(unsigned short half)
{
  uint32_t bits = static_cast<uint32_t>(half) << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

struct __nv_bfloat16_raw {
  unsigned short x;
};

struct __nv_bfloat16 {
  unsigned short __x;

  __nv_bfloat16() = default;
  __nv_bfloat16(const __nv_bfloat16_raw &raw) : __x(raw.x) {}
  __nv_bfloat16(float x) : __x(tpo_bf16_bits(x)) {}
  __nv_bfloat16(double x) : __x(tpo_bf16_bits(static_cast<float>(x))) {}
  __nv_bfloat16(int x) : __x(tpo_bf16_bits(static_cast<float>(x))) {}
  operator float() const { return tpo_bf16_value(__x); }
  operator __nv_bfloat16_raw() const { return {__x}; }
};
typedef __nv_bfloat16 nv_bfloat16;

struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;

  __nv_bfloat162() = default;
  __nv_bfloat162(const __nv_bfloat16 &x, const __nv_bfloat16 &y) : x(x), y(y) {}
};
typedef __nv_bfloat162 nv_bfloat162;

static inline float __bfloat162float(__nv_bfloat16 x)
{
  return tpo_bf16_value(x.__x);
}
static inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
  return __nv_bfloat16_raw{tpo_bf16_bits(x)};
}
static inline __nv_bfloat16 __float2bfloat16(float x)
{
  return __float2bfloat16_rn(x);
}

static inline __nv_bfloat16 __float2bfloat16_rz(float x)
{
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return __nv_bfloat16_raw{0x7fff};
  return __nv_bfloat16_raw{static_cast<unsigned short>(bits >> 16)};
}

static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y)
{
  return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}

static inline __nv_bfloat162 __float22bfloat162_rn(float2 v)
{
  return __floats2bfloat162_rn(v.x, v.y);
}
static inline __nv_bfloat162 __float2bfloat162_rn(float x)
{
  return __floats2bfloat162_rn(x, x);
}
static inline __nv_bfloat162 __bfloat162bfloat162(__nv_bfloat16 x)
{
  return {x, x};
}
static inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 x, __nv_bfloat16 y)
{
  return {x, y};
}
static inline __nv_bfloat162 make_bfloat162(__nv_bfloat16 x, __nv_bfloat16 y)
{
  return {x, y};
}
static inline float2 __bfloat1622float2(__nv_bfloat162 v)
{
  return {__bfloat162float(v.x), __bfloat162float(v.y)};
}
static inline float __low2float(__nv_bfloat162 v)
{
  return __bfloat162float(v.x);
}
static inline float __high2float(__nv_bfloat162 v)
{
  return __bfloat162float(v.y);
}
static inline __nv_bfloat16 __low2bfloat16(__nv_bfloat162 v)
{
  return v.x;
}
static inline __nv_bfloat16 __high2bfloat16(__nv_bfloat162 v)
{
  return v.y;
}
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x)
{
  return x.__x;
}
static inline short __bfloat16_as_short(__nv_bfloat16 x)
{
  return static_cast<short>(x.__x);
}
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits)
{
  return __nv_bfloat16_raw{bits};
}

/* Arithmetic rounds once, from the exact result's fp32 rounding as sm_80 does with fma. */
static inline __nv_bfloat16 __hadd(__nv_bfloat16 a, __nv_bfloat16 b)
{
  return __float2bfloat16_rn(__bfloat162float(a) + __bfloat162float(b));
}
static inline __nv_bfloat16 __hmul(__nv_bfloat16 a, __nv_bfloat16 b)
{
  return __float2bfloat16_rn(__bfloat162float(a) * __bfloat162float(b));
}
static inline __nv_bfloat162 __hadd2(__nv_bfloat162 a, __nv_bfloat162 b)
{
  return {__hadd(a.x, b.x), __hadd(a.y, b.y)};
}
static inline __nv_bfloat162 __hmul2(__nv_bfloat162 a, __nv_bfloat162 b)
{
  return {__hmul(a.x, b.x), __hmul(a.y, b.y)};
}

#endif
