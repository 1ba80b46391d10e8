/* Win rates of validation responses against the previous iteration's and another run's. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "run/dynamics.h"
#include "run/events.h"
#include "run/loop.h"
#include "tpo/judge.h"

/* As find_prompt; an instruction of the same id and another text is not found. */
static size_t find_instruction(const struct tpo_samples *samples, const struct tpo_sample_row *like,
                               size_t *at)
{
  size_t row = find_prompt(samples, like->prompt_id, at);
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

int win_rate_of_scores(const struct tpo_samples *now, const struct tpo_samples *before, double unparsed,
                       bool raw, struct win_rate *out, struct tpo_error *err)
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
    double ours = prompt_score(now, i, unparsed, raw), theirs = prompt_score(before, other, unparsed, raw);
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
    double share = prompt_score(now, first, 0, false);
    if (isnan(share))
      out->unjudged++;
    else
      add_outcome(out, outcomes, share, 0.5);
  }
  out->rate = mean_and_error(outcomes, out->n, &out->standard_error);
  free(outcomes);
  return 0;
}

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

/* The judge itself compares. All ranks; result on rank 0. */
static int ask_judge(struct loop *loop, const struct tpo_samples *now, const struct tpo_samples *before,
                     struct win_rate *out, struct tpo_error *err)
{
  struct tpo_samples matched = {0};
  size_t failures = 0, unmatched = 0;
  int status = loop->first ? take_matched(&matched, now, before, &unmatched, err) : 0;
  double any = matched.n > 0; /* no judge is opened for nothing */
  status = loop_agree(loop, status, err);
  if (status == 0) status = tpo_comm_allreduce_max_f64(loop->session->comm, &any, 1, err);
  if (status == 0 && any > 0) status = tpo_judge_versus(loop->session, &matched, before, &failures, err);
  if (status == 0 && loop->first) status = win_rate_of_shares(&matched, out, err);
  out->unmatched = unmatched;
  tpo_samples_free(&matched);
  return loop_agree(loop, status, err);
}

/* before: rank 0's. */
static int win_rate(struct loop *loop, const struct tpo_samples *now, const struct tpo_samples *before,
                    struct win_rate *out, struct tpo_error *err)
{
  const struct tpo_judge_config *judge = &loop->config->judge;
  if (tpo_judge_compares(judge)) return ask_judge(loop, now, before, out, err);
  bool raw = strcmp(judge->kind, "route") == 0;
  double unparsed;
  int status = loop->first ? loop_unparsed(loop, raw, &unparsed, err) : 0;
  if (status == 0 && loop->first) status = win_rate_of_scores(now, before, unparsed, raw, out, err);
  return loop_agree(loop, status, err);
}

/* One comparison: samples of `path`, of which the event tells the iteration. */
static int against(struct loop *loop, const struct tpo_samples *now, const char *name, const char *path,
                   int iteration, struct tpo_error *err)
{
  struct tpo_samples before = {0};
  struct win_rate rate = {0};
  bool previous = strcmp(name, "previous") == 0;
  int status = loop->first ? tpo_samples_read(&before, path, err) : 0;
  status = loop_agree(loop, status, err);
  if (status == 0 && previous && iteration == 0 && tpo_judge_compares(&loop->config->judge))
    /* That is what the validation score is. */
    status = loop_agree(loop, loop->first ? win_rate_of_shares(now, &rate, err) : 0, err);
  else if (status == 0)
    status = win_rate(loop, now, &before, &rate, err);
  if (status == 0 && loop->first && rate.unmatched > 0 && rate.n == 0)
    status = tpo_fail(err, TPO_E_USAGE,
                      "%s holds none of the validation instructions (by id and text) "
                      "that iteration %d of %s was validated on",
                      path, loop->iteration, loop->config->run.dir);
  if (status == 0 && loop->first) {
    if (rate.n > 0)
      tpo_log(TPO_LOG_INFO, "iteration %d: %zu instructions won, %zu lost, %zu even against %s iteration %d",
              loop->iteration, rate.wins, rate.losses, rate.ties, previous ? "this run's" : "the baseline's",
              iteration);
    status = loop_event(loop, "win_rate", event_win_rate(name, iteration, &rate), err);
  }
  tpo_samples_free(&before);
  return loop_agree(loop, status, err);
}

int loop_win_rates(struct loop *loop, const struct tpo_samples *now, struct tpo_error *err)
{
  char path[4096];
  const char *baseline = loop->config->run.baseline;
  int status = 0;
  if (loop->iteration > 0) {
    int previous = loop->iteration - 1;
    status = loop_path(loop, previous, "validation.h5", path, err);
    if (status == 0) status = against(loop, now, "previous", path, previous, err);
  }
  if (status == 0 && baseline && *baseline) {
    int iteration = 0;
    if (loop->first) status = loop_baseline_path(loop, &iteration, path, err);
    status = loop_agree(loop, status, err);
    if (status == 0) status = against(loop, now, "baseline", path, iteration, err);
  }
  return status;
}
