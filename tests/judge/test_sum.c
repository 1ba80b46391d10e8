/* The sum of several judges, and the repetition term that any judge may have. */
#include "unit.h"
#include <math.h>
#include "base/json.h"
#include "heard.h"
#include "judge/judge.h"

static const struct tpo_judge_env env = {.size = 1};

static struct tpo_judge_config config_of(struct tpo_judge_term *terms, int n)
{
  return (struct tpo_judge_config){.kind = (char *)"sum",
                                   .terms = terms,
                                   .n_terms = n,
                                   .strict = true,
                                   .repetition_penalty = 0.5,
                                   .empty_score = -1,
                                   .timeout = 5};
}
#define TERM(text, number)                                                                                   \
  {                                                                                                          \
    .kind = (char *)(text), .weight = (number)                                                               \
  }
#define SUM(...)                                                                                             \
  config_of((struct tpo_judge_term[]){__VA_ARGS__},                                                          \
            (int)(sizeof((struct tpo_judge_term[]){__VA_ARGS__}) / sizeof(struct tpo_judge_term)))

static void expect_refused(struct tpo_judge_config config, const char *words)
{
  struct tpo_error err = {0};
  struct tpo_judge *judge;
  assert_int_equal(tpo_judge_check(&config, &err), TPO_E_USAGE);
  if (!strstr(err.message, words)) fail_msg("%s\nlacks: %s", err.message, words);
  assert_int_equal(tpo_judge_open(&judge, &config, &env, &err), TPO_E_USAGE);
  assert_null(judge);
}

static void terms_that_cannot_be_are_refused_by_name(void **state)
{
  (void)state;
  expect_refused(config_of(NULL, 0), "judge.terms is empty");
  expect_refused(SUM(TERM("rule", 1), TERM("sum", 1)), "judge.terms, \"sum\": a term can be neither a route");
  expect_refused(SUM(TERM("route", 1)), "judge.terms, \"route\": a term can be neither a route");
  expect_refused(SUM(TERM("rule", 1), TERM("rule", 2)), "stands in an earlier term already");
  expect_refused(SUM(TERM("rule", 0)), "finite number that isn't 0");
  expect_refused(SUM(TERM("rule", NAN)), "finite number that isn't 0");
  expect_refused(SUM(TERM("rule", INFINITY)), "finite number that isn't 0");
  expect_refused(SUM(TERM("rule", 1), TERM("nothing", 1)),
                 "judge.terms, \"nothing\": judge.kind: there is no judge");
  expect_refused(SUM(TERM("command:./no-such-program", 1)), "does not exist");
  expect_refused(SUM(TERM("", 1)), "expected the KIND[:ARG] of a judge");
  struct tpo_judge_config config = SUM(TERM("rule", -1));
  assert_int_equal(tpo_judge_check(&config, NULL), 0);
  config.kind = (char *)"sum:x";
  expect_refused(config, "\"sum\" takes no argument, \"x\" was given; its judges stand in judge.terms");
}

/* Scores of 10, 20, ... in the order that it is asked; null on the second prompt. */
static const char counter[] =
    "command:sh -c 'n=0; while read a; do n=$((n+10)); s=$n; test $n = 20 && s=null; id=${a#*:?}; "
    "echo \"{\\\"id\\\":\\\"${id%%\\\"*}\\\",\\\"scores\\\":[$s]}\"; done'";

static const char *const four[] = {"It is 4.", NULL}, *const one[] = {"It is 4."};
static const struct tpo_judge_item items[] = {
    {"p", "2 + 2?", "{\"reference\":4}", 2, four},
    {"q", "3 + 1?", "{\"reference\":4}", 1, one},
    {"r", "2 + 3?", "{\"reference\":5}", 1, one},
};

static void a_score_is_the_weighted_sum_and_a_failing_term_leaves_none(void **state)
{
  (void)state;
  struct tpo_judge_config config = SUM(TERM("rule", 3), TERM(counter, -0.5));
  struct tpo_judge_result results[4];
  struct heard heard = {0};
  struct tpo_judge_env watched = {.size = 1, .watch = {hear, &heard}};
  struct tpo_error err = {0};
  struct tpo_judge *judge;
  if (tpo_judge_open(&judge, &config, &watched, &err) < 0) fail_msg("%s", err.message);
  if (tpo_judge_score(judge, items, 3, results, &err) < 0) fail_msg("%s", err.message);
  assert_true(results[0].ok && results[0].score == 3 * 1 - 0.5 * 10);
  json_t *detail = tpo_json_parse(results[0].detail, strlen(results[0].detail), "detail", &err);
  const json_t *terms = json_object_get(detail, "terms"), *program = json_array_get(terms, 1);
  assert_int_equal(json_array_size(terms), 2);
  assert_string_equal(json_string_value(json_object_get(json_array_get(terms, 0), "judge")), "rule");
  assert_string_equal(json_string_value(json_object_get(program, "judge")), counter);
  assert_true(json_number_value(json_object_get(program, "raw")) == 10);
  assert_true(json_number_value(json_object_get(program, "weight")) == -0.5);
  json_decref(detail);
  assert_false(results[1].ok);
  assert_string_equal(results[1].detail, "{\"error\":\"not scored: the output has no response\"}");
  assert_false(results[2].ok);
  assert_contains(results[2].detail, "{\"error\":\"judge.terms, \\\"command:sh");
  assert_contains(results[2].detail, "\"raw\":1.0");
  assert_true(results[3].ok && results[3].score == 3 * 0 - 0.5 * 30);
  assert_true(fabs(heard.last - 1) < 1e-12);
  char *counts = tpo_judge_counts(judge);
  assert_string_equal(counts, "{\"command.prompts\":3,\"command.responses\":3,\"command.failed\":1}");
  free(counts);
  for (int i = 0; i < 4; i++) free(results[i].detail);
  tpo_judge_close(judge);
}

static void every_term_is_asked_about_every_item(void **state)
{
  (void)state;
  struct tpo_judge_config config = SUM(TERM("rule", 1), TERM("command:cat", 1), TERM("http://h/v1", 1));
  struct tpo_judge_item odd = {.id = "x", .meta = "{\"checks\":[{\"type\":\"nonsense:type\"}]}"};
  struct tpo_error err = {0};
  assert_true(tpo_judge_mixes(&config));
  assert_true(tpo_judge_cost(&config, &items[0], 4, 0).calls == 1 + 4);
  assert_true(tpo_judge_keeps_answers(&config));
  assert_false(tpo_judge_needs_model(&config));
  assert_false(tpo_judge_compares(&config));
  assert_true(tpo_judge_validate(&config, &odd, &err) < 0);
  assert_contains(err.message, "nonsense:type");
  config = SUM(TERM("rule", 1), TERM("pairwise:/tmp", 1));
  assert_true(tpo_judge_needs_model(&config));
  assert_true(tpo_judge_compares(&config));
}

static const char *const twice[] = {"one two three four five one two three four five",
                                    "one two three four five"};
static const struct tpo_judge_item repeating = {"p", "Count.", "{}", 2, twice};

/* The scores of the two responses above, of which the first has 7 runs of four words and repeats 2. */
static void score_repeating(const struct tpo_judge_config *config, struct tpo_judge_result results[2])
{
  struct tpo_error err = {0};
  struct tpo_judge *judge;
  if (tpo_judge_open(&judge, config, &env, &err) < 0) fail_msg("%s", err.message);
  if (tpo_judge_score(judge, &repeating, 1, results, &err) < 0) fail_msg("%s", err.message);
  tpo_judge_close(judge);
}

static void repetition_is_taken_off_once_whoever_judges(void **state)
{
  (void)state;
  static const char fives[] =
      "command:sh -c 'read a; echo \"{\\\"id\\\":\\\"p\\\",\\\"scores\\\":[5,5]}\"; read a'";
  struct tpo_judge_term terms[] = {TERM("rule", 2), TERM(fives, 1)};
  struct {
    const char *kind;
    double repetition, score;
  } cases[] = {{"rule", 0, -0.5 * 2 / 7},  {"rule", 3, -3. * 2 / 7}, {fives, 0, 5},
               {fives, 3, 5 - 3. * 2 / 7}, {"sum", 0, 5 - 2. / 7},   {"sum", 3, 5 - 3. * 2 / 7},
               {"route", 0, -0.5 * 2 / 7}, {"route", 3, -3. * 2 / 7}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_judge_result results[2];
    struct tpo_judge_config config = config_of(terms, 2);
    config.routes = (char *[]){(char *)"* -> rule"};
    config.n_routes = 1;
    config.kind = (char *)cases[i].kind;
    config.repetition = cases[i].repetition;
    score_repeating(&config, results);
    if (fabs(results[0].score - cases[i].score) > 1e-12)
      fail_msg("%s, %g: %.17g, expected %.17g", cases[i].kind, cases[i].repetition, results[0].score,
               cases[i].score);
    assert_true(results[0].ok && results[1].ok &&
                results[1].score == (strstr(cases[i].kind, "r") == cases[i].kind ? 0 : 5));
    if (cases[i].repetition > 0)
      assert_contains(results[0].detail, "\"repetition_term\":{\"share\":0.2857142857142857,\"weight\":3.0}");
    else
      assert_null(strstr(results[0].detail, "repetition_term"));
    for (int k = 0; k < 2; k++) free(results[k].detail);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(terms_that_cannot_be_are_refused_by_name),
      cmocka_unit_test(a_score_is_the_weighted_sum_and_a_failing_term_leaves_none),
      cmocka_unit_test(every_term_is_asked_about_every_item),
      cmocka_unit_test(repetition_is_taken_off_once_whoever_judges),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
