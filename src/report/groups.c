/* Scores, win rates and passed checks by what the instructions are. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "measure/dynamics.h"
#include "report/html.h"
#include "report/names.h"
#include "report/parts.h"
#include "report/position.h"

enum {
  MOST_ROWS = 128,
  MOST_NAME = 120,
};

/* A way to tell instructions apart, and what is told of a group. */
struct sort {
  const char *by, *title, *head, *without;
  const char *value, *error; /* keys */
  bool percent;
  const char *note;
};
static const struct sort sorts[] = {
    {"category", "By category", "category", "without a category", "mean_score", "mean_score_se", false,
     "Mean judge score over instructions"},
    {"dataset", "By data set", "data set", "without a data set", "mean_score", "mean_score_se", false,
     "Mean judge score over instructions"},
    {"check", "By kind of check", "check", "without a check", "pass_rate", "pass_rate_se", true,
     "Share of an instruction’s checks of the kind that its responses passed, mean over instructions"},
};

/* Which of an event's groups a row shows. */
struct row {
  enum { NAMED, OTHER, WITHOUT } which;
  const char *name; /* of NAMED, borrowed */
};

static const json_t *group_of(const json_t *event, const struct row *row)
{
  size_t i;
  const json_t *group;
  if (row->which != NAMED) return json_object_get(event, row->which == OTHER ? "other" : "without");
  json_array_foreach(json_object_get(event, "groups"), i, group)
  {
    const char *name = json_string_value(json_object_get(group, "name"));
    if (name && strcmp(name, row->name) == 0) return group;
    if (i > MOST_ROWS) break;
  }
  return NULL;
}

struct rows {
  struct row list[MOST_ROWS + 2];
  size_t n;
  size_t more; /* names that are not among them */
};

/* What events have rows of. */
struct found {
  struct names names;
  bool other, without;
};

static void take_event(struct found *found, const json_t *event)
{
  size_t i;
  const json_t *group;
  json_array_foreach(json_object_get(event, "groups"), i, group)
      names_add(&found->names, json_string_value(json_object_get(group, "name")));
  found->other = found->other || json_is_object(json_object_get(event, "other"));
  found->without = found->without || json_is_object(json_object_get(event, "without"));
}

/* Frees found. Memory that was short makes out fail. */
static void settle_rows(struct rows *rows, struct found *found, struct tpo_buf *out)
{
  names_settle(&found->names, MOST_ROWS);
  rows->n = 0;
  rows->more = found->names.more;
  for (size_t i = 0; i < found->names.n; i++)
    rows->list[rows->n++] = (struct row){NAMED, found->names.list[i].text};
  if (found->other) rows->list[rows->n++] = (struct row){OTHER, NULL};
  if (found->without) rows->list[rows->n++] = (struct row){WITHOUT, NULL};
  out->failed = out->failed || found->names.failed;
  names_free(&found->names);
}

/* Whether any group of the event has the number that the sort tells: shares of a judge that compares have none. */
static bool has_values(const json_t *event, const struct sort *sort)
{
  size_t i;
  const json_t *group;
  json_array_foreach(json_object_get(event, "groups"), i,
                     group) if (isfinite(report_number(group, sort->value))) return true;
  return isfinite(report_number(json_object_get(event, "without"), sort->value));
}

/* The groups of the iterations' events, those of the last one first; none where none of them has a value. */
static void find_rows(struct rows *rows, const struct report *report, const char *of, const struct sort *sort,
                      struct tpo_buf *out)
{
  struct found found = {0};
  bool told = false;
  for (size_t i = report->n_iterations; i-- > 0;) {
    const json_t *event = report_breakdown(&report->iterations[i], "groups", of, sort->by);
    take_event(&found, event);
    told = told || has_values(event, sort);
  }
  settle_rows(rows, &found, out);
  if (!told) rows->n = 0;
}

/* Below a table. */
static void put_more(struct tpo_buf *out, const struct rows *rows)
{
  if (rows->more)
    tpo_buf_printf(out, "<p class=\"note\">Not shown here: %zu more, which metrics.jsonl has.</p>\n",
                   rows->more);
}

static void put_name(struct tpo_buf *out, const struct row *row, const struct sort *sort, const json_t *group)
{
  tpo_buf_puts(out, "<tr><th scope=\"row\">");
  if (row->which == NAMED)
    html_excerpt(out, row->name, MOST_NAME);
  else if (row->which == WITHOUT)
    tpo_buf_puts(out, sort->without);
  else {
    double groups = report_number(group, "groups");
    tpo_buf_puts(out, "<em>all others");
    if (isfinite(groups)) tpo_buf_puts(out, " (");
    if (isfinite(groups)) html_number(out, groups, 0);
    tpo_buf_puts(out, isfinite(groups) ? ")</em>" : "</em>");
  }
  tpo_buf_puts(out, "</th>");
}

static void put_value(struct tpo_buf *out, const json_t *group, const struct sort *sort)
{
  double value = report_number(group, sort->value), error = report_number(group, sort->error);
  tpo_buf_puts(out, "<td>");
  if (sort->percent) {
    html_percent(out, value, 1);
    html_error(out, 100 * error, 1);
  } else {
    html_number(out, value, 3);
    html_error(out, error, 3);
  }
  tpo_buf_puts(out, "</td>");
}

static void put_difference(struct tpo_buf *out, const json_t *group, const struct sort *sort)
{
  double scale = sort->percent ? 100 : 1, difference = scale * report_number(group, "difference");
  double error = scale * report_number(group, "difference_se");
  bool stands_out =
      report_number(group, "compared") >= LEAST_COMPARED && error > 0 && fabs(difference) >= 2 * error;
  const char *class = !stands_out ? NULL : difference > 0 ? "up" : "down";
  tpo_buf_puts(out, "<td>");
  if (class) tpo_buf_printf(out, "<strong class=\"%s\">", class);
  html_signed(out, difference, sort->percent ? 1 : 3);
  if (class) tpo_buf_puts(out, "</strong>");
  html_error(out, error, sort->percent ? 1 : 3);
  tpo_buf_puts(out, "</td>");
}

static void put_wins(struct tpo_buf *out, const json_t *group)
{
  double low = report_number(group, "win_rate_low"), high = report_number(group, "win_rate_high");
  tpo_buf_puts(out, "<td>");
  html_percent(out, report_number(group, "win_rate"), 1);
  if (isfinite(low) && isfinite(high)) {
    tpo_buf_puts(out, " (");
    html_number(out, 100 * low, 1);
    tpo_buf_puts(out, "–");
    html_number(out, 100 * high, 1);
    tpo_buf_puts(out, ")");
  }
  tpo_buf_puts(out, "</td>");
}

/* The validation of the start model and of the last iteration. */
struct change {
  const struct report_iteration *last;
  const json_t *start, *now, *baseline; /* events; NULL: none */
};

static struct change change_of(const struct report *report, const struct sort *sort)
{
  struct change c = {0};
  for (size_t i = 0; i < report->n_iterations; i++) {
    const struct report_iteration *it = &report->iterations[i];
    const json_t *event = report_breakdown(it, "groups", "validate", sort->by);
    if (!event) continue;
    if (it->number == 0) c.start = event;
    c.last = it;
    c.now = event;
  }
  if (c.last && !sort->percent) c.baseline = report_breakdown(c.last, "group_wins", "baseline", sort->by);
  return c;
}

static void put_change_head(struct tpo_buf *out, const struct report *report, const struct change *c,
                            const struct sort *sort)
{
  bool trained = c->now != c->start;
  tpo_buf_printf(out, "<tr><th scope=\"col\">%s</th><th scope=\"col\">instructions</th>", sort->head);
  if (c->start) tpo_buf_puts(out, "<th scope=\"col\">start model</th>");
  if (trained)
    tpo_buf_printf(out, "<th scope=\"col\">%s %d</th>", report_unit(report, false),
                   report_position(report, c->last->number));
  if (trained && c->start) tpo_buf_puts(out, "<th scope=\"col\">paired difference</th>");
  if (trained && c->start && !sort->percent)
    tpo_buf_puts(out, "<th scope=\"col\">won against the start, % (95 %)</th>");
  if (c->baseline) tpo_buf_puts(out, "<th scope=\"col\">won against the baseline, % (95 %)</th>");
  if (!sort->percent)
    tpo_buf_puts(out, "<th scope=\"col\">format kept</th><th scope=\"col\">response, characters</th>");
  tpo_buf_puts(out, "</tr>");
}

static void put_change_row(struct tpo_buf *out, const struct change *c, const struct row *row,
                           const struct sort *sort)
{
  const json_t *now = group_of(c->now, row);
  bool trained = c->now != c->start;
  put_name(out, row, sort, now);
  tpo_buf_puts(out, "<td>");
  html_number(out, report_number(now, "n"), 0);
  tpo_buf_puts(out, "</td>");
  if (c->start) put_value(out, group_of(c->start, row), sort);
  if (trained) put_value(out, now, sort);
  if (trained && c->start) put_difference(out, now, sort);
  if (trained && c->start && !sort->percent) put_wins(out, now);
  if (c->baseline) put_wins(out, group_of(c->baseline, row));
  if (!sort->percent) {
    tpo_buf_puts(out, "<td>");
    html_percent(out, report_number(now, "format_rate"), 1);
    tpo_buf_puts(out, "</td><td>");
    html_number(out, report_number(now, "mean_response_chars"), 1);
    tpo_buf_puts(out, "</td>");
  }
  tpo_buf_puts(out, "</tr>\n");
}

static void begin_table(struct tpo_buf *out)
{
  tpo_buf_puts(out, "<div class=\"scroll\"><table class=\"compare\">\n<thead>");
}

static void end_table(struct tpo_buf *out)
{
  tpo_buf_puts(out, "</tbody></table></div>\n");
}

static void put_change(struct tpo_buf *out, const struct report *report, const struct sort *sort)
{
  const struct change c = change_of(report, sort);
  struct found found = {0};
  struct rows rows;
  if (!c.now) return;
  take_event(&found, c.now);
  settle_rows(&rows, &found, out);
  tpo_buf_printf(
      out,
      "<p class=\"note\">Validation. %s ± standard error; differences are paired by instruction,"
      " and stand out where they are more than two standard errors over %d or more. Among many groups"
      " some do by chance.</p>\n",
      sort->note, LEAST_COMPARED);
  begin_table(out);
  put_change_head(out, report, &c, sort);
  tpo_buf_puts(out, "</thead>\n<tbody>\n");
  for (size_t r = 0; r < rows.n; r++) put_change_row(out, &c, &rows.list[r], sort);
  end_table(out);
  put_more(out, &rows);
}

/* A column an iteration that has such an event. */
static void put_over_iterations(struct tpo_buf *out, const struct report *report, const char *of,
                                const char *title, const struct sort *sort)
{
  struct rows rows;
  find_rows(&rows, report, of, sort, out);
  if (rows.n == 0) return;
  tpo_buf_printf(out, "<details><summary>%s, over the %ss</summary>\n", title, report_unit(report, false));
  begin_table(out);
  tpo_buf_printf(out, "<tr><th scope=\"col\">%s</th>", sort->head);
  for (size_t i = 0; i < report->n_iterations; i++)
    if (report_breakdown(&report->iterations[i], "groups", of, sort->by))
      tpo_buf_printf(out, "<th scope=\"col\">%d</th>", report_position(report, report->iterations[i].number));
  tpo_buf_puts(out, "</tr></thead>\n<tbody>\n");
  for (size_t r = 0; r < rows.n; r++) {
    put_name(out, &rows.list[r], sort, NULL);
    for (size_t i = 0; i < report->n_iterations; i++) {
      const json_t *event = report_breakdown(&report->iterations[i], "groups", of, sort->by);
      if (event) put_value(out, group_of(event, &rows.list[r]), sort);
    }
    tpo_buf_puts(out, "</tr>\n");
  }
  end_table(out);
  put_more(out, &rows);
  tpo_buf_puts(out, "</details>\n");
}

/* More than one group in some event, or a kind of check. */
static bool is_told(const struct report *report, const struct sort *sort, struct tpo_buf *out)
{
  struct rows validated, sampled;
  find_rows(&validated, report, "validate", sort, out);
  find_rows(&sampled, report, "judge", sort, out);
  size_t most = validated.n > sampled.n ? validated.n : sampled.n;
  return most > (sort->percent ? 0 : 1);
}

void part_groups(struct tpo_buf *out, const struct report *report)
{
  bool begun = false;
  for (size_t s = 0; s < sizeof sorts / sizeof *sorts; s++) {
    const struct sort *sort = &sorts[s];
    if (!is_told(report, sort, out)) continue;
    if (!begun) tpo_buf_puts(out, "<section id=\"groups\">\n<h2>By kind of instruction</h2>\n");
    begun = true;
    tpo_buf_printf(out, "<h3>%s</h3>\n", sort->title);
    put_change(out, report, sort);
    put_over_iterations(out, report, "validate", "Validation", sort);
    put_over_iterations(out, report, "judge", "Sampled outputs", sort);
  }
  if (begun) tpo_buf_puts(out, "</section>\n");
}
