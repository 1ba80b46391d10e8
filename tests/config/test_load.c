/* Configurations are loaded; what is wrong with one is told all at once. */
#include "unit.h"
#include "base/file.h"
#include "tpo/config.h"

/* Loads text and gives the whole report, which the test compares; NULL when there were no problems. */
static char *load(struct tpo_config *config, const char *yaml, size_t len)
{
  struct tpo_error err = {0};
  char *report = NULL;
  int status = tpo_config_load_text(config, yaml, len, "c.yaml", &report, &err);
  assert_int_equal(status < 0, report != NULL);
  if (status < 0) {
    assert_int_equal(status, TPO_E_USAGE);
    size_t first = strcspn(report, "\n");
    if (first < 900) assert_memory_equal(err.message, report, first);
  }
  return report;
}

static void expect(const char *yaml, const char *report)
{
  struct tpo_config config;
  tpo_config_default(&config);
  char *got = load(&config, yaml, strlen(yaml));
  if (report) {
    assert_non_null(got);
    assert_string_equal(got, report);
  } else if (got)
    fail_msg("unexpected: %s", got);
  free(got);
  tpo_config_free(&config);
}

static void expect_part(const char *yaml, size_t len, const char *part)
{
  struct tpo_config config;
  tpo_config_default(&config);
  char *got = load(&config, yaml, len);
  assert_non_null(got);
  if (!strstr(got, part)) fail_msg("\"%s\" lacks \"%s\"", got, part);
  free(got);
  tpo_config_free(&config);
}

static void values_reach_their_fields(void **state)
{
  (void)state;
  static const char yaml[] =
      "seed: 18446744073709551615\n"
      "model: {path: m.gguf, dtype: fp32, backend: cpu, threads: 3}\n"
      "sampling:\n  k: 4\n  temperature: 0\n  top_p: 1\n  stop: ['a\"b', \"\\n\\n\"]\n"
      "judge: rule\n"
      "pairs:\n  length_penalty: 0.25\n  mode: all\n"
      "train:\n  learning_rate: 2e-6\n  shuffle: false\n  schedule: linear\n  loss: ipo\n"
      "run: {reference: seed, dir: a b}\n"
      "template: {bos: ''}\n";
  struct tpo_config c;
  tpo_config_default(&c);
  assert_null(load(&c, yaml, strlen(yaml)));
  assert_true(c.seed == UINT64_MAX);
  assert_string_equal(c.model.path, "m.gguf");
  assert_int_equal(c.model.dtype, TPO_DTYPE_FP32);
  assert_int_equal(c.model.backend, TPO_BACKEND_CPU);
  assert_int_equal(c.model.threads, 3);
  assert_int_equal(c.sampling.k, 4);
  assert_true(c.sampling.temperature == 0 && c.sampling.top_p == 1);
  assert_int_equal(c.sampling.n_stop, 2);
  assert_string_equal(c.sampling.stop[0], "a\"b");
  assert_string_equal(c.sampling.stop[1], "\n\n");
  assert_string_equal(c.judge.kind, "rule");
  assert_true(c.pairs.length_penalty == 0.25 && !c.pairs.length_auto);
  assert_int_equal(c.pairs.mode, TPO_PAIRS_ALL);
  assert_true(c.train.learning_rate == 2e-6 && !c.train.shuffle);
  assert_int_equal(c.train.schedule, TPO_SCHEDULE_LINEAR);
  assert_int_equal(c.train.loss, TPO_LOSS_IPO);
  assert_int_equal(c.run.reference, TPO_REFERENCE_START);
  assert_string_equal(c.run.dir, "a b");
  assert_string_equal(c.template_pieces.bos, "");
  assert_null(c.template_pieces.user_prefix);
  tpo_config_free(&c);
}

static void defaults_are_the_documented_ones(void **state)
{
  (void)state;
  struct tpo_config c;
  tpo_config_default(&c);
  assert_int_equal(c.sampling.k, 8);
  assert_true(c.sampling.temperature == 0.8 && c.sampling.top_p == 0.95);
  assert_true(c.train.beta == 0.1 && c.train.learning_rate == 5e-7 && c.train.adam_eps == 1e-8);
  assert_int_equal(c.train.batch, 128);
  assert_int_equal(c.run.iterations, 4);
  assert_true(c.pairs.length_auto);
  assert_string_equal(c.thought.name, "generic");
  assert_true(c.thought.force && c.thought.train_forced);
  assert_contains(c.thought.prompt, "{instruction}");
  tpo_config_free(&c);
}

static void empty_files_and_sections_keep_defaults(void **state)
{
  (void)state;
  expect("", NULL);
  expect("# only a comment\n", NULL);
  expect("---\n...\n", NULL);
  expect("train:\nsampling: {}\nthought:\n", NULL);
}

static void unknown_keys_come_with_the_nearest_name(void **state)
{
  (void)state;
  expect("sampling:\n  temprature: 1\n",
         "c.yaml:2: unknown key sampling.temprature; did you mean sampling.temperature?\n");
  expect("tarin:\n  beta: 1\n", "c.yaml:1: unknown key tarin; did you mean train?\n");
  expect("sede: 1\n", "c.yaml:1: unknown key sede; did you mean seed?\n");
  expect("k: 4\n", "c.yaml:1: unknown key k; did you mean sampling.k?\n");
  expect("sampling.k: 4\n", "c.yaml:1: unknown key sampling.k; did you mean sampling.k?\n");
  expect("train:\n  tempreature: 4\n",
         "c.yaml:2: unknown key train.tempreature; did you mean sampling.temperature?\n");
  expect("train:\n  qqqqqqqqqq: 4\n", "c.yaml:2: unknown key train.qqqqqqqqqq\n");
  expect("thought:\n  force: true\n", "c.yaml:2: unknown key thought.force\n");
}

static void wrong_types_tell_what_was_expected(void **state)
{
  (void)state;
  expect("sampling:\n  k: many\n",
         "c.yaml:2: sampling.k: expected an integer from 1 to 1024, not \"many\"\n");
  expect("sampling:\n  k: 4.5\n", "c.yaml:2: sampling.k: expected an integer from 1 to 1024, not \"4.5\"\n");
  expect("sampling:\n  k: \"4\"\n",
         "c.yaml:2: sampling.k: expected an integer from 1 to 1024, not the text \"4\"\n");
  expect("sampling:\n  k: [4]\n", "c.yaml:2: sampling.k: expected an integer from 1 to 1024, not a list\n");
  expect("sampling:\n  k: {a: 4}\n",
         "c.yaml:2: sampling.k: expected an integer from 1 to 1024, not a mapping\n");
  expect("sampling:\n  k:\n",
         "c.yaml:2: sampling.k: expected an integer from 1 to 1024, but no value is given\n");
  expect("train:\n  shuffle: yes\n", "c.yaml:2: train.shuffle: expected true or false, not \"yes\"\n");
  expect("model:\n  dtype: fp16\n", "c.yaml:2: model.dtype: expected bf16 or fp32, not \"fp16\"\n");
  expect("model:\n  path: [a]\n", "c.yaml:2: model.path: expected text, not a list\n");
  expect("sampling:\n  stop: [[a]]\n",
         "c.yaml:2: sampling.stop: expected text or a list of texts, not a list\n");
  expect("train: 5\n", "c.yaml:1: train: expected a mapping of keys, not a value\n");
  expect("train: [5]\n", "c.yaml:1: train: expected a mapping of keys, not a list\n");
  expect("- a\n", "c.yaml:1: expected a mapping of sections, like `model:` with `path: ...` below it\n");
  for (int i = 0; i < 6; i++) {
    static const char *const numbers[] = {"nan", "inf", "0x1p-3", "1e999", "1.2.3", "1 2"};
    char yaml[64];
    snprintf(yaml, sizeof yaml, "train:\n  beta: %s\n", numbers[i]);
    expect_part(yaml, strlen(yaml), "c.yaml:2: train.beta: expected a number above 0, at most 1000");
  }
}

static void numbers_out_of_range_tell_the_range(void **state)
{
  (void)state;
  static const char *const bad[][2] = {
      {"sampling:\n  top_p: 0\n",
       "c.yaml:2: sampling.top_p: expected a number above 0, at most 1, not \"0\"\n"},
      {"sampling:\n  top_p: 1.01\n",
       "c.yaml:2: sampling.top_p: expected a number above 0, at most 1, not \"1.01\"\n"},
      {"train:\n\n  warmup: 1\n", "c.yaml:3: train.warmup: expected a number from 0 to below 1, not \"1\"\n"},
      {"train:\n  label_smoothing: 0.5\n",
       "c.yaml:2: train.label_smoothing: expected a number from 0 to below 0.5, not \"0.5\"\n"},
      {"pairs:\n  length_penalty: 0.6\n",
       "c.yaml:2: pairs.length_penalty: expected auto or a number from 0 to 0.5, not \"0.6\"\n"},
      {"pairs:\n  length_penalty: -0.1\n",
       "c.yaml:2: pairs.length_penalty: expected auto or a number from 0 to 0.5, not \"-0.1\"\n"},
      {"train:\n  batch: 0\n", "c.yaml:2: train.batch: expected an integer from 1 to 1000000, not \"0\"\n"},
      {"train:\n  batch: 99999999999999999999\n",
       "c.yaml:2: train.batch: expected an integer from 1 to 1000000, not \"99999999999999999999\"\n"},
      {"seed: -1\n", "c.yaml:1: seed: expected an integer from 0 to 18446744073709551615, not \"-1\"\n"},
      {"seed: 18446744073709551616\n",
       "c.yaml:1: seed: expected an integer from 0 to 18446744073709551615, not \"18446744073709551616\"\n"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) expect(bad[i][0], bad[i][1]);
}

static void duplicates_name_both_lines(void **state)
{
  (void)state;
  expect("train:\n  beta: 1\n  nll: 0\n  beta: 2\n",
         "c.yaml:4: train.beta is given twice; the first is in line 2\n");
  expect("train:\n  beta: 1\nseed: 1\ntrain:\n  nll: 0\n",
         "c.yaml:4: train is given twice; the first is in line 1\n");
  expect("seed: 1\nseed: 1\n", "c.yaml:2: seed is given twice; the first is in line 1\n");
}

static void all_problems_are_reported_together(void **state)
{
  (void)state;
  static const char yaml[] = "sead: 1\nsampling:\n  k: x\n  top_p: 2\n  k: 3\nthought: generik\n";
  struct tpo_config config;
  struct tpo_error err = {0};
  char *report;
  tpo_config_default(&config);
  assert_int_equal(tpo_config_load_text(&config, yaml, strlen(yaml), "c.yaml", &report, &err), TPO_E_USAGE);
  assert_contains(report, "c.yaml:1: unknown key sead");
  assert_contains(report, "c.yaml:3: sampling.k");
  assert_contains(report, "c.yaml:4: sampling.top_p");
  assert_contains(report, "c.yaml:5: sampling.k is given twice");
  assert_contains(
      report,
      "c.yaml:6: thought: expected generic, specific, think-tags, paper-generic, paper-specific, system, none, auto or "
      "a layout's file");
  assert_contains(err.message, "c.yaml:1: unknown key sead");
  assert_contains(err.message, "5 problems");
  free(report);
  assert_int_equal(tpo_config_load_text(&config, yaml, strlen(yaml), "c.yaml", NULL, NULL), TPO_E_USAGE);
  tpo_config_free(&config);
}

static void terms_are_judges_with_weights(void **state)
{
  (void)state;
  struct tpo_config c;
  struct tpo_error err = {0};
  static const char yaml[] = "judge:\n  kind: sum\n  terms:\n  - {kind: rule, weight: 2}\n  - reward:m\n"
                             "  - weight: -5e-1\n    kind: \"http://h/v1\"\n";
  tpo_config_default(&c);
  assert_null(load(&c, yaml, strlen(yaml)));
  assert_int_equal(c.judge.n_terms, 3);
  assert_string_equal(c.judge.terms[0].kind, "rule");
  assert_string_equal(c.judge.terms[1].kind, "reward:m");
  assert_string_equal(c.judge.terms[2].kind, "http://h/v1");
  assert_true(c.judge.terms[0].weight == 2 && c.judge.terms[1].weight == 1 &&
              c.judge.terms[2].weight == -0.5);
  assert_int_equal(tpo_config_set(&c, "judge.terms=[{\"kind\": \"rule\", \"weight\": 3}]", "--set", &err), 0);
  assert_true(c.judge.n_terms == 1 && c.judge.terms[0].weight == 3);
  assert_int_equal(tpo_config_set(&c, "judge.terms=reward:x", "--set", &err), 0);
  assert_true(c.judge.n_terms == 1 && c.judge.terms[0].weight == 1);
  assert_string_equal(c.judge.terms[0].kind, "reward:x");
  assert_int_equal(tpo_config_set(&c, "judge.terms=[{weight: 1}]", "--set", &err), TPO_E_USAGE);
  assert_string_equal(c.judge.terms[0].kind, "reward:x");
  assert_null(load(&c, "judge: {terms: null}", 20));
  assert_int_equal(c.judge.n_terms, 0);
  tpo_config_free(&c);
}

static void terms_that_are_none_are_named_by_number_and_line(void **state)
{
  (void)state;
  static const char weight[] = "expected a number from -1e6 to 1e6, not 0, as weight";
  static const char kind[] = "expected a judge's KIND[:ARG] as kind",
                    both[] = "expected kind and weight, each once";
  static const char *const cases[][2] = {
      {"{kind: rule, weight: 0}", weight},
      {"{kind: rule, weight: .inf}", weight},
      {"{kind: rule, weight: 1e7}", weight},
      {"{kind: rule, weight: '1'}", weight},
      {"{kind: rule, weight: }", weight},
      {"{kind: rule, weight: [1]}", weight},
      {"{kind: rule, weight: nan}", weight},
      {"{weight: 1}", kind},
      {"{kind: , weight: 1}", kind},
      {"{kind: [rule]}", kind},
      {"''", kind},
      {"[rule]", kind},
      {"{}", kind},
      {"{kind: rule, kind: rule}", both},
      {"{kind: rule, wieght: 1}", both},
      {"{kind: rule, weight: 1, weight: 1}", both},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char yaml[200], report[300];
    snprintf(yaml, sizeof yaml, "judge:\n  terms:\n  - rule\n  - %s\n", cases[i][0]);
    snprintf(report, sizeof report,
             "c.yaml:4: judge.terms, term 2: %s, as in {kind: \"reward:DIR\", weight: 0.5}\n", cases[i][1]);
    expect(yaml, report);
  }
  expect("judge: {terms: {kind: rule}}",
         "c.yaml:1: judge.terms: expected a list of {kind: KIND[:ARG], weight: NUMBER}, not a mapping\n");
}

static void many_problems_are_counted_not_listed(void **state)
{
  (void)state;
  struct tpo_buf yaml = {0};
  for (int i = 0; i < 40000; i++) tpo_buf_printf(&yaml, "unknown_key_%d: 1\n", i);
  struct tpo_config config;
  tpo_config_default(&config);
  char *report = load(&config, yaml.data, yaml.len);
  assert_contains(report, "c.yaml:100: unknown key unknown_key_99");
  assert_contains(report, "and 39900 more problems");
  free(report);
  tpo_config_free(&config);
  tpo_buf_free(&yaml);
}

static void hostile_yaml_is_refused_by_line(void **state)
{
  (void)state;
  expect("seed: &a 1\n", "c.yaml:1: YAML anchors (&name) are not used here\n");
  expect("\ntrain: *a\n", "c.yaml:2: YAML aliases (*name) are not used here; write the value out\n");
  expect("seed: !!int 1\n", "c.yaml:1: YAML tags (!name) are not used here\n");
  expect("seed: 1\n---\nseed: 2\n", "c.yaml:2: a second YAML document; only one is expected\n");
  expect("? [a]\n: 1\n", "c.yaml:1: a key must be a name, not a list or a mapping\n");
  expect("a: [[[[[[[[[[[[1]]]]]]]]]]]]\n", "c.yaml:1: nested too deeply\n");
  expect("model:\n  path: \"a\\0b\"\n", "c.yaml:2: text must not hold a NUL byte\n");
  expect_part("seed: 1\nrun: {dir: a\0b}\n", 22, "c.yaml:2: ");
  expect_part("seed: 1\nrun: {dir: \xff}\n", 22, "c.yaml:2: not UTF-8 (byte 0xff)");
  expect_part("seed: 1\nrun: {dir: \x1b[31m}\n", 25, "c.yaml:2: ");
  expect_part("seed: 1\n  bad: [\n", 17, "c.yaml:2: not valid YAML");
  expect_part("\tseed: 1\n", 9, "c.yaml:1: not valid YAML");
  expect_part("\"unfinished", 11, "not valid YAML");
  static char deep[100000];
  memset(deep, '[', sizeof deep);
  expect_part(deep, sizeof deep, "nested too deeply");
  static char huge[(1 << 20) + 1];
  memset(huge, '#', sizeof huge);
  expect_part(huge, sizeof huge, "too many for a configuration");
}

static void hostile_names_do_not_reach_the_terminal(void **state)
{
  (void)state;
  struct tpo_config config;
  static const char yaml[] = "\"a\\e[31mb\\nc\": 1\nsampling: {k: \"\\e[2J\"}\n";
  tpo_config_default(&config);
  char *report = load(&config, yaml, strlen(yaml));
  assert_null(strchr(report, 0x1b));
  assert_contains(report, "c.yaml:1: unknown key a\\x1b[31mb\\nc");
  free(report);
  tpo_config_free(&config);
}

static void files_that_cannot_be_read_are_named(void **state)
{
  struct tpo_config config;
  struct tpo_error err = {0};
  char *report = NULL;
  tpo_config_default(&config);
  assert_int_equal(tpo_config_load(&config, "/no/such/file.yaml", &report, &err), TPO_E_USAGE);
  assert_contains(err.message, "/no/such/file.yaml");
  assert_int_equal(tpo_config_load(&config, *state, NULL, &err), TPO_E_USAGE);
  tpo_config_free(&config);
}

static void shipped_files_load_and_pass_the_checks(void **state)
{
  (void)state;
  struct tpo_config config;
  struct tpo_error err = {0};
  char *report;
  tpo_config_default(&config);
  if (tpo_config_load(&config, TPO_SOURCE_DIR "/configs/quickstart.yaml", &report, &err) < 0)
    fail_msg("%s", report);
  if (tpo_config_check(&config, TPO_CHECK_ALL, &report, &err) < 0) fail_msg("%s", report);
  assert_true(config.thought.force);
  assert_string_equal(config.run.dir, "runs/quickstart");
  tpo_config_free(&config);
}

static void set_overrides_and_remembers_where_from(void **state)
{
  (void)state;
  struct tpo_config c;
  struct tpo_error err = {0};
  tpo_config_default(&c);
  assert_int_equal(tpo_config_set(&c, "sampling.k=3", "--set", &err), 0);
  assert_int_equal(c.sampling.k, 3);
  assert_int_equal(tpo_config_set(&c, "run.dir=a=b \"c\"", "--run-dir", &err), 0);
  assert_string_equal(c.run.dir, "a=b \"c\"");
  assert_int_equal(tpo_config_set(&c, "thought.response_marker=\"\\nSo:\"", "--set", &err), 0);
  assert_string_equal(c.thought.response_marker, "\nSo:");
  assert_int_equal(tpo_config_set(&c, "sampling.stop=[\"a\", b]", "--set", &err), 0);
  assert_int_equal(c.sampling.n_stop, 2);
  assert_int_equal(tpo_config_set(&c, "sampling.stop=###", "--set", &err), 0);
  assert_int_equal(c.sampling.n_stop, 1);
  assert_int_equal(tpo_config_set(&c, "template.user_prefix=[INST] ", "--set", &err), 0);
  assert_string_equal(c.template_pieces.user_prefix, "[INST] ");
  assert_int_equal(tpo_config_set(&c, "judge=reward:some/dir", "--set", &err), 0);
  assert_string_equal(c.judge.kind, "reward:some/dir");
  char *text = tpo_config_print(&c, true);
  assert_contains(text, "  k: 3  # --set\n");
  assert_contains(text, "# --run-dir\n");
  assert_contains(text, "  batch: 128  # default\n");
  free(text);
  tpo_config_free(&c);
}

static void set_reports_like_a_file(void **state)
{
  (void)state;
  struct tpo_config c;
  struct tpo_error err = {0};
  tpo_config_default(&c);
  assert_int_equal(tpo_config_set(&c, "sampling.k", "--set", &err), TPO_E_USAGE);
  assert_string_equal(err.message, "--set: expected key.path=value, not \"sampling.k\"");
  assert_int_equal(tpo_config_set(&c, "sampling.kk=3", "--set", &err), TPO_E_USAGE);
  assert_string_equal(err.message, "--set: unknown key sampling.kk; did you mean sampling.k?");
  assert_int_equal(tpo_config_set(&c, "train.beta=x", "--beta", &err), TPO_E_USAGE);
  assert_string_equal(err.message, "--beta: train.beta: expected a number above 0, at most 1000, not \"x\"");
  assert_int_equal(tpo_config_set(&c, "run.dir=\xff", "--set", &err), TPO_E_USAGE);
  assert_int_equal(tpo_config_set(&c, "run.dir=\"open", "--set", &err), TPO_E_USAGE);
  assert_int_equal(tpo_config_set(&c, "=", "--set", &err), TPO_E_USAGE);
  assert_int_equal(tpo_config_set(&c, "train=3", "--set", &err), TPO_E_USAGE);
  assert_true(c.train.beta == 0.1);
  tpo_config_free(&c);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(values_reach_their_fields),
      cmocka_unit_test(defaults_are_the_documented_ones),
      cmocka_unit_test(empty_files_and_sections_keep_defaults),
      cmocka_unit_test(unknown_keys_come_with_the_nearest_name),
      cmocka_unit_test(wrong_types_tell_what_was_expected),
      cmocka_unit_test(numbers_out_of_range_tell_the_range),
      cmocka_unit_test(duplicates_name_both_lines),
      cmocka_unit_test(all_problems_are_reported_together),
      cmocka_unit_test(terms_are_judges_with_weights),
      cmocka_unit_test(terms_that_are_none_are_named_by_number_and_line),
      cmocka_unit_test(many_problems_are_counted_not_listed),
      cmocka_unit_test(hostile_yaml_is_refused_by_line),
      cmocka_unit_test(hostile_names_do_not_reach_the_terminal),
      cmocka_unit_test_setup_teardown(files_that_cannot_be_read_are_named, make_folder, remove_folder),
      cmocka_unit_test(shipped_files_load_and_pass_the_checks),
      cmocka_unit_test(set_overrides_and_remembers_where_from),
      cmocka_unit_test(set_reports_like_a_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
