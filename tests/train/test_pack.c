/* Pairs packed into a pass: what each sequence can come to have. */
#include "model/model.h"
#include "train/state.h"
#include "unit.h"

static void every_sequence_is_told_what_it_could_have_come_to(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct tpo_backend *be;
  struct tpo_model *model;
  const struct tpo_arch arch = {.vocab_size = 20,
                                .hidden = 16,
                                .layers = 1,
                                .heads = 2,
                                .kv_heads = 1,
                                .head_dim = 8,
                                .ffn = 16,
                                .context = 64,
                                .rms_eps = 1e-5,
                                .rope.theta = 10000,
                                .tied = true};
  assert_int_equal(tpo_backend_open(&be, TPO_BACKEND_CPU, 1, &err), 0);
  const struct tpo_model_options options = {.backend = be, .output_tokens = 20};
  assert_int_equal(tpo_model_create_random(&model, &arch, 1, &options, &err), 0);

  int32_t ids[64] = {0};
  struct tpo_pair_row rows[3] = {{.n_prompt = 10, .n_chosen = 5, .n_rejected = 33},
                                 {.n_prompt = 50, .n_chosen = 1, .n_rejected = 14},
                                 {.n_prompt = 0, .n_chosen = 3, .n_rejected = 20}};
  for (int i = 0; i < 3; i++) rows[i].prompt_ids = rows[i].chosen_ids = rows[i].rejected_ids = ids;
  struct tpo_pairs pairs = {.n = 3, .rows = rows};
  const uint32_t order[] = {0, 1, 2};
  struct micro_batch mb = {0};
  assert_int_equal(micro_batch_fill(&mb, model, &pairs, order, 3, 1000, &err), 0);
  struct tpo_batch batch = micro_batch_view(&mb);
  static const int32_t expected[] = {30, 43, 64, 64, 20, 20}; /* prompt and output, the whole, the context */
  assert_int_equal(batch.n_seqs, 6);
  assert_memory_equal(batch.longest, expected, sizeof expected);
  micro_batch_free(&mb);
  tpo_model_close(model);
  tpo_backend_close(be);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_sequence_is_told_what_it_could_have_come_to)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
