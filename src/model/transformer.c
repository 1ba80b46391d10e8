/* Llama (Touvron et al. 2023), a layer being
 *
 *   mid = in  + O attention(rope(QKV norm(in)))
 *   out = mid + Down(silu(Gate norm(mid)) * Up norm(mid))
 *
 * with RMSNorm, rotary embedding, grouped-query attention and no biases. */
#include "model/transformer.h"

/* Rotates queries and keys, and attends. */
static void attend(struct tpo_model *m, int layer, const struct tpo_rows *rows,
                   const struct tpo_layer_state *s)
{
  const struct tpo_ops *ops = m->ops;
  enum tpo_reach reach = tpo_layer_reach(&m->arch, layer);
  const struct tpo_paged_rows *paged = &rows->paged[reach];
  struct tpo_attention_shape shape = tpo_reach_shape(m, reach);
  if (rows->kv) {
    ops->rope_kv_write(m->be, &rows->kv[layer], s->qkv, NULL, m->cos_sin, shape, paged);
    ops->attention_paged(m->be, &rows->kv[layer], s->qkv, s->attn, shape, paged);
  } else {
    ops->rope(m->be, s->qkv, rows->pos, m->cos_sin, shape, rows->n, false);
    ops->attention(m->be, s->qkv, s->attn, s->lse, shape, rows->cu_seqlens, rows->n_seqs);
  }
}

void tpo_layer_recompute(struct tpo_model *m, int layer, const struct tpo_rows *rows,
                         const struct tpo_layer_state *s, const struct tpo_layer_scratch *w)
{
  const struct tpo_ops *ops = m->ops;
  const struct tpo_layer *p = &m->layers[layer];
  int n = rows->n, hidden = m->arch.hidden;
  float eps = (float)m->arch.rms_eps;

  ops->rms_norm(m->be, s->in, p->input_norm.vector, w->normed, s->rstd_in, n, hidden, eps);
  ops->linear_forward(m->be, p->qkv.linear, w->normed, s->qkv, n);
  attend(m, layer, rows, s);
  ops->linear_forward_add(m->be, p->o.linear, s->attn, s->in, s->mid, n);

  ops->rms_norm(m->be, s->mid, p->post_norm.vector, w->normed, s->rstd_mid, n, hidden, eps);
  ops->linear_forward(m->be, p->gate_up.linear, w->normed, s->gate_up, n);
}

void tpo_layer_forward(struct tpo_model *m, int layer, const struct tpo_rows *rows,
                       const struct tpo_layer_state *s, const struct tpo_layer_scratch *w)
{
  tpo_layer_recompute(m, layer, rows, s, w);
  m->ops->swiglu(m->be, s->gate_up, w->act, rows->n, m->arch.ffn);
  m->ops->linear_forward_add(m->be, m->layers[layer].down.linear, w->act, s->mid, s->out, rows->n);
}

void tpo_layer_backward(struct tpo_model *m, int layer, const struct tpo_rows *rows,
                        const struct tpo_layer_state *s, const struct tpo_layer_scratch *w, void *dx,
                        float *grad)
{
  const struct tpo_ops *ops = m->ops;
  const struct tpo_layer *p = &m->layers[layer];
  int n = rows->n, hidden = m->arch.hidden, ffn = m->arch.ffn;
  float eps = (float)m->arch.rms_eps;

  ops->swiglu(m->be, s->gate_up, w->act, n, ffn);
  ops->linear_backward_weight(m->be, p->down.linear, dx, w->act, grad + p->down.offset, n);
  ops->linear_backward_input(m->be, p->down.linear, dx, w->dact, n, false);
  ops->swiglu_backward(m->be, w->dact, s->gate_up, w->dgate_up, n, ffn);
  ops->rms_norm(m->be, s->mid, p->post_norm.vector, w->normed, NULL, n, hidden, eps);
  ops->linear_backward_weight(m->be, p->gate_up.linear, w->dgate_up, w->normed, grad + p->gate_up.offset, n);
  ops->linear_backward_input(m->be, p->gate_up.linear, w->dgate_up, w->dnormed, n, false);
  ops->rms_norm_backward(m->be, w->dnormed, s->mid, p->post_norm.vector, s->rstd_mid, dx,
                         grad + p->post_norm.offset, n, hidden);

  ops->linear_backward_weight(m->be, p->o.linear, dx, s->attn, grad + p->o.offset, n);
  ops->linear_backward_input(m->be, p->o.linear, dx, w->dattn, n, false);
  ops->attention_backward(m->be, w->dattn, s->qkv, s->attn, s->lse, w->dqkv, m->shape, rows->cu_seqlens,
                          rows->n_seqs);
  ops->rope(m->be, w->dqkv, rows->pos, m->cos_sin, m->shape, n, true);
  ops->rms_norm(m->be, s->in, p->input_norm.vector, w->normed, NULL, n, hidden, eps);
  ops->linear_backward_weight(m->be, p->qkv.linear, w->dqkv, w->normed, grad + p->qkv.offset, n);
  ops->linear_backward_input(m->be, p->qkv.linear, w->dqkv, w->dnormed, n, false);
  ops->rms_norm_backward(m->be, w->dnormed, s->in, p->input_norm.vector, s->rstd_in, dx,
                         grad + p->input_norm.offset, n, hidden);
}

void tpo_head_forward(struct tpo_model *m, const void *x, const struct tpo_head_state *s, int n)
{
  m->ops->gather_rows(m->be, x, s->index, s->in, n, m->arch.hidden);
  m->ops->rms_norm(m->be, s->in, m->final_norm.vector, s->normed, s->rstd, n, m->arch.hidden,
                   (float)m->arch.rms_eps);
  m->ops->lm_head_logprob(m->be, m->lm_head.linear, s->normed, s->targets, s->logprob, s->lse, n, 0);
}

void tpo_head_backward(struct tpo_model *m, const struct tpo_head_state *s, int n_wanted, void *dx, int n,
                       float *grad)
{
  float *dnorm = grad + m->final_norm.offset, *dhead = grad + m->lm_head.offset;
  m->ops->lm_head_logprob_backward(m->be, m->lm_head.linear, s->normed, s->targets, s->lse, s->dlogprob,
                                   s->dnormed, dhead, n_wanted, 0);
  m->ops->zero(m->be, s->din, (size_t)n_wanted * (size_t)m->arch.hidden * m->ops->activation_size);
  m->ops->rms_norm_backward(m->be, s->dnormed, s->in, m->final_norm.vector, s->rstd, s->din, dnorm, n_wanted,
                            m->arch.hidden);
  m->ops->scatter_rows(m->be, s->din, s->index, dx, n_wanted, n, m->arch.hidden);
}
