/* The pairs of one prompt: scores and lengths are standardised; the extremes or all differences are taken. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "base/utf8.h"
#include "pairs/select.h"

bool has_loss_token(const struct tpo_sample_row *row)
{
  for (int32_t i = 0; i < row->n_tokens - row->n_unjudged_tokens; i++)
    if (!row->inserted || !row->inserted[i]) return true;
  return false;
}

double response_length(const struct tpo_sample_row *row, enum tpo_length_unit unit)
{
  const char *response = row->response ? row->response : "";
  return unit == TPO_LENGTH_TOKENS ? tpo_sample_response_tokens(row)
                                   : (double)tpo_utf8_count(response, strlen(response));
}

/* Mean and population standard deviation of one field (at `offset`) of the candidates; its z-scores go to the
 * other. */
static void standardise(struct candidate *candidates, size_t n, size_t offset, size_t z_offset)
{
  double mean = 0, variance = 0;
  for (size_t i = 0; i < n; i++) mean += *(double *)((char *)&candidates[i] + offset);
  mean /= (double)n;
  bool constant = true;
  for (size_t i = 0; i < n; i++) {
    double x = *(double *)((char *)&candidates[i] + offset);
    variance += (x - mean) * (x - mean);
    constant &= x == *(double *)((char *)candidates + offset);
  }
  double deviation = sqrt(variance / (double)n);
  for (size_t i = 0; i < n; i++) {
    double x = *(double *)((char *)&candidates[i] + offset);
    /* `constant`: rounding in the mean must not make a tiny deviation out of equal values. */
    *(double *)((char *)&candidates[i] + z_offset) = constant || deviation == 0 ? 0 : (x - mean) / deviation;
  }
}

static int add_failure(struct selection *s, size_t row, struct tpo_error *err)
{
  if (tpo_grow(&s->failures, &s->failures_capacity, s->n_failures + 1, sizeof *s->failures, err) < 0)
    return TPO_E_MEMORY;
  s->failures[s->n_failures++] = row;
  return 0;
}

static int add_candidate(struct selection *s, const struct tpo_sample_row *row, size_t index,
                         enum tpo_length_unit unit, struct tpo_error *err)
{
  if (!isfinite(row->score))
    return tpo_fail(err, TPO_E_NUMERIC, "prompt %s, sample %d: the score is not a finite number",
                    row->prompt_id, row->k);
  if (tpo_grow(&s->candidates, &s->candidates_capacity, s->n_candidates + 1, sizeof *s->candidates, err) < 0)
    return TPO_E_MEMORY;
  s->candidates[s->n_candidates++] =
      (struct candidate){.row = index, .score = row->score, .length = response_length(row, unit)};
  return 0;
}

/* Sorts a prompt's samples into candidates and format failures. */
static int gather(struct selection *s, const struct tpo_samples *samples, struct prompt_group group,
                  enum tpo_length_unit unit, bool failures, double rho, struct tpo_error *err)
{
  s->n_candidates = s->n_failures = s->n_choices = 0;
  s->unjudged = false;
  int status = 0;
  for (size_t i = group.first; i < group.first + group.n && status == 0; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    if (!has_loss_token(row)) continue;
    if (!row->format_ok)
      status = failures ? add_failure(s, i, err) : 0;
    else if (row->scored)
      status = add_candidate(s, row, i, unit, err);
    else
      s->unjudged = true;
  }
  if (status < 0 || s->n_candidates == 0) return status;
  standardise(s->candidates, s->n_candidates, offsetof(struct candidate, score),
              offsetof(struct candidate, z_score));
  standardise(s->candidates, s->n_candidates, offsetof(struct candidate, length),
              offsetof(struct candidate, z_length));
  for (size_t i = 0; i < s->n_candidates; i++)
    s->candidates[i].controlled = s->candidates[i].z_score - rho * s->candidates[i].z_length;
  return 0;
}

static int add_choice(struct selection *s, struct choice choice, struct tpo_error *err)
{
  if (tpo_grow(&s->choices, &s->choices_capacity, s->n_choices + 1, sizeof *s->choices, err) < 0)
    return TPO_E_MEMORY;
  s->choices[s->n_choices++] = choice;
  return 0;
}

static int reject_failures(struct selection *s, size_t best, size_t n, struct tpo_error *err)
{
  for (size_t i = 0; i < n; i++) {
    struct choice choice = {s->candidates[best].row, s->failures[i], true, NAN};
    if (add_choice(s, choice, err) < 0) return TPO_E_MEMORY;
  }
  return 0;
}

/* One pair: the highest and the lowest controlled score, the first of equals. */
static int choose_extremes(struct selection *s, size_t best, double margin, enum outcome *outcome,
                           struct tpo_error *err)
{
  size_t worst = 0;
  for (size_t i = 1; i < s->n_candidates; i++)
    if (s->candidates[i].controlled < s->candidates[worst].controlled) worst = i;
  const struct candidate *high = &s->candidates[best], *low = &s->candidates[worst];
  if (high->controlled == low->controlled || high->score == low->score)
    *outcome = OUTCOME_TIE;
  else if (!(high->score - low->score > margin))
    *outcome = OUTCOME_BELOW_MARGIN;
  else
    return add_choice(s, (struct choice){high->row, low->row, false, high->controlled - low->controlled},
                      err);
  return 0;
}

/* Falling margin; equal ones by row, so that the order is fixed. */
static int compare_choices(const void *a, const void *b)
{
  const struct choice *x = a, *y = b;
  if (x->margin != y->margin) return x->margin > y->margin ? -1 : 1;
  if (x->chosen != y->chosen) return x->chosen < y->chosen ? -1 : 1;
  return (x->rejected > y->rejected) - (x->rejected < y->rejected);
}

static int choose_all(struct selection *s, double margin, enum outcome *outcome, struct tpo_error *err)
{
  size_t first = s->n_choices;
  bool differ = false; /* some two are not tied */
  for (size_t i = 0; i < s->n_candidates; i++) {
    for (size_t j = 0; j < s->n_candidates; j++) {
      const struct candidate *high = &s->candidates[i], *low = &s->candidates[j];
      if (!(high->controlled > low->controlled) || high->score == low->score) continue;
      differ = true;
      if (!(high->score - low->score > margin)) continue;
      struct choice choice = {high->row, low->row, false, high->controlled - low->controlled};
      if (add_choice(s, choice, err) < 0) return TPO_E_MEMORY;
    }
  }
  if (s->n_choices == first)
    *outcome = differ ? OUTCOME_BELOW_MARGIN : OUTCOME_TIE;
  else
    qsort(s->choices + first, s->n_choices - first, sizeof *s->choices, compare_choices);
  return 0;
}

static bool single_valued(const struct selection *s)
{
  for (size_t i = 1; i < s->n_candidates; i++)
    if (s->candidates[i].score != s->candidates[0].score) return false;
  return true;
}

int select_prompt(struct selection *s, const struct tpo_samples *samples, struct prompt_group group,
                  const struct tpo_pairs_config *config, double rho, bool failures, enum outcome *outcome,
                  struct tpo_error *err)
{
  int status = gather(s, samples, group, config->length_unit, failures, rho, err);
  if (status < 0) return status;
  *outcome = OUTCOME_UNJUDGED;
  if (s->unjudged) return 0;
  *outcome = OUTCOME_TOO_FEW;
  if (s->n_candidates == 0 || s->n_candidates + s->n_failures < 2) return 0;
  size_t best = 0;
  for (size_t i = 1; i < s->n_candidates; i++)
    if (s->candidates[i].controlled > s->candidates[best].controlled) best = i;
  bool all = config->mode == TPO_PAIRS_ALL;
  if (s->n_failures > 0) status = reject_failures(s, best, all ? s->n_failures : 1, err);
  if (status == 0 && (all || s->n_failures == 0)) {
    if (single_valued(s))
      *outcome = OUTCOME_SINGLE_VALUED;
    else if (all)
      status = choose_all(s, config->margin, outcome, err);
    else
      status = choose_extremes(s, best, config->margin, outcome, err);
  }
  size_t limit = (size_t)config->max_pairs_per_prompt;
  if (all && limit > 0 && s->n_choices > limit) s->n_choices = limit;
  if (s->n_choices > 0) *outcome = OUTCOME_PAIRS;
  return status;
}

void selection_free(struct selection *s)
{
  free(s->candidates);
  free(s->failures);
  free(s->choices);
}
