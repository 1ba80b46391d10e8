/* ggml blocks on every backend have the bits of base/ggml_blocks.h, which tests/store/test_gguf.c compares
 * with those of the gguf package. */
#include "ops_check.h"

#include "base/ggml_blocks.h"

static const uint32_t types[] = {TPO_GGML_F16,  TPO_GGML_BF16, TPO_GGML_Q4_0, TPO_GGML_Q4_1, TPO_GGML_Q5_0,
                                 TPO_GGML_Q5_1, TPO_GGML_Q8_0, TPO_GGML_Q4_K, TPO_GGML_Q5_K, TPO_GGML_Q6_K};
#define N_TYPES ((int)(sizeof types / sizeof *types))

/* Random quants; scales are random too, but finite. */
static uint8_t *random_blocks(uint32_t type, size_t n_blocks, uint32_t stream)
{
  const struct tpo_ggml_block *block = tpo_ggml_find_block(type);
  struct tpo_rng rng;
  tpo_rng_init(&rng, 4, TPO_STREAM_INIT, stream, type);
  uint8_t *raw = check_alloc(n_blocks * block->bytes);
  for (size_t b = 0; b < n_blocks; b++) do {
      for (size_t i = 0; i < block->bytes; i++) raw[b * block->bytes + i] = (uint8_t)tpo_rng_below(&rng, 256);
    } while (!tpo_ggml_is_finite(type, raw + b * block->bytes, 1));
  return raw;
}

static void blocks_have_the_same_bits_on_every_backend(void **state)
{
  (void)state;
  static const size_t counts[] = {0, 1, 2, 7, 300};
  for (int t = 0; t < N_TYPES; t++)
    for (int c = 0; c < 5; c++) {
      size_t n = counts[c] * tpo_ggml_find_block(types[t])->elements;
      const uint8_t *raw = random_blocks(types[t], counts[c], (uint32_t)c);
      float *expected = zeros(n);
      tpo_ggml_dequantise(types[t], raw, expected, n);
      for (int b = 0; b <= check_n_cpus; b++) {
        struct tpo_backend *be = b < check_n_cpus ? check_cpus[b].be : check_reference;
        float *out = filled(n + 1, 7);
        tpo_ops(be)->dequantise(be, raw, types[t], out, n);
        assert_bits("dequantise", out, expected, n);
        assert_true(out[n] == 7);
      }
      check_free(NULL);
    }
}

/* Every fp16 pattern: subnormals, infinities and NaNs with their payloads. */
static void fp16_patterns_have_the_same_bits_on_every_backend(void **state)
{
  (void)state;
  uint16_t *raw = check_alloc(65536 * sizeof *raw);
  float *expected = zeros(65536);
  for (int i = 0; i < 65536; i++) raw[i] = (uint16_t)i;
  for (int t = 0; t < 2; t++) {
    tpo_convert(expected, TPO_F32, raw, t ? TPO_BF16 : TPO_F16, 65536);
    for (int b = 0; b < check_n_cpus; b++) {
      float *out = zeros(65536);
      tpo_ops(check_cpus[b].be)->dequantise(check_cpus[b].be, raw, types[t], out, 65536);
      assert_bits("element", out, expected, 65536);
    }
  }
}

/* A GPU's memory may hold raw bytes at any address. */
static void blocks_may_lie_anywhere(void **state)
{
  (void)state;
  for (int t = 2; t < N_TYPES; t++) {
    const struct tpo_ggml_block *block = tpo_ggml_find_block(types[t]);
    const uint8_t *raw = random_blocks(types[t], 3, 9);
    uint8_t *moved = check_alloc(3 * block->bytes + 1);
    memcpy(moved + 1, raw, 3 * block->bytes);
    for (int b = 0; b < check_n_cpus; b++) {
      float *out = zeros(3 * block->elements), *expected = zeros(3 * block->elements);
      tpo_ops(check_cpus[b].be)->dequantise(check_cpus[b].be, moved + 1, types[t], out, 3 * block->elements);
      tpo_ggml_dequantise(types[t], raw, expected, 3 * block->elements);
      assert_bits("dequantise", out, expected, 3 * block->elements);
    }
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(blocks_have_the_same_bits_on_every_backend),
      CHECK_TEST(fp16_patterns_have_the_same_bits_on_every_backend),
      CHECK_TEST(blocks_may_lie_anywhere),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
