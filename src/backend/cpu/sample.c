/* Sampling without sorting the vocabulary.
 *
 * Passes over the row find the highest logit and the exact sum of all weights (vecmath.h: sums are exact in
 * any order). The token can only lie in a beginning of the list by descending logit: the few tokens above a
 * threshold are gathered and sorted; when they do not hold enough of the weight to decide, the threshold is
 * lowered. The choice is the reference's, to the token. */
#include <math.h>
#include <string.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/simd/table.h"
#include "backend/vecmath.h"

/* One thread's working memory for a row. */
struct sample_scratch {
  uint64_t *keys, *spare; /* [vocab] descending logit in the high half, id in the low half: ascending order */
  int32_t *ids;           /* [vocab] */
};

struct sample_job {
  struct tpo_cpu *cpu;
  const struct tpo_simd *simd;
  const float *logits;
  const struct tpo_sample_params *params;
  int32_t *token;
  float *logprob;
  int vocab;
};

static size_t scratch_bytes(int vocab)
{
  return (size_t)vocab * (2 * sizeof(uint64_t) + sizeof(int32_t));
}

/* Integers that ascend as logits descend; -0 and +0 are equal. */
static uint32_t descending(float logit)
{
  uint32_t bits;
  logit += 0.0f;
  memcpy(&bits, &logit, sizeof bits);
  return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

/* Sorts by the high half; ids ascend already, and stay so among equals. Returns the array that holds the
 * result. */
static uint64_t *sort_keys(uint64_t *keys, uint64_t *spare, int n)
{
  if (n <= 48) {
    for (int i = 1; i < n; i++) {
      uint64_t key = keys[i];
      int at = i;
      for (; at > 0 && keys[at - 1] > key; at--) keys[at] = keys[at - 1];
      keys[at] = key;
    }
    return keys;
  }
  for (int shift = 32; shift < 64; shift += 8) {
    int start[257] = {0};
    for (int i = 0; i < n; i++) start[(keys[i] >> shift & 255) + 1]++;
    if (start[(keys[0] >> shift & 255) + 1] == n) continue; /* all the same digit */
    for (int d = 0; d < 256; d++) start[d + 1] += start[d];
    for (int i = 0; i < n; i++) spare[start[keys[i] >> shift & 255]++] = keys[i];
    uint64_t *swap = keys;
    keys = spare;
    spare = swap;
  }
  return keys;
}

#define NOT_ENOUGH (-2)

/* What is known of a row when its candidates, the n tokens with the highest logits, have been sorted into
 * `keys`. */
struct candidates {
  const float *logits;
  const uint64_t *keys;
  int n;
  bool all; /* n is the vocabulary */
  float highest, inverse;
  float reach;  /* candidates hold every token with (logit - highest) * inverse >= -reach */
  double total; /* weight of the whole vocabulary */
};

static double weight_of(const struct candidates *c, int i)
{
  return tpo_sample_weight(c->logits[(uint32_t)c->keys[i]], c->highest, c->inverse);
}

/* The reference's choice, or NOT_ENOUGH when it may depend on tokens that are not among the candidates. */
static int32_t choose(const struct candidates *c, const struct tpo_sample_params *params, int vocab)
{
  int n = c->n;
  bool complete = c->all; /* the first n candidates are all that is left */
  double total = c->total;
  if (params->top_k > 0 && params->top_k < vocab) {
    if (n < params->top_k) return NOT_ENOUGH;
    n = params->top_k;
    complete = true;
    total = 0;
    for (int i = 0; i < n; i++) total += weight_of(c, i);
  }
  if (params->top_p < 1.0f) {
    double reached = 0, wanted = (double)params->top_p * total;
    int kept = 0;
    do {
      reached += weight_of(c, kept++);
    } while (kept < n && reached < wanted);
    if (reached < wanted && !complete) return NOT_ENOUGH;
    n = kept;
    complete = true;
  }
  /* exp is accurate to a few units of 2^-24, and so the least weight kept is certain to be within reach */
  if (params->min_p > 0 && !complete && tpo_exp_f32(-c->reach) < 0.99f * params->min_p) complete = true;
  double left = total;
  if (complete) {
    left = 0;
    for (int i = 0; i < n; i++) {
      double w = weight_of(c, i);
      if (w >= params->min_p) left += w;
    }
  } else if (params->min_p > 0) {
    return NOT_ENOUGH;
  }
  double reached = 0, point = params->uniform * left;
  for (int i = 0; i < n; i++) {
    double w = weight_of(c, i);
    if (w >= params->min_p) reached += w;
    if (reached > point) return (int32_t)(uint32_t)c->keys[i];
  }
  return complete ? (int32_t)(uint32_t)c->keys[0] : NOT_ENOUGH;
}

static int32_t sample_token(const struct sample_job *job, const float *logits,
                            const struct tpo_sample_params *params, float highest, double total,
                            struct sample_scratch *scratch)
{
  /* e^-6 of the highest probability is seldom exceeded by many */
  static const float reaches[] = {6, 12, INFINITY};
  struct candidates c = {
      .logits = logits, .highest = highest, .inverse = 1.0f / params->temperature, .total = total};
  int32_t token = NOT_ENOUGH;
  for (int i = 0; token == NOT_ENOUGH; i++) {
    c.reach = reaches[i];
    c.all = isinf(c.reach);
    float threshold = c.all ? -INFINITY : highest - c.reach * 1.001f / c.inverse;
    c.n = job->simd->sample_gather(logits, job->vocab, threshold, scratch->ids);
    for (int j = 0; j < c.n; j++) {
      uint32_t id = (uint32_t)scratch->ids[j];
      scratch->keys[j] = (uint64_t)descending(logits[id]) << 32 | id;
    }
    c.keys = sort_keys(scratch->keys, scratch->spare, c.n);
    token = choose(&c, params, job->vocab);
  }
  return token;
}

/* Not NaN or +infinity anywhere, nor -infinity everywhere. */
static bool is_drawable(const struct tpo_simd *simd, const float *logits, int vocab, float *highest)
{
  return simd->sample_highest(logits, vocab, highest) && *highest > -INFINITY;
}

static float logprob_of(float logit, float highest, double sum)
{
  return (float)((double)logit - highest - log(sum));
}

static void sample_task(void *arg, int row, int thread)
{
  const struct sample_job *job = arg;
  const struct tpo_sample_params *params = &job->params[row];
  const float *logits = job->logits + (size_t)row * (size_t)job->vocab;
  struct sample_scratch scratch;
  scratch.keys = job->cpu->per_thread[thread].data;
  scratch.spare = scratch.keys + job->vocab;
  scratch.ids = (int32_t *)(scratch.spare + job->vocab);
  float highest;
  job->token[row] = -1;
  job->logprob[row] = NAN;
  if (!is_drawable(job->simd, logits, job->vocab, &highest)) return;
  double sum, total = 0;
  bool greedy = tpo_sample_is_greedy(params->temperature);
  bool needs_total = !greedy && !(params->top_k > 0 && params->top_k < job->vocab);
  job->simd->sample_sums(logits, job->vocab, highest, greedy ? 1.0f : 1.0f / params->temperature, &sum,
                         needs_total ? &total : NULL);
  int32_t token = 0;
  if (greedy) {
    while (logits[token] != highest) token++;
  } else {
    token = sample_token(job, logits, params, highest, total, &scratch);
  }
  job->token[row] = token;
  job->logprob[row] = logprob_of(logits[token], highest, sum);
}

void tpo_cpu_sample(struct tpo_backend *be, const float *logits, const struct tpo_sample_params *params_host,
                    int32_t *token, float *logprob, int n, int vocab)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  if (tpo_cpu_reserve(cpu, scratch_bytes(vocab)) < 0) return;
  struct sample_job job = {cpu, tpo_simd(cpu), logits, params_host, token, logprob, vocab};
  tpo_pool_run(cpu->pool, n, sample_task, &job);
}

struct logprob_job {
  const struct tpo_simd *simd;
  const float *logits;
  const int32_t *token;
  float *logprob;
  int vocab;
};

static void logprob_task(void *arg, int row, int thread)
{
  (void)thread;
  const struct logprob_job *job = arg;
  const float *logits = job->logits + (size_t)row * (size_t)job->vocab;
  int32_t token = job->token[row];
  float highest;
  job->logprob[row] = NAN;
  if (token < 0 || token >= job->vocab || !is_drawable(job->simd, logits, job->vocab, &highest)) return;
  double sum;
  job->simd->sample_sums(logits, job->vocab, highest, 1.0f, &sum, NULL);
  job->logprob[row] = logprob_of(logits[token], highest, sum);
}

void tpo_cpu_token_logprob(struct tpo_backend *be, const float *logits, const int32_t *token, float *logprob,
                           int n, int vocab)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  struct logprob_job job = {tpo_simd(cpu), logits, token, logprob, vocab};
  tpo_pool_run(cpu->pool, n, logprob_task, &job);
}

/* Few and cheap: not worth another thread. The same (row, token) twice is penalised twice, as the reference
 * does. */
void tpo_cpu_repetition_penalty(struct tpo_backend *be, float *logits, const int32_t *rows,
                                const int32_t *tokens, int n_items, float penalty, int vocab)
{
  (void)be;
  for (int i = 0; i < n_items; i++) {
    float *logit = &logits[(size_t)rows[i] * (size_t)vocab + (size_t)tokens[i]];
    *logit = *logit > 0 ? *logit / penalty : *logit * penalty;
  }
}
