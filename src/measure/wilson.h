/* Wilson's interval of a share, which keeps within 0 and 1 and has a width where the share is one of them. */
#ifndef TPO_MEASURE_WILSON_H
#define TPO_MEASURE_WILSON_H

#define WILSON_Z 1.959964 /* 95 % of a normal distribution lie within so many standard deviations */

/* Of successes among n trials, which may be halves (a tie is half a success): Wilson 1927, Probable inference,
 * without correction for continuity. NaN of no trials. */
void wilson_interval(double successes, double n, double *lower, double *upper);

#endif
