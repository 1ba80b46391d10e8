/* What is told of a judge's address, whose query may hold a key. */
#include "config/judge_kinds.h"

#include "unit.h"

static void a_kind_ends_before_its_addresses_query(void **state)
{
  (void)state;
  static const struct {
    const char *kind;
    size_t len;
  } cases[] = {{"http:http://h/v1?key=a", 16},
               {"https://h?b", 9},
               {"http://h/v1", 11},
               {"pairwise:a?b", 12},
               {"rule", 4}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(config_judge_told(cases[i].kind), cases[i].len);
}

static char *told(const char *text)
{
  struct tpo_buf out = {0};
  config_tell_addresses(text, &out);
  return tpo_buf_take(&out);
}

static void of_queries_only_whether_they_differ_is_told(void **state)
{
  (void)state;
  char *one = told("[\"checks -> http://h/v1?key=planted\", 'http:https://i?planted'] ? x"),
       *other = told("[\"checks -> http://h/v1?key=plante2\", 'http:https://i?planted'] ? x"),
       *none = told("a ? b http://c d?e");
  assert_null(strstr(one, "plante"));
  assert_true(strncmp(one, "[\"checks -> http://h/v1?~", 25) == 0);
  assert_contains(one, "\", 'http:https://i?~");
  assert_contains(one, "'] ? x");
  assert_int_equal(strlen(one), strlen(other));
  assert_string_not_equal(one, other);
  assert_string_equal(none, "a ? b http://c d?e");
  free(one);
  free(other);
  free(none);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_kind_ends_before_its_addresses_query),
      cmocka_unit_test(of_queries_only_whether_they_differ_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
