/* The table of what llama.cpp's graphs take for granted. */
#include "model/files/gguf_rules.h"

#include <math.h>

static const struct tpo_gguf_rules rules[] = {
    [TPO_FAMILY_LLAMA] = {.windows = TPO_GGUF_NO_WINDOW, .rope_tensors = true},
    [TPO_FAMILY_MISTRAL] = {.windows = TPO_GGUF_WINDOW_IGNORED, .rope_tensors = true},
    [TPO_FAMILY_QWEN2] = {.windows = TPO_GGUF_WINDOW_IGNORED, .square = true},
    [TPO_FAMILY_QWEN3] = {.windows = TPO_GGUF_WINDOW_IGNORED},
    [TPO_FAMILY_GEMMA] = {.windows = TPO_GGUF_NO_WINDOW, .embeds_by_root = true, .must_tie = true},
    [TPO_FAMILY_GEMMA2] = {.windows = TPO_GGUF_WINDOW,
                           .window = 4096,
                           .window_period = 2,
                           .attention_softcap = 50,
                           .final_softcap = 30,
                           .final_softcap_key = true,
                           .embeds_by_root = true,
                           .scaled_by_hidden = 46,
                           .must_tie = true},
    [TPO_FAMILY_GEMMA3] = {.windows = TPO_GGUF_WINDOW,
                           .window_period = 6,
                           .local_rope = true,
                           .final_softcap_key = true,
                           .embeds_by_root = true,
                           .scaled_by_hidden = 62},
    [TPO_FAMILY_PHI3] = {.windows = TPO_GGUF_WINDOW_IGNORED,
                         .rope_tensors = true,
                         .partial = true,
                         .square = true},
    [TPO_FAMILY_OLMO2] = {.windows = TPO_GGUF_NO_WINDOW, .square = true, .must_not_tie = true},
    [TPO_FAMILY_GRANITE] = {.windows = TPO_GGUF_NO_WINDOW, .rope_tensors = true, .multipliers = true},
    [TPO_FAMILY_SMOLLM3] = {.windows = TPO_GGUF_WINDOW_IGNORED, .unrotated_period = 4},
};

const struct tpo_gguf_rules *tpo_gguf_rules(const struct tpo_arch *arch)
{
  return &rules[arch->family];
}

double tpo_gguf_attention_scale(const struct tpo_arch *arch)
{
  int size = tpo_gguf_rules(arch)->scaled_by_hidden;
  int features = size > 0 && arch->layers == size ? arch->hidden / arch->heads : arch->head_dim;
  return 1 / sqrt(features);
}

struct tpo_layer_set tpo_gguf_periodic(int layers, int period, bool last)
{
  struct tpo_layer_set set = {0};
  for (int l = 0; l < layers; l++)
    if ((period > 0 && l % period == period - 1) == last) tpo_layer_add(&set, l);
  return set;
}
