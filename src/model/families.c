/* The table of families. A family is a row here: what its files call it, what they leave out, and the flags
 * by which its transformer or its files differ from another's. */
#include "model/tables.h"

#include <stdio.h>
#include <string.h>

static const struct tpo_family_row families[] = {
    [TPO_FAMILY_LLAMA] = {.names = {[TPO_NAME_PROSE] = "Llama",
                                    [TPO_NAME_MODEL_TYPE] = "llama",
                                    [TPO_NAME_CAUSAL_LM] = "LlamaForCausalLM",
                                    [TPO_NAME_LABEL_REWARD] = "LlamaForSequenceClassification",
                                    [TPO_NAME_GATED_REWARD] = "LlamaForRewardModelWithGating",
                                    [TPO_NAME_GGUF] = "llama"},
                          .context = 2048,
                          .rms_eps = 1e-6,
                          .rope_theta = 10000,
                          .gguf_interleaves = true},
};
enum { FAMILIES = sizeof families / sizeof *families };

const struct tpo_family_row *tpo_family(const struct tpo_arch *arch)
{
  return &families[arch->family];
}

bool tpo_family_find(enum tpo_family *out, enum tpo_family_name which, const char *text, size_t len)
{
  for (int i = 0; i < FAMILIES; i++) {
    const char *name = families[i].names[which];
    if (!name || strlen(name) != len || memcmp(name, text, len) != 0) continue;
    if (out) *out = (enum tpo_family)i;
    return true;
  }
  return false;
}

void tpo_family_list(enum tpo_family_name which, bool quoted, char out[256])
{
  const char *quote = quoted ? "\"" : "";
  size_t at = 0;
  out[0] = '\0';
  for (int i = 0; i < FAMILIES && at < 256; i++)
    if (families[i].names[which])
      at += (size_t)snprintf(out + at, 256 - at, "%s%s%s%s", at ? ", " : "", quote, families[i].names[which],
                             quote);
}
