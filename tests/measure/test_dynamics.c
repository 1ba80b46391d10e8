/* Quartiles, standard errors, repetition, lengths in pairs, and the paired difference of two models. */
#include "measure/rows.h"
#include "measure/dynamics.h"
#include "tpo/checks.h"
#include "tpo/measure.h"

static void quartiles_are_those_of_numpy(void **state)
{
  (void)state;
  double odd[] = {5, 1, 4, 2, 3}, even[] = {10, 1, 7, 2}, one[] = {3};
  struct quartiles q = quartiles_of(odd, 5);
  assert_near(q.q25, 2);
  assert_near(q.q50, 3);
  assert_near(q.q75, 4);
  q = quartiles_of(even, 4);
  assert_near(q.q25, 1.75);
  assert_near(q.q50, 4.5);
  assert_near(q.q75, 7.75);
  q = quartiles_of(one, 1);
  assert_near(q.q25, 3);
  assert_near(q.q75, 3);
  q = quartiles_of(NULL, 0);
  assert_true(isnan(q.q25) && isnan(q.q50) && isnan(q.q75));
}

static void a_standard_error_needs_two_values(void **state)
{
  (void)state;
  double se, values[] = {1, 2, 3, 6};
  assert_near(mean_and_error(values, 4, &se), 3);
  assert_near(se, sqrt(14.0 / 3 / 4));
  assert_near(mean_and_error(values, 1, &se), 1);
  assert_true(isnan(se));
  assert_true(isnan(mean_and_error(values, 0, &se)));
}

static void spreads_are_over_outputs_and_over_prompts(void **state)
{
  (void)state;
  struct tpo_samples samples = {0};
  struct tpo_error err = {0};
  struct sample_dynamics d;
  SKETCH(&samples, ROW("a", 1, "one two three", 4, 10), ROW("a", NAN, NULL, 0, 30), ROW("b", 5, "x", 6, 10),
         ROW("b", 7, "y", 2, 6));
  assert_int_equal(sample_dynamics(&samples, -1, &d, &err), 0);
  assert_near(d.thought_tokens.q50, 3);  /* 0 2 4 6 */
  assert_near(d.response_tokens.q25, 4); /* 4 4 6 30 */
  assert_near(d.response_tokens.q75, 12);
  assert_near(d.score.q50, 3);  /* prompts: (1 - 1) / 2 and 6 */
  assert_near(d.scored.q25, 3); /* outputs that have a score: 1 5 7, as the mean of tpo_summarize */
  assert_near(d.scored.q75, 6);
  assert_near(d.score_se, 3);
  assert_near(d.repetition, 0);
  tpo_samples_free(&samples);
}

static void a_failed_judgement_is_no_number(void **state)
{
  (void)state;
  struct tpo_samples samples = {0}, before = {0};
  struct tpo_error err = {0};
  struct sample_dynamics d;
  double difference, se, mean_before, mean_after;
  SKETCH(&samples, ROW("a", 10, "x", 0, 1), ROW("b", 10, "x", 0, 1), ROW("b", NAN, "x", 0, 1),
         ROW("c", 4, "x", 0, 1), ROW("c", NAN, NULL, 0, 1));
  SKETCH(&before, ROW("a", 8, "x", 0, 1), ROW("b", 0, "x", 0, 1), ROW("c", NAN, "x", 0, 1));
  assert_int_equal(sample_dynamics(&samples, -1, &d, &err), 0);
  assert_near(d.mean_score, (10 + 1.5) / 2); /* c: (4 - 1) / 2 */
  assert_int_equal(d.unjudged, 1);
  assert_int_equal(tpo_paired_difference(&before, &samples, -1, &difference, &se, &mean_before, &mean_after),
                   1);
  assert_near(difference, 2);
  tpo_samples_free(&samples);
  tpo_samples_free(&before);
}

static void repetition_is_the_judges_over_what_parses(void **state)
{
  (void)state;
  struct tpo_samples samples = {0};
  struct tpo_error err = {0};
  struct sample_dynamics d;
  const char *text = "the cat sat down, The cat sat down, the cat sat down";
  SKETCH(&samples, ROW("a", 1, text, 0, 1), ROW("a", NAN, NULL, 0, 1),
         ROW("a", 1, "Nothing twice here at all.", 0, 1));
  double expected = tpo_checks_repetition(text);
  assert_true(expected > 0.3);
  assert_int_equal(sample_dynamics(&samples, 0, &d, &err), 0);
  assert_near(d.repetition, expected / 2);
  tpo_samples_free(&samples);

  assert_int_equal(sample_dynamics(&samples, 0, &d, &err), 0); /* no samples at all */
  assert_true(isnan(d.repetition) && isnan(d.score.q50) && isnan(d.score_se) && isnan(d.scored.q50));
}

static void nothing_scored_has_no_mean(void **state)
{
  (void)state;
  struct tpo_samples samples = {0};
  struct tpo_error err = {0};
  struct sample_dynamics d;
  struct tpo_sample_summary s;
  SKETCH(&samples, ROW("a", NAN, NULL, 4, 10), ROW("a", NAN, NULL, 0, 30));
  assert_int_equal(sample_dynamics(&samples, -1, &d, &err), 0);
  tpo_summarize(&samples, &s);
  assert_int_equal(s.scored, 0);
  assert_true(isnan(s.mean_score) && isnan(s.best_score) && isnan(s.worst_score) && isnan(d.scored.q25));
  assert_near(s.mean_thought_tokens, 2);
  tpo_samples_free(&samples);
}

static void lengths_are_compared_where_both_outputs_parse(void **state)
{
  (void)state;
  struct tpo_samples samples = {0};
  struct tpo_error err = {0};
  struct length_difference d;
  SKETCH(&samples, ROW("a", 1, "äöü", 4, 10), ROW("a", 0, "12345678", 1, 10), ROW("a", NAN, NULL, 0, 40),
         ROW("b", 1, "123", 2, 3), ROW("b", 1, "1", 2, 9));
  struct tpo_pair_row rows[] = {{.chosen_row = 0, .rejected_row = 1},
                                {.chosen_row = 0, .rejected_row = 2},
                                {.chosen_row = 3, .rejected_row = 4}};
  struct tpo_pairs pairs = {.n = 3, .rows = rows};
  assert_int_equal(length_difference(&samples, &pairs, &d, &err), 0);
  assert_int_equal(d.pairs, 2);
  assert_near(d.chars, (-5 + 2) / 2.0);
  assert_near(d.tokens, (-3 - 6) / 2.0);

  pairs.n = 1;
  rows[0].rejected_row = 2;
  assert_int_equal(length_difference(&samples, &pairs, &d, &err), 0);
  assert_true(d.pairs == 0 && isnan(d.chars) && isnan(d.tokens));
  rows[0].rejected_row = 5;
  assert_int_equal(length_difference(&samples, &pairs, &d, &err), TPO_E_INPUT);
  assert_contains(err.message, "samples 0 and 5 of 5");
  tpo_samples_free(&samples);
}

static void the_paired_difference_matches_prompts(void **state)
{
  (void)state;
  struct tpo_samples before = {0}, after = {0};
  double difference, se, mean_before, mean_after;
  SKETCH(&before, ROW("a", 1, "x", 0, 1), ROW("a", 3, "x", 0, 1), ROW("b", 5, "x", 0, 1),
         ROW("only before", 100, "x", 0, 1), ROW("c", NAN, NULL, 0, 1));
  SKETCH(&after, ROW("c", 0.5, "x", 0, 1), ROW("a", 4, "x", 0, 1), ROW("b", 4, "x", 0, 1),
         ROW("only after", -100, "x", 0, 1));
  /* a: 2 to 4, b: 5 to 4, c: -1 to 0.5 */
  assert_int_equal(tpo_paired_difference(&before, &after, -1, &difference, &se, &mean_before, &mean_after),
                   3);
  assert_near(difference, 2.5 / 3);
  assert_near(mean_before, 2);
  assert_near(mean_after, 8.5 / 3);
  double mean = 2.5 / 3,
         squares = (2 - mean) * (2 - mean) + (-1 - mean) * (-1 - mean) + (1.5 - mean) * (1.5 - mean);
  assert_near(se, sqrt(squares / 2 / 3));
  tpo_samples_free(&after);

  SKETCH(&after, ROW("b", 7, "x", 0, 1));
  assert_int_equal(tpo_paired_difference(&before, &after, -1, &difference, &se, &mean_before, &mean_after),
                   1);
  assert_near(difference, 2);
  assert_true(isnan(se));
  tpo_samples_free(&after);

  assert_int_equal(tpo_paired_difference(&before, &after, -1, &difference, &se, &mean_before, &mean_after),
                   0);
  assert_true(isnan(difference) && isnan(se) && isnan(mean_before) && isnan(mean_after));
  tpo_samples_free(&before);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(quartiles_are_those_of_numpy),
      cmocka_unit_test(a_standard_error_needs_two_values),
      cmocka_unit_test(spreads_are_over_outputs_and_over_prompts),
      cmocka_unit_test(a_failed_judgement_is_no_number),
      cmocka_unit_test(repetition_is_the_judges_over_what_parses),
      cmocka_unit_test(nothing_scored_has_no_mean),
      cmocka_unit_test(lengths_are_compared_where_both_outputs_parse),
      cmocka_unit_test(the_paired_difference_matches_prompts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
