/* Escaping, excerpts and numbers. */
#include <math.h>
#include "report/html.h"
#include "unit.h"
#include "report/well_formed.h"

static void expect_text(const char *text, const char *expected)
{
  struct tpo_buf out = {0};
  html_text(&out, text);
  assert_string_equal(out.data ? out.data : "", expected);
  tpo_buf_free(&out);
}

static void markup_becomes_text(void **state)
{
  (void)state;
  expect_text("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;");
  expect_text("a & b \"c\" 'd'", "a &amp; b &quot;c&quot; &#39;d&#39;");
  expect_text("&lt;", "&amp;lt;");
  expect_text("", "");
}

static void control_characters_are_shown(void **state)
{
  (void)state;
  expect_text("a\x1b[31mb", "a<span class=\"ctl\">␛</span>[31mb");
  expect_text("\x01\x7f", "<span class=\"ctl\">␁</span><span class=\"ctl\">␡</span>");
  expect_text("\xc2\x85", "<span class=\"ctl\">‹U+0085›</span>");
  expect_text("line\n\ttab", "line\n\ttab");
  struct tpo_buf out = {0};
  html_text_n(&out, "a\0b", 3);
  assert_string_equal(out.data, "a<span class=\"ctl\">␀</span>b");
  tpo_buf_free(&out);
}

static void what_can_not_be_seen_is_shown(void **state)
{
  (void)state;
  expect_text("user\u202etxt", "user<span class=\"ctl\">‹U+202E›</span>txt");
  expect_text("hi\u00ad\U000e0068",
              "hi<span class=\"ctl\">‹U+00AD›</span><span class=\"ctl\">‹U+E0068›</span>");
  expect_text("\u2028", "<span class=\"ctl\">‹U+2028›</span>");
  expect_text("👩\u200d🚀 é ü 漢", "👩<span class=\"ctl\">‹U+200D›</span>🚀 é ü 漢");
}

static void malformed_bytes_are_replaced(void **state)
{
  (void)state;
  expect_text("a\xff\xc3", "a\uFFFD\uFFFD");
  expect_text("\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD");
}

static void an_attribute_can_not_be_left(void **state)
{
  (void)state;
  struct tpo_buf out = {0};
  tpo_buf_puts(&out, "<p title=\"");
  html_attribute(&out, "\" onclick=\"x\" <b>\n\x1b\u202e");
  tpo_buf_puts(&out, "\"></p>");
  assert_string_equal(out.data, "<p title=\"&quot; onclick=&quot;x&quot; &lt;b&gt;&#10;␛‹U+202E›\"></p>");
  assert_well_formed(out.data);
  tpo_buf_free(&out);
}

static void every_byte_gives_well_formed_html(void **state)
{
  (void)state;
  struct tpo_buf out = {0};
  char bytes[512];
  for (int i = 0; i < 256; i++) {
    bytes[2 * i] = (char)i;
    bytes[2 * i + 1] = (char)(255 - i);
  }
  tpo_buf_puts(&out, "<p>");
  html_text_n(&out, bytes, sizeof bytes);
  tpo_buf_puts(&out, "</p>");
  assert_well_formed(out.data);
  tpo_buf_free(&out);
}

static void excerpts_are_one_short_line(void **state)
{
  (void)state;
  struct tpo_buf out = {0};
  html_excerpt(&out, "  two\n\n words <b> ", 100);
  assert_string_equal(out.data, "two words &lt;b&gt;");
  tpo_buf_clear(&out);
  html_excerpt(&out, "ééééé", 3);
  assert_string_equal(out.data, "ééé…");
  tpo_buf_clear(&out);
  html_excerpt(&out, "abc", 3);
  assert_string_equal(out.data, "abc");
  tpo_buf_clear(&out);
  html_capped(&out, "éabcd", 2);
  assert_string_equal(out.data, "éa<span class=\"cut\">… 3 more characters</span>");
  tpo_buf_free(&out);
}

static void expect_number(void (*put)(struct tpo_buf *, double, int), double value, int decimals,
                          const char *expected)
{
  struct tpo_buf out = {0};
  put(&out, value, decimals);
  assert_string_equal(out.data, expected);
  tpo_buf_free(&out);
}

static void numbers_read_well(void **state)
{
  (void)state;
  expect_number(html_number, NAN, 3, "–");
  expect_number(html_number, -INFINITY, 3, "–");
  expect_number(html_number, -0.5, 2, "−0.50");
  expect_number(html_number, -0.0, 2, "0.00");
  expect_number(html_number, 1234567.25, 1, "1\u202f234\u202f567.2");
  expect_number(html_number, 1234, 0, "1234");
  expect_number(html_number, 1e300, 2, "1.00e+300");
  expect_number(html_signed, 0.25, 2, "+0.25");
  expect_number(html_signed, 0, 2, "±0.00");
  expect_number(html_percent, 0.125, 1, "12.5 %");
  expect_number(html_percent, NAN, 1, "–");
}

static void durations_read_well(void **state)
{
  (void)state;
  static const struct {
    double seconds;
    const char *expected;
  } cases[] = {{0, "0.0 s"},
               {9.44, "9.4 s"},
               {59.96, "1 min 00 s"},
               {185, "3 min 05 s"},
               {3599.6, "1 h 00 min"},
               {7620, "2 h 07 min"},
               {NAN, "–"},
               {-1, "–"},
               {1e300, "–"},
               {86400 * 3, "72 h 00 min"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct tpo_buf out = {0};
    html_duration(&out, cases[i].seconds);
    assert_string_equal(out.data, cases[i].expected);
    tpo_buf_free(&out);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(markup_becomes_text),           cmocka_unit_test(control_characters_are_shown),
      cmocka_unit_test(what_can_not_be_seen_is_shown), cmocka_unit_test(malformed_bytes_are_replaced),
      cmocka_unit_test(an_attribute_can_not_be_left),  cmocka_unit_test(every_byte_gives_well_formed_html),
      cmocka_unit_test(excerpts_are_one_short_line),   cmocka_unit_test(numbers_read_well),
      cmocka_unit_test(durations_read_well),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
