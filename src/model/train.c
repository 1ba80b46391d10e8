/* Packed sequences through the model: log-probabilities, and the gradients that a loss on them gives. */
#include <math.h>
#include <stdlib.h>

#include "model/activations.h"

static int check_sequence(const struct tpo_model *model, const struct tpo_batch *batch, int s,
                          struct tpo_error *err)
{
  int first = batch->cu_seqlens[s], end = batch->cu_seqlens[s + 1];
  if (end <= first || end > batch->n_tokens)
    return tpo_fail(err, TPO_E_USAGE,
                    "batch: sequence %d is tokens %d to %d; expected at least one, of %d in all", s, first,
                    end, batch->n_tokens);
  if (end - first > model->arch.context)
    return tpo_fail(err, TPO_E_INPUT, "sequence %d has %d tokens, more than the model's context of %d", s,
                    end - first, model->arch.context);
  if (batch->longest && batch->longest[s] < end - first)
    return tpo_fail(err, TPO_E_USAGE, "batch: sequence %d has %d tokens, but can only come to have %d", s,
                    end - first, batch->longest[s]);
  for (int i = first; i < end; i++)
    if (batch->ids[i] < 0 || batch->ids[i] >= model->arch.vocab_size)
      return tpo_fail(err, TPO_E_INPUT,
                      "sequence %d: token id %d at position %d is outside the vocabulary of %d", s,
                      batch->ids[i], i - first, model->arch.vocab_size);
  if (batch->wanted && batch->wanted[end - 1])
    return tpo_fail(err, TPO_E_USAGE,
                    "batch: the token after sequence %d's last is wanted, but there is none", s);
  return 0;
}

static int check_batch(const struct tpo_model *model, const struct tpo_batch *batch, struct tpo_error *err)
{
  if (batch->n_seqs < 1 || batch->n_tokens < 1 || batch->cu_seqlens[0] != 0)
    return tpo_fail(err, TPO_E_USAGE,
                    "batch: %d sequences of %d tokens; expected at least one of each, from token 0",
                    batch->n_seqs, batch->n_tokens);
  for (int s = 0; s < batch->n_seqs; s++) {
    int code = check_sequence(model, batch, s, err);
    if (code < 0) return code;
  }
  if (batch->cu_seqlens[batch->n_seqs] != batch->n_tokens)
    return tpo_fail(err, TPO_E_USAGE, "batch: the sequences end at token %d of %d",
                    batch->cu_seqlens[batch->n_seqs], batch->n_tokens);
  return 0;
}

static bool is_wanted(const struct tpo_batch *batch, int i, int end)
{
  return batch->wanted ? batch->wanted[i] != 0 : i + 1 < end;
}

static void put_ints(struct tpo_model *model, int32_t *dst, const int32_t *host, int n)
{
  model->ops->upload(model->be, dst, host, (size_t)n * sizeof *host);
}

static int ensure_rope(struct tpo_model *model, const struct tpo_batch *batch, struct tpo_error *err)
{
  int longest = 0;
  for (int s = 0; s < batch->n_seqs; s++)
    if (batch->cu_seqlens[s + 1] - batch->cu_seqlens[s] > longest)
      longest = batch->cu_seqlens[s + 1] - batch->cu_seqlens[s];
  return tpo_rope_ensure(model, longest, err);
}

/* Ids of all rows and what they are rotated by; indices and targets
 * of those whose next token's log-probability is wanted. */
static void upload_batch(struct tpo_activations *a, const struct tpo_batch *batch)
{
  struct tpo_model *model = a->model;
  int32_t *first = a->host_ints, *second = a->host_ints + a->capacity;
  int m = 0;
  for (int s = 0; s < batch->n_seqs; s++) {
    int begin = batch->cu_seqlens[s], end = batch->cu_seqlens[s + 1];
    int longest = batch->longest ? batch->longest[s] : end - begin;
    for (int i = begin; i < end; i++) first[i] = tpo_rope_row(model, longest, i - begin);
  }
  put_ints(model, a->ids, batch->ids, batch->n_tokens);
  put_ints(model, a->pos, first, batch->n_tokens);
  for (int s = 0; s < batch->n_seqs; s++)
    for (int i = batch->cu_seqlens[s]; i < batch->cu_seqlens[s + 1]; i++)
      if (is_wanted(batch, i, batch->cu_seqlens[s + 1])) {
        first[m] = i;
        second[m++] = batch->ids[i + 1];
      }
  put_ints(model, a->index, first, m);
  put_ints(model, a->targets, second, m);
  a->n_wanted = m;
}

static struct tpo_rows packed_rows(const struct tpo_activations *a, const struct tpo_batch *batch)
{
  return (struct tpo_rows){
      .n = batch->n_tokens, .pos = a->pos, .cu_seqlens = batch->cu_seqlens, .n_seqs = batch->n_seqs};
}

static int fetch_logprobs(struct tpo_activations *a, const struct tpo_batch *batch, float *logprob,
                          struct tpo_error *err)
{
  struct tpo_model *model = a->model;
  if (!logprob) return 0;
  int code = model->ops->check(model->be, err);
  if (code < 0) return code;
  model->ops->download(model->be, a->host_floats, a->head.logprob, (size_t)a->n_wanted * sizeof(float));
  int next = 0;
  for (int s = 0; s < batch->n_seqs; s++)
    for (int i = batch->cu_seqlens[s]; i < batch->cu_seqlens[s + 1]; i++) {
      bool wanted = is_wanted(batch, i, batch->cu_seqlens[s + 1]);
      logprob[i] = wanted ? a->host_floats[next++] : 0;
      if (!isfinite(logprob[i]))
        return tpo_fail(err, TPO_E_NUMERIC, "sequence %d: the log-probability of token %d is %g", s,
                        i + 1 - batch->cu_seqlens[s], (double)logprob[i]);
    }
  return 0;
}

/* The one forward of evaluation and training. */
static int forward(struct tpo_activations *a, const struct tpo_batch *batch, float *logprob,
                   struct tpo_error *err)
{
  struct tpo_model *model = a->model;
  a->n_tokens = 0;
  int code = ensure_rope(model, batch, err);
  if (code < 0) return code;
  upload_batch(a, batch);
  struct tpo_rows rows = packed_rows(a, batch);
  model->ops->begin_pass(model->be, TPO_PASS_PACKED);
  tpo_embed_forward(model, a->ids, a->layers[0].in, rows.n);
  for (int i = 0; i < model->arch.layers; i++) tpo_layer_forward(model, i, &rows, &a->layers[i], &a->scratch);
  if (a->n_wanted > 0) tpo_head_forward(model, a->x, &a->head, a->n_wanted);
  code = fetch_logprobs(a, batch, logprob, err);
  if (code == 0) a->n_tokens = batch->n_tokens;
  return code;
}

int tpo_model_logprobs(struct tpo_model *model, const struct tpo_batch *batch, float *logprob,
                       struct tpo_error *err)
{
  int code = check_batch(model, batch, err);
  if (code == 0) code = tpo_activations_ensure(&model->evaluation, model, batch->n_tokens, false, err);
  return code < 0 ? code : forward(model->evaluation, batch, logprob, err);
}

void tpo_model_rest(struct tpo_model *model)
{
  tpo_activations_free(model->evaluation);
  model->evaluation = NULL;
}

int tpo_model_forward(struct tpo_model *model, const struct tpo_batch *batch, struct tpo_activations **acts,
                      float *logprob, struct tpo_error *err)
{
  int code = check_batch(model, batch, err);
  tpo_model_rest(model); /* training has no use for that, and needs the room */
  if (code == 0) code = tpo_activations_ensure(acts, model, batch->n_tokens, true, err);
  return code < 0 ? code : forward(*acts, batch, logprob, err);
}

struct tpo_wanted tpo_activations_wanted(const struct tpo_activations *acts)
{
  return (struct tpo_wanted){acts->head.logprob, acts->head.dlogprob, acts->n_wanted};
}

/* The gradients of the wanted rows, in their order, to the backend. */
static int upload_gradient(struct tpo_activations *a, const struct tpo_batch *batch, const float *dlogprob,
                           struct tpo_error *err)
{
  int m = 0;
  if (!dlogprob) return 0;
  for (int s = 0; s < batch->n_seqs; s++)
    for (int i = batch->cu_seqlens[s]; i < batch->cu_seqlens[s + 1]; i++) {
      if (!isfinite(dlogprob[i]))
        return tpo_fail(err, TPO_E_NUMERIC, "batch: the loss's derivative by log-probability %d is %g", i,
                        (double)dlogprob[i]);
      if (is_wanted(batch, i, batch->cu_seqlens[s + 1]))
        a->host_floats[m++] = dlogprob[i];
      else if (dlogprob[i] != 0)
        return tpo_fail(err, TPO_E_USAGE,
                        "batch: token %d has a derivative, but its log-probability was not wanted", i);
    }
  a->model->ops->upload(a->model->be, a->head.dlogprob, a->host_floats, (size_t)m * sizeof(float));
  return 0;
}

/* The gradient is complete from element `first` on, up to where it was already. */
static void tell_ready(const struct tpo_grad_ready *ready, size_t first, size_t *end)
{
  if (ready) ready->call(ready->arg, first, *end - first);
  *end = first;
}

/* Who is told of parts of the gradient sends them on their way at once: no memory must move from then on. */
static int reserve_scratch(struct tpo_model *model, const struct tpo_batch *batch, struct tpo_error *err)
{
  struct tpo_training_shape shape = tpo_training_shape(&model->arch, model->dtype, batch->n_tokens);
  return model->ops->training_reserve(model->be, &shape, err);
}

int tpo_model_backward(struct tpo_model *model, const struct tpo_batch *batch, struct tpo_activations *acts,
                       const float *dlogprob, float *grad, const struct tpo_grad_ready *ready,
                       struct tpo_error *err)
{
  if (!acts || acts->model != model || !acts->training || acts->n_tokens != batch->n_tokens)
    return tpo_fail(err, TPO_E_USAGE, "backward of %d tokens does not follow their forward", batch->n_tokens);
  acts->n_tokens = 0;
  int code = ready ? reserve_scratch(model, batch, err) : 0;
  if (code == 0) code = upload_gradient(acts, batch, dlogprob, err);
  size_t end = model->param_count;
  if (code == 0 && acts->n_wanted == 0) tell_ready(ready, 0, &end);
  if (code < 0 || acts->n_wanted == 0) return code;
  struct tpo_rows rows = packed_rows(acts, batch);
  model->ops->begin_pass(model->be, TPO_PASS_PACKED);
  tpo_head_backward(model, &acts->head, acts->n_wanted, acts->dx, rows.n, grad);
  tell_ready(ready, model->final_norm.offset, &end);
  for (int i = model->arch.layers - 1; i >= 0; i--) {
    const struct tpo_layer_state *s = &acts->layers[i];
    if (i >= acts->kept) tpo_layer_recompute(model, i, &rows, s, &acts->scratch);
    tpo_layer_backward(model, i, &rows, s, &acts->scratch, acts->dx, grad);
    tell_ready(ready, model->layers[i].first, &end);
  }
  tpo_embed_backward(model, acts->ids, acts->dx, rows.n, grad);
  tell_ready(ready, 0, &end);
  return model->ops->check(model->be, err);
}
