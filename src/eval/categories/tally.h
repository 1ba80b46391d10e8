/* Wins by category and by data set, with Wilson's intervals. */
#ifndef TPO_EVAL_CATEGORIES_TALLY_H
#define TPO_EVAL_CATEGORIES_TALLY_H

#include <jansson.h>
#include "eval/categories/labels.h"
#include "eval/categories/list.h"

struct tally {
  size_t n, wins, losses, ties;
};
void tally_add(struct tally *tally, double outcome); /* 1, 0 or 1/2; NaN is left out */
/* "n", "wins", "losses", "ties", "win_rate" (wins and half the ties, of n), "lower", "upper", which are null of none,
 * behind "NAME": text where name isn't NULL. NULL when memory is short. */
json_t *tally_json(const struct tally *tally, const char *name, const char *text);

/* outcomes: by an instruction's first row of the samples, NaN where it was not compared. A group each that has any:
 * categories in the order of list (may be NULL), then others by name, and CATEGORY_NONE last; data sets by name. */
int tally_categories(const struct labels *labels, const struct category_list *list, const double *outcomes,
                     json_t **out, struct tpo_error *err);
int tally_datasets(const struct labels *labels, const double *outcomes, json_t **out, struct tpo_error *err);

#endif
