/* The chat that judges are shown. */
#include "base/json.h"
#include "judge/messages.h"
#include "unit.h"

static int read_meta(struct judge_messages *messages, const char *meta, struct tpo_error *err)
{
  struct tpo_judge_item item = {.id = "p", .instruction = "Last?", .meta = meta};
  return judge_messages_of_item(messages, &item, err);
}

static void chat_is_read_with_room_for_a_response(void **state)
{
  (void)state;
  struct judge_messages m;
  assert_int_equal(read_meta(&m,
                             "{\"messages\":[{\"role\":\"system\",\"content\":\"\"},"
                             "{\"role\":\"user\",\"content\":\"Hi\"}]}",
                             NULL),
                   0);
  assert_int_equal(m.n, 2);
  assert_string_equal(m.list[0].role, "system");
  assert_string_equal(m.list[0].content, "");
  assert_string_equal(m.list[1].role, "user");
  assert_string_equal(m.list[1].content, "Hi");
  m.list[2] = (struct tpo_message){"assistant", "Yes"};
  judge_messages_free(&m);
}

static void without_a_chat_the_instruction_is_the_users_message(void **state)
{
  (void)state;
  static const char *const metas[] = {NULL, "", "{}", "{\"messages\":null}", "{\"messages\":[]}"};
  for (size_t i = 0; i < sizeof metas / sizeof *metas; i++) {
    struct judge_messages m;
    assert_int_equal(read_meta(&m, metas[i], NULL), 0);
    assert_int_equal(m.n, 1);
    assert_string_equal(m.list[0].role, "user");
    assert_string_equal(m.list[0].content, "Last?");
    m.list[1] = (struct tpo_message){"assistant", "Yes"};
    judge_messages_free(&m);
  }
}

static void broken_chats_are_refused(void **state)
{
  (void)state;
  static const char *const metas[] = {"{",
                                      "{\"messages\":7}",
                                      "{\"messages\":{}}",
                                      "{\"messages\":\"hi\"}",
                                      "{\"messages\":[1]}",
                                      "{\"messages\":[{\"role\":\"user\"}]}",
                                      "{\"messages\":[{\"content\":\"x\"}]}",
                                      "{\"messages\":[{\"role\":1,\"content\":\"x\"}]}",
                                      "{\"messages\":[{\"role\":\"us\\u0000er\",\"content\":\"x\"}]}",
                                      "{\"messages\":[{\"role\":\"user\",\"content\":\"\\u0000\"}]}"};
  for (size_t i = 0; i < sizeof metas / sizeof *metas; i++) {
    struct judge_messages m;
    struct tpo_error err = {0};
    assert_int_equal(read_meta(&m, metas[i], &err), TPO_E_INPUT);
    assert_contains(err.message, i > 0 ? "messages: " : "meta: ");
    judge_messages_free(&m);
  }
}

static void array_needs_a_message(void **state)
{
  (void)state;
  static const char *const texts[] = {"[]", "{}", "null", "7"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct judge_messages m;
    json_t *array = tpo_json_parse(texts[i], strlen(texts[i]), "", NULL);
    assert_int_equal(judge_messages_read(&m, array, NULL), TPO_E_INPUT);
    judge_messages_free(&m);
    json_decref(array);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(chat_is_read_with_room_for_a_response),
      cmocka_unit_test(without_a_chat_the_instruction_is_the_users_message),
      cmocka_unit_test(broken_chats_are_refused),
      cmocka_unit_test(array_needs_a_message),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
