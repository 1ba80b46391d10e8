/* Rows become the regression's; C is chosen; the win rate is read off with the lengths' term at 0. */
#include "eval/alpaca/controlled.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "eval/alpaca/raw.h"

/* What each of the gamed rows counts: 0.2, over the two models that they are of. */
static const double gamed_weight = 0.1;

/* Standard deviation (n - 1) of the differences of lengths. */
static double deviation(const struct alpaca_annotations *a)
{
  double sum = 0, squares = 0, n = (double)a->n;
  for (size_t i = 0; i < a->n; i++) sum += a->rows[i].len_1 - a->rows[i].len_2;
  for (size_t i = 0; i < a->n; i++) squares += pow(a->rows[i].len_1 - a->rows[i].len_2 - sum / n, 2);
  return sqrt(squares / (n - 1));
}

static void put_gamed(const struct alpaca_given *given, struct glm_row *rows, size_t *n)
{
  for (size_t i = 0; i < given->n_gamed; i++) {
    const struct alpaca_gamed *g = &given->gamed[i];
    if (isnan(g->preference)) continue;
    rows[(*n)++] = (struct glm_row){
        {tanh(g->delta_length), alpaca_difficulty_at(given, g->position), 0}, g->preference, gamed_weight};
  }
}

static int put_model(const struct alpaca_annotations *a, const struct alpaca_given *given, const char *place,
                     struct glm_row *rows, size_t *n, struct tpo_error *err)
{
  double s = deviation(a);
  for (size_t i = 0; i < a->n; i++) {
    const struct alpaca_row *r = &a->rows[i];
    int status = alpaca_require_difficulty(given, r->position, place, i, err);
    if (status < 0) return status;
    if (isnan(r->preference)) continue;
    rows[(*n)++] = (struct glm_row){
        {tanh((r->len_1 - r->len_2) / s), alpaca_difficulty_at(given, r->position), 1}, r->preference - 1, 1};
  }
  return 0;
}

/* Moves the rows of a fold behind the others; returns how many the others are. */
static size_t part(const struct glm_row *rows, size_t n, int fold, struct glm_row *out)
{
  size_t kept = 0, held = n;
  for (size_t i = 0; i < n; i++)
    if ((n - 1 - i) % ALPACA_FOLDS == (size_t)fold)
      out[--held] = rows[i];
    else
      out[kept++] = rows[i];
  return kept;
}

static void say_not_converged(struct alpaca_controlled *out, const struct glm_fit *fit,
                              const struct glm_row *rows, size_t n, double c)
{
  double least = 1, most = 0;
  for (size_t i = 0; i < n; i++)
    if (rows[i].x[2] > 0) least = fmin(least, rows[i].y), most = fmax(most, rows[i].y);
  const char *why =
      least == most && (least == 0 || least == 1)
          ? ", for all preferences are on one side, so that only the penalty bounds the coefficients"
          : "";
  snprintf(out->missing, sizeof out->missing,
           "the regression did not converge: at C = %g the %dth step still changed a coefficient by %g%s", c,
           fit->steps, fit->last_step, why);
}

/* Sets scores and c; false where a fit didn't converge. */
static bool choose_c(const struct glm_row *rows, size_t n, struct glm_row *room,
                     struct alpaca_controlled *out)
{
  int best = 0;
  out->cross_validated = true;
  for (int k = 0; k < ALPACA_CS; k++) {
    out->cs[k] = pow(10, -4 + 8.0 * k / (ALPACA_CS - 1));
    for (int fold = 0; fold < ALPACA_FOLDS; fold++) {
      struct glm_fit fit;
      size_t kept = part(rows, n, fold, room);
      glm_fit(room, kept, out->cs[k], &fit);
      if (!fit.converged) return say_not_converged(out, &fit, room, kept, out->cs[k]), false;
      out->scores[k] += glm_log_loss(room + kept, n - kept, fit.b) / ALPACA_FOLDS;
    }
    if (out->scores[k] < out->scores[best]) best = k;
  }
  out->c = out->cs[best];
  return true;
}

/* At the baseline's lengths; values [n] is room. */
static void predict(const struct alpaca_annotations *a, const struct alpaca_given *given, double *values,
                    struct alpaca_controlled *out)
{
  for (size_t i = 0; i < a->n; i++)
    values[i] = glm_sigmoid(out->b[1] * alpaca_difficulty_at(given, a->rows[i].position) + out->b[2]);
  struct alpaca_spread spread = alpaca_spread_of(values, a->n, 1);
  out->win_rate = 100 * spread.mean;
  out->standard_error = 100 * spread.error;
}

static void fit(const struct glm_row *rows, size_t n, struct glm_row *room, struct alpaca_controlled *out)
{
  struct glm_fit fit;
  if (isnan(out->c) && !choose_c(rows, n, room, out)) return;
  glm_fit(rows, n, out->c, &fit);
  if (!fit.converged) say_not_converged(out, &fit, rows, n, out->c);
  for (int j = 0; j < GLM_FEATURES; j++) out->b[j] = fit.b[j];
}

static const char *cannot(const struct alpaca_annotations *a)
{
  size_t n = 0;
  for (size_t i = 0; i < a->n; i++) n += !isnan(a->rows[i].preference);
  if (!a->has_lengths)
    return "the annotations have no lengths: neither len_1 and len_2 nor output_1 and output_2";
  if (n == 0) return "no row has a preference";
  if (a->n < 2) return "one row has no deviation of lengths to divide by";
  return deviation(a) > 0 ? NULL : "all differences of lengths are equal: there is no deviation to divide by";
}

static int compute(const struct alpaca_annotations *a, const struct alpaca_given *given, const char *place,
                   struct alpaca_controlled *out, struct tpo_error *err)
{
  size_t most = a->n + given->n_gamed, n = 0;
  struct glm_row *rows = tpo_calloc(2 * most, sizeof *rows, err);
  double *values = rows ? tpo_calloc(a->n, sizeof *values, err) : NULL;
  int status = values ? alpaca_given_check(given, err) : TPO_E_MEMORY;
  if (status == 0) put_gamed(given, rows, &n);
  if (status == 0) status = put_model(a, given, place, rows, &n, err);
  if (status == 0 && n < ALPACA_FOLDS && isnan(out->c))
    snprintf(out->missing, sizeof out->missing, "%zu rows are too few for %d folds", n, ALPACA_FOLDS);
  if (status == 0 && !*out->missing) fit(rows, n, rows + most, out);
  if (status == 0 && !*out->missing) predict(a, given, values, out);
  free(values);
  free(rows);
  return status;
}

int alpaca_controlled_of(const struct alpaca_annotations *a, const struct alpaca_given *given, double c,
                         const char *place, struct alpaca_controlled *out, struct tpo_error *err)
{
  *out = (struct alpaca_controlled){.win_rate = NAN, .standard_error = NAN, .c = c};
  if (alpaca_is_baseline(a)) {
    *out = (struct alpaca_controlled){.win_rate = 50, .standard_error = a->n > 1 ? 0 : NAN, .c = NAN};
    return 0;
  }
  const char *why = cannot(a);
  if (why) return snprintf(out->missing, sizeof out->missing, "%s", why), 0;
  return compute(a, given, place, out, err);
}
