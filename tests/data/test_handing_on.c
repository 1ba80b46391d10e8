/* Instructions that were read or composed, that went through a file and that went to another rank are the
 * same: so it doesn't matter whether a step gets them in memory or from the file. */
#include "unit.h"
#include <unistd.h>
#include "data/pack.h"

static const char lines[] = "{\"instruction\": \"plain\"}\n"
                            "{\"category\": \"\u00f6\", \"id\": 7, \"reference\": \"42\", \"prompt\": \"say "
                            "\\\"h\u00e9\\\"\\n\", \"dataset\": \"d\"}\n"
                            "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"z\": 1.50, "
                            "\"content\": \"b\", \"role\": \"assistant\"},"
                            " {\"role\": \"user\", \"content\": \"c \u2028\"}], \"checks\": [{\"num\": 1e3, "
                            "\"type\": \"x:y\", \"none\": null}]}\n"
                            "{\"key\": 9, \"prompt\": \"p\", \"instruction_id_list\": [\"a:b\", \"c:d\"], "
                            "\"kwargs\": [{\"n\": 1, \"m\": null}, {}]}\n";

static void assert_same(const struct tpo_instructions *a, const struct tpo_instructions *b)
{
  assert_int_equal(a->n, b->n);
  for (size_t i = 0; i < a->n; i++) {
    const struct tpo_instruction *x = &a->items[i], *y = &b->items[i];
    assert_string_equal(x->id, y->id);
    assert_string_equal(x->instruction, y->instruction);
    assert_string_equal(x->meta, y->meta);
    assert_int_equal(x->messages == NULL, y->messages == NULL);
    if (x->messages) assert_string_equal(x->messages, y->messages);
  }
}

static void read_lines(struct tpo_instructions *set)
{
  char path[] = "/tmp/tpo-test-handing-XXXXXX";
  struct tpo_error err = {0};
  int file = mkstemp(path);
  assert_true(file >= 0);
  assert_int_equal(write(file, lines, strlen(lines)), strlen(lines));
  close(file);
  if (tpo_instructions_read(set, path, &err) < 0) fail_msg("%s", err.message);
  unlink(path);
}

static void compose(struct tpo_instructions *set)
{
  struct tpo_error err = {0};
  if (tpo_compose_instructions(set, 3, TPO_COMPOSE_TRAIN, 5, 300, &err) < 0) fail_msg("%s", err.message);
}

static void through_a_file_they_stay_the_same(struct tpo_instructions *set)
{
  char path[] = "/tmp/tpo-test-handing-XXXXXX";
  struct tpo_instructions back = {0};
  struct tpo_error err = {0};
  close(mkstemp(path));
  if (tpo_instructions_write(set, path, &err) < 0) fail_msg("%s", err.message);
  if (tpo_instructions_read(&back, path, &err) < 0) fail_msg("%s", err.message);
  assert_same(&back, set);
  unlink(path);
  tpo_instructions_free(&back);
  tpo_instructions_free(set);
}

static void read_ones_stay_the_same_through_a_file(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  read_lines(&set);
  assert_int_equal(set.n, 4);
  through_a_file_they_stay_the_same(&set);
}

static void composed_ones_stay_the_same_through_a_file(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  compose(&set);
  through_a_file_they_stay_the_same(&set);
}

static void packed_ones_unpack_to_the_same_and_cut_ones_are_refused(void **state)
{
  (void)state;
  struct tpo_instructions set = {0}, back = {0};
  struct tpo_error err = {0};
  struct tpo_buf bytes = {0};
  read_lines(&set);
  assert_int_equal(instructions_pack(&set, &bytes, &err), 0);
  assert_int_equal(instructions_unpack(&back, bytes.data, bytes.len, &err), 0);
  assert_same(&back, &set);
  tpo_instructions_free(&back);
  for (size_t len = 0; len < bytes.len; len++) {
    if (instructions_unpack(&back, bytes.data, len, &err) < 0)
      assert_non_null(strstr(err.message, "cut or damaged"));
    assert_true(back.n < set.n); /* the last ones are missing */
    tpo_instructions_free(&back);
  }
  tpo_buf_free(&bytes);
  tpo_instructions_free(&set);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(read_ones_stay_the_same_through_a_file),
      cmocka_unit_test(composed_ones_stay_the_same_through_a_file),
      cmocka_unit_test(packed_ones_unpack_to_the_same_and_cut_ones_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
