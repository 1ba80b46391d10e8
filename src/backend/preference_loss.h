/* The loss of one preference pair and its derivatives by the sums of log-probabilities, in double precision:
 * written once, for the host and for kernels.
 *
 * h = (chosen - ref_chosen) - (rejected - ref_rejected).
 * DPO:  -(1 - s) log sigmoid(beta h) - s log sigmoid(-beta h), s the label smoothing.
 * IPO:  (h - 1 / (2 beta))^2, of sums like DPO, not of means a token.
 * NLL:  - nll * chosen / nll_tokens, added to either. */
#ifndef TPO_BACKEND_PREFERENCE_LOSS_H
#define TPO_BACKEND_PREFERENCE_LOSS_H

#include <math.h>

#include "backend/ops.h"
#include "base/shared_code.h"

struct tpo_pair_terms {
  double margin, loss;
  double by_chosen, by_rejected; /* derivatives of the loss, without args->scale */
};

/* log(1 + exp(x)) = -log sigmoid(-x), without overflow. */
TPO_SHARED_CODE double tpo_softplus(double x)
{
  return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

TPO_SHARED_CODE double tpo_sigmoid(double x)
{
  return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

TPO_SHARED_CODE struct tpo_pair_terms tpo_pair_loss_terms(const struct tpo_loss_args *args,
                                                          const struct tpo_loss_pair *pair, double chosen,
                                                          double rejected)
{
  double h = (chosen - pair->ref_chosen) - (rejected - pair->ref_rejected);
  double beta = args->beta, s = args->label_smoothing, by_h;
  struct tpo_pair_terms out;
  out.margin = beta * h;
  if (args->kind == TPO_LOSS_IPO) {
    double off = h - 1 / (2 * beta);
    out.loss = off * off;
    by_h = 2 * off;
  } else {
    out.loss =
        s == 0 ? tpo_softplus(-beta * h) : (1 - s) * tpo_softplus(-beta * h) + s * tpo_softplus(beta * h);
    by_h = beta * (s * tpo_sigmoid(beta * h) - (1 - s) * tpo_sigmoid(-beta * h));
  }
  out.by_chosen = by_h;
  out.by_rejected = -by_h;
  if (args->nll != 0 && pair->nll_tokens > 0) {
    out.loss -= args->nll * chosen / pair->nll_tokens;
    out.by_chosen -= args->nll / pair->nll_tokens;
  }
  return out;
}

#endif
