/* Reference-counted blocks of the KV cache. */
#ifndef TPO_ENGINE_BLOCKS_H
#define TPO_ENGINE_BLOCKS_H

#include "tpo/base.h"

struct tpo_blocks {
  int n, n_free;
  int32_t *free_list;  /* [n] the first n_free are free */
  int32_t *references; /* [n] */
};

int tpo_blocks_init(struct tpo_blocks *blocks, int n, struct tpo_error *err);
void tpo_blocks_destroy(struct tpo_blocks *blocks);
/* A free block with one reference; the caller has checked n_free. */
int32_t tpo_blocks_take(struct tpo_blocks *blocks);
void tpo_blocks_share(struct tpo_blocks *blocks, int32_t block);
void tpo_blocks_release(struct tpo_blocks *blocks, int32_t block);

#endif
