/* A model's life: allocation, access to its weights, and the hash that tells which model it is. */
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
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

static int make_norm(struct tpo_model *model, float **out, struct tpo_error *err)
{
  return model->ops->alloc(model->be, (size_t)model->arch.hidden * sizeof(float), (void **)out, err);
}

static int make_layer(struct tpo_model *model, int index, struct tpo_error *err)
{
  const struct tpo_arch *arch = &model->arch;
  struct tpo_layer *layer = &model->layers[index];
  int q = arch->heads * arch->head_dim, kv = arch->kv_heads * arch->head_dim;
  int code = make_norm(model, &layer->input_norm, err);
  if (code == 0) code = make_linear(model, q + 2 * kv, arch->hidden, &layer->qkv, err);
  if (code == 0) code = make_linear(model, arch->hidden, q, &layer->o, err);
  if (code == 0) code = make_norm(model, &layer->post_norm, err);
  if (code == 0) code = make_linear(model, 2 * arch->ffn, arch->hidden, &layer->gate_up, err);
  if (code == 0) code = make_linear(model, arch->hidden, arch->ffn, &layer->down, err);
  if (code < 0) return code;

  struct tpo_place *places = &model->places[tpo_param_index(index, TPO_INPUT_NORM)];
  places[TPO_INPUT_NORM].vector = layer->input_norm;
  places[TPO_Q] = (struct tpo_place){.linear = layer->qkv, .row0 = 0};
  places[TPO_K] = (struct tpo_place){.linear = layer->qkv, .row0 = q};
  places[TPO_V] = (struct tpo_place){.linear = layer->qkv, .row0 = q + kv};
  places[TPO_O].linear = layer->o;
  places[TPO_POST_NORM].vector = layer->post_norm;
  places[TPO_GATE] = (struct tpo_place){.linear = layer->gate_up, .row0 = 0};
  places[TPO_UP] = (struct tpo_place){.linear = layer->gate_up, .row0 = arch->ffn};
  places[TPO_DOWN].linear = layer->down;
  return 0;
}

static int make_master(struct tpo_model *model, const struct tpo_model_options *options,
                       struct tpo_error *err)
{
  int size = options->shard_size > 0 ? options->shard_size : 1;
  tpo_shard(model->param_count, options->shard_rank, size, &model->master_first, &model->master_count);
  size_t room = model->master_count ? model->master_count : 1;
  return model->ops->alloc(model->be, room * sizeof(float), (void **)&model->master, err);
}

static int make_weights(struct tpo_model *model, const struct tpo_model_options *options,
                        struct tpo_error *err)
{
  const struct tpo_arch *arch = &model->arch;
  model->layers = tpo_calloc((size_t)arch->layers, sizeof *model->layers, err);
  model->places = tpo_calloc(model->n_params, sizeof *model->places, err);
  model->vector = tpo_calloc(2 * (size_t)arch->hidden, sizeof(float), err);
  if (!model->layers || !model->places || !model->vector) return TPO_E_MEMORY;
  int code = make_linear(model, arch->vocab_size, arch->hidden, &model->embed, err);
  for (int i = 0; code == 0 && i < arch->layers; i++) code = make_layer(model, i, err);
  if (code == 0) code = make_norm(model, &model->final_norm, err);
  model->lm_head = model->embed;
  if (code == 0 && !arch->tied)
    code = make_linear(model, arch->vocab_size, arch->hidden, &model->lm_head, err);
  if (code == 0 && options->keep_master) code = make_master(model, options, err);
  if (code < 0) return code;

  size_t final_norm = tpo_param_final_norm(arch);
  model->places[0].linear = model->embed;
  model->places[final_norm].vector = model->final_norm;
  if (!arch->tied) model->places[final_norm + 1].linear = model->lm_head;
  return 0;
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
  model->shape = (struct tpo_attention_shape){arch->heads, arch->kv_heads, arch->head_dim};
  int code = tpo_params_list(arch, &model->params, &model->n_params, &model->param_count, err);
  if (code == 0) code = make_weights(model, options, err);
  if (code < 0)
    tpo_model_close(model);
  else
    *out = model;
  return code;
}

void tpo_model_close(struct tpo_model *model)
{
  if (!model) return;
  const struct tpo_ops *ops = model->ops;
  tpo_activations_free(model->evaluation);
  for (int i = 0; model->layers && i < model->arch.layers; i++) {
    struct tpo_layer *layer = &model->layers[i];
    ops->free(model->be, layer->input_norm);
    ops->free(model->be, layer->post_norm);
    ops->linear_free(model->be, layer->qkv);
    ops->linear_free(model->be, layer->o);
    ops->linear_free(model->be, layer->gate_up);
    ops->linear_free(model->be, layer->down);
  }
  if (model->lm_head != model->embed) ops->linear_free(model->be, model->lm_head);
  ops->linear_free(model->be, model->embed);
  ops->free(model->be, model->final_norm);
  ops->free(model->be, model->cos_sin);
  ops->free(model->be, model->master);
  ops->free(model->be, model->staging);
  free(model->layers);
  free(model->places);
  free(model->vector);
  free(model->params);
  free(model);
}

/* A norm's weights stay fp32 in the backend; in a bf16 model they hold bf16 values, as every other weight
 * does, so that what is saved as bf16 comes back bit for bit. */
static void put_vector(struct tpo_model *model, float *vector, const float *host, int64_t n)
{
  float *rounded = model->vector;
  for (int64_t i = 0; i < n; i++)
    rounded[i] = model->dtype == TPO_DTYPE_BF16 ? tpo_bf16_to_f32(tpo_f32_to_bf16(host[i])) : host[i];
  model->ops->upload(model->be, vector, rounded, (size_t)n * sizeof(float));
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
    put_vector(model, place->vector + row0, host, n_rows);
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
  size_t hidden = (size_t)model->arch.hidden;
  for (size_t i = 0; i < model->n_params; i++) {
    const struct tpo_place *place = &model->places[i];
    const float *from = flat + model->params[i].offset;
    if (place->linear) {
      model->ops->linear_set(model->be, place->linear, place->row0, (int)model->params[i].rows, from,
                             TPO_F32);
    } else {
      model->ops->download(model->be, model->vector + hidden, from, hidden * sizeof(float));
      put_vector(model, place->vector, model->vector + hidden, (int64_t)hidden);
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
  if (place->linear)
    ops->linear_set(model->be, place->linear, place->row0 + (int)(begin / cols), (int)(n / cols), values,
                    dtype);
  else if (dtype == TPO_BF16)
    ops->dequantise(model->be, values, TPO_GGML_BF16, place->vector + begin, n);
  else
    ops->copy(model->be, place->vector + begin, values, n * sizeof(float));
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
      for (int64_t j = 0; j < n * param->cols; j++)
        host[j] = param->cols == 1 ? 1.0f : (float)(0.02 * tpo_rng_normal(&rng));
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

static void hash_arch(const struct tpo_arch *a, struct tpo_hash *hash)
{
  char text[512];
  int n = snprintf(text, sizeof text, "llama %d %d %d %d %d %d %d %d %.17g %.17g %d %.17g %.17g %.17g %d %d",
                   a->vocab_size, a->hidden, a->layers, a->heads, a->kv_heads, a->head_dim, a->ffn,
                   a->context, a->rms_eps, a->rope_theta, (int)a->rope, a->rope_factor, a->rope_low_freq,
                   a->rope_high_freq, a->rope_original_context, (int)a->tied);
  tpo_hash_add(hash, text, (size_t)n);
}

static int hash_weights(struct tpo_model *model, struct tpo_hash *hash)
{
  for (size_t i = 0; i < model->n_params; i++) {
    const struct tpo_param *param = &model->params[i];
    int64_t chunk = tpo_param_chunk(param);
    float *host = tpo_calloc((size_t)chunk * (size_t)param->cols, sizeof(float), NULL);
    if (!host) return TPO_E_MEMORY;
    int code = 0;
    for (int64_t row = 0; code == 0 && row < param->rows; row += chunk) {
      int64_t n = param->rows - row < chunk ? param->rows - row : chunk;
      code = tpo_model_get_rows(model, i, row, n, host, NULL);
      if (code == 0) tpo_hash_add(hash, host, (size_t)(n * param->cols) * sizeof(float));
    }
    free(host);
    if (code < 0) return code;
  }
  return 0;
}

const char *tpo_model_hash(struct tpo_model *model)
{
  if (model->hash_known) return model->hash;
  struct tpo_hash hash;
  if (tpo_hash_begin(&hash, NULL) < 0) return NULL;
  hash_arch(&model->arch, &hash);
  int code = hash_weights(model, &hash);
  tpo_hash_end(&hash, model->hash);
  model->hash_known = code == 0;
  return code == 0 ? model->hash : NULL;
}

const struct tpo_arch *tpo_model_arch(const struct tpo_model *model)
{
  return &model->arch;
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
