/* What judges count: differences between two states of a judge add up, over any batches, to what one judge counted. */
#include "steps/counts.h"
#include <stdlib.h>
#include <string.h>
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

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(differences_add_up_to_the_whole),
      cmocka_unit_test(of_a_maximum_the_largest_counts_and_others_are_added),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
