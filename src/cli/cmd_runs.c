/* What is told of runs from their folders: compare, status. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/cli.h"
#include "tpo/report.h"

static const struct option compare_options[] = {
    {"--iteration", 0, "N", NULL,
     "the validation after iteration N; 0 is the start model's (default each run's last one)"},
    {"--shown", 0, "N", NULL, "instructions whose scores differ most, with the responses (default 5)"},
    {"--json", 0, NULL, NULL, "JSON in place of text"},
    {"--html", 0, "FILE", NULL, "one self-contained HTML page in place of text; - for standard output"},
    {"--force", 0, NULL, NULL, "show runs that were judged or validated otherwise, with a warning"},
    OPTION_END,
};

static int read_options(const struct invocation *in, struct tpo_compare_options *options,
                        struct tpo_error *err)
{
  const char *html = option_value(in, "--html");
  bool json = option_value(in, "--json") != NULL;
  int64_t iteration, shown;
  int status = option_int(in, "--iteration", 0, 99999, -1, &iteration, err);
  if (status == 0) status = option_int(in, "--shown", 0, 1000, 5, &shown, err);
  if (status < 0) return status;
  if (html && json) return tpo_fail(err, TPO_E_USAGE, "--json and --html: expected one of them");
  *options = (struct tpo_compare_options){.form = html   ? TPO_COMPARE_HTML
                                                  : json ? TPO_COMPARE_JSON
                                                         : TPO_COMPARE_TEXT,
                                          .iteration = (int)iteration,
                                          .shown = (size_t)shown,
                                          .force = option_value(in, "--force") != NULL,
                                          .seed = in->config.seed};
  return html ? check_output(in, "--html", html, NULL, err) : 0;
}

static int run_compare(struct invocation *in, struct tpo_error *err)
{
  const char *html = option_value(in, "--html");
  struct tpo_compare_options options;
  char *text = NULL;
  int status = read_options(in, &options, err);
  if (status == 0) status = tpo_compare_runs(in->positional, (size_t)in->n_positional, &options, &text, err);
  if (status == 0 && html && strcmp(html, "-") != 0) {
    status = tpo_write_file(html, text, strlen(text), err);
    if (status == 0) tpo_log(TPO_LOG_INFO, "%s", html);
  } else if (status == 0)
    fputs(text, stdout);
  free(text);
  return status;
}

const struct command cmd_compare = {
    .name = "compare",
    .arguments = "RUN_A RUN_B [RUN_C...]",
    .summary =
        "runs on the same validation instructions: differences with errors, win rates, groups, responses",
    .options = compare_options,
    .n_positional_min = 2,
    .n_positional_max = 64,
    .notes = "Differences are to RUN_A, paired by instruction; --seed keys the bootstrap.",
    .run = run_compare,
};

static const struct option status_options[] = {
    {"--json", 0, NULL, NULL, "one JSON object in place of text"},
    OPTION_END,
};

static int run_status(struct invocation *in, struct tpo_error *err)
{
  char *text = NULL;
  int status = tpo_run_status(in->positional[0], option_value(in, "--json") != NULL, &text, err);
  if (status == 0) fputs(text, stdout);
  free(text);
  return status;
}

const struct command cmd_status = {
    .name = "status",
    .arguments = "RUN_DIR",
    .summary =
        "where a run stands: phase, rate, time left, last checkpoint, what each rank kept last; after a crash too",
    .options = status_options,
    .n_positional_min = 1,
    .n_positional_max = 1,
    .notes = "It reads the run's folder alone, so any host that sees the folder can ask.",
    .run = run_status,
};
