/* What a judge's server sends, and where it is (parts: body, Retry-After's value, address, key). Whatever the
 * server sends back, a key is not shown. */
#include <ctype.h>
#include <math.h>
#include "base/json.h"
#include "fuzz/fuzz.h"
#include "ask/http/protocol.h"

/* Letters and digits only: a key like "]a[key]b" would be made by its own replacement, "[key]". */
static bool is_secret(const char *key)
{
  size_t len = strlen(key);
  for (size_t i = 0; i < len; i++)
    if (!isalnum((unsigned char)key[i])) return false;
  return len >= HTTP_SHORT_KEY;
}

static void shown_well(const char *text, const char *key)
{
  CLAIM(strlen(text) < HTTP_TEXT, "%zu bytes", strlen(text));
  CLAIM(tpo_utf8_valid(text, strlen(text), NULL), "%s", text);
  for (const char *c = text; *c; c++) CLAIM((unsigned char)*c >= 0x20 && *c != 0x7f, "%s", text);
  CLAIM(!is_secret(key) || !strstr(text, key), "the key %s is in: %s", key, text);
}

static void read_body(struct part body, const char *key)
{
  char why[HTTP_TEXT] = "";
  struct http_told told;
  struct http_reply reply;
  const char *bytes = (const char *)body.data;
  http_read_error(bytes, body.len, key, &told);
  shown_well(told.text, key);
  CLAIM(told.status == 0 || (told.status >= 400 && told.status < 600), "%d", told.status);
  const struct http_expected expected = {key, "judge.max_tokens", 5};
  enum http_reading reading = http_read_reply(bytes, body.len, &expected, &reply, why);
  CLAIM((reading == HTTP_READ) == (reply.text != NULL), "%d", (int)reading);
  shown_well(why, key);
  CLAIM(reading == HTTP_READ || why[0], "no reason");
  if (reading == HTTP_READ) {
    CLAIM(tpo_utf8_valid(reply.text, strlen(reply.text), NULL), "%s", reply.text);
    CLAIM(!is_secret(key) || !strstr(reply.text, key), "%s", reply.text);
    CLAIM(reply.prompt_tokens >= 0 && reply.completion_tokens >= 0);
    CLAIM(reply.top.n_top <= 5, "%d", reply.top.n_top);
    for (int i = 0; i < reply.top.n_top; i++)
      CLAIM(reply.top.top[i].logprob <= 0, "%g", reply.top.top[i].logprob);
  }
  free(reply.text);
  ask_answer_clear(&reply.top);
}

/* Any text can be asked: the body is JSON. */
static void ask(const char *text)
{
  struct tpo_buf out = {0};
  struct tpo_error err = {0};
  char *model = strdup(text);
  const struct http_settings settings = {.model = model, .temperature = 0.7, .max_tokens = 5, .seed = 1};
  http_write_body(&out, &settings,
                  &(struct ask_question){
                      .system = text, .user = text, .answered = text, .follow_up = text, .top_tokens = 5});
  json_t *body = tpo_json_parse(out.data, out.len, "body", &err);
  CLAIM(body, "%s: %s", err.message, out.data);
  CLAIM(json_array_size(json_object_get(body, "messages")) == 4, "%s", out.data);
  json_decref(body);
  free(model);
  tpo_buf_free(&out);
}

/* USER:PASSWORD of an address, as written before its '@', is in no message. */
static void parse_address(const char *address)
{
  struct http_url url;
  struct tpo_error err = {0};
  if (fuzz_refused(http_url_parse(&url, address, &err), &err)) {
    const char *user = strstr(address, "://"), *end = user ? strpbrk(user + 3, "@/?#") : NULL;
    char *secret = end && *end == '@' ? strndup(user + 3, (size_t)(end - user - 3)) : NULL;
    CLAIM(!secret || !strchr(secret, ':') || strlen(secret) < 8 || !strstr(err.message, secret), "%s",
          err.message);
    free(secret);
  } else {
    bool whole = strncasecmp(url.address, url.encrypted ? "https://" : "http://", url.encrypted ? 8 : 7) == 0;
    CLAIM(whole && !strchr(url.shown, '?'), "%s, shown as %s", url.address, url.shown);
  }
  http_url_free(&url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct part parts[4];
  struct tpo_error err = {0};
  double seconds = -1;
  fuzz_parts(data, size, parts, 4);
  char *retry = fuzz_string(parts[1]), *address = fuzz_string(parts[2]), *key = fuzz_string(parts[3]);
  read_body(parts[0], key);
  ask(address);
  if (http_retry_after(retry, 1700000000, &seconds)) CLAIM(seconds >= 0 && isfinite(seconds), "%g", seconds);
  parse_address(address);
  fuzz_refused(http_check_key("KEY", key, &err), &err);
  fuzz_refused(http_check_key_name(key, &err), &err);
  free(retry);
  free(address);
  free(key);
  return 0;
}
