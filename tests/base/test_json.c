/* JSON is refused with its place, dumped exactly, and looked into with the types expected. */
#include <math.h>
#include "unit.h"
#include "base/json.h"

static json_t *parse(const char *text)
{
  struct tpo_error err = {0};
  json_t *value = tpo_json_parse(text, strlen(text), "test", &err);
  if (!value) fail_msg("%s", err.message);
  return value;
}

static void errors_tell_place_and_column(void **state)
{
  (void)state;
  static const char *const bad[] = {"",     "{",  "{\"a\":1,\"a\":2}", "1 2", "\"\xff\"", "{\"a\":1e999}",
                                    "[1,]", "nul"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct tpo_error err = {0};
    assert_null(tpo_json_parse(bad[i], strlen(bad[i]), "f.jsonl:7", &err));
    assert_int_equal(err.code, TPO_E_INPUT);
    assert_ptr_equal(strstr(err.message, "f.jsonl:7: not valid JSON"), err.message);
  }
  struct tpo_error err = {0};
  assert_null(tpo_json_parse("{\n \"a\": x}", 11, "c.json", &err));
  assert_contains(err.message, "line 2");
  assert_null(tpo_json_parse(NULL, 0, "c.json", &err));
}

static void deep_nesting_is_refused_not_crashed_on(void **state)
{
  (void)state;
  enum { DEPTH = 200000 };
  char *text = malloc(DEPTH);
  memset(text, '[', DEPTH);
  struct tpo_error err = {0};
  assert_null(tpo_json_parse(text, DEPTH, "deep", &err));
  free(text);
}

static void dump_reads_back_the_same(void **state)
{
  (void)state;
  const char *text =
      "{\"z\":[1,-2.5,0.1,1e+300,3.0,true,null],\"a\":{\"\\u00e9\":\"\\u0000\\n\\\"\"},\"e\":[],\"o\":{}}";
  json_t *value = parse(text);
  char *dumped = tpo_json_dump(value);
  assert_string_equal(dumped,
                      "{\"z\":[1,-2.5,0.1,1e+300,3.0,true,null],\"a\":{\"\xc3\xa9\":\"\\u0000\\n\\\"\"},"
                      "\"e\":[],\"o\":{}}");
  json_t *again = parse(dumped);
  assert_true(json_equal(value, again));
  json_decref(again);
  json_decref(value);
  free(dumped);
  double hard[] = {0.1 + 0.2, 1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0};
  for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) {
    struct tpo_buf buf = {0};
    tpo_json_append_double(&buf, hard[i]);
    assert_true(strtod(buf.data, NULL) == hard[i]);
    tpo_buf_free(&buf);
  }
}

static void getters_keep_defaults_and_tell_wrong_types(void **state)
{
  (void)state;
  json_t *object = parse("{\"i\":5,\"whole\":4096.0,\"half\":0.5,\"s\":\"x\",\"n\":null,\"b\":false,"
                         "\"huge\":1000000000000000019884624838656}");
  struct tpo_error err = {0};
  int64_t number = 7;
  double real = 7;
  bool truth = true;
  const char *text = "kept";
  assert_int_equal(tpo_json_get_int(object, "absent", 0, 9, &number, "p", &err), 0);
  assert_int_equal(tpo_json_get_int(object, "n", 0, 9, &number, "p", &err), 0);
  assert_int_equal(number, 7);
  assert_int_equal(tpo_json_get_int(object, "i", 0, 9, &number, "p", &err), 0);
  assert_int_equal(number, 5);
  assert_int_equal(tpo_json_get_int(object, "whole", 0, 9999, &number, "p", &err), 0);
  assert_int_equal(number, 4096);
  assert_int_equal(tpo_json_get_int(object, "i", 0, 4, &number, "p", &err), TPO_E_INPUT);
  assert_string_equal(err.message, "p: \"i\" is 5, expected 0 to 4");
  assert_int_equal(tpo_json_get_int(object, "half", 0, 4, &number, "p", &err), TPO_E_INPUT);
  assert_int_equal(tpo_json_get_int(object, "huge", 0, INT64_MAX, &number, "p", &err), TPO_E_INPUT);
  assert_int_equal(tpo_json_get_int(object, "s", 0, 4, &number, "p", &err), TPO_E_INPUT);
  assert_string_equal(err.message, "p: \"s\" must be an integer, not a string");
  assert_int_equal(tpo_json_get_double(object, "i", &real, "p", &err), 0);
  assert_true(real == 5);
  assert_int_equal(tpo_json_get_double(object, "b", &real, "p", &err), TPO_E_INPUT);
  assert_int_equal(tpo_json_get_bool(object, "b", &truth, "p", &err), 0);
  assert_false(truth);
  assert_int_equal(tpo_json_get_bool(object, "i", &truth, "p", &err), TPO_E_INPUT);
  assert_int_equal(tpo_json_get_string(object, "absent", &text, "p", &err), 0);
  assert_string_equal(text, "kept");
  assert_int_equal(tpo_json_get_string(object, "i", &text, "p", &err), TPO_E_INPUT);
  json_decref(object);
}

static void any_bytes_can_be_a_visible_string(void **state)
{
  (void)state;
  json_t *string = tpo_json_visible("a\xff\x1b\xc3\xa4");
  assert_string_equal(json_string_value(string), "a\\xff\\x1b\xc3\xa4");
  json_decref(string);
  string = tpo_json_visible("");
  assert_string_equal(json_string_value(string), "");
  json_decref(string);
}

static void appended_strings_are_valid_whatever_the_bytes(void **state)
{
  (void)state;
  char bytes[256];
  for (int i = 0; i < 256; i++) bytes[i] = (char)i;
  struct tpo_buf buf = {0};
  tpo_json_append_string(&buf, bytes, sizeof bytes);
  json_t *value = parse(buf.data);
  assert_memory_equal(json_string_value(value), bytes, 128);
  assert_memory_equal(json_string_value(value) + 128, "\xef\xbf\xbd", 3);
  json_decref(value);
  tpo_buf_free(&buf);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(errors_tell_place_and_column),
      cmocka_unit_test(deep_nesting_is_refused_not_crashed_on),
      cmocka_unit_test(dump_reads_back_the_same),
      cmocka_unit_test(getters_keep_defaults_and_tell_wrong_types),
      cmocka_unit_test(any_bytes_can_be_a_visible_string),
      cmocka_unit_test(appended_strings_are_valid_whatever_the_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
