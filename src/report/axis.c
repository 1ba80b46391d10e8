/* Finds round ticks for a range. */
#include "report/axis.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool axis_takes(double value)
{
  return isfinite(value) && fabs(value) <= 1e30;
}

static double round_step(double raw)
{
  double power = pow(10, floor(log10(raw))), f = raw / power;
  return (f < 1.5 ? 1 : f < 3.5 ? 2 : f < 7.5 ? 5 : 10) * power;
}

void axis_init(struct axis *axis, double low, double high, bool snug, bool integer, int target_ticks)
{
  double size = fmax(fabs(low), fabs(high));
  /* A constant (or nearly so, beside the precision of double) still needs a range to stand in. */
  if (high - low <= size * 1e-9) {
    double pad = size > 0 ? 0.1 * size : 1;
    low -= pad;
    high += pad;
  }
  double step = round_step((high - low) / target_ticks);
  if (integer && step < 1) step = 1;
  double below = floor(low / step + 1e-9), above = ceil(high / step - 1e-9);
  if (snug) {
    double first = ceil(low / step - 1e-9), last = floor(high / step + 1e-9);
    axis->first = first * step;
    axis->n_ticks = last >= first ? (int)(last - first) + 1 : 0;
    axis->low = low;
    axis->high = high;
  } else {
    axis->first = axis->low = below * step;
    axis->high = above * step;
    axis->n_ticks = (int)(above - below) + 1;
  }
  axis->step = step;
  axis->decimals = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
}

double axis_at(const struct axis *axis, double value)
{
  return axis->begin + (value - axis->low) / (axis->high - axis->low) * (axis->end - axis->begin);
}

double axis_tick(const struct axis *axis, int i)
{
  double value = axis->first + i * axis->step;
  return fabs(value) < axis->step * 1e-6 ? 0 : value;
}

void axis_label(const struct axis *axis, double value, char out[48])
{
  char digits[24];
  double largest = fmax(fabs(axis->low), fabs(axis->high));
  if (largest >= 1e6 || largest < 1e-3) /* as many digits as tell one tick from the next */
    snprintf(digits, sizeof digits, "%.*g", (int)fmin(15, 1 + ceil(log10(largest / axis->step) + 1e-9)),
             fabs(value));
  else
    snprintf(digits, sizeof digits, "%.*f", axis->decimals, fabs(value));
  const char *sign = value < 0 ? "−" : "";
  char *exponent = strchr(digits, 'e');
  if (!exponent) {
    snprintf(out, 48, "%s%s", sign, digits);
    return;
  }
  int power = atoi(exponent + 1); /* "2e-06" reads better as 2e−6 */
  *exponent = '\0';
  snprintf(out, 48, "%s%se%s%d", sign, digits, power < 0 ? "−" : "", abs(power));
}
