/* What the length-controlled win rate takes as given, the same for all models: the instructions' difficulty, and
 * rows of the baseline itself, prompted to be concise and to be verbose ("gamed"), which the regression is held
 * to.
 *
 *   struct alpaca_given given = {0};
 *   alpaca_gamed_read(&given, "gamed.tsv", &err);
 *   alpaca_difficulty_read(&given, "instruction_difficulty.tsv", &err);
 *   alpaca_given_free(&given); */
#ifndef TPO_EVAL_ALPACA_GIVEN_H
#define TPO_EVAL_ALPACA_GIVEN_H

#include "tpo/base.h"

struct alpaca_gamed {
  size_t position;     /* where its difficulty is looked up */
  double delta_length; /* the baseline's length minus this one's, over the differences' standard deviation */
  double preference;   /* in [0, 1]: the probability that it is preferred; NaN: there is none */
};
struct alpaca_given {
  double *difficulty; /* [n_difficulty], by position; NaN: not given */
  size_t n_difficulty, difficulty_capacity;
  struct alpaca_gamed *gamed; /* [n_gamed] in the file's order */
  size_t n_gamed, gamed_capacity;
  const char *difficulties_of, *gamed_of; /* the files that they are of, borrowed; NULL: none */
};

/* Paths are borrowed as long as what was read of them.
 *
 * Columns `index` and `difficulty`, or upstream's CSV: the row's number, which has no name there or is `index`, and
 * the value, of whatever name. An instruction twice, and numbers that are not finite, are refused. It replaces what
 * a file of gamed rows gave. */
int alpaca_difficulty_read(struct alpaca_given *given, const char *path, struct tpo_error *err);
/* Columns `index`, `std_delta_len`, and `preference` or `preference_surrogate`; upstream's CSV also has
 * `instruction_difficulty`, which is taken where it stands. */
int alpaca_gamed_read(struct alpaca_given *given, const char *path, struct tpo_error *err);
/* An error where the difficulty of a gamed row isn't given. */
int alpaca_given_check(const struct alpaca_given *given, struct tpo_error *err);
/* The same of another file's row (from 0), which stands at a position. */
int alpaca_require_difficulty(const struct alpaca_given *given, size_t position, const char *place,
                              size_t row, struct tpo_error *err);
void alpaca_given_free(struct alpaca_given *given);
/* NaN where it is not given. */
double alpaca_difficulty_at(const struct alpaca_given *given, size_t position);

#endif
