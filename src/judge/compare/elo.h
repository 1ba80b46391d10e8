/* Strengths from paired comparisons: the logistic (Bradley-Terry) model, by maximum likelihood with a normal
 * prior.
 *
 *   double theta[K];
 *   struct elo_fit fit;
 *   if (elo_fit(wins, K, 0.1, theta, &fit, &err) == 0) score = ELO_SCALE * theta[0]; */
#ifndef TPO_JUDGE_COMPARE_ELO_H
#define TPO_JUDGE_COMPARE_ELO_H

#include "tpo/base.h"

/* ELO points of one unit of theta: 400 points are odds of ten to one. 400 / ln 10. */
#define ELO_SCALE 173.7177927613007

struct elo_fit {
  double gradient_norm; /* Euclidean, at the solution; 0 would be the exact maximum */
  int steps;            /* of Newton's method */
};

/* Maximises  sum over m != n of wins[m][n] log sigma(theta_m - theta_n)  -  prior / 2 sum of theta_m^2.
 * wins [n, n] row-major: how often, or with what weight, m was preferred to n, finite and not negative;
 * the diagonal is not looked at. prior > 0 makes the maximum unique and finite, also where a response won
 * or lost all its comparisons; being symmetric it makes the mean of theta 0, since the derivatives by all
 * theta together are -prior sum(theta). prior 0 is maximum likelihood, for wins by which each reaches each
 * other by a chain: else there is no maximum. Its mean is 0 too. theta [n]: the solution. Fails with TPO_E_NUMERIC when the
 * gradient's norm does not get below ELO_MAX_GRADIENT, or, for many games, below that share of all wins (each adds
 * its rounding). */
#define ELO_MAX_GRADIENT 1e-9
#define ELO_MAX_GRADIENT_SHARE 1e-13
int elo_fit(const double *wins, int n, double prior, double *theta, struct elo_fit *fit,
            struct tpo_error *err);

#endif
