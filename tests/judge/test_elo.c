/* Strengths from wins: against closed forms, other ways to the maximum, and games of known strengths. */
#include <math.h>
#include "judge/compare/elo.h"
#include "base/philox.h"
#include "unit.h"

static double sigmoid(double x)
{
  return 1 / (1 + exp(-x));
}

static void fit(const double *wins, int n, double prior, double *theta)
{
  struct tpo_error err = {0};
  struct elo_fit result;
  assert_int_equal(elo_fit(wins, n, prior, theta, &result, &err), 0);
  assert_true(result.gradient_norm < ELO_MAX_GRADIENT);
}

/* For two responses theta = (t, -t), and w sigma(-2t) - l sigma(2t) = prior t, which falls in t. */
static double two_by_bisection(double w, double l, double prior)
{
  double low = -100, high = 100;
  for (int i = 0; i < 200; i++) {
    double t = (low + high) / 2;
    if (w * sigmoid(-2 * t) - l * sigmoid(2 * t) > prior * t)
      low = t;
    else
      high = t;
  }
  return low;
}

static void two_responses_have_the_solution_of_their_one_equation(void **state)
{
  (void)state;
  static const double cases[][3] = {{3, 1, 0.1}, {2, 0, 0.1},   {0, 2, 1},
                                    {1, 1, 0.1}, {56, 1, 1e-3}, {2, 0, 1e-6}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const double *c = cases[i], wins[4] = {0, c[0], c[1], 0};
    double theta[2], t = two_by_bisection(c[0], c[1], c[2]);
    fit(wins, 2, c[2], theta);
    assert_true(fabs(theta[0] - t) < 1e-7 * (1 + fabs(t)) && fabs(theta[1] + t) < 1e-7 * (1 + fabs(t)));
  }
}

/* Without a prior two responses differ by the log odds of their wins. */
static void small_prior_approaches_the_log_odds(void **state)
{
  (void)state;
  double wins[4] = {0, 30, 10, 0}, theta[2];
  fit(wins, 2, 1e-9, theta);
  assert_true(fabs(theta[0] - theta[1] - log(3)) < 1e-6);
}

static double objective(const double *wins, int n, double prior, const double *theta)
{
  double sum = 0;
  for (int i = 0; i < n; i++) {
    for (int j = 0; j < n; j++)
      if (i != j) sum += wins[i * n + j] * log(sigmoid(theta[i] - theta[j]));
    sum -= prior / 2 * theta[i] * theta[i];
  }
  return sum;
}

/* Wins that strengths would give: each ordered pair is played `games` times. */
static void play(double *wins, const double *strength, int n, int games, uint64_t seed)
{
  struct tpo_rng rng;
  tpo_rng_init(&rng, seed, TPO_STREAM_SYNTH, 0, 0);
  memset(wins, 0, sizeof *wins * (size_t)(n * n));
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++)
      for (int g = 0; i != j && g < games; g++) {
        bool won = tpo_rng_uniform(&rng) < sigmoid(strength[i] - strength[j]);
        wins[won ? i * n + j : j * n + i]++;
      }
}

static void solution_is_where_no_direction_climbs(void **state)
{
  (void)state;
  enum { N = 8 };
  double strength[N], wins[N * N], theta[N], moved[N];
  for (uint64_t seed = 0; seed < 50; seed++) {
    for (int i = 0; i < N; i++) strength[i] = (double)i * (double)seed / 50;
    play(wins, strength, N, 1, seed);
    fit(wins, N, 0.1, theta);
    double best = objective(wins, N, 0.1, theta);
    for (int i = 0; i < N; i++)
      for (int sign = -1; sign <= 1; sign += 2) {
        memcpy(moved, theta, sizeof moved);
        moved[i] += sign * 1e-3;
        assert_true(objective(wins, N, 0.1, moved) < best);
        memcpy(moved, theta, sizeof moved);
        moved[i] += 1e-5, moved[(i + 1) % N] += sign * 1e-5;
        double up = objective(wins, N, 0.1, moved);
        moved[i] -= 2e-5, moved[(i + 1) % N] -= 2 * sign * 1e-5;
        assert_true(fabs(up - objective(wins, N, 0.1, moved)) / 2e-5 < 1e-6);
      }
  }
}

/* Plain gradient ascent, which shares nothing with Newton's method. */
static void gradient_ascent_comes_to_the_same_place(void **state)
{
  (void)state;
  enum { N = 5 };
  double strength[N] = {2, 0, -1, 0.5, 4}, wins[N * N], theta[N], walk[N] = {0};
  play(wins, strength, N, 2, 7);
  fit(wins, N, 0.1, theta);
  for (int step = 0; step < 200000; step++) {
    double next[N];
    for (int i = 0; i < N; i++) {
      double slope = -0.1 * walk[i];
      for (int j = 0; j < N; j++)
        if (i != j)
          slope +=
              wins[i * N + j] * sigmoid(walk[j] - walk[i]) - wins[j * N + i] * sigmoid(walk[i] - walk[j]);
      next[i] = walk[i] + 0.05 * slope;
    }
    memcpy(walk, next, sizeof walk);
  }
  for (int i = 0; i < N; i++) assert_true(fabs(theta[i] - walk[i]) < 1e-9);
}

static void mean_strength_is_zero(void **state)
{
  (void)state;
  double wins[16] = {0, 2, 2, 2, 0, 0, 2, 1, 0, 0, 0, 2, 0, 1, 0, 0}, theta[4], sum = 0;
  fit(wins, 4, 0.1, theta);
  for (int i = 0; i < 4; i++) sum += theta[i];
  assert_true(fabs(sum) < 1e-12);
}

static void equal_records_have_equal_strengths(void **state)
{
  (void)state;
  double all[9] = {0, 1, 1, 1, 0, 1, 1, 1, 0}, cycle[9] = {0, 2, 0, 0, 0, 2, 2, 0, 0}, none[9] = {0},
         theta[3];
  const double *cases[] = {all, cycle, none};
  for (int c = 0; c < 3; c++) {
    fit(cases[c], 3, 0.1, theta);
    for (int i = 0; i < 3; i++) assert_true(fabs(theta[i]) < 1e-14);
  }
}

static void undefeated_stays_finite_and_first(void **state)
{
  (void)state;
  double wins[64] = {0}, theta[8];
  for (int i = 0; i < 8; i++)
    for (int j = i + 1; j < 8; j++) wins[i * 8 + j] = 2;
  static const double priors[] = {1e-8, 1e-3, 0.1, 10, 1000};
  for (int p = 0; p < 5; p++) {
    fit(wins, 8, priors[p], theta);
    for (int i = 1; i < 8; i++) assert_true(isfinite(theta[i]) && theta[i] < theta[i - 1]);
  }
}

static void weaker_prior_spreads_the_strengths(void **state)
{
  (void)state;
  double wins[4] = {0, 2, 0, 0}, strong[2], weak[2];
  fit(wins, 2, 1, strong);
  fit(wins, 2, 0.01, weak);
  assert_true(weak[0] > strong[0] && strong[0] > 0);
}

static void order_of_responses_does_not_matter(void **state)
{
  (void)state;
  enum { N = 6 };
  static const int order[N] = {3, 5, 0, 1, 4, 2};
  double strength[N] = {0, 1, 2, -1, 0.3, -2}, wins[N * N], turned[N * N], theta[N], other[N];
  play(wins, strength, N, 1, 3);
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) turned[i * N + j] = wins[order[i] * N + order[j]];
  fit(wins, N, 0.1, theta);
  fit(turned, N, 0.1, other);
  for (int i = 0; i < N; i++) assert_true(fabs(other[i] - theta[order[i]]) < 1e-10);
}

static void one_more_win_raises_the_winner_and_lowers_the_loser(void **state)
{
  (void)state;
  enum { N = 4 };
  double wins[N * N] = {0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0}, before[N], after[N];
  fit(wins, N, 0.1, before);
  wins[1 * N + 2]++;
  fit(wins, N, 0.1, after);
  assert_true(after[1] > before[1] && after[2] < before[2]);
  assert_true(fabs(after[0] - before[0]) < fabs(after[1] - before[1]));
}

static void many_games_recover_the_strengths(void **state)
{
  (void)state;
  enum { N = 6 };
  double strength[N] = {1.5, 0.7, 0.2, -0.1, -0.8, -1.5}, wins[N * N], theta[N];
  play(wins, strength, N, 10000, 11);
  fit(wins, N, 0.1, theta);
  for (int i = 0; i < N; i++) assert_true(fabs(theta[i] - strength[i]) < 0.03);
}

static void parts_that_never_met_are_scored_each_around_zero(void **state)
{
  (void)state;
  double wins[16] = {0}, theta[4], two[4] = {0, 2, 0, 0}, pair[2];
  wins[0 * 4 + 1] = wins[2 * 4 + 3] = 2;
  fit(wins, 4, 0.1, theta);
  fit(two, 2, 0.1, pair);
  assert_true(fabs(theta[0] - pair[0]) < 1e-12 && fabs(theta[2] - pair[0]) < 1e-12);
  assert_true(fabs(theta[1] - pair[1]) < 1e-12 && fabs(theta[3] - pair[1]) < 1e-12);
}

static void scale_puts_ten_to_one_at_400_points(void **state)
{
  (void)state;
  double wins[4] = {0, 1e4, 1e3, 0}, theta[2];
  fit(wins, 2, 1e-9, theta);
  assert_true(fabs(ELO_SCALE * (theta[0] - theta[1]) - 400) < 1e-3);
}

/* Each adds its rounding: what is allowed of the gradient grows with them. */
static void millions_of_games_are_fitted(void **state)
{
  (void)state;
  static const double losses[] = {1, 3, 1000, 33333, 1e6};
  struct elo_fit result;
  struct tpo_error err = {0};
  for (double games = 1e6; games <= 1e9; games *= 10)
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
      for (int n = 2; n <= 5; n++) {
        double wins[25] = {0}, theta[5];
        for (int k = 1; k < n; k++) wins[k] = games / k, wins[k * n] = losses[i] * k;
        if (elo_fit(wins, n, 0, theta, &result, &err) < 0) fail_msg("%g, %d: %s", games, n, err.message);
        for (int k = 1; k < n; k++)
          assert_true(fabs(theta[0] - theta[k] - log(wins[k] / wins[k * n])) < 1e-6);
      }
}

static void wins_that_are_no_numbers_are_refused(void **state)
{
  (void)state;
  double wins[4] = {0, NAN, 1, 0}, theta[2];
  struct elo_fit result;
  struct tpo_error err = {0};
  assert_int_equal(elo_fit(wins, 2, 0.1, theta, &result, &err), TPO_E_NUMERIC);
  assert_contains(err.message, "did not converge");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(two_responses_have_the_solution_of_their_one_equation),
      cmocka_unit_test(small_prior_approaches_the_log_odds),
      cmocka_unit_test(solution_is_where_no_direction_climbs),
      cmocka_unit_test(gradient_ascent_comes_to_the_same_place),
      cmocka_unit_test(mean_strength_is_zero),
      cmocka_unit_test(millions_of_games_are_fitted),
      cmocka_unit_test(equal_records_have_equal_strengths),
      cmocka_unit_test(undefeated_stays_finite_and_first),
      cmocka_unit_test(weaker_prior_spreads_the_strengths),
      cmocka_unit_test(order_of_responses_does_not_matter),
      cmocka_unit_test(one_more_win_raises_the_winner_and_lowers_the_loser),
      cmocka_unit_test(many_games_recover_the_strengths),
      cmocka_unit_test(parts_that_never_met_are_scored_each_around_zero),
      cmocka_unit_test(scale_puts_ten_to_one_at_400_points),
      cmocka_unit_test(wins_that_are_no_numbers_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
