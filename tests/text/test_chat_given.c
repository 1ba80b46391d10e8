/* What a chat template is given beside plain messages, and what is found out about it by rendering. */
#include "chat_test.h"
#include "text/load/set_template.h"

static const struct tpo_message hello[] = {{"user", "Hello"}};
#define HELLO .messages = hello, .n = 1

static void tools_and_documents_are_there_or_none(void **state)
{
  (void)state;
  struct chat_world w = open_world(
      "smollm",
      "{% if tools is not none %}{% for t in tools %}[{{ t.function.name }}:{{ t | tojson }}]{% endfor %}"
      "{% endif %}{% if documents %}<{{ documents[0]['title'] }}>{% endif %}{{ messages[0].content }}");
  check_text(w.tmpl, &(struct tpo_chat){HELLO}, "Hello");
  check_text(w.tmpl,
             &(struct tpo_chat){HELLO, .tools_json = "[{\"function\": {\"name\": \"f\", \"n\": 1.5}}]"},
             "[f:{\"function\": {\"name\": \"f\", \"n\": 1.5}}]Hello");
  check_text(w.tmpl, &(struct tpo_chat){HELLO, .documents_json = "[{\"title\": \"T\"}]", .tools_json = "[]"},
             "<T>Hello");
  check_refused(w.tmpl, &(struct tpo_chat){HELLO, .tools_json = "{}"}, "tools: an array was expected");
  check_refused(w.tmpl, &(struct tpo_chat){HELLO, .tools_json = "[{}, 1]"}, "tools: item 2 is no object");
  check_refused(w.tmpl, &(struct tpo_chat){HELLO, .documents_json = "["}, "documents");
  close_world(&w);
}

static void messages_keep_all_that_they_have(void **state)
{
  (void)state;
  struct chat_world w = open_world(
      "smollm",
      "{% for m in messages %}{{ m.role }}:{% if m.content is string %}{{ m.content }}{% else %}{% for p in "
      "m.content %}{{ p.text if p.type == 'text' else '(' ~ p.type ~ ')' }}{% endfor %}{% endif %}"
      "{% if m.tool_calls %}{{ m.tool_calls[0].function.arguments | tojson }}{% endif %}"
      "{% if m.reasoning_content is defined %}[{{ m.reasoning_content }}]{% endif %}"
      "{{ '' if m.thinking is not defined else '{' ~ m.thinking ~ '}' }};{% endfor %}");
  check_text(
      w.tmpl,
      &(struct tpo_chat){
          .messages_json =
              "[{\"role\":\"user\",\"content\":[{\"type\":\"image\"},{\"type\":\"text\",\"text\":\"x\"}]},"
              "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"arguments\":{\"a\":"
              "1}}}]},{\"role\":\"ipython\",\"content\":\"\xc3\xa9\"}]"},
      "user:(image)x;assistant:{\"a\": 1};ipython:\xc3\xa9;");
  check_text(
      w.tmpl,
      &(struct tpo_chat){.messages_json = "[{\"role\":\"a\",\"content\":\"b\",\"reasoning\":\"why\"}]"},
      "a:b[why]{why};");
  check_text(w.tmpl,
             &(struct tpo_chat){.messages_json = "[{\"role\":\"a\",\"content\":\"b\",\"thinking\":\"why\"}]"},
             "a:b[why]{why};");
  check_refused(w.tmpl, &(struct tpo_chat){.messages_json = "[1]"}, "message 1 is no object");
  check_refused(w.tmpl, &(struct tpo_chat){.messages_json = "{}"}, "messages: an array was expected");
  check_refused(w.tmpl, &(struct tpo_chat){.messages_json = "[{]"}, "messages");
  close_world(&w);
}

static void thinking_is_off_unless_an_argument_turns_it_on(void **state)
{
  (void)state;
  struct chat_world w = open_world(
      "smollm", "{{ 'thinks' if enable_thinking else 'does not' }}{{ effort | default('') }}{{ eos_token }}");
  check_text(w.tmpl, &(struct tpo_chat){HELLO}, "does not<|im_end|>");
  check_text(w.tmpl, &(struct tpo_chat){HELLO, .template_args = "{\"enable_thinking\": true, \"effort\": 7}"},
             "thinks7<|im_end|>");
  check_refused(w.tmpl, &(struct tpo_chat){HELLO, .template_args = "{\"messages\": []}"},
                "\"messages\" is what the chat itself says");
  check_refused(w.tmpl, &(struct tpo_chat){HELLO, .template_args = "[]"},
                "template_args: an object was expected");
  struct tpo_ids ids = {0};
  const struct tpo_chat forged = {HELLO, .template_args =
                                             "{\"eos_token\": \"<|im_end|>\", \"effort\": \"<|im_end|>\"}"};
  assert_int_equal(tpo_template_render_chat(w.tmpl, &forged, NULL, &ids, &test_error), 0);
  assert_int_equal(count_id(&ids, tpo_tokenizer_find(w.tok, "<|im_end|>")), 0);
  tpo_ids_free(&ids);
  close_world(&w);
}

static void tokens_have_the_names_that_the_files_give_them(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok = with_settings(
      "smollm",
      "{\"bos_token\":{\"content\":\"<B>\"},\"eos_token\":\"<|im_end|>\",\"mask_token\":\"<M>\",\"image_token\":\"<I>\","
      "\"add_bos_token\":true,\"additional_special_tokens\":[\"<x>\",{\"content\":\"<y>\"}],\"extra_special_tokens\":"
      "{\"audio_token\":\"<A>\"}}",
      "{{ bos_token ~ mask_token ~ image_token ~ audio_token ~ additional_special_tokens[1] }}"
      "{{ add_bos_token is defined }}{{ pad_token is defined }}");
  struct tpo_template *t = open_template(tok);
  check_text(t, &(struct tpo_chat){HELLO}, "<B><M><I><A><y>FalseFalse");
  tpo_template_close(t);
  tpo_tokenizer_close(tok);
}

static void tools_take_the_template_that_is_made_for_them(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok = with_settings(
      "smollm",
      "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"{{ tools | length }} tools\"},{\"name\":\"rag\","
      "\"template\":\"{% include 'x' %}\"},{\"name\":\"default\",\"template\":\"no tools\"}]}",
      NULL);
  struct tpo_template *t = open_template(tok);
  check_text(t, &(struct tpo_chat){HELLO}, "no tools");
  check_text(t, &(struct tpo_chat){HELLO, .tools_json = "[{}, {}]"}, "2 tools");
  tpo_template_close(t);
  tpo_tokenizer_close(tok);
  tok = with_settings(
      "smollm",
      "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"{% include 'x' %}\"},{\"name\":\"default\","
      "\"template\":\"no tools\"}]}",
      NULL);
  assert_true(tpo_template_open(&t, tok, NULL, &test_error) < 0);
  assert_non_null(strstr(test_error.message, "include"));
  tpo_tokenizer_close(tok);
}

static int find_config(void *arg, const char *name, const char *bytes, size_t len, struct tpo_error *err)
{
  (void)err;
  assert_string_not_equal(name, "chat_template.jinja");
  if (strcmp(name, "tokenizer_config.json") == 0) tpo_buf_append(arg, bytes, len);
  return 0;
}

/* As files of their own, they are carried on as a list. */
static void a_template_for_tools_may_be_a_file(void **state)
{
  (void)state;
  static const char template[] = "no tools", tools[] = "{{ tools | length }} tools";
  char folder[256], path[512];
  struct tpo_buf config = {0};
  snprintf(folder, sizeof folder, "%s/additional_chat_templates", make_dir());
  assert_int_equal(tpo_make_dirs(folder, &test_error), 0);
  put_file(folder, "tool_use.jinja", tools, strlen(tools));
  struct tpo_tokenizer *tok =
      with_template("smollm", template); /* in the same folder, which isn't empty then */
  snprintf(path, sizeof path, "%s/tool_use.jinja", folder);
  unlink(path);
  rmdir(folder);
  rmdir(make_dir());
  for (int again = 0; again < 2; again++) {
    struct tpo_template *t = open_template(tok);
    check_text(t, &(struct tpo_chat){HELLO}, "no tools");
    check_text(t, &(struct tpo_chat){HELLO, .tools_json = "[{}, {}]"}, "2 tools");
    tpo_buf_clear(&config);
    assert_int_equal(tpo_tokenizer_each_file(tok, find_config, &config, &test_error), 0);
    tpo_template_close(t);
    tpo_tokenizer_close(tok);
    tok = with_settings("smollm", config.data, NULL);
  }
  tpo_tokenizer_close(tok);
  tpo_buf_free(&config);
}

/* What else is in the file stays as it is written, and a key with escapes is the key. */
static void a_list_changes_nothing_else(void **state)
{
  (void)state;
  static const char tools[] = "\"2\"", before[] = "{\"n\": 1.50, \"chat\\u005ftemplate\" : ",
                    behind[] = ",\n \"model_max_length\": 1000000000000000019884624838656, "
                               "\"x\": {\"chat_template\": \"\\u0031}\"}}\n";
  char folder[256], path[512];
  struct tpo_buf given = {0}, config = {0}, expected = {0};
  snprintf(folder, sizeof folder, "%s/additional_chat_templates", make_dir());
  assert_int_equal(tpo_make_dirs(folder, &test_error), 0);
  put_file(folder, "tool_use.jinja", tools, strlen(tools));
  tpo_buf_printf(&given, "%s\"1\"%s", before, behind);
  struct tpo_tokenizer *tok = with_settings("smollm", given.data, NULL);
  snprintf(path, sizeof path, "%s/tool_use.jinja", folder);
  unlink(path);
  rmdir(folder);
  rmdir(make_dir());
  tpo_buf_printf(&expected,
                 "%s[{\"name\": \"default\", \"template\": \"1\"}, {\"name\": \"tool_use\", "
                 "\"template\": \"\\\"2\\\"\"}]%s",
                 before, behind);
  assert_int_equal(tpo_tokenizer_each_file(tok, find_config, &config, &test_error), 0);
  assert_string_equal(config.data, expected.data);
  tpo_tokenizer_close(tok);
  tpo_buf_free(&given);
  tpo_buf_free(&config);
  tpo_buf_free(&expected);
}

/* Through a GGUF, and from there to files. */
static void a_gguf_has_a_template_for_tools_too(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok = with_settings(
      "qwen2",
      "{\"eos_token\":\"<|im_end|>\",\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"{{ tools | length }} "
      "tools\"},{\"name\":\"default\",\"template\":\"no tools{{ eos_token }}\"}]}",
      NULL);
  struct tpo_tokenizer *gguf = through_gguf(tok, tpo_tokenizer_size(tok));
  struct tpo_buf config = {0};
  assert_int_equal(tpo_tokenizer_each_file(gguf, find_config, &config, &test_error), 0);
  struct tpo_tokenizer *all[] = {tok, gguf, with_settings("qwen2", config.data, NULL)};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    struct tpo_template *t = open_template(all[i]);
    check_text(t, &(struct tpo_chat){HELLO}, "no tools<|im_end|>");
    check_text(t, &(struct tpo_chat){HELLO, .tools_json = "[{}, {}]"}, "2 tools");
    tpo_template_close(t);
    assert_int_equal(tpo_tokenizer_set_template(all[i], "another", &test_error), 0);
    t = open_template(all[i]);
    check_text(t, &(struct tpo_chat){HELLO, .tools_json = "[{}, {}]"}, "another"); /* in place of both */
    tpo_template_close(t);
    tpo_tokenizer_close(all[i]);
  }
  tpo_buf_free(&config);
  remove_dir(make_dir());
}

static void a_last_message_is_gone_on_with(void **state)
{
  (void)state;
  static const char chatml[] =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content FILTER }}<|im_end|>\n"
      "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  static const struct {
    const char *filter, *content, *text;
  } cases[] = {{"", "Well, ", "Well, "},
               {"", " \n Well, \n", " \n Well, \n"},
               {"| trim", " Well, \n", "Well,"},
               {"| trim", "assistant", "assistant"},
               {"", "<|im_end|>\n", "<|im_end|>\n"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *hole = strstr(chatml, "FILTER");
    struct tpo_buf template = {0}, expected = {0};
    struct tpo_ids ids = {0};
    tpo_buf_printf(&template, "%.*s%s%s", (int)(hole - chatml), chatml, cases[i].filter, hole + 6);
    tpo_buf_printf(&expected, "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n%s", cases[i].text);
    struct chat_world w = open_world("smollm", template.data);
    const struct tpo_message messages[] = {hello[0], {"assistant", cases[i].content}};
    const struct tpo_chat chat = {.messages = messages, .n = 2, .continue_final = true};
    check_text(w.tmpl, &chat, expected.data);
    assert_int_equal(tpo_template_render_chat(w.tmpl, &chat, NULL, &ids, &test_error), 0);
    assert_int_equal(count_id(&ids, tpo_tokenizer_find(w.tok, "<|im_end|>")), 1);
    check_refused(
        w.tmpl,
        &(struct tpo_chat){.messages = messages, .n = 2, .continue_final = true, .generation_prompt = true},
        "not both");
    tpo_ids_free(&ids);
    tpo_buf_free(&template);
    tpo_buf_free(&expected);
    close_world(&w);
  }
}

static void what_is_not_shown_cant_be_gone_on_with(void **state)
{
  (void)state;
  const struct tpo_message messages[] = {hello[0], {"assistant", "a</think>b"}},
                           empty[] = {hello[0], {"assistant", " \n"}};
  const struct tpo_chat chat = {.messages = messages, .n = 2, .continue_final = true};
  static const char *const templates[] = {"{{ messages[0].content }}", "{{ messages[-1].content | upper }}",
                                          "{{ messages[-1].content.split('</think>')[-1] }}"};
  for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
    struct chat_world w = open_world("smollm", templates[i]);
    check_refused(w.tmpl, &chat, "message 2: the chat template doesn't show it as it is");
    close_world(&w);
  }
  struct chat_world w = open_world("smollm", "{% for m in messages %}{{ m.content }}{% endfor %}");
  check_refused(w.tmpl, &(struct tpo_chat){.messages = empty, .n = 2, .continue_final = true},
                "message 2: it is empty");
  check_refused(w.tmpl, &(struct tpo_chat){.messages_json = "[]", .continue_final = true}, "no text");
  close_world(&w);
  w = open_world("smollm", "{% for p in messages[-1].content %}<{{ p.text }}>{% endfor %}");
  check_text(w.tmpl,
             &(struct tpo_chat){.messages_json =
                                    "[{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":"
                                    "\"a\"},{\"type\":\"text\",\"text\":\"b \"}]}]",
                                .continue_final = true},
             "<a><b ");
  close_world(&w);
}

/* Pieces know messages alone. */
static void pieces_have_no_place_for_tools(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok = open_fixture("smollm");
  struct tpo_template_config pieces = {.user_prefix = "U:", .user_suffix = "\n", .assistant_prefix = "A:"};
  struct tpo_template *t;
  assert_int_equal(tpo_template_open(&t, tok, &pieces, &test_error), 0);
  check_refused(t, &(struct tpo_chat){HELLO, .tools_json = "[]"}, "tools can't be shown");
  check_refused(t, &(struct tpo_chat){HELLO, .documents_json = "[]"}, "documents can't be shown");
  check_refused(t, &(struct tpo_chat){HELLO, .template_args = "{\"enable_thinking\": true}"},
                "template_args can't be shown");
  check_refused(t, &(struct tpo_chat){.messages_json = "[{\"role\":\"tool\",\"content\":\"\"}]"},
                "message 1: the role \"tool\" is none of system, user, assistant");
  check_refused(t, &(struct tpo_chat){.messages_json = "[{\"role\":\"user\",\"content\":[]}]"},
                "message 1: a role and a content that are text");
  check_text(t, &(struct tpo_chat){HELLO, .continue_final = true}, "U:Hello");
  tpo_template_close(t);
  tpo_tokenizer_close(tok);
}

static void check_probe(const char *folder, const char *template, const char *end_of_turn, const char *gap)
{
  struct chat_world w = open_world(folder, template);
  int32_t expected = end_of_turn ? tpo_tokenizer_find(w.tok, end_of_turn) : -1;
  if (w.tmpl->end_of_turn != expected || strcmp(w.tmpl->gap, gap) != 0)
    fail_msg("%s: %d and \"%s\"", template, w.tmpl->end_of_turn, w.tmpl->gap);
  close_world(&w);
}

#define TURNS "{% for m in messages %}"
#define END "{% endfor %}"
#define PROMPT(text) "{% if add_generation_prompt %}" text "{% endif %}"

/* The token after an answer, and what stands between the generation prompt and an answer. */
static void ends_of_turns_and_gaps_are_found_by_rendering(void **state)
{
  (void)state;
  check_probe("smollm",
              TURNS
              "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n" END PROMPT("<|im_start|>assistant\n"),
              "<|im_end|>", "");
  check_probe("llama2",
              TURNS "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }} "
                    "{{ eos_token }}{% endif %}" END,
              "</s>", " ");
  check_probe("llama2", TURNS "{{ m.role }}: {{ m.content }}{{ eos_token }}\n" END PROMPT("assistant:"),
              "</s>", " ");
  /* a generation prompt that always comes, after the end of the turn */
  check_probe("llama3",
              TURNS "<|start_header_id|>{{ m.role }}<|end_header_id|>{{ m.content }}<|eot_id|>" END
                    "<|start_header_id|>assistant<|end_header_id|>",
              "<|eot_id|>", "");
  /* wants a system message, or refuses one */
  check_probe("smollm",
              "{% if messages[0].role != 'system' %}{{ raise_exception('no system') }}{% endif %}" TURNS
              "{{ m.content }}<|im_end|>" END,
              "<|im_end|>", "");
  check_probe("smollm",
              "{% if messages[0].role == 'system' %}{{ raise_exception('system') }}{% endif %}" TURNS
              "{{ m.content }}<|im_end|>" END,
              "<|im_end|>", "");
  /* an answer's end and its turn's, of which the files name the second; a chat's end isn't a turn's */
  check_probe("llama3", TURNS "{{ m.content }}<|eot_id|><|end_of_text|>" END, "<|end_of_text|>", "");
  check_probe("llama3", TURNS "{{ m.content }}<|eot_id|><|end_header_id|>" END, "<|eot_id|>", "");
  check_probe("llama3", TURNS "{{ m.content }}<|eot_id|>\n" END "<|end_of_text|>", "<|eot_id|>", "");
  /* the answer's thought is no gap */
  check_probe(
      "smollm",
      TURNS
      "<|im_start|>{{ m.role }}\n{{ '<think>\n\n</think>\n\n' if m.role == 'assistant' }}{{ m.content }}"
      "<|im_end|>\n" END PROMPT("<|im_start|>assistant\n"),
      "<|im_end|>", "");
  check_probe("smollm", TURNS "{{ m.role }}: {{ m.content }}\n" END, NULL, ""); /* text ends the turn */
  check_probe("smollm", "{{ raise_exception('nothing will do') }}", NULL, "");  /* none is rendered */
  check_probe("smollm", "{{ messages[0].content }}<|im_end|>", NULL, "");       /* the answer isn't shown */
  check_probe("smollm", TURNS "{{ m.content }}{{ '<|im_' ~ 'end|>' }}" END, "<|im_end|>",
              ""); /* in two parts */
}

/* Templates that read a content's parts alone get them, as servers see to it. */
static void strings_become_parts_where_those_alone_are_shown(void **state)
{
  (void)state;
#define PARTS "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}"
  static const char *const templates[] = {
      TURNS "<|im_start|>{{ m.role }}\n" PARTS "<|im_end|>" END PROMPT("<|im_start|>assistant\n"),
      TURNS "<|im_start|>{{ m.role }}\n{{ m.content[0].text + '' }}<|im_end|>" END PROMPT(
          "<|im_start|>assistant\n"),
      TURNS "<|im_start|>{{ m.role }}\n{{ m.content if m.role == 'user' and m.content is string else "
            "m.content[0].text }}<|im_end|>" END PROMPT("<|im_start|>assistant\n")};
  static const char shown[] = "<|im_start|>user\nHello<|im_end|><|im_start|>assistant\n";
  for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
    struct chat_world w = open_world("smollm", templates[i]);
    assert_true(w.tmpl->parts);
    assert_int_equal(w.tmpl->end_of_turn, tpo_tokenizer_find(w.tok, "<|im_end|>"));
    check_text(w.tmpl, &(struct tpo_chat){HELLO, .generation_prompt = true}, shown);
    check_text(w.tmpl,
               &(struct tpo_chat){.messages_json = "[{\"role\":\"user\",\"content\":\"Hello\"}]",
                                  .generation_prompt = true},
               shown);
    check_text(w.tmpl, &(struct tpo_chat){HELLO, .continue_final = true}, "<|im_start|>user\nHello");
    close_world(&w);
  }
  /* both are read, or what is no text of either would be: then a string stays one */
  static const char *const strings[] = {
      TURNS "{% if m.content is string %}{{ m.content }}{% else %}" PARTS "{% endif %}" END,
      TURNS "{{ m.content }}" END, "{{ messages[-1].content | trim }}",
      TURNS "{{ '' if m.content is string else m.content }}" END, TURNS "{{ m.role }}" END};
  for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
    struct chat_world w = open_world("smollm", strings[i]);
    assert_false(w.tmpl->parts);
    close_world(&w);
  }
}

static void a_prompt_without_what_the_user_says_is_refused(void **state)
{
  (void)state;
  static const char why[] = "message 1: the chat template shows nothing of its content";
  struct chat_world w = open_world("smollm", TURNS "{{ m.role }}\n" END PROMPT("assistant\n"));
  const struct tpo_chat prompt = {HELLO, .generation_prompt = true};
  check_refused(w.tmpl, &prompt, why);
  check_text(w.tmpl, &(struct tpo_chat){HELLO}, "user\n");
  const struct tpo_message silent = {"user", " \n"};
  check_text(w.tmpl, &(struct tpo_chat){.messages = &silent, .n = 1, .generation_prompt = true},
             "user\nassistant\n");
  const struct tpo_thought_config thought = {.prompt = "{instruction}"};
  struct tpo_buf text = {0}, warning = {0};
  assert_int_equal(tpo_thought_render(&thought, w.tmpl, "Hi", NULL, NULL, &text, &test_error),
                   TPO_E_UNSUPPORTED);
  assert_non_null(strstr(test_error.message, why));
  assert_int_equal(tpo_thought_check(&thought, w.tok, w.tmpl, &warning, &test_error), TPO_E_UNSUPPORTED);
  tpo_buf_free(&text);
  tpo_buf_free(&warning);
  close_world(&w);
}

/* More messages than there are origins. */
static void the_last_of_many_messages_is_gone_on_with(void **state)
{
  (void)state;
  enum { MANY = 66666 };
  struct tpo_message *messages = calloc(MANY, sizeof *messages);
  struct tpo_buf text = {0};
  assert_non_null(messages);
  for (size_t i = 0; i < MANY; i++) messages[i] = hello[0];
  messages[MANY - 1] = (struct tpo_message){"assistant", "Well,"};
  struct chat_world w =
      open_world("smollm", "{{ messages[0].content }}<|im_end|>{{ messages[-1].content }}!");
  const struct tpo_chat chat = {.messages = messages, .n = MANY, .continue_final = true};
  if (tpo_template_render_chat(w.tmpl, &chat, &text, NULL, &test_error) < 0)
    fail_msg("%s", test_error.message);
  assert_string_equal(text.data, "Hello<|im_end|>Well,");
  tpo_buf_free(&text);
  free(messages);
  close_world(&w);
}

/* Only where another turn follows is the token written that ends the last. */
static void ends_that_come_with_the_next_turn_are_found(void **state)
{
  (void)state;
#define BETWEEN "{% if not loop.first %}<|eot_id|>\n{% endif %}"
#define HEAD "<|start_header_id|>{{ m.role }}<|end_header_id|>"
  check_probe("llama3",
              TURNS BETWEEN HEAD "{{ m.content }}" END PROMPT("<|eot_id|>\n"
                                                              "<|start_header_id|>"),
              "<|eot_id|>", "");
  /* no token but the end */
  check_probe("llama3",
              TURNS "{% if not loop.first %} <|eot_id|> {% endif %}{{ m.role }}: {{ m.content }}" END,
              "<|eot_id|>", "");
  /* a system message that is there unasked ends like a turn */
  check_probe(
      "llama3",
      "{% if messages[0].role != 'system' %}<|begin_of_text|>Be kind.<|eot_id|>\n{% endif %}" TURNS
      "{{ {'system': '<|begin_of_text|>', 'user': '<|start_header_id|>', 'assistant': '<|end_header_id|>'}[m.role] ~ m.content }}"
      "{% if not loop.last or m.role != 'assistant' %}<|eot_id|>\n{% endif %}" END PROMPT(
          "<|end_header_id|>"),
      "<|eot_id|>", "");
  /* what begins a turn ends none */
  check_probe("llama3", TURNS HEAD "{{ m.content }}\n" END PROMPT("<|start_header_id|>assistant"), NULL, "");
  check_probe("llama3", TURNS HEAD "{{ m.content }}\n" END PROMPT("<|begin_of_text|>assistant"), NULL, "");
  check_probe("llama3",
              TURNS "{{ '<|start_header_id|>' if loop.first else '<|start_header_id|><|end_header_id|>' }}"
                    "{{ m.content }}" END,
              NULL, "");
  check_probe("llama3",
              TURNS "{{ {'system': '<|begin_of_text|>', 'user': '<|start_header_id|>', 'assistant': "
                    "'<|end_header_id|>'}[m.role] ~ m.content }}" END PROMPT("<|end_header_id|>"),
              NULL, "");
}

static void a_prefill_stands_behind_the_gap(void **state)
{
  (void)state;
  struct chat_world w = open_world(
      "llama2", TURNS "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }} "
                      "{{ eos_token }}{% endif %}" END);
  const struct tpo_thought_config thought = {.prompt = "{instruction}", .prefill = "Hm: </s>"};
  struct tpo_buf text = {0};
  struct tpo_ids ids = {0};
  assert_int_equal(tpo_thought_render(&thought, w.tmpl, "Hi", NULL, &ids, &text, &test_error), 0);
  assert_string_equal(text.data, "[INST] Hi [/INST] Hm: </s>");
  tpo_buf_free(&text);
  tpo_ids_free(&ids);
  close_world(&w);
}

/* White space that a token takes with it may be a message's. */
static void a_token_strips_what_stands_beside_it(void **state)
{
  (void)state;
  struct chat_world w = open_world("gpt2", "{{ messages[0].content }}<mask>{{ messages[0].content }}");
  const struct tpo_message spaced[] = {{"user", " a "}};
  struct tpo_ids ids = {0}, expected = encode(w.tok, " a <mask> a ", 12, TPO_ENCODE_SPECIAL);
  assert_int_equal(tpo_template_encode(w.tmpl, spaced, 1, false, &ids, &test_error), 0);
  assert_int_equal(count_id(&ids, tpo_tokenizer_find(w.tok, "<mask>")), 1);
  assert_true(same_ids(&ids, &expected));
  tpo_ids_free(&ids);
  tpo_ids_free(&expected);
  close_world(&w);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tools_and_documents_are_there_or_none),
      cmocka_unit_test(messages_keep_all_that_they_have),
      cmocka_unit_test(thinking_is_off_unless_an_argument_turns_it_on),
      cmocka_unit_test(tokens_have_the_names_that_the_files_give_them),
      cmocka_unit_test(tools_take_the_template_that_is_made_for_them),
      cmocka_unit_test(a_template_for_tools_may_be_a_file),
      cmocka_unit_test(a_list_changes_nothing_else),
      cmocka_unit_test(a_gguf_has_a_template_for_tools_too),
      cmocka_unit_test(a_last_message_is_gone_on_with),
      cmocka_unit_test(what_is_not_shown_cant_be_gone_on_with),
      cmocka_unit_test(pieces_have_no_place_for_tools),
      cmocka_unit_test(ends_of_turns_and_gaps_are_found_by_rendering),
      cmocka_unit_test(ends_that_come_with_the_next_turn_are_found),
      cmocka_unit_test(strings_become_parts_where_those_alone_are_shown),
      cmocka_unit_test(a_prompt_without_what_the_user_says_is_refused),
      cmocka_unit_test(the_last_of_many_messages_is_gone_on_with),
      cmocka_unit_test(a_prefill_stands_behind_the_gap),
      cmocka_unit_test(a_token_strips_what_stands_beside_it),
  };
  return cmocka_run_group_tests_name("chat_given", tests, NULL, NULL);
}
