/* The value of judge.terms: a list of judges with weights. */
#ifndef TPO_CONFIG_TERMS_H
#define TPO_CONFIG_TERMS_H

#include "config/tree.h"

#define TERMS_TOLD "a list of {kind: KIND[:ARG], weight: NUMBER}"
#define TERMS_LARGEST_WEIGHT 1e6

/* Stores a list into the field of `key`; an item may be a text alone, a kind of weight 1, and a text in the
 * place of the list is one item. On failure -1, *problem says what was expected and *line where. */
int terms_store(struct tpo_config *config, int key, const struct tree_node *node, struct tpo_buf *problem,
                int *line);
void terms_free(struct tpo_judge_term **terms, int *n);
/* As YAML that reads back the same. */
void terms_append(const struct tpo_judge_term *terms, int n, struct tpo_buf *out);

#endif
