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
  {"--thought", 0, "NAME|FILE", "thought",                                                                   \
   "with --model: thought layout: " THOUGHT_NAMES ", none or a YAML file"},                                  \
      {"--k", 'k', "N", "run.validation_k", "with --model: responses a prompt"},                             \
      {"--temperature", 0, "T", "run.validation_temperature",                                                \
       "with --model: 0 takes the likeliest token always"},                                                  \
      {"--resample", 0, "N", "run.validation_resample",                                                      \
       "with --model: further draws for an output without a response"},                                      \
      {"--top-p", 0, "P", "sampling.top_p", "with --model: nucleus; 1 is off"},                              \
      {"--max-tokens", 0, "N", "sampling.max_tokens", "with --model: generated tokens a response at most"},  \
      {"--slots", 0, "N", "sampling.slots", "with --model: sequences generated at once on a rank"},          \
      {"--resume", 0, NULL, NULL, "go on with what an interrupted command left in its .journal folder"},     \
      OPTION_DTYPE

/* Usage errors for options that would be overlooked. names end with NULL; wanted: what they go with, "--model". */
int eval_refuse(const struct invocation *in, const char *const *names, const char *wanted,
                struct tpo_error *err);
/* Those of OPTIONS_DRAW but --resume, where nothing is drawn; --dtype where no model computes at all. */
int eval_refuse_draw(const struct invocation *in, bool computes, struct tpo_error *err);
/* The file that an option names as a place for results; "" where it isn't given. It is written plain, so that "-"
 * and a name that ends with .gz are usage errors. */
int eval_out_path(const struct invocation *in, const char *option, char out[4096], struct tpo_error *err);
/* "DIR/NAME" into out, DIR being what --save names; *out is "" where it isn't given. On rank 0 the folder is
 * made. All ranks. */
int eval_save_path(const struct invocation *in, const char *name, char out[4096], struct tpo_error *err);
/* A file that results go to: the one that `option` names, and beside it that in --save's folder; "": none. */
struct eval_place {
  const char *option;
  const char *named, *saved;
};
/* Usage error, on all ranks, where a file can't be written, or is also one of the inputs (NULL: none) or another result.
 * With --save that goes for DIR/`result` too, which eval_finish writes. All ranks. */
int eval_check_places(const struct invocation *in, const struct eval_place *places, size_t n,
                      const char *const *inputs, size_t n_inputs, const char *result, struct tpo_error *err);
/* A judge's answers are cached in "judge-cache" beside that file; "": nowhere. The session borrows folder. */
void eval_cache_beside(struct cli_session *s, const char *path, char folder[4096]);
/* What a model is called whose path this is: the last part without .gguf or .h5, and before it those parts without
 * which it says nothing: "RUN/iter-001/checkpoint.h5" is "RUN-iter-001-checkpoint". */
void eval_model_name(const char *path, char out[256]);
/* What its files in DIR are called: "gsm8k", or of a way of asking or a part of the work "gsm8k-shots-5",
 * "arena-answers", so that several stand in one folder. */
enum { EVAL_NAME = 128 };
void eval_result_name(const char *evaluation, const char *way, char out[EVAL_NAME]);
/* Prints the result (rank 0), a JSON object with "evaluation" and perhaps "prompting", or "part" where it tells of a
 * part of the work that has no figure yet, and writes it to DIR/NAME.json where --save is given. Takes result, also on failure; NULL, where memory was short, is an error. */
int eval_finish(const struct invocation *in, json_t *result, struct tpo_error *err);

#endif
