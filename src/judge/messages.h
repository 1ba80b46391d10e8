/* The chat that a judge is shown: read once, by the same rules for every kind. */
#ifndef TPO_JUDGE_MESSAGES_H
#define TPO_JUDGE_MESSAGES_H

#include <jansson.h>
#include "tpo/judge.h"
#include "tpo/text.h"

struct judge_messages {
  struct tpo_message *list; /* [n + 1] the last is room for a response; texts are borrowed */
  size_t n;                 /* at least 1 */
  json_t *owner;            /* of the texts; NULL: the caller has it */
};
/* array: of {"role", "content"}, at least one, both strings without NUL; it must outlive the messages. Errors
 * are TPO_E_INPUT and TPO_E_MEMORY. judge_messages_free also after an error. */
int judge_messages_read(struct judge_messages *messages, const json_t *array, struct tpo_error *err);
/* An item's chat: the messages of its meta, or where it
 * has none its instruction as the user's one message. */
int judge_messages_of_item(struct judge_messages *messages, const struct tpo_judge_item *item,
                           struct tpo_error *err);
void judge_messages_free(struct judge_messages *messages);

#endif
