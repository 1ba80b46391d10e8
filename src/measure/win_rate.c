/* Win rates by instruction, from scores that are there. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "measure/dynamics.h"

size_t find_instruction(const struct tpo_samples *samples, const struct tpo_sample_row *like, size_t *at)
{
  size_t row = tpo_samples_find(samples, like->prompt_id, at);
  bool same = row < samples->n && strcmp(samples->rows[row].instruction, like->instruction) == 0;
  return same ? row : samples->n;
}

static void add_outcome(struct win_rate *out, double *outcomes, double more, double less)
{
  outcomes[out->n++] = more > less ? 1 : more < less ? 0 : 0.5;
  out->wins += more > less;
  out->losses += more < less;
  out->ties += more == less;
}

int win_rate_of_scores(const struct tpo_samples *now, const double *now_scores,
                       const struct tpo_samples *before, const double *before_scores, double unparsed,
                       struct win_rate *out, struct tpo_error *err)
{
  double *outcomes = tpo_calloc(now->n, sizeof *outcomes, err);
  size_t at = 0;
  *out = (struct win_rate){0};
  if (!outcomes) return TPO_E_MEMORY;
  for (size_t i = 0; i < now->n; i = tpo_samples_prompt_end(now, i)) {
    size_t other = find_instruction(before, &now->rows[i], &at);
    if (other == before->n) {
      out->unmatched++;
      continue;
    }
    double ours = prompt_score(now, i, unparsed, now_scores);
    double theirs = prompt_score(before, other, unparsed, before_scores);
    if (isnan(ours) || isnan(theirs))
      out->unjudged++;
    else
      add_outcome(out, outcomes, ours, theirs);
  }
  out->rate = mean_and_error(outcomes, out->n, &out->standard_error);
  free(outcomes);
  return 0;
}

int win_rate_of_shares(const struct tpo_samples *now, struct win_rate *out, struct tpo_error *err)
{
  double *outcomes = tpo_calloc(now->n, sizeof *outcomes, err);
  *out = (struct win_rate){0};
  if (!outcomes) return TPO_E_MEMORY;
  for (size_t first = 0; first < now->n; first = tpo_samples_prompt_end(now, first)) {
    double share = prompt_score(now, first, 0, NULL);
    if (isnan(share))
      out->unjudged++;
    else
      add_outcome(out, outcomes, share, 0.5);
  }
  out->rate = mean_and_error(outcomes, out->n, &out->standard_error);
  free(outcomes);
  return 0;
}
