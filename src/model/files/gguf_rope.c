/* The rotary embedding of a model in a GGUF file: keys, and tensors of divisors of its frequencies. */
#include "model/files/gguf_meta.h"

#include <math.h>
#include <stdio.h>

#include "model/files/gguf_rules.h"

bool tpo_gguf_is_rope_tensor(const struct tpo_arch *arch, struct tpo_gguf_string name)
{
  if (!tpo_gguf_rules(arch)->rope_tensors) return false;
  return tpo_gguf_string_is(name, TPO_GGUF_ROPE_FREQS) || tpo_gguf_string_is(name, TPO_GGUF_ROPE_LONG) ||
         tpo_gguf_string_is(name, TPO_GGUF_ROPE_SHORT);
}

/* The numbers of a tensor of divisors, one a pair of rotated features: 1 read, 0 there is none. */
static int read_divisors(const struct tpo_arch *arch, const struct tpo_gguf_meta *meta, const char *name,
                         float out[TPO_ROPE_FACTORS], struct tpo_error *err)
{
  const struct tpo_gguf *gguf = meta->gguf;
  const struct tpo_gguf_tensor *t = tpo_gguf_find_tensor(gguf, name);
  if (!t) return 0;
  int pairs = tpo_rope_rotated(arch) / 2;
  if (pairs < 1 || pairs > TPO_ROPE_FACTORS || t->n_dims != 1 || t->dims[0] != (uint64_t)pairs ||
      t->type != 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: tensor %s is not %d numbers of type F32", gguf->path, name, pairs);
  int code = tpo_gguf_dequantize(t, 0, (uint64_t)pairs, out, err);
  if (code < 0) return tpo_fail_prefix(err, "%s: tensor %s", gguf->path, name);
  for (int i = 0; i < pairs; i++)
    if (!(isfinite(out[i]) && out[i] > 0))
      return tpo_fail(err, TPO_E_INPUT, "%s: tensor %s holds %g at %d, expected a number above 0", gguf->path,
                      name, (double)out[i], i);
  return 1;
}

/* llama.cpp divides by these, whatever the scaling is besides. */
static int refuse_divisors(const struct tpo_gguf_meta *meta, const char *scaling, bool llama3, bool longrope,
                           struct tpo_error *err)
{
  const struct {
    const char *name;
    bool refused;
  } tensors[] = {
      {TPO_GGUF_ROPE_FREQS, llama3}, {TPO_GGUF_ROPE_LONG, longrope}, {TPO_GGUF_ROPE_SHORT, longrope}};
  for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
    if (tensors[i].refused && tpo_gguf_find_tensor(meta->gguf, tensors[i].name))
      return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: rope scaling %s together with tensor %s is not supported",
                      meta->gguf->path, scaling, tensors[i].name);
  return 0;
}

static int read_original(const struct tpo_gguf_meta *meta, int otherwise, int *out, struct tpo_error *err)
{
  int code = tpo_gguf_size(meta, "rope.scaling.original_context_length", otherwise, out, err);
  if (code < 0 || *out > 0) return code;
  return tpo_fail(err, TPO_E_INPUT, "%s: %s is 0, expected at least 1", meta->gguf->path,
                  tpo_gguf_key_of(meta, "rope.scaling.original_context_length").name);
}

int tpo_gguf_guess_llama3(struct tpo_arch *arch, const float *divisors, int original, float *expected)
{
  float plain[TPO_ROPE_FACTORS];
  int half = tpo_rope_rotated(arch) / 2;
  double largest = 1;
  for (int i = 0; i < half; i++) largest = fmax(largest, divisors[i]);
  tpo_rope_frequencies(arch, &arch->rope, false, plain);
  if (largest > 1) {
    arch->rope.kind = TPO_ROPE_LLAMA3;
    arch->rope.factor = tpo_gguf_undo_fp32(largest);
    arch->rope.low_freq = 1;
    arch->rope.high_freq = 4;
    arch->rope.original_context = original;
  }
  tpo_rope_frequencies(arch, &arch->rope, false, expected);
  for (int i = 0; i < half; i++) expected[i] = plain[i] / expected[i];
  for (int i = 0; i < half; i++)
    if (!(fabs(expected[i] - divisors[i]) <= 1e-3 * divisors[i])) return i;
  return -1;
}

static int read_llama3(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  float divisors[TPO_ROPE_FACTORS], expected[TPO_ROPE_FACTORS];
  int original, code = read_divisors(arch, meta, TPO_GGUF_ROPE_FREQS, divisors, err);
  if (code <= 0) return code;
  if ((code = read_original(meta, 8192, &original, err)) < 0) return code;
  int at = tpo_gguf_guess_llama3(arch, divisors, original, expected);
  if (at < 0) return 0;
  return tpo_fail(err, TPO_E_UNSUPPORTED,
                  "%s: tensor " TPO_GGUF_ROPE_FREQS " holds %g at %d, "
                  "where Llama 3 scaling (factor %g, low 1, high 4, original context %d) has %g; "
                  "another scaling is not supported",
                  meta->gguf->path, (double)divisors[at], at,
                  arch->rope.kind == TPO_ROPE_LLAMA3 ? arch->rope.factor : 1, original, (double)expected[at]);
}

static int read_longrope(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  struct tpo_rope *rope = &arch->rope;
  const char *const names[2] = {TPO_GGUF_ROPE_SHORT, TPO_GGUF_ROPE_LONG};
  double *const to[2] = {rope->short_factors, rope->long_factors};
  rope->kind = TPO_ROPE_LONGROPE;
  int code = refuse_divisors(meta, "longrope", true, false, err);
  if (code == 0) code = read_original(meta, arch->context, &rope->original_context, err);
  for (int k = 0; code >= 0 && k < 2; k++) {
    float divisors[TPO_ROPE_FACTORS];
    code = read_divisors(arch, meta, names[k], divisors, err);
    if (code == 0)
      return tpo_fail(err, TPO_E_INPUT, "%s: tensor %s is missing, which longrope needs", meta->gguf->path,
                      names[k]);
    for (int i = 0; code > 0 && i < tpo_rope_rotated(arch) / 2; i++)
      to[k][i] = tpo_gguf_undo_fp32(divisors[i]);
  }
  rope->attention_factor = 1;
  if (code >= 0) code = tpo_gguf_positive(meta, "rope.scaling.attn_factor", &rope->attention_factor, err);
  if (code < 0) return code;
  double derived =
      tpo_rope_longrope_scale((double)arch->context / rope->original_context, rope->original_context);
  if (fabs(rope->attention_factor - derived) <= 1e-6 * derived) rope->attention_factor = derived;
  return 0;
}

/* llama.cpp multiplies cosines and sines by 1 + ln(factor)/10 and by attn_factor. yarn_attn_factor is where a
 * conversion puts the whole of it. */
static int read_yarn(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  struct tpo_rope *rope = &arch->rope;
  double extrapolation = 1, more = 1, whole = 0, multiplier = 0;
  rope->kind = TPO_ROPE_YARN;
  rope->beta_fast = 32;
  rope->beta_slow = 1;
  int code = refuse_divisors(meta, "yarn", true, true, err);
  if (code == 0) code = read_original(meta, arch->context, &rope->original_context, err);
  if (code == 0 && tpo_gguf_positive(meta, "rope.scaling.factor", &rope->factor, err) < 1)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s is no number above 0, which yarn needs", meta->gguf->path,
                    tpo_gguf_key_of(meta, "rope.scaling.factor").name);
  if (code < 0 || tpo_gguf_positive(meta, "rope.scaling.yarn_beta_fast", &rope->beta_fast, err) < 0 ||
      tpo_gguf_positive(meta, "rope.scaling.yarn_beta_slow", &rope->beta_slow, err) < 0 ||
      tpo_gguf_positive(meta, "rope.scaling.attn_factor", &more, err) < 0 ||
      tpo_gguf_positive(meta, "rope.scaling.yarn_attn_factor", &whole, err) < 0 ||
      tpo_gguf_real(meta, "rope.scaling.yarn_ext_factor", &extrapolation, err) < 0 ||
      tpo_gguf_real(meta, "rope.scaling.yarn_log_multiplier", &multiplier, err) < 0)
    return TPO_E_INPUT;
  if (extrapolation != 1 || multiplier != 0)
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "%s: yarn_ext_factor %g and yarn_log_multiplier %g are not supported; expected 1 and 0",
                    meta->gguf->path, extrapolation, multiplier);
  rope->attention_factor = whole > 0 ? whole : more * tpo_rope_yarn_scale(rope->factor, 1);
  return 0;
}

static int read_linear(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, double factor,
                       struct tpo_error *err)
{
  arch->rope.kind = TPO_ROPE_LINEAR;
  arch->rope.factor = factor;
  return refuse_divisors(meta, "linear", true, true, err);
}

/* Windowed layers' own frequencies, which nothing scales. */
static int read_local(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  if (!tpo_gguf_rules(arch)->local_rope) return 0;
  arch->has_local_rope = arch->window > 0;
  arch->local_rope = (struct tpo_rope){.kind = TPO_ROPE_DEFAULT, .theta = 10000};
  int code = tpo_gguf_positive(meta, "rope.freq_base_swa", &arch->local_rope.theta, err);
  return code < 0 ? code : 0;
}

static int read_unscaled(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  bool divided = tpo_gguf_rules(arch)->rope_tensors && !tpo_family(arch)->longrope_alone;
  int code = refuse_divisors(meta, "none", !divided, true, err);
  return code < 0 || !divided ? code : read_llama3(arch, meta, err);
}

/* The scalings that the family has. */
static const char *known_types(const struct tpo_arch *arch)
{
  if (tpo_family(arch)->longrope_alone) return "none or longrope";
  return tpo_gguf_rules(arch)->rope_tensors ? "none, linear, yarn or longrope" : "none, linear or yarn";
}

static int read_scaled(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  const struct tpo_gguf_key key = tpo_gguf_key_of(meta, "rope.scaling.type");
  const bool tensors = tpo_gguf_rules(arch)->rope_tensors, alone = tpo_family(arch)->longrope_alone;
  struct tpo_gguf_string type = {.data = "none", .len = 4};
  double factor = 0;
  if (tpo_gguf_get_string(meta->gguf, key.name, &type, err) < 0 ||
      tpo_gguf_real(meta, "rope.scaling.factor", &factor, err) < 0 ||
      (factor == 0 && tpo_gguf_real(meta, "rope.scale_linear", &factor, err) < 0))
    return TPO_E_INPUT;
  /* Phi 3's files hold the factors without naming the scaling, others linear scaling's factor. */
  bool none = tpo_gguf_string_is(type, "none");
  if (none && tensors &&
      (tpo_gguf_find_tensor(meta->gguf, TPO_GGUF_ROPE_LONG) ||
       tpo_gguf_find_tensor(meta->gguf, TPO_GGUF_ROPE_SHORT)))
    type = (struct tpo_gguf_string){.data = "longrope", .len = 8};
  else if (none && factor != 0 && factor != 1)
    type = (struct tpo_gguf_string){.data = "linear", .len = 6};
  if (tensors && tpo_gguf_string_is(type, "longrope")) return read_longrope(arch, meta, err);
  if (!alone && tpo_gguf_string_is(type, "yarn")) return read_yarn(arch, meta, err);
  if (!alone && tpo_gguf_string_is(type, "linear")) return read_linear(arch, meta, factor, err);
  if (tpo_gguf_string_is(type, "none")) return read_unscaled(arch, meta, err);
  return tpo_fail(err, TPO_E_UNSUPPORTED,
                  "%s: rope scaling \"%.*s\" is not supported in %s models; expected %s", meta->gguf->path,
                  type.len > 60 ? 60 : (int)type.len, type.data, tpo_family(arch)->names[TPO_NAME_PROSE],
                  known_types(arch));
}

int tpo_gguf_read_rope(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err)
{
  arch->rope.theta = 10000;
  int code = tpo_gguf_positive(meta, "rope.freq_base", &arch->rope.theta, err);
  if (code >= 0) code = read_scaled(arch, meta, err);
  return code < 0 ? code : read_local(arch, meta, err);
}
