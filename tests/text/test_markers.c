/* Layouts against models: what an output's text begins with, markers as tokens, and which layouts are refused. */
#include "text_test.h"

static char open_tag[] = "<think>", close_tag[] = "</think>", slot[] = "{instruction}",
            reply[] = "\nReply:", notes[] = "Notes:";
static const struct tpo_thought_config tags = {
    .name = (char *)"tags", .prompt = slot, .thought_marker = open_tag, .response_marker = close_tag};
static const struct tpo_thought_config words = {.name = (char *)"words",
                                                .prompt = slot,
                                                .thought_marker = notes,
                                                .response_marker = reply,
                                                .prefill = notes};

struct world {
  struct tpo_tokenizer *tok;
  struct tpo_template *tmpl;
};

/* ChatML whose assistant's turn is begun with `opening`. */
static struct world open_world(const char *opening)
{
  static char user[] = "<|im_start|>user\n", end[] = "<|im_end|>\n", system[] = "<|im_start|>system\n";
  char assistant[200];
  struct world w = {.tok = open_fixture("smollm")};
  snprintf(assistant, sizeof assistant, "<|im_start|>assistant\n%s", opening);
  const struct tpo_template_config pieces = {.system_prefix = system,
                                             .system_suffix = end,
                                             .user_prefix = user,
                                             .user_suffix = end,
                                             .assistant_prefix = assistant,
                                             .assistant_suffix = end};
  assert_int_equal(tpo_template_open(&w.tmpl, w.tok, &pieces, &test_error), 0);
  return w;
}

static void close_world(struct world *w)
{
  tpo_template_close(w->tmpl);
  tpo_tokenizer_close(w->tok);
}

static void assert_begun(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                         const char *expected)
{
  struct tpo_buf begun = {0};
  if (tpo_thought_begun(thought, tmpl, &begun, &test_error) < 0) fail_msg("%s", test_error.message);
  assert_string_equal(begun.data ? begun.data : "", expected);
  tpo_buf_free(&begun);
}

static void a_thought_that_the_prompt_opens_is_text_of_the_output(void **state)
{
  (void)state;
  static char behind[] = "{instruction} Use <think>", go_on[] = "well,";
  struct world opens = open_world("<think>\n"), plain = open_world(""),
               closes = open_world("<think>\n\n</think>\n\n"),
               mentions = open_world("<think> is how I begin: ");
  struct tpo_thought_config asks = tags, begins = tags;
  asks.prompt = behind;
  begins.prefill = go_on;
  assert_begun(&tags, opens.tmpl, "<think>\n");
  assert_begun(&tags, plain.tmpl, "");
  assert_begun(&tags, closes.tmpl, "");
  assert_begun(&tags, mentions.tmpl, "");
  assert_begun(&tags, NULL, "");
  assert_begun(&asks, plain.tmpl, ""); /* in the user's turn it is text */
  assert_begun(&asks, opens.tmpl, "<think>\n");
  assert_begun(&begins, opens.tmpl, "<think>\nwell,");
  assert_begun(&words, opens.tmpl, "Notes:");
  assert_begun(&words, NULL, "Notes:");
  close_world(&opens);
  close_world(&plain);
  close_world(&closes);
  close_world(&mentions);
}

/* Of a template that says nothing behind the user's turn. */
static void what_ends_the_users_turn_begins_no_output(void **state)
{
  (void)state;
  static char behind[] = "{instruction} Use <think>", blank[] = " ", none[] = "";
  struct world w = {.tok = open_fixture("smollm")};
  const struct tpo_template_config pieces = {.system_prefix = none,
                                             .system_suffix = none,
                                             .user_prefix = blank,
                                             .user_suffix = none,
                                             .assistant_prefix = blank,
                                             .assistant_suffix = none};
  struct tpo_thought_config asks = tags;
  asks.prompt = behind;
  assert_int_equal(tpo_template_open(&w.tmpl, w.tok, &pieces, &test_error), 0);
  assert_begun(&asks, w.tmpl, "");
  close_world(&w);
}

/* 0 and what is warned of, or the failure's message. */
static int check(const struct tpo_thought_config *thought, const struct world *w, char told[1024])
{
  struct tpo_buf warning = {0};
  struct tpo_error err = {0};
  int status = tpo_thought_check(thought, w->tok, w->tmpl, &warning, &err);
  snprintf(told, 1024, "%s", status < 0 ? err.message : warning.data ? warning.data : "");
  tpo_buf_free(&warning);
  return status;
}

static void a_template_that_thinks_for_itself_is_told(void **state)
{
  (void)state;
  static char again[] = "<think>\nwell,";
  char told[1024];
  struct tpo_thought_config twice = tags, none = {.name = (char *)"none", .prompt = slot},
                            ends = {.prompt = slot, .response_marker = close_tag};
  struct world opens = open_world("<think>\n"), plain = open_world(""),
               closes = open_world("<think>\n\n</think>\n\n");
  twice.prefill = again;
  assert_int_equal(check(&tags, &opens, told), 0);
  assert_string_equal(told, "");
  assert_int_equal(check(&tags, &plain, told), 0);
  assert_string_equal(told, "");
  assert_int_equal(check(&words, &plain, told), 0);
  assert_string_equal(told, "");
  assert_int_equal(check(&words, &closes, told), 0); /* its thought is over: ours follows */
  assert_string_equal(told, "");
  assert_int_equal(check(&words, &opens, told), 0);
  assert_non_null(strstr(told, "begins a thought of its own with <think>"));
  assert_non_null(strstr(told, "thought: think-tags takes the model's"));
  assert_int_equal(check(&none, &opens, told), 0);
  assert_non_null(strstr(told, "the thought layout \"none\" takes all of an output for the response"));
  assert_int_equal(check(&ends, &opens, told), 0); /* reads the model's */
  assert_string_equal(told, "");
  assert_int_equal(check(&tags, &closes, told), 0);
  assert_non_null(strstr(told, "ends the thought in the prompt"));
  assert_int_equal(check(&twice, &opens, told), TPO_E_USAGE);
  assert_non_null(strstr(told, "thought.prefill holds <think>"));
  assert_int_equal(check(&twice, &plain, told), 0);
  close_world(&opens);
  close_world(&plain);
  close_world(&closes);
}

static void pieces_take_no_switches(void **state)
{
  (void)state;
  static char args[] = "{\"enable_thinking\":true}";
  char told[1024];
  struct world w = open_world("");
  struct tpo_thought_config switched = tags;
  switched.template_args = args;
  assert_int_equal(check(&switched, &w, told), 0);
  assert_non_null(strstr(told, "thought.template_args switch nothing"));
  close_world(&w);
}

static size_t count(const struct tpo_ids *ids, int32_t id)
{
  size_t n = 0;
  for (size_t i = 0; i < ids->n; i++) n += ids->ids[i] == id;
  return n;
}

/* The layout's own text may be control tokens, an instruction's never. */
static void a_prefill_is_the_layouts_own(void **state)
{
  (void)state;
  static char begin[] = "<|im_start|>", asks[] = "<|im_start|> {instruction}";
  struct world w = open_world("");
  struct tpo_thought_config prefilled = tags, asking = tags;
  int32_t id = tpo_tokenizer_find(w.tok, "<|im_start|>");
  prefilled.prefill = begin;
  asking.prompt = asks;
  const struct {
    const struct tpo_thought_config *thought;
    size_t n;
  } cases[] = {{&tags, 2}, {&prefilled, 3}, {&asking, 2}};
  for (size_t i = 0; i < 3; i++) {
    struct tpo_ids ids = {0};
    assert_int_equal(tpo_thought_render(cases[i].thought, w.tmpl, begin, NULL, &ids, NULL, &test_error), 0);
    assert_int_equal(count(&ids, id), cases[i].n);
    tpo_ids_free(&ids);
  }
  close_world(&w);
}

static void auto_is_what_the_template_knows(void **state)
{
  (void)state;
  static const struct {
    const char *opening, *layout, *why;
  } cases[] = {{"<think>\n", "think-tags", "of its own, in <think>"},
               {"<think>\n\n</think>\n\n", "generic", "ends the thought in the prompt"},
               {"", "generic", "knows no <think>"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct world w = open_world(cases[i].opening);
    struct tpo_config config;
    const char *why = NULL;
    tpo_config_default(&config);
    assert_int_equal(tpo_config_set_thought(&config, "auto", "test", &test_error), 0);
    struct tpo_error err = {0};
    assert_int_equal(tpo_thought_check(&config.thought, w.tok, w.tmpl, NULL, &err), TPO_E_USAGE);
    assert_non_null(strstr(err.message, "thought: auto"));
    assert_int_equal(tpo_thought_resolve(&config, w.tmpl, &why, &test_error), 0);
    assert_non_null(strstr(why, cases[i].why));
    assert_string_equal(config.thought.name, cases[i].layout);
    tpo_config_free(&config);
    close_world(&w);
  }
}

/* Of the letters a to z and what is special. */
static struct tpo_tokenizer *open_letters(void)
{
  struct tpo_buf json = {0};
  const char *dir = make_dir();
  tpo_buf_puts(&json,
               "{\"added_tokens\":[{\"id\":26,\"content\":\"<think>\",\"special\":true},"
               "{\"id\":27,\"content\":\"</think>\",\"special\":true}],"
               "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},"
               "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{");
  for (int i = 0; i < 26; i++) tpo_buf_printf(&json, "%s\"%c\":%d", i ? "," : "", 'a' + i, i);
  tpo_buf_puts(&json, ",\"<think>\":26,\"</think>\":27}}}");
  put_file(dir, "tokenizer.json", json.data, json.len);
  tpo_buf_free(&json);
  return open_tokenizer(dir);
}

static void a_marker_that_is_a_control_token_is_that_token(void **state)
{
  (void)state;
  struct world w = {.tok = open_letters()};
  struct tpo_thought_config forced = tags;
  struct tpo_ids ids = {0}, spoken = {0};
  int n;
  char told[1024];
  forced.force = true;
  assert_int_equal(tpo_thought_marker_ids(close_tag, w.tok, &ids, &test_error), 0);
  assert_int_equal(ids.n, 1);
  assert_int_equal(ids.ids[0], 27);
  assert_int_equal(tpo_thought_spoken_ids(&tags, w.tok, &spoken, &test_error), 0);
  assert_int_equal(spoken.n, 2);
  assert_int_equal(spoken.ids[0], 26);
  assert_int_equal(spoken.ids[1], 27);
  assert_int_equal(tpo_thought_marker_tokens(&forced, w.tok, &n, &test_error), 0);
  assert_int_equal(n, 1);
  assert_int_equal(tpo_thought_marker_tokens(&tags, w.tok, &n, &test_error), 0); /* on_budget: stop */
  assert_int_equal(n, 0);
  assert_int_equal(check(&tags, &w, told), 0);
  tpo_ids_free(&ids);
  tpo_ids_free(&spoken);
  tpo_tokenizer_close(w.tok);
  remove_dir(make_dir());
}

static void a_marker_of_words_holds_no_control_token(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok = open_fixture("smollm");
  struct tpo_ids spoken = {0}, ids = {0};
  assert_int_equal(tpo_thought_spoken_ids(&words, tok, &spoken, &test_error), 0);
  assert_int_equal(tpo_thought_spoken_ids(&tags, tok, &spoken, &test_error),
                   0); /* that are text to this one */
  assert_int_equal(spoken.n, 0);
  assert_int_equal(tpo_thought_marker_ids(NULL, tok, &ids, &test_error), 0);
  assert_int_equal(ids.n, 0);
  tpo_tokenizer_close(tok);
}

static void a_marker_that_the_tokenizer_cannot_make_is_refused(void **state)
{
  (void)state;
  static char fine[] = "abc", capital[] = "abC";
  struct world w = {.tok = open_letters()};
  char told[1024];
  struct tpo_thought_config layout = {.prompt = slot, .thought_marker = capital, .response_marker = fine};
  assert_int_equal(check(&layout, &w, told), TPO_E_USAGE);
  assert_non_null(strstr(told, "thought.thought_marker: the model's tokenizer can't make \"abC\""));
  layout.thought_marker = fine, layout.response_marker = capital;
  assert_int_equal(check(&layout, &w, told), TPO_E_USAGE);
  assert_non_null(strstr(told, "thought.response_marker: "));
  layout.response_marker = NULL;
  assert_int_equal(check(&layout, &w, told), 0);
  tpo_tokenizer_close(w.tok);
  remove_dir(make_dir());
}

static void a_layout_that_asks_in_the_system_message_keeps_the_chats_own(void **state)
{
  (void)state;
  static char ask[] = "Think first.";
  struct world w = open_world("");
  struct tpo_buf text = {0};
  struct tpo_thought_config layout = words;
  const char *chat = "[{\"role\":\"system\",\"content\":\"Be kind.\"},{\"role\":\"user\",\"content\":\"3\"}]";
  layout.system = ask;
  assert_int_equal(tpo_thought_render(&layout, w.tmpl, "3", chat, NULL, &text, &test_error), 0);
  assert_string_equal(text.data, "<|im_start|>system\nBe kind.\n\nThink first.<|im_end|>\n"
                                 "<|im_start|>user\n3<|im_end|>\n<|im_start|>assistant\nNotes:");
  tpo_buf_clear(&text);
  layout.thought_marker = layout.response_marker = layout.prefill = NULL; /* no thought to ask for */
  assert_int_equal(tpo_thought_render(&layout, w.tmpl, "3", chat, NULL, &text, &test_error), 0);
  assert_string_equal(text.data, "<|im_start|>system\nBe kind.<|im_end|>\n"
                                 "<|im_start|>user\n3<|im_end|>\n<|im_start|>assistant\n");
  tpo_buf_free(&text);
  close_world(&w);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_thought_that_the_prompt_opens_is_text_of_the_output),
      cmocka_unit_test(what_ends_the_users_turn_begins_no_output),
      cmocka_unit_test(a_template_that_thinks_for_itself_is_told),
      cmocka_unit_test(pieces_take_no_switches),
      cmocka_unit_test(a_prefill_is_the_layouts_own),
      cmocka_unit_test(auto_is_what_the_template_knows),
      cmocka_unit_test(a_marker_that_is_a_control_token_is_that_token),
      cmocka_unit_test(a_marker_of_words_holds_no_control_token),
      cmocka_unit_test(a_marker_that_the_tokenizer_cannot_make_is_refused),
      cmocka_unit_test(a_layout_that_asks_in_the_system_message_keeps_the_chats_own),
  };
  return cmocka_run_group_tests_name("markers", tests, NULL, NULL);
}
