/* AlpacaEval 2's length-controlled win rate (its model "length_controlled_v1"): what the win rate would be if the
 * outputs had the baseline's lengths, by a regression of the preferences on the difference of lengths, the
 * instruction's difficulty and the model.
 *
 *   logit P(model preferred) = b_0 tanh(d / s) + b_1 difficulty + b_2,   d = len_1 - len_2, s its deviation
 *   win rate = 100 mean over the model's rows of sigmoid(b_1 difficulty + b_2) */
#ifndef TPO_EVAL_ALPACA_CONTROLLED_H
#define TPO_EVAL_ALPACA_CONTROLLED_H

#include "eval/alpaca/annotations.h"
#include "eval/alpaca/given.h"
#include "eval/alpaca/glm.h"

enum { ALPACA_CS = 10, ALPACA_FOLDS = 5 };
struct alpaca_controlled {
  char missing[320];                       /* why there is none; "": there is one */
  double win_rate, standard_error;         /* percent; the error is NaN for one row */
  double c;                                /* of the fit; NaN for the baseline itself, which isn't fitted */
  bool cross_validated;                    /* c was chosen, out of cs by scores */
  double cs[ALPACA_CS], scores[ALPACA_CS]; /* mean log loss of held-out rows */
  double b[GLM_FEATURES];                  /* of length, difficulty, model */
};

/* c: the penalty's, above 0; NaN: it is chosen by cross-validation among 10^(-4 + 8 k / 9), k = 0 .. 9, over
 * ALPACA_FOLDS folds of the gamed rows followed by the model's, in which row i of M is in fold (M - 1 - i) mod 5. Rows
 * without a preference take part in s and in the win rate, not in the fit. An error, with `place` before it, is a
 * row whose difficulty is not given; what can't be computed is no error, and `missing` says why. */
int alpaca_controlled_of(const struct alpaca_annotations *a, const struct alpaca_given *given, double c,
                         const char *place, struct alpaca_controlled *out, struct tpo_error *err);

#endif
