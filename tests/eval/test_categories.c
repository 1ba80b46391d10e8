/* Categories: the built-in ones, files of others, and which one an answer says. */
#include "eval/categories/list.h"
#include "eval/categories/question.h"

#include "base/file.h"
#include "unit.h"

static struct category_list read_ok(const char *folder, const char *text)
{
  char path[4200];
  struct category_list list;
  struct tpo_error err = {0};
  snprintf(path, sizeof path, "%s/list.tsv", folder);
  assert_int_equal(tpo_write_file(path, text, strlen(text), NULL), 0);
  if (category_list_read(&list, path, &err) < 0) fail_msg("%s", err.message);
  return list;
}

static void there_are_20_and_no_two_are_alike(void **state)
{
  (void)state;
  struct category_list list;
  int found;
  assert_int_equal(category_list_default(&list, NULL), 0);
  assert_int_equal(list.n, 20);
  for (size_t i = 0; i < list.n; i++) {
    assert_true(*list.items[i].about);
    for (size_t j = 0; j < i; j++) assert_string_not_equal(list.items[i].folded, list.items[j].folded);
    assert_int_equal(category_read(&list, list.items[i].name, &found, NULL), 0);
    assert_int_equal(found, i);
  }
  char *question = category_question(&list, "Sum {instruction} up: 1 + 1");
  assert_contains(question, "\n1. General knowledge: ");
  assert_contains(question, "\n20. History, culture and society: ");
  assert_contains(question, "=== Request ===\nSum {instruction} up: 1 + 1\n");
  free(question);
  category_list_free(&list);
}

static void a_file_gives_names_and_what_belongs_to_them(void **state)
{
  struct category_list list =
      read_ok(*state, "# a comment\n\n Law & order \t what is  allowed \r\nR\xC3\xA4tsel\nC#\t\n");
  assert_int_equal(list.n, 3);
  assert_string_equal(list.items[0].name, "Law & order");
  assert_string_equal(list.items[0].folded, "law and order");
  assert_string_equal(list.items[0].about, "what is  allowed");
  assert_string_equal(list.items[1].name, "R\xC3\xA4tsel");
  assert_string_equal(list.items[2].about, "");
  category_list_free(&list);
}

static void a_bad_file_is_refused_by_line(void **state)
{
  static const struct {
    const char *text, *message;
  } cases[] = {
      {"", "at least 2 categories, a line each, and there are 0"},
      {"one\n", "at least 2 categories, a line each, and there is 1"},
      {"a b\nc\nA-B\n", ":3: the category \"A-B\" is there twice"},
      {"a\nUnassigned\n", ":2: \"unassigned\" is what"},
      {"a\nC\n(c).\n", ":3: the category \"(c).\" is there twice, before as \"C\""},
      {"a\n\xE2\x80\x9C"
       "A\xE2\x80\x9D\n",
       ":2: the category"},
      {"a\n1\n", ":2: the category \"1\" is number 2"},
      {"a\nb\n#c\tfirst\n", ":3: a line that begins with '#' is a comment"},
      {"a\n***\n", ":2: expected a category's name"},
      {"a\n\tabout nothing\n", ":2: expected a category's name"},
      {"a\nb\xFF\n", ":2: not valid UTF-8"},
      {"a\n01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\n",
       ":2: expected a category's name of 1 to 100 bytes"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char path[4200];
    struct category_list list;
    struct tpo_error err = {0};
    snprintf(path, sizeof path, "%s/bad.tsv", (char *)*state);
    assert_int_equal(tpo_write_file(path, cases[i].text, strlen(cases[i].text), NULL), 0);
    assert_int_equal(category_list_read(&list, path, &err), TPO_E_INPUT);
    assert_contains(err.message, cases[i].message);
    category_list_free(&list);
  }
}

static void too_many_categories_are_refused(void **state)
{
  char path[4200];
  struct tpo_buf text = {0};
  struct category_list list;
  struct tpo_error err = {0};
  for (int i = 0; i <= CATEGORIES_MOST; i++) tpo_buf_printf(&text, "c%d\n", i);
  snprintf(path, sizeof path, "%s/many.tsv", (char *)*state);
  assert_int_equal(tpo_write_file(path, text.data, text.len, NULL), 0);
  assert_int_equal(category_list_read(&list, path, &err), TPO_E_INPUT);
  assert_contains(err.message, ":201: there are more than 200 categories");
  category_list_free(&list);
  tpo_buf_free(&text);
}

/* Of 1 Writing, 2 Creative writing, 3 Law & order, 4 Category theory, 5 R\xC3\xA4tsel. */
static void an_answer_is_read_whatever_is_around_it(void **state)
{
  static const struct {
    const char *answer;
    int category; /* from 1; 0: none */
  } cases[] = {
      {"2", 2},
      {"2.", 2},
      {" **2. Creative Writing** \n", 2},
      {"2) creative-writing", 2},
      {"CREATIVE WRITING", 2},
      {"Creative writing (2)", 2},
      {"\"Law and order\"", 3},
      {"law & order.", 3},
      {"Category: 3", 3},
      {"The category is: Law & Order", 3},
      {"The best category is number 3.", 3},
      {"My final answer: [3. Law & order]", 3},
      {"Category theory", 4},
      {"Category: Category theory", 4},
      {"5: R\xC3\xA4tsel", 5},
      {"3. Creative writing", 2}, /* the name counts */
      {"Creative writing: stories and poems", 2},
      {"NUMBER. NAME\n1. Writing", 1},
      {"The person wants a poem.\n\n2. Creative writing", 2},
      {"It might be 3 or 5 things.\nAnswer: 2", 2},
      {"1. Writing\n2. Creative writing\n3. Law & order\n\nCategory: 3. Law & order", 3},
      {"This is clearly creative writing, since a poem is asked for.", 2},
      {"This is law and order through and through: law & order!", 3},
      {"", 0},
      {"\n\n", 0},
      {"6", 0},
      {"0", 0},
      {"99999999999999999999", 0},
      {"-", 0},
      {"3 apples", 0},
      {"2nd", 0},
      {"I can't say.", 0},
      {"1. Writing\n2. Creative writing", 0},
      {"Category: 1\nCategory: 2", 0},
      {"It is writing, or law and order.", 0},
      {"rewriting", 0},
      {"9. Cooking", 0},
      {"It is not writing.", 0},
      {"It isn\xE2\x80\x99t writing.\nIt is law and order.", 3},
      {"Writing: not really; law and order", 0},
      {"Writing? No.", 0},
      {"Writing, law & order", 0},
      {"Category: Writing (not creative writing)", 1},
      {"\xE2\x80\x9CWriting\xE2\x80\x9D", 1},
      {"It belongs to \xE2\x80\x98law & order\xE2\x80\x99\xE2\x80\xA6 I think", 3},
      {"\xE2\x80\xA2 Creative\xC2\xA0writing \xE2\x80\x93", 2},
      {"\xEF\xBC\x92\xEF\xBC\x8E Creative writing", 2}, /* of full width */
  };
  struct category_list list =
      read_ok(*state, "Writing\nCreative writing\nLaw & order\nCategory theory\nR\xC3\xA4tsel\n");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int found = -2;
    assert_int_equal(category_read(&list, cases[i].answer, &found, NULL), 0);
    if (found + 1 != cases[i].category) fail_msg("\"%s\" is read as %d", cases[i].answer, found + 1);
  }
  category_list_free(&list);
}

/* Names that begin alike, or hold marks as answers put around them. */
static void marks_that_belong_to_a_name_are_read(void **state)
{
  static const char *const names[] = {"C",    "C#",  "C++",        "Writing", "Writing (creative)",
                                      ".NET", "Q&A", "3D graphics"};
  static const char *const around[] = {"%s",
                                       "%s.",
                                       "**%s**",
                                       "- %s",
                                       "\"%s\"",
                                       "Category: %s",
                                       "The answer is: [%s]",
                                       "# %s",
                                       "%s: as the list has it",
                                       "I take it for %s, since it looks so."};
  struct tpo_buf text = {0}, answer = {0};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) tpo_buf_printf(&text, "%s\n", names[i]);
  struct category_list list = read_ok(*state, text.data);
  for (size_t i = 0; i < list.n; i++)
    for (size_t a = 0; a <= sizeof around / sizeof *around; a++) {
      int found;
      const char *form = a > 0 ? around[a - 1] : "%s", *at = strstr(form, "%s");
      tpo_buf_clear(&answer);
      if (a == 0) tpo_buf_printf(&answer, "%zu. ", i + 1);
      tpo_buf_printf(&answer, "%.*s%s%s", (int)(at - form), form, names[i], at + 2);
      assert_int_equal(category_read(&list, answer.data, &found, NULL), 0);
      if (found != (int)i) fail_msg("\"%s\" is read as %d", answer.data, found + 1);
    }
  category_list_free(&list);
  tpo_buf_free(&text);
  tpo_buf_free(&answer);
}

static void a_longer_word_is_no_name(void **state)
{
  int found;
  struct category_list list = read_ok(*state, "C\nWriting\n");
  static const char *const answers[] = {"C#", "2. C#", "C++", "It is C++.", "Writings"};
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
    assert_int_equal(category_read(&list, answers[i], &found, NULL), 0);
    if (found != -1) fail_msg("\"%s\" is read as %d", answers[i], found + 1);
  }
  category_list_free(&list);
}

static void what_categories_are_called_is_not_filled_in(void **state)
{
  struct category_list list = read_ok(*state, "a {instruction}\tall {instruction} and {{that}}\nb\n");
  char *question = category_question(&list, "Sum it up");
  assert_contains(question, "\n1. a {instruction}: all {instruction} and {{that}}\n");
  assert_contains(question, "=== Request ===\nSum it up\n");
  free(question);
  category_list_free(&list);
}

static void a_long_answer_takes_no_long_time(void **state)
{
  struct category_list list = read_ok(*state, "aaaa\naaaa aaaa\nb\n");
  struct tpo_buf text = {0};
  int found;
  for (int i = 0; i < 1 << 17; i++) tpo_buf_puts(&text, "aaaa aaaaa ");
  assert_int_equal(category_read(&list, text.data, &found, NULL), 0);
  assert_int_equal(found, 0);
  tpo_buf_free(&text);
  category_list_free(&list);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(there_are_20_and_no_two_are_alike),
      IN_FOLDER(a_file_gives_names_and_what_belongs_to_them),
      IN_FOLDER(a_bad_file_is_refused_by_line),
      IN_FOLDER(too_many_categories_are_refused),
      IN_FOLDER(an_answer_is_read_whatever_is_around_it),
      IN_FOLDER(marks_that_belong_to_a_name_are_read),
      IN_FOLDER(a_longer_word_is_no_name),
      IN_FOLDER(what_categories_are_called_is_not_filled_in),
      IN_FOLDER(a_long_answer_takes_no_long_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
