/* What a judge counted, JSON objects of numbers (tpo_judge_counts): batch by batch, and added up over
 * batches, ranks and attempts. Of numbers whose name begins with "max_" the largest counts. */
#ifndef TPO_STEPS_COUNTS_H
#define TPO_STEPS_COUNTS_H

#include <jansson.h>
#include "base/buf.h"

/* What was counted between two states of one judge, as a line of JSON, into out. */
int counts_between(const char *before, const char *after, struct tpo_buf *out, struct tpo_error *err);
/* Adds counts to sum; both are objects. */
void counts_add(json_t *sum, const json_t *counts);
/* The sum of lines, without the counts of unread answers that are 0; free() it. NULL: error. */
char *counts_sum(const char *lines, size_t len, struct tpo_error *err);
/* Whether a judge's server has answered anything, by the tokens that it told of, in a failed batch too. */
bool counts_tell_answers(const char *counts);

#endif
