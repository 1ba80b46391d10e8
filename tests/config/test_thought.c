/* Thought layouts: built-in ones, files, and keys given beside them. */
#include "unit.h"
#include "base/file.h"
#include "config/layouts.h"

static void put(void **state, const char *name, const char *text)
{
  char path[4200];
  struct tpo_error err = {0};
  snprintf(path, sizeof path, "%s/%s", (char *)*state, name);
  if (tpo_write_file(path, text, strlen(text), &err) < 0) fail_msg("%s", err.message);
}

/* Loads the file `name` of the test's folder over the defaults. */
static int load(void **state, const char *name, struct tpo_config *config, char **report)
{
  char path[4200];
  struct tpo_error err = {0};
  snprintf(path, sizeof path, "%s/%s", (char *)*state, name);
  tpo_config_default(config);
  return tpo_config_load(config, path, report, &err);
}

static void built_ins_load_and_pass_the_checks(void **state)
{
  (void)state;
  for (int i = 0; i < config_n_builtins; i++) {
    struct tpo_config c;
    struct tpo_error err = {0};
    char *report = NULL;
    const char *name = config_builtins[i].name;
    tpo_config_default(&c);
    assert_int_equal(tpo_config_set_thought(&c, name, "--thought", &err), 0);
    assert_string_equal(c.thought.name, name);
    if (tpo_config_check(&c, TPO_CHECK_ALL, &report, &err) < 0) fail_msg("%s", report);
    bool none = strcmp(name, "none") == 0, paper = strncmp(name, "paper-", 6) == 0;
    assert_int_equal(c.thought.force, !none && !paper);
    assert_int_equal(c.thought.response_marker[0] == '\0', none);
    tpo_config_free(&c);
  }
}

/* What names them by hand: messages, options, the reference of keys. */
static void layouts_are_named_as_they_are_built_in(void **state)
{
  (void)state;
  struct tpo_buf thinking = {0}, quoted = {0};
  const char *doc = config_keys[config_find_key("thought.name", strlen("thought.name"))].doc;
  for (int i = 0; i < config_n_builtins; i++) {
    const char *name = config_builtins[i].name;
    tpo_buf_printf(&quoted, "%s`%s`", i > 0 ? ", " : "", name);
    if (strcmp(name, "none") == 0) continue;
    tpo_buf_printf(&thinking, "%s%s", i > 0 ? ", " : "", name);
  }
  tpo_buf_puts(&quoted, ", or a layout's file");
  assert_string_equal(thinking.data, LAYOUTS_THINKING);
  assert_memory_equal(doc, quoted.data, quoted.len);
  tpo_buf_free(&thinking);
  tpo_buf_free(&quoted);
}

/* Of the layouts that ask in words. */
static void layouts_ask_for_their_markers(void **state)
{
  (void)state;
  static const char *const names[] = {"generic", "specific", "paper-generic", "paper-specific", "system"};
  for (int i = 0; i < 5; i++) {
    struct tpo_config c;
    struct tpo_error err = {0};
    tpo_config_default(&c);
    assert_int_equal(tpo_config_set_thought(&c, names[i], "--thought", &err), 0);
    const struct tpo_thought_config *t = &c.thought;
    const char *asks = *t->system ? t->system : t->prompt, *response = t->response_marker;
    assert_contains(asks, t->thought_marker);
    assert_contains(asks, response + (*response == '\n'));
    assert_int_equal(*t->system != '\0', i == 4);
    assert_int_equal(strcmp(t->prompt, "{instruction}") == 0, i == 4);
    assert_null(t->template_args); /* what the model's own thinking is switched by */
    if (strncmp(names[i], "paper", 5) == 0)
      assert_string_equal(t->prefill, "");
    else
      assert_int_equal(strncmp(t->prefill, t->thought_marker, strlen(t->thought_marker)), 0);
    tpo_config_free(&c);
  }
}

static void think_tags_leave_the_asking_to_the_template(void **state)
{
  (void)state;
  struct tpo_config c;
  struct tpo_error err = {0};
  tpo_config_default(&c);
  assert_int_equal(tpo_config_set_thought(&c, "think-tags", "--thought", &err), 0);
  assert_string_equal(c.thought.prompt, "{instruction}");
  assert_string_equal(c.thought.system, "");
  assert_string_equal(c.thought.prefill, "");
  assert_string_equal(c.thought.thought_marker, "<think>");
  assert_string_equal(c.thought.response_marker, "</think>");
  assert_string_equal(c.thought.template_args, "{\"enable_thinking\":true,\"thinking\":true}");
  tpo_config_free(&c);
}

static void built_ins_are_the_committed_files(void **state)
{
  (void)state;
  for (int i = 0; i < config_n_builtins; i++) {
    struct tpo_config built_in, file;
    struct tpo_error err = {0};
    char path[4200];
    snprintf(path, sizeof path, "%s/configs/thought/%s.yaml", TPO_SOURCE_DIR, config_builtins[i].name);
    tpo_config_default(&built_in);
    tpo_config_default(&file);
    assert_int_equal(tpo_config_set_thought(&built_in, config_builtins[i].name, "x", &err), 0);
    assert_int_equal(tpo_config_set_thought(&file, path, "x", &err), 0);
    assert_int_equal(tpo_config_set(&file, "thought.prompt=same", "x", &err), 0);
    assert_string_not_equal(built_in.thought.prompt, file.thought.prompt);
    assert_int_equal(tpo_config_set_thought(&file, path, "x", &err), 0);
    assert_string_equal(built_in.thought.prompt, file.thought.prompt);
    assert_string_equal(built_in.thought.response_marker, file.thought.response_marker);
    assert_string_equal(built_in.thought.prefill, file.thought.prefill);
    assert_int_equal(built_in.thought.force, file.thought.force);
    tpo_config_free(&built_in);
    tpo_config_free(&file);
  }
}

static void a_layout_file_is_found_beside_the_configuration(void **state)
{
  struct tpo_config c;
  char *report = NULL;
  put(state, "mine.yaml", "prompt: 'Q: {instruction}'\nresponse_marker: \"\\nA:\"\non_budget: force\n");
  put(state, "c.yaml", "thought:\n  thought_tokens: 9\n  name: mine.yaml\n");
  if (load(state, "c.yaml", &c, &report) < 0) fail_msg("%s", report);
  assert_string_equal(c.thought.name, "mine.yaml");
  assert_string_equal(c.thought.prompt, "Q: {instruction}");
  assert_string_equal(c.thought.thought_marker, ""); /* nothing stays of the default layout */
  assert_int_equal(c.thought.thought_tokens, 9);     /* keys beside the name win, wherever they stand */
  char *text = tpo_config_print(&c, true);
  assert_contains(text, "mine.yaml:2\n"); /* the marker's origin */
  assert_contains(text, "c.yaml:2\n");
  free(text);
  tpo_config_free(&c);
  put(state, "short.yaml", "thought: mine.yaml\n");
  if (load(state, "short.yaml", &c, &report) < 0) fail_msg("%s", report);
  assert_string_equal(c.thought.prompt, "Q: {instruction}");
  tpo_config_free(&c);
}

static void printed_layouts_need_their_file_no_more(void **state)
{
  struct tpo_config c, again;
  struct tpo_error err = {0};
  char *report = NULL;
  put(state, "mine.yaml", "prompt: 'Q: {instruction}'\nresponse_marker: \"\\nA:\"\n");
  put(state, "c.yaml", "thought: mine.yaml\n");
  if (load(state, "c.yaml", &c, &report) < 0) fail_msg("%s", report);
  char *text = tpo_config_print(&c, false);
  tpo_config_default(&again);
  if (tpo_config_load_text(&again, text, strlen(text), "elsewhere/config.yaml", &report, &err) < 0)
    fail_msg("%s", report);
  assert_string_equal(again.thought.name, "mine.yaml");
  assert_string_equal(again.thought.prompt, c.thought.prompt);
  assert_string_equal(again.thought.response_marker, c.thought.response_marker);
  free(text);
  tpo_config_free(&c);
  tpo_config_free(&again);
}

static void mistakes_in_a_layout_are_placed_in_its_file(void **state)
{
  struct tpo_config c;
  char *report = NULL;
  put(state, "bad.yaml", "promt: 'Q: {instruction}'\n\nthought_tokens: few\nname: x\n");
  put(state, "c.yaml", "\nthought: bad.yaml\ntrain: {beta: x}\n");
  assert_int_equal(load(state, "c.yaml", &c, &report), TPO_E_USAGE);
  assert_contains(report, "bad.yaml:1: the layout has no key `prompt`");
  assert_contains(report, "bad.yaml:1: unknown key thought.promt; did you mean thought.prompt?");
  assert_contains(report, "bad.yaml:3: thought.thought_tokens");
  assert_contains(report, "bad.yaml:4: unknown key thought.name");
  assert_contains(report, "c.yaml:3: train.beta");
  free(report);
  tpo_config_free(&c);
  put(state, "c.yaml", "thought: gone.yaml\n");
  assert_int_equal(load(state, "c.yaml", &c, &report), TPO_E_USAGE);
  assert_contains(report, "c.yaml:1: thought: expected " CONFIG_LAYOUTS);
  assert_contains(report, "gone.yaml");
  free(report);
  tpo_config_free(&c);
  put(state, "list.yaml", "- a\n");
  put(state, "c.yaml", "thought: list.yaml\n");
  assert_int_equal(load(state, "c.yaml", &c, &report), TPO_E_USAGE);
  assert_contains(report, "list.yaml:1: expected a mapping");
  free(report);
  tpo_config_free(&c);
}

static void set_thought_resets_what_an_earlier_layout_left(void **state)
{
  (void)state;
  struct tpo_config c;
  struct tpo_error err = {0};
  tpo_config_default(&c);
  assert_int_equal(tpo_config_set(&c, "thought.thought_tokens=12", "--set", &err), 0);
  assert_int_equal(tpo_config_set(&c, "thought=none", "--set", &err), 0);
  assert_int_equal(c.thought.thought_tokens, 0);
  assert_string_equal(c.thought.prefill, "");
  assert_string_equal(c.thought.prompt, "{instruction}");
  assert_int_equal(tpo_config_set_thought(&c, c.thought.name, "--thought", &err), 0); /* its own string */
  assert_string_equal(c.thought.name, "none");
  assert_int_equal(tpo_config_set_thought(&c, "", "--thought", &err), TPO_E_USAGE);
  assert_int_equal(tpo_config_set_thought(&c, "genric", "--thought", &err), TPO_E_USAGE);
  assert_contains(err.message, "--thought: thought: expected " CONFIG_LAYOUTS);
  tpo_config_free(&c);
}

/* As in a file: what is beside the name counts, and no layout is read. */
static void a_name_set_beside_a_prompt_is_a_label(void **state)
{
  (void)state;
  struct tpo_config c;
  struct tpo_error err = {0};
  char *report = NULL;
  put(state, "c.yaml", "thought: {prompt: 'Q: {instruction}', response_marker: 'A:'}\n");
  if (load(state, "c.yaml", &c, &report) < 0) fail_msg("%s", report);
  static const char *const names[] = {"mine", "specific"};
  for (int i = 0; i < 2; i++) {
    char assignment[40];
    snprintf(assignment, sizeof assignment, "thought.name=%s", names[i]);
    if (tpo_config_set(&c, assignment, "--set", &err) < 0) fail_msg("%s", err.message);
    assert_string_equal(c.thought.name, names[i]);
    assert_string_equal(c.thought.prompt, "Q: {instruction}");
    assert_string_equal(c.thought.response_marker, "A:");
  }
  assert_int_equal(tpo_config_set(&c, "thought=none", "--set", &err), 0); /* a layout always */
  assert_string_equal(c.thought.prompt, "{instruction}");
  assert_int_equal(tpo_config_set(&c, "thought.name=mine", "--set", &err),
                   TPO_E_USAGE); /* the layout's own */
  tpo_config_free(&c);
  tpo_config_default(&c);
  assert_int_equal(tpo_config_set(&c, "thought.name=specific", "--set", &err), 0); /* no prompt beside it */
  assert_string_equal(c.thought.name, "specific");
  assert_contains(c.thought.prefill, "Draft:");
  assert_int_equal(tpo_config_set(&c, "thought.prompt=P {instruction}", "--set", &err), 0);
  assert_int_equal(tpo_config_set(&c, "thought.name=mine", "--set", &err), 0);
  assert_string_equal(c.thought.prompt, "P {instruction}");
  assert_contains(c.thought.prefill, "Draft:");
  tpo_config_free(&c);
}

static struct tpo_config load_text(const char *yaml)
{
  struct tpo_config c;
  struct tpo_error err = {0};
  char *report = NULL;
  tpo_config_default(&c);
  if (tpo_config_load_text(&c, yaml, strlen(yaml), "c.yaml", &report, &err) < 0) fail_msg("%s", report);
  return c;
}

static void auto_becomes_a_layout_but_for_what_stands_beside_it(void **state)
{
  (void)state;
  static const char *const yaml =
      "thought: {name: auto, thought_tokens: 7, on_budget: stop, template_args: {x: 1}}\n"
      "run: {watch: [{name: w, prompts: f, kind: rule, thought: auto}]}\n";
  static const char *const names[] = {"think-tags", "generic"};
  for (int i = 0; i < 2; i++) {
    struct tpo_config c = load_text(yaml), layout;
    struct tpo_error err = {0};
    assert_true(tpo_config_thought_is_open(&c.thought));
    tpo_config_default(&layout);
    assert_int_equal(tpo_config_set_thought(&layout, names[i], "x", &err), 0);
    assert_int_equal(tpo_config_settle_thought(&c, names[i], &err), 0);
    assert_false(tpo_config_thought_is_open(&c.thought));
    assert_string_equal(c.thought.name, names[i]);
    assert_string_equal(c.thought.prompt, layout.thought.prompt);
    assert_string_equal(c.thought.prefill, layout.thought.prefill);
    assert_string_equal(c.thought.response_marker, layout.thought.response_marker);
    assert_string_equal(c.thought.template_args, "{\"x\":1}");
    assert_int_equal(c.thought.thought_tokens, 7);
    assert_false(c.thought.force);
    assert_string_equal(c.run.watch[0].thought, names[i]);
    assert_int_equal(tpo_config_settle_thought(&c, "none", &err), 0); /* nothing is left to settle */
    assert_string_equal(c.thought.name, names[i]);
    tpo_config_free(&layout);
    tpo_config_free(&c);
  }
}

static void auto_is_printed_as_it_is_until_it_is_settled(void **state)
{
  (void)state;
  struct tpo_config c = load_text("thought: {name: auto, thought_tokens: 7}\n"), again;
  struct tpo_error err = {0};
  char *text = tpo_config_print(&c, false);
  assert_contains(text, "thought:\n  name: auto\n  thought_tokens: 7\nsampling:");
  again = load_text(text);
  assert_int_equal(tpo_config_settle_thought(&again, "think-tags", &err), 0);
  free(text);
  text = tpo_config_print(&again, true);
  assert_contains(text, "name: think-tags  # c.yaml:");
  assert_contains(text, "thought_marker: \"<think>\"  # built-in think-tags");
  assert_contains(text, "thought_tokens: 7  # c.yaml:");
  free(text);
  tpo_config_free(&again);
  tpo_config_free(&c);
}

static void impossible_layouts_are_refused(void **state)
{
  (void)state;
  static const struct {
    const char *yaml, *message;
  } cases[] = {
      {"thought: {name: auto, prompt: 'Q: {instruction}'}",
       "c.yaml:1: thought.prompt is given beside thought: auto"},
      {"thought: {name: think-tags, template_args: {messages: []}}",
       "c.yaml:1: thought.template_args: messages, tools and documents are"},
      {"thought: {name: think-tags, template_args: {add_generation_prompt: false}}",
       "thought.template_args: add_generation_prompt can't be given"},
      {"thought: {name: think-tags, template_args: {for: 1}}",
       "thought.template_args: a name is no template's variable"},
      {"thought: {name: think-tags, template_args: {1x: 1}}",
       "thought.template_args: a name is no template's variable"},
      {"thought: {name: think-tags, template_args: {a b: 1}}",
       "thought.template_args: a name is no template's variable"},
      {"thought: {name: think-tags, prefill: 'x</think>'}", "thought.prefill holds the response marker"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_config c = load_text(cases[i].yaml);
    struct tpo_error err = {0};
    assert_int_equal(tpo_config_check(&c, TPO_CHECK_SAMPLING, NULL, &err), TPO_E_USAGE);
    assert_contains(err.message, cases[i].message);
    tpo_config_free(&c);
  }
  struct tpo_config c;
  struct tpo_error err = {0};
  static const char *const no_maps[] = {"thought: {template_args: [1]}", "thought: {template_args: on}"};
  for (int i = 0; i < 2; i++) {
    tpo_config_default(&c);
    assert_int_equal(tpo_config_load_text(&c, no_maps[i], strlen(no_maps[i]), "c.yaml", NULL, &err),
                     TPO_E_USAGE);
    assert_contains(err.message, "c.yaml:1: thought.template_args: expected a mapping");
    tpo_config_free(&c);
  }
}

static void one_switch_is_set_beside_the_layouts_own(void **state)
{
  (void)state;
  struct tpo_config c;
  struct tpo_error err = {0};
  tpo_config_default(&c);
  assert_int_equal(tpo_config_set(&c, "thought=think-tags", "--set", &err), 0);
  assert_int_equal(tpo_config_set(&c, "thought.template_args.reasoning_effort=low", "--set", &err), 0);
  assert_string_equal(c.thought.template_args,
                      "{\"enable_thinking\":true,\"thinking\":true,\"reasoning_effort\":\"low\"}");
  tpo_config_free(&c);
}

static void thought_limit_is_half_under_force_only(void **state)
{
  (void)state;
  struct tpo_thought_config t = {.response_marker = "\nA:", .force = true};
  assert_int_equal(tpo_config_thought_limit(&t, 100), 50);
  t.thought_tokens = 30;
  assert_int_equal(tpo_config_thought_limit(&t, 100), 30);
  t.thought_tokens = 0, t.force = false;
  assert_int_equal(tpo_config_thought_limit(&t, 100), 0);
  t.force = true, t.response_marker = NULL;
  assert_int_equal(tpo_config_thought_limit(&t, 100), 0);
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(built_ins_load_and_pass_the_checks),
      cmocka_unit_test(layouts_are_named_as_they_are_built_in),
      cmocka_unit_test(layouts_ask_for_their_markers),
      cmocka_unit_test(think_tags_leave_the_asking_to_the_template),
      cmocka_unit_test(auto_becomes_a_layout_but_for_what_stands_beside_it),
      cmocka_unit_test(auto_is_printed_as_it_is_until_it_is_settled),
      cmocka_unit_test(impossible_layouts_are_refused),
      cmocka_unit_test(one_switch_is_set_beside_the_layouts_own),
      cmocka_unit_test(built_ins_are_the_committed_files),
      with_folder(a_layout_file_is_found_beside_the_configuration),
      with_folder(printed_layouts_need_their_file_no_more),
      with_folder(mistakes_in_a_layout_are_placed_in_its_file),
      cmocka_unit_test(set_thought_resets_what_an_earlier_layout_left),
      with_folder(a_name_set_beside_a_prompt_is_a_label),
      cmocka_unit_test(thought_limit_is_half_under_force_only),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
