/* What the evaluations' commands share. */
#ifndef TPO_CLI_EVAL_EVAL_H
#define TPO_CLI_EVAL_EVAL_H

#include <jansson.h>
#include "cli/cli.h"
#include "cli/session.h"

/* `tpo eval NAME`; ends with NULL. Their names are "eval NAME". */
extern const struct command *const eval_commands[];
extern const struct command cmd_eval_alpaca;
extern const struct command cmd_eval_arena;
extern const struct command cmd_eval_categories;
extern const struct command cmd_eval_gsm8k;
extern const struct command cmd_eval_ifeval;
extern const struct command cmd_eval_table;

/* Where the results go besides standard output: DIR/NAME.json, and beside it what the evaluation wrote, so that
 * `tpo eval table DIR...` finds them. */
#define OPTION_SAVE                                                                                          \
  {                                                                                                          \
    "--save", 0, "DIR", NULL, "keep the result, and files that it was made of, in this folder"               \
  }
/* How a model's responses are drawn. */
#define OPTIONS_DRAW                                                                                         \
  {"--thought", 0, "NAME|FILE", "thought", "thought prompt: generic, specific, none or a YAML file"},        \
      {"--k", 'k', "N", "run.validation_k", "responses a prompt"},                                           \
      {"--temperature", 0, "T", "run.validation_temperature", "0 takes the likeliest token always"},         \
      {"--resample", 0, "N", "run.validation_resample", "further draws for an output without a response"},   \
      {"--top-p", 0, "P", "sampling.top_p", "nucleus; 1 is off"},                                            \
      {"--max-tokens", 0, "N", "sampling.max_tokens", "generated tokens a response at most"},                \
      {"--slots", 0, "N", "sampling.slots", "sequences generated at once on a rank"},                        \
      {"--resume", 0, NULL, NULL, "go on with what an interrupted command left in its .journal folder"},     \
      OPTION_DTYPE

/* "DIR/NAME" into out, DIR being what --save names; *out is "" where it isn't given. On rank 0 the folder is
 * made. All ranks. */
int eval_save_path(const struct invocation *in, const char *name, char out[4096], struct tpo_error *err);
/* What its files in DIR are called: "gsm8k", or of a way of asking "gsm8k-shots-5", so that several stand in one
 * folder. */
enum { EVAL_NAME = 128 };
void eval_result_name(const char *evaluation, const char *prompting, char out[EVAL_NAME]);
/* Prints the result (rank 0), a JSON object with "evaluation" and perhaps "prompting", and writes it to DIR/NAME.json
 * where --save is given. Takes result, also on failure; NULL, where memory was short, is an error. */
int eval_finish(const struct invocation *in, json_t *result, struct tpo_error *err);

#endif
