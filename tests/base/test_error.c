/* Messages, log lines, signals and timestamps. */
#include <signal.h>
#include "unit.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"

static void fail_sets_code_and_sentence(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  assert_int_equal(tpo_fail(&err, TPO_E_INPUT, "%s:%d: expected a number", "a.yaml", 7), TPO_E_INPUT);
  assert_int_equal(err.code, TPO_E_INPUT);
  assert_string_equal(err.message, "a.yaml:7: expected a number");
  assert_int_equal(tpo_fail(NULL, TPO_E_IO, "nobody listens"), TPO_E_IO);
}

static void prefix_adds_place_and_keeps_code(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  tpo_fail(&err, TPO_E_IO, "disk full");
  assert_int_equal(tpo_fail_prefix(&err, "%s", "out.h5"), TPO_E_IO);
  assert_string_equal(err.message, "out.h5: disk full");
  tpo_fail(&err, err.code, "again: %s", err.message); /* quoting itself */
  assert_string_equal(err.message, "again: out.h5: disk full");
}

static void a_message_is_one_line_whatever_it_quotes(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  tpo_fail(&err, TPO_E_INPUT, "a.json: type \"%s\" is unknown", "X\nall is\r well\n");
  assert_string_equal(err.message, "a.json: type \"X\\nall is\\r well\\n\" is unknown");
}

static void long_and_hostile_messages_stay_printable(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  tpo_fail(&err, TPO_E_INPUT, "key \"%s\"", "\x1b[31mred\a\r");
  assert_string_equal(err.message, "key \"\\x1b[31mred\\x07\\r\"");
  tpo_fail(&err, TPO_E_INPUT, "%s",
           "a\x9b"
           "b\xc2\x9b"
           "c\xe2\x80\xae"
           "d\xff\xfe");
  assert_string_equal(err.message, "a\\x9bb\\x9bc\u2039U+202E\u203ad\\xff\\xfe");
  for (int lead = 0; lead < 4; lead++) { /* the cut falls at every place of a 4-byte character */
    char text[2048] = "";
    memset(text, 'x', (size_t)lead);
    for (int i = lead; i + 4 < 2000; i += 4) memcpy(text + i, "\xf0\x9f\x98\x80", 5);
    tpo_fail(&err, TPO_E_INPUT, "%s", text);
    size_t len = strlen(err.message);
    assert_true(len >= sizeof err.message - 4);
    assert_true(tpo_utf8_valid(err.message, len, NULL));
  }
}

/* What `tpo_log` writes to standard error while `level` and `json` and `rank` are set. */
static void capture_log(char out[8192], enum tpo_log_level setting, bool json, int rank,
                        enum tpo_log_level level, const char *message)
{
  int ends[2], saved = dup(STDERR_FILENO);
  assert_int_equal(pipe(ends), 0);
  dup2(ends[1], STDERR_FILENO);
  close(ends[1]);
  tpo_log_setup(setting, json, rank);
  tpo_log(level, "%s", message);
  dup2(saved, STDERR_FILENO);
  close(saved);
  ssize_t got = read(ends[0], out, 8191);
  close(ends[0]);
  assert_true(got >= 0);
  out[got] = '\0';
  tpo_log_setup(TPO_LOG_INFO, false, 0);
}

static void log_filters_by_level_and_rank(void **state)
{
  (void)state;
  char text[8192];
  capture_log(text, TPO_LOG_INFO, false, 0, TPO_LOG_INFO, "hello");
  assert_string_equal(text, "hello\n");
  capture_log(text, TPO_LOG_WARN, false, 0, TPO_LOG_INFO, "hello");
  assert_string_equal(text, "");
  capture_log(text, TPO_LOG_DEBUG, false, 1, TPO_LOG_WARN, "hello");
  assert_string_equal(text, "");
  capture_log(text, TPO_LOG_DEBUG, false, 1, TPO_LOG_ERROR, "hello");
  assert_string_equal(text, "rank 1: error: hello\n");
  capture_log(text, TPO_LOG_INFO, false, 0, TPO_LOG_WARN, "a\r\nwarning: b\x1b[2J");
  assert_string_equal(text, "warning: a\\r\\nwarning: b\\x1b[2J\n");
}

static void log_json_is_one_object_a_line(void **state)
{
  (void)state;
  char text[8192];
  capture_log(text, TPO_LOG_INFO, true, 0, TPO_LOG_WARN, "a \"quoted\"\nline");
  struct tpo_error err = {0};
  assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
  json_t *line = tpo_json_parse(text, strlen(text), "log", &err);
  assert_non_null(line);
  assert_string_equal(json_string_value(json_object_get(line, "message")), "a \"quoted\"\\nline");
  assert_string_equal(json_string_value(json_object_get(line, "level")), "warning");
  assert_int_equal(json_integer_value(json_object_get(line, "rank")), 0);
  json_decref(line);
}

static void first_signal_is_remembered(void **state)
{
  (void)state;
  tpo_interrupt_install();
  assert_int_equal(tpo_interrupted(), 0);
  raise(SIGUSR1);
  assert_int_equal(tpo_interrupted(), SIGUSR1);
  raise(SIGTERM);
  assert_int_equal(tpo_interrupted(), SIGUSR1);
}

static void timestamp_follows_source_date_epoch(void **state)
{
  (void)state;
  char text[32];
  setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
  tpo_timestamp(text);
  assert_string_equal(text, "2023-11-14T22:13:20Z");
  setenv("SOURCE_DATE_EPOCH", "nonsense", 1);
  tpo_timestamp(text);
  assert_int_equal(strlen(text), 20);
  unsetenv("SOURCE_DATE_EPOCH");
  double before = tpo_seconds();
  usleep(2000);
  assert_true(tpo_seconds() - before >= 0.002);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fail_sets_code_and_sentence),
      cmocka_unit_test(prefix_adds_place_and_keeps_code),
      cmocka_unit_test(a_message_is_one_line_whatever_it_quotes),
      cmocka_unit_test(long_and_hostile_messages_stay_printable),
      cmocka_unit_test(log_filters_by_level_and_rank),
      cmocka_unit_test(log_json_is_one_object_a_line),
      cmocka_unit_test(first_signal_is_remembered),
      cmocka_unit_test(timestamp_follows_source_date_epoch),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
