/* Content hashes of datasets, and of a file: its datasets' in the order of their names. */
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "store/hdf5/h5.h"

int tpo_h5_digest_begin(struct tpo_hash *hash, const char *name, const struct tpo_h5_shape *shape,
                        struct tpo_error *err)
{
  int status = tpo_hash_begin(hash, err);
  if (status < 0) return status;
  const char *type = tpo_h5_type_name(shape->type);
  uint64_t rank = (uint64_t)shape->rank;
  tpo_hash_add(hash, name, strlen(name) + 1);
  tpo_hash_add(hash, type, strlen(type) + 1);
  tpo_hash_add(hash, &rank, sizeof rank);
  tpo_hash_add(hash, shape->dims, (size_t)shape->rank * sizeof shape->dims[0]);
  return 0;
}

void tpo_h5_digest_text(struct tpo_hash *hash, const char *text, size_t len)
{
  uint64_t bytes = len;
  tpo_hash_add(hash, &bytes, sizeof bytes);
  tpo_hash_add(hash, text, len);
}

static int by_name(const void *a, const void *b)
{
  return strcmp(((const struct tpo_h5_digest *)a)->name, ((const struct tpo_h5_digest *)b)->name);
}

int tpo_h5_digest_all(struct tpo_h5_digest *digests, size_t n, char hex[33], struct tpo_error *err)
{
  struct tpo_hash hash;
  int status = tpo_hash_begin(&hash, err);
  if (status < 0) return status;
  if (n > 0) qsort(digests, n, sizeof *digests, by_name);
  for (size_t i = 0; i < n; i++) {
    tpo_hash_add(&hash, digests[i].name, strlen(digests[i].name) + 1);
    tpo_hash_add(&hash, digests[i].hex, sizeof digests[i].hex);
  }
  tpo_hash_end(&hash, hex);
  return 0;
}
