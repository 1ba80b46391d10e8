/* Chats among pairs of text: which messages are the prompt, and which the answers to it. */
#include <stdlib.h>
#include <string.h>
#include "base/chat.h"
#include "base/memory.h"
#include "train/pairs_lines.h"

static void chat_free(struct tpo_pair_chat *chat)
{
  json_decref(chat->form);
  free(chat->messages);
}

/* A string is the content of one message, or a dialogue with its speakers' names. */
static json_t *chat_of_text(const struct tpo_pair_reader *reader, const json_t *value, const char *key,
                            const char *role, struct tpo_error *err)
{
  const char *text = json_string_value(value);
  if (strlen(text) != json_string_length(value)) {
    tpo_fail(err, TPO_E_INPUT, "%s: %s holds a NUL character", reader->place, key);
    return NULL;
  }
  if (tpo_is_dialogue(text)) return tpo_chat_from_dialogue(text, reader->place, err);
  json_t *form = json_pack("[{s:s, s:s}]", "role", role, "content", text);
  if (!form) tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", reader->place);
  return form;
}

static int read_chat(const struct tpo_pair_reader *reader, const json_t *value, const char *key,
                     const char *role, struct tpo_pair_chat *chat, struct tpo_error *err)
{
  if (!json_is_string(value) && !json_is_array(value) && !json_is_object(value))
    return tpo_fail(err, TPO_E_INPUT, "%s: %s: a string or an array of messages is expected", reader->place,
                    key);
  chat->form = json_is_string(value) ? chat_of_text(reader, value, key, role, err)
                                     : tpo_chat_read(value, key, reader->place, err);
  if (!chat->form) return err->code;
  chat->n = json_array_size(chat->form);
  chat->messages = tpo_calloc(chat->n ? chat->n : 1, sizeof *chat->messages, err);
  if (!chat->messages) return TPO_E_MEMORY;
  for (size_t i = 0; i < chat->n; i++) {
    const json_t *message = json_array_get(chat->form, i);
    chat->messages[i] =
        (struct tpo_message){.role = json_string_value(json_object_get(message, "role")),
                             .content = json_string_value(json_object_get(message, "content"))};
  }
  return 0;
}

/* How many messages both begin with. */
static size_t shared(const struct tpo_pair_chat *a, const struct tpo_pair_chat *b)
{
  size_t n = 0;
  while (n < a->n && n < b->n && strcmp(a->messages[n].role, b->messages[n].role) == 0 &&
         strcmp(a->messages[n].content, b->messages[n].content) == 0)
    n++;
  return n;
}

bool tpo_pair_is_answer(const struct tpo_pair_chat *chat, size_t i)
{
  return strcmp(chat->messages[i].role, "assistant") == 0;
}

/* Puts the prompt's messages before an answer's, unless these begin with them. */
static int put_before(const struct tpo_pair_reader *reader, struct tpo_pair_chat *chat, const char *key,
                      const struct tpo_pair_chat *prompt, struct tpo_error *err)
{
  if (prompt->n == 0 || shared(chat, prompt) == prompt->n) return 0;
  if (!tpo_pair_is_answer(chat, 0))
    return tpo_fail(
        err, TPO_E_INPUT,
        "%s: %s begins with neither the prompt nor an answer to it: the role of its first message is "
        "\"%.40s\", expected \"assistant\", or the prompt's own messages",
        reader->place, key, chat->messages[0].role);
  struct tpo_message *messages = tpo_calloc(prompt->n + chat->n, sizeof *messages, err);
  if (!messages) return TPO_E_MEMORY;
  memcpy(messages, prompt->messages, prompt->n * sizeof *messages);
  memcpy(messages + prompt->n, chat->messages, chat->n * sizeof *messages);
  free(chat->messages);
  chat->messages = messages;
  chat->n += prompt->n;
  return 0;
}

/* What both begin with is the prompt, unless one is given; of equal chats, all but the last answer. */
static int split_chats(struct tpo_pair_reader *reader, const json_t *prompt, struct tpo_pair_chat chats[3],
                       size_t *n_prompt, struct tpo_error *err)
{
  struct tpo_pair_chat *before = &chats[0], *chosen = &chats[1], *rejected = &chats[2];
  static const char *const names[] = {"prompt", "chosen", "rejected"};
  for (int i = prompt ? 0 : 1; i < 3; i++)
    if (chats[i].n == 0)
      return tpo_fail(err, TPO_E_INPUT, "%s: %s: at least one message is expected", reader->place, names[i]);
  int status = put_before(reader, chosen, names[1], before, err);
  if (status == 0) status = put_before(reader, rejected, names[2], before, err);
  if (status < 0) return status;
  size_t n = shared(chosen, rejected);
  if (n == chosen->n && n == rejected->n && tpo_pair_is_answer(chosen, n - 1)) n--;
  *n_prompt = prompt ? before->n : n;
  if (*n_prompt > 0) return 0;
  return tpo_fail(
      err, TPO_E_INPUT,
      "%s: without `prompt`, chosen and rejected are expected to be chats that begin with the same "
      "messages",
      reader->place);
}

static int encode_chats(struct tpo_pair_reader *reader, const json_t *prompt, struct tpo_pair_chat chats[3],
                        struct tpo_error *err)
{
  const struct tpo_pair_chat *chosen = &chats[1], *rejected = &chats[2];
  size_t n = 0;
  int status = split_chats(reader, prompt, chats, &n, err);
  if (status < 0) return status;
  if (n == chosen->n || n == rejected->n)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s has nothing after what both begin with; an answer is expected",
                    reader->place, n == chosen->n ? "chosen" : "rejected");
  return tpo_pair_encode_chats(reader, chosen, rejected, n, err);
}

/* A whole chat: not an answer that follows a prompt. */
static bool is_whole(const struct tpo_pair_chat *chat)
{
  return chat->n > 1 && !tpo_pair_is_answer(chat, 0);
}

static const char *trim(const char *text, size_t *len)
{
  static const char space[] = " \t\r\n";
  text += strspn(text, space);
  *len = strlen(text);
  while (*len > 0 && strchr(space, text[*len - 1])) --*len;
  return text;
}

/* Text beside a whole chat repeats what its user asks first; white space around it aside. */
static int check_repeated(const struct tpo_pair_reader *reader, const char *prompt,
                          const struct tpo_pair_chat *chat, const char *key, struct tpo_error *err)
{
  size_t i = 0, len, other_len;
  while (i < chat->n && strcmp(chat->messages[i].role, "user") != 0) i++;
  const char *text = trim(prompt, &len),
             *other = trim(i < chat->n ? chat->messages[i].content : "", &other_len);
  if (i < chat->n && len == other_len && memcmp(text, other, len) == 0) return 0;
  return tpo_fail(
      err, TPO_E_INPUT,
      "%s: prompt is not what the user says first in %s; beside whole chats it is expected to repeat "
      "that, or to be absent",
      reader->place, key);
}

/* Whole chats hold the prompt already: what they begin with. */
static int drop_prompt(const struct tpo_pair_reader *reader, const json_t **prompt,
                       struct tpo_pair_chat chats[3], struct tpo_error *err)
{
  struct tpo_pair_chat *before = &chats[0];
  if (!json_is_string(*prompt) || tpo_is_dialogue(json_string_value(*prompt)) || !is_whole(&chats[1]) ||
      !is_whole(&chats[2]))
    return 0;
  int status = check_repeated(reader, before->messages[0].content, &chats[1], "chosen", err);
  if (status == 0) status = check_repeated(reader, before->messages[0].content, &chats[2], "rejected", err);
  *prompt = NULL;
  before->n = 0;
  return status;
}

int tpo_pair_read_chats(struct tpo_pair_reader *reader, const json_t *const texts[3], struct tpo_error *err)
{
  static const char *const names[] = {"prompt", "chosen", "rejected"};
  struct tpo_pair_chat chats[3] = {{0}};
  int status = 0;
  for (int i = texts[0] ? 0 : 1; i < 3 && status == 0; i++)
    status = read_chat(reader, texts[i], names[i], i ? "assistant" : "user", &chats[i], err);
  const json_t *prompt = texts[0];
  struct tpo_pair_chat *before = &chats[0]; /* of a dialogue, also what asks for the answer: "Assistant:" */
  if (status == 0 && json_is_string(prompt) && before->n > 1 && tpo_pair_is_answer(before, before->n - 1) &&
      !*before->messages[before->n - 1].content)
    before->n--;
  if (status == 0) status = drop_prompt(reader, &prompt, chats, err);
  if (status == 0)
    status = reader->tmpl
                 ? encode_chats(reader, prompt, chats, err)
                 : tpo_fail(err, TPO_E_USAGE, "%s: pairs of messages need a model with a chat template",
                            reader->place);
  for (int i = 0; i < 3; i++) chat_free(&chats[i]);
  return status;
}
