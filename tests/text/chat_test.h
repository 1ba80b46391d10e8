/* Shared by the tests of chat templates. */
#ifndef TPO_TESTS_CHAT_TEST_H
#define TPO_TESTS_CHAT_TEST_H

#include "text_test.h"
#include "text/chat/template.h"
#include "text/tokenizer.h"

/* The tokenizer of a fixture with other settings and a chat template of its own; NULL: as they are, none. */
__attribute__((unused)) static struct tpo_tokenizer *with_settings(const char *folder, const char *config,
                                                                   const char *template)
{
  static const char *const names[] = {"tokenizer.json", "tokenizer_config.json"};
  const char *dir = make_dir();
  for (int i = 0; i < 2; i++) {
    char path[512];
    struct tpo_buf bytes = {0};
    snprintf(path, sizeof path, FIXTURES "/%s/%s", folder, names[i]);
    assert_int_equal(tpo_read_file(path, 1 << 20, &bytes, &test_error), 0);
    put_file(dir, names[i], bytes.data, bytes.len);
    tpo_buf_free(&bytes);
  }
  if (config) put_file(dir, "tokenizer_config.json", config, strlen(config));
  if (template) put_file(dir, "chat_template.jinja", template, strlen(template));
  struct tpo_tokenizer *tok = open_tokenizer(dir);
  remove_dir(dir);
  return tok;
}

__attribute__((unused)) static struct tpo_tokenizer *with_template(const char *folder, const char *template)
{
  return with_settings(folder, NULL, template);
}

__attribute__((unused)) static struct tpo_template *open_template(const struct tpo_tokenizer *tok)
{
  struct tpo_template *t;
  if (tpo_template_open(&t, tok, NULL, &test_error) < 0) fail_msg("%s", test_error.message);
  return t;
}

/* A template with its tokenizer. */
struct chat_world {
  struct tpo_tokenizer *tok;
  struct tpo_template *tmpl;
};

__attribute__((unused)) static struct chat_world open_world(const char *folder, const char *template)
{
  struct tpo_tokenizer *tok = with_template(folder, template);
  return (struct chat_world){tok, open_template(tok)};
}

__attribute__((unused)) static void close_world(struct chat_world *w)
{
  tpo_template_close(w->tmpl);
  tpo_tokenizer_close(w->tok);
}

__attribute__((unused)) static void check_text(const struct tpo_template *t, const struct tpo_chat *chat,
                                               const char *expected)
{
  struct tpo_buf text = {0};
  if (tpo_template_render_chat(t, chat, &text, NULL, &test_error) < 0) fail_msg("%s", test_error.message);
  assert_string_equal(text.data ? text.data : "", expected);
  tpo_buf_free(&text);
}

/* The chat is refused with a message that holds `part`, and nothing is written. */
__attribute__((unused)) static void check_refused(const struct tpo_template *t, const struct tpo_chat *chat,
                                                  const char *part)
{
  struct tpo_buf text = {0};
  struct tpo_ids ids = {0};
  struct tpo_error err = {0};
  assert_true(tpo_template_render_chat(t, chat, &text, &ids, &err) < 0);
  if (!strstr(err.message, part)) fail_msg("\"%s\" isn't in \"%s\"", part, err.message);
  assert_int_equal(text.len, 0);
  assert_int_equal(ids.n, 0);
  tpo_buf_free(&text);
  tpo_ids_free(&ids);
}

__attribute__((unused)) static size_t count_id(const struct tpo_ids *ids, int32_t id)
{
  size_t n = 0;
  for (size_t i = 0; i < ids->n; i++) n += ids->ids[i] == id;
  return n;
}

#endif
