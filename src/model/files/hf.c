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

/* How files of a model of several parts name the text model's tensors and the other parts' beginnings. */
static const struct layout {
  const char *text, *head; /* instead of "model." and of the LM head's name */
  const char *others[2];
} layouts[] = {
    {"model.language_model.", "lm_head.weight", {"model.vision_tower.", "model.multi_modal_projector."}},
    {"language_model.model.", "language_model.lm_head.weight", {"vision_tower.", "multi_modal_projector."}},
};

struct folder {
  struct tpo_safetensors tensors;
  const struct layout *layout; /* NULL: the model is all there is */
};

static const struct tpo_safetensors *tensors_of(const struct tpo_source *source)
{
  return &((const struct folder *)source->state)->tensors;
}

static bool begins_with(const char *name, const char *beginning)
{
  return strncmp(name, beginning, strlen(beginning)) == 0;
}

/* The file's name of a parameter. */
static const char *name_in_file(const struct tpo_source *source, const char *name, char out[160])
{
  static const char own[] = "model.";
  const struct layout *layout = ((const struct folder *)source->state)->layout;
  if (!layout) return name;
  if (strcmp(name, tpo_param_lm_head()->name) == 0) return layout->head;
  if (!begins_with(name, own)) return name;
  snprintf(out, 160, "%s%s", layout->text, name + sizeof own - 1);
  return out;
}

static const struct tpo_safetensor *find_tensor(const struct tpo_source *source, const char *name)
{
  char room[160];
  return tpo_safetensors_find(tensors_of(source), name_in_file(source, name, room));
}

static int read_config(struct tpo_source *source, const char *folder, bool *part, struct tpo_error *err)
{
  char path[4096];
  json_t *config;
  int code = tpo_source_load_config(&config, folder, path, err);
  if (code < 0) return code;
  code = tpo_arch_from_json(&source->arch, config, path, err);
  *part = code == 0 && tpo_arch_is_part(config);
  json_decref(config);
  return code;
}

/* Whether one of the parameters is the file's tensor of that name. */
static bool is_param(const struct tpo_source *source, const struct tpo_param *params, size_t n,
                     const char *name)
{
  char room[160];
  for (size_t i = 0; i < n; i++)
    if (strcmp(name_in_file(source, params[i].name, room), name) == 0) return true;
  return false;
}

/* Whether it belongs to a part that is not taken. */
static bool is_other_part(const struct tpo_source *source, const char *name)
{
  const struct layout *layout = ((const struct folder *)source->state)->layout;
  return layout && (begins_with(name, layout->others[0]) || begins_with(name, layout->others[1]));
}

/* Tensors that carry nothing of their own: rotary tables that old converters wrote, and a tied LM head's
 * copy. */
static int check_extra(struct tpo_source *source, const struct tpo_safetensor *t, struct tpo_error *err)
{
  const struct tpo_safetensors *st = tensors_of(source);
  static const char suffix[] = TPO_HF_ROPE_TABLE;
  char rooms[2][160];
  const char *head = name_in_file(source, tpo_param_lm_head()->name, rooms[0]);
  const char *shared = name_in_file(source, tpo_param_embed()->name, rooms[1]);
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
      err, TPO_E_UNSUPPORTED, "%s: unexpected tensor %s; no %s model of config.json's sizes has one",
      st->shard_paths[t->shard], t->name, body ? "reward" : tpo_family(&source->arch)->names[TPO_NAME_PROSE]);
}

static int check_tensor(struct tpo_source *source, const struct tpo_param *param, struct tpo_error *err)
{
  const struct tpo_safetensors *st = tensors_of(source);
  char room[160];
  const char *name = name_in_file(source, param->name, room);
  const struct tpo_safetensor *t = tpo_safetensors_find(st, name);
  if (!t)
    return tpo_fail(err, TPO_E_INPUT, "%s: tensor %s is missing; expected shape [%lld%s%.0lld]", source->path,
                    name, (long long)param->rows, param->cols == 1 ? "" : ", ",
                    param->cols == 1 ? 0 : (long long)param->cols);
  const char *file = st->shard_paths[t->shard];
  if (!t->supported)
    return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: tensor %s is of type %s; expected F32, F16 or BF16", file,
                    name, t->dtype_name);
  return tpo_source_check_shape(param, name, t->dims, t->n_dims, file, err);
}

static int check(struct tpo_source *source, const struct tpo_param *params, size_t n, struct tpo_error *err)
{
  const struct tpo_safetensors *st = tensors_of(source);
  int left_out = 0;
  for (size_t i = 0; i < n; i++) {
    int code = check_tensor(source, &params[i], err);
    if (code < 0) return code;
  }
  for (size_t i = 0; i < source->n_extra; i++) {
    int code = check_tensor(source, &source->extra[i], err);
    if (code < 0) return code;
  }
  for (int i = 0; i < st->n_tensors; i++) {
    const char *name = st->tensors[i].name;
    bool other = is_other_part(source, name);
    left_out += other;
    if (other || is_param(source, params, n, name) || is_param(source, source->extra, source->n_extra, name))
      continue;
    int code = check_extra(source, &st->tensors[i], err);
    if (code < 0) return code;
  }
  if (left_out > 0)
    tpo_log(TPO_LOG_INFO, "%s: the text model alone is taken; %d tensors of its other parts are left out",
            source->path, left_out);
  return 0;
}

static int read_rows(struct tpo_source *source, const struct tpo_param *params, size_t i, int64_t row0,
                     int64_t n_rows, float *out, struct tpo_error *err)
{
  const struct tpo_safetensor *t = find_tensor(source, params[i].name);
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
  const struct tpo_safetensor *t = find_tensor(source, params[i].name);
  if (t->dtype == TPO_F32) return NULL;
  *ggml_type = t->dtype == TPO_BF16 ? TPO_GGML_BF16 : TPO_GGML_F16;
  return t->data + (size_t)row0 * (size_t)params[i].cols * tpo_dtype_size(t->dtype);
}

static const char *file_of(struct tpo_source *source, const struct tpo_param *param)
{
  return tensors_of(source)->shard_paths[find_tensor(source, param->name)->shard];
}

static void close_source(struct tpo_source *source)
{
  struct folder *folder = source->state;
  tpo_safetensors_close(&folder->tensors);
  free(folder);
  source->state = NULL;
}

/* The layout whose embedding the folder has. */
static const struct layout *find_layout(const struct tpo_safetensors *st)
{
  const struct layout *layout = layouts, *last = layouts + sizeof layouts / sizeof *layouts - 1;
  char name[160];
  for (; layout < last; layout++) {
    snprintf(name, sizeof name, "%s%s", layout->text, tpo_param_embed()->name + strlen("model."));
    if (tpo_safetensors_find(st, name)) break;
  }
  return layout;
}

static int open_weights(struct tpo_source *source, const char *path, bool part, struct tpo_error *err)
{
  struct folder *folder = tpo_calloc(1, sizeof *folder, err);
  if (!folder) return TPO_E_MEMORY;
  int code = tpo_safetensors_open(&folder->tensors, path, err);
  if (code < 0) {
    free(folder);
    return code;
  }
  if (part) folder->layout = find_layout(&folder->tensors);
  source->state = folder;
  source->check = check;
  source->read = read_rows;
  source->raw = raw_rows;
  source->file_of = file_of;
  source->close = close_source;
  return 0;
}

int tpo_source_open_hf(struct tpo_source *source, const char *folder, bool weights, struct tpo_error *err)
{
  bool part;
  int code = read_config(source, folder, &part, err);
  return code < 0 || !weights ? code : open_weights(source, folder, part, err);
}

int tpo_source_open_body(struct tpo_source *source, const char *folder, const json_t *config,
                         const char *place, struct tpo_error *err)
{
  memset(source, 0, sizeof *source);
  source->path = folder;
  int code = tpo_arch_body_from_json(&source->arch, config, place, err);
  return code < 0 ? code : open_weights(source, folder, tpo_arch_is_part(config), err);
}

bool tpo_source_has(const struct tpo_source *source, const char *name)
{
  return find_tensor(source, name) != NULL;
}
