/* Content hashes of bytes, texts and files, by xxHash. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include "base/file.h"
#include "base/hash.h"
#include "base/philox.h"

uint64_t tpo_hash64(const void *bytes, size_t len)
{
  return XXH3_64bits(bytes, len);
}

uint64_t tpo_hash64_str(const char *text)
{
  return XXH3_64bits(text, strlen(text));
}

int tpo_hash_begin(struct tpo_hash *hash, struct tpo_error *err)
{
  hash->state = XXH3_createState();
  if (!hash->state) return tpo_fail(err, TPO_E_MEMORY, "out of memory for a hash state");
  XXH3_128bits_reset(hash->state);
  return 0;
}

void tpo_hash_add(struct tpo_hash *hash, const void *bytes, size_t len)
{
  if (len > 0) XXH3_128bits_update(hash->state, bytes, len);
}

void tpo_hash_end(struct tpo_hash *hash, char hex[33])
{
  XXH128_hash_t digest = XXH3_128bits_digest(hash->state);
  snprintf(hex, 33, "%016llx%016llx", (unsigned long long)digest.high64, (unsigned long long)digest.low64);
  XXH3_freeState(hash->state);
  hash->state = NULL;
}

static int hash_descriptor(int fd, const char *path, struct tpo_hash *hash, uint64_t *size,
                           struct tpo_error *err)
{
  enum { CHUNK = 1 << 20 };
  char *chunk = malloc(CHUNK);
  if (!chunk) return tpo_fail(err, TPO_E_MEMORY, "out of memory: %d bytes were asked for", CHUNK);
  *size = 0;
  int status = 0;
  for (;;) {
    ssize_t got = read(fd, chunk, CHUNK);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) status = tpo_fail(err, TPO_E_IO, "%s: reading failed: %s", path, strerror(errno));
    if (got <= 0) break;
    tpo_hash_add(hash, chunk, (size_t)got);
    *size += (uint64_t)got;
  }
  free(chunk);
  return status;
}

int tpo_hash_file(const char *path, char hex[33], uint64_t *size, struct tpo_error *err)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return tpo_fail(err, TPO_E_USAGE, "%s: can't be opened: %s", path, strerror(errno));
  struct tpo_hash hash;
  int status = tpo_hash_begin(&hash, err);
  if (status == 0) {
    uint64_t bytes = 0;
    status = hash_descriptor(fd, path, &hash, &bytes, err);
    tpo_hash_end(&hash, hex);
    if (size) *size = bytes;
  }
  close(fd);
  return status;
}

static void add_samples(struct tpo_hash *hash, const struct tpo_map *map)
{
  enum { BLOCK = 1 << 20, BLOCKS = 64 };
  const uint64_t size = map->size;
  struct tpo_rng rng;
  tpo_rng_init(&rng, size, TPO_STREAM_BLOCKS, 0, 0);
  tpo_hash_add(hash, &size, sizeof size);
  tpo_hash_add(hash, map->data, BLOCK);
  tpo_hash_add(hash, map->data + size - BLOCK, BLOCK);
  for (int i = 0; i < BLOCKS; i++)
    tpo_hash_add(hash, map->data + (size_t)(tpo_rng_uniform(&rng) * (double)(size - BLOCK)), BLOCK);
}

int tpo_hash_sampled(const char *path, char hex[33], struct tpo_error *err)
{
  const size_t whole = (size_t)256 << 20;
  struct tpo_map map;
  struct tpo_hash hash;
  int status = tpo_map_open(&map, path, err);
  if (status < 0) return status;
  status = tpo_hash_begin(&hash, err);
  if (status == 0 && map.size <= whole)
    tpo_hash_add(&hash, map.data, map.size);
  else if (status == 0)
    add_samples(&hash, &map);
  if (status == 0) tpo_hash_end(&hash, hex);
  tpo_map_close(&map);
  return status;
}
