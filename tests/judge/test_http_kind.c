/* The judge `http` among the kinds. */
#include "tpo/judge.h"
#include "unit.h"

static void kind_is_registered_with_its_needs(void **state)
{
  (void)state;
  struct tpo_config config;
  struct tpo_error err = {0};
  tpo_config_default(&config);
  struct tpo_judge_config judge = config.judge;
  judge.model = "m";
  assert_contains(tpo_judge_kinds(), "http");
  static char *const good[] = {"http:http://host/v1", "http:https://host/v1", "http://host/v1",
                               "https://host/v1"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    judge.kind = good[i];
    judge.mode = TPO_JUDGE_ABSOLUTE;
    assert_int_equal(tpo_judge_check(&judge, &err), 0);
    assert_false(tpo_judge_needs_model(&judge) || tpo_judge_compares(&judge));
    judge.mode = TPO_JUDGE_PAIRWISE;
    assert_int_equal(tpo_judge_check(&judge, &err), 0);
    assert_true(tpo_judge_compares(&judge) && !tpo_judge_needs_model(&judge));
  }
  judge.model = NULL;
  assert_int_equal(tpo_judge_check(&judge, &err), TPO_E_USAGE);
  assert_contains(err.message, "judge.model");
  tpo_config_free(&config);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(kind_is_registered_with_its_needs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
