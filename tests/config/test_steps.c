/* Steps between samplings (run.sync_steps): what its keys mean together, and what is refused, with its line. */
#include "unit.h"
#include "tpo/config.h"

static int load(struct tpo_config *config, const char *yaml, char **report)
{
  struct tpo_error err = {0};
  tpo_config_default(config);
  return tpo_config_load_text(config, yaml, strlen(yaml), "c.yaml", report, &err);
}

/* What is said of YAML over the defaults, when it is read or, then, of several keys; NULL when nothing. */
static char *told(const char *yaml)
{
  struct tpo_config config;
  struct tpo_error err = {0};
  char *report = NULL;
  if (load(&config, yaml, &report) == 0) tpo_config_check(&config, TPO_CHECK_ALL, &report, &err);
  tpo_config_free(&config);
  return report;
}

/* One problem, at its line, in these words. */
static void refused(const char *yaml, const char *expected)
{
  char *report = told(yaml), *end = report ? strchr(report, '\n') : NULL;
  if (!report || strncmp(report, expected, strlen(expected)) != 0 || (end && end[1]))
    fail_msg("%s gave \"%s\", not \"%s\"", yaml, report ? report : "nothing", expected);
  free(report);
}

static void accepted(const char *yaml)
{
  char *report = told(yaml);
  if (report) fail_msg("%s gave \"%s\"", yaml, report);
}

static void steps_must_be_told_and_reach_one_sampling(void **state)
{
  (void)state;
  refused("run:\n  sync_steps: 10",
          "default: run.steps is 0: with run.sync_steps the steps of the whole run");
  refused("run: {sync_steps: 10,\n  steps: 0}", "c.yaml:2: run.steps is 0: ");
  refused("run:\n  steps: 9\n  sync_steps: 10",
          "c.yaml:3: run.sync_steps is 10, more than the 9 steps of the run (run.steps)");
  accepted("run: {steps: 10, sync_steps: 10}");
  accepted("run: {steps: 25, sync_steps: 10}"); /* the last segment is shorter */
  refused("run:\n  sync_steps: -1",
          "c.yaml:2: run.sync_steps: expected an integer from 0 to 1000000, not \"-1\"");
  refused("run:\n  steps: 1.5", "c.yaml:2: run.steps: expected an integer from 0 ");
  refused("run:\n  rho_window: 0", "c.yaml:2: run.rho_window: expected an integer from 1 ");
}

static void what_follows_from_the_steps_can_not_be_given_otherwise(void **state)
{
  (void)state;
  refused(
      "run:\n  sync_steps: 5\n  steps: 20\n  iterations: 4",
      "c.yaml:4: run.iterations is 4 beside run.steps: with run.sync_steps, run.steps alone says how long");
  accepted("run: {sync_steps: 5, steps: 20, checkpoint_steps: 5, iterations: 4}");
  refused(
      "run: {sync_steps: 5, steps: 20}\ndata: {prompts_per_iteration: 100}\ntrain: {batch: 8}",
      "c.yaml:2: data.prompts_per_iteration is 100: with run.sync_steps each step takes train.batch prompts");
  accepted("run: {sync_steps: 5, steps: 20}\ndata: {prompts_per_iteration: 160}\ntrain: {batch: 8}");
  refused("run: {sync_steps: 5, steps: 20}\ntrain:\n  epochs: 2",
          "c.yaml:3: train.epochs is 2: with run.sync_steps each pair is trained on once");
  refused("run: {sync_steps: 5, steps: 20}\npairs:\n  mode: all",
          "c.yaml:3: pairs.mode: with run.sync_steps a prompt makes one pair, best-worst");
  refused("run: {sync_steps: 5, steps: 20}\npairs: {length_penalty: auto}\nsampling: {k: 1}",
          "c.yaml:3: sampling.k is 1: a pair needs at least 2 samples");
}

static void samples_are_fresh_at_each_checkpoint_and_reference(void **state)
{
  (void)state;
  refused("run:\n  sync_steps: 10\n  steps: 100\n  checkpoint_steps: 25",
          "c.yaml:4: run.checkpoint_steps is 25, which run.sync_steps, 10, doesn't divide");
  accepted("run: {sync_steps: 10, steps: 100, checkpoint_steps: 30}");
  accepted("run: {sync_steps: 10, steps: 100, checkpoint_steps: 100}");
  refused("run:\n  sync_steps: 10\n  steps: 100\n  checkpoint_steps: 110",
          "c.yaml:4: run.checkpoint_steps is 110, more than the 100 steps of the run (run.steps)");
  refused("run:\n  sync_steps: 10\n  steps: 100\n  reference: every:25",
          "c.yaml:4: run.reference is every:25, which run.sync_steps, 10, doesn't divide");
  accepted("run: {sync_steps: 10, steps: 100, reference: every:20}");
  accepted("run: {sync_steps: 10, steps: 100, reference: start}");
  accepted("run: {sync_steps: 10, steps: 100, reference: previous}");
  refused("run:\n  sync_steps: 1\n  steps: 100000000\n  checkpoint_steps: 9999\ntrain: {batch: 1}",
          "c.yaml:4: run.checkpoint_steps is 9999: 100000000 steps would have more than 10000 checkpoints");
  refused(
      "run:\n  sync_steps: 1\n  steps: 50000001\ntrain: {batch: 2}",
      "c.yaml:3: run.steps is 50000001: of train.batch, 2, they would take more than 100000000 instructions");
}

static void keys_of_steps_have_no_meaning_without_them(void **state)
{
  (void)state;
  refused("run:\n  steps: 10", "c.yaml:2: run.steps is 10, but run.sync_steps is 0");
  refused("run:\n  checkpoint_steps: 10", "c.yaml:2: run.checkpoint_steps is 10, but run.sync_steps is 0");
  refused("run:\n  rho_window: 100", "c.yaml:2: run.rho_window is 100, but run.sync_steps is 0");
  refused("run:\n  reference: every:5",
          "c.yaml:2: run.reference is every:5, but run.sync_steps is 0: expected previous or start");
  accepted("run: {sync_steps: 0, steps: 0, checkpoint_steps: 0, rho_window: 256}");
}

static void a_reference_is_one_of_three_words(void **state)
{
  (void)state;
  static const char expected[] =
      "c.yaml:1: run.reference: expected previous, start (or seed) or every:N with a number of steps from 1 on, not ";
  static const char *const wrong[] = {"every:0",    "'every:'", "every:-1", "every:1.5", "every:2147483648",
                                      "'every: 5'", "every",    "every:5x", "every:+5",  "Start",
                                      "every:1e1",  "''",       "seeds",    "5",         "every:0x5"};
  char yaml[80];
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    snprintf(yaml, sizeof yaml, "run: {steps: 10, sync_steps: 5, reference: %s}", wrong[i]);
    refused(yaml, expected);
  }
  static const struct {
    const char *word;
    enum tpo_reference reference;
    int every;
  } right[] = {{"previous", TPO_REFERENCE_PREVIOUS, 0},
               {"start", TPO_REFERENCE_START, 0},
               {"seed", TPO_REFERENCE_START, 0},
               {"every:1", TPO_REFERENCE_EVERY, 1},
               {"'every:2147483647'", TPO_REFERENCE_EVERY, 2147483647}};
  for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
    struct tpo_config config;
    snprintf(yaml, sizeof yaml, "run: {reference: %s}", right[i].word);
    assert_int_equal(load(&config, yaml, NULL), 0);
    assert_int_equal(config.run.reference, right[i].reference);
    assert_int_equal(config.run.reference_every, right[i].every);
    tpo_config_free(&config);
  }
}

/* As a program may fill it: 0 would be divided by. */
static void every_needs_its_number_in_a_struct_too(void **state)
{
  (void)state;
  struct tpo_config config;
  struct tpo_error err = {0};
  char *report = NULL;
  assert_int_equal(load(&config, "run: {steps: 10, sync_steps: 5}", NULL), 0);
  config.run.reference = TPO_REFERENCE_EVERY;
  assert_int_equal(tpo_config_check(&config, TPO_CHECK_ALL, &report, &err), TPO_E_USAGE);
  assert_contains(report, "run.reference: expected previous, start (or seed) or every:N");
  assert_contains(report, "not every:0");
  free(report);
  tpo_config_free(&config);
}

static void intervals_and_prompts_follow(void **state)
{
  (void)state;
  static const struct {
    int steps, checkpoint, interval, iterations;
  } cases[] = {{100, 0, 100, 1}, {100, 20, 20, 5}, {100, 30, 30, 4}, {100, 100, 100, 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_config config;
    char yaml[120];
    snprintf(yaml, sizeof yaml, "run: {sync_steps: 10, steps: %d, checkpoint_steps: %d}\ntrain: {batch: 3}",
             cases[i].steps, cases[i].checkpoint);
    assert_int_equal(load(&config, yaml, NULL), 0);
    assert_int_equal(tpo_run_interval(&config.run), cases[i].interval);
    assert_int_equal(tpo_run_iterations(&config.run), cases[i].iterations);
    assert_int_equal(tpo_config_prompts_per_iteration(&config), 3 * cases[i].interval);
    tpo_config_free(&config);
  }
  struct tpo_config config;
  tpo_config_default(&config);
  assert_int_equal(tpo_run_iterations(&config.run), config.run.iterations);
  assert_int_equal(tpo_config_prompts_per_iteration(&config), config.data.prompts_per_iteration);
  tpo_config_free(&config);
}

/* `tpo config`'s output is a configuration: what follows from the steps stands in it as it is. */
static void an_effective_configuration_reads_back_the_same(void **state)
{
  (void)state;
  struct tpo_config config, again;
  struct tpo_error err = {0};
  char *report = NULL;
  assert_int_equal(
      load(&config,
           "run: {sync_steps: 10, steps: 95, checkpoint_steps: 30, reference: every:20, rho_window: 64}\n"
           "train: {batch: 4}",
           NULL),
      0);
  char *first = tpo_config_print(&config, true), *plain = tpo_config_print(&config, false);
  assert_contains(plain, "  iterations: 4\n");
  assert_contains(plain, "  prompts_per_iteration: 120\n");
  assert_contains(plain, "  reference: every:20\n");
  if (load(&again, first, &report) < 0) fail_msg("%s", report);
  if (tpo_config_check(&again, TPO_CHECK_ALL, &report, &err) < 0) fail_msg("%s", report);
  char *second = tpo_config_print(&again, false);
  assert_string_equal(plain, second);
  free(first);
  free(plain);
  free(second);
  tpo_config_free(&config);
  tpo_config_free(&again);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(steps_must_be_told_and_reach_one_sampling),
      cmocka_unit_test(what_follows_from_the_steps_can_not_be_given_otherwise),
      cmocka_unit_test(samples_are_fresh_at_each_checkpoint_and_reference),
      cmocka_unit_test(keys_of_steps_have_no_meaning_without_them),
      cmocka_unit_test(a_reference_is_one_of_three_words),
      cmocka_unit_test(every_needs_its_number_in_a_struct_too),
      cmocka_unit_test(intervals_and_prompts_follow),
      cmocka_unit_test(an_effective_configuration_reads_back_the_same),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
