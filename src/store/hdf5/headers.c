/* Texts of attributes: where an object's header keeps the references to them, which the library gives nobody.
 * What is done with them, heaps.c tells.
 *
 * A header (HDF5 File Format Specification 3.0, IV.A) is a list of messages in one or more chunks. Version 2:
 * "OHDR", version, flags, by these 16 bytes of times, 4 bytes of limits, then the first chunk's size in 1 to
 * 8 bytes; further chunks begin with "OCHK" and, as the first, end with a checksum. Version 1: version, a
 * reserved byte, how many messages (2 bytes), references (4), the first chunk's size (4), 4 bytes of padding;
 * further chunks have no head. A message of version 2: type (1 byte), size (2), flags (1), by the header's
 * flags its number (2); of version 1: type (2), size (2), flags (1), 3 reserved. Type 16 is where the next
 * chunk lies: its address and length (8 bytes each). Type 12 is an attribute: version, flags, the sizes of
 * name, type and space (2 bytes each), of version 3 the name's encoding (1); then name, type, space and
 * value, the first three padded to 8 bytes each in version 1. A type's class is in the low half of its first
 * byte, 9 for variable length, of which those with 1 in the low half of the second byte are texts. Attributes
 * beyond the eighth may lie elsewhere; this program writes fewer. */
#include <string.h>
#include "store/hdf5/h5.h"

enum { MESSAGE_ATTRIBUTE = 12, MESSAGE_CHUNK = 16, TEXT_TYPE = 0x109, REFERENCE = 16, MOST_CHUNKS = 256 };

struct chunk {
  uint64_t begin, end; /* bytes of the file that messages lie in */
};

struct header {
  const struct tpo_map *map;
  int version;
  bool numbered; /* messages have a number */
  struct chunk chunks[MOST_CHUNKS];
  int n_chunks;
  int (*fn)(void *arg, uint64_t at);
  void *arg;
};

static uint64_t load(const struct header *h, uint64_t at, unsigned bytes)
{
  uint64_t x = 0;
  memcpy(&x, h->map->data + at, bytes);
  return x; /* files are little-endian, as the machines that this program runs on */
}

/* What lies outside of the file is left out: the library refuses it. */
static void add_chunk(struct header *h, uint64_t begin, uint64_t bytes)
{
  if (begin <= h->map->size && bytes <= h->map->size - begin && h->n_chunks < MOST_CHUNKS)
    h->chunks[h->n_chunks++] = (struct chunk){begin, begin + bytes};
}

static void begin_version_2(struct header *h, uint64_t at)
{
  unsigned flags = h->map->data[at + 5], width = 1u << (flags & 3);
  uint64_t size_at = at + 6 + (flags & 0x20 ? 16 : 0) + (flags & 0x10 ? 4 : 0);
  h->version = 2;
  h->numbered = flags & 4;
  if (h->map->size - at > size_at - at + width) add_chunk(h, size_at + width, load(h, size_at, width));
}

static void begin(struct header *h, uint64_t at)
{
  if (at > h->map->size || h->map->size - at < 16) return;
  if (memcmp(h->map->data + at, "OHDR\2", 5) == 0) {
    begin_version_2(h, at);
  } else if (h->map->data[at] == 1) {
    h->version = 1;
    add_chunk(h, at + 16, load(h, at + 8, 4));
  }
}

static void next_chunk(struct header *h, uint64_t at, uint64_t bytes)
{
  if (bytes < 16) return;
  uint64_t begin = load(h, at, 8), length = load(h, at + 8, 8);
  if (h->version == 1)
    add_chunk(h, begin, length);
  else if (length >= 8 && begin <= UINT64_MAX - 4) /* without its signature and checksum */
    add_chunk(h, begin + 4, length - 8);
}

/* The attribute's value is of texts: fn gets the place of each of its references. */
static int attribute(const struct header *h, uint64_t at, uint64_t bytes)
{
  if (bytes < 9) return 0;
  unsigned version = h->map->data[at];
  uint64_t sizes[3], head = version == 3 ? 9 : 8, used = head;
  for (unsigned i = 0; i < 3; i++) {
    sizes[i] = load(h, at + 2 + 2 * i, 2);
    if (version == 1) sizes[i] = (sizes[i] + 7) / 8 * 8;
    used += sizes[i];
  }
  if (used > bytes || sizes[1] < 2) return 0;
  if ((load(h, at + head + sizes[0], 2) & 0xf0f) != TEXT_TYPE) return 0;
  int status = 0;
  for (; status == 0 && bytes - used >= REFERENCE; used += REFERENCE) status = h->fn(h->arg, at + used);
  return status;
}

static int messages(struct header *h, struct chunk chunk)
{
  unsigned head = h->version == 1 ? 8 : h->numbered ? 6 : 4;
  int status = 0;
  for (uint64_t at = chunk.begin; status == 0 && chunk.end - at >= head;) {
    unsigned type = (unsigned)load(h, at, h->version == 1 ? 2 : 1);
    uint64_t bytes = load(h, at + (h->version == 1 ? 2 : 1), 2);
    at += head;
    if (bytes > chunk.end - at) break;
    if (type == MESSAGE_CHUNK) next_chunk(h, at, bytes);
    if (type == MESSAGE_ATTRIBUTE) status = attribute(h, at, bytes);
    at += bytes;
  }
  return status;
}

int tpo_h5_each_attribute_text(const struct tpo_map *map, uint64_t header, int (*fn)(void *arg, uint64_t at),
                               void *arg)
{
  struct header h = {.map = map, .fn = fn, .arg = arg};
  int status = 0;
  begin(&h, header);
  for (int i = 0; status == 0 && i < h.n_chunks; i++) status = messages(&h, h.chunks[i]);
  return status == 0 && h.n_chunks == MOST_CHUNKS ? 1 : status;
}
