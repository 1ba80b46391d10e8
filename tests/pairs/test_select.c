/* Selection of chosen and rejected outputs, with values worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tpo/pairs.h"

enum { MAX_ROWS = 64 };
static struct tpo_sample_row rows[MAX_ROWS];
static struct tpo_samples samples;
static struct tpo_pairs pairs;
static struct tpo_pair_statistics statistics;
static struct tpo_pairs_config config;
static struct tpo_pair_options options;

static const int32_t prompt_tokens[] = {5, 6, 7};
static const int32_t tokens[] = {1, 2, 3, 4};
static const uint8_t inserted[] = {0, 1, 1, 0};

static int set_up(void **state)
{
  (void)state;
  samples = (struct tpo_samples){.rows = rows, .is_scored = true};
  config = (struct tpo_pairs_config){
      .mode = TPO_PAIRS_BEST_WORST, .reject_failures = true, .max_failure_share = 1};
  options = (struct tpo_pair_options){.config = &config, .train_forced = true};
  statistics = (struct tpo_pair_statistics){0};
  return 0;
}

static int tear_down(void **state)
{
  (void)state;
  tpo_pairs_free(&pairs);
  return 0;
}

/* A sample of the prompt with a response of `length` two-byte characters. length < 0: its format failed. */
static struct tpo_sample_row *add(const char *prompt, double score, int length)
{
  static char texts[MAX_ROWS][512];
  struct tpo_sample_row *row = &rows[samples.n];
  bool same = samples.n > 0 && strcmp(rows[samples.n - 1].prompt_id, prompt) == 0;
  texts[samples.n][0] = '\0';
  for (int i = 0; i < length; i++) strcat(texts[samples.n], "é");
  *row = (struct tpo_sample_row){.prompt_id = prompt,
                                 .k = same ? rows[samples.n - 1].k + 1 : 0,
                                 .response = texts[samples.n],
                                 .format_ok = length >= 0,
                                 .scored = length >= 0,
                                 .score = length >= 0 ? score : 0,
                                 .prompt_ids = prompt_tokens,
                                 .n_prompt = 3,
                                 .token_ids = tokens,
                                 .inserted = inserted,
                                 .n_tokens = 4};
  samples.n++;
  return row;
}

static void run(void)
{
  struct tpo_error err = {0};
  tpo_pairs_free(&pairs);
  if (tpo_select_pairs(&pairs, &samples, &options, &statistics, &err) < 0) fail_msg("%s", err.message);
  assert_int_equal(statistics.pairs, pairs.n);
}

static void refuse(int code, const char *expected)
{
  struct tpo_error err = {0};
  assert_int_equal(tpo_select_pairs(&pairs, &samples, &options, &statistics, &err), code);
  if (!strstr(err.message, expected)) fail_msg("'%s' does not tell '%s'", err.message, expected);
  assert_int_equal(pairs.n, 0);
}

static void expect_pair(size_t i, int chosen, int rejected)
{
  assert_true(i < pairs.n);
  assert_int_equal(pairs.rows[i].chosen_row, chosen);
  assert_int_equal(pairs.rows[i].rejected_row, rejected);
}

static void assert_close(double x, double y)
{
  if (!(fabs(x - y) <= 1e-12)) fail_msg("%.17g is not %.17g", x, y);
}

/* What the rule alone says, whatever the configuration. */
static void expect_penalty(double expected, bool met)
{
  struct tpo_error err = {0};
  bool automatic = config.length_auto, found_met = !met;
  double rho = -1;
  config.length_auto = false;
  if (tpo_find_length_penalty(&samples, &options, &rho, &found_met, &err) < 0) fail_msg("%s", err.message);
  config.length_auto = automatic;
  assert_close(rho, expected);
  assert_int_equal(found_met, met);
}

static void a_pair_is_of_its_samples_step(void **state)
{
  (void)state;
  add("a", 2, 5)->step = 7, add("a", 4, 5)->step = 7;
  add("b", 2, 5)->step = 8, add("b", 4, 5)->step = 8;
  run();
  assert_int_equal(pairs.n, 2);
  for (int i = 0; i < 2; i++) assert_int_equal(pairs.rows[i].step, 7 + i);
}

static void best_and_worst_score_make_the_pair(void **state)
{
  (void)state;
  add("a", 2, 5), add("a", 4, 5), add("a", 1, 5), add("a", 3, 5);
  run();
  assert_int_equal(pairs.n, 1);
  expect_pair(0, 1, 2);
  assert_string_equal(pairs.rows[0].prompt_id, "a");
  assert_close(pairs.rows[0].chosen_score, 4);
  assert_close(pairs.rows[0].rejected_score, 1);
  /* Mean 2.5, population variance 1.25: z = 1.5 / sqrt(1.25) and -1.5 / sqrt(1.25). */
  assert_close(pairs.rows[0].margin, 3 / sqrt(1.25));
  assert_true(isnan(pairs.rows[0].chosen_ref_logprob) && isnan(pairs.rows[0].rejected_ref_logprob));
  assert_int_equal(pairs.rows[0].n_prompt, 3);
  assert_memory_equal(pairs.rows[0].prompt_ids, prompt_tokens, sizeof prompt_tokens);
  assert_memory_equal(pairs.rows[0].rejected_ids, tokens, sizeof tokens);
}

/* Scores 1 2 3, lengths 1 4 16: z(score) = -1.2247, 0, 1.2247 (variance 2/3);
 * lengths: mean 7, variance (36 + 9 + 81) / 3 = 42, z = -6/sqrt(42), -3/sqrt(42), 9/sqrt(42). */
static void length_control_subtracts_rho_times_z_of_length(void **state)
{
  (void)state;
  add("a", 1, 1), add("a", 2, 4), add("a", 3, 16);
  config.length_penalty = 0.5;
  run();
  double z = 1 / sqrt(2.0 / 3), high = z - 0.5 * 9 / sqrt(42), low = -z + 0.5 * 6 / sqrt(42);
  expect_pair(0, 2, 0);
  assert_close(pairs.rows[0].margin, high - low);
  assert_close(statistics.mean_chosen_length, 16); /* characters, not bytes */
  assert_close(statistics.mean_rejected_length, 1);
  assert_close(statistics.rho, 0.5);
}

/* Scores 9 10 0, lengths 2 40 20. Without control the second is chosen, with rho 0.5 the first. */
static void length_control_can_change_the_choice(void **state)
{
  (void)state;
  add("a", 9, 2), add("a", 10, 40), add("a", 0, 20);
  run();
  expect_pair(0, 1, 2);
  config.length_penalty = 0.5;
  run();
  expect_pair(0, 0, 2);
}

/* The same lengths in tokens, while the characters are all alike. */
static void length_control_can_count_tokens(void **state)
{
  (void)state;
  static const int32_t many[50] = {0};
  static const int counts[] = {2, 40, 20};
  add("a", 9, 7), add("a", 10, 7), add("a", 0, 7);
  for (int i = 0; i < 3; i++) {
    rows[i].token_ids = many;
    rows[i].inserted = NULL;
    rows[i].n_thought_tokens = i;
    rows[i].finish = i == 0 ? TPO_FINISH_STOP : TPO_FINISH_LENGTH; /* an end token is none of the response */
    rows[i].n_tokens = i + counts[i] + (i == 0);
  }
  config.length_penalty = 0.5;
  run();
  expect_pair(0, 1, 2);
  assert_close(statistics.mean_chosen_tokens, 40);
  assert_close(statistics.mean_rejected_tokens, 20);
  config.length_unit = TPO_LENGTH_TOKENS;
  run();
  expect_pair(0, 0, 2);
  assert_close(statistics.mean_chosen_length, 7);
  assert_close(statistics.mean_chosen_tokens, 2);
  double z = 1 / sqrt((pow(8.0 / 3, 2) + pow(11.0 / 3, 2) + pow(19.0 / 3, 2)) / 3), mean = 62.0 / 3,
         deviation = sqrt((pow(2 - mean, 2) + pow(40 - mean, 2) + pow(20 - mean, 2)) / 3);
  assert_close(pairs.rows[0].margin, 9 * z - 0.5 * (2 - 20) / deviation);
  config.length_auto = true; /* balances what it controls */
  run();
  assert_close(statistics.rho, 0.1);
  config.length_unit = TPO_LENGTH_CHARACTERS;
  run();
  assert_close(statistics.rho, 0);
}

static void auto_takes_the_smallest_rho_that_balances_lengths(void **state)
{
  (void)state;
  add("a", 9, 2), add("a", 10, 40), add("a", 0, 20);
  config.length_auto = true;
  config.length_penalty = 99; /* not looked at */
  run();
  /* The first overtakes the second when rho * (z(40) - z(2)) > z(10) - z(9): variances 20.22 and 240.9, so
   * rho > 0.2224 / 2.4484 = 0.0908. */
  assert_close(statistics.rho, 0.1);
  config.length_penalty = 0;
  expect_penalty(0.1, true);
  expect_pair(0, 0, 2);
  assert_true(statistics.mean_chosen_length <= statistics.mean_rejected_length);
}

static void auto_is_zero_when_nothing_needs_control(void **state)
{
  (void)state;
  add("a", 1, 10), add("a", 0, 20);
  config.length_auto = true;
  run();
  assert_close(statistics.rho, 0);
  expect_pair(0, 0, 1);
}

static void auto_stops_at_one_half(void **state)
{
  (void)state;
  add("a", 1, 50), add("a", 0, 10); /* z +-1 both: the order turns only at rho 1 */
  config.length_auto = true;
  run();
  assert_close(statistics.rho, 0.5);
  expect_penalty(0.5, false);
  expect_pair(0, 0, 1);
}

static void ties_and_single_values_are_skipped_and_counted(void **state)
{
  (void)state;
  add("single", 2, 5), add("single", 2, 9);
  add("pair", 1, 5), add("pair", 0, 5);
  add("alone", 1, 5);
  run();
  assert_int_equal(pairs.n, 1);
  expect_pair(0, 2, 3);
  assert_int_equal(statistics.prompts, 3);
  assert_int_equal(statistics.single_valued, 1);
  assert_int_equal(statistics.too_few, 1);
  assert_int_equal(statistics.ties, 0);
}

/* Scores 1 0 0 and lengths 3 1 3, rho 0.5: z(score) = 1.4142 -0.7071 -0.7071, z(length) = 0.7071 -1.4142
 * 0.7071. */
static void equal_scores_take_the_lowest_k(void **state)
{
  (void)state;
  add("a", 1, 5), add("a", 1, 5), add("a", 0, 5), add("a", 0, 5);
  run();
  expect_pair(0, 0, 2);
}

/* Forty scores, half 1 (z 1) and half 0 (z -1), all lengths 1 but one of a 1, whose z is sqrt(39): with rho
 * 0.5 it comes last, at 1 - 3.12. The first and the last then have the same raw score. */
static void equal_raw_scores_are_a_tie_whatever_the_lengths(void **state)
{
  (void)state;
  for (int i = 0; i < 40; i++) add("a", i % 2, i == 7 ? 200 : 1);
  config.length_penalty = 0.5;
  run();
  assert_int_equal(pairs.n, 0);
  assert_int_equal(statistics.ties, 1);
  assert_int_equal(statistics.single_valued, 0);
  rows[7].score = 1.1; /* now length control puts a higher raw score last: below any margin */
  run();
  assert_int_equal(pairs.n, 0);
  assert_int_equal(statistics.below_margin, 1);
}

static void the_margin_is_exclusive_and_of_raw_scores(void **state)
{
  (void)state;
  add("a", 1, 5), add("a", 0.5, 5);
  add("b", 1, 5), add("b", 0.25, 5);
  config.margin = 0.5;
  run();
  assert_int_equal(pairs.n, 1);
  expect_pair(0, 2, 3);
  assert_int_equal(statistics.below_margin, 1);
}

static void format_failures_are_only_ever_rejected(void **state)
{
  (void)state;
  add("a", 3, 5), add("a", 0, -1), add("a", 9, 7), add("a", 0, -1), add("a", -5, 5);
  add("none", 0, -1), add("none", 0, -1);
  add("one", 1, 4), add("one", 0, -1);
  add("same", 1, 4), add("same", 1, 4), add("same", 0, -1);
  run();
  assert_int_equal(pairs.n, 3);
  expect_pair(0, 2, 1); /* the lowest k of the failures, not the worst score */
  expect_pair(1, 7, 8);
  expect_pair(2, 9, 11); /* no tie: a failure has no score */
  assert_true(isnan(pairs.rows[0].rejected_score) && isnan(pairs.rows[0].margin));
  assert_close(pairs.rows[0].chosen_score, 9);
  assert_int_equal(statistics.parse_failures, 6);
  assert_int_equal(statistics.rejected_parse_failures, 3);
  assert_int_equal(statistics.too_few, 1);
  assert_true(isnan(statistics.mean_chosen_length)); /* no pair of two responses */
}

static void format_failures_can_be_left_out(void **state)
{
  (void)state;
  add("a", 3, 5), add("a", 0, -1), add("a", 9, 7), add("a", -5, 5);
  add("one", 1, 4), add("one", 0, -1);
  add("same", 1, 4), add("same", 1, 4), add("same", 0, -1);
  config.reject_failures = false;
  run();
  assert_int_equal(pairs.n, 1);
  expect_pair(0, 2, 3);
  assert_int_equal(statistics.parse_failures, 3);
  assert_int_equal(statistics.rejected_parse_failures, 0);
  assert_int_equal(statistics.too_few, 1);
  assert_int_equal(statistics.single_valued, 1);
}

/* A failure's length and score must not enter z: scores 0 and 1 give z -1 and 1 whatever else is there. */
static void format_failures_take_no_part_in_z(void **state)
{
  (void)state;
  add("a", 0, 5), add("a", 1, 9), add("a", 0, -1);
  config.mode = TPO_PAIRS_ALL;
  config.length_penalty = 0.25;
  run();
  assert_int_equal(pairs.n, 2);
  expect_pair(0, 1, 2);
  expect_pair(1, 1, 0);
  assert_close(pairs.rows[1].margin, 2 - 0.25 * 2);
  assert_close(statistics.mean_chosen_length, 9);
}

static void prompts_with_an_unscored_response_are_skipped_and_counted(void **state)
{
  (void)state;
  add("a", 1, 5), add("a", 0, 5), add("b", 1, 5), add("b", 9, 5)->scored = false, add("b", 0, 5),
                                                              add("b", 0, -1);
  run();
  assert_int_equal(pairs.n, 1);
  expect_pair(0, 0, 1);
  assert_int_equal(statistics.unjudged, 1);
  assert_int_equal(statistics.unscored, 1);
  config.mode = TPO_PAIRS_ALL;
  run();
  assert_int_equal(pairs.n, 1);
}

static void empty_samples_are_left_out_and_counted(void **state)
{
  (void)state;
  add("a", 1, 5), add("a", 0, 5), add("a", -9, 5)->n_tokens = 0;
  struct tpo_sample_row *forced = add("a", -9, 5);
  static const uint8_t all_inserted[] = {1, 1, 1, 1};
  forced->inserted = all_inserted;
  run();
  expect_pair(0, 0, 1);
  assert_int_equal(statistics.no_tokens, 2);
}

static void all_mode_pairs_everything_above_the_margin(void **state)
{
  (void)state;
  add("a", 0, 5), add("a", 3, 5), add("a", 1, 5), add("a", 3, 5);
  config.mode = TPO_PAIRS_ALL;
  config.margin = 1;
  run(); /* differences: 3-0 twice, 3-1 twice, 1-0 (not above) and 3-3 */
  assert_int_equal(pairs.n, 4);
  expect_pair(0, 1, 0);
  expect_pair(1, 3, 0);
  expect_pair(2, 1, 2);
  expect_pair(3, 3, 2);
  assert_true(pairs.rows[0].margin > pairs.rows[2].margin);
  config.max_pairs_per_prompt = 3;
  run();
  assert_int_equal(pairs.n, 3);
  expect_pair(2, 1, 2);
  add("a", 0, -1), add("a", 0, -1);
  run();
  assert_int_equal(pairs.n, 3); /* failures first */
  expect_pair(0, 1, 4);
  expect_pair(1, 1, 5);
  expect_pair(2, 1, 0);
  config.margin = 3;
  samples.n = 4;
  run();
  assert_int_equal(pairs.n, 0);
  assert_int_equal(statistics.below_margin, 1);
}

static void inserted_tokens_carry_loss_in_the_chosen_output_only(void **state)
{
  (void)state;
  static const uint8_t all[] = {1, 1, 1, 1}, sampled[] = {1, 0, 0, 1};
  add("a", 1, 5), add("a", 0, 5);
  run();
  assert_memory_equal(pairs.rows[0].chosen_mask, all, 4);
  assert_memory_equal(pairs.rows[0].rejected_mask, sampled, 4);
  options.train_forced = false;
  tpo_pairs_free(&pairs);
  assert_int_equal(tpo_select_pairs(&pairs, &samples, &options, NULL, NULL), 0);
  assert_memory_equal(pairs.rows[0].chosen_mask, sampled, 4);
  assert_memory_equal(pairs.rows[0].rejected_mask, sampled, 4);
  rows[0].inserted = NULL; /* nothing was inserted */
  tpo_pairs_free(&pairs);
  assert_int_equal(tpo_select_pairs(&pairs, &samples, &options, NULL, NULL), 0);
  assert_memory_equal(pairs.rows[0].chosen_mask, all, 4);
}

/* Four tokens, of which the second and third were inserted where they are there. */
static void tokens_behind_what_was_judged_carry_no_loss(void **state)
{
  (void)state;
  static const uint8_t two[] = {1, 1, 0, 0}, one[] = {1, 0, 0, 0}, all[] = {1, 1, 1, 1};
  add("a", 1, 5)->n_unjudged_tokens = 2;
  add("a", 0, 5)->n_unjudged_tokens = 1;
  run();
  assert_memory_equal(pairs.rows[0].chosen_mask, two, 4);
  assert_memory_equal(pairs.rows[0].rejected_mask, one, 4);
  assert_int_equal(pairs.rows[0].n_chosen, 4); /* the tokens themselves stay */
  assert_int_equal(statistics.unjudged_tokens, 3);
  rows[0].n_unjudged_tokens = 0; /* an end token, or the budget: all of it was judged */
  run();
  assert_memory_equal(pairs.rows[0].chosen_mask, all, 4);
  assert_int_equal(statistics.unjudged_tokens, 1);
}

static void a_sample_without_a_judged_token_is_left_out(void **state)
{
  (void)state;
  add("a", 5, 5)->n_unjudged_tokens = 4;
  add("a", 1, 5), add("a", 0, 5);
  run();
  expect_pair(0, 1, 2);
  assert_int_equal(statistics.no_tokens, 1);
}

static void one_sample_a_prompt_is_refused(void **state)
{
  (void)state;
  add("a", 1, 5), add("b", 0, 5);
  refuse(TPO_E_USAGE, "K = 1");
}

static void settings_out_of_range_are_refused(void **state)
{
  (void)state;
  add("a", 1, 5), add("a", 0, 5);
  static const double wrong[] = {-0.01, 0.51, NAN, INFINITY};
  for (size_t i = 0; i < 4; i++) {
    config.length_penalty = wrong[i];
    refuse(TPO_E_USAGE, "length_penalty");
  }
  config.length_penalty = 0;
  config.margin = -1;
  refuse(TPO_E_USAGE, "margin");
  config.margin = NAN;
  refuse(TPO_E_USAGE, "margin");
  config.margin = 0;
  for (size_t i = 0; i < 4; i++) {
    config.max_failure_share = i == 1 ? 1.01 : wrong[i];
    refuse(TPO_E_USAGE, "max_failure_share");
  }
  config.max_failure_share = 1;
  config.max_pairs_per_prompt = -1;
  refuse(TPO_E_USAGE, "max_pairs_per_prompt");
}

static void bad_samples_are_refused(void **state)
{
  (void)state;
  static const int32_t other_prompt[] = {5, 6, 8};
  add("a", 1, 5), add("a", 0, 5), add("b", 1, 5), add("a", 0, 5);
  refuse(TPO_E_INPUT, "grouped");
  samples.n = 2;
  rows[1].prompt_ids = other_prompt;
  refuse(TPO_E_INPUT, "sample 1 differ from those of sample 0");
  rows[1].prompt_ids = prompt_tokens;
  rows[1].n_prompt = 0;
  refuse(TPO_E_INPUT, "prompt tokens");
  rows[1].n_prompt = 3;
  rows[1].score = NAN;
  refuse(TPO_E_NUMERIC, "finite");
  rows[1].score = 0;
  samples.is_scored = false;
  refuse(TPO_E_INPUT, "no scores");
}

static void pairs_tell_how_long_outputs_could_have_been(void **state)
{
  (void)state;
  add("a", 1, 5), add("a", 0, 8);
  samples.output_tokens = 60;
  run();
  assert_int_equal(pairs.output_tokens, 60);
}

static void no_samples_give_no_pairs(void **state)
{
  (void)state;
  config.length_auto = true;
  run();
  assert_int_equal(pairs.n, 0);
  assert_int_equal(statistics.prompts, 0);
}

static void statistics_are_written_as_json(void **state)
{
  (void)state;
  add("a", 1, 5), add("a", 0, 8);
  run();
  char *json = tpo_pair_statistics_json(&statistics);
  assert_string_equal(
      json, "{\"prompts\":1,\"pairs\":1,\"ties\":0,\"single_valued\":0,\"too_few\":0,\"below_margin\":0,"
            "\"unjudged\":0,\"unscored\":0,\"no_tokens\":0,\"unjudged_tokens\":0,\"parse_failures\":0,"
            "\"rejected_parse_failures\":0,\"failures_passed_over\":0,\"rho\":0.0,\"mean_chosen_length\":5.0,"
            "\"mean_rejected_length\":8.0,\"mean_chosen_tokens\":3.0,\"mean_rejected_tokens\":3.0}");
  free(json);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(best_and_worst_score_make_the_pair),
      TEST(a_pair_is_of_its_samples_step),
      TEST(length_control_subtracts_rho_times_z_of_length),
      TEST(length_control_can_change_the_choice),
      TEST(length_control_can_count_tokens),
      TEST(auto_takes_the_smallest_rho_that_balances_lengths),
      TEST(auto_is_zero_when_nothing_needs_control),
      TEST(auto_stops_at_one_half),
      TEST(ties_and_single_values_are_skipped_and_counted),
      TEST(equal_scores_take_the_lowest_k),
      TEST(equal_raw_scores_are_a_tie_whatever_the_lengths),
      TEST(the_margin_is_exclusive_and_of_raw_scores),
      TEST(format_failures_are_only_ever_rejected),
      TEST(format_failures_can_be_left_out),
      TEST(format_failures_take_no_part_in_z),
      TEST(prompts_with_an_unscored_response_are_skipped_and_counted),
      TEST(empty_samples_are_left_out_and_counted),
      TEST(all_mode_pairs_everything_above_the_margin),
      TEST(inserted_tokens_carry_loss_in_the_chosen_output_only),
      TEST(tokens_behind_what_was_judged_carry_no_loss),
      TEST(a_sample_without_a_judged_token_is_left_out),
      TEST(one_sample_a_prompt_is_refused),
      TEST(settings_out_of_range_are_refused),
      TEST(bad_samples_are_refused),
      TEST(pairs_tell_how_long_outputs_could_have_been),
      TEST(no_samples_give_no_pairs),
      TEST(statistics_are_written_as_json),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
