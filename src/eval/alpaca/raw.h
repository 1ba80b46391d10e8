/* AlpacaEval's metrics before any correction for length. */
#ifndef TPO_EVAL_ALPACA_RAW_H
#define TPO_EVAL_ALPACA_RAW_H

#include "eval/alpaca/annotations.h"

struct alpaca_raw {
  size_t n_total, n_wins, n_wins_base, n_draws; /* rows with a preference, and of these */
  size_t n_missing;                             /* rows without one, which count nowhere */
  double win_rate, standard_error;              /* percent; NaN where there are too few rows */
  double discrete_win_rate;                     /* percent: wins, and draws by half */
  double mean_length; /* code points of the model's output, over all rows; NaN: not known */
};
void alpaca_raw_of(const struct alpaca_annotations *a, struct alpaca_raw *out);

/* Of x[0], x[stride], ..., n of them, those that are not NaN: how many, their mean, and its standard error, the
 * sample's deviation (n - 1) over the root of n. NaN where there are none, or one. */
struct alpaca_spread {
  double n, mean, error;
};
struct alpaca_spread alpaca_spread_of(const double *x, size_t n, size_t stride);

#endif
