/* Files of responses: read, matched with their prompts and put in order; and written.
 *
 *   struct eval_given given = {0};
 *   eval_given_read(&given, "responses.jsonl", prompts, n_prompts, "response", &err);
 *   for (size_t m = 0; m < given.n_models; m++) eval_given_samples(&given, m, &samples, &err); */
#ifndef TPO_EVAL_TASKS_GIVEN_H
#define TPO_EVAL_TASKS_GIVEN_H

#include "tpo/store.h"

/* What responses are to; all borrowed. */
struct eval_prompt {
  const char *id, *text;
};
struct eval_given_row {
  const struct eval_prompt *prompt;
  size_t model; /* index into models */
  int k;
  bool format_ok;
  int label; /* its is_correct: 1, 0, or -1 where it has none */
  char *response, *place;
};
struct eval_given {
  size_t n, capacity;
  struct eval_given_row *rows; /* by model, then in the order of the prompts, then k */
  char **models; /* [n_models] as rows name them, in the order of first appearance; "" for none */
  size_t n_models, models_capacity;
  size_t unknown;      /* rows whose prompt is not among those given: left out */
  char *first_unknown; /* the place of the first; may be NULL */
  /* Rows whose text doesn't hold that of their key's prompt, and is that of no other: they count as that one's. */
  size_t text_differs;
  char *first_differing; /* the place of the first; may be NULL */
};

/* Rows of {key, id or index; prompt, instruction or question; the field `text`; optional k, model, format_ok,
 * is_correct}. A row belongs to the prompt of its key; without one, or where no prompt has it, to the prompt of its
 * text; white space at a text's end is passed over. Errors name the row: no prompt named, one of two prompts that have
 * the same text, the key of a prompt and the text of another, no response, a second response of a model to a prompt
 * under one k. No row with a prompt that is given is an error, and so is a text that differs from the key's prompt in
 * more than half of them. prompts is borrowed as long as given is used; eval_given_free() also after a failure. */
int eval_given_read(struct eval_given *given, const char *path, const struct eval_prompt *prompts, size_t n,
                    const char *text, struct tpo_error *err);
/* The same from samples: a row belongs to the prompt of its id whose text its instruction holds, else to the one
 * whose text it is. samples is borrowed. */
int eval_given_of_samples(struct eval_given *given, const struct tpo_samples *samples, const char *path,
                          const struct eval_prompt *prompts, size_t n, struct tpo_error *err);
void eval_given_free(struct eval_given *given);
/* The rows of one model as samples, and the first of them in rows. samples is overwritten; free it. */
int eval_given_samples(const struct eval_given *given, size_t model, struct tpo_samples *samples,
                       size_t *first, struct tpo_error *err);

/* JSON Lines that eval_given_read reads: {KEY, "k", TEXT, "response", "format_ok"}, key and text naming the fields
 * that hold the rows' prompt ids and the prompts' texts (those of prompts, else the rows' instructions). */
int eval_given_write(const char *path, const struct tpo_samples *samples, const char *key, const char *text,
                     const struct eval_prompt *prompts, size_t n, struct tpo_error *err);
/* "NAME":ID, a number where the id is one. */
void eval_append_id(struct tpo_buf *out, const char *name, const char *id);

#endif
