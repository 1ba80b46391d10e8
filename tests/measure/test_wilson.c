/* Wilson's interval: published values, and what must hold whatever the share. */
#include "measure/wilson.h"

#include <math.h>
#include "unit.h"

static void gives(double successes, double n, double lower, double upper)
{
  double low, high;
  wilson_interval(successes, n, &low, &high);
  assert_true(fabs(low - lower) < 5e-5 && fabs(high - upper) < 5e-5);
}

/* Newcombe 1998, Two-sided confidence intervals for the single proportion, table I, method 3. */
static void published_intervals_come_out(void **state)
{
  (void)state;
  gives(81, 263, 0.2553, 0.3662);
  gives(15, 148, 0.0624, 0.1605);
  gives(0, 20, 0, 0.1611);
  gives(1, 29, 0.0061, 0.1718);
}

static void interval_holds_the_share_keeps_within_and_mirrors(void **state)
{
  (void)state;
  for (int n = 1; n < 200; n += 7)
    for (double x = 0; x <= n; x += 0.5) {
      double low, high, low_of_rest, high_of_rest;
      wilson_interval(x, n, &low, &high);
      wilson_interval(n - x, n, &low_of_rest, &high_of_rest);
      assert_true(low >= 0 && low <= x / n && x / n <= high && high <= 1 && low < high);
      assert_true(fabs(low - (1 - high_of_rest)) < 1e-12 && fabs(high - (1 - low_of_rest)) < 1e-12);
    }
}

static void no_trials_have_no_interval(void **state)
{
  (void)state;
  double low, high;
  wilson_interval(0, 0, &low, &high);
  assert_true(isnan(low) && isnan(high));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(published_intervals_come_out),
      cmocka_unit_test(interval_holds_the_share_keeps_within_and_mirrors),
      cmocka_unit_test(no_trials_have_no_interval),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
