/* IFEval's four figures, and files of responses to its prompts. */
#include <jansson.h>
#include <math.h>

#include "base/file.h"
#include "eval/tasks/given.h"
#include "eval/tasks/ifeval.h"
#include "unit.h"

static const char *file_of(void **state, const char *name, const char *text)
{
  static char paths[2][4096];
  static int at;
  char *path = paths[at++ % 2];
  struct tpo_error err = {0};
  snprintf(path, 4096, "%s/%s", (char *)*state, name);
  assert_int_equal(tpo_write_file(path, text, strlen(text), &err), 0);
  return path;
}

static const char three[] =
    "{\"key\":1,\"prompt\":\"No comma.\",\"instruction_id_list\":[\"punctuation:no_comma\"],\"kwargs\":[{}]}\n"
    "{\"key\":2,\"prompt\":\"Title and quotes.\",\"instruction_id_list\":[\"detectable_format:title\","
    "\"startend:quotation\"],\"kwargs\":[{},{}]}\n"
    "{\"key\":3,\"prompt\":\"No comma again.\",\"instruction_id_list\":[\"punctuation:no_comma\"],\"kwargs\":[{}]}\n";

static void add(struct tpo_samples *samples, const char *id, int k, const char *response)
{
  struct tpo_error err = {0};
  struct tpo_sample_row row = {.prompt_id = id, .k = k, .response = response, .format_ok = true};
  assert_int_equal(tpo_samples_add(samples, &row, &err), 0);
}

static void samples_of_a_prompt_are_averaged_and_prompts_count_alike(void **state)
{
  struct tpo_instructions prompts = {0};
  struct tpo_samples samples = {0};
  struct eval_ifeval score = {0};
  struct tpo_error err = {0};
  assert_int_equal(tpo_instructions_read(&prompts, file_of(state, "prompts", three), &err), 0);
  assert_int_equal(eval_ifeval_check(&prompts, &err), 0);
  add(&samples, "1", 0, "Fine.");
  add(&samples, "1", 1, "Sure, here it is:\nFine."); /* loose: without the first line */
  add(&samples, "2", 0, "\"<<T>> text\"");
  add(&samples, "2", 1, "<<T>> text");
  add(&samples, "2", 2, "");
  add(&samples, "2", 3, "text");
  assert_int_equal(eval_ifeval_score(&prompts, &samples, &score, &err), 0);
  assert_true(score.strict[0] == 0.5 && score.strict[1] == 0.25 && isnan(score.strict[2]));
  assert_true(score.loose[0] == 1 && score.loose[1] == 0.25);
  assert_true(score.prompt_strict == 0.375 && score.prompt_loose == 0.625);
  assert_true(score.instruction_strict == 4 / 10.0 && score.instruction_loose == 5 / 10.0);
  assert_true(score.prompt_strict_error == 0.125 && score.prompt_loose_error == 0.375);
  assert_int_equal(score.n_prompts, 2);
  assert_int_equal(score.missing, 1);
  assert_int_equal(score.n_instructions, 3);
  assert_int_equal(score.n_responses, 6);
  assert_int_equal(score.empty, 1);
  assert_int_equal(score.n_types, 3);
  assert_string_equal(score.types[0].name, "detectable_format:title");
  assert_true(score.types[0].n == 4 && score.types[0].strict == 2 && score.types[0].loose == 2);
  assert_true(score.verdicts[score.responses[1].first].loose &&
              !score.verdicts[score.responses[1].first].strict);
  eval_ifeval_free(&score);
  tpo_samples_free(&samples);
  tpo_instructions_free(&prompts);
}

static void prompts_without_checks_are_refused_by_name(void **state)
{
  static const struct {
    const char *row, *words;
  } cases[] = {
      {"{\"key\":9,\"prompt\":\"p\"}", "prompt 9 has no check"},
      {"{\"key\":9,\"prompt\":\"p\",\"checks\":[\"punctuation:no_coma\"]}", "punctuation:no_coma"},
      {"{\"key\":9,\"prompt\":\"p\",\"checks\":[\"length_constraints:number_words\"]}", "num_words"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_instructions prompts = {0};
    struct tpo_error err = {0};
    assert_int_equal(tpo_instructions_read(&prompts, file_of(state, "prompts", cases[i].row), &err), 0);
    assert_true(eval_ifeval_check(&prompts, &err) < 0);
    assert_contains(err.message, "prompt 9");
    assert_contains(err.message, cases[i].words);
    tpo_instructions_free(&prompts);
  }
}

static const struct eval_prompt refs[] = {{"1", "one"}, {"2", "two"}, {"3", "same"}, {"4", "same"}};

static void responses_are_matched_by_key_and_by_text(void **state)
{
  struct eval_given given = {0};
  struct tpo_error err = {0};
  const char *path = file_of(state, "responses",
                             "{\"prompt\":\"two\",\"response\":\"b\"}\n"
                             "{\"key\":4,\"prompt\":\"same\",\"response\":\"d\"}\n"
                             "{\"id\":\"1\",\"k\":1,\"response\":\"a1\"}\n"
                             "{\"key\":3,\"prompt\":\"another wording\",\"response\":\"c\"}\n"
                             "{\"key\":1,\"k\":0,\"response\":\"\",\"format_ok\":false}\n"
                             "{\"prompt\":\"unknown\",\"response\":\"x\"}\n");
  if (eval_given_read(&given, path, refs, 4, "response", &err) < 0) fail_msg("%s", err.message);
  assert_int_equal(given.n, 5);
  assert_int_equal(given.unknown, 1);
  assert_contains(given.first_unknown, ":6");
  assert_int_equal(given.text_differs, 1);
  assert_contains(given.first_differing, ":4");
  static const char *const texts[] = {"", "a1", "b", "c", "d"};
  for (size_t i = 0; i < 5; i++) assert_string_equal(given.rows[i].response, texts[i]);
  assert_false(given.rows[0].format_ok);
  struct tpo_samples samples;
  size_t first;
  assert_int_equal(eval_given_samples(&given, 0, &samples, &first, &err), 0);
  assert_int_equal(first, 0);
  assert_int_equal(tpo_samples_prompt_end(&samples, 0), 2);
  eval_given_free(&given);
  /* What is written is read as the same. */
  snprintf((char *)path, 4096, "%s/again", (char *)*state);
  assert_int_equal(eval_given_write(path, &samples, "key", "prompt", refs, 4, &err), 0);
  assert_int_equal(eval_given_read(&given, path, refs, 4, "response", &err), 0);
  assert_int_equal(given.n, 5);
  for (size_t i = 0; i < 5; i++) {
    assert_string_equal(given.rows[i].response, texts[i]);
    assert_int_equal(given.rows[i].format_ok, i > 0);
  }
  eval_given_free(&given);
  tpo_samples_free(&samples);
}

/* Keys are numbers from 0 in many a data set: what another's rows are responses to, their text tells. */
static void texts_of_other_prompts_are_refused_where_they_are_most(void **state)
{
  static const struct eval_prompt three[] = {{"0", "one"}, {"1", "two\n"}, {"2", "three"}};
  static const struct {
    const char *rows;
    size_t differ; /* of the three; 2: refused */
  } cases[] = {
      {"{\"key\":0,\"prompt\":\"one \\n\",\"response\":\"a\"}\n{\"key\":1,\"prompt\":\"two\",\"response\":\"b\"}\n"
       "{\"prompt\":\"three\\r\\n\",\"response\":\"c\"}\n",
       0},
      {"{\"key\":0,\"prompt\":\"one?\\n\\nSay so.\",\"response\":\"a\"}\n{\"key\":1,\"prompt\":\"Say two.\","
       "\"response\":\"b\"}\n{\"key\":2,\"response\":\"c\"}\n",
       0},
      {"index\tquestion\tresponse\n0\tone\ta\n1\ttwo\tb\n2\tother\tc\n", 1},
      {"index,question,response\n0,one,a\n1,x,b\n2,y,c\n", 2},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct eval_given given = {0};
    struct tpo_error err = {0};
    const char *path = file_of(state, "responses", cases[i].rows);
    int status = eval_given_read(&given, path, three, 3, "response", &err);
    assert_int_equal(status, cases[i].differ == 2 ? TPO_E_INPUT : 0);
    assert_int_equal(given.n, 3);
    assert_int_equal(given.text_differs, cases[i].differ);
    if (status < 0) assert_contains(err.message, "2 of its 3 responses are to another text");
    if (status < 0) assert_contains(err.message, ":3");
    eval_given_free(&given);
  }
}

static void an_empty_cell_is_an_empty_response(void **state)
{
  static const char *const files[] = {"key,response\n1,\n2,b\n", "key\tresponse\n1\t\n2\tb\n",
                                      "key,response\n1,\"\"\n2,b\n"};
  for (size_t i = 0; i < 3; i++) {
    struct eval_given given = {0};
    struct tpo_error err = {0};
    if (eval_given_read(&given, file_of(state, "responses", files[i]), refs, 4, "response", &err) < 0)
      fail_msg("%s", err.message);
    assert_int_equal(given.n, 2);
    assert_string_equal(given.rows[0].response, "");
    eval_given_free(&given);
  }
}

static void bad_responses_are_refused_by_line(void **state)
{
  static const struct {
    const char *row, *words;
  } cases[] = {
      {"{\"prompt\":\"one\",\"response\":\"b\"}", ":1 and "},
      {"{\"key\":1,\"response\":\"b\"}", "two responses to prompt 1"},
      {"{\"key\":1,\"prompt\":\"two\",\"response\":\"b\"}", "that of another, 2"},
      {"{\"prompt\":\"same\",\"response\":\"b\"}", "two prompts have this text"},
      {"{\"response\":\"b\"}", "expected the prompt's text"},
      {"{\"prompt\":\"two\"}", "\"response\" is missing"},
      {"{\"prompt\":\"two\",\"response\":null}", "expected a text, not null"},
      {"{\"prompt\":\"two\",\"response\":5}", "expected a text"},
      {"{\"prompt\":\"two\",\"response\":\"a\\u0000b\"}", "NUL"},
      {"{\"prompt\":\"two\",\"response\":\"b\",\"k\":1.5}", "\"k\""},
      {"{\"prompt\":\"two\",\"response\":\"b\",\"is_correct\":\"maybe\"}", "true or false"},
      {"{\"key\":[],\"response\":\"b\"}", "\"key\""},
      {"not json", ":2"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[4096];
    struct eval_given given = {0};
    struct tpo_error err = {0};
    snprintf(text, sizeof text, "{\"key\":\"1\",\"response\":\"a\"}\n%s\n", cases[i].row);
    assert_int_equal(eval_given_read(&given, file_of(state, "responses", text), refs, 4, "response", &err),
                     TPO_E_INPUT);
    assert_contains(err.message, ":2");
    assert_contains(err.message, cases[i].words);
    eval_given_free(&given);
  }
  struct eval_given given = {0};
  struct tpo_error err = {0};
  const char *path = file_of(state, "responses", "{\"prompt\":\"x\",\"response\":\"a\"}\n");
  assert_int_equal(eval_given_read(&given, path, refs, 4, "response", &err), TPO_E_INPUT);
  assert_contains(err.message, "none of its 1 rows");
  eval_given_free(&given);
}

/* expected.json's accuracies, up to the verdicts that tests/checks lists. */
static void published_accuracies_are_met(void **state)
{
  (void)state;
  const char *data = getenv("TPO_TEST_DATA");
  if (!data) skip();
  char path[4096];
  struct tpo_error err = {0};
  struct tpo_instructions prompts = {0};
  snprintf(path, sizeof path, "%s/ifeval/input_data.jsonl", data);
  assert_int_equal(tpo_instructions_read(&prompts, path, &err), 0);
  struct eval_prompt *list = calloc(prompts.n, sizeof *list);
  assert_non_null(list);
  for (size_t i = 0; i < prompts.n; i++)
    list[i] = (struct eval_prompt){prompts.items[i].id, prompts.items[i].instruction};
  snprintf(path, sizeof path, "%s/ifeval/expected.json", data);
  json_t *expected = json_load_file(path, 0, NULL), *want;
  const char *name;
  assert_int_equal(json_object_size(expected), 2);
  json_object_foreach(expected, name, want)
  {
    struct eval_given given = {0};
    struct tpo_samples samples;
    struct eval_ifeval score = {0};
    size_t first;
    snprintf(path, sizeof path, "%s/ifeval/labelled_%s.jsonl.gz", data, name);
    if (eval_given_read(&given, path, list, prompts.n, "response", &err) < 0) fail_msg("%s", err.message);
    assert_int_equal(eval_given_samples(&given, 0, &samples, &first, &err), 0);
    assert_int_equal(eval_ifeval_score(&prompts, &samples, &score, &err), 0);
    assert_int_equal(score.n_prompts, json_integer_value(json_object_get(want, "n_prompts")));
    assert_int_equal(score.n_instructions, json_integer_value(json_object_get(want, "n_instructions")));
    const double ours[] = {score.prompt_strict, score.instruction_strict, score.prompt_loose,
                           score.instruction_loose};
    static const char *const names[] = {"strict_prompt", "strict_inst", "loose_prompt", "loose_inst"};
    for (int i = 0; i < 4; i++) {
      double theirs = json_real_value(json_object_get(want, names[i]));
      print_message("%s %s: %.4f, published %.4f\n", name, names[i], ours[i], theirs);
      assert_true(fabs(ours[i] - theirs) < 3.5 / 271);
    }
    eval_ifeval_free(&score);
    tpo_samples_free(&samples);
    eval_given_free(&given);
  }
  json_decref(expected);
  free(list);
  tpo_instructions_free(&prompts);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(samples_of_a_prompt_are_averaged_and_prompts_count_alike),
      TEST(prompts_without_checks_are_refused_by_name),
      TEST(responses_are_matched_by_key_and_by_text),
      TEST(texts_of_other_prompts_are_refused_where_they_are_most),
      TEST(an_empty_cell_is_an_empty_response),
      TEST(bad_responses_are_refused_by_line),
      TEST(published_accuracies_are_met),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
