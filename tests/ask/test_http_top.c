/* The likeliest first tokens that a server tells with an answer. */
#include "ask/http/protocol.h"
#include "unit.h"

static enum http_reading read_top(const char *body, size_t len, const char *key, int top_tokens,
                                  struct http_reply *reply, char why[HTTP_TEXT])
{
  const struct http_expected expected = {key, "judge.max_tokens", top_tokens};
  return http_read_reply(body, len, &expected, reply, why);
}

/* A reply whose first token's likeliest are `top`. */
static struct http_reply read_with_top(const char *top, int wanted)
{
  struct http_reply reply;
  char why[HTTP_TEXT];
  struct tpo_buf body = {0};
  tpo_buf_printf(&body,
                 "{\"choices\":[{\"message\":{\"content\":\"m\"},\"finish_reason\":\"length\","
                 "\"logprobs\":{\"content\":[{\"token\":\"m\",\"top_logprobs\":%s},{\"top_logprobs\":"
                 "[{\"token\":\"later\",\"logprob\":0}]}]}}]}",
                 top);
  assert_int_equal(read_top(body.data, body.len, "secret-key", wanted, &reply, why), HTTP_READ);
  assert_string_equal(reply.text, "m");
  free(reply.text);
  tpo_buf_free(&body);
  return reply;
}

static void the_likeliest_first_tokens_are_read_likeliest_first(void **state)
{
  (void)state;
  struct http_reply reply = read_with_top("[{\"token\":\"M\",\"logprob\":-9999.0,\"bytes\":[77]},"
                                          "{\"token\":\"m\",\"logprob\":-0.25,\"bytes\":null},"
                                          "{\"token\":\"a secret-key\\u0000\",\"logprob\":-1}]",
                                          5);
  assert_int_equal(reply.top.n_top, 3);
  assert_string_equal(reply.top.top[0].text, "m");
  assert_true(reply.top.top[0].logprob == -0.25);
  assert_string_equal(reply.top.top[1].text, "a [key]\xEF\xBF\xBD");
  assert_string_equal(reply.top.top[2].text, "M");
  ask_answer_clear(&reply.top);
  reply = read_with_top("[{\"token\":\"m\",\"logprob\":1e-9}]", 5); /* rounded */
  assert_true(reply.top.n_top == 1 && reply.top.top[0].logprob == 0);
  ask_answer_clear(&reply.top);
}

static void what_is_no_token_with_its_logprob_is_passed_over(void **state)
{
  (void)state;
  static const char *const none[] = {"null",
                                     "7",
                                     "{}",
                                     "[]",
                                     "\"m\"",
                                     "[null,1,\"m\",[]]",
                                     "[{\"token\":\"m\"}]",
                                     "[{\"logprob\":-1}]",
                                     "[{\"token\":\"m\",\"logprob\":\"-1\"}]",
                                     "[{\"token\":7,\"logprob\":-1}]",
                                     "[{\"token\":\"m\",\"logprob\":2}]"};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++)
    assert_int_equal(read_with_top(none[i], 5).top.n_top, 0);
  struct http_reply reply =
      read_with_top("[{\"token\":\"m\",\"logprob\":-1},{\"token\":\"M\",\"logprob\":-2}]", 1);
  assert_int_equal(reply.top.n_top, 1);
  ask_answer_clear(&reply.top);
  assert_int_equal(read_with_top("[{\"token\":\"m\",\"logprob\":-1}]", 0).top.n_top, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_likeliest_first_tokens_are_read_likeliest_first),
      cmocka_unit_test(what_is_no_token_with_its_logprob_is_passed_over),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
