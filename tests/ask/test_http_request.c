/* What the judge `http` sends: the protocol's fields and those of judge.request, and what it advises where a server
 * refuses one. */
#include "ask/http/protocol.h"
#include "base/json.h"
#include "unit.h"

static char *body_for(const char *request, const struct ask_question *question)
{
  struct http_settings settings;
  struct tpo_error err = {0};
  struct tpo_judge_config config = {
      .model = (char *)"a \"model\"", .temperature = 0.7, .max_tokens = 12, .request = (char *)request};
  struct tpo_buf body = {0};
  if (http_settings_open(&settings, &config, UINT64_C(0xfedcba9876543210), &err) < 0)
    fail_msg("%s", err.message);
  http_write_body(&body, &settings, question);
  http_settings_close(&settings);
  return tpo_buf_take(&body);
}

static char *body_with(const char *request, const char *system, const char *user)
{
  return body_for(request, &(struct ask_question){.system = system, .user = user});
}

static char *body_of(const char *system, const char *user)
{
  return body_with(NULL, system, user);
}

static void body_is_json_whatever_the_texts_hold(void **state)
{
  (void)state;
  char *body = body_of(
      "S\\", "quote \" newline \n tab \t bell \a umlaut \xC3\xBC clef \xF0\x9D\x84\x9E bad \xFF\xC3 end");
  json_t *json = tpo_json_parse(body, strlen(body), "body", NULL);
  assert_non_null(json);
  assert_string_equal(json_string_value(json_object_get(json, "model")), "a \"model\"");
  const json_t *messages = json_object_get(json, "messages");
  assert_int_equal(json_array_size(messages), 2);
  assert_string_equal(json_string_value(json_object_get(json_array_get(messages, 0), "content")), "S\\");
  assert_string_equal(json_string_value(json_object_get(json_array_get(messages, 1), "content")),
                      "quote \" newline \n tab \t bell \a umlaut \xC3\xBC clef \xF0\x9D\x84\x9E bad "
                      "\xEF\xBF\xBD\xEF\xBF\xBD end");
  assert_true(json_real_value(json_object_get(json, "temperature")) == 0.7);
  assert_int_equal(json_integer_value(json_object_get(json, "max_tokens")), 12);
  assert_int_equal(json_integer_value(json_object_get(json, "n")), 1);
  assert_int_equal(json_integer_value(json_object_get(json, "seed")), 0x76543210);
  json_decref(json);
  free(body);
  body = body_of(NULL, "hi");
  assert_contains(body, "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]");
  free(body);
}

/* Fields take the place of the protocol's own, null leaves them out, and those that go beside come last. */
static void request_has_the_fields_that_are_given(void **state)
{
  (void)state;
  static const struct {
    const char *request, *end;
  } cases[] = {
      {NULL, "],\"temperature\":0.7,\"max_tokens\":12,\"n\":1,\"seed\":1985229328}"},
      {"{\"max_tokens\":null,\"max_completion_tokens\":20}",
       "],\"temperature\":0.7,\"n\":1,\"seed\":1985229328,\"max_completion_tokens\":20}"},
      {"{\"temperature\":null,\"n\":null,\"seed\":null,\"max_tokens\":null}", "]}"},
      {"{\"n\":2,\"seed\":7,\"temperature\":1,\"stream\":false,\"max_tokens\":3}",
       "],\"n\":2,\"seed\":7,\"temperature\":1,\"stream\":false,\"max_tokens\":3}"},
      {"{\"n\":null,\"kwargs\":{\"deep\":[true,null,{\"x\":\"\\\"\"}]},\"a \\\"name\":0.5}",
       "],\"temperature\":0.7,\"max_tokens\":12,\"seed\":1985229328,\"kwargs\":{\"deep\":[true,null,{\"x\":\"\\\"\"}]},\"a "
       "\\\"name\":0.5}"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *body = body_with(cases[i].request, NULL, "hi");
    const char *end = strstr(body, "\"hi\"}") + 5;
    assert_string_equal(end, cases[i].end);
    free(body);
  }
}

static void what_was_answered_and_what_follows_come_behind_the_question(void **state)
{
  (void)state;
  char *body = body_for(NULL, &(struct ask_question){"S", "one \"?", "said\n", "and?", 0});
  assert_contains(body, "\"messages\":[{\"role\":\"system\",\"content\":\"S\"},"
                        "{\"role\":\"user\",\"content\":\"one \\\"?\"},"
                        "{\"role\":\"assistant\",\"content\":\"said\\n\"},"
                        "{\"role\":\"user\",\"content\":\"and?\"}]");
  free(body);
}

/* Unless judge.request says otherwise; where it leaves one out, both are. */
static void the_likeliest_tokens_are_asked_for_where_they_are_wanted(void **state)
{
  (void)state;
  static const struct {
    const char *request;
    int wanted;
    const char *end;
    int sent;
  } cases[] = {
      {NULL, 0, "\"seed\":1985229328}", 0},
      {NULL, 5, "\"seed\":1985229328,\"logprobs\":true,\"top_logprobs\":5}", 5},
      {NULL, 1000, "\"logprobs\":true,\"top_logprobs\":32}", 32},
      {"{\"logprobs\":null}", 5, "\"seed\":1985229328}", 0},
      {"{\"logprobs\":false}", 5, "\"seed\":1985229328,\"logprobs\":false}", 0},
      {"{\"top_logprobs\":null}", 5, "\"seed\":1985229328}", 0},
      {"{\"top_logprobs\":3}", 5, "\"seed\":1985229328,\"logprobs\":true,\"top_logprobs\":3}", 3},
      {"{\"top_logprobs\":20}", 5, "\"logprobs\":true,\"top_logprobs\":20}", 5},
      {"{\"top_logprobs\":-1}", 5, "\"seed\":1985229328,\"top_logprobs\":-1}", 0},
      {"{\"logprobs\":true}", 5, "\"seed\":1985229328,\"top_logprobs\":5,\"logprobs\":true}", 5},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct http_settings settings;
    struct tpo_judge_config config = {.model = (char *)"m", .request = (char *)cases[i].request};
    char *body =
        body_for(cases[i].request, &(struct ask_question){.user = "hi", .top_tokens = cases[i].wanted});
    assert_true(strlen(body) > strlen(cases[i].end));
    assert_string_equal(body + strlen(body) - strlen(cases[i].end), cases[i].end);
    free(body);
    assert_int_equal(http_settings_open(&settings, &config, 0, NULL), 0);
    assert_int_equal(http_top_tokens(&settings, cases[i].wanted), cases[i].sent);
    http_settings_close(&settings);
  }
}

static void a_refusal_of_the_likeliest_tokens_is_known(void **state)
{
  (void)state;
  static const struct {
    const char *body;
    bool refuses;
  } cases[] = {{"{\"error\":{\"message\":\"This model does not support logprobs.\"}}", true},
               {"{\"error\":{\"message\":\"Not for you\",\"param\":\"top_logprobs\"}}", true},
               {"{\"detail\":[{\"loc\":[\"body\",\"logprobs\"],\"msg\":\"Extra inputs\"}]}", true},
               {"Requested sample LogProbs of 20, at most 5 allowed", true},
               {"{\"error\":{\"message\":\"logprobs and seed\",\"param\":\"seed\"}}", false},
               {"{\"error\":{\"message\":\"No logprobs from this model\",\"param\":\"model\"}}", true},
               {"{\"error\":{\"message\":\"no such model\",\"param\":\"model\"}}", false},
               {"{\"error\":{\"message\":\"context too long\"}}", false},
               {"", false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct http_told told;
    http_read_error(cases[i].body, strlen(cases[i].body), NULL, &told);
    assert_int_equal(http_refuses_top(&told), cases[i].refuses);
  }
}

static void what_is_not_for_the_request_to_give_is_refused(void **state)
{
  (void)state;
  static const struct {
    const char *request, *words;
  } bad[] = {{"{\"messages\":[]}", "judge.request: messages"},
             {"{\"messages\":null}", "judge.request: messages"},
             {"{\"model\":\"x\"}", "judge.model names it"},
             {"{\"stream\":true}", "judge.request: stream"},
             {"{\"stream\":\"no\"}", "judge.request: stream"},
             {"[1]", "expected a mapping"},
             {"{", "judge.request"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct tpo_error err = {0};
    assert_int_equal(http_check_request(bad[i].request, &err), TPO_E_USAGE);
    assert_contains(err.message, bad[i].words);
  }
  static const char *const good[] = {NULL, "{}", "{\"stream\":false}", "{\"stream\":null,\"n\":3}"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    assert_int_equal(http_check_request(good[i], NULL), 0);
}

static void a_refusal_that_names_a_field_gives_advice(void **state)
{
  (void)state;
  static const struct {
    const char *request, *body, *advice; /* "": none */
  } cases[] = {
      {NULL, "{\"error\":{\"message\":\"Use another.\",\"param\":\"max_tokens\"}}",
       "the server refuses max_tokens; leave it out with judge.request: {max_tokens: null, max_completion_tokens: 12}"},
      {NULL, "{\"error\":{\"message\":\"Unsupported value: 'temperature' does not support 0.7.\"}}",
       "the server refuses temperature; leave it out with judge.request: {temperature: null}"},
      {NULL,
       "{\"detail\":[{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"seed\"],\"msg\":\"Extra inputs\"}]}",
       "the server refuses seed; leave it out with judge.request: {seed: null}"},
      {NULL, "{\"message\":\"property `n` is unsupported\"}",
       "the server refuses n; leave it out with judge.request: {n: null}"},
      {NULL, "unknown field max_tokens.", "the server refuses max_tokens; leave it out"},
      {NULL, "seed: not permitted", "the server refuses seed; leave it out"},
      {"{\"reasoning_effort\":\"low\"}", "{\"error\":{\"message\":\"reasoning_effort is not known\"}}",
       "the server refuses reasoning_effort, which judge.request gives"},
      {"{\"temperature\":1}", "{\"error\":{\"message\":\"no\",\"param\":\"temperature\"}}",
       "the server refuses temperature, which judge.request gives"},
      {"{\"temperature\":null}", "{\"error\":{\"message\":\"no\",\"param\":\"temperature\"}}", ""},
      {NULL, "{\"error\":{\"message\":\"no\",\"param\":\"messages\"}}", ""},
      {NULL,
       "{\"error\":{\"message\":\"In the answer the temperature and the seed are odd, my_max_tokens_too\"}}",
       ""},
      {NULL,
       "{\"error\":{\"message\":\"maximum context length is 9, max_tokens is 12\",\"param\":\"max_tokens\"}}",
       ""},
      {"{\"reasoning\":{\"effort\":\"low\"}}",
       "{\"error\":{\"message\":\"no\",\"param\":\"reasoning.effort\"}}",
       "the server refuses what judge.request gives in reasoning"},
      {"{\"reasoning\":{\"effort\":\"low\"}}",
       "{\"error\":{\"message\":\"Invalid value for 'reasoning.effort'\"}}",
       "the server refuses reasoning, which judge.request gives"},
      {"{\"chat_template_kwargs\":{}}",
       "{\"detail\":[{\"loc\":[\"body\",\"chat_template_kwargs\",\"enable_thinking\"],\"msg\":\"no such\"}]}",
       "the server refuses what judge.request gives in chat_template_kwargs"},
      {NULL, "{\"detail\":[{\"loc\":[\"body\",\"seed\",\"int\"],\"msg\":\"expected an integer\"}]}",
       "the server refuses seed; leave it out with judge.request: {seed: null}"},
      {"{\"stop\":[]}", "{\"error\":{\"message\":\"no\",\"param\":\"stop[0]\"}}", "gives in stop"},
      {NULL, "{\"error\":{\"message\":\"no\",\"param\":\"seedling\"}}", ""},
      {NULL, "{\"detail\":[{\"loc\":[\"body\",\"messages\",0,\"seed\"],\"msg\":\"no\"}]}", ""},
      {NULL, "", ""},
      {NULL, "{\"detail\":[{\"loc\":[]}],\"param\":7}", ""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct http_settings settings;
    struct tpo_error err = {0};
    struct http_told told;
    char advice[HTTP_ADVICE];
    struct tpo_judge_config config = {
        .model = (char *)"m", .max_tokens = 12, .request = (char *)cases[i].request};
    assert_int_equal(http_settings_open(&settings, &config, 1, &err), 0);
    http_read_error(cases[i].body, strlen(cases[i].body), NULL, &told);
    bool found = http_advise(&settings, &told, advice);
    if (found != (*cases[i].advice != '\0') || !strstr(advice, cases[i].advice))
      fail_msg("%s: %s", cases[i].body, advice);
    http_settings_close(&settings);
  }
}

static void what_limits_the_tokens_is_named_as_it_is_sent(void **state)
{
  (void)state;
  static const struct {
    const char *request, *limit;
    int most;
    const char *size_key;
  } cases[] = {
      {NULL, "judge.max_tokens", 12, "judge.max_tokens"},
      {"{\"max_tokens\":null,\"max_completion_tokens\":50}", "judge.request's max_completion_tokens", 50,
       "judge.request's max_completion_tokens"},
      {"{\"max_tokens\":7}", "judge.request's max_tokens", 7, "judge.request's max_tokens"},
      {"{\"max_completion_tokens\":5}", "judge.max_tokens or judge.request's max_completion_tokens", 12,
       "judge.max_tokens or judge.request's max_completion_tokens"},
      {"{\"max_tokens\":null}", "the server's own limit on tokens", 12, "judge.max_tokens"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct http_settings settings;
    struct tpo_judge_config config = {
        .model = (char *)"m", .max_tokens = 12, .request = (char *)cases[i].request};
    assert_int_equal(http_settings_open(&settings, &config, 1, NULL), 0);
    assert_string_equal(settings.limit, cases[i].limit);
    assert_int_equal(settings.most_tokens, cases[i].most);
    assert_string_equal(settings.size_key, cases[i].size_key);
    http_settings_close(&settings);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(body_is_json_whatever_the_texts_hold),
      cmocka_unit_test(request_has_the_fields_that_are_given),
      cmocka_unit_test(what_was_answered_and_what_follows_come_behind_the_question),
      cmocka_unit_test(the_likeliest_tokens_are_asked_for_where_they_are_wanted),
      cmocka_unit_test(a_refusal_of_the_likeliest_tokens_is_known),
      cmocka_unit_test(what_is_not_for_the_request_to_give_is_refused),
      cmocka_unit_test(a_refusal_that_names_a_field_gives_advice),
      cmocka_unit_test(what_limits_the_tokens_is_named_as_it_is_sent),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
