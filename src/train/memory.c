/* How much memory training takes, told before it is taken. */
#include "base/shard.h"
#include "train/state.h"

enum {
  GPU_SCRATCH_MIB = 640, /* logits of the LM head and their gradients, matrix products */
  CPU_SCRATCH_MIB = 64,
  NCCL_MIB = 512
};

static size_t mib(int n)
{
  return (size_t)n << 20;
}

void tpo_train_memory(struct tpo_train_memory *plan, const struct tpo_arch *arch,
                      enum tpo_compute_dtype dtype, bool gpu, int ranks, int micro_batch_tokens)
{
  bool bf16 = dtype == TPO_DTYPE_BF16;
  size_t n = tpo_arch_param_count(arch), element = bf16 ? sizeof(uint16_t) : sizeof(float);
  size_t activation = bf16 && gpu ? sizeof(uint16_t) : sizeof(float), first, largest;
  tpo_shard(n, ranks - 1, ranks, &first, &largest); /* the last is rounded up */
  plan->weights = n * element;
  plan->shard = largest * (3 * sizeof(float) + (bf16 ? sizeof(uint16_t) : 0));
  plan->gradient = n * sizeof(float);
  plan->activations = tpo_activations_bytes(arch, activation, micro_batch_tokens, true) +
                      tpo_activations_bytes(arch, activation, micro_batch_tokens, false);
  plan->scratch = mib(gpu ? GPU_SCRATCH_MIB : CPU_SCRATCH_MIB) +
                  (size_t)micro_batch_tokens * (size_t)arch->heads * 2 * sizeof(float);
  plan->exchange = exchange_bytes(n, element, ranks) + (gpu && ranks > 1 ? mib(NCCL_MIB) : 0);
}

size_t tpo_train_memory_total(const struct tpo_train_memory *plan)
{
  return plan->weights + plan->shard + plan->gradient + plan->activations + plan->scratch + plan->exchange;
}

static double gb(size_t bytes)
{
  return (double)bytes / 1e9;
}

int train_compare_memory(const struct tpo_train_memory *plan, size_t held, size_t available, int sharers,
                         int ranks, int micro_batch_tokens, struct tpo_error *err)
{
  size_t total = tpo_train_memory_total(plan), needed = total > held ? total - held : 0;
  if (available == 0 || needed <= available / (size_t)sharers) return 0;
  return tpo_fail(
      err, TPO_E_MEMORY,
      "training needs %.1f GB of memory on each rank (weights %.1f, master weights and moments %.1f, "
      "gradient %.1f, activations of %d tokens %.1f, the rest %.1f), but %.1f GB are there; "
      "more ranks than %d share out the master weights and moments, "
      "a smaller train.micro_batch_tokens has fewer activations, and so has a smaller model",
      gb(total), gb(plan->weights), gb(plan->shard), gb(plan->gradient), micro_batch_tokens,
      gb(plan->activations), gb(plan->scratch + plan->exchange), gb(available / (size_t)sharers + held),
      ranks);
}

/* Ranks beside each other on a host share its memory; a GPU is a rank's own. */
static int sharers(const struct tpo_ops *ops, const struct tpo_comm *comm)
{
  return ops->asynchronous ? 1 : tpo_comm_local_size(comm);
}

int tpo_train_check_memory(const struct tpo_arch *arch, enum tpo_compute_dtype dtype,
                           const struct tpo_train_config *config, struct tpo_backend *backend,
                           const struct tpo_comm *comm, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(backend);
  struct tpo_train_memory plan;
  int ranks = tpo_comm_size(comm);
  tpo_train_memory(&plan, arch, dtype, ops->asynchronous, ranks, config->micro_batch_tokens);
  return train_compare_memory(&plan, 0, ops->memory_available(backend), sharers(ops, comm), ranks,
                              config->micro_batch_tokens, err);
}

int train_check_memory(const struct tpo_trainer *t, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(t->backend);
  struct tpo_train_memory plan;
  int ranks = tpo_comm_size(t->comm), tokens = t->config.micro_batch_tokens;
  tpo_train_memory(&plan, tpo_model_arch(t->model), tpo_model_dtype(t->model), ops->asynchronous, ranks,
                   tokens);
  size_t held = plan.weights + t->shard_count * sizeof *t->master;
  return train_compare_memory(&plan, held, ops->memory_available(t->backend), sharers(ops, t->comm), ranks,
                              tokens, err);
}
