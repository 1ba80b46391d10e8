/* Commands that read or write files without computing: inspect, report, config. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/cli.h"
#include "tpo/judge.h"
#include "tpo/report.h"
#include "tpo/store.h"

static const struct option inspect_options[] = {
    {"--limit", 0, "N", NULL, "rows shown (default 10)"},
    {"--verify", 0, NULL, NULL, "first read all of an .h5 file and compare it with the hash that it carries"},
    OPTION_END,
};

static int run_inspect(struct invocation *in, struct tpo_error *err)
{
  int64_t limit;
  int status = option_int(in, "--limit", 0, 1000000000, 10, &limit, err);
  if (status == 0 && option_value(in, "--verify")) {
    status = tpo_store_verify(in->positional[0], err);
    if (status == 0) tpo_log(TPO_LOG_INFO, "%s: its contents match its hash", in->positional[0]);
  }
  return status < 0 ? status : tpo_inspect(in->positional[0], (int)limit, stdout, err);
}

const struct command cmd_inspect = {
    .name = "inspect",
    .arguments = "FILE",
    .summary = "what is in a run file, checkpoint, GGUF or safetensors file",
    .options = inspect_options,
    .n_positional_min = 1,
    .n_positional_max = 1,
    .run = run_inspect,
};

static const struct option report_options[] = {
    {"--out", 'o', "FILE", NULL, "page (default RUN_DIR/report.html; several runs have no default)"},
    OPTION_END,
};

/* The page of tpo compare, with more of the responses. */
static int report_several(const struct invocation *in, const char *out, struct tpo_error *err)
{
  const struct tpo_compare_options options = {
      .form = TPO_COMPARE_HTML, .iteration = -1, .shown = 20, .seed = in->config.seed};
  char *page = NULL;
  int status = tpo_compare_runs(in->positional, (size_t)in->n_positional, &options, &page, err);
  if (status == 0) status = tpo_write_file(out, page, strlen(page), err);
  free(page);
  return status;
}

static int run_report(struct invocation *in, struct tpo_error *err)
{
  char path[4096];
  const char *out = option_value(in, "--out");
  int status = tpo_path_join(path, sizeof path, in->positional[0], "report.html", err);
  if (status == 0 && in->n_positional > 1) status = option_require(in, "--out", &out, err);
  if (status == 0 && out) status = check_output(in, "--out", out, NULL, err);
  if (status < 0) return status;
  if (!out) out = path;
  status =
      in->n_positional > 1 ? report_several(in, out, err) : tpo_report_write(in->positional[0], out, err);
  if (status == 0) tpo_log(TPO_LOG_INFO, "%s", out);
  return status;
}

const struct command cmd_report = {
    .name = "report",
    .arguments = "RUN_DIR [RUN_DIR...]",
    .summary = "one self-contained HTML page about a run, or about several beside each other",
    .options = report_options,
    .n_positional_min = 1,
    .n_positional_max = 64,
    .notes = "Of several runs it is the page of `tpo compare --html`, with the responses to 20 instructions.",
    .run = run_report,
};

static const struct option config_options[] = {
    {"--reference", 0, NULL, NULL, "print the reference page of all keys (Markdown)"},
    OPTION_MODEL,
    OPTION_DTYPE,
    OPTION_END,
};

static int print_owned(char *text, struct tpo_error *err)
{
  if (!text) return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  fputs(text, stdout);
  free(text);
  return 0;
}

static int run_config(struct invocation *in, struct tpo_error *err)
{
  if (option_value(in, "--reference")) return print_owned(tpo_config_reference(), err);
  int status = check_config(in, TPO_CHECK_ALL, err);
  /* What isn't on this machine may be on the one that runs it. */
  struct tpo_error missing = {0};
  if (status == 0 && tpo_judge_check(&in->config.judge, &missing) < 0)
    tpo_log(TPO_LOG_WARN, "%s", missing.message);
  return status < 0 ? status : print_owned(tpo_config_print(&in->config, true), err);
}

const struct command cmd_config = {
    .name = "config",
    .arguments = "[CONFIG.yaml]",
    .summary = "the effective configuration: every key, its value and where it came from",
    .options = config_options,
    .n_positional_max = 1,
    .config_argument = true,
    .run = run_config,
};
