/* What is printed loads back the same, and damaged files never do worse than give a message. */
#include "unit.h"
#include "base/philox.h"
#include "base/utf8.h"
#include "config/keys.h"

/* Prints, loads into fresh defaults, prints again, and compares. */
static void round_trip(const struct tpo_config *config)
{
  struct tpo_config again;
  struct tpo_error err = {0};
  for (int with_origins = 0; with_origins < 2; with_origins++) {
    char *report = NULL, *first = tpo_config_print(config, with_origins),
         *plain = tpo_config_print(config, false);
    tpo_config_default(&again);
    if (tpo_config_load_text(&again, first, strlen(first), "p", &report, &err) < 0)
      fail_msg("%s\n%s", report, first);
    char *second = tpo_config_print(&again, false);
    assert_string_equal(plain, second);
    tpo_config_free(&again);
    free(first);
    free(plain);
    free(second);
  }
}

static void set_text(struct tpo_config *config, const char *path, const char *text, size_t len)
{
  struct tpo_buf problem = {0};
  struct config_value value = {.text = text, .len = len};
  int key = config_find_key(path, strlen(path));
  assert_true(key >= 0);
  assert_int_equal(config_store(config, key, &value, 1, &problem), 0);
  tpo_buf_free(&problem);
}

static void defaults_and_layouts_round_trip(void **state)
{
  (void)state;
  static const char *const names[] = {"generic", "specific", "none"};
  for (int i = 0; i < 3; i++) {
    struct tpo_config config;
    tpo_config_default(&config);
    assert_int_equal(tpo_config_set_thought(&config, names[i], "--thought", NULL), 0);
    round_trip(&config);
    tpo_config_free(&config);
  }
}

static void terms_round_trip(void **state)
{
  (void)state;
  static const char *const kinds[] = {"rule", "reward:models/a b", "command:sh -c 'read a; echo \"}, {: #\"'",
                                      "http://[::1]/v1?a=b&c={d}"};
  static const double weights[] = {1, -0.1, 1e-300, 123456.789012345678};
  struct tpo_config config;
  tpo_config_default(&config);
  config.judge.n_terms = 4;
  config.judge.terms = calloc(4, sizeof *config.judge.terms);
  for (int i = 0; i < 4; i++)
    config.judge.terms[i] = (struct tpo_judge_term){.kind = strdup(kinds[i]), .weight = weights[i]};
  round_trip(&config);
  char *text = tpo_config_print(&config, false);
  assert_contains(text, "terms: [{kind: rule, weight: 1.0}, {kind: \"reward:models/a b\", weight: -0.1}, ");
  free(text);
  tpo_config_free(&config);
}

static void every_text_round_trips_exactly(void **state)
{
  (void)state;
  static const char *const texts[] = {"",
                                      " ",
                                      "null",
                                      "~",
                                      "true",
                                      "5",
                                      "0x10",
                                      "- a",
                                      "a: b",
                                      "#",
                                      "a #b",
                                      "\n",
                                      "\n\n a\n",
                                      "\t",
                                      "\"quoted\"",
                                      "it's",
                                      "back\\slash",
                                      "[a]",
                                      "{a}",
                                      "*a",
                                      "&a",
                                      "!a",
                                      "%a",
                                      "@a",
                                      "a\rb",
                                      "\x7f\x1b",
                                      "\xc2\x85\xc2\xa0",
                                      "\xe2\x80\xa8",
                                      "\xef\xbb\xbf",
                                      "\xef\xbf\xbe",
                                      "\xf0\x9f\x98\x80 \xe6\x97\xa5\xe6\x9c\xac",
                                      "...",
                                      "---",
                                      "yes",
                                      "a/b.c-d_e",
                                      "trailing ",
                                      "1e5",
                                      ".5",
                                      "-",
                                      "?",
                                      ":",
                                      "|",
                                      ">",
                                      "e",
                                      "null\n"};
  struct tpo_config config, again;
  struct tpo_error err = {0};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    tpo_config_default(&config);
    set_text(&config, "template.bos", texts[i], strlen(texts[i]));
    set_text(&config, "sampling.stop", texts[i], strlen(texts[i]));
    char *text = tpo_config_print(&config, true);
    tpo_config_default(&again);
    assert_int_equal(tpo_config_load_text(&again, text, strlen(text), "p", NULL, &err), 0);
    assert_string_equal(again.template_pieces.bos, texts[i]);
    assert_int_equal(again.sampling.n_stop, 1);
    assert_string_equal(again.sampling.stop[0], texts[i]);
    free(text);
    tpo_config_free(&config);
    tpo_config_free(&again);
  }
}

static void random_texts_and_numbers_round_trip(void **state)
{
  (void)state;
  struct tpo_rng rng;
  tpo_rng_init(&rng, 1, TPO_STREAM_INIT, 0, 0);
  for (int round = 0; round < 200; round++) {
    struct tpo_config config;
    tpo_config_default(&config);
    struct tpo_buf text = {0};
    for (uint32_t n = tpo_rng_below(&rng, 40); n > 0; n--) {
      char encoded[4];
      uint32_t range = (uint32_t[]){0x7f, 0xff, 0x2fff, 0xffff, 0x10ffff}[tpo_rng_below(&rng, 5)];
      int len = tpo_utf8_encode(1 + tpo_rng_below(&rng, range), encoded);
      tpo_buf_append(&text, encoded, (size_t)len);
    }
    tpo_buf_append(&text, "", 0);
    set_text(&config, "thought.prompt", text.data, text.len);
    set_text(&config, "run.dir", text.data, text.len);
    config.train.learning_rate = tpo_rng_uniform(&rng) * 1e-5;
    config.train.beta = 1e-3 + tpo_rng_uniform(&rng);
    config.seed = (uint64_t)tpo_rng_u32(&rng) << 32 | tpo_rng_u32(&rng);
    config.pairs.length_auto = round % 2;
    config.pairs.length_penalty = round % 2 ? 0 : tpo_rng_uniform(&rng) / 2;
    round_trip(&config);
    tpo_buf_free(&text);
    tpo_config_free(&config);
  }
}

static void mutate(struct tpo_rng *rng, struct tpo_buf *text)
{
  static const char *const pieces[] = {"\"",
                                       "'",
                                       "[",
                                       "{",
                                       "]",
                                       "}",
                                       ": ",
                                       "- ",
                                       "&a ",
                                       "*a",
                                       "!!str ",
                                       "|\n",
                                       ">\n",
                                       "\n",
                                       "\t",
                                       "#",
                                       "\\u0000",
                                       "\\x",
                                       "%YAML 9.9\n",
                                       "---\n",
                                       "...\n",
                                       "? ",
                                       "<<: ",
                                       "~",
                                       "null",
                                       "\xff",
                                       "\xc3",
                                       "\xef\xbb\xbf",
                                       "99999999999999999999",
                                       "-",
                                       "1e400",
                                       "  "};
  for (uint32_t n = 1 + tpo_rng_below(rng, 4); n > 0 && text->len > 8; n--) {
    uint32_t at = tpo_rng_below(rng, (uint32_t)text->len);
    uint32_t cut = tpo_rng_below(rng, 8);
    if (at + cut > text->len) cut = (uint32_t)text->len - at;
    struct tpo_buf changed = {0};
    tpo_buf_append(&changed, text->data, at);
    switch (tpo_rng_below(rng, 4)) {
    case 0: tpo_buf_puts(&changed, pieces[tpo_rng_below(rng, sizeof pieces / sizeof *pieces)]); break;
    case 1: tpo_buf_putc(&changed, (char)tpo_rng_below(rng, 256)); break;
    case 2: tpo_buf_append(&changed, text->data + tpo_rng_below(rng, at + 1), cut < at ? 1 : 0); break;
    default: break; /* only the cut */
    }
    tpo_buf_append(&changed, text->data + at + cut, text->len - at - cut);
    tpo_buf_free(text);
    *text = changed;
  }
}

static void mutated_files_give_a_message_or_a_valid_config(void **state)
{
  (void)state;
  struct tpo_config config;
  tpo_config_default(&config);
  char *seed = tpo_config_print(&config, false);
  tpo_config_free(&config);
  struct tpo_rng rng;
  tpo_rng_init(&rng, 2, TPO_STREAM_INIT, 0, 0);
  int refused = 0, rounds = 4000;
  for (int round = 0; round < rounds; round++) {
    struct tpo_buf text = {0};
    struct tpo_error err = {0};
    char *report = NULL;
    tpo_buf_puts(&text, seed);
    mutate(&rng, &text);
    tpo_config_default(&config);
    int status = tpo_config_load_text(&config, text.data, text.len, "m", &report, &err);
    assert_int_equal(status < 0, report != NULL);
    if (status < 0) {
      refused++;
      assert_int_equal(status, TPO_E_USAGE);
      assert_memory_equal(report, "m", 1);
      assert_true(err.message[0] != '\0');
    } else if (round % 8 == 0)
      round_trip(&config);
    free(report);
    report = NULL;
    tpo_config_check(&config, TPO_CHECK_ALL, &report, &err);
    free(report);
    tpo_config_free(&config);
    tpo_buf_free(&text);
  }
  assert_true(refused > rounds / 4 && refused < rounds); /* both ways are taken */
  free(seed);
}

static void assignments_of_any_bytes_are_survived(void **state)
{
  (void)state;
  struct tpo_rng rng;
  tpo_rng_init(&rng, 3, TPO_STREAM_INIT, 0, 0);
  for (int round = 0; round < 3000; round++) {
    struct tpo_config config;
    struct tpo_buf text = {0};
    tpo_config_default(&config);
    tpo_buf_printf(&text, "%s=", config_keys[tpo_rng_below(&rng, (uint32_t)config_n_keys)].path);
    static const char *const values[] = {"[a, \"b\"]", "\"x\\n\"", "'y'",  "auto",    "0.3",
                                         "17",         "true",     "none", "specific"};
    tpo_buf_puts(&text, values[tpo_rng_below(&rng, 9)]);
    if (round % 2) mutate(&rng, &text);
    struct tpo_error err = {0};
    if (tpo_config_set(&config, text.data, "--set", &err) < 0)
      assert_int_equal(strncmp(err.message, "--set", 5), 0);
    else
      round_trip(&config);
    tpo_buf_free(&text);
    tpo_config_free(&config);
  }
}

static void edit_distance_counts_edits(void **state)
{
  (void)state;
  assert_int_equal(config_edit_distance("beta", 4, "beta", 4), 0);
  assert_int_equal(config_edit_distance("bta", 3, "beta", 4), 1);
  assert_int_equal(config_edit_distance("beat", 4, "beta", 4), 1);
  assert_int_equal(config_edit_distance("", 0, "beta", 4), 4);
  assert_int_equal(config_edit_distance("kitten", 6, "sitting", 7), 3);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(defaults_and_layouts_round_trip),
      cmocka_unit_test(terms_round_trip),
      cmocka_unit_test(every_text_round_trips_exactly),
      cmocka_unit_test(random_texts_and_numbers_round_trip),
      cmocka_unit_test(mutated_files_give_a_message_or_a_valid_config),
      cmocka_unit_test(assignments_of_any_bytes_are_survived),
      cmocka_unit_test(edit_distance_counts_edits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
