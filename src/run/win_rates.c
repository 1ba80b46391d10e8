/* Win rates of validation responses against the previous iteration's and another run's. */
#include <string.h>

#include "run/events.h"
#include "run/loop.h"
#include "steps/win_rate.h"
#include "tpo/judge.h"

/* before: rank 0's. */
static int win_rate(struct loop *loop, const struct tpo_samples *now, const struct tpo_samples *before,
                    struct win_rate *out, struct tpo_error *err)
{
  bool raw = tpo_judge_mixes(&loop->config->judge);
  double unparsed = 0;
  int status = loop_agree(loop, loop->first ? loop_unparsed(loop, raw, &unparsed, err) : 0, err);
  return status < 0 ? status : win_rate_between(loop->session, now, before, unparsed, out, err);
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
