/* `tpo inspect` of a checkpoint. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/dtype.h"
#include "base/memory.h"
#include "store/hdf5/h5.h"
#include "store/inspect/inspect.h"
#include "store/show.h"
#include "tpo/store.h"

struct tensor_list {
  struct tpo_checkpoint *c;
  const char *group;
  char **names;
  size_t n, capacity;
  uint64_t elements, bytes;
};

static int add_name(void *arg, const char *name, struct tpo_error *err)
{
  struct tensor_list *list = arg;
  int dtype = 0, n_dims = 0;
  int64_t dims[8];
  int found = tpo_checkpoint_shape(list->c, list->group, name, &dtype, &n_dims, dims, err);
  if (found < 0) return found;
  uint64_t elements = 1; /* fits: the reader has checked the product */
  for (int d = 0; d < n_dims; d++) elements *= (uint64_t)dims[d];
  list->elements += elements;
  list->bytes += elements * tpo_dtype_size((enum tpo_dtype)dtype);
  if (tpo_grow(&list->names, &list->capacity, list->n + 1, sizeof *list->names, err) < 0) return TPO_E_MEMORY;
  list->names[list->n] = strdup(name);
  if (!list->names[list->n]) return tpo_fail(err, TPO_E_MEMORY, "out of memory for a name");
  list->n++;
  return 0;
}

static void free_list(struct tensor_list *list)
{
  for (size_t i = 0; i < list->n; i++) free(list->names[i]);
  free(list->names);
}

/* Square root of the sum of squares, in double. */
static int norm_of(struct tensor_list *list, const char *name, enum tpo_dtype dtype, uint64_t elements,
                   double *norm, struct tpo_error *err)
{
  enum { CHUNK = 4096 };
  float values[CHUNK];
  size_t size = tpo_dtype_size(dtype);
  char *data = tpo_calloc(elements, size, err);
  if (!data) return TPO_E_MEMORY;
  int status = tpo_checkpoint_get(list->c, list->group, name, data, elements * size, err);
  double sum = 0;
  for (uint64_t at = 0; at < elements && status == 0; at += CHUNK) {
    size_t n = elements - at < CHUNK ? (size_t)(elements - at) : CHUNK;
    tpo_convert(values, TPO_F32, data + at * size, dtype, n);
    for (size_t i = 0; i < n; i++) sum += (double)values[i] * (double)values[i];
  }
  free(data);
  *norm = sqrt(sum);
  return status;
}

static int show_tensor(FILE *out, struct tensor_list *list, const char *name, int width,
                       struct tpo_error *err)
{
  int dtype = 0, n_dims = 0;
  int64_t dims[8];
  double norm = 0;
  uint64_t elements = 1;
  int status = tpo_checkpoint_shape(list->c, list->group, name, &dtype, &n_dims, dims, err);
  if (status < 0) return status;
  for (int d = 0; d < n_dims; d++) elements *= (uint64_t)dims[d];
  status = norm_of(list, name, (enum tpo_dtype)dtype, elements, &norm, err);
  if (status < 0) return status;
  fprintf(out, "  %-*s  %-4s  %-18s  %12.6g\n", width, tpo_show_name(name, strlen(name)).text,
          tpo_dtype_name((enum tpo_dtype)dtype), tpo_inspect_shape(n_dims, dims).text, norm);
  return 0;
}

static int show_group(FILE *out, struct tpo_checkpoint *c, const char *group, int limit,
                      struct tpo_error *err)
{
  struct tensor_list list = {.c = c, .group = group};
  int status = tpo_checkpoint_each(c, group, add_name, &list, err);
  if (status == 0 && list.n > 0)
    fprintf(out, "\n%s: %zu tensors, %llu elements, %s\n", group, list.n, (unsigned long long)list.elements,
            tpo_inspect_bytes(list.bytes).text);
  size_t shown = tpo_inspect_shown(list.n, limit);
  int width = 6;
  for (size_t i = 0; i < shown; i++) {
    int length = (int)strlen(tpo_show_name(list.names[i], strlen(list.names[i])).text);
    if (length > width) width = length;
  }
  if (shown > 0 && status == 0) fprintf(out, "  %-*s  type  %-18s  %12s\n", width, "tensor", "shape", "norm");
  for (size_t i = 0; i < shown && status == 0; i++)
    status = show_tensor(out, &list, list.names[i], width, err);
  if (status == 0 && shown > 0) tpo_inspect_rest(out, list.n, shown, "tensors");
  free_list(&list);
  return status;
}

static int show_blob(FILE *out, struct tpo_checkpoint *c, const char *name, int limit, struct tpo_error *err)
{
  char *text;
  size_t len = 0;
  int found = tpo_checkpoint_get_blob(c, name, &text, &len, err);
  if (found <= 0) return found;
  fprintf(out, "  %s\n", name);
  tpo_inspect_json(out, text, len, limit);
  free(text);
  return 0;
}

struct file_list {
  FILE *out;
  const struct tpo_h5_reader *r;
  bool is_begun;
};

static int show_file(void *arg, const char *name, bool is_group, struct tpo_error *err)
{
  struct file_list *list = arg;
  struct tpo_h5_shape shape;
  char path[2048];
  snprintf(path, sizeof path, "tokenizer/%s", name);
  int found = is_group ? 0 : tpo_h5_shape(list->r, path, &shape, err);
  if (found < 0) return found;
  if (!list->is_begun) fputs("  tokenizer", list->out);
  list->is_begun = true;
  fprintf(list->out, "  %s", tpo_show_name(name, strlen(name)).text);
  return 0;
}

static int show_tokenizer(FILE *out, const char *path, struct tpo_error *err)
{
  struct tpo_h5_reader r;
  int status = tpo_h5_open(&r, path, NULL, err);
  if (status < 0) return status;
  struct file_list list = {.out = out, .r = &r};
  status = tpo_h5_each(&r, "tokenizer", show_file, &list, err);
  if (list.is_begun) fputc('\n', out);
  tpo_h5_reader_close(&r);
  return status;
}

int tpo_inspect_checkpoint(const char *path, int limit, FILE *out, struct tpo_error *err)
{
  static const char *const groups[] = {"optimizer/master", "optimizer/m", "optimizer/v"};
  struct tpo_checkpoint *c;
  int status = tpo_checkpoint_open(&c, path, err);
  if (status < 0) return status;
  tpo_inspect_title(out, path, "checkpoint");
  status = tpo_inspect_origin(path, out, err);
  if (status == 0) status = show_blob(out, c, "state", limit, err);
  if (status == 0) status = show_blob(out, c, "architecture", limit, err);
  if (status == 0) status = show_tokenizer(out, path, err);
  if (status == 0) status = show_group(out, c, "model", limit, err);
  for (int i = 0; i < 3 && status == 0; i++) status = show_group(out, c, groups[i], 0, err);
  tpo_checkpoint_close(c);
  return status;
}
