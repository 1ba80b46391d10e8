/* A checkpoint of this program: /architecture is a config.json, /model holds tensors by their Hugging Face
 * names. */
#include "model/files/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "tpo/store.h"

struct state {
  struct tpo_checkpoint *file;
  const struct tpo_param *params; /* while check runs */
  size_t n_params;
  void *tensor; /* the tensor read last, whole, in its stored type */
  enum tpo_dtype dtype;
  size_t tensor_index; /* SIZE_MAX: none */
  const char *path;
  const char *group; /* the weights are read from: "model", or the masters that those were rounded from */
};

static int read_arch(struct tpo_arch *arch, struct tpo_checkpoint *file, const char *path,
                     struct tpo_error *err)
{
  char place[4200];
  snprintf(place, sizeof place, "%.4096s: /architecture", path);
  char *text = NULL;
  size_t len = 0;
  int code = tpo_checkpoint_get_blob(file, "architecture", &text, &len, err);
  if (code < 0) return code;
  if (code == 0) return tpo_fail(err, TPO_E_INPUT, "%s is missing; is this a checkpoint?", place);
  json_t *config = tpo_json_parse(text, len, place, err);
  free(text);
  if (!config) return TPO_E_INPUT;
  code = tpo_arch_from_json(arch, config, place, err);
  json_decref(config);
  return code;
}

static int check_known(void *arg, const char *name, struct tpo_error *err)
{
  struct state *state = arg;
  for (size_t i = 0; i < state->n_params; i++)
    if (strcmp(state->params[i].name, name) == 0) return 0;
  return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: unexpected tensor /model/%s; the architecture has none",
                  state->path, name);
}

static int check_group(struct tpo_source *source, const struct tpo_param *params, size_t n,
                       struct tpo_error *err)
{
  struct state *state = source->state;
  for (size_t i = 0; i < n; i++) {
    int dtype, n_dims;
    int64_t dims[8];
    int code = tpo_checkpoint_shape(state->file, state->group, params[i].name, &dtype, &n_dims, dims, err);
    if (code < 0) return code;
    if (code == 0)
      return tpo_fail(err, TPO_E_INPUT, "%s: tensor /%s/%s is missing", source->path, state->group,
                      params[i].name);
    if ((code = tpo_source_check_shape(&params[i], params[i].name, dims, n_dims, source->path, err)) < 0)
      return code;
  }
  return 0;
}

static int check(struct tpo_source *source, const struct tpo_param *params, size_t n, struct tpo_error *err)
{
  struct state *state = source->state;
  int code = check_group(source, params, n, err);
  if (code < 0) return code;
  state->params = params;
  state->n_params = n;
  code = tpo_checkpoint_each(state->file, "model", check_known, state, err);
  state->params = NULL;
  if (code < 0 || !source->master) return code;
  int dtype, n_dims;
  int64_t dims[8];
  code = tpo_checkpoint_shape(state->file, "optimizer/master", params[0].name, &dtype, &n_dims, dims, err);
  if (code <= 0) return code;
  state->group = "optimizer/master";
  return check_group(source, params, n, err);
}

static int fetch(struct state *state, const struct tpo_param *params, size_t i, struct tpo_error *err)
{
  int dtype, n_dims;
  int64_t dims[8];
  free(state->tensor);
  state->tensor = NULL;
  state->tensor_index = SIZE_MAX;
  int code = tpo_checkpoint_shape(state->file, state->group, params[i].name, &dtype, &n_dims, dims, err);
  if (code <= 0) return code < 0 ? code : tpo_fail(err, TPO_E_INPUT, "%s: tensor vanished", params[i].name);
  state->dtype = (enum tpo_dtype)dtype;
  size_t size = tpo_dtype_size(state->dtype), n = (size_t)params[i].rows * (size_t)params[i].cols;
  state->tensor = tpo_calloc(n, size, err);
  if (!state->tensor) return TPO_E_MEMORY;
  code = tpo_checkpoint_get(state->file, state->group, params[i].name, state->tensor, n * size, err);
  if (code == 0) state->tensor_index = i;
  return code;
}

static int read_rows(struct tpo_source *source, const struct tpo_param *params, size_t i, int64_t row0,
                     int64_t n_rows, float *out, struct tpo_error *err)
{
  struct state *state = source->state;
  if (state->tensor_index != i) {
    int code = fetch(state, params, i, err);
    if (code < 0) return code;
  }
  size_t first = (size_t)row0 * (size_t)params[i].cols, n = (size_t)n_rows * (size_t)params[i].cols;
  tpo_convert(out, TPO_F32, (const char *)state->tensor + first * tpo_dtype_size(state->dtype), state->dtype,
              n);
  return 0;
}

static const char *file_of(struct tpo_source *source, const struct tpo_param *param)
{
  (void)param;
  return source->path;
}

static void close_source(struct tpo_source *source)
{
  struct state *state = source->state;
  tpo_checkpoint_close(state->file);
  free(state->tensor);
  free(state);
  source->state = NULL;
}

int tpo_source_open_checkpoint(struct tpo_source *source, const char *path, bool weights,
                               struct tpo_error *err)
{
  struct tpo_checkpoint *file;
  int code = tpo_checkpoint_open(&file, path, err);
  if (code < 0) return code;
  code = read_arch(&source->arch, file, path, err);
  struct state *state = code == 0 && weights ? tpo_calloc(1, sizeof *state, err) : NULL;
  if (code < 0 || !weights || !state) {
    tpo_checkpoint_close(file);
    return code == 0 && weights ? TPO_E_MEMORY : code;
  }
  state->file = file;
  state->path = path;
  state->group = "model";
  state->tensor_index = SIZE_MAX;
  source->state = state;
  source->check = check;
  source->read = read_rows;
  source->file_of = file_of;
  source->close = close_source;
  return 0;
}
