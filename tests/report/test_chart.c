/* Axes and charts, with few, many, equal, missing and extreme values. */
#include <math.h>
#include "report/axis.h"
#include "report/chart.h"
#include "unit.h"
#include "report/well_formed.h"

static void ticks_are_round_and_cover_the_range(void **state)
{
  (void)state;
  static const double ranges[][2] = {
      {0, 1}, {0.31, 0.37}, {-3.2, 17},    {1e-9, 4e-9},   {0, 5000},   {-1e30, 1e30},      {5, 5},
      {0, 0}, {-7, -7},     {0.6, 0.6931}, {1e6, 1e6 + 3}, {0, 1e-300}, {1e12, 1e12 + 1e-6}};
  for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
    struct axis axis;
    axis_init(&axis, ranges[i][0], ranges[i][1], false, false, 5);
    double digits = axis.step / pow(10, floor(log10(axis.step) + 1e-9));
    assert_true(fabs(digits - 1) < 1e-6 || fabs(digits - 2) < 1e-6 || fabs(digits - 5) < 1e-6);
    assert_true(axis.low < axis.high && axis.low <= ranges[i][0] + axis.step * 1e-6);
    assert_true(axis.high >= ranges[i][1] - axis.step * 1e-6);
    assert_in_range(axis.n_ticks, 2, 12);
  }
}

static void whole_numbers_get_whole_ticks(void **state)
{
  (void)state;
  struct axis axis;
  axis_init(&axis, -0.3, 2.3, true, true, 6);
  assert_int_equal(axis.n_ticks, 3);
  for (int i = 0; i < 3; i++) assert_true(axis_tick(&axis, i) == i);
}

static void labels_tell_ticks_apart(void **state)
{
  (void)state;
  static const double ranges[][2] = {{0.31, 0.37}, {1e6, 1e6 + 3}, {0, 2e-6}, {0, 3e9}, {-1, 1}};
  for (size_t r = 0; r < sizeof ranges / sizeof ranges[0]; r++) {
    struct axis axis;
    char label[48], before[48] = "";
    axis_init(&axis, ranges[r][0], ranges[r][1], false, false, 5);
    for (int i = 0; i < axis.n_ticks; i++) {
      axis_label(&axis, axis_tick(&axis, i), label);
      assert_string_not_equal(label, before);
      strcpy(before, label);
    }
  }
}

static size_t count(const char *text, const char *part)
{
  size_t n = 0;
  for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) n++;
  return n;
}

/* A chart of y over 0, 1, 2...; free() it. */
static char *draw(const double *y, const double *error, size_t n)
{
  struct tpo_buf out = {0};
  double *x = malloc((n + 1) * sizeof *x);
  assert_non_null(x);
  for (size_t i = 0; i < n; i++) x[i] = (double)i;
  const struct chart_series series = {.name = "a < b", .x = x, .y = y, .error = error, .n = n};
  chart_lines(&out, &(struct chart){.title = "\"Title\" & <more>",
                                    .x_label = "x, steps",
                                    .y_label = "y, nats",
                                    .series = &series,
                                    .n_series = 1});
  free(x);
  assert_well_formed(out.data);
  assert_null(strstr(out.data, "nan"));
  assert_null(strstr(out.data, "inf"));
  return tpo_buf_take(&out);
}

static void no_point_says_so(void **state)
{
  (void)state;
  const double none[] = {NAN, INFINITY, -INFINITY, 1e31};
  for (size_t n = 0; n <= 4; n += 4) {
    char *svg = draw(none, NULL, n);
    assert_contains(svg, "No values yet");
    assert_null(strstr(svg, "<svg"));
    free(svg);
  }
}

static void one_point_is_drawn(void **state)
{
  (void)state;
  const double y[] = {0.25}, error[] = {0.05};
  char *svg = draw(y, error, 1);
  assert_int_equal(count(svg, "<circle"), 1);
  assert_int_equal(count(svg, "class=\"bar s1\""), 1);
  assert_contains(svg, "0: 0.25 ± 0.05");
  assert_contains(svg, "aria-label=\"&quot;Title&quot; &amp; &lt;more&gt;. a &lt; b: 0.25. \"");
  free(svg);
}

static void gaps_stay_gaps(void **state)
{
  (void)state;
  const double y[] = {1, 2, NAN, 3, 4};
  char *svg = draw(y, NULL, 5);
  const char *line = strstr(svg, "class=\"line s1\"");
  assert_non_null(line);
  size_t moves = 0;
  for (const char *c = strstr(line, "d=\"") + 3; *c != '"'; c++) moves += *c == 'M';
  assert_int_equal(moves, 2);
  assert_contains(svg, "1 values are missing or not finite");
  free(svg);
}

static void many_points_are_thinned(void **state)
{
  (void)state;
  enum { n = 100000 };
  double *y = malloc(n * sizeof *y);
  assert_non_null(y);
  for (size_t i = 0; i < n; i++) y[i] = sin((double)i / 5000);
  char *svg = draw(y, NULL, n);
  assert_true(strlen(svg) < 30000);
  assert_contains(svg, "mean of 334 neighbours");
  assert_contains(svg, "class=\"band s1\"");
  assert_null(strstr(svg, "<circle"));
  free(svg);
  free(y);
}

static void points_stay_inside_the_drawing(void **state)
{
  (void)state;
  const double y[] = {-1e30, 1e30, 0, 5e-324, 1e-300}, error[] = {1e30, NAN, -5, 1e300, 0};
  char *svg = draw(y, error, 5);
  for (const char *at = svg; (at = strstr(at, " cy=\"")); at++) {
    double cy = atof(at + 5);
    assert_true(cy >= 0 && cy <= 280);
  }
  free(svg);
}

static void lines_end_at_dividers(void **state)
{
  (void)state;
  struct tpo_buf out = {0};
  const double x[] = {1, 2, 3, 4}, y[] = {1, 2, 1, 2};
  const struct chart_series series = {.name = "y", .x = x, .y = y, .n = 4};
  const struct chart_divider divider = {.x = 2.5, .label = "it. 2"};
  chart_lines(&out, &(struct chart){.title = "t",
                                    .x_label = "x",
                                    .y_label = "y",
                                    .series = &series,
                                    .n_series = 1,
                                    .dividers = &divider,
                                    .n_dividers = 1});
  const char *line = strstr(out.data, "class=\"line s1\"");
  size_t moves = 0;
  for (const char *c = strstr(line, "d=\"") + 3; *c != '"'; c++) moves += *c == 'M';
  assert_int_equal(moves, 2);
  assert_contains(out.data, ">it. 2</text>");
  tpo_buf_free(&out);
}

static void histograms_have_a_row_each(void **state)
{
  (void)state;
  struct tpo_buf out = {0};
  const double a[] = {0, 0.5, 1, NAN, 1}, b[] = {0.25};
  struct chart_row rows[12] = {{"1", a, 5}, {"2", b, 1}, {"3", NULL, 0}};
  chart_histograms(&out, "Scores", "score", "iteration", rows, 3);
  assert_well_formed(out.data);
  assert_contains(out.data, ">mean 0.625 of 4<");
  assert_contains(out.data, ">mean 0.25 of 1<");
  assert_null(strstr(out.data, "nan"));
  tpo_buf_clear(&out);
  for (int i = 0; i < 12; i++) {
    rows[i] = (struct chart_row){.values = b, .n = 1};
    snprintf(rows[i].label, sizeof rows[i].label, "%d", i + 1);
  }
  chart_histograms(&out, "Scores", "score", "iteration", rows, 12);
  assert_int_equal(count(out.data, "<circle"), 9);
  assert_contains(out.data, ">1</text>");
  assert_contains(out.data, ">12</text>");
  tpo_buf_clear(&out);
  chart_histograms(&out, "Scores", "score", "iteration", rows, 0);
  assert_contains(out.data, "No values yet");
  tpo_buf_free(&out);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ticks_are_round_and_cover_the_range),
      cmocka_unit_test(whole_numbers_get_whole_ticks),
      cmocka_unit_test(labels_tell_ticks_apart),
      cmocka_unit_test(no_point_says_so),
      cmocka_unit_test(one_point_is_drawn),
      cmocka_unit_test(gaps_stay_gaps),
      cmocka_unit_test(many_points_are_thinned),
      cmocka_unit_test(points_stay_inside_the_drawing),
      cmocka_unit_test(lines_end_at_dividers),
      cmocka_unit_test(histograms_have_a_row_each),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
