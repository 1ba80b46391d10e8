/* AlpacaEval's arithmetic against the published leaderboard, and on files that are not as they should be. */
#include "unit.h"

#include <math.h>

#include "base/file.h"
#include "eval/alpaca/controlled.h"
#include "eval/alpaca/raw.h"
#include "eval/rows.h"

#define near(x, y, by)                                                                                       \
  do {                                                                                                       \
    double x_ = (x), y_ = (y);                                                                               \
    if (!(fabs(x_ - y_) <= (by))) fail_msg("%s is %.12g, expected %.12g", #x, x_, y_);                       \
  } while (0)

/* A row of leaderboard.tsv. */
struct published {
  char model[64];
  double n_total, win_rate, standard_error, n_wins, n_wins_base, n_draws, discrete, controlled,
      controlled_error, length, c;
};
struct board {
  struct published rows[32];
  int n;
};

static int take(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  struct board *board = arg;
  struct published *p = &board->rows[board->n++];
  const char *model = NULL;
  int status = eval_row_text(row, "model", &model, err);
  snprintf(p->model, sizeof p->model, "%s", model);
  const struct {
    const char *name;
    double *to;
  } cells[] = {{"n_total", &p->n_total},
               {"win_rate", &p->win_rate},
               {"standard_error", &p->standard_error},
               {"n_wins", &p->n_wins},
               {"n_wins_base", &p->n_wins_base},
               {"n_draws", &p->n_draws},
               {"discrete_win_rate", &p->discrete},
               {"length_controlled_winrate", &p->controlled},
               {"lc_standard_error", &p->controlled_error},
               {"avg_length", &p->length},
               {"C_upstream", &p->c}};
  for (size_t i = 0; i < sizeof cells / sizeof *cells && status == 0; i++)
    status = eval_row_number(row, cells[i].name, cells[i].to, err);
  return status;
}

static const char *data(const char *name, char path[4096])
{
  const char *folder = getenv("TPO_TEST_DATA");
  if (!folder) return NULL;
  snprintf(path, 4096, "%s/alpaca_eval/%s", folder, name);
  return path;
}

static void raw_metrics_are_the_leaderboards(const struct published *p, const struct alpaca_raw *raw)
{
  near(raw->win_rate, p->win_rate, 1e-8);
  near(raw->standard_error, p->standard_error, 1e-8);
  near(raw->discrete_win_rate, p->discrete, 1e-8);
  near((double)raw->n_total, p->n_total, 0);
  near((double)raw->n_wins, p->n_wins, 0);
  near((double)raw->n_wins_base, p->n_wins_base, 0);
  near((double)raw->n_draws, p->n_draws, 0);
  near(floor(raw->mean_length), p->length, 0);
}

/* What the folds' rule gives, which is not that of the published runs. */
static double chosen_c(const char *model)
{
  return strcmp(model, "gpt-3.5-turbo-1106") == 0  ? pow(10, -4 + 8.0 * 6 / 9)
         : strcmp(model, "gpt4_1106_preview") == 0 ? NAN
                                                   : pow(10, -4 + 8.0 * 5 / 9);
}

static void compare(const struct published *p, const struct alpaca_given *given)
{
  char path[4096], name[128];
  struct alpaca_annotations a = {0};
  struct alpaca_raw raw;
  struct alpaca_controlled by_c, chosen;
  struct tpo_error err = {0};
  snprintf(name, sizeof name, "annotations/%s.tsv", p->model);
  if (!tpo_file_exists(data(name, path))) return;
  assert_int_equal(alpaca_annotations_read(&a, path, &err), 0);
  alpaca_raw_of(&a, &raw);
  raw_metrics_are_the_leaderboards(p, &raw);
  assert_int_equal(alpaca_controlled_of(&a, given, p->c, path, &by_c, &err), 0);
  assert_int_equal(alpaca_controlled_of(&a, given, NAN, path, &chosen, &err), 0);
  assert_string_equal(by_c.missing, "");
  assert_string_equal(chosen.missing, "");
  print_message(
      "%s: published %.4f, C given %+.4f, cross-validated C %.4g %+.4f, error %.4f (published %.4f)\n",
      p->model, p->controlled, by_c.win_rate - p->controlled, chosen.c, chosen.win_rate - p->controlled,
      by_c.standard_error, p->controlled_error);
  if (!isnan(p->c)) near(by_c.win_rate, p->controlled, 0.03);
  near(chosen.win_rate, p->controlled, 0.20);
  if (!isnan(chosen_c(p->model))) near(chosen.c, chosen_c(p->model), 1e-9);
  if (!isnan(p->controlled_error)) near(by_c.standard_error, p->controlled_error, 0.005);
  alpaca_annotations_free(&a);
}

static void win_rates_are_the_leaderboards(void **state)
{
  (void)state;
  char path[4096];
  struct board board = {0};
  struct alpaca_given given = {0};
  struct tpo_error err = {0};
  if (!data("leaderboard.tsv", path)) {
    print_message("TPO_TEST_DATA is not set: the leaderboard is not compared with\n");
    skip();
  }
  assert_int_equal(eval_rows_read(path, take, &board, &err), 0);
  assert_int_equal(alpaca_gamed_read(&given, data("gamed.tsv", path), &err), 0);
  assert_int_equal(alpaca_difficulty_read(&given, data("instruction_difficulty.tsv", path), &err), 0);
  assert_int_equal(given.n_gamed, 1610);
  assert_int_equal(given.n_difficulty, 805);
  for (int i = 0; i < board.n; i++) compare(&board.rows[i], &given);
  alpaca_given_free(&given);
}

static double noise(uint32_t *state)
{
  *state = *state * 1664525u + 1013904223u;
  return (double)*state / 4294967296.0;
}

/* Where a coefficient is not 0 the sum's slope is the penalty's, and elsewhere it is at most that. */
static void a_fit_is_a_minimum(void **state)
{
  (void)state;
  static const double cs[] = {1e-3, 0.03, 1, 30, 1e4};
  struct glm_row rows[300];
  uint32_t seed = 5;
  for (int i = 0; i < 300; i++)
    rows[i] = (struct glm_row){
        {tanh(4 * noise(&seed) - 2), 3 * noise(&seed) - 1, i % 3 > 0}, noise(&seed), i % 3 ? 1 : 0.1};
  for (size_t k = 0; k < sizeof cs / sizeof *cs; k++) {
    struct glm_fit fit;
    glm_fit(rows, 300, cs[k], &fit);
    assert_true(fit.converged);
    for (int j = 0; j < GLM_FEATURES; j++) {
      double slope = 0;
      for (int i = 0; i < 300; i++) {
        const double *x = rows[i].x;
        double z = fit.b[0] * x[0] + fit.b[1] * x[1] + fit.b[2] * x[2];
        slope += cs[k] * rows[i].weight * (1 / (1 + exp(-z)) - rows[i].y) * x[j];
      }
      if (fit.b[j] != 0)
        near(slope, fit.b[j] > 0 ? -1 : 1, 1e-8 * cs[k] + 1e-9);
      else
        assert_true(fabs(slope) <= 1 + 1e-9);
    }
  }
}

static void a_fit_that_never_ends_is_told(void **state)
{
  (void)state;
  struct glm_row rows[20];
  struct glm_fit fit;
  for (int i = 0; i < 20; i++) rows[i] = (struct glm_row){{0.1 * i, 1, 1}, 0, 1};
  glm_fit(rows, 20, 1e300, &fit);
  assert_false(fit.converged);
  assert_int_equal(fit.steps, GLM_STEPS);
}

static void the_log_loss_is_over_rows_and_not_weights(void **state)
{
  (void)state;
  const struct glm_row rows[] = {{{0, 0, 1}, 0.25, 1}, {{0, 0, 1}, 1, 0.1}};
  double b[] = {0, 0, 1}, p = 1 / (1 + exp(-1));
  near(glm_log_loss(rows, 2, b), -(0.25 * log(p) + 0.75 * log(1 - p) + 0.1 * log(p)) / 2, 1e-15);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(win_rates_are_the_leaderboards),
                                     cmocka_unit_test(a_fit_is_a_minimum),
                                     cmocka_unit_test(a_fit_that_never_ends_is_told),
                                     cmocka_unit_test(the_log_loss_is_over_rows_and_not_weights)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
