/* Inside of reading pairs from JSON Lines: what a line becomes, and chats among its texts. */
#ifndef TPO_TRAIN_PAIRS_LINES_H
#define TPO_TRAIN_PAIRS_LINES_H

#include <jansson.h>
#include "tpo/text.h"

struct tpo_completion {
  struct tpo_ids ids;
  uint8_t *mask; /* [capacity], of ids */
  bool masked;   /* the mask is there, by the turns of a chat */
  size_t capacity;
};

struct tpo_pair_reader {
  const struct tpo_tokenizer *tokenizer;
  const struct tpo_template *tmpl;
  const struct tpo_thought_config *thought; /* whose switches the template gets; NULL: none */
  struct tpo_ids end_ids;
  struct tpo_ids prompt;
  struct tpo_completion chosen, rejected;
  const char *place; /* "file:line" */
  int64_t number;    /* of the line */
  int vocab;         /* ids below it are the model's; 0: not known */
};

bool tpo_pair_is_end(const struct tpo_pair_reader *reader, int32_t id);

/* A chat in one form, and its messages, which borrow from it. */
struct tpo_pair_chat {
  json_t *form; /* owned */
  struct tpo_message *messages;
  size_t n;
};

bool tpo_pair_is_answer(const struct tpo_pair_chat *chat, size_t i);

/* Fills the reader's prompt, chosen and rejected from a line's texts, of which chats are made; texts[0], the prompt, may be
 * NULL. */
int tpo_pair_read_chats(struct tpo_pair_reader *reader, const json_t *const texts[3], struct tpo_error *err);
/* The same from whole chats, whose first n messages are the same and the prompt. */
int tpo_pair_encode_chats(struct tpo_pair_reader *reader, const struct tpo_pair_chat *chosen,
                          const struct tpo_pair_chat *rejected, size_t n, struct tpo_error *err);

#endif
