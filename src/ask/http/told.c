/* What a server tells of an error. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/utf8.h"
#include "base/visible.h"
#include "ask/http/protocol.h"

const char *http_find_message(const json_t *body)
{
  static const char *const names[] = {"message", "detail", "error_description"};
  const json_t *error = json_object_get(body, "error");
  const json_t *first = json_array_get(json_object_get(body, "detail"), 0);
  if (json_is_string(error)) return json_string_value(error);
  if (json_is_string(json_object_get(first, "msg"))) return json_string_value(json_object_get(first, "msg"));
  const json_t *of = json_is_object(error) ? error : body;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (json_is_string(json_object_get(of, names[i])))
      return json_string_value(json_object_get(of, names[i]));
  return NULL;
}

/* Redacted first and shortened then, so that no piece of a key is left at the end. */
void http_show(const char *text, size_t len, const char *key, char out[HTTP_TEXT])
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

/* Whether JSON text has at most so many values: in memory each takes some 80 bytes, whatever it is in the text. */
static bool has_at_most(const char *text, size_t len, size_t most)
{
  bool in_string = false;
  size_t n = 1;
  for (size_t i = 0; i < len && n <= most; i++) {
    if (in_string && text[i] == '\\')
      i++;
    else if (text[i] == '"')
      in_string = !in_string;
    else if (!in_string)
      n += text[i] == ',' || text[i] == '[' || text[i] == '{';
  }
  return n <= most;
}

json_t *http_parse(const char *body, size_t len, size_t most, struct tpo_error *err)
{
  if (has_at_most(body, len, most)) return tpo_json_parse(body, len, "the reply", err);
  tpo_fail(err, TPO_E_UNSUPPORTED, "the reply has more than %zu values, which no answer needs", most);
  return NULL;
}

/* The status of HTTP that an error's name stands for; 0: not one that is known. */
static int status_named(const char *name)
{
  static const struct {
    const char *name;
    int status;
  } known[] = {
      {"invalid_request_error", 400},
      {"invalid_request", 400},
      {"BadRequestError", 400},
      {"context_length_exceeded", 400},
      {"unsupported_parameter", 400},
      {"unsupported_value", 400},
      {"content_policy_violation", 400},
      {"authentication_error", 401},
      {"invalid_api_key", 401},
      {"billing_error", 402},
      {"insufficient_quota", 402},
      {"permission_error", 403},
      {"not_found_error", 404},
      {"model_not_found", 404},
      {"NotFoundError", 404},
      {"rate_limit_error", 429},
      {"rate_limit_exceeded", 429},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(name, known[i].name) == 0) return known[i].status;
  return 0;
}

static int status_of(const json_t *code)
{
  long long number = json_integer_value(code);
  const char *text = json_string_value(code);
  if (text && *text && strspn(text, "0123456789") == strlen(text)) number = strtoll(text, NULL, 10);
  if (number >= 400 && number < 600) return (int)number;
  return text ? status_named(text) : 0;
}

static int status_told(const json_t *error)
{
  static const char *const names[] = {"code", "status", "type"}; /* the most exact first */
  int status = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names && status == 0; i++)
    status = status_of(json_object_get(error, names[i]));
  return status;
}

/* What an error is about: `param`. */
static void take_field(const json_t *name, struct http_told *told)
{
  const char *text = json_string_value(name);
  if (text && strlen(text) < sizeof told->field) tpo_visible_copy(told->field, sizeof told->field, text);
}

/* Where the first of the details was found, as FastAPI tells it: ["body", "seed"], ["body", "seed", "int"] of a
 * field that may be of several types, ["body", "reasoning", "effort"] of one within another. */
static void take_place(const json_t *place, struct http_told *told)
{
  struct tpo_buf field = {0};
  size_t i;
  const json_t *part;
  json_array_foreach(place, i, part)
  {
    const char *name = json_string_value(part);
    if (!name || (i == 0 && strcmp(name, "body") == 0 && json_array_size(place) > 1)) continue;
    if (field.len + strlen(name) + 2 > sizeof told->field) break;
    tpo_buf_printf(&field, "%s%s", field.len > 0 ? "." : "", name);
  }
  if (field.len > 0 && !field.failed) tpo_visible_copy(told->field, sizeof told->field, field.data);
  tpo_buf_free(&field);
}

void http_take_error(const json_t *error, const char *key, struct http_told *told)
{
  const char *message = json_is_string(error) ? json_string_value(error) : http_find_message(error);
  char *whole = message ? NULL : tpo_json_dump(error);
  const char *text = message ? message : whole ? whole : "";
  *told = (struct http_told){.status = status_told(error)};
  take_field(json_object_get(error, "param"), told);
  http_show(text, strlen(text), key, told->text);
  free(whole);
}

void http_read_error(const char *body, size_t len, const char *key, struct http_told *told)
{
  json_t *json = http_parse(body, len, HTTP_MOST_VALUES, NULL);
  const char *message = json ? http_find_message(json) : NULL;
  const json_t *error = json_object_get(json, "error");
  const json_t *where = json_object_get(json_array_get(json_object_get(json, "detail"), 0), "loc");
  *told = (struct http_told){.status = status_told(error)};
  take_field(json_object_get(json_is_object(error) ? error : json, "param"), told);
  take_place(where, told);
  http_show(message ? message : body, message ? strlen(message) : len, key, told->text);
  json_decref(json);
}
