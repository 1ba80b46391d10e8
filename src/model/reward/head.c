/* Heads of reward models, on the host in double precision: next to the transformer they are no work.
 *
 *   label:  raw = w . h_last + b
 *   gated:  objectives = W h_last                                     [n]
 *           gating = softmax(MLP(h_gate) / temperature) * logit_scale [n]
 *           score = sum_j gating_j * (sum_i objectives_i M_ij)
 *
 * MLP: linear layers with biases and ReLU between them. h_gate is the hidden state where the prompt ends, so
 * that the gate sees the prompt alone (Wang et al. 2024, "Interpretable Preferences via Multi-Objective
 * Reward Modeling and Mixture-of-Experts"). */
#include "model/reward/reward.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

/* Order of a gated head's tensors. */
enum { REGRESSION, TRANSFORM, LOGIT_SCALE, GATE_LAYERS };

static void add(struct reward_head *head, const char *name, int64_t rows, int64_t cols)
{
  struct tpo_param *param = &head->params[head->n_params];
  snprintf(param->name, sizeof param->name, "%s", name);
  param->rows = rows;
  param->cols = cols;
  param->offset = reward_head_count(head);
  head->n_params++;
}

static void add_gated(struct reward_head *head)
{
  const struct reward_settings *s = &head->settings;
  int in = head->hidden;
  char name[96];
  add(head, "regression_layer.weight", s->objectives, head->hidden);
  add(head, "reward_transform_matrix", s->objectives, s->objectives);
  add(head, "gating.logit_scale", 1, 1);
  for (int i = 0; i <= s->gate_layers; i++) {
    int out = i < s->gate_layers ? s->gate_width : s->objectives;
    snprintf(name, sizeof name, "gating.layers.%d.weight", i);
    add(head, name, out, in);
    snprintf(name, sizeof name, "gating.layers.%d.bias", i);
    add(head, name, out, 1);
    in = out;
  }
}

int reward_head_init(struct reward_head *head, const struct reward_settings *settings, int hidden,
                     bool with_bias, struct tpo_error *err)
{
  *head = (struct reward_head){.settings = *settings, .hidden = hidden};
  size_t most = settings->kind == REWARD_LABEL ? 2 : GATE_LAYERS + 2 * ((size_t)settings->gate_layers + 1);
  head->params = tpo_calloc(most, sizeof *head->params, err);
  if (!head->params) return TPO_E_MEMORY;
  if (settings->kind == REWARD_GATED) {
    add_gated(head);
    return 0;
  }
  add(head, settings->weight, 1, hidden);
  if (with_bias) add(head, settings->bias, 1, 1);
  return 0;
}

void reward_head_free(struct reward_head *head)
{
  free(head->params);
  free(head->values);
  free(head->state);
  free(head->scratch);
  *head = (struct reward_head){0};
}

size_t reward_head_count(const struct reward_head *head)
{
  if (head->n_params == 0) return 0;
  const struct tpo_param *last = &head->params[head->n_params - 1];
  return last->offset + (size_t)last->rows * (size_t)last->cols;
}

int reward_head_allocate(struct reward_head *head, struct tpo_error *err)
{
  size_t widest = (size_t)head->hidden;
  for (size_t i = 0; i < head->n_params; i++)
    if ((size_t)head->params[i].rows > widest) widest = (size_t)head->params[i].rows;
  head->values = tpo_calloc(reward_head_count(head), sizeof *head->values, err);
  head->state = tpo_calloc(widest, sizeof *head->state, err);
  head->scratch = tpo_calloc(widest, sizeof *head->scratch, err);
  return head->values && head->state && head->scratch ? 0 : TPO_E_MEMORY;
}

static const float *values_of(const struct reward_head *head, size_t i)
{
  return head->values + head->params[i].offset;
}

/* Eight sums side by side, added up in a fixed order: as fast as the
 * vectors allow, and the same everywhere. */
static double dot(const float *w, const double *x, int n)
{
  double sum[8] = {0};
  int i = 0;
  for (; i + 8 <= n; i += 8)
    for (int j = 0; j < 8; j++) sum[j] += (double)w[i + j] * x[i + j];
  for (int j = 0; i < n; i++, j++) sum[j] += (double)w[i] * x[i];
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/* out [rows] = W in */
static void multiply(const struct reward_head *head, size_t i, const double *in, double *out)
{
  const struct tpo_param *param = &head->params[i];
  const float *w = values_of(head, i);
  for (int64_t row = 0; row < param->rows; row++) out[row] = dot(w + row * param->cols, in, (int)param->cols);
}

static void widen(const struct reward_head *head, const float *hidden, double *out)
{
  for (int i = 0; i < head->hidden; i++) out[i] = (double)hidden[i];
}

void reward_head_gate(struct reward_head *head, const float *hidden, double *gating)
{
  const struct reward_settings *s = &head->settings;
  double *in = head->state, *out = head->scratch;
  widen(head, hidden, in);
  for (int i = 0; i <= s->gate_layers; i++) {
    size_t layer = GATE_LAYERS + 2 * (size_t)i;
    const float *bias = values_of(head, layer + 1);
    multiply(head, layer, in, out);
    for (int64_t j = 0; j < head->params[layer].rows; j++) {
      out[j] += (double)bias[j];
      if (i < s->gate_layers && out[j] < 0) out[j] = 0;
    }
    double *swap = in;
    in = out;
    out = swap;
  }
  double largest = -INFINITY, sum = 0;
  for (int j = 0; j < s->objectives; j++)
    if (in[j] / s->temperature > largest) largest = in[j] / s->temperature;
  for (int j = 0; j < s->objectives; j++) sum += gating[j] = exp(in[j] / s->temperature - largest);
  for (int j = 0; j < s->objectives; j++) gating[j] = gating[j] / sum * (double)*values_of(head, LOGIT_SCALE);
}

static double gated_score(struct reward_head *head, struct tpo_reward_result *result)
{
  int n = head->settings.objectives;
  const float *transform = values_of(head, TRANSFORM);
  double score = 0;
  multiply(head, REGRESSION, head->state, result->objectives);
  for (int j = 0; j < n; j++) {
    double adjusted = 0;
    for (int i = 0; i < n; i++) adjusted += result->objectives[i] * (double)transform[i * n + j];
    score += result->gating[j] * adjusted;
  }
  return score;
}

void reward_head_score(struct reward_head *head, const float *hidden, struct tpo_reward_result *result)
{
  const struct reward_settings *s = &head->settings;
  widen(head, hidden, head->state);
  if (s->kind == REWARD_GATED) {
    result->raw = gated_score(head, result);
  } else {
    multiply(head, 0, head->state, &result->raw);
    if (head->n_params > 1) result->raw += (double)*values_of(head, 1);
  }
  result->score = s->normalise ? (result->raw - s->mean) / s->std : result->raw;
  result->ok = isfinite(result->score);
  if (!result->ok) snprintf(result->why, sizeof result->why, "the score is %g", result->score);
}
