/* Each run's figures, and the others' differences to the first. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/judge_kinds.h"
#include "measure/dynamics.h"
#include "report/runs/runs.h"

static const struct {
  const char *key, *name;
  int decimals;
  double factor;
} figures[N_FIGURES] = {
    [FIGURE_SCORE] = {"score", "mean judge score", 3, 1},
    [FIGURE_CHECKS] = {"checks_held", "constraints that hold, %", 1, 100},
    [FIGURE_REPETITION] = {"repetition", "repeated text, %", 1, 100},
    [FIGURE_FORMAT] = {"format_rate", "format kept, %", 1, 100},
    [FIGURE_THOUGHT] = {"thought_tokens", "thought, tokens", 1, 1},
    [FIGURE_RESPONSE] = {"response_tokens", "response, tokens", 1, 1},
    [FIGURE_CHARS] = {"response_chars", "response, characters", 1, 1},
};

const char *figure_key(enum figure figure)
{
  return figures[figure].key;
}

const char *figure_name(enum figure figure)
{
  return figures[figure].name;
}

int figure_decimals(enum figure figure, double *factor)
{
  *factor = figures[figure].factor;
  return figures[figure].decimals;
}

int group_decimals(enum group_by by, double *factor)
{
  *factor = by == GROUP_CHECK ? 100 : 1;
  return by == GROUP_CHECK ? 1 : 3;
}

static bool is_rule(const struct compared_run *run)
{
  const char *argument, *kind = run->report.config.judge.kind;
  return kind && config_judge_kind(kind, &argument) == JUDGE_KIND_RULE;
}

bool compared_has(const struct compared *c, enum figure figure)
{
  for (size_t r = 0; r < c->n_runs; r++)
    if (isfinite(c->runs[r].now[figure].mean)) return true;
  return false;
}

static int own_figures(const struct compared *c, struct compared_run *run, uint64_t seed,
                       struct tpo_error *err)
{
  int status = 0;
  for (int f = 0; f < N_FIGURES && status == 0; f++) {
    run->values[f] = tpo_calloc(c->n, sizeof **run->values, err);
    if (!run->values[f]) return TPO_E_MEMORY;
    status = figures_of(&run->view, (enum figure)f, c->unparsed, run->values[f], err);
    for (size_t i = 0; f == FIGURE_CHECKS && !is_rule(run) && i < c->n; i++) run->values[f][i] = NAN;
    if (status == 0) status = estimate_mean(run->values[f], c->n, seed, &run->now[f], err);
  }
  return status;
}

/* scratch: [n]. */
static int changes(const struct compared *c, struct compared_run *run, uint64_t seed, double *scratch,
                   struct tpo_error *err)
{
  int status = 0;
  for (int f = 0; f < N_FIGURES && status == 0; f++) {
    for (size_t i = 0; i < c->n; i++) scratch[i] = run->values[f][i] - c->runs[0].values[f][i];
    status = estimate_mean(scratch, c->n, seed, &run->change[f], err);
  }
  return status;
}

static int wins(const struct compared *c, struct compared_run *run, uint64_t seed, double *scratch,
                struct tpo_error *err)
{
  run->outcomes = tpo_calloc(run->view.n, sizeof *run->outcomes, err);
  if (!run->outcomes) return TPO_E_MEMORY;
  win_rate_of_scores(&run->view, NULL, &c->runs[0].view, NULL, c->unparsed, run->outcomes, &run->won);
  size_t n = 0;
  for (size_t i = 0; i < run->view.n; i = tpo_samples_prompt_end(&run->view, i))
    scratch[n++] = run->outcomes[i];
  return estimate_mean(scratch, n, seed, &run->won_rate, err);
}

static int against_first(const struct compared *c, struct compared_run *run, uint64_t seed,
                         struct tpo_error *err)
{
  double *scratch = tpo_calloc(c->n, sizeof *scratch, err);
  int status = scratch ? changes(c, run, seed, scratch, err) : TPO_E_MEMORY;
  if (status == 0) status = wins(c, run, seed, scratch, err);
  free(scratch);
  const struct group_options options = {
      .unparsed = c->unparsed, .before = &c->runs[0].view, .outcomes = run->outcomes};
  for (int by = 0; by < N_GROUP_BY && status == 0; by++)
    status = groups_of(&run->groups[by], &run->view, (enum group_by)by, &options, err);
  return status;
}

struct spread {
  double size; /* largest score of the runs less the smallest; -1: not known of all */
  size_t instruction;
};

static int by_spread(const void *a, const void *b)
{
  const struct spread *x = a, *y = b;
  if (x->size != y->size) return x->size < y->size ? 1 : -1;
  return (x->instruction > y->instruction) - (x->instruction < y->instruction);
}

static struct spread spread_of(const struct compared *c, size_t i)
{
  double most = -INFINITY, least = INFINITY;
  for (size_t r = 0; r < c->n_runs; r++) {
    double score = c->runs[r].values[FIGURE_SCORE][i];
    if (isnan(score)) return (struct spread){-1, i};
    most = fmax(most, score);
    least = fmin(least, score);
  }
  return (struct spread){most - least, i};
}

static int put_in_order(struct compared *c, struct tpo_error *err)
{
  struct spread *all = tpo_calloc(c->n, sizeof *all, err);
  c->order = tpo_calloc(c->n, sizeof *c->order, err);
  for (size_t i = 0; all && c->order && i < c->n; i++) all[i] = spread_of(c, i);
  if (all && c->order) qsort(all, c->n, sizeof *all, by_spread);
  for (size_t i = 0; all && c->order && i < c->n; i++) c->order[i] = all[i].instruction;
  int status = all && c->order ? 0 : TPO_E_MEMORY;
  free(all);
  return status;
}

int compared_numbers(struct compared *c, uint64_t seed, struct tpo_error *err)
{
  int status = 0;
  c->unparsed = INFINITY;
  for (size_t r = 0; r < c->n_runs; r++)
    c->unparsed = fmin(c->unparsed, report_unparsed(&c->runs[r].report, c->runs[r].at));
  for (size_t r = 0; r < c->n_runs && status == 0; r++) status = own_figures(c, &c->runs[r], seed, err);
  for (size_t r = 1; r < c->n_runs && status == 0; r++) status = against_first(c, &c->runs[r], seed, err);
  return status == 0 ? put_in_order(c, err) : status;
}
