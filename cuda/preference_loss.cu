/* Sums of log-probabilities, loss and derivatives of preference pairs (backend/preference_loss.h has the
 * formulas).
 *
 * A block owns a pair: its threads add up the chosen and the rejected values in double precision, each thread
 * every 256th of them, then the threads in a fixed order; one thread evaluates the formula, and all spread
 * its derivatives. 8 bytes a value; a call of some thousand values takes a few launches' time. */
#include "ops.cuh"
#include "reduce.cuh"

extern "C" {
#include "backend/preference_loss.h"
}

namespace {

enum { THREADS = 256 };

__device__ __forceinline__ double sum_of(const float *__restrict__ x, int32_t n, double *scratch)
{
  double sum = 0;
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < n; i += THREADS) sum += x[i];
  return block_sum<THREADS>(sum, scratch);
}

__device__ __forceinline__ void spread(float *__restrict__ x, int32_t n, double value)
{
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < n; i += THREADS) x[i] = static_cast<float>(value);
}

__global__ void __launch_bounds__(THREADS)
    preference_loss(const float *__restrict__ logprob, float *__restrict__ dlogprob,
                    const tpo_loss_pair *__restrict__ pairs, tpo_loss_result *__restrict__ results,
                    tpo_loss_args args)
{
  TPO_SHARED(double, scratch, THREADS / 32);
  TPO_SHARED(double, derivatives, 2);
  const tpo_loss_pair pair = pairs[blockIdx.x];
  double chosen = sum_of(logprob + pair.chosen, pair.n_chosen, scratch);
  double rejected = sum_of(logprob + pair.rejected, pair.n_rejected, scratch);
  if (threadIdx.x == 0) {
    const tpo_pair_terms terms = tpo_pair_loss_terms(&args, &pair, chosen, rejected);
    derivatives[0] = args.scale * terms.by_chosen;
    derivatives[1] = args.scale * terms.by_rejected;
    results[blockIdx.x] = {chosen, rejected, terms.loss, terms.margin, derivatives[0], derivatives[1]};
  }
  __syncthreads();
  spread(dlogprob + pair.chosen, pair.n_chosen, derivatives[0]);
  spread(dlogprob + pair.rejected, pair.n_rejected, derivatives[1]);
}

} // namespace

void tpo_cuda_preference_loss(struct tpo_backend *be, const float *logprob, float *dlogprob,
                              const struct tpo_loss_pair *pairs_host, struct tpo_loss_result *results_host,
                              int n_pairs, const struct tpo_loss_args *args)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n_pairs == 0) return;
  size_t n = static_cast<size_t>(n_pairs);
  void *scratch =
      tpo_cuda_scratch(cuda, TPO_CUDA_SLOT_OPS, n * (sizeof(tpo_loss_pair) + sizeof(tpo_loss_result)));
  if (!scratch) return;
  tpo_loss_pair *pairs = static_cast<tpo_loss_pair *>(scratch);
  tpo_loss_result *results = reinterpret_cast<tpo_loss_result *>(pairs + n);
  tpo_cuda_upload(be, pairs, pairs_host, n * sizeof *pairs);
  TPO_LAUNCH(preference_loss, dim3(static_cast<unsigned>(n_pairs)), dim3(THREADS), 0, cuda->stream, logprob,
             dlogprob, pairs, results, *args);
  tpo_cuda_launched(cuda, "preference_loss");
  tpo_cuda_download(be, results_host, results, n * sizeof *results);
}
