/* Wilson's interval. */
#include "measure/wilson.h"

#include <math.h>

void wilson_interval(double successes, double n, double *lower, double *upper)
{
  const double z2 = WILSON_Z * WILSON_Z;
  *lower = *upper = NAN;
  if (!(n > 0)) return;
  double p = successes / n, middle = (p + z2 / (2 * n)) / (1 + z2 / n);
  double half = WILSON_Z / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  *lower = p > 0 ? fmax(0, middle - half) : 0; /* exact at the ends, where rounding leaves some 1e-17 */
  *upper = p < 1 ? fmin(1, middle + half) : 1;
}
