/* Values, operators, methods, filters and tests as Python and jinja2 have them: tables of make_jinja_values.py, each
 * expression rendered by the interpreter. */
#include "text_test.h"
#include "text/jinja_test.h"

/* null: an error in the template; false: refused as unsupported; else the text. */
static bool as_expected(int status, const struct tpo_rendered *out, const json_t *expected)
{
  if (json_is_null(expected)) return status == TPO_E_INPUT && test_error.message[0];
  if (json_is_false(expected)) return status == TPO_E_UNSUPPORTED;
  size_t len = json_string_length(expected);
  return status == 0 && out->text.len == len &&
         (len == 0 || memcmp(out->text.data, json_string_value(expected), len) == 0);
}

enum kind { OF_INPUTS, OF_EXPRESSIONS, OF_DATES }; /* what a table's values are */

static bool check_one(const json_t *value, const char *form, const json_t *expected, enum kind kind)
{
  struct tpo_rendered out = {0};
  struct tpo_buf source = {0};
  if (kind == OF_EXPRESSIONS) tpo_buf_printf(&source, "{%% set v = %s %%}", json_string_value(value));
  tpo_buf_printf(&source, "{{ %s }}", form);
  test_error = (struct tpo_error){0};
  const char *date = kind == OF_DATES ? json_string_value(value) : "2024-07-26";
  const struct tpo_jinja_input input = {.name = "v", .value = value};
  int status = jinja_render_source(source.data, source.len, &input, 1, date, NULL, &out, &test_error);
  bool good = as_expected(status, &out, expected);
  if (!good) {
    char *v = json_dumps(value, JSON_ENCODE_ANY), *wanted = json_dumps(expected, JSON_ENCODE_ANY);
    fprintf(stderr, "%s with v = %s\n  expected %s\n  got %s\n", source.data, v, wanted,
            status < 0      ? test_error.message
            : out.text.data ? out.text.data
                            : "");
    free(v);
    free(wanted);
  }
  tpo_rendered_free(&out);
  tpo_buf_free(&source);
  return good;
}

/* How many of a table's results differ. */
static size_t check_table(const char *name, enum kind kind, size_t *n)
{
  struct tpo_buf bytes = {0};
  size_t bad = 0, v, f;
  const json_t *row, *expected;
  assert_int_equal(tpo_read_file(FIXTURES "/jinja_values.json", 1 << 22, &bytes, &test_error), 0);
  json_t *fixture = tpo_json_parse(bytes.data, bytes.len, "jinja_values.json", &test_error);
  const json_t *table = json_object_get(fixture, name);
  assert_non_null(table);
  *n = 0;
  json_array_foreach(json_object_get(table, "results"), v, row)
  {
    json_array_foreach(row, f, expected)
    {
      const json_t *value = json_array_get(json_object_get(table, "values"), v);
      const char *form = json_string_value(json_array_get(json_object_get(table, "forms"), f));
      bad += !check_one(value, form, expected, kind);
      ++*n;
    }
  }
  json_decref(fixture);
  tpo_buf_free(&bytes);
  return bad;
}

#define TABLE(test, name, kind, least)                                                                       \
  static void test(void **state)                                                                             \
  {                                                                                                          \
    (void)state;                                                                                             \
    size_t n;                                                                                                \
    assert_int_equal(check_table(name, kind, &n), 0);                                                        \
    assert_true(n >= (least));                                                                               \
  }

TABLE(operators_are_python_s, "operators", OF_EXPRESSIONS, 3000)
TABLE(methods_of_strings_are_python_s, "methods", OF_INPUTS, 2000)
TABLE(formats_are_python_s, "formats", OF_INPUTS, 400)
TABLE(filters_are_jinja2_s, "filters", OF_INPUTS, 1500)
TABLE(tests_are_jinja2_s, "tests", OF_INPUTS, 500)
TABLE(attributes_and_items_are_the_sandbox_s, "items", OF_INPUTS, 700)
TABLE(functions_and_numbers_are_python_s, "calls", OF_INPUTS, 60)
TABLE(dates_are_strftime_s, "dates", OF_DATES, 20)

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(operators_are_python_s),
      cmocka_unit_test(methods_of_strings_are_python_s),
      cmocka_unit_test(formats_are_python_s),
      cmocka_unit_test(filters_are_jinja2_s),
      cmocka_unit_test(tests_are_jinja2_s),
      cmocka_unit_test(attributes_and_items_are_the_sandbox_s),
      cmocka_unit_test(functions_and_numbers_are_python_s),
      cmocka_unit_test(dates_are_strftime_s),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
