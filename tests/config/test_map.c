/* A key that is a mapping: what is read, set one by one, and printed so that it reads back the same. */
#include "unit.h"
#include "config/keys.h"

static struct tpo_config load(const char *request)
{
  struct tpo_config config;
  struct tpo_buf yaml = {0};
  char *report = NULL;
  tpo_config_default(&config);
  tpo_buf_printf(&yaml, "judge:\n  request: %s\n", request);
  if (tpo_config_load_text(&config, yaml.data, yaml.len, "m.yaml", &report, NULL) < 0) fail_msg("%s", report);
  tpo_buf_free(&yaml);
  return config;
}

static void expect(const struct tpo_config *config, const char *json)
{
  if (!json)
    assert_null(config->judge.request);
  else {
    assert_non_null(config->judge.request);
    assert_string_equal(config->judge.request, json);
  }
}

static void a_mapping_is_kept_as_json(void **state)
{
  (void)state;
  static const struct {
    const char *yaml, *json;
  } cases[] = {
      {"", NULL},
      {"null", NULL},
      {"{}", NULL},
      {"{max_tokens: null, max_completion_tokens: 2048}",
       "{\"max_tokens\":null,\"max_completion_tokens\":2048}"},
      {"\n    a: low\n    b: \"5\"\n    c: -5\n    d: 0.25",
       "{\"a\":\"low\",\"b\":\"5\",\"c\":-5,\"d\":0.25}"},
      {"{a: true, b: false, c: 'true', d: ~, e: 1e3, f: 2.0, g: '0x10', h: 0, i: -0.5, j: 0xylem, k: +3, l: e5, m: '.inf'}",
       "{\"a\":true,\"b\":false,\"c\":\"true\",\"d\":null,\"e\":1000,\"f\":2,\"g\":\"0x10\",\"h\":0,\"i\":-0.5,"
       "\"j\":\"0xylem\",\"k\":3,\"l\":\"e5\",\"m\":\".inf\"}"},
      {"{k: {x: [1, {y: [z, null]}], w: {}}}", "{\"k\":{\"x\":[1,{\"y\":[\"z\",null]}],\"w\":{}}}"},
      {"{9007199254740993: 9007199254740993}", "{\"9007199254740993\":9007199254740993}"},
      {"{a: 99999999999999999999}", "{\"a\":1e+20}"},
      {"{a: \"\", b: 1.2.3, c: '.5', d: .5, e: -}",
       "{\"a\":\"\",\"b\":\"1.2.3\",\"c\":\".5\",\"d\":0.5,\"e\":\"-\"}"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_config config = load(cases[i].yaml);
    expect(&config, cases[i].json);
    tpo_config_free(&config);
  }
}

static void it_prints_as_yaml_that_reads_back_the_same(void **state)
{
  (void)state;
  static const char *const maps[] = {
      "{}",
      "{a: {b: [1, 2.5, -3e-7, \"1\", \".5\", 'null', true, null, {}]}, c: \"line\\nbreak \\\"quoted\\\" \\\\ \\u0007\"}",
      "{\"null\": 1, \"yes\": 2, \"a: b\": 3, \"\": 4, \"#\": \"# none\", \"\xC3\xBC\": \"\xF0\x9D\x84\x9E\"}",
      "{a: 1e300, b: 0.1, c: 123456789012345678}",
  };
  for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
    struct tpo_config config = load(maps[i]), again;
    char *text = tpo_config_print(&config, true), *report = NULL;
    tpo_config_default(&again);
    if (tpo_config_load_text(&again, text, strlen(text), "again", &report, NULL) < 0)
      fail_msg("%s\n%s", report, text);
    expect(&again, config.judge.request);
    free(text);
    tpo_config_free(&again);
    tpo_config_free(&config);
  }
}

static void what_is_no_mapping_is_refused_with_its_line(void **state)
{
  (void)state;
  static const struct {
    const char *yaml, *words;
  } cases[] = {
      {"low", "m.yaml:2: judge.request: expected a mapping, not a value"},
      {"[a, b]", "m.yaml:2: judge.request: expected a mapping, not a list"},
      {"\n    a: 1\n    b: {c: no}",
       "m.yaml:4: judge.request: expected true, false, null or a text in quotes, not no"},
      {"\n    a: TRUE", "m.yaml:3: judge.request: expected true, false, null or a text in quotes, not TRUE"},
      {"\n    a: 1\n    b: [0x10]",
       "m.yaml:4: judge.request: expected a decimal number that fits, or a text in quotes, not 0x10"},
      {"\n    a: 010",
       "m.yaml:3: judge.request: expected a decimal number that fits, or a text in quotes, not 010"},
      {"\n    a: -0o17", "in quotes, not -0o17"},
      {"\n    a: .inf", "in quotes, not .inf"},
      {"\n    a: -.INF", "in quotes, not -.INF"},
      {"\n    a: .NaN", "in quotes, not .NaN"},
      {"\n    a: 1e400", "in quotes, not 1e400"},
      {"\n    a: 1\n    a: 2", "m.yaml:4: judge.request: this name is given twice: a"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_config config;
    struct tpo_buf yaml = {0};
    char *report = NULL;
    tpo_config_default(&config);
    tpo_buf_printf(&yaml, "judge:\n  request: %s\n", cases[i].yaml);
    assert_int_equal(tpo_config_load_text(&config, yaml.data, yaml.len, "m.yaml", &report, NULL),
                     TPO_E_USAGE);
    assert_contains(report, cases[i].words);
    expect(&config, NULL);
    free(report);
    tpo_buf_free(&yaml);
    tpo_config_free(&config);
  }
}

static void set(struct tpo_config *config, const char *assignment)
{
  struct tpo_error err = {0};
  if (tpo_config_set(config, assignment, "--set", &err) < 0) fail_msg("%s: %s", assignment, err.message);
}

static void fields_are_set_one_by_one(void **state)
{
  (void)state;
  struct tpo_config config = load("{a: 1, kwargs: {x: 1}}");
  set(&config, "judge.request.reasoning_effort=low");
  set(&config, "judge.request.a=null");
  set(&config, "judge.request.kwargs.thinking=false");
  set(&config, "judge.request.kwargs.x=\"5\"");
  set(&config, "judge.request.deep.er.list=[1, a]");
  expect(&config, "{\"a\":null,\"kwargs\":{\"x\":\"5\",\"thinking\":false},\"reasoning_effort\":\"low\","
                  "\"deep\":{\"er\":{\"list\":[1,\"a\"]}}}");
  char *text = tpo_config_print(&config, true);
  assert_contains(text,
                  "thinking: false}, reasoning_effort: \"low\", deep: {er: {list: [1, \"a\"]}}}  # --set");
  free(text);
  set(&config, "judge.request={b: {c: 2}}");
  expect(&config, "{\"b\":{\"c\":2}}");
  set(&config, "judge.request.b=7");
  expect(&config, "{\"b\":7}");
  set(&config, "judge.request.b.c=1");
  expect(&config, "{\"b\":{\"c\":1}}");
  set(&config, "judge.request=null");
  expect(&config, NULL);
  set(&config, "judge.request.x={y: 'z'}");
  expect(&config, "{\"x\":{\"y\":\"z\"}}");
  tpo_config_free(&config);
}

static void what_cannot_be_set_leaves_the_mapping_as_it_was(void **state)
{
  (void)state;
  static const struct {
    const char *assignment, *words;
  } cases[] = {
      {"judge.request.=1", "judge.request.: expected a name after each dot"},
      {"judge.request.a..b=1", "expected a name after each dot"},
      {"judge.request.a.=1", "expected a name after each dot"},
      {"judge.request.a=yes", "expected true, false, null or a text in quotes, not yes"},
      {"judge.request.a={b: 1", "--set"},
      {"judge.request=low", "expected a mapping, not a value"},
      {"judge.request=[1]", "expected a mapping, not a list"},
      {"judge.requests.a=1", "unknown key judge.requests.a"},
  };
  struct tpo_config config = load("{a: 1}");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_error err = {0};
    assert_int_equal(tpo_config_set(&config, cases[i].assignment, "--set", &err), TPO_E_USAGE);
    assert_contains(err.message, cases[i].words);
    expect(&config, "{\"a\":1}");
  }
  tpo_config_free(&config);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_mapping_is_kept_as_json),
      cmocka_unit_test(it_prints_as_yaml_that_reads_back_the_same),
      cmocka_unit_test(what_is_no_mapping_is_refused_with_its_line),
      cmocka_unit_test(fields_are_set_one_by_one),
      cmocka_unit_test(what_cannot_be_set_leaves_the_mapping_as_it_was),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
