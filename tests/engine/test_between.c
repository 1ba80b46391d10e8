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

/* With two slots, all but one of the samples have ended when one of them is empty for good. */
static void nothing_is_done_between_while_a_sample_is_left_to_start(void **state)
{
  (void)state;
  w.sampling.slots = 2;
  w.look = count_output;
  w.between = note_outputs;
  outputs = 0;
  outputs_between = -1;
  struct tpo_samples samples = run_plainly();
  tpo_samples_free(&samples);
  assert_int_equal(outputs_between, n_prompts * k - 1);
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
