/* The metrics of one model, as the result that is printed. */
#ifndef TPO_EVAL_ALPACA_RESULT_H
#define TPO_EVAL_ALPACA_RESULT_H

#include <jansson.h>
#include "eval/alpaca/controlled.h"
#include "eval/alpaca/raw.h"

struct alpaca_metrics {
  const char *model, *baseline, *annotator; /* borrowed; NULL: not known */
  bool both_positions;                      /* the judge was asked in both orders */
  struct alpaca_raw raw;
  struct alpaca_controlled controlled;
  double mean_length;     /* code points of an output; NaN: not known */
  const char *lengths_of; /* "outputs" or "annotations" */
};

/* An object without "evaluation" and "provenance". A number that isn't there is null, and "missing" has a sentence
 * under its name; "variant" where it is another metric than alpaca_eval's. NULL: memory was short. */
json_t *alpaca_result(const struct alpaca_metrics *metrics);

#endif
