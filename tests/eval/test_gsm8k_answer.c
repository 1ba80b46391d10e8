/* The number that a response gives, and where it is looked for. */
#include <math.h>

#include "eval/tasks/gsm8k.h"
#include "unit.h"

static const struct {
  const char *text;
  enum eval_gsm8k_place place;
  double number;
} texts[] = {
    {"She has 3 eggs and sells 15 for a total of 18.", EVAL_GSM8K_LAST, 18},
    {"It costs $1,234.50", EVAL_GSM8K_LAST, 1234.5},
    {"18.00", EVAL_GSM8K_LAST, 18},
    {"So he loses -7 points", EVAL_GSM8K_LAST, -7},
    {"So he loses \xe2\x88\x92"
     "7 points",
     EVAL_GSM8K_LAST, -7},
    {"That is 20-5", EVAL_GSM8K_LAST, 5},
    {"That is 20\xe2\x88\x92"
     "5",
     EVAL_GSM8K_LAST, 5},
    {"(3+2)\xe2\x88\x92"
     "4",
     EVAL_GSM8K_LAST, 4},
    {"x=\xe2\x88\x92"
     "5",
     EVAL_GSM8K_LAST, -5},
    {"x=-5", EVAL_GSM8K_LAST, -5},
    {"so _18_ eggs", EVAL_GSM8K_LAST, 18},
    {"so __$18__", EVAL_GSM8K_LAST, 18},
    {"\xe2\x80\x9c_18_\xe2\x80\x9d", EVAL_GSM8K_LAST, 18},
    {"18_", EVAL_GSM8K_LAST, 18},
    {"x_1 and \xc3\xa9_2", EVAL_GSM8K_NOWHERE, 0},
    {"She gets 18 on the 5th day, the 1st, 2ND and 3rd", EVAL_GSM8K_LAST, 18},
    {"the 5th", EVAL_GSM8K_NOWHERE, 0},
    {"18thousand", EVAL_GSM8K_LAST, 18},
    {"18t", EVAL_GSM8K_LAST, 18},
    {"It rose by 15%.", EVAL_GSM8K_LAST, 15},
    {"A third, so 3/4 of it", EVAL_GSM8K_LAST, 4}, /* as stated: two numbers */
    {"from b2b", EVAL_GSM8K_NOWHERE, 0},
    {"none at all", EVAL_GSM8K_NOWHERE, 0},
    {"", EVAL_GSM8K_NOWHERE, 0},
    {"1e999", EVAL_GSM8K_NOWHERE, 0},
    {"inf", EVAL_GSM8K_NOWHERE, 0},
    {"nan", EVAL_GSM8K_NOWHERE, 0},
    {"\xff\xfe 12", EVAL_GSM8K_NOWHERE, 0},
    {"The answer is 18. That took 3 steps.", EVAL_GSM8K_SENTENCE, 18},
    {"the ANSWER is: **$18** for 2", EVAL_GSM8K_SENTENCE, 18},
    {"The answer is 3. No: the final answer is 4, not 5.", EVAL_GSM8K_SENTENCE, 4},
    {"The answer is\n\n42\n", EVAL_GSM8K_SENTENCE, 42},
    {"The answer is 3 * 6 = 18.", EVAL_GSM8K_SENTENCE, 18},
    {"The answer is 2 = 1 + 1 = $2.50 for 3 of them. Then 4 = 4", EVAL_GSM8K_SENTENCE, 2.5},
    {"The answer is **3 * 6 = 18**\nCheck: 18 / 6 = 3", EVAL_GSM8K_SENTENCE, 18},
    {"The answer is 18! As 3 = 3", EVAL_GSM8K_SENTENCE, 18},
    {"The answer is 18 = x.", EVAL_GSM8K_SENTENCE, 18},
    {"The answer is:\n3 * 6 = 18\n9 = 9", EVAL_GSM8K_SENTENCE, 18},
    {"3 = 3. The answer is 18", EVAL_GSM8K_SENTENCE, 18},
    {"The answer is on the 3rd line: 18", EVAL_GSM8K_SENTENCE, 18},
    {"I got 7. The answer is that I don't know.", EVAL_GSM8K_LAST, 7},
    {"The answer is 3, so \\boxed{4} of 9", EVAL_GSM8K_BOXED, 4},
    {"\\boxed{3} and then \\boxed{x = 1{,}000 \\text{ eggs}}", EVAL_GSM8K_BOXED, 1000},
    {"$\\boxed{\\$18}$", EVAL_GSM8K_BOXED, 18},
    {"\\boxed{3} but \\boxed{4", EVAL_GSM8K_BOXED, 3},
    {"\\boxed{ \\boxed{18}", EVAL_GSM8K_BOXED, 18},
    {"\\boxed{4 of 9", EVAL_GSM8K_LAST, 9},
    {"\\boxed{}: 9", EVAL_GSM8K_LAST, 9},
    {"10\\,800 litres", EVAL_GSM8K_LAST, 10800},
    {"a\x01\x1b[2J 12\x07", EVAL_GSM8K_LAST, 12},
};

static void a_text_gives_the_box_the_sentence_or_the_last_number(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct eval_gsm8k_answer answer = eval_gsm8k_of_text(texts[i].text);
    if (answer.place != texts[i].place)
      fail_msg("\"%s\": found as %s", texts[i].text, eval_gsm8k_place_name(answer.place));
    if (answer.place == EVAL_GSM8K_NOWHERE)
      assert_true(isnan(answer.number));
    else if (answer.number != texts[i].number)
      fail_msg("\"%s\": %g", texts[i].text, answer.number);
  }
}

static void a_solution_gives_what_stands_behind_its_last_mark(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    double number; /* NaN: none */
  } cases[] = {{"so 3\nA: 18", 18},   {"A: 3\nA: $1,180", 1180}, {"A: 7/14", NAN},     {"18", NAN},
               {"A:", NAN},           {"A: 18 eggs", NAN},       {"A: -2.50\n", -2.5}, {"A: 1e999", NAN},
               {"A: 4\nQ: and 5?", 4}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct eval_gsm8k_answer answer = eval_gsm8k_of_solution(cases[i].text);
    bool none = isnan(cases[i].number);
    assert_int_equal(answer.place, none ? EVAL_GSM8K_NOWHERE : EVAL_GSM8K_MARK);
    if (!none) assert_true(answer.number == cases[i].number);
  }
}

/* Of what could be looked at again and again. */
static void a_hostile_text_takes_no_longer_than_its_length(void **state)
{
  (void)state;
  static const char *const pieces[] = {
      "\\boxed{", "{", "the answer is ", "-", "1", "A:", "$", "\\boxed{1}", "3-", "_", "=", "3rd ", "."};
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    size_t len = strlen(pieces[i]), n = 300000 / len;
    char *text = malloc(n * len + 1);
    assert_non_null(text);
    for (size_t j = 0; j < n; j++) memcpy(text + j * len, pieces[i], len);
    text[n * len] = '\0';
    eval_gsm8k_of_text(text);
    eval_gsm8k_of_solution(text);
    free(text);
  }
}

static void equal_numbers_are_equal_however_written(void **state)
{
  (void)state;
  assert_true(eval_gsm8k_same(18.0000001, 18));
  assert_false(eval_gsm8k_same(18.01, 18));
  assert_true(eval_gsm8k_same(123456789.0, 123456789.0));
  assert_false(eval_gsm8k_same(NAN, 18));
  assert_false(eval_gsm8k_same(-18, 18));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_text_gives_the_box_the_sentence_or_the_last_number),
      cmocka_unit_test(a_solution_gives_what_stands_behind_its_last_mark),
      cmocka_unit_test(a_hostile_text_takes_no_longer_than_its_length),
      cmocka_unit_test(equal_numbers_are_equal_however_written),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
