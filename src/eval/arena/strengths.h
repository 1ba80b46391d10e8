/* Strengths from battles: Bradley and Terry's model by maximum likelihood, without a prior, and bootstrap
 * intervals.
 *
 *   double theta[n_models];
 *   arena_fit(wins, n_models, baseline, theta, &err);
 *   score = arena_win_rate(theta[model]); */
#ifndef TPO_EVAL_ARENA_STRENGTHS_H
#define TPO_EVAL_ARENA_STRENGTHS_H

#include "eval/arena/battles.h"

/* Maximises the sum over m != k of wins[m][k] log sigma(theta_m - theta_k), a tie counting half for each side.
 * wins [n, n] row-major. theta [n]: 0 for the baseline. Where the likelihood has no maximum its limit counts:
 * +INFINITY for a model that was never beaten by one that the baseline reaches, -INFINITY the other way round,
 * NaN for one that no chain of battles compares with the baseline. */
int arena_fit(const double *wins, size_t n, size_t baseline, double *theta, struct tpo_error *err);
/* Rows: what each won of the others. wins [n_models, n_models] is written. */
void arena_wins(const struct arena_battles *battles, double *wins);

/* 100 / (1 + 10^((1000 - elo) / 400)), elo being 1000 + 400 theta / ln 10: the predicted share of wins against
 * the baseline, in percent. NaN for NaN. */
double arena_win_rate(double theta);
double arena_elo(double theta);

struct arena_interval {
  double lower, upper; /* theta; NaN: the model took part in no round */
  size_t rounds;       /* that it took part in */
};
/* Each round draws as many battles as there are, with replacement, out of all models' together, and fits again;
 * the bounds are the 2.5th and 97.5th percentiles of what a model's theta came to, with linear interpolation.
 * Keyed by (seed, round). intervals [n_models]. Ends early with TPO_E_INTERRUPTED after a signal; watch (may be
 * NULL) is told of rounds that are done. */
int arena_bootstrap(const struct arena_battles *battles, size_t baseline, size_t rounds, uint64_t seed,
                    struct arena_interval *intervals, const struct tpo_watch *watch, struct tpo_error *err);
/* values [n] ascending, n > 0; share in [0, 1]: the value at (n - 1) share, interpolated between its
 * neighbours. Infinite ones may be among them. */
double arena_percentile(const double *values, size_t n, double share);

#endif
