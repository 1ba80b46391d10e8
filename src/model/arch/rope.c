/* The rotary embedding in config.json: "rope_theta" and "rope_scaling", or "rope_parameters" that holds both,
 * for all layers or for those of each kind. */
#include "model/arch/arch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* What one object tells. */
struct told {
  const char *key;      /* under which it stands in config.json; NULL: beside the other settings */
  struct tpo_rope rope; /* but theta */
  double theta;         /* NAN: not said */
  double rotated;       /* the part of a head that is rotated; NAN: not said */
};

/* Zeroes between the fields too: ropes are compared as memory. */
static void begin(struct told *told, const char *key)
{
  memset(told, 0, sizeof *told);
  told->key = key;
  told->theta = told->rotated = NAN;
}

struct reader {
  const struct tpo_arch *arch;
  const json_t *config, *object;
  const char *place;
  struct tpo_error *err;
  struct told *told;
  const char *type;
};

static int fail_kind(const struct reader *r)
{
  return tpo_fail(r->err, TPO_E_UNSUPPORTED, "%s: \"%s\": rope type \"%.60s\" is not supported; expected %s",
                  r->place, r->told->key, r->type,
                  tpo_family(r->arch)->longrope_alone ? "default or longrope"
                                                      : "default, linear, llama3, yarn, longrope or dynamic");
}

/* Where longrope is the only scaling, "su" and "yarn" are older words for it. */
static const char *newest_word(const struct reader *r, const char *type)
{
  bool old = type && (strcmp(type, "su") == 0 || strcmp(type, "yarn") == 0);
  return old && tpo_family(r->arch)->longrope_alone ? "longrope" : type;
}

/* "type" is the older word for "rope_type". */
static int read_kind(struct reader *r)
{
  static const char *const kinds[] = {
      [TPO_ROPE_DEFAULT] = "default", [TPO_ROPE_LINEAR] = "linear",     [TPO_ROPE_LLAMA3] = "llama3",
      [TPO_ROPE_YARN] = "yarn",       [TPO_ROPE_LONGROPE] = "longrope", [TPO_ROPE_DYNAMIC] = "dynamic"};
  const char *old_type = NULL;
  if (tpo_json_get_string(r->object, "rope_type", &r->type, r->place, r->err) < 0 ||
      tpo_json_get_string(r->object, "type", &old_type, r->place, r->err) < 0)
    return TPO_E_INPUT;
  r->type = newest_word(r, r->type);
  old_type = newest_word(r, old_type);
  if (r->type && old_type && strcmp(r->type, old_type) != 0)
    return tpo_fail(r->err, TPO_E_INPUT, "%s: \"%s\": \"rope_type\" is \"%.60s\", but \"type\" is \"%.60s\"",
                    r->place, r->told->key, r->type, old_type);
  if (!r->type) r->type = old_type ? old_type : "default";
  bool alone = tpo_family(r->arch)->longrope_alone;
  for (int kind = 0; kind < (int)(sizeof kinds / sizeof *kinds); kind++)
    if (strcmp(r->type, kinds[kind]) == 0) {
      r->told->rope.kind = (enum tpo_rope_kind)kind;
      if (alone && kind != TPO_ROPE_DEFAULT && kind != TPO_ROPE_LONGROPE) return fail_kind(r);
      return 0;
    }
  return fail_kind(r);
}

static int lacks(const struct reader *r, const char *what, const char *key)
{
  return tpo_fail(r->err, TPO_E_INPUT, "%s: \"%s\" of rope type %s lacks the %s \"%s\"", r->place,
                  r->told->key, r->type, what, key);
}

static int read_number(const struct reader *r, const char *key, double *out)
{
  if (!json_is_number(json_object_get(r->object, key))) return lacks(r, "number", key);
  return tpo_json_get_double(r->object, key, out, r->place, r->err);
}

static int read_optional(const struct reader *r, const char *key, double *out)
{
  return tpo_json_get_double(r->object, key, out, r->place, r->err);
}

/* In the object or beside it; `otherwise` where it is in neither, 0: it must be there. */
static int read_original(const struct reader *r, int otherwise)
{
  static const char key[] = "original_max_position_embeddings";
  int64_t inner = 0, outer = 0;
  if (tpo_json_get_int(r->object, key, 1, 1 << 24, &inner, r->place, r->err) < 0 ||
      tpo_json_get_int(r->config, key, 1, 1 << 24, &outer, r->place, r->err) < 0)
    return TPO_E_INPUT;
  if (inner && outer && inner != outer)
    return tpo_fail(r->err, TPO_E_INPUT, "%s: \"%s\" is %lld in \"%s\", but %lld beside it", r->place, key,
                    (long long)inner, r->told->key, (long long)outer);
  if (!inner && !outer && !otherwise) return lacks(r, "number", key);
  r->told->rope.original_context = (int)(inner ? inner : outer ? outer : otherwise);
  return 0;
}

/* The factor that is written, or the one that the contexts have between them. */
static int read_factor(const struct reader *r, double *factor)
{
  *factor = (double)r->arch->context / r->told->rope.original_context;
  return read_optional(r, "factor", factor);
}

/* What cosines and sines are multiplied by: what is written, or `otherwise`. */
static int read_attention_factor(const struct reader *r, double otherwise)
{
  double factor = otherwise;
  int code = read_optional(r, "attention_factor", &factor);
  if (code == 0 && !(factor > 0))
    code =
        tpo_fail(r->err, TPO_E_INPUT, "%s: \"attention_factor\" of \"%s\" is %g, expected a positive number",
                 r->place, r->told->key, factor);
  r->told->rope.attention_factor = factor;
  return code;
}

static int read_yarn(const struct reader *r)
{
  struct tpo_rope *rope = &r->told->rope;
  double above = 0, below = 0;
  bool truncated = true;
  int code = read_original(r, r->arch->context);
  if (code == 0) code = read_factor(r, &rope->factor);
  if (code == 0) code = read_optional(r, "beta_fast", &rope->beta_fast);
  if (code == 0) code = read_optional(r, "beta_slow", &rope->beta_slow);
  if (code == 0) code = read_optional(r, "mscale", &above);
  if (code == 0) code = read_optional(r, "mscale_all_dim", &below);
  if (code == 0) code = tpo_json_get_bool(r->object, "truncate", &truncated, r->place, r->err);
  if (rope->beta_fast == 0) rope->beta_fast = 32;
  if (rope->beta_slow == 0) rope->beta_slow = 1;
  rope->untruncated = !truncated;
  double scale = tpo_rope_yarn_scale(rope->factor, 1);
  if (above != 0 && below != 0)
    scale = tpo_rope_yarn_scale(rope->factor, above) / tpo_rope_yarn_scale(rope->factor, below);
  return code < 0 ? code : read_attention_factor(r, scale);
}

static int read_list(const struct reader *r, const char *key, double out[TPO_ROPE_FACTORS])
{
  const json_t *list = json_object_get(r->object, key);
  double part = isnan(r->told->rotated) ? 1 : r->told->rotated;
  int rotated = (int)(r->arch->head_dim * part), n = rotated / 2;
  if (!json_is_array(list)) return lacks(r, "list of numbers", key);
  if (n > TPO_ROPE_FACTORS || json_array_size(list) != (size_t)n)
    return tpo_fail(r->err, TPO_E_INPUT,
                    "%s: \"%s\" of \"%s\" has %zu numbers; expected %d (half of the %d rotated features of a "
                    "head), at most %d",
                    r->place, key, r->told->key, json_array_size(list), n, rotated, TPO_ROPE_FACTORS);
  for (int i = 0; i < n; i++) {
    const json_t *value = json_array_get(list, (size_t)i);
    out[i] = json_number_value(value);
    if (!json_is_number(value) || !(out[i] > 0))
      return tpo_fail(r->err, TPO_E_INPUT, "%s: \"%s\"[%d] of \"%s\" must be a positive number", r->place,
                      key, i, r->told->key);
  }
  return 0;
}

static int check_part(const struct tpo_arch *arch, double part, const char *place, struct tpo_error *err)
{
  int rotated = part > 0 && part <= 1 ? (int)(arch->head_dim * part) : 0;
  if (rotated >= 2 && rotated % 2 == 0) return 0;
  return tpo_fail(
      err, TPO_E_INPUT,
      "%s: \"partial_rotary_factor\" is %g, expected more than 0 and at most 1, and of a head's %d "
      "features an even number; it makes %d",
      place, part, arch->head_dim, rotated);
}

static int read_longrope(const struct reader *r)
{
  struct tpo_rope *rope = &r->told->rope;
  double factor;
  int code = isnan(r->told->rotated) ? 0 : check_part(r->arch, r->told->rotated, r->place, r->err);
  if (code == 0) code = read_list(r, "short_factor", rope->short_factors);
  if (code == 0) code = read_list(r, "long_factor", rope->long_factors);
  if (code == 0) code = read_original(r, r->arch->context);
  if (code == 0) code = read_factor(r, &factor);
  return code < 0 ? code : read_attention_factor(r, tpo_rope_longrope_scale(factor, rope->original_context));
}

/* The numbers that the kind needs, and no others. */
static int read_numbers(const struct reader *r)
{
  struct tpo_rope *rope = &r->told->rope;
  switch (rope->kind) {
  case TPO_ROPE_DEFAULT: return 0;
  case TPO_ROPE_LINEAR:
  case TPO_ROPE_DYNAMIC: return read_number(r, "factor", &rope->factor);
  case TPO_ROPE_YARN: return read_yarn(r);
  case TPO_ROPE_LONGROPE: return read_longrope(r);
  case TPO_ROPE_LLAMA3: break;
  }
  int code = read_number(r, "factor", &rope->factor);
  if (code == 0) code = read_number(r, "low_freq_factor", &rope->low_freq);
  if (code == 0) code = read_number(r, "high_freq_factor", &rope->high_freq);
  return code < 0 ? code : read_original(r, 0);
}

/* {"rope_type": ..., "factor": ..., "rope_theta": ...} */
static int read_object(struct told *told, const struct tpo_arch *arch, const json_t *config,
                       const json_t *object, const char *place, struct tpo_error *err)
{
  struct reader r = {
      .arch = arch, .config = config, .object = object, .place = place, .err = err, .told = told};
  static const char part[] = "partial_rotary_factor";
  const json_t *rotated = json_object_get(object, part);
  if (!json_is_object(object))
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" must be an object or null", place, told->key);
  if (json_is_object(json_object_get(object, "full_attention")))
    return tpo_arch_unsupported(place, told->key, object, "one set of parameters for all layers", err);
  if (!(tpo_family(arch)->keys & TPO_KEYS_PARTIAL_ROTARY) && rotated && !json_is_null(rotated) &&
      json_number_value(rotated) != 1)
    return tpo_arch_unsupported(place, told->key, object, "partial_rotary_factor to be absent or 1", err);
  if (read_optional(&r, "rope_theta", &told->theta) < 0 || read_optional(&r, part, &told->rotated) < 0)
    return TPO_E_INPUT;
  if (isnan(told->rotated) && tpo_json_get_double(config, part, &told->rotated, place, err) < 0)
    return TPO_E_INPUT;
  int code = read_kind(&r);
  return code < 0 ? code : read_numbers(&r);
}

/* Two places that tell one number must tell the same. */
static int differing(const char *key, double a, const char *a_in, double b, const char *b_in,
                     const char *place, struct tpo_error *err)
{
  if (isnan(a) || isnan(b) || a == b) return 0;
  char where[40] = "";
  if (a_in) snprintf(where, sizeof where, " in \"%s\"", a_in);
  return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" is %g%s, but %g in \"%s\"", place, key, a, where, b, b_in);
}

/* Both dialects beside each other must say the same. */
static int compare(const struct told *a, const struct told *b, const json_t *config, const char *place,
                   struct tpo_error *err)
{
  if (memcmp(&a->rope, &b->rope, sizeof a->rope) == 0)
    return differing("rope_theta", a->theta, a->key, b->theta, b->key, place, err);
  char *texts[2] = {tpo_json_dump(json_object_get(config, a->key)),
                    tpo_json_dump(json_object_get(config, b->key))};
  int code = tpo_fail(err, TPO_E_INPUT,
                      "%s: \"%s\" is %.200s, but \"%s\" is %.200s; expected them to agree, or one of them",
                      place, a->key, texts[0] ? texts[0] : "?", b->key, texts[1] ? texts[1] : "?");
  free(texts[0]);
  free(texts[1]);
  return code;
}

/* Windowed layers' own: its theta alone. `object`: NULL where "rope_parameters" doesn't tell. */
static int read_local(struct tpo_arch *arch, const json_t *config, const json_t *object, const char *place,
                      struct tpo_error *err)
{
  double theta = NAN;
  struct told told;
  begin(&told, "sliding_attention");
  int code = tpo_json_get_double(config, "rope_local_base_freq", &theta, place, err);
  if (code == 0 && object && !json_is_null(object))
    code = read_object(&told, arch, config, object, place, err);
  if (code == 0 && told.rope.kind != TPO_ROPE_DEFAULT)
    code = tpo_arch_unsupported(place, told.key, object, "rope type default in windowed layers", err);
  if (code == 0) code = differing("rope_local_base_freq", theta, NULL, told.theta, told.key, place, err);
  arch->has_local_rope = true;
  arch->local_rope.theta = !isnan(theta)        ? theta
                           : !isnan(told.theta) ? told.theta
                                                : tpo_family(arch)->local_rope_theta;
  return code;
}

/* The part of a head that is rotated, by which of the places tells it. */
static int set_rotated(struct tpo_arch *arch, const json_t *config, const struct told *found, int n,
                       const char *place, struct tpo_error *err)
{
  double part = NAN;
  int code = tpo_json_get_double(config, "partial_rotary_factor", &part, place, err);
  for (int i = 0; code == 0 && i < n; i++) {
    code = differing("partial_rotary_factor", part, NULL, found[i].rotated, found[i].key, place, err);
    if (isnan(part)) part = found[i].rotated;
  }
  if (code == 0 && !isnan(part)) code = check_part(arch, part, place, err);
  if (code < 0 || isnan(part)) return code;
  arch->rotated = (int)(arch->head_dim * part);
  return 0;
}

/* Of the two objects, those that are there. In a family whose windowed layers are rotated in their own way,
 * "rope_parameters" holds one for the layers of each kind, and "rope_scaling" is of the others. */
static int read_objects(struct told found[2], int *n, struct tpo_arch *arch, const json_t *config,
                        const char *place, struct tpo_error *err)
{
  static const char *const keys[] = {"rope_scaling", "rope_parameters"};
  bool local = tpo_family(arch)->keys & TPO_KEYS_LOCAL_ROPE;
  int code = 0;
  for (int i = 0; code == 0 && i < 2; i++) {
    const json_t *object = json_object_get(config, keys[i]);
    if (!object || json_is_null(object)) continue;
    if (local && i == 1) {
      const json_t *windowed = json_object_get(object, "sliding_attention");
      if (!json_is_object(json_object_get(object, "full_attention")))
        return tpo_arch_unsupported(place, keys[i], object,
                                    "an object each in \"full_attention\" and \"sliding_attention\"", err);
      code = read_local(arch, config, windowed, place, err);
      object = json_object_get(object, "full_attention");
    }
    begin(&found[*n], keys[i]);
    if (code == 0) code = read_object(&found[(*n)++], arch, config, object, place, err);
  }
  return code < 0 || !local || arch->has_local_rope ? code : read_local(arch, config, NULL, place, err);
}

int tpo_arch_read_rope(struct tpo_arch *arch, const json_t *config, const char *place, struct tpo_error *err)
{
  struct told found[2];
  double theta = NAN, outer = NAN;
  int n = 0, code = tpo_json_get_double(config, "rope_theta", &outer, place, err);
  if (code == 0) code = read_objects(found, &n, arch, config, place, err);
  if (code == 0 && n == 2) code = compare(&found[0], &found[1], config, place, err);
  theta = outer;
  for (int i = 0; code == 0 && i < n; i++) {
    code = differing("rope_theta", outer, NULL, found[i].theta, found[i].key, place, err);
    if (!isnan(found[i].theta)) theta = found[i].theta;
  }
  if (code == 0) code = set_rotated(arch, config, found, n, place, err);
  if (code < 0) return code;
  if (n > 0) arch->rope = found[0].rope;
  arch->rope.theta = isnan(theta) ? tpo_family(arch)->rope_theta : theta;
  return 0;
}
