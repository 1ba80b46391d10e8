/* tokenizer.json of Hugging Face's fast tokenizers: the vocabulary, merges and added tokens. */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "text/tokenizer.h"

/* A token of the model's vocabulary as bytes: out of the byte alphabet, or of <0xXX>. */
static int put_token(struct tpo_tokenizer *tok, const char *text, size_t len, int64_t id,
                     struct tpo_buf *bytes, struct tpo_error *err)
{
  static const char hex[] = "0123456789ABCDEF";
  enum tpo_token_kind kind = TPO_TOKEN_NORMAL;
  if (tok->bpe.byte_level) {
    tpo_buf_clear(bytes);
    tpo_buf_append(bytes, text, len);
    int64_t n = bytes->failed ? -1 : tpo_alphabet_decode(text, len, bytes->data);
    if (n < 0) kind = TPO_TOKEN_LITERAL;
    if (n >= 0) text = bytes->data;
    if (n >= 0) len = (size_t)n;
  } else if (len == 6 && memcmp(text, "<0x", 3) == 0 && text[5] == '>') {
    const char *high = strchr(hex, text[3]), *low = strchr(hex, text[4]);
    if (high && low && *high && *low) {
      char byte = (char)((high - hex) * 16 + (low - hex));
      return tpo_vocab_put(&tok->vocab, id, &byte, 1, TPO_TOKEN_BYTE, tok->place, err);
    }
  }
  return tpo_vocab_put(&tok->vocab, id, text, len, kind, tok->place, err);
}

static int load_vocab(struct tpo_tokenizer *tok, const json_t *model, size_t n_added, struct tpo_error *err)
{
  json_t *vocab = json_object_get(model, "vocab");
  if (!json_is_object(vocab))
    return tpo_fail(err, TPO_E_INPUT, "%s: tokenizer.json: model.vocab must be an object of token: id",
                    tok->place);
  int64_t limit =
      2 * (int64_t)(json_object_size(vocab) + n_added) + 65536; /* holes are few in a real vocabulary */
  struct tpo_buf bytes = {0};
  const char *key;
  json_t *value;
  int status = TPO_OK;
  json_object_foreach(vocab, key, value)
  {
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    if (id < 0 || id >= limit)
      status =
          tpo_fail(err, TPO_E_INPUT, "%s: tokenizer.json: the token \"%.80s\" must have an id of 0..%lld",
                   tok->place, key, (long long)limit - 1);
    else
      status = put_token(tok, key, strlen(key), id, &bytes, err);
    if (status < 0) break;
  }
  tpo_buf_free(&bytes);
  return status;
}

/* A half of a merge as a token; -1: the vocabulary has no such token. */
static int32_t find_half(const struct tpo_tokenizer *tok, const char *text, size_t len, struct tpo_buf *bytes)
{
  if (!tok->bpe.byte_level) return tpo_vocab_find(&tok->vocab, text, len);
  tpo_buf_clear(bytes);
  tpo_buf_append(bytes, text, len);
  int64_t n = bytes->failed ? -1 : tpo_alphabet_decode(text, len, bytes->data);
  return n < 0 ? -1 : tpo_vocab_find(&tok->vocab, bytes->data, (size_t)n);
}

static int split_merge(const struct tpo_tokenizer *tok, const json_t *merge, size_t rank, const char *half[2],
                       size_t len[2], struct tpo_error *err)
{
  if (json_is_array(merge) && json_array_size(merge) == 2) {
    for (int i = 0; i < 2; i++) {
      half[i] = json_string_value(json_array_get(merge, (size_t)i));
      len[i] = json_string_length(json_array_get(merge, (size_t)i));
    }
    if (half[0] && half[1]) return TPO_OK;
  } else if (json_is_string(merge)) {
    half[0] = json_string_value(merge);
    const char *space = strchr(half[0], ' ');
    if (space && !strchr(space + 1, ' ')) {
      len[0] = (size_t)(space - half[0]);
      half[1] = space + 1;
      len[1] = json_string_length(merge) - len[0] - 1;
      return TPO_OK;
    }
  }
  return tpo_fail(err, TPO_E_INPUT, "%s: tokenizer.json: merge %zu must be \"a b\" or [\"a\", \"b\"]",
                  tok->place, rank);
}

int tpo_tokenizer_put_merge(struct tpo_tokenizer *tok, int32_t left, int32_t right, size_t rank,
                            struct tpo_buf *bytes, struct tpo_error *err)
{
  const struct tpo_token *a = &tok->vocab.tokens[left], *b = &tok->vocab.tokens[right];
  tpo_buf_clear(bytes);
  tpo_buf_append(bytes, a->bytes, a->len);
  tpo_buf_append(bytes, b->bytes, b->len);
  if (bytes->failed) return tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the merges", tok->place);
  int32_t id = tpo_vocab_find(&tok->vocab, bytes->data, bytes->len);
  if (id < 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: merge %zu makes \"%.80s\", which the vocabulary does not have",
                    tok->place, rank, bytes->data);
  /* Text never becomes a control token, so neither does a merge. */
  if (tok->vocab.tokens[id].kind == TPO_TOKEN_NORMAL) tpo_bpe_put(&tok->bpe, left, right, (int32_t)rank, id);
  return TPO_OK;
}

static int load_merges(struct tpo_tokenizer *tok, const json_t *model, struct tpo_error *err)
{
  const json_t *merges = json_object_get(model, "merges");
  if (!json_is_array(merges))
    return tpo_fail(err, TPO_E_INPUT, "%s: tokenizer.json: model.merges must be an array", tok->place);
  struct tpo_buf bytes = {0};
  int status = tpo_bpe_reserve(&tok->bpe, json_array_size(merges), err);
  for (size_t rank = 0; rank < json_array_size(merges) && status == TPO_OK; rank++) {
    const char *half[2];
    size_t len[2];
    int32_t ids[2] = {-1, -1};
    status = split_merge(tok, json_array_get(merges, rank), rank, half, len, err);
    for (int i = 0; i < 2 && status == TPO_OK; i++) {
      ids[i] = find_half(tok, half[i], len[i], &bytes);
      if (ids[i] < 0)
        status = tpo_fail(err, TPO_E_INPUT,
                          "%s: tokenizer.json: merge %zu names \"%.*s\", which model.vocab does not have",
                          tok->place, rank, (int)(len[i] < 80 ? len[i] : 80), half[i]);
    }
    if (status == TPO_OK) status = tpo_tokenizer_put_merge(tok, ids[0], ids[1], rank, &bytes, err);
  }
  tpo_buf_free(&bytes);
  return status;
}

/* What a BPE model may ask for beyond what is done here. */
static int check_model(const struct tpo_tokenizer *tok, const json_t *model, struct tpo_error *err)
{
  const char *type = "BPE", *prefix = "", *suffix = "";
  double dropout = 0;
  int status = tpo_json_get_string(model, "type", &type, tok->place, err);
  if (status == TPO_OK)
    status = tpo_json_get_string(model, "continuing_subword_prefix", &prefix, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_string(model, "end_of_word_suffix", &suffix, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_double(model, "dropout", &dropout, tok->place, err);
  if (status < 0) return status;
  const char *what = strcmp(type, "BPE") != 0 ? type
                     : *prefix                ? "BPE with continuing_subword_prefix"
                     : *suffix                ? "BPE with end_of_word_suffix"
                     : dropout != 0           ? "BPE with dropout"
                                              : NULL;
  if (!what) return TPO_OK;
  return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: tokenizer.json: a model of type %.80s is not supported",
                  tok->place, what);
}

static int load_flags(struct tpo_tokenizer *tok, const json_t *model, struct tpo_error *err)
{
  bool byte_fallback = false;
  const char *unk = NULL;
  int status = tpo_json_get_bool(model, "ignore_merges", &tok->bpe.ignore_merges, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_bool(model, "fuse_unk", &tok->bpe.fuse_unk, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_bool(model, "byte_fallback", &byte_fallback, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_string(model, "unk_token", &unk, tok->place, err);
  if (status < 0) return status;
  if (!tok->bpe.byte_level && !byte_fallback)
    return tpo_fail(
        err, TPO_E_UNSUPPORTED,
        "%s: tokenizer.json: a BPE model with neither a ByteLevel pre_tokenizer nor byte_fallback loses text "
        "and is not supported",
        tok->place);
  if (!unk) return TPO_OK;
  tok->unk = tpo_vocab_find(&tok->vocab, unk, strlen(unk));
  const struct tpo_added_token *added = tpo_added_find(&tok->specials, unk, strlen(unk));
  if (added) tok->unk = added->id;
  if (tok->unk < 0)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: tokenizer.json: model.unk_token \"%.80s\" is not in the vocabulary", tok->place,
                    unk);
  tok->bpe.unk = tok->unk;
  return TPO_OK;
}

int tpo_tokenizer_load_added(struct tpo_tokenizer *tok, const json_t *item, int64_t id, int64_t limit,
                             struct tpo_error *err)
{
  struct tpo_added_token token = {0};
  const char *content = NULL;
  int status = tpo_json_get_string(item, "content", &content, tok->place, err);
  if (status == TPO_OK && id < 0) status = tpo_json_get_int(item, "id", 0, limit, &id, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_bool(item, "special", &token.special, tok->place, err);
  token.normalized = !token.special;
  if (status == TPO_OK) status = tpo_json_get_bool(item, "normalized", &token.normalized, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_bool(item, "lstrip", &token.lstrip, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_bool(item, "rstrip", &token.rstrip, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_bool(item, "single_word", &token.single_word, tok->place, err);
  if (status < 0) return status;
  if (!content || !*content || id < 0 || id > limit)
    return tpo_fail(err, TPO_E_INPUT, "%s: an added token must have a content and an id of 0..%lld",
                    tok->place, (long long)limit);
  token.id = (int32_t)id;
  const struct tpo_added_token *other = tpo_added_find(&tok->specials, content, strlen(content));
  if (other && other->id != token.id)
    return tpo_fail(err, TPO_E_INPUT, "%s: the added token \"%.80s\" has two ids, %d and %d", tok->place,
                    content, other->id, token.id);
  return tpo_tokenizer_add(tok, content, strlen(content), token, err);
}

static int load_root(struct tpo_tokenizer *tok, const json_t *root, struct tpo_error *err)
{
  const json_t *model = json_object_get(root, "model"), *added = json_object_get(root, "added_tokens");
  if (!json_is_object(model))
    return tpo_fail(err, TPO_E_INPUT, "%s: tokenizer.json has no object \"model\"", tok->place);
  int status = check_model(tok, model, err);
  if (status == TPO_OK) status = tpo_tokenizer_load_pipeline(tok, root, &tok->bpe.byte_level, err);
  if (status == TPO_OK) status = load_vocab(tok, model, json_array_size(added), err);
  int64_t limit = 2 * (int64_t)(tok->vocab.n + json_array_size(added)) + 65536;
  for (size_t i = 0; i < json_array_size(added) && status == TPO_OK; i++)
    status = tpo_tokenizer_load_added(tok, json_array_get(added, i), -1, limit, err);
  if (status == TPO_OK) status = tpo_vocab_index(&tok->vocab, tok->place, err);
  if (status == TPO_OK) status = load_flags(tok, model, err);
  if (status == TPO_OK) status = load_merges(tok, model, err);
  if (status == TPO_OK) status = tpo_tokenizer_load_post(tok, json_object_get(root, "post_processor"), err);
  return status;
}

int tpo_tokenizer_load_files(struct tpo_tokenizer *tok, struct tpo_error *err)
{
  char place[512];
  snprintf(place, sizeof place, "%.400s: tokenizer.json", tok->place);
  const struct tpo_text_file *file = &tok->files[TPO_FILE_TOKENIZER];
  json_t *root = tpo_json_parse(file->bytes, file->len, place, err);
  if (!root) return err ? err->code : TPO_E_INPUT;
  int status = load_root(tok, root, err);
  json_decref(root);
  if (status == TPO_OK) status = tpo_tokenizer_load_settings(tok, err);
  if (status == TPO_OK) status = tpo_tokenizer_finish(tok, err);
  return status;
}
