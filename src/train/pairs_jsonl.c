/* Preference pairs from JSON Lines.
 *
 * Ids: prompt_ids, chosen_ids, rejected_ids (and chosen_mask, rejected_mask of 0 and 1, when not every output
 * token is to carry loss). Sampled outputs come this way: their text is never tokenised again. Text as in
 * TRL's data sets: `prompt`, `chosen`, `rejected` all strings are plain text, encoded as they stand, the
 * output ended by the tokenizer's end token. With messages, the chat template renders them: chosen and
 * rejected are what follows the prompt's messages, or whole chats, whose shared beginning is the prompt (a
 * `prompt` string beside whole chats must repeat what the user says first in them); a string among them
 * stands for the content of one message, or for a dialogue, "\n\nHuman: ...\n\nAssistant: ...". Answers carry
 * loss, each through the template's own end-of-turn token; messages between them carry none. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/chat.h"
#include "base/file.h"
#include "base/foreign.h"
#include "base/json.h"
#include "base/memory.h"
#include "tpo/text.h"
#include "tpo/train.h"

struct completion {
  struct tpo_ids ids;
  uint8_t *mask; /* [capacity], of ids */
  bool masked;   /* the mask is there, by the turns of a chat */
  size_t capacity;
};

static void completion_free(struct completion *answer)
{
  tpo_ids_free(&answer->ids);
  free(answer->mask);
}

struct reader {
  const struct tpo_tokenizer *tokenizer;
  const struct tpo_template *tmpl;
  struct tpo_ids end_ids;
  struct tpo_ids prompt;
  struct completion chosen, rejected;
  const char *place; /* "file:line" */
  int64_t number;    /* of the line */
  int vocab;         /* ids below it are the model's; 0: not known */
};

static int add_id(const struct reader *reader, const json_t *item, const char *key, size_t i,
                  struct tpo_ids *out, struct tpo_error *err)
{
  json_int_t id = json_is_integer(item) ? json_integer_value(item) : -1;
  if (id < 0 || id > INT32_MAX)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s[%zu] is not a token id", reader->place, key, i);
  int32_t value = (int32_t)id;
  return tpo_ids_append(out, &value, 1, err);
}

static int read_ids(const struct reader *reader, const json_t *line, const char *key, struct tpo_ids *out,
                    struct tpo_error *err)
{
  const json_t *array = json_object_get(line, key);
  if (!json_is_array(array))
    return tpo_fail(err, TPO_E_INPUT, "%s: %s: an array of token ids is expected", reader->place, key);
  if (json_array_size(array) > INT32_MAX / 4)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s: %zu tokens are too many", reader->place, key,
                    json_array_size(array));
  int status = 0;
  for (size_t i = 0; i < json_array_size(array) && status == 0; i++)
    status = add_id(reader, json_array_get(array, i), key, i, out, err);
  return status;
}

/* All ones when the key is absent. */
static int read_mask(const struct reader *reader, const json_t *line, const char *key, size_t n,
                     uint8_t **mask, size_t *capacity, struct tpo_error *err)
{
  int status = tpo_grow(mask, capacity, n ? n : 1, sizeof **mask, err);
  if (status < 0) return status;
  if (n) memset(*mask, 1, n);
  const json_t *array = json_object_get(line, key);
  if (!array || json_is_null(array)) return 0;
  if (!json_is_array(array) || json_array_size(array) != n)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s: an array of %zu items, one a token, is expected",
                    reader->place, key, n);
  for (size_t i = 0; i < n; i++) {
    json_int_t value =
        json_is_integer(json_array_get(array, i)) ? json_integer_value(json_array_get(array, i)) : -1;
    if (value != 0 && value != 1)
      return tpo_fail(err, TPO_E_INPUT, "%s: %s[%zu]: 0 or 1 is expected", reader->place, key, i);
    (*mask)[i] = (uint8_t)value;
  }
  return 0;
}

static int read_id_pair(struct reader *reader, const json_t *line, struct tpo_error *err)
{
  int status = read_ids(reader, line, "prompt_ids", &reader->prompt, err);
  if (status == 0) status = read_ids(reader, line, "chosen_ids", &reader->chosen.ids, err);
  if (status == 0) status = read_ids(reader, line, "rejected_ids", &reader->rejected.ids, err);
  return status;
}

static bool is_end(const struct reader *reader, int32_t id)
{
  for (size_t i = 0; i < reader->end_ids.n; i++)
    if (reader->end_ids.ids[i] == id) return true;
  return false;
}

/* Plain text. A prompt begins with BOS where the tokenizer puts one before any text. */
static int encode_plain(const struct reader *reader, const char *text, bool prompt, struct tpo_ids *out,
                        struct tpo_error *err)
{
  const struct tpo_tokenizer *tok = reader->tokenizer;
  int32_t bos = tpo_tokenizer_bos(tok), eos = tpo_tokenizer_eos(tok);
  int status = tpo_tokenizer_encode(tok, text, strlen(text), TPO_ENCODE_SPECIAL, out, err);
  if (status < 0) return tpo_fail_prefix(err, "%s", reader->place);
  if (!prompt) {
    if (out->n > 0 && is_end(reader, out->ids[out->n - 1])) return 0;
    if (eos < 0)
      return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: the tokenizer has no end token to end a text with",
                      reader->place);
    return tpo_ids_append(out, &eos, 1, err);
  }
  struct tpo_ids empty = {0};
  status = tpo_tokenizer_encode(tok, "", 0, TPO_ENCODE_SPECIAL | TPO_ENCODE_BOS_EOS, &empty, err);
  bool puts_bos = status == 0 && bos >= 0 && empty.n > 0 && empty.ids[0] == bos;
  tpo_ids_free(&empty);
  if (status < 0 || !puts_bos || (out->n > 0 && out->ids[0] == bos)) return status;
  status = tpo_ids_append(out, &bos, 1, err);
  if (status < 0) return status;
  memmove(out->ids + 1, out->ids, (out->n - 1) * sizeof *out->ids);
  out->ids[0] = bos;
  return 0;
}

/* A chat in one form, and its messages, which borrow from it. */
struct chat {
  json_t *form; /* owned */
  struct tpo_message *messages;
  size_t n;
};

static void chat_free(struct chat *chat)
{
  json_decref(chat->form);
  free(chat->messages);
}

/* A string is the content of one message, or a dialogue with its speakers' names. */
static json_t *chat_of_text(const struct reader *reader, const json_t *value, const char *key,
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

static int read_chat(const struct reader *reader, const json_t *value, const char *key, const char *role,
                     struct chat *chat, struct tpo_error *err)
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
static size_t shared(const struct chat *a, const struct chat *b)
{
  size_t n = 0;
  while (n < a->n && n < b->n && strcmp(a->messages[n].role, b->messages[n].role) == 0 &&
         strcmp(a->messages[n].content, b->messages[n].content) == 0)
    n++;
  return n;
}

static bool is_answer(const struct chat *chat, size_t i)
{
  return strcmp(chat->messages[i].role, "assistant") == 0;
}

static int render(const struct reader *reader, const struct chat *chat, size_t n, bool generation,
                  const char *key, struct tpo_ids *out, struct tpo_error *err)
{
  int status = tpo_template_encode(reader->tmpl, chat->messages, n, generation, out, err);
  return status < 0 ? tpo_fail_prefix(err, "%s: %s", reader->place, key) : status;
}

/* Ids of the first n messages, which must begin what the whole chat became. */
static int encode_part(const struct reader *reader, const struct chat *chat, size_t n, bool generation,
                       const struct tpo_ids *whole, const char *key, struct tpo_ids *out,
                       struct tpo_error *err)
{
  out->n = 0;
  int status = render(reader, chat, n, generation, key, out, err);
  if (status < 0) return status;
  if (whole->n < out->n || (out->n && memcmp(whole->ids, out->ids, out->n * sizeof *out->ids) != 0))
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "%s: %s: the chat template renders the messages before an answer differently once the "
                    "answer follows them",
                    reader->place, key);
  return 0;
}

/* The tokens of answer i, from begin to end: through the end-of-turn token, without what the template puts
 * after it. */
static int find_answer(const struct reader *reader, const struct chat *chat, size_t i,
                       const struct tpo_ids *whole, const char *key, size_t *begin, size_t *end,
                       struct tpo_error *err)
{
  struct tpo_ids part = {0};
  int status = encode_part(reader, chat, i, true, whole, key, &part, err);
  *begin = part.n;
  if (status == 0) status = encode_part(reader, chat, i + 1, false, whole, key, &part, err);
  *end = part.n;
  while (status == 0 && *end > *begin && !is_end(reader, whole->ids[*end - 1])) --*end;
  if (status == 0 && *end <= *begin)
    status = tpo_fail(err, TPO_E_UNSUPPORTED,
                      "%s: %s: the chat template ends the assistant's turn without a token for it",
                      reader->place, key);
  tpo_ids_free(&part);
  return status;
}

/* The messages after the prompt's, through the last answer's end. Loss is on answers alone. */
static int encode_completion(const struct reader *reader, const struct chat *chat, size_t n_prompt,
                             const char *key, struct completion *out, struct tpo_error *err)
{
  size_t n_ids = reader->prompt.n, begin, end = 0;
  if (!is_answer(chat, chat->n - 1))
    return tpo_fail(err, TPO_E_INPUT, "%s: %s: the last message's role is \"%.40s\", expected \"assistant\"",
                    reader->place, key, chat->messages[chat->n - 1].role);
  struct tpo_ids whole = {0};
  int status = render(reader, chat, chat->n, false, key, &whole, err);
  if (status == 0 && (whole.n <= n_ids || memcmp(whole.ids, reader->prompt.ids, n_ids * sizeof *whole.ids)))
    status = tpo_fail(err, TPO_E_UNSUPPORTED,
                      "%s: %s: the chat template renders the prompt differently once an answer follows it",
                      reader->place, key);
  if (status == 0) status = tpo_grow(&out->mask, &out->capacity, whole.n - n_ids, sizeof *out->mask, err);
  if (status == 0) memset(out->mask, 0, whole.n - n_ids);
  for (size_t i = n_prompt; i < chat->n && status == 0; i++) {
    if (!is_answer(chat, i)) continue;
    status = find_answer(reader, chat, i, &whole, key, &begin, &end, err);
    if (status == 0 && begin >= n_ids) memset(out->mask + (begin - n_ids), 1, end - begin);
  }
  if (status == 0) status = tpo_ids_append(&out->ids, whole.ids + n_ids, end - n_ids, err);
  out->masked = true;
  tpo_ids_free(&whole);
  return status;
}

/* Puts the prompt's messages before an answer's, unless these begin with them. */
static int put_before(const struct reader *reader, struct chat *chat, const char *key,
                      const struct chat *prompt, struct tpo_error *err)
{
  if (prompt->n == 0 || shared(chat, prompt) == prompt->n) return 0;
  if (!is_answer(chat, 0))
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
static int split_chats(struct reader *reader, const json_t *prompt, struct chat chats[3], size_t *n_prompt,
                       struct tpo_error *err)
{
  struct chat *before = &chats[0], *chosen = &chats[1], *rejected = &chats[2];
  static const char *const names[] = {"prompt", "chosen", "rejected"};
  for (int i = prompt ? 0 : 1; i < 3; i++)
    if (chats[i].n == 0)
      return tpo_fail(err, TPO_E_INPUT, "%s: %s: at least one message is expected", reader->place, names[i]);
  int status = put_before(reader, chosen, names[1], before, err);
  if (status == 0) status = put_before(reader, rejected, names[2], before, err);
  if (status < 0) return status;
  size_t n = shared(chosen, rejected);
  if (n == chosen->n && n == rejected->n && is_answer(chosen, n - 1)) n--;
  *n_prompt = prompt ? before->n : n;
  if (*n_prompt > 0) return 0;
  return tpo_fail(
      err, TPO_E_INPUT,
      "%s: without `prompt`, chosen and rejected are expected to be chats that begin with the same "
      "messages",
      reader->place);
}

static int encode_chats(struct reader *reader, const json_t *prompt, struct chat chats[3],
                        struct tpo_error *err)
{
  const struct chat *chosen = &chats[1], *rejected = &chats[2];
  size_t n = 0;
  int status = split_chats(reader, prompt, chats, &n, err);
  if (status < 0) return status;
  if (n == chosen->n || n == rejected->n)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s has nothing after what both begin with; an answer is expected",
                    reader->place, n == chosen->n ? "chosen" : "rejected");
  bool answers = is_answer(chosen, n) && is_answer(rejected, n);
  status = render(reader, chosen, n, answers, "the prompt", &reader->prompt, err);
  if (status == 0) status = encode_completion(reader, chosen, n, "chosen", &reader->chosen, err);
  if (status == 0) status = encode_completion(reader, rejected, n, "rejected", &reader->rejected, err);
  return status;
}

static int encode_texts(struct reader *reader, const json_t *const texts[3], struct tpo_error *err)
{
  static const char *const names[] = {"prompt", "chosen", "rejected"};
  struct tpo_ids *const out[] = {&reader->prompt, &reader->chosen.ids, &reader->rejected.ids};
  int status = 0;
  for (int i = 0; i < 3 && status == 0; i++) {
    const char *text = json_string_value(texts[i]);
    status = strlen(text) == json_string_length(texts[i])
                 ? encode_plain(reader, text, i == 0, out[i], err)
                 : tpo_fail(err, TPO_E_INPUT, "%s: %s holds a NUL character", reader->place, names[i]);
  }
  return status;
}

/* A whole chat: not an answer that follows a prompt. */
static bool is_whole(const struct chat *chat)
{
  return chat->n > 1 && !is_answer(chat, 0);
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
static int check_repeated(const struct reader *reader, const char *prompt, const struct chat *chat,
                          const char *key, struct tpo_error *err)
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
static int drop_prompt(const struct reader *reader, const json_t **prompt, struct chat chats[3],
                       struct tpo_error *err)
{
  struct chat *before = &chats[0];
  if (!json_is_string(*prompt) || tpo_is_dialogue(json_string_value(*prompt)) || !is_whole(&chats[1]) ||
      !is_whole(&chats[2]))
    return 0;
  int status = check_repeated(reader, before->messages[0].content, &chats[1], "chosen", err);
  if (status == 0) status = check_repeated(reader, before->messages[0].content, &chats[2], "rejected", err);
  *prompt = NULL;
  before->n = 0;
  return status;
}

static int read_chats(struct reader *reader, const json_t *const texts[3], struct tpo_error *err)
{
  static const char *const names[] = {"prompt", "chosen", "rejected"};
  struct chat chats[3] = {{0}};
  int status = 0;
  for (int i = texts[0] ? 0 : 1; i < 3 && status == 0; i++)
    status = read_chat(reader, texts[i], names[i], i ? "assistant" : "user", &chats[i], err);
  const json_t *prompt = texts[0];
  struct chat *before = &chats[0]; /* of a dialogue, also what asks for the answer: "Assistant:" */
  if (status == 0 && json_is_string(prompt) && before->n > 1 && is_answer(before, before->n - 1) &&
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

/* `instruction` is the prompt's other name, which is not read here: it may repeat the prompt. */
static int check_instruction(const struct reader *reader, const json_t *line, const json_t *prompt,
                             struct tpo_error *err)
{
  const json_t *instruction = json_object_get(line, "instruction");
  if (!tpo_json_says_something(instruction) || (prompt && json_equal(instruction, prompt))) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s: \"instruction\" %s", reader->place,
                  prompt ? "stands beside another \"prompt\"; one of them is expected"
                         : "is not read from pairs: \"prompt\" is the expected name");
}

static int read_text_pair(struct reader *reader, const json_t *line, struct tpo_error *err)
{
  static const char *const unread[] = {"system", "system_prompt", "input",  "context", "history",
                                       "tools",  "functions",     "images", "image",   "audio"};
  const json_t *texts[] = {json_object_get(line, "prompt"), json_object_get(line, "chosen"),
                           json_object_get(line, "rejected")};
  if (json_is_null(texts[0])) texts[0] = NULL;
  if (!texts[1] || !texts[2])
    return tpo_fail(
        err, TPO_E_INPUT,
        "%s: prompt_ids, chosen_ids and rejected_ids, or prompt, chosen and rejected are expected",
        reader->place);
  if (!reader->tokenizer)
    return tpo_fail(err, TPO_E_USAGE,
                    "%s: pairs of text need a model with a tokenizer; pairs of ids need none", reader->place);
  int status = tpo_chat_check_row(line, unread, sizeof unread / sizeof *unread, reader->place, err);
  if (status == 0) status = check_instruction(reader, line, texts[0], err);
  if (status < 0) return status;
  bool plain =
      json_is_string(texts[0]) && json_is_string(texts[1]) && json_is_string(texts[2]) &&
      !(tpo_is_dialogue(json_string_value(texts[1])) && tpo_is_dialogue(json_string_value(texts[2])));
  return plain ? encode_texts(reader, texts, err) : read_chats(reader, texts, err);
}

/* The pair's name: prompt_id, or id, text or an integer; else its line. */
static int read_pair_id(const struct reader *reader, const json_t *line, char fallback[160], const char **id,
                        struct tpo_error *err)
{
  const char *key = json_object_get(line, "prompt_id") ? "prompt_id" : "id";
  const json_t *value = json_object_get(line, key);
  const char *number = strrchr(reader->place, ':');
  *id = fallback;
  snprintf(fallback, 160, "line-%s", number ? number + 1 : "");
  if (json_is_integer(value)) {
    snprintf(fallback, 160, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return 0;
  }
  if (value && !json_is_null(value) && !json_is_string(value))
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" must be a string or an integer", reader->place, key);
  return tpo_json_get_string(line, key, id, reader->place, err);
}

static int read_score(const struct reader *reader, const json_t *line, struct tpo_pair_row *row,
                      struct tpo_error *err)
{
  int status = tpo_json_get_double(line, "chosen_score", &row->chosen_score, reader->place, err);
  if (status == 0)
    status = tpo_json_get_double(line, "rejected_score", &row->rejected_score, reader->place, err);
  row->margin = row->chosen_score - row->rejected_score;
  return status;
}

/* The mask that a line gives; all ones otherwise, or what chats have made. */
static int finish_mask(const struct reader *reader, const json_t *line, const char *key,
                       struct completion *answer, struct tpo_error *err)
{
  if (!answer->masked)
    return read_mask(reader, line, key, answer->ids.n, &answer->mask, &answer->capacity, err);
  if (!tpo_json_says_something(json_object_get(line, key))) return 0;
  return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: %s goes with pairs of ids, not with messages", reader->place,
                  key);
}

/* Ids of another model's tokens are found before anything is computed. */
static int check_vocab(const struct reader *reader, const struct tpo_ids *ids, const char *key,
                       struct tpo_error *err)
{
  for (size_t i = 0; reader->vocab > 0 && i < ids->n; i++)
    if (ids->ids[i] >= reader->vocab)
      return tpo_fail(
          err, TPO_E_INPUT,
          "%s: %s[%zu] is %d, but the model's vocabulary has %d tokens; the pair is not of this model",
          reader->place, key, i, ids->ids[i], reader->vocab);
  return 0;
}

static int add_pair(struct tpo_pairs *pairs, struct reader *reader, const json_t *line, struct tpo_error *err)
{
  char fallback[160];
  struct tpo_pair_row row = {.chosen_row = -1, .rejected_row = -1, .place = reader->number};
  row.chosen_ref_logprob = row.rejected_ref_logprob = NAN;
  int status = read_pair_id(reader, line, fallback, &row.prompt_id, err);
  if (status == 0) status = read_score(reader, line, &row, err);
  if (status == 0) status = check_vocab(reader, &reader->prompt, "prompt_ids", err);
  if (status == 0) status = check_vocab(reader, &reader->chosen.ids, "chosen_ids", err);
  if (status == 0) status = check_vocab(reader, &reader->rejected.ids, "rejected_ids", err);
  if (status == 0) status = finish_mask(reader, line, "chosen_mask", &reader->chosen, err);
  if (status == 0) status = finish_mask(reader, line, "rejected_mask", &reader->rejected, err);
  if (status < 0) return status;
  row.prompt_ids = reader->prompt.ids;
  row.chosen_ids = reader->chosen.ids.ids;
  row.rejected_ids = reader->rejected.ids.ids;
  row.n_prompt = (int32_t)reader->prompt.n;
  row.n_chosen = (int32_t)reader->chosen.ids.n;
  row.n_rejected = (int32_t)reader->rejected.ids.n;
  row.chosen_mask = reader->chosen.mask;
  row.rejected_mask = reader->rejected.mask;
  return tpo_pairs_add(pairs, &row, err);
}

static int read_line(struct tpo_pairs *pairs, struct reader *reader, const char *text, size_t len,
                     struct tpo_error *err)
{
  json_t *line = tpo_json_parse(text, len, reader->place, err);
  if (!line) return TPO_E_INPUT;
  reader->prompt.n = reader->chosen.ids.n = reader->rejected.ids.n = 0;
  reader->chosen.masked = reader->rejected.masked = false;
  int status = 0;
  if (!json_is_object(line))
    status = tpo_fail(err, TPO_E_INPUT, "%s: a JSON object is expected", reader->place);
  else if (json_object_get(line, "prompt_ids") || json_object_get(line, "chosen_ids"))
    status = read_id_pair(reader, line, err);
  else
    status = read_text_pair(reader, line, err);
  if (status == 0) status = add_pair(pairs, reader, line, err);
  json_decref(line);
  return status;
}

static int read_lines(struct tpo_pairs *pairs, struct reader *reader, struct tpo_lines *lines, int skip_bad,
                      struct tpo_error *err)
{
  int skipped = 0, more = 0, status = tpo_lines_refuse_foreign(lines, err);
  while (status == 0 && (more = tpo_lines_next(lines, err)) == 1) {
    char place[4200];
    snprintf(place, sizeof place, "%.4096s:%llu", lines->path, (unsigned long long)lines->number);
    reader->place = place;
    reader->number = (int64_t)lines->number;
    const char *text = lines->line.data ? lines->line.data : "";
    size_t len = lines->line.len;
    if (lines->number == 1 && len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* byte order mark */
      text += 3;
      len -= 3;
    }
    if (strspn(text, " \t") < len) status = read_line(pairs, reader, text, len, err);
    status = tpo_lines_skip_bad(status, skip_bad, &skipped, err);
  }
  return more < 0 ? more : status;
}

int tpo_train_read_pairs(struct tpo_pairs *pairs, const char *path, const struct tpo_tokenizer *tokenizer,
                         const struct tpo_template *tmpl, struct tpo_error *err)
{
  return tpo_train_read_some_pairs(pairs, path, tokenizer, tmpl, 0, 0, err);
}

int tpo_train_read_some_pairs(struct tpo_pairs *pairs, const char *path,
                              const struct tpo_tokenizer *tokenizer, const struct tpo_template *tmpl,
                              int vocab_size, int skip_bad, struct tpo_error *err)
{
  struct tpo_error local = {0};
  if (!err) err = &local;
  struct reader reader = {.tokenizer = tokenizer, .tmpl = tmpl, .vocab = vocab_size};
  pairs->origin = TPO_PAIRS_LINES;
  struct tpo_lines lines;
  int status = tpo_lines_open(&lines, path, err);
  if (status < 0) return status;
  if (tokenizer) status = tpo_tokenizer_end_ids(tokenizer, tmpl, &reader.end_ids, err);
  if (status == 0) status = read_lines(pairs, &reader, &lines, skip_bad, err);
  if (status == 0)
    status = pairs->n > 0 ? 0 : tpo_fail(err, TPO_E_INPUT, "%s: there are no pairs in it", path);
  tpo_lines_close(&lines);
  tpo_ids_free(&reader.end_ids);
  tpo_ids_free(&reader.prompt);
  completion_free(&reader.chosen);
  completion_free(&reader.rejected);
  return status;
}
