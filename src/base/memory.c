/* Checked allocation, arenas, and how much memory this process may still take. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "base/memory_limit.h"

void *tpo_calloc(size_t count, size_t size, struct tpo_error *err)
{
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    tpo_fail(err, TPO_E_MEMORY, "%zu elements of %zu bytes are more than memory can hold", count, size);
    return NULL;
  }
  void *memory = calloc(bytes ? bytes : 1, 1);
  if (!memory) tpo_fail(err, TPO_E_MEMORY, "out of memory: %zu bytes were asked for", bytes);
  return memory;
}

int tpo_grow(void *array, size_t *capacity, size_t needed, size_t size, struct tpo_error *err)
{
  if (needed <= *capacity) return 0;
  size_t count = *capacity < 16 ? 16 : *capacity + *capacity / 2;
  if (count < needed) count = needed;
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes))
    return tpo_fail(err, TPO_E_MEMORY, "%zu elements of %zu bytes are more than memory can hold", count,
                    size);
  void *old;
  memcpy(&old, array, sizeof old); /* `array` points to a pointer of any type */
  void *grown = realloc(old, bytes ? bytes : 1);
  if (!grown) return tpo_fail(err, TPO_E_MEMORY, "out of memory: %zu bytes were asked for", bytes);
  memcpy(array, &grown, sizeof grown);
  *capacity = count;
  return 0;
}

size_t tpo_memory_available(void)
{
  unsigned long long kib = 0;
  char line[128];
  FILE *file = fopen("/proc/meminfo", "r");
  if (!file) return 0;
  while (fgets(line, sizeof line, file))
    if (sscanf(line, "MemAvailable: %llu", &kib) == 1) break;
  fclose(file);
  size_t machine = (size_t)kib * 1024, own = memory_limit_room("/");
  if (own == 0) own = 1; /* 0 says that nobody knows */
  return own < machine ? own : machine;
}

struct tpo_arena_block {
  struct tpo_arena_block *next;
  size_t used, size; /* bytes of data */
  _Alignas(16) unsigned char data[];
};

enum { ARENA_BLOCK_BYTES = 64 * 1024 };

void *tpo_arena_alloc(struct tpo_arena *arena, size_t bytes)
{
  if (bytes > SIZE_MAX / 2) return NULL;
  size_t rounded = bytes ? (bytes + 15) & ~(size_t)15 : 16;
  struct tpo_arena_block *block = arena->blocks;
  if (!block || block->size - block->used < rounded) {
    size_t size = rounded > ARENA_BLOCK_BYTES ? rounded : ARENA_BLOCK_BYTES;
    struct tpo_arena_block *fresh = calloc(1, sizeof *fresh + size);
    if (!fresh) return NULL;
    fresh->size = size;
    if (block && rounded > ARENA_BLOCK_BYTES / 4) {
      /* A big allocation gets a block of its own behind the current one, whose rest stays in use. */
      fresh->used = rounded;
      fresh->next = block->next;
      block->next = fresh;
      return fresh->data;
    }
    fresh->next = block;
    arena->blocks = block = fresh;
  }
  void *memory = block->data + block->used;
  block->used += rounded;
  return memory;
}

void *tpo_arena_memdup(struct tpo_arena *arena, const void *bytes, size_t len)
{
  if (len == SIZE_MAX) return NULL;
  char *copy = tpo_arena_alloc(arena, len + 1);
  if (copy && len > 0) memcpy(copy, bytes, len);
  return copy;
}

char *tpo_arena_strdup(struct tpo_arena *arena, const char *text)
{
  return tpo_arena_memdup(arena, text, strlen(text));
}

void tpo_arena_free(struct tpo_arena *arena)
{
  struct tpo_arena_block *block = arena->blocks;
  while (block) {
    struct tpo_arena_block *next = block->next;
    free(block);
    block = next;
  }
  arena->blocks = NULL;
}
