/* An axis: a range with ticks at round numbers, and where a value falls on the drawing. */
#ifndef TPO_REPORT_AXIS_H
#define TPO_REPORT_AXIS_H

#include <stdio.h>
#include "tpo/base.h"

struct axis {
  double low, high;   /* low < high */
  double step, first; /* of the ticks: 1, 2 or 5 times a power of ten */
  int n_ticks, decimals;
  double begin, end; /* of the drawing, in its units; end may be below begin */
};

bool axis_takes(double value); /* finite, and not beyond 1e30 */
/* snug: the range is taken as it is; otherwise it grows to the next ticks. integer: ticks at whole numbers
 * only. */
void axis_init(struct axis *axis, double low, double high, bool snug, bool integer, int target_ticks);
double axis_at(const struct axis *axis, double value);
double axis_tick(const struct axis *axis, int i);
void axis_label(const struct axis *axis, double value, char out[48]); /* with U+2212 for minus */

#endif
