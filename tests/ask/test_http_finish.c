/* How an answer ended, by a server's word for it. */
#include "ask/http/protocol.h"
#include "unit.h"

static void words_are_known_in_any_letter_case(void **state)
{
  (void)state;
  static const struct {
    const char *reason;
    enum http_finish finish;
  } cases[] = {{NULL, HTTP_FINISH_WHOLE},         {"", HTTP_FINISH_WHOLE},
               {"stop", HTTP_FINISH_WHOLE},       {"END_TURN", HTTP_FINISH_WHOLE},
               {"length", HTTP_FINISH_LIMIT},     {"Length", HTTP_FINISH_LIMIT},
               {"MAX_TOKENS", HTTP_FINISH_LIMIT}, {"content_filter", HTTP_FINISH_FILTER},
               {"SAFETY", HTTP_FINISH_FILTER},    {"tool_calls", HTTP_FINISH_OTHER},
               {"stopped", HTTP_FINISH_OTHER},    {"abort", HTTP_FINISH_OTHER}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (http_finish_of(cases[i].reason) != cases[i].finish) fail_msg("%s", cases[i].reason);
}

static void what_ended_otherwise_is_no_answer_and_why_is_told(void **state)
{
  (void)state;
  static const struct {
    const char *body;
    enum http_reading reading;
    const char *why;
  } cases[] = {
      {"{\"choices\":[{\"message\":{\"content\":\"[[A]] but\"},\"finish_reason\":\"content_filter\"}]}",
       HTTP_NO_TEXT, "broken off by the server's filter (finish_reason content_filter)"},
      {"{\"choices\":[{\"message\":{\"content\":\"[[A]] but\"},\"finish_reason\":\"SAFETY\"}]}", HTTP_NO_TEXT,
       "broken off by the server's filter (finish_reason SAFETY)"},
      {"{\"choices\":[{\"message\":{\"content\":null},\"finish_reason\":\"content_filter\"}]}", HTTP_NO_TEXT,
       "(finish_reason content_filter): the server's filter, or the model, refused to answer"},
      {"{\"choices\":[{\"message\":{\"content\":\"[[A]] but\"},\"finish_reason\":\"tool_calls\"}]}",
       HTTP_NO_TEXT, "the answer ended with finish_reason tool_calls, which no whole answer has"},
      {"{\"choices\":[{\"message\":{\"content\":null},\"finish_reason\":\"length\"}]}", HTTP_NO_TEXT,
       "judge.max_tokens was used up before there was an answer"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct http_reply reply;
    char why[HTTP_TEXT];
    assert_int_equal(http_read_reply(cases[i].body, strlen(cases[i].body),
                                     &(struct http_expected){.limit = "judge.max_tokens"}, &reply, why),
                     cases[i].reading);
    assert_contains(why, cases[i].why);
    assert_null(reply.text);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(words_are_known_in_any_letter_case),
      cmocka_unit_test(what_ended_otherwise_is_no_answer_and_why_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
