/* What training is said to need, before it takes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "backend/cuda.h"
#include "model/activations.h"
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

static void gpu_plan(struct tpo_train_memory *plan, struct train_place *place, int ranks, int tokens)
{
  struct tpo_training_shape shape = tpo_training_shape(&llama3_8b, TPO_DTYPE_BF16, tokens);
  *place = (struct train_place){true, ranks, tpo_cuda_training_scratch(&shape)};
  train_memory_of(plan, &llama3_8b, TPO_DTYPE_BF16, place, tokens);
}

static void llama_3_8b_fits_on_eight_gpus(void **state)
{
  (void)state;
  struct tpo_train_memory plan;
  struct train_place place;
  gpu_plan(&plan, &place, 8, TOKENS);
  assert_true(plan.weights > 16000000000 && plan.weights < 16200000000);
  assert_true(plan.gradient == 2 * plan.weights);
  assert_true(plan.shard > 14000000000 && plan.shard < 14200000000);
  assert_true(plan.activations > 2000000000 && plan.activations < 5000000000);
  assert_true(tpo_train_memory_least(&plan) < gpu);
  struct tpo_error err = {0};
  assert_int_equal(train_compare_memory(&plan, gpu, 8, TOKENS, &err), 0);
}

/* 545 MB of logits and their gradients are among what is taken before any layer's states. */
static void scratch_has_room_for_the_head(void **state)
{
  (void)state;
  struct tpo_train_memory plan;
  struct train_place place;
  gpu_plan(&plan, &place, 8, 64);
  assert_true(plan.scratch > (size_t)2048 * 128256 * 2 + (size_t)2048 * 4096 * 4 + ((size_t)32 << 20));
}

/* configs/llama3-8b-*.yaml: a pass of 4096 tokens keeps all that backward needs, on 8 GPUs of 80 GB; one of 16384
 * would compute most layers twice. */
static void layers_that_an_80_gb_gpu_keeps(void **state)
{
  (void)state;
  struct tpo_train_memory plan;
  struct train_place place;
  gpu_plan(&plan, &place, 8, 4096);
  train_memory_keep(&plan, &place, gpu);
  assert_int_equal(plan.kept, 32);
  gpu_plan(&plan, &place, 8, 8192);
  train_memory_keep(&plan, &place, gpu);
  assert_in_range(plan.kept, 12, 18);
  gpu_plan(&plan, &place, 8, 16384);
  train_memory_keep(&plan, &place, gpu);
  assert_in_range(plan.kept, 3, 6);
  assert_true(tpo_train_memory_total(&plan) <= gpu);
}

static void on_one_gpu_it_is_refused_with_what_would_help(void **state)
{
  (void)state;
  struct tpo_train_memory plan;
  struct train_place place;
  gpu_plan(&plan, &place, 1, TOKENS);
  struct tpo_error err = {0};
  assert_int_equal(train_compare_memory(&plan, gpu, 1, TOKENS, &err), TPO_E_MEMORY);
  assert_non_null(strstr(err.message, "but 80.0 GB are there"));
  assert_non_null(strstr(err.message, "more ranks than 1"));
  assert_non_null(strstr(err.message, "train.micro_batch_tokens"));
}

static void what_cannot_fit_without_kept_states_is_refused(void **state)
{
  (void)state;
  struct tpo_train_memory plan = {
      .weights = 10, .shard = 20, .gradient = 30, .program = 5, .layer = 100, .layers = 3, .kept = 3};
  assert_int_equal(tpo_train_memory_total(&plan), 265);
  assert_int_equal(tpo_train_memory_least(&plan), 65);
  assert_int_equal(train_compare_memory(&plan, 64, 1, TOKENS, NULL), TPO_E_MEMORY);
  assert_int_equal(train_compare_memory(&plan, 65, 1, TOKENS, NULL), 0);
}

/* On a host nine tenths are used; the last layer that is kept has the memory in which others are computed. */
static void states_are_kept_as_far_as_there_is_room(void **state)
{
  (void)state;
  const struct train_place place = {.ranks = 1};
  struct tpo_train_memory plan = {.weights = 500, .activations = 400, .layer = 100, .layers = 4, .kept = 4};
  const struct {
    size_t room;
    int kept;
  } cases[] = {{900, 0}, {1000, 0}, {1200, 1}, {1300, 2}, {1400, 4}, {9000, 4}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    train_memory_keep(&plan, &place, cases[i].room);
    assert_int_equal(plan.kept, cases[i].kept);
    assert_true(cases[i].room < 1000 || tpo_train_memory_total(&plan) <= cases[i].room / 10 * 9);
  }
}

static void where_nobody_knows_what_is_free_it_is_tried(void **state)
{
  (void)state;
  const struct train_place place = {.ranks = 1};
  struct tpo_train_memory plan = {.gradient = 30, .layer = (size_t)512 << 20, .layers = 9};
  assert_int_equal(train_compare_memory(&plan, 0, 1, TOKENS, NULL), 0);
  train_memory_keep(&plan, &place, 0);
  assert_int_equal(plan.kept, 2);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parameters_are_counted_as_they_are_listed),
      cmocka_unit_test(llama_3_8b_fits_on_eight_gpus),
      cmocka_unit_test(on_one_gpu_it_is_refused_with_what_would_help),
      cmocka_unit_test(scratch_has_room_for_the_head),
      cmocka_unit_test(layers_that_an_80_gb_gpu_keeps),
      cmocka_unit_test(what_cannot_fit_without_kept_states_is_refused),
      cmocka_unit_test(states_are_kept_as_far_as_there_is_room),
      cmocka_unit_test(where_nobody_knows_what_is_free_it_is_tried),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
