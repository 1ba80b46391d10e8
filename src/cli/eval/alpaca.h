/* Inside `tpo eval alpaca`: what was asked for, and its three parts, each of which hands its result to the next. */
#ifndef TPO_CLI_EVAL_ALPACA_H
#define TPO_CLI_EVAL_ALPACA_H

#include "cli/eval/eval.h"
#include "eval/alpaca/annotations.h"
#include "eval/alpaca/result.h"

struct alpaca_request {
  const char *annotations, *difficulty, *gamed; /* of the options; NULL: not given */
  double c;                                     /* NaN: by cross-validation */
  char leaderboards[2][4096];                   /* --leaderboard's and --save's; "": none */
};

/* The metrics' part (alpaca_metrics.c). Usage errors. */
int alpaca_metrics_read_request(struct invocation *in, struct alpaca_request *r, struct tpo_error *err);
int alpaca_metrics_check(struct invocation *in, struct alpaca_request *r,
                         struct tpo_error *err); /* all ranks */
/* Rank 0: the metrics' fields into result, their files into provenance. */
int alpaca_metrics_put(const struct alpaca_request *r, const struct alpaca_annotations *a, json_t *result,
                       json_t *provenance, struct tpo_error *err);

#endif
