/* The judge `reward`: what the model gets to see, and what becomes of its scores. */
#include "judge/reward.h"
#include "heard.h"
#include "judge/reward_folder.h"

static void check_number(double got, const json_t *row, const char *key, double tolerance)
{
  double expected = json_number_value(json_object_get(row, key));
  if (!(fabs(got - expected) <= tolerance)) fail_msg("%s is %.9g, expected %.9g", key, got, expected);
}

/* The judge on the folder. */
static struct tpo_judge *open_watched(const char *folder, struct tpo_backend *be, struct tpo_watch watch)
{
  char kind[4200];
  struct tpo_error err = {0};
  struct tpo_judge *judge;
  snprintf(kind, sizeof kind, "reward:%s", folder);
  struct tpo_judge_config config = {.kind = kind, .batch_tokens = 100};
  struct tpo_judge_env env = {.backend = be, .dtype = TPO_DTYPE_FP32, .size = 1, .watch = watch};
  assert_true(tpo_judge_needs_model(&config));
  assert_false(tpo_judge_compares(&config));
  assert_ok(tpo_judge_check(&config, &err));
  assert_ok(tpo_judge_open(&judge, &config, &env, &err));
  return judge;
}

static struct tpo_judge *open_judge(const char *folder, struct tpo_backend *be)
{
  return open_watched(folder, be, (struct tpo_watch){0});
}

static const char *text_of(const json_t *messages, size_t i)
{
  return json_string_value(json_object_get(json_array_get(messages, i), "content"));
}

/* The item of a fixture's chat: its last message is the response. Returns meta, to be freed. */
static char *make_item(const json_t *messages, struct tpo_judge_item *item, const char **response)
{
  size_t n = json_array_size(messages);
  json_t *meta = json_object(), *chat = json_array();
  for (size_t i = 0; i + 1 < n; i++) json_array_append(chat, json_array_get(messages, i));
  if (n > 2) json_object_set(meta, "messages", chat);
  char *text = json_dumps(meta, 0);
  assert_non_null(text);
  json_decref(chat);
  json_decref(meta);
  *response = text_of(messages, n - 1);
  *item = (struct tpo_judge_item){.id = "1",
                                  .instruction = text_of(messages, n - 2),
                                  .meta = text,
                                  .n_responses = 1,
                                  .responses = response};
  return text;
}

/* The ids are all that the model gets, so nothing else - a thought - can be in what it judges. */
static void the_model_gets_the_chat_and_the_response_alone(void **state)
{
  struct tpo_error err = {0};
  struct tpo_tokenizer *tok;
  struct tpo_template *tmpl;
  put_reward_folder(*state, "armorm", NULL);
  assert_ok(tpo_tokenizer_open(&tok, *state, &err));
  assert_ok(tpo_template_open(&tmpl, tok, NULL, &err));
  json_t *expected = load_json(REWARD_FIXTURES "armorm", "expected.json");
  const json_t *chats = json_object_get(expected, "chats");
  assert_true(json_array_size(chats) >= 5);
  for (size_t c = 0; c < json_array_size(chats); c++) {
    const json_t *chat = json_array_get(chats, c), *want = json_object_get(chat, "ids");
    struct tpo_judge_item item;
    const char *response;
    struct tpo_ids ids = {0};
    char *meta = make_item(json_object_get(chat, "messages"), &item, &response);
    assert_ok(judge_reward_encode(tmpl, &item, response, &ids, &err));
    assert_int_equal(ids.n, json_array_size(want));
    for (size_t i = 0; i < ids.n; i++)
      assert_int_equal(ids.ids[i], json_integer_value(json_array_get(want, i)));
    tpo_ids_free(&ids);
    free(meta);
  }
  json_decref(expected);
  tpo_template_close(tmpl);
  tpo_tokenizer_close(tok);
}

static void the_judge_gives_scores_with_their_details(void **state)
{
  struct tpo_error err = {0};
  struct tpo_backend *be = open_backend(CPU);
  put_reward_folder(*state, "armorm", NULL);
  json_t *expected = load_json(REWARD_FIXTURES "armorm", "expected.json");
  const json_t *chats = json_object_get(expected, "chats");
  struct tpo_judge *judge = open_judge(*state, be);
  for (size_t c = 0; c < json_array_size(chats); c++) {
    const json_t *chat = json_array_get(chats, c);
    struct tpo_judge_item item;
    struct tpo_judge_result result;
    const char *response;
    char *meta = make_item(json_object_get(chat, "messages"), &item, &response);
    assert_ok(tpo_judge_score(judge, &item, 1, &result, &err));
    assert_true(result.ok);
    check_number(result.score, chat, "score", 1e-4);
    json_t *detail = json_loads(result.detail, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(detail, "objectives")), 19);
    assert_int_equal(json_array_size(json_object_get(detail, "gating")), 19);
    double first = json_number_value(json_array_get(json_object_get(detail, "gating"), 0));
    assert_true(fabs(first - json_number_value(json_array_get(json_object_get(chat, "gating"), 0))) < 1e-4);
    json_decref(detail);
    free(result.detail);
    free(meta);
  }
  char *counts = tpo_judge_counts(judge);
  assert_contains(counts, "\"scored\":5");
  assert_contains(counts, "\"failed\":0");
  free(counts);
  tpo_judge_close(judge);
  json_decref(expected);
  tpo_backend_close(be);
}

static void how_far_it_is_is_told_after_each_pass(void **state)
{
  struct tpo_error err = {0};
  struct tpo_backend *be = open_backend(CPU);
  struct heard heard = {0};
  struct tpo_judge_result results[12];
  char text[12][60];
  const char *responses[12];
  for (int i = 0; i < 12; i++) {
    memset(text[i], 'a' + i, sizeof text[i] - 1);
    text[i][sizeof text[i] - 1] = '\0';
    responses[i] = text[i];
  }
  const struct tpo_judge_item items[] = {
      {.id = "1", .instruction = "Write.", .meta = "{}", .n_responses = 8, .responses = responses},
      {.id = "2", .instruction = "Write more.", .meta = "{}", .n_responses = 4, .responses = responses + 8},
  };
  put_reward_folder(*state, "armorm", NULL);
  struct tpo_judge *judge = open_watched(*state, be, (struct tpo_watch){hear, &heard});
  assert_ok(tpo_judge_score(judge, items, 2, results, &err));
  assert_true(heard.n >= 3 && heard.last == 1);
  for (int i = 0; i < 12; i++) free(results[i].detail);
  tpo_judge_close(judge);
  tpo_backend_close(be);
}

static void the_judge_fails_on_what_it_cannot_score_alone(void **state)
{
  struct tpo_error err = {0};
  struct tpo_backend *be = open_backend(CPU);
  static char lengthy[400];
  put_reward_folder(*state, "armorm", NULL);
  memset(lengthy, 'x', sizeof lengthy - 1);
  const char *responses[] = {"Yes.", NULL, lengthy, "No."};
  const struct tpo_judge_item items[] = {
      {.id = "1", .instruction = "Yes or no?", .meta = "{}", .n_responses = 4, .responses = responses},
      {.id = "2", .instruction = "?", .meta = "{\"messages\":7}", .n_responses = 1, .responses = responses},
      {.id = "3",
       .instruction = "?",
       .meta = "{\"messages\":[{\"role\":\"robot\"}]}",
       .n_responses = 1,
       .responses = responses},
      {.id = "4", .instruction = "Yes or no?", .n_responses = 1, .responses = responses}};
  struct tpo_judge_result results[7];
  struct tpo_judge *judge = open_judge(*state, be);
  assert_ok(tpo_judge_score(judge, items, 4, results, &err));
  const bool ok[] = {true, false, false, true, false, false, true};
  for (int i = 0; i < 7; i++) assert_int_equal(results[i].ok, ok[i]);
  assert_string_equal(results[1].detail, "{\"error\":\"not scored: the output has no response\"}");
  assert_contains(results[2].detail, "more than the reward model's context of 256");
  assert_contains(results[4].detail, "messages");
  assert_contains(results[5].detail, "message 1 lacks a role or a content");
  assert_true(results[6].score == results[0].score);
  char *counts = tpo_judge_counts(judge);
  assert_contains(counts, "\"scored\":3");
  assert_contains(counts, "\"failed\":3"); /* all but the response that is not there */
  for (int i = 0; i < 7; i++) free(results[i].detail);
  tpo_judge_close(judge);
  judge = open_judge(*state, be);
  for (int i = 0; i < 4;
       i++) { /* one by one: not even what is computed depends on which are judged at once */
    assert_ok(tpo_judge_score(judge, &items[i], 1, results, &err));
    for (int k = 0; k < items[i].n_responses; k++) free(results[k].detail);
  }
  char *again = tpo_judge_counts(judge);
  assert_string_equal(again, counts);
  free(again);
  free(counts);
  tpo_judge_close(judge);
  tpo_backend_close(be);
}

static void the_judge_refuses_folders_before_anything_is_computed(void **state)
{
  char kind[4200], path[4200];
  struct tpo_error err = {0};
  struct tpo_judge_config config = {.kind = "reward"};
  assert_int_equal(tpo_judge_check(&config, &err), TPO_E_USAGE);
  assert_contains(err.message, "reward:DIR");
  config.kind = "reward:/no/such/folder";
  assert_int_equal(tpo_judge_check(&config, &err), TPO_E_USAGE);
  assert_contains(err.message, "/no/such/folder");
  snprintf(kind, sizeof kind, "reward:%s", (char *)*state);
  config.kind = kind;
  put_reward_folder(*state, "armorm", NULL);
  assert_ok(tpo_judge_check(&config, &err));
  snprintf(path, sizeof path, "%s/tokenizer_config.json", (char *)*state);
  assert_int_equal(unlink(path), 0); /* and with it the chat template */
  assert_true(tpo_judge_check(&config, &err) < 0);
  assert_contains(err.message, "the model's own files must hold one that can be run");
  put_reward_folder(*state, "armorm", &(struct change){.drop = "gating.layers.0.bias"});
  assert_true(tpo_judge_check(&config, &err) < 0);
  assert_contains(err.message, "gating.layers.0.bias");
  put_reward_folder(*state, "seqcls", NULL); /* its 280 tokens, and the tokenizer that is there already */
  assert_int_equal(tpo_judge_check(&config, &err), TPO_E_INPUT);
  assert_contains(err.message, "the model's vocabulary only 280");
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
  const struct CMUnitTest tests[] = {
      IN_FOLDER(the_model_gets_the_chat_and_the_response_alone),
      IN_FOLDER(the_judge_gives_scores_with_their_details),
      IN_FOLDER(how_far_it_is_is_told_after_each_pass),
      IN_FOLDER(the_judge_fails_on_what_it_cannot_score_alone),
      IN_FOLDER(the_judge_refuses_folders_before_anything_is_computed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
