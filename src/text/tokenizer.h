/* Inside of a tokenizer, shared by its loaders, its encoder and the chat templates. */
#ifndef TPO_TEXT_TOKENIZER_H
#define TPO_TEXT_TOKENIZER_H

#include <jansson.h>
#include "base/buf.h"
#include "text/added.h"
#include "text/bpe.h"
#include "text/normalize.h"
#include "text/pretokenize.h"
#include "text/vocab.h"
#include "tpo/text.h"

/* The files that a checkpoint carries, in the order in which they are given out. */
enum tpo_tokenizer_file {
  TPO_FILE_TOKENIZER,
  TPO_FILE_TOKENIZER_CONFIG,
  TPO_FILE_GENERATION_CONFIG,
  TPO_FILE_SPECIAL_TOKENS,
  TPO_FILE_CHAT_TEMPLATE,
  TPO_N_FILES
};
extern const char *const tpo_tokenizer_file_names[TPO_N_FILES];

struct tpo_text_file {
  char *bytes; /* owned; NULL: there is none */
  size_t len;
};

struct tpo_tokenizer {
  char *place; /* the path, for messages */
  struct tpo_vocab vocab;
  struct tpo_bpe bpe;
  struct tpo_normalizer normalizer;
  struct tpo_pretokenizer pre;
  struct tpo_added added;            /* found in the text as it is */
  struct tpo_added added_normalized; /* found in the normalised text */
  struct tpo_added specials;         /* all of both, for templates and tpo_tokenizer_find */
  bool byte_level_alone;             /* pre_tokenizer is ByteLevel itself, not a sequence of steps */
  bool visible_space;                /* SentencePiece: U+2581 in a token is a space */
  bool strip_space;                  /* decoding takes away the space that encoding put before the text */
  bool strip_each;                   /* and before each stretch between added tokens */
  struct tpo_ids prefix, suffix;     /* what TPO_ENCODE_BOS_EOS adds */
  int32_t bos, eos, unk, pad;        /* -1: none */
  struct tpo_ids ends;               /* generation_config's eos_token_id */
  json_t *names;       /* an object: what a chat template may ask for, "bos_token": "<s>"; owned */
  char *chat_template; /* owned; NULL: none */
  char *tool_template; /* in its place where tools are given; owned; NULL: none */
  struct tpo_text_file files[TPO_N_FILES]; /* as read; of a GGUF: none */
  const char *gguf_pre;     /* of a GGUF: its pre-tokenizer's name (static), "" for SentencePiece */
  struct tpo_merge *merges; /* of a GGUF: [n_merges] by rank, for writing them out */
  size_t n_merges;
};

/* Every loader fills an empty tokenizer; the caller closes it when that fails. */
int tpo_tokenizer_load_files(struct tpo_tokenizer *tok, struct tpo_error *err); /* from tok->files */
int tpo_tokenizer_load_gguf(struct tpo_tokenizer *tok, const char *path, struct tpo_error *err);
/* tokenizer.json's normalizer, pre_tokenizer, decoder and post_processor (load/pipeline.c). */
int tpo_tokenizer_load_pipeline(struct tpo_tokenizer *tok, const json_t *root, bool *byte_level,
                                struct tpo_error *err);
int tpo_tokenizer_load_post(struct tpo_tokenizer *tok, const json_t *post, struct tpo_error *err);
/* tokenizer_config.json, special_tokens_map.json, generation_config.json, chat_template.jinja. */
int tpo_tokenizer_load_settings(struct tpo_tokenizer *tok, struct tpo_error *err);
/* Enters the names of tokens that tokenizer_config.json or special_tokens_map.json has (load/names.c). */
int tpo_tokenizer_load_names(struct tpo_tokenizer *tok, json_t *object, struct tpo_error *err);
/* Enters that of one token; id: -1 for none. */
int tpo_tokenizer_name_token(struct tpo_tokenizer *tok, const char *key, int32_t id, struct tpo_error *err);
/* Where generation_config.json names no end tokens, or is not there: those of the model's config.json become
 * its own, as in transformers, so that a checkpoint carries them. For a folder, before it is loaded. */
int tpo_tokenizer_complete_generation(struct tpo_tokenizer *tok, const char *config_path,
                                      struct tpo_error *err);
/* Makes one list of a folder's chat template and the one that it has for tools in a file of its own, if it has. For a
 * folder, before it is loaded. */
int tpo_tokenizer_gather_templates(struct tpo_tokenizer *tok, const char *folder, struct tpo_error *err);
/* Registers an added token under its name, which is its bytes. */
int tpo_tokenizer_add(struct tpo_tokenizer *tok, const char *name, size_t len, struct tpo_added_token token,
                      struct tpo_error *err);
/* One entry of added_tokens. id: its id, or -1 when the entry tells it; at most limit. */
int tpo_tokenizer_load_added(struct tpo_tokenizer *tok, const json_t *item, int64_t id, int64_t limit,
                             struct tpo_error *err);
/* Enters the merge of two tokens into the token of both their bytes. `bytes` is memory to work in. */
int tpo_tokenizer_put_merge(struct tpo_tokenizer *tok, int32_t left, int32_t right, size_t rank,
                            struct tpo_buf *bytes, struct tpo_error *err);
/* A special token that says nothing where special tokens are not shown. One that text is made of too (padding
 * set to `!`) says its text, unless it begins or ends a text. id: of a token that there is. */
bool tpo_tokenizer_is_silent(const struct tpo_tokenizer *tok, int32_t id);
/* Once the vocabulary is complete: the tokens of single bytes,
 * and what tokens with visible spaces decode to. */
int tpo_tokenizer_finish(struct tpo_tokenizer *tok, struct tpo_error *err);

/* Appends a token as a file spells it: in the byte-level alphabet, as <0xXX>, or as it is. */
void tpo_token_append(const struct tpo_tokenizer *tok, const struct tpo_token *token, struct tpo_buf *out);
int tpo_gguf_write_file(const struct tpo_tokenizer *tok, enum tpo_tokenizer_file which, struct tpo_buf *out,
                        struct tpo_error *err);

/* Encodes text in which no special token's name is looked for. at_start: it begins the whole input. */
int tpo_tokenizer_encode_plain(const struct tpo_tokenizer *tok, const char *text, size_t len, bool at_start,
                               struct tpo_ids *out, struct tpo_error *err);

#endif
