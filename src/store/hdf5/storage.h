/* How the elements of a data set lie in its file, and their bytes, whichever way that is. */
#ifndef TPO_STORE_HDF5_STORAGE_H
#define TPO_STORE_HDF5_STORAGE_H

#include "store/hdf5/filters.h"
#include "store/hdf5/h5.h"

struct tpo_h5_dataset {
  hid_t id;
  const char *name; /* borrowed */
  struct tpo_h5_shape shape;
  size_t element;  /* bytes of one in the file */
  bool references; /* texts are references to heaps; else they are of `element` bytes, filled up */
  H5T_str_t fill;  /* with what, where they are filled up */
  H5D_layout_t layout;
  uint64_t stored; /* bytes in the file */
  /* chunked */
  uint64_t chunk[TPO_H5_MAX_RANK]; /* its shape */
  uint64_t chunk_bytes;
  struct tpo_h5_pipeline pipeline;
};

/* Opens a data set that must be there with this type; H5Dclose d->id. */
int tpo_h5_open_typed(const struct tpo_h5_reader *r, const char *name, enum tpo_h5_type type,
                      struct tpo_h5_dataset *d, struct tpo_error *err);
int tpo_h5_wrong_count(const struct tpo_h5_reader *r, const char *name, uint64_t found, uint64_t expected,
                       struct tpo_error *err);
/* Fills d, whose id, name and shape are known, and refuses what does not lie in the file itself, whole, in a
 * way that is read here, or claims to be more than what is stored can become. */
int tpo_h5_storage_read(const struct tpo_h5_reader *r, struct tpo_h5_dataset *d, struct tpo_error *err);
/* All elements, as they are in the file, which for numbers is as they are in memory: out [shape.count *
 * element]. */
int tpo_h5_storage_get(const struct tpo_h5_reader *r, const struct tpo_h5_dataset *d, void *out,
                       struct tpo_error *err);
/* The same, for fn to look at: of what is contiguous, in the file's map. */
int tpo_h5_storage_whole(const struct tpo_h5_reader *r, const struct tpo_h5_dataset *d,
                         int (*fn)(void *arg, uint64_t first, uint64_t n, const uint8_t *bytes,
                                   struct tpo_error *err),
                         void *arg, struct tpo_error *err);
/* Of a data set of at most one dimension: calls fn with the elements in their order, n from `first` on. */
int tpo_h5_storage_each(const struct tpo_h5_reader *r, const struct tpo_h5_dataset *d,
                        int (*fn)(void *arg, uint64_t first, uint64_t n, const uint8_t *bytes,
                                  struct tpo_error *err),
                        void *arg, struct tpo_error *err);
/* Fails with "PATH: dataset 'NAME' WHAT", and the library's reason, if it has one. */
int tpo_h5_bad_dataset(const struct tpo_h5_reader *r, const char *name, const char *what,
                       struct tpo_error *err);

#endif
