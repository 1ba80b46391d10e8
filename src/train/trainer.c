/* The trainer's life: memory, epochs, updates beside them, validation. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/interrupt.h"
#include "base/memory.h"
#include "base/philox.h"
#include "train/state.h"

static int check_config(const struct tpo_train_config *c, struct tpo_error *err)
{
  if (c->batch < 1)
    return tpo_fail(err, TPO_E_USAGE, "train.batch is %d: at least 1 pair is expected", c->batch);
  if (c->micro_batch_tokens < 1)
    return tpo_fail(err, TPO_E_USAGE, "train.micro_batch_tokens is %d: at least 1 is expected",
                    c->micro_batch_tokens);
  if (!(c->beta > 0))
    return tpo_fail(err, TPO_E_USAGE, "train.beta is %g: a number above 0 is expected", c->beta);
  if (!(c->adam_beta1 >= 0 && c->adam_beta1 < 1) || !(c->adam_beta2 >= 0 && c->adam_beta2 < 1))
    return tpo_fail(err, TPO_E_USAGE,
                    "train.adam_beta1 and adam_beta2 are %g and %g: numbers from 0 to below 1 are expected",
                    c->adam_beta1, c->adam_beta2);
  return 0;
}

static int allocate_gradient(struct tpo_trainer *t, struct tpo_error *err)
{
  void *grad = t->grad;
  int status = 0;
  if (!grad) status = tpo_ops(t->backend)->alloc(t->backend, t->n_params * sizeof *t->grad, &grad, err);
  t->grad = grad;
  return status;
}

/* What comes between epochs, sampling and a judge's model, needs room too. An epoch that is going on makes its
 * order anew. */
void tpo_trainer_pause(struct tpo_trainer *t)
{
  free(t->order);
  t->order = NULL;
  tpo_activations_free(t->activations);
  t->activations = NULL;
  if (t->grad) tpo_ops(t->backend)->free(t->backend, t->grad);
  t->grad = NULL;
}

static int allocate(struct tpo_trainer *t, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(t->backend);
  size_t shard = t->shard_count ? t->shard_count : 1;
  void *m = NULL, *v = NULL;
  int status = allocate_gradient(t, err);
  if (status == 0) status = ops->alloc(t->backend, shard * sizeof *t->m, &m, err);
  if (status == 0) status = ops->alloc(t->backend, shard * sizeof *t->v, &v, err);
  t->m = m;
  t->v = v;
  return status < 0 ? status : exchange_allocate(t, err);
}

static int check_shard(const struct tpo_trainer *t, struct tpo_error *err)
{
  size_t first, count;
  tpo_model_master_range(t->model, &first, &count);
  if (first == t->shard_first && count == t->shard_count) return 0;
  return tpo_fail(err, TPO_E_USAGE,
                  "the model was opened with the master weights %zu to %zu; "
                  "rank %d of %d trains %zu to %zu (shard_rank and shard_size of its options)",
                  first, first + count, tpo_comm_rank(t->comm), tpo_comm_size(t->comm), t->shard_first,
                  t->shard_first + t->shard_count);
}

int tpo_trainer_open(struct tpo_trainer **out, struct tpo_model *model, struct tpo_comm *comm,
                     const struct tpo_train_config *config, uint64_t seed,
                     const struct tpo_train_extent *extent, struct tpo_error *err)
{
  *out = NULL;
  struct tpo_trainer *t = NULL;
  int status = check_config(config, err);
  if (status == 0 && !tpo_model_master(model))
    status = tpo_fail(err, TPO_E_USAGE, "a model opened without keep_master cannot be trained");
  if (status == 0 && !(t = tpo_calloc(1, sizeof *t, err))) status = TPO_E_MEMORY;
  if (status == 0) {
    t->model = model;
    t->backend = tpo_model_backend(model);
    t->comm = comm;
    t->config = *config;
    t->seed = seed;
    t->n_params = tpo_model_param_count(model);
    t->master = tpo_model_master(model);
    tpo_comm_shard(comm, t->n_params, tpo_comm_rank(comm), &t->shard_first, &t->shard_count);
    status = check_shard(t, err);
  }
  if (status == 0) status = train_plan_memory(t, extent, err);
  status = tpo_comm_agree(comm, status, err); /* all have seen what is free before one takes of it */
  if (status == 0) status = tpo_comm_agree(comm, allocate(t, err), err);
  if (status == 0 && tpo_comm_attached(comm) != t->backend) status = tpo_comm_attach(comm, t->backend, err);
  if (status < 0) {
    tpo_trainer_close(t);
    return status;
  }
  *out = t;
  return 0;
}

void tpo_trainer_close(struct tpo_trainer *t)
{
  if (!t) return;
  const struct tpo_ops *ops = tpo_ops(t->backend);
  if (t->grad) ops->free(t->backend, t->grad);
  if (t->m) ops->free(t->backend, t->m);
  if (t->v) ops->free(t->backend, t->v);
  exchange_free(t);
  tpo_activations_free(t->activations);
  free(t->order);
  free(t);
}

int64_t tpo_trainer_steps_per_epoch(const struct tpo_trainer *t, size_t n_pairs)
{
  return (int64_t)(n_pairs / (size_t)t->config.batch + (n_pairs % (size_t)t->config.batch != 0));
}

static int check_fit(const struct tpo_pairs *pairs, struct tpo_error *err)
{
  if (pairs->n == 0) return tpo_fail(err, TPO_E_INPUT, "there are no pairs to train on");
  if (pairs->n > UINT32_MAX / 2)
    return tpo_fail(err, TPO_E_INPUT, "%zu pairs are more than can be trained on", pairs->n);
  for (size_t i = 0; i < pairs->n; i++) {
    const struct tpo_pair_row *row = &pairs->rows[i];
    if (!isfinite(row->chosen_ref_logprob) || !isfinite(row->rejected_ref_logprob))
      return tpo_fail(err, TPO_E_INPUT, "pair %zu (\"%.100s\") has no reference log-probabilities", i,
                      row->prompt_id);
    if (pair_loss_tokens(row, true) == 0 || pair_loss_tokens(row, false) == 0)
      return tpo_fail(err, TPO_E_INPUT,
                      "pair %zu (\"%.100s\") has an output without a token that carries loss", i,
                      row->prompt_id);
  }
  return 0;
}

/* The pairs are fit to be trained on, and those that the state was made with. */
static int check_pairs(struct tpo_trainer *t, const struct tpo_pairs *pairs, struct tpo_error *err)
{
  char hash[33];
  int status = check_fit(pairs, err);
  if (status == 0) status = train_pairs_hash(pairs, true, hash, err);
  if (status < 0) return status;
  if (t->pairs_hash[0] && (t->epoch > 0 || t->position > 0) && strcmp(t->pairs_hash, hash) != 0)
    return tpo_fail(
        err, TPO_E_STATE,
        "training stopped in epoch %d after %lld batches of other pairs than these; it can only go on with those",
        t->epoch, (long long)t->position);
  memcpy(t->pairs_hash, hash, sizeof hash);
  return 0;
}

/* Before the first update, a policy that is its own reference must have the margin 0 everywhere: anything
 * else says that the two were computed differently. */
static void check_first_step(const struct tpo_trainer *t, const struct tpo_pairs *pairs,
                             const struct tpo_train_metrics *metrics)
{
  if (t->is_reference && metrics->margin != 0)
    tpo_log(TPO_LOG_WARN,
            "policy and reference are the same model (%s), but their log-probabilities differ: "
            "mean margin %g where 0 is expected; the reference was computed with another backend or machine",
            pairs->ref_model, metrics->margin / t->config.beta);
}

/* For that check: while the weights are those that the hash is of. */
static void note_reference(struct tpo_trainer *t, const struct tpo_pairs *pairs)
{
  if (t->step > 0) return;
  const char *hash = tpo_model_hash(t->model);
  t->is_reference = hash && strcmp(pairs->ref_model, hash) == 0;
}

static uint32_t *in_order(size_t n, struct tpo_error *err)
{
  uint32_t *order = tpo_calloc(n, sizeof *order, err);
  for (size_t i = 0; order && i < n; i++) order[i] = (uint32_t)i;
  return order;
}

static uint32_t *epoch_order(const struct tpo_trainer *t, size_t n, int epoch, struct tpo_error *err)
{
  uint32_t *order = in_order(n, err);
  if (order && t->config.shuffle) {
    struct tpo_rng rng;
    tpo_rng_init(&rng, t->seed, TPO_STREAM_SHUFFLE, (uint64_t)epoch, 0);
    tpo_rng_shuffle_u32(&rng, order, (uint32_t)n);
  }
  return order;
}

static int begin_epoch(struct tpo_trainer *t, const struct tpo_pairs *pairs, struct tpo_error *err)
{
  int status = check_pairs(t, pairs, err);
  if (status == 0) status = allocate_gradient(t, err);
  if (status == 0 && !(t->order = epoch_order(t, pairs->n, t->epoch, err))) status = TPO_E_MEMORY;
  t->n_ordered = pairs->n;
  if (status == 0) note_reference(t, pairs);
  return tpo_comm_agree(t->comm, status, err);
}

static int end_epoch(struct tpo_trainer *t, struct tpo_error *err)
{
  int status = tpo_comm_agree(t->comm, tpo_stopped(NULL, err), err);
  tpo_trainer_pause(t);
  if (status < 0) return status;
  t->epoch++;
  t->position = 0;
  return 0;
}

static int run_batch(struct tpo_trainer *t, const struct tpo_pairs *pairs, struct tpo_train_metrics *metrics,
                     struct tpo_error *err)
{
  int64_t per_epoch = tpo_trainer_steps_per_epoch(t, pairs->n);
  size_t batch = (size_t)t->config.batch, at = (size_t)t->position * batch;
  size_t n = pairs->n - at < batch ? pairs->n - at : batch;
  double lr = tpo_train_lr(&t->config, t->step, per_epoch * t->config.epochs);
  int status = train_step(t, pairs, t->order + at, n, t->step, lr, metrics, err);
  if (status < 0) return status;
  t->position++;
  metrics->epoch = t->epoch + (double)t->position / (double)per_epoch;
  if (metrics->step == 0) check_first_step(t, pairs, metrics);
  return 1;
}

int tpo_trainer_step(struct tpo_trainer *t, const struct tpo_pairs *pairs, int epoch,
                     struct tpo_train_metrics *metrics, struct tpo_error *err)
{
  if (epoch < t->epoch) return 0; /* a resumed run's earlier epochs are done */
  if (epoch > t->epoch) {
    tpo_trainer_pause(t);
    t->epoch = epoch;
    t->position = 0;
  }
  int status = t->order ? 0 : begin_epoch(t, pairs, err);
  if (status == 0 && pairs->n != t->n_ordered)
    status = tpo_fail(err, TPO_E_USAGE, "epoch %d began with %zu pairs, and is to go on with %zu", epoch,
                      t->n_ordered, pairs->n);
  if (status == 0 && t->position >= tpo_trainer_steps_per_epoch(t, pairs->n)) return end_epoch(t, err);
  if (status == 0) status = run_batch(t, pairs, metrics, err);
  if (status < 0) tpo_trainer_pause(t);
  return status;
}

int tpo_trainer_update(struct tpo_trainer *t, const struct tpo_pairs *pairs, int64_t at, int64_t n_steps,
                       struct tpo_train_metrics *metrics, struct tpo_error *err)
{
  uint32_t *rows = NULL;
  double lr = tpo_train_lr(&t->config, at, n_steps);
  int status = check_fit(pairs, err);
  if (status == 0) status = allocate_gradient(t, err);
  if (status == 0 && !(rows = in_order(pairs->n, err))) status = TPO_E_MEMORY;
  if (status == 0) note_reference(t, pairs);
  status = tpo_comm_agree(t->comm, status, err);
  if (status == 0) status = train_step(t, pairs, rows, pairs->n, at, lr, metrics, err);
  free(rows);
  if (status < 0)
    tpo_trainer_pause(t);
  else if (t->step == 1)
    check_first_step(t, pairs, metrics);
  return status;
}

int tpo_trainer_evaluate(struct tpo_trainer *t, const struct tpo_pairs *pairs, double *loss, double *accuracy,
                         struct tpo_error *err)
{
  *loss = *accuracy = 0;
  int status = pairs->n > 0 ? 0 : tpo_fail(err, TPO_E_INPUT, "there are no pairs to evaluate on");
  struct pair_outcome *outcomes = NULL;
  if (status == 0 && !(outcomes = tpo_calloc(pairs->n, sizeof *outcomes, err))) status = TPO_E_MEMORY;
  status = tpo_comm_agree(t->comm, status, err);
  if (status == 0) status = train_outcomes(t->model, t->comm, &t->config, pairs, outcomes, NULL, err);
  for (size_t i = 0; i < pairs->n && status == 0; i++) {
    *loss += outcomes[i].loss / (double)pairs->n;
    *accuracy += pair_is_correct(&outcomes[i]) / (double)pairs->n;
  }
  free(outcomes);
  if (status == 0 && !isfinite(*loss))
    return tpo_fail(err, TPO_E_NUMERIC,
                    "the loss on %zu pairs is not finite; do all have reference log-probabilities?",
                    pairs->n);
  return status;
}
