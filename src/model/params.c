/* The list of parameters: names as in Hugging Face, shapes, and places in the flat array. */
#include "model/model.h"

#include <stdio.h>

#include "base/memory.h"

struct list {
  struct tpo_param *params;
  size_t n, elements;
};

static void add(struct list *list, int64_t rows, int64_t cols, const char *prefix, const char *name)
{
  struct tpo_param *param = &list->params[list->n++];
  snprintf(param->name, sizeof param->name, "%s%s", prefix, name);
  param->rows = rows;
  param->cols = cols;
  param->offset = list->elements;
  list->elements += (size_t)rows * (size_t)cols;
}

static void add_layer(struct list *list, const struct tpo_arch *arch, int layer)
{
  char prefix[32];
  snprintf(prefix, sizeof prefix, "model.layers.%d.", layer);
  int64_t hidden = arch->hidden, ffn = arch->ffn;
  int64_t q = (int64_t)arch->heads * arch->head_dim, kv = (int64_t)arch->kv_heads * arch->head_dim;
  add(list, hidden, 1, prefix, "input_layernorm.weight");
  add(list, q, hidden, prefix, "self_attn.q_proj.weight");
  add(list, kv, hidden, prefix, "self_attn.k_proj.weight");
  add(list, kv, hidden, prefix, "self_attn.v_proj.weight");
  add(list, hidden, q, prefix, "self_attn.o_proj.weight");
  add(list, hidden, 1, prefix, "post_attention_layernorm.weight");
  add(list, ffn, hidden, prefix, "mlp.gate_proj.weight");
  add(list, ffn, hidden, prefix, "mlp.up_proj.weight");
  add(list, hidden, ffn, prefix, "mlp.down_proj.weight");
}

int tpo_params_list(const struct tpo_arch *arch, struct tpo_param **out, size_t *n, size_t *count,
                    struct tpo_error *err)
{
  /* tpo_arch_check bounds each size, so that the sum of all stays within 64 bits. */
  size_t capacity = 3 + (size_t)arch->layers * TPO_LAYER_PARAMS;
  struct list list = {.params = tpo_calloc(capacity, sizeof(struct tpo_param), err)};
  if (!list.params) return TPO_E_MEMORY;
  add(&list, arch->vocab_size, arch->hidden, "", "model.embed_tokens.weight");
  for (int layer = 0; layer < arch->layers; layer++) add_layer(&list, arch, layer);
  add(&list, arch->hidden, 1, "", "model.norm.weight");
  if (!arch->tied) add(&list, arch->vocab_size, arch->hidden, "", "lm_head.weight");
  *out = list.params;
  *n = list.n;
  *count = list.elements;
  return 0;
}

int64_t tpo_param_chunk(const struct tpo_param *param)
{
  int64_t rows = ((int64_t)1 << 18) / param->cols; /* 1 MiB of fp32: stays in the cache on its way through */
  if (rows < 1) rows = 1;
  return rows < param->rows ? rows : param->rows;
}

size_t tpo_arch_param_count(const struct tpo_arch *arch)
{
  size_t hidden = (size_t)arch->hidden, ffn = (size_t)arch->ffn, head = (size_t)arch->head_dim;
  size_t q = (size_t)arch->heads * head, kv = (size_t)arch->kv_heads * head;
  size_t layer = 2 * hidden + hidden * (q + 2 * kv) + q * hidden + 3 * ffn * hidden;
  size_t embedding = (size_t)arch->vocab_size * hidden;
  return embedding + (size_t)arch->layers * layer + hidden + (arch->tied ? 0 : embedding);
}
