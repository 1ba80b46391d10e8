/* The reference backend: what every operation of ops.h means, as plainly as C says it.
 * Values are fp32 where ops.h has fp32; sums are taken in double precision,
 * in the order of the formula. Slow. */
#ifndef TPO_BACKEND_REFERENCE_REFERENCE_H
#define TPO_BACKEND_REFERENCE_REFERENCE_H

#include "backend/backend.h"

struct tpo_reference_backend {
  struct tpo_backend base;
  struct tpo_error error; /* the first since the last check */
};

/* Zeroed doubles for one call, to be freed; NULL when memory is short, which is remembered for check(). */
double *tpo_reference_buffer(struct tpo_backend *be, size_t count);

int tpo_reference_linear_create(struct tpo_backend *be, int rows, int cols, enum tpo_dtype dtype,
                                struct tpo_linear **out, struct tpo_error *err);
void tpo_reference_linear_free(struct tpo_backend *be, struct tpo_linear *w);
void tpo_reference_linear_set(struct tpo_backend *be, struct tpo_linear *w, int row0, int n_rows,
                              const void *src, enum tpo_dtype src_dtype);
void tpo_reference_linear_get(struct tpo_backend *be, const struct tpo_linear *w, int row0, int n_rows,
                              float *dst);
void tpo_reference_linear_forward(struct tpo_backend *be, const struct tpo_linear *w, const void *x, void *y,
                                  int n);
void tpo_reference_linear_forward_add(struct tpo_backend *be, const struct tpo_linear *w, const void *x,
                                      const void *base, void *y, int n);
void tpo_reference_linear_forward_bias(struct tpo_backend *be, const struct tpo_linear *w, const float *bias,
                                       const void *x, void *y, int n);
void tpo_reference_bias_backward(struct tpo_backend *be, const void *dy, float *dbias, int n, int dim);
void tpo_reference_linear_backward_input(struct tpo_backend *be, const struct tpo_linear *w, const void *dy,
                                         void *dx, int n, bool add);
void tpo_reference_linear_backward_weight(struct tpo_backend *be, const struct tpo_linear *w, const void *dy,
                                          const void *x, float *dw, int n);
void tpo_reference_embed(struct tpo_backend *be, const struct tpo_linear *table, const int32_t *ids,
                         void *out, int n);
void tpo_reference_embed_backward(struct tpo_backend *be, const int32_t *ids, const void *dout, float *dtable,
                                  int n, int dim);
void tpo_reference_lm_head_logprob(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                                   const int32_t *targets, float *logprob, float *lse, int n, float softcap);
void tpo_reference_lm_head_logprob_backward(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                                            const int32_t *targets, const float *lse, const float *dlogprob,
                                            void *dh, float *dw, int n, float softcap);
void tpo_reference_lm_head_logits(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                                  float *logits, int n, float softcap);

void tpo_reference_rms_norm(struct tpo_backend *be, const void *x, const float *w, void *y, float *rstd,
                            int n, int dim, float eps);
void tpo_reference_rms_norm_backward(struct tpo_backend *be, const void *dy, const void *x, const float *w,
                                     const float *rstd, void *dx, float *dw, int n, int dim);
void tpo_reference_add_scaled(struct tpo_backend *be, const void *base, const void *x, void *y, float scale,
                              size_t n);
void tpo_reference_shift(struct tpo_backend *be, const float *x, float *y, float by, size_t n);
void tpo_reference_qk_norm(struct tpo_backend *be, const void *raw, void *qkv, const struct tpo_qk_norm *norm,
                           float *rstd, struct tpo_attention_shape shape, int n);
void tpo_reference_qk_norm_backward(struct tpo_backend *be, void *dqkv, const void *raw,
                                    const struct tpo_qk_norm *norm, const float *rstd, float *dq, float *dk,
                                    struct tpo_attention_shape shape, int n);
void tpo_reference_rope(struct tpo_backend *be, void *qkv, const int32_t *pos, const float *cos_sin,
                        struct tpo_attention_shape shape, int n, bool inverse);
void tpo_reference_swiglu(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim);
void tpo_reference_swiglu_backward(struct tpo_backend *be, const void *dout, const void *gate_up,
                                   void *dgate_up, int n, int dim);
void tpo_reference_geglu(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim);
void tpo_reference_geglu_backward(struct tpo_backend *be, const void *dout, const void *gate_up,
                                  void *dgate_up, int n, int dim);
void tpo_reference_gather_rows(struct tpo_backend *be, const void *x, const int32_t *index, void *out, int n,
                               int dim);
void tpo_reference_scatter_rows(struct tpo_backend *be, const void *dout, const int32_t *index, void *dx,
                                int n, int n_total, int dim);
void tpo_reference_adamw(struct tpo_backend *be, float *param, const float *grad, float *m, float *v,
                         size_t n, const struct tpo_adamw_args *args, void *weights,
                         enum tpo_dtype weights_dtype);
double tpo_reference_sum_squares(struct tpo_backend *be, const float *x, size_t n);
void tpo_reference_dequantise(struct tpo_backend *be, const void *raw, uint32_t ggml_type, float *out,
                              size_t n);
void tpo_reference_preference_loss(struct tpo_backend *be, const float *logprob, float *dlogprob,
                                   const struct tpo_loss_pair *pairs_host,
                                   struct tpo_loss_result *results_host, int n_pairs,
                                   const struct tpo_loss_args *args);

void tpo_reference_kv_write(struct tpo_backend *be, const struct tpo_kv_layer *kv, const void *qkv,
                            struct tpo_attention_shape shape, const struct tpo_paged_rows *rows);
void tpo_reference_rope_kv_write(struct tpo_backend *be, const struct tpo_kv_layer *kv, void *qkv,
                                 const struct tpo_qk_norm *norm, const float *cos_sin,
                                 struct tpo_attention_shape shape, const struct tpo_paged_rows *rows);
void tpo_reference_paged_prepare(struct tpo_backend *be, struct tpo_paged_rows *rows,
                                 const struct tpo_paged_host *host, struct tpo_attention_shape shape,
                                 int block_tokens);
void tpo_reference_attention_paged(struct tpo_backend *be, const struct tpo_kv_layer *kv, const void *qkv,
                                   void *out, struct tpo_attention_shape shape,
                                   const struct tpo_paged_rows *rows);
void tpo_reference_kv_copy_block(struct tpo_backend *be, const struct tpo_kv_layer *kv, int dst, int src,
                                 int tokens);
void tpo_reference_attention(struct tpo_backend *be, const void *qkv, void *out, float *lse,
                             struct tpo_attention_shape shape, const int32_t *cu_seqlens_host, int n_seqs);
void tpo_reference_attention_backward(struct tpo_backend *be, const void *dout, const void *qkv,
                                      const void *out, const float *lse, void *dqkv,
                                      struct tpo_attention_shape shape, const int32_t *cu_seqlens_host,
                                      int n_seqs);

void tpo_reference_sample(struct tpo_backend *be, const float *logits,
                          const struct tpo_sample_params *params_host, int32_t *token, float *logprob, int n,
                          int vocab);
void tpo_reference_token_logprob(struct tpo_backend *be, const float *logits, const int32_t *token,
                                 float *logprob, int n, int vocab);
void tpo_reference_repetition_penalty(struct tpo_backend *be, float *logits, const int32_t *rows,
                                      const int32_t *tokens, int n_items, float penalty, int vocab);

#endif
