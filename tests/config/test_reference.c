/* The committed reference page is the table's own words. TPO_WRITE_REFERENCE=1 in the environment writes the
 * page. */
#include "unit.h"
#include "base/file.h"
#include "config/keys.h"

static void reference_page_is_up_to_date(void **state)
{
  (void)state;
  const char *path = TPO_SOURCE_DIR "/configs/README.md";
  struct tpo_error err = {0};
  char *page = tpo_config_reference();
  assert_non_null(page);
  if (getenv("TPO_WRITE_REFERENCE")) assert_int_equal(tpo_write_file(path, page, strlen(page), &err), 0);
  struct tpo_buf committed = {0};
  assert_int_equal(tpo_read_file(path, 1 << 20, &committed, &err), 0);
  if (strcmp(committed.data, page) != 0)
    fail_msg("configs/README.md differs from src/config/keys.c; "
             "run this test with TPO_WRITE_REFERENCE=1 to write it");
  tpo_buf_free(&committed);
  free(page);
}

static void every_key_is_documented_and_reachable(void **state)
{
  (void)state;
  for (int key = 0; key < config_n_keys; key++) {
    const char *doc = config_keys[key].doc;
    assert_true(strlen(doc) > 20);
    assert_int_equal(doc[strlen(doc) - 1], '.');
    assert_int_equal(config_find_key(config_keys[key].path, strlen(config_keys[key].path)), key);
    const char *dot = strchr(config_keys[key].path, '.');
    if (dot)
      assert_true(config_find_section(config_keys[key].path, (size_t)(dot - config_keys[key].path)) >= 0);
  }
}

static void every_default_is_in_range_and_loads(void **state)
{
  (void)state;
  struct tpo_config config;
  tpo_config_default(&config);
  for (int key = 0; key < config_n_keys; key++) {
    assert_true(config_in_range(&config, key));
    if (!config_keys[key].fallback) continue;
    struct tpo_buf problem = {0};
    struct config_value value = {config_keys[key].fallback, strlen(config_keys[key].fallback), true, false};
    if (config_store(&config, key, &value, 1, &problem) != 0) fail_msg("%s", problem.data);
  }
  tpo_config_free(&config);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reference_page_is_up_to_date),
      cmocka_unit_test(every_key_is_documented_and_reachable),
      cmocka_unit_test(every_default_is_in_range_and_loads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
