/* Charts as inline SVG: lines with markers and error bars, and rows of histograms. Colours come from the
 * page's style (classes s1 to s4). Values that are not finite (or beyond 1e30) are left out, as gaps. */
#ifndef TPO_REPORT_CHART_H
#define TPO_REPORT_CHART_H

#include "base/buf.h"

struct chart_series {
  const char *name;
  const double *x, *y; /* [n] */
  const double *error; /* [n] half the height of an error bar; NULL: none */
  size_t n;
};

struct chart_divider { /* a vertical line with a word beside it */
  double x;
  char label[24];
};

struct chart {
  const char *title, *x_label, *y_label; /* plain text; units in the labels */
  const char *note;                      /* below the chart; NULL: none */
  const struct chart_series *series;     /* at most 4 */
  size_t n_series;
  const struct chart_divider *dividers;
  size_t n_dividers;
  bool zero; /* the y axis holds 0, with a line there */
};

/* A <figure>. Series of more than 300 points are drawn as means of neighbours over a band from least to
 * largest. Without any point the figure says so. */
void chart_lines(struct tpo_buf *out, const struct chart *chart);

struct chart_row {
  char label[24];
  const double *values; /* [n] */
  size_t n;
};
/* Of n rows, which is the i-th of those that are shown: all, or some that lie evenly, with the first and the last. */
size_t chart_spread(size_t i, size_t shown, size_t n);
/* Histograms one below another over the same axis, each with its mean marked; bars are shares of the row's
 * values. unit: what a row is of. */
void chart_histograms(struct tpo_buf *out, const char *title, const char *x_label, const char *unit,
                      const struct chart_row *rows, size_t n_rows);

struct chart_stack {
  char label[24];
  double values[6]; /* of the names, 0 or more; NaN: none */
};
/* Bars one below another over an axis from 0, each its values end to end. names: [n_names], at most 6. Nothing where
 * no row has a value above 0. */
void chart_stacks(struct tpo_buf *out, const char *title, const char *x_label, const char *note,
                  const char *const *names, size_t n_names, const struct chart_stack *rows, size_t n_rows);

#endif
