/* What was watched besides validation: a line for each, over the iterations, and its difference from the
 * start. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "measure/dynamics.h"
#include "report/chart.h"
#include "report/html.h"
#include "report/names.h"
#include "report/parts.h"
#include "report/position.h"

enum { MOST_WATCHES = 64, MOST_SERIES = 4 };

/* The iteration's event of that name; NULL: it has none. The last one counts. */
static const json_t *event_of(const struct report_iteration *it, const char *name)
{
  size_t i;
  const json_t *event, *found = NULL;
  json_array_foreach(it->watch, i, event)
  {
    const char *own = json_string_value(json_object_get(event, "name"));
    if (own && strcmp(own, name) == 0) found = event;
  }
  return found;
}

static void list_names(const struct report *report, struct names *names)
{
  size_t e;
  const json_t *event;
  for (size_t i = 0; i < report->n_iterations; i++)
    json_array_foreach(report->iterations[i].watch, e, event)
        names_add(names, json_string_value(json_object_get(event, "name")));
  names_settle(names, MOST_WATCHES);
}

static bool is_share(const json_t *event)
{
  const char *kind = json_string_value(json_object_get(event, "kind"));
  return !kind || strcmp(kind, "rule") != 0;
}

static void put_value(struct tpo_buf *out, const json_t *event)
{
  double value = report_number(event, "value"), se = report_number(event, "value_se");
  if (is_share(event)) {
    html_percent(out, value, 1);
    html_error(out, 100 * se, 1);
  } else {
    html_number(out, value, 3);
    html_error(out, se, 3);
  }
}

static void put_difference(struct tpo_buf *out, const json_t *event)
{
  double scale = is_share(event) ? 100 : 1, difference = report_number(event, "difference"),
         se = report_number(event, "difference_se");
  int decimals = is_share(event) ? 1 : 3;
  if (!event || !isfinite(difference)) {
    tpo_buf_puts(out, "–");
    return;
  }
  html_signed(out, scale * difference, decimals);
  html_error(out, scale * se, decimals);
  if (!isfinite(se) || !(report_number(event, "compared") >= LEAST_COMPARED)) return;
  if (difference < -2 * se)
    tpo_buf_puts(out, " <strong class=\"down\">worse</strong>");
  else if (difference > 2 * se)
    tpo_buf_puts(out, " <strong class=\"up\">better</strong>");
}

static void put_row(struct tpo_buf *out, const struct report *report, const char *name)
{
  const json_t *last = NULL, *any = NULL;
  for (size_t i = 0; i < report->n_iterations; i++) {
    const json_t *event = event_of(&report->iterations[i], name);
    if (event) any = event;
    if (event && report->iterations[i].number > 0) last = event;
  }
  tpo_buf_puts(out, "<tr><th scope=\"row\">");
  html_text(out, name);
  tpo_buf_puts(out, "</th><td>");
  const char *kind = json_string_value(json_object_get(any, "kind"));
  html_text(out, kind ? kind : "");
  tpo_buf_puts(out, "</td><td>");
  html_number(out, report_number(any, "n"), 0);
  tpo_buf_puts(out, "</td>");
  for (size_t i = 0; i < report->n_iterations; i++) {
    const json_t *event = event_of(&report->iterations[i], name);
    tpo_buf_puts(out, "<td>");
    if (event) put_value(out, event);
    tpo_buf_puts(out, "</td>");
  }
  tpo_buf_puts(out, "<td>");
  put_difference(out, last);
  tpo_buf_puts(out, "</td></tr>\n");
}

/* Further figures of a watch, each a row where some iteration has it, above 0. */
static const struct {
  const char *key, *name;
  bool count; /* else a share */
} figures[] = {{"instruction_strict", "by check, strict", false},
               {"prompt_loose", "by prompt, loose", false},
               {"instruction_loose", "by check, loose", false},
               {"unparsed_share", "outputs that do not parse", false},
               {"cut", "outputs cut at a budget or the context", true},
               {"no_answer", "responses without a number", true}};
enum { N_FIGURES = sizeof figures / sizeof figures[0] };

static bool has_figure(const struct report *report, const char *name, const char *key)
{
  for (size_t i = 0; i < report->n_iterations; i++)
    if (report_number(event_of(&report->iterations[i], name), key) > 0) return true;
  return false;
}

static void put_figure(struct tpo_buf *out, const struct report *report, const char *name, size_t f)
{
  if (!has_figure(report, name, figures[f].key)) return;
  tpo_buf_puts(out, "<tr><th scope=\"row\">");
  html_text(out, name);
  tpo_buf_printf(out, ", %s</th><td></td><td></td>", figures[f].name);
  for (size_t i = 0; i < report->n_iterations; i++) {
    double value = report_number(event_of(&report->iterations[i], name), figures[f].key);
    tpo_buf_puts(out, "<td>");
    if (isfinite(value) && figures[f].count)
      html_number(out, value, 0);
    else if (isfinite(value))
      html_percent(out, value, 1);
    tpo_buf_puts(out, "</td>");
  }
  tpo_buf_puts(out, "<td></td></tr>\n");
}

/* Points of one watch, from iteration 1 on; owns x. */
static struct chart_series points_of(const struct report *report, const char *name)
{
  size_t n = 0, most = report->n_iterations;
  double *x = tpo_calloc(3 * most, sizeof *x, NULL);
  if (!x) return (struct chart_series){.name = name};
  for (size_t i = 0; i < most; i++) {
    const json_t *event = event_of(&report->iterations[i], name);
    double y = report_number(event, "difference");
    if (!isfinite(y)) continue;
    x[n] = (double)report_position(report, report->iterations[i].number);
    x[most + n] = y;
    x[2 * most + n++] = 2 * report_number(event, "difference_se");
  }
  return (struct chart_series){.name = name, .x = x, .y = x + most, .error = x + 2 * most, .n = n};
}

/* As many watches a chart as it has colours. */
static void put_charts(struct tpo_buf *out, const struct report *report, const struct names *names)
{
  for (size_t first = 0; first < names->n; first += MOST_SERIES) {
    struct chart_series series[MOST_SERIES];
    size_t here = names->n - first < MOST_SERIES ? names->n - first : MOST_SERIES;
    for (size_t s = 0; s < here; s++) {
      series[s] = points_of(report, names->list[first + s].text);
      if (!series[s].x) out->failed = true;
    }
    chart_lines(out,
                &(struct chart){.title = "Paired difference from the start model",
                                .x_label = report_unit(report, false),
                                .y_label = "difference in accuracy or score",
                                .note = "Bars: ± 2 standard errors. A bar that crosses zero is within noise.",
                                .series = series,
                                .n_series = here,
                                .zero = true});
    for (size_t s = 0; s < here; s++) free((double *)series[s].x);
  }
}

void part_watch(struct tpo_buf *out, const struct report *report)
{
  struct names names = {0};
  list_names(report, &names);
  out->failed = out->failed || names.failed;
  if (names.n == 0) return;
  tpo_buf_puts(
      out, "<section id=\"watch\">\n<h2>Watch</h2>\n<p>Measured besides validation (<code>run.watch</code>), "
           "on the same instructions each time; nothing of the run depends on it. The difference is the last "
           "measured model’s from the start model, paired by instruction, with its standard error; "
           "“worse” and “better” are beyond two of them over ");
  tpo_buf_printf(out,
                 "%d instructions or more.</p>\n"
                 "<div class=\"scroll\"><table class=\"iterations\">\n<thead><tr><th scope=\"col\">watch</th>"
                 "<th scope=\"col\">kind</th><th scope=\"col\">instructions</th>",
                 LEAST_COMPARED);
  for (size_t i = 0; i < report->n_iterations; i++)
    put_column_head(out, report, report->iterations[i].number);
  tpo_buf_puts(out, "<th scope=\"col\">difference</th></tr></thead>\n<tbody>\n");
  for (size_t i = 0; i < names.n; i++) {
    put_row(out, report, names.list[i].text);
    for (size_t f = 0; f < N_FIGURES; f++) put_figure(out, report, names.list[i].text, f);
  }
  tpo_buf_puts(out, "</tbody></table></div>\n");
  if (names.more)
    tpo_buf_printf(out, "<p class=\"note\">Not shown here: %zu more, which metrics.jsonl has.</p>\n",
                   names.more);
  tpo_buf_puts(out, "<div class=\"charts\">\n");
  put_charts(out, report, &names);
  tpo_buf_puts(out, "</div>\n</section>\n");
  names_free(&names);
}
