/* tokenizer.json of Hugging Face's fast tokenizers: the vocabulary, merges and added tokens. */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "text/load/scan.h"
#include "text/tokenizer.h"

/* A token of the model's vocabulary as bytes. */
static int put_token(struct tpo_tokenizer *tok, const char *text, size_t len, int64_t id,
                     struct tpo_buf *bytes, struct tpo_error *err)
{
  enum tpo_token_kind kind = tpo_token_read(tok->bpe.byte_level, bytes, &text, &len);
  if (bytes->failed) return tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the vocabulary", tok->place);
  return tpo_vocab_put(&tok->vocab, id, text, len, kind, tok->place, err);
}

static int load_vocab(struct tpo_tokenizer *tok, struct tpo_scan scan, size_t n_added, struct tpo_error *err)
{
  /* A token takes six bytes of the file or more. */
  int64_t limit = 2 * (int64_t)((size_t)(scan.end - scan.at) / 6 + n_added) + TPO_VOCAB_HOLES;
  struct tpo_buf bytes = {0}, escaped = {0};
  size_t n = 0;
  int status = TPO_OK;
  bool more = tpo_scan_take(&scan, '{') && !tpo_scan_take(&scan, '}');
  while (more && status == TPO_OK) {
    const char *text;
    size_t len;
    int64_t id = -1;
    if (!tpo_scan_string(&scan, &escaped, &text, &len) || !tpo_scan_take(&scan, ':') ||
        !tpo_scan_int(&scan, &id) || id >= limit)
      status = tpo_fail(err, TPO_E_INPUT,
                        "%s: tokenizer.json: in model.vocab, after %zu tokens, "
                        "a token and an id of 0..%lld were expected",
                        tok->place, n, (long long)limit - 1);
    else
      status = put_token(tok, text, len, id, &bytes, err);
    n++;
    more = tpo_scan_take(&scan, ',');
  }
  if (status == TPO_OK && scan.at != scan.end && !tpo_scan_take(&scan, '}'))
    status = tpo_fail(err, TPO_E_INPUT, "%s: tokenizer.json: model.vocab is malformed", tok->place);
  tpo_buf_free(&bytes);
  tpo_buf_free(&escaped);
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

/* One merge, as "a b" or ["a", "b"]. The halves are in the file or in bufs. */
static bool scan_merge(struct tpo_scan *scan, struct tpo_buf bufs[2], const char *half[2], size_t len[2])
{
  if (tpo_scan_take(scan, '['))
    return tpo_scan_string(scan, &bufs[0], &half[0], &len[0]) && tpo_scan_take(scan, ',') &&
           tpo_scan_string(scan, &bufs[1], &half[1], &len[1]) && tpo_scan_take(scan, ']');
  size_t all;
  if (!tpo_scan_string(scan, &bufs[0], &half[0], &all)) return false;
  const char *space = memchr(half[0], ' ', all);
  if (!space) return false;
  len[0] = (size_t)(space - half[0]);
  half[1] = space + 1;
  len[1] = all - len[0] - 1;
  return !memchr(half[1], ' ', len[1]);
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
  if (tpo_token_text_kind(&tok->vocab.tokens[id]) != TPO_TOKEN_NORMAL) return TPO_OK;
  return tpo_bpe_put(&tok->bpe, left, right, (int32_t)rank, id, err);
}

static int load_merge(struct tpo_tokenizer *tok, struct tpo_scan *scan, size_t rank, struct tpo_buf bufs[3],
                      struct tpo_error *err)
{
  const char *half[2];
  size_t len[2];
  int32_t ids[2];
  if (!scan_merge(scan, bufs, half, len))
    return tpo_fail(err, TPO_E_INPUT, "%s: tokenizer.json: merge %zu must be \"a b\" or [\"a\", \"b\"]",
                    tok->place, rank);
  for (int i = 0; i < 2; i++) {
    ids[i] = find_half(tok, half[i], len[i], &bufs[2]);
    if (ids[i] < 0)
      return tpo_fail(err, TPO_E_INPUT,
                      "%s: tokenizer.json: merge %zu names \"%.*s\", which model.vocab does not have",
                      tok->place, rank, (int)(len[i] < 80 ? len[i] : 80), half[i]);
  }
  return tpo_tokenizer_put_merge(tok, ids[0], ids[1], rank, &bufs[2], err);
}

static int load_merges(struct tpo_tokenizer *tok, struct tpo_scan scan, struct tpo_error *err)
{
  size_t n = 0; /* commas: one a merge, two where merges are arrays; those in strings only add */
  for (const char *c = scan.at; c < scan.end && n < INT32_MAX / 2; c++) n += *c == ',';
  struct tpo_scan peek = scan;
  bool arrays = tpo_scan_take(&peek, '[') && tpo_scan_take(&peek, '[');
  int status = tpo_bpe_reserve(&tok->bpe, (arrays ? n / 2 : n) + 1, err);
  struct tpo_buf bufs[3] = {{0}};
  bool more = tpo_scan_take(&scan, '[') && !tpo_scan_take(&scan, ']');
  for (size_t rank = 0; more && status == TPO_OK; rank++) {
    status = load_merge(tok, &scan, rank, bufs, err);
    more = tpo_scan_take(&scan, ',');
  }
  if (status == TPO_OK && scan.at != scan.end && !tpo_scan_take(&scan, ']'))
    status = tpo_fail(err, TPO_E_INPUT, "%s: tokenizer.json: model.merges is malformed", tok->place);
  for (int i = 0; i < 3; i++) tpo_buf_free(&bufs[i]);
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
        "%s: tokenizer.json: a BPE model with neither a ByteLevel pre_tokenizer nor byte_fallback loses text and is not supported",
        tok->place);
  if (!unk) return TPO_OK;
  size_t len = json_string_length(json_object_get(model, "unk_token"));
  tok->unk = tpo_vocab_find(&tok->vocab, unk, len);
  const struct tpo_added_token *added = tpo_added_find(&tok->specials, unk, len);
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
  size_t len = json_string_length(json_object_get(item, "content")); /* which may hold NUL */
  if (status == TPO_OK && id < 0) status = tpo_json_get_int(item, "id", 0, limit, &id, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_bool(item, "special", &token.special, tok->place, err);
  token.normalized = !token.special;
  if (status == TPO_OK) status = tpo_json_get_bool(item, "normalized", &token.normalized, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_bool(item, "lstrip", &token.lstrip, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_bool(item, "rstrip", &token.rstrip, tok->place, err);
  if (status == TPO_OK) status = tpo_json_get_bool(item, "single_word", &token.single_word, tok->place, err);
  if (status < 0) return status;
  if (len == 0 || id < 0 || id > limit)
    return tpo_fail(err, TPO_E_INPUT, "%s: an added token must have a content and an id of 0..%lld",
                    tok->place, (long long)limit);
  token.id = (int32_t)id;
  const struct tpo_added_token *other = tpo_added_find(&tok->specials, content, len);
  if (other && other->id != token.id)
    return tpo_fail(err, TPO_E_INPUT, "%s: the added token \"%.80s\" has two ids, %d and %d", tok->place,
                    content, other->id, token.id);
  return tpo_tokenizer_add(tok, content, len, token, err);
}

static int load_root(struct tpo_tokenizer *tok, const json_t *root, const struct tpo_scan_parts *parts,
                     struct tpo_error *err)
{
  const json_t *model = json_object_get(root, "model"), *added = json_object_get(root, "added_tokens");
  int status = check_model(tok, model, err);
  if (status < 0) return status;
  if (!parts->vocab.at || *parts->vocab.at != '{' || !parts->merges.at || *parts->merges.at != '[')
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: tokenizer.json: an object model.vocab and an array model.merges were expected",
                    tok->place);
  status = tpo_tokenizer_load_pipeline(tok, root, &tok->bpe.byte_level, err);
  if (status == TPO_OK) status = load_vocab(tok, parts->vocab, json_array_size(added), err);
  int64_t limit = 2 * (int64_t)(tok->vocab.n + json_array_size(added)) + TPO_VOCAB_HOLES;
  for (size_t i = 0; i < json_array_size(added) && status == TPO_OK; i++)
    status = tpo_tokenizer_load_added(tok, json_array_get(added, i), -1, limit, err);
  if (status == TPO_OK) status = tpo_vocab_index(&tok->vocab, tok->place, err);
  if (status == TPO_OK) status = load_flags(tok, model, err);
  if (status == TPO_OK) status = load_merges(tok, parts->merges, err);
  if (status == TPO_OK) status = tpo_tokenizer_load_post(tok, json_object_get(root, "post_processor"), err);
  return status;
}

int tpo_tokenizer_load_files(struct tpo_tokenizer *tok, struct tpo_error *err)
{
  char place[512];
  snprintf(place, sizeof place, "%.400s: tokenizer.json", tok->place);
  const struct tpo_text_file *file = &tok->files[TPO_FILE_TOKENIZER];
  struct tpo_scan_parts parts;
  bool split = tpo_scan_split(file->bytes, file->len, &parts);
  /* What can't be split goes to the JSON library whole, for its message about the place. */
  json_t *root = split ? tpo_json_parse(parts.rest.data, parts.rest.len, place, err)
                       : tpo_json_parse(file->bytes, file->len, place, err);
  int status = !root ? (err ? err->code : TPO_E_INPUT)
               : !split
                   ? tpo_fail(err, TPO_E_INPUT, "%s: an object with an object \"model\" was expected", place)
                   : load_root(tok, root, &parts, err);
  json_decref(root);
  tpo_buf_free(&parts.rest);
  if (status == TPO_OK) status = tpo_tokenizer_load_settings(tok, err);
  if (status == TPO_OK) status = tpo_tokenizer_finish(tok, err);
  return status;
}
