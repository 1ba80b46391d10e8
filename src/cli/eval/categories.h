/* `tpo eval categories`: what was asked for, and the work itself. */
#ifndef TPO_CLI_EVAL_CATEGORIES_H
#define TPO_CLI_EVAL_CATEGORIES_H

#include "cli/eval/eval.h"

struct categories_request {
  const char *a, *b;         /* files of samples */
  const char *list, *labels; /* NULL: the built-in categories; none */
  char assign_out[4096];     /* "": none */
  bool judged;               /* by the configuration's judge; else by the scores that are there */
  bool assign;               /* by the model whatever the samples carry */
  bool resume;
  char journals[3][4096]; /* of labels, and of the judgements of a, or of both compared, and of b; "": none */
};

/* All ranks; *result on rank 0. */
int categories_work(struct cli_session *s, const struct categories_request *request, json_t **result,
                    struct tpo_error *err);

#endif
