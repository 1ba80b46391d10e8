/* Requests and replies of the chat completions protocol. */
#include "ask/http/protocol.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/utf8.h"
#include "base/visible.h"

static void put_message(struct tpo_buf *out, const char *role, const char *content)
{
  tpo_buf_printf(out, "{\"role\":\"%s\",\"content\":", role);
  tpo_json_append_string(out, content, strlen(content));
  tpo_buf_putc(out, '}');
}

void http_write_body(struct tpo_buf *out, const struct http_settings *settings,
                     const struct ask_question *question)
{
  tpo_buf_puts(out, "{\"model\":");
  tpo_json_append_string(out, settings->model, strlen(settings->model));
  tpo_buf_puts(out, ",\"messages\":[");
  if (question->system) {
    put_message(out, "system", question->system);
    tpo_buf_putc(out, ',');
  }
  put_message(out, "user", question->user);
  tpo_buf_puts(out, "],\"temperature\":");
  tpo_json_append_double(out, settings->temperature);
  tpo_buf_printf(out, ",\"max_tokens\":%d,\"n\":1,\"seed\":%lld}", settings->max_tokens,
                 (long long)(settings->seed & 0x7fffffff));
}

size_t http_longest_body(int max_tokens)
{
  const size_t around = 64 << 10, each = 64, most = 16 << 20;
  size_t bytes = around + each * (size_t)max_tokens;
  return bytes < most ? bytes : most;
}

/* The message of an error's JSON in the forms that servers give it; NULL when there is none. */
static const char *find_message(const json_t *body)
{
  static const char *const names[] = {"message", "detail", "error_description"};
  const json_t *error = json_object_get(body, "error");
  if (json_is_string(error)) return json_string_value(error);
  const json_t *of = json_is_object(error) ? error : body;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (json_is_string(json_object_get(of, names[i])))
      return json_string_value(json_object_get(of, names[i]));
  return NULL;
}

/* Redacted first and shortened then, so that no piece of a key is left at the end. */
static void show(const char *text, size_t len, const char *key, char out[HTTP_TEXT])
{
  struct tpo_buf copy = {0};
  char raw[HTTP_TEXT];
  size_t n = 0;
  bool blank = true;
  tpo_buf_append(&copy, text, len);
  http_redact(&copy, key);
  for (size_t i = 0; !copy.failed && i < copy.len && n < HTTP_TEXT - 4; i++) {
    bool space = isspace((unsigned char)copy.data[i]) || copy.data[i] == '\0';
    if (!space || !blank) raw[n++] = space ? ' ' : copy.data[i];
    blank = space;
    if (n == HTTP_TEXT - 4) {
      n -= tpo_utf8_incomplete_tail(raw, n);
      memcpy(raw + n, "...", 3);
      n += 3;
      break;
    }
  }
  while (n > 0 && raw[n - 1] == ' ') n--;
  raw[n] = '\0';
  tpo_visible_copy(out, HTTP_TEXT, raw);
  tpo_buf_free(&copy);
}

void http_error_text(const char *body, size_t len, const char *key, char out[HTTP_TEXT])
{
  json_t *json = tpo_json_parse(body, len, "", NULL);
  const char *message = json ? find_message(json) : NULL;
  show(message ? message : body, message ? strlen(message) : len, key, out);
  json_decref(json);
}

static int64_t count_of(const json_t *usage, const char *name)
{
  json_int_t n = json_integer_value(json_object_get(usage, name));
  return n > 0 && n < INT32_MAX ? n : 0;
}

/* The answer's text; a NUL, which JSON allows and C does not, becomes U+FFFD. */
static char *take_text(const json_t *content, const char *key)
{
  struct tpo_buf text = {0};
  const char *bytes = json_string_value(content);
  size_t len = json_string_length(content);
  for (size_t at = 0; at < len;) {
    size_t n = strnlen(bytes + at, len - at);
    tpo_buf_append(&text, bytes + at, n);
    at += n;
    if (at < len) tpo_buf_puts(&text, "\xEF\xBF\xBD"), at++;
  }
  if (key && strlen(key) >= HTTP_SHORT_KEY) http_redact(&text, key);
  return tpo_buf_take(&text);
}

static bool is_blank(const json_t *text)
{
  const char *at = json_string_value(text);
  return !at || at[strspn(at, " \t\r\n")] == '\0';
}

/* Where servers put what a model thought, and how many tokens it was. */
static bool has_reasoning(const json_t *message, const json_t *usage)
{
  const json_t *details = json_object_get(usage, "completion_tokens_details");
  return !is_blank(json_object_get(message, "reasoning")) ||
         !is_blank(json_object_get(message, "reasoning_content")) ||
         json_array_size(json_object_get(message, "reasoning_details")) > 0 ||
         count_of(details, "reasoning_tokens") > 0;
}

/* As vLLM, llama.cpp and most others say it, and two that don't. */
static bool is_cut_off(const char *finish)
{
  return finish && (strcmp(finish, "length") == 0 || strcmp(finish, "max_tokens") == 0 ||
                    strcmp(finish, "model_length") == 0);
}

/* Why there is no answer in the reply. */
static void tell_no_text(const json_t *reply, const char *finish, bool spent, struct tpo_buf *out)
{
  const char *message = find_message(reply);
  tpo_buf_puts(out, "the reply has no text at choices[0].message.content");
  if (finish) tpo_buf_printf(out, " (finish_reason %s)", finish);
  if (spent)
    tpo_buf_puts(out, is_cut_off(finish)
                          ? ": judge.max_tokens was used up, by reasoning, before there was an answer"
                          : ": there is reasoning and no answer; judge.max_tokens may be too few");
  if (message) tpo_buf_printf(out, ": %s", message);
}

enum http_reading http_read_reply(const char *body, size_t len, const char *key, struct http_reply *reply,
                                  char why[HTTP_TEXT])
{
  struct tpo_error problem = {0};
  *reply = (struct http_reply){0};
  json_t *json = tpo_json_parse(body, len, "the reply", &problem);
  if (!json) {
    show(problem.message, strlen(problem.message), key, why);
    return HTTP_MALFORMED;
  }
  const json_t *choice = json_array_get(json_object_get(json, "choices"), 0);
  const json_t *message = json_object_get(choice, "message"), *content = json_object_get(message, "content");
  const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
  const json_t *usage = json_object_get(json, "usage");
  enum http_reading reading = HTTP_READ;
  bool spent = is_blank(content) && (has_reasoning(message, usage) || is_cut_off(finish));
  if (json_is_string(content) && !spent) {
    reply->text = take_text(content, key);
    reply->truncated = is_cut_off(finish);
    reply->prompt_tokens = count_of(usage, "prompt_tokens");
    reply->completion_tokens = count_of(usage, "completion_tokens");
    if (!reply->text) reading = HTTP_READ_NO_MEMORY;
  } else {
    struct tpo_buf text = {0};
    tell_no_text(json, finish, spent, &text);
    show(text.data ? text.data : "", text.len, key, why);
    tpo_buf_free(&text);
    reading = HTTP_NO_TEXT;
  }
  json_decref(json);
  return reading;
}

int http_check_key_name(const char *name, struct tpo_error *err)
{
  size_t len = name ? strlen(name) : 0;
  bool sane = len > 0 && len <= 128 && !isdigit((unsigned char)*name);
  for (size_t i = 0; i < len && sane; i++) sane = isalnum((unsigned char)name[i]) || name[i] == '_';
  /* The name is not shown: who puts the key itself here must not find it in a log. */
  return sane ? 0
              : tpo_fail(err, TPO_E_USAGE,
                         "judge.key_env: expected the name of an environment variable (letters, "
                         "digits and underscores), not the key itself");
}

int http_check_key(const char *name, const char *key, struct tpo_error *err)
{
  for (; *key; key++)
    if (*key <= ' ' || *key > '~')
      return tpo_fail(err, TPO_E_USAGE,
                      "the environment variable %s (judge.key_env) has a blank, "
                      "a line break or another character in it that no key has",
                      name);
  return 0;
}
