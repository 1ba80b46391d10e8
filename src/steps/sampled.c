/* Tokens, outputs and prompts as they are drawn. */
#include "steps/sampled.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"

static void tell(const struct sampled *s, double done, double total, double prompts)
{
  char note[64];
  snprintf(note, sizeof note, "%.0f of %zu prompts", floor(prompts), s->n_prompts);
  tpo_session_tell(s->session,
                   &(struct tpo_progress){
                       .phase = s->phase, .unit = "tokens", .done = done, .total = total, .note = note});
}

int sampled_begin(struct sampled *s, size_t n_jobs, struct tpo_error *err)
{
  s->open = tpo_calloc(s->n_prompts, sizeof *s->open, err);
  if (!s->open) return TPO_E_MEMORY;
  for (size_t j = 0; j < n_jobs; j++) {
    s->open[s->jobs[j].index] += s->jobs[j].k_count;
    s->forecast.outputs += s->jobs[j].k_count;
  }
  for (size_t i = 0; i < s->n_prompts; i++) s->n_finished += s->open[i] == 0;
  s->forecast.at_once = fmin(s->forecast.at_once, s->forecast.outputs);
  s->begin = tpo_seconds();
  tell(s, s->before, s->before + s->forecast.outputs * s->forecast.budget, (double)s->n_finished);
  return 0;
}

static void tell_progress(struct sampled *s)
{
  double done, total;
  int64_t taken = tpo_comm_queue_taken(s->queue);
  while (s->counted < taken) s->seen.taken += s->jobs[s->counted++].k_count;
  s->seen.tokens = (double)s->tokens;
  s->seen.ended_tokens = (double)s->ended_tokens;
  forecast(&s->forecast, &s->seen, &done, &total);
  double ended = forecast_for_all((double)s->ended, (double)taken, (double)s->taken);
  tell(s, s->before + done, s->before + total, fmin((double)s->n_finished + ended, (double)s->n_prompts));
}

void sampled_take(struct sampled *s, const struct tpo_request *job)
{
  s->taken++;
  s->seen.own_taken += job->k_count;
}

/* Looks at the clock some fifty times a second, and tells at most ten times. */
void sampled_token(struct sampled *s)
{
  if (++s->tokens < s->look_at || !s->session->progress) return;
  double now = tpo_seconds(), seconds = now - s->begin;
  s->look_at = s->tokens + 1 + (int64_t)((double)s->tokens / (seconds > 0.02 ? 50 * seconds : 1));
  if (now - s->told < 0.1) return;
  s->told = now;
  tell_progress(s);
}

void sampled_output(struct sampled *s, const struct tpo_output *output)
{
  s->seen.ended++;
  s->ended_tokens += output->n;
  s->ended += --s->open[output->request->index] == 0;
}

void sampled_end(const struct sampled *s, double tokens)
{
  tell(s, tokens, tokens, (double)s->n_prompts);
}

void sampled_free(struct sampled *s)
{
  free(s->open);
}
