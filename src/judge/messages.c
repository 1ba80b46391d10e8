/* Reads an item's chat from its meta. */
#include "judge/messages.h"

#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/memory.h"
#include "judge/judge.h"

/* The string under a message's name; NULL when it is none, or holds a NUL, at which it would be cut off. */
static const char *text_of(const json_t *message, const char *name)
{
  const json_t *value = json_object_get(message, name);
  const char *text = json_string_value(value);
  return text && strlen(text) == json_string_length(value) ? text : NULL;
}

int judge_messages_read(struct judge_messages *messages, const json_t *array, struct tpo_error *err)
{
  *messages = (struct judge_messages){.n = json_array_size(array)};
  if (messages->n == 0)
    return tpo_fail(err, TPO_E_INPUT, "messages: expected an array of {\"role\", \"content\"}");
  messages->list = tpo_calloc(messages->n + 1, sizeof *messages->list, err);
  if (!messages->list) return TPO_E_MEMORY;
  for (size_t i = 0; i < messages->n; i++) {
    const json_t *message = json_array_get(array, i);
    struct tpo_message *to = &messages->list[i];
    *to = (struct tpo_message){text_of(message, "role"), text_of(message, "content")};
    if (!to->role || !to->content)
      return tpo_fail(err, TPO_E_INPUT,
                      "messages: message %zu lacks a role or a content that is a string without NUL", i + 1);
  }
  return 0;
}

int judge_messages_of_item(struct judge_messages *messages, const struct tpo_judge_item *item,
                           struct tpo_error *err)
{
  *messages = (struct judge_messages){0};
  json_t *meta = NULL;
  if (judge_given(item->meta) && !(meta = tpo_json_parse(item->meta, strlen(item->meta), "meta", err)))
    return TPO_E_INPUT;
  const json_t *array = json_object_get(meta, "messages");
  int status = 0;
  if (array && !json_is_null(array) && !(json_is_array(array) && json_array_size(array) == 0))
    status = judge_messages_read(messages, array, err);
  else if ((messages->list = tpo_calloc(2, sizeof *messages->list, err)))
    messages->list[messages->n++] = (struct tpo_message){"user", item->instruction};
  else
    status = TPO_E_MEMORY;
  messages->owner = meta;
  return status;
}

void judge_messages_free(struct judge_messages *messages)
{
  free(messages->list);
  json_decref(messages->owner);
  *messages = (struct judge_messages){0};
}
