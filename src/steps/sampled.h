/* How far sampling is, counted on every rank as the engine goes and told by the one that is listened to. */
#ifndef TPO_STEPS_SAMPLED_H
#define TPO_STEPS_SAMPLED_H

#include "steps/forecast.h"
#include "tpo/engine.h"
#include "tpo/steps.h"

struct sampled {
  const struct tpo_session *session;
  const char *phase;
  struct tpo_comm_queue *queue;
  const struct tpo_request *jobs; /* [of the queue], in its order; borrowed */
  size_t n_prompts, n_finished;   /* in all, and those of which nothing was to be drawn */
  double before;                  /* tokens of outputs that were there */
  int *open;                      /* [n_prompts] outputs to be drawn that have not ended */
  struct forecast forecast;
  struct forecast_seen seen;
  int64_t counted;                       /* jobs whose outputs are in seen.taken */
  int64_t taken, ended;                  /* this rank's: jobs taken, prompts finished */
  int64_t tokens, ended_tokens, look_at; /* the clock is looked at again at so many tokens */
  double begin, told;
};

/* All that is set above `forecast` but for `open` is given, and forecast's budget and at_once. */
int sampled_begin(struct sampled *s, size_t n_jobs, struct tpo_error *err);
void sampled_take(struct sampled *s, const struct tpo_request *job);
void sampled_token(struct sampled *s); /* costs next to nothing */
void sampled_output(struct sampled *s, const struct tpo_output *output);
/* All is done: so many tokens. */
void sampled_end(const struct sampled *s, double tokens);
void sampled_free(struct sampled *s);

#endif
