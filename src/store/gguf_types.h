/* ggml's tensor types: number, name, and the block that they are stored in. */
#ifndef TPO_STORE_GGUF_TYPES_H
#define TPO_STORE_GGUF_TYPES_H

#include <stdint.h>

enum {
  TPO_GGML_F32 = 0,
  TPO_GGML_F16 = 1,
  TPO_GGML_Q4_0 = 2,
  TPO_GGML_Q4_1 = 3,
  TPO_GGML_Q5_0 = 6,
  TPO_GGML_Q5_1 = 7,
  TPO_GGML_Q8_0 = 8,
  TPO_GGML_Q4_K = 12,
  TPO_GGML_Q5_K = 13,
  TPO_GGML_Q6_K = 14,
  TPO_GGML_BF16 = 30
};

struct tpo_ggml_type {
  uint32_t number;
  uint32_t block; /* elements */
  uint32_t bytes; /* of a block */
  const char *name;
};
const struct tpo_ggml_type *tpo_ggml_type_find(uint32_t number); /* NULL when unknown */

#endif
