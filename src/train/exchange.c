/* What travels between the ranks in a step: the gradient to the ranks that own it, while backward runs, and
 * the new weights from them.
 *
 * A bucket of the gradient is begun as soon as backward has completed it, so that its sum over the ranks runs
 * beside the rest of backward; only that of the last bucket, the embedding's, has nothing to run beside. All
 * ranks begin the same buckets in the same order: it is the model's, not the batch's.
 *
 * Weights travel as the model computes with them, in rounds: of each rank's shard a piece of whole rows, so
 * that all owners send at the same time. The next round is on its way while one is put into the model. */
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/memory.h"
#include "base/shard.h"
#include "train/state.h"

enum {
  BUCKET_BYTES = 64 << 20, /* a sum of so much takes far longer than beginning it */
  ROUND_BYTES = 64 << 20,
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

/* The first end of a row at `at` or after it. */
static size_t row_end(const struct tpo_trainer *t, size_t at)
{
  size_t n;
  const struct tpo_param *params = tpo_model_params(t->model, &n);
  for (size_t i = 0; i < n; i++) {
    size_t cols = (size_t)params[i].cols, size = (size_t)params[i].rows * cols;
    if (at > params[i].offset + size) continue;
    return at <= params[i].offset ? at : params[i].offset + (at - params[i].offset + cols - 1) / cols * cols;
  }
  return t->n_params;
}

/* Rank r's lane: whole rows from the first that begins in its shard to the first that begins in the next. */
static void find_lanes(struct tpo_trainer *t)
{
  struct rounds *rounds = &t->rounds;
  int size = tpo_comm_size(t->comm);
  for (int r = 0; r < size; r++) {
    size_t first, count;
    tpo_comm_shard(t->comm, t->n_params, r, &first, &count);
    rounds->lanes[r] = row_end(t, first);
  }
  rounds->lanes[size] = t->n_params;
}

/* The next round: its ranges, and how many; 0: all lanes are through. */
static int next_round(struct tpo_trainer *t, struct tpo_range *ranges)
{
  struct rounds *rounds = &t->rounds;
  int n = 0;
  for (int r = 0; r < tpo_comm_size(t->comm); r++) {
    size_t at = rounds->at[r];
    if (at == rounds->lanes[r + 1]) continue;
    size_t end = piece_end(t, at, rounds->most);
    if (end > rounds->lanes[r + 1]) end = rounds->lanes[r + 1];
    ranges[n++] = (struct tpo_range){at, end - at};
    rounds->at[r] = end;
  }
  return n;
}

static void first_round(struct tpo_trainer *t)
{
  memcpy(t->rounds.at, t->rounds.lanes, (size_t)tpo_comm_size(t->comm) * sizeof *t->rounds.at);
}

static size_t longest_round(struct tpo_trainer *t)
{
  size_t longest = 0;
  first_round(t);
  for (int n; (n = next_round(t, t->rounds.ranges[0])) > 0;) {
    size_t elements = 0;
    for (int i = 0; i < n; i++) elements += t->rounds.ranges[0][i].count;
    if (elements > longest) longest = elements;
  }
  return longest;
}

static int allocate_rounds(struct tpo_trainer *t, size_t element, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(t->backend);
  struct rounds *rounds = &t->rounds;
  size_t ranks = (size_t)tpo_comm_size(t->comm);
  int status = 0;
  rounds->most = ROUND_BYTES / element / ranks;
  rounds->lanes = tpo_calloc(2 * ranks + 1, sizeof *rounds->lanes, err);
  rounds->at = rounds->lanes ? rounds->lanes + ranks + 1 : NULL;
  for (int i = 0; i < 2; i++) rounds->ranges[i] = tpo_calloc(ranks, sizeof *rounds->ranges[i], err);
  if (!rounds->lanes || !rounds->ranges[0] || !rounds->ranges[1]) return TPO_E_MEMORY;
  find_lanes(t);
  size_t longest = longest_round(t);
  for (int i = 0; i < 2 && status == 0; i++)
    status = ops->alloc(t->backend, longest * element, &rounds->weights[i], err);
  return status;
}

size_t exchange_bytes(size_t n_params, size_t element, int ranks)
{
  size_t round = ROUND_BYTES < n_params * element ? ROUND_BYTES : n_params * element;
  return ranks > 1 ? 2 * round : 0;
}

int exchange_allocate(struct tpo_trainer *t, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(t->backend);
  size_t element = element_bytes(t);
  int status = 0;
  t->reduction.least = BUCKET_BYTES / sizeof *t->grad;
  if (element != sizeof *t->master)
    status = ops->alloc(t->backend, (t->shard_count ? t->shard_count : 1) * element, &t->weights, err);
  return status < 0 || tpo_comm_size(t->comm) == 1 ? status : allocate_rounds(t, element, err);
}

void exchange_free(struct tpo_trainer *t)
{
  const struct tpo_ops *ops = tpo_ops(t->backend);
  if (t->weights) ops->free(t->backend, t->weights);
  for (int i = 0; i < 2; i++) {
    if (t->rounds.weights[i]) ops->free(t->backend, t->rounds.weights[i]);
    free(t->rounds.ranges[i]);
  }
  free(t->rounds.lanes);
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

/* Begins the next round in buffer g. Gives the number of its ranges, or a negative code. */
static int begin_round(struct tpo_trainer *t, const void *weights, int g, struct tpo_error *err)
{
  struct rounds *rounds = &t->rounds;
  int n = next_round(t, rounds->ranges[g]);
  if (n == 0) return 0;
  int status = tpo_comm_spread_begin(t->comm, weights, element_bytes(t), t->n_params, rounds->ranges[g], n,
                                     rounds->weights[g], err);
  return status < 0 ? status : n;
}

static int put_round(struct tpo_trainer *t, int g, int n, struct tpo_error *err)
{
  const struct tpo_range *ranges = t->rounds.ranges[g];
  const char *from = t->rounds.weights[g];
  int status = 0;
  for (int i = 0; i < n && status == 0; i++) {
    status = tpo_model_set_range(t->model, ranges[i].first, ranges[i].count, from, err);
    from += ranges[i].count * element_bytes(t);
  }
  return status;
}

int exchange_weights(struct tpo_trainer *t, const void *weights, struct tpo_error *err)
{
  if (tpo_comm_size(t->comm) == 1) {
    int status = tpo_model_set_range(t->model, 0, t->n_params, weights, err);
    return status < 0 ? status : tpo_ops(t->backend)->check(t->backend, err);
  }
  first_round(t);
  int n = begin_round(t, weights, 0, err), status = n < 0 ? n : 0;
  for (int g = 0; status == 0 && n > 0; g = 1 - g) {
    int next = begin_round(t, weights, 1 - g, err);
    status = next < 0 ? next : tpo_comm_order(t->comm, next > 0 ? 1 : 0, err);
    if (status == 0) status = put_round(t, g, n, err);
    n = next;
  }
  if (status == 0) status = tpo_comm_finish(t->comm, err);
  if (status == 0) status = tpo_ops(t->backend)->check(t->backend, err);
  return tpo_comm_agree(t->comm, status, err);
}
