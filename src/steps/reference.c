/* The reference's log-probabilities, with progress; and how a session's listener is told. */
#include <math.h>

#include "tpo/steps.h"

void tpo_session_tell(const struct tpo_session *session, const struct tpo_progress *at)
{
  if (session->progress) session->progress(session->progress_arg, at);
}

struct listener {
  const struct tpo_session *session;
  double pairs;
};

static void tell_pairs(const struct listener *l, double done)
{
  tpo_session_tell(l->session, &(struct tpo_progress){
                                   .phase = "reference", .unit = "pairs", .done = done, .total = l->pairs});
}

/* All ranks have about as many tokens, so this one's share is taken for theirs; all is done when they say so. */
static void tell_share(void *arg, double share)
{
  const struct listener *l = arg;
  tell_pairs(l, fmax(fmin(floor(share * l->pairs), l->pairs - 1), 0));
}

int tpo_reference_logprobs(const struct tpo_session *session, struct tpo_model *reference,
                           struct tpo_pairs *pairs, struct tpo_error *err)
{
  struct listener listener = {session, (double)pairs->n};
  struct tpo_watch watch = {tell_share, &listener};
  tell_pairs(&listener, 0);
  int status =
      tpo_train_reference_logprobs(reference, session->comm, &session->config->train, pairs, &watch, err);
  if (status == 0) tell_pairs(&listener, listener.pairs);
  return status;
}
