/* A judge that fails on everything is known by its failures in a row, over batches. */
#include "steps/failures.h"
#include "unit.h"

static const struct tpo_judge_config config = {.kind = "http:http://host/v1"};

/* A batch of the letters: s a score, f a failure, - no response. */
static int follow(struct failure_row *row, const char *batch, bool *any, struct tpo_error *err)
{
  struct tpo_judge_result results[256] = {{0}};
  const char *responses[256];
  size_t n = strlen(batch);
  for (size_t i = 0; i < n; i++) {
    responses[i] = batch[i] == '-' ? NULL : "text";
    results[i].ok = batch[i] == 's';
    results[i].detail = batch[i] == 'f' ? "{\"error\":\"too odd\"}" : NULL;
  }
  return failures_follow(row, &config, responses, results, n, any, err);
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
  struct failure_row row = {99};
  struct tpo_error err = {0};
  bool any;
  assert_int_equal(follow(&row, "---", &any, &err), 0);
  assert_true(any);
  assert_int_equal(follow(&row, "", &any, &err), 0);
  assert_true(any);
  assert_int_equal(row.n, 99);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_hundred_failures_in_a_row_are_an_error_with_the_last_reason),
      cmocka_unit_test(a_score_begins_the_row_anew),
      cmocka_unit_test(what_was_not_judged_is_no_failure),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
