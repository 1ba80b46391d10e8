/* Wilson's interval for a share (1927, "Probable inference, the law of succession, and statistical
 * inference"), at 95 %. */
#ifndef TPO_MEASURE_WILSON_H
#define TPO_MEASURE_WILSON_H

/* The share successes / n lies within [*lower, *upper]; successes may be a fraction, as ties that count half
 * make it. NaN where n is 0. */
void wilson_interval(double successes, double n, double *lower, double *upper);

#endif
