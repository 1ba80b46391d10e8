/* Categories that a language model assigns, one question an instruction. */
#ifndef TPO_EVAL_CATEGORIES_ASSIGN_H
#define TPO_EVAL_CATEGORIES_ASSIGN_H

#include <jansson.h>
#include "eval/categories/labels.h"
#include "eval/categories/list.h"
#include "tpo/steps.h"

struct assign_options {
  const struct category_list *list;
  const double *outcomes; /* rank 0's: instructions without an outcome are left alone; NULL: none is */
  const char *journal;    /* folder; NULL: none */
  bool drop_other;
};
/* All ranks; labels are rank 0's, the others' are not looked at. Those without a category are asked for of the
 * session's judge (eval_ask); an answer that says none, that was cut off, or that didn't come leaves it so. Rank 0: unread: how
 * many answers said none; failed: questions without an answer; more of these than judge.max_failed allows are an error; counts: what the judge counted, to be freed by json_decref. */
struct assigned {
  size_t asked, unread, failed;
  json_t *counts;
};
int categories_assign(const struct tpo_session *session, struct labels *labels,
                      const struct assign_options *options, struct assigned *out, struct tpo_error *err);

#endif
