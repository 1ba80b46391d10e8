/* The transformer's parts over the table of operations, forward and backward. Training, evaluation and
 * inference are these same calls; they differ in which buffers a layer's states live in and in how rows
 * attend. */
#ifndef TPO_MODEL_TRANSFORMER_H
#define TPO_MODEL_TRANSFORMER_H

#include "model/model.h"

/* The rows of one pass, and what they attend to. */
struct tpo_rows {
  int n;
  const int32_t *pos; // [n] backend memory; of packed ones the rows of tpo_rope_row
  /* Packed sequences (training, evaluation); host memory [n_seqs + 1]. */
  const int32_t *cu_seqlens;
  int n_seqs;
  /* Or the paged cache (inference); NULL otherwise. */
  const struct tpo_kv_layer *kv;            // [layers]
  struct tpo_paged_rows paged[TPO_REACHES]; /* for layers of each reach */
};

/* How layers of a reach attend. */
static inline struct tpo_attention_shape tpo_reach_shape(const struct tpo_model *model, enum tpo_reach reach)
{
  struct tpo_attention_shape shape = model->shape;
  shape.window = reach == TPO_REACH_WINDOW ? model->arch.window : 0;
  return shape;
}

/* What a layer's forward computes and its backward needs. in, mid and out may be one buffer when no backward
 * follows, and so may raw and qkv, and the two products; lse and the rstds may then be NULL. */
struct tpo_layer_state {
  void *in;        // [n, hidden] the residual stream
  float *rstd_in;  // [n]
  void *qkv;       // [n, (heads + 2 kv_heads) * head_dim] after the rotation
  void *attn;      // [n, heads * head_dim]
  float *lse;      // [n, heads]
  void *mid;       // [n, hidden] the residual stream after attention
  float *rstd_mid; // [n]
  void *gate_up;   // [n, 2 ffn]
  void *out;       // [n, hidden]

  /* Where queries and keys are normed. */
  void *raw;      // as qkv, before
  float *rstd_qk; // [n, heads + kv_heads], or [n, 2]

  /* Where the products of attention and feed-forward are normed before they are added: the products. */
  void *attn_out, *ffn_out;            // [n, hidden]
  float *rstd_attn_out, *rstd_ffn_out; // [n]
};

/* Shared by all layers; nothing in it outlives a layer. The gradients are only for backward. */
struct tpo_layer_scratch {
  void *normed; // [n, hidden]
  void *act;    // [n, ffn]
  void *dnormed, *dattn, *dqkv, *dact, *dgate_up;
};

struct tpo_head_state {
  void *in;                       // [m, hidden] the rows whose log-probability is wanted
  void *normed;                   // [m, hidden]
  float *rstd;                    // [m]
  float *lse;                     // [m]
  float *logprob;                 // [m]
  const int32_t *index, *targets; // [m] backend memory
  void *dnormed, *din;
  float *dlogprob; // [m]
};

/* How layers attend that see everything. */
struct tpo_attention_shape tpo_arch_shape(const struct tpo_arch *arch);

/* The residual stream before the first layer, and the gradient of the embedding's table: d [n, hidden], that of
 * the stream, is scaled in place where embeddings are. */
void tpo_embed_forward(struct tpo_model *model, const int32_t *ids, void *x, int n);
void tpo_embed_backward(struct tpo_model *model, const int32_t *ids, void *d, int n, float *grad);

void tpo_layer_forward(struct tpo_model *model, int layer, const struct tpo_rows *rows,
                       const struct tpo_layer_state *s, const struct tpo_layer_scratch *w);
/* Computes the states again from s->in: the forward up to the last of them. */
void tpo_layer_recompute(struct tpo_model *model, int layer, const struct tpo_rows *rows,
                         const struct tpo_layer_state *s, const struct tpo_layer_scratch *w);
/* dx: on entry the gradient of s->out, on return that of s->in. grad: the flat array, added to. */
void tpo_layer_backward(struct tpo_model *model, int layer, const struct tpo_rows *rows,
                        const struct tpo_layer_state *s, const struct tpo_layer_scratch *w, void *dx,
                        float *grad);

/* What the head works on, normed [m, hidden]: rows index of x, gathered to in, after the final norm. rstd may be
 * NULL. */
void tpo_head_input(struct tpo_model *model, const void *x, const int32_t *index, void *in, void *normed,
                    float *rstd, int m);
/* Final norm, LM head, log-softmax and gather for m of the rows of x. */
void tpo_head_forward(struct tpo_model *model, const void *x, const struct tpo_head_state *s, int m);
/* dx [n, hidden] is written whole. */
void tpo_head_backward(struct tpo_model *model, const struct tpo_head_state *s, int m, void *dx, int n,
                       float *grad);

#endif
