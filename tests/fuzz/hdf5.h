/* How HDF5 inputs are changed. The library's own structures carry checksums, so that a byte changed anywhere
 * is refused before our readers see it, nearly always; half of the time it is changed within what the data
 * sets and the heaps of their texts hold. */
#ifndef TPO_TESTS_FUZZ_HDF5_H
#define TPO_TESTS_FUZZ_HDF5_H

#include <hdf5.h>
#include "fuzz/fuzz.h"
#include "store/hdf5/h5.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

struct fuzz_extents {
  size_t begin[64], bytes[64];
  unsigned n;
  size_t file; /* bytes */
};

static inline void fuzz_add_extent(struct fuzz_extents *extents, haddr_t begin, hsize_t bytes)
{
  bool inside = begin != HADDR_UNDEF && bytes > 0 && begin < extents->file && bytes <= extents->file - begin;
  if (inside && extents->n < 64) {
    extents->begin[extents->n] = (size_t)begin;
    extents->bytes[extents->n++] = (size_t)bytes;
  }
}

/* The first chunks of a data set. */
static inline void fuzz_note_chunks(struct fuzz_extents *extents, hid_t dataset)
{
  hid_t space = H5Dget_space(dataset);
  hsize_t n = 0, origin[H5S_MAX_RANK], bytes;
  haddr_t begin;
  unsigned skipped;
  if (H5Dget_num_chunks(dataset, space, &n) < 0) n = 0;
  for (hsize_t i = 0; i < n && i < 4; i++)
    if (H5Dget_chunk_info(dataset, space, i, origin, &skipped, &begin, &bytes) >= 0)
      fuzz_add_extent(extents, begin, bytes);
  H5Sclose(space);
}

static inline herr_t fuzz_note_extent(hid_t object, const char *name, const H5O_info_t *info, void *arg)
{
  struct fuzz_extents *extents = arg;
  if (info->type != H5O_TYPE_DATASET) return 0;
  hid_t dataset = H5Dopen2(object, name, H5P_DEFAULT);
  if (dataset < 0) return 0;
  fuzz_add_extent(extents, H5Dget_offset(dataset), H5Dget_storage_size(dataset));
  fuzz_note_chunks(extents, dataset);
  H5Dclose(dataset);
  return 0;
}

static inline void fuzz_note_heaps(struct fuzz_extents *extents, const uint8_t *data)
{
  const uint8_t *end = data + extents->file;
  for (const uint8_t *at = data; (at = memmem(at, (size_t)(end - at), "GCOL", 4)); at += 4)
    if (extents->n < 64) {
      extents->begin[extents->n] = (size_t)(at - data);
      extents->bytes[extents->n++] = (size_t)(end - at) < 256 ? (size_t)(end - at) : 256;
    }
}

static inline void fuzz_find_extents(struct fuzz_extents *extents, const uint8_t *data, size_t size)
{
  *extents = (struct fuzz_extents){.file = size};
  tpo_h5_quiet();
  hid_t file = H5Fopen(fuzz_put("mutated.h5", (struct part){data, size}), H5F_ACC_RDONLY, H5P_DEFAULT);
  if (file < 0) return;
  H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_NATIVE, fuzz_note_extent, extents, H5O_INFO_BASIC);
  H5Fclose(file);
  fuzz_note_heaps(extents, data);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
  struct fuzz_extents extents = {0};
  if (seed % 2) fuzz_find_extents(&extents, data, size);
  if (extents.n == 0) return LLVMFuzzerMutate(data, size, max_size);
  unsigned which = seed / 2 % extents.n;
  size_t begin = extents.begin[which], bytes = extents.bytes[which];
  uint8_t *copy = malloc(bytes);
  CLAIM(copy);
  memcpy(copy, data + begin, bytes);
  memcpy(data + begin, copy, LLVMFuzzerMutate(copy, bytes, bytes)); /* what is left over stays as it was */
  free(copy);
  return size;
}

#endif
