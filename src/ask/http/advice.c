/* What to do about a request that a server refuses. */
#include <stdio.h>
#include <string.h>
#include "ask/http/protocol.h"

/* Whether the text names the field. A name that could be any word must be in quotes, or begin the text. */
static bool names(const char *text, const char *field)
{
  static const char of_names[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
  size_t len = strlen(field);
  for (const char *at = text; (at = strstr(at, field)); at += len) {
    char before = at > text ? at[-1] : ' ', after = at[len] ? at[len] : ' ';
    bool is_word = !strchr(of_names, before) && !strchr(of_names, after);
    bool is_quoted = strchr("'\"`", before) && (before == after || after == '.'),
         is_first = at == text && len > 2;
    if (is_word && (strchr(field, '_') || is_quoted || is_first)) return true;
  }
  return false;
}

/* Whether it is the field, or lies within it: "reasoning.effort", "stop[0]". */
static bool is_within(const char *place, const char *field)
{
  size_t len = strlen(field);
  return strncmp(place, field, len) == 0 && strchr(".[", place[len]); /* or its end */
}

static bool is_refused(const struct http_told *told, const char *field)
{
  return *told->field ? is_within(told->field, field) : names(told->text, field);
}

bool http_advise(const struct http_settings *settings, const struct http_told *told, char out[HTTP_ADVICE])
{
  const char *name;
  json_t *value;
  *out = '\0';
  /* A question that is too long for the model is no matter of fields. */
  if (strstr(told->text, "context length")) return false;
  for (int i = 0; i < HTTP_N_OWN; i++) {
    const char *field = http_own_fields[i];
    char instead[64] = "";
    if (settings->replaced[i] || !is_refused(told, field)) continue;
    if (i == HTTP_MAX_TOKENS)
      snprintf(instead, sizeof instead, ", max_completion_tokens: %d", settings->max_tokens);
    snprintf(out, HTTP_ADVICE, "the server refuses %s; leave it out with judge.request: {%s: null%s}", field,
             field, instead);
    return true;
  }
  json_object_foreach(settings->request, name, value)
  {
    if (json_is_null(value) || !is_refused(told, name)) continue;
    bool deeper = *told->field && strcmp(told->field, name) != 0;
    snprintf(out, HTTP_ADVICE, "the server refuses %s%.100s%s", deeper ? "what judge.request gives in " : "",
             name, deeper ? "" : ", which judge.request gives");
    return true;
  }
  return false;
}
