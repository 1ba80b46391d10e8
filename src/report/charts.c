/* Which charts the page shows: over the iterations (trends.c), of the scores and over the training steps. */
#include <math.h>
#include <stdlib.h>
#include "base/memory.h"
#include "report/chart.h"
#include "report/parts.h"
#include "report/position.h"

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
    snprintf(rows[n++].label, sizeof rows->label, "%d", report_position(report, it->number));
  }
  if (n)
    chart_histograms(out, "Scores of the samples", "judge score",
                     report_in_steps(report) ? "stretch of steps" : "iteration", rows, n);
  free(rows);
}

struct step_chart {
  const char *title, *y_label;
  enum report_field fields[2];
  const char *names[2];
  int n_fields;
  bool zero;
};

/* The points of a field: its number among the steps of the whole run, from 1. A step that was skipped has none of most
 * fields. x, y: [n_steps]; returns how many there are. */
static size_t field_points(const struct report *report, enum report_field field, double *x, double *y)
{
  size_t n = 0;
  for (size_t i = 0; i < report->n_steps; i++) {
    const struct report_step *step = &report->steps[i];
    if (step->skipped && isnan(step->values[field])) continue;
    x[n] = (double)(i + 1);
    y[n++] = step->values[field];
  }
  return n;
}

/* scratch: [4 n_steps], x and y of two series. */
static void step_chart(struct tpo_buf *out, const struct report *report, const struct step_chart *which,
                       const struct chart_divider *dividers, size_t n_dividers, double *scratch)
{
  struct chart_series series[2];
  size_t without = 0;
  char note[80] = "";
  for (int f = 0; f < which->n_fields; f++) {
    double *x = scratch + (size_t)f * 2 * report->n_steps, *y = x + report->n_steps;
    size_t n = field_points(report, which->fields[f], x, y);
    without = report->n_steps - n;
    series[f] = (struct chart_series){.name = which->names[f], .x = x, .y = y, .n = n};
  }
  if (without) snprintf(note, sizeof note, "%zu step%s without a pair.", without, without == 1 ? "" : "s");
  chart_lines(out, &(struct chart){.title = which->title,
                                   .x_label = "training step",
                                   .y_label = which->y_label,
                                   .note = without ? note : NULL,
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
  double *scratch = tpo_calloc(4 * n, sizeof *scratch, NULL);
  struct chart_divider *dividers = tpo_calloc(report->n_iterations, sizeof *dividers, NULL);
  if (scratch && dividers) {
    for (size_t i = 0; i < n; i++) {
      if (report_in_steps(report) || /* where no iteration begins anew */
          (i > 0 && report->steps[i].iteration == report->steps[i - 1].iteration) ||
          n_dividers >= report->n_iterations)
        continue;
      dividers[n_dividers].x = i == 0 ? 1 : (double)i + 0.5;
      snprintf(dividers[n_dividers++].label, sizeof dividers->label, "it. %d", report->steps[i].iteration);
    }
    for (size_t c = 0; c < sizeof charts / sizeof charts[0]; c++)
      step_chart(out, report, &charts[c], dividers, n_dividers, scratch);
  } else
    out->failed = true;
  free(scratch);
  free(dividers);
}

void part_charts(struct tpo_buf *out, const struct report *report)
{
  if (report->n_iterations == 0) return;
  tpo_buf_puts(out, "<section id=\"charts\">\n<h2>Charts</h2>\n<div class=\"charts\">\n");
  trend_charts(out, report);
  time_chart(out, report);
  score_chart(out, report);
  segment_charts(out, report);
  step_charts(out, report);
  tpo_buf_puts(out, "</div>\n</section>\n");
}
