/* Whether an architecture is told by config.json, as which checkpoints hold it. */
#include "model/arch/arch.h"

#include <stddef.h>
#include <string.h>

#define FIELD(name, field)                                                                                   \
  {                                                                                                          \
    name, offsetof(struct tpo_arch, field), sizeof(((struct tpo_arch *)0)->field)                            \
  }

/* Fields one by one, since what lies between them says nothing. */
static const struct {
  const char *name;
  size_t at, size;
} fields[] = {FIELD("family", family),
              FIELD("vocabulary size", vocab_size),
              FIELD("hidden size", hidden),
              FIELD("number of layers", layers),
              FIELD("number of heads", heads),
              FIELD("number of kv heads", kv_heads),
              FIELD("head dimension", head_dim),
              FIELD("intermediate size", ffn),
              FIELD("context", context),
              FIELD("epsilon", rms_eps),
              FIELD("LM head", tied),
              FIELD("rope type", rope.kind),
              FIELD("rope theta", rope.theta),
              FIELD("rope factor", rope.factor),
              FIELD("low frequency factor", rope.low_freq),
              FIELD("high frequency factor", rope.high_freq),
              FIELD("beta_fast", rope.beta_fast),
              FIELD("beta_slow", rope.beta_slow),
              FIELD("truncation of yarn", rope.untruncated),
              FIELD("rope attention factor", rope.attention_factor),
              FIELD("original context", rope.original_context),
              FIELD("short factors", rope.short_factors),
              FIELD("long factors", rope.long_factors),
              FIELD("number of rotated features", rotated),
              FIELD("window", window),
              FIELD("layers with a window", windowed),
              FIELD("layers without rotary embedding", unrotated),
              FIELD("local rotary embedding", has_local_rope),
              FIELD("local rope theta", local_rope.theta),
              FIELD("attention scale", attention_scale),
              FIELD("soft cap of attention", attention_softcap),
              FIELD("soft cap of logits", final_softcap),
              FIELD("embedding multiplier", embedding_scale),
              FIELD("residual multiplier", residual_scale),
              FIELD("logits scaling", logits_scale)};

int tpo_arch_check_saved(const struct tpo_arch *arch, const char *place, struct tpo_error *err)
{
  struct tpo_arch again;
  json_t *config = tpo_arch_to_json(arch, "float32", -1, NULL, 0);
  if (!config) return tpo_fail(err, TPO_E_MEMORY, "no memory for the architecture's description");
  int code = tpo_arch_from_json(&again, config, place, err);
  json_decref(config);
  if (code < 0) return code;
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (memcmp((const char *)arch + fields[i].at, (const char *)&again + fields[i].at, fields[i].size) != 0)
      return tpo_fail(err, TPO_E_UNSUPPORTED,
                      "%s: the %s of this %s model is not what a checkpoint of such a model could tell",
                      place, fields[i].name, tpo_family(arch)->names[TPO_NAME_PROSE]);
  return 0;
}
