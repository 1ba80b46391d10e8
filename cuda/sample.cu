/* From logits to tokens: the reference's choice, token for token (reference/sample.c says what is chosen).
 *
 * A block owns a row. Pass 1 over its logits finds the highest; pass 2 takes the sum of exponentials for the
 * log-probability and fills the first bins of sample_select.cuh, whose head says how the cuts of top-k and
 * top-p and the token itself are found there. One more pass lists the few tokens that can still matter, and
 * usually that is the last: 12 bytes for each token of the vocabulary, partly out of L2. A flat row with next
 * to no truncation is read up to six times more. Exponentials and bins take some 50 instructions a token, so
 * that pass 2 is bound by instructions and the others by memory.
 *
 * Every sum is one of integers: of weights in units of 2^-35 as vecmath.h defines them, for the
 * log-probability of exponentials in units of 2^-42. No result depends on the order of additions or the
 * number of threads. */
#include "ops.cuh"
#include "sample_select.cuh"

/* 2^10 has a last place of 2^-42: 2^22 exponentials of up to 1 fit into 64 bits. */
#define SUM_ROUND 0x1p+10
#define SUM_UNIT 0x1p-42
#define WEIGHT_ONE 0x1p+35 /* units of a weight of 1 */

static __device__ __forceinline__ uint64_t sum_units(float above_highest)
{
  return tpo_sample_units(tpo_exp_f32(above_highest), SUM_ROUND);
}

static __device__ __forceinline__ float logprob_of(float logit, float highest, uint64_t sum)
{
  return (float)((double)logit - (double)highest - log((double)sum * SUM_UNIT));
}

/* The highest logit, +infinity if there is a NaN too: only a finite result allows a draw. */
template <int THREADS>
static __device__ float highest_of(const float *__restrict__ logits, int vocab, float *scratch)
{
  float highest = -INFINITY;
  each_logit<THREADS>(logits, vocab, [&](float logit, int) {
    highest = logit < INFINITY ? fmaxf(highest, logit) : INFINITY;
  });
  return block_max<THREADS>(highest, scratch);
}

/* How much of a list of tokens is kept: those with keys lower than `key`, and `equals` of those with it. */
struct sample_kept {
  uint32_t key, equals;
  uint64_t equal_weight; /* of one of the equals */
  uint64_t weight;       /* of all that is kept */
};

static __device__ __forceinline__ sample_kept keep(const select_place *place, uint64_t equals)
{
  uint64_t each = place->weight / place->count;
  return {place->key, (uint32_t)equals, each, place->weight_before + equals * each};
}

/* The number of equals with which the running weight reaches `target`. */
static __device__ __forceinline__ uint64_t equals_to_reach(const select_place *place, uint64_t target)
{
  uint64_t each = place->weight / place->count, missing = target - place->weight_before;
  return (missing + each - 1) / each;
}

/* min_p in units; what it says about NaN and about more than 1 is that no weight is enough. */
static __device__ __forceinline__ uint64_t minimum_weight(float min_p)
{
  if (min_p <= 0) return 0;
  return min_p <= 1 ? (uint64_t)ceil((double)min_p * WEIGHT_ONE) : (uint64_t)2 * WEIGHT_ONE;
}

/* The sum of the row's exponentials; the lowest id of the highest logit in shared->id[0]; unless the choice
 * is greedy, the first bins, with the number and the weight of all tokens that have one. */
template <int THREADS>
static __device__ uint64_t survey(selector<THREADS> *s, bool greedy, sample_kept *all, uint64_t *scratch)
{
  uint64_t sum = 0, weight = 0, count = 0;
  if (threadIdx.x == 0) s->shared->id[0] = s->vocab;
  s->clear();
  each_logit<THREADS>(s->logits, s->vocab, [&](float logit, int id) {
    float above = logit - s->highest, x = s->tempered(logit), e = tpo_exp_f32(above);
    sum += tpo_sample_units(e, SUM_ROUND);
    if (above == 0) atomicMin(&s->shared->id[0], id);
    if (greedy || !(x >= SELECT_REACH)) return;
    if (s->inverse != 1) e = tpo_exp_f32(x);
    uint64_t units = tpo_sample_units(e, TPO_SAMPLE_ROUND);
    s->add(select_key(logit) >> select_shift(0), 1, units);
    weight += units;
    count++;
  });
  sum = block_sum<THREADS>(sum, scratch);
  if (!greedy) {
    all->weight = block_sum<THREADS>(weight, scratch);
    all->equals = (uint32_t)block_sum<THREADS>(count, scratch);
  }
  return sum;
}

/* The token at `uniform` of what the truncations leave, or -1 for the most probable one. `all` as survey
 * leaves it. */
template <int THREADS>
static __device__ int32_t choose(selector<THREADS> *s, const tpo_sample_params *params, sample_kept all,
                                 uint64_t *scratch)
{
  bool filled = true; /* the first bins are as survey filled them */
  sample_kept left = {SELECT_ALL, 0, 0, all.weight};
  if (params->top_k > 0 && (uint32_t)params->top_k < all.equals) {
    select_place place = s->descend((uint64_t)params->top_k, true, 0, filled, false);
    left = keep(&place, (uint32_t)params->top_k - place.count_before);
    filled = false;
  }
  if (params->top_p < 1.0f) {
    double wanted = ceil((double)params->top_p * (double)left.weight);
    uint64_t target = wanted > 1 ? (uint64_t)wanted : 1; /* the first token is always kept */
    select_place place = s->descend(target, false, 0, filled, false);
    left = keep(&place, equals_to_reach(&place, target));
    filled = false;
  }
  uint64_t minimum = minimum_weight(params->min_p);
  if (minimum > 0) {
    uint64_t own = s->fill(0, select_shift(0), left.key, minimum);
    if (left.equal_weight < minimum) left.equals = 0;
    if (threadIdx.x == 0 && left.equals > 0) {
      s->add(left.key >> select_shift(0), left.equals, left.equals * left.equal_weight);
      own += left.equals * left.equal_weight;
    }
    left.weight = block_sum<THREADS>(own, scratch); /* and waits for the addition */
    filled = true;
  }
  double point = floor((double)params->uniform * (double)left.weight);
  if (!(point >= 0 && point < (double)left.weight)) return -1;
  uint64_t target = (uint64_t)point + 1;
  select_place place = s->descend(target, false, minimum, filled, true);
  return s->nth_id(place.key, (uint32_t)equals_to_reach(&place, target));
}

/* Two blocks of 512 threads share a multiprocessor, so that one's barriers are hidden behind the other's
 * work. */
template <int THREADS>
__global__ void __launch_bounds__(THREADS, 1024 / THREADS)
    sample_rows(const float *__restrict__ logits, const tpo_sample_params *__restrict__ params,
                int32_t *__restrict__ token, float *__restrict__ logprob, int vocab)
{
  TPO_SHARED(select_shared, shared, 1);
  TPO_SHARED(float, scratch, THREADS / 32);
  TPO_SHARED(uint64_t, wide_scratch, THREADS / 32);
  const float *row = logits + (size_t)blockIdx.x * (size_t)vocab;
  float highest = highest_of<THREADS>(row, vocab, scratch);
  if (!isfinite(highest)) {
    if (threadIdx.x == 0) {
      token[blockIdx.x] = -1;
      logprob[blockIdx.x] = NAN;
    }
    return;
  }
  tpo_sample_params own = params[blockIdx.x];
  bool greedy = tpo_sample_is_greedy(own.temperature);
  selector<THREADS> s = {row, vocab, highest, greedy ? 1.0f : 1.0f / own.temperature, shared, false};
  sample_kept all = {};
  uint64_t sum = survey(&s, greedy, &all, wide_scratch);
  int32_t most_probable = shared->id[0], chosen = -1; /* the list will take its place */
  if (!greedy) chosen = choose(&s, &own, all, wide_scratch);
  if (threadIdx.x == 0) {
    if (chosen < 0) chosen = most_probable;
    token[blockIdx.x] = chosen;
    logprob[blockIdx.x] = logprob_of(row[chosen], highest, sum);
  }
}

template <int THREADS>
__global__ void __launch_bounds__(THREADS, 1024 / THREADS)
    token_logprob_rows(const float *__restrict__ logits, const int32_t *__restrict__ token,
                       float *__restrict__ logprob, int vocab)
{
  TPO_SHARED(float, scratch, THREADS / 32);
  TPO_SHARED(uint64_t, wide_scratch, THREADS / 32);
  const float *row = logits + (size_t)blockIdx.x * (size_t)vocab;
  int32_t id = token[blockIdx.x];
  float highest = highest_of<THREADS>(row, vocab, scratch), result = NAN;
  if (isfinite(highest) && id >= 0 && id < vocab) {
    uint64_t sum = 0;
    each_logit<THREADS>(row, vocab, [&](float logit, int) { sum += sum_units(logit - highest); });
    sum = block_sum<THREADS>(sum, wide_scratch);
    result = logprob_of(row[id], highest, sum);
  }
  if (threadIdx.x == 0) logprob[blockIdx.x] = result;
}

/* A pair that is mentioned twice is penalised twice, as the reference does: in whatever order, for the
 * penalty is the same. */
__global__ void __launch_bounds__(128)
    penalise(float *logits, const int32_t *__restrict__ rows, const int32_t *__restrict__ tokens, int n_items,
             float penalty, int vocab)
{
  int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n_items) return;
  unsigned *at = reinterpret_cast<unsigned *>(logits + (size_t)rows[i] * (size_t)vocab + (size_t)tokens[i]);
  unsigned seen = *at, before;
  do {
    before = seen;
    float logit;
    memcpy(&logit, &before, sizeof logit);
    logit = logit > 0 ? logit / penalty : logit * penalty;
    unsigned after;
    memcpy(&after, &logit, sizeof after);
    seen = atomicCAS(at, before, after);
  } while (seen != before);
}

/* Small vocabularies (of tests and tiny models) don't occupy the threads of a large block. */
static bool is_small(int vocab)
{
  return vocab <= 4096;
}

void tpo_cuda_sample(struct tpo_backend *be, const float *logits, const struct tpo_sample_params *params_host,
                     int32_t *token, float *logprob, int n, int vocab)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n <= 0) return;
  size_t bytes = (size_t)n * sizeof *params_host;
  tpo_sample_params *params =
      static_cast<tpo_sample_params *>(tpo_cuda_scratch(cuda, TPO_CUDA_SLOT_OPS, bytes));
  if (!params) return;
  tpo_cuda_upload(be, params, params_host, bytes);
  if (is_small(vocab)) {
    TPO_LAUNCH(sample_rows<128>, dim3((unsigned)n), dim3(128), 0, cuda->stream, logits, params, token,
               logprob, vocab);
  } else {
    TPO_LAUNCH(sample_rows<SELECT_THREADS>, dim3((unsigned)n), dim3(SELECT_THREADS), 0, cuda->stream, logits,
               params, token, logprob, vocab);
  }
  tpo_cuda_launched(cuda, "sample");
}

void tpo_cuda_token_logprob(struct tpo_backend *be, const float *logits, const int32_t *token, float *logprob,
                            int n, int vocab)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n <= 0) return;
  if (is_small(vocab)) {
    TPO_LAUNCH(token_logprob_rows<128>, dim3((unsigned)n), dim3(128), 0, cuda->stream, logits, token, logprob,
               vocab);
  } else {
    TPO_LAUNCH(token_logprob_rows<SELECT_THREADS>, dim3((unsigned)n), dim3(SELECT_THREADS), 0, cuda->stream,
               logits, token, logprob, vocab);
  }
  tpo_cuda_launched(cuda, "token_logprob");
}

void tpo_cuda_repetition_penalty(struct tpo_backend *be, float *logits, const int32_t *rows,
                                 const int32_t *tokens, int n_items, float penalty, int vocab)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n_items <= 0) return;
  TPO_LAUNCH(penalise, dim3((unsigned)tpo_ceil_div(n_items, 128)), dim3(128), 0, cuda->stream, logits, rows,
             tokens, n_items, penalty, vocab);
  tpo_cuda_launched(cuda, "repetition_penalty");
}
