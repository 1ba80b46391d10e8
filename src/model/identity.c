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

static void hash_arch(const struct tpo_arch *a, struct tpo_hash *hash)
{
  const char *family = tpo_family(a)->names[TPO_NAME_MODEL_TYPE];
  char text[512];
  int n = snprintf(text, sizeof text, "%s %d %d %d %d %d %d %d %d %.17g %.17g %d %.17g %.17g %.17g %d %d",
                   family, a->vocab_size, a->hidden, a->layers, a->heads, a->kv_heads, a->head_dim, a->ffn,
                   a->context, a->rms_eps, a->rope.theta, (int)a->rope.kind, a->rope.factor, a->rope.low_freq,
                   a->rope.high_freq, a->rope.original_context, (int)a->tied);
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
