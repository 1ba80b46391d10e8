/* Labels of instructions, and who won by them. */
#include "eval/categories/tally.h"

#include <math.h>
#include "base/file.h"
#include "base/json.h"
#include "unit.h"

static void add(struct tpo_samples *samples, const char *id, const char *meta)
{
  const struct tpo_sample_row row = {.prompt_id = id, .instruction = "Do.", .meta = meta, .format_ok = true};
  assert_int_equal(tpo_samples_add(samples, &row, NULL), 0);
}

static struct tpo_samples five(void)
{
  struct tpo_samples samples = {0};
  add(&samples, "a", "{\"category\":\"law\",\"dataset\":\"x\"}");
  add(&samples, "a", "{\"category\":\"law\",\"dataset\":\"x\"}");
  add(&samples, "b", "{\"category\":\" \"}");
  add(&samples, "c", "{\"category\":7,\"dataset\":\"x\"}");
  add(&samples, "d", "{\"category\":\"art\\u0007\",\"dataset\":\"y\"}");
  add(&samples, "e", NULL);
  return samples;
}

static void write_file(char path[4200], const char *folder, const char *text)
{
  snprintf(path, 4200, "%s/labels", folder);
  assert_int_equal(tpo_write_file(path, text, strlen(text), NULL), 0);
}

static void samples_say_what_they_are_and_a_file_says_better(void **state)
{
  char path[4200];
  struct tpo_samples samples = five();
  struct labels labels;
  size_t unknown;
  assert_int_equal(labels_open(&labels, &samples, true, NULL), 0);
  assert_int_equal(labels.n, 5);
  assert_int_equal(labels_count(&labels, LABEL_SAMPLES), 2);
  assert_string_equal(labels.items[0].category, "law");
  assert_string_equal(labels.items[3].category, "art\\x07");
  assert_string_equal(labels.items[2].dataset, "x");
  assert_null(labels.items[4].dataset);
  write_file(path, *state,
             "{\"id\":\"e\",\"category\":\"late\"}\n{\"prompt_id\":\"a\",\"category\":\"new\"}\n"
             "{\"id\":\"zz\",\"category\":\"other\"}\n{\"id\":\"e\",\"category\":\"late\"}\n");
  assert_int_equal(labels_read(&labels, path, &unknown, NULL), 0);
  assert_int_equal(unknown, 1);
  assert_string_equal(labels.items[0].category, "new");
  assert_int_equal(labels_count(&labels, LABEL_FILE), 2);
  assert_int_equal(labels_count(&labels, LABEL_NONE), 2);
  /* What is written is read again. */
  assert_int_equal(labels_write(&labels, path, NULL), 0);
  struct labels again;
  assert_int_equal(labels_open(&again, &samples, false, NULL), 0);
  assert_int_equal(labels_count(&again, LABEL_NONE), 5);
  assert_int_equal(labels_read(&again, path, &unknown, NULL), 0);
  for (size_t i = 0; i < 5; i++)
    if (labels.items[i].category) assert_string_equal(again.items[i].category, labels.items[i].category);
  assert_int_equal(labels_count(&again, LABEL_FILE), 3);
  labels_free(&again);
  labels_free(&labels);
  tpo_samples_free(&samples);
}

static void bad_labels_are_refused_by_line(void **state)
{
  static const struct {
    const char *text, *message;
  } cases[] = {{"{\"id\":\"a\",\"category\":\"x\"}\n{\"id\":\"a\",\"category\":\"y\"}\n",
                ":2: a is \"y\" here and \"x\" before"},
               {"{\"id\":\"a\"}\n", "\"category\" is missing"},
               {"{\"name\":\"a\",\"category\":\"x\"}\n", "\"id\" is missing"},
               {"{\"id\":\"a\",\"category\":\" \"}\n", ":1: expected an id and a category"},
               {"{\"id\":7.5,\"category\":\"x\"}\n", "expected a text"},
               {"{\"id\":7,\"category\":1}\n", "expected a text"},
               {"{\"id\":7,\"category\":\" Unassigned\"}\n", ":1: \"unassigned\" is what"},
               {"", "holds no row"}};
  struct tpo_samples samples = five();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char path[4200];
    struct labels labels;
    struct tpo_error err = {0};
    size_t unknown;
    write_file(path, *state, cases[i].text);
    assert_int_equal(labels_open(&labels, &samples, true, NULL), 0);
    assert_int_equal(labels_read(&labels, path, &unknown, &err), TPO_E_INPUT);
    assert_contains(err.message, cases[i].message);
    labels_free(&labels);
  }
  tpo_samples_free(&samples);
}

static void whole_numbers_are_ids_too(void **state)
{
  char path[4200];
  struct tpo_samples samples = {0};
  struct labels labels;
  size_t unknown;
  add(&samples, "7", NULL);
  add(&samples, "-12", NULL);
  write_file(
      path, *state,
      "{\"id\":7,\"category\":\"x\"}\n{\"id\":-12,\"category\":\"y\"}\n{\"id\":8,\"category\":\"y\"}\n");
  assert_int_equal(labels_open(&labels, &samples, true, NULL), 0);
  assert_int_equal(labels_read(&labels, path, &unknown, NULL), 0);
  assert_int_equal(unknown, 1);
  assert_string_equal(labels.items[0].category, "x");
  assert_string_equal(labels.items[1].category, "y");
  labels_free(&labels);
  tpo_samples_free(&samples);
}

static void categories_of_one_name_are_one(void **state)
{
  (void)state;
  static const char *const given[] = {"maths ",     "Maths",       "creative-writing", "law &  order",
                                      "unassigned", " Unassigned", "LAW and order"},
                           *const become[] = {"maths", "maths", "Creative writing", "law &  order",
                                              NULL,    NULL,    "law &  order"};
  enum { N = sizeof given / sizeof *given };
  struct tpo_samples samples = {0};
  struct labels labels;
  struct category_list list;
  for (int i = 0; i < N; i++) {
    char id[16], meta[64];
    snprintf(id, sizeof id, "%d", i);
    snprintf(meta, sizeof meta, "{\"category\":\"%s\"}", given[i]);
    add(&samples, id, meta);
  }
  assert_int_equal(category_list_default(&list, NULL), 0);
  assert_int_equal(labels_open(&labels, &samples, true, NULL), 0);
  assert_int_equal(labels_unify(&labels, &list, NULL), 0);
  for (int i = 0; i < N; i++) {
    assert_int_equal(labels.items[i].by, become[i] ? LABEL_SAMPLES : LABEL_NONE);
    if (become[i]) assert_string_equal(labels.items[i].category, become[i]);
  }
  labels_free(&labels);
  category_list_free(&list);
  tpo_samples_free(&samples);
}

static void long_names_stay_apart(void **state)
{
  (void)state;
  char name[3000];
  struct label one = {0}, other = {0};
  memset(name, 'n', sizeof name);
  name[sizeof name - 1] = '\0';
  assert_int_equal(labels_set(&one, name, LABEL_FILE, NULL), 0);
  name[sizeof name - 2] = 'm';
  assert_int_equal(labels_set(&other, name, LABEL_FILE, NULL), 0);
  assert_true(strlen(one.category) <= LABEL_MOST && strlen(other.category) <= LABEL_MOST);
  assert_string_not_equal(one.category, other.category);
  free(one.category);
  free(other.category);
}

static void groups_are_told_in_the_lists_order_with_their_intervals(void **state)
{
  (void)state;
  struct tpo_samples samples = five();
  struct labels labels;
  struct category_list list;
  json_t *groups;
  assert_int_equal(category_list_default(&list, NULL), 0);
  assert_int_equal(labels_open(&labels, &samples, true, NULL), 0);
  assert_int_equal(labels_set(&labels.items[1], "Mathematics", LABEL_MODEL, NULL), 0);
  assert_int_equal(labels_set(&labels.items[2], "Mathematics", LABEL_MODEL, NULL), 0);
  const double outcomes[] = {0, NAN, 1, 0.5, NAN, 1}; /* by row: d is not compared */
  assert_int_equal(tally_categories(&labels, &list, outcomes, &groups, NULL), 0);
  char *text = tpo_json_dump(groups);
  assert_contains(
      text, "[{\"category\":\"Mathematics\",\"n\":2,\"wins\":1,\"losses\":0,\"ties\":1,\"win_rate\":0.75,");
  assert_contains(
      text,
      "},{\"category\":\"law\",\"n\":1,\"wins\":0,\"losses\":1,\"ties\":0,\"win_rate\":0.0,\"lower\":0.0,");
  assert_contains(text, "},{\"category\":\"unassigned\",\"n\":1,\"wins\":1,");
  assert_null(strstr(text, "art"));
  /* By hand: (0.75 + z^2/4) / (1 + z^2/2) -+ z / (1 + z^2/2) sqrt(0.75 0.25 / 2 + z^2/16), z = 1.959964 */
  const json_t *first = json_array_get(groups, 0);
  assert_true(fabs(json_real_value(json_object_get(first, "lower")) - 0.197867) < 1e-5);
  assert_true(fabs(json_real_value(json_object_get(first, "upper")) - 0.973323) < 1e-5);
  free(text);
  json_decref(groups);
  assert_int_equal(tally_datasets(&labels, outcomes, &groups, NULL), 0);
  assert_int_equal(json_array_size(groups), 1);
  assert_int_equal(json_integer_value(json_object_get(json_array_get(groups, 0), "n")), 2);
  json_decref(groups);
  const struct tally none = {0};
  json_t *empty = tally_json(&none, NULL, NULL);
  assert_true(json_is_null(json_object_get(empty, "win_rate")) &&
              json_is_null(json_object_get(empty, "upper")));
  json_decref(empty);
  labels_free(&labels);
  category_list_free(&list);
  tpo_samples_free(&samples);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
  const struct CMUnitTest tests[] = {
      IN_FOLDER(samples_say_what_they_are_and_a_file_says_better),
      IN_FOLDER(bad_labels_are_refused_by_line),
      IN_FOLDER(whole_numbers_are_ids_too),
      cmocka_unit_test(categories_of_one_name_are_one),
      cmocka_unit_test(long_names_stay_apart),
      cmocka_unit_test(groups_are_told_in_the_lists_order_with_their_intervals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
