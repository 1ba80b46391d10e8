/* The transformers of all families, a layer being
 *
 *   mid = in  + O attention(rope(QKV norm(in)))
 *   out = mid + Down(silu(Gate norm(mid)) * Up norm(mid))
 *
 * with RMSNorm, rotary embedding and grouped-query attention: Llama (Touvron et al. 2023). What the table of
 * families or the architecture says makes of it
 *
 *   mid = in + s norm(O attention(rope(norm(QKV norm(in) + bias))))
 *
 * and likewise of the second half, with gelu for silu. Weights that a family lacks are NULL, and scales that it
 * lacks 0; such a part is left out, and what is left are the calls that a family without it makes. */
#include "model/transformer.h"

static bool has(const struct tpo_weight *weight)
{
  return weight->vector != NULL;
}

static float eps_of(const struct tpo_model *m)
{
  return (float)m->arch.rms_eps;
}

struct tpo_attention_shape tpo_arch_shape(const struct tpo_arch *arch)
{
  return (struct tpo_attention_shape){
      .heads = arch->heads,
      .kv_heads = arch->kv_heads,
      .head_dim = arch->head_dim,
      .rotated = arch->rotated,
      .scale = (float)arch->attention_scale,
      .softcap = (float)arch->attention_softcap,
  };
}

static struct tpo_attention_shape layer_shape(const struct tpo_model *m, int layer)
{
  return tpo_reach_shape(m, tpo_layer_reach(&m->arch, layer));
}

static struct tpo_qk_norm qk_norm_of(const struct tpo_model *m, const struct tpo_layer *p)
{
  return (struct tpo_qk_norm){.q = p->q_norm.norm,
                              .k = p->k_norm.norm,
                              .whole = tpo_family(&m->arch)->qk == TPO_QK_WHOLE,
                              .eps = eps_of(m)};
}

/* A bf16 model of Gemma has its scale, sqrt(hidden), in bf16. */
static float embedding_scale(const struct tpo_model *m)
{
  float scale = (float)m->arch.embedding_scale;
  bool rounded = m->dtype == TPO_DTYPE_BF16 && tpo_family(&m->arch)->rounds_embedding_scale;
  return rounded ? tpo_bf16_to_f32(tpo_f32_to_bf16(scale)) : scale;
}

static size_t elements(const struct tpo_model *m, int n)
{
  return (size_t)n * (size_t)m->arch.hidden;
}

void tpo_embed_forward(struct tpo_model *m, const int32_t *ids, void *x, int n)
{
  m->ops->embed(m->be, m->embed.linear, ids, x, n);
  if (m->arch.embedding_scale != 0) m->ops->add_scaled(m->be, NULL, x, x, embedding_scale(m), elements(m, n));
}

void tpo_embed_backward(struct tpo_model *m, const int32_t *ids, void *d, int n, float *grad)
{
  if (m->arch.embedding_scale != 0) m->ops->add_scaled(m->be, NULL, d, d, embedding_scale(m), elements(m, n));
  m->ops->embed_backward(m->be, ids, d, grad + m->embed.offset, n, m->arch.hidden);
}

/* norm(x), in w->normed; x itself where there is no norm. rstd may be NULL. */
static const void *norm_input(struct tpo_model *m, const struct tpo_weight *norm, const void *x, float *rstd,
                              int n, const struct tpo_layer_scratch *w)
{
  if (!has(norm)) return x;
  m->ops->rms_norm(m->be, x, norm->norm, w->normed, rstd, n, m->arch.hidden, eps_of(m));
  return w->normed;
}

/* y = W x + bias */
static void multiply_qkv(struct tpo_model *m, const struct tpo_layer *p, const void *x, void *y, int n)
{
  if (has(&p->qkv_bias))
    m->ops->linear_forward_bias(m->be, p->qkv.linear, p->qkv_bias.vector, x, y, n);
  else
    m->ops->linear_forward(m->be, p->qkv.linear, x, y, n);
}

/* Norms queries and keys, rotates them, and attends. */
static void attend(struct tpo_model *m, int layer, const struct tpo_rows *rows,
                   const struct tpo_layer_state *s)
{
  const struct tpo_ops *ops = m->ops;
  const struct tpo_layer *p = &m->layers[layer];
  const struct tpo_qk_norm norm = qk_norm_of(m, p);
  const float *rope = tpo_rope_of(m, layer);
  struct tpo_attention_shape shape = layer_shape(m, layer);
  if (rows->kv) {
    const struct tpo_paged_rows *paged = &rows->paged[tpo_layer_reach(&m->arch, layer)];
    ops->rope_kv_write(m->be, &rows->kv[layer], s->qkv, has(&p->q_norm) ? &norm : NULL, rope, shape, paged);
    ops->attention_paged(m->be, &rows->kv[layer], s->qkv, s->attn, shape, paged);
  } else {
    if (has(&p->q_norm)) ops->qk_norm(m->be, s->raw, s->qkv, &norm, s->rstd_qk, shape, rows->n);
    if (rope) ops->rope(m->be, s->qkv, rows->pos, rope, shape, rows->n, false);
    ops->attention(m->be, s->qkv, s->attn, s->lse, shape, rows->cu_seqlens, rows->n_seqs);
  }
}

/* sum = base + s norm(W x), which a half of a layer ends with. product: W x where it is normed. */
static void add_product(struct tpo_model *m, const struct tpo_weight *weight, const struct tpo_weight *norm,
                        const void *x, void *product, float *rstd, const void *base, void *sum, int n,
                        const struct tpo_layer_scratch *w)
{
  const struct tpo_ops *ops = m->ops;
  float scale = (float)m->arch.residual_scale;
  if (!has(norm) && scale == 0) {
    ops->linear_forward_add(m->be, weight->linear, x, base, sum, n);
    return;
  }
  ops->linear_forward(m->be, weight->linear, x, has(norm) ? product : w->normed, n);
  norm_input(m, norm, product, rstd, n, w);
  ops->add_scaled(m->be, base, w->normed, sum, scale != 0 ? scale : 1, elements(m, n));
}

static void activate(struct tpo_model *m, const struct tpo_layer_state *s, const struct tpo_layer_scratch *w,
                     int n)
{
  bool gelu = tpo_family(&m->arch)->glu == TPO_GLU_GELU_TANH;
  (gelu ? m->ops->geglu : m->ops->swiglu)(m->be, s->gate_up, w->act, n, m->arch.ffn);
}

/* The first half, and the second's up to its activation. */
static void forward_to_gate_up(struct tpo_model *m, int layer, const struct tpo_rows *rows,
                               const struct tpo_layer_state *s, const struct tpo_layer_scratch *w)
{
  const struct tpo_layer *p = &m->layers[layer];
  int n = rows->n;
  const void *x = norm_input(m, &p->input_norm, s->in, s->rstd_in, n, w);
  multiply_qkv(m, p, x, has(&p->q_norm) ? s->raw : s->qkv, n);
  attend(m, layer, rows, s);
  add_product(m, &p->o, &p->attn_out_norm, s->attn, s->attn_out, s->rstd_attn_out, s->in, s->mid, n, w);

  x = norm_input(m, &p->post_norm, s->mid, s->rstd_mid, n, w);
  m->ops->linear_forward(m->be, p->gate_up.linear, x, s->gate_up, n);
}

void tpo_layer_recompute(struct tpo_model *m, int layer, const struct tpo_rows *rows,
                         const struct tpo_layer_state *s, const struct tpo_layer_scratch *w)
{
  const struct tpo_layer *p = &m->layers[layer];
  forward_to_gate_up(m, layer, rows, s, w);
  if (!has(&p->ffn_out_norm)) return;
  activate(m, s, w, rows->n);
  m->ops->linear_forward(m->be, p->down.linear, w->act, s->ffn_out, rows->n);
  norm_input(m, &p->ffn_out_norm, s->ffn_out, s->rstd_ffn_out, rows->n, w);
}

void tpo_layer_forward(struct tpo_model *m, int layer, const struct tpo_rows *rows,
                       const struct tpo_layer_state *s, const struct tpo_layer_scratch *w)
{
  const struct tpo_layer *p = &m->layers[layer];
  forward_to_gate_up(m, layer, rows, s, w);
  activate(m, s, w, rows->n);
  add_product(m, &p->down, &p->ffn_out_norm, w->act, s->ffn_out, s->rstd_ffn_out, s->mid, s->out, rows->n, w);
}

/* The gradient of W x of add_product, dx being that of its sum: dx itself, or in w. */
static const void *product_backward(struct tpo_model *m, const struct tpo_weight *norm, const void *product,
                                    const float *rstd, const void *dx, int n,
                                    const struct tpo_layer_scratch *w, float *grad)
{
  const struct tpo_ops *ops = m->ops;
  float scale = (float)m->arch.residual_scale;
  const void *d = dx;
  if (scale != 0) {
    ops->add_scaled(m->be, NULL, d, w->normed, scale, elements(m, n));
    d = w->normed;
  }
  if (!has(norm)) return d;
  ops->zero(m->be, w->dnormed, elements(m, n) * ops->activation_size);
  ops->rms_norm_backward(m->be, d, product, norm->norm, rstd, w->dnormed, grad + norm->offset, n,
                         m->arch.hidden);
  return w->dnormed;
}

/* Of W norm(x), d being the product's gradient: dx += that of x. */
static void input_backward(struct tpo_model *m, const struct tpo_weight *weight,
                           const struct tpo_weight *norm, const void *d, const void *x, const float *rstd,
                           void *dx, int n, const struct tpo_layer_scratch *w, float *grad)
{
  const struct tpo_ops *ops = m->ops;
  const void *normed = norm_input(m, norm, x, NULL, n, w);
  ops->linear_backward_weight(m->be, weight->linear, d, normed, grad + weight->offset, n);
  ops->linear_backward_input(m->be, weight->linear, d, has(norm) ? w->dnormed : dx, n, !has(norm));
  if (has(norm))
    ops->rms_norm_backward(m->be, w->dnormed, x, norm->norm, rstd, dx, grad + norm->offset, n,
                           m->arch.hidden);
}

static void ffn_backward(struct tpo_model *m, int layer, int n, const struct tpo_layer_state *s,
                         const struct tpo_layer_scratch *w, void *dx, float *grad)
{
  const struct tpo_ops *ops = m->ops;
  const struct tpo_layer *p = &m->layers[layer];
  bool gelu = tpo_family(&m->arch)->glu == TPO_GLU_GELU_TANH;
  const void *d = product_backward(m, &p->ffn_out_norm, s->ffn_out, s->rstd_ffn_out, dx, n, w, grad);
  activate(m, s, w, n);
  ops->linear_backward_weight(m->be, p->down.linear, d, w->act, grad + p->down.offset, n);
  ops->linear_backward_input(m->be, p->down.linear, d, w->dact, n, false);
  (gelu ? ops->geglu_backward : ops->swiglu_backward)(m->be, w->dact, s->gate_up, w->dgate_up, n,
                                                      m->arch.ffn);
  input_backward(m, &p->gate_up, &p->post_norm, w->dgate_up, s->mid, s->rstd_mid, dx, n, w, grad);
}

/* From the gradient of what was attended with, in w->dqkv, to that of QKV x + bias. */
static void qkv_backward(struct tpo_model *m, int layer, const struct tpo_rows *rows,
                         const struct tpo_layer_state *s, const struct tpo_layer_scratch *w, float *grad)
{
  const struct tpo_ops *ops = m->ops;
  const struct tpo_layer *p = &m->layers[layer];
  const struct tpo_qk_norm norm = qk_norm_of(m, p);
  const float *rope = tpo_rope_of(m, layer);
  struct tpo_attention_shape shape = layer_shape(m, layer);
  if (rope) ops->rope(m->be, w->dqkv, rows->pos, rope, shape, rows->n, true);
  if (has(&p->q_norm))
    ops->qk_norm_backward(m->be, w->dqkv, s->raw, &norm, s->rstd_qk, grad + p->q_norm.offset,
                          grad + p->k_norm.offset, shape, rows->n);
  if (has(&p->qkv_bias))
    ops->bias_backward(m->be, w->dqkv, grad + p->qkv_bias.offset, rows->n,
                       (int)tpo_dim(&m->arch, TPO_QKV_DIM));
}

void tpo_layer_backward(struct tpo_model *m, int layer, const struct tpo_rows *rows,
                        const struct tpo_layer_state *s, const struct tpo_layer_scratch *w, void *dx,
                        float *grad)
{
  const struct tpo_ops *ops = m->ops;
  const struct tpo_layer *p = &m->layers[layer];
  int n = rows->n;
  ffn_backward(m, layer, n, s, w, dx, grad);

  const void *d = product_backward(m, &p->attn_out_norm, s->attn_out, s->rstd_attn_out, dx, n, w, grad);
  ops->linear_backward_weight(m->be, p->o.linear, d, s->attn, grad + p->o.offset, n);
  ops->linear_backward_input(m->be, p->o.linear, d, w->dattn, n, false);
  ops->attention_backward(m->be, w->dattn, s->qkv, s->attn, s->lse, w->dqkv, layer_shape(m, layer),
                          rows->cu_seqlens, rows->n_seqs);
  qkv_backward(m, layer, rows, s, w, grad);
  input_backward(m, &p->qkv, &p->input_norm, w->dqkv, s->in, s->rstd_in, dx, n, w, grad);
}

/* Logits are divided by logits_scale: what the LM head gets is. A reward model's head has no logits. */
static void scale_head(struct tpo_model *m, void *x, int n)
{
  if (m->arch.logits_scale != 0 && !m->body_only)
    m->ops->add_scaled(m->be, NULL, x, x, (float)(1 / m->arch.logits_scale), elements(m, n));
}

void tpo_head_input(struct tpo_model *m, const void *x, const int32_t *index, void *in, void *normed,
                    float *rstd, int n)
{
  m->ops->gather_rows(m->be, x, index, in, n, m->arch.hidden);
  m->ops->rms_norm(m->be, in, m->final_norm.norm, normed, rstd, n, m->arch.hidden, eps_of(m));
  scale_head(m, normed, n);
}

void tpo_head_forward(struct tpo_model *m, const void *x, const struct tpo_head_state *s, int n)
{
  tpo_head_input(m, x, s->index, s->in, s->normed, s->rstd, n);
  m->ops->lm_head_logprob(m->be, m->lm_head.linear, s->normed, s->targets, s->logprob, s->lse, n,
                          (float)m->arch.final_softcap);
}

void tpo_head_backward(struct tpo_model *m, const struct tpo_head_state *s, int n_wanted, void *dx, int n,
                       float *grad)
{
  float *dnorm = grad + m->final_norm.offset, *dhead = grad + m->lm_head.offset;
  m->ops->lm_head_logprob_backward(m->be, m->lm_head.linear, s->normed, s->targets, s->lse, s->dlogprob,
                                   s->dnormed, dhead, n_wanted, (float)m->arch.final_softcap);
  scale_head(m, s->dnormed, n_wanted);
  m->ops->zero(m->be, s->din, elements(m, n_wanted) * m->ops->activation_size);
  m->ops->rms_norm_backward(m->be, s->dnormed, s->in, m->final_norm.norm, s->rstd, s->din, dnorm, n_wanted,
                            m->arch.hidden);
  m->ops->scatter_rows(m->be, s->din, s->index, dx, n_wanted, n, m->arch.hidden);
}
