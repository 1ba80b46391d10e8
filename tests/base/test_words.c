/* Where a word begins and ends. */
#include "unit.h"
#include "base/words.h"

static void words_are_runs_of_letters_and_digits(void **state)
{
  (void)state;
  assert_int_equal(words_count(""), 0);
  assert_int_equal(words_count(" ... !? "), 0);
  assert_int_equal(words_count("Don't stop: it’s 3 o'clock."), 5);
  assert_int_equal(words_count("'quoted' words'"), 2);
  assert_int_equal(words_count("na\xc3\xafve cafe\xcc\x81"), 2);
  assert_int_equal(words_count("写一首诗"), 4);
  assert_int_equal(words_count("a\xff\xfe"
                               "b"),
                   2);
  assert_int_equal(words_count("x2 y_3"), 3);
}

/* The short way for ASCII folds as the long one does: the same text beside a letter that is none. */
static void ascii_folds_like_any_text(void **state)
{
  (void)state;
  char text[130] = "", longer[140];
  for (int c = 1; c < 128; c++) text[c - 1] = (char)c;
  snprintf(longer, sizeof longer, "%s\xc3\x84", text);
  char *one = words_fold(text), *two = words_fold(longer);
  assert_memory_equal(one, two, strlen(one));
  assert_string_equal(two + strlen(one), "\xc3\xa4");
  free(one);
  free(two);
  assert_null(words_fold("\xff"));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(words_are_runs_of_letters_and_digits),
      cmocka_unit_test(ascii_folds_like_any_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
