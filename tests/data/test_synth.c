/* Composed instructions: distinct, keyed by position alone, topics apart, wording our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "data/synth.h"
#include "tpo/data.h"

static void compose(struct tpo_instructions *set, uint64_t seed, enum tpo_compose_split split, size_t first,
                    size_t n)
{
  struct tpo_error err = {0};
  if (tpo_compose_instructions(set, seed, split, first, n, &err) < 0) fail_msg("%s", err.message);
}

static int compare_text(const void *a, const void *b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void items_are_distinct(void **state)
{
  (void)state;
  enum { N = 20000 };
  struct tpo_instructions set = {0};
  compose(&set, 1, TPO_COMPOSE_TRAIN, 0, N);
  assert_int_equal(set.n, N);
  const char **texts = malloc(N * sizeof *texts);
  for (size_t i = 0; i < N; i++) texts[i] = set.items[i].instruction;
  qsort(texts, N, sizeof *texts, compare_text);
  for (size_t i = 1; i < N; i++) assert_string_not_equal(texts[i - 1], texts[i]);
  free(texts);
  tpo_instructions_free(&set);
}

static void an_item_depends_on_seed_split_and_position_only(void **state)
{
  (void)state;
  struct tpo_instructions all = {0}, part = {0}, other = {0};
  compose(&all, 7, TPO_COMPOSE_TRAIN, 0, 300);
  compose(&part, 7, TPO_COMPOSE_TRAIN, 123, 10);
  compose(&other, 8, TPO_COMPOSE_TRAIN, 123, 10);
  size_t equal = 0;
  for (size_t i = 0; i < 10; i++) {
    assert_string_equal(part.items[i].id, all.items[123 + i].id);
    assert_string_equal(part.items[i].instruction, all.items[123 + i].instruction);
    assert_string_equal(part.items[i].meta, all.items[123 + i].meta);
    equal += strcmp(part.items[i].instruction, other.items[i].instruction) == 0;
  }
  assert_string_equal(part.items[0].id, "synth-train-000123");
  assert_int_equal(equal, 0);
  tpo_instructions_free(&all);
  tpo_instructions_free(&part);
  tpo_instructions_free(&other);
}

/* The index of the topic that the text holds; topics that are part of another's text don't occur. */
static size_t topic_of(const char *text)
{
  size_t found = SIZE_MAX, longest = 0;
  for (size_t i = 0; i < synth_n_topics; i++)
    if (strlen(synth_topics[i].text) > longest && strstr(text, synth_topics[i].text)) {
      found = i;
      longest = strlen(synth_topics[i].text);
    }
  return found;
}

static void validation_shares_no_topic_with_training(void **state)
{
  (void)state;
  assert_true(synth_n_topics >= 200 && synth_n_forms >= 24);
  for (int split = 0; split < 2; split++) {
    struct tpo_instructions set = {0};
    compose(&set, 3, split ? TPO_COMPOSE_VALIDATION : TPO_COMPOSE_TRAIN, 0, 2000);
    for (size_t i = 0; i < set.n; i++) {
      size_t topic = topic_of(set.items[i].instruction);
      assert_true(topic < synth_n_topics);
      assert_int_equal(synth_topic_split(topic), split ? TPO_COMPOSE_VALIDATION : TPO_COMPOSE_TRAIN);
    }
    tpo_instructions_free(&set);
  }
  for (size_t i = 0; i < synth_n_topics; i++)
    for (size_t j = 0; j < i; j++) assert_string_not_equal(synth_topics[i].text, synth_topics[j].text);
}

static void every_constraint_type_occurs_and_blanks_are_filled(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  struct tpo_error err = {0};
  compose(&set, 5, TPO_COMPOSE_TRAIN, 0, 3000);
  json_t *types = json_object();
  size_t n_with[4] = {0};
  for (size_t i = 0; i < set.n; i++) {
    assert_null(strpbrk(set.items[i].instruction, "{}%"));
    json_t *meta = tpo_json_parse(set.items[i].meta, strlen(set.items[i].meta), "meta", &err);
    json_t *checks = json_object_get(meta, "checks");
    assert_in_range(json_array_size(checks), 1, 3);
    n_with[json_array_size(checks)]++;
    for (size_t c = 0; c < json_array_size(checks); c++)
      json_object_set_new(types, json_string_value(json_object_get(json_array_get(checks, c), "type")),
                          json_true());
    json_decref(meta);
  }
  assert_int_equal(json_object_size(types), 25);
  assert_true(n_with[1] > 200 && n_with[2] > 700 && n_with[3] > 1500);
  json_decref(types);
  tpo_instructions_free(&set);
}

/* +1: met the more easily the more is said; -1: met the more easily the less is said; 0: neither. */
static int asks_for_text(const json_t *check)
{
  const char *type = json_string_value(json_object_get(check, "type"));
  static const char *const relations[] = {"relation", "let_relation"};
  for (size_t i = 0; i < 2; i++) {
    const char *relation = json_string_value(json_object_get(check, relations[i]));
    if (relation) return strcmp(relation, "at least") == 0 ? 1 : -1;
  }
  static const char *const more[] = {"detectable_format:multiple_sections", "keywords:existence",
                                     "detectable_content:number_placeholders"};
  static const char *const less[] = {"punctuation:no_comma", "keywords:forbidden_words",
                                     "change_case:english_capital", "change_case:english_lowercase"};
  for (size_t i = 0; i < 3; i++)
    if (strcmp(type, more[i]) == 0) return 1;
  for (size_t i = 0; i < 4; i++)
    if (strcmp(type, less[i]) == 0) return -1;
  return 0;
}

/* Else a model that learns from the checks learns to be brief before anything else. */
static void what_asks_for_text_outweighs_what_brevity_meets(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  for (int split = 0; split < 2; split++) {
    struct tpo_instructions set = {0};
    size_t more = 0, less = 0, any = 0;
    compose(&set, 9, split ? TPO_COMPOSE_VALIDATION : TPO_COMPOSE_TRAIN, 0, 2000);
    for (size_t i = 0; i < set.n; i++) {
      json_t *meta = tpo_json_parse(set.items[i].meta, strlen(set.items[i].meta), "meta", &err);
      json_t *checks = json_object_get(meta, "checks");
      bool asks = false;
      for (size_t c = 0; c < json_array_size(checks); c++) {
        int sign = asks_for_text(json_array_get(checks, c));
        more += sign > 0;
        less += sign < 0;
        asks |= sign > 0;
      }
      any += asks;
      json_decref(meta);
    }
    assert_true(2 * more > 5 * less);
    assert_true(4 * any > 3 * set.n);
    tpo_instructions_free(&set);
  }
}

static void more_than_there_are_is_refused(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  struct tpo_error err = {0};
  assert_int_equal(tpo_compose_instructions(&set, 1, TPO_COMPOSE_VALIDATION, 0, 100000000, &err),
                   TPO_E_USAGE);
  assert_non_null(strstr(err.message, "distinct"));
  assert_int_equal(tpo_compose_instructions(&set, 1, TPO_COMPOSE_VALIDATION, SIZE_MAX, 2, &err), TPO_E_USAGE);
  assert_int_equal(set.n, 0);
  tpo_instructions_free(&set);
}

/* The whole sequence is a permutation: its last items exist, and none of them is among the first. */
static void the_end_of_the_sequence_repeats_nothing(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  struct tpo_error err = {0};
  assert_true(tpo_compose_instructions(&set, 1, TPO_COMPOSE_VALIDATION, 0, SIZE_MAX, &err) < 0);
  const char *count = strstr(err.message, "only ");
  assert_non_null(count);
  size_t n = strtoul(count + 5, NULL, 10);
  assert_true(n > 50000);
  compose(&set, 1, TPO_COMPOSE_VALIDATION, 0, 1500);
  compose(&set, 1, TPO_COMPOSE_VALIDATION, n - 1500, 1500);
  for (size_t i = 0; i < 1500; i++)
    for (size_t j = 1500; j < 3000; j++)
      assert_string_not_equal(set.items[i].instruction, set.items[j].instruction);
  tpo_instructions_free(&set);
}

/* Hashes of all runs of eight words (letters and digits, lower case) of a text. */
static void add_grams(const char *text, uint64_t **grams, size_t *n, size_t *capacity)
{
  const char *starts[8] = {0};
  char *plain = malloc(strlen(text) + 2);
  size_t len = 0, words = 0;
  for (const char *c = text; *c; c++) {
    if (isalnum((unsigned char)*c))
      plain[len++] = (char)tolower((unsigned char)*c);
    else if (len > 0 && plain[len - 1] != ' ')
      plain[len++] = ' ';
  }
  if (len > 0 && plain[len - 1] != ' ') plain[len++] = ' ';
  for (size_t i = 0, start = 0; i < len; i++) {
    if (plain[i] != ' ') continue;
    memmove(starts, starts + 1, sizeof starts - sizeof *starts);
    starts[7] = plain + start;
    start = i + 1;
    if (++words < 8) continue;
    if (*n == *capacity) {
      *capacity = *capacity ? *capacity * 2 : 4096;
      *grams = realloc(*grams, *capacity * sizeof **grams);
    }
    (*grams)[(*n)++] = tpo_hash64(starts[0], (size_t)(plain + i - starts[0]));
  }
  free(plain);
}

static int compare_hash(const void *a, const void *b)
{
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static void wording_shares_no_eight_words_with_public_sets(void **state)
{
  (void)state;
  const char *data = getenv("TPO_TEST_DATA");
  if (!data) skip();
  static const char *const files[] = {
      "ifeval/input_data.jsonl", "alpaca_eval/instructions.jsonl", "arena_hard/question_v0.1.jsonl",
      "pools/self_instruct_seed_tasks.jsonl.gz", "pools/alpaca5000_noinput.jsonl.gz"};
  uint64_t *grams = NULL, *own = NULL;
  size_t n = 0, capacity = 0, n_own = 0, own_capacity = 0;
  for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
    char file[4096];
    struct tpo_lines lines = {0};
    struct tpo_error err = {0};
    snprintf(file, sizeof file, "%s/%s", data, files[f]);
    if (tpo_lines_open(&lines, file, &err) < 0) fail_msg("%s", err.message);
    while (tpo_lines_next(&lines, &err) > 0) {
      json_t *row = tpo_json_parse(lines.line.data, lines.line.len, file, &err);
      const char *text = NULL;
      tpo_json_get_string(row, "prompt", &text, file, &err);
      tpo_json_get_string(row, "instruction", &text, file, &err);
      assert_non_null(text);
      add_grams(text, &grams, &n, &capacity);
      json_decref(row);
    }
    tpo_lines_close(&lines);
  }
  assert_true(n > 20000);
  qsort(grams, n, sizeof *grams, compare_hash);
  for (int split = 0; split < 2; split++) {
    struct tpo_instructions set = {0};
    compose(&set, 11, split ? TPO_COMPOSE_VALIDATION : TPO_COMPOSE_TRAIN, 0, 5000);
    for (size_t i = 0; i < set.n; i++) {
      n_own = 0;
      add_grams(set.items[i].instruction, &own, &n_own, &own_capacity);
      for (size_t g = 0; g < n_own; g++)
        if (bsearch(&own[g], grams, n, sizeof *grams, compare_hash))
          fail_msg("eight words of a public prompt are in: %s", set.items[i].instruction);
    }
    tpo_instructions_free(&set);
  }
  free(grams);
  free(own);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(items_are_distinct),
      cmocka_unit_test(an_item_depends_on_seed_split_and_position_only),
      cmocka_unit_test(validation_shares_no_topic_with_training),
      cmocka_unit_test(every_constraint_type_occurs_and_blanks_are_filled),
      cmocka_unit_test(what_asks_for_text_outweighs_what_brevity_meets),
      cmocka_unit_test(more_than_there_are_is_refused),
      cmocka_unit_test(the_end_of_the_sequence_repeats_nothing),
      cmocka_unit_test(wording_shares_no_eight_words_with_public_sets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
