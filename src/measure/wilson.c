/* Wilson's interval for a share. */
#include "measure/wilson.h"

#include <math.h>

void wilson_interval(double successes, double n, double *lower, double *upper)
{
  const double z = 1.959963984540054;
  *lower = *upper = NAN;
  if (!(n > 0)) return;
  double share = successes / n, scale = 1 / (1 + z * z / n), middle = scale * (share + z * z / (2 * n));
  double half = scale * z * sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  *lower = successes > 0 ? fmax(0, middle - half) : 0;
  *upper = successes < n ? fmin(1, middle + half) : 1;
}
