/* The event file: its framing and messages read back, and that it grows in place. */
#include "report/folder.h"
#include <sys/stat.h>
#include "base/crc32c.h"
#include "tpo/report.h"

#define EVENTS "tensorboard/events.out.tfevents.0000000000.tpo"

static uint64_t little(const uint8_t *at, int bytes)
{
  uint64_t value = 0;
  for (int i = 0; i < bytes; i++) value |= (uint64_t)at[i] << 8 * i;
  return value;
}

static uint32_t unmask(uint32_t masked)
{
  uint32_t turned = masked - 0xa282ead8U;
  return turned >> 17 | turned << 15;
}

static void write_events(const char *dir)
{
  struct tpo_error err = {0};
  if (tpo_tensorboard_write(dir, &err) < 0) fail_msg("%s", err.message);
}

static void read_events(const char *dir, struct tpo_buf *out)
{
  char path[4096];
  struct tpo_error err = {0};
  snprintf(path, sizeof path, "%s/" EVENTS, dir);
  tpo_buf_clear(out);
  if (tpo_read_file(path, 1 << 24, out, &err) < 0) fail_msg("%s", err.message);
}

static ino_t inode(const char *dir)
{
  char path[4096];
  struct stat s;
  snprintf(path, sizeof path, "%s/" EVENTS, dir);
  assert_int_equal(stat(path, &s), 0);
  return s.st_ino;
}

#define STEP "{\"event\":\"step\",\"iteration\":1,\"time\":5.5,\"loss\":0.5,\"margin\":null}\n"
#define KL "{\"event\":\"kl\",\"iteration\":3,\"time\":6,\"per_token\":0.25}\n"

static void each_record_carries_its_checksums(void **state)
{
  struct tpo_buf events = {0};
  size_t at = 0, n = 0;
  make_run(*state, &(struct folder_options){.iterations = 2, .prompts = 2, .k = 2}, 0.1);
  write_events(*state);
  read_events(*state, &events);
  for (const uint8_t *data = (const uint8_t *)events.data; at < events.len; n++) {
    assert_true(events.len - at >= 16);
    uint64_t len = little(data + at, 8);
    assert_int_equal(unmask((uint32_t)little(data + at + 8, 4)), tpo_crc32c(data + at, 8));
    assert_true(len <= events.len - at - 16);
    assert_int_equal(unmask((uint32_t)little(data + at + 12 + len, 4)), tpo_crc32c(data + at + 12, len));
    at += 16 + len;
  }
  /* The version; of each of two iterations 7 events, 12 steps, 2 epochs (which epoch was kept is no number of
   * it) and a validation; the start's validation. */
  assert_int_equal(n, 1 + 2 * (7 + 12 + 2 + 1) + 1);
  tpo_buf_free(&events);
}

static void the_messages_are_those_of_the_format(void **state)
{
  /* Field 1, a double: 9 and eight bytes; 2, a number: 0x10; 3 and 5, a text and a message: 0x1a, 0x2a and
   * their length; in the value, tag: 0x0a, and simple_value, a float: 0x15. */
  static const char whole[] = "\x09\0\0\0\0\0\0\x16\x40"
                              "\x1a\x0d"
                              "brain.Event:2";
  static const char second[] = "\x09\0\0\0\0\0\0\x16\x40"
                               "\x10\x01"
                               "\x2a\x13\x0a\x11"
                               "\x0a\x0a"
                               "train/loss"
                               "\x15\0\0\0\x3f";
  enum { len = sizeof whole - 1, second_len = sizeof second - 1 };
  struct tpo_buf events = {0};
  put_file(*state, "metrics.jsonl", STEP);
  write_events(*state);
  read_events(*state, &events);
  assert_int_equal(events.len, 32 + len + second_len);
  assert_int_equal(little((const uint8_t *)events.data, 8), len);
  assert_memory_equal(events.data + 12, whole, len);
  const char *next = events.data + 16 + len;
  assert_int_equal(little((const uint8_t *)next, 8), second_len);
  assert_memory_equal(next + 12, second, second_len);
  tpo_buf_free(&events);
}

static void more_events_are_appended_to_the_same_file(void **state)
{
  struct tpo_buf one = {0}, two = {0}, fresh = {0};
  put_file(*state, "metrics.jsonl", STEP);
  write_events(*state);
  read_events(*state, &one);
  ino_t file = inode(*state);
  write_events(*state);
  read_events(*state, &two);
  assert_true(two.len == one.len && memcmp(one.data, two.data, one.len) == 0);
  put_file(*state, "metrics.jsonl", STEP STEP KL);
  write_events(*state);
  read_events(*state, &two);
  assert_true(two.len > one.len && memcmp(one.data, two.data, one.len) == 0);
  assert_int_equal(inode(*state), file);

  char path[4096];
  snprintf(path, sizeof path, "%s/" EVENTS, (const char *)*state);
  assert_int_equal(truncate(path, (off_t)one.len + 5), 0); /* killed while appending */
  write_events(*state);
  read_events(*state, &fresh);
  assert_true(fresh.len == two.len && memcmp(fresh.data, two.data, two.len) == 0);
  assert_int_equal(inode(*state), file);
  tpo_buf_free(&one);
  tpo_buf_free(&two);
  tpo_buf_free(&fresh);
}

/* A watch's name is its tag's part; one that is no text is passed over, and what a tag can't hold is made safe. */
static void what_was_watched_has_tags_of_its_own(void **state)
{
  char line[600];
  struct tpo_buf one = {0}, two = {0};
  snprintf(line, sizeof line,
           STEP "{\"event\":\"watch\",\"iteration\":2,\"name\":\"maths\",\"value\":0.5,\"difference\":null,"
                "\"unparsed_share\":0,\"n\":7}\n");
  put_file(*state, "metrics.jsonl", line);
  write_events(*state);
  read_events(*state, &one);
  const char *value = memmem(one.data, one.len, "watch/maths/value", 17);
  assert_non_null(value);
  assert_memory_equal(value + 17, "\x15\0\0\0\x3f", 5);
  assert_non_null(memmem(one.data, one.len, "watch/maths/unparsed_share", 26));
  assert_null(memmem(one.data, one.len, "difference", 10));
  size_t at = strlen(line);
  snprintf(line + at, sizeof line - at, "{\"event\":\"watch\",\"iteration\":2,\"name\":5,\"value\":1}\n");
  put_file(*state, "metrics.jsonl", line);
  write_events(*state);
  read_events(*state, &two);
  assert_int_equal(one.len, two.len);
  snprintf(line + at, sizeof line - at,
           "{\"event\":\"watch\",\"iteration\":2,\"name\":\"a/<b>\",\"value\":1}\n");
  put_file(*state, "metrics.jsonl", line);
  write_events(*state);
  read_events(*state, &two);
  assert_non_null(memmem(two.data, two.len, "watch/a__b_-", 12));
  tpo_buf_free(&one);
  tpo_buf_free(&two);
}

static void what_the_metrics_no_longer_hold_goes(void **state)
{
  struct tpo_buf one = {0}, two = {0};
  put_file(*state, "metrics.jsonl", STEP);
  write_events(*state);
  read_events(*state, &one);
  put_file(*state, "metrics.jsonl", STEP KL KL);
  write_events(*state);
  put_file(*state, "metrics.jsonl", STEP);
  write_events(*state);
  read_events(*state, &two);
  assert_true(two.len == one.len && memcmp(one.data, two.data, one.len) == 0);
  tpo_buf_free(&one);
  tpo_buf_free(&two);
}

static void strange_lines_are_passed_over_and_torn_ones_named(void **state)
{
  struct tpo_error err = {0};
  struct tpo_buf one = {0}, two = {0};
  put_file(*state, "metrics.jsonl", STEP);
  write_events(*state);
  read_events(*state, &one);
  put_file(*state, "metrics.jsonl",
           STEP
           "[]\n7\n{\"event\":\"kl\"}\n{\"event\":7,\"iteration\":1}\n{\"event\":\"other\",\"iteration\":1}\n"
           "{\"event\":\"kl\",\"iteration\":1,\"per_token\":\"x\"}\n"
           "{\"event\":\"win_rate\",\"iteration\":1,\"win_rate\":0.5,\"against\":[]}\n");
  write_events(*state);
  read_events(*state, &two);
  assert_int_equal(one.len, two.len);
  put_file(*state, "metrics.jsonl", STEP "{\"event\":\"st");
  assert_true(tpo_tensorboard_write(*state, &err) < 0);
  assert_contains(err.message, "metrics.jsonl:2");
  tpo_buf_free(&one);
  tpo_buf_free(&two);
}

static void without_events_there_is_no_file(void **state)
{
  char path[4096];
  put_file(*state, "metrics.jsonl", "");
  write_events(*state);
  snprintf(path, sizeof path, "%s/tensorboard", (const char *)*state);
  assert_false(tpo_file_exists(path));
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
  const struct CMUnitTest tests[] = {
      WITH_FOLDER(each_record_carries_its_checksums),
      WITH_FOLDER(the_messages_are_those_of_the_format),
      WITH_FOLDER(more_events_are_appended_to_the_same_file),
      WITH_FOLDER(what_was_watched_has_tags_of_its_own),
      WITH_FOLDER(what_the_metrics_no_longer_hold_goes),
      WITH_FOLDER(strange_lines_are_passed_over_and_torn_ones_named),
      WITH_FOLDER(without_events_there_is_no_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
