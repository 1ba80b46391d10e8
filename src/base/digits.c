/* Numbers with their thousands apart. */
#include "base/digits.h"

#include <stdio.h>

const char *tpo_group_digits(double value, char out[40])
{
  char digits[40];
  int n = snprintf(digits, sizeof digits, "%.0f", value), at = 0;
  for (int i = 0; i < n && at < 38; i++) {
    if (i > 0 && (n - i) % 3 == 0) out[at++] = ',';
    out[at++] = digits[i];
  }
  out[at] = '\0';
  return out;
}

const char *tpo_size_text(double bytes, char out[40])
{
  static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB"};
  int unit = 0;
  for (; bytes >= 1000 && unit < 5; unit++) bytes /= 1000;
  int decimals = unit == 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2;
  snprintf(out, 40, "%.*f %s", decimals, bytes, units[unit]);
  return out;
}
