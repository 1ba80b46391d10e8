/* Philox against its published answers, and what is drawn from it against its distribution. */
#include <math.h>
#include "unit.h"
#include "base/philox.h"

static void matches_the_published_answers(void **state)
{
  (void)state;
  /* Known answers for Philox4x32 with 10 rounds that its authors publish with their library. */
  static const struct {
    uint32_t counter[4], key[2], out[4];
  } known[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    uint32_t out[4];
    tpo_philox4x32(known[i].counter, known[i].key, out);
    assert_memory_equal(out, known[i].out, sizeof out);
  }
}

static void every_field_of_the_key_changes_the_sample(void **state)
{
  (void)state;
  struct tpo_sample_key key = {.seed = 1, .prompt = 2, .iteration = 3, .k = 4};
  float base = tpo_sample_uniform(&key, 5);
  assert_true(base == tpo_sample_uniform(&key, 5));
  assert_true(base != tpo_sample_uniform(&key, 6));
  struct tpo_sample_key other = key;
  other.seed = 1ull << 40;
  assert_true(base != tpo_sample_uniform(&other, 5));
  other = key, other.prompt = 2 + (1ull << 40);
  assert_true(base != tpo_sample_uniform(&other, 5));
  other = key, other.iteration = 4;
  assert_true(base != tpo_sample_uniform(&other, 5));
  other = key, other.k = 5;
  assert_true(base != tpo_sample_uniform(&other, 5));
}

static void sample_uniform_is_uniform_below_one(void **state)
{
  (void)state;
  struct tpo_sample_key key = {.seed = 7, .prompt = 9};
  double sum = 0, squares = 0;
  int n = 100000;
  for (int i = 0; i < n; i++) {
    float u = tpo_sample_uniform(&key, (uint32_t)i);
    assert_true(u >= 0.0f && u < 1.0f);
    assert_true(u * 16777216.0f == floorf(u * 16777216.0f));
    sum += u;
    squares += (double)u * u;
  }
  assert_true(fabs(sum / n - 0.5) < 0.004);
  assert_true(fabs(squares / n - 1.0 / 3) < 0.004);
}

static void streams_differ_and_repeat(void **state)
{
  (void)state;
  struct tpo_rng a, b, c;
  tpo_rng_init(&a, 1, TPO_STREAM_SHUFFLE, 2, 3);
  tpo_rng_init(&b, 1, TPO_STREAM_SHUFFLE, 2, 3);
  tpo_rng_init(&c, 1, TPO_STREAM_SYNTH, 2, 3);
  int same = 0;
  for (int i = 0; i < 1000; i++) {
    uint32_t x = tpo_rng_u32(&a);
    assert_int_equal(x, tpo_rng_u32(&b));
    same += x == tpo_rng_u32(&c);
  }
  assert_true(same < 2);
}

static void below_is_unbiased(void **state)
{
  (void)state;
  struct tpo_rng rng;
  tpo_rng_init(&rng, 5, TPO_STREAM_SELECT, 0, 0);
  int counts[7] = {0};
  for (int i = 0; i < 70000; i++) counts[tpo_rng_below(&rng, 7)]++;
  for (int i = 0; i < 7; i++) assert_true(abs(counts[i] - 10000) < 500);
  assert_int_equal(tpo_rng_below(&rng, 1), 0);
  /* For n = 3 * 2^30 a plain remainder would favour the lower third two to one. */
  int low = 0;
  for (int i = 0; i < 30000; i++) low += tpo_rng_below(&rng, 3u << 30) < 1u << 30;
  assert_true(abs(low - 10000) < 500);
}

static void normal_has_mean_0_and_variance_1(void **state)
{
  (void)state;
  struct tpo_rng rng;
  tpo_rng_init(&rng, 5, TPO_STREAM_INIT, 0, 0);
  double sum = 0, squares = 0;
  int n = 100000;
  for (int i = 0; i < n; i++) {
    double x = tpo_rng_normal(&rng);
    assert_true(isfinite(x));
    sum += x;
    squares += x * x;
  }
  assert_true(fabs(sum / n) < 0.015);
  assert_true(fabs(squares / n - 1) < 0.03);
}

static void shuffle_is_a_permutation_that_moves(void **state)
{
  (void)state;
  struct tpo_rng rng;
  tpo_rng_init(&rng, 5, TPO_STREAM_SHUFFLE, 0, 0);
  int first_place[5] = {0};
  for (int round = 0; round < 5000; round++) {
    uint32_t items[5] = {0, 1, 2, 3, 4}, seen = 0;
    tpo_rng_shuffle_u32(&rng, items, 5);
    for (int i = 0; i < 5; i++) seen |= 1u << items[i];
    assert_int_equal(seen, 31);
    first_place[items[0]]++;
  }
  for (int i = 0; i < 5; i++) assert_true(abs(first_place[i] - 1000) < 150);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(matches_the_published_answers),
      cmocka_unit_test(every_field_of_the_key_changes_the_sample),
      cmocka_unit_test(sample_uniform_is_uniform_below_one),
      cmocka_unit_test(streams_differ_and_repeat),
      cmocka_unit_test(below_is_unbiased),
      cmocka_unit_test(normal_has_mean_0_and_variance_1),
      cmocka_unit_test(shuffle_is_a_permutation_that_moves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
