/* What a person wants to see when a run has ended. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "config/judge_kinds.h"
#include "measure/figures.h"
#include "measure/groups.h"
#include "run/loop.h"
#include "run/watch/watch.h"
#include "tpo/measure.h"

static void verdict(struct tpo_buf *out, double difference, double se, size_t n)
{
  if (change_says(difference, se, n) == CHANGE_UNKNOWN) {
    tpo_buf_puts(out, "  paired difference        none: no instruction was judged both times\n");
    return;
  }
  tpo_buf_printf(out, "  paired difference        %+.3f", difference);
  if (isfinite(se))
    tpo_buf_printf(out, " ± %.3f (standard error, %zu instructions)\n", se, n);
  else
    tpo_buf_puts(out, " (one instruction, so without a standard error)\n");
  static const char *const says[] = {
      [CHANGE_NONE] = "That is no difference.",
      [CHANGE_TOO_FEW] =
          "Too few instructions, or too little spread among them, to say whether that is more than noise.",
      [CHANGE_NOISE] = "That is within noise (less than two standard errors): this run shows no difference.",
      [CHANGE_UP] = "That is more than two standard errors: better.",
      [CHANGE_DOWN] = "That is more than two standard errors: worse."};
  tpo_buf_printf(out, "  %s\n", says[change_says(difference, se, n)]);
}

static void row(struct tpo_buf *out, const char *name, const char *format, double before, double after)
{
  char a[32] = "none", b[32] = "none";
  if (isfinite(before)) snprintf(a, sizeof a, format, before);
  if (isfinite(after)) snprintf(b, sizeof b, format, after);
  tpo_buf_printf(out, "  %-24s %10s %10s\n", name, a, b);
}

static void tell_win_rate(const struct loop *loop, struct tpo_buf *out, const struct won *won)
{
  char rival[LOOP_RIVAL];
  if (!isfinite(won->rate.rate)) return;
  tpo_buf_printf(out, "  won against %s: %.1f %% of %zu instruction%s, ties half",
                 loop_rival_name(loop, won, rival), 100 * won->rate.rate, won->rate.n,
                 won->rate.n == 1 ? "" : "s");
  if (isfinite(won->rate.standard_error))
    tpo_buf_printf(out, " (standard error %.1f)", 100 * won->rate.standard_error);
  tpo_buf_putc(out, '\n');
}

/* A win rate of the last iteration from a line of metrics.jsonl; false: the line is another event's. */
static bool read_win_rate(const struct loop *loop, const struct tpo_buf *line, struct won *won)
{
  const char *event = "", *against = "";
  int iteration = 0, n = 0;
  *won = (struct won){.rate = {.rate = NAN, .standard_error = NAN}};
  json_t *object = json_loadb(line->data, line->len, 0, NULL);
  bool found = json_unpack(object, "{s:s, s:i, s:s, s:i, s:i, s:F}", "event", &event, "iteration", &iteration,
                           "against", &against, "baseline_iteration", &won->iteration, "n", &n, "win_rate",
                           &won->rate.rate) == 0 &&
               strcmp(event, "win_rate") == 0 && iteration == tpo_run_iterations(&loop->config->run);
  if (found) json_unpack(object, "{s:F}", "standard_error", &won->rate.standard_error);
  won->previous = strcmp(against, "previous") == 0;
  won->rate.n = (size_t)n;
  json_decref(object);
  return found;
}

/* Of an iteration that an earlier attempt at this run finished. */
static int read_win_rates(const struct loop *loop, struct tpo_buf *out, struct tpo_error *err)
{
  char path[4096];
  struct tpo_lines lines;
  struct won won;
  int status = loop_path(loop, -1, "metrics.jsonl", path, err), more = 0;
  if (status == 0) status = tpo_lines_open(&lines, path, err);
  if (status < 0) return status;
  while ((more = tpo_lines_next(&lines, err)) == 1)
    if (read_win_rate(loop, &lines.line, &won)) tell_win_rate(loop, out, &won);
  tpo_lines_close(&lines);
  return more;
}

/* The win rates of the last iteration. */
static int win_rates(const struct loop *loop, struct tpo_buf *out, struct tpo_error *err)
{
  if (loop->won_by != tpo_run_iterations(&loop->config->run)) return read_win_rates(loop, out, err);
  for (int i = 0; i < loop->n_won; i++) tell_win_rate(loop, out, &loop->won[i]);
  return 0;
}

/* What the rule judge's score is made of, and how sure its change is. */
static int put_checks_row(const struct loop *loop, const struct tpo_samples *before,
                          const struct tpo_samples *after, struct tpo_buf *out, struct tpo_error *err)
{
  const char *argument;
  double change, se;
  if (config_judge_kind(loop->config->judge.kind, &argument) != JUDGE_KIND_RULE) return 0;
  row(out, "constraints that hold", "%.1f %%", 100 * checks_held(before), 100 * checks_held(after));
  int status = figure_change(before, after, FIGURE_CHECKS, NAN, &change, &se, err);
  if (status == 0 && isfinite(se))
    tpo_buf_printf(out, "    their difference       %+.1f ± %.1f points\n", 100 * change, 100 * se);
  return status;
}

static void put_means(const struct tpo_samples *before, const struct tpo_samples *after, struct tpo_buf *out)
{
  struct tpo_sample_summary b, a;
  tpo_summarize(before, &b);
  tpo_summarize(after, &a);
  row(out, "format kept", "%.1f %%", 100 * b.format_rate, 100 * a.format_rate);
  row(out, "thought, tokens", "%.1f", b.mean_thought_tokens, a.mean_thought_tokens);
  row(out, "response, tokens", "%.1f", b.mean_response_tokens, a.mean_response_tokens);
  row(out, "response, characters", "%.1f", b.mean_response_chars, a.mean_response_chars);
}

/* The table of the validation instructions before and after. */
static int comparison(struct loop *loop, struct tpo_buf *out, struct tpo_error *err)
{
  const struct tpo_samples *before, *after;
  struct sample_dynamics b, a;
  double unparsed, difference, se, mean_before, mean_after;
  int status = loop_validated(loop, 0, &before, err);
  if (status == 0) status = loop_validated(loop, tpo_run_iterations(&loop->config->run), &after, err);
  if (status == 0) status = loop_unparsed(loop, &unparsed, err);
  if (status == 0) status = sample_dynamics(before, unparsed, &b, err);
  if (status == 0) status = sample_dynamics(after, unparsed, &a, err);
  if (status == 0) {
    size_t n = tpo_paired_difference(before, after, unparsed, &difference, &se, &mean_before, &mean_after);
    tpo_buf_printf(out, "\nHeld-back validation instructions, %zu of them:\n  %-24s %10s %10s\n", n, "",
                   "before", "after");
    row(out, "mean judge score", "%.3f", mean_before, mean_after);
    status = put_checks_row(loop, before, after, out, err);
    row(out, "repeated text", "%.1f %%", 100 * b.repetition, 100 * a.repetition);
    put_means(before, after, out);
    verdict(out, difference, se, n);
    if (loop->config->train.epochs > 1 && loop->config->run.validate_each_epoch)
      tpo_buf_puts(
          out,
          "  The kept epochs were chosen on these same instructions, which flatters \"after\" a little.\n");
    if (status == 0) status = win_rates(loop, out, err);
  }
  return status;
}

/* As a shell takes it for one word. */
static void put_word(struct tpo_buf *out, const char *word)
{
  static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=:,./@%";
  if (*word && strspn(word, plain) == strlen(word)) {
    tpo_buf_puts(out, word);
    return;
  }
  tpo_buf_putc(out, '\'');
  for (; *word; word++)
    if (*word == '\'')
      tpo_buf_puts(out, "'\\''");
    else
      tpo_buf_putc(out, *word);
  tpo_buf_putc(out, '\'');
}

char *loop_closing_text(struct loop *loop, struct tpo_error *err)
{
  char report[4096], checkpoint[4096];
  struct tpo_buf out = {0};
  int status = loop_path(loop, tpo_run_iterations(&loop->config->run), "checkpoint.h5", checkpoint, err);
  if (status == 0) status = loop_path(loop, -1, "report.html", report, err);
  if (status == 0 && loop->config->data.validation_prompts > 0) status = comparison(loop, &out, err);
  if (status == 0 && tpo_run_in_steps(&loop->config->run)) status = loop_cost_text(loop, &out, err);
  if (status == 0) status = loop_watch_text(loop, &out, err);
  if (status == 0) {
    tpo_buf_printf(&out, "\nreport       %s\ncheckpoint   %s\n", report, checkpoint);
    tpo_buf_puts(&out, "try next     ");
    put_word(&out, program_invocation_name);
    tpo_buf_puts(&out, " chat --model ");
    put_word(&out, checkpoint);
    const char *marker =
        loop->config->thought.response_marker; /* chat takes the checkpoint's layout itself */
    tpo_buf_puts(&out, marker && *marker ? " --show-thoughts\n" : "\n");
  }
  if (status == 0 && out.failed) status = tpo_fail(err, TPO_E_MEMORY, "out of memory");
  if (status < 0) tpo_buf_free(&out);
  return status < 0 ? NULL : tpo_buf_take(&out);
}
