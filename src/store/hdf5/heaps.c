/* Texts of variable length lie in HDF5's global heaps, and a data set of texts is a list of references to
 * them; so is an attribute (headers.c). Neither carries a checksum, and the library believes both: damaged
 * ones make it read past the end, or forever. So they are checked before anything is read: those of
 * attributes, which the library then follows, and of contiguous data sets. Those of data sets are followed
 * here, those in chunks when they are read. Heaps are found by their signature in what the contiguous data
 * sets leave free of the file, which keeps large tensors out.
 *
 * A heap (HDF5 File Format Specification 3.0, III.E): "GCOL", version 1, 3 zero bytes, its size (8 bytes);
 * then objects: index (2 bytes), references (2), 4 reserved, size (8), and the content padded to 8 bytes.
 * Object 0 is the free rest and its size counts its head; less than an object's head may be left over.
 * Indices rise where texts were only ever added, as this program does; a program that replaced some leaves
 * them in any order, and old heaps in unused space, which only references tell from those in use. A
 * reference: length (4 bytes), address of the heap (8), index (4); a heap's address of 0 is no text. */
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/memory.h"
#include "store/hdf5/h5.h"

enum { HEAP_HEAD = 16, OBJECT_HEAD = 16, REFERENCE = TPO_H5_REFERENCE };

struct extent {
  uint64_t begin, end; /* bytes of the file */
  bool is_text;
};

struct object {
  uint32_t index;
  uint64_t at, bytes; /* its content in the file */
};

struct heap {
  uint64_t address;
  size_t first, n; /* its objects are objects[first .. first + n), by rising index */
};

struct tpo_h5_heap_index {
  struct heap *heaps; /* by rising address */
  size_t n_heaps, heap_capacity;
  struct object *objects;
  size_t n_objects, object_capacity;
};

struct check {
  const char *path;
  const struct tpo_map *map;
  struct tpo_h5_heap_index *index;
  struct extent *extents;
  size_t n_extents, extent_capacity;
  uint64_t *headers; /* addresses of all objects' headers */
  size_t n_headers, header_capacity;
  struct tpo_error *err;
};

static uint64_t load_u64(const uint8_t *p)
{
  uint64_t x;
  memcpy(&x, p, sizeof x);
  return x; /* files are little-endian, as the machines that this program runs on */
}

static uint32_t load_u32(const uint8_t *p)
{
  uint32_t x;
  memcpy(&x, p, sizeof x);
  return x;
}

static int damaged(const struct check *c, uint64_t at)
{
  return tpo_fail(c->err, TPO_E_INPUT, "%s: the texts at byte %llu are damaged", c->path,
                  (unsigned long long)at);
}

static int by_index(const void *a, const void *b)
{
  uint32_t x = ((const struct object *)a)->index, y = ((const struct object *)b)->index;
  return (x > y) - (x < y);
}

/* Reads the objects behind the head, which lies at `at`: 1, or 0 when they are not those of a whole heap. */
static int note_objects(struct check *c, uint64_t at, uint64_t size, struct heap *noted)
{
  struct tpo_h5_heap_index *x = c->index;
  const uint8_t *heap = c->map->data + at;
  for (uint64_t next = HEAP_HEAD; size - next >= OBJECT_HEAD;) {
    unsigned index = heap[next] | (unsigned)heap[next + 1] << 8;
    uint64_t bytes = load_u64(heap + next + 8), room = size - next;
    if (index == 0) return bytes == room;
    if (bytes > room - OBJECT_HEAD) return 0;
    uint64_t padded = OBJECT_HEAD + (bytes + 7) / 8 * 8;
    if (padded > room) return 0;
    if (tpo_grow(&x->objects, &x->object_capacity, x->n_objects + 1, sizeof *x->objects, c->err) < 0)
      return TPO_E_MEMORY;
    x->objects[x->n_objects++] = (struct object){index, at + next + OBJECT_HEAD, bytes};
    noted->n++;
    next += padded;
  }
  return 1;
}

/* Notes what may be a heap at `at`, its size to *size: 1, or 0 when it is none. */
static int note_heap(struct check *c, uint64_t at, uint64_t *size)
{
  struct tpo_h5_heap_index *x = c->index;
  struct heap noted = {.address = at, .first = x->n_objects};
  *size = load_u64(c->map->data + at + 8);
  if (*size < HEAP_HEAD || *size > c->map->size - at) return 0;
  int whole = note_objects(c, at, *size, &noted);
  if (whole == 1 && noted.n > 0) {
    struct object *objects = x->objects + noted.first;
    qsort(objects, noted.n, sizeof *objects, by_index);
    for (size_t i = 1; i < noted.n; i++)
      if (objects[i].index == objects[i - 1].index) whole = 0;
  }
  if (whole == 1 && tpo_grow(&x->heaps, &x->heap_capacity, x->n_heaps + 1, sizeof *x->heaps, c->err) < 0)
    return TPO_E_MEMORY;
  if (whole == 1)
    x->heaps[x->n_heaps++] = noted;
  else
    x->n_objects = noted.first;
  return whole;
}

static int note_heaps_between(struct check *c, uint64_t begin, uint64_t end)
{
  static const uint8_t head[8] = {'G', 'C', 'O', 'L', 1, 0, 0, 0};
  while (begin + HEAP_HEAD <= end) {
    const uint8_t *hit = memmem(c->map->data + begin, end - begin, head, sizeof head);
    uint64_t at = hit ? (uint64_t)(hit - c->map->data) : end, size;
    if (at + HEAP_HEAD > end) break;
    int status = note_heap(c, at, &size);
    if (status < 0) return status;
    begin = at + (status == 1 ? size : sizeof head);
  }
  return 0;
}

static herr_t note_extent(hid_t object, const char *name, const H5O_info_t *info, void *arg)
{
  struct check *c = arg;
  if (tpo_grow(&c->headers, &c->header_capacity, c->n_headers + 1, sizeof *c->headers, c->err) < 0) return -1;
  c->headers[c->n_headers++] = info->addr;
  if (info->type != H5O_TYPE_DATASET) return 0;
  hid_t dataset = H5Dopen2(object, name, H5P_DEFAULT);
  if (dataset < 0) return 0; /* refused by name when it is read */
  hid_t type = H5Dget_type(dataset);
  struct extent extent = {.begin = H5Dget_offset(dataset), .is_text = H5Tis_variable_str(type) > 0};
  uint64_t bytes = H5Dget_storage_size(dataset);
  H5Tclose(type);
  H5Dclose(dataset);
  if (extent.begin == HADDR_UNDEF || bytes == 0 || extent.begin > UINT64_MAX - bytes) return 0;
  extent.end = extent.begin + bytes;
  if (tpo_grow(&c->extents, &c->extent_capacity, c->n_extents + 1, sizeof extent, c->err) < 0) return -1;
  c->extents[c->n_extents++] = extent;
  return 0;
}

static int by_begin(const void *a, const void *b)
{
  uint64_t x = ((const struct extent *)a)->begin, y = ((const struct extent *)b)->begin;
  return (x > y) - (x < y);
}

static int by_address(const void *a, const void *b)
{
  uint64_t x = ((const struct heap *)a)->address, y = ((const struct heap *)b)->address;
  return (x > y) - (x < y);
}

static const struct object *find(const struct tpo_h5_heap_index *x, uint64_t address, uint32_t index)
{
  const struct heap key = {.address = address};
  const struct object wanted = {.index = index};
  const struct heap *heap = x->n_heaps ? bsearch(&key, x->heaps, x->n_heaps, sizeof key, by_address) : NULL;
  return heap ? bsearch(&wanted, x->objects + heap->first, heap->n, sizeof wanted, by_index) : NULL;
}

bool tpo_h5_text_of(const struct tpo_h5_reader *r, const uint8_t *reference, const char **text, size_t *len)
{
  uint64_t address = load_u64(reference + 4);
  const struct object *object = address ? find(r->heaps, address, load_u32(reference + 12)) : NULL;
  *text = object ? (const char *)r->map.data + object->at : "";
  *len = object ? object->bytes : 0;
  return address == 0 || (object && object->bytes == load_u32(reference));
}

/* The reference at a place of the file. */
static int check_reference(void *arg, uint64_t at)
{
  const struct check *c = arg;
  const uint8_t *reference = c->map->data + at;
  uint64_t address = load_u64(reference + 4);
  if (address == 0) return 0;
  const struct object *object = find(c->index, address, load_u32(reference + 12));
  return object && object->bytes == load_u32(reference) ? 0 : damaged(c, at);
}

static int check_references(struct check *c, const struct extent *extent)
{
  int status = extent->end > c->map->size ? damaged(c, extent->begin) : 0;
  for (uint64_t at = extent->begin; status == 0 && at + REFERENCE <= extent->end; at += REFERENCE)
    status = check_reference(c, at);
  return status;
}

static int check_all(struct check *c, const struct tpo_h5_reader *r)
{
  int status = 0;
  if (H5Ovisit2(r->id, H5_INDEX_NAME, H5_ITER_NATIVE, note_extent, c, H5O_INFO_BASIC) < 0)
    status = tpo_h5_fail_read(r, "can't be listed; it is truncated or damaged", c->err);
  H5Eclear2(H5E_DEFAULT);
  if (c->n_extents > 0) qsort(c->extents, c->n_extents, sizeof *c->extents, by_begin);
  uint64_t from = 0, size = c->map->size;
  for (size_t i = 0; status == 0 && i <= c->n_extents; i++) {
    uint64_t to = i < c->n_extents && c->extents[i].begin < size ? c->extents[i].begin : size;
    if (to > from) status = note_heaps_between(c, from, to);
    if (i < c->n_extents && c->extents[i].end > from) from = c->extents[i].end;
  }
  for (size_t i = 0; status == 0 && i < c->n_extents; i++)
    if (c->extents[i].is_text) status = check_references(c, &c->extents[i]);
  for (size_t i = 0; status == 0 && i < c->n_headers; i++) {
    status = tpo_h5_each_attribute_text(c->map, c->headers[i], check_reference, c);
    if (status > 0) status = damaged(c, c->headers[i]);
  }
  return status;
}

int tpo_h5_find_texts(struct tpo_h5_reader *r, struct tpo_error *err)
{
  int status = tpo_map_open(&r->map, r->path, err);
  if (status < 0) return status;
  if (r->map.size != r->size) return tpo_fail(err, TPO_E_IO, "%s: changed while it was read", r->path);
  r->heaps = tpo_calloc(1, sizeof *r->heaps, err);
  if (!r->heaps) return TPO_E_MEMORY;
  struct check c = {.path = r->path, .map = &r->map, .index = r->heaps, .err = err};
  status = check_all(&c, r);
  free(c.extents);
  free(c.headers);
  return status;
}

void tpo_h5_forget_texts(struct tpo_h5_reader *r)
{
  if (r->heaps) {
    free(r->heaps->heaps);
    free(r->heaps->objects);
    free(r->heaps);
  }
  tpo_map_close(&r->map);
  r->heaps = NULL;
}
