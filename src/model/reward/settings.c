/* Which reward model a folder holds, by its config.json. */
#include "model/reward/reward.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static const char *first_architecture(const json_t *config)
{
  const char *name = json_string_value(json_array_get(json_object_get(config, "architectures"), 0));
  return name ? name : "";
}

static int unsupported(const char *name, const char *place, struct tpo_error *err)
{
  char gated[TPO_FAMILY_LIST], label[TPO_FAMILY_LIST], outer[TPO_FAMILY_LIST];
  tpo_family_list(TPO_NAME_GATED_REWARD, false, gated);
  tpo_family_list(TPO_NAME_LABEL_REWARD, false, label);
  tpo_family_list(TPO_NAME_OUTER_REWARD, false, outer);
  return tpo_fail(err, TPO_E_UNSUPPORTED,
                  "%s: \"architectures\" names \"%.80s\", which is no reward model that is known; "
                  "expected %s, %s, %s, or a model of OpenRLHF with \"value_head_prefix\"",
                  place, name, gated, label, outer);
}

static int read_gated(struct reward_settings *s, const json_t *config, const char *place,
                      struct tpo_error *err)
{
  int64_t objectives = 19, layers = 3, width = 1024;
  s->temperature = 10;
  if (tpo_json_get_int(config, "num_objectives", 2, TPO_REWARD_OBJECTIVES, &objectives, place, err) < 0 ||
      tpo_json_get_int(config, "gating_n_hidden", 0, 64, &layers, place, err) < 0 ||
      tpo_json_get_int(config, "gating_hidden_dim", 2, 1 << 20, &width, place, err) < 0 ||
      tpo_json_get_double(config, "gating_temperature", &s->temperature, place, err) < 0)
    return TPO_E_INPUT;
  if (!(s->temperature > 0) || !isfinite(s->temperature))
    return tpo_fail(err, TPO_E_INPUT, "%s: \"gating_temperature\" is %g, expected a positive number", place,
                    s->temperature);
  s->objectives = (int)objectives;
  s->gate_layers = (int)layers;
  s->gate_width = (int)width;
  return 0;
}

/* "score" or "score.weight" name the same tensor. */
static int set_head(struct reward_settings *s, const char *name, const char *place, struct tpo_error *err)
{
  static const char suffix[] = ".weight";
  size_t len = strlen(name), tail = sizeof suffix - 1;
  if (len > tail && strcmp(name + len - tail, suffix) == 0) len -= tail;
  if (len == 0 || len > 80)
    return tpo_fail(err, TPO_E_INPUT, "%s: the score head's name \"%.100s\" must have 1 to 80 bytes", place,
                    name);
  snprintf(s->weight, sizeof s->weight, "%.*s%s", (int)len, name, suffix);
  snprintf(s->bias, sizeof s->bias, "%.*s.bias", (int)len, name);
  return 0;
}

static int check_labels(const json_t *config, bool openrlhf, const char *place, struct tpo_error *err)
{
  int64_t labels = 1;
  const json_t *names = json_object_get(config, "id2label");
  if (!openrlhf && json_is_object(names)) labels = (int64_t)json_object_size(names);
  int status = tpo_json_get_int(config, "num_labels", 0, 1 << 30, &labels, place, err);
  if (status < 0 || labels == 1) return status;
  return tpo_fail(
      err, TPO_E_UNSUPPORTED,
      "%s: the model tells %lld labels apart (\"num_labels\" or \"id2label\"); a reward model has 1", place,
      (long long)labels);
}

/* The names are OpenRLHF's. Numbers to normalise with are used unless "normalize_reward" says no. */
static int read_normalisation(struct reward_settings *s, const json_t *config, const char *place,
                              struct tpo_error *err)
{
  double mean = NAN, std = NAN; /* what JSON can't hold: absent */
  int status = tpo_json_get_double(config, "mean", &mean, place, err);
  if (status == 0) status = tpo_json_get_double(config, "std", &std, place, err);
  s->normalise = !isnan(mean) || !isnan(std);
  if (status == 0) status = tpo_json_get_bool(config, "normalize_reward", &s->normalise, place, err);
  if (status < 0 || !s->normalise) return status;
  if (isnan(mean) || !(std > 0) || !isfinite(mean) || !isfinite(std))
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: to normalise scores, \"mean\" must be a number and \"std\" a positive one", place);
  s->mean = mean;
  s->std = std;
  return 0;
}

/* Where model_type is none that is known, the body's reader says so. */
static bool is_of_family(const json_t *config, const char *name)
{
  const char *type = json_string_value(json_object_get(config, "model_type"));
  enum tpo_family family, body;
  bool part = tpo_arch_is_part(config);
  if (!type || !tpo_family_find(&body, part ? TPO_NAME_OUTER_TYPE : TPO_NAME_MODEL_TYPE, type, strlen(type)))
    return true;
  return tpo_family_find(&family, part ? TPO_NAME_OUTER_REWARD : TPO_NAME_LABEL_REWARD, name, strlen(name)) &&
         family == body;
}

static bool is_label_reward(const char *name)
{
  return tpo_family_find(NULL, TPO_NAME_LABEL_REWARD, name, strlen(name)) ||
         tpo_family_find(NULL, TPO_NAME_OUTER_REWARD, name, strlen(name));
}

static int read_label(struct reward_settings *s, const json_t *config, const char *head, const char *name,
                      const char *place, struct tpo_error *err)
{
  const char *prefix = NULL;
  int status = tpo_json_get_string(config, "value_head_prefix", &prefix, place, err);
  if (status < 0) return status;
  bool openrlhf = prefix || strcmp(name, "RewardModel") == 0 || strcmp(name, "LLMForSequenceRegression") == 0;
  bool critic = strcmp(name, "CriticModel") == 0;
  if (critic || (!openrlhf && !is_label_reward(name))) return unsupported(name, place, err);
  if (!openrlhf && !is_of_family(config, name))
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "%s: \"architectures\" names \"%.80s\", which is not the reward model of \"model_type\"",
                    place, name);
  if (openrlhf) s->pad = -1; /* it tells padding by its mask, never by the token */
  status = check_labels(config, openrlhf, place, err);
  if (status == 0) status = read_normalisation(s, config, place, err);
  if (status < 0) return status;
  return set_head(s, head && *head ? head : prefix ? prefix : "score", place, err);
}

int reward_settings_read(struct reward_settings *s, const json_t *config, const char *head, const char *place,
                         struct tpo_error *err)
{
  *s = (struct reward_settings){.pad = -1};
  if (!json_is_object(config)) return tpo_fail(err, TPO_E_INPUT, "%s: expected a JSON object", place);
  const char *name = first_architecture(config);
  const json_t *of_text = tpo_arch_is_part(config) ? json_object_get(config, "text_config") : config;
  int status = tpo_json_get_int(of_text, "pad_token_id", -1, INT32_MAX, &s->pad, place, err);
  if (status < 0) return status;
  bool gated = tpo_family_find(NULL, TPO_NAME_GATED_REWARD, name, strlen(name));
  s->kind = gated ? REWARD_GATED : REWARD_LABEL;
  return gated ? read_gated(s, config, place, err) : read_label(s, config, head, name, place, err);
}
