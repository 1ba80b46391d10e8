/* Comparing an item's responses two by two through a chat: what `pairwise` does, and `http` in its pairwise
 * mode. */
#ifndef TPO_JUDGE_COMPARE_PAIRWISE_H
#define TPO_JUDGE_COMPARE_PAIRWISE_H

#include "ask/ask.h"
#include "tpo/judge.h"

struct judge_pairwise;
int judge_pairwise_check(const struct tpo_judge_config *config, struct tpo_error *err);
/* Takes the chat, also when it fails. env->seed keys which responses are compared where not all are. */
int judge_pairwise_open(struct judge_pairwise **out, struct ask_chat chat,
                        const struct tpo_judge_config *config, const struct tpo_judge_env *env,
                        struct tpo_error *err);
int judge_pairwise_score(struct judge_pairwise *pairwise, const struct tpo_judge_item *items, int n_items,
                         struct tpo_judge_result *results, struct tpo_error *err);
json_t *judge_pairwise_counts(const struct judge_pairwise *pairwise); /* the chat's among them */
void judge_pairwise_close(struct judge_pairwise *pairwise);           /* takes NULL */

#endif
