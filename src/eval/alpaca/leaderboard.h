/* Leaderboards in alpaca_eval's columns, a row a model: CSV files that several models' metrics are put into.
 *
 *   alpaca_leaderboard_check("leaderboard.csv", &err);
 *   alpaca_leaderboard_put(&metrics, "leaderboard.csv", &err); */
#ifndef TPO_EVAL_ALPACA_LEADERBOARD_H
#define TPO_EVAL_ALPACA_LEADERBOARD_H

#include "eval/alpaca/result.h"

/* Before any work: an error where a file is there that has other columns. */
int alpaca_leaderboard_check(const char *path, struct tpo_error *err);
/* The row of that name is replaced, else one is added; the others stay as they are. What isn't known is empty. The name
 * ends with " (both positions)" where it is that other metric. */
int alpaca_leaderboard_put(const struct alpaca_metrics *metrics, const char *path, struct tpo_error *err);

#endif
