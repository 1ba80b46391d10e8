/* Passes that are handed over before the results of those before them are known, and padded as for recording,
 * change nothing, whatever ends samples or changes what they are fed. */
#include "engine/world.h"

/* The same settings in both ways, several slots and block sizes each. */
static void compare_run_ahead(void)
{
  static const struct {
    int slots, block_tokens, prefill_chunk;
    size_t kv_blocks;
  } settings[] = {{1, 16, 512, 0}, {2, 1, 1, 0},   {5, 7, 5, 30},
                  {7, 16, 20, 16}, {15, 8, 3, 24}, {64, 4, 64, 0}};
  w.run_ahead = TPO_RUN_AHEAD_NEVER;
  struct tpo_samples expected = run_plainly();
  w.run_ahead = TPO_RUN_AHEAD_ALWAYS;
  for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
    w.sampling.slots = settings[i].slots;
    size_t block = (size_t)(2 * 4 * 2 * 2 * 8 * settings[i].block_tokens);
    struct tpo_samples got = run((struct tpo_engine_options){.block_tokens = settings[i].block_tokens,
                                                             .prefill_chunk = settings[i].prefill_chunk,
                                                             .kv_bytes = settings[i].kv_blocks * block});
    assert_same(&expected, &got);
    tpo_samples_free(&got);
  }
  tpo_samples_free(&expected);
}

static int count_finishes(enum tpo_finish finish)
{
  struct tpo_samples samples = run_plainly();
  int n = 0;
  for (size_t i = 0; i < samples.n; i++) n += samples.rows[i].finish == finish;
  tpo_samples_free(&samples);
  return n;
}

static void running_ahead_changes_nothing_where_end_tokens_come(void **state)
{
  (void)state;
  w.sampling.max_tokens = 75;
  w.requests[2].max_tokens = 1;
  w.requests[3].max_tokens = 2;
  assert_true(count_finishes(TPO_FINISH_STOP) > 0);
  compare_run_ahead();
}

static void running_ahead_changes_nothing_where_stop_strings_come(void **state)
{
  (void)state;
  char *stops[] = {(char *)"a", (char *)"b", (char *)"c", (char *)"k", (char *)"1",
                   (char *)"Q", (char *)"e", (char *)" ", (char *)"!", (char *)"x"};
  w.sampling.stop = stops;
  w.sampling.n_stop = 10;
  assert_true(count_finishes(TPO_FINISH_STOP_STRING) > 5);
  compare_run_ahead();
}

static void running_ahead_changes_nothing_where_markers_are_forced(void **state)
{
  (void)state;
  char *stops[] = {(char *)"a", (char *)"k", (char *)"1", (char *)"Q"};
  w.sampling.stop = stops;
  w.sampling.n_stop = 4;
  w.sampling.max_tokens = 90;
  for (int thought = 1; thought < 60; thought += 19) {
    set_thought(true, thought, 12);
    compare_run_ahead();
  }
  set_thought(true, 70, 0); /* end tokens before it, so that the marker takes their place */
  compare_run_ahead();
  set_thought(false, 30, 3);
  compare_run_ahead();
  set_thought(true, 30, 10);
  w.thought.response_marker = (char *)"Z"; /* one token, which the model may draw itself */
  compare_run_ahead();
}

static void running_ahead_changes_nothing_at_the_end_of_the_context(void **state)
{
  (void)state;
  w.sampling.max_tokens = 500;
  assert_true(count_finishes(TPO_FINISH_CONTEXT) > 0);
  compare_run_ahead();
}

static void running_ahead_changes_nothing_when_greedy_or_penalised(void **state)
{
  (void)state;
  w.sampling.temperature = 0;
  compare_run_ahead();
  w.sampling.repetition_penalty = 1.3;
  compare_run_ahead();
}

static int64_t count_passes(enum tpo_run_ahead run_ahead)
{
  struct tpo_engine_stats stats;
  struct tpo_error err = {0};
  w.run_ahead = run_ahead;
  if (run_with((struct tpo_engine_options){0}, &stats, &err) < 0) fail_msg("%s", err.message);
  for (size_t i = 0; i < w.samples.n; i++) assert_int_equal(w.samples.rows[i].finish, TPO_FINISH_LENGTH);
  return stats.passes;
}

static void running_ahead_takes_no_pass_past_an_end_that_is_known(void **state)
{
  (void)state;
  w.sampling.slots = 1;
  w.sampling.max_tokens = 4;
  assert_int_equal(count_passes(TPO_RUN_AHEAD_ALWAYS), count_passes(TPO_RUN_AHEAD_NEVER));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(running_ahead_changes_nothing_where_end_tokens_come, reset),
      cmocka_unit_test_setup(running_ahead_changes_nothing_where_stop_strings_come, reset),
      cmocka_unit_test_setup(running_ahead_changes_nothing_where_markers_are_forced, reset),
      cmocka_unit_test_setup(running_ahead_changes_nothing_at_the_end_of_the_context, reset),
      cmocka_unit_test_setup(running_ahead_changes_nothing_when_greedy_or_penalised, reset),
      cmocka_unit_test_setup(running_ahead_takes_no_pass_past_an_end_that_is_known, reset),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
