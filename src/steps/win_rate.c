/* Win rates of one model's responses against another's, by their scores or by asking the judge. */
#include "steps/win_rate.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "judge/scales.h"
#include "tpo/judge.h"

/* The rows of `now` for which `before` has one of the same instruction and number. */
static int take_matched(struct tpo_samples *matched, const struct tpo_samples *now,
                        const struct tpo_samples *before, size_t *unmatched, struct tpo_error *err)
{
  int status = 0;
  size_t at = 0;
  for (size_t first = 0, end; first < now->n && status == 0; first = end) {
    size_t had = matched->n, other = find_instruction(before, &now->rows[first], &at);
    end = tpo_samples_prompt_end(now, first);
    size_t other_end = other < before->n ? tpo_samples_prompt_end(before, other) : other;
    for (size_t i = first; i < end && status == 0; i++)
      for (size_t j = other; j < other_end && status == 0; j++)
        if (before->rows[j].k == now->rows[i].k) status = tpo_samples_add(matched, &now->rows[i], err);
    *unmatched += matched->n == had;
  }
  return status;
}

/* outcomes, of the rows of `matched`, to those of `now`. */
static int carry_outcomes(const struct tpo_samples *matched, const struct tpo_samples *now, double *outcomes,
                          struct win_rate *out, struct tpo_error *err)
{
  double *own = outcomes ? tpo_calloc(matched->n, sizeof *own, err) : NULL;
  size_t at = 0;
  if (outcomes && !own) return TPO_E_MEMORY;
  win_rate_of_shares(matched, own, out);
  for (size_t i = 0; outcomes && i < now->n; i++) outcomes[i] = NAN;
  for (size_t i = 0; outcomes && i < matched->n; i = tpo_samples_prompt_end(matched, i))
    outcomes[tpo_samples_find(now, matched->rows[i].prompt_id, &at)] = own[i];
  free(own);
  return 0;
}

/* The judge itself compares. All ranks; result on rank 0. */
static int ask_judge(const struct tpo_session *session, const struct tpo_samples *now,
                     const struct tpo_samples *before, const struct tpo_score_options *options,
                     double *outcomes, struct win_rate *out, char **counts, struct tpo_error *err)
{
  struct tpo_samples matched = {0};
  size_t failures = 0, unmatched = 0;
  int status = tpo_comm_rank(session->comm) == 0 ? take_matched(&matched, now, before, &unmatched, err) : 0;
  double any = matched.n > 0; /* no judge is opened for nothing */
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0) status = tpo_comm_allreduce_max_f64(session->comm, &any, 1, err);
  if (status == 0 && any > 0) status = tpo_score_versus(session, &matched, before, options, &failures, err);
  if (status == 0 && tpo_comm_rank(session->comm) == 0)
    status = carry_outcomes(&matched, now, outcomes, out, err);
  out->unmatched = unmatched;
  if (counts) {
    *counts = matched.judge_counts;
    matched.judge_counts = NULL;
  }
  tpo_samples_free(&matched);
  return tpo_comm_agree(session->comm, status, err);
}

/* Both by the scales of `now`: another run has others, and what differs by scales alone is no difference. */
static int by_scores(const struct tpo_samples *now, const struct tpo_samples *before, double unparsed,
                     double *outcomes, struct win_rate *out, struct tpo_error *err)
{
  double *ours = tpo_calloc(now->n, sizeof *ours, err), *theirs = tpo_calloc(before->n, sizeof *theirs, err);
  int status = ours && theirs ? scales_carry_over(now, now, ours, err) : TPO_E_MEMORY;
  if (status == 0) status = scales_carry_over(now, before, theirs, err);
  if (status == 0) win_rate_of_scores(now, ours, before, theirs, unparsed, outcomes, out);
  free(ours);
  free(theirs);
  return status;
}

int win_rate_between(const struct tpo_session *session, const struct tpo_samples *now,
                     const struct tpo_samples *before, double unparsed,
                     const struct tpo_score_options *options, double *outcomes, struct win_rate *out,
                     char **counts, struct tpo_error *err)
{
  const struct tpo_judge_config *judge = &session->config->judge;
  if (counts) *counts = NULL;
  if (tpo_judge_compares(judge)) return ask_judge(session, now, before, options, outcomes, out, counts, err);
  int status = tpo_comm_rank(session->comm) == 0 ? by_scores(now, before, unparsed, outcomes, out, err) : 0;
  return tpo_comm_agree(session->comm, status, err);
}
