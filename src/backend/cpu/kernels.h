/* Operations of the CPU backend other than matrix products; see ops.h for their meaning. */
#ifndef TPO_BACKEND_CPU_KERNELS_H
#define TPO_BACKEND_CPU_KERNELS_H

#include "backend/cpu/cpu.h"

size_t tpo_cpu_training_scratch(struct tpo_backend *be, const struct tpo_training_shape *shape);
void tpo_cpu_rms_norm(struct tpo_backend *be, const void *x, const float *w, void *y, float *rstd, int n,
                      int dim, float eps);
void tpo_cpu_rms_norm_backward(struct tpo_backend *be, const void *dy, const void *x, const float *w,
                               const float *rstd, void *dx, float *dw, int n, int dim);
void tpo_cpu_bias_backward(struct tpo_backend *be, const void *dy, float *dbias, int n, int dim);
void tpo_cpu_add_scaled(struct tpo_backend *be, const void *base, const void *x, void *y, float scale,
                        size_t n);
void tpo_cpu_shift(struct tpo_backend *be, const float *x, float *y, float by, size_t n);
void tpo_cpu_qk_norm(struct tpo_backend *be, const void *raw, void *qkv, const struct tpo_qk_norm *norm,
                     float *rstd, struct tpo_attention_shape shape, int n);
void tpo_cpu_qk_norm_backward(struct tpo_backend *be, void *dqkv, const void *raw,
                              const struct tpo_qk_norm *norm, const float *rstd, float *dq, float *dk,
                              struct tpo_attention_shape shape, int n);
void tpo_cpu_rope(struct tpo_backend *be, void *qkv, const int32_t *pos, const float *cos_sin,
                  struct tpo_attention_shape shape, int n, bool inverse);
void tpo_cpu_kv_write(struct tpo_backend *be, const struct tpo_kv_layer *kv, const void *qkv,
                      struct tpo_attention_shape shape, const struct tpo_paged_rows *rows);
void tpo_cpu_rope_kv_write(struct tpo_backend *be, const struct tpo_kv_layer *kv, void *qkv,
                           const struct tpo_qk_norm *norm, const float *cos_sin,
                           struct tpo_attention_shape shape, const struct tpo_paged_rows *rows);
void tpo_cpu_paged_prepare(struct tpo_backend *be, struct tpo_paged_rows *rows,
                           const struct tpo_paged_host *host, struct tpo_attention_shape shape,
                           int block_tokens);
void tpo_cpu_attention_paged(struct tpo_backend *be, const struct tpo_kv_layer *kv, const void *qkv,
                             void *out, struct tpo_attention_shape shape, const struct tpo_paged_rows *rows);
void tpo_cpu_kv_copy_block(struct tpo_backend *be, const struct tpo_kv_layer *kv, int dst, int src,
                           int tokens);
void tpo_cpu_attention(struct tpo_backend *be, const void *qkv, void *out, float *lse,
                       struct tpo_attention_shape shape, const int32_t *cu_seqlens_host, int n_seqs);
void tpo_cpu_attention_backward(struct tpo_backend *be, const void *dout, const void *qkv, const void *out,
                                const float *lse, void *dqkv, struct tpo_attention_shape shape,
                                const int32_t *cu_seqlens_host, int n_seqs);
void tpo_cpu_swiglu(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim);
void tpo_cpu_swiglu_backward(struct tpo_backend *be, const void *dout, const void *gate_up, void *dgate_up,
                             int n, int dim);
void tpo_cpu_geglu(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim);
void tpo_cpu_geglu_backward(struct tpo_backend *be, const void *dout, const void *gate_up, void *dgate_up,
                            int n, int dim);
void tpo_cpu_sample(struct tpo_backend *be, const float *logits, const struct tpo_sample_params *params_host,
                    int32_t *token, float *logprob, int n, int vocab);
void tpo_cpu_token_logprob(struct tpo_backend *be, const float *logits, const int32_t *token, float *logprob,
                           int n, int vocab);
void tpo_cpu_repetition_penalty(struct tpo_backend *be, float *logits, const int32_t *rows,
                                const int32_t *tokens, int n_items, float penalty, int vocab);
void tpo_cpu_gather_rows(struct tpo_backend *be, const void *x, const int32_t *index, void *out, int n,
                         int dim);
void tpo_cpu_scatter_rows(struct tpo_backend *be, const void *dout, const int32_t *index, void *dx, int n,
                          int n_total, int dim);
void tpo_cpu_adamw(struct tpo_backend *be, float *param, const float *grad, float *m, float *v, size_t n,
                   const struct tpo_adamw_args *args, void *weights, enum tpo_dtype weights_dtype);
double tpo_cpu_sum_squares(struct tpo_backend *be, const float *x, size_t n);
void tpo_cpu_dequantise(struct tpo_backend *be, const void *raw, uint32_t ggml_type, float *out, size_t n);
void tpo_cpu_preference_loss(struct tpo_backend *be, const float *logprob, float *dlogprob,
                             const struct tpo_loss_pair *pairs_host, struct tpo_loss_result *results_host,
                             int n_pairs, const struct tpo_loss_args *args);

#endif
