/* The metrics of one model, as the result that is printed and as a leaderboard's row. */
#ifndef TPO_EVAL_ALPACA_RESULT_H
#define TPO_EVAL_ALPACA_RESULT_H

#include <jansson.h>
#include "eval/alpaca/controlled.h"
#include "eval/alpaca/raw.h"

struct alpaca_metrics {
  const char *model, *baseline, *annotator; /* borrowed; NULL: not known */
  struct alpaca_raw raw;
  struct alpaca_controlled controlled;
  double mean_length;     /* code points of an output; NaN: not known */
  const char *lengths_of; /* "outputs" or "annotations" */
};

/* An object without "evaluation" and "provenance". A number that isn't there is null, and "missing" has a sentence
 * under its name. NULL: memory was short. */
json_t *alpaca_result(const struct alpaca_metrics *metrics);
/* A CSV in the columns of alpaca_eval's leaderboards, a header and the model's row; what isn't there is empty. */
int alpaca_leaderboard_write(const struct alpaca_metrics *metrics, const char *path, struct tpo_error *err);

#endif
