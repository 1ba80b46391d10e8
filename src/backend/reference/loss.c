/* The loss of preference pairs. */
#include "backend/preference_loss.h"
#include "backend/reference/reference.h"

static double sum(const float *x, int32_t first, int32_t n)
{
  double total = 0;
  for (int32_t i = 0; i < n; i++) total += x[first + i];
  return total;
}

static void spread(float *x, int32_t first, int32_t n, double value)
{
  for (int32_t i = 0; i < n; i++) x[first + i] = (float)value;
}

void tpo_reference_preference_loss(struct tpo_backend *be, const float *logprob, float *dlogprob,
                                   const struct tpo_loss_pair *pairs_host,
                                   struct tpo_loss_result *results_host, int n_pairs,
                                   const struct tpo_loss_args *args)
{
  (void)be;
  for (int p = 0; p < n_pairs; p++) {
    const struct tpo_loss_pair *pair = &pairs_host[p];
    struct tpo_loss_result *result = &results_host[p];
    result->chosen = sum(logprob, pair->chosen, pair->n_chosen);
    result->rejected = sum(logprob, pair->rejected, pair->n_rejected);
    struct tpo_pair_terms terms = tpo_pair_loss_terms(args, pair, result->chosen, result->rejected);
    result->loss = terms.loss;
    result->margin = terms.margin;
    result->by_chosen = args->scale * terms.by_chosen;
    result->by_rejected = args->scale * terms.by_rejected;
    spread(dlogprob, pair->chosen, pair->n_chosen, result->by_chosen);
    spread(dlogprob, pair->rejected, pair->n_rejected, result->by_rejected);
  }
}
