/* The CPU's scratch memory: what passes of training take is within what is told beforehand. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/gemm.h"
#include "model/activations.h"
#include "model/fixture.h"

struct pass {
  int tokens, seqs;
};

/* Forward and backward of a pass whose sequences are as long as each other. */
static void run(struct tpo_model *model, struct pass pass)
{
  struct tpo_error err = {0};
  struct tpo_activations *acts = NULL;
  int32_t *ids = calloc((size_t)pass.tokens, sizeof *ids), bounds[65];
  float *grad = calloc(tpo_model_param_count(model), sizeof *grad);
  float *derivative = calloc((size_t)pass.tokens, sizeof *derivative);
  assert_true(ids && grad && derivative && pass.seqs <= 64);
  for (int s = 0; s <= pass.seqs; s++) bounds[s] = pass.tokens / pass.seqs * s;
  bounds[pass.seqs] = pass.tokens;
  struct tpo_batch batch = {
      .ids = ids, .cu_seqlens = bounds, .n_tokens = pass.tokens, .n_seqs = pass.seqs, .wanted = NULL};
  assert_ok(tpo_model_forward(model, &batch, &acts, NULL, &err));
  assert_ok(tpo_model_backward(model, &batch, acts, derivative, grad, NULL, &err));
  tpo_activations_free(acts);
  free(ids);
  free(grad);
  free(derivative);
}

static size_t taken(struct tpo_backend *be)
{
  const struct tpo_cpu *cpu = tpo_cpu(be);
  size_t bytes = 0;
  for (int i = 0; i < TPO_CPU_SLOTS; i++) bytes += cpu->slots[i].bytes;
  for (int t = 0; t < cpu->threads; t++) bytes += cpu->per_thread[t].bytes;
  return bytes;
}

static void check(const struct tpo_arch *arch, enum tpo_compute_dtype dtype, struct pass pass)
{
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_model *model = model_of(be, arch, dtype, 0);
  struct tpo_training_shape shape = tpo_training_shape(arch, dtype, pass.tokens);
  size_t most = tpo_ops(be)->training_scratch(be, &shape);
  run(model, (struct pass){pass.tokens / 2 + 1, 1}); /* buffers grow */
  run(model, pass);
  size_t bytes = taken(be);
  if (bytes > most || bytes < most / 10)
    fail_msg("%d tokens in %d sequences took %zu bytes of scratch memory; at most %zu were told", pass.tokens,
             pass.seqs, bytes, most);
  tpo_model_close(model);
  tpo_backend_close(be);
}

static void training_takes_no_more_scratch_than_told(void **state)
{
  (void)state;
  const struct tpo_arch wide = {.vocab_size = 3000,
                                .hidden = 96,
                                .layers = 1,
                                .heads = 6,
                                .kv_heads = 2,
                                .head_dim = 20,
                                .ffn = 500,
                                .context = 2048,
                                .rms_eps = 1e-5,
                                .rope.theta = 10000,
                                .tied = true};
  struct tpo_arch flat = wide;
  flat.vocab_size = 67;
  flat.ffn = 40;
  flat.kv_heads = 6;
  const struct pass passes[] = {{64, 1}, {400, 3}, {1500, 1}, {1500, 64}};
  const char *levels[] = {"scalar", "avx2", "avx512", "avx512_bf16"};
  for (size_t level = 0; level < 4; level++) {
    setenv("TPO_CPU_ISA", levels[level], 1);
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
      if (level == 0 && passes[i].tokens > 1000) continue; /* slow */
      check(&wide, i % 2 ? TPO_DTYPE_FP32 : TPO_DTYPE_BF16, passes[i]);
      check(&flat, TPO_DTYPE_FP32, passes[i]);
    }
    /* gradients of biases, and of norms of queries and keys */
    static const enum tpo_family families[] = {TPO_FAMILY_QWEN2, TPO_FAMILY_OLMO2, TPO_FAMILY_GEMMA3};
    for (int f = 0; f < 3; f++) {
      struct tpo_arch other = flat;
      other.family = families[f];
      check(&other, TPO_DTYPE_FP32, passes[1]);
    }
  }
  unsetenv("TPO_CPU_ISA");
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(training_takes_no_more_scratch_than_told)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
