/* What the metadata of a GGUF file tell of a model, together with what llama.cpp's graphs take for granted. */
#include "model/files/gguf_meta.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/files/gguf_rules.h"

#define PATTERN "attention.sliding_window_pattern"

static int read_family(enum tpo_family *out, const struct tpo_gguf *gguf, struct tpo_error *err)
{
  struct tpo_gguf_string arch;
  int code = tpo_gguf_get_string(gguf, "general.architecture", &arch, err);
  if (code < 0) return code;
  if (code == 0) return tpo_fail(err, TPO_E_INPUT, "%s: no metadata key general.architecture", gguf->path);
  if (tpo_family_find(out, TPO_NAME_GGUF, arch.data, arch.len)) return 0;
  char known[TPO_FAMILY_LIST];
  tpo_family_list(TPO_NAME_GGUF, true, known);
  return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: general.architecture \"%.*s\" is not supported; expected %s",
                  gguf->path, arch.len > 60 ? 60 : (int)arch.len, arch.data, known);
}

static int refuse_key(const struct tpo_gguf_meta *meta, const char *name, struct tpo_error *err)
{
  const struct tpo_gguf_key key = tpo_gguf_key_of(meta, name);
  double value = 0;
  int code = tpo_gguf_get_double(meta->gguf, key.name, &value, err);
  if (code < 0 || value == 0) return code < 0 ? code : 0;
  return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: %s = %g is not supported; expected it to be absent",
                  meta->gguf->path, key.name, value);
}

/* Settings that would change the computation and that the architecture doesn't have here. */
static int refuse_options(const struct tpo_arch *arch, const struct tpo_gguf_meta *meta,
                          struct tpo_error *err)
{
  const struct tpo_gguf_rules *rules = tpo_gguf_rules(arch);
  const struct {
    const char *name;
    bool has;
  } keys[] = {{"expert_count", false},
              {"attention.clamp_kqv", false},
              {"attention.max_alibi_bias", false},
              {"attention.sliding_window", rules->windows != TPO_GGUF_NO_WINDOW},
              {"logit_scale", rules->multipliers},
              {"residual_scale", rules->multipliers},
              {"embedding_scale", rules->multipliers},
              {"attention.scale", rules->multipliers},
              {"attn_logit_softcapping", rules->attention_softcap > 0},
              {"final_logit_softcapping", rules->final_softcap_key}};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    int code = keys[i].has ? 0 : refuse_key(meta, keys[i].name, err);
    if (code < 0) return code;
  }
  const struct tpo_gguf_key key = tpo_gguf_key_of(meta, "attention.causal");
  bool causal = true;
  int code = tpo_gguf_get_bool(meta->gguf, key.name, &causal, err);
  if (code < 0 || causal) return code < 0 ? code : 0;
  return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: %s = false is not supported; expected it to be absent or true",
                  meta->gguf->path, key.name);
}

static int read_rotated(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  int rotated;
  int code =
      tpo_gguf_size_of_layers(meta, "rope.dimension_count", arch->head_dim, arch->layers, &rotated, err);
  if (code < 0 || rotated == arch->head_dim) return code;
  if (!tpo_gguf_rules(arch)->partial)
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "%s: %s.rope.dimension_count is %d and key length %d; expected them to be equal",
                    meta->gguf->path, meta->architecture, rotated, arch->head_dim);
  if (rotated < 2 || rotated > arch->head_dim || rotated % 2 != 0)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: %s.rope.dimension_count is %d; expected an even number up to the key length, %d",
                    meta->gguf->path, meta->architecture, rotated, arch->head_dim);
  arch->rotated = rotated;
  return 0;
}

static int read_head_sizes(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  int value_length = 0;
  if (arch->heads < 1 || arch->kv_heads < 1)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: %s.attention.head_count is %d and head_count_kv %d; expected at least 1",
                    meta->gguf->path, meta->architecture, arch->heads, arch->kv_heads);
  int code = tpo_gguf_size_of_layers(meta, "attention.key_length", arch->hidden / arch->heads, arch->layers,
                                     &arch->head_dim, err);
  if (code == 0)
    code = tpo_gguf_size_of_layers(meta, "attention.value_length", arch->head_dim, arch->layers,
                                   &value_length, err);
  if (code == 0) code = read_rotated(arch, meta, err);
  if (code < 0 || value_length == arch->head_dim) return code;
  return tpo_fail(err, TPO_E_UNSUPPORTED,
                  "%s: key length %d and value length %d differ; expected them to be equal", meta->gguf->path,
                  arch->head_dim, value_length);
}

static int read_sizes(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  const char *const kv = "attention.head_count_kv";
  int code = tpo_gguf_size(meta, "block_count", -1, &arch->layers, err);
  if (code == 0 && arch->layers > TPO_MOST_LAYERS)
    code = tpo_fail(err, TPO_E_INPUT, "%s: %s.block_count is %d, expected at most %d", meta->gguf->path,
                    meta->architecture, arch->layers, TPO_MOST_LAYERS);
  if (code == 0) code = tpo_gguf_size(meta, "context_length", -1, &arch->context, err);
  if (code == 0) code = tpo_gguf_size(meta, "embedding_length", -1, &arch->hidden, err);
  if (code == 0)
    code = tpo_gguf_size_of_layers(meta, "feed_forward_length", -1, arch->layers, &arch->ffn, err);
  if (code == 0)
    code = tpo_gguf_size_of_layers(meta, "attention.head_count", -1, arch->layers, &arch->heads, err);
  if (code == 0) code = tpo_gguf_size_of_layers(meta, kv, arch->heads, arch->layers, &arch->kv_heads, err);
  if (code == 0) code = read_head_sizes(arch, meta, err);
  if (code < 0) return code;
  const struct tpo_gguf_tensor *embed = tpo_gguf_find_tensor(meta->gguf, tpo_param_embed()->gguf);
  int64_t rows = embed && embed->n_dims == 2 && embed->dims[1] <= 1 << 24 ? (int64_t)embed->dims[1] : -1;
  return tpo_gguf_size(meta, "vocab_size", rows, &arch->vocab_size, err);
}

/* A model without a window has no layers that see one: neither by its own pattern, nor, where its window is said
 * to be 0, by the architecture's. Without the keys a Gemma 3 is one whose layers all see everything, as in
 * llama.cpp. */
static int refuse_windowless(const struct tpo_arch *arch, const struct tpo_gguf_meta *meta, bool pattern,
                             struct tpo_error *err)
{
  const struct tpo_gguf_key window = tpo_gguf_key_of(meta, "attention.sliding_window");
  bool there = tpo_gguf_find(meta->gguf, window.name);
  bool usual = !pattern && there && tpo_gguf_rules(arch)->windows == TPO_GGUF_WINDOW;
  int n = 0;
  for (int l = 0; l < arch->layers; l++) n += tpo_layer_in(&arch->windowed, l);
  if (n == 0 || !(pattern || usual)) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s: %s is %s; expected at least 1, since %d of %d layers see a window%s",
                  meta->gguf->path, window.name, there ? "0" : "missing", n, arch->layers,
                  pattern ? " by " PATTERN : " in this architecture");
}

/* A family whose files don't name layers one by one has windows in the usual ones. */
static int check_pattern(const struct tpo_arch *arch, const struct tpo_layer_set *usual,
                         const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  const struct tpo_family_row *family = tpo_family(arch);
  for (int l = 0; l < arch->layers && !(family->keys & TPO_KEYS_LAYER_TYPES); l++) {
    bool windowed = tpo_layer_in(&arch->windowed, l);
    if (windowed == tpo_layer_in(usual, l)) continue;
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "%s: %s says that layer %d has %s window, which is not supported; %s models' have %s",
                    meta->gguf->path, tpo_gguf_key_of(meta, PATTERN).name, l, windowed ? "a" : "no",
                    family->names[TPO_NAME_PROSE], windowed ? "none" : "one");
  }
  return 0;
}

static int read_windows(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  const struct tpo_gguf_rules *rules = tpo_gguf_rules(arch);
  bool has = rules->windows != TPO_GGUF_NO_WINDOW;
  int code = has ? tpo_gguf_size(meta, "attention.sliding_window", rules->window, &arch->window, err) : 0;
  if (code < 0) return code;
  const struct tpo_layer_set usual = tpo_gguf_periodic(arch->layers, rules->window_period, false);
  arch->windowed = usual;
  code = tpo_gguf_layers(meta, PATTERN, arch->layers, &arch->windowed, err);
  if (code < 0 || arch->window > 0) return code < 0 ? code : check_pattern(arch, &usual, meta, err);
  code = refuse_windowless(arch, meta, code == 1, err);
  arch->windowed = (struct tpo_layer_set){0};
  return code;
}

/* Granite: logits are divided by logit_scale, everything else is multiplied. */
static int read_multipliers(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  const struct {
    const char *name;
    double *to;
  } keys[] = {{"logit_scale", &arch->logits_scale},
              {"residual_scale", &arch->residual_scale},
              {"embedding_scale", &arch->embedding_scale},
              {"attention.scale", &arch->attention_scale}};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    int code = tpo_gguf_positive(meta, keys[i].name, keys[i].to, err);
    if (code < 0) return code;
  }
  return 0;
}

static int read_scales(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  const struct tpo_gguf_rules *rules = tpo_gguf_rules(arch);
  arch->attention_softcap = rules->attention_softcap;
  arch->final_softcap = rules->final_softcap;
  if (rules->embeds_by_root) {
    arch->embedding_scale = sqrt(arch->hidden);
    arch->attention_scale = tpo_gguf_attention_scale(arch);
  }
  int code = 0;
  if (rules->attention_softcap > 0)
    code = tpo_gguf_positive(meta, "attn_logit_softcapping", &arch->attention_softcap, err);
  if (code >= 0 && rules->final_softcap_key)
    code = tpo_gguf_positive(meta, "final_logit_softcapping", &arch->final_softcap, err);
  if (code >= 0 && rules->multipliers) code = read_multipliers(arch, meta, err);
  return code < 0 ? code : 0;
}

static int check_head(const struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  const struct tpo_gguf_rules *rules = tpo_gguf_rules(arch);
  const char *head = tpo_param_lm_head()->gguf;
  if (rules->must_tie && !arch->tied)
    return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: tensor %s is there; %s models share their embedding",
                    meta->gguf->path, head, tpo_family(arch)->names[TPO_NAME_PROSE]);
  if (rules->must_not_tie && arch->tied)
    return tpo_fail(err, TPO_E_INPUT, "%s: tensor %s is missing; %s models have one", meta->gguf->path, head,
                    tpo_family(arch)->names[TPO_NAME_PROSE]);
  return 0;
}

static int read_rest(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  const char *epsilon = "attention.layer_norm_rms_epsilon";
  int code = tpo_gguf_real(meta, epsilon, &arch->rms_eps, err);
  if (code == 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: no metadata key %s", meta->gguf->path,
                    tpo_gguf_key_of(meta, epsilon).name);
  if (code > 0) code = read_scales(arch, meta, err);
  arch->tied = !tpo_gguf_find_tensor(meta->gguf, tpo_param_lm_head()->gguf);
  return code < 0 ? code : check_head(arch, meta, err);
}

/* The older Mistral models have Llama's name, and differ from Llama by their window. */
static int tell_mistral(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  int64_t window = 0;
  int code =
      tpo_gguf_get_int(meta->gguf, tpo_gguf_key_of(meta, "attention.sliding_window").name, &window, err);
  if (code > 0 && window > 0 && arch->family == TPO_FAMILY_LLAMA) arch->family = TPO_FAMILY_MISTRAL;
  return code < 0 ? code : 0;
}

int tpo_gguf_read_arch(struct tpo_arch *arch, const struct tpo_gguf *gguf, struct tpo_error *err)
{
  memset(arch, 0, sizeof *arch);
  int code = tpo_gguf_check_whole(gguf, err);
  if (code == 0) code = read_family(&arch->family, gguf, err);
  if (code < 0) return code;
  const struct tpo_gguf_meta meta = {.gguf = gguf, .architecture = tpo_family(arch)->names[TPO_NAME_GGUF]};
  code = tell_mistral(arch, &meta, err);
  if (code == 0) code = refuse_options(arch, &meta, err);
  if (code == 0 && gguf->n_tensors == 0)
    return tpo_fail(err, TPO_E_USAGE, "%s: holds no tensors (a vocabulary alone); a model is needed here",
                    gguf->path);
  if (code == 0) code = read_sizes(arch, &meta, err);
  if (code == 0) code = read_windows(arch, &meta, err);
  if (code == 0 && tpo_gguf_rules(arch)->unrotated_period > 0)
    arch->unrotated = tpo_gguf_periodic(arch->layers, tpo_gguf_rules(arch)->unrotated_period, true);
  if (code == 0) code = tpo_gguf_read_rope(arch, &meta, err);
  if (code == 0) code = read_rest(arch, &meta, err);
  if (code < 0) return code;
  tpo_arch_settle(arch);
  code = tpo_arch_check(arch, gguf->path, err);
  return code < 0 ? code : tpo_arch_check_saved(arch, gguf->path, err);
}
