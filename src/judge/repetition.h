/* judge.repetition: a penalty for responses that repeat themselves, whichever judge scores. */
#ifndef TPO_JUDGE_REPETITION_H
#define TPO_JUDGE_REPETITION_H

#include <jansson.h>
#include "tpo/judge.h"

/* Takes weight times the share of repeated word sequences (tpo_checks_repetition) off the score of each
 * response that has one, and notes both as "repetition_term" in its detail. results: as for
 * tpo_judge_score. */
int repetition_take(double weight, const struct tpo_judge_item *items, int n_items,
                    struct tpo_judge_result *results, struct tpo_error *err);
/* What the detail says was taken off; 0: nothing. */
double repetition_taken(const json_t *detail);

#endif
