/* What the commands share. */
#ifndef TPO_CLI_CLI_H
#define TPO_CLI_CLI_H

#include "cli/options.h"
#include "config/layouts.h"
#include "tpo/base.h"
#include "tpo/comm.h"

extern const struct command cmd_run, cmd_generate, cmd_judge, cmd_score, cmd_pairs, cmd_dpo, cmd_synth,
    cmd_inspect, cmd_export, cmd_report, cmd_compare, cmd_status, cmd_chat, cmd_config, cmd_tokenize,
    cmd_detokenize, cmd_template, cmd_logprobs;

/* The entries that most commands share. */
#define OPTION_MODEL                                                                                         \
  {                                                                                                          \
    "--model", 'm', "M", "model.path", "Hugging Face folder, .gguf file or checkpoint .h5"                   \
  }
#define OPTION_DTYPE                                                                                         \
  {                                                                                                          \
    "--dtype", 0, "bf16|fp32", "model.dtype", "arithmetic of the model"                                      \
  }
/* The built-in thought layouts that think, and what chooses among them. */
#define THOUGHT_NAMES LAYOUTS_THINKING ", " LAYOUT_AUTO
#define OPTION_END                                                                                           \
  {                                                                                                          \
    NULL, 0, NULL, NULL, NULL                                                                                \
  }

void print_version(void);
/* What tells one program from another; free() it. NULL where memory is short. */
char *version_build(void);     /* type, compiler, flags */
char *version_libraries(void); /* those that text and exchanges between ranks go through */
char *version_build_id(void);  /* the linker's hash over the program, "none" where it made none */

/* config.model.path, or a usage error that names --model. */
int require_model(const struct invocation *in, const char **path, struct tpo_error *err);
/* Usage error, on all ranks, when the file that an option names can't be written or is one that is read:
 * `input` (may be NULL) or the model. "-" passes. */
int check_output(const struct invocation *in, const char *option, const char *path, const char *input,
                 struct tpo_error *err);
/* The second half of it alone, for what may go to a device too. */
int check_distinct(const struct invocation *in, const char *option, const char *path, const char *input,
                   struct tpo_error *err);
/* The folder, "<out>.journal", that keeps what is finished of `out` while the command works. All ranks. Usage
 * error where an earlier command left something there and it is not to go on with it (resume); what: "finished
 * samples". */
int check_journal(const struct invocation *in, const char *out, bool resume, const char *what,
                  char folder[4096], struct tpo_error *err);
/* Once `out` is whole (rank 0). */
void drop_journal(const char *folder);
/* After an interruption: what to do; returns status. */
int tell_to_resume(int status, struct tpo_error *err);
/* The command's configuration says of the prompts what that of its input file says (yaml; NULL or empty: nothing), so
 * that what is written from it does. thought.train_forced stays the command's own. Where nothing is said, and no
 * layout was given to the command, the layout is none. */
int take_prompts(struct invocation *in, const char *yaml, const char *path, struct tpo_error *err);
/* How a checkpoint's prompts were made: its sections thought and template take the place of config's, 1. 0: it doesn't
 * tell, or the model is no checkpoint. */
int read_own_prompts(const char *path, struct tpo_config *config, struct tpo_error *err);
/* Where the command was given no layout, that of the checkpoint under config.model.path, if it tells one; keys that
 * were given stay. */
int take_own_prompts(struct invocation *in, struct tpo_error *err);
/* Prints every impossible combination of the settings that `parts` (TPO_CHECK_...) name, and fails with the
 * first. Where they draw or train, thought: auto becomes the layout that suits the model, if that is there; rank 0
 * says which. */
int check_config(struct invocation *in, unsigned parts, struct tpo_error *err);

#endif
