/* Which charts the page shows, from the metrics and the scores. */
#include <math.h>
#include <stdlib.h>
#include "base/memory.h"
#include "report/chart.h"
#include "report/html.h"
#include "report/parts.h"

/* Columns over the iterations, one number an iteration. */
struct columns {
  double *number, *score, *score_se, *difference, *difference_se; /* [n_iterations] */
  double *validation_format, *sample_format, *thought, *response, *chosen, *rejected;
};

static bool make_columns(struct columns *c, const struct report *report)
{
  double **const all[] = {&c->number,  &c->score,    &c->score_se, &c->difference,        &c->difference_se,
                          &c->thought, &c->response, &c->chosen,   &c->validation_format, &c->sample_format,
                          &c->rejected};
  enum { n_columns = sizeof all / sizeof all[0] };
  double *block = tpo_calloc(report->n_iterations * n_columns, sizeof *block, NULL);
  if (!block) return false;
  for (int i = 0; i < n_columns; i++) *all[i] = block + (size_t)i * report->n_iterations;
  for (size_t i = 0; i < report->n_iterations; i++) {
    const struct report_iteration *it = &report->iterations[i];
    c->number[i] = it->number;
    c->score[i] = report_validation(it);
    c->score_se[i] = it->validation_se;
    c->difference[i] = report_event_number(it, EVENT_VALIDATE, "difference");
    c->difference_se[i] = 2 * report_event_number(it, EVENT_VALIDATE, "difference_se");
    c->validation_format[i] = 100 * report_event_number(it, EVENT_VALIDATE, "format_rate");
    c->sample_format[i] = 100 * report_event_number(it, EVENT_SAMPLE, "format_rate");
    c->thought[i] = report_event_number(it, EVENT_VALIDATE, "mean_thought_tokens");
    c->response[i] = report_event_number(it, EVENT_VALIDATE, "mean_response_tokens");
    c->chosen[i] = report_event_number(it, EVENT_PAIRS, "mean_chosen_length");
    c->rejected[i] = report_event_number(it, EVENT_PAIRS, "mean_rejected_length");
  }
  return true;
}

/* The points of (x, y, error) that are there: an iteration that has not come so far is no gap in a line. */
static struct chart_series present(const char *name, double *x, double *y, double *error, size_t n)
{
  size_t kept = 0;
  double *kept_x = tpo_calloc(3 * n, sizeof *kept_x, NULL);
  if (!kept_x) return (struct chart_series){.name = name};
  for (size_t i = 0; i < n; i++) {
    if (!isfinite(y[i])) continue;
    kept_x[kept] = x[i];
    kept_x[n + kept] = y[i];
    kept_x[2 * n + kept] = error ? error[i] : 0;
    kept++;
  }
  return (struct chart_series){
      .name = name, .x = kept_x, .y = kept_x + n, .error = error ? kept_x + 2 * n : NULL, .n = kept};
}

static void draw(struct tpo_buf *out, struct chart *chart, struct chart_series *series, size_t n)
{
  size_t points = 0;
  for (size_t k = 0; k < n; k++) points += series[k].n;
  chart->series = series;
  chart->n_series = n;
  if (points) chart_lines(out, chart);
  for (size_t k = 0; k < n; k++) free((double *)series[k].x);
}

static void iteration_charts(struct tpo_buf *out, const struct report *report)
{
  struct columns c;
  size_t n = report->n_iterations;
  if (n == 0) return;
  if (!make_columns(&c, report)) {
    out->failed = true;
    return;
  }
  struct chart_series score[] = {present("score", c.number, c.score, c.score_se, n)};
  draw(out,
       &(struct chart){.title = "Validation score",
                       .x_label = "iteration",
                       .y_label = "mean judge score",
                       .note =
                           "Bars: ± 1 standard error over instructions. The instructions are the same each "
                           "time, so compare by the paired difference."},
       score, 1);
  struct chart_series difference[] = {present("difference", c.number, c.difference, c.difference_se, n)};
  if (difference[0].n == 1 && difference[0].x[0] == 0) difference[0].n = 0; /* the start against itself */
  draw(out,
       &(struct chart){.title = "Paired difference from the start model",
                       .x_label = "iteration",
                       .y_label = "difference in score",
                       .zero = true,
                       .note = "Bars: ± 2 standard errors. A bar that crosses zero is within noise."},
       difference, 1);
  struct chart_series lengths[] = {present("thought", c.number, c.thought, NULL, n),
                                   present("response", c.number, c.response, NULL, n)};
  draw(out,
       &(struct chart){
           .title = "Lengths on validation", .x_label = "iteration", .y_label = "mean tokens", .zero = true},
       lengths, 2);
  struct chart_series pairs[] = {present("chosen", c.number, c.chosen, NULL, n),
                                 present("rejected", c.number, c.rejected, NULL, n)};
  draw(out,
       &(struct chart){
           .title = "Responses in pairs", .x_label = "iteration", .y_label = "mean characters", .zero = true},
       pairs, 2);
  struct chart_series format[] = {present("validation", c.number, c.validation_format, NULL, n),
                                  present("sampling", c.number, c.sample_format, NULL, n)};
  draw(out,
       &(struct chart){
           .title = "Format kept", .x_label = "iteration", .y_label = "% of outputs", .zero = true},
       format, 2);
  free(c.number);
}

static void score_chart(struct tpo_buf *out, const struct report *report)
{
  struct chart_row *rows = tpo_calloc(report->n_iterations, sizeof *rows, NULL);
  size_t n = 0;
  if (!rows) {
    out->failed = true;
    return;
  }
  for (size_t i = 0; i < report->n_iterations; i++) {
    const struct report_iteration *it = &report->iterations[i];
    if (it->n_scores == 0) continue;
    rows[n] = (struct chart_row){.values = it->scores, .n = it->n_scores};
    snprintf(rows[n++].label, sizeof rows->label, "%d", it->number);
  }
  if (n) chart_histograms(out, "Scores of the samples", "judge score", rows, n);
  free(rows);
}

struct step_chart {
  const char *title, *y_label;
  enum report_field fields[2];
  const char *names[2];
  int n_fields;
  bool zero;
};

/* x: [n_steps] 1, 2, ... over the whole run; y: room for two columns. */
static void step_chart(struct tpo_buf *out, const struct report *report, const struct step_chart *which,
                       const struct chart_divider *dividers, size_t n_dividers, const double *x, double *y)
{
  struct chart_series series[2];
  for (int f = 0; f < which->n_fields; f++) {
    double *column = y + (size_t)f * report->n_steps;
    for (size_t i = 0; i < report->n_steps; i++) column[i] = report->steps[i].values[which->fields[f]];
    series[f] = (struct chart_series){.name = which->names[f], .x = x, .y = column, .n = report->n_steps};
  }
  chart_lines(out, &(struct chart){.title = which->title,
                                   .x_label = "training step",
                                   .y_label = which->y_label,
                                   .series = series,
                                   .n_series = (size_t)which->n_fields,
                                   .dividers = dividers,
                                   .n_dividers = n_dividers,
                                   .zero = which->zero});
}

static void step_charts(struct tpo_buf *out, const struct report *report)
{
  static const struct step_chart charts[] = {
      {"Training loss", "loss, nats", {FIELD_LOSS}, {"loss"}, 1, false},
      {"Margin", "β × log-ratio difference", {FIELD_MARGIN}, {"margin"}, 1, true},
      {"Accuracy", "share of pairs with a positive margin", {FIELD_ACCURACY}, {"accuracy"}, 1, true},
      {"Log-probability of outputs",
       "nats a sequence",
       {FIELD_CHOSEN_LOGPROB, FIELD_REJECTED_LOGPROB},
       {"chosen", "rejected"},
       2,
       false},
      {"Gradient norm", "before clipping", {FIELD_GRAD_NORM}, {"gradient norm"}, 1, true},
      {"Learning rate", "per step", {FIELD_LR}, {"learning rate"}, 1, true},
  };
  size_t n = report->n_steps, n_dividers = 0;
  if (n == 0) return;
  double *x = tpo_calloc(3 * n, sizeof *x, NULL);
  struct chart_divider *dividers = tpo_calloc(report->n_iterations, sizeof *dividers, NULL);
  if (x && dividers) {
    for (size_t i = 0; i < n; i++) {
      x[i] = (double)(i + 1);
      if ((i > 0 && report->steps[i].iteration == report->steps[i - 1].iteration) ||
          n_dividers >= report->n_iterations)
        continue;
      dividers[n_dividers].x = i == 0 ? 1 : (double)i + 0.5;
      snprintf(dividers[n_dividers++].label, sizeof dividers->label, "it. %d", report->steps[i].iteration);
    }
    for (size_t c = 0; c < sizeof charts / sizeof charts[0]; c++)
      step_chart(out, report, &charts[c], dividers, n_dividers, x, x + n);
  } else
    out->failed = true;
  free(x);
  free(dividers);
}

void part_charts(struct tpo_buf *out, const struct report *report)
{
  if (report->n_iterations == 0) return;
  tpo_buf_puts(out, "<section id=\"charts\">\n<h2>Charts</h2>\n<div class=\"charts\">\n");
  iteration_charts(out, report);
  score_chart(out, report);
  step_charts(out, report);
  tpo_buf_puts(out, "</div>\n</section>\n");
}
