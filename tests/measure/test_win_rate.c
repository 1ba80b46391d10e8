/* Who wins, loses and is even, instruction by instruction. */
#include "measure/rows.h"
#include "measure/dynamics.h"

static void wins_losses_and_ties_are_counted_by_instruction(void **state)
{
  (void)state;
  struct tpo_samples before = {0}, now = {0};
  struct win_rate w;
  /* a: 2 against 1.5, b: 1 against 1, c: no score counts as -1 against 0, d: won, in another place */
  SKETCH(&now, ROW("a", 1, "x", 0, 1), ROW("a", 3, "x", 0, 1), ROW("b", 1, "x", 0, 1),
         ROW("c", NAN, NULL, 0, 1), ROW("d", 0.1, "x", 0, 1));
  SKETCH(&before, ROW("d", 0, "x", 0, 1), ROW("a", 1.5, "x", 0, 1), ROW("b", 0, "x", 0, 1),
         ROW("b", 2, "x", 0, 1), ROW("c", 0, "x", 0, 1));
  win_rate_of_scores(&now, NULL, &before, NULL, -1, NULL, &w);
  assert_true(w.n == 4 && w.wins == 2 && w.losses == 1 && w.ties == 1 && w.unmatched == 0);
  assert_near(w.rate, 2.5 / 4);
  /* outcomes 1, 1/2, 0, 1 around 0.625 */
  assert_near(w.standard_error, sqrt((2 * 0.140625 + 0.015625 + 0.390625) / 3 / 4));

  struct win_rate back;
  win_rate_of_scores(&before, NULL, &now, NULL, -1, NULL, &back);
  assert_near(back.rate, 1 - w.rate);
  assert_near(back.standard_error, w.standard_error);
  tpo_samples_free(&before);
  tpo_samples_free(&now);
}

static void instructions_are_matched_by_id_and_text(void **state)
{
  (void)state;
  struct tpo_samples before = {0}, now = {0};
  struct win_rate w;
  SKETCH(&now, ROW("a", 1, "x", 0, 1), TEXT_ROW("b", 1, "x", 0, 1, "Sing.", NULL), ROW("c", 1, "x", 0, 1));
  SKETCH(&before, ROW("a", 0, "x", 0, 1), TEXT_ROW("b", 0, "x", 0, 1, "Dance.", NULL),
         ROW("d", 0, "x", 0, 1));
  win_rate_of_scores(&now, NULL, &before, NULL, 0, NULL, &w);
  assert_true(w.n == 1 && w.wins == 1 && w.unmatched == 2);
  assert_near(w.rate, 1);
  assert_true(isnan(w.standard_error));

  struct tpo_samples none = {0};
  win_rate_of_scores(&now, NULL, &none, NULL, 0, NULL, &w);
  assert_true(w.n == 0 && w.unmatched == 3 && isnan(w.rate));
  win_rate_of_scores(&none, NULL, &now, NULL, 0, NULL, &w);
  assert_true(w.n == 0 && w.unmatched == 0 && isnan(w.rate));
  tpo_samples_free(&before);
  tpo_samples_free(&now);
}

static void scores_in_the_place_of_the_rows_decide(void **state)
{
  (void)state;
  struct tpo_samples before = {0}, now = {0};
  struct win_rate w;
  SKETCH(&now, ROW("a", 0.5, "x", 0, 1), ROW("b", 2, "x", 0, 1), ROW("c", NAN, "x", 0, 1));
  SKETCH(&before, ROW("b", 1, "x", 0, 1), ROW("a", 1.5, "x", 0, 1), ROW("c", 0, "x", 0, 1));
  const double ours[] = {20, 0.25, 5}, theirs[] = {0.25, 10, 1};
  double outcomes[3];
  win_rate_of_scores(&now, ours, &before, theirs, 0, outcomes, &w);
  assert_true(outcomes[0] == 1 && outcomes[1] == 0.5 && isnan(outcomes[2]));
  assert_true(w.wins == 1 && w.ties == 1 && w.unjudged == 1);
  win_rate_of_scores(&now, NULL, &before, NULL, 0, NULL, &w);
  assert_true(w.wins == 1 && w.losses == 1 && w.unjudged == 1);
  tpo_samples_free(&before);
  tpo_samples_free(&now);
}

static void a_share_above_one_half_wins(void **state)
{
  (void)state;
  struct tpo_samples now = {0};
  struct win_rate w;
  double outcomes[8];
  /* c and d have responses that the judge failed on, and are left out */
  SKETCH(&now, ROW("a", 1, "x", 0, 1), ROW("a", 0.5, "x", 0, 1), ROW("b", 0.5, "x", 0, 1),
         ROW("c", NAN, "x", 0, 1), ROW("d", NAN, "x", 0, 1), ROW("d", 0.25, "x", 0, 1),
         ROW("e", 1, "x", 0, 1), ROW("e", 0, "x", 0, 1));
  win_rate_of_shares(&now, outcomes, &w);
  assert_true(w.n == 3 && w.wins == 1 && w.losses == 0 && w.ties == 2 && w.unjudged == 2);
  assert_near(w.rate, 2.0 / 3);
  static const double expected[] = {1, NAN, 0.5, NAN, NAN, NAN, 0.5, NAN}; /* by instructions' first rows */
  for (size_t i = 0; i < 8; i++)
    assert_true(isnan(expected[i]) ? isnan(outcomes[i]) : outcomes[i] == expected[i]);
  tpo_samples_free(&now);
}

static void instructions_that_the_judge_failed_on_are_left_out(void **state)
{
  (void)state;
  struct tpo_samples before = {0}, now = {0};
  struct win_rate w;
  /* a: no score now, b: none before, c: no response now, which loses */
  SKETCH(&now, ROW("a", NAN, "x", 0, 1), ROW("b", 1, "x", 0, 1), ROW("c", NAN, NULL, 0, 1));
  SKETCH(&before, ROW("a", 0, "x", 0, 1), ROW("b", NAN, "x", 0, 1), ROW("c", 0, "x", 0, 1));
  win_rate_of_scores(&now, NULL, &before, NULL, -1, NULL, &w);
  assert_true(w.n == 1 && w.losses == 1 && w.unjudged == 2);
  tpo_samples_free(&before);
  tpo_samples_free(&now);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(wins_losses_and_ties_are_counted_by_instruction),
      cmocka_unit_test(instructions_are_matched_by_id_and_text),
      cmocka_unit_test(scores_in_the_place_of_the_rows_decide),
      cmocka_unit_test(a_share_above_one_half_wins),
      cmocka_unit_test(instructions_that_the_judge_failed_on_are_left_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
