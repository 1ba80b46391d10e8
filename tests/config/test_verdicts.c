/* judge.verdicts: what is read, refused and printed. */
#include "config/verdicts.h"
#include "unit.h"

static int load(struct tpo_config *config, const char *yaml, char **report)
{
  struct tpo_error err = {0};
  tpo_config_default(config);
  return tpo_config_load_text(config, yaml, strlen(yaml), "c.yaml", report, &err);
}

static void expect_label(const struct tpo_verdicts *v, int at, const char *text, enum tpo_verdict is,
                         double weight)
{
  assert_true(at < v->n);
  assert_string_equal(v->labels[at].text, text);
  assert_int_equal(v->labels[at].is, is);
  assert_true(v->labels[at].weight == weight);
}

static void short_and_long_forms_are_read(void **state)
{
  (void)state;
  static const char yaml[] = "judge:\n"
                             "  verdicts:\n"
                             "    \"A>>B\": {is: A, weight: 3}\n"
                             "    A>B: a\n"
                             "    ' B ': {is: \"B\", weight: 0.25}\n"
                             "    null: {is: TIE}\n"
                             "  verdict_rule: only\n";
  struct tpo_config c;
  assert_int_equal(load(&c, yaml, NULL), 0);
  assert_int_equal(c.judge.verdicts.n, 4);
  assert_null(c.judge.verdicts.preset);
  expect_label(&c.judge.verdicts, 0, "A>>B", TPO_VERDICT_A, 3);
  expect_label(&c.judge.verdicts, 1, "A>B", TPO_VERDICT_A, 1);
  expect_label(&c.judge.verdicts, 2, " B ", TPO_VERDICT_B, 0.25);
  expect_label(&c.judge.verdicts, 3, "null", TPO_VERDICT_TIE, 1);
  assert_int_equal(c.judge.verdict_rule, TPO_VERDICT_ONLY);
  tpo_config_free(&c);
}

/* What is printed, origins among it, loads again to the same. */
static void what_is_printed_reads_back(void **state)
{
  (void)state;
  static const char *const maps[] = {
      "null", "arena-hard", "{A: A, B: B}",
      "{\"A>>B\": {is: A, weight: 3.0}, B: {is: B, weight: 0.1}, \"=\": tie}",
      "{\"a: b\": A, \"#\\n\\t\\u2028\\\"{\": B, \"\\u00e4\": {is: tie}, e: A}"};
  for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
    struct tpo_config c;
    struct tpo_error err = {0};
    struct tpo_buf yaml = {0};
    tpo_buf_printf(&yaml, "judge:\n  verdicts: %s\n", maps[i]);
    assert_int_equal(load(&c, yaml.data, NULL), 0);
    char *first = tpo_config_print(&c, true), *plain = tpo_config_print(&c, false);
    tpo_config_free(&c);
    assert_int_equal(load(&c, first, NULL), 0);
    char *second = tpo_config_print(&c, false);
    assert_string_equal(plain, second);
    if (i < 4) assert_contains(second, maps[i]);
    tpo_config_free(&c);
    tpo_config_default(&c);
    tpo_buf_clear(&yaml);
    tpo_buf_printf(&yaml, "judge.verdicts=%s", i > 0 ? maps[i] : "~");
    assert_int_equal(tpo_config_set(&c, yaml.data, "--set", &err), 0);
    char *set = tpo_config_print(&c, false);
    assert_string_equal(set, plain);
    tpo_config_free(&c);
    tpo_buf_free(&yaml);
    free(first);
    free(plain);
    free(second);
    free(set);
  }
}

static void a_later_map_takes_the_place_of_an_earlier_one(void **state)
{
  (void)state;
  struct tpo_config c;
  struct tpo_error err = {0};
  assert_int_equal(load(&c, "judge: {verdicts: {x: A, y: B, z: tie}}\n", NULL), 0);
  assert_int_equal(tpo_config_set(&c, "judge.verdicts={A: A, B: B}", "--set", &err), 0);
  assert_int_equal(c.judge.verdicts.n, 2);
  assert_int_equal(tpo_config_set(&c, "judge.verdicts=arena-hard", "--set", &err), 0);
  assert_true(c.judge.verdicts.n == 0 && !c.judge.verdicts.labels);
  assert_int_equal(tpo_config_set(&c, "judge.verdicts={A: A}", "--set", &err), TPO_E_USAGE);
  assert_string_equal(err.message,
                      "--set: judge.verdicts: no text means B: what stands for A and what for B must "
                      "both be there");
  assert_string_equal(c.judge.verdicts.preset, "arena-hard"); /* as it was */
  tpo_config_free(&c);
}

static void what_can_not_be_meant_is_told_with_its_line(void **state)
{
  (void)state;
#define FORMS "A, B or tie, or {is: A, weight: 3}, for "
  static const struct {
    const char *yaml, *report;
  } cases[] = {
      {"verdicts: arena\n", "2: judge.verdicts: expected " CONFIG_VERDICTS_TOLD ", not \"arena\""},
      {"verdicts: [A, B]\n", "2: judge.verdicts: expected " CONFIG_VERDICTS_TOLD},
      {"verdicts: {}\n", "2: judge.verdicts: no text means A"},
      {"verdicts:\n    A: A\n    B: C\n", "4: judge.verdicts: expected " FORMS "\"B\", not \"C\""},
      {"verdicts:\n    A: A\n    B: [B]\n", "4: judge.verdicts: expected " FORMS "\"B\""},
      {"verdicts:\n    A: {is: A,\n      heavy: 3}\n",
       "4: judge.verdicts: expected " FORMS "\"A\", not \"heavy\""},
      {"verdicts:\n    A: {is: A, weight: lots}\n",
       "3: judge.verdicts: expected " FORMS "\"A\", not \"lots\""},
      {"verdicts:\n    A: {is: A, weight: \"3\"}\n", "3: judge.verdicts: expected " FORMS "\"A\", not \"3\""},
      {"verdicts:\n    A: {is: A, is: B}\n", "3: judge.verdicts: expected " FORMS "\"A\", not \"is\""},
      {"verdicts:\n    A: {weight: 2}\n", "3: judge.verdicts: expected " FORMS "\"A\""},
      {"verdicts: {A: {is: A, weight: 0}, B: B}\n", "judge.verdicts: \"A\" has the weight 0, expected"},
      {"verdicts: {A: {is: A, weight: 100.5}, B: B}\n", "\"A\" has the weight 100.5, expected"},
      {"verdicts: {A: {is: A, weight: -1}, B: B}\n", "\"A\" has the weight -1, expected"},
      {"verdicts: {A: A, B: B, ' a ': tie}\n", "judge.verdicts: \" a \" is named twice"},
      {"verdict_rule: first\n", "2: judge.verdict_rule: expected last or only, not \"first\""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_config c;
    struct tpo_buf yaml = {0};
    char *report = NULL;
    tpo_buf_printf(&yaml, "judge:\n  %s", cases[i].yaml);
    assert_int_equal(load(&c, yaml.data, &report), TPO_E_USAGE);
    assert_contains(report, cases[i].report);
    assert_true(!c.judge.verdicts.labels && !c.judge.verdicts.preset);
    free(report);
    tpo_buf_free(&yaml);
    tpo_config_free(&c);
  }
}

static void presets_are_maps_that_could_be_written(void **state)
{
  (void)state;
  const struct config_verdict_preset *preset = config_verdict_preset("arena-hard");
  struct tpo_buf problem = {0};
  assert_non_null(preset);
  assert_null(config_verdict_preset("arena"));
  assert_null(config_verdict_preset(NULL));
  const struct tpo_verdicts verdicts = {.labels = (struct tpo_verdict_label *)preset->labels, .n = preset->n};
  assert_true(config_verdicts_sound(&verdicts, &problem));
  assert_int_equal(preset->n, 5);
  tpo_buf_free(&problem);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(short_and_long_forms_are_read),
      cmocka_unit_test(what_is_printed_reads_back),
      cmocka_unit_test(a_later_map_takes_the_place_of_an_earlier_one),
      cmocka_unit_test(what_can_not_be_meant_is_told_with_its_line),
      cmocka_unit_test(presets_are_maps_that_could_be_written),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
