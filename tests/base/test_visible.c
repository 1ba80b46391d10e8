/* What can't be seen stands there by name, and the rest as it is. */
#include "unit.h"
#include "base/visible.h"

static void expect(const char *text, const char *expected)
{
  struct tpo_buf out = {0};
  char copy[200];
  tpo_buf_append(&out, "", 0);
  tpo_visible_append(&out, text, strlen(text));
  assert_string_equal(out.data, expected);
  tpo_visible_copy(copy, sizeof copy, text);
  assert_string_equal(copy, expected);
  tpo_visible_append(&out, expected, strlen(expected)); /* made visible once, it stays as it is */
  assert_string_equal(out.data + strlen(expected), expected);
  tpo_buf_free(&out);
}

static void what_is_seen_stays_as_it_is(void **state)
{
  (void)state;
  expect("", "");
  expect("a\\n é 漢 😀 x\u0301 ½ \u00a0‹›", "a\\n é 漢 😀 x\u0301 ½ \u00a0‹›");
}

static void controls_and_malformed_bytes_are_escaped(void **state)
{
  (void)state;
  expect("a\nb\r\tc\x1b[2J\x7f\a", "a\\nb\\r\\tc\\x1b[2J\\x7f\\x07");
  expect("\xc2\x9b", "\\x9b");
  expect("a\xff\xe2\x80", "a\\xff\\xe2\\x80");
  expect("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* half of a pair in UTF-16 */
}

static void what_has_no_width_or_turns_the_writing_is_labelled(void **state)
{
  static const uint32_t unseen[] = {0xad,   0x200b, 0x200c, 0x200d,  0x200e,  0x200f, 0x2028,
                                    0x202a, 0x202e, 0x2060, 0x2064,  0x2066,  0x2069, 0xfeff,
                                    0xfff9, 0x61c,  0x34f,  0xe0001, 0xe007f, 0xe0100};
  (void)state;
  for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++) {
    char label[TPO_LABEL_BYTES], expected[40];
    assert_true(tpo_is_unseen(unseen[i]));
    tpo_label_unseen(unseen[i], label);
    snprintf(expected, sizeof expected, "‹U+%04X›", (unsigned)unseen[i]);
    assert_string_equal(label, expected);
  }
  expect("pass\u00adword\u200b!", "pass‹U+00AD›word‹U+200B›!");
  expect("hi\U000e0068\U000e0069", "hi‹U+E0068›‹U+E0069›");
  expect("👩\u200d🚀", "👩‹U+200D›🚀");
}

static void a_copy_ends_between_characters(void **state)
{
  (void)state;
  const char *text = "é\u200b\n漢";
  for (size_t size = 1; size < 30; size++) {
    char out[30], whole[30];
    tpo_visible_copy(whole, sizeof whole, text);
    memset(out, 'z', sizeof out);
    tpo_visible_copy(out, size, text);
    size_t len = strlen(out);
    assert_true(len < size && memcmp(out, whole, len) == 0);
    assert_true(len == 0 || len == 2 || len == 14 || len == 16 || len == 19);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_seen_stays_as_it_is),
      cmocka_unit_test(controls_and_malformed_bytes_are_escaped),
      cmocka_unit_test(what_has_no_width_or_turns_the_writing_is_labelled),
      cmocka_unit_test(a_copy_ends_between_characters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
