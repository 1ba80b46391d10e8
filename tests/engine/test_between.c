/* What a client does between passes: when it may, and that samples are the same. */
#include "engine/between.h"

static void what_is_computed_between_passes_changes_nothing(void **state)
{
  (void)state;
  for (int slots = 4; slots <= 15; slots += 11)
    for (int ahead = 0; ahead < 2; ahead++) {
      w.sampling.slots = slots;
      w.run_ahead = ahead ? TPO_RUN_AHEAD_ALWAYS : TPO_RUN_AHEAD_NEVER;
      w.between = NULL;
      compare_between();
    }
}

static int outputs, outputs_between;

static void count_output(const struct tpo_output *output)
{
  (void)output;
  outputs++;
}

static int note_outputs(void *arg, struct tpo_error *err)
{
  (void)arg, (void)err;
  if (outputs_between < 0) outputs_between = outputs;
  return 1; /* it did something */
}

/* Outputs that have ended when something may be done between passes for the first time. */
static int count_outputs_before(struct tpo_engine_options options)
{
  w.look = count_output;
  w.between = note_outputs;
  outputs = 0;
  outputs_between = -1;
  struct tpo_samples samples = run(options);
  tpo_samples_free(&samples);
  return outputs_between;
}

static void nothing_is_done_between_while_a_sample_is_left_to_start(void **state)
{
  (void)state;
  w.sampling.slots = 2; /* one is empty for good when all but one sample have ended */
  assert_int_equal(count_outputs_before((struct tpo_engine_options){0}), n_prompts * k - 1);
  const size_t block = 2 * 4 * 2 * 2 * 8 * 8;
  w.sampling.slots = 15; /* most are empty, but the cache holds one of the last prompt's samples at a time */
  assert_int_equal(
      count_outputs_before((struct tpo_engine_options){.block_tokens = 8, .kv_bytes = 13 * block}),
      n_prompts * k - 1);
}

static int fail_between(void *arg, struct tpo_error *err)
{
  (void)arg;
  return tpo_fail(err, TPO_E_IO, "no room between");
}

static void a_failure_between_passes_ends_the_run(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  w.between = fail_between;
  assert_int_equal(run_with((struct tpo_engine_options){0}, NULL, &err), TPO_E_IO);
  assert_string_equal(err.message, "no room between");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(what_is_computed_between_passes_changes_nothing, reset),
      cmocka_unit_test_setup(nothing_is_done_between_while_a_sample_is_left_to_start, reset),
      cmocka_unit_test_setup(a_failure_between_passes_ends_the_run, reset),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
