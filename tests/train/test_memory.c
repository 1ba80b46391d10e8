/* What training is said to need, before it takes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "train/state.h"

static const struct tpo_arch llama3_8b = {.vocab_size = 128256,
                                          .hidden = 4096,
                                          .layers = 32,
                                          .heads = 32,
                                          .kv_heads = 8,
                                          .head_dim = 128,
                                          .ffn = 14336,
                                          .context = 8192,
                                          .rms_eps = 1e-5,
                                          .rope_theta = 500000};
static const size_t gpu = 80000000000; /* bytes */
enum { TOKENS = 8192 };

static void parameters_are_counted_as_they_are_listed(void **state)
{
  (void)state;
  assert_int_equal(tpo_arch_param_count(&llama3_8b), 8030261248);
}

static void llama_3_8b_fits_on_eight_gpus(void **state)
{
  (void)state;
  struct tpo_train_memory plan;
  tpo_train_memory(&plan, &llama3_8b, TPO_DTYPE_BF16, true, 8, TOKENS);
  assert_true(plan.weights > 16000000000 && plan.weights < 16200000000);
  assert_true(plan.gradient == 2 * plan.weights);
  assert_true(plan.shard > 14000000000 && plan.shard < 14200000000);
  assert_true(plan.activations > 2000000000 && plan.activations < 9000000000);
  assert_true(tpo_train_memory_total(&plan) < gpu);
  struct tpo_error err = {0};
  assert_int_equal(train_compare_memory(&plan, 0, gpu, 1, 8, TOKENS, &err), 0);
}

static void on_one_gpu_it_is_refused_with_what_would_help(void **state)
{
  (void)state;
  struct tpo_train_memory plan;
  tpo_train_memory(&plan, &llama3_8b, TPO_DTYPE_BF16, true, 1, TOKENS);
  struct tpo_error err = {0};
  assert_int_equal(train_compare_memory(&plan, 0, gpu, 1, 1, TOKENS, &err), TPO_E_MEMORY);
  assert_non_null(strstr(err.message, "but 80.0 GB are there"));
  assert_non_null(strstr(err.message, "more ranks than 1"));
  assert_non_null(strstr(err.message, "train.micro_batch_tokens"));
}

static void what_is_held_already_is_not_asked_for_again(void **state)
{
  (void)state;
  struct tpo_train_memory plan = {.weights = 10, .shard = 20, .gradient = 30};
  assert_int_equal(train_compare_memory(&plan, 0, 59, 1, 1, TOKENS, NULL), TPO_E_MEMORY);
  assert_int_equal(train_compare_memory(&plan, 0, 60, 1, 1, TOKENS, NULL), 0);
  assert_int_equal(train_compare_memory(&plan, 10, 50, 1, 1, TOKENS, NULL), 0);
  assert_int_equal(train_compare_memory(&plan, 10, 49, 1, 1, TOKENS, NULL), TPO_E_MEMORY);
}

static void ranks_of_a_host_share_its_memory(void **state)
{
  (void)state;
  struct tpo_train_memory plan = {.gradient = 30};
  assert_int_equal(train_compare_memory(&plan, 0, 60, 2, 2, TOKENS, NULL), 0);
  assert_int_equal(train_compare_memory(&plan, 0, 60, 3, 3, TOKENS, NULL), TPO_E_MEMORY);
}

static void where_nobody_knows_what_is_free_it_is_tried(void **state)
{
  (void)state;
  struct tpo_train_memory plan = {.gradient = 30};
  assert_int_equal(train_compare_memory(&plan, 0, 0, 1, 1, TOKENS, NULL), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parameters_are_counted_as_they_are_listed),
      cmocka_unit_test(llama_3_8b_fits_on_eight_gpus),
      cmocka_unit_test(on_one_gpu_it_is_refused_with_what_would_help),
      cmocka_unit_test(what_is_held_already_is_not_asked_for_again),
      cmocka_unit_test(ranks_of_a_host_share_its_memory),
      cmocka_unit_test(where_nobody_knows_what_is_free_it_is_tried),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
