/* What the kinds that ask a chat have in common: the texts of judge.prompt, judge.system and judge.pattern,
 * and questions that are asked many at a time.
 *
 *   struct judge_batch *batch;
 *   judge_batch_open(&batch, &chat, texts.system, take_answer, state, &err);
 *   char *prompt = judge_prompt_fill(texts.prompt, fields, 2);
 *   judge_batch_add(batch, prompt, (struct judge_place){result, 0}, &err);
 *   ...
 *   judge_batch_ask(batch, &err);
 *   judge_batch_close(batch); */
#ifndef TPO_JUDGE_ASKING_H
#define TPO_JUDGE_ASKING_H

#include "judge/chat.h"
#include "judge/verdict.h"

struct judge_texts {
  char *system; /* NULL: none */
  char *prompt;
  struct judge_pattern *pattern;
};
/* names: the placeholders that judge.prompt needs. Errors are TPO_E_USAGE. */
int judge_texts_check(const struct tpo_judge_config *config, const char *const *names, size_t n_names,
                      struct tpo_error *err);
/* The configuration's, or else the built-in ones; the built-in system message belongs to the built-in prompt.
 * judge_texts_close also after an error. */
int judge_texts_open(struct judge_texts *texts, const struct tpo_judge_config *config, const char *system,
                     const char *prompt, struct tpo_error *err);
void judge_texts_close(struct judge_texts *texts);

/* Questions beyond these wait, so that their texts don't all lie in memory. */
enum { JUDGE_ASK_AT_ONCE = 4096 };

/* Where a question belongs. */
struct judge_place {
  void *of;
  size_t at;
};
/* Takes a question's answer, whose text is not NULL; to keep it, set that to NULL. */
typedef int judge_take(void *arg, struct judge_place place, struct judge_answer *answer,
                       struct tpo_error *err);

struct judge_batch;
/* chat and system (may be NULL) are borrowed; take gets arg. */
int judge_batch_open(struct judge_batch **out, const struct judge_chat *chat, const char *system,
                     judge_take *take, void *arg, struct tpo_error *err);
/* Takes question, also when it fails; NULL is an error, memory was short. A full batch is asked. */
int judge_batch_add(struct judge_batch *batch, char *question, struct judge_place place,
                    struct tpo_error *err);
int judge_batch_ask(struct judge_batch *batch, struct tpo_error *err); /* those that still wait */
void judge_batch_close(struct judge_batch *batch);                     /* takes NULL */

/* Answers without a verdict are no error, but must be seen before a run has stopped for them, or found no
 * pair: a warning, once, when more than half of the n answers so far are (a batch may have few). what:
 * "verdict", "number". *warned: false at first. */
void judge_warn_of_unparsable(int64_t unparsable, int64_t n, const char *what, bool *warned);

#endif
