/* Which group an instruction stands in, and what is told of it. */
#include "measure/rows.h"
#include "base/buf.h"
#include "measure/groups.h"
#include "measure/wilson.h"

#define GROUP_ROW(id_, score_, response_, meta_)                                                             \
  {                                                                                                          \
    .id = id_, .score = score_, .response = response_, .thought = 2, .tokens = 5, .meta = meta_              \
  }
#define MATHS "{\"category\":\"maths\",\"dataset\":\"one\"}"
#define POEMS "{\"category\":\"poems\",\"dataset\":\"one\"}"

static struct groups group(const struct tpo_samples *samples, enum group_by by,
                           const struct group_options *options)
{
  struct groups groups;
  struct tpo_error err = {0};
  if (groups_of(&groups, samples, by, options, &err) < 0) fail_msg("%s", err.message);
  return groups;
}

static const struct group_options alone = {.unparsed = -1};

static void checks_held_are_a_share_of_each_outputs(void **state)
{
  (void)state;
  struct tpo_samples now = {0};
  assert_true(isnan(checks_held(&now)));
  /* one of two, both of an empty response, which holds none, none asked, not judged, an output that doesn't parse */
  SKETCH(
      &now,
      TEXT_ROW("a", 1, "x", 0, 1, NULL,
               "{\"checks\":[{\"type\":\"t\",\"passed\":true},{\"type\":\"u\",\"passed\":false}]}"),
      TEXT_ROW("b", -1, "", 0, 1, NULL, "{\"checks\":[{\"type\":\"t\",\"passed\":true}],\"empty\":true}"),
      TEXT_ROW("c", 0, "x", 0, 1, NULL, "{\"checks\":[]}"), TEXT_ROW("d", NAN, "x", 0, 1, NULL, "{}"),
      ROW("e", NAN, NULL, 0, 1),
      TEXT_ROW("f", 1, "x", 0, 1, NULL, "{\"checks\":[{\"type\":\"t\",\"passed\":true}],\"empty\":false}"));
  assert_near(checks_held(&now), (0.5 + 0 + 0 + 1) / 4);
  tpo_samples_free(&now);
}

static void instructions_count_by_their_category(void **state)
{
  (void)state;
  struct tpo_samples now = {0};
  /* maths: (1 + 3) / 2 and 0, one output without a format that counts -1; poems: one not judged, one of 4 */
  SKETCH(&now, GROUP_ROW("a", 1, "xy", MATHS), GROUP_ROW("a", 3, "xyzv", MATHS),
         GROUP_ROW("b", 4, "ä", POEMS), GROUP_ROW("c", 1, "x", MATHS), GROUP_ROW("c", NAN, NULL, MATHS),
         GROUP_ROW("d", NAN, "x", POEMS), GROUP_ROW("e", 7, "x", NULL),
         GROUP_ROW("f", 8, "x", "{\"category\":\"\"}"), GROUP_ROW("g", 9, "x", MATHS));
  struct groups groups = group(&now, GROUP_CATEGORY, &alone);
  assert_int_equal(groups.n, 2);
  assert_int_equal(groups_count(&groups), 3);
  const struct group *maths = &groups.list[0], *poems = &groups.list[1];
  assert_string_equal(maths->name, "maths"); /* the larger one */
  assert_int_equal(maths->n, 3);
  assert_near(maths->value, (2 + 0 + 9) / 3.0);
  assert_near(maths->format_rate, 0.8);
  assert_near(maths->response_chars, (2 + 4 + 1 + 0 + 1) / 5.0);
  assert_near(maths->response_tokens, 3);
  assert_string_equal(poems->name, "poems");
  assert_true(poems->n == 2 && poems->unjudged == 1);
  assert_near(poems->value, 4);
  assert_true(isnan(poems->value_se) && isnan(poems->win_rate) && poems->compared == 0);
  assert_near(poems->response_chars, 1);
  assert_int_equal(groups.without.n, 2); /* no name, and an empty one */
  assert_near(groups.without.value, 7.5);
  groups_free(&groups);
  groups = group(&now, GROUP_DATASET, &alone);
  assert_true(groups.n == 1 && groups.list[0].n == 5 && groups.without.n == 2);
  groups_free(&groups);
  tpo_samples_free(&now);
}

static void differences_are_paired_and_wins_have_an_interval(void **state)
{
  (void)state;
  struct tpo_samples now = {0}, before = {0};
  SKETCH(&now, GROUP_ROW("a", 1, "x", MATHS), GROUP_ROW("b", 3, "x", MATHS), GROUP_ROW("c", 5, "x", MATHS),
         GROUP_ROW("d", 1, "x", POEMS), GROUP_ROW("e", 1, "x", MATHS));
  SKETCH(&before, GROUP_ROW("e", NAN, "x", NULL), GROUP_ROW("c", 5, "x", NULL), GROUP_ROW("b", 1, "x", NULL),
         GROUP_ROW("a", 0, "x", NULL));
  const double outcomes[] = {1, 1, 0.5, NAN, 0};
  const struct group_options options = {.unparsed = -1, .before = &before, .outcomes = outcomes};
  struct groups groups = group(&now, GROUP_CATEGORY, &options);
  const struct group *maths = &groups.list[0];
  assert_int_equal(maths->compared, 3); /* e was not judged before */
  assert_near(maths->difference, 1);    /* 1, 2, 0 */
  assert_near(maths->difference_se, 1 / sqrt(3));
  assert_true(maths->wins == 2 && maths->losses == 1 && maths->ties == 1);
  assert_near(maths->win_rate, 2.5 / 4);
  double low, high;
  wilson_interval(2.5, 4, &low, &high);
  assert_true(maths->win_low == low && maths->win_high == high && low > 0.2 && high < 0.95);
  assert_true(groups.list[1].compared == 0 && isnan(groups.list[1].difference));
  assert_true(groups.list[1].wins == 0 && isnan(groups.list[1].win_low));
  groups_free(&groups);
  tpo_samples_free(&now);
  tpo_samples_free(&before);
}

#define NO_COMMA(passed) "{\"type\":\"punctuation:no_comma\",\"passed\":" passed "}"
#define WORDS(passed) "{\"type\":\"length_constraints:number_words\",\"passed\":" passed "}"
#define CHECK_ROW(id_, response_, detail_)                                                                   \
  {                                                                                                          \
    .id = id_, .score = 1, .response = response_, .tokens = 1, .detail = detail_                             \
  }

static void checks_count_by_their_kind_wherever_the_verdicts_stand(void **state)
{
  (void)state;
  struct tpo_samples now = {0}, before = {0};
  SKETCH(
      &now, CHECK_ROW("a", "x", "{\"checks\":[" NO_COMMA("true") "," WORDS("true") "," WORDS("false") "]}"),
      CHECK_ROW("a", "y", "{\"checks\":[" NO_COMMA("false") "," WORDS("true") "," WORDS("true") "]}"),
      CHECK_ROW("b", "x", "{\"judge\":\"rule\",\"raw\":1.0,\"detail\":{\"checks\":[" NO_COMMA("true") "]}}"),
      CHECK_ROW("c", "x",
                "{\"terms\":[{\"judge\":\"reward:x\",\"raw\":2.0,\"detail\":{\"wins\":1}},"
                "{\"judge\":\"rule\",\"raw\":1.0,\"detail\":{\"checks\":[" NO_COMMA("false") "]}}]}"),
      CHECK_ROW("d", "x", "{\"checks\":\"none\"}"), CHECK_ROW("e", "x", "[1]"), CHECK_ROW("f", "x", ""),
      CHECK_ROW("g", "x", "{\"checks\":[7,{\"type\":1,\"passed\":true},{\"type\":\"t\",\"passed\":1}]}"));
  SKETCH(&before, CHECK_ROW("c", "x", "{\"checks\":[" NO_COMMA("true") "]}"),
         CHECK_ROW("b", "x", "{\"checks\":[" NO_COMMA("false") "]}"));
  const struct group_options options = {.before = &before};
  struct groups groups = group(&now, GROUP_CHECK, &options);
  assert_int_equal(groups.n, 2);
  const struct group *commas = &groups.list[0], *words = &groups.list[1];
  assert_string_equal(commas->name, "punctuation:no_comma");
  assert_true(commas->n == 3 && commas->checks == 4 && commas->passed == 2);
  assert_near(commas->value, 0.5); /* 1/2, 1 and 0 */
  assert_near(commas->value_se, 0.5 / sqrt(3));
  assert_true(commas->compared == 2);
  assert_near(commas->difference, 0); /* b +1, c -1 */
  assert_true(words->n == 1 && words->checks == 4 && words->passed == 3 && words->compared == 0);
  assert_near(words->value, 0.75);
  assert_int_equal(groups.without.n, 0);
  groups_free(&groups);
  tpo_samples_free(&now);
  tpo_samples_free(&before);
}

/* 1000 categories of one instruction, of which one has a second. */
static void many_small_groups_are_told_together(void **state)
{
  (void)state;
  struct tpo_samples now = {0};
  for (int i = 0; i <= 1000; i++) {
    char id[32], meta[64];
    snprintf(id, sizeof id, "p%d", i);
    snprintf(meta, sizeof meta, "{\"category\":\"kind %d\"}", i == 1000 ? 777 : i);
    SKETCH(&now, GROUP_ROW(id, i, "x", meta));
  }
  struct groups groups = group(&now, GROUP_CATEGORY, &alone);
  assert_true(groups.n == MOST_GROUPS && groups.n_other == 1000 - MOST_GROUPS);
  assert_int_equal(groups_count(&groups), 1000);
  assert_string_equal(groups.list[0].name, "kind 777");
  assert_string_equal(groups.list[1].name, "kind 0"); /* of equal ones by name */
  assert_string_equal(groups.list[2].name, "kind 1");
  assert_string_equal(groups.list[3].name, "kind 10");
  double told = 0;
  for (size_t g = 0; g < groups.n; g++) told += groups.list[g].value * (double)groups.list[g].n;
  assert_int_equal(groups.other.n, 1000 - MOST_GROUPS);
  assert_near(told + groups.other.value * (double)groups.other.n, 1000 * 1001 / 2.0);
  groups_free(&groups);
  tpo_samples_free(&now);
}

static void names_are_told_so_that_they_can_be_seen_and_told_apart(void **state)
{
  (void)state;
  struct tpo_arena arena = {0};
  struct tpo_buf one = {0}, two = {0};
  static const char markup[] = "<b>Mathé & \"x\"</b>";
  assert_string_equal(group_name(&arena, markup, strlen(markup)), markup);
  const char *control = group_name(&arena, "a\n\x1b[2J\0b", 8);
  assert_memory_equal(control, "a\\n\\x1b[2J", 10);
  assert_non_null(strchr(control, '~'));
  assert_string_not_equal(control, group_name(&arena, "a\\n\\x1b[2J\\x00b", 15));
  static const char *const spaced[] = {"maths or so",           " maths or so",       "maths or so ",
                                       "maths  or so",          "maths\xc2\xa0or so", "maths \xc2\xa0or so",
                                       "maths\xe3\x80\x80or so"};
  for (size_t i = 0; i < sizeof spaced / sizeof *spaced; i++) { /* alike on a page and in most fonts */
    const char *told = group_name(&arena, spaced[i], strlen(spaced[i])), *hash = strchr(told, '~');
    assert_true(i == 0 ? !hash : hash && strlen(hash) == 9);
    for (size_t j = 0; hash && j < i; j++) {
      const char *other = strchr(group_name(&arena, spaced[j], strlen(spaced[j])), '~');
      assert_true(!other || strcmp(hash, other) != 0);
    }
  }
  assert_non_null(strchr(group_name(&arena, " ", 1), '~'));
  for (int i = 0; i < 2000; i++) tpo_buf_puts(&one, "ä");
  tpo_buf_append(&two, one.data, one.len);
  tpo_buf_puts(&two, "b");
  const char *first = group_name(&arena, one.data, one.len), *second = group_name(&arena, two.data, two.len);
  assert_string_not_equal(first, second);
  assert_int_equal(strlen(first), 80 * 2 + strlen("…~12345678"));
  assert_string_equal(group_name(&arena, one.data, 160), group_name(&arena, two.data, 160));
  assert_null(strchr(group_name(&arena, one.data, 160), '~'));
  tpo_buf_free(&one);
  tpo_buf_free(&two);
  tpo_arena_free(&arena);
}

static void nothing_has_no_groups(void **state)
{
  (void)state;
  struct tpo_samples none = {0};
  for (enum group_by by = 0; by < N_GROUP_BY; by++) {
    struct groups groups = group(&none, by, &alone);
    assert_int_equal(groups_count(&groups), 0);
    groups_free(&groups);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(checks_held_are_a_share_of_each_outputs),
      cmocka_unit_test(instructions_count_by_their_category),
      cmocka_unit_test(differences_are_paired_and_wins_have_an_interval),
      cmocka_unit_test(checks_count_by_their_kind_wherever_the_verdicts_stand),
      cmocka_unit_test(many_small_groups_are_told_together),
      cmocka_unit_test(names_are_told_so_that_they_can_be_seen_and_told_apart),
      cmocka_unit_test(nothing_has_no_groups),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
