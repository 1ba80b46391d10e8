/* Options of a command: one table gives parsing, help and the configuration key that an option sets. */
#ifndef TPO_CLI_OPTIONS_H
#define TPO_CLI_OPTIONS_H

#include "tpo/config.h"

struct option {
  const char *name;     /* "--model", or "MODEL" for a positional argument */
  char letter;          /* 'm', or 0 */
  const char *argument; /* "DIR"; NULL: a flag */
  const char *key;      /* configuration key that it sets, or NULL: asked for with option_value */
  const char *help;
};

struct tpo_comm;
struct invocation;

struct command {
  const char *name;
  const char *arguments; /* shown in the usage line: "CONFIG.yaml" */
  const char *summary;
  const struct option *options; /* ends with a NULL name */
  int n_positional_min, n_positional_max;
  /* the first positional argument is a configuration file, read before the options apply */
  bool config_argument;
  bool needs_comm;        /* ranks work together; otherwise only rank 0 works, alone */
  const char *notes;      /* more help, may be NULL */
  const char *no_default; /* the option whose key's default the command doesn't go by: help leaves it out */
  int (*run)(struct invocation *in, struct tpo_error *err);
};

enum { MOST_POSITIONAL = 256 };

struct invocation {
  const struct command *command;
  struct tpo_config config;
  const char *positional[MOST_POSITIONAL];
  int n_positional;
  const char *values[64]; /* by index in command->options, then in common_options; flags hold "" */
  bool quiet, verbose, log_json, help;
  struct tpo_comm *comm; /* NULL unless needs_comm */
};

/* Reads argv[0..argc) after the command's name into `in` (its config already default). */
int options_parse(struct invocation *in, int argc, char **argv, struct tpo_error *err);
/* Value of an option without a key, or NULL when it was not given. */
const char *option_value(const struct invocation *in, const char *name);
/* The same, as a whole number in [min, max]; `missing` when it was not given. */
int option_int(const struct invocation *in, const char *name, int64_t min, int64_t max, int64_t missing,
               int64_t *out, struct tpo_error *err);
/* Whether an option or a configuration file set the key. */
bool option_is_key_set(const struct invocation *in, const char *key);
/* Error unless the option was given; names the option and what it wants. */
int option_require(const struct invocation *in, const char *name, const char **out, struct tpo_error *err);
/* The name of the command's option i, own and common ones in turn, and the key that it sets (NULL: none);
 * NULL behind the last. */
const char *option_name(const struct command *command, int i, const char **key);
void options_help(const struct command *command);

#endif
