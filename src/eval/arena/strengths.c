/* Maximum likelihood where there is one, its limit elsewhere. The maximum exists among models each of which
 * reaches each other by a chain of wins, so that the baseline's such group is fitted, and the others are
 * infinitely better or worse. */
#include "eval/arena/strengths.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/interrupt.h"
#include "base/memory.h"
#include "base/philox.h"
#include "judge/compare/elo.h"

#define LN_10 2.302585092994046

double arena_elo(double theta)
{
  return 1000 + 400 * theta / LN_10;
}

double arena_win_rate(double theta)
{
  return 100 / (1 + exp(-theta));
}

static void add(double *wins, size_t n, const struct arena_battle *battle)
{
  wins[(size_t)battle->a * n + (size_t)battle->b] += battle->won;
  wins[(size_t)battle->b * n + (size_t)battle->a] += 1 - battle->won;
}

void arena_wins(const struct arena_battles *battles, double *wins)
{
  size_t n = battles->n_models;
  memset(wins, 0, n * n * sizeof *wins);
  for (size_t i = 0; i < battles->n; i++) add(wins, n, &battles->list[i]);
}

/* Marks in reached [n] whom a chain of wins (beats) or of losses leads to from `from`, itself too. stack [n]. */
static void reach(const double *wins, size_t n, size_t from, bool beats, bool *reached, size_t *stack)
{
  size_t depth = 0;
  memset(reached, 0, n * sizeof *reached);
  stack[depth++] = from;
  reached[from] = true;
  while (depth > 0) {
    size_t m = stack[--depth];
    for (size_t k = 0; k < n; k++) {
      double won = beats ? wins[m * n + k] : wins[k * n + m];
      if (k == m || reached[k] || !(won > 0)) continue;
      reached[k] = true;
      stack[depth++] = k;
    }
  }
}

struct fitting {
  bool *below, *above;  /* [n] whom the baseline beats by a chain, who beats it */
  size_t *members;      /* [n] a stack, then the group's */
  double *wins, *theta; /* [n, n], [n] of the group */
};

static void close_fitting(struct fitting *f)
{
  free(f->below);
  free(f->above);
  free(f->members);
  free(f->wins);
  free(f->theta);
}

static int open_fitting(struct fitting *f, size_t n, struct tpo_error *err)
{
  *f = (struct fitting){.below = tpo_calloc(n, sizeof *f->below, err),
                        .above = tpo_calloc(n, sizeof *f->above, err),
                        .members = tpo_calloc(n, sizeof *f->members, err),
                        .wins = tpo_calloc(n * n, sizeof *f->wins, err),
                        .theta = tpo_calloc(n, sizeof *f->theta, err)};
  if (f->below && f->above && f->members && f->wins && f->theta) return 0;
  close_fitting(f);
  return TPO_E_MEMORY;
}

/* The baseline's group into f->members, how many they are; the others' theta. */
static size_t part(struct fitting *f, const double *wins, size_t n, size_t baseline, double *theta)
{
  size_t group = 0;
  reach(wins, n, baseline, true, f->below, f->members);
  reach(wins, n, baseline, false, f->above, f->members);
  for (size_t i = 0; i < n; i++) {
    if (f->below[i] && f->above[i])
      f->members[group++] = i;
    else
      theta[i] = f->below[i] ? -INFINITY : f->above[i] ? INFINITY : NAN;
  }
  return group;
}

static int fit_with(struct fitting *f, const double *wins, size_t n, size_t baseline, double *theta,
                    struct tpo_error *err)
{
  struct elo_fit fit;
  size_t group = part(f, wins, n, baseline, theta);
  for (size_t i = 0; i < group; i++)
    for (size_t j = 0; j < group; j++) f->wins[i * group + j] = wins[f->members[i] * n + f->members[j]];
  int status = elo_fit(f->wins, (int)group, 0, f->theta, &fit, err);
  if (status < 0) return status;
  double anchor = 0;
  for (size_t i = 0; i < group; i++)
    if (f->members[i] == baseline) anchor = f->theta[i];
  for (size_t i = 0; i < group; i++) theta[f->members[i]] = f->theta[i] - anchor;
  return 0;
}

int arena_fit(const double *wins, size_t n, size_t baseline, double *theta, struct tpo_error *err)
{
  struct fitting fitting;
  int status = open_fitting(&fitting, n, err);
  if (status < 0) return status;
  status = fit_with(&fitting, wins, n, baseline, theta, err);
  close_fitting(&fitting);
  return status;
}

double arena_percentile(const double *values, size_t n, double share)
{
  double at = (double)(n - 1) * share;
  size_t below = (size_t)at;
  double from = values[below], to = below + 1 < n ? values[below + 1] : from, part = at - (double)below;
  if (part == 0 || from == to) return from;
  if (isfinite(from) && isfinite(to)) return from + part * (to - from);
  return isfinite(from) || (!isfinite(to) && part >= 0.5) ? to : from;
}

static int ascending(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* thetas [rounds, n]. scratch [rounds] */
static void settle(const double *thetas, size_t n, size_t rounds, double *scratch,
                   struct arena_interval *intervals)
{
  for (size_t m = 0; m < n; m++) {
    size_t known = 0;
    for (size_t r = 0; r < rounds; r++)
      if (!isnan(thetas[r * n + m])) scratch[known++] = thetas[r * n + m];
    qsort(scratch, known, sizeof *scratch, ascending);
    intervals[m] = (struct arena_interval){NAN, NAN, known};
    if (known == 0) continue;
    intervals[m].lower = arena_percentile(scratch, known, 0.025);
    intervals[m].upper = arena_percentile(scratch, known, 0.975);
  }
}

static void draw(const struct arena_battles *battles, struct tpo_rng *rng, double *wins)
{
  size_t n = battles->n_models;
  memset(wins, 0, n * n * sizeof *wins);
  for (size_t i = 0; i < battles->n; i++)
    add(wins, n, &battles->list[tpo_rng_below(rng, (uint32_t)battles->n)]);
}

static int run_rounds(const struct arena_battles *battles, size_t baseline, size_t rounds, uint64_t seed,
                      double *thetas, double *wins, const struct tpo_watch *watch, struct tpo_error *err)
{
  struct fitting fitting;
  int status = open_fitting(&fitting, battles->n_models, err);
  if (status < 0) return status;
  for (size_t r = 0; r < rounds && status == 0; r++) {
    struct tpo_rng rng;
    tpo_rng_init(&rng, seed, TPO_STREAM_BOOTSTRAP, r, 0);
    draw(battles, &rng, wins);
    status = fit_with(&fitting, wins, battles->n_models, baseline, thetas + r * battles->n_models, err);
    if (status == 0) status = tpo_stopped("drawing battles again", err);
    tpo_watch_tell(watch, (double)(r + 1) / (double)rounds);
  }
  close_fitting(&fitting);
  return status;
}

int arena_bootstrap(const struct arena_battles *battles, size_t baseline, size_t rounds, uint64_t seed,
                    struct arena_interval *intervals, const struct tpo_watch *watch, struct tpo_error *err)
{
  size_t n = battles->n_models;
  if (battles->n > UINT32_MAX) return tpo_fail(err, TPO_E_INPUT, "more than %u battles", UINT32_MAX);
  double *thetas = tpo_calloc(rounds, n * sizeof *thetas, err);
  double *wins = tpo_calloc(n * n, sizeof *wins, err), *scratch = tpo_calloc(rounds, sizeof *scratch, err);
  int status = thetas && wins && scratch ? 0 : TPO_E_MEMORY;
  if (status == 0) status = run_rounds(battles, baseline, rounds, seed, thetas, wins, watch, err);
  if (status == 0) settle(thetas, n, rounds, scratch, intervals);
  free(thetas);
  free(wins);
  free(scratch);
  return status;
}
