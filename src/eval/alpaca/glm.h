/* The regression behind the length-controlled win rate: logistic, with probabilities as targets and an L1
 * penalty.
 *
 *   minimise over b:  |b_0| + |b_1| + |b_2| + C sum_i w_i (log(1 + exp(z_i)) - y_i z_i),   z_i = b . x_i
 *
 * No intercept; C multiplies the sum, not a mean (liblinear's scaling). */
#ifndef TPO_EVAL_ALPACA_GLM_H
#define TPO_EVAL_ALPACA_GLM_H

#include <stdbool.h>
#include <stddef.h>

enum { GLM_FEATURES = 3, GLM_STEPS = 200 };
struct glm_row {
  double x[GLM_FEATURES];
  double y; /* in [0, 1] */
  double weight;
};
struct glm_fit {
  double b[GLM_FEATURES];
  int steps;        /* of Newton's method */
  double last_step; /* largest change of a coefficient in the last one */
  bool converged;   /* it was at most 1e-11 of the coefficient, or of 1 */
};

/* Proximal Newton: each step minimises the quadratic model with the penalty by coordinate descent, and is
 * shortened until the objective falls. */
void glm_fit(const struct glm_row *rows, size_t n, double c, struct glm_fit *out);
/* The mean over the rows (not over their weights) of -w (y log p + (1 - y) log(1 - p)), p kept 1e-15 from 0 and 1. */
double glm_log_loss(const struct glm_row *rows, size_t n, const double b[GLM_FEATURES]);
double glm_sigmoid(double z);

#endif
