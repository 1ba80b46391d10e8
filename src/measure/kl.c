/* Estimates of the Kullback-Leibler divergence from sums over outputs. */
#include <math.h>

#include "measure/dynamics.h"

void kl_add(struct kl_sums *sums, const float *model, const float *reference, const uint8_t *inserted, int n)
{
  for (int i = 0; i < n; i++) {
    if (inserted && inserted[i]) continue;
    double l = (double)reference[i] - (double)model[i];
    sums->k1 -= l;
    sums->k3 += expm1(l) - l;
    sums->tokens++;
  }
}

void kl_of(const struct kl_sums *outputs, size_t n, double *scratch, struct kl *out)
{
  double k1 = 0, k3 = 0, tokens = 0;
  for (size_t i = 0; i < n; i++) {
    scratch[i] = outputs[i].k1;
    k1 += outputs[i].k1;
    k3 += outputs[i].k3;
    tokens += outputs[i].tokens;
  }
  *out = (struct kl){.outputs = n, .tokens = (size_t)tokens};
  out->per_output = mean_and_error(scratch, n, &out->per_output_se);
  out->per_token = tokens > 0 ? k1 / tokens : NAN;
  out->k3_per_token = tokens > 0 ? k3 / tokens : NAN;
}
