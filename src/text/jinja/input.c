/* JSON as a template's values, with origins. */
#include "text/jinja/input.h"

#include <stdio.h>
#include <string.h>

static int convert(struct jinja_run *run, const json_t *json, tpo_origin origin, struct jinja_value *out);

static int convert_array(struct jinja_run *run, const json_t *json, tpo_origin origin,
                         struct jinja_value *out)
{
  size_t n = json_array_size(json);
  struct jinja_value list, item;
  if (jinja_list_new(run, JINJA_LIST, n, &list) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < n; i++)
    if (convert(run, json_array_get(json, i), origin, &item) < 0 || jinja_list_push(run, list.list, item) < 0)
      return TPO_E_INPUT;
  *out = list;
  return 0;
}

static int put(struct jinja_run *run, struct jinja_value dict, const char *name, const json_t *json,
               tpo_origin origin, tpo_origin value_origin)
{
  struct jinja_value key, value;
  if (jinja_string_new(run, name, strlen(name), origin, &key) < 0 ||
      convert(run, json, value_origin, &value) < 0)
    return TPO_E_INPUT;
  return jinja_dict_put(run, dict.dict, key, value);
}

static int convert_object(struct jinja_run *run, const json_t *json, tpo_origin origin,
                          struct jinja_value *out)
{
  const char *name;
  json_t *item;
  struct jinja_value dict;
  if (jinja_dict_new(run, &dict) < 0) return TPO_E_INPUT;
  json_object_foreach((json_t *)json, name,
                      item) if (put(run, dict, name, item, origin, origin) < 0) return TPO_E_INPUT;
  *out = dict;
  return 0;
}

static int convert(struct jinja_run *run, const json_t *json, tpo_origin origin, struct jinja_value *out)
{
  switch (json_typeof(json)) {
  case JSON_OBJECT: return convert_object(run, json, origin, out);
  case JSON_ARRAY: return convert_array(run, json, origin, out);
  case JSON_STRING:
    return jinja_string_new(run, json_string_value(json), json_string_length(json), origin, out);
  case JSON_INTEGER: *out = jinja_int(json_integer_value(json)); return 0;
  case JSON_REAL: *out = (struct jinja_value){.type = JINJA_FLOAT, .real = json_real_value(json)}; return 0;
  case JSON_NULL: *out = jinja_none(); return 0;
  default: *out = jinja_bool(json_is_true(json)); return 0;
  }
}

/* Whether a message's member is one of the words that templates put into their control tokens. Which of
 * these it is, is all that a message can choose. */
static bool is_usual_role(const char *name, const json_t *value)
{
  static const char *const roles[] = {
      "system",         "developer",   "user",        "assistant",   "model",          "tool",
      "function",       "ipython",     "environment", "observation", "tool_call",      "tool_response",
      "tool_responses", "tool_result", "documents",   "document",    "context",        "thinking",
      "critic",         "human",       "bot",         "chatbot",     "available_tools"};
  const char *text = json_string_value(value);
  if (!text || strcmp(name, "role") != 0) return false;
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
    if (strcmp(text, roles[i]) == 0) return true;
  return false;
}

static int convert_message(struct jinja_run *run, const json_t *json, size_t i, tpo_origin origin,
                           struct jinja_value *out)
{
  const char *name;
  json_t *member;
  struct jinja_value dict;
  if (!json_is_object(json)) return convert(run, json, origin, out);
  if (jinja_dict_new(run, &dict) < 0) return TPO_E_INPUT;
  json_object_foreach((json_t *)json, name, member)
  {
    char place[120];
    tpo_origin of;
    snprintf(place, sizeof place, "messages[%zu].%.60s", i, name);
    if (tpo_origins_add(run->origins, place, is_usual_role(name, member), &of, run->err) < 0 ||
        put(run, dict, name, member, origin, of) < 0)
      return TPO_E_INPUT;
  }
  *out = dict;
  return 0;
}

/* A chat of more messages than there are origins must still have one for the content that it ends with. */
static int name_last_content(struct jinja_run *run, size_t n)
{
  char place[120];
  tpo_origin ignored;
  if (n == 0) return 0;
  snprintf(place, sizeof place, "messages[%zu].content", n - 1);
  return tpo_origins_add(run->origins, place, false, &ignored, run->err);
}

static int convert_messages(struct jinja_run *run, const json_t *json, tpo_origin origin,
                            struct jinja_value *out)
{
  size_t n = json_array_size(json);
  struct jinja_value list, item;
  if (jinja_list_new(run, JINJA_LIST, n, &list) < 0 || name_last_content(run, n) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < n; i++)
    if (convert_message(run, json_array_get(json, i), i, origin, &item) < 0 ||
        jinja_list_push(run, list.list, item) < 0)
      return TPO_E_INPUT;
  *out = list;
  return 0;
}

int jinja_input(struct jinja_run *run, const struct tpo_jinja_input *input, struct jinja_value *out)
{
  tpo_origin origin;
  bool messages = !input->own && json_is_array(input->value) && strcmp(input->name, "messages") == 0;
  if (tpo_origins_add(run->origins, input->name, input->own, &origin, run->err) < 0) return TPO_E_INPUT;
  return messages ? convert_messages(run, input->value, origin, out)
                  : convert(run, input->value, origin, out);
}
