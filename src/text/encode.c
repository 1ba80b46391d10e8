/* Text to ids: added tokens are found first, what lies between is normalised, cut and merged. */
#include <string.h>
#include "base/utf8.h"
#include "text/tokenizer.h"

struct encoder {
  const struct tpo_tokenizer *tok;
  bool specials;  /* special tokens' names become those tokens */
  bool continues; /* the text continues another: nothing is put before it */
  struct tpo_bpe_scratch bpe;
  struct tpo_pre_scratch pre;
  struct tpo_buf normal[2];
  struct tpo_ids *out;
  struct tpo_error *err;
};

static void encoder_free(struct encoder *e)
{
  tpo_bpe_scratch_free(&e->bpe);
  tpo_pre_scratch_free(&e->pre);
  tpo_buf_free(&e->normal[0]);
  tpo_buf_free(&e->normal[1]);
}

static int encode_pieces(struct encoder *e, const char *text, size_t len, bool at_start, bool begins)
{
  const char *pieces_of;
  int status = tpo_pretokenize(&e->tok->pre, text, len, at_start, begins, &e->pre, &pieces_of, e->err);
  for (size_t i = 0; i < e->pre.pieces.n && status == TPO_OK; i++) {
    struct tpo_piece piece = e->pre.pieces.items[i];
    status = tpo_bpe_encode(&e->tok->bpe, &e->tok->vocab, pieces_of + piece.begin, piece.end - piece.begin,
                            &e->bpe, e->out, e->err);
  }
  return status;
}

/* A stretch of valid UTF-8 without added tokens of the first kind. */
static int encode_valid(struct encoder *e, const char *text, size_t len, bool at_start, bool begins)
{
  int status = tpo_normalize(&e->tok->normalizer, &text, &len, begins, e->normal, e->err);
  size_t from = 0;
  struct tpo_added_match match;
  while (status == TPO_OK &&
         tpo_added_next(&e->tok->added_normalized, text, len, from, e->specials, &match)) {
    if (match.begin > from)
      status = encode_pieces(e, text + from, match.begin - from, at_start && from == 0, begins);
    if (status == TPO_OK) status = tpo_ids_append(e->out, &match.token->id, 1, e->err);
    from = match.end;
  }
  if (status == TPO_OK && from < len)
    status = encode_pieces(e, text + from, len - from, at_start && from == 0, begins);
  return status;
}

/* Each byte as the token of that byte: what is not UTF-8, and U+2581 where it would read as a space. A byte
 * that the vocabulary lacks is the unknown token or left out, as in merging. */
static int encode_bytes(struct encoder *e, const char *bytes, size_t len)
{
  const struct tpo_bpe *bpe = &e->tok->bpe;
  for (size_t i = 0; i < len; i++) {
    int32_t id = bpe->byte_ids[(uint8_t)bytes[i]];
    if (id < 0) id = bpe->unk;
    if (id < 0) continue;
    int status = tpo_ids_append(e->out, &id, 1, e->err);
    if (status < 0) return status;
  }
  return TPO_OK;
}

/* How many bytes at text must be encoded one by one: 0 when a code point of ordinary text stands there. */
static size_t raw_bytes(const struct encoder *e, const char *text, size_t len, int *used)
{
  uint32_t cp;
  *used = tpo_utf8_decode((const uint8_t *)text, len, &cp);
  if (*used == 0) return 1;
  if (cp != 0x2581 || !e->tok->visible_space) return 0;
  for (int i = 0; i < 3; i++)
    if (e->tok->bpe.byte_ids[(uint8_t)text[i]] < 0) return 0;
  return 3;
}

/* A stretch between added tokens. Only where it begins may a space be put before it. */
static int encode_stretch(struct encoder *e, const char *text, size_t len, bool at_start)
{
  bool begins = !(e->continues && at_start);
  size_t from = 0;
  int status = TPO_OK;
  for (size_t at = 0; at < len && status == TPO_OK;) {
    int used;
    size_t raw = raw_bytes(e, text + at, len - at, &used);
    if (raw == 0) {
      at += (size_t)used;
      continue;
    }
    if (at > from)
      status = encode_valid(e, text + from, at - from, at_start && from == 0, begins && from == 0);
    if (status == TPO_OK) status = encode_bytes(e, text + at, raw);
    from = at += raw;
  }
  if (status == TPO_OK && from < len)
    status = encode_valid(e, text + from, len - from, at_start && from == 0, begins && from == 0);
  return status;
}

static int encode_text(struct encoder *e, const char *text, size_t len, bool at_start)
{
  size_t from = 0;
  int status = TPO_OK;
  struct tpo_added_match match;
  while (status == TPO_OK && tpo_added_next(&e->tok->added, text, len, from, e->specials, &match)) {
    if (match.begin > from)
      status = encode_stretch(e, text + from, match.begin - from, at_start && from == 0);
    if (status == TPO_OK) status = tpo_ids_append(e->out, &match.token->id, 1, e->err);
    from = match.end;
  }
  if (status == TPO_OK && from < len)
    status = encode_stretch(e, text + from, len - from, at_start && from == 0);
  return status;
}

int tpo_tokenizer_encode_plain(const struct tpo_tokenizer *tok, const char *text, size_t len, bool at_start,
                               struct tpo_ids *out, struct tpo_error *err)
{
  struct encoder e = {.tok = tok, .out = out, .err = err};
  int status = encode_text(&e, text, len, at_start);
  encoder_free(&e);
  return status;
}

int tpo_tokenizer_encode(const struct tpo_tokenizer *tok, const char *text, size_t len, unsigned flags,
                         struct tpo_ids *out, struct tpo_error *err)
{
  int status = TPO_OK;
  size_t before = out->n;
  if (flags & TPO_ENCODE_BOS_EOS) status = tpo_ids_append(out, tok->prefix.ids, tok->prefix.n, err);
  if (status == TPO_OK) {
    struct encoder e = {.tok = tok,
                        .specials = flags & TPO_ENCODE_SPECIAL,
                        .continues = flags & TPO_ENCODE_CONTINUE,
                        .out = out,
                        .err = err};
    status = encode_text(&e, text, len, true);
    encoder_free(&e);
  }
  if (status == TPO_OK && flags & TPO_ENCODE_BOS_EOS)
    status = tpo_ids_append(out, tok->suffix.ids, tok->suffix.n, err);
  if (status < 0) out->n = before;
  return status;
}

int tpo_tokenizer_decode(const struct tpo_tokenizer *tok, const int32_t *ids, size_t n, bool special,
                         struct tpo_buf *out, struct tpo_error *err)
{
  bool strip = tok->strip_space;
  for (size_t i = 0; i < n; i++) {
    if (ids[i] < 0 || (size_t)ids[i] >= tok->vocab.n || tok->vocab.tokens[ids[i]].kind == TPO_TOKEN_ABSENT)
      return tpo_fail(err, TPO_E_INPUT, "%s: there is no token with the id %d", tok->place, ids[i]);
    const struct tpo_token *token = &tok->vocab.tokens[ids[i]];
    bool silent = tpo_tokenizer_is_silent(tok, ids[i]);
    if (silent || token->kind == TPO_TOKEN_USER) {
      if (!silent || special) tpo_buf_append(out, token->shown, token->shown_len);
      strip = tok->strip_each || (strip && i < tok->prefix.n && ids[i] == tok->prefix.ids[i]);
      continue;
    }
    size_t skip = strip && tpo_token_text_kind(token) == TPO_TOKEN_NORMAL && token->shown_len > 0 &&
                  token->shown[0] == ' ';
    tpo_buf_append(out, token->shown + skip, token->shown_len - skip);
    strip = false;
  }
  return out->failed ? tpo_fail(err, TPO_E_MEMORY, "no memory to decode %zu ids", n) : TPO_OK;
}
