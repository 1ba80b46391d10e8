/* The architecture as config.json tells it, in both of its dialects. What the description cannot hold is
 * refused by name: a model is never half-loaded. */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define MAX_DIM                                                                                              \
  (1 << 20) /* most features of a layer: products of two stay within 64 bits, rows within an int */

static int check_range(const char *what, int value, int min, int max, const char *place,
                       struct tpo_error *err)
{
  if (value >= min && value <= max) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s: %s is %d, expected %d to %d", place, what, value, min, max);
}

static int check_rope(const struct tpo_arch *arch, const char *place, struct tpo_error *err)
{
  if (!(arch->rope.theta > 0) || !isfinite(arch->rope.theta))
    return tpo_fail(err, TPO_E_INPUT, "%s: rope theta is %g, expected a positive number", place,
                    arch->rope.theta);
  if (arch->rope.kind == TPO_ROPE_DEFAULT) return 0;
  if (!(arch->rope.factor >= 1) || !isfinite(arch->rope.factor))
    return tpo_fail(err, TPO_E_INPUT, "%s: rope scaling factor is %g, expected at least 1", place,
                    arch->rope.factor);
  if (arch->rope.kind == TPO_ROPE_LINEAR) return 0;
  if (!(arch->rope.low_freq > 0) || !(arch->rope.high_freq > arch->rope.low_freq) ||
      !isfinite(arch->rope.high_freq))
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: rope frequency factors are low %g and high %g, expected 0 < low < high", place,
                    arch->rope.low_freq, arch->rope.high_freq);
  return check_range("rope's original context", arch->rope.original_context, 1, 1 << 24, place, err);
}

int tpo_arch_check(const struct tpo_arch *arch, const char *place, struct tpo_error *err)
{
  const struct {
    const char *what;
    int value, max;
  } sizes[] = {
      {"vocabulary size", arch->vocab_size, 1 << 24}, {"hidden size", arch->hidden, MAX_DIM},
      {"number of layers", arch->layers, 4096},       {"number of attention heads", arch->heads, 4096},
      {"number of kv heads", arch->kv_heads, 4096},   {"head dimension", arch->head_dim, 1024},
      {"intermediate size", arch->ffn, MAX_DIM / 2},  {"context length", arch->context, 1 << 24},
  };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    int code = check_range(sizes[i].what, sizes[i].value, 1, sizes[i].max, place, err);
    if (code < 0) return code;
  }
  if (arch->heads % arch->kv_heads != 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: %d attention heads cannot be shared out over %d kv heads", place,
                    arch->heads, arch->kv_heads);
  if (arch->head_dim % 2 != 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: head dimension is %d, expected an even number (rotary embedding)",
                    place, arch->head_dim);
  if ((int64_t)(arch->heads + 2 * arch->kv_heads) * arch->head_dim > MAX_DIM)
    return tpo_fail(err, TPO_E_INPUT, "%s: %d + 2 x %d heads of %d features are more than %d", place,
                    arch->heads, arch->kv_heads, arch->head_dim, MAX_DIM);
  if (!(arch->rms_eps > 0) || !(arch->rms_eps < 1))
    return tpo_fail(err, TPO_E_INPUT, "%s: RMSNorm epsilon is %g, expected between 0 and 1", place,
                    arch->rms_eps);
  return check_rope(arch, place, err);
}

static int unsupported(const char *place, const char *key, const json_t *value, const char *expected,
                       struct tpo_error *err)
{
  char *text = tpo_json_dump(value);
  int code = tpo_fail(err, TPO_E_UNSUPPORTED, "%s: \"%s\": %.120s is not supported; expected %s", place, key,
                      text ? text : "?", expected);
  free(text);
  return code;
}

static bool is_off(const json_t *value)
{
  return !value || json_is_null(value) || json_is_false(value) ||
         (json_is_number(value) && json_number_value(value) == 0);
}

static bool is_one(const json_t *value)
{
  return !value || json_is_null(value) || (json_is_number(value) && json_number_value(value) == 1);
}

/* Settings that would change the computation and that this transformer does not have. */
static int refuse_options(const json_t *config, bool body, const char *place, struct tpo_error *err)
{
  static const char *const must_be_off[] = {"attention_bias",
                                            "mlp_bias",
                                            "sliding_window",
                                            "quantization_config",
                                            "num_local_experts",
                                            "num_experts",
                                            "qk_norm",
                                            "use_qk_norm",
                                            "attn_logit_softcapping",
                                            "final_logit_softcapping",
                                            "no_rope_layers",
                                            "auto_map",
                                            "attention_in_bias",
                                            "parallel_residual",
                                            "norm_after",
                                            "lm_head_bias",
                                            "add_cross_attention",
                                            "is_encoder_decoder",
                                            "alibi",
                                            "logit_softcapping"};
  static const char *const must_be_one[] = {"partial_rotary_factor", "embedding_multiplier",
                                            "residual_multiplier",   "attention_multiplier",
                                            "logits_scaling",        "logit_scale"};
  for (size_t i = 0; i < sizeof must_be_off / sizeof *must_be_off; i++) {
    const json_t *value = json_object_get(config, must_be_off[i]);
    /* code for the head, which the caller knows */
    if (body && strcmp(must_be_off[i], "auto_map") == 0) continue;
    if (!is_off(value)) return unsupported(place, must_be_off[i], value, "it to be absent or off", err);
  }
  for (size_t i = 0; i < sizeof must_be_one / sizeof *must_be_one; i++) {
    const json_t *value = json_object_get(config, must_be_one[i]);
    if (!is_one(value)) return unsupported(place, must_be_one[i], value, "it to be absent or 1", err);
  }
  const json_t *kinds = json_object_get(config, "layer_types");
  for (size_t i = 0; i < json_array_size(kinds); i++) {
    const char *kind = json_string_value(json_array_get(kinds, i));
    if (!kind || strcmp(kind, "full_attention") != 0)
      return unsupported(place, "layer_types", json_array_get(kinds, i), "\"full_attention\" in every layer",
                         err);
  }
  return 0;
}

static int read_family(enum tpo_family *out, const json_t *config, const char *place, struct tpo_error *err)
{
  const json_t *type = json_object_get(config, "model_type");
  const char *name = json_string_value(type);
  char known[TPO_FAMILY_LIST];
  if (name && tpo_family_find(out, TPO_NAME_MODEL_TYPE, name, strlen(name))) return 0;
  tpo_family_list(TPO_NAME_MODEL_TYPE, true, known);
  if (type) return unsupported(place, "model_type", type, known, err);
  return tpo_fail(err, TPO_E_INPUT, "%s: no \"model_type\"; expected %s", place, known);
}

/* The class that "architectures" begins with, where the key is there. */
static int check_class(const json_t *config, const char *expected, const char *place, struct tpo_error *err)
{
  const json_t *names = json_object_get(config, "architectures");
  if (!names || json_is_null(names)) return 0;
  const char *name = json_string_value(json_array_get(names, 0));
  char list[128];
  if (name && strcmp(name, expected) == 0) return 0;
  snprintf(list, sizeof list, "[\"%s\"]", expected);
  return unsupported(place, "architectures", names, list, err);
}

static int check_kind(struct tpo_arch *arch, const json_t *config, bool body, const char *place,
                      struct tpo_error *err)
{
  int code = read_family(&arch->family, config, place, err);
  if (code == 0 && !body) code = check_class(config, tpo_family(arch)->names[TPO_NAME_CAUSAL_LM], place, err);
  if (code < 0) return code;
  const json_t *act = json_object_get(config, "hidden_act");
  if (act && !json_is_null(act) && (!json_is_string(act) || strcmp(json_string_value(act), "silu") != 0))
    return unsupported(place, "hidden_act", act, "\"silu\"", err);
  return refuse_options(config, body, place, err);
}

/* What one object tells of the rotary embedding. */
struct rope {
  const char *key; /* under which it stands in config.json; NULL: beside the other settings */
  enum tpo_rope_kind kind;
  double theta; /* NAN: not said */
  double factor, low_freq, high_freq;
  int64_t original_context;
};

/* "type" is the older word for "rope_type". */
static int read_rope_kind(struct rope *rope, const char **type, const json_t *object, const char *place,
                          struct tpo_error *err)
{
  const char *old_type = NULL;
  *type = NULL;
  if (tpo_json_get_string(object, "rope_type", type, place, err) < 0 ||
      tpo_json_get_string(object, "type", &old_type, place, err) < 0)
    return TPO_E_INPUT;
  if (*type && old_type && strcmp(*type, old_type) != 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\": \"rope_type\" is \"%.60s\", but \"type\" is \"%.60s\"",
                    place, rope->key, *type, old_type);
  if (!*type) *type = old_type ? old_type : "default";
  rope->kind = strcmp(*type, "linear") == 0   ? TPO_ROPE_LINEAR
               : strcmp(*type, "llama3") == 0 ? TPO_ROPE_LLAMA3
                                              : TPO_ROPE_DEFAULT;
  if (rope->kind != TPO_ROPE_DEFAULT || strcmp(*type, "default") == 0) return 0;
  return tpo_fail(err, TPO_E_UNSUPPORTED,
                  "%s: \"%s\": rope type \"%.60s\" is not supported; expected default, linear or llama3",
                  place, rope->key, *type);
}

/* The numbers that the kind needs, and no others. */
static int read_rope_numbers(struct rope *rope, const char *type, const json_t *object, const char *place,
                             struct tpo_error *err)
{
  static const char *const needed[] = {"factor", "low_freq_factor", "high_freq_factor",
                                       "original_max_position_embeddings"};
  int n = rope->kind == TPO_ROPE_DEFAULT ? 0 : rope->kind == TPO_ROPE_LINEAR ? 1 : 4;
  for (int i = 0; i < n; i++)
    if (!json_is_number(json_object_get(object, needed[i])))
      return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" of rope type %s lacks the number \"%s\"", place,
                      rope->key, type, needed[i]);
  double *const to[] = {&rope->factor, &rope->low_freq, &rope->high_freq};
  for (int i = 0; i < n && i < 3; i++)
    if (tpo_json_get_double(object, needed[i], to[i], place, err) < 0) return TPO_E_INPUT;
  return n < 4 ? 0 : tpo_json_get_int(object, needed[3], 1, 1 << 24, &rope->original_context, place, err);
}

/* {"rope_type": ..., "factor": ..., "rope_theta": ...} */
static int read_rope_object(struct rope *rope, const json_t *object, const char *place, struct tpo_error *err)
{
  const char *type;
  if (!json_is_object(object))
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" must be an object or null", place, rope->key);
  if (json_is_object(json_object_get(object, "full_attention")))
    return unsupported(place, rope->key, object, "one set of parameters for all layers", err);
  if (!is_one(json_object_get(object, "partial_rotary_factor")))
    return unsupported(place, rope->key, object, "partial_rotary_factor to be absent or 1", err);
  int code = read_rope_kind(rope, &type, object, place, err);
  if (code == 0) code = read_rope_numbers(rope, type, object, place, err);
  return code < 0 ? code : tpo_json_get_double(object, "rope_theta", &rope->theta, place, err);
}

static int differing_theta(const struct rope *a, const struct rope *b, const char *place,
                           struct tpo_error *err)
{
  if (isnan(a->theta) || isnan(b->theta) || a->theta == b->theta) return 0;
  char where[40] = "";
  if (a->key) snprintf(where, sizeof where, " in \"%s\"", a->key);
  return tpo_fail(err, TPO_E_INPUT, "%s: \"rope_theta\" is %g%s, but %g in \"%s\"", place, a->theta, where,
                  b->theta, b->key);
}

/* Both dialects beside each other must say the same. */
static int compare_ropes(const struct rope *a, const struct rope *b, const json_t *config, const char *place,
                         struct tpo_error *err)
{
  if (a->kind == b->kind && a->factor == b->factor && a->low_freq == b->low_freq &&
      a->high_freq == b->high_freq && a->original_context == b->original_context)
    return differing_theta(a, b, place, err);
  char *texts[2] = {tpo_json_dump(json_object_get(config, a->key)),
                    tpo_json_dump(json_object_get(config, b->key))};
  int code = tpo_fail(err, TPO_E_INPUT,
                      "%s: \"%s\" is %.200s, but \"%s\" is %.200s; expected them to agree, or one of them",
                      place, a->key, texts[0] ? texts[0] : "?", b->key, texts[1] ? texts[1] : "?");
  free(texts[0]);
  free(texts[1]);
  return code;
}

/* rope_parameters holds what rope_theta and rope_scaling hold in the older dialect. */
static int read_rope(struct tpo_arch *arch, const json_t *config, const char *place, struct tpo_error *err)
{
  struct rope outer = {.theta = NAN}, found[2];
  static const char *const keys[] = {"rope_scaling", "rope_parameters"};
  int n = 0, code = tpo_json_get_double(config, "rope_theta", &outer.theta, place, err);
  for (int i = 0; code == 0 && i < 2; i++) {
    const json_t *object = json_object_get(config, keys[i]);
    if (!object || json_is_null(object)) continue;
    found[n] = (struct rope){.key = keys[i], .theta = NAN};
    code = read_rope_object(&found[n++], object, place, err);
  }
  if (code == 0 && n == 2) code = compare_ropes(&found[0], &found[1], config, place, err);
  double theta = outer.theta;
  for (int i = 0; code == 0 && i < n; i++) {
    code = differing_theta(&outer, &found[i], place, err);
    if (!isnan(found[i].theta)) theta = found[i].theta;
  }
  if (code < 0) return code;
  arch->rope.theta = isnan(theta) ? tpo_family(arch)->rope_theta : theta;
  if (n == 0) return 0;
  arch->rope.kind = found[0].kind;
  arch->rope.factor = found[0].factor;
  arch->rope.low_freq = found[0].low_freq;
  arch->rope.high_freq = found[0].high_freq;
  arch->rope.original_context = (int)found[0].original_context;
  return 0;
}

static int read_sizes(struct tpo_arch *arch, const json_t *config, const char *place, struct tpo_error *err)
{
  int context = tpo_family(arch)->context;
  const struct {
    const char *key;
    int *to;
    int otherwise; /* the family's default; 0: the key is required; -1: derived below */
  } sizes[] = {
      {"vocab_size", &arch->vocab_size, 0},         {"hidden_size", &arch->hidden, 0},
      {"num_hidden_layers", &arch->layers, 0},      {"num_attention_heads", &arch->heads, 0},
      {"num_key_value_heads", &arch->kv_heads, -1}, {"head_dim", &arch->head_dim, -1},
      {"intermediate_size", &arch->ffn, 0},         {"max_position_embeddings", &arch->context, context},
  };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    int64_t value = sizes[i].otherwise;
    int code = tpo_json_get_int(config, sizes[i].key, 1, 1 << 24, &value, place, err);
    if (code < 0) return code;
    if (value == 0) return tpo_fail(err, TPO_E_INPUT, "%s: no \"%s\"", place, sizes[i].key);
    *sizes[i].to = (int)value;
  }
  if (arch->kv_heads < 0) arch->kv_heads = arch->heads;
  if (arch->head_dim < 0) {
    if (arch->hidden % arch->heads != 0)
      return tpo_fail(err, TPO_E_INPUT,
                      "%s: hidden size %d is no multiple of %d heads, and there is no \"head_dim\"", place,
                      arch->hidden, arch->heads);
    arch->head_dim = arch->hidden / arch->heads;
  }
  return 0;
}

static int from_json(struct tpo_arch *arch, const json_t *config, bool body, const char *place,
                     struct tpo_error *err)
{
  memset(arch, 0, sizeof *arch);
  if (!json_is_object(config)) return tpo_fail(err, TPO_E_INPUT, "%s: expected a JSON object", place);
  int code = check_kind(arch, config, body, place, err);
  if (code == 0) code = read_sizes(arch, config, place, err);
  if (code == 0) code = read_rope(arch, config, place, err);
  arch->rms_eps = tpo_family(arch)->rms_eps;
  if (code == 0) code = tpo_json_get_double(config, "rms_norm_eps", &arch->rms_eps, place, err);
  if (code == 0) code = tpo_json_get_bool(config, "tie_word_embeddings", &arch->tied, place, err);
  if (body) arch->tied = true; /* there is no LM head that would have a tensor */
  return code < 0 ? code : tpo_arch_check(arch, place, err);
}

int tpo_arch_from_json(struct tpo_arch *arch, const json_t *config, const char *place, struct tpo_error *err)
{
  return from_json(arch, config, false, place, err);
}

int tpo_arch_body_from_json(struct tpo_arch *arch, const json_t *config, const char *place,
                            struct tpo_error *err)
{
  return from_json(arch, config, true, place, err);
}

static json_t *scaling_to_json(const struct tpo_arch *arch)
{
  switch (arch->rope.kind) {
  default: return json_null();
  case TPO_ROPE_LINEAR: return json_pack("{s:s,s:f}", "type", "linear", "factor", arch->rope.factor);
  case TPO_ROPE_LLAMA3:
    return json_pack("{s:s,s:f,s:f,s:f,s:i}", "rope_type", "llama3", "factor", arch->rope.factor,
                     "low_freq_factor", arch->rope.low_freq, "high_freq_factor", arch->rope.high_freq,
                     "original_max_position_embeddings", arch->rope.original_context);
  }
  return NULL;
}

static json_t *token_to_json(int32_t id)
{
  return id < 0 ? json_null() : json_integer(id);
}

static json_t *ends_to_json(const int32_t *ends, size_t n)
{
  if (n < 2) return token_to_json(n == 0 ? -1 : ends[0]);
  json_t *list = json_array();
  for (size_t i = 0; i < n; i++)
    if (json_array_append_new(list, json_integer(ends[i])) != 0) {
      json_decref(list);
      return NULL;
    }
  return list;
}

json_t *tpo_arch_to_json(const struct tpo_arch *arch, const char *dtype, int32_t bos, const int32_t *ends,
                         size_t n_ends)
{
  const char *const *name = tpo_family(arch)->names;
  return json_pack(
      "{s:[s],s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:s,s:f,s:f,s:o,s:b,s:b,s:b,s:f,s:o,s:o,s:b,s:s,s:s}",
      "architectures", name[TPO_NAME_CAUSAL_LM], "model_type", name[TPO_NAME_MODEL_TYPE],  //
      "vocab_size", arch->vocab_size, "hidden_size", arch->hidden,                         //
      "intermediate_size", arch->ffn, "num_hidden_layers", arch->layers,                   //
      "num_attention_heads", arch->heads, "num_key_value_heads", arch->kv_heads,           //
      "head_dim", arch->head_dim, "max_position_embeddings", arch->context,                //
      "hidden_act", "silu", "rms_norm_eps", arch->rms_eps, "rope_theta", arch->rope.theta, //
      "rope_scaling", scaling_to_json(arch), "tie_word_embeddings", (int)arch->tied,       //
      "attention_bias", 0, "mlp_bias", 0, "attention_dropout", 0.0,                        //
      "bos_token_id", token_to_json(bos), "eos_token_id", ends_to_json(ends, n_ends),      //
      "use_cache", 1, "torch_dtype", dtype, "dtype", dtype);
}
