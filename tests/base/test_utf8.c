/* UTF-8, over every code point and against malformed bytes. */
#include "unit.h"
#include "base/utf8.h"

static void every_code_point_round_trips(void **state)
{
  (void)state;
  for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
    if (cp >= 0xd800 && cp <= 0xdfff) continue;
    char text[4];
    uint32_t back = 0;
    int len = tpo_utf8_encode(cp, text);
    assert_int_equal(tpo_utf8_decode((const uint8_t *)text, (size_t)len, &back), len);
    assert_int_equal(back, cp);
    for (int cut = 1; cut < len; cut++) {
      assert_int_equal(tpo_utf8_decode((const uint8_t *)text, (size_t)cut, &back), 0);
      assert_int_equal(tpo_utf8_incomplete_tail(text, (size_t)cut), cut);
    }
    assert_int_equal(tpo_utf8_incomplete_tail(text, (size_t)len), 0);
  }
}

static void malformed_sequences_are_refused(void **state)
{
  (void)state;
  static const char *const bad[] = {"\x80",
                                    "\xc0\x80",
                                    "\xc1\xbf",
                                    "\xe0\x9f\xbf",
                                    "\xed\xa0\x80",
                                    "\xf0\x8f\xbf\xbf",
                                    "\xf4\x90\x80\x80",
                                    "\xf5\x80\x80\x80",
                                    "\xff",
                                    "\xc3(",
                                    "\xe2\x82("};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    uint32_t cp;
    size_t len = strlen(bad[i]), where = 99;
    assert_int_equal(tpo_utf8_decode((const uint8_t *)bad[i], len, &cp), 0);
    char text[16] = "ab";
    strcat(text, bad[i]);
    assert_false(tpo_utf8_valid(text, strlen(text), &where));
    assert_int_equal(where, 2);
  }
  assert_true(tpo_utf8_valid("a\0b", 3, NULL));
  assert_true(tpo_utf8_valid("", 0, NULL));
}

static void reading_on_puts_a_sign_in_place_of_each_malformed_byte(void **state)
{
  (void)state;
  const char text[] = "a\xe2\x82\xac\xff\xe2\x82";
  struct tpo_buf out = {0};
  for (size_t at = 0; at < sizeof text - 1;) tpo_utf8_append(&out, tpo_utf8_next(text, sizeof text - 1, &at));
  assert_string_equal(out.data, "a\u20ac\ufffd\ufffd\ufffd");
  tpo_buf_free(&out);
}

static void counts_code_points_and_stray_bytes(void **state)
{
  (void)state;
  assert_int_equal(tpo_utf8_count("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10), 4);
  assert_int_equal(tpo_utf8_count("\xff\xffz", 3), 3);
}

static void tail_of_what_can_never_be_valid_is_not_waited_for(void **state)
{
  (void)state;
  assert_int_equal(tpo_utf8_incomplete_tail("ab", 2), 0);
  assert_int_equal(tpo_utf8_incomplete_tail("a\xe2\x82", 3), 2);
  assert_int_equal(tpo_utf8_incomplete_tail("a\xed\xa0", 3), 0); /* would be a surrogate */
  assert_int_equal(tpo_utf8_incomplete_tail("a\xe0\x80", 3), 0); /* would be overlong */
  assert_int_equal(tpo_utf8_incomplete_tail("a\xf4\x90", 3), 0); /* beyond U+10FFFF */
  assert_int_equal(tpo_utf8_incomplete_tail("a\xff", 2), 0);
  assert_int_equal(tpo_utf8_incomplete_tail("\x80\x80\x80\x80", 4), 0);
  assert_int_equal(tpo_utf8_incomplete_tail("", 0), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_code_point_round_trips),
      cmocka_unit_test(malformed_sequences_are_refused),
      cmocka_unit_test(reading_on_puts_a_sign_in_place_of_each_malformed_byte),
      cmocka_unit_test(counts_code_points_and_stray_bytes),
      cmocka_unit_test(tail_of_what_can_never_be_valid_is_not_waited_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
