/* The bytes of a journal's file. */
#include "store/journal/file.h"

#include <string.h>
#include "base/hash.h"

static const char head_magic[8] = {'T', 'P', 'O', 'J', 'R', 'N', 'L', '1'};
static const char frame_magic[4] = {'F', 'R', 'M', 'E'};

static void put32(struct tpo_buf *buf, uint32_t value)
{
  uint8_t bytes[4];
  for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> 8 * i);
  tpo_buf_append(buf, bytes, sizeof bytes);
}

static void put64(struct tpo_buf *buf, uint64_t value)
{
  put32(buf, (uint32_t)value);
  put32(buf, (uint32_t)(value >> 32));
}

static uint32_t get32(const uint8_t *bytes)
{
  return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint64_t get64(const uint8_t *bytes)
{
  return get32(bytes) | (uint64_t)get32(bytes + 4) << 32;
}

static uint64_t hash_two(uint64_t first, const void *bytes, size_t len)
{
  uint64_t both[2] = {first, tpo_hash64(bytes, len)};
  return tpo_hash64(both, sizeof both);
}

static uint64_t hash_entry(const void *key, size_t n_key, const void *value, size_t len)
{
  return hash_two(tpo_hash64(key, n_key), value, len);
}

void journal_put_head(struct tpo_buf *buf, const char *work)
{
  size_t begin = buf->len, len = strlen(work);
  tpo_buf_append(buf, head_magic, sizeof head_magic);
  put32(buf, (uint32_t)len);
  put32(buf, 0);
  if (!buf->failed) put64(buf, hash_two(tpo_hash64(buf->data + begin, 16), work, len));
  tpo_buf_append(buf, work, len);
}

uint64_t journal_put_frame(struct tpo_buf *buf, const void *key, size_t n_key, const void *value, size_t len)
{
  size_t begin = buf->len;
  uint64_t hash = hash_entry(key, n_key, value, len);
  tpo_buf_append(buf, frame_magic, sizeof frame_magic);
  put32(buf, (uint32_t)n_key);
  put64(buf, len);
  put64(buf, hash);
  if (!buf->failed) put64(buf, tpo_hash64(buf->data + begin, 24));
  tpo_buf_append(buf, key, n_key);
  tpo_buf_append(buf, value, len);
  return hash;
}

bool journal_read_head(const struct tpo_map *map, const char **work, size_t *len)
{
  if (map->size < JOURNAL_HEAD || memcmp(map->data, head_magic, sizeof head_magic) != 0) return false;
  *len = get32(map->data + 8);
  *work = (const char *)map->data + JOURNAL_HEAD;
  return *len <= JOURNAL_LONGEST_WORK && *len <= map->size - JOURNAL_HEAD &&
         get64(map->data + 16) == hash_two(tpo_hash64(map->data, 16), *work, *len);
}

size_t journal_first_frame(size_t n_work)
{
  return JOURNAL_HEAD + n_work;
}

bool journal_frame_is_whole(const struct journal_frame *frame)
{
  return hash_entry(frame->key, frame->n_key, frame->value, frame->len) == frame->hash;
}

int journal_read_frame(const struct tpo_map *map, size_t *at, struct journal_frame *frame)
{
  const uint8_t *bytes = map->data + *at;
  size_t left = map->size - *at;
  *at = map->size;
  if (left < JOURNAL_FRAME) return 0; /* the end, or a frame whose writing was cut off */
  if (memcmp(bytes, frame_magic, sizeof frame_magic) != 0 || get64(bytes + 24) != tpo_hash64(bytes, 24))
    return -1;
  uint64_t n_key = get32(bytes + 4), len = get64(bytes + 8);
  if (n_key > left - JOURNAL_FRAME || len > left - JOURNAL_FRAME - n_key) return 0; /* cut off */
  *frame = (struct journal_frame){.key = bytes + JOURNAL_FRAME,
                                  .value = bytes + JOURNAL_FRAME + n_key,
                                  .n_key = (size_t)n_key,
                                  .len = (size_t)len,
                                  .hash = get64(bytes + 16)};
  *at = map->size - left + JOURNAL_FRAME + (size_t)n_key + (size_t)len;
  return len > JOURNAL_CHECKED_LATE || journal_frame_is_whole(frame) ? 1 : -1;
}
