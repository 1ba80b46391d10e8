/* Files of a model's answers in Arena-Hard's format.
 *
 *   struct arena_answers answers = {0};
 *   arena_answers_read(&answers, "model_answer/gpt-4-0314.jsonl", &err);
 *   const struct arena_answer *answer = arena_answer_of(&answers, question_id);
 *   arena_answers_free(&answers); */
#ifndef TPO_EVAL_ARENA_ANSWERS_H
#define TPO_EVAL_ARENA_ANSWERS_H

#include <jansson.h>
#include "tpo/store.h"

struct arena_answer {
  char *id, *text; /* the question's; "" is an answer, too */
  double tokens;   /* as the file tells them; NaN: it doesn't */
};
struct arena_answers {
  char *model;
  struct arena_answer *list; /* [n] in the file's order */
  size_t n, capacity;
  json_t *index; /* question's id -> place */
};

/* Records of v0.1: `question_id`, `model_id`, `choices` of which the first one's first turn counts, {"content",
 * "token_len"}, the latter in `conv_metadata` too; or of later versions: `uid`, `model`, `messages` that end with
 * the answer, a text or {"answer"}, `metadata`. One model a file, a question once. */
int arena_answers_read(struct arena_answers *answers, const char *path, struct tpo_error *err);
/* NULL: there is none. */
const struct arena_answer *arena_answer_of(const struct arena_answers *answers, const char *id);
/* The mean of what is told, NaN: nothing is. */
double arena_mean_tokens(const struct arena_answers *answers);
void arena_answers_free(struct arena_answers *answers);

/* Writes v0.1's format: a record a question, each of its samples' responses a choice; thoughts stay away. A sample
 * without a response is an empty answer. token_len is by the model's own tokenizer. *mean: of token_len of first
 * choices. */
int arena_answers_write(const struct tpo_samples *samples, const char *model, const char *path, double *mean,
                        struct tpo_error *err);

#endif
