/* The names of tokenizer.ggml.pre, which say how a GGUF's byte-level tokenizer cuts a text. */
#ifndef TPO_TEXT_GGUF_PRE_H
#define TPO_TEXT_GGUF_PRE_H

#include "text/pretokenize.h"

struct tpo_tokenizer;

struct tpo_gguf_split {
  const char *pattern;
  enum tpo_split_behavior behavior;
  bool glyphs; /* looks at ByteLevel's alphabet; such splits come last */
  bool covers; /* every text is matches alone, so that removing what is none of them cuts alike */
};

struct tpo_gguf_pre {
  const char *name;
  const struct tpo_gguf_split *splits; /* up to one without a pattern */
  bool ignore_merges, add_bos;         /* add_bos: where the file has no add_bos_token */
  bool nfc;                            /* texts are brought into Unicode's normal form NFC first */
  bool embeds;                         /* of models that make no texts: read, never written */
};

extern const struct tpo_gguf_pre tpo_gguf_pres[];
extern const size_t tpo_n_gguf_pres;

const struct tpo_gguf_pre *tpo_gguf_pre_find(const char *name, size_t len); /* NULL: not one of ours */
/* Makes the splits and the normalizer of a name the tokenizer's own. */
int tpo_gguf_pre_apply(const struct tpo_gguf_pre *pre, struct tpo_tokenizer *tok, struct tpo_error *err);
/* The name to write for a byte-level tokenizer: the first with its splits, ignore_merges and normal form, else the
 * first that differs in what changes no id (ignore_merges where merging makes every token anyway) or in the normal form. NULL:
 * none; negative: no memory. */
int tpo_gguf_pre_of(const struct tpo_tokenizer *tok, const struct tpo_gguf_pre **out, struct tpo_error *err);

#endif
