/* Win rates of validation responses against the previous iteration's and another run's. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "run/events.h"
#include "run/group_events.h"
#include "run/loop.h"
#include "steps/win_rate.h"
#include "tpo/judge.h"

/* before: rank 0's; outcomes: as win_rate_between has them. */
static int win_rate(struct loop *loop, const struct tpo_samples *now, const struct tpo_samples *before,
                    double *outcomes, struct won *won, struct tpo_error *err)
{
  char journal[4096];
  struct tpo_score_options options;
  double unparsed = 0;
  int status = loop_agree(loop, loop->first ? loop_unparsed(loop, &unparsed, err) : 0, err);
  if (status == 0)
    status = loop_keep_judgements(
        loop, won->previous ? "validation.h5" LOOP_AGAINST_PREVIOUS : "validation.h5" LOOP_AGAINST_BASELINE,
        journal, &options, err);
  if (status < 0) return status;
  return win_rate_between(loop->session, now, before, unparsed, &options, outcomes, &won->rate, NULL, err);
}

/* Tells rank 0's rate, whole and by group, and keeps it for the end of the run. */
static int keep_rate(struct loop *loop, const struct tpo_samples *now, const double *outcomes,
                     const struct won *won, struct tpo_error *err)
{
  const struct win_rate *rate = &won->rate;
  const char *against = won->previous ? "previous" : "baseline";
  char name[LOOP_PLACE], rival[LOOP_RIVAL];
  if (rate->n > 0)
    tpo_log(TPO_LOG_INFO, "%s: %zu instruction%s won, %zu lost, %zu even against %s",
            loop_model_name(loop, loop->iteration, name), rate->wins, rate->wins == 1 ? "" : "s",
            rate->losses, rate->ties, loop_rival_name(loop, won, rival));
  if (loop->won_by != loop->iteration) loop->n_won = 0;
  loop->won_by = loop->iteration;
  loop->won[loop->n_won++] = *won;
  int status = loop_event(loop, "win_rate", event_win_rate(against, won->iteration, rate), err);
  return status < 0 ? status : loop_tell_group_wins(loop, now, outcomes, against, won->iteration, err);
}

/* One comparison; before: rank 0's. */
static int against(struct loop *loop, const struct tpo_samples *now, const struct tpo_samples *before,
                   double *outcomes, struct won *won, struct tpo_error *err)
{
  bool told = won->previous && won->iteration == 0 && tpo_judge_compares(&loop->config->judge);
  if (!told) return win_rate(loop, now, before, outcomes, won, err);
  if (loop->first) win_rate_of_shares(now, outcomes, &won->rate); /* that is what the validation score is */
  return 0;
}

static int no_match(const struct loop *loop, const char *path, struct tpo_error *err)
{
  char name[LOOP_PLACE];
  return tpo_fail(err, TPO_E_USAGE,
                  "%s holds none of the validation instructions (by id and text) "
                  "that %s of %s was validated on",
                  path, loop_model_name(loop, loop->iteration, name), loop->config->run.dir);
}

static int against_previous(struct loop *loop, const struct tpo_samples *now, double *outcomes,
                            struct tpo_error *err)
{
  const struct tpo_samples *before = NULL;
  struct won won = {.previous = true, .iteration = loop->iteration - 1};
  char path[4096];
  int status = loop->first ? loop_validated(loop, won.iteration, &before, err) : 0;
  status = loop_agree(loop, status, err);
  if (status == 0) status = against(loop, now, before, outcomes, &won, err);
  if (status < 0 || !loop->first) return status;
  status = loop_path(loop, won.iteration, "validation.h5", path, err);
  if (status == 0 && won.rate.unmatched > 0 && won.rate.n == 0) status = no_match(loop, path, err);
  return status < 0 ? status : keep_rate(loop, now, outcomes, &won, err);
}

static int against_baseline(struct loop *loop, const struct tpo_samples *now, double *outcomes,
                            struct tpo_error *err)
{
  struct tpo_samples before = {0};
  struct won won = {.previous = false};
  char path[4096];
  int status = 0;
  if (loop->first) status = loop_baseline_path(loop, &won.iteration, path, err);
  if (loop->first && status == 0) status = tpo_samples_read(&before, path, err);
  status = loop_agree(loop, status, err);
  if (status == 0) status = against(loop, now, &before, outcomes, &won, err);
  tpo_samples_free(&before);
  if (status < 0 || !loop->first) return status;
  if (won.rate.unmatched > 0 && won.rate.n == 0) return no_match(loop, path, err);
  return keep_rate(loop, now, outcomes, &won, err);
}

int loop_win_rates(struct loop *loop, const struct tpo_samples *now, struct tpo_error *err)
{
  const char *baseline = loop->config->run.baseline;
  double *outcomes = loop->first ? tpo_calloc(now->n, sizeof *outcomes, err) : NULL;
  int status = loop_agree(loop, loop->first && !outcomes ? TPO_E_MEMORY : 0, err);
  if (status == 0 && loop->iteration > 0)
    status = loop_agree(loop, against_previous(loop, now, outcomes, err), err);
  if (status == 0 && baseline && *baseline)
    status = loop_agree(loop, against_baseline(loop, now, outcomes, err), err);
  free(outcomes);
  return status;
}
