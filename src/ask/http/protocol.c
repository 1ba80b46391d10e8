/* Requests and replies of the chat completions protocol. */
#include "ask/http/protocol.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/utf8.h"
#include "base/visible.h"

size_t http_longest_body(int max_tokens, int top_tokens)
{
  const size_t around = 64 << 10, told = top_tokens > 0 ? (size_t)top_tokens + 1 : 0;
  const size_t each = 64 + 256 * told, most = ((size_t)4 << 20) * (told > 0 ? told : 1);
  size_t bytes = around + each * (size_t)max_tokens;
  return bytes < most ? bytes : most;
}

static int64_t count_of(const json_t *usage, const char *name)
{
  json_int_t n = json_integer_value(json_object_get(usage, name));
  return n > 0 && n < INT32_MAX ? n : 0;
}

char *http_take_text(const json_t *content, const char *key)
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

/* The error that a reply holds in the place of an answer, or beside one that it broke off; NULL: there is none. */
static const json_t *error_in(const json_t *reply, const json_t *choice)
{
  const json_t *of_choice = json_object_get(choice, "error"), *error = json_object_get(reply, "error");
  const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
  bool has_text = json_is_string(json_object_get(json_object_get(choice, "message"), "content"));
  if (has_text && !(finish && strcmp(finish, "error") == 0)) return NULL;
  if (json_is_object(of_choice)) return of_choice;
  return json_is_object(error) || json_is_string(error) ? error : NULL;
}

/* why: what goes with a failure. */
static void tell_error(const json_t *error, const char *key, struct http_told *told, char why[HTTP_TEXT])
{
  http_take_error(error, key, told);
  snprintf(why, HTTP_TEXT, "an error in place of an answer: %.*s", HTTP_TEXT - 40, told->text);
  snprintf(told->text, HTTP_TEXT, "%s", why);
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

/* How the tokens were spent without an answer. */
static void tell_spent(enum http_finish finish, bool reasoned, const char *limit, struct tpo_buf *out)
{
  if (finish == HTTP_FINISH_LIMIT)
    tpo_buf_printf(out, ": %s was used up%s before there was an answer", limit,
                   reasoned ? ", by reasoning," : "");
  else if (reasoned)
    tpo_buf_printf(out, ": there is reasoning and no answer; %s may be too few", limit);
}

/* Why there is no answer in the reply. */
static void tell_no_text(const json_t *reply, const char *reason, bool reasoned, const char *limit,
                         struct tpo_buf *out)
{
  const char *message = http_find_message(reply);
  enum http_finish finish = http_finish_of(reason);
  tpo_buf_puts(out, "the reply has no text at choices[0].message.content");
  if (reason) tpo_buf_printf(out, " (finish_reason %s)", reason);
  if (finish == HTTP_FINISH_FILTER)
    tpo_buf_puts(out, ": the server's filter, or the model, refused to answer");
  else
    tell_spent(finish, reasoned, limit, out);
  if (message) tpo_buf_printf(out, ": %s", message);
}

/* Why the text that is there is no whole answer. */
static void tell_broken_off(const char *reason, struct tpo_buf *out)
{
  if (http_finish_of(reason) == HTTP_FINISH_FILTER)
    tpo_buf_printf(out, "the answer was broken off by the server's filter (finish_reason %s)", reason);
  else
    tpo_buf_printf(out, "the answer ended with finish_reason %s, which no whole answer has: expected stop",
                   reason);
}

/* The answer and what belongs to it. */
static bool take_answer(const json_t *choice, const json_t *usage, const struct http_expected *expected,
                        struct http_reply *reply)
{
  const json_t *content = json_object_get(json_object_get(choice, "message"), "content");
  reply->text = http_take_text(content, expected->key);
  reply->prompt_tokens = count_of(usage, "prompt_tokens");
  reply->completion_tokens = count_of(usage, "completion_tokens");
  return reply->text && http_read_top(choice, expected->key, expected->top_tokens, &reply->top, NULL) == 0;
}

enum http_reading http_read_reply(const char *body, size_t len, const struct http_expected *expected,
                                  struct http_reply *reply, char why[HTTP_TEXT])
{
  struct tpo_error problem = {0};
  const char *key = expected->key, *limit = expected->limit;
  *reply = (struct http_reply){0};
  json_t *json = http_parse(body, len, HTTP_MOST_VALUES * (size_t)(1 + expected->top_tokens), &problem);
  if (!json) {
    http_show(problem.message, strlen(problem.message), key, why);
    return problem.code == TPO_E_UNSUPPORTED ? HTTP_NO_TEXT : HTTP_MALFORMED;
  }
  const json_t *choice = json_array_get(json_object_get(json, "choices"), 0);
  const json_t *message = json_object_get(choice, "message"), *content = json_object_get(message, "content");
  const char *reason = json_string_value(json_object_get(choice, "finish_reason"));
  const json_t *usage = json_object_get(json, "usage");
  const json_t *error = error_in(json, choice);
  enum http_finish finish = http_finish_of(reason);
  enum http_reading reading = HTTP_READ;
  bool reasoned = has_reasoning(message, usage), ended = finish <= HTTP_FINISH_LIMIT;
  bool spent = is_blank(content) && (reasoned || finish != HTTP_FINISH_WHOLE);
  if (error) {
    tell_error(error, key, &reply->error, why);
    reading = HTTP_ERROR;
  } else if (json_is_string(content) && !spent && ended) {
    reply->truncated = finish == HTTP_FINISH_LIMIT;
    if (!take_answer(choice, usage, expected, reply)) reading = HTTP_READ_NO_MEMORY;
  } else {
    struct tpo_buf text = {0};
    if (json_is_string(content) && !spent)
      tell_broken_off(reason, &text);
    else
      tell_no_text(json, reason, reasoned, limit, &text);
    http_show(text.data ? text.data : "", text.len, key, why);
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
