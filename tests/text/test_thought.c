/* Thought prompts and the parser that tells thought and response apart. */
#include "text_test.h"
#include "base/philox.h"
#include "base/utf8.h"

static char think[] = "Think:", answer[] = "\nAnswer:", prompt[] = "Do think. {instruction} Go.",
            prefill[] = "Think: well,";
static const struct tpo_thought_config two = {
    .prompt = prompt, .thought_marker = think, .response_marker = answer, .prefill = prefill};
static const struct tpo_thought_config none = {0};

static void expect(const struct tpo_thought_config *config, const char *text, bool ok, const char *thought,
                   const char *response)
{
  struct tpo_parsed p;
  tpo_thought_parse(config, text, strlen(text), &p);
  if (p.format_ok != ok) fail_msg("format_ok %d of \"%s\"", p.format_ok, text);
  size_t nt = p.thought_end - p.thought_begin, nr = p.response_end - p.response_begin;
  if (nt != strlen(thought) || memcmp(text + p.thought_begin, thought, nt) != 0)
    fail_msg("thought \"%.*s\" of \"%s\"", (int)nt, text + p.thought_begin, text);
  if (nr != strlen(response) || memcmp(text + p.response_begin, response, nr) != 0)
    fail_msg("response \"%.*s\" of \"%s\"", (int)nr, text + p.response_begin, text);
}

static void both_parts_are_found_and_trimmed(void **state)
{
  (void)state;
  expect(&two, "Think: hm \n\nAnswer:  42 \n", true, "hm", "42");
  expect(&two, "so\nThink:a\nAnswer:b", true, "a", "b");
  expect(&two, "Think:\xe3\x80\x80x\xc2\xa0\nAnswer:\xe2\x80\x83y", true, "x", "y");
}

static void a_wrong_layout_is_no_format(void **state)
{
  (void)state;
  expect(&two, "", false, "", "");
  expect(&two, "no markers", false, "", "");
  expect(&two, "Think: only", false, "only", "");
  expect(&two, "x\nAnswer: y", false, "x", "y");
  expect(&two, "Think: a\nAnswer: b\nAnswer: c", false, "a", "b\nAnswer: c");
  expect(&two, "Think: a\nThink: b\nAnswer: c", false, "a\nThink: b", "c");
  expect(&two, "Think: \nAnswer: c", false, "", "c");
  expect(&two, "Think: a\nAnswer: \n", false, "a", "");
  expect(&two, "x\nAnswer: c Think: d", false, "x", "c Think: d");
}

/* Where none but the response is wanted, a thought that is empty is none that lacks. */
static void a_response_is_told_without_a_thought(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    bool strict, search;
  } cases[] = {
      {"Think: \n\nAnswer: c", true, true},
      {"Think:\nAnswer: c", true, true},
      {"Think: a\nAnswer: b", true, true},
      {"Think:\nAnswer: c\nAnswer: d", false, true},
      {"Think:\nAnswer: \n", false, false},
      {"Think: a", false, false},
      {"x\nAnswer: c", false, false},
      {"c", false, false},
      {"", false, false},
  };
  struct tpo_thought_config layout = two;
  struct tpo_parsed p;
  for (int rule = TPO_PARSE_STRICT; rule <= TPO_PARSE_SEARCH; rule++) {
    layout.parse = (enum tpo_parse_rule)rule;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      tpo_thought_parse(&layout, cases[i].text, strlen(cases[i].text), &p);
      assert_int_equal(p.response_ok, rule == TPO_PARSE_STRICT ? cases[i].strict : cases[i].search);
      assert_true(p.response_ok || !p.format_ok);
    }
  }
  tpo_thought_parse(&none, " c", 2, &p);
  assert_true(p.response_ok && p.format_ok);
  tpo_thought_parse(&none, " ", 1, &p);
  assert_false(p.response_ok || p.format_ok);
}

static void search_takes_the_first_markers_in_order(void **state)
{
  (void)state;
  struct tpo_thought_config search = two;
  search.parse = TPO_PARSE_SEARCH;
  static const struct {
    const char *text;
    bool strict, search;
    const char *thought, *response; /* by search */
  } cases[] = {
      {"Think: hm \n\nAnswer:  42 \n", true, true, "hm", "42"},
      {"so\nThink:a\nAnswer:b", true, true, "a", "b"},
      {"Think: a\nThink: b\nAnswer: c", false, true, "a\nThink: b", "c"},
      {"Think: a\nAnswer: b Think: c", false, true, "a", "b Think: c"},
      {"Think: a\nAnswer: b\nAnswer: c", false, true, "a", "b\nAnswer: c"},
      {"x\nAnswer: y\nThink: a\nAnswer: b", false, true, "a", "b"},
      {"x\nAnswer: c Think: d", false, false, "x", "c Think: d"},
      {"x\nAnswer: y", false, false, "x", "y"},
      {"Think: only", false, false, "only", ""},
      {"no markers", false, false, "", ""},
      {"Think: \nAnswer: c", false, false, "", "c"},
      {"Think: a\nAnswer: \n", false, false, "a", ""},
      {"", false, false, "", ""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    expect(&search, cases[i].text, cases[i].search, cases[i].thought, cases[i].response);
    size_t len = strlen(cases[i].text);
    for (int own = 0; own < 2; own++) { /* whatever the layout's own rule */
      const struct tpo_thought_config *config = own ? &search : &two;
      assert_int_equal(tpo_thought_parses(config, TPO_PARSE_STRICT, cases[i].text, len), cases[i].strict);
      assert_int_equal(tpo_thought_parses(config, TPO_PARSE_SEARCH, cases[i].text, len), cases[i].search);
    }
  }
}

static void a_response_marker_alone_parses_by_either_rule(void **state)
{
  (void)state;
  struct tpo_thought_config one = {.response_marker = answer};
  for (int rule = TPO_PARSE_STRICT; rule <= TPO_PARSE_SEARCH; rule++) {
    one.parse = (enum tpo_parse_rule)rule;
    expect(&one, " a\nAnswer: b", true, "a", "b");
    expect(&one, "Think: a\nAnswer: b", true, "Think: a", "b");
    expect(&one, "a", false, "", "");
    expect(&one, "\nAnswer: b", false, "", "b");
    expect(&one, "a\nAnswer: b\nAnswer: c", rule == TPO_PARSE_SEARCH, "a", "b\nAnswer: c");
    struct tpo_thought_config nothing = {.parse = one.parse};
    expect(&nothing, " hello ", true, "", "hello");
  }
}

static void without_markers_all_is_response(void **state)
{
  (void)state;
  expect(&none, " hello ", true, "", "hello");
  expect(&none, " \n", false, "", "");
}

static void a_marker_within_the_other_counts_as_the_longer(void **state)
{
  (void)state;
  static char small[] = "<t>", large[] = "<t><r>";
  const struct tpo_thought_config nested = {.thought_marker = small, .response_marker = large};
  expect(&nested, "<t>a<t><r>b", true, "a", "b");
  struct tpo_thought_config search = nested;
  search.parse = TPO_PARSE_SEARCH;
  expect(&search, "<t>a<t><r>b", true, "a", "b");
}

/* The model's own tags: what a template opened is the text's beginning. */
static void tags_parse_as_other_markers_do(void **state)
{
  (void)state;
  static char open_tag[] = "<think>", close_tag[] = "</think>";
  const struct tpo_thought_config tags = {.thought_marker = open_tag, .response_marker = close_tag};
  struct tpo_thought_config search = tags;
  search.parse = TPO_PARSE_SEARCH;
  static const struct {
    const char *text;
    bool strict, search;
    const char *thought, *response; /* by search */
  } cases[] = {
      {"<think>\nhm\n</think>\n\n42", true, true, "hm", "42"},
      {"<think>\n\n</think>\n\n42", false, false, "", "42"}, /* an empty thought */
      {"<think>never closed 42", false, false, "never closed 42", ""},
      {"42", false, false, "", ""},
      {"hm</think>42", false, false, "hm", "42"}, /* nobody opened it */
      {"<think>a</think>b</think>c", false, true, "a", "b</think>c"},
      {"<think>a</think></think>", false, true, "a", "</think>"},
      {"<think>a<think>b</think>c", false, true, "a<think>b", "c"},
      {"</think><think>a</think>b", false, true, "a", "b"},
      {"<think>a</think>", false, false, "a", ""},
      {"<think>a</think>b<think>c</think>d", false, true, "a", "b<think>c</think>d"},
      {"<think>a</thin</think>b", true, true, "a</thin", "b"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t len = strlen(cases[i].text);
    if (tpo_thought_parses(&tags, TPO_PARSE_STRICT, cases[i].text, len) != cases[i].strict)
      fail_msg("strict: \"%s\"", cases[i].text);
    expect(&search, cases[i].text, cases[i].search, cases[i].thought, cases[i].response);
  }
}

static void offsets_hold_for_any_bytes(void **state)
{
  (void)state;
  static const char *const bits[] = {
      "Think:", "\nAnswer:",        "Thin",        "\nAns", "k:", " ", "\n", "\xe3\x80\x80", "\xc2\xa0",
      "a",      "\xf0\x9f\x99\x82", "\xe2\x80\x83"};
  struct tpo_rng rng;
  tpo_rng_init(&rng, 5, 0, 0, 0);
  for (int k = 0; k < 200000; k++) {
    struct tpo_buf text = {0};
    bool random = tpo_rng_below(&rng, 3) == 0;
    for (uint32_t n = tpo_rng_below(&rng, 12); n > 0; n--) {
      if (random && tpo_rng_below(&rng, 2))
        tpo_buf_putc(&text, (char)tpo_rng_below(&rng, 256));
      else
        tpo_buf_puts(&text, bits[tpo_rng_below(&rng, sizeof bits / sizeof *bits)]);
    }
    struct tpo_parsed p;
    const char *bytes = text.data ? text.data : "";
    struct tpo_thought_config config = k % 7 ? two : none;
    config.parse = k % 2 ? TPO_PARSE_SEARCH : TPO_PARSE_STRICT;
    tpo_thought_parse(&config, bytes, text.len, &p);
    if (tpo_thought_parses(&config, TPO_PARSE_STRICT, bytes, text.len))
      assert_true(tpo_thought_parses(&config, TPO_PARSE_SEARCH, bytes, text.len));
    assert_true(p.thought_begin <= p.thought_end && p.thought_end <= p.response_begin);
    assert_true(p.response_begin <= p.response_end && p.response_end <= text.len);
    if (tpo_utf8_valid(bytes, text.len, NULL)) {
      const size_t at[] = {p.thought_begin, p.thought_end, p.response_begin, p.response_end};
      for (int i = 0; i < 4; i++) assert_true(at[i] == text.len || ((uint8_t)bytes[at[i]] & 0xc0) != 0x80);
    }
    if (p.format_ok) assert_true(p.response_begin < p.response_end);
    tpo_buf_free(&text);
  }
}

static struct tpo_template *open_chatml(const struct tpo_tokenizer *tok)
{
  static char user[] = "<|im_start|>user\n", end[] = "<|im_end|>\n", assistant[] = "<|im_start|>assistant\n",
              system[] = "<|im_start|>system\n";
  const struct tpo_template_config pieces = {.system_prefix = system,
                                             .system_suffix = end,
                                             .user_prefix = user,
                                             .user_suffix = end,
                                             .assistant_prefix = assistant,
                                             .assistant_suffix = end};
  struct tpo_template *t;
  assert_int_equal(tpo_template_open(&t, tok, &pieces, &test_error), 0);
  return t;
}

static void the_prompt_holds_instruction_and_prefill(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok = open_fixture("smollm");
  struct tpo_template *t = open_chatml(tok);
  struct tpo_buf text = {0}, back = {0};
  struct tpo_ids ids = {0};
  assert_int_equal(
      tpo_thought_render(&two, t, "Say {instruction} <|im_end|>", NULL, &ids, &text, &test_error), 0);
  assert_string_equal(text.data, "<|im_start|>user\nDo think. Say {instruction} <|im_end|> Go.<|im_end|>\n"
                                 "<|im_start|>assistant\nThink: well,");
  assert_int_equal(tpo_tokenizer_decode(tok, ids.ids, ids.n, true, &back, &test_error), 0);
  assert_string_equal(back.data, text.data);
  size_t ends = 0;
  for (size_t i = 0; i < ids.n; i++) ends += ids.ids[i] == tpo_tokenizer_find(tok, "<|im_end|>");
  assert_int_equal(ends, 1);
  tpo_buf_free(&text);
  tpo_buf_free(&back);
  tpo_ids_free(&ids);
  tpo_template_close(t);
  tpo_tokenizer_close(tok);
}

static void a_chat_keeps_its_turns(void **state)
{
  (void)state;
  static char be[] = "Be kind.";
  struct tpo_thought_config config = two;
  config.system = be;
  struct tpo_tokenizer *tok = open_fixture("smollm");
  struct tpo_template *t = open_chatml(tok);
  struct tpo_buf text = {0};
  const char *chat = "[{\"role\":\"user\",\"content\":\"1\"},{\"role\":\"assistant\",\"content\":\"2\"},"
                     "{\"role\":\"user\",\"content\":\"3\"}]";
  assert_int_equal(tpo_thought_render(&config, t, "3", chat, NULL, &text, &test_error), 0);
  assert_string_equal(text.data,
                      "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n1<|im_end|>\n"
                      "<|im_start|>assistant\n2<|im_end|>\n<|im_start|>user\nDo think. 3 Go.<|im_end|>\n"
                      "<|im_start|>assistant\nThink: well,");
  static const char *const bad[] = {
      "",
      "{}",
      "[]",
      "[{\"role\":\"user\"}]",
      "[{\"role\":\"assistant\",\"content\":\"x\"}]",
      "[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]",
      "[{\"role\":\"tool\",\"content\":\"x\"},{\"role\":\"user\",\"content\":\"y\"}]"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct tpo_error err = {0};
    assert_true(tpo_thought_render(&config, t, "3", bad[i], NULL, &text, &err) < 0);
    assert_true(strlen(err.message) > 10);
  }
  static char twice[] = "{instruction} {instruction}";
  config.prompt = twice;
  assert_int_equal(tpo_thought_render(&config, t, "3", NULL, NULL, &text, &test_error), TPO_E_USAGE);
  tpo_buf_free(&text);
  tpo_template_close(t);
  tpo_tokenizer_close(tok);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(both_parts_are_found_and_trimmed),
      cmocka_unit_test(a_wrong_layout_is_no_format),
      cmocka_unit_test(a_response_is_told_without_a_thought),
      cmocka_unit_test(search_takes_the_first_markers_in_order),
      cmocka_unit_test(a_response_marker_alone_parses_by_either_rule),
      cmocka_unit_test(without_markers_all_is_response),
      cmocka_unit_test(a_marker_within_the_other_counts_as_the_longer),
      cmocka_unit_test(tags_parse_as_other_markers_do),
      cmocka_unit_test(offsets_hold_for_any_bytes),
      cmocka_unit_test(the_prompt_holds_instruction_and_prefill),
      cmocka_unit_test(a_chat_keeps_its_turns),
  };
  return cmocka_run_group_tests_name("thought", tests, NULL, NULL);
}
