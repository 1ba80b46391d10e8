/* From a checkpoint to a Hugging Face model folder. */
#include "model/files/export_hf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "model/files/source.h"
#include "store/safetensors.h"
#include "text/load/set_template.h"
#include "tpo/store.h"

struct export_job {
  struct tpo_checkpoint *file;
  const char *folder;
  const char *chat_template; /* NULL: the model's own ones */
  struct tpo_param *params;
  size_t n_params;
  enum tpo_dtype *dtypes; // [n_params]
  int *shards;            // [n_params] which shard a tensor goes to
  int n_shards;
  uint64_t total; /* bytes of all tensors */
};

static size_t tensor_bytes(const struct export_job *e, size_t i)
{
  return (size_t)e->params[i].rows * (size_t)e->params[i].cols * tpo_dtype_size(e->dtypes[i]);
}

/* The checkpoint must be a whole model before anything is written. */
static int check_model(struct export_job *e, const char *path, struct tpo_error *err)
{
  struct tpo_source source = {.path = path};
  int code = tpo_source_open_checkpoint(&source, path, true, err);
  if (code < 0) return code;
  size_t count;
  code = tpo_params_list(&source.arch, &e->params, &e->n_params, &count, err);
  if (code == 0) code = source.check(&source, e->params, e->n_params, err);
  tpo_source_close(&source);
  return code;
}

/* Fills shards as they come, in the order of the parameters; a tensor is never split. */
static int plan(struct export_job *e, uint64_t shard_bytes, struct tpo_error *err)
{
  e->dtypes = tpo_calloc(e->n_params, sizeof *e->dtypes, err);
  e->shards = tpo_calloc(e->n_params, sizeof *e->shards, err);
  if (!e->dtypes || !e->shards) return TPO_E_MEMORY;
  uint64_t filled = 0;
  e->n_shards = 1;
  for (size_t i = 0; i < e->n_params; i++) {
    int dtype, n_dims;
    int64_t dims[8];
    int code = tpo_checkpoint_shape(e->file, "model", e->params[i].name, &dtype, &n_dims, dims, err);
    if (code < 0) return code;
    e->dtypes[i] = (enum tpo_dtype)dtype;
    uint64_t bytes = tensor_bytes(e, i);
    if (filled > 0 && filled + bytes > shard_bytes) {
      e->n_shards++;
      filled = 0;
    }
    filled += bytes;
    e->total += bytes;
    e->shards[i] = e->n_shards - 1;
  }
  return tpo_check_space(e->folder, e->total, err);
}

static int write_in_folder(const struct export_job *e, const char *name, const char *bytes, size_t len,
                           struct tpo_error *err)
{
  char path[4096];
  int code = tpo_path_join(path, sizeof path, e->folder, name, err);
  return code < 0 ? code : tpo_write_file(path, bytes, len, err);
}

/* Of an earlier export into the same folder: it would contradict this one's. */
static int remove_file(const struct export_job *e, const char *name, struct tpo_error *err)
{
  char path[4096];
  int code = tpo_path_join(path, sizeof path, e->folder, name, err);
  if (code == 0 && unlink(path) != 0 && errno != ENOENT)
    code =
        tpo_fail(err, TPO_E_IO, "%s: cannot remove what an earlier export left: %s", path, strerror(errno));
  return code;
}

/* 1 when the checkpoint has the blob and it was written as the file, 0 when not. */
static int copy_blob(const struct export_job *e, const char *blob, const char *name, struct tpo_error *err)
{
  char *bytes = NULL;
  size_t len = 0;
  int found = tpo_checkpoint_get_blob(e->file, blob, &bytes, &len, err);
  if (found <= 0) return found;
  int code = write_in_folder(e, name, bytes, len, err);
  free(bytes);
  return code < 0 ? code : 1;
}

/* The other templates of a model that has several, which its one new template takes the place of. */
static void tell_left_out(const char *json, size_t len, const char *path)
{
  size_t i;
  json_t *root = tpo_json_parse(json, len, path, NULL), *item;
  json_array_foreach(json_object_get(root, "chat_template"), i, item)
  {
    const char *name = json_string_value(json_object_get(item, "name"));
    if (name && strcmp(name, "default") != 0)
      tpo_log(TPO_LOG_WARN,
              "%s: the model's chat template \"%.80s\" is left out; the new one is for all chats", path,
              name);
  }
  json_decref(root);
}

/* The new template where it is looked for: in chat_template.jinja, which comes first, and for readers that don't
 * know that file in tokenizer_config.json. */
static int write_template(const struct export_job *e, struct tpo_error *err)
{
  static const char name[] = "tokenizer_config.json";
  char *bytes = NULL;
  size_t len = 0;
  struct tpo_buf with = {0};
  int code = tpo_checkpoint_get_blob(e->file, "tokenizer/tokenizer_config.json", &bytes, &len, err);
  if (code == 1) {
    tell_left_out(bytes, len, name);
    code = tpo_tokenizer_config_put_template(bytes, len, e->chat_template, name, &with, err);
    if (code == 0) code = write_in_folder(e, name, with.data, with.len, err);
  }
  if (code == 0)
    code = write_in_folder(e, "chat_template.jinja", e->chat_template, strlen(e->chat_template), err);
  tpo_buf_free(&with);
  free(bytes);
  return code;
}

static int write_generation_config(const struct export_job *e, const json_t *config, struct tpo_error *err)
{
  static const char *const keys[] = {"bos_token_id", "eos_token_id"};
  json_t *generation = json_object();
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    json_t *value = json_object_get(config, keys[i]);
    if (value && !json_is_null(value)) json_object_set(generation, keys[i], value);
  }
  int code = 0;
  if (json_object_size(generation) > 0) {
    char *text = tpo_json_dump(generation);
    code = text ? write_in_folder(e, "generation_config.json", text, strlen(text), err)
                : tpo_fail(err, TPO_E_MEMORY, "no memory for generation_config.json");
    free(text);
  }
  json_decref(generation);
  return code;
}

/* Without the model's own generation settings: its begin and end tokens, as the architecture has them. */
static int make_generation_config(const struct export_job *e, struct tpo_error *err)
{
  char *bytes = NULL;
  size_t len = 0;
  int code = tpo_checkpoint_get_blob(e->file, "architecture", &bytes, &len, err);
  if (code <= 0) return code;
  json_t *config = tpo_json_parse(bytes, len, "/architecture", err);
  free(bytes);
  if (!config) return TPO_E_INPUT;
  code = write_generation_config(e, config, err);
  json_decref(config);
  return code;
}

static int copy_text(const struct export_job *e, const char *name, struct tpo_error *err)
{
  char blob[64];
  snprintf(blob, sizeof blob, "tokenizer/%s", name);
  return copy_blob(e, blob, name, err);
}

/* The files that a chat template stands in. */
static int write_settings(const struct export_job *e, struct tpo_error *err)
{
  if (e->chat_template) return write_template(e, err);
  int code = copy_text(e, "tokenizer_config.json", err);
  if (code >= 0) code = copy_text(e, "chat_template.jinja", err);
  return code == 0 ? remove_file(e, "chat_template.jinja", err) : code;
}

static int write_texts(const struct export_job *e, struct tpo_error *err)
{
  int code = copy_text(e, "tokenizer.json", err);
  if (code >= 0) code = copy_text(e, "special_tokens_map.json", err);
  if (code >= 0) code = write_settings(e, err);
  if (code >= 0) code = copy_text(e, "generation_config.json", err);
  if (code == 0) code = make_generation_config(e, err);
  if (code >= 0) code = copy_blob(e, "architecture", "config.json", err);
  return code < 0 ? code : 0;
}

static void shard_name(const struct export_job *e, int shard, char out[64])
{
  if (e->n_shards == 1)
    snprintf(out, 64, "model.safetensors");
  else
    snprintf(out, 64, "model-%05d-of-%05d.safetensors", shard + 1, e->n_shards);
}

static int put_tensor(const struct export_job *e, size_t i, struct tpo_safetensors_writer *w,
                      struct tpo_error *err)
{
  size_t bytes = tensor_bytes(e, i);
  void *data = tpo_calloc(bytes, 1, err);
  if (!data) return TPO_E_MEMORY;
  int code = tpo_checkpoint_get(e->file, "model", e->params[i].name, data, bytes, err);
  if (code == 0) code = tpo_safetensors_writer_data(w, data, bytes, err);
  free(data);
  return code;
}

static int write_shard(const struct export_job *e, int shard, struct tpo_error *err)
{
  char name[64], path[4096];
  shard_name(e, shard, name);
  int code = tpo_path_join(path, sizeof path, e->folder, name, err);
  if (code < 0) return code;
  struct tpo_safetensors_writer *w;
  if ((code = tpo_safetensors_writer_open(&w, path, err)) < 0) return code;
  for (size_t i = 0; code == 0 && i < e->n_params; i++) {
    const int64_t dims[2] = {e->params[i].rows, e->params[i].cols};
    if (e->shards[i] == shard)
      code = tpo_safetensors_writer_declare(w, e->params[i].name, e->dtypes[i],
                                            e->params[i].cols == 1 ? 1 : 2, dims, err);
  }
  for (size_t i = 0; code == 0 && i < e->n_params; i++)
    if (e->shards[i] == shard) code = put_tensor(e, i, w, err);
  if (code == 0) code = tpo_safetensors_writer_commit(w, err);
  tpo_safetensors_writer_close(w);
  return code;
}

static int write_index(const struct export_job *e, struct tpo_error *err)
{
  struct tpo_buf text = {0};
  tpo_buf_printf(&text, "{\"metadata\":{\"total_size\":%llu},\"weight_map\":{", (unsigned long long)e->total);
  for (size_t i = 0; i < e->n_params; i++) {
    char name[64];
    shard_name(e, e->shards[i], name);
    tpo_buf_printf(&text, "%s\"%s\":\"%s\"", i ? "," : "", e->params[i].name, name);
  }
  tpo_buf_puts(&text, "}}\n");
  int code = text.failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for the index of %zu tensors", e->n_params)
                         : write_in_folder(e, "model.safetensors.index.json", text.data, text.len, err);
  tpo_buf_free(&text);
  return code;
}

/* The weights' names in the other way. */
static int remove_other_names(const struct export_job *e, struct tpo_error *err)
{
  return remove_file(e, e->n_shards == 1 ? "model.safetensors.index.json" : "model.safetensors", err);
}

int tpo_export_hf_sharded(const char *checkpoint_path, const char *folder, const char *chat_template,
                          uint64_t shard_bytes, struct tpo_error *err)
{
  struct export_job e = {.folder = folder, .chat_template = chat_template};
  int code = check_model(&e, checkpoint_path, err);
  if (code == 0) code = tpo_checkpoint_open(&e.file, checkpoint_path, err);
  if (code == 0) code = tpo_make_dirs(folder, err);
  if (code == 0) code = plan(&e, shard_bytes, err);
  if (code == 0) code = write_texts(&e, err);
  for (int shard = 0; code == 0 && shard < e.n_shards; shard++) code = write_shard(&e, shard, err);
  if (code == 0 && e.n_shards > 1) code = write_index(&e, err);
  if (code == 0) code = remove_other_names(&e, err);
  if (e.file) tpo_checkpoint_close(e.file);
  free(e.params);
  free(e.dtypes);
  free(e.shards);
  return code;
}

int tpo_model_export_hf(const char *checkpoint_path, const char *folder, const char *chat_template,
                        struct tpo_error *err)
{
  return tpo_export_hf_sharded(checkpoint_path, folder, chat_template, 5000000000u, err);
}
