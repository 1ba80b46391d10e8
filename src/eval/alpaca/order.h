/* Which of two outputs the judge is shown first: drawn for an instruction as alpaca_eval draws it, so that both ask
 * the same question. There it is Python's random.Random(seed).choices([False, True]), the seed being
 * "is_switched_outputs", the instruction and "0". */
#ifndef TPO_EVAL_ALPACA_ORDER_H
#define TPO_EVAL_ALPACA_ORDER_H

#include <stdbool.h>
#include "tpo/base.h"

/* *switched: the model's output is shown first, and not the baseline's. */
int alpaca_is_switched(const char *instruction, bool *switched, struct tpo_error *err);

#endif
