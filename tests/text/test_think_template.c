/* Chat templates of exported models: run by the interpreter, they give the prompts that training sampled from. */
#include "chat_test.h"
#include "text/chat/thought/think_template.h"

/* Our own miniatures of how models' templates are made. */
static const char chatml[] =
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}\n";
/* The system message within the first turn of the user, a space before every answer, no generation prompt. */
static const char within[] =
    "{% if messages[0].role == 'system' %}{% set head = '<<' + messages[0].content + '>> ' %}"
    "{% set messages = messages[1:] %}{% else %}{% set head = '' %}{% endif %}"
    "{% for m in messages %}{% if m.role == 'user' %}{{ '[I] ' + (head if loop.first else '') + m.content.strip() + ' [/I]' }}"
    "{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}";
static const char no_system[] =
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system, please') }}{% endif %}"
    "{% for m in messages %}{{ '<t>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + m['content'] | trim }}\n"
    "{% endfor %}\n{%- if add_generation_prompt %}\n  {{- '\n<t>model\n' }}\n{%- endif %}   \n";
/* A switch, and an empty thought where it is off; earlier thoughts are dropped. */
static const char switched[] =
    "  {% macro turn(m) -%} <{{ m.role }}> {{ m.content.split('</think>')[-1] }}\n{%- endmacro %}"
    "{%- set ns = namespace(n=messages|length) %}\n"
    "{%- for m in messages %}{{ turn(m) }} ({{ loop.index }}/{{ ns.n }}/{{ messages | length }}){% endfor %}\n"
    "{%- if add_generation_prompt %}{{ '<assistant>\n' }}{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% if mood is defined %}{{ mood | tojson }}{% endif %}{% endif %}";
static const char opened[] = "\n{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
                             "{% if add_generation_prompt %}<assistant><think>\n{% endif %}\n\n";
/* Reads parts, as models do that see images. */
static const char parts[] =
    "{% for m in messages %}<{{ m.role }}>{% for part in m.content %}{{ part.text }}{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}";
static const char *const templates[] = {chatml, within, no_system, switched, opened, parts};

static char odd_prompt[] =
    "{{ x }} {% if %} {# c #} \\ \" ' \n\t\r \xe2\x80\xa8 \xf0\x9f\x98\x80 {instruction} }} %} #}\\n",
            odd_system[] = "It's {{ this }} \\n.", odd_prefill[] = "<T> {{ '\\n' }} \n", open_mark[] = "<T>",
            close_mark[] = "<R>{{", plain[] = "{instruction}", think_open[] = "<think>",
            think_close[] = "</think>",
            on[] = "{\"enable_thinking\":true,\"mood\":[1,-2.5,{\"a'b\":null},\"x\\n\"]}",
            name[] = "a/{#mine#}";
static const struct tpo_thought_config layouts[] = {
    {.name = name,
     .prompt = odd_prompt,
     .thought_marker = open_mark,
     .response_marker = close_mark,
     .prefill = odd_prefill},
    {.name = name,
     .prompt = odd_prompt,
     .system = odd_system,
     .response_marker = close_mark,
     .prefill = odd_prefill},
    {.name = name, .prompt = odd_prompt, .system = odd_system},
    {.name = name,
     .prompt = plain,
     .thought_marker = think_open,
     .response_marker = think_close,
     .template_args = on},
    {.name = name, .prompt = plain},
};

static char *make(const struct tpo_thought_config *layout, const struct tpo_template *t)
{
  char *source;
  if (tpo_thought_template(layout, t, &source, &test_error) < 0) fail_msg("%s", test_error.message);
  return source;
}

static const char *const chats[] = {
    "[{\"role\":\"user\",\"content\":\"One?\"}]",
    "[{\"role\":\"user\",\"content\":\"\"}]",
    "[{\"role\":\"user\",\"content\":\" {{ a }} '\\\\ \\n\"},{\"role\":\"assistant\",\"content\":\"1.\"},"
    "{\"role\":\"user\",\"content\":\"Two?\"}]",
    "[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"One?\"},"
    "{\"role\":\"assistant\",\"content\":\"1.\"},{\"role\":\"user\",\"content\":\"Two?\"}]",
};

/* Text and ids of the chat, as training has them and as an export's template does; refused by both or by none. */
static bool same_prompts(const struct tpo_thought_config *layout, const struct tpo_template *t,
                         const struct tpo_template *new, const char *messages)
{
  struct tpo_buf expected = {0}, got = {0};
  struct tpo_ids expected_ids = {0}, ids = {0};
  const struct tpo_chat chat = {.messages_json = messages, .generation_prompt = true};
  bool refused = tpo_thought_render(layout, t, NULL, messages, &expected_ids, &expected, &test_error) < 0;
  assert_int_equal(tpo_template_render_chat(new, &chat, &got, &ids, &test_error) < 0, refused);
  tpo_buf_putc(&expected, '\0');
  tpo_buf_putc(&got, '\0');
  if (!refused) assert_string_equal(got.data, expected.data);
  if (!refused) assert_true(same_ids(&ids, &expected_ids));
  tpo_buf_free(&expected);
  tpo_buf_free(&got);
  tpo_ids_free(&expected_ids);
  tpo_ids_free(&ids);
  return !refused;
}

static void an_export_renders_the_prompts_of_training(void **state)
{
  (void)state;
  int same = 0;
  for (size_t i = 0; i < sizeof templates / sizeof *templates; i++)
    for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++) {
      struct chat_world own = open_world("smollm", templates[i]);
      char *source;
      int status = tpo_thought_template(&layouts[l], own.tmpl, &source, &test_error);
      if (status < 0) {
        assert_ptr_equal(templates[i], no_system);
        assert_non_null(layouts[l].system);
        assert_non_null(strstr(test_error.message, "no system, please"));
      } else if (source) {
        struct chat_world new = open_world("smollm", source);
        for (size_t c = 0; c < sizeof chats / sizeof *chats; c++)
          same += same_prompts(&layouts[l], own.tmpl, new.tmpl, chats[c]);
        close_world(&new);
      } else {
        assert_int_equal(l, 4); /* asks for nothing, and there is no switch that training had another way */
        assert_ptr_not_equal(templates[i], switched);
      }
      free(source);
      close_world(&own);
    }
  assert_true(same > 60);
}

/* The text of a chat by the export's template of a layout. */
static char *shown(const struct tpo_template *t, struct tpo_chat chat, const char *messages)
{
  struct tpo_buf text = {0};
  chat.messages_json = messages;
  if (tpo_template_render_chat(t, &chat, &text, NULL, &test_error) < 0) fail_msg("%s", test_error.message);
  return tpo_buf_take(&text);
}

static void expect_shown(const struct tpo_template *t, struct tpo_chat chat, const char *messages,
                         const char *expected)
{
  char *text = shown(t, chat, messages);
  assert_string_equal(text, expected);
  free(text);
}

static void what_is_not_asked_is_the_models_own(void **state)
{
  (void)state;
  struct chat_world own = open_world("smollm", opened);
  char *source = make(&layouts[1], own.tmpl);
  struct chat_world new = open_world("smollm", source);
  struct tpo_chat whole = {0}, asked = {.generation_prompt = true};
  expect_shown(new.tmpl, whole,
               "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"x<R>{{y\"}]",
               "\n<user>a\n<assistant>x<R>{{y\n");
  expect_shown(new.tmpl, asked, "[{\"role\":\"tool\",\"content\":\"x\"}]", "\n<tool>x\n<assistant><think>\n");
  free(source);
  close_world(&new);
  close_world(&own);
}

static void earlier_answers_lose_their_thoughts(void **state)
{
  (void)state;
  static char close[] = "R:";
  static const struct tpo_thought_config layout = {.name = name, .prompt = plain, .response_marker = close};
  static const char chat[] =
      "[{\"role\":\"user\",\"content\":\"R: a\"},{\"role\":\"assistant\",\"content\":%s},"
      "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"b\"},{\"type\":\"text\",\"text\":\"R:c\"}]},"
      "{\"role\":\"assistant\",\"content\":\"t R: tool\"},{\"role\":\"tool\",\"content\":\"1\"}]";
  static const char *const answers[] = {
      "\"x\\n R:\\n y R: z \"",
      "[{\"type\":\"text\",\"text\":\"xR:y \"},{\"type\":\"text\",\"text\":\"R: z\"}]", "\"y R: z\"",
      "\"y z\""};
  static const char *const left[] = {"y R: z", "y R: z", "z", "y z"};
  struct chat_world own = open_world("smollm", chatml);
  char *source = make(&layout, own.tmpl);
  struct chat_world new = open_world("smollm", source);
  for (size_t i = 0; i < 4; i++) {
    char messages[600], expected[400];
    snprintf(messages, sizeof messages, chat, answers[i]);
    snprintf(
        expected, sizeof expected,
        "<|im_start|>user\nR: a<|im_end|>\n<|im_start|>assistant\n%s<|im_end|>\n<|im_start|>user\nbR:c<|im_end|>\n"
        "<|im_start|>assistant\nt R: tool<|im_end|>\n<|im_start|>tool\n1<|im_end|>\n<|im_start|>assistant\n",
        left[i]);
    expect_shown(new.tmpl, (struct tpo_chat){.generation_prompt = true}, messages, expected);
  }
  free(source);
  close_world(&new);
  close_world(&own);
}

static void a_caller_may_set_the_switches(void **state)
{
  (void)state;
  struct chat_world own = open_world("smollm", switched);
  static const struct {
    int layout;
    const char *args, *end;
  } cases[] = {
      {4, NULL, "<assistant>\n<think>\n\n</think>\n\n"},
      {4, "{\"enable_thinking\":true}", "<assistant>\n"},
      {3, NULL, "<assistant>\n[1, -2.5, {\"a'b\": null}, \"x\\n\"]"},
      {3, "{\"enable_thinking\":false,\"mood\":0}", "<assistant>\n<think>\n\n</think>\n\n0"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *source = make(&layouts[cases[i].layout], own.tmpl);
    struct chat_world new = open_world("smollm", source);
    char *text = shown(new.tmpl, (struct tpo_chat){.generation_prompt = true, .template_args = cases[i].args},
                       chats[0]);
    const char *end = strstr(text, "<assistant>");
    assert_non_null(end);
    assert_string_equal(end, cases[i].end);
    free(text);
    free(source);
    close_world(&new);
  }
  close_world(&own);
}

static void nobody_is_asked_twice(void **state)
{
  (void)state;
  struct chat_world own = open_world("smollm", chatml);
  char *source = make(&layouts[0], own.tmpl), *again;
  assert_true(tpo_template_asks_for_thought(source));
  assert_false(tpo_template_asks_for_thought(chatml) || tpo_template_asks_for_thought(NULL));
  assert_null(strstr(source, "layout {#mine#}")); /* in a comment, which that would end */
  struct chat_world new = open_world("smollm", source);
  assert_int_equal(tpo_thought_template(&layouts[0], new.tmpl, &again, &test_error), TPO_E_USAGE);
  assert_null(again);
  assert_non_null(strstr(test_error.message, "asks for a thought already"));
  struct tpo_buf warning = {0};
  for (int l = 0; l < 5; l++) {
    int status = tpo_thought_check(&layouts[l], new.tok, new.tmpl, &warning, &test_error);
    assert_int_equal(status, l < 4 ? TPO_E_USAGE : TPO_OK); /* the last doesn't ask, nor look for another */
    assert_int_equal(tpo_thought_check(&layouts[l], own.tok, own.tmpl, &warning, &test_error), TPO_OK);
  }
  tpo_buf_free(&warning);
  free(source);
  close_world(&new);
  close_world(&own);
}

/* One that looks at what the new statements set. */
static void what_comes_out_otherwise_is_refused(void **state)
{
  (void)state;
  struct chat_world own =
      open_world("smollm", "{{ messages[-1].content }}{% if tpo is defined %}!{% endif %}");
  char *source;
  assert_int_equal(tpo_thought_template(&layouts[0], own.tmpl, &source, &test_error), TPO_E_UNSUPPORTED);
  assert_null(source);
  assert_non_null(strstr(test_error.message, "can't be made to render the prompts of training"));
  close_world(&own);
}

static void expect_told(const char *template, const struct tpo_thought_config *layout, const char *expected)
{
  struct chat_world w = open_world("smollm", template);
  struct tpo_buf out = {0};
  if (tpo_thought_tell_servers(layout, w.tmpl, &out, &test_error) < 0) fail_msg("%s", test_error.message);
  tpo_buf_putc(&out, '\0');
  if (*expected ? !strstr(out.data, expected) : out.len > 1)
    fail_msg("\"%s\" isn't in \"%s\"", expected, out.data);
  tpo_buf_free(&out);
  close_world(&w);
}

static void servers_are_told_of(void **state)
{
  (void)state;
  static char thought[] = "Here is my thought process:", response[] = "Here is my response:";
  struct tpo_thought_config layout = {
      .name = name, .prompt = plain, .thought_marker = thought, .response_marker = response};
  expect_told(chatml, &layout, "vllm serve --reasoning-parser granite");
  layout.prefill = thought;
  expect_told(chatml, &layout,
              "what stands before it (the prompt holds \"Here is my thought process:\" already)");
  expect_told(chatml, &layouts[3],
              "SGLang --reasoning-parser qwen3 and llama-server --reasoning-format deepseek; vLLM's");
  expect_told(opened, &layouts[3], "SGLang --reasoning-parser deepseek-r1 and");
  expect_told(chatml, &layouts[1], "the response is what follows \"<R>{{\" in an output\n");
  expect_told(switched, &layouts[4], "llama-server sets it to true by itself");
  expect_told("{{ strftime_now('%Y') }}", &layouts[4], "tells today's date");
  expect_told(switched, &layouts[3], "qwen3");
  expect_told(chatml, &layouts[4], "");
}

static void constants_read_back(void **state)
{
  (void)state;
  static const char value[] =
      "{\"a\":[true,false,null,-7,1.5e-3,\"\\u0000'\\\\\\\"\\n\\r\\t{{%}\\ud83d\\ude00\"],\"'\":{}}";
  json_t *root = tpo_json_parse(value, strlen(value), "value", &test_error);
  struct tpo_buf out = {0};
  tpo_jinja_constant(&out, root);
  static const char expected[] =
      "{'a': [true, false, none, -7, 0.0015, '\0\\'\\\\\"\\n\\r\\t{{%}\xf0\x9f\x98\x80'], '\\'': {}}";
  assert_int_equal(out.len, sizeof expected - 1);
  assert_memory_equal(out.data, expected, out.len);
  tpo_buf_free(&out);
  json_decref(root);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_export_renders_the_prompts_of_training),
      cmocka_unit_test(what_is_not_asked_is_the_models_own),
      cmocka_unit_test(earlier_answers_lose_their_thoughts),
      cmocka_unit_test(a_caller_may_set_the_switches),
      cmocka_unit_test(nobody_is_asked_twice),
      cmocka_unit_test(what_comes_out_otherwise_is_refused),
      cmocka_unit_test(servers_are_told_of),
      cmocka_unit_test(constants_read_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
