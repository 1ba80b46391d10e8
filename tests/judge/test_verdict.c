/* Questions for a judge model, and what is read from its answers. */
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include "judge/verdict.h"
#include "unit.h"

static char *fill(const char *prompt, const char *instruction, const char *a, const char *b)
{
  struct judge_field fields[] = {{"instruction", instruction}, {"response_a", a}, {"response_b", b}};
  return judge_prompt_fill(prompt, fields, 3);
}

static void placeholders_are_replaced_where_they_stand(void **state)
{
  (void)state;
  char *text = fill("I {instruction}; {response_b}/{response_a}.", "do", "one", "two");
  assert_string_equal(text, "I do; two/one.");
  free(text);
}

static void what_is_filled_in_is_not_replaced_again(void **state)
{
  (void)state;
  char *text =
      fill("{instruction}|{response_a}|{response_b}", "{response_a}", "{response_b}", "{instruction}");
  assert_string_equal(text, "{response_a}|{response_b}|{instruction}");
  free(text);
}

static void other_braces_stay(void **state)
{
  (void)state;
  char *text = fill("{{instruction}} {response} {response_c} {} { {instruction", "x", "y", "z");
  assert_string_equal(text, "{x} {response} {response_c} {} { {instruction");
  free(text);
}

static void empty_texts_make_an_empty_question(void **state)
{
  (void)state;
  char *text = fill("{response_a}{response_b}", "", "", "");
  assert_string_equal(text, "");
  free(text);
}

static void prompt_needs_each_placeholder_exactly_once(void **state)
{
  (void)state;
  static const char *const names[] = {"instruction", "response_a", "response_b"};
  static const char *const bad[] = {"", "{instruction} {response_a}", "{response_a} {response_b}",
                                    "{instruction} {response_a} {response_b} {response_a}",
                                    "{Instruction} {response_a} {response_b}"};
  struct tpo_error err = {0};
  assert_int_equal(
      judge_prompt_check("{response_b}{instruction}{response_a}", names, 3, "judge.prompt", &err), 0);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(judge_prompt_check(bad[i], names, 3, "judge.prompt", &err), TPO_E_USAGE);
    assert_contains(err.message, "judge.prompt: {");
  }
}

static char *instruction_text(const char *meta, struct tpo_error *err)
{
  struct tpo_judge_item item = {.id = "p", .instruction = "Last?", .meta = meta};
  return judge_instruction_text(&item, err);
}

static void chat_is_told_with_its_roles(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  char *text = instruction_text("{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},"
                                "{\"role\":\"user\",\"content\":\"Hi\"},"
                                "{\"role\":\"assistant\",\"content\":\"Hello\"},"
                                "{\"role\":\"user\",\"content\":\"Last?\"}]}",
                                &err);
  assert_string_equal(text, "System:\nBe brief.\n\nUser:\nHi\n\nAssistant:\nHello\n\nUser:\nLast?");
  free(text);
}

static void lone_message_is_the_instruction(void **state)
{
  (void)state;
  static const char *const metas[] = {NULL,
                                      "",
                                      "{}",
                                      "{\"messages\":null}",
                                      "{\"messages\":[]}",
                                      "{\"messages\":[{\"role\":\"user\",\"content\":\"Last?\"}]}",
                                      "{\"reference\":\"4\",\"thought\":\"no\"}"};
  for (size_t i = 0; i < sizeof metas / sizeof *metas; i++) {
    char *text = instruction_text(metas[i], NULL);
    assert_string_equal(text, "Last?");
    free(text);
  }
}

static void broken_chats_are_refused(void **state)
{
  (void)state;
  static const char *const metas[] = {
      "{",
      "{\"messages\":7}",
      "{\"messages\":[1]}",
      "{\"messages\":[1,2]}",
      ("{\"messages\":[{\"role\":\"user\",\"content\":\"cut\\u0000off\"},"
       "{\"role\":\"user\",\"content\":\"x\"}]}"),
      "{\"messages\":[{\"role\":\"user\"},{\"role\":\"user\",\"content\":\"x\"}]}"};
  for (size_t i = 0; i < sizeof metas / sizeof *metas; i++) {
    struct tpo_error err = {0};
    assert_null(instruction_text(metas[i], &err));
    assert_int_equal(err.code, TPO_E_INPUT);
  }
}

static enum judge_verdict read_with(const char *pattern, const char *text)
{
  struct judge_pattern *p;
  assert_int_equal(judge_pattern_open(&p, pattern, NULL), 0);
  enum judge_verdict verdict = judge_read_verdict(p, text);
  judge_pattern_close(p);
  return verdict;
}

static enum judge_verdict builtin(const char *text)
{
  return read_with(JUDGE_VERDICT_PATTERN, text);
}

static void verdicts_are_read_whatever_their_case(void **state)
{
  (void)state;
  assert_int_equal(builtin("So: [[A]]"), JUDGE_VERDICT_A);
  assert_int_equal(builtin("[[b]]."), JUDGE_VERDICT_B);
  assert_int_equal(builtin("[[ C ]]"), JUDGE_VERDICT_TIE);
  assert_int_equal(builtin("[[Tie]]"), JUDGE_VERDICT_TIE);
  assert_int_equal(builtin("[[\tBOTH\n]]"), JUDGE_VERDICT_BOTH);
  assert_int_equal(builtin("[[Neither]]"), JUDGE_VERDICT_NEITHER);
}

static void last_verdict_counts(void **state)
{
  (void)state;
  assert_int_equal(builtin("I could say [[A]], but no: [[B]]"), JUDGE_VERDICT_B);
  assert_int_equal(builtin("[[A]] and [[maybe]]"), JUDGE_VERDICT_NONE);
  assert_int_equal(builtin("[[A]][[B]][[C]]\n[[A]]\n\n"), JUDGE_VERDICT_A);
}

static void anything_else_is_no_verdict(void **state)
{
  (void)state;
  static const char *const texts[] = {
      "",    "A",     "[A]",     "[[]]",      "[[D]]",    "[[AB]]",           "[[A",
      "A]]", "[[[ ]", "[[A]\n]", "[[both?]]", "[[\xff]]", "\xff\xfe[[A\x80]]"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    assert_int_equal(builtin(texts[i]), JUDGE_VERDICT_NONE);
}

static void bytes_that_are_not_utf8_around_a_verdict_do_not_hide_it(void **state)
{
  (void)state;
  assert_int_equal(builtin("\xff\xc3[[B]]\xe2\x82"), JUDGE_VERDICT_B);
}

static void own_pattern_is_used(void **state)
{
  (void)state;
  assert_int_equal(read_with("(?mi)^verdict: *(\\w+)$", "Verdict: B\nverdict: both\n"), JUDGE_VERDICT_BOTH);
  /* the last, at the end, is empty */
  assert_int_equal(read_with("([AB])?", "\xc3\xa4 A \xe2\x82\xac B"), JUDGE_VERDICT_NONE);
  assert_int_equal(read_with("x|(A)", "A x"), JUDGE_VERDICT_NONE);
  assert_int_equal(read_with("x|(A)", "x A"), JUDGE_VERDICT_A);
  assert_int_equal(read_with("(?=(A))", "\xc3\xa4\xc3\xa4"
                                        "A"),
                   JUDGE_VERDICT_A);
}

static void matching_that_takes_too_long_gives_no_verdict(void **state)
{
  (void)state;
  char text[4096];
  memset(text, 'a', sizeof text - 1);
  memcpy(text + sizeof text - 6, "[[A]]", 6);
  assert_int_equal(read_with("(?:(?:a+)+)+(B)", text), JUDGE_VERDICT_NONE);
  assert_int_equal(builtin(text), JUDGE_VERDICT_A);
}

static void long_answers_are_read_in_time(void **state)
{
  (void)state;
  size_t len = 4 << 20;
  char *text = malloc(len + 1);
  memset(text, '[', len);
  for (size_t i = 2; i + 1 < len; i += 3) text[i] = ' ';
  memcpy(text + len - 5, "[[B]]", 6);
  assert_int_equal(builtin(text), JUDGE_VERDICT_B);
  free(text);
}

/* n times "[[7]]", and a last number; free(). */
static char *repeated(size_t n, const char *last)
{
  char *text = malloc(5 * n + strlen(last) + 1);
  for (size_t i = 0; i < n; i++) memcpy(text + 5 * i, "[[7]]", 5);
  strcpy(text + 5 * n, last);
  return text;
}

static void the_last_of_very_many_matches_counts(void **state)
{
  (void)state;
  struct judge_pattern *p;
  double value = 0;
  char *text = repeated(80000, "[[8]]"), *bad = repeated(80000, "[[9]] \xff");
  assert_int_equal(judge_pattern_open(&p, JUDGE_VERDICT_PATTERN, NULL), 0);
  assert_true(judge_read_number(p, text, &value) && value == 8);
  assert_true(judge_read_number(p, bad, &value) && value == 9);
  judge_pattern_close(p);
  free(text);
  free(bad);
}

/* Processor seconds, the least of some tries. */
static double cost_of(const struct judge_pattern *p, const char *text)
{
  double least = 1e9, value;
  for (int i = 0; i < 7; i++) {
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    assert_true(judge_read_number(p, text, &value));
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    double cost = (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    if (cost < least) least = cost;
  }
  return least;
}

static void work_grows_as_the_matches_do(void **state)
{
  (void)state;
  struct judge_pattern *p;
  char *few = repeated(2000, "[[8]]"), *many = repeated(32000, "[[8]]");
  assert_int_equal(judge_pattern_open(&p, JUDGE_VERDICT_PATTERN, NULL), 0);
  double ratio = cost_of(p, many) / cost_of(p, few);
  if (ratio > 64) fail_msg("16 times the matches take %.0f times the work", ratio); /* squared: 256 */
  judge_pattern_close(p);
  free(few);
  free(many);
}

static void a_long_answers_end_is_read(void **state)
{
  (void)state;
  size_t len = 3 * (200 << 10);
  char *text = malloc(len + 64);
  strcpy(text, "[[A]]");
  for (size_t i = 5; i + 3 <= len; i += 3) memcpy(text + i, "\xe2\x82\xac", 4);
  assert_int_equal(builtin(text), JUDGE_VERDICT_NONE); /* begins before what is read */
  strcat(text, "[[B]]");
  assert_int_equal(builtin(text), JUDGE_VERDICT_B);
  assert_int_equal(read_with("^.*(B)", text), JUDGE_VERDICT_NONE); /* the end's begin is no line's */
  free(text);
}

static int read_after_signal(void)
{
  struct tpo_error err = {0};
  tpo_interrupt_install();
  if (judge_reading_stopped(&err) != 0 || builtin("[[A]]") != JUDGE_VERDICT_A) return 1;
  raise(SIGTERM);
  if (builtin("[[A]]") != JUDGE_VERDICT_NONE) return 2;
  return judge_reading_stopped(&err) == TPO_E_INTERRUPTED ? 0 : 3;
}

static void a_signal_ends_the_search(void **state)
{
  (void)state;
  int how;
  pid_t child = fork();
  if (child == 0) _exit(read_after_signal());
  assert_int_equal(waitpid(child, &how, 0), child);
  assert_int_equal(how, 0);
}

static void bad_patterns_are_usage_errors(void **state)
{
  (void)state;
  char *longer = malloc(5001);
  memset(longer, 'a', 5000);
  memcpy(longer, "(a)", 3);
  longer[5000] = '\0';
  const char *const patterns[][2] = {{"no group", "has no group"},  {"(?:A|B)", "has no group"},
                                     {"([AB]", "wrong at byte"},    {"(\\C)", "wrong at byte"},
                                     {"([\xff])", "wrong at byte"}, {longer, "are allowed"}};
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
    struct judge_pattern *p;
    struct tpo_error err = {0};
    assert_int_equal(judge_pattern_open(&p, patterns[i][0], &err), TPO_E_USAGE);
    assert_null(p);
    assert_contains(err.message, "judge.pattern");
    assert_contains(err.message, patterns[i][1]);
  }
  free(longer);
}

static void numbers_are_read_as_numbers_alone(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    bool ok;
    double value;
  } cases[] = {{"Score: [[7]]", true, 7},
               {"[[7.5]]", true, 7.5},
               {"[[3]] then [[ 9 ]]", true, 9},
               {"[[-2]]", true, -2},
               {"[[+.5]]", true, 0.5},
               {"[[4.]]", true, 4},
               {"[[7/10]]", false, 0},
               {"[[nan]]", false, 0},
               {"[[inf]]", false, 0},
               {"[[0x10]]", false, 0},
               {"[[1e3]]", false, 0},
               {"[[.]]", false, 0},
               {"[[-]]", false, 0},
               {"[[]]", false, 0},
               {"7", false, 0},
               {"[[1.2.3]]", false, 0},
               {"[[5]] [[no]]", false, 0},
               {"[[-1000000000000000]]", true, -1e15},
               {"[[1000000000000001]]", false, 0}};
  struct judge_pattern *p;
  assert_int_equal(judge_pattern_open(&p, JUDGE_VERDICT_PATTERN, NULL), 0);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    double value = -1;
    assert_int_equal(judge_read_number(p, cases[i].text, &value), cases[i].ok);
    if (cases[i].ok) assert_true(value == cases[i].value);
  }
  judge_pattern_close(p);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(placeholders_are_replaced_where_they_stand),
      cmocka_unit_test(what_is_filled_in_is_not_replaced_again),
      cmocka_unit_test(other_braces_stay),
      cmocka_unit_test(empty_texts_make_an_empty_question),
      cmocka_unit_test(prompt_needs_each_placeholder_exactly_once),
      cmocka_unit_test(chat_is_told_with_its_roles),
      cmocka_unit_test(lone_message_is_the_instruction),
      cmocka_unit_test(broken_chats_are_refused),
      cmocka_unit_test(verdicts_are_read_whatever_their_case),
      cmocka_unit_test(last_verdict_counts),
      cmocka_unit_test(anything_else_is_no_verdict),
      cmocka_unit_test(bytes_that_are_not_utf8_around_a_verdict_do_not_hide_it),
      cmocka_unit_test(own_pattern_is_used),
      cmocka_unit_test(matching_that_takes_too_long_gives_no_verdict),
      cmocka_unit_test(long_answers_are_read_in_time),
      cmocka_unit_test(the_last_of_very_many_matches_counts),
      cmocka_unit_test(work_grows_as_the_matches_do),
      cmocka_unit_test(a_long_answers_end_is_read),
      cmocka_unit_test(a_signal_ends_the_search),
      cmocka_unit_test(bad_patterns_are_usage_errors),
      cmocka_unit_test(numbers_are_read_as_numbers_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
