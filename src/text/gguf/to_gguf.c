/* A tokenizer as the metadata of a GGUF file: byte-level BPE ("gpt2"), which has merges, SentencePiece's BPE ("llama"),
 * which has scores in their place, or its pieces with other merges than SentencePiece's ("gemma4"). */
#include "text/gguf/to_gguf.h"

#include <stdlib.h>
#include <string.h>

#include "text/gguf/pre.h"
#include "text/tokenizer.h"

#define KEY "tokenizer.ggml."

enum gguf_token_type { GGUF_NORMAL = 1, GGUF_UNKNOWN, GGUF_CONTROL, GGUF_USER, GGUF_UNUSED, GGUF_BYTE };

static int refuse(const struct tpo_tokenizer *tok, const char *what, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: a tokenizer with %s can't be told in GGUF", tok->place, what);
}

static void put_text(struct tpo_gguf_writer *w, const char *key, const char *text)
{
  tpo_gguf_put_string(w, key, text, strlen(text));
}

/* NFC is not told, here or upstream: warned of below. */
static int check_normalizer(const struct tpo_tokenizer *tok, struct tpo_error *err)
{
  for (size_t i = 0; i < tok->normalizer.n; i++) {
    const struct tpo_normal_step *step = &tok->normalizer.steps[i];
    bool spaces = step->kind == TPO_NORMAL_PREPEND ||
                  (step->kind == TPO_NORMAL_REPLACE && step->what_len == 1 && step->what[0] == ' ' &&
                   step->by_len == strlen(TPO_META) && memcmp(step->by, TPO_META, step->by_len) == 0);
    if (tok->bpe.byte_level ? step->kind != TPO_NORMAL_NFC : !spaces)
      return refuse(tok, "such a normalizer", err);
  }
  return 0;
}

/* What cuts at spaces changes nothing for SentencePiece, whose tokens have them at their beginning alone. */
static int check_splits(const struct tpo_tokenizer *tok, struct tpo_error *err)
{
  for (size_t i = 0; i < tok->pre.n_splits; i++)
    if (strcmp(tok->pre.splits[i].pattern, " ") != 0 && strcmp(tok->pre.splits[i].pattern, TPO_META) != 0)
      return tpo_fail(
          err, TPO_E_UNSUPPORTED,
          "%s: a tokenizer of SentencePiece's kind with the split \"%.80s\" can't be told in GGUF",
          tok->place, tok->pre.splits[i].pattern);
  return 0;
}

static bool ids_are(const struct tpo_ids *list, int32_t id)
{
  return list->n == 0 || (list->n == 1 && list->ids[0] == id);
}

static int check_frame(const struct tpo_tokenizer *tok, struct tpo_error *err)
{
  if (!ids_are(&tok->prefix, tok->bos))
    return refuse(tok, "other tokens before a text than its begin token", err);
  if (!ids_are(&tok->suffix, tok->eos))
    return refuse(tok, "other tokens after a text than its end token", err);
  if (tok->pre.prefix_space) return refuse(tok, "add_prefix_space", err);
  return 0;
}

/* What llama.cpp does otherwise with some texts; upstream's conversion doesn't tell it, either. */
static void warn(const struct tpo_tokenizer *tok)
{
  size_t n = 0;
  bool nfc = false;
  for (size_t i = 0; i < tok->normalizer.n; i++) nfc |= tok->normalizer.steps[i].kind == TPO_NORMAL_NFC;
  if (nfc)
    tpo_log(
        TPO_LOG_WARN,
        "%s: this tokenizer brings texts into Unicode's normal form NFC; GGUF can't tell that, and llama.cpp "
        "gives other tokens for the few texts that aren't in it",
        tok->place);
  for (size_t i = 0; i < tok->specials.n_tokens; i++) {
    const struct tpo_added_token *token = &tok->specials.tokens[i];
    n += token->lstrip || token->rstrip || token->single_word;
  }
  if (n > 0)
    tpo_log(
        TPO_LOG_WARN,
        "%s: %zu added tokens take spaces beside them, or stand for whole words alone; GGUF can't tell that, "
        "and llama.cpp takes their names wherever they are, and nothing beside them",
        tok->place, n);
  if (tok->pre.metaspace && tok->pre.prepend != TPO_PREPEND_NEVER)
    tpo_log(TPO_LOG_WARN, "%s: llama.cpp puts a space before every stretch of text; this tokenizer only %s",
            tok->place,
            tok->pre.prepend == TPO_PREPEND_FIRST ? "before the first, where it begins with none"
                                                  : "where it begins with none");
}

static enum gguf_token_type type_of(const struct tpo_tokenizer *tok, int32_t id)
{
  static const enum gguf_token_type types[] = {
      [TPO_TOKEN_ABSENT] = GGUF_UNUSED, [TPO_TOKEN_NORMAL] = GGUF_NORMAL, [TPO_TOKEN_CONTROL] = GGUF_CONTROL,
      [TPO_TOKEN_USER] = GGUF_USER,     [TPO_TOKEN_BYTE] = GGUF_BYTE,     [TPO_TOKEN_LITERAL] = GGUF_UNUSED};
  if ((size_t)id >= tok->vocab.n) return GGUF_UNUSED;
  if (!tok->bpe.byte_level && id == tok->unk) return GGUF_UNKNOWN;
  return types[tok->vocab.tokens[id].kind];
}

/* Holes get names of their own, as upstream: files don't have a name twice. */
static void append_token(const struct tpo_tokenizer *tok, int32_t id, struct tpo_buf *text)
{
  const struct tpo_token *token = (size_t)id < tok->vocab.n ? &tok->vocab.tokens[id] : NULL;
  tpo_buf_clear(text);
  if (!token || token->kind == TPO_TOKEN_ABSENT || token->len == 0)
    tpo_buf_printf(text, "[PAD%d]", id);
  else
    tpo_token_append(tok, token, text);
}

static int put_tokens(const struct tpo_tokenizer *tok, int vocab_size, struct tpo_gguf_writer *w,
                      struct tpo_error *err)
{
  struct tpo_buf text = {0};
  bool failed = false;
  tpo_gguf_put_array(w, KEY "tokens", TPO_GGUF_STRING, (uint64_t)vocab_size);
  for (int32_t id = 0; id < vocab_size && !failed; id++) {
    append_token(tok, id, &text);
    failed = text.failed;
    tpo_gguf_add_string(w, text.data ? text.data : "", text.len);
  }
  tpo_buf_free(&text);
  tpo_gguf_put_array(w, KEY "token_type", TPO_GGUF_I32, (uint64_t)vocab_size);
  for (int32_t id = 0; id < vocab_size; id++) {
    int32_t type = type_of(tok, id);
    tpo_gguf_add_item(w, &type, sizeof type);
  }
  return failed ? tpo_fail(err, TPO_E_MEMORY, "%s: no memory for its tokens", tok->place) : 0;
}

static int by_rank(const void *a, const void *b)
{
  const struct tpo_merge *x = a, *y = b;
  return (x->rank > y->rank) - (x->rank < y->rank);
}

/* All merges [tok->bpe.n] by rank; NULL: no memory. */
static struct tpo_merge *sorted_merges(const struct tpo_tokenizer *tok, struct tpo_error *err)
{
  struct tpo_merge *merges = tpo_calloc(tok->bpe.n + 1, sizeof *merges, err);
  if (!merges) return NULL;
  size_t n = 0;
  for (size_t i = 0; tok->bpe.slots && i <= tok->bpe.mask; i++)
    if (tok->bpe.slots[i].left >= 0) merges[n++] = tok->bpe.slots[i];
  qsort(merges, n, sizeof *merges, by_rank);
  return merges;
}

static int put_merges(const struct tpo_tokenizer *tok, const struct tpo_merge *merges,
                      struct tpo_gguf_writer *w, struct tpo_error *err)
{
  struct tpo_buf text = {0};
  bool failed = false;
  tpo_gguf_put_array(w, KEY "merges", TPO_GGUF_STRING, tok->bpe.n);
  for (size_t i = 0; i < tok->bpe.n && !failed; i++) {
    tpo_buf_clear(&text);
    tpo_token_append(tok, &tok->vocab.tokens[merges[i].left], &text);
    tpo_buf_putc(&text, ' ');
    tpo_token_append(tok, &tok->vocab.tokens[merges[i].right], &text);
    failed = text.failed;
    tpo_gguf_add_string(w, text.data ? text.data : "", text.len);
  }
  tpo_buf_free(&text);
  return failed ? tpo_fail(err, TPO_E_MEMORY, "%s: no memory for its merges", tok->place) : 0;
}

/* The score of a token follows from the rank of its merges: SentencePiece merges what makes the token of the
 * highest score, so that all ways to make one must come before all ways to make the next; where they don't, there
 * are no such scores. (Added tokens are found before anything is merged.) */
static bool rank_tokens(const struct tpo_tokenizer *tok, const struct tpo_merge *merges, float *scores)
{
  int32_t last = -1;
  for (size_t i = 0; i < tok->bpe.n; i++) {
    int32_t id = merges[i].id;
    if (id != last && scores[id] != 0 && tok->vocab.tokens[id].kind == TPO_TOKEN_NORMAL) return false;
    if (scores[id] == 0) scores[id] = -(float)(i + 1);
    last = id;
  }
  return true;
}

static void put_scores(const struct tpo_tokenizer *tok, float *scores, int vocab_size,
                       struct tpo_gguf_writer *w)
{
  const float lowest = -(float)(tok->bpe.n + 2);
  tpo_gguf_put_array(w, KEY "scores", TPO_GGUF_F32, (uint64_t)vocab_size);
  for (int32_t id = 0; id < vocab_size; id++) {
    if (type_of(tok, id) == GGUF_NORMAL && scores[id] == 0) scores[id] = lowest;
    tpo_gguf_add_item(w, &scores[id], sizeof scores[id]);
  }
}

static int put_byte_level(const struct tpo_tokenizer *tok, const struct tpo_merge *merges,
                          struct tpo_gguf_writer *w, struct tpo_error *err)
{
  const struct tpo_gguf_pre *pre;
  int status = tpo_gguf_pre_of(tok, &pre, err);
  if (status < 0) return status;
  if (!pre)
    return tpo_fail(
        err, TPO_E_UNSUPPORTED,
        "%s: its pre_tokenizer (%zu splits, the last by \"%.60s\"; ignore_merges %s) has no name in GGUF; expected the "
        "splits of one of the %zu that are known",
        tok->place, tok->pre.n_splits,
        tok->pre.n_splits ? tok->pre.splits[tok->pre.n_splits - 1].pattern : "",
        tok->bpe.ignore_merges ? "true" : "false", tpo_n_gguf_pres);
  put_text(w, KEY "model", "gpt2");
  put_text(w, KEY "pre", pre->name);
  return put_merges(tok, merges, w, err);
}

/* Whether a space is put before a text. */
static bool puts_space(const struct tpo_tokenizer *tok)
{
  bool space = tok->pre.metaspace && tok->pre.prepend != TPO_PREPEND_NEVER;
  for (size_t i = 0; i < tok->normalizer.n; i++)
    space = space || tok->normalizer.steps[i].kind == TPO_NORMAL_PREPEND;
  return space;
}

static int put_merged_pieces(const struct tpo_tokenizer *tok, const struct tpo_merge *merges,
                             struct tpo_gguf_writer *w, struct tpo_error *err)
{
  if (puts_space(tok))
    return refuse(
        tok,
        "byte_fallback, a space before texts and merges that are not SentencePiece's (those that make a "
        "token don't follow each other)",
        err);
  put_text(w, KEY "model", "gemma4");
  put_text(w, KEY "pre", "gemma4");
  tpo_log(
      TPO_LOG_WARN,
      "%s: its merges are not SentencePiece's, so that it becomes a tokenizer of the kind \"gemma4\"; llama.cpp "
      "cuts texts of that kind at newlines, which this tokenizer merges through",
      tok->place);
  return put_merges(tok, merges, w, err);
}

static int put_pieces(const struct tpo_tokenizer *tok, const struct tpo_merge *merges, int vocab_size,
                      struct tpo_gguf_writer *w, struct tpo_error *err)
{
  int status = check_splits(tok, err);
  if (status < 0) return status;
  if (!tok->visible_space) return refuse(tok, "byte_fallback and pieces without visible spaces", err);
  float *scores = tpo_calloc((size_t)vocab_size + tok->vocab.n, sizeof *scores, err);
  if (!scores) return TPO_E_MEMORY;
  tpo_gguf_put_bool(w, KEY "add_space_prefix", puts_space(tok));
  if (rank_tokens(tok, merges, scores)) {
    put_text(w, KEY "model", "llama");
    put_text(w, KEY "pre", "default");
    put_scores(tok, scores, vocab_size, w);
  } else {
    status = put_merged_pieces(tok, merges, w, err);
  }
  free(scores);
  return status;
}

/* A text ends with the tokenizer's end token, or with another of the generation's; llama.cpp has places for
 * three, and finds more by their names. */
static void put_ids(const struct tpo_tokenizer *tok, struct tpo_gguf_writer *w)
{
  const int32_t eos = tok->eos >= 0 || tok->ends.n == 0 ? tok->eos : tok->ends.ids[0];
  const char *const more[] = {KEY "eot_token_id", KEY "eom_token_id"};
  const struct {
    const char *key;
    int32_t id;
  } ids[] = {{KEY "bos_token_id", tok->bos},
             {KEY "eos_token_id", eos},
             {KEY "unknown_token_id", tok->unk},
             {KEY "padding_token_id", tok->pad}};
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
    if (ids[i].id >= 0) tpo_gguf_put_u32(w, ids[i].key, (uint32_t)ids[i].id);
  size_t n = 0;
  for (size_t i = 0; i < tok->ends.n && n < 2; i++)
    if (tok->ends.ids[i] != eos) tpo_gguf_put_u32(w, more[n++], (uint32_t)tok->ends.ids[i]);
  tpo_gguf_put_bool(w, KEY "add_bos_token", tok->prefix.n > 0);
  tpo_gguf_put_bool(w, KEY "add_eos_token", tok->suffix.n > 0);
}

int tpo_tokenizer_put_gguf(const struct tpo_tokenizer *tok, int vocab_size, struct tpo_gguf_writer *w,
                           struct tpo_error *err)
{
  int status = tpo_tokenizer_check_vocab(tok, vocab_size, err);
  if (status == 0) status = check_normalizer(tok, err);
  if (status == 0) status = check_frame(tok, err);
  if (status == 0) status = put_tokens(tok, vocab_size, w, err);
  struct tpo_merge *merges = status < 0 ? NULL : sorted_merges(tok, err);
  if (!merges) return status < 0 ? status : TPO_E_MEMORY;
  status =
      tok->bpe.byte_level ? put_byte_level(tok, merges, w, err) : put_pieces(tok, merges, vocab_size, w, err);
  free(merges);
  if (status < 0) return status;
  warn(tok);
  put_ids(tok, w);
  if (tok->chat_template) put_text(w, "tokenizer.chat_template", tok->chat_template);
  if (tok->tool_template) put_text(w, "tokenizer.chat_template.tool_use", tok->tool_template);
  return 0;
}
