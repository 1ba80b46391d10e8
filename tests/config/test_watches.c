/* run.watch: what is read, refused and printed. */
#include "config/watches.h"
#include "unit.h"

#include <unistd.h>

static int load(struct tpo_config *config, const char *yaml, char **report)
{
  struct tpo_error err = {0};
  tpo_config_default(config);
  return tpo_config_load_text(config, yaml, strlen(yaml), "c.yaml", report, &err);
}

static void entries_are_read_with_their_defaults(void **state)
{
  (void)state;
  static const char yaml[] =
      "run:\n"
      "  watch:\n"
      "    - {name: maths, prompts: data/gsm8k.jsonl, kind: gsm8k, limit: 200, thought: none}\n"
      "    - {name: rules_2, prompts: 'a b.jsonl', kind: rule, temperature: 0.7, k: 4}\n"
      "    - {name: plain, prompts: p, kind: ifeval, thought: null}\n";
  struct tpo_config c;
  assert_int_equal(load(&c, yaml, NULL), 0);
  assert_int_equal(c.run.n_watch, 3);
  const struct tpo_watch_config *w = c.run.watch;
  assert_string_equal(w[0].name, "maths");
  assert_string_equal(w[0].prompts, "data/gsm8k.jsonl");
  assert_int_equal(w[0].kind, TPO_WATCH_GSM8K);
  assert_int_equal(w[0].limit, 200);
  assert_string_equal(w[0].thought, "none");
  assert_true(w[0].temperature == 0 && w[0].k == 1);
  assert_int_equal(w[1].kind, TPO_WATCH_RULE);
  assert_true(w[1].temperature == 0.7 && w[1].k == 4 && w[1].limit == 0 && !w[1].thought);
  assert_int_equal(w[2].kind, TPO_WATCH_IFEVAL);
  assert_null(w[2].thought);
  tpo_config_free(&c);
}

static void one_entry_needs_no_list_and_null_is_none(void **state)
{
  (void)state;
  struct tpo_config c;
  struct tpo_error err = {0};
  assert_int_equal(load(&c, "run: {watch: {name: a, prompts: p, kind: rule}}", NULL), 0);
  assert_int_equal(c.run.n_watch, 1);
  assert_int_equal(
      tpo_config_set(&c, "run.watch=[{name: b, prompts: q, kind: rule}, {name: c, prompts: q, kind: gsm8k}]",
                     "--set", &err),
      0);
  assert_int_equal(c.run.n_watch, 2);
  assert_string_equal(c.run.watch[1].name, "c");
  assert_int_equal(tpo_config_set(&c, "run.watch=null", "--set", &err), 0);
  assert_int_equal(c.run.n_watch, 0);
  tpo_config_free(&c);
}

static void what_is_wrong_is_named_with_its_entry_and_line(void **state)
{
  (void)state;
  static const struct {
    const char *entry, *report;
  } cases[] = {
      {"{name: a, promts: p, kind: rule}",
       "c.yaml:4: run.watch, entry 2: expected name, prompts, kind, limit, "
       "thought, temperature or k, not \"promts\"; did you mean prompts?"},
      {"{name: a, prompts: p, kind: gsmk8}",
       "expected gsm8k, ifeval or rule as kind, not \"gsmk8\"; did you mean gsm8k?"},
      {"{name: a, prompts: p, kind: [rule]}", "expected gsm8k, ifeval or rule as kind"},
      {"{name: a, prompts: p}", "entry 2: kind is missing; expected name, prompts and kind"},
      {"{prompts: p, kind: rule}", "entry 2: name is missing"},
      {"{}", "entry 2: name is missing"},
      {"{name: a, name: b, prompts: p, kind: rule}", "expected each key once, not \"name\""},
      {"{name: '', prompts: p, kind: rule}", "expected a text as name"},
      {"{name: a, prompts: null, kind: rule}", "expected a file as prompts"},
      {"{name: a, prompts: p, kind: rule, limit: -1}",
       "expected an integer from 0 (all) to 100000000 as limit"},
      {"{name: a, prompts: p, kind: rule, limit: 1.5}", "as limit"},
      {"{name: a, prompts: p, kind: rule, limit: '5'}", "as limit"},
      {"{name: a, prompts: p, kind: rule, temperature: nan}",
       "expected a number from 0 to 100 as temperature"},
      {"{name: a, prompts: p, kind: rule, temperature: -0.1}", "as temperature"},
      {"{name: a, prompts: p, kind: rule, k: 0}", "expected an integer from 1 to 1024 as k"},
      {"{name: a, prompts: p, kind: rule, k: }", "as k"},
      {"{name: a, prompts: p, kind: rule, thought: [none]}", "a layout's file as thought"},
      {"rule", "entry 2: expected a mapping, as in {name: maths,"},
      {"[]", "entry 2: expected a mapping"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char yaml[400], *report = NULL;
    struct tpo_config c;
    snprintf(yaml, sizeof yaml, "run:\n  watch:\n    - {name: one, prompts: p, kind: rule}\n    - %s\n",
             cases[i].entry);
    assert_true(load(&c, yaml, &report) < 0);
    if (!report || !strstr(report, cases[i].report))
      fail_msg("%s gave \"%s\", not \"%s\"", cases[i].entry, report ? report : "nothing", cases[i].report);
    assert_int_equal(c.run.n_watch, 0); /* nothing of it is kept */
    free(report);
    tpo_config_free(&c);
  }
}

/* What the check says of an entry beside {name: one}; NULL when nothing. */
static char *check(const char *entry)
{
  char yaml[400], *report = NULL;
  struct tpo_config c;
  struct tpo_error err = {0};
  snprintf(yaml, sizeof yaml, "run:\n  watch: [{name: one, prompts: p, kind: rule}, %s]\n", entry);
  assert_int_equal(load(&c, yaml, NULL), 0);
  tpo_config_check(&c, TPO_CHECK_LOOP, &report, &err);
  tpo_config_free(&c);
  return report;
}

static void what_cannot_work_is_refused_before_a_run(void **state)
{
  (void)state;
  static const struct {
    const char *entry, *report;
  } cases[] = {
      {"{name: two, prompts: p, kind: rule}", NULL},
      {"{name: two, prompts: p, kind: rule, thought: specific}", NULL},
      {"{name: One, prompts: p, kind: gsm8k}",
       "c.yaml:2: run.watch, entry 2: the name One is entry 1's already"},
      {"{name: 'a b', prompts: p, kind: rule}",
       "expected a name of letters, digits, - and _, at most 32 of them, not \"a b\""},
      {"{name: ../a, prompts: p, kind: rule}", "not \"../a\""},
      {"{name: a23456789012345678901234567890123, prompts: p, kind: rule}", "at most 32"},
      {"{name: two, prompts: p, kind: rule, k: 2}", "k is 2, but temperature is 0"},
      {"{name: two, prompts: p, kind: rule, thought: nowhere.yaml}", "run.watch, two: "},
      {"{name: two, prompts: p, kind: rule, thought: nowhere.yaml}", "nowhere.yaml"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *report = check(cases[i].entry);
    if (!cases[i].report != !report || (report && !strstr(report, cases[i].report)))
      fail_msg("%s gave \"%s\", not \"%s\"", cases[i].entry, report ? report : "nothing", cases[i].report);
    free(report);
  }
}

static void a_layout_of_its_own_is_read_and_checked(void **state)
{
  (void)state;
  char dir[] = "/tmp/tpo-watches-XXXXXX", path[100], yaml[400];
  struct tpo_config c, settings, own;
  struct tpo_error err = {0};
  assert_non_null(mkdtemp(dir));
  snprintf(path, sizeof path, "%s/layout.yaml", dir);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs("prompt: \"Own: {instruction}\"\nresponse_marker: \"R:\"\nthought_tokens: 7\n", file);
  fclose(file);
  snprintf(yaml, sizeof yaml, "%s/c.yaml", dir);
  file = fopen(yaml, "w");
  assert_non_null(file);
  fputs("run: {watch: [{name: a, prompts: p, kind: rule, thought: layout.yaml, k: 3, temperature: 0.5}]}\n",
        file);
  fclose(file);
  tpo_config_default(&c);
  assert_int_equal(tpo_config_load(&c, yaml, NULL, &err), 0); /* beside the file that names it */
  assert_string_equal(c.run.watch[0].thought, path);
  assert_int_equal(watch_settings(&settings, &own, &c, &c.run.watch[0], &err), 0);
  assert_string_equal(settings.thought.prompt, "Own: {instruction}");
  assert_int_equal(settings.thought.thought_tokens, 7);
  assert_int_equal(settings.sampling.k, 3);
  assert_true(settings.sampling.temperature == 0.5);
  assert_int_equal(settings.sampling.max_tokens, c.sampling.max_tokens);
  tpo_config_free(&own);
  c.sampling.max_tokens = 7;
  char *report = NULL;
  assert_true(tpo_config_check(&c, TPO_CHECK_LOOP, &report, &err) < 0);
  assert_contains(report, "run.watch, a: ");
  assert_contains(report, "layout.yaml:3: thought.thought_tokens (7) leaves no room for a response");
  free(report);
  tpo_config_free(&c);
  unlink(path);
  unlink(yaml);
  rmdir(dir);
}

static void what_is_printed_reads_back_the_same(void **state)
{
  (void)state;
  struct tpo_config c, again;
  assert_int_equal(
      load(&c,
           "run: {watch: [{name: a, prompts: \"x: #\\\"y\", kind: ifeval, limit: 3, temperature: 0.1, k: 2},"
           " {name: b-1, prompts: q, kind: gsm8k, thought: none}]}",
           NULL),
      0);
  char *first = tpo_config_print(&c, false);
  assert_contains(first,
                  "watch: [{name: a, prompts: \"x: #\\\"y\", kind: ifeval, limit: 3, thought: null, "
                  "temperature: 0.1, k: 2}, {name: b-1, prompts: q, kind: gsm8k, limit: 0, thought: none, "
                  "temperature: 0.0, k: 1}]");
  assert_int_equal(load(&again, first, NULL), 0);
  char *second = tpo_config_print(&again, false);
  assert_string_equal(first, second);
  free(first);
  free(second);
  tpo_config_free(&c);
  tpo_config_free(&again);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(entries_are_read_with_their_defaults),
      cmocka_unit_test(one_entry_needs_no_list_and_null_is_none),
      cmocka_unit_test(what_is_wrong_is_named_with_its_entry_and_line),
      cmocka_unit_test(what_cannot_work_is_refused_before_a_run),
      cmocka_unit_test(a_layout_of_its_own_is_read_and_checked),
      cmocka_unit_test(what_is_printed_reads_back_the_same),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
