/* From a row of logits to a token. Every other backend must choose the same token for the same logits; how
 * that is ensured: vecmath.h.
 *
 * A row with NaN or +infinity, or with -infinity only, gives token -1 and log-probability NaN; so does token
 * -1 in token_logprob. All sets below are beginnings of the list of tokens by descending logit, lower id
 * first among equals; w is tpo_sample_weight: top-k  keeps the first k; top-p  keeps the shortest beginning
 * whose weights reach top_p of the sum that top-k left; min-p  then drops the tokens with w < min_p (the
 * first token has w = 1). */
#include "backend/reference/reference.h"

#include <math.h>
#include <stdlib.h>

#include "backend/vecmath.h"

struct candidate {
  float logit;
  int32_t id;
};

static int by_logit(const void *a, const void *b)
{
  const struct candidate *x = a, *y = b;
  if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
  return (x->id > y->id) - (x->id < y->id);
}

/* list is sorted; returns the token that `uniform` points at among what the truncations leave. */
static int32_t choose(const struct candidate *list, int n, const struct tpo_sample_params *params)
{
  if (tpo_sample_is_greedy(params->temperature)) return list[0].id;
  float highest = list[0].logit, inverse = 1.0f / params->temperature;
  if (params->top_k > 0 && params->top_k < n) n = params->top_k;

  double total = 0;
  for (int i = 0; i < n; i++) total += tpo_sample_weight(list[i].logit, highest, inverse);
  if (params->top_p < 1.0f) {
    double reached = 0;
    int kept = 0;
    do {
      reached += tpo_sample_weight(list[kept++].logit, highest, inverse);
    } while (kept < n && reached < (double)params->top_p * total);
    n = kept;
  }

  double left = 0;
  for (int i = 0; i < n; i++) {
    double w = tpo_sample_weight(list[i].logit, highest, inverse);
    if (w >= params->min_p) left += w;
  }
  double reached = 0;
  for (int i = 0; i < n; i++) {
    double w = tpo_sample_weight(list[i].logit, highest, inverse);
    if (w >= params->min_p) reached += w;
    if (reached > params->uniform * left) return list[i].id;
  }
  return list[0].id; /* min_p above 1 leaves nothing: the most probable token */
}

static bool is_drawable(const float *logits, int vocab)
{
  float highest = -INFINITY;
  for (int i = 0; i < vocab; i++) {
    if (isnan(logits[i]) || logits[i] == INFINITY) return false;
    highest = fmaxf(highest, logits[i]);
  }
  return highest > -INFINITY;
}

/* log softmax(logits)[token], in double precision */
static float logprob_of(const float *logits, int vocab, int32_t token)
{
  double highest = -INFINITY, sum = 0;
  for (int i = 0; i < vocab; i++) highest = fmax(highest, logits[i]);
  for (int i = 0; i < vocab; i++) sum += exp(logits[i] - highest);
  return (float)(logits[token] - highest - log(sum));
}

void tpo_reference_sample(struct tpo_backend *be, const float *logits,
                          const struct tpo_sample_params *params_host, int32_t *token, float *logprob, int n,
                          int vocab)
{
  struct candidate *list = (struct candidate *)tpo_reference_buffer(be, (size_t)vocab);
  if (!list) return;
  for (int row = 0; row < n; row++) {
    const float *x = logits + (size_t)row * vocab;
    token[row] = -1;
    logprob[row] = NAN;
    if (!is_drawable(x, vocab)) continue;
    for (int i = 0; i < vocab; i++) list[i] = (struct candidate){x[i], i};
    qsort(list, (size_t)vocab, sizeof *list, by_logit);
    token[row] = choose(list, vocab, &params_host[row]);
    logprob[row] = logprob_of(x, vocab, token[row]);
  }
  free(list);
}

void tpo_reference_token_logprob(struct tpo_backend *be, const float *logits, const int32_t *token,
                                 float *logprob, int n, int vocab)
{
  (void)be;
  for (int row = 0; row < n; row++) {
    const float *x = logits + (size_t)row * vocab;
    bool exists = token[row] >= 0 && token[row] < vocab && is_drawable(x, vocab);
    logprob[row] = exists ? logprob_of(x, vocab, token[row]) : NAN;
  }
}

void tpo_reference_repetition_penalty(struct tpo_backend *be, float *logits, const int32_t *rows,
                                      const int32_t *tokens, int n_items, float penalty, int vocab)
{
  (void)be;
  for (int i = 0; i < n_items; i++) {
    float *logit = &logits[(size_t)rows[i] * vocab + tokens[i]];
    *logit = *logit > 0 ? *logit / penalty : *logit * penalty;
  }
}
