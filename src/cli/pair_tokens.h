/* The most tokens that the outputs of pairs could have had. */
#ifndef TPO_CLI_PAIR_TOKENS_H
#define TPO_CLI_PAIR_TOKENS_H

#include "cli/options.h"
#include "tpo/train.h"

/* Sets pairs->output_tokens, where the pairs don't tell, to sampling.max_tokens. Warns, if it `tells`, where rotary
 * factors depend on it and the number is nobody's word, or another than was given. */
void settle_output_tokens(const struct invocation *in, struct tpo_pairs *pairs, const struct tpo_arch *arch,
                          const char *path, bool tells);

#endif
