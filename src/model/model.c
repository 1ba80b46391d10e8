/* A model's life: allocation and access to its weights. */
#include "model/transformer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/philox.h"
#include "base/ggml_blocks.h"
#include "base/shard.h"

static int make_linear(struct tpo_model *model, int64_t rows, int64_t cols, struct tpo_linear **out,
                       struct tpo_error *err)
{
  return model->ops->linear_create(model->be, (int)rows, (int)cols,
                                   model->dtype == TPO_DTYPE_BF16 ? TPO_BF16 : TPO_F32, out, err);
}

/* Whether files hold what the norm multiplies by less 1. */
static bool is_from_one(const struct tpo_model *model, const struct tpo_param *param)
{
  return param->kind->norm && tpo_family(&model->arch)->norms_from_one;
}

static int make_vector(struct tpo_model *model, const struct tpo_param *param, int64_t n,
                       struct tpo_weight *weight, struct tpo_error *err)
{
  size_t bytes = (size_t)n * sizeof(float);
  int code = model->ops->alloc(model->be, bytes, (void **)&weight->vector, err);
  weight->norm = weight->vector;
  if (code == 0 && is_from_one(model, param))
    code = model->ops->alloc(model->be, bytes, (void **)&weight->norm, err);
  return code;
}

/* The weight of the model or of one of its layers that the parameter is a part of. */
static struct tpo_weight *weight_of(struct tpo_model *model, const struct tpo_param *param)
{
  void *owner = param->layer < 0 ? (void *)model : &model->layers[param->layer];
  return (struct tpo_weight *)((char *)owner + param->kind->weight);
}

/* Of parameters first to end - 1, one after another. */
static int make_weight(struct tpo_model *model, size_t first, size_t end, struct tpo_error *err)
{
  const struct tpo_param *params = model->params;
  struct tpo_weight *weight = weight_of(model, &params[first]);
  int64_t rows = 0;
  for (size_t i = first; i < end; i++) rows += params[i].rows;
  bool is_vector = params[first].kind->cols == TPO_ONE;
  int code = is_vector ? make_vector(model, &params[first], rows, weight, err)
                       : make_linear(model, rows, params[first].cols, &weight->linear, err);
  if (code < 0) return code;
  weight->offset = params[first].offset;
  bool apart = weight->norm != weight->vector;
  int row = 0;
  for (size_t i = first; i < end; row += (int)params[i++].rows)
    model->places[i] = is_vector ? (struct tpo_place){.vector = weight->vector + row,
                                                      .from_one = apart ? weight->norm + row : NULL}
                                 : (struct tpo_place){.linear = weight->linear, .row0 = row};
  return 0;
}

static int make_all(struct tpo_model *model, struct tpo_error *err)
{
  int code = 0, layer = -1;
  for (size_t i = 0, end; code == 0 && i < model->n_params; i = end) {
    const struct tpo_param *param = &model->params[i];
    if (param->layer > layer) model->layers[layer = param->layer].first = param->offset;
    end = tpo_params_weight_end(model->params, model->n_params, i);
    code = make_weight(model, i, end, err);
  }
  if (code == 0 && model->arch.tied) model->lm_head = model->embed;
  return code;
}

static int make_master(struct tpo_model *model, const struct tpo_model_options *options,
                       struct tpo_error *err)
{
  int size = options->shard_size > 0 ? options->shard_size : 1;
  tpo_shard(model->param_count, options->shard_rank, size, &model->master_first, &model->master_count);
  size_t room = model->master_count ? model->master_count : 1;
  return model->ops->alloc(model->be, room * sizeof(float), (void **)&model->master, err);
}

static size_t longest_vector(const struct tpo_model *model)
{
  size_t longest = 0;
  for (size_t i = 0; i < model->n_params; i++)
    if (model->params[i].kind->cols == TPO_ONE && (size_t)model->params[i].rows > longest)
      longest = (size_t)model->params[i].rows;
  return longest;
}

static int make_weights(struct tpo_model *model, const struct tpo_model_options *options,
                        struct tpo_error *err)
{
  model->longest = longest_vector(model);
  model->layers = tpo_calloc((size_t)model->arch.layers, sizeof *model->layers, err);
  model->places = tpo_calloc(model->n_params, sizeof *model->places, err);
  model->vector = tpo_calloc(2 * model->longest, sizeof(float), err);
  if (!model->layers || !model->places || !model->vector) return TPO_E_MEMORY;
  int code = make_all(model, err);
  return code == 0 && options->keep_master ? make_master(model, options, err) : code;
}

int tpo_model_allocate(struct tpo_model **out, const struct tpo_arch *arch,
                       const struct tpo_model_options *options, struct tpo_error *err)
{
  *out = NULL;
  struct tpo_model *model = tpo_calloc(1, sizeof *model, err);
  if (!model) return TPO_E_MEMORY;
  model->be = options->backend;
  model->ops = tpo_ops_for(options->backend, options->dtype == TPO_DTYPE_BF16 ? TPO_BF16 : TPO_F32);
  model->arch = *arch;
  model->dtype = options->dtype;
  model->activation_bytes = options->activation_bytes;
  model->shape = tpo_arch_shape(arch);
  int code = tpo_params_list(arch, &model->params, &model->n_params, &model->param_count, err);
  if (code == 0) code = make_weights(model, options, err);
  if (code < 0)
    tpo_model_close(model);
  else
    *out = model;
  return code;
}

static void free_weights(struct tpo_model *model)
{
  if (!model->layers) return; /* nothing was made */
  for (size_t i = 0; i < model->n_params; i = tpo_params_weight_end(model->params, model->n_params, i)) {
    struct tpo_weight *weight = weight_of(model, &model->params[i]);
    model->ops->linear_free(model->be, weight->linear);
    if (weight->norm != weight->vector) model->ops->free(model->be, weight->norm);
    model->ops->free(model->be, weight->vector);
  }
}

void tpo_model_close(struct tpo_model *model)
{
  if (!model) return;
  const struct tpo_ops *ops = model->ops;
  tpo_activations_free(model->evaluation);
  free_weights(model);
  for (int reach = 0; reach < TPO_REACHES; reach++) ops->free(model->be, model->ropes[reach].cos_sin);
  ops->free(model->be, model->master);
  ops->free(model->be, model->staging);
  free(model->layers);
  free(model->places);
  free(model->vector);
  free(model->params);
  free(model);
}

/* What follows from a vector's numbers [row0, row0 + n), which were set. */
static void vector_is_set(struct tpo_model *model, const struct tpo_place *place, size_t row0, size_t n)
{
  if (place->from_one) model->ops->shift(model->be, place->vector + row0, place->from_one + row0, 1, n);
}

/* A vector's weights stay fp32 in the backend; in a bf16 model they hold bf16 values, as every other weight
 * does, so that what is saved as bf16 comes back bit for bit. */
static void put_vector(struct tpo_model *model, const struct tpo_place *place, int64_t row0,
                       const float *host, int64_t n)
{
  float *rounded = model->vector;
  for (int64_t i = 0; i < n; i++)
    rounded[i] = model->dtype == TPO_DTYPE_BF16 ? tpo_bf16_to_f32(tpo_f32_to_bf16(host[i])) : host[i];
  model->ops->upload(model->be, place->vector + row0, rounded, (size_t)n * sizeof(float));
  vector_is_set(model, place, (size_t)row0, (size_t)n);
}

static int need_staging(struct tpo_model *model, size_t bytes, struct tpo_error *err)
{
  if (bytes <= model->staging_bytes) return 0;
  model->ops->free(model->be, model->staging);
  model->staging = NULL;
  model->staging_bytes = 0;
  int code = model->ops->alloc(model->be, bytes, &model->staging, err);
  if (code == 0) model->staging_bytes = bytes;
  return code;
}

static void put_master(struct tpo_model *model, size_t first, const float *host, size_t n)
{
  if (!model->master) return;
  size_t at = first, kept = tpo_overlap(&at, n, model->master_first, model->master_count);
  if (kept > 0)
    model->ops->upload(model->be, model->master + (at - model->master_first), host + (at - first),
                       kept * sizeof(float));
}

int tpo_model_put_rows(struct tpo_model *model, size_t i, int64_t row0, int64_t n_rows, const float *host,
                       struct tpo_error *err)
{
  const struct tpo_place *place = &model->places[i];
  const struct tpo_param *param = &model->params[i];
  size_t bytes = (size_t)n_rows * (size_t)param->cols * sizeof(float);
  if (place->vector) {
    put_vector(model, place, row0, host, n_rows);
  } else {
    int code = need_staging(model, bytes, err);
    if (code < 0) return code;
    model->ops->upload(model->be, model->staging, host, bytes);
    model->ops->linear_set(model->be, place->linear, place->row0 + (int)row0, (int)n_rows, model->staging,
                           TPO_F32);
  }
  put_master(model, param->offset + (size_t)row0 * (size_t)param->cols, host, bytes / sizeof(float));
  model->hash_known = false;
  return 0;
}

int tpo_model_put_raw(struct tpo_model *model, size_t i, int64_t row0, int64_t n_rows, const void *raw,
                      uint32_t ggml_type, struct tpo_error *err)
{
  const struct tpo_place *place = &model->places[i];
  const struct tpo_param *param = &model->params[i];
  const struct tpo_ops *ops = model->ops;
  const struct tpo_ggml_block *block = tpo_ggml_find_block(ggml_type);
  size_t n = (size_t)n_rows * (size_t)param->cols, raw_bytes = n / block->elements * block->bytes;
  int code = need_staging(model, n * sizeof(float) + raw_bytes, err);
  if (code < 0) return code;
  float *values = model->staging;
  ops->upload(model->be, values + n, raw, raw_bytes);
  ops->dequantise(model->be, values + n, ggml_type, values, n);
  ops->linear_set(model->be, place->linear, place->row0 + (int)row0, (int)n_rows, values, TPO_F32);
  if (model->master) {
    size_t first = param->offset + (size_t)row0 * (size_t)param->cols, at = first;
    size_t kept = tpo_overlap(&at, n, model->master_first, model->master_count);
    if (kept > 0)
      ops->copy(model->be, model->master + (at - model->master_first), values + (at - first),
                kept * sizeof(float));
  }
  model->hash_known = false;
  return 0;
}

int tpo_model_get_rows(struct tpo_model *model, size_t i, int64_t row0, int64_t n_rows, float *host,
                       struct tpo_error *err)
{
  const struct tpo_place *place = &model->places[i];
  size_t bytes = (size_t)n_rows * (size_t)model->params[i].cols * sizeof(float);
  if (place->vector) {
    model->ops->download(model->be, host, place->vector + row0, bytes);
    return 0;
  }
  int code = need_staging(model, bytes, err);
  if (code < 0) return code;
  model->ops->linear_get(model->be, place->linear, place->row0 + (int)row0, (int)n_rows, model->staging);
  model->ops->download(model->be, host, model->staging, bytes);
  return 0;
}

void tpo_model_set_weights(struct tpo_model *model, const float *flat)
{
  for (size_t i = 0; i < model->n_params; i++) {
    const struct tpo_place *place = &model->places[i];
    const float *from = flat + model->params[i].offset;
    size_t rows = (size_t)model->params[i].rows;
    if (place->linear) {
      model->ops->linear_set(model->be, place->linear, place->row0, (int)rows, from, TPO_F32);
    } else {
      float *host = model->vector + model->longest;
      model->ops->download(model->be, host, from, rows * sizeof(float));
      put_vector(model, place, 0, host, (int64_t)rows);
    }
  }
  model->hash_known = false;
}

/* Elements [begin, begin + n) of parameter i, whole rows of it. */
static void set_rows(struct tpo_model *model, size_t i, size_t begin, size_t n, const void *values)
{
  const struct tpo_place *place = &model->places[i];
  const struct tpo_ops *ops = model->ops;
  enum tpo_dtype dtype = model->dtype == TPO_DTYPE_BF16 ? TPO_BF16 : TPO_F32;
  size_t cols = (size_t)model->params[i].cols;
  if (place->linear) {
    ops->linear_set(model->be, place->linear, place->row0 + (int)(begin / cols), (int)(n / cols), values,
                    dtype);
    return;
  }
  if (dtype == TPO_BF16)
    ops->dequantise(model->be, values, TPO_GGML_BF16, place->vector + begin, n);
  else
    ops->copy(model->be, place->vector + begin, values, n * sizeof(float));
  vector_is_set(model, place, begin, n);
}

int tpo_model_set_range(struct tpo_model *model, size_t first, size_t count, const void *values,
                        struct tpo_error *err)
{
  size_t element = model->dtype == TPO_DTYPE_BF16 ? sizeof(uint16_t) : sizeof(float);
  for (size_t i = 0; i < model->n_params; i++) {
    const struct tpo_param *param = &model->params[i];
    size_t at = first, cols = (size_t)param->cols;
    size_t n = tpo_overlap(&at, count, param->offset, (size_t)param->rows * cols);
    if (n == 0) continue;
    if ((at - param->offset) % cols || n % cols)
      return tpo_fail(err, TPO_E_USAGE, "elements %zu to %zu of the parameters cut a row of %s", first,
                      first + count, param->name);
    set_rows(model, i, at - param->offset, n, (const char *)values + (at - first) * element);
  }
  model->hash_known = false;
  return 0;
}

/* A random model's: norms multiply by 1, everything else is drawn. */
static float random_element(const struct tpo_model *model, const struct tpo_param *param, struct tpo_rng *rng)
{
  if (param->kind->norm) return is_from_one(model, param) ? 0 : 1;
  return (float)(0.02 * tpo_rng_normal(rng));
}

int tpo_model_create_random(struct tpo_model **out, const struct tpo_arch *arch, uint64_t seed,
                            const struct tpo_model_options *options, struct tpo_error *err)
{
  *out = NULL;
  struct tpo_model *model = NULL;
  int code = tpo_arch_check(arch, "random model", err);
  if (code == 0) code = tpo_model_allocate(&model, arch, options, err);
  if (code < 0) return code;
  for (size_t i = 0; code == 0 && i < model->n_params; i++) {
    const struct tpo_param *param = &model->params[i];
    int64_t chunk = tpo_param_chunk(param);
    float *host = tpo_calloc((size_t)chunk * (size_t)param->cols, sizeof(float), err);
    if (!host) code = TPO_E_MEMORY;
    struct tpo_rng rng;
    tpo_rng_init(&rng, seed, TPO_STREAM_INIT, i, 0);
    for (int64_t row = 0; code == 0 && row < param->rows; row += chunk) {
      int64_t n = param->rows - row < chunk ? param->rows - row : chunk;
      for (int64_t j = 0; j < n * param->cols; j++) host[j] = random_element(model, param, &rng);
      code = tpo_model_put_rows(model, i, row, n, host, err);
    }
    free(host);
  }
  if (code < 0)
    tpo_model_close(model);
  else
    *out = model;
  return code;
}

const struct tpo_arch *tpo_model_arch(const struct tpo_model *model)
{
  return &model->arch;
}

int tpo_arch_longest(const struct tpo_arch *arch, int n_prompt, int output_tokens, int64_t n)
{
  int64_t longest = (int64_t)n_prompt + output_tokens;
  if (longest < n) longest = n;
  return longest < arch->context ? (int)longest : arch->context;
}

struct tpo_backend *tpo_model_backend(const struct tpo_model *model)
{
  return model->be;
}

enum tpo_compute_dtype tpo_model_dtype(const struct tpo_model *model)
{
  return model->dtype;
}

size_t tpo_model_param_count(const struct tpo_model *model)
{
  return model->param_count;
}

const struct tpo_param *tpo_model_params(const struct tpo_model *model, size_t *n)
{
  *n = model->n_params;
  return model->params;
}

float *tpo_model_master(struct tpo_model *model)
{
  return model->master;
}

void tpo_model_master_range(const struct tpo_model *model, size_t *first, size_t *count)
{
  *first = model->master_first;
  *count = model->master_count;
}

struct tpo_wanted tpo_model_wanted(const struct tpo_model *model)
{
  return tpo_activations_wanted(model->evaluation);
}
