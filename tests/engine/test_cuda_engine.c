/* The engine over the CUDA backend: the CPU's tokens in fp32, and in either dtype the same bits however
 * samples are batched, and whether or not passes are recorded and handed over ahead. */
#include "engine/between.h"

static int setup_cuda_fp32(void **state)
{
  w.backend = TPO_BACKEND_CUDA;
  w.dtype = TPO_DTYPE_FP32;
  return setup(state);
}

static int setup_cuda_bf16(void **state)
{
  w.backend = TPO_BACKEND_CUDA;
  w.dtype = TPO_DTYPE_BF16;
  return setup(state);
}

/* A head size that tensor cores are used for. */
static int setup_cuda_bf16_heads_of_64(void **state)
{
  w.head_dim = 64;
  return setup_cuda_bf16(state);
}

/* A layer that attends to everything and one of a window. */
static int setup_cuda_fp32_window(void **state)
{
  w.window = 10;
  w.windowed = 2;
  w.head_dim = 8;
  return setup_cuda_fp32(state);
}

static int setup_cuda_bf16_window(void **state)
{
  w.head_dim = 64;
  return setup_cuda_bf16(state);
}

static int reset_short(void **state)
{
  reset(state);
  w.sampling.max_tokens = few_rounds ? 7 : 14;
  w.run_ahead = TPO_RUN_AHEAD_AUTO;
  return 0;
}

static void model_computes_in_its_dtype(void **state)
{
  (void)state;
  assert_string_equal(tpo_ops(w.be)->name, "cuda");
  assert_int_equal(tpo_ops_for(w.be, TPO_BF16)->activation_size, 2);
  assert_int_equal(tpo_ops_for(w.be, TPO_F32)->activation_size, 4);
  assert_int_equal(tpo_ops(w.be)->asynchronous, 1);
}

static void tokens_are_those_of_the_cpu(void **state)
{
  struct world cuda = w;
  struct tpo_samples got = run_plainly();
  w.backend = TPO_BACKEND_CPU;
  void *folder = NULL;
  assert_int_equal(setup(&folder), 0);
  reset_short(state);
  struct tpo_samples expected = run_plainly();
  teardown(&folder);
  w = cuda;
  for (size_t i = 0; i < expected.n; i++) {
    const struct tpo_sample_row *x = &expected.rows[i], *y = &got.rows[i];
    assert_int_equal(x->n_tokens, y->n_tokens);
    assert_memory_equal(x->token_ids, y->token_ids, (size_t)x->n_tokens * sizeof *x->token_ids);
    for (int j = 0; j < x->n_tokens; j++)
      assert_true(fabsf(x->token_logprobs[j] - y->token_logprobs[j]) < 1e-4f);
  }
  tpo_samples_free(&expected);
  tpo_samples_free(&got);
}

static void sample_does_not_depend_on_slots_blocks_chunks_or_order(void **state)
{
  (void)state;
  struct tpo_samples expected = run_plainly();
  static const struct {
    int slots, block_tokens, prefill_chunk;
  } settings[] = {{1, 16, 512}, {3, 7, 5}, {15, 32, 40}};
  for (size_t i = few_rounds ? 1 : 0; i < (few_rounds ? 2 : sizeof settings / sizeof settings[0]); i++) {
    w.sampling.slots = settings[i].slots;
    for (int j = 0; j < n_prompts; j++) w.order[j] = (3 * j + (int)i) % n_prompts;
    struct tpo_samples got = run((struct tpo_engine_options){.block_tokens = settings[i].block_tokens,
                                                             .prefill_chunk = settings[i].prefill_chunk});
    assert_same(&expected, &got);
    tpo_samples_free(&got);
  }
  tpo_samples_free(&expected);
}

/* Blocks that hold a whole sequence are kept to its end. */
static void a_window_bounds_the_cache_and_changes_nothing(void **state)
{
  (void)state;
  struct tpo_samples expected = run((struct tpo_engine_options){.block_tokens = 128});
  size_t all = tpo_kv_block_bytes(w.model, TPO_REACH_ALL, 4),
         window = tpo_kv_block_bytes(w.model, TPO_REACH_WINDOW, 4);
  struct tpo_samples got = run((struct tpo_engine_options){
      .block_tokens = 4,
      .prefill_chunk = 5,
      .kv_bytes = 40 * all + 10 * window}); /* 5 of a prompt and 4 of a sample, not 17 */
  assert_same(&expected, &got);
  tpo_samples_free(&expected);
  tpo_samples_free(&got);
}

static void running_ahead_and_recording_change_nothing(void **state)
{
  (void)state;
  char *stops[] = {(char *)"a", (char *)"k", (char *)"1", (char *)"Q", (char *)"e"};
  w.sampling.stop = stops;
  w.sampling.n_stop = 5;
  w.sampling.slots = 6;
  set_thought(true, 5, 7);
  struct tpo_samples got = run_plainly();
  w.run_ahead = TPO_RUN_AHEAD_NEVER;
  struct tpo_samples expected = run_plainly();
  assert_same(&expected, &got);
  tpo_samples_free(&got);
  tpo_samples_free(&expected);
}

/* Several samples end apart, so that recorded passes come before and behind. */
static void what_is_computed_between_passes_changes_nothing(void **state)
{
  (void)state;
  w.sampling.slots = 6;
  w.sampling.max_tokens = 24;
  for (int i = 0; i < n_prompts; i++) w.requests[i].max_tokens = i < n_prompts - 1 ? 3 : 24;
  compare_between();
}

static void repetition_penalty_works_with_recorded_passes(void **state)
{
  (void)state;
  w.sampling.repetition_penalty = 1.5;
  w.sampling.temperature = 0;
  struct tpo_samples got = run_plainly();
  w.run_ahead = TPO_RUN_AHEAD_NEVER;
  struct tpo_samples expected = run_plainly();
  assert_same(&expected, &got);
  tpo_samples_free(&got);
  tpo_samples_free(&expected);
}

static void too_little_memory_names_what_helps(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  assert_int_equal(run_with((struct tpo_engine_options){.kv_bytes = 4096}, NULL, &err), TPO_E_MEMORY);
  assert_non_null(strstr(err.message, "sampling.max_tokens or sampling.slots"));
}

/* The emulated GPU gets as much memory as is used, and `bytes`; false where the GPU is none. */
static bool leave_memory(size_t bytes)
{
  const struct tpo_ops *ops = tpo_ops(w.be);
  const size_t whole = (size_t)8 << 30; /* what the emulation has by default */
  size_t available = ops->memory_available(w.be);
  char text[32];
  if (!strstr(tpo_backend_describe(w.be), "emulated")) return false;
  snprintf(text, sizeof text, "%zu", whole - available + bytes);
  setenv("TPO_EMULATION_MEMORY", text, 1);
  assert_int_equal(ops->memory_available(w.be), bytes);
  return true;
}

static void too_little_gpu_memory_names_what_helps(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  bool emulated = leave_memory(200 << 10);
  int status = emulated ? run_with((struct tpo_engine_options){0}, NULL, &err) : 0;
  unsetenv("TPO_EMULATION_MEMORY");
  if (!emulated) skip();
  assert_int_equal(status, TPO_E_MEMORY);
  assert_non_null(strstr(err.message, "sampling.max_tokens or sampling.slots"));
}

/* The backend is of no use afterwards. */
static void failing_kernel_ends_the_run_with_its_message(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  bool emulated = leave_memory(1 << 30);
  unsetenv("TPO_EMULATION_MEMORY");
  if (!emulated) skip();
  setenv("TPO_EMULATION_FAIL", "kernel:norm:40", 1);
  int status = run_with((struct tpo_engine_options){0}, NULL, &err);
  unsetenv("TPO_EMULATION_FAIL");
  assert_true(status < 0);
  assert_non_null(strstr(err.message, "GPU 0"));
}

int main(void)
{
  const struct CMUnitTest fp32[] = {
      cmocka_unit_test_setup(model_computes_in_its_dtype, reset_short),
      cmocka_unit_test_setup(tokens_are_those_of_the_cpu, reset_short),
      cmocka_unit_test_setup(running_ahead_and_recording_change_nothing, reset_short),
  };
  const struct CMUnitTest bf16[] = {
      cmocka_unit_test_setup(sample_does_not_depend_on_slots_blocks_chunks_or_order, reset_short),
      cmocka_unit_test_setup(running_ahead_and_recording_change_nothing, reset_short),
      cmocka_unit_test_setup(what_is_computed_between_passes_changes_nothing, reset_short),
      cmocka_unit_test_setup(repetition_penalty_works_with_recorded_passes, reset_short),
      cmocka_unit_test_setup(too_little_memory_names_what_helps, reset_short),
      cmocka_unit_test_setup(too_little_gpu_memory_names_what_helps, reset_short),
  };
  const struct CMUnitTest heads_of_64[] = {
      cmocka_unit_test_setup(sample_does_not_depend_on_slots_blocks_chunks_or_order, reset_short),
      cmocka_unit_test_setup(failing_kernel_ends_the_run_with_its_message, reset_short), /* last */
  };
  int failed = cmocka_run_group_tests_name("fp32", fp32, setup_cuda_fp32, teardown);
  failed += cmocka_run_group_tests_name("bf16", bf16, setup_cuda_bf16, teardown);
  const struct CMUnitTest window_fp32[] = {
      cmocka_unit_test_setup(tokens_are_those_of_the_cpu, reset_short),
  };
  const struct CMUnitTest window_bf16[] = {
      cmocka_unit_test_setup(a_window_bounds_the_cache_and_changes_nothing, reset_short),
      cmocka_unit_test_setup(running_ahead_and_recording_change_nothing, reset_short),
  };
  failed += cmocka_run_group_tests_name("fp32, a window", window_fp32, setup_cuda_fp32_window, teardown);
  failed += cmocka_run_group_tests_name("bf16, a window", window_bf16, setup_cuda_bf16_window, teardown);
  w.window = 0; /* the world's last: its failing kernel leaves the device in error */
  w.windowed = 0;
  failed +=
      cmocka_run_group_tests_name("bf16, heads of 64", heads_of_64, setup_cuda_bf16_heads_of_64, teardown);
  return failed;
}
