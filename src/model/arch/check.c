/* Whether an architecture's numbers agree with each other and stay within what the program's integers hold. */
#include "model/arch/arch.h"

#include <math.h>
#include <string.h>

#define MAX_DIM                                                                                              \
  (1 << 20) /* most features of a layer: products of two stay within 64 bits, rows within an int */
#define MAX_HEAD_DIM 1024

int tpo_arch_check_range(const char *what, int value, int min, int max, const char *place,
                         struct tpo_error *err)
{
  if (value >= min && value <= max) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s: %s is %d, expected %d to %d", place, what, value, min, max);
}

/* Computing is in fp32, where a factor must be one still, and so must what divides by it. */
static int check_factor(const char *what, double value, const char *place, struct tpo_error *err)
{
  float computed = (float)value;
  if (computed > 0 && isfinite(computed) && isfinite(1 / computed)) return 0;
  return tpo_fail(err, TPO_E_INPUT,
                  "%s: %s is %g, expected a positive number that fp32 holds, and its inverse too", place,
                  what, value);
}

static int check_llama3(const struct tpo_rope *rope, const char *place, struct tpo_error *err)
{
  if (rope->low_freq > 0 && rope->high_freq > rope->low_freq && isfinite(rope->high_freq)) return 0;
  return tpo_fail(err, TPO_E_INPUT,
                  "%s: rope frequency factors are low %g and high %g, expected 0 < low < high", place,
                  rope->low_freq, rope->high_freq);
}

static int check_yarn(const struct tpo_rope *rope, const char *place, struct tpo_error *err)
{
  if (!(rope->theta > 1))
    return tpo_fail(err, TPO_E_INPUT, "%s: rope theta is %g, expected more than 1 with rope type yarn", place,
                    rope->theta);
  if (!(rope->beta_slow > 0) || !(rope->beta_fast >= rope->beta_slow) || !isfinite(rope->beta_fast))
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: yarn's beta_fast is %g and beta_slow %g, expected 0 < beta_slow <= beta_fast", place,
                    rope->beta_fast, rope->beta_slow);
  return check_factor("rope attention factor", rope->attention_factor, place, err);
}

static int check_longrope(const struct tpo_arch *arch, const struct tpo_rope *rope, const char *place,
                          struct tpo_error *err)
{
  int n = tpo_rope_rotated(arch) / 2;
  if (n > TPO_ROPE_FACTORS)
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "%s: longrope over %d pairs of features is not supported; expected at most %d", place, n,
                    TPO_ROPE_FACTORS);
  int code = check_factor("rope attention factor", rope->attention_factor, place, err);
  for (int i = 0; code == 0 && i < n; i++) {
    code = check_factor("a short factor of longrope", rope->short_factors[i], place, err);
    if (code == 0) code = check_factor("a long factor of longrope", rope->long_factors[i], place, err);
  }
  return code;
}

static int check_rope(const struct tpo_arch *arch, const struct tpo_rope *rope, const char *place,
                      struct tpo_error *err)
{
  int code = check_factor("rope theta", rope->theta, place, err);
  if (code < 0 || rope->kind == TPO_ROPE_DEFAULT) return code;
  if (rope->kind != TPO_ROPE_LONGROPE) {
    if (!(rope->factor >= 1))
      return tpo_fail(err, TPO_E_INPUT, "%s: rope scaling factor is %g, expected at least 1", place,
                      rope->factor);
    code = check_factor("rope scaling factor", rope->factor, place, err);
  }
  if (code < 0 || rope->kind == TPO_ROPE_LINEAR || rope->kind == TPO_ROPE_DYNAMIC) return code;
  code = rope->kind == TPO_ROPE_LLAMA3 ? check_llama3(rope, place, err)
         : rope->kind == TPO_ROPE_YARN ? check_yarn(rope, place, err)
                                       : check_longrope(arch, rope, place, err);
  if (code < 0) return code;
  return tpo_arch_check_range("rope's original context", rope->original_context, 1, 1 << 24, place, err);
}

/* Numbers that are sound one by one may turn a position by an angle that fp32 doesn't hold, or by none. */
static int check_angles(const struct tpo_arch *arch, const struct tpo_rope *rope, const char *place,
                        struct tpo_error *err)
{
  float frequencies[MAX_HEAD_DIM / 2];
  int n = tpo_rope_rotated(arch) / 2, sets = rope->kind == TPO_ROPE_LONGROPE ? 2 : 1;
  for (int longer = 0; longer < sets; longer++) {
    tpo_rope_frequencies(arch, rope, longer, frequencies);
    for (int i = 0; i < n; i++)
      if (!(frequencies[i] > 0) || !isfinite((float)arch->context * frequencies[i]))
        return tpo_fail(err, TPO_E_INPUT,
                        "%s: by its rope theta of %g and the factors beside it, pair %d of features turns by "
                        "%g a position; expected angles that fp32 holds, over a context of %d",
                        place, rope->theta, i, frequencies[i], arch->context);
  }
  return 0;
}

static int check_ropes(const struct tpo_arch *arch, const char *place, struct tpo_error *err)
{
  int code = check_rope(arch, &arch->rope, place, err);
  if (code == 0) code = check_angles(arch, &arch->rope, place, err);
  if (code < 0 || !arch->has_local_rope) return code;
  if (arch->rope.kind == TPO_ROPE_LONGROPE || arch->local_rope.kind != TPO_ROPE_DEFAULT)
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "%s: windowed layers with a rotary embedding of their own are supported with rope type "
                    "default in those, and any but longrope in the others",
                    place);
  code = check_rope(arch, &arch->local_rope, place, err);
  return code < 0 ? code : check_angles(arch, &arch->local_rope, place, err);
}

static int count_layers(const struct tpo_layer_set *set, int from, int to)
{
  int n = 0;
  for (int i = from; i < to; i++) n += tpo_layer_in(set, i);
  return n;
}

static int check_layers(const struct tpo_arch *arch, const char *place, struct tpo_error *err)
{
  int windowed = count_layers(&arch->windowed, 0, arch->layers);
  if (count_layers(&arch->windowed, arch->layers, TPO_MOST_LAYERS) > 0 ||
      count_layers(&arch->unrotated, arch->layers, TPO_MOST_LAYERS) > 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: of %d layers, one beyond the last has a kind", place,
                    arch->layers);
  if (windowed > 0)
    return tpo_arch_check_range("the layers' window", arch->window, 1, arch->context, place, err);
  if (arch->window == 0 && !arch->has_local_rope) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s: a window of %d tokens, and no layer that has it", place,
                  arch->window);
}

/* 0: there is none. */
static int check_scales(const struct tpo_arch *arch, const char *place, struct tpo_error *err)
{
  const struct {
    const char *what;
    double value;
  } scales[] = {
      {"attention scale", arch->attention_scale},    {"soft cap of attention", arch->attention_softcap},
      {"soft cap of logits", arch->final_softcap},   {"embedding multiplier", arch->embedding_scale},
      {"residual multiplier", arch->residual_scale}, {"logits scaling", arch->logits_scale},
  };
  for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
    int code = scales[i].value == 0 ? 0 : check_factor(scales[i].what, scales[i].value, place, err);
    if (code < 0) return code;
  }
  return 0;
}

static int check_heads(const struct tpo_arch *arch, const char *place, struct tpo_error *err)
{
  if (arch->heads % arch->kv_heads != 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: %d attention heads cannot be shared out over %d kv heads", place,
                    arch->heads, arch->kv_heads);
  if (arch->head_dim % 2 != 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: head dimension is %d, expected an even number (rotary embedding)",
                    place, arch->head_dim);
  if (arch->rotated < 0 || arch->rotated > arch->head_dim || arch->rotated % 2 != 0)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: %d features of a head are rotated, expected an even number up to its %d", place,
                    arch->rotated, arch->head_dim);
  if ((int64_t)(arch->heads + 2 * arch->kv_heads) * arch->head_dim > MAX_DIM)
    return tpo_fail(err, TPO_E_INPUT, "%s: %d + 2 x %d heads of %d features are more than %d", place,
                    arch->heads, arch->kv_heads, arch->head_dim, MAX_DIM);
  return 0;
}

int tpo_arch_check(const struct tpo_arch *arch, const char *place, struct tpo_error *err)
{
  const struct {
    const char *what;
    int value, max;
  } sizes[] = {
      {"vocabulary size", arch->vocab_size, 1 << 24},      {"hidden size", arch->hidden, MAX_DIM},
      {"number of layers", arch->layers, TPO_MOST_LAYERS}, {"number of attention heads", arch->heads, 4096},
      {"number of kv heads", arch->kv_heads, 4096},        {"head dimension", arch->head_dim, MAX_HEAD_DIM},
      {"intermediate size", arch->ffn, MAX_DIM / 2},       {"context length", arch->context, 1 << 24},
  };
  int code = 0;
  for (size_t i = 0; code == 0 && i < sizeof sizes / sizeof *sizes; i++)
    code = tpo_arch_check_range(sizes[i].what, sizes[i].value, 1, sizes[i].max, place, err);
  if (code == 0) code = check_heads(arch, place, err);
  if (code == 0 && (!((float)arch->rms_eps > 0) || !(arch->rms_eps < 1)))
    code = tpo_fail(err, TPO_E_INPUT,
                    "%s: RMSNorm epsilon is %g, expected between 0 and 1, and above 0 in fp32 too", place,
                    arch->rms_eps);
  if (code == 0) code = check_ropes(arch, place, err);
  if (code == 0) code = check_layers(arch, place, err);
  return code < 0 ? code : check_scales(arch, place, err);
}

/* 1 / sqrt(head_dim) is what a model without a scale of its own has. */
static bool is_usual_scale(const struct tpo_arch *arch)
{
  return fabs(arch->attention_scale * sqrt(arch->head_dim) - 1) < 1e-6;
}

void tpo_arch_settle(struct tpo_arch *arch)
{
  /* Windows that see everything are none, but for the rotary embedding that their layers may have. */
  if (arch->window > arch->context) arch->window = arch->context;
  if (arch->window == arch->context && !arch->has_local_rope)
    memset(&arch->windowed, 0, sizeof arch->windowed);
  if (count_layers(&arch->windowed, 0, TPO_MOST_LAYERS) == 0) {
    arch->window = 0;
    arch->has_local_rope = false;
    memset(&arch->local_rope, 0, sizeof arch->local_rope);
  }
  if (arch->rotated == arch->head_dim) arch->rotated = 0;
  if (is_usual_scale(arch)) arch->attention_scale = 0;
  if (arch->embedding_scale == 1) arch->embedding_scale = 0;
  if (arch->residual_scale == 1) arch->residual_scale = 0;
  if (arch->logits_scale == 1) arch->logits_scale = 0;
}
