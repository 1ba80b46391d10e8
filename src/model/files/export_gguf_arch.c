/* The architecture as GGUF's keys and, for some ropes, tensors; the reverse of gguf_arch.c and gguf_rope.c. */
#include "model/files/export_gguf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/files/gguf_meta.h"
#include "model/files/gguf_rules.h"

#define PATTERN "attention.sliding_window_pattern"

static int refuse(const struct tpo_arch *arch, const char *place, const char *what, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: %s models with %s can't be told in GGUF", place,
                  tpo_family(arch)->names[TPO_NAME_PROSE], what);
}

static bool same_layers(const struct tpo_layer_set *a, const struct tpo_layer_set *b)
{
  return memcmp(a, b, sizeof *a) == 0;
}

static bool has_usual_windows(const struct tpo_arch *arch)
{
  const struct tpo_layer_set usual =
      tpo_gguf_periodic(arch->layers, tpo_gguf_rules(arch)->window_period, false);
  return same_layers(&usual, &arch->windowed);
}

static int check_rope(const struct tpo_arch *arch, const char *place, struct tpo_error *err)
{
  const struct tpo_gguf_rules *rules = tpo_gguf_rules(arch);
  const struct tpo_rope *rope = &arch->rope;
  struct tpo_layer_set unrotated = {0};
  if (rules->unrotated_period > 0) unrotated = tpo_gguf_periodic(arch->layers, rules->unrotated_period, true);
  if (!same_layers(&unrotated, &arch->unrotated))
    return refuse(arch, place, "these layers without rotary embedding", err);
  if (arch->rotated > 0 && arch->rotated != arch->head_dim && !rules->partial)
    return refuse(arch, place, "a partial rotary embedding", err);
  if (rope->kind == TPO_ROPE_LLAMA3 &&
      (!rules->rope_tensors || tpo_rope_rotated(arch) / 2 > TPO_ROPE_FACTORS))
    return refuse(arch, place, "rope type llama3", err);
  if (rope->kind == TPO_ROPE_LONGROPE && !rules->rope_tensors)
    return refuse(arch, place, "rope type longrope", err);
  if (rope->kind == TPO_ROPE_YARN && rope->untruncated)
    return refuse(arch, place, "yarn without truncation", err);
  if (rope->kind == TPO_ROPE_YARN && arch->has_local_rope)
    return refuse(arch, place, "yarn and a local rotary embedding", err);
  if (arch->has_local_rope && (!rules->local_rope || arch->local_rope.kind != TPO_ROPE_DEFAULT))
    return refuse(arch, place, "such a local rotary embedding", err);
  return 0;
}

static int check_scales(const struct tpo_arch *arch, const char *place, struct tpo_error *err)
{
  const struct tpo_gguf_rules *rules = tpo_gguf_rules(arch);
  bool root = arch->embedding_scale > 0 && fabs(arch->embedding_scale / sqrt(arch->hidden) - 1) < 1e-2;
  if ((arch->attention_softcap > 0) != (rules->attention_softcap > 0))
    return refuse(arch, place,
                  arch->attention_softcap > 0 ? "a soft cap of attention" : "no soft cap of attention", err);
  if (arch->final_softcap > 0 && !rules->final_softcap_key)
    return refuse(arch, place, "a soft cap of logits", err);
  if (arch->final_softcap == 0 && rules->final_softcap > 0)
    return refuse(arch, place, "no soft cap of logits", err);
  if (rules->multipliers) return 0;
  if (rules->embeds_by_root ? !root : arch->embedding_scale > 0)
    return refuse(arch, place, "such a multiplier of embeddings", err);
  if (arch->residual_scale > 0) return refuse(arch, place, "a multiplier of residuals", err);
  if (arch->logits_scale > 0) return refuse(arch, place, "a divisor of logits", err);
  return 0;
}

int tpo_gguf_check_expressible(const struct tpo_arch *arch, const char *place, struct tpo_error *err)
{
  const struct tpo_gguf_rules *rules = tpo_gguf_rules(arch);
  if (arch->window > 0 && rules->windows == TPO_GGUF_NO_WINDOW) return refuse(arch, place, "a window", err);
  if (rules->square && arch->heads * arch->head_dim != arch->hidden)
    return refuse(arch, place, "heads that don't make up the hidden size", err);
  if (rules->must_tie && !arch->tied) return refuse(arch, place, "an LM head of its own", err);
  if (rules->must_not_tie && arch->tied) return refuse(arch, place, "its embedding as LM head", err);
  int code = check_rope(arch, place, err);
  return code < 0 ? code : check_scales(arch, place, err);
}

static void warn_of_windows(const struct tpo_arch *arch, const char *place)
{
  const struct tpo_gguf_rules *rules = tpo_gguf_rules(arch);
  const char *family = tpo_family(arch)->names[TPO_NAME_PROSE];
  if (arch->window == 0) return;
  if (rules->windows == TPO_GGUF_WINDOW_IGNORED)
    tpo_log(
        TPO_LOG_WARN,
        "%s: llama.cpp doesn't obey the window of %s models: what it computes is the model up to %d tokens, and "
        "another beyond",
        place, family, arch->window);
  else if (!has_usual_windows(arch))
    tpo_log(TPO_LOG_WARN,
            "%s: releases of llama.cpp that don't read %s models' key " PATTERN
            " let one layer in %d see everything, which is another model",
            place, family, rules->window_period);
}

/* llama.cpp reads the divisors; the settings that made them are not in the file. */
static void warn_of_llama3(const struct tpo_arch *arch, const char *place)
{
  struct tpo_gguf_divisors divisors;
  struct tpo_arch guessed = *arch;
  float expected[TPO_ROPE_FACTORS];
  guessed.rope = (struct tpo_rope){.kind = TPO_ROPE_DEFAULT, .theta = arch->rope.theta};
  tpo_gguf_rope_divisors(arch, &divisors);
  if (tpo_gguf_guess_llama3(&guessed, divisors.values[0], arch->rope.original_context, expected) < 0) return;
  tpo_log(
      TPO_LOG_WARN,
      "%s: llama.cpp computes rope type llama3 of any settings, but tpo won't open the file: of such files "
      "it knows those with Llama 3's own, low 1 and high 4, not factor %g, low %g and high %g",
      place, arch->rope.factor, arch->rope.low_freq, arch->rope.high_freq);
}

void tpo_gguf_warn(const struct tpo_arch *arch, const char *place)
{
  warn_of_windows(arch, place);
  if (arch->rope.kind == TPO_ROPE_LLAMA3) warn_of_llama3(arch, place);
  if (arch->rope.kind == TPO_ROPE_LONGROPE)
    tpo_log(
        TPO_LOG_WARN,
        "%s: llama.cpp chooses longrope's factors by the size of its context: those for short sequences up to "
        "%d tokens of context, those for long ones beyond, whatever a sequence's own length",
        place, arch->rope.original_context);
}

double tpo_gguf_query_factor(const struct tpo_arch *arch)
{
  if (tpo_gguf_rules(arch)->multipliers) return 1; /* there is a key */
  double scale = arch->attention_scale > 0 ? arch->attention_scale : 1 / sqrt(arch->head_dim);
  double factor = scale / tpo_gguf_attention_scale(arch);
  return fabs(factor - 1) < 1e-6 ? 1 : factor;
}

struct target {
  struct tpo_gguf_writer *w;
  const char *architecture;
};

struct key {
  char name[96];
};

static struct key key_of(const struct target *to, const char *name)
{
  struct key key;
  snprintf(key.name, sizeof key.name, "%s.%s", to->architecture, name);
  return key;
}

static void put_size(const struct target *to, const char *name, int value)
{
  tpo_gguf_put_u32(to->w, key_of(to, name).name, (uint32_t)value);
}

static void put_real(const struct target *to, const char *name, double value)
{
  tpo_gguf_put_f32(to->w, key_of(to, name).name, value);
}

static void put_type(const struct target *to, const char *type)
{
  tpo_gguf_put_string(to->w, key_of(to, "rope.scaling.type").name, type, strlen(type));
}

/* llama.cpp's own factor of yarn's cosines and sines is 1 + ln(factor)/10; attn_factor is what remains. */
static void put_yarn(const struct target *to, const struct tpo_rope *rope)
{
  double whole = rope->attention_factor > 0 ? rope->attention_factor : 1;
  double rest = whole / tpo_rope_yarn_scale(rope->factor, 1);
  put_type(to, "yarn");
  put_real(to, "rope.scaling.factor", rope->factor);
  put_size(to, "rope.scaling.original_context_length", rope->original_context);
  if (fabs(rest - 1) > 1e-6) put_real(to, "rope.scaling.attn_factor", rest);
  put_real(to, "rope.scaling.yarn_beta_fast", rope->beta_fast);
  put_real(to, "rope.scaling.yarn_beta_slow", rope->beta_slow);
}

static void put_rope(const struct target *to, const struct tpo_arch *arch)
{
  const struct tpo_rope *rope = &arch->rope;
  put_size(to, "rope.dimension_count", tpo_rope_rotated(arch));
  put_real(to, "rope.freq_base", rope->theta);
  if (arch->has_local_rope) put_real(to, "rope.freq_base_swa", arch->local_rope.theta);
  switch (rope->kind) {
  case TPO_ROPE_LINEAR:
    put_type(to, "linear");
    put_real(to, "rope.scaling.factor", rope->factor);
    break;
  case TPO_ROPE_YARN: put_yarn(to, rope); break;
  case TPO_ROPE_LONGROPE:
    put_type(to, "longrope");
    put_size(to, "rope.scaling.original_context_length", rope->original_context);
    put_real(to, "rope.scaling.attn_factor", rope->attention_factor > 0 ? rope->attention_factor : 1);
    break;
  case TPO_ROPE_LLAMA3: put_size(to, "rope.scaling.original_context_length", rope->original_context); break;
  default: break;
  }
}

/* The number of layers of which the last has no window, again and again; 0: all have one; -1: there is none. */
static int period_of_windows(const struct tpo_arch *arch)
{
  int l = 0;
  while (l < arch->layers && tpo_layer_in(&arch->windowed, l)) l++;
  int period = l < arch->layers ? l + 1 : 0;
  const struct tpo_layer_set periodic = tpo_gguf_periodic(arch->layers, period, false);
  return same_layers(&periodic, &arch->windowed) ? period : -1;
}

static void put_windows(const struct target *to, const struct tpo_arch *arch)
{
  const struct tpo_gguf_rules *rules = tpo_gguf_rules(arch);
  if (rules->windows == TPO_GGUF_NO_WINDOW || (arch->window == 0 && rules->window == 0)) return;
  /* A model whose architecture has a window anyway, and which has none: one that nothing exceeds. */
  put_size(to, "attention.sliding_window", arch->window > 0 ? arch->window : arch->context);
  if (arch->window == 0 || has_usual_windows(arch)) return;
  /* More releases of llama.cpp read a number than an item for each layer. */
  int period = period_of_windows(arch);
  if (period >= 0) {
    put_size(to, PATTERN, period);
    return;
  }
  tpo_gguf_put_array(to->w, key_of(to, PATTERN).name, TPO_GGUF_BOOL, (uint64_t)arch->layers);
  for (int l = 0; l < arch->layers; l++) {
    uint8_t windowed = tpo_layer_in(&arch->windowed, l);
    tpo_gguf_add_item(to->w, &windowed, 1);
  }
}

static void put_scales(const struct target *to, const struct tpo_arch *arch)
{
  const struct tpo_gguf_rules *rules = tpo_gguf_rules(arch);
  if (arch->attention_softcap > 0) put_real(to, "attn_logit_softcapping", arch->attention_softcap);
  if (arch->final_softcap > 0) put_real(to, "final_logit_softcapping", arch->final_softcap);
  if (!rules->multipliers) return;
  put_real(to, "logit_scale", arch->logits_scale > 0 ? arch->logits_scale : 1);
  if (arch->residual_scale > 0) put_real(to, "residual_scale", arch->residual_scale);
  if (arch->embedding_scale > 0) put_real(to, "embedding_scale", arch->embedding_scale);
  if (arch->attention_scale > 0) put_real(to, "attention.scale", arch->attention_scale);
}

void tpo_gguf_put_arch(const struct tpo_arch *arch, struct tpo_gguf_writer *w)
{
  const struct target to = {w, tpo_family(arch)->names[TPO_NAME_GGUF]};
  put_size(&to, "vocab_size", arch->vocab_size);
  put_size(&to, "context_length", arch->context);
  put_size(&to, "embedding_length", arch->hidden);
  put_size(&to, "block_count", arch->layers);
  put_size(&to, "feed_forward_length", arch->ffn);
  put_size(&to, "attention.head_count", arch->heads);
  put_size(&to, "attention.head_count_kv", arch->kv_heads);
  put_size(&to, "attention.key_length", arch->head_dim);
  put_size(&to, "attention.value_length", arch->head_dim);
  put_real(&to, "attention.layer_norm_rms_epsilon", arch->rms_eps);
  put_rope(&to, arch);
  put_windows(&to, arch);
  put_scales(&to, arch);
}

/* Frequencies are fp32, whose quotient may miss what it should be by as much. */
static float divisor_of(float unscaled, float scaled, double factor)
{
  double quotient = (double)unscaled / scaled;
  if (fabs(quotient - 1) < 1e-6) return 1;
  return (float)(fabs(quotient / factor - 1) < 1e-6 ? factor : quotient);
}

void tpo_gguf_rope_divisors(const struct tpo_arch *arch, struct tpo_gguf_divisors *out)
{
  const struct tpo_rope *rope = &arch->rope;
  int pairs = tpo_rope_rotated(arch) / 2;
  out->names[0] = out->names[1] = NULL;
  if (rope->kind == TPO_ROPE_LONGROPE) {
    out->names[0] = TPO_GGUF_ROPE_LONG;
    out->names[1] = TPO_GGUF_ROPE_SHORT;
    for (int i = 0; i < pairs; i++) {
      out->values[0][i] = (float)rope->long_factors[i];
      out->values[1][i] = (float)rope->short_factors[i];
    }
  }
  if (rope->kind != TPO_ROPE_LLAMA3) return;
  const struct tpo_rope plain = {.kind = TPO_ROPE_DEFAULT, .theta = rope->theta};
  float unscaled[TPO_ROPE_FACTORS], scaled[TPO_ROPE_FACTORS];
  tpo_rope_frequencies(arch, &plain, false, unscaled);
  tpo_rope_frequencies(arch, rope, false, scaled);
  out->names[0] = TPO_GGUF_ROPE_FREQS;
  for (int i = 0; i < pairs; i++) out->values[0][i] = divisor_of(unscaled[i], scaled[i], rope->factor);
}
