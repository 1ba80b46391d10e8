/* One file of a journal: how its bytes are laid out, and reading them. All numbers are little-endian.
 *
 *   head   "TPOJRNL1"  u32 length of the work  u32 0  u64 hash of these and the work  the work
 *   frame  "FRME"  u32 length of the key  u64 length of the value  u64 hash of key and value
 *          u64 hash of what stands before in the frame  key  value */
#ifndef TPO_STORE_JOURNAL_FILE_H
#define TPO_STORE_JOURNAL_FILE_H

#include "base/buf.h"
#include "base/file.h"

enum {
  JOURNAL_HEAD = 24,
  JOURNAL_FRAME = 32,
  JOURNAL_LONGEST_KEY = 65535,
  JOURNAL_LONGEST_WORK = 1 << 20,
  JOURNAL_CHECKED_LATE = 16 << 20 /* bytes: longer values are checked when they are asked for */
};

struct journal_frame {
  const uint8_t *key, *value;
  size_t n_key, len;
  uint64_t hash;
};

/* Appends to buf; a failed buf tells of missing memory. */
void journal_put_head(struct tpo_buf *buf, const char *work);
/* Returns the hash of key and value. */
uint64_t journal_put_frame(struct tpo_buf *buf, const void *key, size_t n_key, const void *value, size_t len);

/* The work that the file is of, borrowed, not NUL-terminated; false: there is no whole head. */
bool journal_read_head(const struct tpo_map *map, const char **work, size_t *len);
/* Where frames begin. */
size_t journal_first_frame(size_t n_work);
/* The frame at *at, which moves behind it. 1: a frame, 0: no more; -1: one whose bytes are not as they were
 * written (*at has moved behind it, or to the end where its lengths can't be trusted). */
int journal_read_frame(const struct tpo_map *map, size_t *at, struct journal_frame *frame);
bool journal_frame_is_whole(const struct journal_frame *frame);

#endif
