/* What this layer needs of HDF5: named datasets of plain arrays and of texts, in files that are written
 * atomically and read without trust. One thread only: the library is not thread-safe. */
#ifndef TPO_STORE_HDF5_H5_H
#define TPO_STORE_HDF5_H5_H

#include <hdf5.h>
#include "base/file.h"
#include "base/memory.h"
#include "store/hdf5/disk.h"
#include "tpo/base.h"

/* As they lie in memory, and little-endian in the file. */
enum tpo_h5_type {
  TPO_H5_U8,
  TPO_H5_U16,
  TPO_H5_I32,
  TPO_H5_I64,
  TPO_H5_F16,
  TPO_H5_F32,
  TPO_H5_F64,
  TPO_H5_TEXT, /* UTF-8; const char * in memory. Written of variable length, read also of a fixed one */
  TPO_H5_OTHER /* anything that is not read */
};
enum { TPO_H5_MAX_RANK = 8, TPO_H5_REFERENCE = 16 /* bytes of a reference to a text in a heap */ };

const char *tpo_h5_type_name(enum tpo_h5_type type); /* "int32", ..., "text" */
size_t tpo_h5_type_size(enum tpo_h5_type type);      /* bytes in memory; 0 for TPO_H5_OTHER */

struct tpo_h5_shape {
  enum tpo_h5_type type;
  int rank; /* 0: a scalar */
  uint64_t dims[TPO_H5_MAX_RANK];
  uint64_t count; /* elements */
};

/* The library prints nothing of its own. Call first in every function that begins with a path. */
void tpo_h5_quiet(void);
/* Fails with "PATH: WHAT: the library's innermost reason" and forgets the reason. */
int tpo_h5_fail(struct tpo_error *err, int code, const char *path, const char *what);
/* The same for a file that is read: an I/O error with the disk's reason where it has one; else the file is to
 * blame. */
struct tpo_h5_reader;
int tpo_h5_fail_read(const struct tpo_h5_reader *r, const char *what, struct tpo_error *err);
hid_t tpo_h5_memory_type(enum tpo_h5_type type); /* H5Tclose it */
hid_t tpo_h5_file_type(enum tpo_h5_type type);   /* H5Tclose it */

/* Hash of one dataset: name, type, shape, then its bytes; a text's bytes come after their number. */
struct tpo_h5_digest {
  char *name;
  char hex[33];
};
struct tpo_hash;
int tpo_h5_digest_begin(struct tpo_hash *hash, const char *name, const struct tpo_h5_shape *shape,
                        struct tpo_error *err);
void tpo_h5_digest_text(struct tpo_hash *hash, const char *text, size_t len);
/* content_hash of the datasets; sorts them by name. */
int tpo_h5_digest_all(struct tpo_h5_digest *digests, size_t n, char hex[33], struct tpo_error *err);

/* --- writing --- */
struct tpo_h5_writer {
  struct tpo_atomic file;
  hid_t id;
  struct tpo_h5_disk *disk;
  struct tpo_h5_digest *digests;
  size_t n_digests, capacity;
};
/* Zero-initialise w before. config may be NULL. */
int tpo_h5_create(struct tpo_h5_writer *w, const char *path, const char *format, const char *config,
                  struct tpo_error *err);
/* name: "group/name"; groups are made as needed. Texts: data is const
 * char *const *, malformed UTF-8 becomes U+FFFD. */
int tpo_h5_put(struct tpo_h5_writer *w, const char *name, enum tpo_h5_type type, int rank,
               const uint64_t *dims, const void *data, struct tpo_error *err);
/* Text attribute of the object `name` ("/": the root). */
int tpo_h5_put_attribute(struct tpo_h5_writer *w, const char *name, const char *attribute, const char *text,
                         struct tpo_error *err);
int tpo_h5_commit(struct tpo_h5_writer *w, struct tpo_error *err);
void tpo_h5_writer_close(struct tpo_h5_writer *w); /* removes what was not committed */

/* --- reading --- */
struct tpo_h5_heap_index;
struct tpo_h5_reader {
  hid_t id;
  struct tpo_h5_disk *disk;
  char *path;
  uint64_t size; /* bytes of the file */
  char format[16];
  struct tpo_map map;              /* the file */
  struct tpo_h5_heap_index *heaps; /* where its texts are */
};
/* Maps the file and finds its texts. Error when they, or the references to them, are damaged; tpo_h5_open
 * does this. */
int tpo_h5_find_texts(struct tpo_h5_reader *r, struct tpo_error *err);
void tpo_h5_forget_texts(struct tpo_h5_reader *r);
/* The text of a reference [TPO_H5_REFERENCE], in the map, without a NUL; false: there is none. */
bool tpo_h5_text_of(const struct tpo_h5_reader *r, const uint8_t *reference, const char **text, size_t *len);
/* Calls fn with the place in the file of each reference to a text that an attribute of an object holds, whose
 * header is at `header`; stops at a negative result and returns it. 1: the header has more chunks than any
 * real one. */
int tpo_h5_each_attribute_text(const struct tpo_map *map, uint64_t header, int (*fn)(void *arg, uint64_t at),
                               void *arg);
/* Opens one of our files. `expected`: "samples", "scored", "pairs", "checkpoint", or NULL for any. */
int tpo_h5_open(struct tpo_h5_reader *r, const char *path, const char *expected, struct tpo_error *err);
void tpo_h5_reader_close(struct tpo_h5_reader *r);
/* 1 found, 0 absent. */
int tpo_h5_shape(const struct tpo_h5_reader *r, const char *name, struct tpo_h5_shape *shape,
                 struct tpo_error *err);
/* Fails unless the dataset has this type and one dimension; *n is its length. */
int tpo_h5_length(const struct tpo_h5_reader *r, const char *name, enum tpo_h5_type type, uint64_t *n,
                  struct tpo_error *err);
/* The same of a column whose length says how many rows there are: more than the file has bytes, and it is
 * refused. */
int tpo_h5_row_count(const struct tpo_h5_reader *r, const char *name, enum tpo_h5_type type, uint64_t *n,
                     struct tpo_error *err);
/* All elements of a dataset that has this type (not text) and count. */
int tpo_h5_get(const struct tpo_h5_reader *r, const char *name, enum tpo_h5_type type, uint64_t count,
               void *out, struct tpo_error *err);
/* Calls fn once with all n elements of a known type that is not text, little-endian; `first` is 0. */
int tpo_h5_get_bytes(const struct tpo_h5_reader *r, const char *name,
                     int (*fn)(void *arg, uint64_t first, uint64_t n, const uint8_t *bytes,
                               struct tpo_error *err),
                     void *arg, struct tpo_error *err);
/* Calls fn with each text in turn; borrowed until it returns. A text with a NUL in it is refused. */
int tpo_h5_get_texts(const struct tpo_h5_reader *r, const char *name, uint64_t count,
                     int (*fn)(void *arg, uint64_t row, const char *text, struct tpo_error *err), void *arg,
                     struct tpo_error *err);
/* 1 found (free(*text)), 0 absent. */
int tpo_h5_get_attribute(const struct tpo_h5_reader *r, const char *name, const char *attribute, char **text,
                         struct tpo_error *err);
/* Calls fn for each link of a group, sorted by name. */
int tpo_h5_each(const struct tpo_h5_reader *r, const char *group,
                int (*fn)(void *arg, const char *name, bool is_group, struct tpo_error *err), void *arg,
                struct tpo_error *err);

/* --- rows: a table of structs as one dataset a column --- */
enum tpo_h5_column_kind {
  TPO_H5_TEXTS,  /* const char * at `at` */
  TPO_H5_VALUES, /* a value of `type` at `at` */
  TPO_H5_NEWER,  /* the same; zeros where the file, of an earlier version, lacks it */
  TPO_H5_SPARSE, /* the same; there only where a row has more than zeros */
  /* int64 [n + 1], from the int32 counts at `at`; stands before the RAGGED columns that share it */
  TPO_H5_OFFSETS,
  TPO_H5_RAGGED, /* all rows' arrays of `type`, pointed to at `at`, one after the other */
};
struct tpo_h5_column {
  const char *name;
  enum tpo_h5_column_kind kind;
  enum tpo_h5_type type;
  size_t at; /* offsetof in the row */
};
int tpo_h5_put_rows(struct tpo_h5_writer *w, const struct tpo_h5_column *columns, int n_columns,
                    const void *rows, size_t row_bytes, size_t n, struct tpo_error *err);
/* rows [n] zeroed; strings and arrays go to the arena. */
int tpo_h5_get_rows(const struct tpo_h5_reader *r, const struct tpo_h5_column *columns, int n_columns,
                    void *rows, size_t row_bytes, size_t n, struct tpo_arena *arena, struct tpo_error *err);

/* The attribute content_hash of any of our HDF5 files. */
int tpo_store_content_hash(const char *path, char hex[33], struct tpo_error *err);

#endif
