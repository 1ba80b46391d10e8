/* What is read from a judge model's answers. */
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include "judge/verdict.h"
#include "unit.h"

/* Reads with these settings; found->match and so on are copies. */
static struct judge_found read_set(const struct tpo_judge_config *config, const struct ask_answer *answer,
                                   bool number)
{
  struct judge_reader reader;
  struct judge_found found;
  struct tpo_buf said = {0};
  assert_int_equal(judge_reader_open(&reader, config, NULL), 0);
  int status = (number ? judge_read_number : judge_read_verdict)(&reader, answer, &said, &found, NULL);
  assert_int_equal(status, 0);
  if (!number) assert_int_equal(found.reading == JUDGE_READ, found.verdict != JUDGE_VERDICT_NONE);
  tpo_buf_free(&said);
  judge_reader_close(&reader);
  return found;
}

static struct judge_found found_with(const char *pattern, const char *text)
{
  const struct tpo_judge_config config = {.pattern = (char *)pattern};
  return read_set(&config, &(struct ask_answer){.ok = true, .text = (char *)text}, false);
}

static enum judge_verdict read_with(const char *pattern, const char *text)
{
  return found_with(pattern, text).verdict;
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
  assert_int_equal(found_with("(?:(?:a+)+)+(\\d)", text).reading, JUDGE_GIVEN_UP);
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

/* The number that the built-in pattern finds, all else being an error. */
static double number_in(const struct judge_reader *reader, char *text)
{
  struct judge_found found;
  struct tpo_buf said = {0};
  const struct ask_answer answer = {.ok = true, .text = text};
  assert_int_equal(judge_read_number(reader, &answer, &said, &found, NULL), 0);
  assert_int_equal(found.reading, JUDGE_READ);
  tpo_buf_free(&said);
  return found.number;
}

static void open_builtin(struct judge_reader *reader)
{
  assert_int_equal(judge_reader_open(reader, &(struct tpo_judge_config){0}, NULL), 0);
}

static void the_last_of_very_many_matches_counts(void **state)
{
  (void)state;
  struct judge_reader reader;
  char *text = repeated(80000, "[[8]]"), *bad = repeated(80000, "[[9]] \xff");
  open_builtin(&reader);
  assert_true(number_in(&reader, text) == 8);
  assert_true(number_in(&reader, bad) == 9);
  judge_reader_close(&reader);
  free(text);
  free(bad);
}

/* Processor seconds, the least of some tries. */
static double cost_of(const struct judge_reader *reader, char *text)
{
  double least = 1e9;
  for (int i = 0; i < 7; i++) {
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    number_in(reader, text);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    double cost = (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    if (cost < least) least = cost;
  }
  return least;
}

static void work_grows_as_the_matches_do(void **state)
{
  (void)state;
  struct judge_reader reader;
  char *few = repeated(2000, "[[8]]"), *many = repeated(32000, "[[8]]");
  open_builtin(&reader);
  double ratio = cost_of(&reader, many) / cost_of(&reader, few);
  if (ratio > 64) fail_msg("16 times the matches take %.0f times the work", ratio); /* squared: 256 */
  judge_reader_close(&reader);
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
  struct judge_reader reader;
  struct judge_found found;
  struct tpo_error err = {0};
  struct tpo_buf said = {0};
  const struct ask_answer answer = {.ok = true, .text = (char *)"[[A]]"};
  tpo_interrupt_install();
  open_builtin(&reader);
  if (judge_read_verdict(&reader, &answer, &said, &found, &err) != 0 || found.verdict != JUDGE_VERDICT_A)
    return 1;
  raise(SIGTERM);
  int status = judge_read_verdict(&reader, &answer, &said, &found, &err);
  tpo_buf_free(&said);
  judge_reader_close(&reader);
  return status == TPO_E_INTERRUPTED ? 0 : 2;
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
    const struct tpo_judge_config config = {.pattern = (char *)patterns[i][0]};
    struct tpo_error err = {0};
    assert_int_equal(judge_reader_check(&config, &err), TPO_E_USAGE);
    assert_contains(err.message, "judge.pattern");
    assert_contains(err.message, patterns[i][1]);
  }
  free(longer);
}

static void numbers_are_read_as_numbers_alone(void **state)
{
  (void)state;
  enum { OK = JUDGE_READ, NO = JUDGE_NOT_NAMED, LARGE = JUDGE_TOO_LARGE, NONE = JUDGE_NO_MATCH };
  static const struct {
    const char *text;
    int reading;
    double value;
  } cases[] = {{"Score: [[7]]", OK, 7},
               {"[[7.5]]", OK, 7.5},
               {"[[3]] then [[ 9 ]]", OK, 9},
               {"[[-2]]", OK, -2},
               {"[[+.5]]", OK, 0.5},
               {"[[4.]]", OK, 4},
               {"[[7/10]]", NO, 0},
               {"[[nan]]", NO, 0},
               {"[[inf]]", NO, 0},
               {"[[0x10]]", NO, 0},
               {"[[1e3]]", NO, 0},
               {"[[.]]", NO, 0},
               {"[[-]]", NO, 0},
               {"[[]]", NO, 0},
               {"7", NONE, 0},
               {"[[1.2.3]]", NO, 0},
               {"[[5]] [[no]]", NO, 0},
               {"[[-1000000000000000]]", OK, -1e15},
               {"[[1000000000000001]]", LARGE, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct ask_answer answer = {.ok = true, .text = (char *)cases[i].text};
    struct judge_reader reader;
    struct judge_found found;
    struct tpo_buf said = {0};
    open_builtin(&reader);
    assert_int_equal(judge_read_number(&reader, &answer, &said, &found, NULL), 0);
    assert_int_equal(found.reading, cases[i].reading);
    if (cases[i].reading == OK) assert_true(found.number == cases[i].value);
    tpo_buf_free(&said);
    judge_reader_close(&reader);
  }
  char *digits = malloc(700);
  memset(digits, '9', 699);
  memcpy(digits, "[[", 2);
  strcpy(digits + 697, "]]");
  struct judge_found found =
      read_set(&(struct tpo_judge_config){0}, &(struct ask_answer){.ok = true, .text = digits}, true);
  assert_int_equal(found.reading, JUDGE_TOO_LARGE);
  assert_int_equal(strlen(found.match), JUDGE_MATCH - 1);
  free(digits);
}

/* In each a thought holds the verdict that would be wrong, or nothing but one. */
static void a_verdict_in_a_thought_never_decides(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    bool cut_off;
    enum judge_reading reading;
    enum judge_verdict verdict;
  } cases[] = {
      {"<think>B seems better: [[B]]</think>\nNo, on reflection [[A]]", false, JUDGE_READ, JUDGE_VERDICT_A},
      {"[[A]]\n<think>or rather [[B]]?</think>", false, JUDGE_READ, JUDGE_VERDICT_A},
      {"B it is, [[B]].</think>[[A]]", false, JUDGE_READ, JUDGE_VERDICT_A},
      {"<thinking>[[B]]</thinking> [[A]] <think>[[B]]</think>", false, JUDGE_READ, JUDGE_VERDICT_A},
      {"<THINK>[[B]]</Think>[[A]]", false, JUDGE_READ, JUDGE_VERDICT_A},
      {"<think>[[B]]</think>Both are fine.", false, JUDGE_NO_MATCH, JUDGE_VERDICT_NONE},
      {"<think>[[B]]", false, JUDGE_OPEN_THOUGHT, JUDGE_VERDICT_NONE},
      {"[[A]] <think>but [[B]]", false, JUDGE_OPEN_THOUGHT, JUDGE_VERDICT_NONE},
      {"<think>[[B]]</thinking>[[A]]", false, JUDGE_OPEN_THOUGHT, JUDGE_VERDICT_NONE},
      {"<think>so far [[B]]", true, JUDGE_CUT_OFF, JUDGE_VERDICT_NONE},
      {"<think>so far [[B]]</think>[[A]] because", true, JUDGE_CUT_OFF, JUDGE_VERDICT_NONE},
      {"So far [[B]], and yet", true, JUDGE_CUT_OFF, JUDGE_VERDICT_NONE},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct ask_answer answer = {.ok = true, .cut_off = cases[i].cut_off, .text = (char *)cases[i].text};
    struct judge_found found = read_set(&(struct tpo_judge_config){0}, &answer, false);
    if (found.reading != cases[i].reading || found.verdict != cases[i].verdict) fail_msg("%s", cases[i].text);
  }
}

static struct judge_found arena(const char *text)
{
  const struct tpo_judge_config config = {.verdicts = {.preset = (char *)"arena-hard"}};
  return read_set(&config, &(struct ask_answer){.ok = true, .text = (char *)text}, false);
}

static void arena_hards_five_verdicts_are_known(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    enum judge_verdict verdict;
    double weight;
  } cases[] = {{"So it is [[A>>B]].", JUDGE_VERDICT_A, 3},
               {"So it is [[A>B]].", JUDGE_VERDICT_A, 1},
               {"A tie then: [[A=B]]", JUDGE_VERDICT_TIE, 1},
               {"So it is [[B>A]].", JUDGE_VERDICT_B, 1},
               {"[[A>B]], or no: [[B>>A]]", JUDGE_VERDICT_B, 3}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct judge_found found = arena(cases[i].text);
    assert_int_equal(found.verdict, cases[i].verdict);
    assert_true(found.weight == cases[i].weight);
  }
  assert_int_equal(arena("[[A]]").reading, JUDGE_NOT_NAMED);
  assert_string_equal(arena("it is [[A<B]]").match, "[[A<B]]");
  assert_int_equal(arena("[[Assistant A]]").reading, JUDGE_NO_MATCH);
}

static void own_verdicts_mean_what_they_are_said_to(void **state)
{
  (void)state;
  struct tpo_verdict_label labels[] = {{(char *)"Assistant A", TPO_VERDICT_A, 0.5},
                                       {(char *)" second ", TPO_VERDICT_B, 2},
                                       {(char *)"0", TPO_VERDICT_TIE, 1}};
  struct tpo_judge_config config = {.verdicts = {.labels = labels, .n = 3}};
  static const char *const texts[] = {"[[assistant a]]", "[[ SECOND ]]", "[[0]]", "[[A]]"};
  static const enum judge_verdict verdicts[] = {JUDGE_VERDICT_A, JUDGE_VERDICT_B, JUDGE_VERDICT_TIE,
                                                JUDGE_VERDICT_NONE};
  static const double weights[] = {0.5, 2, 1, 0};
  for (int i = 0; i < 4; i++) {
    struct judge_found found =
        read_set(&config, &(struct ask_answer){.ok = true, .text = (char *)texts[i]}, false);
    assert_int_equal(found.verdict, verdicts[i]);
    assert_true(found.weight == weights[i]);
  }
  struct tpo_error err = {0};
  labels[1].weight = 101;
  assert_int_equal(judge_reader_check(&config, &err), TPO_E_USAGE);
  assert_contains(err.message, "judge.verdicts: \" second \" has the weight 101");
  config.verdicts = (struct tpo_verdicts){.preset = (char *)"arena"};
  assert_int_equal(judge_reader_check(&config, &err), TPO_E_USAGE);
  assert_contains(err.message, "not arena");
}

static void matches_that_differ_are_no_verdict_where_only_one_may_be(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    enum judge_reading reading;
  } cases[] = {{"[[A]] and again [[ a ]]", JUDGE_READ},  {"<think>[[B]]</think>[[A]]", JUDGE_READ},
               {"[[B]], no, [[A]]", JUDGE_CONTRADICTED}, {"[[A]] [[B]] [[A]]", JUDGE_CONTRADICTED},
               {"[[A]] [[none]]", JUDGE_CONTRADICTED},   {"[[none]] [[none]]", JUDGE_NOT_NAMED}};
  const struct tpo_judge_config config = {.verdict_rule = TPO_VERDICT_ONLY};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct ask_answer answer = {.ok = true, .text = (char *)cases[i].text};
    assert_int_equal(read_set(&config, &answer, false).reading, cases[i].reading);
  }
  const struct ask_answer numbers = {.ok = true, .text = (char *)"[[3]] of 10, so [[4]]"};
  struct judge_found found = read_set(&config, &numbers, true);
  assert_int_equal(found.reading, JUDGE_CONTRADICTED);
  assert_string_equal(found.first, "[[3]]");
  assert_string_equal(found.match, "[[4]]");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
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
      cmocka_unit_test(a_verdict_in_a_thought_never_decides),
      cmocka_unit_test(arena_hards_five_verdicts_are_known),
      cmocka_unit_test(own_verdicts_mean_what_they_are_said_to),
      cmocka_unit_test(matches_that_differ_are_no_verdict_where_only_one_may_be),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
