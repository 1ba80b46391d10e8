/* Draws lines and histograms as SVG. */
#include "report/chart.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/memory.h"
#include "report/axis.h"
#include "report/html.h"

/* Units of the view box; a chart is 270 to 560 CSS pixels wide, so text of 13 stays readable. */
enum { WIDTH = 480, HEIGHT = 280, LEFT = 58, RIGHT = 16, TOP = 40, BOTTOM = 44 };
enum { MOST_POINTS = 300, MOST_MARKERS = 60, MOST_SERIES = 4, MOST_ROWS = 9, BINS = 24 };

static bool drawable(const struct chart_series *s, size_t i)
{
  return axis_takes(s->x[i]) && axis_takes(s->y[i]);
}

static double bar_of(const struct chart_series *s, size_t i)
{
  return s->error && axis_takes(s->error[i]) ? fabs(s->error[i]) : 0;
}

/* Ranges over all drawable points with their error bars; false when there is none. */
static bool find_ranges(const struct chart *chart, double x[2], double y[2])
{
  x[0] = y[0] = INFINITY;
  x[1] = y[1] = -INFINITY;
  for (size_t k = 0; k < chart->n_series; k++) {
    const struct chart_series *s = &chart->series[k];
    for (size_t i = 0; i < s->n; i++) {
      if (!drawable(s, i)) continue;
      double bar = bar_of(s, i);
      x[0] = fmin(x[0], s->x[i]);
      x[1] = fmax(x[1], s->x[i]);
      y[0] = fmin(y[0], s->y[i] - bar);
      y[1] = fmax(y[1], s->y[i] + bar);
    }
  }
  if (chart->zero) {
    y[0] = fmin(y[0], 0);
    y[1] = fmax(y[1], 0);
  }
  return x[0] <= x[1];
}

static void put_axes(struct tpo_buf *out, const struct axis *x, const struct axis *y)
{
  char label[48];
  for (int i = 0; i < y->n_ticks; i++) {
    double value = axis_tick(y, i), at = axis_at(y, value);
    axis_label(y, value, label);
    tpo_buf_printf(out, "<path class=\"%s\" d=\"M%d %.1fH%d\"/>", value == 0 ? "zero" : "grid", LEFT, at,
                   WIDTH - RIGHT);
    tpo_buf_printf(out, "<text class=\"t\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>", LEFT - 7,
                   at + 4.5, label);
  }
  for (int i = 0; i < x->n_ticks; i++) {
    double value = axis_tick(x, i), at = axis_at(x, value);
    axis_label(x, value, label);
    tpo_buf_printf(out, "<path class=\"tick\" d=\"M%.1f %dv5\"/>", at, HEIGHT - BOTTOM);
    tpo_buf_printf(out, "<text class=\"t\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>", at,
                   HEIGHT - BOTTOM + 20, label);
  }
  tpo_buf_printf(out, "<path class=\"frame\" d=\"M%d %dH%d\"/>\n", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT);
}

static void put_axis_names(struct tpo_buf *out, const char *x_label, const char *y_label, int height)
{
  tpo_buf_puts(out, "<text class=\"l\" x=\"4\" y=\"15\">");
  html_text(out, y_label);
  tpo_buf_printf(out, "</text><text class=\"l\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", WIDTH - RIGHT,
                 height - 5);
  html_text(out, x_label);
  tpo_buf_puts(out, "</text>\n");
}

/* Points thinned to at most MOST_POINTS by averaging neighbours; low and high are each group's extremes. */
struct thinned {
  double *x, *y, *low, *high; /* [n]; NaN where a group has no drawable point */
  size_t n, group;
};

static bool thin(const struct chart_series *s, struct thinned *t)
{
  t->group = (s->n + MOST_POINTS - 1) / MOST_POINTS;
  if (t->group < 1) t->group = 1;
  t->n = (s->n + t->group - 1) / t->group;
  t->x = tpo_calloc(4 * t->n, sizeof *t->x, NULL);
  if (!t->x) return false;
  t->y = t->x + t->n;
  t->low = t->y + t->n;
  t->high = t->low + t->n;
  for (size_t g = 0; g < t->n; g++) {
    double n = 0, sum_x = 0, sum_y = 0, low = INFINITY, high = -INFINITY;
    for (size_t i = g * t->group; i < s->n && i < (g + 1) * t->group; i++) {
      if (!drawable(s, i)) continue;
      sum_x += s->x[i];
      sum_y += s->y[i];
      low = fmin(low, s->y[i]);
      high = fmax(high, s->y[i]);
      n++;
    }
    t->x[g] = n > 0 ? sum_x / n : NAN;
    t->y[g] = n > 0 ? sum_y / n : NAN;
    t->low[g] = low;
    t->high[g] = high;
  }
  return true;
}

static void put_band(struct tpo_buf *out, const struct thinned *t, const struct axis *x, const struct axis *y,
                     size_t k)
{
  tpo_buf_printf(out, "<path class=\"band s%zu\" d=\"", k + 1);
  for (size_t i = 0; i < t->n; i++)
    if (!isnan(t->y[i]))
      tpo_buf_printf(out, "M%.1f %.1fV%.1f", axis_at(x, t->x[i]), axis_at(y, t->low[i]),
                     axis_at(y, t->high[i]));
  tpo_buf_puts(out, "\"/>\n");
}

/* A divider stands between a and b: what is on its two sides is not one curve. */
static bool is_divided(const struct chart *chart, double a, double b)
{
  for (size_t i = 0; i < chart->n_dividers; i++)
    if (chart->dividers[i].x > a && chart->dividers[i].x <= b) return true;
  return false;
}

static void put_line(struct tpo_buf *out, const struct chart *chart, const struct thinned *t,
                     const struct axis *x, const struct axis *y, size_t k)
{
  bool pen_down = false;
  tpo_buf_printf(out, "<path class=\"line s%zu\" d=\"", k + 1);
  for (size_t i = 0; i < t->n; i++) {
    if (isnan(t->y[i])) {
      pen_down = false;
      continue;
    }
    if (pen_down && is_divided(chart, t->x[i - 1], t->x[i])) pen_down = false;
    tpo_buf_printf(out, "%c%.1f %.1f", pen_down ? 'L' : 'M', axis_at(x, t->x[i]), axis_at(y, t->y[i]));
    pen_down = true;
  }
  tpo_buf_puts(out, "\"/>\n");
}

/* A point: its error bar, a marker, and its values as a tooltip. */
static void put_marker(struct tpo_buf *out, const struct chart_series *s, size_t i, const struct axis *x,
                       const struct axis *y, size_t k)
{
  double at_x = axis_at(x, s->x[i]), at_y = axis_at(y, s->y[i]), bar = bar_of(s, i);
  if (bar > 0)
    tpo_buf_printf(out, "<path class=\"bar s%zu\" d=\"M%.1f %.1fV%.1fm-4 0h8M%.1f %.1fh8\"/>", k + 1, at_x,
                   axis_at(y, s->y[i] - bar), axis_at(y, s->y[i] + bar), at_x - 4, axis_at(y, s->y[i] - bar));
  tpo_buf_printf(out, "<circle class=\"dot s%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"><title>", k + 1, at_x,
                 at_y, s->n > 20 ? "2.5" : "4");
  html_text(out, s->name);
  tpo_buf_printf(out, ", %.6g: %.6g", s->x[i], s->y[i]);
  if (bar > 0) tpo_buf_printf(out, " ± %.3g", bar);
  tpo_buf_puts(out, "</title></circle>\n");
}

static size_t put_series(struct tpo_buf *out, const struct chart *chart, size_t k, const struct axis *x,
                         const struct axis *y)
{
  const struct chart_series *s = &chart->series[k];
  struct thinned t;
  if (!thin(s, &t)) {
    out->failed = true;
    return 1;
  }
  if (t.group > 1) put_band(out, &t, x, y, k);
  put_line(out, chart, &t, x, y, k);
  for (size_t i = 0; s->n <= MOST_MARKERS && i < s->n; i++)
    if (drawable(s, i)) put_marker(out, s, i, x, y, k);
  free(t.x);
  return t.group;
}

static void put_dividers(struct tpo_buf *out, const struct chart *chart, const struct axis *x)
{
  double last_label = -INFINITY;
  for (size_t i = 0; i < chart->n_dividers; i++) {
    double at = axis_at(x, chart->dividers[i].x);
    if (!(at >= LEFT - 1 && at <= WIDTH - RIGHT + 1)) continue;
    tpo_buf_printf(out, "<path class=\"divider\" d=\"M%.1f %dV%d\"/>", at, TOP, HEIGHT - BOTTOM);
    if (at < last_label + 34 || at > WIDTH - RIGHT - 24) continue;
    tpo_buf_printf(out, "<text class=\"t\" x=\"%.1f\" y=\"%d\">", at + 2, TOP - 5);
    html_text(out, chart->dividers[i].label);
    tpo_buf_puts(out, "</text>\n");
    last_label = at;
  }
}

/* What a reader without eyes on the drawing is told about a series. */
static void describe(struct tpo_buf *out, const struct chart_series *s)
{
  size_t n = 0, first = 0, last = 0;
  double low = INFINITY, high = -INFINITY;
  for (size_t i = 0; i < s->n; i++) {
    if (!drawable(s, i)) continue;
    if (n++ == 0) first = i;
    last = i;
    low = fmin(low, s->y[i]);
    high = fmax(high, s->y[i]);
  }
  html_attribute(out, s->name);
  if (n == 0)
    tpo_buf_puts(out, ": no values. ");
  else if (n == 1)
    tpo_buf_printf(out, ": %.4g. ", s->y[first]);
  else
    tpo_buf_printf(out, ": %zu values from %.4g to %.4g, lowest %.4g, highest %.4g. ", n, s->y[first],
                   s->y[last], low, high);
}

static void put_legend(struct tpo_buf *out, const struct chart *chart)
{
  if (chart->n_series < 2) return;
  tpo_buf_puts(out, "<p class=\"legend\">");
  for (size_t k = 0; k < chart->n_series && k < MOST_SERIES; k++) {
    tpo_buf_printf(out, "<span><i class=\"dashed s%zu\"></i>", k + 1);
    html_text(out, chart->series[k].name);
    tpo_buf_puts(out, "</span> ");
  }
  tpo_buf_puts(out, "</p>\n");
}

static void put_caption(struct tpo_buf *out, const char *title)
{
  tpo_buf_puts(out, "<figure>\n<figcaption>");
  html_text(out, title);
  tpo_buf_puts(out, "</figcaption>\n");
}

static size_t put_plot(struct tpo_buf *out, const struct chart *chart, const double x_range[2],
                       const double y_range[2])
{
  struct axis x, y;
  double pad = x_range[1] - x_range[0] < 20 ? 0.3 : 0;
  axis_init(&x, x_range[0] - pad, x_range[1] + pad, true, true, 6);
  axis_init(&y, y_range[0], y_range[1], false, false, 5);
  x.begin = LEFT;
  x.end = WIDTH - RIGHT;
  y.begin = HEIGHT - BOTTOM;
  y.end = TOP;
  tpo_buf_printf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
  html_attribute(out, chart->title);
  tpo_buf_puts(out, ". ");
  for (size_t k = 0; k < chart->n_series; k++) describe(out, &chart->series[k]);
  tpo_buf_puts(out, "\">\n");
  put_axes(out, &x, &y);
  put_axis_names(out, chart->x_label, chart->y_label, HEIGHT);
  put_dividers(out, chart, &x);
  size_t group = 1;
  for (size_t k = 0; k < chart->n_series && k < MOST_SERIES; k++) {
    size_t g = put_series(out, chart, k, &x, &y);
    if (g > group) group = g;
  }
  tpo_buf_puts(out, "</svg>\n");
  return group;
}

void chart_lines(struct tpo_buf *out, const struct chart *chart)
{
  double x_range[2], y_range[2];
  size_t missing = 0;
  put_caption(out, chart->title);
  if (!find_ranges(chart, x_range, y_range)) {
    tpo_buf_puts(out, "<p class=\"none\">No values yet.</p>\n</figure>\n");
    return;
  }
  put_legend(out, chart);
  size_t group = put_plot(out, chart, x_range, y_range);
  for (size_t k = 0; k < chart->n_series; k++)
    for (size_t i = 0; i < chart->series[k].n; i++) missing += !drawable(&chart->series[k], i);
  if (chart->note || group > 1 || missing) {
    tpo_buf_puts(out, "<p class=\"note\">");
    if (chart->note) html_text(out, chart->note);
    if (group > 1)
      tpo_buf_printf(out, " Each point is the mean of %zu neighbours; the band runs from least to largest.",
                     group);
    if (missing) tpo_buf_printf(out, " %zu values are missing or not finite and left out.", missing);
    tpo_buf_puts(out, "</p>\n");
  }
  tpo_buf_puts(out, "</figure>\n");
}

/* One row's bars (shares, `scale` units high for a share of 1) and its mean. */
static void put_row(struct tpo_buf *out, const struct chart_row *row, const struct axis *x, double base,
                    double scale)
{
  size_t counts[BINS] = {0}, n = 0;
  double sum = 0, width = (x->end - x->begin) / BINS;
  for (size_t i = 0; i < row->n; i++) {
    if (!axis_takes(row->values[i])) continue;
    int bin = (int)((axis_at(x, row->values[i]) - x->begin) / width);
    counts[bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin]++;
    sum += row->values[i];
    n++;
  }
  tpo_buf_printf(out, "<text class=\"t\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 7, base - 3);
  html_text(out, row->label);
  tpo_buf_printf(out, "</text><path class=\"grid\" d=\"M%d %.1fH%d\"/>", LEFT, base, WIDTH - RIGHT);
  if (n == 0) return;
  for (int b = 0; b < BINS; b++)
    if (counts[b])
      tpo_buf_printf(out, "<rect class=\"box s1\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
                     x->begin + b * width + 0.5, base - scale * (double)counts[b] / (double)n, width - 1,
                     scale * (double)counts[b] / (double)n);
  double mean = axis_at(x, sum / (double)n);
  tpo_buf_printf(
      out,
      "<path class=\"mean\" d=\"M%.1f %.1fv7\"/>"
      "<circle class=\"dot s2\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"><title>mean %.4g of %zu</title></circle>\n",
      mean, base, mean, base, sum / (double)n, n);
}

/* The largest share that a bin of any row holds, and the range of all values. */
static bool survey(const struct chart_row *rows, size_t n_rows, struct axis *x, double *largest)
{
  double low = INFINITY, high = -INFINITY;
  for (size_t r = 0; r < n_rows; r++)
    for (size_t i = 0; i < rows[r].n; i++)
      if (axis_takes(rows[r].values[i])) {
        low = fmin(low, rows[r].values[i]);
        high = fmax(high, rows[r].values[i]);
      }
  if (low > high) return false;
  axis_init(x, low, high, false, false, 6);
  x->begin = LEFT;
  x->end = WIDTH - RIGHT;
  *largest = 0;
  for (size_t r = 0; r < n_rows; r++) {
    size_t counts[BINS] = {0}, n = 0;
    for (size_t i = 0; i < rows[r].n; i++) {
      if (!axis_takes(rows[r].values[i])) continue;
      int bin = (int)((axis_at(x, rows[r].values[i]) - x->begin) / ((x->end - x->begin) / BINS));
      counts[bin >= BINS ? BINS - 1 : bin]++;
      n++;
    }
    for (int b = 0; b < BINS && n; b++) *largest = fmax(*largest, (double)counts[b] / (double)n);
  }
  return true;
}

size_t chart_spread(size_t i, size_t shown, size_t n)
{
  return shown < 2 ? 0 : i * (n - 1) / (shown - 1);
}

void chart_histograms(struct tpo_buf *out, const char *title, const char *x_label, const char *unit,
                      const struct chart_row *rows, size_t n_rows)
{
  struct axis x;
  double largest;
  put_caption(out, title);
  if (!survey(rows, n_rows, &x, &largest)) {
    tpo_buf_puts(out, "<p class=\"none\">No values yet.</p>\n</figure>\n");
    return;
  }
  size_t shown = n_rows < MOST_ROWS ? n_rows : MOST_ROWS;
  int pitch = shown <= 2 ? 90 : shown <= 4 ? 58 : 44, height = TOP + (int)shown * pitch + BOTTOM;
  char label[48];
  tpo_buf_printf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, height);
  html_attribute(out, title);
  tpo_buf_printf(out, ", a histogram for each %s, the mean marked.\">\n", unit);
  for (int i = 0; i < x.n_ticks; i++) {
    double at = axis_at(&x, axis_tick(&x, i));
    axis_label(&x, axis_tick(&x, i), label);
    tpo_buf_printf(out, "<path class=\"grid\" d=\"M%.1f %dV%d\"/>", at, TOP, height - BOTTOM);
    tpo_buf_printf(out, "<text class=\"t\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>", at,
                   height - BOTTOM + 22, label);
  }
  snprintf(label, sizeof label, "share of samples, by %s", unit);
  put_axis_names(out, x_label, label, height);
  for (size_t i = 0; i < shown; i++)
    put_row(out, &rows[chart_spread(i, shown, n_rows)], &x, TOP + (double)(i + 1) * pitch,
            (pitch - 10) / largest);
  tpo_buf_printf(out,
                 "</svg>\n<p class=\"note\">The tallest bar holds %.0f %% of the samples of its %s; "
                 "the dot marks the mean.</p>\n</figure>\n",
                 100 * largest, unit);
}
