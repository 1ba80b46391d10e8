/* The table of parameters, in the order of the flat array, and what follows from it: the list of an
 * architecture's, their names and their number. */
#include "model/model.h"

#include <stddef.h>
#include <stdio.h>

#include "base/memory.h"

static bool is_untied(const struct tpo_arch *arch)
{
  return !arch->tied;
}

static bool norms_before(const struct tpo_arch *arch)
{
  return tpo_family(arch)->norms != TPO_NORMS_AFTER;
}

static bool norms_before_only(const struct tpo_arch *arch)
{
  return tpo_family(arch)->norms == TPO_NORMS_BEFORE;
}

static bool norms_after(const struct tpo_arch *arch)
{
  return tpo_family(arch)->norms != TPO_NORMS_BEFORE;
}

static bool norms_sandwich(const struct tpo_arch *arch)
{
  return tpo_family(arch)->norms == TPO_NORMS_SANDWICH;
}

static bool is_fused(const struct tpo_arch *arch)
{
  return tpo_family(arch)->fused;
}

static bool is_apart(const struct tpo_arch *arch)
{
  return !tpo_family(arch)->fused;
}

static bool has_qkv_bias(const struct tpo_arch *arch)
{
  return tpo_family(arch)->qkv_bias;
}

static bool norms_heads(const struct tpo_arch *arch)
{
  return tpo_family(arch)->qk == TPO_QK_HEADS;
}

static bool norms_all_heads(const struct tpo_arch *arch)
{
  return tpo_family(arch)->qk == TPO_QK_WHOLE;
}

#define NORM .cols = TPO_ONE, .norm = true
#define MODEL(field) .weight = offsetof(struct tpo_model, field)
#define LAYER(field) .of_layer = true, .weight = offsetof(struct tpo_layer, field)

/* The model. The order of the rows is that of the flat array, which checkpoints are written in: rows of other
 * families go between these, and none changes its place. */
static const struct tpo_param_kind kinds[] = {
    {"model.embed_tokens.weight", "token_embd.weight", TPO_VOCAB, TPO_HIDDEN, MODEL(embed)},

    {"input_layernorm.weight", "attn_norm.weight", TPO_HIDDEN, NORM, LAYER(input_norm),
     .exists = norms_before},
    {"self_attn.q_proj.weight", "attn_q.weight", TPO_Q_DIM, TPO_HIDDEN, LAYER(qkv), .exists = is_apart,
     .rotary = true},
    {"self_attn.k_proj.weight", "attn_k.weight", TPO_KV_DIM, TPO_HIDDEN, LAYER(qkv), .exists = is_apart,
     .rotary = true},
    {"self_attn.v_proj.weight", "attn_v.weight", TPO_KV_DIM, TPO_HIDDEN, LAYER(qkv), .exists = is_apart},
    {"self_attn.qkv_proj.weight", "attn_qkv.weight", TPO_QKV_DIM, TPO_HIDDEN, LAYER(qkv), .exists = is_fused},
    {"self_attn.q_proj.bias", "attn_q.bias", TPO_Q_DIM, TPO_ONE, LAYER(qkv_bias), .exists = has_qkv_bias},
    {"self_attn.k_proj.bias", "attn_k.bias", TPO_KV_DIM, TPO_ONE, LAYER(qkv_bias), .exists = has_qkv_bias},
    {"self_attn.v_proj.bias", "attn_v.bias", TPO_KV_DIM, TPO_ONE, LAYER(qkv_bias), .exists = has_qkv_bias},
    {"self_attn.q_norm.weight", "attn_q_norm.weight", TPO_HEAD_DIM, NORM, LAYER(q_norm),
     .exists = norms_heads},
    {"self_attn.k_norm.weight", "attn_k_norm.weight", TPO_HEAD_DIM, NORM, LAYER(k_norm),
     .exists = norms_heads},
    {"self_attn.q_norm.weight", "attn_q_norm.weight", TPO_Q_DIM, NORM, LAYER(q_norm),
     .exists = norms_all_heads},
    {"self_attn.k_norm.weight", "attn_k_norm.weight", TPO_KV_DIM, NORM, LAYER(k_norm),
     .exists = norms_all_heads},
    {"self_attn.o_proj.weight", "attn_output.weight", TPO_HIDDEN, TPO_Q_DIM, LAYER(o)},
    {"post_attention_layernorm.weight", "post_attention_norm.weight", TPO_HIDDEN, NORM, LAYER(attn_out_norm),
     .exists = norms_after},
    {"post_attention_layernorm.weight", "ffn_norm.weight", TPO_HIDDEN, NORM, LAYER(post_norm),
     .exists = norms_before_only},
    {"pre_feedforward_layernorm.weight", "ffn_norm.weight", TPO_HIDDEN, NORM, LAYER(post_norm),
     .exists = norms_sandwich},
    {"mlp.gate_proj.weight", "ffn_gate.weight", TPO_FFN, TPO_HIDDEN, LAYER(gate_up), .exists = is_apart},
    {"mlp.up_proj.weight", "ffn_up.weight", TPO_FFN, TPO_HIDDEN, LAYER(gate_up), .exists = is_apart},
    {"mlp.gate_up_proj.weight", "ffn_up.weight", TPO_GATE_UP, TPO_HIDDEN, LAYER(gate_up), .exists = is_fused},
    {"mlp.down_proj.weight", "ffn_down.weight", TPO_HIDDEN, TPO_FFN, LAYER(down)},
    {"post_feedforward_layernorm.weight", "post_ffw_norm.weight", TPO_HIDDEN, NORM, LAYER(ffn_out_norm),
     .exists = norms_after},

    {"model.norm.weight", "output_norm.weight", TPO_HIDDEN, NORM, MODEL(final_norm)},
    {"lm_head.weight", "output.weight", TPO_VOCAB, TPO_HIDDEN, MODEL(lm_head), .exists = is_untied},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

int64_t tpo_dim(const struct tpo_arch *arch, enum tpo_dim dim)
{
  switch (dim) {
  case TPO_ONE: return 1;
  case TPO_VOCAB: return arch->vocab_size;
  case TPO_HIDDEN: return arch->hidden;
  case TPO_Q_DIM: return (int64_t)arch->heads * arch->head_dim;
  case TPO_KV_DIM: return (int64_t)arch->kv_heads * arch->head_dim;
  case TPO_FFN: return arch->ffn;
  case TPO_HEAD_DIM: return arch->head_dim;
  case TPO_QKV_DIM: return (int64_t)(arch->heads + 2 * arch->kv_heads) * arch->head_dim;
  case TPO_GATE_UP: return 2 * (int64_t)arch->ffn;
  }
  return 0;
}

/* How many of the kind a model has. */
static size_t number_of(const struct tpo_param_kind *kind, const struct tpo_arch *arch)
{
  if (kind->exists && !kind->exists(arch)) return 0;
  return kind->of_layer ? (size_t)arch->layers : 1;
}

static const struct tpo_param_kind *of_model(size_t weight)
{
  const struct tpo_param_kind *kind = kinds;
  while (kind->of_layer || kind->weight != weight) kind++;
  return kind;
}

const struct tpo_param_kind *tpo_param_embed(void)
{
  return of_model(offsetof(struct tpo_model, embed));
}

const struct tpo_param_kind *tpo_param_lm_head(void)
{
  return of_model(offsetof(struct tpo_model, lm_head));
}

struct list {
  const struct tpo_arch *arch;
  struct tpo_param *params;
  size_t n, elements;
};

/* layer: -1 for the model's own. */
static void add(struct list *list, const struct tpo_param_kind *kind, int layer)
{
  if (number_of(kind, list->arch) == 0) return;
  struct tpo_param *param = &list->params[list->n++];
  param->kind = kind;
  param->layer = layer;
  param->rows = tpo_dim(list->arch, kind->rows);
  param->cols = tpo_dim(list->arch, kind->cols);
  param->offset = list->elements;
  list->elements += (size_t)param->rows * (size_t)param->cols;
  if (layer < 0)
    snprintf(param->name, sizeof param->name, "%s", kind->name);
  else
    snprintf(param->name, sizeof param->name, "model.layers.%d.%s", layer, kind->name);
}

/* Of the kinds that follow each other and are of layers, a layer has all before the next layer has any. */
static size_t add_run(struct list *list, size_t first)
{
  bool of_layer = kinds[first].of_layer;
  size_t end = first;
  while (end < KINDS && kinds[end].of_layer == of_layer) end++;
  for (int layer = 0; layer < (of_layer ? list->arch->layers : 1); layer++)
    for (size_t i = first; i < end; i++) add(list, &kinds[i], of_layer ? layer : -1);
  return end;
}

int tpo_params_list(const struct tpo_arch *arch, struct tpo_param **out, size_t *n, size_t *count,
                    struct tpo_error *err)
{
  /* tpo_arch_check bounds each size, so that the sum of all stays within 64 bits. */
  struct list list = {.arch = arch};
  list.params = tpo_calloc(tpo_params_number(arch), sizeof *list.params, err);
  if (!list.params) return TPO_E_MEMORY;
  for (size_t i = 0; i < KINDS;) i = add_run(&list, i);
  *out = list.params;
  *n = list.n;
  *count = list.elements;
  return 0;
}

size_t tpo_params_number(const struct tpo_arch *arch)
{
  size_t n = 0;
  for (size_t i = 0; i < KINDS; i++) n += number_of(&kinds[i], arch);
  return n;
}

size_t tpo_arch_param_count(const struct tpo_arch *arch)
{
  size_t count = 0;
  for (const struct tpo_param_kind *kind = kinds; kind < kinds + KINDS; kind++)
    count += number_of(kind, arch) * (size_t)tpo_dim(arch, kind->rows) * (size_t)tpo_dim(arch, kind->cols);
  return count;
}

size_t tpo_params_weight_end(const struct tpo_param *params, size_t n, size_t i)
{
  size_t end = i + 1;
  while (end < n && params[end].layer == params[i].layer &&
         params[end].kind->weight == params[i].kind->weight)
    end++;
  return end;
}

void tpo_param_gguf_name(const struct tpo_param *param, char out[96])
{
  if (param->layer < 0)
    snprintf(out, 96, "%s", param->kind->gguf);
  else
    snprintf(out, 96, "blk.%d.%s", param->layer, param->kind->gguf);
}

int64_t tpo_param_chunk(const struct tpo_param *param)
{
  int64_t rows = ((int64_t)1 << 18) / param->cols; /* 1 MiB of fp32: stays in the cache on its way through */
  if (rows < 1) rows = 1;
  return rows < param->rows ? rows : param->rows;
}
