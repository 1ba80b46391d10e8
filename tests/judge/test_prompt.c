/* Questions for a judge model. */
#include "judge/prompt.h"
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
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
