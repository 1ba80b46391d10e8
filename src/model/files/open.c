/* Opening a model: which kind of file it is, then every tensor, checked, in pieces. */
#include "model/files/source.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/ggml_blocks.h"
#include "base/memory.h"

int tpo_source_open(struct tpo_source *source, const char *path, bool weights, struct tpo_error *err)
{
  memset(source, 0, sizeof *source);
  source->path = path;
  if (tpo_is_dir(path)) return tpo_source_open_hf(source, path, weights, err);
  if (tpo_file_exists(path) && !tpo_is_regular(path))
    return tpo_fail(err, TPO_E_USAGE, "%s: expected a model folder or file, not a device or pipe", path);
  FILE *file = fopen(path, "rb");
  if (!file) return tpo_fail(err, TPO_E_USAGE, "%s: cannot open the model: %s", path, strerror(errno));
  unsigned char magic[8] = {0};
  size_t n = fread(magic, 1, sizeof magic, file);
  int why = ferror(file) ? errno : 0;
  fclose(file);
  if (why) return tpo_fail(err, TPO_E_IO, "%s: reading failed: %s", path, strerror(why));
  if (n >= 4 && memcmp(magic, "GGUF", 4) == 0) return tpo_source_open_gguf(source, path, weights, err);
  if (n == 8 && memcmp(magic, "\x89HDF\r\n\x1a\n", 8) == 0)
    return tpo_source_open_checkpoint(source, path, weights, err);
  return tpo_fail(
      err, TPO_E_INPUT,
      "%s: not a model: expected a Hugging Face folder, a GGUF file or a checkpoint of this program", path);
}

void tpo_source_close(struct tpo_source *source)
{
  if (source->close) source->close(source);
  source->close = NULL;
}

static void print_shape(char *out, size_t size, const int64_t *dims, int n_dims)
{
  size_t at = (size_t)snprintf(out, size, "[");
  for (int d = 0; d < n_dims && at < size; d++)
    at += (size_t)snprintf(out + at, size - at, "%s%lld", d ? ", " : "", (long long)dims[d]);
  if (at < size) snprintf(out + at, size - at, "]");
}

int tpo_source_check_shape(const struct tpo_param *param, const char *name, const int64_t *dims, int n_dims,
                           const char *file, struct tpo_error *err)
{
  const int64_t want[2] = {param->rows, param->cols};
  int want_dims = param->cols == 1 ? 1 : 2;
  if (n_dims == want_dims && memcmp(dims, want, (size_t)n_dims * sizeof *dims) == 0) return 0;
  char found[200], expected[64];
  print_shape(found, sizeof found, dims, n_dims);
  print_shape(expected, sizeof expected, want, want_dims);
  return tpo_fail(err, TPO_E_INPUT, "%s: tensor %s has shape %s, expected %s", file, name, found, expected);
}

/* Values must be finite, in the type that they are computed with too. */
static int check_values(struct tpo_source *source, const struct tpo_param *param, int64_t row0,
                        int64_t n_rows, const float *values, bool bf16, struct tpo_error *err)
{
  const float largest = bf16 ? 0x1.fefffep127f : 0x1.fffffep127f; /* what does not round up to infinity */
  unsigned bad_values = 0;
  size_t n = (size_t)n_rows * (size_t)param->cols;
  for (size_t i = 0; i < n; i++) bad_values |= !(fabsf(values[i]) <= largest);
  if (bad_values == 0) return 0;
  size_t bad = 0;
  while (fabsf(values[bad]) <= largest) bad++;
  return tpo_fail(err, TPO_E_NUMERIC,
                  "%s: tensor %s holds %g at row %lld, column %lld; expected a finite %s number",
                  source->file_of(source, param), param->name, (double)values[bad],
                  (long long)(row0 + (int64_t)(bad / (size_t)param->cols)),
                  (long long)(bad % (size_t)param->cols), bf16 ? "bf16" : "fp32");
}

/* A GPU gets the rows as they lie in the file and dequantises them itself: fewer bytes go to it, and the host
 * has less to do. `host`: room for the rows as fp32. */
static int load_rows(struct tpo_model *model, struct tpo_source *source, size_t i, int64_t row, int64_t n,
                     float *host, struct tpo_error *err)
{
  const struct tpo_param *param = &model->params[i];
  uint32_t type = 0;
  const void *raw = NULL;
  if (model->ops->asynchronous && source->raw && !model->places[i].vector)
    raw = source->raw(source, model->params, i, row, n, host, &type);
  if (raw &&
      tpo_ggml_is_finite(type, raw, (size_t)n * (size_t)param->cols / tpo_ggml_find_block(type)->elements))
    return tpo_model_put_raw(model, i, row, n, raw, type, err);
  int code = source->read(source, model->params, i, row, n, host, err);
  if (code == 0) code = check_values(source, param, row, n, host, model->dtype == TPO_DTYPE_BF16, err);
  return code < 0 ? code : tpo_model_put_rows(model, i, row, n, host, err);
}

static int load_param(struct tpo_model *model, struct tpo_source *source, size_t i, struct tpo_error *err)
{
  const struct tpo_param *param = &model->params[i];
  int64_t chunk = tpo_param_chunk(param);
  float *host = tpo_calloc((size_t)chunk * (size_t)param->cols, sizeof(float), err);
  if (!host) return TPO_E_MEMORY;
  int code = 0;
  for (int64_t row = 0; code == 0 && row < param->rows; row += chunk) {
    int64_t n = param->rows - row < chunk ? param->rows - row : chunk;
    code = load_rows(model, source, i, row, n, host, err);
  }
  free(host);
  return code;
}

/* Shapes are compared with the file before weights are allocated, so that a hostile size costs no memory. */
int tpo_source_check(struct tpo_source *source, struct tpo_error *err)
{
  struct tpo_param *params;
  size_t n, count;
  int code = tpo_params_list(&source->arch, &params, &n, &count, err);
  if (code < 0) return code;
  code = source->check(source, params, n, err);
  free(params);
  return code;
}

int tpo_source_load(struct tpo_model **out, struct tpo_source *source,
                    const struct tpo_model_options *options, struct tpo_error *err)
{
  *out = NULL;
  struct tpo_model *model = NULL;
  source->master = options->keep_master;
  int code = tpo_source_check(source, err);
  if (code == 0) code = tpo_model_allocate(&model, &source->arch, options, err);
  for (size_t i = 0; code == 0 && i < model->n_params; i++) code = load_param(model, source, i, err);
  if (code == 0) code = model->ops->check(model->be, err);
  if (code < 0)
    tpo_model_close(model);
  else
    *out = model;
  return code;
}

int tpo_source_read_extra(struct tpo_source *source, size_t i, float *out, struct tpo_error *err)
{
  const struct tpo_param *param = &source->extra[i];
  int code = source->read(source, source->extra, i, 0, param->rows, out, err);
  return code < 0 ? code : check_values(source, param, 0, param->rows, out, false, err);
}

int tpo_model_open(struct tpo_model **out, const char *path, const struct tpo_model_options *options,
                   struct tpo_error *err)
{
  *out = NULL;
  struct tpo_source source;
  int code = tpo_source_open(&source, path, true, err);
  if (code < 0) return code;
  code = tpo_source_load(out, &source, options, err);
  tpo_source_close(&source);
  return code;
}

int tpo_model_check(struct tpo_arch *arch, const char *path, struct tpo_error *err)
{
  struct tpo_source source;
  int code = tpo_source_open(&source, path, true, err);
  if (code < 0) return code;
  *arch = source.arch;
  code = tpo_source_check(&source, err);
  tpo_source_close(&source);
  return code;
}

int tpo_arch_read(struct tpo_arch *arch, const char *path, struct tpo_error *err)
{
  struct tpo_source source;
  int code = tpo_source_open(&source, path, false, err);
  if (code < 0) return code;
  *arch = source.arch;
  tpo_source_close(&source);
  return 0;
}
