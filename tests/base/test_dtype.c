/* Conversions of fp16 and bf16, over every pattern. */
#include <math.h>
#include "unit.h"
#include "base/dtype.h"

/* The value of an fp16 or bf16 pattern by the definition of the format. */
static double value_of(uint16_t h, int exponent_bits)
{
  int mantissa_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  int exponent = h >> mantissa_bits & ((1 << exponent_bits) - 1), mantissa = h & ((1 << mantissa_bits) - 1);
  double sign = h & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

static float widen(uint16_t h, int exponent_bits)
{
  return exponent_bits == 5 ? tpo_f16_to_f32(h) : tpo_bf16_to_f32(h);
}

static uint16_t narrow(float f, int exponent_bits)
{
  return exponent_bits == 5 ? tpo_f32_to_f16(f) : tpo_f32_to_bf16(f);
}

static void every_pattern_widens_exactly_and_comes_back(void **state)
{
  (void)state;
  for (int exponent_bits = 5; exponent_bits <= 8; exponent_bits += 3) {
    for (uint32_t h = 0; h < 65536; h++) {
      double expected = value_of((uint16_t)h, exponent_bits);
      float got = widen((uint16_t)h, exponent_bits);
      if (isnan(expected)) {
        assert_true(isnan(got));
        assert_true(isnan(widen(narrow(got, exponent_bits), exponent_bits)));
        continue;
      }
      assert_true((double)got == expected && !signbit(got) == !(h & 0x8000));
      assert_int_equal(narrow(got, exponent_bits), h);
    }
  }
}

static void narrowing_rounds_to_nearest_even(void **state)
{
  (void)state;
  for (int exponent_bits = 5; exponent_bits <= 8; exponent_bits += 3) {
    uint32_t infinity = exponent_bits == 5 ? 0x7c00 : 0x7f80;
    for (uint32_t h = 0; h + 1 < infinity; h++) {
      double low = value_of((uint16_t)h, exponent_bits), high = value_of((uint16_t)(h + 1), exponent_bits);
      float middle = (float)((low + high) / 2); /* exact in fp32 */
      assert_int_equal(narrow(middle, exponent_bits), h + (h & 1));
      assert_int_equal(narrow(nextafterf(middle, 0), exponent_bits), h);
      assert_int_equal(narrow(nextafterf(middle, INFINITY), exponent_bits), h + 1);
      assert_int_equal(narrow(-middle, exponent_bits), 0x8000 | (h + (h & 1)));
    }
  }
  assert_int_equal(tpo_f32_to_f16(65519.996f), 0x7bff);
  assert_int_equal(tpo_f32_to_f16(65520.0f), 0x7c00);
  assert_int_equal(tpo_f32_to_f16(3e38f), 0x7c00);
  assert_int_equal(tpo_f32_to_f16(-INFINITY), 0xfc00);
  assert_int_equal(tpo_f32_to_f16(0x1p-140f), 0);
}

static void nan_never_becomes_infinity(void **state)
{
  (void)state;
  const uint32_t patterns[] = {0x7f800001, 0x7fc00000, 0xff800001, 0x7fffffff, 0x7f801fff};
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
    float f;
    memcpy(&f, &patterns[i], sizeof f);
    assert_true(isnan(tpo_f16_to_f32(tpo_f32_to_f16(f))));
    assert_true(isnan(tpo_bf16_to_f32(tpo_f32_to_bf16(f))));
  }
}

static void convert_handles_every_pair(void **state)
{
  (void)state;
  const float values[] = {0, 1.5f, -2, 0.25f, 1024, -0.0078125f, 3};
  enum { N = 7 };
  for (int from = TPO_F32; from <= TPO_BF16; from++) {
    for (int to = TPO_F32; to <= TPO_BF16; to++) {
      float in[N], out[N], back[N];
      tpo_convert(in, (enum tpo_dtype)from, values, TPO_F32, N);
      tpo_convert(out, (enum tpo_dtype)to, in, (enum tpo_dtype)from, N);
      tpo_convert(back, TPO_F32, out, (enum tpo_dtype)to, N);
      assert_memory_equal(back, values, sizeof values); /* chosen to be exact in all three */
    }
  }
  tpo_convert(NULL, TPO_F32, NULL, TPO_BF16, 0);
  assert_string_equal(tpo_dtype_name(TPO_BF16), "bf16");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_pattern_widens_exactly_and_comes_back),
      cmocka_unit_test(narrowing_rounds_to_nearest_even),
      cmocka_unit_test(nan_never_becomes_infinity),
      cmocka_unit_test(convert_handles_every_pair),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
