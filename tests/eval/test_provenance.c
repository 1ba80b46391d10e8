/* Where numbers come from: a judge, so that two results can be told to be of the same one, without what is secret. */
#include "eval/provenance.h"

#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/json.h"
#include "unit.h"

static char *provenance_of(const struct tpo_judge_config *judge, const char *system, const char *prompt)
{
  struct tpo_error err = {0};
  json_t *out = json_object();
  if (eval_provenance_judge(out, judge, system, prompt, &err) < 0) fail_msg("%s", err.message);
  char *text = tpo_json_dump(out);
  json_decref(out);
  return text;
}

static void a_servers_model_and_request_are_told_and_no_query(void **state)
{
  (void)state;
  const struct tpo_judge_config judge = {.kind = (char *)"http://host/v1/chat/completions?key=planted",
                                         .model = (char *)"m \"1\"",
                                         .request = (char *)"{\"top_p\":0.5}",
                                         .temperature = 0.25,
                                         .max_tokens = 7};
  char *text = provenance_of(&judge, NULL, NULL);
  assert_contains(text, "{\"judge\":{\"kind\":\"http://host/v1/chat/completions\",\"model\":\"m \\\"1\\\"\","
                        "\"temperature\":0.25,\"max_tokens\":7,\"request\":{\"top_p\":0.5},\"identity\":[],"
                        "\"prompt_hash\":null,\"system_hash\":null,\"settings_hash\":\"");
  free(text);
}

static void a_judge_that_reads_otherwise_is_another_wherever_it_is(void **state)
{
  (void)state;
  struct tpo_judge_config judge = {.kind = (char *)"http://host/v1?a=1"};
  char *one = provenance_of(&judge, NULL, NULL);
  judge.concurrency = 7;
  judge.kind = (char *)"http://host/v1?a=2";
  char *same = provenance_of(&judge, NULL, NULL);
  judge.empty_score = -1;
  char *empty = provenance_of(&judge, NULL, NULL);
  judge.mode = TPO_JUDGE_PAIRWISE;
  char *compares = provenance_of(&judge, NULL, NULL);
  assert_string_equal(one, same);
  assert_string_not_equal(one, empty);
  assert_string_not_equal(compares, empty);
  free(one);
  free(same);
  free(empty);
  free(compares);
}

static void other_prompts_have_other_hashes(void **state)
{
  (void)state;
  struct tpo_judge_config judge = {.kind = (char *)"http://host/v1", .model = (char *)"m"};
  char *one = provenance_of(&judge, "s", "one"), *other = provenance_of(&judge, "s", "other"),
       *system = provenance_of(&judge, "t", "one");
  judge.prompt = (char *)"one";
  judge.system = (char *)"s";
  char *given = provenance_of(&judge, NULL, NULL);
  assert_string_not_equal(one, other);
  assert_string_not_equal(one, system);
  assert_string_equal(one, given);
  free(one);
  free(other);
  free(system);
  free(given);
}

static char *draw_of(const struct tpo_config *config)
{
  struct tpo_error err = {0};
  json_t *out = json_object();
  if (eval_provenance_draw(out, config, &err) < 0) fail_msg("%s", err.message);
  char *text = tpo_json_dump(out);
  json_decref(out);
  return text;
}

/* Whatever of the configuration changes responses changes what is told of it; a file may keep its name. */
static void what_responses_are_drawn_with_is_told(void **state)
{
  (void)state;
  char *stop[] = {(char *)"\n\n"};
  struct tpo_config config = {.thought = {.name = (char *)"mine.yaml", .prompt = (char *)"{instruction}"}};
  struct tpo_config others[16];
  int n = 0;
  for (size_t i = 0; i < 16; i++) others[i] = config;
  others[n++].thought.name = (char *)"other.yaml";
  others[n++].thought.prompt = (char *)"Think. {instruction}";
  others[n++].thought.system = (char *)"s";
  others[n++].thought.thought_marker = (char *)"s";
  others[n++].thought.response_marker = (char *)"s";
  others[n++].thought.prefill = (char *)"s";
  others[n++].thought.parse = TPO_PARSE_SEARCH;
  others[n++].thought.thought_tokens = 1;
  others[n++].thought.response_tokens = 1;
  others[n++].thought.force = true;
  others[n++].run.validation_temperature = 0.5;
  others[n++].sampling.temperature = 0.5;
  others[n++].sampling.min_p = 0.5;
  others[n].sampling.stop = stop;
  others[n++].sampling.n_stop = 1;
  others[n++].run.validation_resample = 1;
  char *base = draw_of(&config), *seen[16];
  for (int i = 0; i < n; i++) {
    seen[i] = draw_of(&others[i]);
    assert_string_not_equal(base, seen[i]);
    for (int j = 0; j < i; j++) assert_string_not_equal(seen[j], seen[i]);
  }
  char *again = draw_of(&config);
  assert_string_equal(base, again);
  for (int i = 0; i < n; i++) free(seen[i]);
  free(base);
  free(again);
}

static void a_local_model_is_told_by_its_files(void **state)
{
  struct tpo_error err = {0};
  char kind[4200];
  snprintf(kind, sizeof kind, "pairwise:%s/none", (char *)*state);
  const struct tpo_judge_config judge = {.kind = kind, .model = (char *)"not of this kind"};
  json_t *out = json_object();
  assert_true(eval_provenance_judge(out, &judge, NULL, NULL, &err) < 0);
  assert_contains(err.message, "/none");
  snprintf(kind, sizeof kind, "pairwise:%s", (char *)*state);
  assert_int_equal(eval_provenance_judge(out, &judge, NULL, NULL, &err), 0);
  const json_t *about = json_object_get(out, "judge");
  assert_null(json_object_get(about, "model"));
  const char *line = json_string_value(json_array_get(json_object_get(about, "identity"), 0));
  assert_contains(line, "judge model ");
  json_decref(out);
}

/* A pipe is read once: nothing is opened again, which would wait for a writer. */
static void a_pipe_is_told_without_its_hash(void **state)
{
  struct tpo_error err = {0};
  char pipe[4200], file[4200];
  snprintf(pipe, sizeof pipe, "%s/pipe", (char *)*state);
  snprintf(file, sizeof file, "%s/file", (char *)*state);
  assert_int_equal(mkfifo(pipe, 0600), 0);
  assert_int_equal(tpo_write_file(file, "x", 1, NULL), 0);
  json_t *out = json_pack("{s:[]}", "files"), *files = json_object_get(out, "files");
  alarm(20);
  assert_int_equal(eval_provenance_file(out, "games", pipe, &err), 0);
  alarm(0);
  assert_int_equal(eval_provenance_file(out, "games", "-", &err), 0);
  assert_int_equal(eval_provenance_file(out, "games", file, &err), 0);
  for (size_t i = 0; i < 3; i++) {
    const json_t *entry = json_array_get(files, i);
    assert_int_equal(json_object_get(entry, "hash") != NULL, i == 2);
    assert_int_equal(json_object_get(entry, "size") != NULL, i == 2);
  }
  unlink(file);
  assert_true(eval_provenance_file(out, "games", file, &err) < 0);
  json_decref(out);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_servers_model_and_request_are_told_and_no_query),
      cmocka_unit_test(a_judge_that_reads_otherwise_is_another_wherever_it_is),
      cmocka_unit_test(other_prompts_have_other_hashes),
      cmocka_unit_test(what_responses_are_drawn_with_is_told),
      cmocka_unit_test_setup_teardown(a_pipe_is_told_without_its_hash, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(a_local_model_is_told_by_its_files, make_folder, remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
