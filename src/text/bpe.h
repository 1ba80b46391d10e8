/* Byte-pair encoding of one piece of text: the pair of the lowest rank is merged, the leftmost first, until
 * none is left. O(n log n) in the piece's length. */
#ifndef TPO_TEXT_BPE_H
#define TPO_TEXT_BPE_H

#include "text/vocab.h"
#include "tpo/text.h"

struct tpo_merge {
  int32_t left, right, rank, id;
};

struct tpo_bpe {
  struct tpo_merge *slots; /* [mask + 1] open addressing; left = -1 where empty */
  size_t mask, n;
  int32_t byte_ids[256]; /* token of a single byte: of the byte-level alphabet, or byte fallback; -1: none */
  bool byte_level;       /* symbols begin as bytes; otherwise as code points */
  bool ignore_merges;    /* a piece that is a token is that token, whatever the merges say */
  bool fuse_unk;
  int32_t unk; /* for a symbol without a token; -1: such symbols are left out */
};

/* Makes room for n merges, so that the table need not grow. */
int tpo_bpe_reserve(struct tpo_bpe *bpe, size_t n, struct tpo_error *err);
/* A pair that is there already takes the new rank, as in Hugging Face's tokenizers. */
int tpo_bpe_put(struct tpo_bpe *bpe, int32_t left, int32_t right, int32_t rank, int32_t id,
                struct tpo_error *err);
void tpo_bpe_free(struct tpo_bpe *bpe);

/* Memory that encoding reuses from piece to piece. Zero-initialise. */
struct tpo_bpe_scratch {
  struct tpo_bpe_symbol *symbols;
  size_t n_symbols;
  struct tpo_bpe_candidate *heap;
  size_t n_heap;
};
void tpo_bpe_scratch_free(struct tpo_bpe_scratch *scratch);

/* Appends the ids of bytes[0..len). Bytes that are not UTF-8 are taken one by one. */
int tpo_bpe_encode(const struct tpo_bpe *bpe, const struct tpo_vocab *vocab, const char *bytes, size_t len,
                   struct tpo_bpe_scratch *scratch, struct tpo_ids *out, struct tpo_error *err);

#endif
