/* The loss of preference pairs: a few numbers a pair, added up in double precision, so one thread does it. */
#include "backend/cpu/kernels.h"
#include "backend/preference_loss.h"

static double sum(const float *x, int32_t n)
{
  double total = 0;
  for (int32_t i = 0; i < n; i++) total += x[i];
  return total;
}

void tpo_cpu_preference_loss(struct tpo_backend *be, const float *logprob, float *dlogprob,
                             const struct tpo_loss_pair *pairs_host, struct tpo_loss_result *results_host,
                             int n_pairs, const struct tpo_loss_args *args)
{
  (void)be;
  for (int p = 0; p < n_pairs; p++) {
    const struct tpo_loss_pair *pair = &pairs_host[p];
    double chosen = sum(logprob + pair->chosen, pair->n_chosen);
    double rejected = sum(logprob + pair->rejected, pair->n_rejected);
    struct tpo_pair_terms terms = tpo_pair_loss_terms(args, pair, chosen, rejected);
    double by_chosen = args->scale * terms.by_chosen, by_rejected = args->scale * terms.by_rejected;
    results_host[p] =
        (struct tpo_loss_result){chosen, rejected, terms.loss, terms.margin, by_chosen, by_rejected};
    for (int32_t i = 0; i < pair->n_chosen; i++) dlogprob[pair->chosen + i] = (float)by_chosen;
    for (int32_t i = 0; i < pair->n_rejected; i++) dlogprob[pair->rejected + i] = (float)by_rejected;
  }
}
