/* One update: gradients of the ranks' shares, summed and sharded;
 * AdamW on the own shard; weights exchanged. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "train/state.h"

static int not_finite(const struct tpo_trainer *t, const struct tpo_pairs *pairs, uint32_t row,
                      const char *what, const struct tpo_loss_result *found, struct tpo_error *err)
{
  const struct tpo_pair_row *pair = &pairs->rows[row];
  return tpo_fail(err, TPO_E_NUMERIC,
                  "step %lld, pair %u (\"%.100s\"): the %s is not finite (log-probabilities: "
                  "chosen %g, rejected %g, reference %g and %g); the weights are as before the step",
                  (long long)t->number, row, pair->prompt_id ? pair->prompt_id : "", what, found->chosen,
                  found->rejected, pair->chosen_ref_logprob, pair->rejected_ref_logprob);
}

/* Sums, loss and derivatives must be numbers before anything is made of them. */
static int check_losses(const struct tpo_trainer *t, const struct micro_batch *mb,
                        const struct tpo_pairs *pairs, const uint32_t *rows, struct tpo_error *err)
{
  for (int j = 0; j < mb->n_pairs; j++) {
    const struct tpo_loss_result *found = &mb->results[j];
    if (!isfinite(found->chosen) || !isfinite(found->rejected) || !isfinite(found->loss))
      return not_finite(t, pairs, rows[j], "loss", found, err);
    if (!isfinite((float)found->by_chosen) || !isfinite((float)found->by_rejected))
      return not_finite(t, pairs, rows[j], "gradient", found, err);
  }
  return 0;
}

/* Forward, loss and backward of the pairs packed in mb, whose results are
 * then in it. The loss's mean is over n_global pairs. */
static int forward_backward(struct tpo_trainer *t, struct micro_batch *mb, const struct tpo_pairs *pairs,
                            const uint32_t *rows, size_t n_global, const struct tpo_grad_ready *ready,
                            struct tpo_error *err)
{
  struct tpo_batch batch = micro_batch_view(mb);
  int status = tpo_model_forward(t->model, &batch, &t->activations, NULL, err);
  if (status == 0)
    status =
        micro_batch_losses(mb, t->backend, &t->config, n_global, tpo_activations_wanted(t->activations), err);
  if (status == 0) status = check_losses(t, mb, pairs, rows, err);
  if (status < 0) return status;
  return tpo_model_backward(t->model, &batch, t->activations, NULL, t->grad, ready, err);
}

/* The last pass hands over each bucket of the gradient as it is completed. */
static int own_gradient(struct tpo_trainer *t, const struct tpo_pairs *pairs, const struct share *share,
                        size_t n_global, struct pair_outcome *outcomes, struct tpo_error *err)
{
  struct micro_batch mb = {0};
  int status = 0;
  const struct tpo_grad_ready ready = {reduction_ready, t};
  for (size_t at = 0; at < share->n && status == 0; at += (size_t)mb.n_pairs) {
    const uint32_t *rows = share->rows + at;
    status = micro_batch_fill(&mb, t->model, pairs, rows, share->n - at, t->config.micro_batch_tokens, err);
    bool last = status == 0 && at + (size_t)mb.n_pairs == share->n;
    if (status == 0) status = forward_backward(t, &mb, pairs, rows, n_global, last ? &ready : NULL, err);
    if (status < 0) break;
    for (int j = 0; j < mb.n_pairs; j++)
      outcomes[share->slots[at + (size_t)j]] = pair_outcome(&mb.results[j]);
  }
  if (status == 0) status = tpo_ops(t->backend)->check(t->backend, err);
  micro_batch_free(&mb);
  return status;
}

int train_gradient(struct tpo_trainer *t, const struct tpo_pairs *pairs, const uint32_t *rows, size_t n,
                   struct pair_outcome *outcomes, struct tpo_error *err)
{
  struct share share = {0};
  memset(outcomes, 0, n * sizeof *outcomes);
  tpo_ops(t->backend)->zero(t->backend, t->grad, t->n_params * sizeof *t->grad);
  reduction_reset(t);
  int status = share_pairs(&share, t->comm, pairs, rows, n, err);
  if (status == 0) status = own_gradient(t, pairs, &share, n, outcomes, err);
  share_free(&share);
  /* A rank that failed sums what it has: the others are on their way into the same exchanges. */
  int begun = reduction_rest(t, status == 0 ? err : NULL);
  status = tpo_comm_agree(t->comm, status < 0 ? status : begun, err);
  if (status < 0) {
    tpo_comm_finish(t->comm, NULL);
    return status;
  }
  return tpo_comm_allreduce_sum_f64(t->comm, (double *)outcomes, n * OUTCOME_DOUBLES, err);
}

int train_reduce(struct tpo_trainer *t, double *norm, struct tpo_error *err)
{
  double start = tpo_seconds();
  int status = tpo_comm_finish(t->comm, err);
  if (status < 0) return status;
  tpo_log(TPO_LOG_DEBUG,
          "step %lld: %d sums of gradients, %.4f s waited for after backward, %.4f s within it",
          (long long)t->number, t->reduction.buckets, tpo_seconds() - start, t->reduction.within);
  double squares = tpo_ops(t->backend)->sum_squares(t->backend, t->grad + t->shard_first, t->shard_count);
  status = tpo_comm_allreduce_sum_f64(t->comm, &squares, 1, err);
  *norm = sqrt(squares);
  return status;
}

/* The gradient's norm is not finite though every loss was: finds the
 * pair by going through them one at a time. */
static int blame_gradient(struct tpo_trainer *t, const struct tpo_pairs *pairs, const uint32_t *rows,
                          size_t n, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(t->backend);
  struct share share = {0};
  struct micro_batch mb = {0};
  int status = share_pairs(&share, t->comm, pairs, rows, n, err);
  for (size_t i = 0; i < share.n && status == 0; i++) {
    ops->zero(t->backend, t->grad, t->n_params * sizeof *t->grad);
    status = micro_batch_fill(&mb, t->model, pairs, share.rows + i, 1, t->config.micro_batch_tokens, err);
    if (status == 0) status = forward_backward(t, &mb, pairs, share.rows + i, n, NULL, err);
    if (status == 0 && !isfinite(ops->sum_squares(t->backend, t->grad, t->n_params)))
      status = not_finite(t, pairs, share.rows[i], "gradient", &mb.results[0], err);
  }
  micro_batch_free(&mb);
  share_free(&share);
  status = tpo_comm_agree(t->comm, status, err);
  if (status < 0) return status;
  return tpo_fail(err, TPO_E_NUMERIC,
                  "step %lld: the sum of the gradients of %zu pairs is not finite, "
                  "though each pair's own is; the weights are as before the step",
                  (long long)t->number, n);
}

static int update_weights(struct tpo_trainer *t, double lr, double norm, struct tpo_error *err)
{
  const struct tpo_train_config *c = &t->config;
  double step = (double)t->step + 1;
  struct tpo_adamw_args args = {
      .lr = (float)lr,
      .beta1 = (float)c->adam_beta1,
      .beta2 = (float)c->adam_beta2,
      .eps = (float)c->adam_eps,
      .weight_decay = (float)c->weight_decay,
      .bias1 = (float)(1 - pow(c->adam_beta1, step)),
      .bias2 = (float)(1 - pow(c->adam_beta2, step)),
      .grad_scale = c->grad_clip > 0 && norm > c->grad_clip ? (float)(c->grad_clip / norm) : 1,
  };
  tpo_ops(t->backend)
      ->adamw(t->backend, t->master, t->grad + t->shard_first, t->m, t->v, t->shard_count, &args, t->weights,
              TPO_BF16);
  return exchange_weights(t, t->weights ? t->weights : t->master, err);
}

/* Every rank adds up the same numbers in the same order. */
static void fill_metrics(const struct tpo_pairs *pairs, const uint32_t *rows, size_t n,
                         const struct pair_outcome *outcomes, struct tpo_train_metrics *metrics)
{
  for (size_t i = 0; i < n; i++) {
    metrics->loss += outcomes[i].loss;
    metrics->accuracy += pair_is_correct(&outcomes[i]);
    metrics->margin += outcomes[i].margin;
    metrics->chosen_logprob += outcomes[i].chosen;
    metrics->rejected_logprob += outcomes[i].rejected;
    metrics->tokens += pair_tokens(&pairs->rows[rows[i]]);
  }
  metrics->loss /= (double)n;
  metrics->accuracy /= (double)n;
  metrics->margin /= (double)n;
  metrics->chosen_logprob /= (double)n;
  metrics->rejected_logprob /= (double)n;
}

int train_step(struct tpo_trainer *t, const struct tpo_pairs *pairs, const uint32_t *rows, size_t n,
               int64_t number, double lr, struct tpo_train_metrics *metrics, struct tpo_error *err)
{
  double start = tpo_seconds();
  struct pair_outcome *outcomes = tpo_calloc(n, sizeof *outcomes, err);
  int status = outcomes ? 0 : TPO_E_MEMORY;
  t->number = number;
  if (status == 0) status = tpo_stopped(NULL, err);
  status = tpo_comm_agree(t->comm, status, err);
  if (status == 0) status = train_gradient(t, pairs, rows, n, outcomes, err);
  *metrics = (struct tpo_train_metrics){.step = number, .lr = lr};
  if (status == 0) fill_metrics(pairs, rows, n, outcomes, metrics);
  free(outcomes);
  if (status == 0) status = train_reduce(t, &metrics->grad_norm, err);
  if (status < 0) return status;
  if (!isfinite(metrics->grad_norm)) return blame_gradient(t, pairs, rows, n, err);
  status = update_weights(t, lr, metrics->grad_norm, err);
  if (status < 0) return status;
  t->step++;
  metrics->seconds = tpo_seconds() - start;
  return 0;
}
