/* Layouts beside models' own chat templates: what `thought: auto` becomes, what is warned of and what is refused. */
#include "chat_test.h"
#include "text/chat/thought/think_template.h"

#define TURNS                                                                                                \
  "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<a>"
static const char plain[] = TURNS "{% endif %}", opens[] = TURNS "{{ '<think>\n' }}{% endif %}",
                  closes[] = TURNS "{{ '<think>\n\n</think>\n\n' }}{% endif %}",
                  switched[] =
                      TURNS "{% if not enable_thinking %}{{ '<think></think>' }}{% endif %}{% endif %}",
                  other[] = TURNS "{% if not loud %}{{ '<think></think>' }}{% endif %}{% endif %}",
                  words[] = TURNS "{{ '[THINK]' }}{% endif %}";

static struct tpo_config configured(const char *layout)
{
  struct tpo_config config;
  tpo_config_default(&config);
  assert_int_equal(tpo_config_set_thought(&config, layout, "test", &test_error), 0);
  return config;
}

static void auto_asks_for_thoughts_that_a_template_ends(void **state)
{
  (void)state;
  static const struct {
    const char *template, *switches, *layout, *why;
  } cases[] = {{plain, NULL, "generic", "knows no <think>"},
               {words, NULL, "generic", "but not in <think>"},
               {opens, NULL, "think-tags", "of its own, in <think>"},
               {switched, NULL, "think-tags", "of its own, in <think>"},
               {closes, NULL, "generic", "ends the thought in the prompt"},
               {switched, "thought.template_args.enable_thinking=false", "generic", "ends the thought"},
               {other, NULL, "generic", "ends the thought in the prompt"},
               {other, "thought.template_args.loud=true", "think-tags", "of its own, in <think>"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct chat_world w = open_world("smollm", cases[i].template);
    struct tpo_config config = configured("auto");
    const char *why = NULL;
    if (cases[i].switches)
      assert_int_equal(tpo_config_set(&config, cases[i].switches, "--set", &test_error), 0);
    assert_int_equal(tpo_thought_resolve(&config, w.tmpl, &why, &test_error), 0);
    assert_string_equal(config.thought.name, cases[i].layout);
    assert_non_null(strstr(why, cases[i].why));
    tpo_config_free(&config);
    close_world(&w);
  }
}

/* 0 and what is warned of, or the failure's message. */
static int check(const struct tpo_thought_config *thought, const struct chat_world *w, char told[2048])
{
  struct tpo_buf warning = {0};
  struct tpo_error err = {0};
  int status = tpo_thought_check(thought, w->tok, w->tmpl, &warning, &err);
  snprintf(told, 2048, "%s", status < 0 ? err.message : warning.data ? warning.data : "");
  tpo_buf_free(&warning);
  return status;
}

static void a_layout_that_nobody_asks_for_is_told(void **state)
{
  (void)state;
  static char asking[] = "Use <think> and </think>. {instruction}";
  char told[2048];
  struct tpo_config config = configured("think-tags");
  struct tpo_thought_config asks = config.thought;
  asks.prompt = asking;
  static const struct {
    const char *template, *told;
  } cases[] = {{plain, "knows no <think>, and the thought layout \"think-tags\" doesn't ask"},
               {words, "knows no <think>"},
               {opens, NULL},
               {switched, NULL},
               {closes, "ends the thought in the prompt"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct chat_world w = open_world("smollm", cases[i].template);
    assert_int_equal(check(&config.thought, &w, told), 0);
    if (cases[i].told)
      assert_non_null(strstr(told, cases[i].told));
    else
      assert_string_equal(told, "");
    assert_int_equal(check(&asks, &w, told), 0);
    assert_null(strstr(told, "knows no"));
    close_world(&w);
  }
  tpo_config_free(&config);
}

/* An exported model: `template` made to ask for what the layout wants. */
static struct chat_world exported(const char *template, const char *layout)
{
  struct chat_world own = open_world("smollm", template);
  struct tpo_config config = configured(layout);
  char *source;
  if (tpo_thought_template(&config.thought, own.tmpl, &source, &test_error) < 0)
    fail_msg("%s", test_error.message);
  struct chat_world w = open_world("smollm", source);
  free(source);
  tpo_config_free(&config);
  close_world(&own);
  return w;
}

/* What an exported model's template asks for is read by that layout alone, whose marker is told. */
static void what_is_asked_for_is_what_is_looked_for(void **state)
{
  (void)state;
  static const char marker[] = "response_marker: \"\\nReply for the user:\"";
  static char reply[] = "\nReply for the user:";
  const struct tpo_thought_config markers = {.response_marker = reply};
  static const char *const templates[] = {plain, switched}, *const others[] = {"think-tags", "generic",
                                                                               "paper-generic"};
  char told[2048];
  for (int t = 0; t < 2; t++) {
    struct chat_world w = exported(templates[t], "generic");
    struct tpo_config config = configured("auto"), none = configured("none");
    struct tpo_error err = {0};
    assert_int_equal(tpo_thought_resolve(&config, w.tmpl, NULL, &err), TPO_E_USAGE);
    assert_non_null(strstr(err.message, "asks for a thought already"));
    assert_non_null(strstr(err.message, marker));
    for (int o = 0; o < 3; o++) {
      struct tpo_config layout = configured(others[o]);
      assert_int_equal(check(&layout.thought, &w, told), TPO_E_USAGE);
      assert_non_null(strstr(told, marker));
      assert_non_null(strstr(told, o == 0 ? "looks for another" : "ask once more"));
      tpo_config_free(&layout);
    }
    assert_int_equal(check(&markers, &w, told), 0); /* what is advised */
    assert_string_equal(told, "");
    assert_int_equal(check(&none.thought, &w, told), 0);
    tpo_config_free(&config);
    tpo_config_free(&none);
    close_world(&w);
  }
}

static void tags_that_are_asked_for_are_read(void **state)
{
  (void)state;
  char told[2048];
  struct chat_world w = exported(switched, "think-tags");
  struct tpo_config config = configured("auto");
  assert_int_equal(tpo_thought_resolve(&config, w.tmpl, NULL, &test_error), 0);
  assert_string_equal(config.thought.name, "think-tags");
  assert_int_equal(check(&config.thought, &w, told), 0);
  assert_string_equal(told, "");
  tpo_config_free(&config);
  close_world(&w);
}

/* As written, so read. */
static void a_marker_comes_back_from_a_template(void **state)
{
  (void)state;
  static char odd[] = "'\\ \n\r\t\"{{ x }} \xc3\xa9'";
  const struct tpo_thought_config layout = {.response_marker = odd};
  struct chat_world w = open_world("smollm", plain);
  struct tpo_buf marker = {0};
  char *source;
  assert_int_equal(tpo_thought_template(&layout, w.tmpl, &source, &test_error), 0);
  tpo_template_asked_marker(source, &marker);
  assert_string_equal(marker.data, odd);
  tpo_buf_clear(&marker);
  tpo_template_asked_marker(plain, &marker);
  tpo_template_asked_marker(NULL, &marker);
  assert_int_equal(marker.len, 0);
  tpo_buf_free(&marker);
  free(source);
  close_world(&w);
}

/* A switch's name within a longer one is none. */
static void switches_are_whole_names(void **state)
{
  (void)state;
  static char args[] = "{\"loud\":true,\"lo\":1,\"ud\":2}";
  const struct tpo_thought_config layout = {.template_args = args};
  struct chat_world w = open_world("smollm", other);
  char *source;
  assert_int_equal(tpo_thought_template(&layout, w.tmpl, &source, &test_error), 0);
  assert_non_null(strstr(source, "set loud = true"));
  assert_null(strstr(source, "set lo = "));
  assert_null(strstr(source, "set ud = "));
  free(source);
  close_world(&w);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(auto_asks_for_thoughts_that_a_template_ends),
      cmocka_unit_test(a_layout_that_nobody_asks_for_is_told),
      cmocka_unit_test(what_is_asked_for_is_what_is_looked_for),
      cmocka_unit_test(tags_that_are_asked_for_are_read),
      cmocka_unit_test(a_marker_comes_back_from_a_template),
      cmocka_unit_test(switches_are_whole_names),
  };
  return cmocka_run_group_tests_name("auto", tests, NULL, NULL);
}
