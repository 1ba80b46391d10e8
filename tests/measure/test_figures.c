/* Numbers by instruction, and how sure their means are. */
#include "measure/rows.h"
#include "base/philox.h"
#include "measure/figures.h"

static void a_figure_is_the_mean_of_an_instructions_outputs(void **state)
{
  (void)state;
  struct tpo_samples now = {0};
  struct tpo_error err = {0};
  double values[3];
  /* a: two outputs, one of which does not parse; b: one; c: none that parses */
  SKETCH(&now, ROW("a", 2, "äb", 0, 1), ROW("a", NAN, NULL, 0, 1), ROW("b", 5, "abcd", 0, 1),
         ROW("c", NAN, NULL, 0, 1));
  assert_int_equal(figures_of(&now, FIGURE_SCORE, -1, values, &err), 0);
  assert_near(values[0], 0.5);
  assert_near(values[1], 5);
  assert_near(values[2], -1);
  assert_int_equal(figures_of(&now, FIGURE_FORMAT, -1, values, &err), 0);
  assert_near(values[0], 0.5);
  assert_near(values[2], 0);
  assert_int_equal(figures_of(&now, FIGURE_CHARS, -1, values, &err), 0);
  assert_near(values[0], 2);
  assert_near(values[1], 4);
  assert_true(isnan(values[2]));
  assert_int_equal(figures_of(&now, FIGURE_REPETITION, -1, values, &err), 0);
  assert_near(values[1], 0);
  assert_true(isnan(values[2]));
  tpo_samples_free(&now);
}

#define HELD(id, score, passed)                                                                              \
  TEXT_ROW(id, score, "x", 0, 1, NULL, "{\"checks\":[{\"type\":\"t\",\"passed\":" passed "}]}")

static void a_change_is_paired_by_instruction(void **state)
{
  (void)state;
  struct tpo_samples before = {0}, now = {0};
  struct tpo_error err = {0};
  double change, se;
  /* a: half to all; b: not judged now; c: 1 to 0, which no longer parses; d: only before */
  SKETCH(&before, HELD("a", 0, "true"), HELD("a", 0, "false"), HELD("b", 0, "true"), HELD("c", 0, "true"),
         HELD("d", 0, "true"));
  SKETCH(&now, HELD("a", 0, "true"), TEXT_ROW("b", NAN, "x", 0, 1, NULL, "{}"), ROW("c", NAN, NULL, 0, 1));
  assert_int_equal(figure_change(&before, &now, FIGURE_CHECKS, NAN, &change, &se, &err), 0);
  assert_near(change, (0.5 - 1) / 2);
  assert_near(se, 0.75); /* of 1/2 and -1: sqrt(9/8 / 2) */
  assert_int_equal(figure_change(&before, &now, FIGURE_SCORE, -1, &change, &se, &err), 0);
  assert_near(change, -0.5); /* a: 0 to 0; c: 0 to -1 */
  assert_int_equal(figure_change(&now, &(struct tpo_samples){0}, FIGURE_SCORE, -1, &change, &se, &err), 0);
  assert_true(isnan(change) && isnan(se));
  tpo_samples_free(&before);
  tpo_samples_free(&now);
}

static void an_interval_is_where_resampled_means_lie(void **state)
{
  (void)state;
  enum { N = 400 };
  double values[N];
  struct tpo_rng rng;
  struct tpo_error err = {0};
  struct estimate one, same, other;
  tpo_rng_init(&rng, 3, TPO_STREAM_INIT, 0, 0);
  for (int i = 0; i < N; i++) values[i] = i % 40 ? 2 + tpo_rng_normal(&rng) : NAN;
  assert_int_equal(estimate_mean(values, N, 7, &one, &err), 0);
  assert_int_equal(estimate_mean(values, N, 7, &same, &err), 0);
  assert_int_equal(estimate_mean(values, N, 8, &other, &err), 0);
  assert_int_equal(one.n, N - N / 40);
  assert_true(fabs(one.mean - 2) < 0.2 && fabs(one.se - 1 / sqrt(390)) < 0.01);
  /* 2000 draws tell an end of the interval to about 4 % of the standard error */
  assert_true(fabs(one.low - (one.mean - 1.96 * one.se)) < 0.2 * one.se);
  assert_true(fabs(one.high - (one.mean + 1.96 * one.se)) < 0.2 * one.se);
  assert_memory_equal(&one, &same, sizeof one);
  assert_true(other.mean == one.mean && other.low != one.low);
}

static void few_values_have_no_interval(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct estimate e;
  const double values[] = {NAN, 4, NAN};
  assert_int_equal(estimate_mean(values, 1, 0, &e, &err), 0);
  assert_true(e.n == 0 && isnan(e.mean) && isnan(e.se) && isnan(e.low) && isnan(e.high));
  assert_int_equal(estimate_mean(values, 3, 0, &e, &err), 0);
  assert_true(e.n == 1 && e.mean == 4 && isnan(e.se) && isnan(e.low) && isnan(e.high));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_figure_is_the_mean_of_an_instructions_outputs),
      cmocka_unit_test(a_change_is_paired_by_instruction),
      cmocka_unit_test(an_interval_is_where_resampled_means_lie),
      cmocka_unit_test(few_values_have_no_interval),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
