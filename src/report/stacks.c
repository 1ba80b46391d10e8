/* Draws stacked bars as SVG. */
#include <math.h>
#include <stdio.h>
#include "report/axis.h"
#include "report/chart.h"
#include "report/html.h"

/* Units of the view box, as in chart.c. */
enum { WIDTH = 480, LEFT = 92, RIGHT = 16, TOP = 10, BOTTOM = 44, PITCH = 30, BAR = 20, MOST_ROWS = 12 };

static double length_of(double value)
{
  return axis_takes(value) && value > 0 ? value : 0;
}

static double total_of(const struct chart_stack *row, size_t n_names)
{
  double sum = 0;
  for (size_t i = 0; i < n_names; i++) sum += length_of(row->values[i]);
  return sum;
}

static void put_bar(struct tpo_buf *out, const struct chart_stack *row, const char *const *names,
                    size_t n_names, const struct axis *x, int top)
{
  double from = 0, total = total_of(row, n_names);
  tpo_buf_printf(out, "<text class=\"t\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", LEFT - 7, top + 15);
  html_text(out, row->label);
  tpo_buf_puts(out, "</text>");
  for (size_t i = 0; i < n_names; i++) {
    double size = length_of(row->values[i]);
    if (size == 0) continue;
    double begin = axis_at(x, from), end = axis_at(x, from + size);
    tpo_buf_printf(out, "<rect class=\"box s%zu\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"><title>",
                   i + 1, begin, top, end - begin, BAR);
    html_text(out, names[i]);
    tpo_buf_printf(out, ", %.0f %%</title></rect>", 100 * size / total);
    from += size;
  }
  tpo_buf_putc(out, '\n');
}

static void put_grid(struct tpo_buf *out, const struct axis *x, const char *x_label, int height)
{
  char label[48];
  for (int i = 0; i < x->n_ticks; i++) {
    double at = axis_at(x, axis_tick(x, i));
    axis_label(x, axis_tick(x, i), label);
    tpo_buf_printf(out, "<path class=\"grid\" d=\"M%.1f %dV%d\"/>", at, TOP, height - BOTTOM);
    tpo_buf_printf(out, "<text class=\"t\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>", at,
                   height - BOTTOM + 20, label);
  }
  tpo_buf_printf(out, "<text class=\"l\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", WIDTH - RIGHT, height - 5);
  html_text(out, x_label);
  tpo_buf_puts(out, "</text>\n");
}

static void put_legend(struct tpo_buf *out, const char *const *names, size_t n_names)
{
  tpo_buf_puts(out, "<p class=\"legend\">");
  for (size_t i = 0; i < n_names; i++) {
    tpo_buf_printf(out, "<span><i class=\"s%zu\"></i>", i + 1);
    html_text(out, names[i]);
    tpo_buf_puts(out, "</span>");
  }
  tpo_buf_puts(out, "</p>\n");
}

void chart_stacks(struct tpo_buf *out, const char *title, const char *x_label, const char *note,
                  const char *const *names, size_t n_names, const struct chart_stack *rows, size_t n_rows)
{
  struct axis x;
  double largest = 0;
  size_t shown = n_rows < MOST_ROWS ? n_rows : MOST_ROWS;
  for (size_t i = 0; i < n_rows; i++) largest = fmax(largest, total_of(&rows[i], n_names));
  if (largest == 0) return;
  axis_init(&x, 0, largest, false, false, 5);
  x.begin = LEFT;
  x.end = WIDTH - RIGHT;
  int height = TOP + (int)shown * PITCH + BOTTOM;
  tpo_buf_puts(out, "<figure>\n<figcaption>");
  html_text(out, title);
  tpo_buf_puts(out, "</figcaption>\n");
  put_legend(out, names, n_names);
  tpo_buf_printf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, height);
  html_attribute(out, title);
  tpo_buf_puts(out, ", a bar for each row.\">\n");
  put_grid(out, &x, x_label, height);
  for (size_t i = 0; i < shown; i++)
    put_bar(out, &rows[chart_spread(i, shown, n_rows)], names, n_names, &x,
            TOP + (int)i * PITCH + (PITCH - BAR) / 2);
  tpo_buf_puts(out, "</svg>\n");
  if (note) {
    tpo_buf_puts(out, "<p class=\"note\">");
    html_text(out, note);
    tpo_buf_puts(out, "</p>\n");
  }
  tpo_buf_puts(out, "</figure>\n");
}
