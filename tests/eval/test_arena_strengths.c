/* Bradley and Terry's model against its closed form, and intervals. */
#include <math.h>
#include "base/philox.h"
#include "eval/arena/strengths.h"
#include "unit.h"

/* Model m of n, m > 0, against model 0: w, l, t. */
static void play(struct arena_battles *battles, int32_t m, int w, int l, int t)
{
  char name[32];
  int32_t at;
  for (int32_t i = (int32_t)battles->n_models; i <= m; i++) {
    snprintf(name, sizeof name, "model %d", i);
    assert_int_equal(arena_model_of(battles, name, &at, NULL), 0);
  }
  assert_int_equal(arena_add_battle(battles, (struct arena_battle){m, 0, 1}, w, NULL), 0);
  assert_int_equal(arena_add_battle(battles, (struct arena_battle){0, m, 1}, l, NULL), 0);
  assert_int_equal(arena_add_battle(battles, (struct arena_battle){0, m, 0.5}, t, NULL), 0);
}

enum { MOST = 64 };
static void fit(const struct arena_battles *battles, size_t baseline, double theta[MOST])
{
  static double wins[MOST * MOST];
  struct tpo_error err = {0};
  arena_wins(battles, wins);
  if (arena_fit(wins, battles->n_models, baseline, theta, &err) < 0) fail_msg("%s", err.message);
}

/* All against one baseline: 100 (W + T/2) / (W + L + T). */
static void a_star_has_the_closed_form(void **state)
{
  (void)state;
  struct arena_battles battles = {0};
  struct tpo_rng rng;
  double theta[MOST], expected[MOST];
  tpo_rng_init(&rng, 5, TPO_STREAM_INIT, 0, 0);
  for (int32_t m = 1; m < MOST; m++) {
    int w = (int)tpo_rng_below(&rng, 900), l = (int)tpo_rng_below(&rng, 900),
        t = 1 + (int)tpo_rng_below(&rng, 9);
    play(&battles, m, w, l, t);
    expected[m] = 100 * (w + t / 2.0) / (w + l + t);
    assert_int_equal(battles.models[m].wins, w);
    assert_int_equal(battles.models[m].losses, l);
    assert_int_equal(battles.models[m].ties, t);
  }
  fit(&battles, 0, theta);
  assert_true(theta[0] == 0);
  for (int m = 1; m < MOST; m++)
    if (!(fabs(arena_win_rate(theta[m]) - expected[m]) < 1e-9))
      fail_msg("model %d: %.12g, expected %.12g", m, arena_win_rate(theta[m]), expected[m]);
  arena_battles_free(&battles);
}

static double likelihood(const double *wins, int n, const double *theta)
{
  double sum = 0;
  for (int m = 0; m < n; m++)
    for (int k = 0; k < n; k++)
      if (k != m) sum -= wins[m * n + k] * log(1 + exp(theta[k] - theta[m]));
  return sum;
}

/* Of a graph that is no star: the derivatives vanish, and no step in any direction climbs. */
static void the_likelihood_has_its_maximum(void **state)
{
  (void)state;
  const double wins[16] = {0, 3, 1.5, 0, 2, 0, 4, 1, 2.5, 3, 0, 0.5, 1, 0, 6, 0};
  double theta[4];
  struct tpo_error err = {0};
  assert_int_equal(arena_fit(wins, 4, 2, theta, &err), 0);
  assert_true(theta[2] == 0);
  for (int m = 0; m < 4; m++) {
    double slope = 0, moved[4], best = likelihood(wins, 4, theta);
    for (int k = 0; k < 4; k++)
      slope +=
          wins[m * 4 + k] / (1 + exp(theta[m] - theta[k])) - wins[k * 4 + m] / (1 + exp(theta[k] - theta[m]));
    assert_true(fabs(slope) < 1e-9);
    for (int way = -1; way <= 1; way += 2) {
      memcpy(moved, theta, sizeof moved);
      moved[m] += way * 1e-3;
      assert_true(likelihood(wins, 4, moved) < best);
    }
  }
}

static void without_a_maximum_its_limit_counts(void **state)
{
  (void)state;
  struct arena_battles battles = {0};
  double theta[MOST];
  play(&battles, 1, 4, 0, 0);
  play(&battles, 2, 0, 5, 0);
  play(&battles, 3, 0, 0, 1);
  play(&battles, 5, 6, 2, 0); /* and 4, who never fought */
  assert_int_equal(arena_add_battle(&battles, (struct arena_battle){5, 2, 1}, 1, NULL), 0);
  fit(&battles, 0, theta);
  assert_true(isinf(theta[1]) && theta[1] > 0 && arena_win_rate(theta[1]) == 100);
  assert_true(isinf(theta[2]) && theta[2] < 0 && arena_win_rate(theta[2]) == 0);
  assert_true(fabs(arena_win_rate(theta[3]) - 50) < 1e-9);
  assert_true(isnan(theta[4]));
  assert_true(fabs(arena_win_rate(theta[5]) - 75) < 1e-9);
  arena_battles_free(&battles);
}

/* numpy.percentile's values. */
static void percentiles_are_interpolated(void **state)
{
  (void)state;
  const double some[] = {1, 2, 4, 8}, ends[] = {-INFINITY, 0, 1, INFINITY};
  assert_true(arena_percentile(some, 4, 0) == 1);
  assert_true(arena_percentile(some, 4, 1) == 8);
  assert_true(fabs(arena_percentile(some, 4, 0.025) - 1.075) < 1e-12);
  assert_true(fabs(arena_percentile(some, 4, 0.975) - 7.7) < 1e-12);
  assert_true(fabs(arena_percentile(some, 4, 0.5) - 3) < 1e-12);
  assert_true(arena_percentile(some, 1, 0.975) == 1);
  assert_true(arena_percentile(ends, 4, 0.5) == 0.5);
  assert_true(isinf(arena_percentile(ends, 4, 0.1)) && arena_percentile(ends, 4, 0.1) < 0);
  assert_true(isinf(arena_percentile(ends, 4, 0.9)) && arena_percentile(ends, 4, 0.9) > 0);
}

/* Asymptotically a mean of n draws: 1.96 sqrt(var / n), with var = (W + T/4)/n - mean^2. */
static void intervals_have_the_width_of_theory(void **state)
{
  (void)state;
  struct arena_battles battles = {0};
  struct arena_interval first[3], again[3], other[3];
  play(&battles, 1, 300, 500, 200);
  play(&battles, 2, 10, 0, 0);
  assert_int_equal(arena_bootstrap(&battles, 0, 2000, 1, first, NULL, NULL), 0);
  assert_int_equal(arena_bootstrap(&battles, 0, 2000, 1, again, NULL, NULL), 0);
  assert_int_equal(arena_bootstrap(&battles, 0, 2000, 2, other, NULL, NULL), 0);
  double mean = 0.4, half = 196 * sqrt((0.3 + 0.05 - mean * mean) / 1000);
  double lower = arena_win_rate(first[1].lower), upper = arena_win_rate(first[1].upper);
  assert_true(fabs(lower - (40 - half)) < 0.25 && fabs(upper - (40 + half)) < 0.25);
  assert_true(first[1].lower == again[1].lower && first[1].upper == again[1].upper);
  assert_true(first[1].lower != other[1].lower);
  assert_int_equal(first[1].rounds, 2000);
  assert_true(arena_win_rate(first[2].lower) == 100 && arena_win_rate(first[2].upper) == 100);
  /* Ten battles of 1010 are sometimes not drawn at all. */
  assert_true(first[2].rounds < 2001 && first[2].rounds > 1990);
  arena_battles_free(&battles);
}

static int ascending(const void *a, const void *b)
{
  return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* The same draws by hand, of one model alone, where a round's score is a mean. */
static void bounds_are_those_of_plain_resampling(void **state)
{
  (void)state;
  enum {
    ROUNDS = 41,
    N = 60
  }; /* (ROUNDS - 1) / 40 is whole: the percentiles are values, the second and last but one */
  struct arena_battles battles = {0};
  struct arena_interval intervals[2];
  double scores[ROUNDS];
  play(&battles, 1, 25, 20, 15);
  for (int r = 0; r < ROUNDS; r++) {
    struct tpo_rng rng;
    tpo_rng_init(&rng, 9, TPO_STREAM_BOOTSTRAP, (uint64_t)r, 0);
    double won = 0;
    for (int i = 0; i < N; i++) {
      uint32_t at = tpo_rng_below(&rng, N);
      won += at < 25 ? 1 : at < 45 ? 0 : 0.5;
    }
    scores[r] = 100 * won / N;
  }
  qsort(scores, ROUNDS, sizeof *scores, ascending);
  assert_int_equal(arena_bootstrap(&battles, 0, ROUNDS, 9, intervals, NULL, NULL), 0);
  assert_true(fabs(arena_win_rate(intervals[1].lower) - scores[1]) < 1e-9);
  assert_true(fabs(arena_win_rate(intervals[1].upper) - scores[ROUNDS - 2]) < 1e-9);
  assert_true(scores[0] < scores[1] && scores[1] < scores[2]);
  assert_true(scores[ROUNDS - 1] > scores[ROUNDS - 2] && scores[ROUNDS - 2] > scores[ROUNDS - 3]);
  arena_battles_free(&battles);
}

static void few_battles_have_intervals(void **state)
{
  (void)state;
  struct arena_battles battles = {0};
  struct arena_interval intervals[2];
  int32_t at;
  assert_int_equal(arena_model_of(&battles, "a", &at, NULL), 0);
  assert_int_equal(arena_model_of(&battles, "b", &at, NULL), 0);
  assert_int_equal(arena_bootstrap(&battles, 0, 10, 0, intervals, NULL, NULL), 0);
  assert_true(isnan(intervals[1].lower) && isnan(intervals[1].upper));
  assert_int_equal(intervals[1].rounds, 0);
  assert_int_equal(arena_add_battle(&battles, (struct arena_battle){0, 1, 1}, 1, NULL), 0);
  assert_int_equal(arena_bootstrap(&battles, 0, 10, 0, intervals, NULL, NULL), 0);
  assert_true(arena_win_rate(intervals[1].lower) == 0 && arena_win_rate(intervals[1].upper) == 0);
  arena_battles_free(&battles);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_star_has_the_closed_form),
      cmocka_unit_test(the_likelihood_has_its_maximum),
      cmocka_unit_test(without_a_maximum_its_limit_counts),
      cmocka_unit_test(percentiles_are_interpolated),
      cmocka_unit_test(intervals_have_the_width_of_theory),
      cmocka_unit_test(few_battles_have_intervals),
      cmocka_unit_test(bounds_are_those_of_plain_resampling),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
