/* A Hugging Face folder: config.json and safetensors. */
#include "model/files/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ggml_blocks.h"
#include "base/json.h"
#include "base/memory.h"
#include "store/safetensors.h"

#define MAX_CONFIG_BYTES (16u << 20)

int tpo_source_load_config(json_t **out, const char *folder, char place[4096], struct tpo_error *err)
{
  int code = tpo_path_join(place, 4096, folder, "config.json", err);
  if (code == 0) code = tpo_look_for(place, err);
  if (code < 0) return code;
  if (code == 0)
    return tpo_fail(err, TPO_E_USAGE,
                    "%s: no config.json; a model folder holds config.json and model.safetensors", folder);
  *out = tpo_json_load(place, MAX_CONFIG_BYTES, err);
  return *out ? 0 : TPO_E_INPUT;
}

static int read_config(struct tpo_arch *arch, const char *folder, struct tpo_error *err)
{
  char path[4096];
  json_t *config;
  int code = tpo_source_load_config(&config, folder, path, err);
  if (code < 0) return code;
  code = tpo_arch_from_json(arch, config, path, err);
  json_decref(config);
  return code;
}

static const struct tpo_param *find_param(const struct tpo_param *params, size_t n, const char *name)
{
  for (size_t i = 0; i < n; i++)
    if (strcmp(params[i].name, name) == 0) return &params[i];
  return NULL;
}

/* Tensors that carry nothing of their own: rotary tables that old converters wrote, and a tied LM head's
 * copy. */
static int check_extra(struct tpo_source *source, const struct tpo_safetensor *t, struct tpo_error *err)
{
  const struct tpo_safetensors *st = source->state;
  static const char suffix[] = TPO_HF_ROPE_TABLE;
  const char *head = tpo_param_lm_head()->name, *shared = tpo_param_embed()->name;
  size_t len = strlen(t->name);
  if (len >= sizeof suffix && strcmp(t->name + len - (sizeof suffix - 1), suffix) == 0) return 0;
  bool body = source->n_extra > 0;
  if (source->arch.tied && !body && strcmp(t->name, head) == 0) {
    const struct tpo_safetensor *embed = tpo_safetensors_find(st, shared);
    if (embed && embed->dtype == t->dtype && embed->bytes == t->bytes &&
        memcmp(embed->data, t->data, t->bytes) == 0)
      return 0;
    return tpo_fail(err, TPO_E_INPUT, "%s: tensor %s differs from %s, but config.json ties them",
                    st->shard_paths[t->shard], head, shared);
  }
  return tpo_fail(
      err, TPO_E_UNSUPPORTED, "%s: unexpected tensor %s; a %s model of config.json's sizes has none",
      st->shard_paths[t->shard], t->name, body ? "reward" : tpo_family(&source->arch)->names[TPO_NAME_PROSE]);
}

static int check_tensor(struct tpo_source *source, const struct tpo_param *param, struct tpo_error *err)
{
  const struct tpo_safetensors *st = source->state;
  const struct tpo_safetensor *t = tpo_safetensors_find(st, param->name);
  if (!t)
    return tpo_fail(err, TPO_E_INPUT, "%s: tensor %s is missing; expected shape [%lld%s%.0lld]", source->path,
                    param->name, (long long)param->rows, param->cols == 1 ? "" : ", ",
                    param->cols == 1 ? 0 : (long long)param->cols);
  const char *file = st->shard_paths[t->shard];
  if (!t->supported)
    return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: tensor %s is of type %s; expected F32, F16 or BF16", file,
                    param->name, t->dtype_name);
  return tpo_source_check_shape(param, param->name, t->dims, t->n_dims, file, err);
}

static int check(struct tpo_source *source, const struct tpo_param *params, size_t n, struct tpo_error *err)
{
  const struct tpo_safetensors *st = source->state;
  for (size_t i = 0; i < n; i++) {
    int code = check_tensor(source, &params[i], err);
    if (code < 0) return code;
  }
  for (size_t i = 0; i < source->n_extra; i++) {
    int code = check_tensor(source, &source->extra[i], err);
    if (code < 0) return code;
  }
  for (int i = 0; i < st->n_tensors; i++)
    if (!find_param(params, n, st->tensors[i].name) &&
        !find_param(source->extra, source->n_extra, st->tensors[i].name)) {
      int code = check_extra(source, &st->tensors[i], err);
      if (code < 0) return code;
    }
  return 0;
}

static int read_rows(struct tpo_source *source, const struct tpo_param *params, size_t i, int64_t row0,
                     int64_t n_rows, float *out, struct tpo_error *err)
{
  const struct tpo_safetensor *t = tpo_safetensors_find(source->state, params[i].name);
  size_t size = tpo_dtype_size(t->dtype), n = (size_t)n_rows * (size_t)params[i].cols;
  const uint8_t *from = t->data + (size_t)row0 * (size_t)params[i].cols * size;
  if ((uintptr_t)from % size == 0) {
    tpo_convert(out, TPO_F32, from, t->dtype, n);
    return 0;
  }
  void *aligned = tpo_calloc(n, size, err); /* a header of odd length puts the data anywhere */
  if (!aligned) return TPO_E_MEMORY;
  memcpy(aligned, from, n * size);
  tpo_convert(out, TPO_F32, aligned, t->dtype, n);
  free(aligned);
  return 0;
}

static const void *raw_rows(struct tpo_source *source, const struct tpo_param *params, size_t i, int64_t row0,
                            int64_t n_rows, void *room, uint32_t *ggml_type)
{
  (void)n_rows;
  (void)room;
  const struct tpo_safetensor *t = tpo_safetensors_find(source->state, params[i].name);
  if (t->dtype == TPO_F32) return NULL;
  *ggml_type = t->dtype == TPO_BF16 ? TPO_GGML_BF16 : TPO_GGML_F16;
  return t->data + (size_t)row0 * (size_t)params[i].cols * tpo_dtype_size(t->dtype);
}

static const char *file_of(struct tpo_source *source, const struct tpo_param *param)
{
  const struct tpo_safetensors *st = source->state;
  return st->shard_paths[tpo_safetensors_find(st, param->name)->shard];
}

static void close_source(struct tpo_source *source)
{
  tpo_safetensors_close(source->state);
  free(source->state);
  source->state = NULL;
}

static int open_weights(struct tpo_source *source, const char *folder, struct tpo_error *err)
{
  struct tpo_safetensors *st = tpo_calloc(1, sizeof *st, err);
  if (!st) return TPO_E_MEMORY;
  int code = tpo_safetensors_open(st, folder, err);
  if (code < 0) {
    free(st);
    return code;
  }
  source->state = st;
  source->check = check;
  source->read = read_rows;
  source->raw = raw_rows;
  source->file_of = file_of;
  source->close = close_source;
  return 0;
}

int tpo_source_open_hf(struct tpo_source *source, const char *folder, bool weights, struct tpo_error *err)
{
  int code = read_config(&source->arch, folder, err);
  return code < 0 || !weights ? code : open_weights(source, folder, err);
}

int tpo_source_open_body(struct tpo_source *source, const char *folder, const json_t *config,
                         const char *place, struct tpo_error *err)
{
  memset(source, 0, sizeof *source);
  source->path = folder;
  int code = tpo_arch_body_from_json(&source->arch, config, place, err);
  return code < 0 ? code : open_weights(source, folder, err);
}

bool tpo_source_has(const struct tpo_source *source, const char *name)
{
  return tpo_safetensors_find(source->state, name) != NULL;
}
