/* safetensors container: one file, or a sharded folder through model.safetensors.index.json. */
#ifndef TPO_STORE_SAFETENSORS_H
#define TPO_STORE_SAFETENSORS_H

#include "base/dtype.h"
#include "base/file.h"

struct tpo_safetensor {
  char *name;
  enum tpo_dtype dtype;
  bool supported; /* dtype is F32, F16 or BF16; otherwise dtype_name tells what it is */
  char dtype_name[16];
  int n_dims;
  int64_t dims[8];     /* row-major, last contiguous */
  const uint8_t *data; /* supported types: aligned to their element's size */
  uint64_t bytes;
  int shard;
  void *aligned; /* owned copy that data points to where the file's own place is not aligned; else NULL */
};

struct tpo_safetensors {
  int n_shards;
  struct tpo_map *shards;
  char **shard_paths;
  int n_tensors;
  struct tpo_safetensor *tensors; /* sorted by name */
};

/* path: a .safetensors file, or a folder with model.safetensors or, without that, with
 * model.safetensors.index.json; of the two beside each other the index is not read, with a warning. A tensor
 * that the index names and no shard has (or two shards have) is an error. */
int tpo_safetensors_open(struct tpo_safetensors *st, const char *path, struct tpo_error *err);
void tpo_safetensors_close(struct tpo_safetensors *st);
const struct tpo_safetensor *tpo_safetensors_find(const struct tpo_safetensors *st, const char *name);

/* Writing: declare all tensors, then give each one's bytes in the same order. One file, atomic. */
struct tpo_safetensors_writer;
int tpo_safetensors_writer_open(struct tpo_safetensors_writer **out, const char *path, struct tpo_error *err);
int tpo_safetensors_writer_declare(struct tpo_safetensors_writer *w, const char *name, enum tpo_dtype dtype,
                                   int n_dims, const int64_t *dims, struct tpo_error *err);
int tpo_safetensors_writer_data(struct tpo_safetensors_writer *w, const void *bytes, size_t len,
                                struct tpo_error *err);
int tpo_safetensors_writer_commit(struct tpo_safetensors_writer *w, struct tpo_error *err);
void tpo_safetensors_writer_close(struct tpo_safetensors_writer *w); /* removes what was not committed */

#endif
