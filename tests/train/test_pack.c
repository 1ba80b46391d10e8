/* Pairs packed into a pass: what each sequence can come to have. */
#include "model/model.h"
#include "train/state.h"
#include "unit.h"

static struct tpo_backend *be;
static struct tpo_model *model;

static void open_model(enum tpo_rope_kind kind)
{
  struct tpo_error err = {0};
  struct tpo_arch arch = {
      .vocab_size = 20,
      .hidden = 16,
      .layers = 1,
      .heads = 2,
      .kv_heads = 1,
      .head_dim = 8,
      .ffn = 16,
      .context = 64,
      .rms_eps = 1e-5,
      .rope = {.kind = kind, .theta = 10000, .attention_factor = 1, .original_context = 40},
      .tied = true};
  for (int i = 0; i < 4; i++) arch.rope.short_factors[i] = arch.rope.long_factors[i] = 1 + i;
  assert_int_equal(tpo_backend_open(&be, TPO_BACKEND_CPU, 1, &err), 0);
  const struct tpo_model_options options = {.backend = be};
  if (tpo_model_create_random(&model, &arch, 1, &options, &err) < 0) fail_msg("%s", err.message);
}

static void close_model(void)
{
  tpo_model_close(model);
  tpo_backend_close(be);
}

static void every_sequence_is_told_what_it_could_have_come_to(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  open_model(TPO_ROPE_DEFAULT);
  int32_t ids[64] = {0};
  struct tpo_pair_row rows[3] = {{.n_prompt = 10, .n_chosen = 5, .n_rejected = 33},
                                 {.n_prompt = 50, .n_chosen = 1, .n_rejected = 14},
                                 {.n_prompt = 0, .n_chosen = 3, .n_rejected = 20}};
  for (int i = 0; i < 3; i++) rows[i].prompt_ids = rows[i].chosen_ids = rows[i].rejected_ids = ids;
  struct tpo_pairs pairs = {.n = 3, .rows = rows, .output_tokens = 20};
  const uint32_t order[] = {0, 1, 2};
  struct micro_batch mb = {0};
  assert_int_equal(micro_batch_fill(&mb, model, &pairs, order, 3, 1000, &err), 0);
  struct tpo_batch batch = micro_batch_view(&mb);
  static const int32_t expected[] = {30, 43, 64, 64, 20, 20}; /* prompt and output, the whole, the context */
  assert_int_equal(batch.n_seqs, 6);
  assert_memory_equal(batch.longest, expected, sizeof expected);
  micro_batch_free(&mb);
  close_model();
}

/* Short ones are of up to 40 tokens. */
static void pairs_that_another_budget_rotates_otherwise_are_counted(void **state)
{
  (void)state;
  struct tpo_arch arch = {.context = 64, .rope = {.kind = TPO_ROPE_LONGROPE, .original_context = 40}};
  struct tpo_pair_row rows[] = {{.n_prompt = 10, .n_chosen = 5, .n_rejected = 6},  /* long from 31 on */
                                {.n_prompt = 20, .n_chosen = 5, .n_rejected = 21}, /* the rejected is long */
                                {.n_prompt = 20, .n_chosen = 25, .n_rejected = 25}}; /* both are long */
  struct tpo_pairs pairs = {.n = 3, .rows = rows, .output_tokens = 20};
  assert_int_equal(tpo_train_rotated_otherwise(&pairs, &arch, 20), 0);
  assert_int_equal(tpo_train_rotated_otherwise(&pairs, &arch, 21), 1);
  assert_int_equal(tpo_train_rotated_otherwise(&pairs, &arch, 30), 1);
  assert_int_equal(tpo_train_rotated_otherwise(&pairs, &arch, 31), 2);
  assert_int_equal(tpo_train_rotated_otherwise(&pairs, &arch, INT32_MAX), 2);
  arch.rope.original_context = 64; /* never reached */
  assert_int_equal(tpo_train_rotated_otherwise(&pairs, &arch, 31), 0);
  arch.rope = (struct tpo_rope){.kind = TPO_ROPE_YARN, .original_context = 40};
  assert_int_equal(tpo_train_rotated_otherwise(&pairs, &arch, 31), 0);
}

/* What is kept of computing them goes on with the same rotations only. */
static void work_tells_the_budget_where_it_rotates(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  for (int varies = 0; varies < 2; varies++) {
    char *works[2];
    open_model(varies ? TPO_ROPE_LONGROPE : TPO_ROPE_DEFAULT);
    for (int i = 0; i < 2; i++) {
      const struct tpo_pairs pairs = {.output_tokens = 20 + i};
      assert_int_equal(tpo_train_reference_work(model, &pairs, &works[i], &err), 0);
    }
    assert_int_equal(strcmp(works[0], works[1]) != 0, varies);
    for (int i = 0; i < 2; i++) free(works[i]);
    close_model();
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_sequence_is_told_what_it_could_have_come_to),
      cmocka_unit_test(pairs_that_another_budget_rotates_otherwise_are_counted),
      cmocka_unit_test(work_tells_the_budget_where_it_rotates)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
