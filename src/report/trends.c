/* Charts over the iterations: what of the metrics stands in which. */
#include <math.h>
#include <stdlib.h>
#include "base/memory.h"
#include "report/chart.h"
#include "report/parts.h"
#include "report/position.h"
#include "report/segments.h"

enum { MOST_SERIES = 4 };

struct trend_series {
  const char *name;
  enum report_event event;
  const char *key;   /* NULL: the validation score */
  const char *error; /* the value's standard error; NULL: none */
};

struct trend {
  const char *title, *y_label, *note;
  struct trend_series series[MOST_SERIES]; /* up to the first without a name */
  double scale;                            /* of values and errors; 0: 1 */
  double bars;                             /* standard errors that an error bar is long */
  bool zero;
  bool from_start;   /* iteration 0 alone, compared with itself, is no point */
  bool over_samples; /* x: how many were drawn for training until then */
  bool by_segment;   /* not of a run in steps, whose segments have a chart of it */
  int beside;        /* which series, from 1, several runs are shown beside each other by; 0: none */
  const char *beside_title;
};

static const struct trend trends[] = {
    {.title = "Validation score",
     .y_label = "mean judge score",
     .note = "Bars: ± 1 standard error over instructions. "
             "The instructions are the same each time, so compare by the paired difference.",
     .series = {{"score", EVENT_VALIDATE, NULL, "mean_score_se"}},
     .bars = 1,
     .beside = 1},
    {.title = "Paired difference from the start model",
     .y_label = "difference in score",
     .note = "Bars: ± 2 standard errors. A bar that crosses zero is within noise.",
     .series = {{"difference", EVENT_VALIDATE, "difference", "difference_se"}},
     .bars = 2,
     .zero = true,
     .from_start = true,
     .beside = 1},
    {.title = "Gain for samples drawn",
     .y_label = "paired difference from the start",
     .note = "Bars: ± 2 standard errors. Runs that draw their samples in other ways compare along this axis.",
     .series = {{"difference", EVENT_VALIDATE, "difference", "difference_se"}},
     .bars = 2,
     .zero = true,
     .from_start = true,
     .over_samples = true,
     .beside = 1},
    {.title = "Win rate on validation",
     .y_label = "% of instructions won, ties half",
     .note = "Bars: ± 1 standard error over instructions. 50 % is even.",
     .series = {{"against the model before", EVENT_WIN_PREVIOUS, "win_rate", "standard_error"},
                {"against the baseline", EVENT_WIN_BASELINE, "win_rate", "standard_error"}},
     .scale = 100,
     .bars = 1},
    {.title = "Scores of sampled outputs",
     .y_label = "judge score",
     .series = {{"best of a prompt", EVENT_JUDGE, "best_score", NULL},
                {"mean", EVENT_JUDGE, "mean_score", NULL},
                {"worst of a prompt", EVENT_JUDGE, "worst_score", NULL}}},
    {.title = "Lengths on validation",
     .y_label = "mean tokens",
     .series = {{"thought", EVENT_VALIDATE, "mean_thought_tokens", NULL},
                {"response", EVENT_VALIDATE, "mean_response_tokens", NULL}},
     .zero = true,
     .beside = 2,
     .beside_title = "Response lengths on validation"},
    {.title = "Sampled thoughts",
     .y_label = "tokens",
     .series = {{"mean", EVENT_SAMPLE, "mean_thought_tokens", NULL},
                {"lower quartile", EVENT_SAMPLE, "thought_tokens_25", NULL},
                {"median", EVENT_SAMPLE, "thought_tokens_50", NULL},
                {"upper quartile", EVENT_SAMPLE, "thought_tokens_75", NULL}},
     .zero = true},
    {.title = "Sampled responses",
     .y_label = "tokens",
     .series = {{"mean", EVENT_SAMPLE, "mean_response_tokens", NULL},
                {"lower quartile", EVENT_SAMPLE, "response_tokens_25", NULL},
                {"median", EVENT_SAMPLE, "response_tokens_50", NULL},
                {"upper quartile", EVENT_SAMPLE, "response_tokens_75", NULL}},
     .zero = true},
    {.title = "Responses in pairs",
     .y_label = "mean characters",
     .series = {{"chosen", EVENT_PAIRS, "mean_chosen_length", NULL},
                {"rejected", EVENT_PAIRS, "mean_rejected_length", NULL},
                {"chosen − rejected", EVENT_PAIRS, "length_difference", NULL}},
     .zero = true},
    {.title = "Length penalty",
     .y_label = "ρ",
     .series = {{"ρ", EVENT_PAIRS, "rho", NULL}},
     .zero = true,
     .by_segment = true},
    {.title = "Prompts without a pair",
     .y_label = "% of prompts",
     .series = {{"all", EVENT_PAIRS, "unpaired_share", NULL}, {"ties", EVENT_PAIRS, "tie_share", NULL}},
     .scale = 100,
     .zero = true},
    {.title = "Format kept",
     .y_label = "% of outputs",
     .series = {{"validation", EVENT_VALIDATE, "format_rate", NULL},
                {"sampling", EVENT_SAMPLE, "format_rate", NULL}},
     .scale = 100,
     .zero = true},
    {.title = "Repetition",
     .y_label = "% of 4-word sequences",
     .note = "Share of a response's sequences of four words that stood in it before.",
     .series = {{"validation", EVENT_VALIDATE, "repetition", NULL},
                {"sampling", EVENT_SAMPLE, "repetition", NULL}},
     .scale = 100,
     .zero = true,
     .beside = 1,
     .beside_title = "Repetition on validation"},
    {.title = "Distance from the start model",
     .y_label = "KL estimate, nats a token",
     .note = "Two estimates from the sampled outputs. "
             "k1 is the mean log-ratio and may fall below zero by chance; k3 may not.",
     .series = {{"k1", EVENT_KL, "per_token", NULL}, {"k3", EVENT_KL, "k3_per_token", NULL}},
     .zero = true,
     .beside = 1},
    {.title = "Sampler against trainer",
     .y_label = "log-probability gap, nats a token",
     .series = {{"largest", EVENT_GAP, "max", NULL}, {"mean", EVENT_GAP, "mean", NULL}},
     .zero = true},
};

static double error_of(const struct report_iteration *it, const struct trend_series *series)
{
  double error = report_event_number(it, series->event, series->error);
  return series->key || isfinite(error) ? error : it->validation_se;
}

/* The points that are there: an iteration that has not come so far is no gap in a line. Owns x. */
static struct chart_series points_of(const struct report *report, const struct trend *trend,
                                     const struct trend_series *series)
{
  size_t n = 0, most = report->n_iterations;
  double scale = trend->scale != 0 ? trend->scale : 1;
  double *x = tpo_calloc(3 * most, sizeof *x, NULL);
  if (!x) return (struct chart_series){.name = series->name};
  for (size_t i = 0; i < most; i++) {
    const struct report_iteration *it = &report->iterations[i];
    double y = series->key ? report_event_number(it, series->event, series->key) : report_validation(it);
    if (!isfinite(y)) continue;
    x[n] = trend->over_samples ? report_drawn(report, it->number, false)
                               : (double)report_position(report, it->number);
    if (!isfinite(x[n])) continue;
    x[most + n] = scale * y;
    if (series->error) x[2 * most + n] = scale * trend->bars * error_of(it, series);
    n++;
  }
  if (trend->from_start && n == 1 && x[0] == 0) n = 0;
  return (struct chart_series){
      .name = series->name, .x = x, .y = x + most, .error = series->error ? x + 2 * most : NULL, .n = n};
}

void trend_charts(struct tpo_buf *out, const struct report *report)
{
  for (size_t t = 0; t < sizeof trends / sizeof trends[0]; t++) {
    const struct trend *trend = &trends[t];
    struct chart_series series[MOST_SERIES];
    size_t n = 0, points = 0;
    if (trend->by_segment && report->n_segments > 0) continue;
    for (size_t s = 0; s < MOST_SERIES && trend->series[s].name; s++) {
      series[n] = points_of(report, trend, &trend->series[s]);
      if (!series[n].x) out->failed = true;
      if (series[n].n == 0)
        free((double *)series[n].x);
      else
        points += series[n++].n;
    }
    if (points)
      chart_lines(out, &(struct chart){.title = trend->title,
                                       .x_label = trend->over_samples ? "samples drawn for training"
                                                                      : report_unit(report, false),
                                       .y_label = trend->y_label,
                                       .note = trend->note,
                                       .series = series,
                                       .n_series = n,
                                       .zero = trend->zero});
    for (size_t s = 0; s < n; s++) free((double *)series[s].x);
  }
}

static void trend_beside(struct tpo_buf *out, const struct trend *trend, const struct report *const *reports,
                         const char (*names)[16], size_t n)
{
  struct chart_series series[MOST_BESIDE];
  size_t points = 0;
  bool steps = false, iterations = false;
  for (size_t r = 0; r < n; r++) {
    series[r] = points_of(reports[r], trend, &trend->series[trend->beside - 1]);
    series[r].name = names[r];
    points += series[r].n;
    out->failed |= !series[r].x && reports[r]->n_iterations > 0;
    *(report_in_steps(reports[r]) ? &steps : &iterations) = true;
  }
  if (points)
    chart_lines(out, &(struct chart){.title = trend->beside_title ? trend->beside_title : trend->title,
                                     .x_label = trend->over_samples   ? "samples drawn for training"
                                                : steps && iterations ? "iteration or step"
                                                : steps               ? "step"
                                                                      : "iteration",
                                     .y_label = trend->y_label,
                                     .note = trend->bars > 0 ? trend->note : NULL,
                                     .series = series,
                                     .n_series = n,
                                     .zero = trend->zero});
  for (size_t r = 0; r < n; r++) free((double *)series[r].x);
}

void trend_charts_beside(struct tpo_buf *out, const struct report *const *reports, const char (*names)[16],
                         size_t n)
{
  for (size_t t = 0; t < sizeof trends / sizeof trends[0]; t++)
    if (trends[t].beside) trend_beside(out, &trends[t], reports, names, n);
}
