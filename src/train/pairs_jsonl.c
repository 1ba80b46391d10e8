/* Preference pairs from JSON Lines.
 *
 * Ids: prompt_ids, chosen_ids, rejected_ids (and chosen_mask, rejected_mask of 0 and 1, when not every output
 * token is to carry loss). Sampled outputs come this way: their text is never tokenised again. Text as in
 * TRL's data sets: `prompt`, `chosen`, `rejected` all strings are plain text, encoded as they stand, the
 * output ended by the tokenizer's end token. With messages, the chat template renders them: chosen and
 * rejected are what follows the prompt's messages, or whole chats, whose shared beginning is the prompt (a
 * `prompt` string beside whole chats must repeat what the user says first in them); a string among them
 * stands for the content of one message, or for a dialogue, "\n\nHuman: ...\n\nAssistant: ...". Answers carry
 * loss, each through the template's own end-of-turn token; messages between them carry none. An answer that the template
 * shows otherwise than it was given comes behind the generation prompt as it stands. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/chat.h"
#include "base/file.h"
#include "base/foreign.h"
#include "base/json.h"
#include "base/memory.h"
#include "tpo/train.h"
#include "train/pairs_lines.h"

static void completion_free(struct tpo_completion *answer)
{
  tpo_ids_free(&answer->ids);
  free(answer->mask);
}

static int add_id(const struct tpo_pair_reader *reader, const json_t *item, const char *key, size_t i,
                  struct tpo_ids *out, struct tpo_error *err)
{
  json_int_t id = json_is_integer(item) ? json_integer_value(item) : -1;
  if (id < 0 || id > INT32_MAX)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s[%zu] is not a token id", reader->place, key, i);
  int32_t value = (int32_t)id;
  return tpo_ids_append(out, &value, 1, err);
}

static int read_ids(const struct tpo_pair_reader *reader, const json_t *line, const char *key,
                    struct tpo_ids *out, struct tpo_error *err)
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
static int read_mask(const struct tpo_pair_reader *reader, const json_t *line, const char *key, size_t n,
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

static int read_id_pair(struct tpo_pair_reader *reader, const json_t *line, struct tpo_error *err)
{
  int status = read_ids(reader, line, "prompt_ids", &reader->prompt, err);
  if (status == 0) status = read_ids(reader, line, "chosen_ids", &reader->chosen.ids, err);
  if (status == 0) status = read_ids(reader, line, "rejected_ids", &reader->rejected.ids, err);
  return status;
}

bool tpo_pair_is_end(const struct tpo_pair_reader *reader, int32_t id)
{
  for (size_t i = 0; i < reader->end_ids.n; i++)
    if (reader->end_ids.ids[i] == id) return true;
  return false;
}

/* Plain text. A prompt begins with BOS where the tokenizer puts one before any text. */
static int encode_plain(const struct tpo_pair_reader *reader, const char *text, bool prompt,
                        struct tpo_ids *out, struct tpo_error *err)
{
  const struct tpo_tokenizer *tok = reader->tokenizer;
  int32_t bos = tpo_tokenizer_bos(tok), eos = tpo_tokenizer_eos(tok);
  int status = tpo_tokenizer_encode(tok, text, strlen(text), TPO_ENCODE_SPECIAL, out, err);
  if (status < 0) return tpo_fail_prefix(err, "%s", reader->place);
  if (!prompt) {
    if (out->n > 0 && tpo_pair_is_end(reader, out->ids[out->n - 1])) return 0;
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

static int encode_texts(struct tpo_pair_reader *reader, const json_t *const texts[3], struct tpo_error *err)
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

/* `instruction` is the prompt's other name, which is not read here: it may repeat the prompt. */
static int check_instruction(const struct tpo_pair_reader *reader, const json_t *line, const json_t *prompt,
                             struct tpo_error *err)
{
  const json_t *instruction = json_object_get(line, "instruction");
  if (!tpo_json_says_something(instruction) || (prompt && json_equal(instruction, prompt))) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s: \"instruction\" %s", reader->place,
                  prompt ? "stands beside another \"prompt\"; one of them is expected"
                         : "is not read from pairs: \"prompt\" is the expected name");
}

static int read_text_pair(struct tpo_pair_reader *reader, const json_t *line, struct tpo_error *err)
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
  return plain ? encode_texts(reader, texts, err) : tpo_pair_read_chats(reader, texts, err);
}

/* The pair's name: prompt_id, or id, text or an integer; else its line. */
static int read_pair_id(const struct tpo_pair_reader *reader, const json_t *line, char fallback[160],
                        const char **id, struct tpo_error *err)
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

static int read_score(const struct tpo_pair_reader *reader, const json_t *line, struct tpo_pair_row *row,
                      struct tpo_error *err)
{
  int status = tpo_json_get_double(line, "chosen_score", &row->chosen_score, reader->place, err);
  if (status == 0)
    status = tpo_json_get_double(line, "rejected_score", &row->rejected_score, reader->place, err);
  row->margin = row->chosen_score - row->rejected_score;
  return status;
}

/* The mask that a line gives; all ones otherwise, or what chats have made. */
static int finish_mask(const struct tpo_pair_reader *reader, const json_t *line, const char *key,
                       struct tpo_completion *answer, struct tpo_error *err)
{
  if (!answer->masked)
    return read_mask(reader, line, key, answer->ids.n, &answer->mask, &answer->capacity, err);
  if (!tpo_json_says_something(json_object_get(line, key))) return 0;
  return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: %s goes with pairs of ids, not with messages", reader->place,
                  key);
}

/* Ids of another model's tokens are found before anything is computed. */
static int check_vocab(const struct tpo_pair_reader *reader, const struct tpo_ids *ids, const char *key,
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

static int add_pair(struct tpo_pairs *pairs, struct tpo_pair_reader *reader, const json_t *line,
                    struct tpo_error *err)
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

static int read_line(struct tpo_pairs *pairs, struct tpo_pair_reader *reader, const char *text, size_t len,
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

static int read_lines(struct tpo_pairs *pairs, struct tpo_pair_reader *reader, struct tpo_lines *lines,
                      int skip_bad, struct tpo_error *err)
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
  return tpo_train_read_some_pairs(pairs, path, tokenizer, tmpl, NULL, 0, 0, err);
}

int tpo_train_read_some_pairs(struct tpo_pairs *pairs, const char *path,
                              const struct tpo_tokenizer *tokenizer, const struct tpo_template *tmpl,
                              const struct tpo_thought_config *thought, int vocab_size, int skip_bad,
                              struct tpo_error *err)
{
  struct tpo_error local = {0};
  if (!err) err = &local;
  struct tpo_pair_reader reader = {
      .tokenizer = tokenizer, .tmpl = tmpl, .thought = thought, .vocab = vocab_size};
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
