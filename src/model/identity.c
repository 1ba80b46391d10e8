/* Which model this is: a hash over all that it computes with, or over samples of it. */
#include "model/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/philox.h"
#include "model/model.h"
#include "model/tables.h"

/* What a model hasn't, and earlier versions knew nothing of, leaves its hash as it was. */
static void hash_number(const char *name, double value, struct tpo_hash *hash)
{
  char text[64];
  if (value != 0) tpo_hash_add(hash, text, (size_t)snprintf(text, sizeof text, " %s %.17g", name, value));
}

static void hash_layers(const char *name, const struct tpo_layer_set *set, struct tpo_hash *hash)
{
  const struct tpo_layer_set none = {{0}};
  if (memcmp(set, &none, sizeof none) == 0) return;
  tpo_hash_add(hash, name, strlen(name));
  tpo_hash_add(hash, set, sizeof *set);
}

static void hash_rope(const struct tpo_rope *rope, int rotated, struct tpo_hash *hash)
{
  hash_number("beta_fast", rope->beta_fast, hash);
  hash_number("beta_slow", rope->beta_slow, hash);
  hash_number("untruncated", rope->untruncated, hash);
  hash_number("attention_factor", rope->attention_factor, hash);
  if (rope->kind != TPO_ROPE_LONGROPE) return;
  tpo_hash_add(hash, rope->short_factors, (size_t)(rotated / 2) * sizeof *rope->short_factors);
  tpo_hash_add(hash, rope->long_factors, (size_t)(rotated / 2) * sizeof *rope->long_factors);
}

static void hash_features(const struct tpo_arch *a, struct tpo_hash *hash)
{
  hash_rope(&a->rope, tpo_rope_rotated(a), hash);
  if (a->has_local_rope) hash_number("local_theta", a->local_rope.theta, hash);
  hash_number("rotated", a->rotated, hash);
  hash_number("window", a->window, hash);
  hash_layers("windowed", &a->windowed, hash);
  hash_layers("unrotated", &a->unrotated, hash);
  hash_number("attention_scale", a->attention_scale, hash);
  hash_number("attention_softcap", a->attention_softcap, hash);
  hash_number("final_softcap", a->final_softcap, hash);
  hash_number("embedding_scale", a->embedding_scale, hash);
  hash_number("residual_scale", a->residual_scale, hash);
  hash_number("logits_scale", a->logits_scale, hash);
}

static void hash_arch(const struct tpo_arch *a, struct tpo_hash *hash)
{
  const char *family = tpo_family(a)->names[TPO_NAME_MODEL_TYPE];
  char text[512];
  int n = snprintf(text, sizeof text, "%s %d %d %d %d %d %d %d %d %.17g %.17g %d %.17g %.17g %.17g %d %d",
                   family, a->vocab_size, a->hidden, a->layers, a->heads, a->kv_heads, a->head_dim, a->ffn,
                   a->context, a->rms_eps, a->rope.theta, (int)a->rope.kind, a->rope.factor, a->rope.low_freq,
                   a->rope.high_freq, a->rope.original_context, (int)a->tied);
  tpo_hash_add(hash, text, (size_t)n);
  hash_features(a, hash);
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

/* All rows of a small parameter, of another one the first and more that are chosen by the parameter's place. */
static int hash_some_rows(struct tpo_model *model, size_t i, float *row, struct tpo_hash *hash,
                          struct tpo_error *err)
{
  enum { ROWS = 16 };
  const struct tpo_param *param = &model->params[i];
  struct tpo_rng rng;
  int code = 0;
  tpo_rng_init(&rng, 0, TPO_STREAM_BLOCKS, i, 0);
  tpo_hash_add(hash, param->name, strlen(param->name) + 1);
  tpo_hash_add(hash, &param->rows, sizeof param->rows);
  tpo_hash_add(hash, &param->cols, sizeof param->cols);
  for (int64_t k = 0; code == 0 && k < ROWS && k < param->rows; k++) {
    int64_t at = param->rows <= ROWS || k == 0 ? k : tpo_rng_below(&rng, (uint32_t)param->rows);
    code = tpo_model_get_rows(model, i, at, 1, row, err);
    if (code == 0) tpo_hash_add(hash, row, (size_t)param->cols * sizeof *row);
  }
  return code;
}

int model_identify(struct tpo_model *model, char hex[33], struct tpo_error *err)
{
  struct tpo_hash hash;
  int64_t widest = 1;
  for (size_t i = 0; i < model->n_params; i++)
    if (model->params[i].cols > widest) widest = model->params[i].cols;
  float *row = tpo_calloc((size_t)widest, sizeof *row, err);
  if (!row) return TPO_E_MEMORY;
  int code = tpo_hash_begin(&hash, err);
  if (code == 0) {
    hash_arch(&model->arch, &hash);
    for (size_t i = 0; code == 0 && i < model->n_params; i++)
      code = hash_some_rows(model, i, row, &hash, err);
    tpo_hash_end(&hash, hex);
  }
  free(row);
  return code;
}
