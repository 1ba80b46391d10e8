/* Win rates by instruction, from scores that are there. */
#include <math.h>
#include <string.h>

#include "measure/dynamics.h"

size_t find_instruction(const struct tpo_samples *samples, const struct tpo_sample_row *like, size_t *at)
{
  size_t row = tpo_samples_find(samples, like->prompt_id, at);
  bool same = row < samples->n && strcmp(samples->rows[row].instruction, like->instruction) == 0;
  return same ? row : samples->n;
}

/* outcome: NULL, or where it is noted. */
static void add_outcome(struct win_rate *out, double *outcome, double more, double less)
{
  out->n++;
  out->wins += more > less;
  out->losses += more < less;
  out->ties += more == less;
  if (outcome) *outcome = more > less ? 1 : more < less ? 0 : 0.5;
}

/* Mean and standard error of the outcomes 1, 0 and 1/2, by their counts. */
static void finish(struct win_rate *out)
{
  double n = (double)out->n, wins = (double)out->wins, losses = (double)out->losses, ties = (double)out->ties;
  double rate = out->n ? (wins + ties / 2) / n : NAN;
  double squares = wins * (1 - rate) * (1 - rate) + losses * rate * rate + ties * (0.5 - rate) * (0.5 - rate);
  out->rate = rate;
  out->standard_error = out->n > 1 ? sqrt(squares / (n - 1) / n) : NAN;
}

static void begin(struct win_rate *out, const struct tpo_samples *now, double *outcomes)
{
  *out = (struct win_rate){0};
  for (size_t i = 0; outcomes && i < now->n; i++) outcomes[i] = NAN;
}

void win_rate_of_scores(const struct tpo_samples *now, const double *now_scores,
                        const struct tpo_samples *before, const double *before_scores, double unparsed,
                        double *outcomes, struct win_rate *out)
{
  size_t at = 0;
  begin(out, now, outcomes);
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
      add_outcome(out, outcomes ? &outcomes[i] : NULL, ours, theirs);
  }
  finish(out);
}

void win_rate_of_shares(const struct tpo_samples *now, double *outcomes, struct win_rate *out)
{
  begin(out, now, outcomes);
  for (size_t first = 0; first < now->n; first = tpo_samples_prompt_end(now, first)) {
    double share = prompt_score(now, first, 0, NULL);
    if (isnan(share))
      out->unjudged++;
    else
      add_outcome(out, outcomes ? &outcomes[first] : NULL, share, 0.5);
  }
  finish(out);
}
