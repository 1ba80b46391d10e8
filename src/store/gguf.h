/* GGUF (versions 2 and 3) container: metadata and tensor table over a mapped file. Nothing in the file is
 * trusted: every length, offset, count and type is checked against the file's size before use. */
#ifndef TPO_STORE_GGUF_H
#define TPO_STORE_GGUF_H

#include "base/dtype.h"
#include "base/file.h"

enum tpo_gguf_type {
  TPO_GGUF_U8,
  TPO_GGUF_I8,
  TPO_GGUF_U16,
  TPO_GGUF_I16,
  TPO_GGUF_U32,
  TPO_GGUF_I32,
  TPO_GGUF_F32,
  TPO_GGUF_BOOL,
  TPO_GGUF_STRING,
  TPO_GGUF_ARRAY,
  TPO_GGUF_U64,
  TPO_GGUF_I64,
  TPO_GGUF_F64
};

/* borrows from the mapping; not NUL-terminated */
struct tpo_gguf_string {
  const char *data;
  uint64_t len;
};

struct tpo_gguf_value {
  struct tpo_gguf_string key;
  enum tpo_gguf_type type; /* of the value; ARRAY: see item_type and count */
  enum tpo_gguf_type item_type;
  uint64_t count;      /* items of an array, else 1 */
  const uint8_t *data; /* first byte; unaligned, little-endian */
  uint64_t bytes;      /* of the whole value */
};

struct tpo_gguf_tensor {
  struct tpo_gguf_string name;
  uint32_t type;    /* ggml type number */
  int n_dims;       /* 1-4 */
  uint64_t dims[4]; /* dims[0] is the contiguous one (so a [rows, cols] matrix has dims {cols, rows}) */
  const uint8_t *data;
  uint64_t bytes;
};

struct tpo_gguf {
  struct tpo_map map;
  char *path;
  uint32_t version;
  uint64_t n_values, n_tensors;
  struct tpo_gguf_value *values;
  struct tpo_gguf_tensor *tensors;
};

int tpo_gguf_open(struct tpo_gguf *gguf, const char *path, struct tpo_error *err);
void tpo_gguf_close(struct tpo_gguf *gguf);
/* NULL when absent. */
const struct tpo_gguf_value *tpo_gguf_find(const struct tpo_gguf *gguf, const char *key);
const struct tpo_gguf_tensor *tpo_gguf_find_tensor(const struct tpo_gguf *gguf, const char *name);
/* 1 found, 0 absent (out untouched), negative wrong type. Any integer type is taken by int, any number by
 * double. */
int tpo_gguf_get_int(const struct tpo_gguf *gguf, const char *key, int64_t *out, struct tpo_error *err);
/* The same of a key that may be an array with an integer for each of n_layers layers: they must be equal. */
int tpo_gguf_get_int_of_layers(const struct tpo_gguf *gguf, const char *key, int64_t n_layers, int64_t *out,
                               struct tpo_error *err);
int tpo_gguf_get_double(const struct tpo_gguf *gguf, const char *key, double *out, struct tpo_error *err);
int tpo_gguf_get_bool(const struct tpo_gguf *gguf, const char *key, bool *out, struct tpo_error *err);
int tpo_gguf_get_string(const struct tpo_gguf *gguf, const char *key, struct tpo_gguf_string *out,
                        struct tpo_error *err);
/* Refuses a part of a model that was split into several files. */
int tpo_gguf_check_whole(const struct tpo_gguf *gguf, struct tpo_error *err);
/* Iterates a string array: *cursor starts at 0. 1 with *out, 0 at the end, negative when malformed. */
int tpo_gguf_next_string(const struct tpo_gguf_value *array, uint64_t *cursor, struct tpo_gguf_string *out);

const char *tpo_gguf_type_name(uint32_t ggml_type); /* "Q4_K", ...; NULL when unknown */
/* Elements [first, first+n) of the tensor as fp32; first and n multiples of the type's block size.
 * F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K; another type is TPO_E_UNSUPPORTED. */
int tpo_gguf_dequantize(const struct tpo_gguf_tensor *tensor, uint64_t first, uint64_t n, float *out,
                        struct tpo_error *err);

#endif
