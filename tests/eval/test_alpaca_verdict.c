/* What a judge's answer comes to. */
#include "unit.h"

#include <math.h>

#include "eval/alpaca/verdict.h"

static void probabilities_are_taken_of_m_and_M_alone(void **state)
{
  (void)state;
  struct ask_token top[] = {{"M", -1.7433e-06}, {"m", -13.843752}, {"The", -14.671877}, {"\"M", -16.703127}};
  double preference = alpaca_tokens_preference(top, 4);
  double m = exp(-13.843752), other = exp(-1.7433e-06);
  assert_true(fabs(preference - (2 - m / (m + other))) < 1e-12);
  assert_true(alpaca_tokens_preference(top, 1) == 2);
  assert_true(alpaca_tokens_preference(top + 1, 1) == 1);
  assert_true(isnan(alpaca_tokens_preference(top + 2, 2)));
  assert_true(isnan(alpaca_tokens_preference(NULL, 0)));
}

/* Differences of which no probability is a double. */
static void far_log_probabilities_are_told_apart(void **state)
{
  (void)state;
  struct ask_token top[] = {{"m", -2000}, {"M", -2000 + log(3)}}, infinite[] = {{"m", -INFINITY}, {"M", -1}};
  assert_true(fabs(alpaca_tokens_preference(top, 2) - 1.75) < 1e-12);
  assert_true(alpaca_tokens_preference(infinite, 2) == 2);
}

static void a_texts_last_line_is_its_verdict(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    double expected; /* 0: none */
    bool cut_off;
  } cases[] = {{"m", 1, false},
               {"M", 2, false},
               {" \"M\".\n", 2, false},
               {"**m**", 1, false},
               {"They differ.\nBetter: m", 1, false},
               {"<think>M</think>m", 1, false},
               {"m\nThat was it.", 0, false},
               {"", 0, false},
               {"...", 0, false},
               {"mM", 0, false},
               {"m or M", 0, false},
               {"\xc3\xa9m", 0, false},
               {"I'm", 0, false},
               {"<think>m", 0, false},
               {"Well,\nM", 0, true},
               {"M", 2, true}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct ask_answer answer = {.ok = true, .text = (char *)cases[i].text, .cut_off = cases[i].cut_off};
    double got;
    assert_int_equal(alpaca_text_preference(&answer, NULL, &got, NULL), 0);
    if (cases[i].expected == 0 ? !isnan(got) : got != cases[i].expected)
      fail_msg("\"%s\" is %g, expected %g", cases[i].text, got, cases[i].expected);
  }
}

static void a_tail_does_not_overrule_the_verdict(void **state)
{
  (void)state;
  struct ask_token bold[] = {{"**", -0.001}, {"M", -9}}, sure[] = {{"M", -0.1}, {"m", -2.5}},
                   quoted[] = {{"\"", -0.5}, {"m", -1}, {"M", -1}};
  static const char *const none = "Neither.";
  struct {
    struct ask_answer answer;
    double expected;
    bool by_tokens;
  } cases[] = {{{.text = (char *)"**m**", .top = bold, .n_top = 2}, 1, false},
               {{.text = (char *)"M", .top = sure, .n_top = 2}, 2 - 1 / (1 + exp(2.4)), true},
               {{.text = (char *)"m", .n_top = 0}, 1, false},
               {{.text = (char *)"**", .top = bold, .n_top = 2, .cut_off = true}, 2, true},
               {{.text = (char *)none, .top = quoted, .n_top = 3}, 1.5, true},
               {{.text = (char *)none, .top = quoted, .n_top = 1}, NAN, false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    double got;
    bool by_tokens;
    assert_int_equal(alpaca_preference(&cases[i].answer, NULL, &got, &by_tokens, NULL), 0);
    assert_true(isnan(cases[i].expected) ? isnan(got) : fabs(got - cases[i].expected) < 1e-12);
    assert_int_equal(by_tokens, cases[i].by_tokens);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_tail_does_not_overrule_the_verdict),
                                     cmocka_unit_test(probabilities_are_taken_of_m_and_M_alone),
                                     cmocka_unit_test(far_log_probabilities_are_told_apart),
                                     cmocka_unit_test(a_texts_last_line_is_its_verdict)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
