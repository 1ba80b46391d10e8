/* Iterations by their number or by their training steps. */
#include "report/position.h"

#include <math.h>
#include "config/last_step.h"

bool report_in_steps(const struct report *report)
{
  return report->has_config && tpo_run_in_steps(&report->config.run) && report->config.run.steps > 0;
}

/* All of its steps are made. */
static bool is_trained(const struct report *report, int iteration)
{
  for (size_t i = 0; i < report->n_iterations; i++)
    if (report->iterations[i].number == iteration)
      return isfinite(report->iterations[i].seconds[PHASE_STEPS]);
  return false;
}

int report_position(const struct report *report, int iteration)
{
  if (!report_in_steps(report)) return iteration;
  int last = config_last_step(&report->config.run, iteration);
  bool on_the_way = report->reached > 0 && report->reached < last && !is_trained(report, iteration);
  return on_the_way ? report->reached : last;
}

const char *report_unit(const struct report *report, bool large)
{
  if (report_in_steps(report)) return large ? "Step" : "step";
  return large ? "Iteration" : "iteration";
}

void put_stretch(struct tpo_buf *out, const struct report *report, int iteration, bool large)
{
  int last = report_position(report, iteration), before = report_position(report, iteration - 1);
  if (!report_in_steps(report) || before + 1 >= last)
    tpo_buf_printf(out, "%s %d", report_unit(report, large), last);
  else
    tpo_buf_printf(out, "%s %d to %d", large ? "Steps" : "steps", before + 1, last);
}

void put_column_head(struct tpo_buf *out, const struct report *report, int iteration)
{
  if (iteration == 0)
    tpo_buf_puts(out, "<th scope=\"col\">start</th>");
  else
    tpo_buf_printf(out, "<th scope=\"col\">%s%d</th>", report_in_steps(report) ? "step " : "",
                   report_position(report, iteration));
}
