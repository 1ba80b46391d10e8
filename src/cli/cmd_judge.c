/* `tpo judge`: scores the samples of a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "cli/same.h"
#include "cli/session.h"
#include "config/judge_kinds.h"
#include "steps/same.h"
#include "store/journal/journal.h"
#include "tpo/measure.h"
#include "tpo/judge.h"

static const struct option options[] = {
    {"--samples", 0, "FILE", NULL, "samples, HDF5"},
    {"--judge", 'j', "KIND[:ARG]", "judge.kind", "who scores: " CONFIG_JUDGE_KINDS_TOLD},
    {"--out", 'o', "FILE", NULL, "scored samples, HDF5"},
    {"--resume", 0, NULL, NULL,
     "go on only with what an interrupted command left in OUT.journal; without it, with that where it fits"},
    OPTION_DTYPE,
    OPTION_END,
};

/* counts: JSON of what the judge counted; may be NULL. */
static void log_counts(const char *counts)
{
  json_t *object = counts ? tpo_json_parse(counts, strlen(counts), "counts", NULL) : NULL, *value;
  const char *name;
  struct tpo_buf line = {0};
  json_object_foreach(object, name, value)
  {
    char *number = json_is_number(value) ? tpo_json_dump(value) : NULL;
    if (number) tpo_buf_printf(&line, "%s%s %s", line.len ? ", " : "", name, number);
    free(number);
  }
  if (line.len && !line.failed) tpo_log(TPO_LOG_INFO, "the judge counted: %s", line.data);
  tpo_buf_free(&line);
  json_decref(object);
}

static void log_scores(const struct tpo_sample_summary *sum, size_t failures)
{
  char scored[80] = "none of the responses scored";
  if (sum->scored > 0)
    snprintf(scored, sizeof scored, "%zu responses scored, mean %.3f", sum->scored, sum->mean_score);
  tpo_log(TPO_LOG_INFO, "%s; %zu without format, %zu failures of the judge", scored,
          sum->samples - sum->scored - failures, failures);
}

/* Answers of a server are paid for: they are kept beside what they become, unless another place is given. */
static int choose_cache(struct invocation *in, const char *out, struct tpo_error *err)
{
  struct tpo_judge_config *judge = &in->config.judge;
  if (!tpo_judge_keeps_answers(judge)) return 0;
  if (!judge->cache || !*judge->cache) {
    const char *slash = strrchr(out, '/');
    struct tpo_buf path = {0};
    tpo_buf_append(&path, out, slash ? (size_t)(slash - out) + 1 : 0);
    tpo_buf_puts(&path, "judge-cache");
    free(judge->cache);
    judge->cache = tpo_buf_take(&path);
    if (!judge->cache) return tpo_fail(err, TPO_E_MEMORY, "no memory for a folder's name");
  }
  tpo_log(TPO_LOG_INFO, "the judge's answers are kept in %s: none is asked for twice", judge->cache);
  return 0;
}

/* What can be told before anything is read or opened. All ranks. */
static int check(struct invocation *in, const char *samples, const char *out, char journal[4096],
                 struct tpo_error *err)
{
  int status = check_output(in, "--out", out, samples, err);
  if (status == 0) status = check_same_file(in, samples, err);
  if (status < 0) return status;
  status = tpo_judge_check(&in->config.judge, err);
  if (status == 0) status = choose_cache(in, out, err);
  if (status == 0 && (size_t)snprintf(journal, 4096, "%s.journal", out) >= 4096)
    status = tpo_fail(err, TPO_E_USAGE, "tpo judge: --out is too long a name");
  bool first = tpo_comm_rank(in->comm) == 0;
  if (status == 0 && first && option_value(in, "--resume") && !journal_exists(journal))
    tpo_log(TPO_LOG_INFO, "%s: nothing is kept there, so this begins at the beginning", journal);
  status = tpo_comm_agree(in->comm, status, err);
  return status < 0 ? status : same_judge(in->comm, &in->config.judge, err);
}

/* Rank 0. */
static int keep(const struct tpo_samples *samples, const char *out, const char *journal, size_t failures,
                struct tpo_error *err)
{
  struct tpo_sample_summary sum;
  struct tpo_error left = {0};
  int status = tpo_samples_write(samples, out, err);
  if (status < 0) return status;
  if (journal_remove(journal, &left) < 0) tpo_log(TPO_LOG_WARN, "%s; it is no longer needed", left.message);
  tpo_summarize(samples, &sum);
  log_scores(&sum, failures);
  log_counts(samples->judge_counts);
  return 0;
}

static int judge(struct cli_session *s, const char *path, const char *out,
                 const struct tpo_score_options *options, struct tpo_error *err)
{
  const struct tpo_session *session = &s->session;
  struct tpo_samples samples = {0};
  size_t failures = 0;
  bool first = tpo_comm_rank(session->comm) == 0;
  int status = tpo_comm_agree(session->comm, first ? tpo_samples_read(&samples, path, err) : 0, err);
  if (status == 0) status = tpo_score_samples(session, &samples, options, &failures, err);
  progress_end(&s->bar);
  if (status == 0 && first) status = keep(&samples, out, options->journal, failures, err);
  tpo_samples_free(&samples);
  return tpo_comm_agree(session->comm, status, err);
}

static int run(struct invocation *in, struct tpo_error *err)
{
  const char *path, *out;
  char journal[4096];
  struct cli_session s;
  const struct tpo_score_options options = {.journal = journal,
                                            .drop_other = option_value(in, "--resume") == NULL};
  int status = option_require(in, "--samples", &path, err);
  if (status == 0) status = option_require(in, "--out", &out, err);
  status = agree_on_usage(in, status, err);
  if (status == 0) status = check(in, path, out, journal, err);
  if (status < 0) return status;
  status = cli_session_open_for(&s, in, tpo_judge_needs_model(&in->config.judge), err);
  if (status < 0) return status;
  status = judge(&s, path, out, &options, err);
  cli_session_close(&s);
  if (status == TPO_E_INTERRUPTED)
    tpo_fail(err, status, "%s: the same command goes on", strdupa(err->message));
  return status;
}

const struct command cmd_judge = {
    .name = "judge",
    .arguments = "",
    .summary = "score the responses of samples (never their thoughts)",
    .options = options,
    .needs_comm = true,
    .run = run,
};
