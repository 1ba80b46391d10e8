/* `tpo judge`: scores the samples of a file. */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "cli/session.h"
#include "config/judge_kinds.h"
#include "tpo/measure.h"
#include "tpo/judge.h"

static const struct option options[] = {
    {"--samples", 0, "FILE", NULL, "samples, HDF5"},
    {"--judge", 'j', "KIND[:ARG]", "judge.kind", "who scores: " CONFIG_JUDGE_KINDS_TOLD},
    {"--out", 'o', "FILE", NULL, "scored samples, HDF5"},
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

static int run(struct invocation *in, struct tpo_error *err)
{
  const char *path, *out;
  struct tpo_samples samples = {0};
  struct cli_session s;
  size_t failures = 0;
  bool first = tpo_comm_rank(in->comm) == 0;
  int status = option_require(in, "--samples", &path, err);
  if (status == 0) status = option_require(in, "--out", &out, err);
  if (status == 0) status = check_output(in, "--out", out, path, err);
  if (status < 0) return status;
  if (tpo_judge_needs_model(&in->config.judge))
    status = cli_session_open(&s, in, err);
  else
    cli_session_open_plain(&s, in);
  if (status < 0) return status;
  if (first) status = tpo_samples_read(&samples, path, err);
  status = tpo_comm_agree(in->comm, status, err);
  if (status == 0) status = tpo_score_samples(&s.session, &samples, &failures, err);
  progress_end(&s.bar);
  if (status == 0 && first) {
    struct tpo_sample_summary sum;
    tpo_summarize(&samples, &sum);
    status = tpo_samples_write(&samples, out, err);
    log_scores(&sum, failures);
    log_counts(samples.judge_counts);
  }
  tpo_samples_free(&samples);
  cli_session_close(&s);
  return tpo_comm_agree(in->comm, status, err);
}

const struct command cmd_judge = {
    .name = "judge",
    .arguments = "",
    .summary = "score the responses of samples (never their thoughts)",
    .options = options,
    .needs_comm = true,
    .run = run,
};
