/* What a run in steps took: steps, samples and time, from its metrics. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/digits.h"
#include "base/file.h"
#include "run/loop.h"

enum { N_SPENT = 4 };
static const char *const spent_names[N_SPENT] = {"sample", "judge", "reference", "train"};

struct cost {
  int64_t steps, skipped;
  double prompts, samples;
  double spent[N_SPENT], wait;      /* seconds; wait: of those, that a rank had nothing to do */
  double difference, difference_se; /* to the start model, on validation; NaN: not validated */
};

static double number(const json_t *object, const char *key)
{
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

static double or_none(double value)
{
  return isfinite(value) ? value : 0;
}

static void take_event(struct cost *cost, const struct tpo_run_config *run, const json_t *event)
{
  const char *name = json_string_value(json_object_get(event, "event"));
  if (!name) return;
  if (strcmp(name, "step") == 0) {
    cost->steps++;
    cost->skipped += json_is_true(json_object_get(event, "skipped"));
  } else if (strcmp(name, "segment") == 0) {
    const json_t *seconds = json_object_get(event, "seconds");
    cost->prompts += or_none(number(event, "prompts"));
    cost->samples += or_none(number(event, "samples"));
    for (int s = 0; s < N_SPENT; s++) cost->spent[s] += or_none(number(seconds, spent_names[s]));
    cost->wait += or_none(number(seconds, "wait"));
  } else if (strcmp(name, "validate") == 0 && number(event, "iteration") == tpo_run_iterations(run)) {
    cost->difference = number(event, "difference");
    cost->difference_se = number(event, "difference_se");
  }
}

static int read_cost(const struct loop *loop, struct cost *cost, struct tpo_error *err)
{
  char path[4096];
  struct tpo_lines lines;
  *cost = (struct cost){.difference = NAN, .difference_se = NAN};
  int status = loop_path(loop, -1, "metrics.jsonl", path, err), more = 0;
  if (status == 0) status = tpo_lines_open(&lines, path, err);
  if (status < 0) return status;
  while ((more = tpo_lines_next(&lines, err)) == 1) {
    json_t *event = json_loadb(lines.line.data, lines.line.len, 0, NULL);
    take_event(cost, &loop->config->run, event);
    json_decref(event);
  }
  tpo_lines_close(&lines);
  return more;
}

/* Whole seconds, of short times tenths too. */
static const char *seconds_text(double seconds, bool tenths, char out[40])
{
  if (!tenths) return tpo_group_digits(round(seconds), out);
  snprintf(out, 40, "%.1f", seconds);
  return out;
}

static void put_time(struct tpo_buf *out, const struct cost *cost)
{
  double sum = 0;
  char digits[40];
  for (int s = 0; s < N_SPENT; s++) sum += cost->spent[s];
  if (!(sum > 0)) return;
  bool tenths = sum < 100;
  tpo_buf_puts(out, "  seconds                 ");
  for (int s = 0; s < N_SPENT; s++)
    tpo_buf_printf(out, "%s %s %s (%.0f %%)", s ? "," : "", spent_names[s],
                   seconds_text(cost->spent[s], tenths, digits), 100 * cost->spent[s] / sum);
  tpo_buf_printf(out, "; waiting within them %s\n", seconds_text(cost->wait, tenths, digits));
}

int loop_cost_text(const struct loop *loop, struct tpo_buf *out, struct tpo_error *err)
{
  struct cost cost;
  char steps[40], samples[40], prompts[40];
  int status = read_cost(loop, &cost, err);
  if (status < 0) return status;
  tpo_buf_printf(out, "\nTraining steps %s", tpo_group_digits((double)cost.steps, steps));
  if (cost.skipped) tpo_buf_printf(out, ", %lld of them skipped for want of a pair", (long long)cost.skipped);
  tpo_buf_printf(out, ":\n  samples drawn            %s, of %s prompts\n",
                 tpo_group_digits(cost.samples, samples), tpo_group_digits(cost.prompts, prompts));
  if (isfinite(cost.difference) && cost.samples > 0) {
    tpo_buf_printf(out, "  gain for 1000 of them    %+.3f", 1000 * cost.difference / cost.samples);
    if (isfinite(cost.difference_se))
      tpo_buf_printf(out, " ± %.3f", 1000 * cost.difference_se / cost.samples);
    tpo_buf_putc(out, '\n');
  }
  put_time(out, &cost);
  return 0;
}
