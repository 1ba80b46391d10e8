/* What an instruction's outputs amount to as one number, so that models are compared instruction by
 * instruction. */
#ifndef TPO_MEASURE_FIGURES_H
#define TPO_MEASURE_FIGURES_H

#include "tpo/store.h"

enum figure {
  FIGURE_SCORE,      /* as prompt_score has it */
  FIGURE_CHECKS,     /* share of the checks that hold, as prompt_checks_held has it */
  FIGURE_REPETITION, /* share of repeated text, over outputs that parse */
  FIGURE_FORMAT,     /* share of outputs that parse */
  FIGURE_THOUGHT,    /* tokens */
  FIGURE_RESPONSE,   /* tokens */
  FIGURE_CHARS,      /* of the response, over outputs that parse */
  N_FIGURES
};
/* Means over each instruction's outputs, in the order of the rows, to values [instructions]; NaN of none. */
int figures_of(const struct tpo_samples *samples, enum figure figure, double unparsed, double *values,
               struct tpo_error *err);

/* Mean of what it changed by from before to after, paired by the instruction's id, with its standard error; NaN of
 * none, or of fewer than two. */
int figure_change(const struct tpo_samples *before, const struct tpo_samples *after, enum figure figure,
                  double unparsed, double *change, double *se, struct tpo_error *err);

/* What a paired change over n instructions says. */
enum change_says {
  CHANGE_UNKNOWN, /* n is 0 */
  CHANGE_NONE,    /* exactly 0, of more than one instruction */
  CHANGE_TOO_FEW, /* fewer than two, or without spread: no error to judge it by */
  CHANGE_NOISE,   /* less than two standard errors */
  CHANGE_UP,
  CHANGE_DOWN
};
enum change_says change_says(double change, double se, size_t n);

enum { BOOTSTRAP_DRAWS = 2000 };
struct estimate {
  size_t n;         /* values that it is of */
  double mean, se;  /* NaN of none; se: of fewer than two */
  double low, high; /* where 95 % of the means of BOOTSTRAP_DRAWS resamples lie (Efron 1979); NaN as se */
};
/* Of the values [n] that are not NaN. The same values and seed give the same numbers. */
int estimate_mean(const double *values, size_t n, uint64_t seed, struct estimate *out, struct tpo_error *err);

#endif
