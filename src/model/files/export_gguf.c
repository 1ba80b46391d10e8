/* From a model in any form to a GGUF file: each tensor is read, turned and converted in pieces. */
#include "model/files/export_gguf.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/ggml_blocks.h"
#include "base/memory.h"
#include "model/files/source.h"
#include "text/load/set_template.h"
#include "text/gguf/to_gguf.h"
#include "tpo/store.h"

struct export_job {
  const char *path, *file, *chat_template;
  struct tpo_source source;
  struct tpo_param *params;
  size_t n_params;
  uint32_t matrices;   /* ggml's type */
  double query_factor; /* by which queries are multiplied */
  struct tpo_gguf_divisors divisors;
  struct tpo_tokenizer *tokenizer; /* NULL: the model has none */
  struct tpo_gguf_writer *w;
};

static const struct {
  uint32_t type;
  uint32_t file_type; /* general.file_type */
} matrix_types[] = {[TPO_GGUF_MATRICES_F32] = {TPO_GGML_F32, 0},
                    [TPO_GGUF_MATRICES_F16] = {TPO_GGML_F16, 1},
                    [TPO_GGUF_MATRICES_Q8_0] = {TPO_GGML_Q8_0, 7},
                    [TPO_GGUF_MATRICES_BF16] = {TPO_GGML_BF16, 32}};

/* 1 there is one, 0 there is none. */
static int has_tokenizer(const char *path, struct tpo_error *err)
{
  char name[4096];
  if (tpo_is_dir(path)) {
    int code = tpo_path_join(name, sizeof name, path, "tokenizer.json", err);
    return code < 0 ? code : tpo_look_for(name, err);
  }
  struct tpo_checkpoint *checkpoint;
  struct tpo_error other = {0};
  if (tpo_checkpoint_open(&checkpoint, path, &other) < 0) { /* a GGUF file */
    struct tpo_gguf gguf;
    int code = tpo_gguf_open(&gguf, path, err);
    if (code < 0) return code;
    struct tpo_gguf_string model;
    code = tpo_gguf_get_string(&gguf, "tokenizer.ggml.model", &model, err);
    if (code == 1 && model.len == 4 && memcmp(model.data, "none", 4) == 0) code = 0;
    tpo_gguf_close(&gguf);
    return code;
  }
  char *bytes = NULL;
  size_t len;
  int code = tpo_checkpoint_get_blob(checkpoint, "tokenizer/tokenizer.json", &bytes, &len, err);
  free(bytes);
  tpo_checkpoint_close(checkpoint);
  return code;
}

static int open_model(struct export_job *e, struct tpo_error *err)
{
  size_t count;
  int code = tpo_source_open(&e->source, e->path, true, err);
  if (code < 0) return code;
  if (tpo_same_file(e->path, e->file))
    return tpo_fail(err, TPO_E_USAGE, "%s: the model itself can't be the file to write", e->file);
  code = tpo_params_list(&e->source.arch, &e->params, &e->n_params, &count, err);
  if (code == 0) code = e->source.check(&e->source, e->params, e->n_params, err);
  if (code == 0) code = tpo_gguf_check_expressible(&e->source.arch, e->path, err);
  if (code == 0) code = has_tokenizer(e->path, err);
  if (code == 1) code = tpo_tokenizer_open(&e->tokenizer, e->path, err);
  if (e->tokenizer && e->chat_template)
    return tpo_tokenizer_set_template(e->tokenizer, e->chat_template, err);
  if (e->tokenizer) return 0;
  if (code == 0) tpo_log(TPO_LOG_WARN, "%s: there is no tokenizer; the GGUF file has none, either", e->path);
  return code;
}

/* What makes the queries: their norm, or the projection where there is none. */
static bool is_query(const struct export_job *e, const struct tpo_param *param)
{
  const struct tpo_param_kind *kind = param->kind;
  if (tpo_family(&e->source.arch)->qk == TPO_QK_HEADS)
    return kind->of_layer && kind->weight == offsetof(struct tpo_layer, q_norm);
  return kind->rotary && kind->rows == TPO_Q_DIM;
}

static uint32_t type_of(const struct export_job *e, const struct tpo_param *param)
{
  if (param->cols == 1) return TPO_GGML_F32;
  return e->matrices == TPO_GGML_Q8_0 && param->cols % 32 != 0 ? (uint32_t)TPO_GGML_F16 : e->matrices;
}

static bool is_interleaved(const struct export_job *e, const struct tpo_param *param)
{
  return param->kind->rotary && tpo_family(&e->source.arch)->gguf_interleaves;
}

/* Rows of whole heads from the rotate-half convention to the interleaved one: see gguf.c. */
static void interleave(const float *in, float *out, int64_t n_rows, int64_t cols, int head_dim)
{
  for (int64_t row = 0; row < n_rows; row++) {
    int64_t within = row % head_dim, from = row - within + within % 2 * (head_dim / 2) + within / 2;
    memcpy(out + row * cols, in + from * cols, (size_t)cols * sizeof *out);
  }
}

/* The number that isn't finite; where all are, the largest. */
static size_t worst_of(const float *values, size_t n)
{
  size_t at = 0;
  for (size_t i = 0; i < n; i++) {
    if (!isfinite(values[i])) return i;
    if (fabsf(values[i]) > fabsf(values[at])) at = i;
  }
  return at;
}

static int check_finite(const struct export_job *e, const struct tpo_param *param, uint32_t type,
                        int64_t row0, const float *values, const void *converted, size_t n,
                        struct tpo_error *err)
{
  bool finite =
      type == TPO_GGML_F32 || tpo_ggml_is_finite(type, converted, n / tpo_ggml_find_block(type)->elements);
  for (size_t i = 0; finite && i < n; i++) finite = isfinite(values[i]);
  if (finite) return 0;
  size_t at = worst_of(values, n);
  return tpo_fail(err, TPO_E_NUMERIC, "%s: tensor %s holds %g at row %lld, which %s can't hold", e->path,
                  param->name, (double)values[at], (long long)(row0 + (int64_t)(at / (size_t)param->cols)),
                  tpo_gguf_type_name(type));
}

/* What GGUF has in place of the values, in rows of the file. values, room: [n_rows, cols] */
static float *turn(const struct export_job *e, const struct tpo_param *param, int64_t n_rows, float *values,
                   float *room)
{
  size_t n = (size_t)n_rows * (size_t)param->cols;
  if (param->kind->norm && tpo_family(&e->source.arch)->norms_from_one)
    for (size_t i = 0; i < n; i++) values[i] += 1;
  if (e->query_factor != 1 && is_query(e, param))
    for (size_t i = 0; i < n; i++) values[i] = (float)(values[i] * e->query_factor);
  if (!is_interleaved(e, param)) return values;
  interleave(values, room, n_rows, param->cols, e->source.arch.head_dim);
  return room;
}

static size_t bytes_of(uint32_t type, size_t n)
{
  const struct tpo_ggml_block *block = tpo_ggml_find_block(type);
  return block ? n / block->elements * block->bytes : n * sizeof(float);
}

/* host: [3, rows of a piece, cols]: as read, turned, converted */
static int put_piece(struct export_job *e, size_t i, int64_t row0, int64_t n_rows, float *host, size_t apart,
                     struct tpo_error *err)
{
  const struct tpo_param *param = &e->params[i];
  const uint32_t type = type_of(e, param);
  size_t n = (size_t)n_rows * (size_t)param->cols;
  int code = e->source.read(&e->source, e->params, i, row0, n_rows, host, err);
  if (code < 0) return code;
  const float *values = turn(e, param, n_rows, host, host + apart);
  void *converted = host + 2 * apart;
  tpo_ggml_quantise(type, values, converted, n);
  code = check_finite(e, param, type, row0, values, converted, n, err);
  return code < 0 ? code : tpo_gguf_writer_data(e->w, converted, bytes_of(type, n), err);
}

static int put_param(struct export_job *e, size_t i, struct tpo_error *err)
{
  const struct tpo_param *param = &e->params[i];
  int64_t piece = tpo_param_chunk(param), head_dim = e->source.arch.head_dim;
  if (is_interleaved(e, param)) piece = piece < head_dim ? head_dim : piece - piece % head_dim;
  size_t apart = (size_t)piece * (size_t)param->cols;
  float *host = tpo_calloc(3 * apart, sizeof *host, err);
  int code = host ? 0 : TPO_E_MEMORY;
  for (int64_t row = 0; code == 0 && row < param->rows; row += piece)
    code = put_piece(e, i, row, param->rows - row < piece ? param->rows - row : piece, host, apart, err);
  free(host);
  return code;
}

static void put_general(const struct export_job *e, uint32_t file_type)
{
  const char *const architecture = tpo_family(&e->source.arch)->names[TPO_NAME_GGUF];
  const char *slash = strrchr(e->file, '/'), *name = slash ? slash + 1 : e->file;
  size_t len = strlen(name);
  if (len > 5 && strcmp(name + len - 5, ".gguf") == 0) len -= 5;
  tpo_gguf_put_string(e->w, "general.architecture", architecture, strlen(architecture));
  tpo_gguf_put_string(e->w, "general.type", "model", 5);
  tpo_gguf_put_string(e->w, "general.name", name, len);
  tpo_gguf_put_u32(e->w, "general.file_type", file_type);
  tpo_gguf_put_u32(e->w, "general.quantization_version", 2);
}

static int put_metadata(const struct export_job *e, uint32_t file_type, struct tpo_error *err)
{
  put_general(e, file_type);
  tpo_gguf_put_arch(&e->source.arch, e->w);
  if (e->tokenizer) return tpo_tokenizer_put_gguf(e->tokenizer, e->source.arch.vocab_size, e->w, err);
  tpo_gguf_put_string(e->w, "tokenizer.ggml.model", "none", 4);
  return 0;
}

static int declare(struct export_job *e, struct tpo_error *err)
{
  int code = 0, pairs = tpo_rope_rotated(&e->source.arch) / 2;
  for (int k = 0; code == 0 && k < 2 && e->divisors.names[k]; k++)
    code = tpo_gguf_writer_declare(e->w, e->divisors.names[k], TPO_GGML_F32, pairs, 1, err);
  for (size_t i = 0; code == 0 && i < e->n_params; i++) {
    char name[96];
    tpo_param_gguf_name(&e->params[i], name);
    code = tpo_gguf_writer_declare(e->w, name, type_of(e, &e->params[i]), e->params[i].rows,
                                   e->params[i].cols, err);
  }
  return code;
}

static int put_tensors(struct export_job *e, struct tpo_error *err)
{
  size_t bytes = (size_t)(tpo_rope_rotated(&e->source.arch) / 2) * sizeof(float);
  int code = 0;
  for (int k = 0; code == 0 && k < 2 && e->divisors.names[k]; k++)
    code = tpo_gguf_writer_data(e->w, e->divisors.values[k], bytes, err);
  for (size_t i = 0; code == 0 && i < e->n_params; i++) code = put_param(e, i, err);
  return code;
}

int tpo_model_export_gguf(const char *path, const char *file, enum tpo_gguf_matrices matrices,
                          const char *chat_template, struct tpo_error *err)
{
  struct export_job e = {
      .path = path, .file = file, .chat_template = chat_template, .matrices = matrix_types[matrices].type};
  int code = open_model(&e, err);
  if (code == 0) code = tpo_gguf_writer_open(&e.w, file, err);
  if (code == 0) {
    tpo_gguf_warn(&e.source.arch, path);
    e.query_factor = tpo_gguf_query_factor(&e.source.arch);
    tpo_gguf_rope_divisors(&e.source.arch, &e.divisors);
    code = put_metadata(&e, matrix_types[matrices].file_type, err);
  }
  if (code == 0) code = declare(&e, err);
  if (code == 0) code = put_tensors(&e, err);
  if (code == 0) code = tpo_gguf_writer_commit(e.w, err);
  tpo_gguf_writer_close(e.w);
  tpo_tokenizer_close(e.tokenizer);
  tpo_source_close(&e.source);
  free(e.params);
  return code;
}
