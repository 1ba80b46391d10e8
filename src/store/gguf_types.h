/* ggml's tensor types: number, name, and the block that they are stored in. */
#ifndef TPO_STORE_GGUF_TYPES_H
#define TPO_STORE_GGUF_TYPES_H

#include <stdint.h>
#include "base/ggml_blocks.h"

struct tpo_ggml_type {
  uint32_t number;
  uint32_t block; /* elements */
  uint32_t bytes; /* of a block */
  const char *name;
};
const struct tpo_ggml_type *tpo_ggml_type_find(uint32_t number); /* NULL when unknown */

#endif
