/* A reward model's life. */
#include "model/reward/reward.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "model/files/source.h"

/* Opens the folder's files, with what the head must hold. Both are to be released by the caller when this
 * succeeds. */
static int open_files(struct tpo_source *source, struct reward_head *head, const char *folder,
                      const char *name, struct tpo_error *err)
{
  char place[4096];
  json_t *config;
  struct reward_settings settings;
  int status = tpo_look_for(folder, err);
  if (status < 0) return status;
  if (!tpo_is_dir(folder))
    return tpo_fail(err, TPO_E_USAGE, "%s: expected the Hugging Face folder of a reward model%s", folder,
                    status == 0 ? "; there is none of this name" : "");
  status = tpo_source_load_config(&config, folder, place, err);
  if (status < 0) return status;
  status = reward_settings_read(&settings, config, name, place, err);
  if (status == 0) status = tpo_source_open_body(source, folder, config, place, err);
  json_decref(config);
  if (status < 0) return status;
  if (settings.kind == REWARD_LABEL && !tpo_source_has(source, settings.weight))
    status = tpo_fail(err, TPO_E_INPUT,
                      "%s: tensor %s is missing; expected shape [1, %d] (judge.head names another head)",
                      folder, settings.weight, source->arch.hidden);
  bool with_bias = settings.kind == REWARD_LABEL && tpo_source_has(source, settings.bias);
  if (status == 0) status = reward_head_init(head, &settings, source->arch.hidden, with_bias, err);
  if (status < 0) {
    reward_head_free(head);
    tpo_source_close(source);
    return status;
  }
  source->extra = head->params;
  source->n_extra = head->n_params;
  return 0;
}

static int read_head(struct reward_head *head, struct tpo_source *source, struct tpo_error *err)
{
  int status = reward_head_allocate(head, err);
  for (size_t i = 0; status == 0 && i < head->n_params; i++)
    status = tpo_source_read_extra(source, i, head->values + head->params[i].offset, err);
  return status;
}

int tpo_reward_check(struct tpo_arch *arch, const char *folder, const char *head, struct tpo_error *err)
{
  struct tpo_source source;
  struct reward_head found = {0};
  int status = open_files(&source, &found, folder, head, err);
  if (status < 0) return status;
  *arch = source.arch;
  status = tpo_source_check(&source, err);
  tpo_source_close(&source);
  reward_head_free(&found);
  return status;
}

void reward_begin(struct tpo_reward *reward, const struct tpo_reward_options *options)
{
  reward->batch_tokens = options->batch_tokens > 0 ? options->batch_tokens : 4096;
  reward->kv_bytes = options->kv_bytes;
  reward->watch = options->watch;
  reward->stats = (struct tpo_reward_stats){0};
}

int tpo_reward_open(struct tpo_reward **out, const char *folder, const struct tpo_reward_options *options,
                    struct tpo_error *err)
{
  *out = NULL;
  struct tpo_source source;
  struct tpo_model_options model = {.backend = options->backend, .dtype = options->dtype};
  struct tpo_reward *reward = tpo_calloc(1, sizeof *reward, err);
  if (!reward) return TPO_E_MEMORY;
  reward_begin(reward, options);
  int status = open_files(&source, &reward->head, folder, options->head, err);
  if (status == 0) {
    status = tpo_source_load(&reward->model, &source, &model, err);
    if (status == 0) status = read_head(&reward->head, &source, err);
    tpo_source_close(&source);
  }
  if (status < 0) {
    tpo_reward_close(reward);
    return status;
  }
  reward->model->body_only = true;
  *out = reward;
  return 0;
}

void tpo_reward_close(struct tpo_reward *reward)
{
  if (!reward) return;
  tpo_kv_cache_destroy(reward->cache);
  tpo_model_close(reward->model);
  reward_head_free(&reward->head);
  free(reward);
}

int tpo_reward_objectives(const struct tpo_reward *reward)
{
  return reward->head.settings.objectives;
}

bool tpo_reward_normalises(const struct tpo_reward *reward)
{
  return reward->head.settings.normalise;
}

void tpo_reward_stats(const struct tpo_reward *reward, struct tpo_reward_stats *out)
{
  *out = reward->stats;
}
