/* The variables of a chat template: messages, tools, documents, names of tokens and whatever else is given, in the
 * shape in which transformers' apply_chat_template hands them over. */
#include <stdlib.h>
#include <string.h>
#include "base/chat.h"
#include "base/json.h"
#include "config/layouts.h"
#include "text/chat/template.h"
#include "text/tokenizer.h"

static int no_memory(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "no memory for a chat");
}

/* Bytes that are not UTF-8 stay as they are: they are some model's output. */
static json_t *message_of(const struct tpo_message *m)
{
  json_t *message = json_object();
  if (json_object_set_new(message, "role", json_string_nocheck(m->role)) < 0 ||
      json_object_set_new(message, "content", json_string_nocheck(m->content)) < 0) {
    json_decref(message);
    return NULL;
  }
  return message;
}

static int messages_of_list(const struct tpo_chat *chat, json_t *messages, struct tpo_error *err)
{
  for (size_t i = 0; i < chat->n; i++) {
    const struct tpo_message *m = &chat->messages[i];
    if (!m->role || !m->content)
      return tpo_fail(err, TPO_E_INPUT, "message %zu: a role and a content were expected", i + 1);
    if (json_array_append_new(messages, message_of(m)) < 0) return no_memory(err);
  }
  return TPO_OK;
}

/* A model's reasoning has had several names: a template finds it under those that templates read. */
static int name_reasoning(json_t *message, struct tpo_error *err)
{
  json_t *reasoning = NULL;
  for (int i = 0; i < TPO_REASONING_NAMES && !reasoning; i++)
    reasoning = json_object_get(message, tpo_reasoning_names[i]);
  if (!reasoning) return TPO_OK;
  json_incref(reasoning);
  int status = json_object_set(message, "reasoning_content", reasoning);
  if (status == 0 && !json_object_get(message, "thinking"))
    status = json_object_set(message, "thinking", reasoning);
  json_decref(reasoning);
  return status < 0 ? no_memory(err) : TPO_OK;
}

/* A copy without members that are null, which would be printed as "None". */
static int add_message(json_t *messages, json_t *message, size_t i, struct tpo_error *err)
{
  const char *key;
  json_t *value, *copy;
  if (!json_is_object(message))
    return tpo_fail(err, TPO_E_INPUT, "messages: message %zu is no object {\"role\", \"content\"}", i + 1);
  copy = json_object();
  if (json_array_append_new(messages, copy) < 0) return no_memory(err);
  json_object_foreach(message, key, value)
  {
    if (!json_is_null(value) && json_object_set(copy, key, value) < 0) return no_memory(err);
  }
  return name_reasoning(copy, err);
}

/* Parses JSON text that a chat brings; NULL on error. */
static json_t *parse(const char *text, const char *name, bool object, struct tpo_error *err)
{
  json_t *value = tpo_json_parse(text, strlen(text), name, err);
  if (value && !(object ? json_is_object(value) : json_is_array(value))) {
    tpo_fail(err, TPO_E_INPUT, "%s: %s was expected", name, object ? "an object" : "an array");
    json_decref(value);
    return NULL;
  }
  return value;
}

static int messages_of_json(const char *text, json_t *messages, struct tpo_error *err)
{
  size_t i;
  json_t *message;
  int status = TPO_OK;
  json_t *list = parse(text, "messages", false, err);
  if (!list) return err ? err->code : TPO_E_INPUT;
  json_array_foreach(list, i, message)
  {
    status = add_message(messages, message, i, err);
    if (status < 0) break;
  }
  json_decref(list);
  return status;
}

/* Sets a variable to an array of objects, or to null, which is how transformers tells that there are none. */
static int set_list(json_t *root, const char *name, const char *text, struct tpo_error *err)
{
  size_t i;
  json_t *item, *list = text ? parse(text, name, false, err) : json_null();
  if (!list) return err ? err->code : TPO_E_INPUT;
  json_array_foreach(list, i, item)
  {
    if (json_is_object(item)) continue;
    json_decref(list);
    return tpo_fail(err, TPO_E_INPUT, "%s: item %zu is no object", name, i + 1);
  }
  return json_object_set_new(root, name, list) < 0 ? no_memory(err) : TPO_OK;
}

static int set_arguments(json_t *root, const char *text, struct tpo_error *err)
{
  if (!text) return TPO_OK;
  json_t *arguments = parse(text, "template_args", true, err);
  if (!arguments) return err ? err->code : TPO_E_INPUT;
  const char *taken = layout_args_taken(arguments);
  int status = TPO_OK;
  if (taken) status = tpo_fail(err, TPO_E_USAGE, "template_args: \"%s\" is what the chat itself says", taken);
  if (status == TPO_OK && json_object_update(root, arguments) < 0) status = no_memory(err);
  json_decref(arguments);
  return status;
}

/* Contents that are strings become lists of one part. */
static int part_contents(json_t *messages, struct tpo_error *err)
{
  size_t i;
  json_t *message;
  json_array_foreach(messages, i, message)
  {
    json_t *content = json_object_get(message, "content");
    if (!json_is_string(content)) continue;
    json_t *list = json_pack("[{s:s, s:O}]", "type", "text", "text", content);
    if (!list || json_object_set_new(message, "content", list) < 0) return no_memory(err);
  }
  return TPO_OK;
}

static int set_messages(json_t *messages, const struct tpo_chat *chat, bool parts, struct tpo_error *err)
{
  int status = chat->messages_json ? messages_of_json(chat->messages_json, messages, err)
                                   : messages_of_list(chat, messages, err);
  return status == TPO_OK && parts ? part_contents(messages, err) : status;
}

static int set_all(struct tpo_chat_inputs *in, const struct tpo_tokenizer *tok, const struct tpo_chat *chat,
                   bool parts, struct tpo_error *err)
{
  if (json_object_update(in->root, tok->names) < 0) return no_memory(err);
  /* an exported model's template knows what the switches were in training */
  if (!tpo_template_asks_for_thought(tok->chat_template) &&
      json_object_set_new(in->root, "enable_thinking", json_false()) < 0)
    return no_memory(err);
  int status = set_arguments(in->root, chat->template_args, err);
  if (status == TPO_OK) status = set_list(in->root, "tools", chat->tools_json, err);
  if (status == TPO_OK) status = set_list(in->root, "documents", chat->documents_json, err);
  if (status < 0) return status;
  in->messages = json_array();
  if (json_object_set_new(in->root, "messages", in->messages) < 0 ||
      json_object_set_new(in->root, "add_generation_prompt", json_boolean(chat->generation_prompt)) < 0)
    return no_memory(err);
  return set_messages(in->messages, chat, parts, err);
}

int tpo_chat_inputs_make(struct tpo_chat_inputs *out, const struct tpo_tokenizer *tok,
                         const struct tpo_chat *chat, bool parts, struct tpo_error *err)
{
  const char *name;
  json_t *value;
  *out = (struct tpo_chat_inputs){.root = json_object()};
  int status = out->root ? set_all(out, tok, chat, parts, err) : no_memory(err);
  if (status < 0) return status;
  out->items = tpo_calloc(json_object_size(out->root), sizeof *out->items, err);
  if (!out->items) return TPO_E_MEMORY;
  json_object_foreach(out->root, name, value)
  {
    /* a name that an argument has replaced is no longer the tokenizer's */
    bool own = json_object_get(tok->names, name) == value;
    out->items[out->n++] = (struct tpo_jinja_input){.name = name, .value = value, .own = own};
  }
  return TPO_OK;
}

void tpo_chat_inputs_free(struct tpo_chat_inputs *inputs)
{
  json_decref(inputs->root);
  free(inputs->items);
  *inputs = (struct tpo_chat_inputs){0};
}
