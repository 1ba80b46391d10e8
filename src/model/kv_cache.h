/* The paged cache of keys and values, and the memory that the passes over it work in. */
#ifndef TPO_MODEL_KV_CACHE_H
#define TPO_MODEL_KV_CACHE_H

#include "model/transformer.h"

/* Where a pass works. The integers lie one array after another, as long as the pass is, so that
 * they come over in one piece; everything else has its place whatever the pass, so that
 * recorded calls find it again. */
struct tpo_pass_buffers {
  struct tpo_layer_state state;
  struct tpo_layer_scratch scratch;
  void *head_in, *head;         // [logits, hidden]
  float *logits;                // [logits, vocab]
  int32_t *blocks[TPO_REACHES]; // [seqs + 1, max_blocks]; the last row is the padding rows'
  int32_t *ints;                // ids, from, pos, seq, in some models rope_at, logit_rows
};

struct tpo_kv_cache {
  struct tpo_model *model;   /* borrowed */
  int n_blocks[TPO_REACHES]; /* one more block is there, for padding rows; 0: the model has no such layers */
  int block_tokens;
  struct tpo_kv_layer *layers; // [arch.layers]

  struct tpo_pass_limits limits; /* what the buffers hold */
  void *memory;                  /* all of the buffers but the logits */
  struct tpo_pass_buffers buffers;
  int32_t *table[TPO_REACHES]; // [seqs + 1, max_blocks] host copies of buffers.blocks; all numbers are valid
  int32_t *host_ints;          // host copy of buffers.ints

  /* Recorded passes: by the number of rows, whether the calls were once run as they come, after which no
   * memory that they use grows any more. */
  uint8_t *warm;  // [logits + 1]
  bool recorded;  /* something was recorded */
  int ropes_made; /* of the model, when the recordings were made */
};

/* Grows the buffers, where they are too small, to hold these too. */
int tpo_kv_cache_grow(struct tpo_kv_cache *cache, const struct tpo_pass_limits *limits,
                      struct tpo_error *err);
/* tpo_model_pass of a model without LM head: the wanted rows' hidden states after the final norm instead of
 * logits. hidden: host [n_logits, hidden] fp32. Waits for the pass and tells what went wrong in it. */
int tpo_model_pass_hidden(struct tpo_model *model, struct tpo_kv_cache *cache, const struct tpo_pass *pass,
                          float *hidden, struct tpo_error *err);
/* Drops recordings, because memory that they use changes its place. */
void tpo_kv_cache_forget(struct tpo_kv_cache *cache);

#endif
