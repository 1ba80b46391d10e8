/* Iterations by their number or by their training steps. */
#include "report/position.h"

bool report_in_steps(const struct report *report)
{
  return report->has_config && tpo_run_in_steps(&report->config.run) && report->config.run.steps > 0;
}

int64_t report_position(const struct report *report, int iteration)
{
  if (!report_in_steps(report)) return iteration;
  int64_t end = (int64_t)iteration * tpo_run_interval(&report->config.run), last = report->config.run.steps;
  return end < last ? end : last;
}

const char *report_unit(const struct report *report, bool large)
{
  if (report_in_steps(report)) return large ? "Step" : "step";
  return large ? "Iteration" : "iteration";
}

void put_stretch(struct tpo_buf *out, const struct report *report, int iteration, bool large)
{
  long long last = (long long)report_position(report, iteration),
            before = (long long)report_position(report, iteration - 1);
  if (!report_in_steps(report) || before + 1 >= last)
    tpo_buf_printf(out, "%s %lld", report_unit(report, large), last);
  else
    tpo_buf_printf(out, "%s %lld to %lld", large ? "Steps" : "steps", before + 1, last);
}

void put_column_head(struct tpo_buf *out, const struct report *report, int iteration)
{
  if (iteration == 0)
    tpo_buf_puts(out, "<th scope=\"col\">start</th>");
  else
    tpo_buf_printf(out, "<th scope=\"col\">%s%lld</th>", report_in_steps(report) ? "step " : "",
                   (long long)report_position(report, iteration));
}
