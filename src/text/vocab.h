/* The token table: id -> bytes and kind, and bytes -> id. Byte-level vocabularies are kept as the raw bytes
 * that their printable alphabet stands for. */
#ifndef TPO_TEXT_VOCAB_H
#define TPO_TEXT_VOCAB_H

#include "base/buf.h"
#include "base/memory.h"
#include "tpo/base.h"

enum { TPO_VOCAB_MAX = 1 << 24 }; /* ids; more is a malformed file */
/* Ids without a token that a file may have beyond as many as it has tokens: real vocabularies have few, those
 * that were cut down to a handful of tokens under their old ids have many. */
enum { TPO_VOCAB_HOLES = 1 << 18 };

enum tpo_token_kind {
  TPO_TOKEN_ABSENT = 0, /* a hole: no token has this id */
  TPO_TOKEN_NORMAL,
  TPO_TOKEN_CONTROL, /* special: never made of plain text, unless it is one symbol of it (text_kind) */
  TPO_TOKEN_USER,    /* added, recognised always, but not special */
  TPO_TOKEN_BYTE,    /* byte fallback: stands for one byte */
  /* of a byte-level vocabulary, but not written in its alphabet: decodes as it is written */
  TPO_TOKEN_LITERAL,
};

struct tpo_token {
  const char *bytes; /* as merging sees it; in the arena, a NUL follows; NULL when absent */
  const char *shown; /* what it decodes to; differs from bytes where SentencePiece makes spaces visible */
  uint32_t len, shown_len;
  uint8_t kind; /* enum tpo_token_kind */
  /* CONTROL, USER: what it is to the text between added tokens, where the model has it of its own too;
   * otherwise ABSENT */
  uint8_t text_kind;
};

struct tpo_vocab {
  struct tpo_arena arena;
  struct tpo_token *tokens; /* [n] */
  size_t n, capacity;
  int32_t *slots; /* [mask + 1] ids, -1 where empty */
  size_t mask;
};

/* Sets an id that is still absent; err's message is about `place`. */
int tpo_vocab_put(struct tpo_vocab *vocab, int64_t id, const char *bytes, size_t len,
                  enum tpo_token_kind kind, const char *place, struct tpo_error *err);
/* Sets an id whatever it was. */
int tpo_vocab_set(struct tpo_vocab *vocab, int64_t id, const char *bytes, size_t len,
                  enum tpo_token_kind kind, const char *place, struct tpo_error *err);
/* Makes an added token of one of the model's own, which text goes on to be made of. */
void tpo_vocab_mark(struct tpo_vocab *vocab, int64_t id, enum tpo_token_kind kind);
/* What a token is to the text between added tokens. */
enum tpo_token_kind tpo_token_text_kind(const struct tpo_token *token);
/* A token of a tokenizer.json's model as it is written: *bytes and *len become what it stands for, in `work`
 * where that differs, out of the byte alphabet or of <0xXX>; its kind. */
enum tpo_token_kind tpo_token_read(bool byte_level, struct tpo_buf *work, const char **bytes, size_t *len);
/* Makes bytes -> id of NORMAL and BYTE tokens and of CONTROL and USER ones; two NORMAL tokens alike are an
 * error. */
int tpo_vocab_index(struct tpo_vocab *vocab, const char *place, struct tpo_error *err);
int32_t tpo_vocab_find(const struct tpo_vocab *vocab, const char *bytes, size_t len); /* -1: none */
void tpo_vocab_free(struct tpo_vocab *vocab);

/* GPT-2's alphabet, in which every byte is one printable code point. */
uint32_t tpo_alphabet_of_byte(uint8_t byte);
void tpo_alphabet_append(struct tpo_buf *out, uint8_t byte); /* as UTF-8, 1 or 2 bytes */
/* Decodes text in that alphabet into out[len]; the number of bytes, or -1 when a code point is not of it. */
int64_t tpo_alphabet_decode(const char *text, size_t len, char *out);

#endif
