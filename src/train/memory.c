/* How much memory training takes, told before it is taken, and what of it may keep the states of layers. */
#include <math.h>

#include "base/digits.h"
#include "base/shard.h"
#include "model/activations.h"
#include "train/state.h"

enum {
  NCCL_MIB = 512,
  PROGRAM_MIB = 32,   /* libraries, HDF5's caches, lists of pairs */
  MPI_MIB = 32,       /* buffers for messages, most of them shared with the other ranks of a host */
  TOKEN_BYTES = 512,  /* of the tokenizer, for each token */
  UNKNOWN_MIB = 1024, /* kept states where nobody knows how much is free */
};

static size_t mib(int n)
{
  return (size_t)n << 20;
}

struct tpo_train_extent tpo_train_extent(const struct tpo_pairs *pairs)
{
  struct tpo_train_extent extent = {.pairs = pairs->n};
  for (size_t i = 0; i < pairs->n; i++) {
    int64_t tokens = pair_tokens(&pairs->rows[i]);
    if (tokens > extent.pair_tokens) extent.pair_tokens = tokens;
  }
  return extent;
}

/* The longest first, each to the rank with the fewest tokens: none then has more than as many of the longest
 * as are an even share. */
static int pass_tokens(double pairs, int ranks, double longest, int limit)
{
  double most = ceil(pairs / ranks) * longest;
  return most < limit ? (int)most : limit;
}

/* Pairs that are longer than they may be are left out or cut (tpo_train_filter_pairs). */
struct train_passes train_passes(const struct tpo_train_config *config, int context,
                                 const struct tpo_train_extent *extent, int ranks)
{
  int sequence =
      config->max_pair_tokens > 0 && config->max_pair_tokens < context ? config->max_pair_tokens : context;
  double longest = 2. * sequence, batch = config->batch, pairs = INFINITY, all = INFINITY;
  if (extent && extent->pair_tokens > 0) longest = fmin(longest, (double)extent->pair_tokens);
  if (extent && extent->pairs > 0) {
    pairs = (double)extent->pairs;
    all = fmax(pairs, ceil((double)extent->outputs / 2));
  }
  return (struct train_passes){
      .training = pass_tokens(fmin(batch, pairs), ranks, longest, config->micro_batch_tokens),
      .evaluation = pass_tokens(all, ranks, longest, config->micro_batch_tokens)};
}

void train_memory_of(struct tpo_train_memory *plan, const struct tpo_arch *arch, enum tpo_compute_dtype dtype,
                     const struct train_place *place, struct train_passes passes)
{
  bool bf16 = dtype == TPO_DTYPE_BF16;
  int ranks = place->ranks;
  size_t n = tpo_arch_param_count(arch), element = bf16 ? sizeof(uint16_t) : sizeof(float);
  size_t activation = bf16 && place->gpu ? sizeof(uint16_t) : sizeof(float), first, largest;
  tpo_shard(n, ranks - 1, ranks, &first, &largest); /* the last is rounded up */
  *plan = (struct tpo_train_memory){.tokens = passes.training, .layers = arch->layers, .kept = arch->layers};
  plan->weights = n * element;
  plan->shard = largest * (3 * sizeof(float) + (bf16 ? sizeof(uint16_t) : 0));
  plan->master = largest * sizeof(float);
  plan->gradient = n * sizeof(float);
  plan->activations = tpo_activations_bytes(arch, activation, passes.training, true, &plan->layer);
  /* The reference's are there until the first step's forward, when the gradient has been set to 0. */
  size_t evaluation = tpo_activations_bytes(arch, activation, passes.evaluation, false, NULL);
  if (plan->activations < evaluation) plan->activations = evaluation;
  plan->scratch = place->scratch;
  plan->exchange = exchange_bytes(n, element, ranks);
  if (place->gpu) {
    plan->exchange += ranks > 1 ? mib(NCCL_MIB) : 0;
  } else {
    plan->exchange += train_keep_bytes(largest);
    plan->program =
        mib(PROGRAM_MIB) + (size_t)arch->vocab_size * TOKEN_BYTES + (ranks > 1 ? mib(MPI_MIB) : 0);
  }
}

/* Of all layers that keep their states: the last to do so has them where the others are computed again. */
static size_t states_bytes(const struct tpo_train_memory *plan)
{
  int n = plan->kept < plan->layers ? plan->kept : plan->layers - 1;
  return n > 0 ? (size_t)n * plan->layer : 0;
}

size_t tpo_train_memory_least(const struct tpo_train_memory *plan)
{
  return plan->weights + plan->shard + plan->gradient + plan->activations + plan->scratch + plan->exchange +
         plan->program;
}

size_t tpo_train_memory_total(const struct tpo_train_memory *plan)
{
  return tpo_train_memory_least(plan) + states_bytes(plan);
}

void train_memory_keep(struct tpo_train_memory *plan, const struct train_place *place, size_t room)
{
  size_t usable = room / 100 * (place->gpu ? 97 : 90); /* the host's memory serves others besides */
  size_t others = tpo_train_memory_least(plan) - plan->activations;
  if (room == 0) usable = others + plan->activations + mib(UNKNOWN_MIB);
  plan->kept = tpo_activations_kept(plan->layers, plan->activations, plan->layer,
                                    usable > others ? usable - others : 0);
}

int train_compare_memory(const struct tpo_train_memory *plan, size_t room, int ranks, struct tpo_error *err)
{
  char all[40], weights[40], shard[40], gradient[40], activations[40], rest[40], there[40];
  size_t needed = tpo_train_memory_least(plan);
  if (room == 0 || needed <= room) return 0;
  return tpo_fail(err, TPO_E_MEMORY,
                  "training needs %s of memory on each rank (weights %s, master weights and moments %s, "
                  "gradient %s, activations of %d tokens %s, the rest %s), but %s are there; "
                  "more ranks than %d share out the master weights and moments, "
                  "a train.micro_batch_tokens below %d has fewer activations, and so has a smaller model",
                  tpo_size_text((double)needed, all), tpo_size_text((double)plan->weights, weights),
                  tpo_size_text((double)plan->shard, shard), tpo_size_text((double)plan->gradient, gradient),
                  plan->tokens, tpo_size_text((double)plan->activations, activations),
                  tpo_size_text((double)(plan->scratch + plan->exchange + plan->program), rest),
                  tpo_size_text((double)room, there), ranks, plan->tokens);
}

/* Where this rank trains. */
static struct train_place place_of(struct tpo_backend *backend, const struct tpo_comm *comm,
                                   const struct tpo_arch *arch, enum tpo_compute_dtype dtype,
                                   struct train_passes passes)
{
  const struct tpo_ops *ops = tpo_ops(backend);
  int tokens = passes.training > passes.evaluation ? passes.training : passes.evaluation;
  struct tpo_training_shape shape = tpo_training_shape(arch, dtype, tokens);
  return (struct train_place){.gpu = ops->asynchronous,
                              .ranks = tpo_comm_size(comm),
                              .scratch = ops->training_scratch(backend, &shape)};
}

/* What a rank may take, `held` bytes of which it has already. 0: not known. */
static size_t room_of(struct tpo_backend *backend, size_t held)
{
  size_t available = tpo_ops(backend)->memory_available(backend);
  return available ? available + held : 0;
}

void tpo_train_memory(struct tpo_train_memory *plan, const struct tpo_arch *arch,
                      enum tpo_compute_dtype dtype, const struct tpo_train_config *config,
                      const struct tpo_train_extent *extent, struct tpo_backend *backend,
                      const struct tpo_comm *comm)
{
  struct train_passes passes = train_passes(config, arch->context, extent, tpo_comm_size(comm));
  struct train_place place = place_of(backend, comm, arch, dtype, passes);
  train_memory_of(plan, arch, dtype, &place, passes);
  train_memory_keep(plan, &place, room_of(backend, 0));
}

int tpo_train_check_memory(const struct tpo_arch *arch, enum tpo_compute_dtype dtype,
                           const struct tpo_train_config *config, const struct tpo_train_extent *extent,
                           struct tpo_backend *backend, const struct tpo_comm *comm, struct tpo_error *err)
{
  struct tpo_train_memory plan;
  tpo_train_memory(&plan, arch, dtype, config, extent, backend, comm);
  return train_compare_memory(&plan, room_of(backend, 0), tpo_comm_size(comm), err);
}

int train_plan_memory(struct tpo_trainer *t, const struct tpo_train_extent *extent, struct tpo_error *err)
{
  char most[40];
  const struct tpo_arch *arch = tpo_model_arch(t->model);
  enum tpo_compute_dtype dtype = tpo_model_dtype(t->model);
  struct train_passes passes = train_passes(&t->config, arch->context, extent, tpo_comm_size(t->comm));
  struct train_place place = place_of(t->backend, t->comm, arch, dtype, passes);
  struct tpo_train_memory plan;
  train_memory_of(&plan, arch, dtype, &place, passes);
  size_t held = plan.weights + plan.program + t->shard_count * sizeof *t->master;
  size_t room = room_of(t->backend, held);
  int status = train_compare_memory(&plan, room, place.ranks, err);
  if (status < 0) return status;
  train_memory_keep(&plan, &place, room);
  tpo_activations_limit(t->model, plan.activations + states_bytes(&plan));
  tpo_log(TPO_LOG_DEBUG,
          "training takes at most %s on each rank; passes of %d tokens keep the states of %d of %d layers",
          tpo_size_text((double)tpo_train_memory_total(&plan), most), plan.tokens, plan.kept, plan.layers);
  return 0;
}
