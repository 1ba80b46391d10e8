/* Where numbers come from: a judge, so that two results can be told to be of the same one, without what is secret. */
#include "eval/provenance.h"

#include "base/json.h"
#include "unit.h"

static char *provenance_of(const struct tpo_judge_config *judge, const char *prompt)
{
  struct tpo_error err = {0};
  json_t *out = json_object();
  if (eval_provenance_judge(out, judge, prompt, &err) < 0) fail_msg("%s", err.message);
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
  char *text = provenance_of(&judge, NULL);
  assert_string_equal(text,
                      "{\"judge\":{\"kind\":\"http://host/v1/chat/completions\",\"model\":\"m \\\"1\\\"\","
                      "\"temperature\":0.25,\"max_tokens\":7,\"request\":{\"top_p\":0.5},\"identity\":[],"
                      "\"prompt_hash\":null}}");
  free(text);
}

static void other_prompts_have_other_hashes(void **state)
{
  (void)state;
  struct tpo_judge_config judge = {.kind = (char *)"http://host/v1", .model = (char *)"m"};
  char *one = provenance_of(&judge, "one"), *other = provenance_of(&judge, "other");
  judge.prompt = (char *)"one";
  char *given = provenance_of(&judge, NULL);
  assert_string_not_equal(one, other);
  assert_string_equal(one, given);
  free(one);
  free(other);
  free(given);
}

static void a_local_model_is_told_by_its_files(void **state)
{
  struct tpo_error err = {0};
  char kind[4200];
  snprintf(kind, sizeof kind, "pairwise:%s/none", (char *)*state);
  const struct tpo_judge_config judge = {.kind = kind, .model = (char *)"not of this kind"};
  json_t *out = json_object();
  assert_true(eval_provenance_judge(out, &judge, NULL, &err) < 0);
  assert_contains(err.message, "/none");
  snprintf(kind, sizeof kind, "pairwise:%s", (char *)*state);
  assert_int_equal(eval_provenance_judge(out, &judge, NULL, &err), 0);
  const json_t *about = json_object_get(out, "judge");
  assert_null(json_object_get(about, "model"));
  const char *line = json_string_value(json_array_get(json_object_get(about, "identity"), 0));
  assert_contains(line, "judge model ");
  json_decref(out);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_servers_model_and_request_are_told_and_no_query),
      cmocka_unit_test(other_prompts_have_other_hashes),
      cmocka_unit_test_setup_teardown(a_local_model_is_told_by_its_files, make_folder, remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
