/* Content hashes (XXH3). Not for security: they tell whether a file is the one that was written. */
#ifndef TPO_BASE_HASH_H
#define TPO_BASE_HASH_H

#include "tpo/base.h"

uint64_t tpo_hash64(const void *bytes, size_t len);
uint64_t tpo_hash64_str(const char *text);

struct tpo_hash {
  void *state;
};
int tpo_hash_begin(struct tpo_hash *hash, struct tpo_error *err);
void tpo_hash_add(struct tpo_hash *hash, const void *bytes, size_t len);
/* 128-bit digest as 32 lower-case hex digits and a NUL; frees the state. */
void tpo_hash_end(struct tpo_hash *hash, char hex[33]);
/* The same, but of a file over 256 MiB its size, its first and its last MiB and 64 others, chosen by its
 * size: that tells one file from another, not what changed in a few bytes. */
int tpo_hash_sampled(const char *path, char hex[33], struct tpo_error *err);
int tpo_hash_file(const char *path, char hex[33], uint64_t *size, struct tpo_error *err);

#endif
