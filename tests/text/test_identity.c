/* Which tokenizer it is: the same whenever it is opened, another one for another vocabulary, template or
 * setting. */
#include "text/text_test.h"
#include "text/identity.h"

static const char *identity(const char *path)
{
  static char hex[4][33];
  static int next;
  char *out = hex[next++ % 4];
  struct tpo_tokenizer *tok = open_tokenizer(path);
  assert_int_equal(tokenizer_identify(tok, out, &test_error), 0);
  assert_int_equal(strlen(out), 32);
  tpo_tokenizer_close(tok);
  return out;
}

static void a_tokenizer_is_itself_whenever_it_is_opened(void **state)
{
  (void)state;
  assert_string_equal(identity(FIXTURES "/llama3"), identity(FIXTURES "/llama3"));
  assert_string_not_equal(identity(FIXTURES "/llama3"), identity(FIXTURES "/qwen2"));
}

static void put(const char *tokens, const char *config)
{
  char json[600];
  snprintf(
      json, sizeof json,
      "{\"added_tokens\": [], \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}, "
      "\"model\": {\"type\": \"BPE\", \"vocab\": {%s}, \"merges\": []}}",
      tokens);
  put_file(make_dir(), "tokenizer.json", json, strlen(json));
  put_file(make_dir(), "tokenizer_config.json", config, strlen(config));
}

static void each_file_counts(void **state)
{
  (void)state;
  put("\"a\": 0, \"b\": 1", "{\"chat_template\": \"x\"}");
  const char *plain = identity(make_dir());
  put("\"a\": 1, \"b\": 0", "{\"chat_template\": \"x\"}");
  const char *swapped = identity(make_dir());
  put("\"a\": 0, \"b\": 1", "{\"chat_template\": \"y\"}");
  const char *template = identity(make_dir());
  put("\"a\": 0, \"b\": 1", "{\"chat_template\": \"x\"}");
  assert_string_equal(identity(make_dir()), plain);
  assert_string_not_equal(swapped, plain);
  assert_string_not_equal(template, plain);
  remove_dir(make_dir());
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_tokenizer_is_itself_whenever_it_is_opened),
      cmocka_unit_test(each_file_counts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
