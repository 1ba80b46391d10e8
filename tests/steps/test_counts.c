/* What judges count: differences between two states of a judge add up, over any batches, to what one judge counted. */
#include "steps/counts.h"
#include <stdlib.h>
#include <string.h>
#include "judge/unread.h"
#include "unit.h"

static void differences_add_up_to_the_whole(void **state)
{
  (void)state;
  static const char *const states[] = {
      "{\"n\":0,\"max_x\":0.0,\"r\":0.0}", "{\"n\":3,\"max_x\":0.5,\"r\":0.25}",
      "{\"n\":3,\"max_x\":0.5,\"r\":0.25,\"new\":1}", "{\"n\":10,\"max_x\":2.5,\"r\":1.0,\"new\":4}"};
  struct tpo_buf lines = {0};
  struct tpo_error err = {0};
  tpo_buf_printf(&lines, "%s\n", states[0]);
  for (int i = 0; i < 3; i++) assert_int_equal(counts_between(states[i], states[i + 1], &lines, &err), 0);
  assert_contains(lines.data, "{\"n\":0,\"max_x\":0.5,\"r\":0.0,\"new\":1}\n");
  char *sum = counts_sum(lines.data, lines.len, &err);
  assert_string_equal(sum, states[3]);
  free(sum);
  tpo_buf_free(&lines);
}

static void of_a_maximum_the_largest_counts_and_others_are_added(void **state)
{
  (void)state;
  static const char lines[] = "{\"max_a\":3,\"b\":1}\n{\"max_a\":7,\"b\":2}\n{\"max_a\":5,\"c\":1.5}\n";
  struct tpo_error err = {0};
  char *sum = counts_sum(lines, strlen(lines), &err);
  assert_string_equal(sum, "{\"max_a\":7,\"b\":3,\"c\":1.5}");
  free(sum);
  sum = counts_sum("", 0, &err);
  assert_string_equal(sum, "{}");
  free(sum);
  assert_null(counts_sum("{\"a\":", 5, &err));
}

static void counts_of_unread_answers_are_in_one_order_and_left_out_when_0(void **state)
{
  (void)state;
  struct judge_unread first = {.of = {[JUDGE_CUT_OFF] = 2}}, then = {.of = {[JUDGE_NO_MATCH] = 1}};
  struct judge_unread none = {0};
  struct tpo_error err = {0};
  json_t *counts[] = {json_object(), json_object(), json_object()};
  struct tpo_buf lines = {0};
  judge_unread_put(&none, counts[0]);
  judge_unread_put(&first, counts[1]);
  judge_unread_put(&then, counts[2]);
  for (int i = 0; i < 3; i++) {
    char *line = json_dumps(counts[i], JSON_COMPACT);
    tpo_buf_printf(&lines, "%s\n", line);
    free(line);
    json_decref(counts[i]);
  }
  char *sum = counts_sum(lines.data, lines.len, &err);
  assert_string_equal(sum, "{\"no_match\":1,\"cut_off\":2}");
  free(sum);
  tpo_buf_free(&lines);
  static const char named[] = "{\"http.no_match\":0,\"http.failed\":0,\"http.cut_off\":1}\n";
  sum = counts_sum(named, strlen(named), &err);
  assert_string_equal(sum, "{\"http.failed\":0,\"http.cut_off\":1}");
  free(sum);
}

static void answers_are_told_by_their_tokens(void **state)
{
  (void)state;
  assert_true(counts_tell_answers("{\"requests\":2,\"completion_tokens\":1}"));
  assert_true(counts_tell_answers("{\"http-2.completion_tokens\":9}"));
  assert_false(counts_tell_answers("{\"requests\":2,\"completion_tokens\":0}"));
  assert_false(counts_tell_answers("{}"));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(answers_are_told_by_their_tokens),
      cmocka_unit_test(differences_add_up_to_the_whole),
      cmocka_unit_test(of_a_maximum_the_largest_counts_and_others_are_added),
      cmocka_unit_test(counts_of_unread_answers_are_in_one_order_and_left_out_when_0),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
