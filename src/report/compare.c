/* The same validation instruction, answered by the start model and after each iteration. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/memory.h"
#include "report/html.h"
#include "report/parts.h"
#include "report/position.h"

enum { MOST_SHOWN = 50, MOST_BY_CHANGE = 30, MOST_ANSWERS = 24, MOST_BYTES = 16 << 20, EXCERPT = 150 };

struct item {
  size_t first;  /* row in the first iteration that has the prompt */
  double change; /* of the prompt's mean score, first to last; NaN unknown */
  uint64_t key;
};

/* NaN where the prompt is not among the samples, or has no score. */
static double score_of(const struct tpo_samples *samples, const char *id, double unparsed)
{
  for (size_t i = 0; i < samples->n; i = tpo_samples_prompt_end(samples, i))
    if (strcmp(samples->rows[i].prompt_id, id) == 0) return report_prompt_score(samples, i, unparsed);
  return NAN;
}

static bool has_unparsed(const struct tpo_samples *samples)
{
  for (size_t i = 0; i < samples->n; i++)
    if (!samples->rows[i].scored && !samples->rows[i].format_ok) return true;
  return false;
}

static double size_of(double change)
{
  return isfinite(change) ? fabs(change) : -1;
}

static int by_change(const void *a, const void *b)
{
  const struct item *x = a, *y = b;
  double p = size_of(x->change), q = size_of(y->change);
  if (p != q) return p < q ? 1 : -1;
  return (x->first > y->first) - (x->first < y->first);
}

static int by_key(const void *a, const void *b)
{
  const struct item *x = a, *y = b;
  return (x->key > y->key) - (x->key < y->key);
}

static void put_change(struct tpo_buf *out, double change)
{
  if (!isfinite(change)) {
    tpo_buf_puts(out, "<span class=\"badge quiet\">no comparison</span>");
    return;
  }
  tpo_buf_printf(out, "<span class=\"badge %s\">", change > 0 ? "good" : change < 0 ? "bad" : "quiet");
  if (change == 0)
    tpo_buf_puts(out, "same score");
  else
    html_signed(out, change, 2);
  tpo_buf_puts(out, "</span>");
}

static void put_item(struct tpo_buf *out, const struct report *report, const struct tpo_samples *base,
                     const struct item *item)
{
  const struct tpo_sample_row *row = &base->rows[item->first];
  int shown = 0;
  char title[48];
  tpo_buf_puts(out, "<details class=\"prompt\">\n<summary><span class=\"ask\">");
  html_excerpt(out, row->instruction, EXCERPT);
  tpo_buf_puts(out, "</span> <span class=\"gist\">");
  put_change(out, item->change);
  tpo_buf_puts(out, "</span></summary>\n");
  prompt_body(out, row);
  tpo_buf_puts(out, "<div class=\"samples\">\n");
  for (size_t i = 0; i < report->n_iterations; i++) {
    const struct report_iteration *it = &report->iterations[i];
    for (size_t r = 0; r < it->validation.n && shown < MOST_ANSWERS; r++) {
      if (strcmp(it->validation.rows[r].prompt_id, row->prompt_id) != 0) continue;
      if (it->number == 0)
        snprintf(title, sizeof title, "Start model");
      else
        snprintf(title, sizeof title, "%s %d", report_unit(report, true),
                 report_position(report, it->number));
      sample_card(out, &it->validation.rows[r], title, 0, 0);
      shown++;
    }
  }
  tpo_buf_puts(out, "</div>\n</details>\n");
}

static void put_items(struct tpo_buf *out, const struct report *report, const struct tpo_samples *base,
                      struct item *items, size_t n)
{
  size_t shown = 0, most = n < MOST_SHOWN ? n : MOST_SHOWN, begin = out->len;
  qsort(items, n, sizeof *items, by_change);
  if (n > most) {
    qsort(items + MOST_BY_CHANGE, n - MOST_BY_CHANGE, sizeof *items, by_key);
    qsort(items + MOST_BY_CHANGE, most - MOST_BY_CHANGE, sizeof *items, by_change);
  }
  while (shown < most && out->len - begin < MOST_BYTES) put_item(out, report, base, &items[shown++]);
  if (shown < n)
    tpo_buf_printf(
        out,
        "<p class=\"note\">%zu of %zu instructions: those that changed most and a sample of the others; "
        "%zu are left out.</p>\n",
        shown, n, n - shown);
}

static void put_heading(struct tpo_buf *out, const struct report *report, bool unparsed, double score)
{
  tpo_buf_printf(
      out,
      "<section id=\"validation\">\n<h2>Validation answers</h2>\n<p>The same held-back instructions, "
      "answered by the start model and after each %s.",
      report_in_steps(report) ? "validated step" : "iteration");
  if (unparsed) {
    tpo_buf_puts(out, " In the change of an instruction’s mean score, an output that does not parse counts ");
    html_number(out, score, 2);
    tpo_buf_putc(out, '.');
  }
  tpo_buf_puts(out, "</p>\n");
}

void part_validation(struct tpo_buf *out, const struct report *report)
{
  const struct tpo_samples *first = NULL, *last = NULL;
  double unparsed = NAN; /* one value on both sides, as in the run's paired difference */
  for (size_t i = 0; i < report->n_iterations; i++) {
    const struct report_iteration *it = &report->iterations[i];
    if (it->validation.n == 0) continue;
    if (!first) first = &it->validation;
    last = &it->validation;
    unparsed = report_unparsed(report, it);
  }
  if (!first) return;
  struct item *items = tpo_calloc(first->n, sizeof *items, NULL);
  size_t n = 0;
  if (!items) {
    out->failed = true;
    return;
  }
  for (size_t row = 0; row < first->n; row = tpo_samples_prompt_end(first, row)) {
    const char *id = first->rows[row].prompt_id;
    items[n] = (struct item){.first = row, .change = NAN, .key = tpo_hash64_str(id)};
    if (first != last)
      items[n].change = score_of(last, id, unparsed) - report_prompt_score(first, row, unparsed);
    n++;
  }
  put_heading(out, report, first != last && (has_unparsed(first) || has_unparsed(last)), unparsed);
  put_items(out, report, first, items, n);
  tpo_buf_puts(out, "</section>\n");
  free(items);
}
