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
                          .keys = TPO_KEYS_HEAD_DIM | TPO_KEYS_ATTENTION_BIAS | TPO_KEYS_MLP_BIAS,
                          .context = 2048,
                          .rms_eps = 1e-6,
                          .rope_theta = 10000,
                          .gguf_interleaves = true},
    [TPO_FAMILY_MISTRAL] = {.names = {[TPO_NAME_PROSE] = "Mistral",
                                      [TPO_NAME_MODEL_TYPE] = "mistral",
                                      [TPO_NAME_CAUSAL_LM] = "MistralForCausalLM",
                                      [TPO_NAME_LABEL_REWARD] = "MistralForSequenceClassification",
                                      [TPO_NAME_GGUF] = "llama"},
                            .keys = TPO_KEYS_WINDOW | TPO_KEYS_HEAD_DIM,
                            .kv_heads = 8,
                            .window = 4096,
                            .context = 131072,
                            .rms_eps = 1e-6,
                            .rope_theta = 10000,
                            .gguf_interleaves = true},
    [TPO_FAMILY_QWEN2] = {.names = {[TPO_NAME_PROSE] = "Qwen 2",
                                    [TPO_NAME_MODEL_TYPE] = "qwen2",
                                    [TPO_NAME_CAUSAL_LM] = "Qwen2ForCausalLM",
                                    [TPO_NAME_LABEL_REWARD] = "Qwen2ForSequenceClassification",
                                    [TPO_NAME_GGUF] = "qwen2"},
                          .keys = TPO_KEYS_WINDOW | TPO_KEYS_WINDOW_SWITCH | TPO_KEYS_LAYER_TYPES |
                                  TPO_KEYS_IDLE_BIAS,
                          .kv_heads = 32,
                          .windows = TPO_WINDOWS_LATE,
                          .window = 4096,
                          .late_windows_from = 28,
                          .context = 32768,
                          .rms_eps = 1e-6,
                          .rope_theta = 10000,
                          .qkv_bias = true},
    [TPO_FAMILY_QWEN3] = {.names = {[TPO_NAME_PROSE] = "Qwen 3",
                                    [TPO_NAME_MODEL_TYPE] = "qwen3",
                                    [TPO_NAME_CAUSAL_LM] = "Qwen3ForCausalLM",
                                    [TPO_NAME_LABEL_REWARD] = "Qwen3ForSequenceClassification",
                                    [TPO_NAME_GGUF] = "qwen3"},
                          .keys = TPO_KEYS_WINDOW | TPO_KEYS_WINDOW_SWITCH | TPO_KEYS_LAYER_TYPES |
                                  TPO_KEYS_HEAD_DIM | TPO_KEYS_ATTENTION_BIAS,
                          .kv_heads = 32,
                          .head_dim = 128,
                          .windows = TPO_WINDOWS_LATE,
                          .window = 4096,
                          .late_windows_from = 28,
                          .context = 32768,
                          .rms_eps = 1e-6,
                          .rope_theta = 10000,
                          .qk = TPO_QK_HEADS},
    [TPO_FAMILY_GEMMA] = {.names = {[TPO_NAME_PROSE] = "Gemma",
                                    [TPO_NAME_MODEL_TYPE] = "gemma",
                                    [TPO_NAME_CAUSAL_LM] = "GemmaForCausalLM",
                                    [TPO_NAME_LABEL_REWARD] = "GemmaForSequenceClassification",
                                    [TPO_NAME_GGUF] = "gemma"},
                          .keys = TPO_KEYS_HEAD_DIM | TPO_KEYS_ATTENTION_BIAS | TPO_KEYS_PAD,
                          .kv_heads = 16,
                          .head_dim = 256,
                          .tied = true,
                          .scales_embedding = true,
                          .context = 8192,
                          .rms_eps = 1e-6,
                          .rope_theta = 10000,
                          .glu = TPO_GLU_GELU_TANH,
                          .gelu_is_tanh = true,
                          .rounds_embedding_scale = true,
                          .norms_from_one = true},
    [TPO_FAMILY_GEMMA2] = {.names = {[TPO_NAME_PROSE] = "Gemma 2",
                                     [TPO_NAME_MODEL_TYPE] = "gemma2",
                                     [TPO_NAME_CAUSAL_LM] = "Gemma2ForCausalLM",
                                     [TPO_NAME_LABEL_REWARD] = "Gemma2ForSequenceClassification",
                                     [TPO_NAME_GGUF] = "gemma2"},
                           .keys = TPO_KEYS_WINDOW | TPO_KEYS_LAYER_TYPES | TPO_KEYS_QUERY_SCALE |
                                   TPO_KEYS_ATTENTION_SOFTCAP | TPO_KEYS_FINAL_SOFTCAP | TPO_KEYS_HEAD_DIM |
                                   TPO_KEYS_ATTENTION_BIAS | TPO_KEYS_PAD,
                           .kv_heads = 4,
                           .head_dim = 256,
                           .tied = true,
                           .windows = TPO_WINDOWS_PERIOD,
                           .window = 4096,
                           .window_period = 2,
                           .query_scalar = 256,
                           .attention_softcap = 50,
                           .final_softcap = 30,
                           .scales_embedding = true,
                           .context = 8192,
                           .rms_eps = 1e-6,
                           .rope_theta = 10000,
                           .norms = TPO_NORMS_SANDWICH,
                           .glu = TPO_GLU_GELU_TANH,
                           .rounds_embedding_scale = true,
                           .norms_from_one = true},
    [TPO_FAMILY_GEMMA3] = {.names = {[TPO_NAME_PROSE] = "Gemma 3",
                                     [TPO_NAME_MODEL_TYPE] = "gemma3_text",
                                     [TPO_NAME_CAUSAL_LM] = "Gemma3ForCausalLM",
                                     [TPO_NAME_LABEL_REWARD] = "Gemma3TextForSequenceClassification",
                                     [TPO_NAME_OUTER_TYPE] = "gemma3",
                                     [TPO_NAME_OUTER_LM] = "Gemma3ForConditionalGeneration",
                                     [TPO_NAME_OUTER_REWARD] = "Gemma3ForSequenceClassification",
                                     [TPO_NAME_GGUF] = "gemma3"},
                           .keys = TPO_KEYS_WINDOW | TPO_KEYS_LAYER_TYPES | TPO_KEYS_LOCAL_ROPE |
                                   TPO_KEYS_QUERY_SCALE | TPO_KEYS_FINAL_SOFTCAP | TPO_KEYS_HEAD_DIM |
                                   TPO_KEYS_ATTENTION_BIAS | TPO_KEYS_PAD,
                           .vocab_size = 262208,
                           .heads = 8,
                           .kv_heads = 4,
                           .head_dim = 256,
                           .tied = true,
                           .windows = TPO_WINDOWS_PERIOD,
                           .window = 4096,
                           .window_period = 6,
                           .query_scalar = 256,
                           .local_rope_theta = 10000,
                           .scales_embedding = true,
                           .context = 131072,
                           .rms_eps = 1e-6,
                           .rope_theta = 1000000,
                           .norms = TPO_NORMS_SANDWICH,
                           .qk = TPO_QK_HEADS,
                           .glu = TPO_GLU_GELU_TANH,
                           .rounds_embedding_scale = true,
                           .norms_from_one = true},
    [TPO_FAMILY_PHI3] = {.names = {[TPO_NAME_PROSE] = "Phi 3",
                                   [TPO_NAME_MODEL_TYPE] = "phi3",
                                   [TPO_NAME_CAUSAL_LM] = "Phi3ForCausalLM",
                                   [TPO_NAME_LABEL_REWARD] = "Phi3ForSequenceClassification",
                                   [TPO_NAME_GGUF] = "phi3"},
                         .keys = TPO_KEYS_WINDOW | TPO_KEYS_PARTIAL_ROTARY | TPO_KEYS_PAD,
                         .longrope_alone = true,
                         .context = 4096,
                         .rms_eps = 1e-5,
                         .rope_theta = 10000,
                         .fused = true},
    [TPO_FAMILY_OLMO2] = {.names = {[TPO_NAME_PROSE] = "OLMo 2",
                                    [TPO_NAME_MODEL_TYPE] = "olmo2",
                                    [TPO_NAME_CAUSAL_LM] = "Olmo2ForCausalLM",
                                    [TPO_NAME_LABEL_REWARD] = "Olmo2ForSequenceClassification",
                                    [TPO_NAME_GGUF] = "olmo2"},
                          .keys = TPO_KEYS_ATTENTION_BIAS | TPO_KEYS_PAD,
                          .context = 2048,
                          .rms_eps = 1e-5,
                          .rope_theta = 10000,
                          .norms = TPO_NORMS_AFTER,
                          .qk = TPO_QK_WHOLE},
    [TPO_FAMILY_GRANITE] = {.names = {[TPO_NAME_PROSE] = "Granite 3",
                                      [TPO_NAME_MODEL_TYPE] = "granite",
                                      [TPO_NAME_CAUSAL_LM] = "GraniteForCausalLM",
                                      [TPO_NAME_GGUF] = "granite"},
                            .keys = TPO_KEYS_MULTIPLIERS | TPO_KEYS_ATTENTION_BIAS | TPO_KEYS_MLP_BIAS,
                            .context = 2048,
                            .rms_eps = 1e-6,
                            .rope_theta = 10000,
                            .gguf_interleaves = true},
    [TPO_FAMILY_SMOLLM3] = {.names = {[TPO_NAME_PROSE] = "SmolLM3",
                                      [TPO_NAME_MODEL_TYPE] = "smollm3",
                                      [TPO_NAME_CAUSAL_LM] = "SmolLM3ForCausalLM",
                                      [TPO_NAME_LABEL_REWARD] = "SmolLM3ForSequenceClassification",
                                      [TPO_NAME_GGUF] = "smollm3"},
                            .keys = TPO_KEYS_WINDOW | TPO_KEYS_WINDOW_SWITCH | TPO_KEYS_LAYER_TYPES |
                                    TPO_KEYS_UNROTATED | TPO_KEYS_ATTENTION_BIAS | TPO_KEYS_MLP_BIAS |
                                    TPO_KEYS_PAD,
                            .kv_heads = 4,
                            .tied = true,
                            .windows = TPO_WINDOWS_UNROTATED,
                            .unrotated_period = 4,
                            .context = 32768,
                            .rms_eps = 1e-6,
                            .rope_theta = 2000000,
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

static bool is_told(enum tpo_family_name which, int i)
{
  for (int j = 0; j < i; j++)
    if (families[j].names[which] && strcmp(families[j].names[which], families[i].names[which]) == 0)
      return true;
  return false;
}

void tpo_family_list(enum tpo_family_name which, bool quoted, char out[TPO_FAMILY_LIST])
{
  const char *quote = quoted ? "\"" : "";
  size_t at = 0;
  out[0] = '\0';
  for (int i = 0; i < FAMILIES && at < TPO_FAMILY_LIST; i++)
    if (families[i].names[which] && !is_told(which, i))
      at += (size_t)snprintf(out + at, TPO_FAMILY_LIST - at, "%s%s%s%s", at ? ", " : "", quote,
                             families[i].names[which], quote);
}
