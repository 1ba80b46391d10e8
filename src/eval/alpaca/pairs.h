/* A model's outputs beside the baseline's. */
#ifndef TPO_EVAL_ALPACA_PAIRS_H
#define TPO_EVAL_ALPACA_PAIRS_H

#include <jansson.h>
#include "tpo/base.h"

/* What the two said to an instruction. */
struct alpaca_pair {
  const json_t *baseline, *model; /* their records, as alpaca_outputs_read gives them; borrowed */
  size_t row;                     /* the baseline's, from 0 */
  bool same;                      /* the two outputs are equal */
  bool switched;                  /* as alpaca_is_switched */
};
/* Matched by their instructions, in the baseline's order: *out [*n], to be freed. An output of an instruction that the
 * baseline doesn't have is an error; what the baseline has besides is left out. */
int alpaca_pairs_of(struct alpaca_pair **out, size_t *n, const json_t *baseline, const json_t *outputs,
                    struct tpo_error *err);
/* A record's text, NULL where it has none of this name. */
const char *alpaca_text(const json_t *record, const char *field);

#endif
