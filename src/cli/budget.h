/* What a file says of the budget that its outputs were sampled with. */
#ifndef TPO_CLI_BUDGET_H
#define TPO_CLI_BUDGET_H

#include "tpo/model.h"
#include "tpo/store.h"

/* sampling.max_tokens of the configuration that was written into a file; 0: it has none, or none that is
 * understood. */
int recorded_max_tokens(const char *config_yaml);
/* A warning where pairs were sampled under another sampling.max_tokens than this one, by which the model would
 * choose other rotations for some of them than the sampler did (tpo_arch_longest). */
void warn_of_max_tokens(const struct tpo_pairs *pairs, const char *path, const struct tpo_arch *arch,
                        int max_tokens);

#endif
