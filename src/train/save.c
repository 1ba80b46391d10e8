/* The whole state of training to a checkpoint and back.
 *
 * /state is a JSON object: step, epoch, position (global batches of the epoch that are done), seed, pairs
 * (their hash), train (the settings that decide what the next step does), and what the caller adds. Nothing
 * in the file depends on the number of ranks: moments are stored whole and cut into shards when read. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/memory.h"
#include "base/shard.h"
#include "train/state.h"

struct setting {
  const char *name;
  double value;
};
enum { N_SETTINGS = 15 };

static void list_settings(const struct tpo_train_config *c, struct setting out[N_SETTINGS])
{
  const struct setting settings[N_SETTINGS] = {
      {"loss", c->loss},
      {"beta", c->beta},
      {"label_smoothing", c->label_smoothing},
      {"nll", c->nll},
      {"learning_rate", c->learning_rate},
      {"schedule", c->schedule},
      {"warmup", c->warmup},
      {"weight_decay", c->weight_decay},
      {"adam_beta1", c->adam_beta1},
      {"adam_beta2", c->adam_beta2},
      {"adam_eps", c->adam_eps},
      {"grad_clip", c->grad_clip},
      {"batch", c->batch},
      {"epochs", c->epochs},
      {"shuffle", c->shuffle},
  };
  memcpy(out, settings, sizeof settings);
}

int train_state_json(const struct tpo_trainer *t, const char *extra, bool with_optimizer, char **out,
                     struct tpo_error *err)
{
  json_t *state = extra ? tpo_json_parse(extra, strlen(extra), "the state's additions", err) : json_object();
  if (!state) return extra ? TPO_E_INPUT : tpo_fail(err, TPO_E_MEMORY, "out of memory for the state");
  if (!json_is_object(state)) {
    json_decref(state);
    return tpo_fail(err, TPO_E_USAGE, "the state's additions: a JSON object is expected");
  }
  struct setting settings[N_SETTINGS];
  list_settings(&t->config, settings);
  char seed[24];
  snprintf(seed, sizeof seed, "%llu", (unsigned long long)t->seed);
  json_t *train = json_object();
  int bad = 0;
  for (int i = 0; i < N_SETTINGS; i++)
    bad |= json_object_set_new(train, settings[i].name, json_real(settings[i].value));
  bad |= json_object_set_new(state, "step", json_integer(t->step));
  bad |= json_object_set_new(state, "epoch", json_integer(t->epoch));
  bad |= json_object_set_new(state, "position", json_integer(t->position));
  bad |= json_object_set_new(state, "seed", json_string(seed));
  bad |= json_object_set_new(state, "pairs", json_string(t->pairs_hash));
  bad |= json_object_set_new(state, "optimizer", json_boolean(with_optimizer));
  bad |= json_object_set_new(state, "train", train);
  *out = bad ? NULL : tpo_json_dump(state);
  json_decref(state);
  return *out ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory for the state");
}

/* Elements [first, first + count) of a sharded array at rank 0, in *out (malloc'ed there, NULL elsewhere). */
static int gather(struct tpo_trainer *t, const float *shard, size_t first, size_t count, float **out,
                  struct tpo_error *err)
{
  size_t at = first, owned = tpo_overlap(&at, count, t->shard_first, t->shard_count);
  float *own = tpo_calloc(owned, sizeof *own, err);
  void *all = NULL;
  int status = tpo_comm_agree(t->comm, own ? 0 : TPO_E_MEMORY, err);
  if (status == 0 && owned > 0)
    tpo_ops(t->backend)->download(t->backend, own, shard + (at - t->shard_first), owned * sizeof *own);
  /* Shards lie in the order of the ranks, so what the ranks have of it, one after another, is all of it. */
  if (status == 0) status = tpo_comm_gather_bytes(t->comm, own, owned * sizeof *own, &all, NULL, err);
  free(own);
  *out = all;
  return status;
}

/* A sharded array as one tensor a parameter; rank 0 writes. */
static int put_sharded(struct tpo_trainer *t, struct tpo_checkpoint_writer *w, const char *group,
                       const float *shard, struct tpo_error *err)
{
  size_t n;
  const struct tpo_param *params = tpo_model_params(t->model, &n);
  int status = 0, written = 0;
  for (size_t i = 0; i < n && status == 0; i++) {
    const struct tpo_param *p = &params[i];
    float *host = NULL;
    status = gather(t, shard, p->offset, (size_t)p->rows * (size_t)p->cols, &host, written < 0 ? NULL : err);
    int64_t dims[2] = {p->rows, p->cols};
    if (status == 0 && w && written == 0)
      written = tpo_checkpoint_put(w, group, p->name, TPO_F32, p->cols == 1 ? 1 : 2, dims, host, err);
    free(host);
  }
  if (status < 0) return status;
  if (written == 0) written = tpo_ops(t->backend)->check(t->backend, err);
  return tpo_comm_agree(t->comm, written, err);
}

static int begin_save(struct tpo_trainer *t, struct tpo_checkpoint_writer **w, const char *path,
                      const struct tpo_tokenizer *tokenizer, const char *config_yaml, const char *extra,
                      bool with_optimizer, struct tpo_error *err)
{
  char *state = NULL;
  int status = train_state_json(t, extra, with_optimizer, &state, err);
  if (status == 0) status = tpo_checkpoint_create(w, path, config_yaml ? config_yaml : "", err);
  if (status == 0) status = tpo_model_save(t->model, NULL, tokenizer, *w, err);
  if (status == 0) status = tpo_checkpoint_put_blob(*w, "state", state, strlen(state), err);
  free(state);
  return status;
}

int tpo_trainer_save(struct tpo_trainer *t, const char *path, const struct tpo_tokenizer *tokenizer,
                     const char *config_yaml, const char *extra, bool with_optimizer, struct tpo_error *err)
{
  bool writes = tpo_comm_rank(t->comm) == 0;
  struct tpo_checkpoint_writer *w = NULL;
  int status = writes ? begin_save(t, &w, path, tokenizer, config_yaml, extra, with_optimizer, err) : 0;
  status = tpo_comm_agree(t->comm, status, err);
  /* Training that starts from this model must not lose what bf16 rounds away: updates are smaller than its
   * steps. */
  if (status == 0 && (with_optimizer || tpo_model_dtype(t->model) == TPO_DTYPE_BF16))
    status = put_sharded(t, w, "optimizer/master", t->master, err);
  if (status == 0 && with_optimizer) status = put_sharded(t, w, "optimizer/m", t->m, err);
  if (status == 0 && with_optimizer) status = put_sharded(t, w, "optimizer/v", t->v, err);
  if (status == 0) {
    if (writes) status = tpo_checkpoint_commit(w, err);
    status = tpo_comm_agree(t->comm, status, err);
  }
  tpo_checkpoint_writer_close(w);
  return status;
}

static int read_tensor(struct tpo_checkpoint *c, const char *path, const char *group,
                       const struct tpo_param *p, float *host, struct tpo_error *err)
{
  int dtype, n_dims;
  int64_t dims[8];
  int found = tpo_checkpoint_shape(c, group, p->name, &dtype, &n_dims, dims, err);
  if (found < 0) return found;
  if (found == 0)
    return tpo_fail(err, TPO_E_STATE,
                    "%s: /%s/%s is missing; training can only go on from a checkpoint "
                    "of this model that was saved with its optimizer",
                    path, group, p->name);
  int64_t cols = n_dims == 2 ? dims[1] : 1;
  if (dtype != TPO_F32 || n_dims != (p->cols == 1 ? 1 : 2) || dims[0] != p->rows || cols != p->cols)
    return tpo_fail(err, TPO_E_STATE,
                    "%s: /%s/%s: fp32 of %lld x %lld is expected; this is a checkpoint of another model",
                    path, group, p->name, (long long)p->rows, (long long)p->cols);
  return tpo_checkpoint_get(c, group, p->name, host, (size_t)p->rows * (size_t)p->cols * sizeof *host, err);
}

/* This rank's part of a tensor, read whole into host, to its places in the shard. */
static int put_shard(struct tpo_trainer *t, const struct tpo_param *p, const float *host, float *shard,
                     void *rounded_shard, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(t->backend);
  size_t at = p->offset;
  size_t owned = tpo_overlap(&at, (size_t)p->rows * (size_t)p->cols, t->shard_first, t->shard_count);
  size_t to = at - t->shard_first;
  host += at - p->offset;
  ops->upload(t->backend, shard + to, host, owned * sizeof *host);
  if (!rounded_shard) return 0;
  uint16_t *rounded = tpo_calloc(owned, sizeof *rounded, err);
  if (!rounded) return TPO_E_MEMORY;
  tpo_convert(rounded, TPO_BF16, host, TPO_F32, owned);
  ops->upload(t->backend, (uint16_t *)rounded_shard + to, rounded, owned * sizeof *rounded);
  free(rounded);
  return 0;
}

/* Reads this rank's shard of a group, and rounded to bf16 too where there is a place for it. */
static int get_group(struct tpo_trainer *t, struct tpo_checkpoint *c, const char *path, const char *group,
                     float *shard, void *rounded_shard, struct tpo_error *err)
{
  size_t n;
  const struct tpo_param *params = tpo_model_params(t->model, &n);
  int status = 0;
  for (size_t i = 0; i < n && status == 0; i++) {
    const struct tpo_param *p = &params[i];
    size_t size = (size_t)p->rows * (size_t)p->cols, at = p->offset;
    if (tpo_overlap(&at, size, t->shard_first, t->shard_count) == 0) continue;
    float *host = tpo_calloc(size, sizeof *host, err);
    if (!host) return TPO_E_MEMORY;
    status = read_tensor(c, path, group, p, host, err);
    if (status == 0) status = put_shard(t, p, host, shard, rounded_shard, err);
    free(host);
  }
  return status;
}

static int check_settings(const struct tpo_trainer *t, const json_t *train, const char *place,
                          struct tpo_error *err)
{
  struct setting settings[N_SETTINGS];
  list_settings(&t->config, settings);
  for (int i = 0; i < N_SETTINGS; i++) {
    double saved = NAN;
    int status = tpo_json_get_double(train, settings[i].name, &saved, place, err);
    if (status < 0) return status;
    if (saved != settings[i].value)
      return tpo_fail(err, TPO_E_STATE,
                      "%s: training was begun with train.%s = %g, now it is %g; "
                      "it can only go on with the same",
                      place, settings[i].name, saved, settings[i].value);
  }
  return 0;
}

int train_read_state(const struct tpo_trainer *t, const char *text, size_t len, const char *place,
                     struct train_saved *out, struct tpo_error *err)
{
  json_t *state = tpo_json_parse(text, len, place, err);
  if (!state) return TPO_E_INPUT;
  const char *seed = "", *pairs = "";
  *out = (struct train_saved){.step = -1, .epoch = -1, .position = -1};
  int status = json_is_object(state) ? 0 : tpo_fail(err, TPO_E_INPUT, "%s: a JSON object is expected", place);
  if (status == 0) status = tpo_json_get_int(state, "step", 0, INT64_MAX, &out->step, place, err);
  if (status == 0) status = tpo_json_get_int(state, "epoch", 0, INT32_MAX - 1, &out->epoch, place, err);
  if (status == 0) status = tpo_json_get_int(state, "position", 0, INT32_MAX, &out->position, place, err);
  if (status == 0) status = tpo_json_get_string(state, "seed", &seed, place, err);
  if (status == 0) status = tpo_json_get_string(state, "pairs", &pairs, place, err);
  const json_t *train = json_object_get(state, "train");
  char expected[24];
  snprintf(expected, sizeof expected, "%llu", (unsigned long long)t->seed);
  if (status == 0 && (out->step < 0 || out->epoch < 0 || out->position < 0 || !json_is_object(train)))
    status = tpo_fail(err, TPO_E_INPUT, "%s: step, epoch, position and train are expected", place);
  if (status == 0 && strcmp(seed, expected) != 0)
    status = tpo_fail(err, TPO_E_STATE, "%s: training was begun with the seed %.20s, now it is %s", place,
                      seed, expected);
  if (status == 0) status = check_settings(t, train, place, err);
  out->optimizer = json_is_true(json_object_get(state, "optimizer"));
  snprintf(out->pairs, sizeof out->pairs, "%.32s", pairs);
  json_decref(state);
  return status;
}

void train_set_state(struct tpo_trainer *t, const struct train_saved *saved)
{
  free(t->order); /* of the epoch that was going on */
  t->order = NULL;
  t->step = saved->step;
  t->epoch = (int)saved->epoch;
  t->position = saved->position;
  snprintf(t->pairs_hash, sizeof t->pairs_hash, "%s", saved->pairs);
}

static int read_state(const struct tpo_trainer *t, struct tpo_checkpoint *c, const char *path,
                      struct train_saved *out, struct tpo_error *err)
{
  char place[4200];
  snprintf(place, sizeof place, "%.4096s: /state", path);
  char *text = NULL;
  size_t len = 0;
  int found = tpo_checkpoint_get_blob(c, "state", &text, &len, err);
  if (found < 0) return found;
  if (found == 0) return tpo_fail(err, TPO_E_STATE, "%s is missing; training cannot go on from here", place);
  int status = train_read_state(t, text, len, place, out, err);
  free(text);
  return status;
}

int tpo_trainer_load(struct tpo_trainer *t, const char *path, struct tpo_error *err)
{
  struct tpo_checkpoint *c = NULL;
  struct train_saved saved;
  int status = tpo_checkpoint_open(&c, path, err);
  if (status == 0) status = read_state(t, c, path, &saved, err);
  if (status == 0) status = get_group(t, c, path, "optimizer/m", t->m, NULL, err);
  if (status == 0) status = get_group(t, c, path, "optimizer/v", t->v, NULL, err);
  if (status == 0) status = get_group(t, c, path, "optimizer/master", t->master, t->weights, err);
  tpo_checkpoint_close(c);
  if (status == 0) status = tpo_ops(t->backend)->check(t->backend, err);
  status = tpo_comm_agree(t->comm, status, err);
  if (status == 0) status = exchange_weights(t, t->weights ? t->weights : t->master, err);
  if (status == 0) train_set_state(t, &saved);
  return status;
}
