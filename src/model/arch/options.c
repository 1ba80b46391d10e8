/* What config.json may say and this transformer does not have. A key that one family's models have is refused in
 * another's, where it would mean that the file is more than its model_type says. */
#include "model/arch/arch.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

int tpo_arch_unsupported(const char *place, const char *key, const json_t *value, const char *expected,
                         struct tpo_error *err)
{
  char *text = tpo_json_dump(value);
  int code = tpo_fail(err, TPO_E_UNSUPPORTED, "%s: \"%s\": %.120s is not supported; expected %s", place, key,
                      text ? text : "?", expected);
  free(text);
  return code;
}

/* What a value must be for the computation to be without the feature. */
enum neutral { OFF, ONE, ABSENT };

static bool is_neutral(const json_t *value, enum neutral neutral)
{
  if (!value || json_is_null(value)) return true;
  if (neutral == OFF && (json_is_false(value) || (json_is_array(value) && json_array_size(value) == 0)))
    return true;
  return neutral != ABSENT && json_is_number(value) &&
         json_number_value(value) == (neutral == ONE ? 1.0 : 0.0);
}

static const struct option {
  const char *key;
  enum neutral neutral;
  unsigned taken_with; /* of enum tpo_config_keys: families that read or overlook it */
} options[] = {
    {"attention_bias", OFF, TPO_KEYS_IDLE_BIAS},
    {"mlp_bias", OFF, 0},
    {"attention_in_bias", OFF, 0},
    {"lm_head_bias", OFF, 0},
    {"quantization_config", OFF, 0},
    {"num_local_experts", OFF, 0},
    {"num_experts", OFF, 0},
    {"qk_norm", OFF, 0},
    {"use_qk_norm", OFF, 0},
    {"clip_qkv", OFF, 0},
    {"parallel_residual", OFF, 0},
    {"norm_after", OFF, 0},
    {"add_cross_attention", OFF, 0},
    {"is_encoder_decoder", OFF, 0},
    {"alibi", OFF, 0},
    {"use_bidirectional_attention", OFF, 0},
    {"use_mrope", OFF, 0},
    {"logit_softcapping", OFF, 0},
    {"logit_scale", ONE, 0},
    {"sliding_window", OFF, TPO_KEYS_WINDOW},
    {"sliding_window_pattern", OFF, TPO_KEYS_LOCAL_ROPE},
    {"rope_local_base_freq", OFF, TPO_KEYS_LOCAL_ROPE},
    {"no_rope_layers", OFF, TPO_KEYS_UNROTATED},
    {"no_rope_layer_interval", OFF, TPO_KEYS_UNROTATED},
    {"attn_logit_softcapping", OFF, TPO_KEYS_ATTENTION_SOFTCAP},
    {"final_logit_softcapping", OFF, TPO_KEYS_FINAL_SOFTCAP},
    {"query_pre_attn_scalar", ABSENT, TPO_KEYS_QUERY_SCALE},
    {"partial_rotary_factor", ONE, TPO_KEYS_PARTIAL_ROTARY},
    {"embedding_multiplier", ONE, TPO_KEYS_MULTIPLIERS},
    {"residual_multiplier", ONE, TPO_KEYS_MULTIPLIERS},
    {"attention_multiplier", ONE, TPO_KEYS_MULTIPLIERS},
    {"logits_scaling", ONE, TPO_KEYS_MULTIPLIERS},
};

int tpo_arch_refuse(const struct tpo_arch *arch, const json_t *config, const char *place,
                    struct tpo_error *err)
{
  static const char *const expected[] = {
      [OFF] = "it to be absent or off", [ONE] = "it to be absent or 1", [ABSENT] = "it to be absent"};
  const struct option *end = options + sizeof options / sizeof *options;
  for (const struct option *option = options; option < end; option++) {
    const json_t *value = json_object_get(config, option->key);
    if (option->taken_with & tpo_family(arch)->keys) continue;
    if (!is_neutral(value, option->neutral))
      return tpo_arch_unsupported(place, option->key, value, expected[option->neutral], err);
  }
  return 0;
}
