/* Preference pairs from JSON Lines.
 *
 * Ids: prompt_ids, chosen_ids, rejected_ids (and chosen_mask, rejected_mask of 0 and 1, when not every output
 * token is to carry loss). Sampled outputs come this way: their text is never tokenised again. Text as in
 * TRL's data sets: `prompt`, `chosen`, `rejected` all strings are plain text, encoded as they stand, the
 * output ended by the tokenizer's end token. With messages, the chat template renders them: chosen and
 * rejected are one assistant message after the prompt's messages, or whole chats that share all but the last
 * (a `prompt` string beside whole chats repeats what they begin with, and is not read); a string among them
 * stands for the content of one message. The output ends with the template's own end-of-turn token. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "tpo/text.h"
#include "tpo/train.h"

struct reader {
  const struct tpo_tokenizer *tokenizer;
  const struct tpo_template *tmpl;
  struct tpo_ids end_ids;
  struct tpo_ids prompt, chosen, rejected;
  uint8_t *chosen_mask, *rejected_mask; /* [capacity] */
  size_t chosen_capacity, rejected_capacity;
  const char *place; /* "file:line" */
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
  if (status == 0) status = read_ids(reader, line, "chosen_ids", &reader->chosen, err);
  if (status == 0) status = read_ids(reader, line, "rejected_ids", &reader->rejected, err);
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
  if (status < 0) return status;
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

/* A chat that borrows from the line's JSON. */
struct chat {
  struct tpo_message *messages;
  size_t n;
};

static int read_chat(const struct reader *reader, const json_t *value, const char *key, const char *role,
                     struct chat *chat, struct tpo_error *err)
{
  size_t n = json_is_array(value) ? json_array_size(value) : 1;
  if (!json_is_string(value) && !json_is_array(value))
    return tpo_fail(err, TPO_E_INPUT, "%s: %s: a string or an array of messages is expected", reader->place,
                    key);
  chat->messages = tpo_calloc(n, sizeof *chat->messages, err);
  if (!chat->messages) return TPO_E_MEMORY;
  chat->n = n;
  if (json_is_string(value)) {
    chat->messages[0] = (struct tpo_message){.role = role, .content = json_string_value(value)};
    return strlen(json_string_value(value)) == json_string_length(value)
               ? 0
               : tpo_fail(err, TPO_E_INPUT, "%s: %s holds a NUL character", reader->place, key);
  }
  for (size_t i = 0; i < n; i++) {
    const json_t *message = json_array_get(value, i);
    const json_t *who = json_object_get(message, "role"), *what = json_object_get(message, "content");
    if (!json_is_string(who) || !json_is_string(what) ||
        strlen(json_string_value(what)) != json_string_length(what))
      return tpo_fail(err, TPO_E_INPUT,
                      "%s: %s[%zu]: a message with a role and a content, both text, is expected",
                      reader->place, key, i);
    chat->messages[i] =
        (struct tpo_message){.role = json_string_value(who), .content = json_string_value(what)};
  }
  return 0;
}

/* Without `prompt` the chats' messages before the last are it; they must be the same in both. */
static int split_prompt(const struct reader *reader, const struct chat *chosen, const struct chat *rejected,
                        size_t *n_prompt, struct tpo_error *err)
{
  bool same = chosen->n >= 2 && chosen->n == rejected->n;
  for (size_t i = 0; same && i + 1 < chosen->n; i++)
    same = strcmp(chosen->messages[i].role, rejected->messages[i].role) == 0 &&
           strcmp(chosen->messages[i].content, rejected->messages[i].content) == 0;
  if (!same)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: without `prompt`, chosen and rejected are expected to be chats "
                    "that differ in the last message alone",
                    reader->place);
  *n_prompt = chosen->n - 1;
  return 0;
}

/* The output's ids: what the whole chat has after the prompt's ids, through the end-of-turn token. */
static int encode_answer(const struct reader *reader, const struct chat *prompt,
                         const struct tpo_message *answer, const char *key, struct tpo_ids *out,
                         struct tpo_error *err)
{
  if (strcmp(answer->role, "assistant") != 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s: the last message's role is \"%.40s\", expected \"assistant\"",
                    reader->place, key, answer->role);
  struct tpo_message *messages = tpo_calloc(prompt->n + 1, sizeof *messages, err);
  if (!messages) return TPO_E_MEMORY;
  memcpy(messages, prompt->messages, prompt->n * sizeof *messages);
  messages[prompt->n] = *answer;
  struct tpo_ids whole = {0};
  int status = tpo_template_encode(reader->tmpl, messages, prompt->n + 1, false, &whole, err);
  free(messages);
  size_t n = reader->prompt.n;
  if (status == 0 && (whole.n <= n || memcmp(whole.ids, reader->prompt.ids, n * sizeof *whole.ids) != 0))
    status = tpo_fail(err, TPO_E_UNSUPPORTED,
                      "%s: %s: the chat template renders the prompt differently once an answer follows it",
                      reader->place, key);
  size_t end = whole.n; /* what the template puts after the end of the turn is no part of the answer */
  while (status == 0 && end > n && !is_end(reader, whole.ids[end - 1])) end--;
  if (status == 0 && end == n)
    status = tpo_fail(err, TPO_E_UNSUPPORTED,
                      "%s: %s: the chat template ends the assistant's turn without a token for it",
                      reader->place, key);
  if (status == 0) status = tpo_ids_append(out, whole.ids + n, end - n, err);
  tpo_ids_free(&whole);
  return status;
}

static int encode_chats(struct reader *reader, const json_t *prompt, struct chat chats[3],
                        struct tpo_error *err)
{
  struct chat *first = &chats[0], *chosen = &chats[1], *rejected = &chats[2];
  struct chat before = *first;
  if (!prompt) {
    size_t n = 0;
    int status = split_prompt(reader, chosen, rejected, &n, err);
    if (status < 0) return status;
    before = (struct chat){.messages = chosen->messages, .n = n};
  } else if (chosen->n != 1 || rejected->n != 1) {
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: beside `prompt`, chosen and rejected are expected to be one assistant message each",
                    reader->place);
  }
  if (before.n == 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: prompt: at least one message is expected", reader->place);
  int status = tpo_template_encode(reader->tmpl, before.messages, before.n, true, &reader->prompt, err);
  if (status == 0)
    status = encode_answer(reader, &before, &chosen->messages[chosen->n - 1], "chosen", &reader->chosen, err);
  if (status == 0)
    status = encode_answer(reader, &before, &rejected->messages[rejected->n - 1], "rejected",
                           &reader->rejected, err);
  return status;
}

static bool is_whole_chat(const json_t *value)
{
  return json_is_array(value) && json_array_size(value) > 1;
}

static int read_text_pair(struct reader *reader, const json_t *line, struct tpo_error *err)
{
  const json_t *prompt = json_object_get(line, "prompt"), *chosen = json_object_get(line, "chosen"),
               *rejected = json_object_get(line, "rejected");
  if (json_is_null(prompt) || (json_is_string(prompt) && is_whole_chat(chosen) && is_whole_chat(rejected)))
    prompt = NULL;
  if (!chosen || !rejected)
    return tpo_fail(
        err, TPO_E_INPUT,
        "%s: prompt_ids, chosen_ids and rejected_ids, or prompt, chosen and rejected are expected",
        reader->place);
  if (!reader->tokenizer)
    return tpo_fail(err, TPO_E_USAGE,
                    "%s: pairs of text need a model with a tokenizer; pairs of ids need none", reader->place);
  struct chat chats[3] = {{0}};
  int status = prompt ? read_chat(reader, prompt, "prompt", "user", &chats[0], err) : 0;
  if (status == 0) status = read_chat(reader, chosen, "chosen", "assistant", &chats[1], err);
  if (status == 0) status = read_chat(reader, rejected, "rejected", "assistant", &chats[2], err);
  if (status == 0 && json_is_string(prompt) && json_is_string(chosen) && json_is_string(rejected)) {
    status = encode_plain(reader, chats[0].messages[0].content, true, &reader->prompt, err);
    if (status == 0) status = encode_plain(reader, chats[1].messages[0].content, false, &reader->chosen, err);
    if (status == 0)
      status = encode_plain(reader, chats[2].messages[0].content, false, &reader->rejected, err);
  } else if (status == 0) {
    status = reader->tmpl
                 ? encode_chats(reader, prompt, chats, err)
                 : tpo_fail(err, TPO_E_USAGE, "%s: pairs of messages need a model with a chat template",
                            reader->place);
  }
  for (int i = 0; i < 3; i++) free(chats[i].messages);
  return status;
}

static int add_pair(struct tpo_pairs *pairs, struct reader *reader, const json_t *line, struct tpo_error *err)
{
  char fallback[160];
  const char *id = strrchr(reader->place, ':');
  snprintf(fallback, sizeof fallback, "line-%s", id ? id + 1 : "");
  struct tpo_pair_row row = {.prompt_id = fallback, .chosen_row = -1, .rejected_row = -1};
  row.chosen_ref_logprob = row.rejected_ref_logprob = NAN;
  int status = tpo_json_get_string(line, json_object_get(line, "prompt_id") ? "prompt_id" : "id",
                                   &row.prompt_id, reader->place, err);
  if (status == 0) status = tpo_json_get_double(line, "chosen_score", &row.chosen_score, reader->place, err);
  if (status == 0)
    status = tpo_json_get_double(line, "rejected_score", &row.rejected_score, reader->place, err);
  row.margin = row.chosen_score - row.rejected_score;
  if (status == 0)
    status = read_mask(reader, line, "chosen_mask", reader->chosen.n, &reader->chosen_mask,
                       &reader->chosen_capacity, err);
  if (status == 0)
    status = read_mask(reader, line, "rejected_mask", reader->rejected.n, &reader->rejected_mask,
                       &reader->rejected_capacity, err);
  if (status < 0) return status;
  row.prompt_ids = reader->prompt.ids;
  row.chosen_ids = reader->chosen.ids;
  row.rejected_ids = reader->rejected.ids;
  row.n_prompt = (int32_t)reader->prompt.n;
  row.n_chosen = (int32_t)reader->chosen.n;
  row.n_rejected = (int32_t)reader->rejected.n;
  row.chosen_mask = reader->chosen_mask;
  row.rejected_mask = reader->rejected_mask;
  return tpo_pairs_add(pairs, &row, err);
}

static int read_line(struct tpo_pairs *pairs, struct reader *reader, const struct tpo_buf *text,
                     struct tpo_error *err)
{
  json_t *line = tpo_json_parse(text->data, text->len, reader->place, err);
  if (!line) return TPO_E_INPUT;
  reader->prompt.n = reader->chosen.n = reader->rejected.n = 0;
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

int tpo_train_read_pairs(struct tpo_pairs *pairs, const char *path, const struct tpo_tokenizer *tokenizer,
                         const struct tpo_template *tmpl, struct tpo_error *err)
{
  struct reader reader = {.tokenizer = tokenizer, .tmpl = tmpl};
  struct tpo_lines lines;
  int status = tpo_lines_open(&lines, path, err);
  if (status < 0) return status;
  if (tokenizer) status = tpo_tokenizer_end_ids(tokenizer, tmpl, &reader.end_ids, err);
  int more = 0;
  while (status == 0 && (more = tpo_lines_next(&lines, err)) == 1) {
    char place[4200];
    snprintf(place, sizeof place, "%.4096s:%llu", path, (unsigned long long)lines.number);
    reader.place = place;
    size_t blank = lines.line.data ? strspn(lines.line.data, " \t") : 0;
    if (blank < lines.line.len) status = read_line(pairs, &reader, &lines.line, err);
  }
  if (more < 0) status = more;
  if (status == 0 && pairs->n == 0) status = tpo_fail(err, TPO_E_INPUT, "%s: there are no pairs in it", path);
  tpo_lines_close(&lines);
  tpo_ids_free(&reader.end_ids);
  tpo_ids_free(&reader.prompt);
  tpo_ids_free(&reader.chosen);
  tpo_ids_free(&reader.rejected);
  free(reader.chosen_mask);
  free(reader.rejected_mask);
  return status;
}
