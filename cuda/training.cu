/* Scratch memory for passes of training, taken before they run: each slot gets what the operation that asks for
 * most of it will ask. What is allocated or freed later would wait for exchanges between the GPUs. */
#include "ops.cuh"

/* Sums of each row and query head, and two lists of tiles, of which each token is its own at worst. */
static size_t attention_bytes(const struct tpo_training_shape *shape)
{
  size_t tokens = (size_t)shape->tokens + 1;
  return tokens * (size_t)shape->attention.heads * sizeof(float2) + tokens * 32;
}

static int qkv_size(const struct tpo_training_shape *shape)
{
  return (shape->attention.heads + 2 * shape->attention.kv_heads) * shape->attention.head_dim;
}

/* A model may have norms of heads and biases of queries, keys and values, or neither. */
static size_t partial_bytes(const struct tpo_cuda *cuda, const struct tpo_training_shape *shape)
{
  const size_t bytes[] = {tpo_cuda_norm_scratch(cuda, shape->hidden),
                          tpo_cuda_bias_scratch(cuda, qkv_size(shape)),
                          tpo_cuda_qk_norm_scratch(cuda, shape->attention)};
  size_t most = 0;
  for (size_t one : bytes)
    if (one > most) most = one;
  return most;
}

template <class Act>
int tpo_cuda_training_reserve(struct tpo_backend *be, const struct tpo_training_shape *shape,
                              struct tpo_error *err)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  const struct {
    enum tpo_cuda_slot slot;
    size_t bytes;
  } needs[] = {
      {TPO_CUDA_SLOT_LM_HEAD, tpo_cuda_lm_head_scratch<Act>(shape->vocab, shape->tokens)},
      {TPO_CUDA_SLOT_PARTIAL, partial_bytes(cuda, shape)},
      {TPO_CUDA_SLOT_ROUNDED, (size_t)qkv_size(shape) * 2},
      {TPO_CUDA_SLOT_OPS, attention_bytes(shape)},
  };
  for (const auto &need : needs)
    if (!tpo_cuda_scratch(cuda, need.slot, need.bytes)) return tpo_cuda_check(be, err);
  return 0;
}

size_t tpo_cuda_training_bytes(struct tpo_backend *be, const struct tpo_training_shape *shape)
{
  (void)be;
  return tpo_cuda_training_scratch(shape);
}

template int tpo_cuda_training_reserve<float>(struct tpo_backend *, const struct tpo_training_shape *,
                                              struct tpo_error *);
template int tpo_cuda_training_reserve<__nv_bfloat16>(struct tpo_backend *, const struct tpo_training_shape *,
                                                      struct tpo_error *);
