/* `tpo run`: the loop, or with --plan-only what it would do and need. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/same.h"
#include "cli/session.h"

static const struct option options[] = {
    {"--run-dir", 0, "DIR", "run.dir", "run folder, made when it is not there"},
    {"--resume", 0, NULL, NULL, "go on after the last finished step"},
    {"--allow-changes", 0, NULL, NULL,
     "with --resume: go on although the configuration or the instructions differ, but for what a run in steps keeps"},
    {"--skip-bad", 0, "N", "data.skip_bad",
     "bad rows of a file that may be left out, each told with its line"},
    {"--plan-only", 0, NULL, NULL,
     "tell what it would take (tokens, judge calls, disk, memory) and do nothing"},
    {"--expect-tokens", 0, "N", NULL,
     "with --plan-only: tokens of an output to reckon with (default half of the most)"},
    OPTION_MODEL,
    OPTION_DTYPE,
    OPTION_END,
};

static int plan(struct invocation *in, int expect_tokens, struct tpo_error *err)
{
  struct cli_session s;
  char *text = NULL;
  int status = cli_session_open(&s, in, err);
  if (status == 0) status = tpo_run_plan(&s.session, expect_tokens, &text, err);
  if (status == 0 && text) fputs(text, stdout);
  free(text);
  cli_session_close(&s);
  return status;
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct cli_session s;
  char *summary = NULL;
  bool resume = option_value(in, "--resume") != NULL, allow = option_value(in, "--allow-changes") != NULL;
  bool plan_only = option_value(in, "--plan-only") != NULL;
  const char *model;
  int64_t expect;
  int status = require_model(in, &model, err);
  if (status == 0 && allow && !resume)
    status = tpo_fail(err, TPO_E_USAGE, "tpo run: --allow-changes goes with --resume");
  if (status == 0 && plan_only && resume)
    status =
        tpo_fail(err, TPO_E_USAGE, "tpo run: --plan-only plans a whole run; it doesn't go with --resume");
  if (status == 0 && !plan_only && option_value(in, "--expect-tokens"))
    status = tpo_fail(err, TPO_E_USAGE, "tpo run: --expect-tokens goes with --plan-only");
  if (status == 0) status = option_int(in, "--expect-tokens", 1, 10000000, 0, &expect, err);
  if (status == 0) status = check_config(in, TPO_CHECK_ALL, err);
  status = agree_on_usage(in, status, err);
  if (status == 0) status = check_same_file(in, in->config.data.train, err);
  if (status == 0) status = check_same_file(in, in->config.data.validation, err);
  if (status < 0) return status;
  if (plan_only) return plan(in, (int)expect, err);
  status = cli_session_open(&s, in, err);
  if (status == 0) {
    status = tpo_run(&s.session, resume, allow, &summary, err);
    progress_end(&s.bar);
    if (status == 0 && cli_first_rank(&s)) fputs(summary, stdout);
    tell_to_resume(status, err);
  }
  free(summary);
  cli_session_close(&s);
  return status;
}

const struct command cmd_run = {
    .name = "run",
    .arguments = "CONFIG.yaml",
    .summary = "all iterations (or steps) of sample, judge, pairs, DPO and validation, then the report",
    .options = options,
    .notes =
        "With run.sync_steps above 0 a run is made of run.steps training steps, and samples are drawn anew before each\n"
        "run.sync_steps of them; every run.checkpoint_steps the model is validated and saved and the report written.\n"
        "Such a run goes on with the same run.sync_steps, run.steps, run.checkpoint_steps, run.reference, seed,\n"
        "model.dtype and settings of training (train.batch among them) alone: --allow-changes does not take others.",
    .n_positional_min = 1,
    .n_positional_max = 1,
    .config_argument = true,
    .needs_comm = true,
    .run = run,
};
