/* A GGUF file of a known family, dequantised as it is read.
 *
 * Of some families GGUF keeps q and k for the interleaved rotary embedding (dimension 2i pairs with 2i + 1):
 * within each head, row 2i + j of the file is row j * head_dim/2 + i of the rotate-half convention that the
 * operations use. Norms of which Hugging Face keeps the difference from 1 are whole in GGUF. */
#include "model/files/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/ggml_blocks.h"
#include "base/memory.h"
#include "model/files/gguf_meta.h"

static int check_tensor(const struct tpo_gguf *gguf, const struct tpo_param *param, struct tpo_error *err)
{
  char name[96];
  tpo_param_gguf_name(param, name);
  const struct tpo_gguf_tensor *t = tpo_gguf_find_tensor(gguf, name);
  if (!t)
    return tpo_fail(err, TPO_E_INPUT, "%s: tensor %s is missing (%s, [%lld%s%.0lld])", gguf->path, name,
                    param->name, (long long)param->rows, param->cols == 1 ? "" : ", ",
                    param->cols == 1 ? 0 : (long long)param->cols);
  int64_t dims[4];
  for (int d = 0; d < t->n_dims; d++) {
    uint64_t dim = t->dims[t->n_dims - 1 - d];
    dims[d] = dim > INT64_MAX ? INT64_MAX : (int64_t)dim;
  }
  return tpo_source_check_shape(param, name, dims, t->n_dims, gguf->path, err);
}

static bool is_known(const struct tpo_arch *arch, const struct tpo_param *params, size_t n,
                     struct tpo_gguf_string found)
{
  if (tpo_gguf_is_rope_tensor(arch, found)) return true;
  for (size_t i = 0; i < n; i++) {
    char name[96];
    tpo_param_gguf_name(&params[i], name);
    if (tpo_gguf_string_is(found, name)) return true;
  }
  return false;
}

static int check(struct tpo_source *source, const struct tpo_param *params, size_t n, struct tpo_error *err)
{
  const struct tpo_gguf *gguf = source->state;
  for (size_t i = 0; i < n; i++) {
    int code = check_tensor(gguf, &params[i], err);
    if (code < 0) return code;
  }
  for (uint64_t i = 0; i < gguf->n_tensors; i++) {
    struct tpo_gguf_string found = gguf->tensors[i].name;
    if (!is_known(&source->arch, params, n, found))
      return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: unexpected tensor %.*s; %s models of its sizes have none",
                      gguf->path, found.len > 90 ? 90 : (int)found.len, found.data,
                      tpo_family(&source->arch)->names[TPO_NAME_PROSE]);
  }
  return 0;
}

/* Row of the file that holds row `row` of q or k in the rotate-half convention. */
static int64_t interleaved_row(int64_t row, int head_dim)
{
  int64_t head = row / head_dim, within = row % head_dim, half = head_dim / 2;
  return head * head_dim + 2 * (within % half) + within / half;
}

static bool is_interleaved(const struct tpo_source *source, const struct tpo_param *param)
{
  return param->kind->rotary && tpo_family(&source->arch)->gguf_interleaves;
}

static int read_rows(struct tpo_source *source, const struct tpo_param *params, size_t i, int64_t row0,
                     int64_t n_rows, float *out, struct tpo_error *err)
{
  const struct tpo_gguf *gguf = source->state;
  char name[96];
  tpo_param_gguf_name(&params[i], name);
  const struct tpo_gguf_tensor *t = tpo_gguf_find_tensor(gguf, name);
  uint64_t cols = (uint64_t)params[i].cols;
  int code = 0;
  if (is_interleaved(source, &params[i]))
    for (int64_t r = 0; code == 0 && r < n_rows; r++)
      code = tpo_gguf_dequantize(t, (uint64_t)interleaved_row(row0 + r, source->arch.head_dim) * cols, cols,
                                 out + (size_t)r * cols, err);
  else
    code = tpo_gguf_dequantize(t, (uint64_t)row0 * cols, (uint64_t)n_rows * cols, out, err);
  if (code == 0 && params[i].kind->norm && tpo_family(&source->arch)->norms_from_one)
    for (int64_t r = 0; r < n_rows; r++) out[r] -= 1;
  return code < 0 ? tpo_fail_prefix(err, "%s: tensor %s", gguf->path, name) : 0;
}

static const void *raw_rows(struct tpo_source *source, const struct tpo_param *params, size_t i, int64_t row0,
                            int64_t n_rows, void *room, uint32_t *ggml_type)
{
  char name[96];
  tpo_param_gguf_name(&params[i], name);
  const struct tpo_gguf_tensor *t = tpo_gguf_find_tensor(source->state, name);
  const struct tpo_ggml_block *block = tpo_ggml_find_block(t->type);
  if (!block || params[i].cols % block->elements != 0) return NULL;
  *ggml_type = t->type;
  size_t row_bytes = (size_t)params[i].cols / block->elements * block->bytes;
  if (!is_interleaved(source, &params[i])) return t->data + (size_t)row0 * row_bytes;
  for (int64_t r = 0; r < n_rows; r++)
    memcpy((uint8_t *)room + (size_t)r * row_bytes,
           t->data + (size_t)interleaved_row(row0 + r, source->arch.head_dim) * row_bytes, row_bytes);
  return room;
}

static const char *file_of(struct tpo_source *source, const struct tpo_param *param)
{
  (void)param;
  return source->path;
}

static void close_source(struct tpo_source *source)
{
  tpo_gguf_close(source->state);
  free(source->state);
  source->state = NULL;
}

int tpo_source_open_gguf(struct tpo_source *source, const char *path, bool weights, struct tpo_error *err)
{
  struct tpo_gguf *gguf = tpo_calloc(1, sizeof *gguf, err);
  if (!gguf) return TPO_E_MEMORY;
  int code = tpo_gguf_open(gguf, path, err);
  if (code < 0) {
    free(gguf);
    return code;
  }
  source->state = gguf;
  code = tpo_gguf_read_arch(&source->arch, gguf, err);
  if (code < 0 || !weights) {
    close_source(source);
    return code;
  }
  source->check = check;
  source->read = read_rows;
  source->raw = raw_rows;
  source->file_of = file_of;
  source->close = close_source;
  return 0;
}
