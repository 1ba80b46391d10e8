/* What a person wants to see when a run has ended. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "run/loop.h"
#include "tpo/measure.h"

static void verdict(struct tpo_buf *out, double difference, double se, size_t n)
{
  tpo_buf_printf(out, "  paired difference        %+.3f ± %.3f (standard error, %zu instructions)\n",
                 difference, se, n);
  if (n > 0 && difference == 0)
    tpo_buf_puts(out, "  That is no difference.\n");
  else if (n < 2 || !(se > 0))
    tpo_buf_puts(out, "  Too few instructions, or too little spread among them, "
                      "to say whether that is more than noise.\n");
  else if (fabs(difference) < 2 * se)
    tpo_buf_puts(out,
                 "  That is within noise (less than two standard errors): this run shows no difference.\n");
  else
    tpo_buf_printf(out, "  That is more than two standard errors: %s.\n",
                   difference > 0 ? "better" : "worse");
}

static void row(struct tpo_buf *out, const char *name, const char *format, double before, double after)
{
  char a[32], b[32];
  snprintf(a, sizeof a, format, before);
  snprintf(b, sizeof b, format, after);
  tpo_buf_printf(out, "  %-24s %10s %10s\n", name, a, b);
}

/* The win rates of the last iteration, as the metrics tell them. */
static int win_rates(const struct loop *loop, struct tpo_buf *out, struct tpo_error *err)
{
  char path[4096];
  struct tpo_lines lines;
  int status = loop_path(loop, -1, "metrics.jsonl", path, err), more = 0;
  if (status == 0) status = tpo_lines_open(&lines, path, err);
  if (status < 0) return status;
  while ((more = tpo_lines_next(&lines, err)) == 1) {
    const char *event, *against;
    int iteration, other, n;
    double rate, error = NAN;
    json_t *line = json_loadb(lines.line.data, lines.line.len, 0, NULL);
    if (json_unpack(line, "{s:s, s:i, s:s, s:i, s:i, s:F}", "event", &event, "iteration", &iteration,
                    "against", &against, "baseline_iteration", &other, "n", &n, "win_rate", &rate) == 0 &&
        strcmp(event, "win_rate") == 0 && iteration == loop->config->run.iterations) {
      json_unpack(line, "{s:F}", "standard_error", &error);
      tpo_buf_printf(out, "  won against %s iteration %d: %.1f %% of %d instructions, ties half",
                     strcmp(against, "previous") == 0 ? "this run's" : "the baseline's", other, 100 * rate,
                     n);
      if (isfinite(error)) tpo_buf_printf(out, " (standard error %.1f)", 100 * error);
      tpo_buf_putc(out, '\n');
    }
    json_decref(line);
  }
  tpo_lines_close(&lines);
  return more;
}

/* The table of the validation instructions before and after. */
static int comparison(struct loop *loop, struct tpo_buf *out, struct tpo_error *err)
{
  char before_path[4096], after_path[4096];
  struct tpo_samples before = {0}, after = {0};
  struct tpo_sample_summary b, a;
  double unparsed, difference, se, mean_before, mean_after;
  int status = loop_path(loop, 0, "validation.h5", before_path, err);
  if (status == 0) status = loop_path(loop, loop->config->run.iterations, "validation.h5", after_path, err);
  if (status == 0) status = tpo_samples_read(&before, before_path, err);
  if (status == 0) status = tpo_samples_read(&after, after_path, err);
  if (status == 0) status = loop_unparsed(loop, false, &unparsed, err);
  if (status == 0) {
    tpo_summarize(&before, &b);
    tpo_summarize(&after, &a);
    size_t n = tpo_paired_difference(&before, &after, unparsed, &difference, &se, &mean_before, &mean_after);
    tpo_buf_printf(out, "\nHeld-back validation instructions, %zu of them:\n  %-24s %10s %10s\n", n, "",
                   "before", "after");
    row(out, "mean judge score", "%.3f", mean_before, mean_after);
    row(out, "format kept", "%.1f %%", 100 * b.format_rate, 100 * a.format_rate);
    row(out, "thought, tokens", "%.1f", b.mean_thought_tokens, a.mean_thought_tokens);
    row(out, "response, tokens", "%.1f", b.mean_response_tokens, a.mean_response_tokens);
    row(out, "response, characters", "%.1f", b.mean_response_chars, a.mean_response_chars);
    verdict(out, difference, se, n);
    if (loop->config->train.epochs > 1 && loop->config->run.validate_each_epoch)
      tpo_buf_puts(
          out,
          "  The kept epochs were chosen on these same instructions, which flatters \"after\" a little.\n");
    status = win_rates(loop, out, err);
  }
  tpo_samples_free(&before);
  tpo_samples_free(&after);
  return status;
}

char *loop_closing_text(struct loop *loop, struct tpo_error *err)
{
  char report[4096], checkpoint[4096];
  struct tpo_buf out = {0};
  int status = loop_path(loop, loop->config->run.iterations, "checkpoint.h5", checkpoint, err);
  if (status == 0) status = loop_path(loop, -1, "report.html", report, err);
  if (status == 0 && loop->config->data.validation_prompts > 0) status = comparison(loop, &out, err);
  if (status == 0) {
    tpo_buf_printf(&out, "\nreport       %s\ncheckpoint   %s\n", report, checkpoint);
    tpo_buf_printf(&out, "try next     %s chat --model %s --show-thoughts\n", program_invocation_name,
                   checkpoint);
  }
  if (status == 0 && out.failed) status = tpo_fail(err, TPO_E_MEMORY, "out of memory");
  if (status < 0) tpo_buf_free(&out);
  return status < 0 ? NULL : tpo_buf_take(&out);
}
