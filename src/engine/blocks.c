/* Blocks of the cache are taken, shared and released; the last holder frees one. */
#include "engine/blocks.h"

#include <stdlib.h>

#include "base/memory.h"

int tpo_blocks_init(struct tpo_blocks *blocks, int n, struct tpo_error *err)
{
  *blocks = (struct tpo_blocks){.n = n, .n_free = n};
  blocks->free_list = tpo_calloc((size_t)n, sizeof *blocks->free_list, err);
  blocks->references = tpo_calloc((size_t)n, sizeof *blocks->references, err);
  if (!blocks->free_list || !blocks->references) {
    tpo_blocks_destroy(blocks);
    return TPO_E_MEMORY;
  }
  for (int i = 0; i < n; i++) blocks->free_list[i] = n - 1 - i;
  return 0;
}

void tpo_blocks_destroy(struct tpo_blocks *blocks)
{
  free(blocks->free_list);
  free(blocks->references);
  *blocks = (struct tpo_blocks){0};
}

int32_t tpo_blocks_take(struct tpo_blocks *blocks)
{
  int32_t block = blocks->free_list[--blocks->n_free];
  blocks->references[block] = 1;
  return block;
}

void tpo_blocks_share(struct tpo_blocks *blocks, int32_t block)
{
  blocks->references[block]++;
}

void tpo_blocks_release(struct tpo_blocks *blocks, int32_t block)
{
  if (--blocks->references[block] == 0) blocks->free_list[blocks->n_free++] = block;
}
