/* Messages of a chat under the names that public data sets have for them. */
#include <string.h>
#include "base/chat.h"

const char *const tpo_reasoning_names[TPO_REASONING_NAMES] = {"reasoning_content", "thinking", "reasoning"};

/* Members of a message that bear on what it means or on how it is trained, none of which is read. */
static const char *const meaningful[] = {"tool_calls",
                                         "tool_call_id",
                                         "function_call",
                                         "tools",
                                         "functions",
                                         "audio",
                                         "image",
                                         "images",
                                         "video",
                                         "videos",
                                         "refusal",
                                         "reasoning",
                                         "reasoning_content",
                                         "thinking",
                                         "prefix",
                                         "train_detail"};

bool tpo_json_says_something(const json_t *value)
{
  if (json_is_string(value)) /* lists are written as strings too */
    return json_string_length(value) > 0 && strcmp(json_string_value(value), "[]") != 0;
  if (json_is_array(value)) return json_array_size(value) > 0;
  if (json_is_object(value)) return json_object_size(value) > 0;
  return value && !json_is_null(value) && !json_is_false(value);
}

int tpo_chat_check_row(const json_t *row, const char *const *names, size_t n, const char *place,
                       struct tpo_error *err)
{
  for (size_t i = 0; i < n; i++)
    if (tpo_json_says_something(json_object_get(row, names[i])))
      return tpo_fail(err, TPO_E_UNSUPPORTED,
                      "%s: \"%s\" would change what is asked, and is not read: take it out, or put it into "
                      "the messages",
                      place, names[i]);
  return 0;
}

static int refuse_members(const json_t *message, const char *const *names, size_t n, const char *at,
                          struct tpo_error *err)
{
  for (size_t i = 0; i < n; i++)
    if (tpo_json_says_something(json_object_get(message, names[i])))
      return tpo_fail(err, TPO_E_UNSUPPORTED,
                      "%s: \"%s\" is not supported; messages of text with a role and a content are", at,
                      names[i]);
  return 0;
}

static int check_members(const json_t *message, const char *at, struct tpo_error *err)
{
  if (refuse_members(message, meaningful, sizeof meaningful / sizeof *meaningful, at, err) < 0)
    return TPO_E_UNSUPPORTED;
  const json_t *weight = json_object_get(message, "weight");
  if (weight && !json_is_null(weight) && !(json_is_number(weight) && json_number_value(weight) == 1))
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "%s: \"weight\" is not supported, unless it is 1: every turn counts alike", at);
  return 0;
}

/* Other trainers' marks of the turns that carry loss: where one says what is so anyway, it may stand. */
static int check_training(const json_t *message, const char *role, const char *at, struct tpo_error *err)
{
  static const char *const names[] = {"train", "training", "loss"};
  bool trained = strcmp(role, "assistant") == 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const json_t *value = json_object_get(message, names[i]);
    if (!value || json_is_null(value)) continue;
    if (json_is_boolean(value) && json_is_true(value) == trained) continue;
    if (json_is_integer(value) && json_integer_value(value) == trained) continue;
    return tpo_fail(
        err, TPO_E_UNSUPPORTED,
        "%s: \"%s\" is not supported, unless it is %s: each of the assistant's turns is trained on, "
        "and no other",
        at, names[i], trained ? "true" : "false");
  }
  return 0;
}

static int append_text(struct tpo_buf *out, const json_t *text, const char *at, const char *key,
                       struct tpo_error *err)
{
  if (strlen(json_string_value(text)) != json_string_length(text))
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" holds a NUL character", at, key);
  tpo_buf_puts(out, json_string_value(text));
  return 0;
}

/* content: a string, or a list of parts. */
static int read_content(const json_t *content, const char *at, const char *key, struct tpo_buf *out,
                        struct tpo_error *err)
{
  if (json_is_string(content)) return append_text(out, content, at, key, err);
  if (!json_is_array(content) || json_array_size(content) == 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" must be a string or a list of text parts", at, key);
  int status = 0;
  for (size_t i = 0; i < json_array_size(content) && status == 0; i++) {
    const json_t *part = json_array_get(content, i), *text = json_object_get(part, "text");
    const char *type = json_string_value(json_object_get(part, "type"));
    if (type && strcmp(type, "text") != 0)
      return tpo_fail(err, TPO_E_UNSUPPORTED,
                      "%s: %s[%zu] is of type \"%.40s\"; parts of type \"text\" are supported", at, key, i,
                      type);
    if (!type || !json_is_string(text))
      return tpo_fail(err, TPO_E_INPUT, "%s: %s[%zu] must be {\"type\": \"text\", \"text\": a string}", at,
                      key, i);
    status = append_text(out, text, at, key, err);
  }
  return status;
}

/* ShareGPT's names of the speakers; other roles stand as they are. */
static const char *role_of(const char *name)
{
  if (strcmp(name, "human") == 0) return "user";
  if (strcmp(name, "gpt") == 0 || strcmp(name, "chatgpt") == 0) return "assistant";
  return name;
}

static int append_message(json_t *chat, const char *role, const char *content, const char *at,
                          struct tpo_error *err)
{
  json_t *message = json_object();
  int failed = !message || json_object_set_new(message, "role", json_string(role)) < 0 ||
               json_object_set_new(message, "content", json_string(content)) < 0;
  if (failed) {
    json_decref(message);
    return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", at);
  }
  if (json_array_append_new(chat, message) < 0) return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", at);
  return 0;
}

/* Which of two names a message has for one thing; both are one too many. */
static int pick(const json_t *message, const char *name, const char *other, const char *at, const char **out,
                struct tpo_error *err)
{
  bool has = tpo_json_says_something(json_object_get(message, name));
  bool has_other = tpo_json_says_something(json_object_get(message, other));
  if (has && has_other)
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" and \"%s\" stand beside each other; one is expected", at,
                    name, other);
  *out = has_other || (!json_object_get(message, name) && json_object_get(message, other)) ? other : name;
  const json_t *value = json_object_get(message, *out);
  if (!value || json_is_null(value)) return tpo_fail(err, TPO_E_INPUT, "%s lacks \"%s\"", at, *out);
  return 0;
}

static int read_message(json_t *chat, const json_t *message, const char *at, struct tpo_error *err)
{
  const char *role_key, *content_key;
  if (!json_is_object(message)) return tpo_fail(err, TPO_E_INPUT, "%s is not an object {role, content}", at);
  int status = check_members(message, at, err);
  if (status == 0) status = pick(message, "role", "from", at, &role_key, err);
  if (status == 0) status = pick(message, "content", "value", at, &content_key, err);
  if (status < 0) return status;
  const json_t *role = json_object_get(message, role_key);
  if (!json_is_string(role) || strlen(json_string_value(role)) != json_string_length(role))
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" must be a string", at, role_key);
  status = check_training(message, role_of(json_string_value(role)), at, err);
  if (status < 0) return status;
  struct tpo_buf content = {0};
  status = read_content(json_object_get(message, content_key), at, content_key, &content, err);
  if (status == 0 && content.failed) status = tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", at);
  if (status == 0)
    status =
        append_message(chat, role_of(json_string_value(role)), content.data ? content.data : "", at, err);
  tpo_buf_free(&content);
  return status;
}

/* A copy with role and content under these names, the content as text. */
static int read_whole(json_t *chat, const json_t *message, const char *at, struct tpo_error *err)
{
  static const char *const unseen[] = {"audio", "image", "images", "video", "videos"};
  const char *role_key, *content_key = NULL;
  if (!json_is_object(message)) return tpo_fail(err, TPO_E_INPUT, "%s is not an object {role, content}", at);
  bool calls = tpo_json_says_something(json_object_get(message, "tool_calls"));
  bool silent = calls && !tpo_json_says_something(json_object_get(message, "content"));
  int status = refuse_members(message, unseen, sizeof unseen / sizeof *unseen, at, err);
  if (status == 0) status = pick(message, "role", "from", at, &role_key, err);
  if (status == 0 && !silent) status = pick(message, "content", "value", at, &content_key, err);
  if (status < 0) return status;
  const char *role = json_string_value(json_object_get(message, role_key));
  if (!role) return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" must be a string", at, role_key);
  struct tpo_buf content = {0};
  if (!silent) status = read_content(json_object_get(message, content_key), at, content_key, &content, err);
  json_t *copy = status == 0 ? json_copy((json_t *)message) : NULL;
  bool failed = !copy || content.failed || json_object_set_new(copy, "role", json_string(role_of(role))) < 0;
  failed = failed || (!silent && json_object_set_new(copy, "content",
                                                     json_string(content.data ? content.data : "")) < 0);
  if (copy && strcmp(role_key, "role") != 0) json_object_del(copy, role_key);
  if (copy && content_key && strcmp(content_key, "content") != 0) json_object_del(copy, content_key);
  tpo_buf_free(&content);
  if (status == 0 && (failed || json_array_append(chat, copy) < 0))
    status = tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", at);
  json_decref(copy);
  return status;
}

typedef int (*message_reader)(json_t *chat, const json_t *message, const char *at, struct tpo_error *err);

static json_t *read_chat(message_reader read, const json_t *value, const char *name, const char *place,
                         struct tpo_error *err)
{
  size_t n = json_is_array(value) ? json_array_size(value) : 1;
  json_t *chat = json_array();
  int status = chat ? 0 : tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", place);
  if (status == 0 && !json_is_array(value) && !json_is_object(value))
    status =
        tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" must be an array of messages {role, content}", place, name);
  for (size_t i = 0; i < n && status == 0; i++) {
    char at[640];
    snprintf(at, sizeof at, "%.500s: %.80s[%zu]", place, name, i);
    status = read(chat, json_is_array(value) ? json_array_get(value, i) : value, at, err);
  }
  if (status == 0) return chat;
  json_decref(chat);
  return NULL;
}

json_t *tpo_chat_read(const json_t *value, const char *name, const char *place, struct tpo_error *err)
{
  return read_chat(read_message, value, name, place, err);
}

json_t *tpo_chat_read_whole(const json_t *value, const char *name, const char *place, struct tpo_error *err)
{
  return read_chat(read_whole, value, name, place, err);
}

static const char human[] = "\n\nHuman:", assistant[] = "\n\nAssistant:";

/* Where the next turn begins, or the text ends. */
static const char *next_turn(const char *text)
{
  const char *a = strstr(text, human), *b = strstr(text, assistant);
  if (!a || (b && b < a)) a = b;
  return a ? a : text + strlen(text);
}

static int append_turn(json_t *chat, const char *role, const char *from, const char *to, const char *place,
                       struct tpo_error *err)
{
  static const char space[] = " \t\r\n";
  while (from < to && strchr(space, *from)) from++;
  while (to > from && strchr(space, to[-1])) to--;
  struct tpo_buf content = {0};
  tpo_buf_append(&content, from, (size_t)(to - from));
  int status = content.failed ? tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", place)
                              : append_message(chat, role, content.data ? content.data : "", place, err);
  tpo_buf_free(&content);
  return status;
}

bool tpo_is_dialogue(const char *text)
{
  return strncmp(text, human, strlen(human)) == 0;
}

json_t *tpo_chat_from_dialogue(const char *text, const char *place, struct tpo_error *err)
{
  json_t *chat = json_array();
  int status = chat ? 0 : tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", place);
  while (status == 0 && *text) {
    bool asks = tpo_is_dialogue(text);
    const char *from = text + strlen(asks ? human : assistant), *to = next_turn(from);
    status = append_turn(chat, asks ? "user" : "assistant", from, to, place, err);
    text = to;
  }
  if (status == 0) return chat;
  json_decref(chat);
  return NULL;
}
