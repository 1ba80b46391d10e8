/* What is taken of a model's answer as a new instruction, and what is refused. */
#include "unit.h"
#include "data/draft.h"

static void cleans(const char *answer, const char *expected)
{
  char *text = draft_clean(answer);
  assert_non_null(text);
  assert_string_equal(text, expected);
  free(text);
}

static const char *const specials[] = {"<end-of-turn>"};
static const struct draft_rules rules = {3, 20, specials, 1};

static void finds(const char *text, enum draft_fault expected)
{
  enum draft_fault fault = draft_check(text, &rules);
  if (fault != expected)
    fail_msg("\"%s\": %s, expected %s", text, draft_fault_name(fault), draft_fault_name(expected));
}

static void plain_answers_stay(void **state)
{
  (void)state;
  cleans("Write a poem about rain.", "Write a poem about rain.");
  cleans("  \n Name three rivers?\r\n", "Name three rivers?");
  cleans("Sort these:\n3, 1, 2", "Sort these:\n3, 1, 2");
  cleans("", "");
  cleans(" \n\t", "");
  cleans("Here is a list of numbers: 3, 1, 2. Sort it.", "Here is a list of numbers: 3, 1, 2. Sort it.");
  cleans("3.5 miles are how many kilometres?", "3.5 miles are how many kilometres?");
  cleans("Request a refund politely, in writing.", "Request a refund politely, in writing.");
  cleans("Use \"this\" and \"that\"", "Use \"this\" and \"that\"");
}

static void labels_numbers_and_bullets_go(void **state)
{
  (void)state;
  const char *expected = "Write a poem.";
  const char *const answers[] = {
      "Request 9: Write a poem.",
      "request 9:\nWrite a poem.",
      "**Request 9:** Write a poem.",
      "**Request 9: Write a poem.**",
      "New request: Write a poem.",
      "### Request 9\n\nWrite a poem.",
      "9. Write a poem.",
      "9) Write a poem.",
      "(9) Write a poem.",
      "- Write a poem.",
      "* Write a poem.",
      "• Write a poem.",
      "Task #9: Write a poem.",
      "9. Task 9: Write a poem.",
      "Question 9. Write a poem.",
      "Request 9:\n\n\"Write a poem.\"",
      "Request 9: \xe2\x80\x9cWrite a poem.\xe2\x80\x9d",
  };
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) cleans(answers[i], expected);
}

static void quotes_and_emphasis_around_it_go(void **state)
{
  (void)state;
  cleans("\"Write a poem.\"", "Write a poem.");
  cleans("\xc2\xabWrite a poem.\xc2\xbb", "Write a poem.");
  cleans("`Write a poem.`", "Write a poem.");
  cleans("**\"Write a poem.\"**", "Write a poem.");
  cleans("'Write a poem.'", "Write a poem.");
  cleans("\"Yes\" or \"no\"", "\"Yes\" or \"no\"");
}

static void introductions_go(void **state)
{
  (void)state;
  cleans("Sure! Here is a new request:\n\nWrite a poem.", "Write a poem.");
  cleans("Certainly, here you go: Write a poem.", "Write a poem.");
  cleans("Here's another request that fits:\n\nRequest 9: Write a poem.", "Write a poem.");
  cleans("Here is request 9:", "Here is request 9:");
}

static void only_the_first_instruction_is_taken(void **state)
{
  (void)state;
  cleans("Request 9: Write a poem.\n\nRequest 10: Name a river.", "Write a poem.");
  cleans("Write a poem.\nRequest 10: Name a river.", "Write a poem.");
  cleans("1. Write a poem.\n2. Name a river.\n3. Add.", "Write a poem.");
  cleans("- Write a poem.\n- Name a river.", "Write a poem.");
  cleans("Write a poem.\n\nRain falls on the roof,", "Write a poem.");
  cleans("Write a poem.\nAnswer: Rain falls.", "Write a poem.");
  cleans("Write a poem.\n**Response:** Rain falls.", "Write a poem.");
  cleans("Write a poem.\n---\nNote that this is new.", "Write a poem.");
  cleans("\"Write a poem.\"\n\nThis request is about poems.", "Write a poem.");
}

static void what_an_instruction_speaks_of_belongs_to_it(void **state)
{
  (void)state;
  cleans("Fix the grammar of this:\n\nHe go home.", "Fix the grammar of this:\n\nHe go home.");
  cleans("Summarise the following text.\n\nThe sea rose.\n\nThis is my request.",
         "Summarise the following text.\n\nThe sea rose.\n\nThis is my request.");
  cleans("Put these in order:\n1. ten\n2. two", "Put these in order:\n1. ten\n2. two");
  cleans("What does this do?\n```\na = 1\n\n- b\n```", "What does this do?\n```\na = 1\n\n- b\n```");
}

static void hostile_answers_are_cleaned_without_harm(void **state)
{
  (void)state;
  const char *const answers[] = {"\"",
                                 "**",
                                 "****",
                                 "Request",
                                 "Request 9:",
                                 "9.",
                                 "9. ",
                                 "(",
                                 "\xff\xfe:",
                                 ":",
                                 "* ",
                                 "```",
                                 "\r\r\r",
                                 "Sure:",
                                 "###",
                                 "-",
                                 "\"\"",
                                 "**Request 1:**",
                                 "1. 1. 1. ",
                                 "\xe2\x80\x9c",
                                 "Request 1: Request 2: Request 3:"};
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
    char *text = draft_clean(answers[i]);
    assert_non_null(text);
    assert_true(strlen(text) <= strlen(answers[i]));
    draft_check(text, &rules);
    free(text);
  }
}

static void good_instructions_pass(void **state)
{
  (void)state;
  const char *const good[] = {"Write a poem about rain.",
                              "Name three primary colours",
                              "What is a \"quine\"?",
                              "Explain (briefly) how tides work.",
                              "Write a program in C++",
                              "Pick one: a) tea, b) coffee, 3) water.",
                              "Write something cheerful :)",
                              "Is a 27\" screen large?",
                              "写一首关于雨的诗。",
                              "Explain what recursion is",
                              "Use the word `let` once.",
                              "Sorted lists: what are they good for?",
                              "What does this do?\n```\nint a = f(1);\n```",
                              "Here are three words. Make a sentence of them."};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) finds(good[i], DRAFT_GOOD);
}

static void lengths_are_held(void **state)
{
  (void)state;
  finds("", DRAFT_EMPTY);
  finds("Why not?", DRAFT_SHORT);
  finds("...!?", DRAFT_SHORT);
  finds("a b c d e f g h i j k l m n o p q r s t", DRAFT_GOOD);
  finds("a b c d e f g h i j k l m n o p q r s t u", DRAFT_LONG);
}

static void unfinished_ones_are_refused(void **state)
{
  (void)state;
  const char *const bad[] = {"Write a poem about the",
                             "Name three rivers,",
                             "Compare tea and",
                             "Translate this sentence:",
                             "Write a letter to your",
                             "Explain the difference between",
                             "Write a poem about rain \xe2\x80\x94"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) finds(bad[i], DRAFT_UNFINISHED);
}

static void open_quotes_and_brackets_are_refused(void **state)
{
  (void)state;
  const char *const bad[] = {
      "What does \"quine mean?", "Explain (briefly how tides work.",  "Explain briefly) how tides work.",
      "What is f([x)] in code?", "What does \xe2\x80\x9cquine mean?", "What does this do?\n```\na = 1",
      "Use the word `let once."};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) finds(bad[i], DRAFT_UNBALANCED);
}

static void replies_are_refused(void **state)
{
  (void)state;
  const char *const bad[] = {"I'm sorry, but I can't do that.",
                             "I\xe2\x80\x99m sorry, but no.",
                             "Sorry, that is not possible.",
                             "As an AI language model, I have no feelings.",
                             "Sure, I will write one.",
                             "Certainly! I can do that.",
                             "Here is a request for you.",
                             "I'd be happy to help you.",
                             "This is odd, as an AI language model I must say."};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) finds(bad[i], DRAFT_REPLY);
  finds("Surely you can name a river.", DRAFT_GOOD);
}

static void markers_are_refused(void **state)
{
  (void)state;
  const char *const bad[] = {
      "Write a poem.<|im_end|> Now more.",     "[INST] Write a poem [/INST]",
      "Write a poem.\nassistant\nRain falls.", "Write a poem <end-of-turn> now",
      "Write {instruction} as a poem.",        "That is good.</think>Write a poem on rain."};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) finds(bad[i], DRAFT_MARKER);
  finds("In F#, what does f <| x mean?", DRAFT_GOOD);
}

static void bad_characters_are_refused(void **state)
{
  (void)state;
  const char *const bad[] = {"Write a \xff poem now.", "Write a poem\x1b[31m now.",
                             "Write a \xef\xbf\xbd poem now.", "Write a \xe2\x80\xae poem now.",
                             "Write a\x07 poem now."};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) finds(bad[i], DRAFT_CHARACTERS);
  finds("Write a\tpoem\nabout rain.", DRAFT_GOOD);
}

static void every_fault_has_a_name(void **state)
{
  (void)state;
  for (int f = 0; f < N_DRAFT_FAULTS; f++) assert_true(strlen(draft_fault_name((enum draft_fault)f)) > 2);
  assert_string_equal(draft_fault_name(N_DRAFT_FAULTS), "unknown");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plain_answers_stay),
      cmocka_unit_test(labels_numbers_and_bullets_go),
      cmocka_unit_test(quotes_and_emphasis_around_it_go),
      cmocka_unit_test(introductions_go),
      cmocka_unit_test(only_the_first_instruction_is_taken),
      cmocka_unit_test(what_an_instruction_speaks_of_belongs_to_it),
      cmocka_unit_test(hostile_answers_are_cleaned_without_harm),
      cmocka_unit_test(good_instructions_pass),
      cmocka_unit_test(lengths_are_held),
      cmocka_unit_test(unfinished_ones_are_refused),
      cmocka_unit_test(open_quotes_and_brackets_are_refused),
      cmocka_unit_test(replies_are_refused),
      cmocka_unit_test(markers_are_refused),
      cmocka_unit_test(bad_characters_are_refused),
      cmocka_unit_test(every_fault_has_a_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
