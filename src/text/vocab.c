/* Tokens by id and by bytes, and the printable alphabet of byte-level vocabularies. */
#include "text/vocab.h"

#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/utf8.h"

int tpo_vocab_set(struct tpo_vocab *vocab, int64_t id, const char *bytes, size_t len,
                  enum tpo_token_kind kind, const char *place, struct tpo_error *err)
{
  if (id < 0 || id >= TPO_VOCAB_MAX)
    return tpo_fail(err, TPO_E_INPUT, "%s: token id %lld is outside 0..%d", place, (long long)id,
                    TPO_VOCAB_MAX - 1);
  if (len > UINT32_MAX) return tpo_fail(err, TPO_E_INPUT, "%s: token %lld is too long", place, (long long)id);
  if ((size_t)id >= vocab->n) {
    size_t old = vocab->capacity;
    if (tpo_grow(&vocab->tokens, &vocab->capacity, (size_t)id + 1, sizeof *vocab->tokens, err) < 0)
      return TPO_E_MEMORY;
    if (vocab->capacity > old)
      memset(vocab->tokens + old, 0, (vocab->capacity - old) * sizeof *vocab->tokens);
    vocab->n = (size_t)id + 1;
  }
  char *copy = tpo_arena_memdup(&vocab->arena, bytes, len);
  if (!copy) return tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the vocabulary", place);
  vocab->tokens[id] = (struct tpo_token){
      .bytes = copy, .shown = copy, .len = (uint32_t)len, .shown_len = (uint32_t)len, .kind = (uint8_t)kind};
  return TPO_OK;
}

void tpo_vocab_mark(struct tpo_vocab *vocab, int64_t id, enum tpo_token_kind kind)
{
  struct tpo_token *token = &vocab->tokens[id];
  token->text_kind = (uint8_t)tpo_token_text_kind(token);
  token->kind = (uint8_t)kind;
}

enum tpo_token_kind tpo_token_text_kind(const struct tpo_token *token)
{
  bool added = token->kind == TPO_TOKEN_CONTROL || token->kind == TPO_TOKEN_USER;
  return (enum tpo_token_kind)(added ? token->text_kind : token->kind);
}

static int hex_digit(char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

enum tpo_token_kind tpo_token_read(bool byte_level, struct tpo_buf *work, const char **bytes, size_t *len)
{
  tpo_buf_clear(work);
  tpo_buf_append(work, *bytes, *len);
  if (work->failed || *len == 0) return TPO_TOKEN_NORMAL;
  if (byte_level) {
    int64_t n = tpo_alphabet_decode(*bytes, *len, work->data);
    if (n < 0) return TPO_TOKEN_LITERAL;
    *len = (size_t)n;
  } else {
    const char *c = *bytes;
    if (*len != 6 || memcmp(c, "<0x", 3) != 0 || c[5] != '>' || hex_digit(c[3]) < 0 || hex_digit(c[4]) < 0)
      return TPO_TOKEN_NORMAL;
    work->data[0] = (char)(hex_digit(c[3]) * 16 + hex_digit(c[4]));
    *len = 1;
  }
  *bytes = work->data;
  return byte_level ? TPO_TOKEN_NORMAL : TPO_TOKEN_BYTE;
}

int tpo_vocab_put(struct tpo_vocab *vocab, int64_t id, const char *bytes, size_t len,
                  enum tpo_token_kind kind, const char *place, struct tpo_error *err)
{
  if (id >= 0 && (size_t)id < vocab->n && vocab->tokens[id].kind != TPO_TOKEN_ABSENT)
    return tpo_fail(err, TPO_E_INPUT, "%s: two tokens have the id %lld: \"%s\" and \"%.*s\"", place,
                    (long long)id, vocab->tokens[id].bytes, (int)(len < 80 ? len : 80), bytes);
  return tpo_vocab_set(vocab, id, bytes, len, kind, place, err);
}

/* Of two tokens alike, text is made of the one of the model's vocabulary, then of one that is added too. */
static int claim(const struct tpo_token *token)
{
  if (token->kind == TPO_TOKEN_NORMAL) return 2;
  return tpo_token_text_kind(token) == TPO_TOKEN_NORMAL ? 1 : 0;
}

int tpo_vocab_index(struct tpo_vocab *vocab, const char *place, struct tpo_error *err)
{
  size_t size = 16;
  while (size < 2 * vocab->n) size *= 2;
  free(vocab->slots);
  vocab->slots = malloc(size * sizeof *vocab->slots);
  if (!vocab->slots) return tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the vocabulary", place);
  memset(vocab->slots, 0xff, size * sizeof *vocab->slots);
  vocab->mask = size - 1;
  for (size_t id = 0; id < vocab->n; id++) {
    const struct tpo_token *token = &vocab->tokens[id];
    if (token->kind == TPO_TOKEN_ABSENT || token->kind == TPO_TOKEN_LITERAL) continue;
    size_t at = tpo_hash64(token->bytes, token->len) & vocab->mask;
    while (vocab->slots[at] >= 0) {
      const struct tpo_token *other = &vocab->tokens[vocab->slots[at]];
      if (other->len == token->len && memcmp(other->bytes, token->bytes, token->len) == 0) break;
      at = (at + 1) & vocab->mask;
    }
    const struct tpo_token *other = vocab->slots[at] < 0 ? NULL : &vocab->tokens[vocab->slots[at]];
    if (other && claim(other) == 2 && claim(token) == 2)
      return tpo_fail(err, TPO_E_INPUT, "%s: tokens %d and %zu are the same, \"%.*s\"", place,
                      vocab->slots[at], id, (int)(token->len < 80 ? token->len : 80), token->bytes);
    if (!other || claim(token) > claim(other)) vocab->slots[at] = (int32_t)id;
  }
  return TPO_OK;
}

int32_t tpo_vocab_find(const struct tpo_vocab *vocab, const char *bytes, size_t len)
{
  if (!vocab->slots) return -1;
  for (size_t at = tpo_hash64(bytes, len) & vocab->mask; vocab->slots[at] >= 0; at = (at + 1) & vocab->mask) {
    const struct tpo_token *token = &vocab->tokens[vocab->slots[at]];
    if (token->len == len && memcmp(token->bytes, bytes, len) == 0) return vocab->slots[at];
  }
  return -1;
}

void tpo_vocab_free(struct tpo_vocab *vocab)
{
  tpo_arena_free(&vocab->arena);
  free(vocab->tokens);
  free(vocab->slots);
  *vocab = (struct tpo_vocab){0};
}

/* Printable Latin-1 bytes stand for themselves; the 68 others follow from U+0100 on, in order. */
static bool byte_stands_for_itself(unsigned byte)
{
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

uint32_t tpo_alphabet_of_byte(uint8_t byte)
{
  if (byte_stands_for_itself(byte)) return byte;
  if (byte <= 0x20) return 0x100u + byte;
  if (byte <= 0xa0) return 0x100u + 33 + (byte - 0x7fu);
  return 0x100u + 67; /* 0xad */
}

void tpo_alphabet_append(struct tpo_buf *out, uint8_t byte)
{
  uint32_t cp = tpo_alphabet_of_byte(byte);
  if (cp >= 0x80) tpo_buf_putc(out, (char)(0xc0 | cp >> 6));
  tpo_buf_putc(out, (char)(cp >= 0x80 ? 0x80 | (cp & 0x3f) : cp));
}

static int byte_of_alphabet(uint32_t cp)
{
  if (cp < 0x100) return byte_stands_for_itself(cp) ? (int)cp : -1;
  if (cp <= 0x120) return (int)(cp - 0x100);
  if (cp <= 0x142) return (int)(cp - 0x121 + 0x7f);
  return cp == 0x143 ? 0xad : -1;
}

int64_t tpo_alphabet_decode(const char *text, size_t len, char *out)
{
  size_t n = 0;
  for (size_t i = 0; i < len;) {
    uint32_t cp;
    int used = tpo_utf8_decode((const uint8_t *)text + i, len - i, &cp);
    int byte = used ? byte_of_alphabet(cp) : -1;
    if (byte < 0) return -1;
    out[n++] = (char)byte;
    i += (size_t)used;
  }
  return (int64_t)n;
}
