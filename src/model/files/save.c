/* A model into a checkpoint: /architecture, /model/<tensor>, /tokenizer/<file>. */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "tpo/store.h"
#include "tpo/text.h"

static int put_architecture(const struct tpo_model *model, const struct tpo_tokenizer *tokenizer,
                            struct tpo_checkpoint_writer *writer, struct tpo_error *err)
{
  struct tpo_ids ends = {0};
  int code = tokenizer ? tpo_tokenizer_end_ids(tokenizer, NULL, &ends, err) : 0;
  json_t *config =
      code < 0 ? NULL
               : tpo_arch_to_json(&model->arch, model->dtype == TPO_DTYPE_BF16 ? "bfloat16" : "float32",
                                  tokenizer ? tpo_tokenizer_bos(tokenizer) : -1, ends.ids, ends.n);
  tpo_ids_free(&ends);
  if (code < 0) return code;
  char *text = tpo_json_dump(config);
  json_decref(config);
  if (!text) return tpo_fail(err, TPO_E_MEMORY, "no memory for the architecture's description");
  code = tpo_checkpoint_put_blob(writer, "architecture", text, strlen(text), err);
  free(text);
  return code;
}

/* Rows of parameter i from the flat array or from the computing weights, refused unless finite. */
static int fetch_rows(struct tpo_model *model, const float *flat, size_t i, int64_t row0, int64_t n_rows,
                      float *host, struct tpo_error *err)
{
  const struct tpo_param *param = &model->params[i];
  size_t n = (size_t)n_rows * (size_t)param->cols;
  int code = 0;
  if (flat)
    model->ops->download(model->be, host, flat + param->offset + (size_t)row0 * (size_t)param->cols,
                         n * sizeof(float));
  else
    code = tpo_model_get_rows(model, i, row0, n_rows, host, err);
  for (size_t j = 0; code == 0 && j < n; j++)
    if (!isfinite(host[j]))
      code = tpo_fail(err, TPO_E_NUMERIC, "tensor %s holds %g at row %lld; a model with it is not saved",
                      param->name, (double)host[j], (long long)(row0 + (int64_t)(j / (size_t)param->cols)));
  return code;
}

static int put_param(struct tpo_model *model, const float *flat, size_t i,
                     struct tpo_checkpoint_writer *writer, struct tpo_error *err)
{
  const struct tpo_param *param = &model->params[i];
  enum tpo_dtype dtype = model->dtype == TPO_DTYPE_BF16 ? TPO_BF16 : TPO_F32;
  size_t size = tpo_dtype_size(dtype), cols = (size_t)param->cols;
  int64_t chunk = tpo_param_chunk(param);
  float *host = tpo_calloc((size_t)chunk * cols, sizeof(float), err);
  char *data = host ? tpo_calloc((size_t)param->rows * cols, size, err) : NULL;
  int code = data ? 0 : TPO_E_MEMORY;
  for (int64_t row = 0; code == 0 && row < param->rows; row += chunk) {
    int64_t n = param->rows - row < chunk ? param->rows - row : chunk;
    code = fetch_rows(model, flat, i, row, n, host, err);
    if (code == 0) tpo_convert(data + (size_t)row * cols * size, dtype, host, TPO_F32, (size_t)n * cols);
  }
  const int64_t dims[2] = {param->rows, param->cols};
  if (code == 0)
    code = tpo_checkpoint_put(writer, "model", param->name, (int)dtype, param->cols == 1 ? 1 : 2, dims, data,
                              err);
  free(host);
  free(data);
  return code;
}

static int put_file(void *arg, const char *name, const char *bytes, size_t len, struct tpo_error *err)
{
  char blob[128];
  snprintf(blob, sizeof blob, "tokenizer/%s", name);
  return tpo_checkpoint_put_blob(arg, blob, bytes, len, err);
}

int tpo_model_save(struct tpo_model *model, const float *flat, const struct tpo_tokenizer *tokenizer,
                   struct tpo_checkpoint_writer *writer, struct tpo_error *err)
{
  int code = put_architecture(model, tokenizer, writer, err);
  for (size_t i = 0; code == 0 && i < model->n_params; i++) code = put_param(model, flat, i, writer, err);
  if (code == 0 && tokenizer) code = tpo_tokenizer_each_file(tokenizer, put_file, writer, err);
  return code;
}
