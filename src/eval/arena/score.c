/* Scores, their intervals and counts. */
#include "eval/arena/score.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "eval/arena/strengths.h"

/* Why a score is none, or is not what it seems; NULL: nothing is to be said. */
static const char *note_of(const struct arena_model *model, double theta, char note[160])
{
  size_t n = model->wins + model->losses + model->ties;
  if (n == 0) return "there is no battle of this model, so that nothing tells its score";
  if (isnan(theta))
    return "no chain of battles leads from this model to the baseline: nothing tells its score";
  if (isinf(theta)) {
    snprintf(note, 160,
             "the likelihood has no maximum, since every battle between the two sides was %s: the score is "
             "its limit, and the interval tells nothing",
             theta > 0 ? "won" : "lost");
    return note;
  }
  return n == 1 ? "one battle alone: the interval tells nothing" : NULL;
}

static json_t *number(double x)
{
  return isfinite(x) ? json_real(x) : json_null();
}

static int put_games(const struct arena_model *model, json_t *out)
{
  json_t *games =
      json_pack("{s:I, s:I, s:I}", "games", (json_int_t)model->games, "null_games",
                (json_int_t)model->null_games, "unknown_labels", (json_int_t)model->unknown_labels);
  int status = games ? json_object_update(out, games) : -1;
  json_decref(games);
  return status;
}

static json_t *describe(const struct arena_model *model, double theta, const struct arena_interval *interval)
{
  char buffer[160];
  const char *note = note_of(model, theta, buffer);
  json_t *out =
      json_pack("{s:s, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I}", "model", model->name, "score",
                number(arena_win_rate(theta)), "lower", number(arena_win_rate(interval->lower)), "upper",
                number(arena_win_rate(interval->upper)), "elo", number(arena_elo(theta)), "wins",
                (json_int_t)model->wins, "losses", (json_int_t)model->losses, "ties", (json_int_t)model->ties,
                "n_battles", (json_int_t)(model->wins + model->losses + model->ties));
  if (out && model->games > 0 && put_games(model, out) < 0) {
    json_decref(out);
    return NULL;
  }
  if (out && note) json_object_set_new(out, "note", json_string(note));
  return out;
}

struct results {
  const struct arena_battles *battles;
  size_t baseline;
  double *theta;                    /* [n_models] */
  struct arena_interval *intervals; /* [n_models] */
  size_t *order;                    /* [n_models] best first, those without a score last */
};

static void sort(struct results *r)
{
  for (size_t i = 0; i < r->battles->n_models; i++) {
    size_t at = i;
    double theta = r->theta[i];
    for (; at > 0 && !isnan(theta); at--) {
      double before = r->theta[r->order[at - 1]];
      if (!isnan(before) && before >= theta) break;
      r->order[at] = r->order[at - 1];
    }
    r->order[at] = i;
  }
}

static json_t *write(const struct results *r, const struct arena_rounds *rounds)
{
  const struct arena_battles *battles = r->battles;
  json_t *out =
      json_pack("{s:s, s:s, s:I, s:I}", "evaluation", "arena", "baseline", battles->models[r->baseline].name,
                "rounds", (json_int_t)rounds->n, "n_battles", (json_int_t)battles->n);
  json_t *models = json_array();
  for (size_t i = 0; i < battles->n_models; i++) {
    size_t m = r->order[i];
    if (m != r->baseline)
      json_array_append_new(models, describe(&battles->models[m], r->theta[m], &r->intervals[m]));
  }
  if (json_array_size(models) == 1)
    json_object_update(out, json_array_get(models, 0));
  else
    json_object_set(out, "models", models);
  json_decref(models);
  return out;
}

static int reckon(struct results *r, const struct arena_rounds *rounds, struct tpo_error *err)
{
  size_t n = r->battles->n_models;
  double *wins = tpo_calloc(n * n, sizeof *wins, err);
  int status = wins ? 0 : TPO_E_MEMORY;
  if (status == 0) arena_wins(r->battles, wins);
  if (status == 0) status = arena_fit(wins, n, r->baseline, r->theta, err);
  if (status == 0)
    status =
        arena_bootstrap(r->battles, r->baseline, rounds->n, rounds->seed, r->intervals, rounds->watch, err);
  free(wins);
  return status;
}

json_t *arena_score(const struct arena_battles *battles, size_t baseline, const struct arena_rounds *rounds,
                    struct tpo_error *err)
{
  size_t n = battles->n_models;
  json_t *out = NULL;
  struct results r = {.battles = battles,
                      .baseline = baseline,
                      .theta = tpo_calloc(n, sizeof *r.theta, err),
                      .intervals = tpo_calloc(n, sizeof *r.intervals, err),
                      .order = tpo_calloc(n, sizeof *r.order, err)};
  if (r.theta && r.intervals && r.order && reckon(&r, rounds, err) == 0) {
    sort(&r);
    out = write(&r, rounds);
    if (!out) tpo_fail(err, TPO_E_MEMORY, "no memory for the scores");
  }
  free(r.theta);
  free(r.intervals);
  free(r.order);
  return out;
}
