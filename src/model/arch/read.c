/* The architecture as config.json tells it, in both of its dialects. What the description cannot hold is
 * refused by name: a model is never half-loaded. */
#include "model/arch/arch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

static int read_family(enum tpo_family *out, const json_t *config, const char *place, struct tpo_error *err)
{
  const json_t *type = json_object_get(config, "model_type");
  const char *name = json_string_value(type);
  char known[TPO_FAMILY_LIST];
  if (name && tpo_family_find(out, TPO_NAME_MODEL_TYPE, name, strlen(name))) return 0;
  tpo_family_list(TPO_NAME_MODEL_TYPE, true, known);
  if (type) return tpo_arch_unsupported(place, "model_type", type, known, err);
  return tpo_fail(err, TPO_E_INPUT, "%s: no \"model_type\"; expected %s", place, known);
}

/* The class that "architectures" begins with, where the key is there. Code that comes with the model
 * ("auto_map") is not needed when the class is known. */
static int check_class(const json_t *config, const char *expected, const char *place, struct tpo_error *err)
{
  const json_t *names = json_object_get(config, "architectures"), *code = json_object_get(config, "auto_map");
  if (!names || json_is_null(names)) {
    if (!code || json_is_null(code)) return 0;
    return tpo_arch_unsupported(place, "auto_map", code,
                                "it to be absent, or a known class in \"architectures\"", err);
  }
  const char *name = json_string_value(json_array_get(names, 0));
  char list[128];
  if (name && strcmp(name, expected) == 0) return 0;
  snprintf(list, sizeof list, "[\"%s\"]", expected);
  return tpo_arch_unsupported(place, "architectures", names, list, err);
}

static int check_activation(const struct tpo_arch *arch, const json_t *config, const char *place,
                            struct tpo_error *err)
{
  static const char *const keys[] = {"hidden_act", "hidden_activation"};
  const struct tpo_family_row *family = tpo_family(arch);
  const char *expected = family->glu == TPO_GLU_SILU ? "silu" : "gelu_pytorch_tanh";
  char quoted[40];
  snprintf(quoted, sizeof quoted, "\"%s\"", expected);
  for (int i = 0; i < 2; i++) {
    const json_t *act = json_object_get(config, keys[i]);
    const char *word = json_string_value(act);
    if (!act || json_is_null(act)) continue;
    if (i == 0 && family->gelu_is_tanh && word && strcmp(word, "gelu") == 0) continue;
    if (!word || strcmp(word, expected) != 0) return tpo_arch_unsupported(place, keys[i], act, quoted, err);
  }
  return 0;
}

/* Each has one of: a value in the file, the family's default, none (0), which is derived or an error. */
static int read_sizes(struct tpo_arch *arch, const json_t *config, const char *place, struct tpo_error *err)
{
  const struct tpo_family_row *family = tpo_family(arch);
  const struct {
    const char *key;
    int *to;
    int otherwise;
    bool derived; /* below; also where the file says null */
  } sizes[] = {
      {"vocab_size", &arch->vocab_size, family->vocab_size, false},
      {"hidden_size", &arch->hidden, 0, false},
      {"num_hidden_layers", &arch->layers, 0, false},
      {"num_attention_heads", &arch->heads, family->heads, false},
      {"num_key_value_heads", &arch->kv_heads, family->kv_heads, true},
      {"head_dim", &arch->head_dim, family->head_dim, true},
      {"intermediate_size", &arch->ffn, 0, false},
      {"max_position_embeddings", &arch->context, family->context, false},
  };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    int64_t value = sizes[i].otherwise;
    if (sizes[i].derived && json_is_null(json_object_get(config, sizes[i].key))) value = 0;
    int code = tpo_json_get_int(config, sizes[i].key, 1, 1 << 24, &value, place, err);
    if (code < 0) return code;
    if (value == 0 && !sizes[i].derived)
      return tpo_fail(err, TPO_E_INPUT, "%s: no \"%s\"", place, sizes[i].key);
    *sizes[i].to = (int)value;
  }
  if (arch->kv_heads == 0) arch->kv_heads = arch->heads;
  if (arch->head_dim > 0) return 0;
  if (arch->hidden % arch->heads != 0)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: hidden size %d is no multiple of %d heads, and there is no \"head_dim\"", place,
                    arch->hidden, arch->heads);
  arch->head_dim = arch->hidden / arch->heads;
  return 0;
}

/* A positive number; null: there is none. `otherwise`: where the key is absent. */
static int read_positive(double *out, double otherwise, const json_t *config, const char *key,
                         const char *place, struct tpo_error *err)
{
  const json_t *value = json_object_get(config, key);
  *out = json_is_null(value) ? 0 : otherwise;
  if (!value || json_is_null(value)) return 0;
  int code = tpo_json_get_double(config, key, out, place, err);
  if (code < 0 || (*out > 0 && isfinite(*out))) return code;
  return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" is %g, expected a positive number", place, key, *out);
}

static int read_multipliers(struct tpo_arch *arch, const json_t *config, const char *place,
                            struct tpo_error *err)
{
  const struct {
    const char *key;
    double *to;
  } keys[] = {{"embedding_multiplier", &arch->embedding_scale},
              {"residual_multiplier", &arch->residual_scale},
              {"attention_multiplier", &arch->attention_scale},
              {"logits_scaling", &arch->logits_scale}};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    int code = read_positive(keys[i].to, 1, config, keys[i].key, place, err);
    if (code < 0) return code;
    if (*keys[i].to == 0) *keys[i].to = 1;
  }
  return 0;
}

/* What the attention's and the final logits go through, and what the residual stream is scaled by. */
static int read_scales(struct tpo_arch *arch, const json_t *config, const char *place, struct tpo_error *err)
{
  const struct tpo_family_row *family = tpo_family(arch);
  unsigned keys = family->keys;
  int code = 0;
  if (keys & TPO_KEYS_MULTIPLIERS) code = read_multipliers(arch, config, place, err);
  if (code == 0 && keys & TPO_KEYS_ATTENTION_SOFTCAP)
    code = read_positive(&arch->attention_softcap, family->attention_softcap, config,
                         "attn_logit_softcapping", place, err);
  if (code == 0 && keys & TPO_KEYS_FINAL_SOFTCAP)
    code = read_positive(&arch->final_softcap, family->final_softcap, config, "final_logit_softcapping",
                         place, err);
  if (code == 0 && keys & TPO_KEYS_QUERY_SCALE) {
    int64_t scalar = family->query_scalar;
    code = tpo_json_get_int(config, "query_pre_attn_scalar", 1, 1 << 24, &scalar, place, err);
    arch->attention_scale = 1 / sqrt((double)scalar);
  }
  if (family->scales_embedding) arch->embedding_scale = sqrt(arch->hidden);
  return code;
}

static int read_text(struct tpo_arch *arch, const json_t *config, const char *place, struct tpo_error *err)
{
  int code = check_activation(arch, config, place, err);
  if (code == 0) code = tpo_arch_refuse(arch, config, place, err);
  if (code == 0) code = read_sizes(arch, config, place, err);
  if (code == 0) code = tpo_arch_read_rope(arch, config, place, err);
  if (code == 0) code = tpo_arch_read_layers(arch, config, place, err);
  if (code == 0) code = read_scales(arch, config, place, err);
  arch->rms_eps = tpo_family(arch)->rms_eps;
  arch->tied = tpo_family(arch)->tied;
  if (code == 0) code = tpo_json_get_double(config, "rms_norm_eps", &arch->rms_eps, place, err);
  if (code == 0) code = tpo_json_get_bool(config, "tie_word_embeddings", &arch->tied, place, err);
  return code;
}

bool tpo_arch_is_part(const json_t *config)
{
  const char *type = json_string_value(json_object_get(config, "model_type"));
  return type && tpo_family_find(NULL, TPO_NAME_OUTER_TYPE, type, strlen(type));
}

/* A model of several parts, of which the text model under "text_config" is taken. */
static int read_part(struct tpo_arch *arch, const json_t *config, bool body, const char *place,
                     struct tpo_error *err)
{
  const char *type = json_string_value(json_object_get(config, "model_type"));
  const json_t *text = json_object_get(config, "text_config");
  char inner[4200];
  bool tied;
  snprintf(inner, sizeof inner, "%s: \"text_config\"", place);
  tpo_family_find(&arch->family, TPO_NAME_OUTER_TYPE, type, strlen(type));
  int code = body ? 0 : check_class(config, tpo_family(arch)->names[TPO_NAME_OUTER_LM], place, err);
  if (code == 0) code = tpo_arch_refuse(arch, config, place, err);
  if (code < 0) return code;
  if (!json_is_object(text)) return tpo_fail(err, TPO_E_INPUT, "%s must be an object", inner);
  if (json_object_get(text, "model_type")) {
    enum tpo_family expected = arch->family;
    code = read_family(&arch->family, text, inner, err);
    if (code == 0 && arch->family != expected)
      code = tpo_arch_unsupported(inner, "model_type", json_object_get(text, "model_type"),
                                  "that of the model around it", err);
  }
  if (code == 0) code = read_text(arch, text, inner, err);
  if (code == 0 && !body &&
      arch->final_softcap > 0) /* the class of all parts has none, whatever the text's has */
    code = tpo_arch_unsupported(inner, "final_logit_softcapping",
                                json_object_get(text, "final_logit_softcapping"), "it to be absent or null",
                                err);
  tied = arch->tied;
  if (code == 0) code = tpo_json_get_bool(config, "tie_word_embeddings", &tied, place, err);
  if (code == 0 && json_object_get(text, "tie_word_embeddings") && tied != arch->tied)
    return tpo_fail(err, TPO_E_INPUT, "%s: \"tie_word_embeddings\" is not what \"text_config\" says", place);
  arch->tied = tied;
  return code;
}

static int read_whole(struct tpo_arch *arch, const json_t *config, bool body, const char *place,
                      struct tpo_error *err)
{
  int code = read_family(&arch->family, config, place, err);
  if (code == 0 && !body) code = check_class(config, tpo_family(arch)->names[TPO_NAME_CAUSAL_LM], place, err);
  return code < 0 ? code : read_text(arch, config, place, err);
}

static int from_json(struct tpo_arch *arch, const json_t *config, bool body, const char *place,
                     struct tpo_error *err)
{
  memset(arch, 0, sizeof *arch);
  if (!json_is_object(config)) return tpo_fail(err, TPO_E_INPUT, "%s: expected a JSON object", place);
  int code = tpo_arch_is_part(config) ? read_part(arch, config, body, place, err)
                                      : read_whole(arch, config, body, place, err);
  if (code < 0) return code;
  if (body) arch->tied = true; /* there is no LM head that would have a tensor */
  tpo_arch_settle(arch);
  return tpo_arch_check(arch, place, err);
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
