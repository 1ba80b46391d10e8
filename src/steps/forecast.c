/* The guess at how many tokens sampling will take. */
#include "steps/forecast.h"

#include <math.h>

double forecast_for_all(double own, double taken, double own_taken)
{
  return own_taken > 0 ? own * fmax(taken / own_taken, 1) : own;
}

/* Of an output that has not ended. */
static double expected_length(const struct forecast *f, const struct forecast_seen *seen)
{
  if (seen->ended <= 0) return f->budget;
  double at_once = fmax(f->at_once, 1), known = fmin(seen->ended / at_once, 1);
  double mean = fmax(seen->ended_tokens / seen->ended, seen->tokens / (seen->ended + at_once));
  return f->budget + (fmin(mean, f->budget) - f->budget) * known;
}

void forecast(struct forecast *f, const struct forecast_seen *seen, double *done, double *total)
{
  double ended = forecast_for_all(seen->ended, seen->taken, seen->own_taken);
  double open = fmax(f->outputs - ended, 1);
  double begun = forecast_for_all(seen->tokens - seen->ended_tokens, seen->taken, seen->own_taken);
  double rest = fmax(open * expected_length(f, seen) - begun, open);
  *done = fmax(floor(forecast_for_all(seen->tokens, seen->taken, seen->own_taken)), f->done);
  *total = ceil(*done + rest);
  if (f->share > 0) *total = fmin(*total, floor(*done / f->share));
  *total = fmax(*total, *done + 1);
  f->done = *done;
  f->share = fmax(*done / *total, f->share);
}
