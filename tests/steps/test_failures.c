/* A judge that fails on everything is known by its failures in a row, over batches. */
#include "steps/failures.h"
#include "unit.h"

static const struct tpo_judge_config config = {.kind = "http:http://host/v1"};

/* A batch of the letters: s a score, f a failure, - no response. */
static int follow(struct failure_row *row, const char *batch, bool *any, struct tpo_error *err)
{
  struct failure_batch found;
  struct tpo_judge_result results[256] = {{0}};
  const char *responses[256];
  size_t n = strlen(batch);
  for (size_t i = 0; i < n; i++) {
    responses[i] = batch[i] == '-' ? NULL : "text";
    results[i].ok = batch[i] == 's';
    results[i].detail = batch[i] == 'f' ? "{\"error\":\"too odd\"}" : NULL;
  }
  int status = failures_follow(row, &config, responses, results, n, &found, err);
  *any = found.any;
  assert_true(found.every == found.any);
  return status;
}

static const char fifty[] = "ffffffffffffffffffffffffffffffffffffffffffffffffff";

static void a_hundred_failures_in_a_row_are_an_error_with_the_last_reason(void **state)
{
  (void)state;
  struct failure_row row = {0};
  struct tpo_error err = {0};
  bool any;
  assert_int_equal(follow(&row, fifty, &any, &err), 0);
  assert_false(any);
  assert_int_equal(follow(&row, "-", &any, &err), 0);
  assert_int_equal(follow(&row, fifty + 1, &any, &err), 0);
  assert_int_equal(row.n, 99);
  assert_int_equal(follow(&row, "-f-", &any, &err), TPO_E_STATE);
  assert_contains(err.message,
                  "the judge http:http://host/v1 gave no score to 100 responses in a row; the last: too odd");
}

static void a_score_begins_the_row_anew(void **state)
{
  (void)state;
  struct failure_row row = {0};
  struct tpo_error err = {0};
  bool any;
  for (int i = 0; i < 10; i++) {
    assert_int_equal(follow(&row, fifty, &any, &err), 0);
    assert_false(any);
    assert_int_equal(follow(&row, "fsf", &any, &err), 0);
    assert_true(any);
    assert_int_equal(row.n, 1);
  }
}

static void what_was_not_judged_is_no_failure(void **state)
{
  (void)state;
  struct failure_row row = {.n = 99};
  struct tpo_error err = {0};
  bool any;
  assert_int_equal(follow(&row, "---", &any, &err), 0);
  assert_true(any);
  assert_int_equal(follow(&row, "", &any, &err), 0);
  assert_true(any);
  assert_int_equal(row.n, 99);
}

/* A batch of a route: a, b scores of judges a and b; A, B their failures; n: no route fits. */
static int follow_route(struct failure_row *row, const char *batch, struct failure_batch *found,
                        struct tpo_error *err)
{
  static const struct tpo_judge_config route = {.kind = (char *)"route"};
  static char details[5][80] = {"{\"judge\":\"rule\",\"raw\":1}", "{\"judge\":\"http://h/v1\",\"raw\":1}",
                                "{\"error\":\"odd checks\",\"judge\":\"rule\"}",
                                "{\"error\":\"no number\",\"judge\":\"http://h/v1\"}",
                                "{\"error\":\"no judge\"}"};
  struct tpo_judge_result results[256] = {{0}};
  const char *responses[256];
  size_t n = strlen(batch);
  for (size_t i = 0; i < n; i++) {
    size_t at = (size_t)(strchr("abABn", batch[i]) - "abABn");
    responses[i] = "text";
    results[i] = (struct tpo_judge_result){.ok = at < 2, .detail = details[at]};
  }
  return failures_follow(row, &route, responses, results, n, found, err);
}

static void a_routes_judge_is_not_saved_by_what_the_others_score(void **state)
{
  (void)state;
  struct failure_row row = {0};
  struct failure_batch found;
  struct tpo_error err = {0};
  for (int i = 0; i < 33; i++) {
    assert_int_equal(follow_route(&row, "aBaBaBa", &found, &err), 0);
    assert_true(found.any);
    assert_false(found.every);
  }
  assert_int_equal(row.n, 0);
  assert_int_equal(follow_route(&row, "aaa", &found, &err), 0);
  assert_true(found.every);
  assert_int_equal(follow_route(&row, "Ba", &found, &err), TPO_E_STATE);
  assert_contains(err.message,
                  "the judge http://h/v1 gave no score to 100 responses in a row; the last: no number");
  failure_row_free(&row);
}

static void a_routes_judge_begins_its_row_anew_with_its_own_score(void **state)
{
  (void)state;
  struct failure_row row = {0};
  struct failure_batch found;
  struct tpo_error err = {0};
  for (int i = 0; i < 50; i++) {
    assert_int_equal(follow_route(&row, "aBBBBbBAa", &found, &err), 0);
    assert_true(found.every);
  }
  failure_row_free(&row);
}

static void instructions_without_a_judge_are_in_no_judges_row(void **state)
{
  (void)state;
  struct failure_row row = {0};
  struct failure_batch found;
  struct tpo_error err = {0};
  for (int i = 0; i < 50; i++) {
    assert_int_equal(follow_route(&row, "nnnnan", &found, &err), 0);
    assert_true(found.every);
  }
  for (int i = 0; i < 24; i++) assert_int_equal(follow_route(&row, "ABAB", &found, &err), 0);
  assert_int_equal(follow_route(&row, "ABn", &found, &err), TPO_E_STATE);
  assert_contains(err.message, "the judge route gave no score to 100 responses in a row; the last: no judge");
  failure_row_free(&row);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_hundred_failures_in_a_row_are_an_error_with_the_last_reason),
      cmocka_unit_test(a_score_begins_the_row_anew),
      cmocka_unit_test(what_was_not_judged_is_no_failure),
      cmocka_unit_test(a_routes_judge_is_not_saved_by_what_the_others_score),
      cmocka_unit_test(a_routes_judge_begins_its_row_anew_with_its_own_score),
      cmocka_unit_test(instructions_without_a_judge_are_in_no_judges_row),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
