/* Work of judging, counted prompt by prompt. */
#include "steps/judge_watch.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "steps/forecast.h"
#include "steps/judge_item.h"
#include "tpo/judge.h"

static double work_of(const struct judge_watch *w, const struct judge_jobs *jobs, bool compares,
                      size_t prompt)
{
  const struct tpo_judge_config *config = &w->session->config->judge;
  size_t first = jobs->firsts[prompt];
  int n = 0;
  for (size_t i = first; i < jobs->firsts[prompt + 1]; i++) n += jobs->samples->rows[i].format_ok;
  if (!compares) return n;
  struct tpo_judge_item item = judge_item_of_sample(&jobs->samples->rows[first]);
  return tpo_judge_cost(config, &item, n, config->comparisons).calls;
}

static void tell(const struct judge_watch *w, double done)
{
  if (!w->work) return;
  tpo_session_tell(w->session, &(struct tpo_progress){.phase = "judging",
                                                      .unit = w->unit,
                                                      .done = w->before + done,
                                                      .total = w->before + w->work[w->n_jobs]});
}

int judge_watch_begin(struct judge_watch *w, const struct tpo_session *session, const struct judge_jobs *jobs,
                      struct tpo_error *err)
{
  const struct tpo_judge_config *config = &session->config->judge;
  bool compares = tpo_judge_compares(config) && !tpo_judge_mixes(config);
  *w = (struct judge_watch){
      .session = session, .unit = compares ? "comparisons" : "responses", .n_jobs = jobs->n_jobs};
  if (!session->progress) return 0;
  w->work = tpo_calloc(jobs->n_jobs + 1, sizeof *w->work, err);
  if (!w->work) return TPO_E_MEMORY;
  for (size_t p = 0; p < jobs->n_prompts; p++) w->before += work_of(w, jobs, compares, p);
  for (size_t j = 0; j < jobs->n_jobs; j++)
    w->work[j + 1] = w->work[j] + work_of(w, jobs, compares, jobs->prompts ? jobs->prompts[j] : j);
  w->before -= w->work[jobs->n_jobs];
  tell(w, 0);
  return 0;
}

void judge_watch_next(struct judge_watch *w)
{
  w->scored = w->taken;
}

void judge_watch_take(struct judge_watch *w, int64_t job)
{
  if (w->work) w->taken += w->work[job + 1] - w->work[job];
}

/* The other ranks are taken to be as far as this one with what they took; all is done only when all say so. */
void judge_watch_tell(void *arg, double share)
{
  struct judge_watch *w = arg;
  double now = tpo_seconds();
  if (!w->work || now - w->told < 0.1) return;
  w->told = now;
  double own = w->scored + share * (w->taken - w->scored), all = w->work[tpo_comm_queue_taken(w->queue)];
  double done = floor(forecast_for_all(own, all, w->taken));
  w->done = fmax(w->done, fmin(done, w->work[w->n_jobs] - 1));
  tell(w, w->done);
}

void judge_watch_end(struct judge_watch *w)
{
  if (w->work) tell(w, w->work[w->n_jobs]);
}

void judge_watch_free(struct judge_watch *w)
{
  free(w->work);
}
