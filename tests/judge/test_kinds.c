/* What is known of each kind of judge before it is opened. */
#include "unit.h"
#include "config/judge_kinds.h"
#include "judge/judge.h"

static const struct tpo_judge_item plain = {.id = "p", .instruction = "Sing.", .meta = "{}"};

static void every_kind_of_the_list_has_a_judge(void **state)
{
  (void)state;
  for (int i = 0; i < N_JUDGE_KINDS; i++) {
    struct tpo_judge_config config = {.kind = (char *)config_judge_kind_name(i)};
    struct tpo_error err = {0};
    tpo_judge_check(&config, &err);
    if (strstr(err.message, "there is no judge")) fail_msg("%s: %s", config.kind, err.message);
    assert_non_null(tpo_judge_cost(&config, &plain, 2, 0).unit);
    if (i != JUDGE_KIND_HTTPS) assert_contains(tpo_judge_kinds(), config.kind);
  }
  assert_string_equal(tpo_judge_kinds(),
                      "rule, reward:DIR, pairwise:DIR, http:URL, command:PROGRAM, route or sum");
}

static void a_name_is_what_stands_before_the_colon(void **state)
{
  (void)state;
  const char *argument = "";
  assert_int_equal(config_judge_kind("rule", &argument), JUDGE_KIND_RULE);
  assert_null(argument);
  assert_int_equal(config_judge_kind("command:cat -u: x", &argument), JUDGE_KIND_COMMAND);
  assert_string_equal(argument, "cat -u: x");
  assert_int_equal(config_judge_kind("https://h/v1", &argument), JUDGE_KIND_HTTPS);
  static const char *const others[] = {"", "Rule", "rul", "rules", ":rule", "rule ", "htt:x"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    assert_true(config_judge_kind(others[i], &argument) < 0);
}

static void a_kind_tells_what_it_costs(void **state)
{
  (void)state;
  static const struct {
    const char *kind;
    enum tpo_judge_mode mode;
    double all, seven; /* calls for 4 responses: as they come, and of seven comparisons */
    const char *unit;
    double detail_bytes;
  } cases[] = {
      {"rule", TPO_JUDGE_ABSOLUTE, 0, 0, "verifiable checks, no calls", 75},
      {"reward:m", TPO_JUDGE_ABSOLUTE, 4, 4, "responses scored", 400},
      {"pairwise:m", TPO_JUDGE_ABSOLUTE, 12, 7, "comparisons", 110},
      {"http:http://h/v1", TPO_JUDGE_ABSOLUTE, 4, 4, "requests", 200},
      {"https://h/v1", TPO_JUDGE_PAIRWISE, 12, 7, "comparisons asked of the server", 200},
      {"command:cat", TPO_JUDGE_PAIRWISE, 1, 1, "lines to the program", 100},
      {"no such", TPO_JUDGE_ABSOLUTE, 0, 0, "calls", 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_judge_config config = {.kind = (char *)cases[i].kind, .mode = cases[i].mode};
    struct tpo_judge_cost cost = tpo_judge_cost(&config, &plain, 4, 0);
    assert_true(cost.calls == cases[i].all && cost.detail_bytes == cases[i].detail_bytes);
    assert_string_equal(cost.unit, cases[i].unit);
    assert_true(tpo_judge_cost(&config, &plain, 4, 7).calls == cases[i].seven);
    assert_false(tpo_judge_mixes(&config));
  }
}

static void a_rule_judges_detail_grows_with_the_checks(void **state)
{
  (void)state;
  struct tpo_judge_config config = {.kind = (char *)"rule"};
  struct tpo_judge_item item = {.id = "p",
                                .instruction = "Sing.",
                                .meta = "{\"checks\":[{\"type\":\"a\"},{\"type\":\"b\"}],"
                                        "\"messages\":[{\"role\":\"user\",\"content\":\"\\\"type\\\"\"}]}"};
  assert_true(tpo_judge_cost(&config, &item, 1, 0).detail_bytes == 75 + 2 * 55);
}

/* Each of a route's or sum's judges counts. */
static void a_judge_waits_where_none_computes_with_a_model(void **state)
{
  (void)state;
  static const struct {
    const char *kind;
    bool waits;
  } cases[] = {{"rule", true},      {"command:cat", true}, {"http:http://h/v1", true}, {"https://h/v1", true},
               {"reward:m", false}, {"pairwise:m", false}, {"no such", false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char route[64], *routes[] = {(char *)"checks -> rule", route};
    struct tpo_judge_term terms[] = {{.kind = (char *)"command:true", .weight = 1},
                                     {.kind = (char *)cases[i].kind, .weight = 2}};
    struct tpo_judge_config alone = {.kind = (char *)cases[i].kind},
                            routed = {.kind = (char *)"route", .routes = routes, .n_routes = 2},
                            sum = {.kind = (char *)"sum", .terms = terms, .n_terms = 2};
    snprintf(route, sizeof route, "* -> %s", cases[i].kind);
    assert_int_equal(tpo_judge_waits(&alone), cases[i].waits);
    if (config_judge_kind(cases[i].kind, &(const char *){NULL}) < 0) continue;
    assert_int_equal(tpo_judge_waits(&routed), cases[i].waits);
    assert_int_equal(tpo_judge_waits(&sum), cases[i].waits);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_kind_of_the_list_has_a_judge),
      cmocka_unit_test(a_name_is_what_stands_before_the_colon),
      cmocka_unit_test(a_kind_tells_what_it_costs),
      cmocka_unit_test(a_rule_judges_detail_grows_with_the_checks),
      cmocka_unit_test(a_judge_waits_where_none_computes_with_a_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
