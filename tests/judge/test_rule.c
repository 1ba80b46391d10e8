/* The rule judge: scores, penalties, details, failures; and the composed instructions that it is to judge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "checks/checks.h"
#include "base/json.h"
#include "tpo/data.h"
#include "tpo/checks.h"
#include "tpo/judge.h"
#include "witness.h"

static const struct tpo_judge_env env = {.size = 1};

static struct tpo_judge *open_judge(bool strict)
{
  struct tpo_judge_config config = {
      .kind = (char *)"rule", .strict = strict, .repetition_penalty = 0.5, .empty_score = -1};
  struct tpo_judge *judge;
  struct tpo_error err = {0};
  if (tpo_judge_open(&judge, &config, &env, &err) < 0) fail_msg("%s", err.message);
  return judge;
}

/* One response's result; the caller frees the detail. */
static struct tpo_judge_result judge_one(const char *meta, const char *response, bool strict)
{
  struct tpo_judge *judge = open_judge(strict);
  struct tpo_judge_item item = {"id", "Tell me a joke.", meta, 1, &response};
  struct tpo_judge_result result;
  struct tpo_error err = {0};
  if (tpo_judge_score(judge, &item, 1, &result, &err) < 0) fail_msg("%s", err.message);
  tpo_judge_close(judge);
  assert_non_null(result.detail);
  return result;
}

static void expect_score(const char *meta, const char *response, double score)
{
  struct tpo_judge_result result = judge_one(meta, response, true);
  if (!result.ok) fail_msg("%s", result.detail);
  if (result.score < score - 1e-12 || result.score > score + 1e-12)
    fail_msg("'%s' scores %.17g, expected %.17g", response, result.score, score);
  free(result.detail);
}

#define TWO_CHECKS "{\"checks\":[{\"type\":\"punctuation:no_comma\"},{\"type\":\"startend:quotation\"}]}"

static void score_is_the_share_of_passed_checks(void **state)
{
  (void)state;
  expect_score(TWO_CHECKS, "\"hello\"", 1);
  expect_score(TWO_CHECKS, "hello", 0.5);
  expect_score(TWO_CHECKS, "hello, you", 0);
}

static void repetition_costs_its_share_times_the_weight(void **state)
{
  (void)state;
  /* Eight words: five 4-grams "a b a b", "b a b a", ..., of which three repeat an earlier one. */
  expect_score("{}", "a b a b a b a b", -0.5 * 3 / 5);
  expect_score(TWO_CHECKS, "A b a B a b a b", 0.5 - 0.5 * 3 / 5);
  expect_score("{}", "a b c d e f g h", 0);
  expect_score("{}", "a a a a", 0); /* a single 4-gram */
  struct tpo_judge_result result = judge_one("{}", "!!!!!!!!!!!!!!!!!!!!!!!!!", true);
  assert_true(result.score < -0.4);
  free(result.detail);
  result = judge_one("{}", "hahahahahahahahahahahahahahahahahahahahahahahahahaha", true);
  assert_true(result.score < -0.4);
  free(result.detail);
  result = judge_one("{}", "好好好好好好好好好好好好", true);
  assert_true(result.score < -0.4);
  free(result.detail);
}

static void an_empty_response_has_the_empty_score(void **state)
{
  (void)state;
  expect_score(TWO_CHECKS, "", -1);
  expect_score("{}", " \n\xc2\xa0", -1);
}

static void without_checks_only_penalties_count(void **state)
{
  (void)state;
  expect_score("{}", "Anything at all.", 0);
  expect_score("{\"checks\":[]}", "Anything at all.", 0);
}

static void a_reference_alone_is_a_check(void **state)
{
  (void)state;
  expect_score("{\"reference\":\"Paris\"}", "It is paris.", 1);
  expect_score("{\"reference\":\"Paris\"}", "It is Rome.", 0);
  expect_score("{\"reference\":\"1,200\"}", "That makes $1200.00 then.", 1);
  expect_score("{\"reference\":7}", "7, no, 8", 0);
  expect_score("{\"reference\":7,\"checks\":[{\"type\":\"punctuation:no_comma\"}]}", "so, 7", 0.5);
  /* A reference check without a reference of its own takes the instruction's, and then nothing is implied. */
  expect_score("{\"reference\":\"Paris\",\"checks\":[{\"type\":\"reference:exact\"}]}", "It is Paris.", 0);
  expect_score("{\"reference\":\"Paris\",\"checks\":[{\"type\":\"reference:exact\"}]}", "paris", 1);
}

static void strictness_follows_the_configuration(void **state)
{
  (void)state;
  struct tpo_judge_result strict = judge_one(TWO_CHECKS, "Sure:\n\"hello\"", true);
  struct tpo_judge_result loose = judge_one(TWO_CHECKS, "Sure:\n\"hello\"", false);
  assert_true(strict.score == 0.5 && loose.score == 1);
  free(strict.detail);
  free(loose.detail);
}

static void detail_lists_each_check(void **state)
{
  (void)state;
  struct tpo_judge_result result = judge_one(TWO_CHECKS, "a b a b a b a b", true);
  assert_string_equal(result.detail,
                      "{\"checks\":[{\"type\":\"punctuation:no_comma\",\"passed\":true},"
                      "{\"type\":\"startend:quotation\",\"passed\":false}],\"passed\":1,\"empty\":false,"
                      "\"repetition\":0.6,\"penalty\":0.3}");
  free(result.detail);
}

static void a_failure_is_no_score(void **state)
{
  (void)state;
  static const char *const metas[] = {"{\"checks\":[{\"type\":\"x:y\"}]}", "{\"checks\":3}", "[]", "{",
                                      "{\"a\":\"\xff\"}"};
  for (size_t i = 0; i < sizeof metas / sizeof *metas; i++) {
    struct tpo_judge_result result = judge_one(metas[i], "text", true);
    struct tpo_error err = {0};
    assert_false(result.ok);
    json_t *detail = tpo_json_parse(result.detail, strlen(result.detail), "detail", &err);
    if (!json_is_string(json_object_get(detail, "error"))) fail_msg("%s", result.detail);
    json_decref(detail);
    free(result.detail);
    assert_true(tpo_checks_validate(metas[i], &err) < 0);
  }
  assert_int_equal(tpo_checks_validate(TWO_CHECKS, NULL), 0);
  assert_int_equal(tpo_checks_validate("{}", NULL), 0);
}

static void outputs_without_a_response_are_left_unscored(void **state)
{
  (void)state;
  struct tpo_judge *judge = open_judge(true);
  const char *responses[] = {"\"a\"", NULL, "a, b"};
  struct tpo_judge_item items[] = {{"1", "i", TWO_CHECKS, 3, responses}, {"2", "i", "{}", 1, responses + 2}};
  struct tpo_judge_result results[4];
  struct tpo_error err = {0};
  assert_int_equal(tpo_judge_score(judge, items, 2, results, &err), 0);
  assert_true(results[0].ok && !results[1].ok && results[2].ok && results[3].ok);
  assert_true(results[0].score == 1 && results[2].score == 0 && results[3].score == 0);
  for (int i = 0; i < 4; i++) free(results[i].detail);
  tpo_judge_close(judge);
}

static void unknown_kinds_are_refused_with_the_list(void **state)
{
  (void)state;
  static const char *const kinds[] = {"", "rules", "Rule", "oracle:x", "rul", NULL};
  for (size_t i = 0; i < 6; i++) {
    struct tpo_judge_config config = {.kind = (char *)kinds[i]};
    struct tpo_judge *judge;
    struct tpo_error err = {0};
    assert_int_equal(tpo_judge_open(&judge, &config, &env, &err), TPO_E_USAGE);
    assert_non_null(strstr(err.message, "expected one of: rule"));
    assert_null(judge);
  }
  struct tpo_judge_config config = {.kind = (char *)"rule:x"};
  struct tpo_judge *judge;
  struct tpo_error err = {0};
  assert_int_equal(tpo_judge_open(&judge, &config, &env, &err), TPO_E_USAGE);
  assert_non_null(strstr(err.message, "takes no argument"));
  tpo_judge_close(NULL);
}

static void composed_checks_are_all_valid(void **state)
{
  (void)state;
  for (int split = 0; split < 2; split++) {
    struct tpo_instructions set = {0};
    struct tpo_error err = {0};
    assert_int_equal(tpo_compose_instructions(&set, 21, split ? TPO_COMPOSE_VALIDATION : TPO_COMPOSE_TRAIN, 0,
                                              10000, &err),
                     0);
    for (size_t i = 0; i < set.n; i++)
      if (tpo_checks_validate(set.items[i].meta, &err) < 0)
        fail_msg("%s: %s", set.items[i].meta, err.message);
    tpo_instructions_free(&set);
  }
}

/* A response is written for each that follows all of its checks: none asks for what excludes each other. */
static void composed_constraints_can_be_met_together(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  struct tpo_error err = {0};
  assert_int_equal(tpo_compose_instructions(&set, 33, TPO_COMPOSE_TRAIN, 0, 10000, &err), 0);
  for (size_t i = 0; i < set.n; i++) {
    json_t *meta = tpo_json_parse(set.items[i].meta, strlen(set.items[i].meta), "meta", &err);
    const json_t *checks = json_object_get(meta, "checks");
    char *response = write_witness(checks);
    for (size_t c = 0; c < json_array_size(checks); c++) {
      char *check = tpo_json_dump(json_array_get(checks, c));
      int status = check_response(check, set.items[i].instruction, response, false, &err);
      if (status != 1) fail_msg("%s\n%s\nis not met by: %s", set.items[i].meta, check, response);
      free(check);
    }
    free(response);
    json_decref(meta);
  }
  tpo_instructions_free(&set);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(score_is_the_share_of_passed_checks),
      cmocka_unit_test(repetition_costs_its_share_times_the_weight),
      cmocka_unit_test(an_empty_response_has_the_empty_score),
      cmocka_unit_test(without_checks_only_penalties_count),
      cmocka_unit_test(a_reference_alone_is_a_check),
      cmocka_unit_test(strictness_follows_the_configuration),
      cmocka_unit_test(detail_lists_each_check),
      cmocka_unit_test(a_failure_is_no_score),
      cmocka_unit_test(outputs_without_a_response_are_left_unscored),
      cmocka_unit_test(unknown_kinds_are_refused_with_the_list),
      cmocka_unit_test(composed_checks_are_all_valid),
      cmocka_unit_test(composed_constraints_can_be_met_together),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
