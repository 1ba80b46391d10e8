/* The engine over a model whose rotations depend on how long a sequence can come to be: a request's samples all have
 * the same, and the trainer's log-probabilities are the sampler's. */
#include "engine/world.h"

enum {
  SHORT = 67
}; /* prompts of 1, 14 and 27 tokens stay within it, with outputs of 40; those of 40 and 53 don't */

static int setup_longrope(void **state)
{
  w.rope = (struct tpo_rope){.kind = TPO_ROPE_LONGROPE,
                             .theta = 10000,
                             .factor = 2,
                             .attention_factor = 1.2,
                             .original_context = SHORT,
                             .short_factors = {1, 1.1, 1.2, 1.3},
                             .long_factors = {2, 3, 4, 5}};
  return setup(state);
}

/* The largest difference of a sample's log-probabilities from the packed forward's, which is told that the
 * sequence can come to have so many tokens. */
static float gap(const struct tpo_sample_row *row, int longest)
{
  struct tpo_error err = {0};
  int n = row->n_prompt + row->n_tokens;
  int32_t ids[128], cu_seqlens[] = {0, n}, most[] = {longest};
  float logprob[128], largest = 0;
  memcpy(ids, row->prompt_ids, (size_t)row->n_prompt * sizeof *ids);
  memcpy(ids + row->n_prompt, row->token_ids, (size_t)row->n_tokens * sizeof *ids);
  struct tpo_batch batch = {
      .ids = ids, .cu_seqlens = cu_seqlens, .n_tokens = n, .n_seqs = 1, .longest = most};
  if (tpo_model_logprobs(w.model, &batch, logprob, &err) < 0) fail_msg("%s", err.message);
  for (int j = 0; j < row->n_tokens; j++)
    largest = fmaxf(largest, fabsf(logprob[row->n_prompt + j - 1] - row->token_logprobs[j]));
  return largest;
}

static void the_trainer_rotates_as_the_sampler_does(void **state)
{
  (void)state;
  struct tpo_samples samples = run_plainly();
  int n_long = 0, told_apart = 0;
  for (size_t i = 0; i < samples.n; i++) {
    const struct tpo_sample_row *row = &samples.rows[i];
    int n = row->n_prompt + row->n_tokens,
        longest = tpo_arch_longest(tpo_model_arch(w.model), row->n_prompt, max_tokens, n);
    bool is_long = row->n_prompt > 27;
    assert_int_equal(longest > SHORT, is_long);
    assert_true(gap(row, longest) < 1e-5f);
    n_long += is_long;
    if (n <= SHORT) told_apart += gap(row, is_long ? n : SHORT + 1) > 5e-5f; /* by the other factors */
  }
  assert_int_equal(n_long, 2 * k);
  assert_true(told_apart > 2 * k);
  tpo_samples_free(&samples);
}

static void samples_do_not_depend_on_slots_or_order(void **state)
{
  (void)state;
  struct tpo_samples expected = run_plainly();
  for (int slots = 1; slots < 16; slots += 7) {
    w.sampling.slots = slots;
    w.run_ahead = slots == 8 ? TPO_RUN_AHEAD_ALWAYS : TPO_RUN_AHEAD_NEVER;
    for (int j = 0; j < n_prompts; j++) w.order[j] = (3 * j + slots) % n_prompts;
    struct tpo_samples got = run((struct tpo_engine_options){.block_tokens = 5, .prefill_chunk = 3 + slots});
    assert_same(&expected, &got);
    tpo_samples_free(&got);
  }
  tpo_samples_free(&expected);
}

/* What is trained on its outputs doesn't know that it was. */
static void a_request_of_few_tokens_is_rotated_as_the_trainer_does(void **state)
{
  (void)state;
  struct tpo_request *request = &w.requests[3];
  request->max_tokens = SHORT - request->n_prompt;
  struct tpo_samples samples = run_plainly();
  int seen = 0;
  for (size_t i = 0; i < samples.n; i++) {
    const struct tpo_sample_row *row = &samples.rows[i];
    if (strcmp(row->prompt_id, request->id) != 0) continue;
    int n = row->n_prompt + row->n_tokens,
        longest = tpo_arch_longest(tpo_model_arch(w.model), row->n_prompt, max_tokens, n);
    assert_true(n <= SHORT && longest > SHORT);
    assert_true(gap(row, longest) < 1e-5f);
    seen++;
  }
  assert_int_equal(seen, k);
  tpo_samples_free(&samples);
}

/* Nobody's budget but its own tells of it: more than outputs have otherwise, it needs the room. */
static void a_request_of_many_tokens_is_a_long_one(void **state)
{
  (void)state;
  struct tpo_request *request = &w.requests[2];
  request->max_tokens = SHORT - request->n_prompt + 1;
  assert_true(request->n_prompt + max_tokens <= SHORT);
  struct tpo_samples samples = run_plainly();
  for (size_t i = 0; i < samples.n; i++) {
    const struct tpo_sample_row *row = &samples.rows[i];
    if (strcmp(row->prompt_id, request->id) == 0) assert_true(gap(row, SHORT + 1) < 1e-5f);
  }
  tpo_samples_free(&samples);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(the_trainer_rotates_as_the_sampler_does, reset),
      cmocka_unit_test_setup(samples_do_not_depend_on_slots_or_order, reset),
      cmocka_unit_test_setup(a_request_of_few_tokens_is_rotated_as_the_trainer_does, reset),
      cmocka_unit_test_setup(a_request_of_many_tokens_is_a_long_one, reset),
  };
  return cmocka_run_group_tests(tests, setup_longrope, teardown);
}
