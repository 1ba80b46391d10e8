/* A chat template put into a tokenizer_config.json, all else of which stays as it is. */
#include "text_test.h"
#include "text/load/set_template.h"

static void expect_put(const char *json, const char *expected)
{
  struct tpo_buf out = {0};
  if (tpo_tokenizer_config_put_template(json, strlen(json), "a\"\\\n{%", "t.json", &out, &test_error) < 0)
    fail_msg("%s: %s", json, test_error.message);
  tpo_buf_putc(&out, '\0');
  assert_string_equal(out.data, expected);
  tpo_buf_free(&out);
}

#define NEW "\"a\\\"\\\\\\n{%\""

static void the_template_takes_the_place_of_what_is_there(void **state)
{
  (void)state;
  expect_put("{\"chat_template\": \"old\"}", "{\"chat_template\": " NEW "}");
  expect_put(" { \"a\" : [1, {\"x\":\"]\"}] ,\"chat_template\":\"}\\\"\\\\\", \"b\":1.50e3 }\n",
             " { \"a\" : [1, {\"x\":\"]\"}] ,\"chat_template\":" NEW ", \"b\":1.50e3 }\n");
  expect_put(
      "{\"n\":1000000000000000019884624838656,\"chat_template\":[{\"name\":\"default\"},{}]\n,\"z\":null}",
      "{\"n\":1000000000000000019884624838656,\"chat_template\":" NEW "\n,\"z\":null}");
  expect_put("{\"chat_template\":null}", "{\"chat_template\":" NEW "}");
  expect_put("{\"chat_template\":{\"a\":[]},\"a\":true}", "{\"chat_template\":" NEW ",\"a\":true}");
}

static void a_template_is_added_where_there_is_none(void **state)
{
  (void)state;
  expect_put("{}", "{\n  \"chat_template\": " NEW "}");
  expect_put("\n{\n  \"a\": 1\n}", "\n{\n  \"chat_template\": " NEW ",\n  \"a\": 1\n}");
  expect_put("{\"a\":{\"chat_template\":\"x\"},\"chat_template2\":\"y\",\"b\":\"\\\"chat_template\\\":\"}",
             "{\n  \"chat_template\": " NEW
             ",\"a\":{\"chat_template\":\"x\"},\"chat_template2\":\"y\",\"b\":\"\\\"chat_template\\\":\"}");
}

static void what_is_no_object_is_refused(void **state)
{
  (void)state;
  static const char *const bad[] = {
      "", "[]", "1", "\"chat_template\"", "{\"chat_template\":", "{\"a\":1} x", "{\"a\":1,\"a\":2}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct tpo_buf out = {0};
    assert_int_equal(
        tpo_tokenizer_config_put_template(bad[i], strlen(bad[i]), "x", "t.json", &out, &test_error),
        TPO_E_INPUT);
    assert_non_null(strstr(test_error.message, "t.json"));
    assert_int_equal(out.len, 0);
    tpo_buf_free(&out);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_template_takes_the_place_of_what_is_there),
      cmocka_unit_test(a_template_is_added_where_there_is_none),
      cmocka_unit_test(what_is_no_object_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
