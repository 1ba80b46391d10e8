/* Chats as a reward model's tokens: what the judge `reward` and `tpo score` share. */
#ifndef TPO_JUDGE_REWARD_H
#define TPO_JUDGE_REWARD_H

#include <jansson.h>
#include "tpo/judge.h"
#include "tpo/model.h"
#include "tpo/text.h"

/* The chat that a response is scored in: the item's messages where its meta has a chat, else its instruction
 * as the user's one message, and the response as the assistant's. Nothing else goes into it. ids: appended
 * to. */
int judge_reward_encode(const struct tpo_template *tmpl, const struct tpo_judge_item *item,
                        const char *response, struct tpo_ids *ids, struct tpo_error *err);
/* The same for messages, an array of {"role", "content"}; without a response where that is NULL. */
int judge_reward_encode_chat(const struct tpo_template *tmpl, const json_t *chat, const char *response,
                             struct tpo_ids *ids, struct tpo_error *err);

#endif
