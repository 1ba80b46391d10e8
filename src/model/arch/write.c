/* The architecture as config.json, in words that old and new transformers read: the older dialect's, of which
 * the newer makes its own, and of these only those that the family's models have. */
#include "model/arch/arch.h"

#include <math.h>

/* Adds to an object, until something fails for lack of memory. */
struct writer {
  json_t *json;
  bool failed;
};

static void put(struct writer *w, const char *key, json_t *value)
{
  if (json_object_set_new(w->json, key, value) != 0) w->failed = true;
}

static void put_int(struct writer *w, const char *key, json_int_t value)
{
  put(w, key, json_integer(value));
}

static void put_bool(struct writer *w, const char *key, bool value)
{
  put(w, key, json_boolean(value));
}

static void put_string(struct writer *w, const char *key, const char *value)
{
  put(w, key, json_string(value));
}

static void put_real(struct writer *w, const char *key, double value)
{
  put(w, key, json_real(value));
}

/* 0 is null */
static void put_optional(struct writer *w, const char *key, double value)
{
  put(w, key, value == 0 ? json_null() : json_real(value));
}

static void add(struct writer *w, json_t *list, json_t *value)
{
  if (json_array_append_new(list, value) != 0) w->failed = true;
}

static void put_reals(struct writer *w, const char *key, const double *values, int n)
{
  json_t *list = json_array();
  for (int i = 0; i < n; i++) add(w, list, json_real(values[i]));
  put(w, key, list);
}

static json_t *token_to_json(int32_t id)
{
  return id < 0 ? json_null() : json_integer(id);
}

static void put_ends(struct writer *w, const int32_t *ends, size_t n)
{
  json_t *list = n < 2 ? token_to_json(n == 0 ? -1 : ends[0]) : json_array();
  for (size_t i = 0; n >= 2 && i < n; i++) add(w, list, json_integer(ends[i]));
  put(w, "eos_token_id", list);
}

static void put_yarn(struct writer *w, const struct tpo_rope *rope)
{
  put_string(w, "rope_type", "yarn");
  put_real(w, "factor", rope->factor);
  put_int(w, "original_max_position_embeddings", rope->original_context);
  put_real(w, "attention_factor", rope->attention_factor);
  put_real(w, "beta_fast", rope->beta_fast);
  put_real(w, "beta_slow", rope->beta_slow);
  if (rope->untruncated) put_bool(w, "truncate", false);
}

/* The attention's factor only where it doesn't follow from the contexts: transformers before 4.49 take nothing
 * but the lists. */
static void put_longrope(struct writer *w, const struct tpo_arch *arch)
{
  const struct tpo_rope *rope = &arch->rope;
  double usual =
      tpo_rope_longrope_scale((double)arch->context / rope->original_context, rope->original_context);
  put_string(w, "type", "longrope");
  put_reals(w, "short_factor", rope->short_factors, tpo_rope_rotated(arch) / 2);
  put_reals(w, "long_factor", rope->long_factors, tpo_rope_rotated(arch) / 2);
  if (!(fabs(rope->attention_factor - usual) <= 1e-12 * usual))
    put_real(w, "attention_factor", rope->attention_factor);
}

static json_t *scaling_to_json(struct writer *outer, const struct tpo_arch *arch)
{
  const struct tpo_rope *rope = &arch->rope;
  if (rope->kind == TPO_ROPE_DEFAULT) return json_null();
  struct writer w = {.json = json_object()};
  if (rope->kind == TPO_ROPE_LINEAR || rope->kind == TPO_ROPE_DYNAMIC) {
    /* The older word, where no release that has the family wants the newer. */
    put_string(&w, tpo_family(arch)->keys & TPO_KEYS_LOCAL_ROPE ? "rope_type" : "type",
               rope->kind == TPO_ROPE_LINEAR ? "linear" : "dynamic");
    put_real(&w, "factor", rope->factor);
  } else if (rope->kind == TPO_ROPE_LLAMA3) {
    put_string(&w, "rope_type", "llama3");
    put_real(&w, "factor", rope->factor);
    put_real(&w, "low_freq_factor", rope->low_freq);
    put_real(&w, "high_freq_factor", rope->high_freq);
    put_int(&w, "original_max_position_embeddings", rope->original_context);
  } else if (rope->kind == TPO_ROPE_YARN) {
    put_yarn(&w, rope);
  } else {
    put_longrope(&w, arch);
  }
  outer->failed |= w.failed;
  return w.json;
}

/* Of a head, so that reading it gives `rotated` again. */
static double rotated_part(const struct tpo_arch *arch)
{
  double part = (double)tpo_rope_rotated(arch) / arch->head_dim;
  while ((int)(arch->head_dim * part) < tpo_rope_rotated(arch)) part = nextafter(part, 2);
  return part;
}

static void put_ropes(struct writer *w, const struct tpo_arch *arch)
{
  unsigned keys = tpo_family(arch)->keys;
  put_real(w, "rope_theta", arch->rope.theta);
  put(w, "rope_scaling", scaling_to_json(w, arch));
  if (keys & TPO_KEYS_LOCAL_ROPE)
    put_real(w, "rope_local_base_freq", arch->has_local_rope ? arch->local_rope.theta : arch->rope.theta);
  if (arch->rotated > 0) put_real(w, "partial_rotary_factor", rotated_part(arch));
  if (arch->rope.kind == TPO_ROPE_LONGROPE)
    put_int(w, "original_max_position_embeddings", arch->rope.original_context);
}

static int first_layer(const struct tpo_arch *arch, bool windowed)
{
  int i = 0;
  while (i < arch->layers && tpo_layer_in(&arch->windowed, i) != windowed) i++;
  return i;
}

/* Before they had "layer_types", such models had a period. */
static void put_period(struct writer *w, const struct tpo_arch *arch)
{
  int period = first_layer(arch, false) + 1;
  for (int i = 0; i < arch->layers; i++)
    if (tpo_layer_in(&arch->windowed, i) != ((i + 1) % period != 0)) return;
  put_int(w, "sliding_window_pattern", period);
}

static void put_layer_types(struct writer *w, const struct tpo_arch *arch)
{
  json_t *types = json_array();
  for (int i = 0; i < arch->layers; i++)
    add(w, types, json_string(tpo_layer_in(&arch->windowed, i) ? "sliding_attention" : "full_attention"));
  put(w, "layer_types", types);
}

static void put_layers(struct writer *w, const struct tpo_arch *arch)
{
  const struct tpo_family_row *family = tpo_family(arch);
  bool always =
      family->windows == TPO_WINDOWS_PERIOD; /* transformers wants a number even with no such layer */
  if (family->keys & TPO_KEYS_UNROTATED) {
    json_t *rotated = json_array();
    for (int i = 0; i < arch->layers; i++) add(w, rotated, json_integer(!tpo_layer_in(&arch->unrotated, i)));
    put(w, "no_rope_layers", rotated);
  }
  if (!(family->keys & TPO_KEYS_WINDOW)) return;
  int window = arch->window == 0 && always ? arch->context : arch->window;
  if (family->keys & TPO_KEYS_WINDOW_SWITCH) put_bool(w, "use_sliding_window", window > 0);
  put(w, "sliding_window", window > 0 ? json_integer(window) : json_null());
  if (family->windows == TPO_WINDOWS_LATE) put_int(w, "max_window_layers", first_layer(arch, true));
  if (family->keys & TPO_KEYS_LAYER_TYPES) put_layer_types(w, arch);
  if (family->keys & TPO_KEYS_LOCAL_ROPE) put_period(w, arch);
}

/* Transformers wants an integer. */
static json_int_t query_scalar(const struct tpo_arch *arch)
{
  if (arch->attention_scale == 0) return arch->head_dim;
  return llround(1 / (arch->attention_scale * arch->attention_scale));
}

static void put_scales(struct writer *w, const struct tpo_arch *arch)
{
  unsigned keys = tpo_family(arch)->keys;
  double usual = 1 / sqrt(arch->head_dim);
  if (keys & TPO_KEYS_QUERY_SCALE) put_int(w, "query_pre_attn_scalar", query_scalar(arch));
  if (keys & TPO_KEYS_ATTENTION_SOFTCAP) put_optional(w, "attn_logit_softcapping", arch->attention_softcap);
  if (keys & TPO_KEYS_FINAL_SOFTCAP) put_optional(w, "final_logit_softcapping", arch->final_softcap);
  if (!(keys & TPO_KEYS_MULTIPLIERS)) return;
  put_real(w, "embedding_multiplier", arch->embedding_scale > 0 ? arch->embedding_scale : 1);
  put_real(w, "residual_multiplier", arch->residual_scale > 0 ? arch->residual_scale : 1);
  put_real(w, "attention_multiplier", arch->attention_scale > 0 ? arch->attention_scale : usual);
  put_real(w, "logits_scaling", arch->logits_scale > 0 ? arch->logits_scale : 1);
}

static void put_names(struct writer *w, const struct tpo_arch *arch)
{
  const char *const *name = tpo_family(arch)->names;
  json_t *classes = json_array();
  add(w, classes, json_string(name[TPO_NAME_CAUSAL_LM]));
  put(w, "architectures", classes);
  put_string(w, "model_type", name[TPO_NAME_MODEL_TYPE]);
}

static void put_sizes(struct writer *w, const struct tpo_arch *arch)
{
  const struct tpo_family_row *family = tpo_family(arch);
  put_int(w, "vocab_size", arch->vocab_size);
  put_int(w, "hidden_size", arch->hidden);
  put_int(w, "intermediate_size", arch->ffn);
  put_int(w, "num_hidden_layers", arch->layers);
  put_int(w, "num_attention_heads", arch->heads);
  put_int(w, "num_key_value_heads", arch->kv_heads);
  if (family->keys & TPO_KEYS_HEAD_DIM || arch->head_dim * arch->heads != arch->hidden)
    put_int(w, "head_dim", arch->head_dim);
  put_int(w, "max_position_embeddings", arch->context);
  put_string(w, family->glu == TPO_GLU_SILU ? "hidden_act" : "hidden_activation",
             family->glu == TPO_GLU_SILU ? "silu" : "gelu_pytorch_tanh");
  put_real(w, "rms_norm_eps", arch->rms_eps);
}

json_t *tpo_arch_to_json(const struct tpo_arch *arch, const char *dtype, int32_t bos, const int32_t *ends,
                         size_t n_ends)
{
  struct writer w = {.json = json_object()};
  unsigned keys = tpo_family(arch)->keys;
  put_names(&w, arch);
  put_sizes(&w, arch);
  put_ropes(&w, arch);
  put_bool(&w, "tie_word_embeddings", arch->tied);
  if (keys & TPO_KEYS_ATTENTION_BIAS) put_bool(&w, "attention_bias", false);
  if (keys & TPO_KEYS_MLP_BIAS) put_bool(&w, "mlp_bias", false);
  put_layers(&w, arch);
  put_scales(&w, arch);
  put_real(&w, "attention_dropout", 0);
  put(&w, "bos_token_id", token_to_json(bos));
  put_ends(&w, ends, n_ends);
  if (keys & TPO_KEYS_PAD) put(&w, "pad_token_id", json_null());
  put_bool(&w, "use_cache", true);
  put_string(&w, "torch_dtype", dtype);
  put_string(&w, "dtype", dtype);
  if (!w.failed) return w.json;
  json_decref(w.json);
  return NULL;
}
