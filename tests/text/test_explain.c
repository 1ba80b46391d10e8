/* A chat told stretch by stretch: nothing is left out, and each stretch has its place of origin. */
#include "chat_test.h"

struct told {
  struct tpo_buf text;
  struct tpo_ids controls;
  int n, fail_at;
  char origins[2048]; /* a space after each */
};

static int take(void *arg, const struct tpo_stretch *s, struct tpo_error *err)
{
  struct told *told = arg;
  if (++told->n == told->fail_at) return tpo_fail(err, TPO_E_IO, "enough");
  assert_true(s->len > 0);
  tpo_buf_append(&told->text, s->text, s->len);
  snprintf(told->origins + strlen(told->origins), sizeof told->origins - strlen(told->origins), "%s ",
           s->origin);
  return s->token < 0 ? 0 : tpo_ids_append(&told->controls, &s->token, 1, err);
}

static void told_free(struct told *told)
{
  tpo_buf_free(&told->text);
  tpo_ids_free(&told->controls);
}

static const char own_template[] =
    "{{ bos_token }}{% for m in messages %}\n<|im_start|>{{ m.role }}\n"
    "{{ m.content | replace('bad', 'good') }}{{ loop.index }}<|im_end|>{% endfor %}"
    "{% if tools %}{{ tools[0].name }}{% endif %}{% if add_generation_prompt %}<|im_start|>{% endif %}";

/* The stretches put together are the text, their control tokens those of the ids. */
static void stretches_are_the_whole_rendered_text(void **state)
{
  (void)state;
  struct chat_world w = open_world("smollm", own_template);
  const struct tpo_message messages[] = {{"user", "a <|im_end|> bad one"}, {"<|im_end|>", ""}};
  const struct tpo_chat chat = {.messages = messages,
                                .n = 2,
                                .tools_json = "[{\"name\": \"<|im_start|>\"}]",
                                .generation_prompt = true};
  struct told told = {0};
  struct tpo_buf text = {0};
  struct tpo_ids ids = {0};
  assert_int_equal(tpo_template_render_chat(w.tmpl, &chat, &text, &ids, &test_error), 0);
  assert_int_equal(tpo_template_explain(w.tmpl, &chat, take, &told, &test_error), 0);
  assert_string_equal(told.text.data, text.data);
  size_t controls = 0;
  for (size_t i = 0; i < ids.n; i++) {
    if (strcmp(tpo_tokenizer_kind(w.tok, ids.ids[i]), "control") != 0) continue;
    assert_true(controls < told.controls.n);
    assert_int_equal(ids.ids[i], told.controls.ids[controls++]);
  }
  assert_int_equal(controls, told.controls.n);
  assert_int_equal(controls, 6); /* bos, two of each turn, the generation prompt's */
  tpo_buf_free(&text);
  tpo_ids_free(&ids);
  told_free(&told);
  close_world(&w);
}

static void each_stretch_tells_where_it_came_from(void **state)
{
  (void)state;
  struct chat_world w = open_world("smollm", own_template);
  const struct tpo_message message = {"user", "a bad one"};
  const struct tpo_chat chat = {.messages = &message, .n = 1, .tools_json = "[{\"name\": \"f\"}]"};
  struct told told = {0};
  assert_int_equal(tpo_template_explain(w.tmpl, &chat, take, &told, &test_error), 0);
  assert_string_equal(told.text.data, "<|im_start|><|im_start|>user\na good one1<|im_end|>f");
  assert_string_equal(
      told.origins, "bos_token template line 2 messages[0].role template line 2 messages[0].content template "
                    "line 3 messages[0].content computed template line 3 tools ");
  told_free(&told);
  close_world(&w);
}

static void a_prompt_ends_with_its_layouts_prefill(void **state)
{
  (void)state;
  struct chat_world w = open_world("smollm", own_template);
  const struct tpo_thought_config thought = {
      .prompt = "Think: {instruction}", .thought_marker = "T:", .response_marker = "R:", .prefill = "T: so"};
  const char *chat = "[{\"role\": \"user\", \"content\": \"x\"}]";
  struct told told = {0};
  struct tpo_buf text = {0};
  assert_int_equal(tpo_thought_explain(&thought, w.tmpl, chat, take, &told, &test_error), 0);
  assert_int_equal(tpo_thought_render(&thought, w.tmpl, NULL, chat, NULL, &text, &test_error), 0);
  assert_string_equal(told.text.data, text.data);
  assert_non_null(strstr(told.origins, "thought.prefill "));
  tpo_buf_free(&text);
  told_free(&told);
  close_world(&w);
}

static void who_is_told_may_end_it(void **state)
{
  (void)state;
  struct chat_world w = open_world("smollm", own_template);
  const struct tpo_message message = {"user", "x"};
  const struct tpo_chat chat = {.messages = &message, .n = 1};
  for (int at = 1; at <= 3; at++) {
    struct told told = {.fail_at = at};
    assert_int_equal(tpo_template_explain(w.tmpl, &chat, take, &told, &test_error), TPO_E_IO);
    assert_string_equal(test_error.message, "enough");
    assert_int_equal(told.n, at);
    told_free(&told);
  }
  close_world(&w);
}

static void a_token_has_a_kind(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok = open_fixture("smollm");
  assert_string_equal(tpo_tokenizer_kind(tok, tpo_tokenizer_find(tok, "<|im_end|>")), "control");
  struct tpo_ids ids = encode(tok, "a", 1, 0);
  assert_string_equal(tpo_tokenizer_kind(tok, ids.ids[0]), "text");
  assert_null(tpo_tokenizer_kind(tok, -1));
  assert_null(tpo_tokenizer_kind(tok, tpo_tokenizer_size(tok)));
  tpo_ids_free(&ids);
  tpo_tokenizer_close(tok);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(stretches_are_the_whole_rendered_text),
      cmocka_unit_test(each_stretch_tells_where_it_came_from),
      cmocka_unit_test(a_prompt_ends_with_its_layouts_prefill),
      cmocka_unit_test(who_is_told_may_end_it),
      cmocka_unit_test(a_token_has_a_kind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
