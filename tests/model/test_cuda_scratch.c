/* A GPU's scratch memory stays where it is while parts of the gradient are on their way to other ranks. */
#include "model/activations.h"
#include "model/fixture.h"

enum { TOKENS = 300, VOCAB = 67 };

struct watch {
  struct tpo_backend *be;
  size_t first; /* bytes free when the first part was ready */
  int calls, moved;
};

static size_t available(struct tpo_backend *be)
{
  return tpo_ops(be)->memory_available(be);
}

static void ready(void *arg, size_t first, size_t count)
{
  struct watch *watch = arg;
  (void)first, (void)count;
  if (watch->calls++ == 0) watch->first = available(watch->be);
  watch->moved += available(watch->be) != watch->first;
}

/* A pass of n tokens in sequences of at most 50. */
static void run(struct tpo_model *model, int n, const struct tpo_grad_ready *told)
{
  struct tpo_error err = {0};
  struct tpo_backend *be = tpo_model_backend(model);
  struct tpo_activations *acts = NULL;
  int32_t *ids = fixed_ids(n, VOCAB), bounds[TOKENS];
  int seqs = 0;
  float derivative[TOKENS];
  void *grad;
  for (bounds[0] = 0; bounds[seqs] < n; seqs++)
    bounds[seqs + 1] = bounds[seqs] + 50 < n ? bounds[seqs] + 50 : n;
  for (int i = 0; i < n; i++) derivative[i] = (i + 1) % 50 == 0 || i + 1 == n ? 0 : 0.5f;
  struct tpo_batch batch = {.ids = ids, .cu_seqlens = bounds, .n_tokens = n, .n_seqs = seqs};
  assert_ok(tpo_ops(be)->alloc(be, tpo_model_param_count(model) * sizeof(float), &grad, &err));
  assert_ok(tpo_model_forward(model, &batch, &acts, NULL, &err));
  assert_ok(tpo_model_backward(model, &batch, acts, derivative, grad, told, &err));
  tpo_ops(be)->free(be, grad);
  tpo_activations_free(acts);
  free(ids);
}

/* Of a model's first pass, and of one that is longer than those before. */
static void no_memory_moves_once_a_part_of_the_gradient_is_ready(void **state)
{
  (void)state;
  for (int dtype = 0; dtype < 2; dtype++) {
    struct tpo_backend *be = open_backend(CUDA);
    struct tpo_model *model = small_model(be, dtype ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32, false, 0);
    for (int n = 40; n <= TOKENS; n += 130) {
      struct watch watch = {.be = be};
      const struct tpo_grad_ready told = {ready, &watch};
      run(model, n, &told);
      assert_int_equal(watch.calls, 5); /* the head, each layer, the embedding */
      assert_int_equal(watch.moved, 0);
    }
    tpo_model_close(model);
    tpo_backend_close(be);
  }
}

/* Their sizes as published: Llama 3 8B; of the largest vocabulary and of wide heads, Gemma 3 4B; of as many key heads
 * as query heads, with norms over all of them, OLMo 2 7B. */
static const struct tpo_arch large[] = {
    {.vocab_size = 128256,
     .hidden = 4096,
     .heads = 32,
     .kv_heads = 8,
     .head_dim = 128,
     .ffn = 14336,
     .context = 8192},
    {.family = TPO_FAMILY_GEMMA3,
     .vocab_size = 262208,
     .hidden = 2560,
     .heads = 8,
     .kv_heads = 4,
     .head_dim = 256,
     .ffn = 10240,
     .context = 131072,
     .window = 1024},
    {.family = TPO_FAMILY_OLMO2,
     .vocab_size = 100352,
     .hidden = 4096,
     .heads = 32,
     .kv_heads = 32,
     .head_dim = 128,
     .ffn = 11008,
     .context = 4096},
};

static void reserve(const struct tpo_arch *arch, int tokens)
{
  struct tpo_error err = {0};
  struct tpo_backend *be = open_backend(CUDA);
  const struct tpo_ops *ops = tpo_ops_for(be, TPO_BF16);
  struct tpo_training_shape shape = tpo_training_shape(arch, TPO_DTYPE_BF16, tokens);
  size_t before = available(be), workspace = (size_t)32 << 20;
  assert_ok(ops->training_reserve(be, &shape, &err));
  size_t took = before - available(be);
  if (took + workspace > ops->training_scratch(be, &shape))
    fail_msg("%d tokens, %d of vocabulary: %zu bytes, %zu told", tokens, arch->vocab_size, took + workspace,
             ops->training_scratch(be, &shape));
  assert_true(tokens < 4096 || took > (size_t)400000000);
  assert_ok(ops->training_reserve(be, &shape, &err)); /* it is there */
  assert_int_equal(before - available(be), took);
  tpo_backend_close(be);
}

/* What is told beforehand is more than is taken, at the size of a large model too. */
static void reserving_takes_no_more_than_is_told(void **state)
{
  (void)state;
  const int tokens[] = {64, 4096, 16384};
  for (size_t i = 0; i < sizeof large / sizeof *large; i++)
    for (size_t j = 0; j < sizeof tokens / sizeof *tokens; j++) reserve(&large[i], tokens[j]);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_memory_moves_once_a_part_of_the_gradient_is_ready),
      cmocka_unit_test(reserving_takes_no_more_than_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
