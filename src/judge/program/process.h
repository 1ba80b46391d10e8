/* A program that is spoken to over its standard streams: requests go to its input, and it answers each with a
 * line on its output, in their order. */
#ifndef TPO_JUDGE_PROGRAM_PROCESS_H
#define TPO_JUDGE_PROGRAM_PROCESS_H

#include "base/buf.h"
#include "tpo/base.h"

/* Splits a command into words as a shell would, without its other meanings: blanks separate; '...'
 * is literal; in "..." a backslash keeps a following " or \, elsewhere any character. A
 * NULL-terminated array in one block with its strings: free() it. NULL with err (usage) set for no
 * word, or a quote that isn't closed. */
char **judge_command_words(const char *command, struct tpo_error *err);
/* The executable file that a program's name means: the name itself where it has a slash, else the first in
 * PATH. Error (usage) when there is none. */
int judge_command_find(const char *program, char out[4096], struct tpo_error *err);

/* Our environment without the variable `hidden` (NULL or "": none), and without what tells a rank of MPI or of a
 * Slurm step who it is. NULL-terminated; strings are borrowed; free() it. NULL when memory is short. */
char **judge_program_environment(const char *hidden, struct tpo_error *err);

struct judge_process;
struct judge_process_options {
  const char *file;            /* executable */
  char *const *words;          /* its arguments, the first its name; NULL-terminated */
  const char *hidden_variable; /* environment variable that it must not get; NULL or "": none */
  int timeout;                 /* seconds for one answer */
};
/* Starts the program in a process group of its own, without a shell. It gets judge_program_environment, our
 * working folder and no descriptor but its three streams. What it writes to standard error is logged at the level debug;
 * the last of it is told in errors. */
int judge_process_start(struct judge_process **out, const struct judge_process_options *options,
                        struct tpo_error *err);

struct judge_dialogue {
  size_t n; /* requests */
  void *arg;
  /* Appends request i with its newline. */
  int (*request)(void *arg, size_t i, struct tpo_buf *line, struct tpo_error *err);
  /* Takes the answer to request i, without its newline; a NUL follows it. */
  int (*answer)(void *arg, size_t i, const char *line, size_t len, struct tpo_error *err);
};
/* Writes all requests and takes all answers, both at the same time, so that neither side waits for the other
 * to read. An error names what the program did (its end, with exit status or signal; silence longer than the
 * timeout; a line too long; what `answer` found wrong), and its last words. After one, only close is left. */
int judge_process_talk(struct judge_process *process, const struct judge_dialogue *dialogue,
                       struct tpo_error *err);
/* Closes the program's input and waits for it to end; after 3 seconds (none when it failed to answer in
 * time, or a signal asks us to stop) it and its children get SIGTERM, a second later SIGKILL. Takes NULL. */
void judge_process_close(struct judge_process *process);

#endif
