/* GSM8K's rows, its ways of asking, its labels, and files of responses. */
#include <ctype.h>
#include <math.h>

#include <jansson.h>

#include "base/file.h"
#include "eval/tasks/given.h"
#include "eval/tasks/gsm8k.h"
#include "unit.h"

static const char rows[] = "{\"question\":\"How many are 2 and 3?\",\"answer\":\"2+3=5\\n#### 5\"}\n"
                           "{\"question\":\"How much is 1000 times 2?\",\"answer\":\"#### 2,000\"}\n";

static const char *file_of(void **state, const char *text)
{
  static char path[4096];
  struct tpo_error err = {0};
  snprintf(path, sizeof path, "%s/file", (char *)*state);
  assert_int_equal(tpo_write_file(path, text, strlen(text), &err), 0);
  return path;
}

static void published_rows_are_read(void **state)
{
  struct eval_gsm8k_set set = {0};
  struct tpo_error err = {0};
  assert_int_equal(eval_gsm8k_read(&set, file_of(state, rows), 0, &err), 0);
  assert_int_equal(set.n, 2);
  assert_string_equal(set.rows[1].id, "1");
  assert_true(set.rows[1].final == 2000);
  eval_gsm8k_free(&set);
  assert_int_equal(eval_gsm8k_read(&set, file_of(state, rows), 1, &err), 0);
  assert_int_equal(set.n, 1);
  eval_gsm8k_free(&set);
}

static void bad_rows_are_refused_by_line(void **state)
{
  static const struct {
    const char *row, *words;
  } cases[] = {
      {"{\"question\":\"q\",\"answer\":\"so 5\"}", "doesn't end with \"#### \" and a number"},
      {"{\"question\":\"q\",\"answer\":\"#### five\"}", "doesn't end with"},
      {"{\"question\":\"q\",\"answer\":\"#### 1e999\"}", "doesn't end with"},
      {"{\"question\":\"q\"}", "\"answer\" is missing"},
      {"{\"answer\":\"#### 5\"}", "\"question\" is missing"},
      {"{\"question\":\" \",\"answer\":\"#### 5\"}", "\"question\" is empty"},
      {"{\"question\":\"q\",\"answer\":\"#### 5\",\"final\":\"6\"}", "ends with 5"},
      {"{\"question\":\"q\",\"answer\":\"#### 5\",\"final\":\"nan\"}", "\"final\" is no number"},
      {"{\"question\":\"q\",\"answer\":\"#### 5\",\"index\":-1}", "whole number"},
      {"{\"question\":\"q\",\"answer\":\"#### 5\",\"index\":0}", "two rows have the index 0"},
      {"[]", "expected a JSON object"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[4096];
    struct eval_gsm8k_set set = {0};
    struct tpo_error err = {0};
    snprintf(text, sizeof text, "{\"question\":\"q\",\"answer\":\"#### 5\",\"index\":0}\n%s\n", cases[i].row);
    assert_int_equal(eval_gsm8k_read(&set, file_of(state, text), 0, &err), TPO_E_INPUT);
    assert_contains(err.message, cases[i].words);
    eval_gsm8k_free(&set);
  }
}

static void ways_of_prompting_have_names(void **state)
{
  (void)state;
  struct eval_gsm8k_prompting how;
  struct tpo_error err = {0};
  assert_int_equal(eval_gsm8k_prompting_parse(&how, "answer-only", &err), 0);
  assert_true(how.way == EVAL_GSM8K_ANSWER_ONLY && how.shots == 0);
  assert_int_equal(eval_gsm8k_prompting_parse(&how, "shots:8", &err), 0);
  assert_true(how.way == EVAL_GSM8K_SHOTS && how.shots == 8);
  static const char *const bad[] = {"",        "Direct",   "shots",    "shots:",   "shots:0", "shots:9",
                                    "shots:x", "shots:08", "shots:-1", "shots:4 ", "thoughts"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(eval_gsm8k_prompting_parse(&how, bad[i], &err), TPO_E_USAGE);
    assert_contains(err.message, "shots:N with N from 1 to 8");
  }
}

static size_t occurrences(const char *text, const char *of)
{
  size_t n = 0;
  for (; (text = strstr(text, of)); text++) n++;
  return n;
}

static void each_way_asks_in_its_own_words(void **state)
{
  struct eval_gsm8k_set set = {0};
  struct tpo_error err = {0};
  assert_int_equal(eval_gsm8k_read(&set, file_of(state, rows), 0, &err), 0);
  for (int way = 0; way < 4; way++) {
    struct tpo_instructions asked = {0};
    struct eval_gsm8k_prompting how = {(enum eval_gsm8k_way)way, way == EVAL_GSM8K_SHOTS ? 3 : 0};
    assert_int_equal(eval_gsm8k_ask(&set, how, &asked, &err), 0);
    assert_int_equal(asked.n, 2);
    assert_string_equal(asked.items[1].id, "1");
    assert_true(strncmp(asked.items[0].instruction, "How many are 2 and 3?", 21) == 0);
    assert_true((strlen(asked.items[0].instruction) > 21) == (way != EVAL_GSM8K_SHOTS));
    /* Nothing stands for the number, that a model may copy. */
    for (const char *c = asked.items[0].instruction + 21; *c; c++)
      assert_false(isdigit((unsigned char)*c) ||
                   (isupper((unsigned char)*c) && !islower((unsigned char)c[1])));
    assert_contains(asked.items[1].meta, "\"reference\":2000");
    assert_true((asked.items[0].messages != NULL) == (way == EVAL_GSM8K_SHOTS));
    if (asked.items[0].messages)
      assert_int_equal(occurrences(asked.items[0].messages, "\"role\":\"assistant\""), 3);
    tpo_instructions_free(&asked);
  }
  eval_gsm8k_free(&set);
}

/* The examples' own answers are what the rule finds in them. */
static void worked_examples_are_right(void **state)
{
  struct eval_gsm8k_set set = {0};
  struct tpo_instructions asked = {0};
  struct tpo_error err = {0};
  static const double numbers[] = {25, 12, 60, 72, 184, 54, 10800, 40};
  assert_int_equal(eval_gsm8k_read(&set, file_of(state, rows), 1, &err), 0);
  assert_int_equal(eval_gsm8k_ask(&set, (struct eval_gsm8k_prompting){EVAL_GSM8K_SHOTS, 8}, &asked, &err), 0);
  json_t *chat = json_loads(asked.items[0].messages, 0, NULL);
  assert_int_equal(json_array_size(chat), 17);
  for (size_t i = 0; i < 8; i++) {
    const char *text = json_string_value(json_object_get(json_array_get(chat, 2 * i + 1), "content"));
    struct eval_gsm8k_answer answer = eval_gsm8k_of_text(text);
    assert_int_equal(answer.place, EVAL_GSM8K_SENTENCE);
    assert_true(answer.number == numbers[i]);
  }
  json_decref(chat);
  tpo_instructions_free(&asked);
  eval_gsm8k_free(&set);
}

static void add(struct tpo_samples *samples, const char *id, int k, const char *response, bool format_ok)
{
  struct tpo_error err = {0};
  struct tpo_sample_row row = {.prompt_id = id, .k = k, .response = response, .format_ok = format_ok};
  assert_int_equal(tpo_samples_add(samples, &row, &err), 0);
}

static void shares_of_right_samples_are_averaged_over_questions(void **state)
{
  struct eval_gsm8k_set set = {0};
  struct eval_gsm8k score = {0};
  struct tpo_samples samples = {0};
  struct tpo_error err = {0};
  char text[1024];
  snprintf(text, sizeof text, "%s{\"question\":\"q\",\"answer\":\"#### 1\"}\n", rows);
  assert_int_equal(eval_gsm8k_read(&set, file_of(state, text), 0, &err), 0);
  add(&samples, "1", 0, "It is 2,000", true);
  add(&samples, "1", 1, "unsure", true);
  add(&samples, "0", 0, "", false);
  add(&samples, "0", 1, "5", true);
  add(&samples, "0", 2, "5", true);
  add(&samples, "0", 3, "5", true);
  assert_int_equal(eval_gsm8k_score(&set, &samples, eval_gsm8k_of_text, &score, &err), 0);
  assert_int_equal(score.n, 2);
  assert_int_equal(score.missing, 1);
  assert_true(score.outcomes[0] == 0.75 && score.outcomes[1] == 0.5 && isnan(score.outcomes[2]));
  assert_true(score.accuracy == 0.625);
  assert_true(fabs(score.standard_error - 0.125) < 1e-12); /* sqrt((0.125^2 + 0.125^2) / 1 / 2) */
  assert_int_equal(score.unparsed, 1);
  assert_int_equal(score.no_answer, 1);
  assert_int_equal(score.n_correct, 4);
  assert_true(score.verdicts[0].correct && !score.verdicts[1].correct);
  eval_gsm8k_score_free(&score);
  add(&samples, "7", 0, "5", true);
  assert_int_equal(eval_gsm8k_score(&set, &samples, eval_gsm8k_of_text, &score, &err), TPO_E_INPUT);
  assert_contains(err.message, "1 of 7 responses are to other questions");
  eval_gsm8k_score_free(&score);
  tpo_samples_free(&samples);
  eval_gsm8k_free(&set);
}

static void all_published_labels_are_reproduced(void **state)
{
  (void)state;
  const char *data = getenv("TPO_TEST_DATA");
  if (!data) skip();
  char path[4096];
  struct tpo_error err = {0};
  struct eval_gsm8k_set set = {0};
  struct eval_given given = {0};
  snprintf(path, sizeof path, "%s/gsm8k/test.jsonl.gz", data);
  assert_int_equal(eval_gsm8k_read(&set, path, 0, &err), 0);
  assert_int_equal(set.n, 1319);
  struct eval_prompt *prompts = calloc(set.n, sizeof *prompts);
  assert_non_null(prompts);
  for (size_t i = 0; i < set.n; i++) prompts[i] = (struct eval_prompt){set.rows[i].id, set.rows[i].question};
  snprintf(path, sizeof path, "%s/gsm8k/labelled_solutions.jsonl.gz", data);
  if (eval_given_read(&given, path, prompts, set.n, "solution", &err) < 0) fail_msg("%s", err.message);
  assert_int_equal(given.n, 2640);
  assert_int_equal(given.n_models, 4);
  size_t agree = 0;
  for (size_t m = 0; m < given.n_models; m++) {
    struct tpo_samples samples = {0};
    struct eval_gsm8k score = {0};
    size_t first;
    assert_int_equal(eval_given_samples(&given, m, &samples, &first, &err), 0);
    assert_int_equal(eval_gsm8k_score(&set, &samples, eval_gsm8k_of_solution, &score, &err), 0);
    assert_int_equal(score.n, 660);
    for (size_t i = 0; i < samples.n; i++) agree += score.verdicts[i].correct == given.rows[first + i].label;
    eval_gsm8k_score_free(&score);
    tpo_samples_free(&samples);
  }
  assert_int_equal(agree, 2640);
  eval_given_free(&given);
  free(prompts);
  eval_gsm8k_free(&set);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(published_rows_are_read),
      TEST(bad_rows_are_refused_by_line),
      TEST(ways_of_prompting_have_names),
      TEST(each_way_asks_in_its_own_words),
      TEST(worked_examples_are_right),
      TEST(shares_of_right_samples_are_averaged_over_questions),
      TEST(all_published_labels_are_reproduced),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
