/* Where an evaluation's responses come from, and where they go: a model that is asked, samples, or a file. */
#ifndef TPO_CLI_EVAL_RESPONSES_H
#define TPO_CLI_EVAL_RESPONSES_H

#include "cli/eval/eval.h"
#include "eval/tasks/given.h"

#define OPTION_SAMPLES                                                                                       \
  {                                                                                                          \
    "--samples", 0, "FILE", NULL, "responses, HDF5 as tpo generate writes them"                              \
  }
#define OPTION_RESPONSES_OUT                                                                                 \
  {                                                                                                          \
    "--out", 'o', "FILE", NULL, "with --model: the responses, JSON Lines, as --responses reads them"         \
  }
#define OPTION_DETAILS                                                                                       \
  {                                                                                                          \
    "--details", 0, "FILE", NULL, "JSON Lines, a verdict a response"                                         \
  }

struct responses {
  const char *prompts;
  int64_t limit;             /* the first so many of them; 0: all */
  const char *option, *path; /* the option that names the file of responses, and it; NULL: a model is asked */
  char out[4096], details[4096]; /* files to write; "": none */
  char journal[4096];            /* of what the model has answered; "": none */
  bool resume;
};

/* This rank alone. others: further options that name a file of responses, besides --samples; NULL at the end. */
int responses_request(struct invocation *in, const char *const *others, struct responses *r,
                      struct tpo_error *err);
/* All ranks: outputs can be written and replace no input; with --save what isn't named goes into that folder, as
 * NAME-responses.jsonl and NAME-details.jsonl. */
int responses_check(struct invocation *in, const char *name, struct responses *r, struct tpo_error *err);
/* All ranks, with the model that the configuration names: its responses on rank 0, which writes them to r->out under
 * the fields key and text (eval_given_write). policy: for the result's provenance (rank 0), written before it is
 * closed. */
struct drawn {
  struct tpo_samples samples;
  struct tpo_redraw_counts counts;
  size_t cut_off; /* outputs that ended at a limit of tokens, not by themselves */
};
int responses_draw(struct cli_session *s, const struct responses *r,
                   const struct tpo_instructions *instructions, json_t *provenance, struct drawn *drawn,
                   struct tpo_error *err);
/* Rank 0, once the responses are drawn. */
int responses_write(const struct responses *r, const struct tpo_samples *samples, const char *key,
                    const char *text, const struct eval_prompt *prompts, size_t n, struct tpo_error *err);
/* Rank 0: the file's; field: that of --responses and its like. */
int responses_read(const struct responses *r, const char *field, const struct eval_prompt *prompts, size_t n,
                   struct eval_given *given, struct tpo_error *err);
/* Says what of prompts and responses is left out. */
void responses_tell(const struct responses *r, size_t n_prompts, size_t missing,
                    const struct eval_given *given);

/* The rest of a command whose request was read with `status`: all ranks agree on it, responses_check, a session
 * with a model where one is asked, and evaluate. */
typedef int responses_evaluate(struct cli_session *s, const struct invocation *in, void *state,
                               struct tpo_error *err);
int responses_run(struct invocation *in, int status, const char *name, struct responses *r,
                  responses_evaluate *evaluate, void *state, struct tpo_error *err);

/* A number, null for NaN. */
json_t *number_or_null(double x);

#endif
