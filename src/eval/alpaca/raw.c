/* Win rate, its standard error, and counts. */
#include "eval/alpaca/raw.h"

#include <math.h>

struct alpaca_spread alpaca_spread_of(const double *x, size_t n, size_t stride)
{
  struct alpaca_spread out = {0, NAN, NAN};
  double sum = 0, squares = 0;
  for (size_t i = 0; i < n * stride; i += stride)
    if (!isnan(x[i])) sum += x[i], out.n++;
  if (out.n > 0) out.mean = sum / out.n;
  for (size_t i = 0; i < n * stride; i += stride)
    if (!isnan(x[i])) squares += (x[i] - out.mean) * (x[i] - out.mean);
  if (out.n > 1) out.error = sqrt(squares / (out.n - 1) / out.n);
  return out;
}

static void count(struct alpaca_raw *out, double preference)
{
  out->n_total++;
  out->n_wins += preference > 1.5;
  out->n_wins_base += preference < 1.5;
  out->n_draws += preference == 1.5;
}

static void set_rates(const struct alpaca_annotations *a, struct alpaca_raw *out)
{
  size_t stride = sizeof *a->rows / sizeof(double);
  struct alpaca_spread spread = alpaca_spread_of(a->n ? &a->rows->preference : NULL, a->n, stride);
  out->win_rate = 100 * (spread.mean - 1);
  out->standard_error = 100 * spread.error;
  out->discrete_win_rate =
      spread.n > 0 ? 100 * ((double)out->n_wins + (double)out->n_draws / 2) / spread.n : NAN;
}

void alpaca_raw_of(const struct alpaca_annotations *a, struct alpaca_raw *out)
{
  double length = 0;
  *out = (struct alpaca_raw){.mean_length = NAN};
  for (size_t i = 0; i < a->n; i++) {
    length += a->rows[i].len_2;
    if (isnan(a->rows[i].preference))
      out->n_missing++;
    else
      count(out, a->rows[i].preference);
  }
  if (a->has_lengths && a->n > 0) out->mean_length = length / (double)a->n;
  set_rates(a, out);
}
