/* Where the time of each iteration, or of each stretch of steps, went. */
#include <math.h>
#include <stdlib.h>
#include "base/memory.h"
#include "report/chart.h"
#include "report/parts.h"
#include "report/position.h"
#include "report/segments.h"

enum { VALIDATE = SPENT_WAIT, OTHER, N_NAMES }; /* waiting is within the others */

static double or_none(double seconds)
{
  return isfinite(seconds) ? seconds : 0;
}

static struct chart_stack spent_on(const struct report *report, const struct report_iteration *it)
{
  struct chart_stack row = {0};
  if (it->number == 0)
    snprintf(row.label, sizeof row.label, "start");
  else
    snprintf(row.label, sizeof row.label, "%s %d", report_unit(report, false),
             report_position(report, it->number));
  for (int s = 0; s < VALIDATE; s++) row.values[s] = or_none(report_seconds(it, (enum report_spent)s));
  double told = 0;
  for (int s = 0; s < VALIDATE; s++) told += row.values[s];
  row.values[VALIDATE] = or_none(it->seconds[PHASE_VALIDATE]) + or_none(it->seconds[PHASE_WATCH]);
  row.values[OTHER] = or_none(it->seconds[PHASE_PROMPTS]) + fmax(0, or_none(it->seconds[PHASE_STEPS]) - told);
  return row;
}

static double sum_of(const struct chart_stack *row)
{
  double sum = 0;
  for (int s = 0; s < N_NAMES; s++) sum += row->values[s];
  return sum;
}

void time_chart(struct tpo_buf *out, const struct report *report)
{
  static const char *const names[N_NAMES] = {"sample", "judge", "reference", "train", "validate and watch",
                                             "other"};
  struct chart_stack *rows = tpo_calloc(report->n_iterations, sizeof *rows, NULL);
  double largest = 0;
  size_t n = 0;
  if (!rows) {
    out->failed = true;
    return;
  }
  for (size_t i = 0; i < report->n_iterations; i++) {
    rows[n] = spent_on(report, &report->iterations[i]);
    double sum = sum_of(&rows[n]);
    if (!(sum > 0 && sum < 1e12)) continue; /* no time that a run takes */
    largest = fmax(largest, sum);
    n++;
  }
  double unit = largest > 3 * 3600 ? 3600 : largest > 180 ? 60 : 1;
  for (size_t i = 0; i < n; i++)
    for (int s = 0; s < N_NAMES; s++) rows[i].values[s] /= unit;
  chart_stacks(out, "Where the time went",
               unit > 60  ? "hours"
               : unit > 1 ? "minutes"
                          : "seconds",
               report_in_steps(report)
                   ? "Other: instructions, distances and what is written."
                   : "The reference’s log-probabilities are counted with choosing the pairs; other: "
                     "instructions, distances and what is written.",
               names, N_NAMES, rows, n);
  free(rows);
}
