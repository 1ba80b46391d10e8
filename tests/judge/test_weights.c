/* Verdicts with weights, and those that nothing names, in comparisons. */
#include <math.h>
#include "judge/contest.h"

/* Longer by two or more wins strongly, and a thought says the opposite. */
static const char *arena(const char *a, const char *b)
{
  int lead = (int)strlen(a) - (int)strlen(b);
  return lead > 1    ? "<think>[[B>>A]]</think>[[A>>B]]"
         : lead > 0  ? "[[A>B]]<thinking>[[B>>A]]</thinking>"
         : lead < -1 ? "it is [[A>>B]]</think>[[B>>A]]"
         : lead < 0  ? "<think>[[A>>B]]</think>[[B>A]]"
                     : "[[A=B]]";
}
static const char *names_them(const char *a, const char *b)
{
  return strlen(a) > strlen(b) ? "[[Assistant A]]" : "[[B]]";
}
static const char *arena_without_thoughts(const char *a, const char *b)
{
  const char *verdict = strstr(arena(a, b), "</think>");
  return verdict ? verdict + strlen("</think>") : strlen(a) == strlen(b) ? "[[A=B]]" : "[[A>B]]";
}

/* Judges with Arena-Hard's verdicts, or by win alone where weights is false. */
static void judge_by_weight(struct judged *j, const char *(*rule)(const char *, const char *), bool weights)
{
  static const char *const responses[] = {"a", "aaa", "aa"};
  struct tpo_verdict_label all_equal[] = {{(char *)"A>>B", TPO_VERDICT_A, 1},
                                          {(char *)"A>B", TPO_VERDICT_A, 1},
                                          {(char *)"B>>A", TPO_VERDICT_B, 1},
                                          {(char *)"B>A", TPO_VERDICT_B, 1}};
  struct tpo_judge_config config = settings();
  struct tpo_judge_item item = {
      .id = "p", .instruction = "Do it.", .meta = "{}", .n_responses = 3, .responses = responses};
  config.verdicts = weights ? (struct tpo_verdicts){.preset = (char *)"arena-hard"}
                            : (struct tpo_verdicts){.labels = all_equal, .n = 4};
  *j = (struct judged){0};
  judge(j, rule, &config, &item);
  assert_int_equal(j->status, 0);
}

static void a_win_counts_its_weight_in_both_positions(void **state)
{
  (void)state;
  struct judged *strong = malloc(sizeof *strong), *plain = malloc(sizeof *plain);
  judge_by_weight(strong, arena, true);
  judge_by_weight(plain, arena, false);
  for (int i = 0; i < 3; i++) {
    static const int wins[] = {0, 4, 2};
    assert_int_equal(number(strong->details[i], "wins"), wins[i]);
    assert_int_equal(number(strong->details[i], "losses"), 4 - wins[i]);
    assert_int_equal(number(strong->details[i], "unparsable"), 0);
  }
  /* aaa beats a by 3 twice, and aa by 1 twice: B = {{0,0,0},{6,0,2},{2,0,0}}; the fit is symmetric about aa. */
  double x = strong->results[1].score / 173.7177927613007, win = 1 / (1 + exp(2 * x)),
         near = 1 / (1 + exp(x));
  assert_true(fabs(6 * win + 2 * near - 0.1 * x) < 1e-6);
  assert_true(strong->results[2].score == 0 && strong->results[0].score == -strong->results[1].score);
  assert_true(strong->results[1].score > plain->results[1].score);
  assert_int_equal(number(strong->counts, "pairs_consistent"), 3);
  assert_int_equal(number(strong->counts, "triples"), 1);
  assert_true(json_real_value(json_object_get(strong->counts, "max_gradient_norm")) < 1e-9);
  forget(plain);
  judge_by_weight(plain, arena_without_thoughts, true);
  for (int i = 0; i < 3; i++) assert_true(plain->results[i].score == strong->results[i].score);
  forget(strong);
  forget(plain);
  free(strong);
  free(plain);
}

static void a_match_that_means_nothing_is_kept_with_both_responses(void **state)
{
  (void)state;
  static const char *const responses[] = {"one", "three", "four"};
  struct judged *j = malloc(sizeof *j);
  judge_responses(j, names_them, 3, responses);
  for (int i = 0; i < 3; i++)
    assert_string_equal(json_string_value(json_object_get(j->details[i], "matched")), "[[Assistant A]]");
  assert_int_equal(number(j->counts, "not_named"), 3);
  assert_int_equal(number(j->counts, "unparsable"), 3);
  assert_int_equal(number(j->counts, "no_match"), 0);
  forget(j);
  free(j);
}

/* Of 11 responses 110 comparisons are made: mumbles forever, or every hundredth answer has a verdict. */
static int mumbled;
static const char *mumbles_forever(const char *a, const char *b)
{
  (void)a, (void)b;
  return "<think>[[A]]</think>Hm.";
}
static const char *mumbles_mostly(const char *a, const char *b)
{
  (void)a, (void)b;
  return ++mumbled % 100 ? "Hm." : "[[A]]";
}

static void a_judge_without_verdicts_is_asked_no_more(void **state)
{
  (void)state;
  static const char *const responses[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"};
  struct tpo_judge_config config = settings();
  struct tpo_judge_item item = {
      .id = "p", .instruction = "Do it.", .meta = "{}", .n_responses = 11, .responses = responses};
  struct judged *j = calloc(1, sizeof *j);
  judge(j, mumbles_forever, &config, &item);
  assert_int_equal(j->status, TPO_E_STATE);
  assert_contains(j->err.message,
                  "100 of the judge's answers in a row have no verdict; the last: no verdict that "
                  "judge.pattern finds in the answer: Hm.");
  forget(j);
  memset(j, 0, sizeof *j);
  judge(j, mumbles_mostly, &config, &item);
  assert_int_equal(j->status, 0);
  assert_int_equal(number(j->counts, "unparsable"), 109);
  forget(j);
  free(j);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_win_counts_its_weight_in_both_positions),
      cmocka_unit_test(a_match_that_means_nothing_is_kept_with_both_responses),
      cmocka_unit_test(a_judge_without_verdicts_is_asked_no_more),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
