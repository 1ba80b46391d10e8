/* Comparing responses through a chat whose rule is known. */
#include <math.h>
#include "heard.h"
#include "judge/contest.h"

static const char *longer_wins(const char *a, const char *b)
{
  return strlen(a) > strlen(b) ? "It says more. [[A]]" : strlen(a) < strlen(b) ? "[[B]]" : "Equal: [[C]]";
}
static const char *always_a(const char *a, const char *b)
{
  (void)a, (void)b;
  return "[[A]]";
}
static const char *rock_paper_scissors(const char *a, const char *b)
{
  static const char beats[] = "rock>scissors scissors>paper paper>rock";
  char one[64], other[64];
  snprintf(one, sizeof one, "%s>%s", a, b);
  snprintf(other, sizeof other, "%s>%s", b, a);
  return strstr(beats, one) ? "[[A]]" : strstr(beats, other) ? "[[B]]" : "[[C]]";
}
static const char *no_answer(const char *a, const char *b)
{
  (void)a, (void)b;
  return NULL;
}
static const char *mumbles(const char *a, const char *b)
{
  (void)a, (void)b;
  return "Both are fine, I guess.";
}
/* Of any two that "bad" is one of, there is no answer. */
static const char *fails_on_bad(const char *a, const char *b)
{
  return strcmp(a, "bad") == 0 || strcmp(b, "bad") == 0 ? NULL : longer_wins(a, b);
}
static const char *fails_on_aaa_before_bb(const char *a, const char *b)
{
  return strcmp(a, "aaa") == 0 && strcmp(b, "bb") == 0 ? NULL : longer_wins(a, b);
}
static const char *all_kinds(const char *a, const char *b)
{
  if (strcmp(a, "aaa") == 0) return strcmp(b, "bb") == 0 ? "[[both]]" : "[[Neither]]";
  if (strcmp(a, "bb") == 0) return strcmp(b, "c") == 0 ? "hm" : NULL;
  return strcmp(b, "aaa") == 0 ? "[[tie]]" : "[[A]]";
}

static void better_responses_score_higher(void **state)
{
  (void)state;
  static const char *const responses[] = {"aaa", "a", "aaaaa", "aaaa", "aa"};
  struct judged *j = malloc(sizeof *j);
  judge_responses(j, longer_wins, 5, responses);
  assert_int_equal(j->fake.asked, 20);
  for (int i = 0; i < 5; i++) {
    assert_true(j->results[i].ok);
    int rank = (int)strlen(responses[i]) - 1; /* how many it beats */
    assert_int_equal(number(j->details[i], "wins"), 2 * rank);
    assert_int_equal(number(j->details[i], "losses"), 2 * (4 - rank));
    assert_int_equal(number(j->details[i], "comparisons"), 8);
    assert_true(json_real_value(json_object_get(j->details[i], "elo")) == j->results[i].score);
  }
  assert_true(j->results[2].score > j->results[3].score && j->results[3].score > j->results[0].score);
  assert_true(fabs(j->results[0].score) < 1e-6); /* the middle of five */
  assert_int_equal(number(j->counts, "pairs_consistent"), 10);
  assert_int_equal(number(j->counts, "pairs_flipped"), 0);
  assert_int_equal(number(j->counts, "triples"), 10);
  assert_int_equal(number(j->counts, "cyclic_triples"), 0);
  assert_int_equal(number(j->counts, "requests"), 20);
  double gradient = json_real_value(json_object_get(j->counts, "max_gradient_norm"));
  assert_true(gradient >= 0 && gradient < 1e-9);
  forget(j);
  free(j);
}

static void both_positions_cancel_a_pure_position_bias(void **state)
{
  (void)state;
  static const char *const responses[] = {"one", "two", "three", "four"};
  struct judged *j = malloc(sizeof *j);
  judge_responses(j, always_a, 4, responses);
  for (int i = 0; i < 4; i++) assert_true(j->results[i].ok && j->results[i].score == 0);
  assert_int_equal(number(j->counts, "pairs_flipped"), 6);
  assert_int_equal(number(j->counts, "pairs_consistent"), 0);
  assert_int_equal(number(j->counts, "a_wins"), 12);
  assert_int_equal(number(j->counts, "triples"), 0);
  forget(j);
  free(j);
}

static void cycles_are_counted_and_score_equal(void **state)
{
  (void)state;
  static const char *const responses[] = {"rock", "paper", "scissors", "rock"};
  struct judged *j = malloc(sizeof *j);
  judge_responses(j, rock_paper_scissors, 3, responses);
  assert_int_equal(number(j->counts, "triples"), 1);
  assert_int_equal(number(j->counts, "cyclic_triples"), 1);
  for (int i = 0; i < 3; i++) assert_true(j->results[i].score == 0);
  forget(j);
  judge_responses(j, rock_paper_scissors, 4, responses);
  assert_int_equal(number(j->counts, "triples"), 2); /* the two rocks tie */
  assert_int_equal(number(j->counts, "cyclic_triples"), 2);
  assert_true(j->results[0].score == j->results[3].score);
  forget(j);
  free(j);
}

static void every_kind_of_outcome_is_counted_apart(void **state)
{
  (void)state;
  static const char *const responses[] = {"aaa", "bb", "c"};
  static const char *const names[] = {"both", "neither", "ties", "unparsable", "failed", "a_wins"};
  struct judged *j = malloc(sizeof *j);
  judge_responses(j, all_kinds, 3, responses);
  for (int i = 0; i < 6; i++) assert_int_equal(number(j->counts, names[i]), 1);
  assert_int_equal(number(j->counts, "comparisons"), 5); /* answered */
  assert_int_equal(number(j->counts, "b_wins"), 0);
  static const int expected[6] = {1, 0, 2, 1, 0, 4};
  static const char *const fields[] = {"wins", "losses", "ties", "unparsable", "failed", "comparisons"};
  for (int f = 0; f < 6; f++) assert_int_equal(number(j->details[2], fields[f]), expected[f]);
  assert_true(j->results[2].ok && j->results[2].score > 0);
  forget(j);
  free(j);
}

static void answers_without_a_verdict_count_nothing_for_both(void **state)
{
  (void)state;
  static const char *const responses[] = {"one", "two"};
  struct judged *j = malloc(sizeof *j);
  judge_responses(j, mumbles, 2, responses);
  for (int i = 0; i < 2; i++) {
    assert_true(j->results[i].ok && j->results[i].score == 0);
    assert_int_equal(number(j->details[i], "unparsable"), 2);
  }
  assert_int_equal(number(j->counts, "unparsable"), 2);
  forget(j);
  free(j);
}

static void prompt_without_any_answer_has_no_score(void **state)
{
  (void)state;
  static const char *const responses[] = {"one", "two", "three"};
  struct judged *j = malloc(sizeof *j);
  judge_responses(j, no_answer, 3, responses);
  for (int i = 0; i < 3; i++) {
    assert_false(j->results[i].ok);
    assert_contains(j->results[i].detail,
                    "none of the 6 comparisons was answered; the first: the line is dead");
  }
  assert_int_equal(number(j->counts, "failed"), 6);
  forget(j);
  free(j);
}

static void a_response_without_any_answer_fails_alone(void **state)
{
  (void)state;
  static const char *const responses[] = {"a", "bad", "aaaa"};
  struct judged *j = malloc(sizeof *j);
  judge_responses(j, fails_on_bad, 3, responses);
  assert_true(j->results[0].ok && j->results[2].ok && j->results[2].score > j->results[0].score);
  assert_int_equal(number(j->details[0], "failed"), 2);
  assert_false(j->results[1].ok);
  assert_contains(j->results[1].detail, "none of this response's comparisons was answered; "
                                        "the prompt's first that was not: the line is dead");
  assert_int_equal(number(j->counts, "failed"), 4);
  forget(j);
  free(j);
}

static void a_missing_answer_leaves_both_responses_without_a_score(void **state)
{
  (void)state;
  static const char *const responses[] = {"aaa", "c", "bb", "dddd"};
  struct judged *j = malloc(sizeof *j);
  judge_responses(j, all_kinds, 3, (const char *const[]){"aaa", "bb", "c"});
  assert_true(!j->results[0].ok && !j->results[1].ok && j->results[2].ok);
  for (int i = 0; i < 2; i++)
    assert_contains(j->results[i].detail, "1 of this response's 4 comparisons had no answer; "
                                          "the prompt's first of them: the line is dead");
  forget(j);
  judge_responses(j, fails_on_aaa_before_bb, 4, responses);
  for (int i = 0; i < 4; i++) assert_int_equal(j->results[i].ok, i % 2);
  assert_true(j->results[3].score > j->results[1].score);
  assert_int_equal(number(j->counts, "failed"), 1);
  assert_int_equal(number(j->counts, "comparisons"), 11);
  forget(j);
  judge_responses(j, fails_on_aaa_before_bb, 2, (const char *const[]){"aaa", "bb"});
  assert_true(!j->results[0].ok && !j->results[1].ok); /* the other position alone decides nothing */
  forget(j);
  free(j);
}

/* Nothing failed, so that it can be chosen over outputs that do not parse. */
static void lone_response_has_the_mean_without_being_asked_about(void **state)
{
  (void)state;
  static const char *const responses[] = {NULL, "only", NULL};
  struct judged *j = malloc(sizeof *j);
  judge_responses(j, longer_wins, 3, responses);
  assert_int_equal(j->fake.asked, 0);
  assert_contains(j->results[0].detail, "the output has no response");
  assert_string_equal(j->results[1].detail, "{\"elo\":0.0,\"wins\":0,\"losses\":0,\"ties\":0,"
                                            "\"unparsable\":0,\"failed\":0,\"comparisons\":0}");
  for (int i = 0; i < 3; i++) assert_int_equal(j->results[i].ok, i == 1);
  assert_true(j->results[1].score == 0);
  forget(j);
  free(j);
}

static void responses_without_format_are_left_out(void **state)
{
  (void)state;
  static const char *const responses[] = {"aa", NULL, "aaa"};
  struct judged *j = malloc(sizeof *j);
  judge_responses(j, longer_wins, 3, responses);
  assert_int_equal(j->fake.asked, 2);
  assert_true(!j->results[1].ok && j->results[2].score > j->results[0].score);
  forget(j);
  free(j);
}

static void questions_hold_instruction_and_responses_alone(void **state)
{
  (void)state;
  static const char *const responses[] = {"left {response_b}", "right {instruction}"};
  struct tpo_judge_config config = settings();
  struct tpo_judge_item item = {
      .id = "p-SECRET",
      .instruction = "Do {response_a}.",
      .meta = "{\"thought\":\"SECRET\",\"reference\":\"SECRET\",\"messages\":"
              "[{\"role\":\"user\",\"content\":\"Do {response_a}.\",\"thought\":\"SECRET\"}]}",
      .n_responses = 2,
      .responses = responses};
  struct judged *j = calloc(1, sizeof *j);
  judge(j, longer_wins, &config, &item);
  assert_string_equal(j->fake.seen, "Do {response_a}.|left {response_b}|right {instruction}\n"
                                    "Do {response_a}.|right {instruction}|left {response_b}\n");
  forget(j);
  free(j);
}

static void builtin_question_shows_all_three_texts(void **state)
{
  (void)state;
  static const char *const responses[] = {"first-text", "second-text"};
  struct tpo_judge_config config = {.elo_prior = 0.1};
  struct tpo_judge_item item = {.id = "p",
                                .instruction = "x",
                                .meta = "{\"messages\":[{\"role\":\"assistant\",\"content\":\"Hey\"},"
                                        "{\"role\":\"user\",\"content\":\"x\"}]}",
                                .n_responses = 2,
                                .responses = responses};
  struct judged *j = calloc(1, sizeof *j);
  judge(j, mumbles, &config, &item);
  assert_contains(j->fake.seen, "Assistant:\nHey\n\nUser:\nx");
  assert_contains(j->fake.seen, "first-text");
  assert_contains(j->fake.seen, "second-text");
  assert_contains(j->fake.seen, "[[C]]");
  assert_null(strstr(j->fake.seen, "{instruction}"));
  assert_null(strstr(j->fake.seen, "{response_"));
  forget(j);
  free(j);
}

static void broken_meta_fails_its_prompt_alone(void **state)
{
  (void)state;
  static const char *const responses[] = {"a", "aa"};
  struct tpo_judge_config config = settings();
  struct tpo_judge_item items[2] = {{"p", "x", "{\"messages\":3}", 2, responses},
                                    {"q", "x", "{}", 2, responses}};
  struct tpo_judge_result results[4] = {0};
  struct fake *fake = calloc(1, sizeof *fake);
  fake->rule = longer_wins;
  struct judge_pairwise *p = open_with(fake, &config);
  assert_int_equal(judge_pairwise_score(p, items, 2, results, NULL), 0);
  assert_true(!results[0].ok && !results[1].ok && results[2].ok && results[3].ok);
  assert_contains(results[0].detail, "messages");
  for (int i = 0; i < 4; i++) free(results[i].detail);
  judge_pairwise_close(p);
  free(fake);
}

/* The same prompt with others before and after it, more of them than fit one batch of questions. */
static void score_does_not_depend_on_other_prompts(void **state)
{
  (void)state;
  enum { N = 50, K = 12 };
  const char *responses[K];
  char texts[K][K + 2];
  for (int i = 0; i < K; i++) {
    memset(texts[i], 'a', K);
    texts[i][(i * 5) % K + 1] = '\0';
    responses[i] = texts[i];
  }
  struct tpo_judge_config config = settings();
  for (int limited = 0; limited < 2; limited++) {
    config.comparisons = limited ? 90 : 0;
    struct tpo_judge_item items[N], *one = &items[17];
    char ids[N][16];
    for (int i = 0; i < N; i++) {
      snprintf(ids[i], sizeof ids[i], "p%d", i);
      items[i] = (struct tpo_judge_item){ids[i], "x", "{}", i % 7 == 3 ? K : K - i % 5, responses};
    }
    struct tpo_judge_result *all = calloc((size_t)N * K, sizeof *all), alone[K] = {0};
    struct fake *fake = calloc(1, sizeof *fake);
    fake->rule = longer_wins;
    struct judge_pairwise *p = open_with(fake, &config);
    assert_int_equal(judge_pairwise_score(p, items, N, all, NULL), 0);
    assert_true(limited || fake->calls > 1);
    assert_int_equal(judge_pairwise_score(p, one, 1, alone, NULL), 0);
    size_t first = 0, total = 0;
    for (int i = 0; i < N; i++) {
      if (i < 17) first += (size_t)items[i].n_responses;
      total += (size_t)items[i].n_responses;
    }
    for (int i = 0; i < one->n_responses; i++) {
      assert_string_equal(all[first + (size_t)i].detail, alone[i].detail);
      free(alone[i].detail);
    }
    for (size_t i = 0; i < total; i++) free(all[i].detail);
    judge_pairwise_close(p);
    free(fake);
    free(all);
  }
}

/* More than are asked at once. */
static void how_far_it_is_counts_all_comparisons(void **state)
{
  (void)state;
  enum { N = 70 };
  const char *responses[N];
  struct heard heard = {0};
  struct fake fake = {.rule = longer_wins};
  struct judge_pairwise *p;
  struct ask_chat chat = {.state = &fake, .ask = fake_ask, .counts = fake_counts, .close = fake_close};
  struct tpo_judge_env env = {.seed = 5, .watch = {hear, &heard}};
  struct tpo_judge_config config = settings();
  struct tpo_judge_result results[N] = {0};
  struct tpo_error err = {0};
  for (int i = 0; i < N; i++) responses[i] = i % 2 ? "aaa" : "bb";
  struct tpo_judge_item item = {"p", "Do it.", "{}", N, responses};
  assert_int_equal(judge_pairwise_open(&p, chat, &config, &env, &err), 0);
  assert_int_equal(judge_pairwise_score(p, &item, 1, results, &err), 0);
  assert_int_equal(fake.calls, 2);
  assert_int_equal(heard.n, N * (N - 1));
  assert_true(heard.last == 1);
  for (int i = 0; i < N; i++) free(results[i].detail);
  judge_pairwise_close(p);
}

static void chat_that_ends_ends_the_judging(void **state)
{
  (void)state;
  static const char *const responses[] = {"one", "two"};
  struct tpo_judge_config config = settings();
  struct tpo_judge_item item = {"p", "x", "{}", 2, responses};
  struct judged *j = calloc(1, sizeof *j);
  j->fake.status = TPO_E_INTERRUPTED;
  judge(j, longer_wins, &config, &item);
  assert_int_equal(j->status, TPO_E_INTERRUPTED);
  assert_contains(j->err.message, "the chat gave up");
  forget(j);
  free(j);
}

static void bad_prompts_and_patterns_are_usage_errors_and_close_the_chat(void **state)
{
  (void)state;
  struct tpo_judge_config bad[4];
  for (int i = 0; i < 4; i++) bad[i] = settings();
  bad[0].prompt = "{instruction} {response_a}";
  bad[1].pattern = "[[A]]";
  bad[2].pattern = "([";
  bad[3].elo_prior = 0;
  for (int i = 0; i < 4; i++) {
    struct fake *fake = calloc(1, sizeof *fake);
    struct ask_chat chat = {.state = fake, .ask = fake_ask, .close = fake_close};
    struct judge_pairwise *p;
    struct tpo_error err = {0};
    assert_int_equal(judge_pairwise_check(&bad[i], &err), TPO_E_USAGE);
    assert_int_equal(judge_pairwise_open(&p, chat, &bad[i], &(struct tpo_judge_env){0}, &err), TPO_E_USAGE);
    assert_contains(err.message, "judge.");
    assert_null(p);
    assert_true(fake->closed);
    free(fake);
  }
}

/* Fewer comparisons than all. */
static void enough_comparisons_are_all_of_them(void **state)
{
  (void)state;
  static const char *const responses[] = {"a", "aa", "aaa"};
  struct tpo_judge_config config = settings();
  struct tpo_judge_item item = {"p", "x", "{}", 3, responses};
  config.comparisons = 100;
  struct judged *j = calloc(1, sizeof *j);
  judge(j, longer_wins, &config, &item);
  assert_int_equal(j->fake.asked, 6);
  forget(j);
  free(j);
}

static void fewer_comparisons_still_rank(void **state)
{
  (void)state;
  static const char *const responses[] = {"aaaa", "a", "aaaaaa", "aaa", "aaaaa", "aa"};
  struct tpo_judge_config config = settings();
  struct tpo_judge_item item = {"p", "x", "{}", 6, responses};
  config.comparisons = 15;
  struct judged *j = calloc(1, sizeof *j);
  judge(j, longer_wins, &config, &item);
  assert_int_equal(j->fake.asked, 15);
  for (int i = 0; i < 6; i++) {
    if (i != 2) assert_true(j->results[2].score > j->results[i].score);
    if (i != 1) assert_true(j->results[1].score < j->results[i].score);
  }
  forget(j);
  *j = (struct judged){0};
  config.comparisons = 1;
  judge(j, longer_wins, &config, &item);
  int scored = 0;
  for (int i = 0; i < 6; i++) {
    scored += j->results[i].ok;
    if (!j->results[i].ok)
      assert_contains(j->results[i].detail, "judge.comparisons leaves this response out");
  }
  assert_int_equal(scored, 2);
  forget(j);
  free(j);
}

static void too_many_responses_are_not_compared(void **state)
{
  (void)state;
  enum { K = 1025 };
  const char **responses = calloc(K, sizeof *responses);
  struct tpo_judge_result *results = calloc(K, sizeof *results);
  for (int i = 0; i < K; i++) responses[i] = "x";
  struct tpo_judge_config config = settings();
  struct tpo_judge_item item = {"p", "x", "{}", K, responses};
  struct fake *fake = calloc(1, sizeof *fake);
  fake->rule = longer_wins;
  struct judge_pairwise *p = open_with(fake, &config);
  assert_int_equal(judge_pairwise_score(p, &item, 1, results, NULL), 0);
  assert_int_equal(fake->asked, 0);
  for (int i = 0; i < K; i++) {
    assert_contains(results[i].detail, "1024");
    free(results[i].detail);
  }
  judge_pairwise_close(p);
  free(fake);
  free(results);
  free(responses);
}

static void kind_is_registered_with_its_needs(void **state)
{
  (void)state;
  struct tpo_judge_config config = settings();
  struct tpo_error err = {0};
  assert_contains(tpo_judge_kinds(), "pairwise");
  config.kind = "pairwise:/no/such/model";
  assert_true(tpo_judge_needs_model(&config) && tpo_judge_compares(&config));
  assert_int_equal(tpo_judge_check(&config, &err), TPO_E_USAGE);
  assert_contains(err.message, "/no/such/model");
  config.kind = "pairwise";
  assert_int_equal(tpo_judge_check(&config, &err), TPO_E_USAGE);
  config.kind = "pairwise:";
  assert_int_equal(tpo_judge_check(&config, &err), TPO_E_USAGE);
  assert_contains(err.message, "pairwise:DIR");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(better_responses_score_higher),
      cmocka_unit_test(both_positions_cancel_a_pure_position_bias),
      cmocka_unit_test(cycles_are_counted_and_score_equal),
      cmocka_unit_test(every_kind_of_outcome_is_counted_apart),
      cmocka_unit_test(answers_without_a_verdict_count_nothing_for_both),
      cmocka_unit_test(prompt_without_any_answer_has_no_score),
      cmocka_unit_test(a_response_without_any_answer_fails_alone),
      cmocka_unit_test(a_missing_answer_leaves_both_responses_without_a_score),
      cmocka_unit_test(lone_response_has_the_mean_without_being_asked_about),
      cmocka_unit_test(responses_without_format_are_left_out),
      cmocka_unit_test(questions_hold_instruction_and_responses_alone),
      cmocka_unit_test(builtin_question_shows_all_three_texts),
      cmocka_unit_test(broken_meta_fails_its_prompt_alone),
      cmocka_unit_test(score_does_not_depend_on_other_prompts),
      cmocka_unit_test(how_far_it_is_counts_all_comparisons),
      cmocka_unit_test(chat_that_ends_ends_the_judging),
      cmocka_unit_test(bad_prompts_and_patterns_are_usage_errors_and_close_the_chat),
      cmocka_unit_test(enough_comparisons_are_all_of_them),
      cmocka_unit_test(fewer_comparisons_still_rank),
      cmocka_unit_test(too_many_responses_are_not_compared),
      cmocka_unit_test(kind_is_registered_with_its_needs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
