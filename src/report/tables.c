/* What the run was, what came of it, and the table of its iterations. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "config/judge_kinds.h"
#include "measure/figures.h"
#include "measure/groups.h"
#include "report/html.h"
#include "report/parts.h"
#include "report/position.h"

static const char *last_part(const char *path)
{
  size_t len = strlen(path);
  while (len > 1 && path[len - 1] == '/') len--;
  size_t begin = len;
  while (begin > 0 && path[begin - 1] != '/') begin--;
  return path + begin;
}

/* The start model and the last iteration, where they were validated; false unless both were. */
static bool compared(const struct report *report, const struct report_iteration **before,
                     const struct report_iteration **after)
{
  *before = *after = NULL;
  for (size_t i = 0; i < report->n_iterations; i++) {
    const struct report_iteration *it = &report->iterations[i];
    if (!isfinite(report_validation(it))) continue;
    if (it->number == 0)
      *before = it;
    else
      *after = it;
  }
  return *before && *after;
}

static void fact(struct tpo_buf *out, const char *name, const char *text)
{
  if (!text || !*text) return;
  tpo_buf_printf(out, "<div><dt>%s</dt><dd>", name);
  html_text(out, text);
  tpo_buf_puts(out, "</dd></div>\n");
}

static void count_fact(struct tpo_buf *out, const char *name, double value)
{
  if (!isfinite(value)) return;
  tpo_buf_printf(out, "<div><dt>%s</dt><dd>", name);
  html_number(out, value, 0);
  tpo_buf_puts(out, "</dd></div>\n");
}

static double total_seconds(const struct report *report)
{
  double sum = 0;
  for (size_t i = 0; i < report->n_iterations; i++)
    for (int p = 0; p < N_PHASES; p++)
      if (isfinite(report->iterations[i].seconds[p])) sum += report->iterations[i].seconds[p];
  return sum;
}

static void progress(struct tpo_buf *out, const struct report *report)
{
  const json_t *steps = json_object_get(report->manifest, "steps");
  const json_t *last = json_array_size(steps) ? json_array_get(steps, json_array_size(steps) - 1) : NULL;
  if (json_is_true(json_object_get(report->manifest, "done"))) {
    tpo_buf_puts(out, "<span class=\"badge good\">finished</span>");
    return;
  }
  tpo_buf_puts(out, "<span class=\"badge warn\">not finished</span> ");
  if (report_in_steps(report) && report->reached > 0)
    tpo_buf_printf(out, "<span class=\"badge quiet\">step %d of %d</span> ", report->reached,
                   report->config.run.steps);
  const char *step = json_string_value(json_object_get(last, "step"));
  double iteration = report_number(last, "iteration");
  if (!step || !(iteration >= 0 && iteration <= INT_MAX)) {
    tpo_buf_puts(out,
                 report_in_steps(report) ? "nothing has been finished yet" : "no step has been finished yet");
    return;
  }
  tpo_buf_puts(out, report_in_steps(report) ? "last finished: " : "last finished step: ");
  html_text(out, report_in_steps(report) && strcmp(step, "steps") == 0 ? "training" : step);
  tpo_buf_puts(out, iteration == 0 ? " of the start model" : " of ");
  if (iteration != 0) put_stretch(out, report, (int)iteration, false);
}

/* How much of it was for nothing, where that is so. */
static void skipped_steps(struct tpo_buf *out, const struct report *report)
{
  size_t n = 0;
  for (size_t i = 0; i < report->n_steps; i++) n += report->steps[i].skipped;
  if (n)
    tpo_buf_printf(
        out, "<p class=\"note\">%zu of %zu training steps %s skipped: no prompt of theirs gave a pair.</p>\n",
        n, report->n_steps, n == 1 ? "was" : "were");
}

void part_headline(struct tpo_buf *out, const struct report *report)
{
  const struct tpo_config *config = &report->config;
  const json_t *m = report->manifest;
  tpo_buf_puts(out, "<header>\n<p class=\"kicker\">Thought Preference Optimization</p>\n<h1>Run ");
  char *whole = realpath(report->dir, NULL); /* "." has no name of its own */
  html_text(out, last_part(whole ? whole : report->dir));
  free(whole);
  tpo_buf_puts(out, "</h1>\n<p>");
  progress(out, report);
  tpo_buf_puts(out, "</p>\n<dl class=\"facts\">\n");
  if (report->has_config) {
    fact(out, "model", config->model.path ? last_part(config->model.path) : NULL);
    fact(out, "thought", config->thought.name ? last_part(config->thought.name) : NULL);
    if (config->judge.kind)
      fact(out, "judge", strndupa(config->judge.kind, config_judge_told(config->judge.kind)));
    if (report_in_steps(report)) {
      count_fact(out, "steps planned", config->run.steps);
      count_fact(out, "steps between samplings", config->run.sync_steps);
    } else
      count_fact(out, "iterations planned", tpo_run_iterations(&config->run));
  }
  fact(out, "started", json_string_value(json_object_get(m, "created")));
  count_fact(out, "ranks", report_number(m, "ranks"));
  count_fact(out, "seed", report_number(m, "seed"));
  double seconds = total_seconds(report);
  if (seconds > 0) {
    tpo_buf_puts(out, "<div><dt>time in finished steps</dt><dd>");
    html_duration(out, seconds);
    tpo_buf_puts(out, "</dd></div>\n");
  }
  fact(out, "tpo", json_string_value(json_object_get(m, "tpo_version")));
  tpo_buf_puts(out, "</dl>\n</header>\n");
}

static void verdict(struct tpo_buf *out, double difference, double se)
{
  static const char *const says[] = {
      [CHANGE_UNKNOWN] = "Too few instructions, or too little spread among them, "
                         "to say whether the difference is more than noise.",
      [CHANGE_NOISE] = "That is <strong>within noise</strong> (less than two standard errors): "
                       "this run shows no difference.",
      [CHANGE_UP] = "That is more than two standard errors: <strong class=\"up\">better</strong>.",
      [CHANGE_DOWN] = "That is more than two standard errors: <strong class=\"down\">worse</strong>."};
  enum change_says what = change_says(difference, se, 2); /* that there are two, the error tells */
  tpo_buf_puts(out, says[what == CHANGE_NONE || what == CHANGE_TOO_FEW ? CHANGE_UNKNOWN : what]);
}

struct compared_row {
  const char *name, *key; /* key: of the validation's event, for validations whose files can't be read */
  enum figure figure;
  int decimals;
  bool percent;
};

/* Means over the instructions of a validation whose file can be read, else what its event says. */
static double value_of(const struct report *report, const struct report_iteration *it,
                       const struct compared_row *row, struct tpo_buf *out)
{
  size_t n = 0;
  double sum = 0, count = 0, *values = tpo_calloc(it->validation.n, sizeof *values, NULL);
  struct tpo_error problem = {0};
  if (!values || figures_of(&it->validation, row->figure, report_unparsed(report, it), values, &problem) < 0)
    out->failed = true; /* of memory alone */
  for (size_t i = 0; values && i < it->validation.n; i = tpo_samples_prompt_end(&it->validation, i), n++) {
    if (isnan(values[n])) continue;
    sum += values[n];
    count++;
  }
  free(values);
  return count > 0 ? sum / count : row->key ? report_event_number(it, EVENT_VALIDATE, row->key) : NAN;
}

/* Paired by instruction, in points of per cent for shares. Nothing where either file can't be read. */
static void put_change(struct tpo_buf *out, const struct report *report,
                       const struct report_iteration *before, const struct report_iteration *after,
                       const struct compared_row *row)
{
  double change, se, factor = row->percent ? 100 : 1;
  struct tpo_error problem = {0};
  if (figure_change(&before->validation, &after->validation, row->figure, report_unparsed(report, after),
                    &change, &se, &problem) < 0)
    out->failed = true;
  tpo_buf_puts(out, "<td>");
  if (isfinite(change)) {
    html_signed(out, factor * change, row->decimals);
    html_error(out, factor * se, row->decimals);
  }
  tpo_buf_puts(out, "</td></tr>\n");
}

static void put_compared_row(struct tpo_buf *out, const struct report *report,
                             const struct report_iteration *before, const struct report_iteration *after,
                             const struct compared_row *row)
{
  const struct report_iteration *const both[] = {before, after};
  tpo_buf_printf(out, "<tr><th scope=\"row\">%s</th>", row->name);
  for (int i = 0; i < 2; i++) {
    double value = value_of(report, both[i], row, out);
    tpo_buf_puts(out, "<td>");
    (row->percent ? html_percent : html_number)(out, value, row->decimals);
    tpo_buf_puts(out, "</td>");
  }
  put_change(out, report, before, after, row);
}

/* As the sentence above the table has it. */
static void put_score_row(struct tpo_buf *out, const struct report_iteration *before,
                          const struct report_iteration *after)
{
  tpo_buf_puts(out, "<tr><th scope=\"row\">Mean judge score</th><td>");
  html_number(out, report_validation(before), 3);
  tpo_buf_puts(out, "</td><td>");
  html_number(out, report_validation(after), 3);
  tpo_buf_puts(out, "</td><td>");
  html_signed(out, report_event_number(after, EVENT_VALIDATE, "difference"), 3);
  html_error(out, report_event_number(after, EVENT_VALIDATE, "difference_se"), 3);
  tpo_buf_puts(out, "</td></tr>\n");
}

/* What the rule judge's score is made of, where the validations' files can be read. */
static bool has_checks(const struct report *report, const struct report_iteration *before,
                       const struct report_iteration *after)
{
  const char *argument;
  return report->has_config && config_judge_kind(report->config.judge.kind, &argument) == JUDGE_KIND_RULE &&
         isfinite(checks_held(&before->validation)) && isfinite(checks_held(&after->validation));
}

static void compare_table(struct tpo_buf *out, const struct report *report,
                          const struct report_iteration *before, const struct report_iteration *after)
{
  static const struct compared_row rows[] = {
      {"Constraints that hold", NULL, FIGURE_CHECKS, 1, true},
      {"Repeated text", "repetition", FIGURE_REPETITION, 1, true},
      {"Format kept", "format_rate", FIGURE_FORMAT, 1, true},
      {"Thought, tokens", "mean_thought_tokens", FIGURE_THOUGHT, 1, false},
      {"Response, tokens", "mean_response_tokens", FIGURE_RESPONSE, 1, false},
      {"Response, characters", "mean_response_chars", FIGURE_CHARS, 1, false},
  };
  tpo_buf_puts(out, "<div class=\"scroll\"><table class=\"compare\">\n"
                    "<thead><tr><th scope=\"col\"><span class=\"sr\">quantity</span></th>"
                    "<th scope=\"col\">before</th><th scope=\"col\">after</th>"
                    "<th scope=\"col\">change</th></tr></thead>\n<tbody>\n");
  put_score_row(out, before, after);
  for (size_t r = has_checks(report, before, after) ? 0 : 1; r < sizeof rows / sizeof rows[0]; r++)
    put_compared_row(out, report, before, after, &rows[r]);
  tpo_buf_puts(out, "</tbody></table></div>\n");
}

static void win_rate(struct tpo_buf *out, const struct report *report, const struct report_iteration *it,
                     enum report_event event)
{
  double rate = report_event_number(it, event, "win_rate"),
         other = report_event_number(it, event, "baseline_iteration");
  if (!isfinite(rate)) return;
  tpo_buf_puts(out, " Its responses win against ");
  if (event == EVENT_WIN_BASELINE) { /* which counts in its own way */
    tpo_buf_puts(out, "the baseline’s of iteration ");
    html_number(out, other, 0);
  } else {
    tpo_buf_printf(out, "those of %s ", report_unit(report, false));
    html_number(out, other >= 0 && other <= INT_MAX ? (double)report_position(report, (int)other) : NAN, 0);
  }
  tpo_buf_puts(out, " on <strong>");
  html_percent(out, rate, 1);
  tpo_buf_puts(out, "</strong>");
  html_error(out, 100 * report_event_number(it, event, "standard_error"), 1);
  tpo_buf_puts(out, " of ");
  html_number(out, report_event_number(it, event, "n"), 0);
  tpo_buf_puts(out, " instructions, ties counting half.");
}

/* Instructions that the iteration's validation left out; 0 where the metrics make no sense. */
static double left_out(const struct report_iteration *it)
{
  double unjudged = report_event_number(it, EVENT_VALIDATE, "unjudged");
  return unjudged > 0 && unjudged <= report_event_number(it, EVENT_VALIDATE, "n") ? unjudged : 0;
}

/* What the means are over, and the paired difference. */
static void put_comparison(struct tpo_buf *out, const struct report *report,
                           const struct report_iteration *before, const struct report_iteration *after)
{
  double out_before = left_out(before), out_after = left_out(after);
  double n_before = report_event_number(before, EVENT_VALIDATE, "n") - out_before;
  double n_after = report_event_number(after, EVENT_VALIDATE, "n") - out_after;
  bool same = !isfinite(n_before) || n_before == n_after;
  tpo_buf_puts(out, "Mean judge score on ");
  html_number(out, same ? n_after : n_before, 0);
  tpo_buf_puts(out, " held-back instructions");
  tpo_buf_puts(out, same ? ", before training and" : " before training and on ");
  if (!same) html_number(out, n_after, 0);
  tpo_buf_printf(out, " after %s %d. ", report_unit(report, false), report_position(report, after->number));
  if (out_before > 0 || out_after > 0) {
    tpo_buf_puts(out, "Left out because the judge failed on a response: ");
    html_number(out, out_before, 0);
    tpo_buf_puts(out, " before and ");
    html_number(out, out_after, 0);
    tpo_buf_puts(out, " after. ");
  }
  tpo_buf_puts(out, "Paired difference <strong>");
  html_signed(out, report_event_number(after, EVENT_VALIDATE, "difference"), 3);
  tpo_buf_puts(out, "</strong>");
  double se = report_event_number(after, EVENT_VALIDATE, "difference_se");
  html_error(out, se, 3);
  tpo_buf_puts(out, isfinite(se) ? " (standard error). " : ". ");
}

void part_result(struct tpo_buf *out, const struct report *report)
{
  const struct report_iteration *before, *after;
  tpo_buf_puts(out, "<section id=\"result\">\n<h2>Result</h2>\n");
  if (!compared(report, &before, &after)) {
    tpo_buf_puts(out, before ? "<p>The start model scores <strong>" : "<p>Nothing has been validated yet.");
    if (before) {
      html_number(out, report_validation(before), 3);
      tpo_buf_puts(out, "</strong> on the held-back validation instructions; "
                        "no trained model has been validated yet.");
    }
    tpo_buf_puts(out, "</p>\n</section>\n");
    return;
  }
  tpo_buf_puts(out, "<p class=\"big\"><span class=\"from\">");
  html_number(out, report_validation(before), 3);
  tpo_buf_puts(out, "</span> → <strong>");
  html_number(out, report_validation(after), 3);
  tpo_buf_puts(out, "</strong></p>\n<p class=\"lead\">");
  put_comparison(out, report, before, after);
  verdict(out, report_event_number(after, EVENT_VALIDATE, "difference"),
          report_event_number(after, EVENT_VALIDATE, "difference_se"));
  if (report->has_config && report->config.train.epochs > 1 && report->config.run.validate_each_epoch)
    tpo_buf_puts(out,
                 " The kept epochs were chosen on these same instructions, which flatters “after” a little.");
  win_rate(out, report, after, EVENT_WIN_PREVIOUS);
  win_rate(out, report, after, EVENT_WIN_BASELINE);
  tpo_buf_puts(out, "</p>\n");
  skipped_steps(out, report);
  compare_table(out, report, before, after);
  tpo_buf_puts(out, "</section>\n");
}

void part_configuration(struct tpo_buf *out, const struct report *report)
{
  if (report->notes.len > 0) {
    tpo_buf_puts(out, "<section id=\"notes\">\n<h2>Not shown</h2>\n<ul>\n");
    tpo_buf_append(out, report->notes.data, report->notes.len);
    tpo_buf_puts(out, "</ul>\n</section>\n");
  }
  if (!report->config_text) return;
  tpo_buf_puts(out, "<section id=\"configuration\">\n<h2>Configuration</h2>\n"
                    "<details><summary>config.yaml, every key</summary>\n<pre>");
  html_text(out, report->config_text);
  tpo_buf_puts(out, "</pre></details>\n</section>\n");
}
