/* Allocation with checked sizes, and arenas for what dies together. */
#ifndef TPO_BASE_MEMORY_H
#define TPO_BASE_MEMORY_H

#include "tpo/base.h"

/* count * size zeroed bytes (at least 1); NULL with err set when the product overflows or memory is short.
 * free() releases. */
void *tpo_calloc(size_t count, size_t size, struct tpo_error *err);
/* Grows *array (elements of `size` bytes, *capacity of them allocated) to hold at least `needed`. */
int tpo_grow(void *array, size_t *capacity, size_t needed, size_t size, struct tpo_error *err);

/* Bytes that the machine can give now without swapping (MemAvailable), or that the process's control groups
 * leave it, where that is less (under Slurm's --mem, in a container); 0 when the system does not tell. */
size_t tpo_memory_available(void);

/* Bump allocator: everything is released together. Zero-initialise to create. */
struct tpo_arena {
  struct tpo_arena_block *blocks;
};
/* zeroed, 16-byte aligned; NULL when memory is short */
void *tpo_arena_alloc(struct tpo_arena *arena, size_t bytes);
char *tpo_arena_strdup(struct tpo_arena *arena, const char *text);
void *tpo_arena_memdup(struct tpo_arena *arena, const void *bytes, size_t len); /* a NUL follows the bytes */
void tpo_arena_free(struct tpo_arena *arena);

#endif
