/* Emulated CUDA: arithmetic intrinsics. The fast ones (__expf, ...) are as exact here as the C library; the
 * GPU's are not. */
#ifndef TPO_EMULATION_MATH_H
#define TPO_EMULATION_MATH_H

#include <math.h>
#include <stdint.h>

static inline uint32_t __float_as_uint(float x)
{
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}
static inline int __float_as_int(float x)
{
  return static_cast<int>(__float_as_uint(x));
}
static inline float __uint_as_float(uint32_t bits)
{
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}
static inline float __int_as_float(int bits)
{
  return __uint_as_float(static_cast<uint32_t>(bits));
}
static inline long long __double_as_longlong(double x)
{
  long long bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}
static inline double __longlong_as_double(long long bits)
{
  double x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

static inline float __fadd_rn(float a, float b)
{
  return a + b;
}
static inline float __fsub_rn(float a, float b)
{
  return a - b;
}
static inline float __fmul_rn(float a, float b)
{
  return a * b;
}
static inline float __fdiv_rn(float a, float b)
{
  return a / b;
}
static inline float __fmaf_rn(float a, float b, float c)
{
  return fmaf(a, b, c);
}
static inline float __frcp_rn(float a)
{
  return 1.0f / a;
}
static inline float __fsqrt_rn(float a)
{
  return sqrtf(a);
}
static inline float __frsqrt_rn(float a)
{
  return static_cast<float>(1.0 / sqrt(static_cast<double>(a)));
}
static inline double __dadd_rn(double a, double b)
{
  return a + b;
}
static inline double __dsub_rn(double a, double b)
{
  return a - b;
}
static inline double __dmul_rn(double a, double b)
{
  return a * b;
}
static inline double __ddiv_rn(double a, double b)
{
  return a / b;
}
static inline double __fma_rn(double a, double b, double c)
{
  return fma(a, b, c);
}
static inline float rsqrtf(float a)
{
  return __frsqrt_rn(a);
}
static inline double rsqrt(double a)
{
  return 1.0 / sqrt(a);
}
static inline float __saturatef(float a)
{
  return a > 0.0f ? (a < 1.0f ? a : 1.0f) : 0.0f;
}
/* Macros, because glibc declares functions of these names. */
#define __expf(a) expf(a)
#define __exp10f(a) powf(10.0f, a)
#define __logf(a) logf(a)
#define __log2f(a) log2f(a)
#define __log10f(a) log10f(a)
#define __powf(a, b) powf(a, b)
#define __sinf(a) sinf(a)
#define __cosf(a) cosf(a)
#define __tanf(a) tanf(a)
#define __sincosf(a, s, c) sincosf(a, s, c)
static inline float __fdividef(float a, float b)
{
  return a / b;
}
static inline float sinpif(float a)
{
  return static_cast<float>(sin(M_PI * static_cast<double>(a)));
}
static inline float cospif(float a)
{
  return static_cast<float>(cos(M_PI * static_cast<double>(a)));
}
static inline float fdividef(float a, float b)
{
  return a / b;
}

/* Conversions saturate and turn NaN to 0, unlike C's. */
#define TPO_TO_INTEGER(name, from, to, lowest, highest, rounded)                                             \
  static inline to name(from x)                                                                              \
  {                                                                                                          \
    const double r = rounded(static_cast<double>(x));                                                        \
    if (!(r == r)) return 0;                                                                                 \
    if (r <= lowest) return static_cast<to>(lowest);                                                         \
    return r >= highest ? static_cast<to>(highest) : static_cast<to>(r);                                     \
  }
TPO_TO_INTEGER(__float2int_rn, float, int, -2147483648.0, 2147483647.0, nearbyint)
TPO_TO_INTEGER(__float2int_rz, float, int, -2147483648.0, 2147483647.0, trunc)
TPO_TO_INTEGER(__float2int_rd, float, int, -2147483648.0, 2147483647.0, floor)
TPO_TO_INTEGER(__float2int_ru, float, int, -2147483648.0, 2147483647.0, ceil)
TPO_TO_INTEGER(__float2uint_rn, float, unsigned, 0.0, 4294967295.0, nearbyint)
TPO_TO_INTEGER(__float2uint_rz, float, unsigned, 0.0, 4294967295.0, trunc)
TPO_TO_INTEGER(__float2uint_rd, float, unsigned, 0.0, 4294967295.0, floor)
TPO_TO_INTEGER(__float2uint_ru, float, unsigned, 0.0, 4294967295.0, ceil)
TPO_TO_INTEGER(__double2int_rn, double, int, -2147483648.0, 2147483647.0, nearbyint)
TPO_TO_INTEGER(__double2int_rz, double, int, -2147483648.0, 2147483647.0, trunc)
#undef TPO_TO_INTEGER
static inline float __int2float_rn(int x)
{
  return static_cast<float>(x);
}
static inline float __uint2float_rn(unsigned x)
{
  return static_cast<float>(x);
}
static inline float __ll2float_rn(long long x)
{
  return static_cast<float>(x);
}
static inline float __ull2float_rn(unsigned long long x)
{
  return static_cast<float>(x);
}
static inline float __double2float_rn(double x)
{
  return static_cast<float>(x);
}
static inline float __uint2float_rz(unsigned x)
{
  const float nearest = static_cast<float>(x);
  return static_cast<double>(nearest) > static_cast<double>(x) ? nextafterf(nearest, 0.0f) : nearest;
}
static inline double __int2double_rn(int x)
{
  return x;
}
static inline double __uint2double_rn(unsigned x)
{
  return x;
}

static inline int __popc(unsigned x)
{
  return __builtin_popcount(x);
}
static inline int __popcll(unsigned long long x)
{
  return __builtin_popcountll(x);
}
static inline int __ffs(int x)
{
  return __builtin_ffs(x);
}
static inline int __ffsll(long long x)
{
  return __builtin_ffsll(x);
}
static inline int __clz(int x)
{
  return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
static inline int __clzll(long long x)
{
  return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x));
}
static inline unsigned __brev(unsigned x)
{
  unsigned r = 0;
  for (int i = 0; i < 32; i++) r |= (x >> i & 1u) << (31 - i);
  return r;
}
static inline unsigned __umulhi(unsigned a, unsigned b)
{
  return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}
static inline int __mulhi(int a, int b)
{
  return static_cast<int>(static_cast<int64_t>(a) * b >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
  return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift)
{
  return static_cast<unsigned>(((static_cast<uint64_t>(high) << 32 | low) << (shift & 31)) >> 32);
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift)
{
  return static_cast<unsigned>((static_cast<uint64_t>(high) << 32 | low) >> (shift & 31));
}
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector)
{
  const uint64_t bytes = static_cast<uint64_t>(y) << 32 | x;
  unsigned r = 0;
  for (int i = 0; i < 4; i++) {
    const unsigned choice = selector >> 4 * i & 15u;
    unsigned byte = static_cast<unsigned>(bytes >> 8 * (choice & 7u)) & 255u;
    if (choice & 8u) byte = byte & 128u ? 255u : 0u;
    r |= byte << 8 * i;
  }
  return r;
}
static inline int __dp4a(int a, int b, int c)
{
  for (int i = 0; i < 4; i++) {
    c += static_cast<signed char>(a >> 8 * i) * static_cast<signed char>(b >> 8 * i);
  }
  return c;
}

#define TPO_MIN_MAX(type)                                                                                    \
  static inline type min(type a, type b)                                                                     \
  {                                                                                                          \
    return b < a ? b : a;                                                                                    \
  }                                                                                                          \
  static inline type max(type a, type b)                                                                     \
  {                                                                                                          \
    return a < b ? b : a;                                                                                    \
  }
TPO_MIN_MAX(int)
TPO_MIN_MAX(unsigned int)
TPO_MIN_MAX(long)
TPO_MIN_MAX(unsigned long)
TPO_MIN_MAX(long long)
TPO_MIN_MAX(unsigned long long)
#undef TPO_MIN_MAX
static inline unsigned int min(int a, unsigned int b)
{
  return min(static_cast<unsigned int>(a), b);
}
static inline unsigned int min(unsigned int a, int b)
{
  return min(a, static_cast<unsigned int>(b));
}
static inline unsigned int max(int a, unsigned int b)
{
  return max(static_cast<unsigned int>(a), b);
}
static inline unsigned int max(unsigned int a, int b)
{
  return max(a, static_cast<unsigned int>(b));
}
static inline float min(float a, float b)
{
  return fminf(a, b);
}
static inline float max(float a, float b)
{
  return fmaxf(a, b);
}
static inline double min(double a, double b)
{
  return fmin(a, b);
}
static inline double max(double a, double b)
{
  return fmax(a, b);
}

#endif
