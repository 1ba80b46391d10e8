/* Blocks of ggml: steps, and telling by the scales whether all values are finite. tests/store/test_gguf.c
 * compares the values with those of the gguf package. */
#include "unit.h"

#include <math.h>

#include "base/ggml_blocks.h"
#include "base/philox.h"

static const uint32_t types[] = {TPO_GGML_F16,  TPO_GGML_BF16, TPO_GGML_Q4_0, TPO_GGML_Q4_1, TPO_GGML_Q5_0,
                                 TPO_GGML_Q5_1, TPO_GGML_Q8_0, TPO_GGML_Q4_K, TPO_GGML_Q5_K, TPO_GGML_Q6_K};
#define N_TYPES ((int)(sizeof types / sizeof *types))

static void fill_random(uint8_t *bytes, size_t n, uint32_t stream)
{
  struct tpo_rng rng;
  tpo_rng_init(&rng, 3, TPO_STREAM_INIT, stream, 0);
  for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)tpo_rng_below(&rng, 256);
}

static void steps_make_up_a_block(void **state)
{
  (void)state;
  _Alignas(16) uint8_t raw[256];
  for (int t = 0; t < N_TYPES; t++) {
    const struct tpo_ggml_block *block = tpo_ggml_find_block(types[t]);
    float whole[256], parts[256];
    fill_random(raw, sizeof raw, (uint32_t)t);
    tpo_ggml_dequantise(types[t], raw, whole, block->elements);
    memset(parts, 0x55, sizeof parts);
    for (int step = (int)block->steps - 1; step >= 0; step--)
      tpo_ggml_steps(types[t], raw, parts, step, step + 1);
    assert_memory_equal(parts, whole, block->elements * sizeof(float));
  }
}

static void values_are_finite_when_the_scales_say_so(void **state)
{
  (void)state;
  static _Alignas(16) uint8_t raw[3 * 256];
  int seen[2] = {0, 0};
  for (int t = 0; t < N_TYPES; t++)
    for (uint32_t round = 0; round < 3000; round++) {
      const struct tpo_ggml_block *block = tpo_ggml_find_block(types[t]);
      float values[3 * 256];
      fill_random(raw, 3 * block->bytes, round);
      bool finite = true;
      tpo_ggml_dequantise(types[t], raw, values, 3 * block->elements);
      for (size_t i = 0; i < 3 * block->elements; i++) finite = finite && isfinite(values[i]);
      assert_int_equal(tpo_ggml_is_finite(types[t], raw, 3), finite);
      seen[finite]++;
    }
  assert_true(seen[0] > 100 && seen[1] > 100);
}

/* Zero quants and zero inner scales times an infinite scale are NaN. */
static void one_bad_scale_spoils_its_block(void **state)
{
  (void)state;
  for (int t = 0; t < N_TYPES; t++) {
    const struct tpo_ggml_block *block = tpo_ggml_find_block(types[t]);
    _Alignas(16) uint8_t raw[256] = {0};
    float values[256];
    size_t at = types[t] == TPO_GGML_Q6_K ? 208 : 0;
    assert_true(tpo_ggml_is_finite(types[t], raw, 1));
    raw[at + 1] = types[t] == TPO_GGML_BF16 ? 0x7f : 0x7c; /* infinity */
    raw[at] = types[t] == TPO_GGML_BF16 ? 0x80 : 0;
    assert_false(tpo_ggml_is_finite(types[t], raw, 1));
    tpo_ggml_dequantise(types[t], raw, values, block->elements);
    for (size_t i = 0; i < block->elements; i++) assert_false(isfinite(values[i]));
  }
}

/* The block is the gguf package's, of the same numbers. */
static void q8_0_is_made_as_by_the_gguf_package(void **state)
{
  (void)state;
  static const uint8_t expected[34] = {12, 38,  21,  24,  173, 245, 212, 103, 1, 145, 36, 12,
                                       75, 224, 237, 8,   157, 248, 196, 87,  3, 127, 20, 15,
                                       60, 208, 239, 248, 141, 251, 181, 71,  6, 111};
  float values[96] = {0}; /* zeros, the numbers, and numbers too small for a scale in fp16 */
  uint8_t made[3 * 34], zeros[34] = {0};
  for (int i = 0; i < 32; i++)
    values[32 + i] = (float)((37 * i) % 64 - 31) * 0.0625f * (i % 3 ? 1.5f : -0.25f);
  values[64] = 1e-9f;
  tpo_ggml_quantise(TPO_GGML_Q8_0, values, made, 96);
  assert_memory_equal(made, zeros, 34);
  assert_memory_equal(made + 34, expected, 34);
  assert_true(tpo_ggml_is_finite(TPO_GGML_Q8_0, made, 3));
  values[64] = 1e8f;
  tpo_ggml_quantise(TPO_GGML_Q8_0, values, made, 96);
  assert_false(tpo_ggml_is_finite(TPO_GGML_Q8_0, made, 3));
}

static void what_is_converted_and_back_is_within_the_type(void **state)
{
  (void)state;
  const struct {
    uint32_t type;
    float of_largest; /* of the largest number: most that is lost */
  } cases[] = {
      {TPO_GGML_F32, 0}, {TPO_GGML_F16, 0x1p-11f}, {TPO_GGML_BF16, 0x1p-8f}, {TPO_GGML_Q8_0, 0.0045f}};
  float values[256], back[256];
  _Alignas(16) uint8_t raw[1024];
  struct tpo_rng rng;
  tpo_rng_init(&rng, 5, TPO_STREAM_INIT, 0, 0);
  for (int i = 0; i < 256; i++) values[i] = (float)((int)tpo_rng_below(&rng, 20001) - 10000) * 1e-3f;
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    tpo_ggml_quantise(cases[c].type, values, raw, 256);
    if (cases[c].type == TPO_GGML_F32)
      memcpy(back, raw, sizeof back);
    else
      tpo_ggml_dequantise(cases[c].type, raw, back, 256);
    for (int i = 0; i < 256; i++) assert_true(fabsf(back[i] - values[i]) <= 10 * cases[c].of_largest);
  }
}

static void types_without_a_decoder_have_no_block(void **state)
{
  (void)state;
  assert_false(tpo_ggml_can_dequantise(TPO_GGML_F32));
  assert_false(tpo_ggml_can_dequantise(10)); /* Q2_K */
  assert_false(tpo_ggml_can_dequantise(4));
  assert_false(tpo_ggml_can_dequantise(0xffffffffu));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(steps_make_up_a_block),
      cmocka_unit_test(values_are_finite_when_the_scales_say_so),
      cmocka_unit_test(one_bad_scale_spoils_its_block),
      cmocka_unit_test(q8_0_is_made_as_by_the_gguf_package),
      cmocka_unit_test(what_is_converted_and_back_is_within_the_type),
      cmocka_unit_test(types_without_a_decoder_have_no_block),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
