#include "cli/session.h"

static const struct option options[] = {
    {"--samples", 0, "FILE", NULL, "samples, HDF5"},
    {"--judge", 'j', "KIND[:ARG]", "judge.kind", "who scores: rule"},
    {"--out", 'o', "FILE", NULL, "scored samples, HDF5"},
    OPTION_END,
};

static int run(struct invocation *in, struct tpo_error *err)
{
  const char *path, *out;
  struct tpo_samples samples = {0};
  struct tpo_session session = {.config = &in->config, .comm = in->comm};
  size_t failures = 0;
  bool first = tpo_comm_rank(in->comm) == 0;
  int status = option_require(in, "--samples", &path, err);
  if (status == 0) status = option_require(in, "--out", &out, err);
  if (status == 0) status = check_output(in, "--out", out, path, err);
  if (status < 0) return status;
  if (first) status = tpo_samples_read(&samples, path, err);
  status = tpo_comm_agree(in->comm, status, err);
  if (status == 0) status = tpo_judge_samples(&session, &samples, &failures, err);
  if (status == 0 && first) {
    struct tpo_sample_summary s;
    tpo_summarize(&samples, &s);
    status = tpo_samples_write(&samples, out, err);
    tpo_log(TPO_LOG_INFO, "%zu responses scored, mean %.3f; %zu without format, %zu failures of the judge",
            s.scored, s.mean_score, samples.n - s.scored - failures, failures);
  }
  tpo_samples_free(&samples);
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
