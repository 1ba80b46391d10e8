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
