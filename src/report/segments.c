/* Reads segments, sums them up and draws them over the training steps. */
#include "report/segments.h"

#include <math.h>
#include <stdlib.h>
#include "base/memory.h"
#include "report/chart.h"
#include "report/parts.h"

enum { MOST_SEGMENTS = 1000000, MOST_SERIES = 2 };

static const char *const field_names[N_SEGMENT_FIELDS] = {
    "first_step", "mean_score", "thought_tokens", "response_tokens", "prompts", "pairs", "rho"};
static const char *const spent_names[N_SPENT] = {"sample", "judge", "reference", "train", "wait"};

static void add(double *sum, double value)
{
  if (isfinite(value)) *sum = isfinite(*sum) ? *sum + value : value;
}

bool take_segment(struct report *report, struct report_iteration *it, const json_t *event)
{
  const json_t *seconds = json_object_get(event, "seconds");
  if (report->n_segments >= MOST_SEGMENTS ||
      tpo_grow(&report->segments, &report->segments_capacity, report->n_segments + 1,
               sizeof *report->segments, NULL) < 0)
    return false;
  struct report_segment *segment = &report->segments[report->n_segments++];
  segment->iteration = it->number;
  report_reach(report, report_number(event, "first_step") + report_number(event, "steps") - 1);
  for (int f = 0; f < N_SEGMENT_FIELDS; f++) segment->values[f] = report_number(event, field_names[f]);
  for (int s = 0; s < N_SPENT; s++) add(&it->spent[s], report_number(seconds, spent_names[s]));
  add(&it->samples, report_number(event, "samples"));
  add(&it->drawn_tokens, report_number(event, "drawn_tokens"));
  return true;
}

double report_seconds(const struct report_iteration *it, enum report_spent spent)
{
  static const enum report_phase phases[N_SPENT] = {PHASE_SAMPLE, PHASE_JUDGE, PHASE_PAIRS, PHASE_DPO,
                                                    N_PHASES};
  if (isfinite(it->spent[spent]) || phases[spent] == N_PHASES) return it->spent[spent];
  return it->seconds[phases[spent]];
}

/* An interval's own event tells all of its samples; until it is there, its segments tell theirs. */
double report_drawn(const struct report *report, int iteration, bool tokens)
{
  double sum = iteration == 0 ? 0 : NAN;
  for (size_t i = 0; i < report->n_iterations; i++) {
    const struct report_iteration *it = &report->iterations[i];
    if (it->number < 1 || it->number > iteration) continue;
    double of_it = report_event_number(it, EVENT_SAMPLE, tokens ? "tokens" : "samples");
    if (!isfinite(of_it)) of_it = tokens ? it->drawn_tokens : it->samples;
    if (!isfinite(of_it)) return NAN; /* its samples are not told: the sum would be too small */
    add(&sum, of_it);
  }
  return sum;
}

struct segment_chart {
  const char *title, *y_label, *note;
  enum report_segment_field fields[MOST_SERIES];
  const char *names[MOST_SERIES];
  int n_fields;
  bool share; /* of the segment's prompts, in % */
};

static const struct segment_chart charts[] = {
    {.title = "Scores of samples by step",
     .y_label = "mean judge score",
     .note = "Of the samples that were drawn before a step, with the weights of that moment.",
     .fields = {SEGMENT_SCORE},
     .names = {"mean"},
     .n_fields = 1},
    {.title = "Lengths of samples by step",
     .y_label = "mean tokens",
     .fields = {SEGMENT_THOUGHT, SEGMENT_RESPONSE},
     .names = {"thought", "response"},
     .n_fields = 2},
    {.title = "Length penalty by step",
     .y_label = "ρ",
     .fields = {SEGMENT_RHO},
     .names = {"ρ"},
     .n_fields = 1},
    {.title = "Pairs by step",
     .y_label = "% of prompts with a pair",
     .fields = {SEGMENT_PAIRS},
     .names = {"with a pair"},
     .n_fields = 1,
     .share = true},
};

/* x, y: [n_segments], y with room for MOST_SERIES columns. */
static void put_segment_chart(struct tpo_buf *out, const struct report *report,
                              const struct segment_chart *which, const double *x, double *y)
{
  struct chart_series series[MOST_SERIES];
  size_t n = report->n_segments, n_series = 0;
  for (int f = 0; f < which->n_fields; f++) {
    double *column = y + (size_t)f * n;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
      const double *values = report->segments[i].values;
      column[i] = values[which->fields[f]] * (which->share ? 100 / values[SEGMENT_PROMPTS] : 1);
      any |= isfinite(column[i]) && isfinite(x[i]);
    }
    if (any) series[n_series++] = (struct chart_series){.name = which->names[f], .x = x, .y = column, .n = n};
  }
  if (n_series)
    chart_lines(out, &(struct chart){.title = which->title,
                                     .x_label = "training step",
                                     .y_label = which->y_label,
                                     .note = which->note,
                                     .series = series,
                                     .n_series = n_series,
                                     .zero = which->fields[0] != SEGMENT_SCORE});
}

void segment_charts(struct tpo_buf *out, const struct report *report)
{
  size_t n = report->n_segments;
  if (n == 0) return;
  double *x = tpo_calloc((1 + MOST_SERIES) * n, sizeof *x, NULL);
  if (!x) {
    out->failed = true;
    return;
  }
  for (size_t i = 0; i < n; i++) x[i] = report->segments[i].values[SEGMENT_FIRST_STEP];
  for (size_t c = 0; c < sizeof charts / sizeof charts[0]; c++)
    put_segment_chart(out, report, &charts[c], x, x + n);
  free(x);
}
