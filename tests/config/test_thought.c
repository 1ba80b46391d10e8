/* Thought layouts: built-in ones, files, and keys given beside them. */
#include "unit.h"
#include "base/file.h"
#include "tpo/config.h"

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
  static const char *const names[] = {"generic", "specific", "none"};
  for (int i = 0; i < 3; i++) {
    struct tpo_config c;
    struct tpo_error err = {0};
    char *report = NULL;
    tpo_config_default(&c);
    assert_int_equal(tpo_config_set_thought(&c, names[i], "--thought", &err), 0);
    assert_string_equal(c.thought.name, names[i]);
    if (tpo_config_check(&c, TPO_CHECK_ALL, &report, &err) < 0) fail_msg("%s", report);
    bool none = strcmp(names[i], "none") == 0;
    assert_int_equal(c.thought.force, !none);
    assert_int_equal(c.thought.response_marker[0] == '\0', none);
    if (!none) {
      assert_int_equal(c.thought.response_marker[0], '\n'); /* so that it stays tokens of its own */
      assert_int_equal(strncmp(c.thought.prefill, c.thought.thought_marker, strlen(c.thought.thought_marker)),
                       0);
      assert_contains(c.thought.prompt, c.thought.thought_marker);
      assert_contains(c.thought.prompt, c.thought.response_marker + 1);
    }
    tpo_config_free(&c);
  }
}

static void built_ins_are_the_committed_files(void **state)
{
  (void)state;
  static const char *const names[] = {"generic", "specific", "none"};
  for (int i = 0; i < 3; i++) {
    struct tpo_config built_in, file;
    struct tpo_error err = {0};
    char path[4200];
    snprintf(path, sizeof path, "%s/configs/thought/%s.yaml", TPO_SOURCE_DIR, names[i]);
    tpo_config_default(&built_in);
    tpo_config_default(&file);
    assert_int_equal(tpo_config_set_thought(&built_in, names[i], "x", &err), 0);
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
  assert_contains(report, "c.yaml:1: thought: expected generic, specific, none or a layout's file");
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
  assert_contains(err.message, "--thought: thought: expected generic, specific, none");
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
