/* The program: finds the command, parses its options, opens the communicator, and turns errors into one
 * message and an exit status: 0 success, 1 failure at run time, 2 usage and configuration, 128 + signal after
 * a signal. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/lost_map.h"
#include "cli/cli.h"
#include "cli/eval/eval.h"
#include "cli/same.h"

static const struct command *const commands[] = {
    &cmd_run,    &cmd_generate, &cmd_judge,      &cmd_pairs,    &cmd_dpo,      &cmd_synth,
    &cmd_report, &cmd_compare,  &cmd_status,     &cmd_chat,     &cmd_export,   &cmd_inspect,
    &cmd_config, &cmd_tokenize, &cmd_detokenize, &cmd_template, &cmd_logprobs, &cmd_score,
};
enum { n_commands = sizeof commands / sizeof commands[0] };

static void print_help(void)
{
  printf("tpo %s: Thought Preference Optimization: trains a language model to think before it answers\n\n"
         "usage: tpo COMMAND [options]     alone, or under mpirun or srun\n\ncommands:\n",
         tpo_version());
  for (int i = 0; i < n_commands; i++) printf("  %-12s %s\n", commands[i]->name, commands[i]->summary);
  printf("  %-12s %s\n", "eval", "evaluations; `tpo eval --help` lists them");
  printf(
      "\n`tpo COMMAND --help` shows a command's options; `tpo --version` what this program was built with.\n"
      "New here? `launch/quickstart` installs what is needed and trains a small model in minutes.\n");
}

static void print_eval_help(void)
{
  printf("usage: tpo eval EVALUATION [options]     alone, or under mpirun or srun\n\nevaluations:\n");
  for (int i = 0; eval_commands[i]; i++)
    printf("  %-12s %s\n", strchr(eval_commands[i]->name, ' ') + 1, eval_commands[i]->summary);
  printf("\n`tpo eval EVALUATION --help` shows the options of one.\n");
}

static const struct command *find_eval(const char *name)
{
  for (int i = 0; eval_commands[i]; i++)
    if (strcmp(strchr(eval_commands[i]->name, ' ') + 1, name) == 0) return eval_commands[i];
  return NULL;
}

/* *n_words of the command line name it; NULL, with err: there is none. */
static const struct command *find_command(int argc, char **argv, int *n_words, struct tpo_error *err)
{
  const char *name = argv[1];
  bool is_eval = strcmp(name, "eval") == 0;
  const struct command *found = is_eval && argc > 2 ? find_eval(argv[2]) : NULL;
  *n_words = is_eval ? 2 : 1;
  for (int i = 0; i < n_commands && !found; i++)
    if (strcmp(commands[i]->name, name) == 0) found = commands[i];
  if (found) return found;
  if (!is_eval)
    tpo_fail(err, TPO_E_USAGE, "'%s' is not a command; `tpo --help` lists them", name);
  else if (argc < 3)
    tpo_fail(err, TPO_E_USAGE, "an evaluation is missing behind eval; `tpo eval --help` lists them");
  else
    tpo_fail(err, TPO_E_USAGE, "'%s' is not an evaluation; `tpo eval --help` lists them", argv[2]);
  return NULL;
}

static bool asks_for_help(const char *word)
{
  return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

static int exit_status(int status)
{
  if (status == 0) return 0;
  if (tpo_interrupted()) return 128 + tpo_interrupted();
  return status == TPO_E_USAGE ? 2 : 1;
}

/* The launcher's rank, known before MPI is: usage errors are the same on
 * all ranks, and one is enough to tell them. */
static bool is_first_rank(void)
{
  static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (getenv(names[i])) return atoi(getenv(names[i])) == 0;
  return true;
}

/* A file opened for output must not get the number of a standard stream that was closed: what is printed
 * would go into it. Opened for reading only, writing to it fails as it should. */
static void fill_standard_streams(void)
{
  int fd;
  do fd = open("/dev/null", O_RDONLY);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) close(fd);
}

/* What stdio holds, brought out; a stream that failed before stays failed. */
static int finish_output(struct tpo_error *err)
{
  errno = 0;
  if (fflush(stdout) == 0 && !ferror(stdout)) return 0;
  return tpo_fail(err, TPO_E_IO, "writing to standard output failed%s%s", errno ? ": " : "",
                  errno ? strerror(errno) : "");
}

static void print_error(const struct invocation *in, const char *message)
{
  if (in->log_json)
    tpo_log(TPO_LOG_ERROR, "%s", message);
  else
    fprintf(stderr, "%s%s\n", strncmp(message, "tpo ", 4) == 0 ? "" : "tpo: ", message);
}

/* A rank that waits for the others. */
struct waiting {
  const struct invocation *in;
  const char *mistake; /* in its own options, told when all are together; NULL: none */
};

/* Nothing but the end of the process ends the start of MPI. A moment later, so that the other ranks of the
 * host see this one, and leave the word to it. */
static void end_late(void *arg, const char *message)
{
  const struct waiting *waiting = arg;
  if (!tpo_interrupted()) {
    print_error(waiting->in, message);
    if (waiting->mistake) print_error(waiting->in, waiting->mistake);
  }
  nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
  _exit(tpo_interrupted() ? 128 + tpo_interrupted() : 1);
}

/* The ranks, found and compared; status: whether this one could use its options. */
static int join_ranks(struct invocation *in, int status, struct tpo_error *err)
{
  struct tpo_error problem = {0};
  struct waiting waiting = {in, status < 0 ? err->message : NULL};
  const struct tpo_comm_options options = {.deadline = in->config.run.deadline,
                                           .start_deadline = in->config.run.start_deadline,
                                           .late = end_late,
                                           .late_arg = &waiting};
  int opened = tpo_comm_open_with(&in->comm, &options, &problem);
  tpo_lost_map_tell(); /* again: MPI has a handler of its own */
  if (opened < 0 && status == 0) *err = problem;
  if (opened < 0) return status < 0 ? status : opened;
  tpo_log_setup(tpo_log_level(), in->log_json, tpo_comm_rank(in->comm));
  status = check_same_start(in, status, err);
  tpo_comm_started(in->comm);
  return status;
}

static int work(struct invocation *in, int status, struct tpo_error *err)
{
  tpo_lost_map_tell();
  if (in->command->needs_comm)
    status = join_ranks(in, status, err);
  else if (status == 0 && !is_first_rank())
    return 0;
  return status < 0 ? status : in->command->run(in, err);
}

/* "rank 3: ..." is what an agreement gives to all ranks. */
static bool is_agreed(const char *message)
{
  int len = 0;
  return sscanf(message, "rank %*d%n", &len) == 0 && len > 0 && message[len] == ':';
}

/* Several ranks find a broken exchange at once: one tells, and its abort
 * ends the others. It comes to them as a signal. */
static bool is_told_by_another(struct tpo_comm *comm)
{
  return !tpo_comm_first_to_tell(comm) && nanosleep(&(struct timespec){.tv_sec = 10}, NULL) < 0;
}

/* After a failure the other ranks may be in a call that this one will never enter, unless all agreed (then
 * they leave by themselves, with the same message). */
static void leave(struct invocation *in, int status, const struct tpo_error *err)
{
  int code = exit_status(status);
  bool first = in->comm ? tpo_comm_rank(in->comm) == 0 : is_first_rank();
  bool told = status == TPO_E_USAGE || is_agreed(err->message);
  if (in->comm && status == TPO_E_COMM && is_told_by_another(in->comm)) told = true, first = false;
  if (status < 0 && (first || !told)) print_error(in, err->message);
  if (in->comm && status == TPO_E_COMM) tpo_comm_abort(in->comm, code);
  tpo_comm_close(in->comm);
}

/* `tpo --help` and its like: 0 when all of it was written. */
static int finish_printing(void)
{
  struct tpo_error err = {0};
  if (finish_output(&err) == 0) return 0;
  fprintf(stderr, "tpo: %s\n", err.message);
  return 1;
}

int main(int argc, char **argv)
{
  fill_standard_streams();
  signal(SIGPIPE, SIG_IGN); /* a reader that left is told as an error, like a full disk */
  if (argc < 2 || asks_for_help(argv[1])) {
    if (is_first_rank()) print_help();
    return argc < 2 ? 2 : finish_printing();
  }
  if (argc == 3 && strcmp(argv[1], "eval") == 0 && asks_for_help(argv[2])) {
    if (is_first_rank()) print_eval_help();
    return finish_printing();
  }
  if (strcmp(argv[1], "--version") == 0) {
    if (is_first_rank()) print_version();
    return finish_printing();
  }
  struct tpo_error err = {0};
  int n_words;
  const struct command *command = find_command(argc, argv, &n_words, &err);
  if (!command) {
    if (is_first_rank()) fprintf(stderr, "tpo: %s\n", err.message);
    return 2;
  }
  struct invocation in = {.command = command};
  tpo_config_default(&in.config);
  signal(SIGXFSZ, SIG_IGN);
  /* Commands that compute end at their next safe point; what only
   * reads, prints or waits for input just ends. */
  if (command->needs_comm) tpo_interrupt_install();
  int status = options_parse(&in, argc - 1 - n_words, argv + 1 + n_words, &err);
  if (status == 0 && in.help) {
    if (is_first_rank()) options_help(command);
    tpo_config_free(&in.config);
    return finish_printing();
  }
  tpo_log_setup(in.quiet     ? TPO_LOG_WARN
                : in.verbose ? TPO_LOG_DEBUG
                             : TPO_LOG_INFO,
                in.log_json, is_first_rank() ? 0 : 1);
  status = work(&in, status, &err);
  if (status == 0) status = finish_output(&err);
  leave(&in, status, &err);
  tpo_config_free(&in.config);
  return exit_status(status);
}
