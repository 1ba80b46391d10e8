/* Whether a judge's model or program is the one that it was: another name, size, or block of bytes makes it
 * another. */
#include "judge/identity.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "unit.h"

enum { LARGE = 3 << 20 };

static void write_file(const char *folder, const char *name, size_t size, size_t at, int byte)
{
  char path[4400];
  struct tpo_error err = {0};
  char *bytes = calloc(size + 1, 1);
  if (at < size) bytes[at] = (char)byte;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  if (tpo_write_file(path, bytes, size, &err) < 0) fail_msg("%s", err.message);
  free(bytes);
}

static char *identity(const char *kind, const char *folder)
{
  char text[4400];
  struct tpo_buf out = {0};
  struct tpo_error err = {0};
  snprintf(text, sizeof text, "%s%s", kind, folder);
  const struct tpo_judge_config config = {.kind = text};
  if (judge_identify(&config, &out, &err) < 0) fail_msg("%s", err.message);
  tpo_buf_puts(&out, "");
  return tpo_buf_take(&out);
}

static void assert_another(const char *folder, char **before)
{
  char *now = identity("reward:", folder);
  assert_string_not_equal(now, *before);
  free(*before);
  *before = now;
}

static void a_change_anywhere_in_what_is_looked_at_is_another_model(void **state)
{
  const char *folder = *state;
  write_file(folder, "config.json", 100, 0, 1);
  write_file(folder, "model.safetensors", LARGE, LARGE, 0);
  char *before = identity("reward:", folder), *again = identity("reward:", folder);
  assert_string_equal(before, again);
  free(again);
  assert_contains(before, folder);
  write_file(folder, "config.json", 100, 99, 1);
  assert_another(folder, &before);
  write_file(folder, "model.safetensors", LARGE, LARGE - 1, 1);
  assert_another(folder, &before);
  write_file(folder, "model.safetensors", LARGE, LARGE / 2, 1);
  assert_another(folder, &before);
  write_file(folder, "model.safetensors", LARGE + 1, LARGE, 1);
  assert_another(folder, &before);
  write_file(folder, "more.json", 0, 0, 0);
  assert_another(folder, &before);
  write_file(folder, "README.md", 10, 0, 1); /* nobody reads it */
  char *now = identity("reward:", folder);
  assert_string_equal(now, before);
  free(now);
  free(before);
}

static void a_command_is_its_program_and_the_files_among_its_arguments(void **state)
{
  const char *folder = *state;
  char end[4400];
  write_file(folder, "judge.py", 10, 3, 1);
  snprintf(end, sizeof end, "%s/judge.py -v", folder);
  char *before = identity("command:cat ", end);
  assert_contains(before, "judge program /");
  assert_contains(before, "/judge.py: ");
  write_file(folder, "judge.py", 10, 3, 2);
  char *now = identity("command:cat ", end);
  assert_string_not_equal(before, now);
  free(before);
  free(now);
}

static void judges_without_files_have_none(void **state)
{
  static const char *const kinds[] = {"rule", "http:http://host/v1"};
  (void)state;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    char *text = identity(kinds[i], "");
    assert_string_equal(text, "");
    free(text);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_change_anywhere_in_what_is_looked_at_is_another_model, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(a_command_is_its_program_and_the_files_among_its_arguments, make_folder,
                                      remove_folder),
      cmocka_unit_test(judges_without_files_have_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
