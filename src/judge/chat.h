/* The language model that a judge asks, for questions that are not a judge's: an evaluation's. */
#ifndef TPO_JUDGE_CHAT_H
#define TPO_JUDGE_CHAT_H

#include "ask/ask.h"
#include "tpo/judge.h"

/* What can be told before anything is asked; a kind that asks no language model is refused. Errors are TPO_E_USAGE
 * where the settings are at fault. */
int judge_chat_check(const struct tpo_judge_config *config, struct tpo_error *err);
/* With how the judge draws, keeps and waits. Its close() ends it. */
int judge_chat_open(struct ask_chat *out, const struct tpo_judge_config *config,
                    const struct tpo_judge_env *env, struct tpo_error *err);

#endif
