/* The tokenizer that a GGUF carries in its metadata: byte-level BPE ("gpt2"), SentencePiece's BPE ("llama"), which has
 * scores, or the same pieces with merges ("gemma4"). */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "store/gguf.h"
#include "text/gguf/pre.h"
#include "text/tokenizer.h"

#define KEY "tokenizer.ggml."

enum gguf_token_type { GGUF_NORMAL = 1, GGUF_UNKNOWN, GGUF_CONTROL, GGUF_USER, GGUF_UNUSED, GGUF_BYTE };

static bool is(struct tpo_gguf_string s, const char *text)
{
  return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* An array of `count` items of 4 bytes; NULL when there is none. */
static int get_array(const struct tpo_gguf *gguf, const char *key, enum tpo_gguf_type type,
                     enum tpo_gguf_type other, uint64_t count, const uint8_t **out, struct tpo_error *err)
{
  const struct tpo_gguf_value *value = tpo_gguf_find(gguf, key);
  *out = NULL;
  if (!value) return TPO_OK;
  if (value->type != TPO_GGUF_ARRAY || (value->item_type != type && value->item_type != other) ||
      value->count != count)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s must be an array of %llu numbers, one a token", gguf->path, key,
                    (unsigned long long)count);
  *out = value->data;
  return TPO_OK;
}

static int32_t item_i32(const uint8_t *data, uint64_t i)
{
  int32_t v;
  memcpy(&v, data + 4 * i, 4);
  return v;
}

static float item_f32(const uint8_t *data, uint64_t i)
{
  float v;
  memcpy(&v, data + 4 * i, 4);
  return v;
}

static bool is_byte_name(struct tpo_gguf_string s)
{
  static const char hex[] = "0123456789ABCDEF";
  return s.len == 6 && memcmp(s.data, "<0x", 3) == 0 && s.data[5] == '>' && memchr(hex, s.data[3], 16) &&
         memchr(hex, s.data[4], 16);
}

/* A token of the model's own, whatever it is besides. Of a byte only the name counts: not all files mark
 * it. */
static int put_own(struct tpo_tokenizer *tok, struct tpo_gguf_string s, uint64_t id, struct tpo_buf *work,
                   struct tpo_error *err)
{
  const char *bytes = s.data;
  size_t len = s.len;
  enum tpo_token_kind kind = tpo_token_read(tok->bpe.byte_level, work, &bytes, &len);
  if (work->failed) return tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the vocabulary", tok->place);
  return tpo_vocab_put(&tok->vocab, (int64_t)id, bytes, len, kind, tok->place, err);
}

/* Whether text is made of a special or an added token, too: of one symbol it is. Whether the model has a
 * longer one, the file doesn't say. */
static bool is_symbol(const struct tpo_tokenizer *tok, struct tpo_gguf_string s)
{
  uint32_t cp = 0;
  int used = tpo_utf8_decode((const uint8_t *)s.data, s.len, &cp);
  if (tok->bpe.byte_level) return s.len == 1 && cp > 0x20 && cp < 0x7f;
  return (size_t)used == s.len || is_byte_name(s);
}

/* Phi 3's added tokens take the spaces after them, but for three. No key tells; upstream knows them by the model's
 * name, too. */
static bool takes_spaces(const struct tpo_gguf *gguf, struct tpo_gguf_string s)
{
  struct tpo_gguf_string architecture = {"", 0}, model = {"", 0};
  if (tpo_gguf_get_string(gguf, "general.architecture", &architecture, NULL) <= 0 ||
      tpo_gguf_get_string(gguf, KEY "model", &model, NULL) <= 0)
    return false;
  return is(architecture, "phi3") && is(model, "llama") && !is(s, "<unk>") && !is(s, "<s>") &&
         !is(s, "<|endoftext|>");
}

static int put_token(struct tpo_tokenizer *tok, const struct tpo_gguf *gguf, struct tpo_gguf_string s,
                     uint64_t id, int32_t type, struct tpo_buf *work, struct tpo_error *err)
{
  if (!tpo_utf8_valid(s.data, s.len, NULL))
    return tpo_fail(err, TPO_E_INPUT, "%s: token %llu of %stokens is not UTF-8", tok->place,
                    (unsigned long long)id, KEY);
  if (type == GGUF_CONTROL || type == GGUF_UNKNOWN || type == GGUF_USER) {
    if (s.len == 0) return tpo_vocab_put(&tok->vocab, (int64_t)id, "", 0, TPO_TOKEN_LITERAL, tok->place, err);
    struct tpo_added_token token = {
        .id = (int32_t)id, .special = type != GGUF_USER, .rstrip = takes_spaces(gguf, s)};
    int status = is_symbol(tok, s) ? put_own(tok, s, id, work, err) : TPO_OK;
    return status < 0 ? status : tpo_tokenizer_add(tok, s.data, s.len, token, err);
  }
  if (type == GGUF_UNUSED)
    return tpo_vocab_put(&tok->vocab, (int64_t)id, s.data, s.len, TPO_TOKEN_LITERAL, tok->place, err);
  if (type == GGUF_BYTE && !tok->bpe.byte_level && !is_byte_name(s))
    return tpo_fail(err, TPO_E_INPUT, "%s: token %llu is a byte, but its name is not <0xXX>", tok->place,
                    (unsigned long long)id);
  return put_own(tok, s, id, work, err);
}

static int load_tokens(struct tpo_tokenizer *tok, const struct tpo_gguf *gguf, struct tpo_error *err)
{
  const struct tpo_gguf_value *tokens = tpo_gguf_find(gguf, KEY "tokens");
  if (!tokens || tokens->type != TPO_GGUF_ARRAY || tokens->item_type != TPO_GGUF_STRING)
    return tpo_fail(err, TPO_E_INPUT, "%s: %stokens must be an array of strings", gguf->path, KEY);
  if (tokens->count == 0 || tokens->count > TPO_VOCAB_MAX)
    return tpo_fail(err, TPO_E_INPUT, "%s: %stokens has %llu tokens; 1 to %d were expected", gguf->path, KEY,
                    (unsigned long long)tokens->count, TPO_VOCAB_MAX);
  const uint8_t *types;
  int status = get_array(gguf, KEY "token_type", TPO_GGUF_I32, TPO_GGUF_U32, tokens->count, &types, err);
  if (status < 0) return status;
  struct tpo_buf work = {0};
  uint64_t cursor = 0;
  struct tpo_gguf_string s;
  for (uint64_t id = 0; id < tokens->count && status == TPO_OK; id++) {
    if (tpo_gguf_next_string(tokens, &cursor, &s) != 1)
      status = tpo_fail(err, TPO_E_INPUT, "%s: token %llu of %stokens can't be read", gguf->path,
                        (unsigned long long)id, KEY);
    int32_t type = types ? item_i32(types, id) : GGUF_NORMAL;
    if (status == TPO_OK && (type < GGUF_NORMAL || type > GGUF_BYTE))
      status = tpo_fail(err, TPO_E_INPUT, "%s: token %llu has the type %d; 1 to 6 were expected", gguf->path,
                        (unsigned long long)id, type);
    if (status == TPO_OK) status = put_token(tok, gguf, s, id, type, &work, err);
  }
  tpo_buf_free(&work);
  return status < 0 ? status : tpo_vocab_index(&tok->vocab, tok->place, err);
}

static int32_t find_half(const struct tpo_tokenizer *tok, const char *text, size_t len, struct tpo_buf *work)
{
  if (!tok->bpe.byte_level) return tpo_vocab_find(&tok->vocab, text, len);
  tpo_buf_clear(work);
  tpo_buf_append(work, text, len);
  int64_t n = work->failed ? -1 : tpo_alphabet_decode(text, len, work->data);
  return n < 0 ? -1 : tpo_vocab_find(&tok->vocab, work->data, (size_t)n);
}

static int load_merge(struct tpo_tokenizer *tok, struct tpo_gguf_string s, uint64_t rank,
                      struct tpo_buf *work, struct tpo_error *err)
{
  const char *space = s.len ? memchr(s.data + 1, ' ', s.len - 1) : NULL;
  if (!space)
    return tpo_fail(err, TPO_E_INPUT, "%s: merge %llu is not of the form \"a b\"", tok->place,
                    (unsigned long long)rank);
  const char *half[2] = {s.data, space + 1};
  size_t len[2] = {(size_t)(space - s.data), (size_t)(s.data + s.len - space - 1)};
  int32_t ids[2];
  for (int i = 0; i < 2; i++) {
    ids[i] = find_half(tok, half[i], len[i], work);
    if (ids[i] < 0)
      return tpo_fail(err, TPO_E_INPUT, "%s: merge %llu names \"%.*s\", which the vocabulary does not have",
                      tok->place, (unsigned long long)rank, (int)(len[i] < 80 ? len[i] : 80), half[i]);
  }
  tok->merges[tok->n_merges++] = (struct tpo_merge){ids[0], ids[1], (int32_t)rank, -1};
  return tpo_tokenizer_put_merge(tok, ids[0], ids[1], (size_t)rank, work, err);
}

static int load_merges(struct tpo_tokenizer *tok, const struct tpo_gguf *gguf, struct tpo_error *err)
{
  const struct tpo_gguf_value *merges = tpo_gguf_find(gguf, KEY "merges");
  if (!merges || merges->type != TPO_GGUF_ARRAY || merges->item_type != TPO_GGUF_STRING ||
      merges->count > 4 * TPO_VOCAB_MAX)
    return tpo_fail(err, TPO_E_INPUT, "%s: %smerges must be an array of strings \"a b\"", gguf->path, KEY);
  int status = tpo_bpe_reserve(&tok->bpe, merges->count, err);
  tok->merges = status < 0 ? NULL : tpo_calloc(merges->count, sizeof *tok->merges, err);
  if (!tok->merges) return TPO_E_MEMORY;
  struct tpo_buf work = {0};
  uint64_t cursor = 0;
  struct tpo_gguf_string s;
  for (uint64_t rank = 0; rank < merges->count && status == TPO_OK; rank++) {
    if (tpo_gguf_next_string(merges, &cursor, &s) != 1)
      status =
          tpo_fail(err, TPO_E_INPUT, "%s: merge %llu can't be read", gguf->path, (unsigned long long)rank);
    else
      status = load_merge(tok, s, rank, &work, err);
  }
  tpo_buf_free(&work);
  return status;
}

static int load_byte_level(struct tpo_tokenizer *tok, const struct tpo_gguf *gguf, bool *add_bos,
                           struct tpo_error *err)
{
  struct tpo_gguf_string name = {"", 0};
  int status = tpo_gguf_get_string(gguf, KEY "pre", &name, err);
  if (status < 0) return status;
  if (status == 0)
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "%s: %spre is missing, as in old files, so that it can't be known how text is "
                    "cut into words; convert the model again, or use its Hugging Face folder",
                    gguf->path, KEY);
  const struct tpo_gguf_pre *pre = tpo_gguf_pre_find(name.data, name.len);
  if (!pre)
    return tpo_fail(
        err, TPO_E_UNSUPPORTED,
        "%s: the pre-tokenizer %spre = \"%.*s\" is not one of the %zu that are known, so that it can't be "
        "known how text is cut into words; use the model's Hugging Face folder",
        gguf->path, KEY, (int)(name.len < 80 ? name.len : 80), name.data, tpo_n_gguf_pres);
  tok->gguf_pre = pre->name;
  tok->bpe.byte_level = true;
  tok->bpe.ignore_merges = pre->ignore_merges;
  *add_bos = pre->add_bos;
  status = tpo_gguf_pre_apply(pre, tok, err);
  if (status >= 0) status = load_tokens(tok, gguf, err);
  if (status >= 0) status = load_merges(tok, gguf, err);
  return status;
}

struct scored {
  float score;
  int32_t id;
};

static int by_score(const void *a, const void *b)
{
  const struct scored *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  return x->id < y->id ? -1 : x->id > y->id;
}

/* Every way to make the token of two others. */
static int merges_of_token(struct tpo_tokenizer *tok, int32_t id, int32_t rank, size_t *capacity,
                           struct tpo_error *err)
{
  const struct tpo_token *token = &tok->vocab.tokens[id];
  for (uint32_t cut = 1; cut < token->len; cut++) {
    if (((uint8_t)token->bytes[cut] & 0xc0) == 0x80) continue;
    int32_t left = tpo_vocab_find(&tok->vocab, token->bytes, cut);
    if (left < 0 || tpo_token_text_kind(&tok->vocab.tokens[left]) != TPO_TOKEN_NORMAL) continue;
    int32_t right = tpo_vocab_find(&tok->vocab, token->bytes + cut, token->len - cut);
    if (right < 0 || tpo_token_text_kind(&tok->vocab.tokens[right]) != TPO_TOKEN_NORMAL) continue;
    if (tpo_grow(&tok->merges, capacity, tok->n_merges + 1, sizeof *tok->merges, err) < 0)
      return TPO_E_MEMORY;
    tok->merges[tok->n_merges++] = (struct tpo_merge){left, right, rank, id};
  }
  return TPO_OK;
}

/* SentencePiece merges the pair whose token scores highest: ranks are the scores' places, ties are equal. */
static int merges_of_scores(struct tpo_tokenizer *tok, const uint8_t *scores, struct tpo_error *err)
{
  struct scored *order = tpo_calloc(tok->vocab.n, sizeof *order, err);
  if (!order) return TPO_E_MEMORY;
  size_t n = 0, capacity = 0;
  int status = TPO_OK;
  for (size_t id = 0; id < tok->vocab.n && status == TPO_OK; id++) {
    if (tpo_token_text_kind(&tok->vocab.tokens[id]) != TPO_TOKEN_NORMAL) continue;
    order[n] = (struct scored){item_f32(scores, id), (int32_t)id};
    if (isnan(order[n++].score))
      status = tpo_fail(err, TPO_E_INPUT, "%s: token %zu has no score (NaN)", tok->place, id);
  }
  if (status == TPO_OK) qsort(order, n, sizeof *order, by_score);
  int32_t rank = 0;
  for (size_t i = 0; i < n && status == TPO_OK; i++) {
    if (i > 0 && order[i].score != order[i - 1].score) rank++;
    status = merges_of_token(tok, order[i].id, rank, &capacity, err);
  }
  free(order);
  if (status == TPO_OK) status = tpo_bpe_reserve(&tok->bpe, tok->n_merges, err);
  for (size_t i = 0; i < tok->n_merges && status == TPO_OK; i++)
    status = tpo_bpe_put(&tok->bpe, tok->merges[i].left, tok->merges[i].right, tok->merges[i].rank,
                         tok->merges[i].id, err);
  return status;
}

/* Pieces with visible spaces, and tokens of single bytes for what has no piece. add_space: put before a text, unless
 * the file tells. */
static int load_pieces(struct tpo_tokenizer *tok, const struct tpo_gguf *gguf, bool add_space,
                       struct tpo_error *err)
{
  int status = tpo_gguf_get_bool(gguf, KEY "add_space_prefix", &add_space, err);
  tok->gguf_pre = "";
  tok->visible_space = true;
  tok->strip_space = tok->strip_each = add_space;
  tok->bpe.fuse_unk = true;
  if (status >= 0 && add_space)
    status = tpo_normalizer_add(&tok->normalizer, TPO_NORMAL_PREPEND, "", 0, TPO_META, strlen(TPO_META), err);
  if (status >= 0)
    status =
        tpo_normalizer_add(&tok->normalizer, TPO_NORMAL_REPLACE, " ", 1, TPO_META, strlen(TPO_META), err);
  return status < 0 ? status : load_tokens(tok, gguf, err);
}

static int load_sentencepiece(struct tpo_tokenizer *tok, const struct tpo_gguf *gguf, struct tpo_error *err)
{
  int status = load_pieces(tok, gguf, true, err);
  if (status < 0) return status;
  const uint8_t *scores;
  status = get_array(gguf, KEY "scores", TPO_GGUF_F32, TPO_GGUF_F32, tok->vocab.n, &scores, err);
  if (status < 0) return status;
  if (!scores)
    return tpo_fail(err, TPO_E_INPUT, "%s: a tokenizer of the kind \"llama\" needs %sscores", gguf->path,
                    KEY);
  return merges_of_scores(tok, scores, err);
}

/* llama.cpp cuts such texts at their newlines, and takes a run of them as a token where there is one; the tokenizer
 * itself merges through them. */
static int load_merged_pieces(struct tpo_tokenizer *tok, const struct tpo_gguf *gguf, struct tpo_error *err)
{
  int status = load_pieces(tok, gguf, false, err);
  return status < 0 ? status : load_merges(tok, gguf, err);
}

static int get_id(const struct tpo_tokenizer *tok, const struct tpo_gguf *gguf, const char *key, int32_t *out,
                  struct tpo_error *err)
{
  int64_t id = -1;
  int status = tpo_gguf_get_int(gguf, key, &id, err);
  if (status <= 0) return status;
  if (id < 0 || (uint64_t)id >= tok->vocab.n)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s is %lld, but the vocabulary has %zu tokens", gguf->path, key,
                    (long long)id, tok->vocab.n);
  *out = (int32_t)id;
  return TPO_OK;
}

static int load_ids(struct tpo_tokenizer *tok, const struct tpo_gguf *gguf, bool add_bos,
                    struct tpo_error *err)
{
  int32_t eot = -1, eom = -1, sep = -1, cls = -1, mask = -1;
  bool add_eos = false;
  struct {
    const char *key;
    int32_t *out;
  } ids[] = {{KEY "bos_token_id", &tok->bos},     {KEY "eos_token_id", &tok->eos},
             {KEY "unknown_token_id", &tok->unk}, {KEY "padding_token_id", &tok->pad},
             {KEY "eot_token_id", &eot},          {KEY "eom_token_id", &eom},
             {KEY "seperator_token_id", &sep}, /* spelled so by llama.cpp */
             {KEY "cls_token_id", &cls},          {KEY "mask_token_id", &mask}};
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
    if (get_id(tok, gguf, ids[i].key, ids[i].out, err) < 0) return TPO_E_INPUT;
  if (tpo_gguf_get_bool(gguf, KEY "add_bos_token", &add_bos, err) < 0) return TPO_E_INPUT;
  if (tpo_gguf_get_bool(gguf, KEY "add_eos_token", &add_eos, err) < 0) return TPO_E_INPUT;
  int status = TPO_OK;
  if (add_bos && tok->bos >= 0) status = tpo_ids_append(&tok->prefix, &tok->bos, 1, err);
  if (status == TPO_OK && add_eos && tok->eos >= 0) status = tpo_ids_append(&tok->suffix, &tok->eos, 1, err);
  const int32_t ends[] = {tok->eos, eot, eom};
  for (int i = 0; i < 3 && status == TPO_OK; i++)
    if (ends[i] >= 0 && (i == 0 || ends[i] != tok->eos))
      status = tpo_ids_append(&tok->ends, &ends[i], 1, err);
  if (!tok->bpe.byte_level) tok->bpe.unk = tok->unk;
  static const char *const names[] = {"bos_token", "eos_token", "unk_token", "pad_token",
                                      "sep_token", "cls_token", "mask_token"};
  const int32_t named[] = {tok->bos, tok->eos, tok->unk, tok->pad, sep, cls, mask};
  for (size_t i = 0; i < sizeof names / sizeof *names && status == TPO_OK; i++)
    status = tpo_tokenizer_name_token(tok, names[i], named[i], err);
  return status;
}

static int load_template(const struct tpo_gguf *gguf, const char *key, char **out, struct tpo_error *err)
{
  struct tpo_gguf_string text;
  int found = tpo_gguf_get_string(gguf, key, &text, err);
  if (found <= 0) return found;
  if (!tpo_utf8_valid(text.data, text.len, NULL) || memchr(text.data, 0, text.len))
    return tpo_fail(err, TPO_E_INPUT, "%s: %s is not UTF-8 text", gguf->path, key);
  *out = strndup(text.data, text.len);
  return *out ? TPO_OK : tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the chat template", gguf->path);
}

static int load_chat_template(struct tpo_tokenizer *tok, const struct tpo_gguf *gguf, struct tpo_error *err)
{
  int status = load_template(gguf, "tokenizer.chat_template", &tok->chat_template, err);
  return status < 0 ? status
                    : load_template(gguf, "tokenizer.chat_template.tool_use", &tok->tool_template, err);
}

int tpo_tokenizer_load_gguf(struct tpo_tokenizer *tok, const char *path, struct tpo_error *err)
{
  struct tpo_gguf gguf;
  int status = tpo_gguf_open(&gguf, path, err);
  if (status < 0) return status;
  struct tpo_gguf_string model;
  bool add_bos = true;
  status = tpo_gguf_get_string(&gguf, KEY "model", &model, err);
  if (status == 0 && tpo_gguf_check_whole(&gguf, err) < 0)
    status = TPO_E_UNSUPPORTED;
  else if (status == 0 || (status > 0 && is(model, "none")))
    status = tpo_fail(err, TPO_E_INPUT, "%s: %smodel is %s: the file carries no tokenizer", path, KEY,
                      status ? "none" : "missing");
  else if (status > 0 && is(model, "gpt2"))
    status = load_byte_level(tok, &gguf, &add_bos, err);
  else if (status > 0 && is(model, "llama"))
    status = load_sentencepiece(tok, &gguf, err);
  else if (status > 0 && is(model, "gemma4"))
    status = load_merged_pieces(tok, &gguf, err);
  else if (status > 0)
    status = tpo_fail(
        err, TPO_E_UNSUPPORTED,
        "%s: a tokenizer of the kind %smodel = \"%.*s\" is not supported (gpt2, llama and gemma4 are)", path,
        KEY, (int)(model.len < 80 ? model.len : 80), model.data);
  if (status >= 0) status = load_ids(tok, &gguf, add_bos, err);
  if (status >= 0) status = load_chat_template(tok, &gguf, err);
  tpo_gguf_close(&gguf);
  return status < 0 ? status : tpo_tokenizer_finish(tok, err);
}
