/* Overlap of texts by their word n-grams. */
#include "unit.h"
#include <math.h>
#include <time.h>
#include "data/novelty.h"

static double nearest(const char *const *texts, size_t n, int words, const char *text, size_t *which)
{
  struct tpo_error err = {0};
  struct novelty *index;
  double overlap;
  assert_int_equal(novelty_create(&index, words, &err), 0);
  for (size_t i = 0; i < n; i++) assert_int_equal(novelty_add(index, texts[i], &err), 0);
  assert_int_equal(novelty_nearest(index, text, &overlap, which, &err), 0);
  novelty_free(index);
  return overlap;
}

static double between(const char *a, const char *b)
{
  size_t which;
  double one = nearest((const char *const[]){a}, 1, 3, b, &which);
  double other = nearest((const char *const[]){b}, 1, 3, a, &which);
  assert_float_equal(one, other, 0); /* whichever is there first */
  return one;
}

static void equal_texts_overlap_wholly_and_strangers_not_at_all(void **state)
{
  (void)state;
  assert_float_equal(between("Name three rivers.", "Name three rivers."), 1, 0);
  assert_float_equal(between("Name three rivers.", "How tall is it?"), 0, 0);
}

static void case_width_and_punctuation_do_not_matter(void **state)
{
  (void)state;
  assert_float_equal(between("NAME three, RIVERS!", "name Three rivers"), 1, 0);
  assert_float_equal(between("Stra\xc3\x9f"
                             "e und Haus",
                             "STRASSE UND HAUS"),
                     1, 0);
  assert_float_equal(between("\xef\xbc\xb7rite a poem", "Write a poem"), 1, 0); /* full-width W */
  assert_float_equal(between("cafe\xcc\x81 is open", "caf\xc3\xa9 is open"), 1, 0);
}

static void short_texts_have_n_grams_too(void **state)
{
  (void)state;
  assert_float_equal(between("Why?", "why"), 1, 0);
  assert_float_equal(between("Why?", "How?"), 0, 0);
  /* 3 words have 5 trigrams, 4 have 6; "^^a ^ab" are shared. */
  assert_float_equal(between("a b c", "a b x d"), 2 * 2 / 11.0, 1e-12);
  assert_float_equal(between("...", "..."), 0, 0); /* no words, nothing shared */
}

static void overlap_is_the_formula(void **state)
{
  (void)state;
  /* 5 words each: 7 trigrams, of which the first 4 are shared. */
  assert_float_equal(between("write a poem about cats", "write a poem about dogs"), 8 / 14.0, 1e-12);
  /* A repeated n-gram counts once: "la la la ..." has 5 different trigrams whatever its length. */
  assert_float_equal(between("la la la la la la", "la la la la"), 1, 1e-12);
}

static void a_text_that_holds_another_is_like_it(void **state)
{
  (void)state;
  const char *seed = "List five ways to save water in a small garden.";
  const char *grown =
      "List five ways to save water in a small garden. Then explain to a child of six, "
      "with a short example for each of them, why the second way is the one that most people forget.";
  assert_true(between(seed, grown) > 0.8);
  /* A short one inside is no copy: nearly every text would be one. */
  assert_true(between("Write a poem.", "Write a poem about the sea at night, in two stanzas.") < 0.6);
}

static void the_nearest_is_named_and_the_first_of_equals(void **state)
{
  (void)state;
  const char *texts[] = {"how are you today", "name three rivers", "name three rivers", "name three lakes"};
  size_t which;
  assert_float_equal(nearest(texts, 4, 3, "Name three rivers", &which), 1, 0);
  assert_int_equal(which, 1);
  assert_true(nearest(texts, 4, 3, "Name three lakes now", &which) > 0.5);
  assert_int_equal(which, 3);
  assert_float_equal(nearest(texts, 0, 3, "anything", &which), 0, 0);
}

static void any_length_of_n_gram(void **state)
{
  (void)state;
  size_t which;
  const char *texts[] = {"one two three"};
  assert_float_equal(nearest(texts, 1, 1, "three one two", &which), 1, 0); /* single words have no order */
  assert_true(nearest(texts, 1, 2, "three one two", &which) < 0.5);
  assert_float_equal(nearest(texts, 1, 8, "one two three", &which), 1, 0);
  struct novelty *index;
  struct tpo_error err = {0};
  assert_int_equal(novelty_create(&index, 0, &err), TPO_E_USAGE);
  assert_int_equal(novelty_create(&index, 9, &err), TPO_E_USAGE);
  assert_null(index);
}

static void what_is_not_utf8_is_refused(void **state)
{
  (void)state;
  struct novelty *index;
  struct tpo_error err = {0};
  double overlap;
  size_t which;
  assert_int_equal(novelty_create(&index, 3, &err), 0);
  assert_int_equal(novelty_add(index, "a \xff b", &err), TPO_E_INPUT);
  assert_int_equal(novelty_nearest(index, "a \xff b", &overlap, &which, &err), TPO_E_INPUT);
  novelty_free(index);
}

/* Lookups leave nothing behind: the same answer however often, and in between additions. */
static void lookups_are_independent(void **state)
{
  (void)state;
  struct novelty *index;
  struct tpo_error err = {0};
  double first, again;
  size_t which;
  assert_int_equal(novelty_create(&index, 3, &err), 0);
  for (int i = 0; i < 3000; i++) {
    char text[64];
    snprintf(text, sizeof text, "tell me about the number %d please", i);
    assert_int_equal(novelty_add(index, text, &err), 0);
  }
  assert_int_equal(novelty_nearest(index, "tell me about the number 77 please", &first, &which, &err), 0);
  assert_float_equal(first, 1, 0);
  assert_int_equal(which, 77);
  assert_int_equal(novelty_add(index, "something else", &err), 0);
  assert_int_equal(novelty_nearest(index, "tell me about the number 77 please", &again, &which, &err), 0);
  assert_float_equal(again, first, 0);
  assert_int_equal(which, 77);
  novelty_free(index);
}

/* 20,000 texts, each looked up before it is added, within seconds:
 * a pairwise comparison would take minutes. */
static void twenty_thousand_texts_take_seconds(void **state)
{
  (void)state;
  static const char *const verbs[] = {"Explain", "List", "Describe", "Compare", "Summarise", "Translate"};
  struct novelty *index;
  struct tpo_error err = {0};
  double overlap;
  size_t which;
  clock_t begin = clock();
  assert_int_equal(novelty_create(&index, 3, &err), 0);
  uint32_t x = 1;
  for (int i = 0; i < 20000; i++) {
    char text[256];
    int at = snprintf(text, sizeof text, "%s", verbs[i % 6]);
    for (int w = 0; w < 14; w++) {
      x = x * 1664525u + 1013904223u;
      at += snprintf(text + at, sizeof text - (size_t)at, " w%u", (x >> 16) % 400);
    }
    assert_int_equal(novelty_nearest(index, text, &overlap, &which, &err), 0);
    assert_true(overlap < 0.7);
    assert_int_equal(novelty_add(index, text, &err), 0);
  }
  novelty_free(index);
  assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 20);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equal_texts_overlap_wholly_and_strangers_not_at_all),
      cmocka_unit_test(case_width_and_punctuation_do_not_matter),
      cmocka_unit_test(short_texts_have_n_grams_too),
      cmocka_unit_test(overlap_is_the_formula),
      cmocka_unit_test(a_text_that_holds_another_is_like_it),
      cmocka_unit_test(the_nearest_is_named_and_the_first_of_equals),
      cmocka_unit_test(any_length_of_n_gram),
      cmocka_unit_test(what_is_not_utf8_is_refused),
      cmocka_unit_test(lookups_are_independent),
      cmocka_unit_test(twenty_thousand_texts_take_seconds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
