/* What travels between the ranks in a step: the gradient to the ranks that own it, while backward runs, and
 * the new weights from them.
 *
 * A bucket of the gradient is begun as soon as backward has completed it, so that its sum over the ranks runs
 * beside the rest of backward; only that of the last bucket, the embedding's, has nothing to run beside. All
 * ranks begin the same buckets in the same order: it is the model's, not the batch's.
 *
 * Weights travel as the model computes with them, in pieces of whole rows: the next piece is on its way while
 * one is put into the model. */
#include <stdlib.h>
#include "base/clock.h"
#include "base/shard.h"
#include "train/state.h"

enum {
  BUCKET_BYTES = 64 << 20, /* a sum of so much takes far longer than beginning it */
  PIECE_BYTES = 64 << 20,
};

static size_t element_bytes(const struct tpo_trainer *t)
{
  return tpo_model_dtype(t->model) == TPO_DTYPE_BF16 ? sizeof(uint16_t) : sizeof(float);
}

/* The end of the piece that begins at `first`: the end of a row, at most `most` elements away but a row at
 * least. */
static size_t piece_end(const struct tpo_trainer *t, size_t first, size_t most)
{
  size_t n, end = first;
  const struct tpo_param *params = tpo_model_params(t->model, &n);
  for (size_t i = 0; i < n; i++) {
    size_t cols = (size_t)params[i].cols, size = (size_t)params[i].rows * cols;
    if (params[i].offset + size <= end) continue;
    size_t room = first + most > end ? (first + most - end) / cols * cols : 0;
    if (room == 0 && end == first) room = cols;
    size_t left = params[i].offset + size - end;
    if (room < left) return end + room;
    end += left;
  }
  return end;
}

static size_t longest_piece(const struct tpo_trainer *t, size_t most)
{
  size_t longest = 0;
  for (size_t at = 0; at < t->n_params;) {
    size_t end = piece_end(t, at, most);
    if (end - at > longest) longest = end - at;
    at = end;
  }
  return longest;
}

size_t exchange_bytes(size_t n_params, size_t element, int ranks)
{
  size_t piece = PIECE_BYTES < n_params * element ? PIECE_BYTES : n_params * element;
  return ranks > 1 ? 2 * piece : 0;
}

int exchange_allocate(struct tpo_trainer *t, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(t->backend);
  size_t element = element_bytes(t);
  int status = 0;
  t->reduction.least = BUCKET_BYTES / sizeof *t->grad;
  t->piece_elements = PIECE_BYTES / element;
  if (element != sizeof *t->master)
    status = ops->alloc(t->backend, (t->shard_count ? t->shard_count : 1) * element, &t->weights, err);
  size_t longest = longest_piece(t, t->piece_elements);
  for (int i = 0; i < 2 && status == 0 && tpo_comm_size(t->comm) > 1; i++)
    status = ops->alloc(t->backend, longest * element, &t->pieces[i], err);
  return status;
}

void exchange_free(struct tpo_trainer *t)
{
  const struct tpo_ops *ops = tpo_ops(t->backend);
  if (t->weights) ops->free(t->backend, t->weights);
  for (int i = 0; i < 2; i++)
    if (t->pieces[i]) ops->free(t->backend, t->pieces[i]);
}

void reduction_reset(struct tpo_trainer *t)
{
  struct reduction *r = &t->reduction;
  r->ready = r->end = t->n_params;
  r->within = 0;
  r->buckets = r->status = 0;
}

static void begin_bucket(struct tpo_trainer *t)
{
  struct reduction *r = &t->reduction;
  double start = tpo_seconds();
  if (r->status == 0)
    r->status = tpo_comm_reduce_begin(t->comm, t->grad, t->n_params, r->ready, r->end - r->ready, &r->err);
  r->within += tpo_seconds() - start;
  r->end = r->ready;
  r->buckets++;
}

void reduction_ready(void *arg, size_t first, size_t count)
{
  struct tpo_trainer *t = arg;
  (void)count;
  t->reduction.ready = first;
  if (t->reduction.end - first >= t->reduction.least || (first == 0 && t->reduction.end > 0)) begin_bucket(t);
}

/* The places where a backward pass would have called, in its order. */
int reduction_rest(struct tpo_trainer *t, struct tpo_error *err)
{
  size_t n;
  const struct tpo_param *params = tpo_model_params(t->model, &n);
  const struct tpo_arch *arch = tpo_model_arch(t->model);
  size_t norm = n - (arch->tied ? 1 : 2), per_layer = (norm - 1) / (size_t)arch->layers;
  for (int layer = arch->layers; layer >= -1; layer--) {
    size_t param = layer < 0 ? 0 : 1 + (size_t)layer * per_layer, first = params[param].offset;
    if (first < t->reduction.ready) reduction_ready(t, first, t->reduction.ready - first);
  }
  if (t->reduction.status < 0 && err) *err = t->reduction.err;
  return t->reduction.status;
}

int exchange_weights(struct tpo_trainer *t, const void *weights, struct tpo_error *err)
{
  size_t n = t->n_params, element = element_bytes(t);
  if (tpo_comm_size(t->comm) == 1) {
    int status = tpo_model_set_range(t->model, 0, n, weights, err);
    return status < 0 ? status : tpo_ops(t->backend)->check(t->backend, err);
  }
  size_t end = piece_end(t, 0, t->piece_elements);
  int status = tpo_comm_spread_begin(t->comm, weights, element, n, 0, end, t->pieces[0], err);
  int generation = 0;
  for (size_t at = 0; at < n && status == 0; generation = 1 - generation) {
    size_t next = end;
    bool more = end < n;
    if (more) {
      next = piece_end(t, end, t->piece_elements);
      status = tpo_comm_spread_begin(t->comm, weights, element, n, end, next - end, t->pieces[1 - generation],
                                     err);
    }
    if (status == 0) status = tpo_comm_order(t->comm, more ? 1 : 0, err);
    if (status == 0) status = tpo_model_set_range(t->model, at, end - at, t->pieces[generation], err);
    at = end;
    end = next;
  }
  if (status == 0) status = tpo_comm_finish(t->comm, err);
  if (status == 0) status = tpo_ops(t->backend)->check(t->backend, err);
  return tpo_comm_agree(t->comm, status, err);
}
