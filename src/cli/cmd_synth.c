/* New instructions: composed with checks, or written by a model after seeds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/same.h"
#include "cli/session.h"

static const struct option options[] = {
    {"--constraints", 0, NULL, NULL,
     "compose instructions with verifiable checks from built-in topics and forms"},
    {"--n", 'n', "N", NULL, "how many"},
    {"--first", 0, "I", NULL, "--constraints: begin at this place of the endless sequence (default 0)"},
    {"--split", 0, "train|validation", NULL,
     "--constraints: which topics; the two splits share none (default train)"},
    OPTION_MODEL,
    {"--seeds", 0, "FILE", NULL,
     "instructions to show the model, JSON Lines or tab-separated, plain or gzip; it writes more of their kind"},
    {"--shots", 0, "N", NULL, "seeds shown in each request, 1 to 64 (default 8)"},
    {"--max-requests", 0, "N", NULL, "requests spent at most (default 10 for each of --n)"},
    {"--min-words", 0, "N", NULL, "shorter ones are refused (default 3)"},
    {"--max-words", 0, "N", NULL, "longer ones are refused, and longer seeds not shown (default 150)"},
    {"--max-overlap", 0, "X", NULL,
     "refuse what has a larger overlap of word 3-grams with a seed or another, 0 to 1 (default 0.7)"},
    {"--temperature", 0, "T", "sampling.temperature", "0 takes the likeliest token always"},
    {"--top-p", 0, "P", "sampling.top_p", "nucleus; 1 is off"},
    {"--max-tokens", 0, "N", "sampling.max_tokens", "generated tokens of an answer at most"},
    {"--slots", 0, "N", "sampling.slots", "sequences generated at once on a rank"},
    OPTION_DTYPE,
    {"--out", 'o', "FILE", NULL, "JSON Lines; - for standard output"},
    OPTION_END,
};

/* Options that belong to the other way of making instructions. */
static int refuse_options(const struct invocation *in, const char *const *names, size_t n, const char *why,
                          struct tpo_error *err)
{
  for (size_t i = 0; i < n; i++)
    if (option_value(in, names[i])) return tpo_fail(err, TPO_E_USAGE, "tpo synth: %s %s", names[i], why);
  return 0;
}

static int compose(struct invocation *in, const char *out, int64_t n, struct tpo_error *err)
{
  static const char *const others[] = {"--seeds",     "--shots",     "--max-requests",
                                       "--min-words", "--max-words", "--max-overlap"};
  int64_t first;
  const char *split = option_value(in, "--split");
  int status = refuse_options(in, others, sizeof others / sizeof *others,
                              "is for a model that writes (--model); it doesn't go with --constraints", err);
  if (status == 0) status = option_int(in, "--first", 0, 10000000, 0, &first, err);
  if (status == 0 && split && strcmp(split, "train") != 0 && strcmp(split, "validation") != 0)
    status = tpo_fail(err, TPO_E_USAGE, "tpo synth: --split is '%s'; expected train or validation", split);
  status = agree_on_usage(in, status, err);
  if (status == 0) status = check_output(in, "--out", out, NULL, err);
  if (status < 0) return status;
  if (tpo_comm_rank(in->comm) != 0) return tpo_comm_agree(in->comm, 0, err);
  struct tpo_instructions set = {0};
  bool validation = split && strcmp(split, "validation") == 0;
  tpo_interrupt_pause(); /* nothing is lost, and it takes no time to begin again */
  status =
      tpo_compose_instructions(&set, in->config.seed, validation ? TPO_COMPOSE_VALIDATION : TPO_COMPOSE_TRAIN,
                               (size_t)first, (size_t)n, err);
  if (status == 0) status = tpo_instructions_write(&set, out, err);
  tpo_interrupt_resume();
  tpo_instructions_free(&set);
  return tpo_comm_agree(in->comm, status, err);
}

/* What was accepted before a failure is written too: it cost something. */
static void write_remains(const struct tpo_instructions *set, const char *out, struct tpo_error *err)
{
  if (set->n == 0) return;
  struct tpo_error problem = {0};
  bool written = tpo_instructions_write(set, out, &problem) == 0;
  tpo_fail(
      err, err->code, "%s; %s%s", strdupa(err->message),
      written ? "the accepted ones are in " : "they could not be written: ", written ? out : problem.message);
}

static int write_with_model(struct cli_session *s, const char *seeds_path, const char *out,
                            const struct tpo_synth_options *how, struct tpo_error *err)
{
  struct tpo_instructions seeds = {0}, accepted = {0};
  struct tpo_policy policy = {0};
  int status = tpo_comm_agree(s->session.comm, tpo_instructions_read(&seeds, seeds_path, err), err);
  if (status == 0) status = tpo_policy_open(&policy, &s->session, s->session.config->model.path, NULL, err);
  if (status == 0) status = tpo_synth(&s->session, &policy, &seeds, how, &accepted, err);
  progress_end(&s->bar);
  bool first = cli_first_rank(s);
  if (status == 0)
    status = tpo_comm_agree(s->session.comm, first ? tpo_instructions_write(&accepted, out, err) : 0, err);
  else if (first)
    write_remains(&accepted, out, err);
  tpo_policy_close(&policy);
  tpo_instructions_free(&accepted);
  tpo_instructions_free(&seeds);
  return status;
}

/* *out keeps its value where the option isn't given. */
static int share_option(const struct invocation *in, const char *name, double *out, struct tpo_error *err)
{
  const char *value = option_value(in, name);
  if (!value) return 0;
  char *end;
  errno = 0;
  double x = strtod(value, &end);
  if (errno || end == value || *end || !(x >= 0 && x <= 1))
    return tpo_fail(err, TPO_E_USAGE, "tpo synth: %s is '%s'; expected a number from 0 to 1", name, value);
  *out = x;
  return 0;
}

static int read_options(const struct invocation *in, int64_t n, struct tpo_synth_options *how,
                        struct tpo_error *err)
{
  int64_t shots, requests, least, most;
  tpo_synth_options_default(how, (size_t)n);
  int status = option_int(in, "--shots", 1, 64, how->shots, &shots, err);
  if (status == 0)
    status = option_int(in, "--max-requests", 1, 1000000000, (int64_t)how->max_requests, &requests, err);
  if (status == 0) status = option_int(in, "--min-words", 1, 100000, (int64_t)how->min_words, &least, err);
  if (status == 0) status = option_int(in, "--max-words", 1, 100000, (int64_t)how->max_words, &most, err);
  if (status == 0) status = share_option(in, "--max-overlap", &how->max_overlap, err);
  if (status == 0 && least > most)
    status = tpo_fail(err, TPO_E_USAGE, "tpo synth: --min-words is %lld, more than --max-words, %lld",
                      (long long)least, (long long)most);
  if (status < 0) return status;
  how->max_requests = (size_t)requests;
  how->shots = (int)shots;
  how->min_words = (size_t)least;
  how->max_words = (size_t)most;
  return 0;
}

static int ask(struct invocation *in, const char *out, int64_t n, struct tpo_error *err)
{
  static const char *const others[] = {"--first", "--split"};
  struct cli_session s;
  struct tpo_synth_options how;
  const char *seeds, *model;
  int status =
      refuse_options(in, others, sizeof others / sizeof *others, "goes with --constraints only", err);
  if (status == 0) status = option_require(in, "--seeds", &seeds, err);
  if (status == 0) status = require_model(in, &model, err);
  if (status == 0) status = check_shared(in, "--seeds", seeds, err);
  if (status == 0) status = read_options(in, n, &how, err);
  if (status == 0) status = check_config(in, TPO_CHECK_SAMPLING, err);
  status = agree_on_usage(in, status, err);
  if (status == 0) status = check_output(in, "--out", out, seeds, err);
  if (status == 0) status = check_same_file(in, seeds, err);
  if (status < 0) return status;
  status = cli_session_open(&s, in, err);
  if (status == 0) status = write_with_model(&s, seeds, out, &how, err);
  cli_session_close(&s);
  return status;
}

static int run(struct invocation *in, struct tpo_error *err)
{
  const char *out, *count;
  int64_t n = 0;
  bool composes = option_value(in, "--constraints") != NULL;
  bool asks = option_value(in, "--seeds") || option_value(in, "--model");
  int status = 0;
  if (!composes && !asks)
    status = tpo_fail(err, TPO_E_USAGE,
                      "tpo synth: --constraints is required (composed instructions with checks), "
                      "or --model and --seeds (a model writes them)");
  if (status == 0) status = option_require(in, "--n", &count, err);
  if (status == 0) status = option_int(in, "--n", 1, 10000000, 0, &n, err);
  if (status == 0) status = option_require(in, "--out", &out, err);
  status = agree_on_usage(in, status, err);
  if (status < 0) return status;
  return composes ? compose(in, out, n, err) : ask(in, out, n, err);
}

const struct command cmd_synth = {
    .name = "synth",
    .arguments = "",
    .summary = "new instructions: composed with verifiable checks, or by few-shot prompting of a model",
    .options = options,
    .needs_comm = true,
    .run = run,
};
