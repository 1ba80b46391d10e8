/* Checkpoints: tensors and blobs by name. */
#include <stdlib.h>
#include <string.h>
#include "base/dtype.h"
#include "base/utf8.h"
#include "store/hdf5/h5.h"
#include "store/show.h"
#include "tpo/store.h"

enum { LONGEST_NAME = 1024 };

struct tpo_checkpoint_writer {
  struct tpo_h5_writer file;
};

int tpo_checkpoint_create(struct tpo_checkpoint_writer **out, const char *path, const char *config,
                          struct tpo_error *err)
{
  *out = NULL;
  struct tpo_checkpoint_writer *w = tpo_calloc(1, sizeof *w, err);
  if (!w) return TPO_E_MEMORY;
  int status = tpo_h5_create(&w->file, path, "checkpoint", config, err);
  if (status < 0)
    free(w);
  else
    *out = w;
  return status;
}

/* One step of an HDF5 path. */
static bool is_step(const char *name)
{
  return name[0] != '\0' && strlen(name) <= LONGEST_NAME && !strchr(name, '/') && strcmp(name, ".") != 0 &&
         strcmp(name, "..") != 0 && tpo_utf8_valid(name, strlen(name), NULL);
}

static int make_path(char out[2 * LONGEST_NAME + 64], const char *group, const char *name, const char *file,
                     struct tpo_error *err)
{
  if (!is_step(name) || strlen(group) > LONGEST_NAME)
    return tpo_fail(err, TPO_E_USAGE, "%s: '%s' can't be a tensor's name in group '%s'", file,
                    tpo_show_name(name, strlen(name)).text, group);
  snprintf(out, 2 * LONGEST_NAME + 64, "%s/%s", group, name);
  return 0;
}

int tpo_checkpoint_put(struct tpo_checkpoint_writer *w, const char *group, const char *name, int dtype,
                       int n_dims, const int64_t *dims, const void *data, struct tpo_error *err)
{
  char path[2 * LONGEST_NAME + 64];
  uint64_t sizes[TPO_H5_MAX_RANK];
  int status = make_path(path, group, name, w->file.file.path, err);
  if (status < 0) return status;
  bool is_valid = n_dims >= 0 && n_dims <= TPO_H5_MAX_RANK && dtype >= TPO_F32 && dtype <= TPO_BF16;
  for (int d = 0; is_valid && d < n_dims; d++) {
    is_valid = dims[d] >= 0;
    sizes[d] = (uint64_t)dims[d];
  }
  if (!is_valid)
    return tpo_fail(err, TPO_E_USAGE, "%s: tensor '%s' has a shape or type that can't be written",
                    w->file.file.path, path);
  enum tpo_h5_type type = dtype == TPO_F32 ? TPO_H5_F32 : dtype == TPO_F16 ? TPO_H5_F16 : TPO_H5_U16;
  status = tpo_h5_put(&w->file, path, type, n_dims, sizes, data, err);
  if (status == 0 && dtype == TPO_BF16)
    status = tpo_h5_put_attribute(&w->file, path, "dtype", "bfloat16", err);
  return status;
}

/* A text where the bytes are one, so that other programs show it; else plain bytes. */
int tpo_checkpoint_put_blob(struct tpo_checkpoint_writer *w, const char *name, const void *bytes, size_t len,
                            struct tpo_error *err)
{
  uint64_t size = len;
  if (memchr(len > 0 ? bytes : "x", '\0', len) || !tpo_utf8_valid(len > 0 ? bytes : "", len, NULL))
    return tpo_h5_put(&w->file, name, TPO_H5_U8, 1, &size, bytes, err);
  char *text = tpo_calloc(len + 1, 1, err);
  if (!text) return TPO_E_MEMORY;
  if (len > 0) memcpy(text, bytes, len);
  const char *const texts[] = {text};
  int status = tpo_h5_put(&w->file, name, TPO_H5_TEXT, 0, NULL, texts, err);
  free(text);
  return status;
}

int tpo_checkpoint_commit(struct tpo_checkpoint_writer *w, struct tpo_error *err)
{
  return tpo_h5_commit(&w->file, err);
}

void tpo_checkpoint_writer_close(struct tpo_checkpoint_writer *w)
{
  if (!w) return;
  tpo_h5_writer_close(&w->file);
  free(w);
}

struct tpo_checkpoint {
  struct tpo_h5_reader file;
};

int tpo_checkpoint_open(struct tpo_checkpoint **out, const char *path, struct tpo_error *err)
{
  *out = NULL;
  struct tpo_checkpoint *c = tpo_calloc(1, sizeof *c, err);
  if (!c) return TPO_E_MEMORY;
  int status = tpo_h5_open(&c->file, path, "checkpoint", err);
  if (status < 0)
    free(c);
  else
    *out = c;
  return status;
}

void tpo_checkpoint_close(struct tpo_checkpoint *c)
{
  if (!c) return;
  tpo_h5_reader_close(&c->file);
  free(c);
}

int tpo_checkpoint_config(struct tpo_checkpoint *c, char **out, struct tpo_error *err)
{
  int found = tpo_h5_get_attribute(&c->file, "/", "config", out, err);
  if (found <= 0 || **out) return found;
  free(*out);
  *out = NULL;
  return 0;
}

static int wrong_dtype(const struct tpo_checkpoint *c, const char *path, const char *what,
                       struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_INPUT,
                  "%s: tensor '%s' has type %s, expected float32, "
                  "float16 or bfloat16 (uint16 with the attribute dtype)",
                  c->file.path, tpo_show_name(path, strlen(path)).text, what);
}

static int read_dtype(const struct tpo_checkpoint *c, const char *path, enum tpo_h5_type type, int *dtype,
                      struct tpo_error *err)
{
  char *text = NULL;
  if (type == TPO_H5_F32) *dtype = TPO_F32;
  if (type == TPO_H5_F16) *dtype = TPO_F16;
  if (type == TPO_H5_F32 || type == TPO_H5_F16) return 1;
  if (type != TPO_H5_U16) return wrong_dtype(c, path, tpo_h5_type_name(type), err);
  int found = tpo_h5_get_attribute(&c->file, path, "dtype", &text, err);
  if (found < 0) return found;
  bool is_bf16 = found == 1 && strcmp(text, "bfloat16") == 0;
  free(text);
  if (!is_bf16) return wrong_dtype(c, path, "uint16", err);
  *dtype = TPO_BF16;
  return 1;
}

int tpo_checkpoint_shape(struct tpo_checkpoint *c, const char *group, const char *name, int *dtype,
                         int *n_dims, int64_t dims[8], struct tpo_error *err)
{
  char path[2 * LONGEST_NAME + 64];
  struct tpo_h5_shape shape;
  int found = make_path(path, group, name, c->file.path, err);
  if (found == 0) found = tpo_h5_shape(&c->file, path, &shape, err);
  if (found <= 0) return found;
  *n_dims = shape.rank;
  for (int d = 0; d < shape.rank; d++) {
    if (shape.dims[d] > INT64_MAX) return wrong_dtype(c, path, "of an impossible size", err);
    dims[d] = (int64_t)shape.dims[d];
  }
  return read_dtype(c, path, shape.type, dtype, err);
}

int tpo_checkpoint_get(struct tpo_checkpoint *c, const char *group, const char *name, void *out, size_t bytes,
                       struct tpo_error *err)
{
  char path[2 * LONGEST_NAME + 64];
  struct tpo_h5_shape shape;
  int dtype;
  int found = make_path(path, group, name, c->file.path, err);
  if (found == 0) found = tpo_h5_shape(&c->file, path, &shape, err);
  if (found < 0) return found;
  if (found == 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: has no tensor '%s'", c->file.path,
                    tpo_show_name(path, strlen(path)).text);
  found = read_dtype(c, path, shape.type, &dtype, err);
  if (found < 0) return found;
  if (shape.count * tpo_h5_type_size(shape.type) != bytes)
    return tpo_fail(err, TPO_E_INPUT, "%s: tensor '%s' has %llu bytes, expected %zu", c->file.path,
                    tpo_show_name(path, strlen(path)).text,
                    (unsigned long long)(shape.count * tpo_h5_type_size(shape.type)), bytes);
  return tpo_h5_get(&c->file, path, shape.type, shape.count, out, err);
}

static int take_text(void *arg, uint64_t row, const char *text, struct tpo_error *err)
{
  (void)row;
  char **out = arg;
  *out = strdup(text);
  return *out ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory for a text of %zu bytes", strlen(text));
}

int tpo_checkpoint_get_blob(struct tpo_checkpoint *c, const char *name, char **out, size_t *len,
                            struct tpo_error *err)
{
  struct tpo_h5_shape shape;
  *out = NULL;
  int found = tpo_h5_shape(&c->file, name, &shape, err);
  if (found <= 0) return found;
  int status;
  if (shape.type == TPO_H5_TEXT && shape.rank == 0) {
    status = tpo_h5_get_texts(&c->file, name, 1, take_text, out, err);
    if (status == 0) *len = strlen(*out);
  } else if (shape.type == TPO_H5_U8 && shape.rank == 1) {
    *out = tpo_calloc(shape.count + 1, 1, err);
    *len = shape.count;
    status = *out ? tpo_h5_get(&c->file, name, TPO_H5_U8, shape.count, *out, err) : TPO_E_MEMORY;
  } else {
    status = tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s' is an array of %s, expected one text or bytes",
                      c->file.path, name, tpo_h5_type_name(shape.type));
  }
  if (status == 0) return 1;
  free(*out);
  *out = NULL;
  return status;
}

struct each_tensor {
  const struct tpo_checkpoint *c;
  int (*fn)(void *arg, const char *name, struct tpo_error *err);
  void *arg;
};

static int each_tensor(void *arg, const char *name, bool is_group, struct tpo_error *err)
{
  struct each_tensor *each = arg;
  if (is_group)
    return tpo_fail(err, TPO_E_INPUT, "%s: '%s' is a group, expected a tensor", each->c->file.path,
                    tpo_show_name(name, strlen(name)).text);
  return each->fn(each->arg, name, err);
}

int tpo_checkpoint_each(struct tpo_checkpoint *c, const char *group,
                        int (*fn)(void *arg, const char *name, struct tpo_error *err), void *arg,
                        struct tpo_error *err)
{
  struct each_tensor each = {.c = c, .fn = fn, .arg = arg};
  return tpo_h5_each(&c->file, group, each_tensor, &each, err);
}
