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
                                          .rope.theta = 500000};
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
  train_memory_of(plan, &llama3_8b, TPO_DTYPE_BF16, place, (struct train_passes){tokens, tokens});
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
  assert_int_equal(train_compare_memory(&plan, gpu, 8, &err), 0);
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
  assert_int_equal(train_compare_memory(&plan, gpu, 1, &err), TPO_E_MEMORY);
  assert_non_null(strstr(err.message, "but 80.0 GB are there"));
  assert_non_null(strstr(err.message, "more ranks than 1"));
  assert_non_null(strstr(err.message, "activations of 8192 tokens"));
  assert_non_null(strstr(err.message, "train.micro_batch_tokens below 8192"));
}

static void what_cannot_fit_without_kept_states_is_refused(void **state)
{
  (void)state;
  struct tpo_train_memory plan = {
      .weights = 10, .shard = 20, .gradient = 30, .program = 5, .layer = 100, .layers = 3, .kept = 3};
  assert_int_equal(tpo_train_memory_total(&plan), 265);
  assert_int_equal(tpo_train_memory_least(&plan), 65);
  assert_int_equal(train_compare_memory(&plan, 64, 1, NULL), TPO_E_MEMORY);
  assert_int_equal(train_compare_memory(&plan, 65, 1, NULL), 0);
}

/* What backward needs of what is normed besides: queries and keys before and the two products of a layer, with
 * their norms' divisors. */
static void states_of_other_families_are_counted(void **state)
{
  (void)state;
  struct tpo_arch arch = llama3_8b;
  size_t n = 1024, hidden = 4096, qkv = (32 + 2 * 8) * 128, act = 2, real = sizeof(float), llama, other;
  tpo_activations_bytes(&arch, act, (int)n, true, &llama);
  const struct {
    enum tpo_family family;
    size_t more;
  } families[] = {{TPO_FAMILY_MISTRAL, 0},
                  {TPO_FAMILY_QWEN2, 0},
                  {TPO_FAMILY_QWEN3, n * (qkv * act + (32 + 8) * real)},
                  {TPO_FAMILY_GEMMA2, n * 2 * (hidden * act + real)},
                  {TPO_FAMILY_GEMMA3, n * (qkv * act + (32 + 8) * real + 2 * (hidden * act + real))},
                  {TPO_FAMILY_OLMO2, n * (qkv * act + 2 * real + 2 * (hidden * act + real))}};
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    arch.family = families[i].family;
    tpo_activations_bytes(&arch, act, (int)n, true, &other);
    assert_int_equal(other, llama + families[i].more);
  }
}

/* Sizes that only differ in megabytes are told in them. */
static void small_sizes_are_told_apart(void **state)
{
  (void)state;
  struct tpo_train_memory plan = {.tokens = 640, .weights = 1200, .gradient = 70400000, .program = 34100000};
  struct tpo_error err = {0};
  assert_int_equal(train_compare_memory(&plan, 96000000, 2, &err), TPO_E_MEMORY);
  assert_non_null(strstr(err.message, "needs 105 MB of memory"));
  assert_non_null(strstr(err.message, "weights 1.20 kB"));
  assert_non_null(strstr(err.message, "gradient 70.4 MB"));
  assert_non_null(strstr(err.message, "but 96.0 MB are there"));
}

/* What a step's pairs can't fill needs no memory. */
static void passes_have_no_more_tokens_than_there_are(void **state)
{
  (void)state;
  const struct {
    int batch, max_pair_tokens, ranks;
    struct tpo_train_extent extent;
    struct train_passes passes;
  } cases[] = {
      {4, 0, 1, {100, 320, 0}, {1280, 4096}},   /* a batch */
      {4, 0, 2, {100, 320, 0}, {640, 4096}},    /* an even share of it */
      {5, 0, 2, {100, 320, 0}, {960, 4096}},    /* or one pair more */
      {4, 0, 8, {100, 320, 0}, {320, 4096}},    /* a pair at least */
      {64, 0, 1, {100, 320, 0}, {4096, 4096}},  /* more than a pass takes */
      {64, 0, 1, {3, 320, 0}, {960, 960}},      /* all pairs */
      {64, 0, 1, {3, 320, 9}, {960, 1600}},     /* outputs that are computed besides */
      {4, 0, 1, {0, 320, 0}, {1280, 4096}},     /* nobody knows how many */
      {1, 0, 1, {1, 0, 0}, {2048, 2048}},       /* nor how long: two contexts */
      {1, 0, 1, {1, 9000, 0}, {2048, 2048}},    /* longer ones are left out or cut */
      {1, 100, 1, {1, 9000, 0}, {200, 200}},    /* and so they are here */
      {1, 2000, 1, {1, 9000, 0}, {2048, 2048}}, /* the context is less */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_train_config config = {
        .batch = cases[i].batch, .max_pair_tokens = cases[i].max_pair_tokens, .micro_batch_tokens = 4096};
    struct train_passes passes = train_passes(&config, 1024, &cases[i].extent, cases[i].ranks);
    assert_int_equal(passes.training, cases[i].passes.training);
    assert_int_equal(passes.evaluation, cases[i].passes.evaluation);
  }
  struct tpo_train_config config = {.batch = 64, .micro_batch_tokens = 4096};
  assert_int_equal(train_passes(&config, 1024, NULL, 1).training, 4096);
}

static void the_extent_of_pairs_is_the_longest_one(void **state)
{
  (void)state;
  struct tpo_pair_row rows[] = {{.n_prompt = 3, .n_chosen = 5, .n_rejected = 7},
                                {.n_prompt = 10, .n_chosen = 1, .n_rejected = 2},
                                {.n_prompt = 0, .n_chosen = 4, .n_rejected = 4}};
  struct tpo_train_extent extent = tpo_train_extent(&(struct tpo_pairs){.n = 3, .rows = rows});
  assert_int_equal(extent.pairs, 3);
  assert_int_equal(extent.pair_tokens, 23);
}

/* The reference's passes have more tokens than a step's where a batch is small: their states are there, too. */
static void passes_without_gradients_are_counted(void **state)
{
  (void)state;
  const struct train_place place = {.ranks = 1};
  struct tpo_train_memory plan;
  size_t step = tpo_activations_bytes(&llama3_8b, sizeof(float), 64, true, NULL);
  size_t reference = tpo_activations_bytes(&llama3_8b, sizeof(float), 8192, false, NULL);
  train_memory_of(&plan, &llama3_8b, TPO_DTYPE_FP32, &place, (struct train_passes){64, 64});
  assert_int_equal(plan.activations, step);
  train_memory_of(&plan, &llama3_8b, TPO_DTYPE_FP32, &place, (struct train_passes){64, 8192});
  assert_int_equal(plan.activations, reference);
  assert_int_equal(plan.tokens, 64);
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
  assert_int_equal(train_compare_memory(&plan, 0, 1, NULL), 0);
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
      cmocka_unit_test(states_of_other_families_are_counted),
      cmocka_unit_test(small_sizes_are_told_apart),
      cmocka_unit_test(passes_have_no_more_tokens_than_there_are),
      cmocka_unit_test(the_extent_of_pairs_is_the_longest_one),
      cmocka_unit_test(passes_without_gradients_are_counted),
      cmocka_unit_test(states_are_kept_as_far_as_there_is_room),
      cmocka_unit_test(where_nobody_knows_what_is_free_it_is_tried),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
