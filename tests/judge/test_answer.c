/* What a judge model says outside its thoughts. */
#include "judge/answer.h"
#include "unit.h"

/* free() it; *how: enum answer_thoughts. */
static char *said(const char *text, const char *pattern, int *how)
{
  struct judge_pattern *compiled = NULL;
  struct tpo_buf out = {0};
  if (pattern)
    assert_int_equal(
        judge_pattern_open(&compiled, "judge.thought_pattern", pattern, JUDGE_PATTERN_WHOLE, NULL), 0);
  *how = judge_answer_said(&out, text, compiled, ANSWER_OPEN_IS_THOUGHT, NULL);
  judge_pattern_close(compiled);
  return tpo_buf_take(&out);
}

static void expect(const char *text, const char *pattern, int how, const char *left)
{
  int got;
  char *out = said(text, pattern, &got);
  if (got != how || (left && strcmp(out, left) != 0)) fail_msg("%s: %d, %s", text, got, out);
  free(out);
}

static void what_has_no_thought_stays_as_it_is(void **state)
{
  (void)state;
  static const char *const texts[] = {"",         " A \n",  "a < b",     "<",     "</",        "<think",
                                      "</think ", "<thin>", "<thinker>", "<<b>>", "</thinkin>"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    expect(texts[i], NULL, ANSWER_THOUGHTS_CLOSED, texts[i]);
  expect("a\xff z", NULL, ANSWER_THOUGHTS_CLOSED, "a\xEF\xBF\xBD z");
}

static void an_unclosed_thought_of_ones_own_goes_by_a_pattern_that_takes_the_end(void **state)
{
  (void)state;
  static const char *const pattern = "(?s)THOUGHT.*?(END|$)";
  expect("THOUGHT [[2]] END [[7]]", pattern, ANSWER_THOUGHTS_CLOSED, "[[7]]");
  expect("[[7]] THOUGHT [[2]]\nand on\n", pattern, ANSWER_THOUGHTS_CLOSED, "[[7]]");
  expect("THOUGHT [[2]] and on", "(?s)THOUGHT.*?END", ANSWER_THOUGHTS_CLOSED, "THOUGHT [[2]] and on");
}

static void thoughts_are_left_out_however_many(void **state)
{
  (void)state;
  static const struct {
    const char *text, *left;
  } cases[] = {{"<think>x</think>y", "y"},
               {"<think></think>\n\n y \n", "y"},
               {"a<think>x</think>b<thinking>z</thinking>c", "abc"},
               {"<Thinking>x</THINKING>y", "y"},
               {"x</think>y", "y"},
               {"x</thinking>y", "y"},
               {"a<think>x</think>b</think>c", "c"},
               {"<think>x<think>y</think>z", "z"},
               {"<think>x<think>y</think>z</think>c", "c"},
               {"<think>x<thinking>y</thinking>z</think>c", "c"},
               {"<think>x</think>", ""},
               {"<<think>x</think>y", "<y"},
               {"<think>a < b </ think></think>y", "y"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    expect(cases[i].text, NULL, ANSWER_THOUGHTS_CLOSED, cases[i].left);
}

static void a_thought_that_is_not_closed_is_told(void **state)
{
  (void)state;
  static const char *const texts[] = {"<think>", "y<think>x", "<think>x</thinking>y",
                                      "x</think>y<thinking>z"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) expect(texts[i], NULL, ANSWER_THOUGHT_OPEN, NULL);
}

static void a_pattern_of_ones_own_comes_first(void **state)
{
  (void)state;
  const char *pattern = "(?s)\\[notes\\].*?(\\[/notes\\]|$)";
  expect("[notes]\nx[/notes] y [notes]z[/notes]", pattern, ANSWER_THOUGHTS_CLOSED, "y");
  expect("[notes]x<think>[/notes]y", pattern, ANSWER_THOUGHTS_CLOSED, "y");
  expect("[notes]x[/notes]y<think>z</think>", pattern, ANSWER_THOUGHTS_CLOSED, "y");
  expect("y[notes]x", pattern, ANSWER_THOUGHTS_CLOSED, "y");
  expect("yxz", "x?", ANSWER_THOUGHTS_CLOSED, "yz"); /* empty matches are nothing */
  expect("aXaa", "a\\KX|aa", ANSWER_THOUGHTS_CLOSED, "a");
}

/* As long as an answer of judge.max_tokens may be. */
static void a_long_thought_is_left_out(void **state)
{
  (void)state;
  size_t len = 2 << 20;
  struct tpo_buf text = {0};
  tpo_buf_puts(&text, "[notes]");
  for (size_t i = 0; i < len; i++) tpo_buf_putc(&text, (char)('a' + i % 26));
  tpo_buf_puts(&text, "[/notes]y");
  expect(text.data, "(?s)\\[notes\\].*?\\[/notes\\]", ANSWER_THOUGHTS_CLOSED, "y");
  tpo_buf_free(&text);
}

static void a_search_that_takes_too_long_is_given_up(void **state)
{
  (void)state;
  char text[4096];
  memset(text, 'a', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  expect(text, "(?:(?:a+)+)+\\d", ANSWER_THOUGHTS_GIVEN_UP, NULL);
}

static void bad_patterns_are_told_with_their_key(void **state)
{
  (void)state;
  struct judge_pattern *pattern;
  struct tpo_error err = {0};
  assert_int_equal(judge_pattern_open(&pattern, "judge.thought_pattern", "[x", JUDGE_PATTERN_WHOLE, &err),
                   TPO_E_USAGE);
  assert_null(pattern);
  assert_contains(err.message, "judge.thought_pattern is wrong at byte");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_has_no_thought_stays_as_it_is),
      cmocka_unit_test(thoughts_are_left_out_however_many),
      cmocka_unit_test(an_unclosed_thought_of_ones_own_goes_by_a_pattern_that_takes_the_end),
      cmocka_unit_test(a_thought_that_is_not_closed_is_told),
      cmocka_unit_test(a_pattern_of_ones_own_comes_first),
      cmocka_unit_test(a_long_thought_is_left_out),
      cmocka_unit_test(a_search_that_takes_too_long_is_given_up),
      cmocka_unit_test(bad_patterns_are_told_with_their_key),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
