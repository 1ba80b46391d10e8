/* From verdicts to battles. */
#include "eval/arena/battles.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config/verdicts.h"

int arena_model_of(struct arena_battles *battles, const char *name, int32_t *out, struct tpo_error *err)
{
  if (!battles->index && !(battles->index = json_object()))
    return tpo_fail(err, TPO_E_MEMORY, "no memory for battles");
  const json_t *known = json_object_get(battles->index, name);
  *out = (int32_t)json_integer_value(known);
  if (known) return 0;
  int status = tpo_grow(&battles->models, &battles->models_capacity, battles->n_models + 1,
                        sizeof *battles->models, err);
  if (status < 0) return status;
  char *copy = strdup(name);
  if (!copy || json_object_set_new(battles->index, name, json_integer((json_int_t)battles->n_models)) < 0) {
    free(copy);
    return tpo_fail(err, TPO_E_MEMORY, "no memory for battles");
  }
  *out = (int32_t)battles->n_models;
  battles->models[battles->n_models++] = (struct arena_model){.name = copy};
  return 0;
}

static void count(struct arena_model *model, double won)
{
  model->wins += won > 0.5;
  model->losses += won < 0.5;
  model->ties += won == 0.5;
}

int arena_add_battle(struct arena_battles *battles, struct arena_battle battle, int copies,
                     struct tpo_error *err)
{
  size_t needed = battles->n + (size_t)copies;
  int status = tpo_grow(&battles->list, &battles->capacity, needed, sizeof *battles->list, err);
  if (status < 0) return status;
  while (battles->n < needed) {
    battles->list[battles->n++] = battle;
    count(&battles->models[battle.a], battle.won);
    count(&battles->models[battle.b], 1 - battle.won);
  }
  return 0;
}

static const struct tpo_verdict_label *label_of(const char *text)
{
  const struct config_verdict_preset *preset = config_verdict_preset("arena-hard");
  for (int i = 0; i < preset->n; i++)
    if (strcmp(preset->labels[i].text, text) == 0) return &preset->labels[i];
  return NULL;
}

int arena_add_game(struct arena_battles *battles, int32_t baseline, int32_t model, int game,
                   const char *label, struct tpo_error *err)
{
  static const double won_by_a[] = {[TPO_VERDICT_A] = 1, [TPO_VERDICT_B] = 0, [TPO_VERDICT_TIE] = 0.5};
  const struct tpo_verdict_label *known = label ? label_of(label) : NULL;
  battles->models[model].games++;
  battles->models[model].null_games += !label;
  battles->models[model].unknown_labels += label && !known;
  if (!known) return 0;
  struct arena_battle battle = {baseline, model, won_by_a[known->is]};
  if (game == 1) battle = (struct arena_battle){model, baseline, battle.won};
  return arena_add_battle(battles, battle, (int)known->weight, err);
}

void arena_battles_free(struct arena_battles *battles)
{
  for (size_t i = 0; i < battles->n_models; i++) free(battles->models[i].name);
  free(battles->models);
  free(battles->list);
  json_decref(battles->index);
  json_decref(battles->files);
  *battles = (struct arena_battles){0};
}
