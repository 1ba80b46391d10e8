/* The launchers behind backend/ops.h, a block for each file. `Act` is the activations' type: each file
 * instantiates its templates for float and __nv_bfloat16. Shapes and meanings are ops.h's. */
#ifndef TPO_CUDA_OPS_CUH
#define TPO_CUDA_OPS_CUH

#include "backend.cuh"

/* memory.cu */
int tpo_cuda_alloc(struct tpo_backend *be, size_t bytes, void **out, struct tpo_error *err);
void tpo_cuda_free(struct tpo_backend *be, void *p);
void tpo_cuda_download(struct tpo_backend *be, void *host_dst, const void *src, size_t bytes);
void tpo_cuda_copy(struct tpo_backend *be, void *dst, const void *src, size_t bytes);
void tpo_cuda_zero(struct tpo_backend *be, void *dst, size_t bytes);
int tpo_cuda_check(struct tpo_backend *be, struct tpo_error *err);
size_t tpo_cuda_memory_available(struct tpo_backend *be);
void tpo_cuda_fetch_begin(struct tpo_backend *be, int slot, const void *src, size_t bytes);
int tpo_cuda_fetch_end(struct tpo_backend *be, int slot, void *host_dst, size_t bytes, struct tpo_error *err);
int tpo_cuda_staging_open(struct tpo_cuda *cuda, struct tpo_error *err);
void tpo_cuda_staging_close(struct tpo_cuda *cuda);

/* training.cu */
size_t tpo_cuda_training_bytes(struct tpo_backend *be, const struct tpo_training_shape *shape);
template <class Act>
int tpo_cuda_training_reserve(struct tpo_backend *be, const struct tpo_training_shape *shape,
                              struct tpo_error *err);
/* What these take of their slots: lm_head.cu, rows of any number up to n; backward of norm.cu, columns.cu and
 * qk_norm.cu. */
template <class Act> size_t tpo_cuda_lm_head_scratch(int vocab, int n);
size_t tpo_cuda_norm_scratch(const struct tpo_cuda *cuda, int dim);
size_t tpo_cuda_bias_scratch(const struct tpo_cuda *cuda, int dim);
size_t tpo_cuda_qk_norm_scratch(const struct tpo_cuda *cuda, struct tpo_attention_shape shape);

/* graph.cu */
int tpo_cuda_replay(struct tpo_backend *be, uint64_t key);
void tpo_cuda_record_end(struct tpo_backend *be);
void tpo_cuda_forget(struct tpo_backend *be);
bool tpo_cuda_recording(const struct tpo_cuda *cuda);
int tpo_cuda_record_open(struct tpo_cuda *cuda, struct tpo_error *err);
void tpo_cuda_record_close(struct tpo_cuda *cuda);

/* gemm.cu */
int tpo_cuda_gemm_open(struct tpo_cuda *cuda, struct tpo_error *err);
void tpo_cuda_gemm_close(struct tpo_cuda *cuda);

/* linear.cu */
struct tpo_linear {
  int rows, cols; /* output features, input features */
  enum tpo_dtype dtype;
  void *data; /* [rows, cols] row-major, of dtype */
};
int tpo_cuda_linear_create(struct tpo_backend *be, int rows, int cols, enum tpo_dtype dtype,
                           struct tpo_linear **out, struct tpo_error *err);
void tpo_cuda_linear_free(struct tpo_backend *be, struct tpo_linear *w);
void tpo_cuda_linear_set(struct tpo_backend *be, struct tpo_linear *w, int row0, int n_rows, const void *src,
                         enum tpo_dtype src_dtype);
void tpo_cuda_linear_get(struct tpo_backend *be, const struct tpo_linear *w, int row0, int n_rows,
                         float *dst);
template <class Act>
void tpo_cuda_linear_forward(struct tpo_backend *be, const struct tpo_linear *w, const void *x, void *y,
                             int n);
template <class Act>
void tpo_cuda_linear_forward_add(struct tpo_backend *be, const struct tpo_linear *w, const void *x,
                                 const void *base, void *y, int n);
template <class Act>
void tpo_cuda_linear_forward_bias(struct tpo_backend *be, const struct tpo_linear *w, const float *bias,
                                  const void *x, void *y, int n);
template <class Act>
void tpo_cuda_linear_backward_input(struct tpo_backend *be, const struct tpo_linear *w, const void *dy,
                                    void *dx, int n, bool add);
template <class Act>
void tpo_cuda_linear_backward_weight(struct tpo_backend *be, const struct tpo_linear *w, const void *dy,
                                     const void *x, float *dw, int n);
/* The product that lm_head.cu builds on: logits [n, count] fp32 = h [n, cols] W[row0 .. row0 + count)^T, the
 * same bits for a row whatever n and the division into calls; count >= 1. */
template <class Act>
void tpo_cuda_logits(struct tpo_cuda *cuda, const struct tpo_linear *w, int row0, int count, const void *h,
                     float *logits, int n);
/* dh [n, cols] (+)= dz [n, count] W[row0..]; dw [row0 .., cols] += dz^T h. dz is of type Act. */
template <class Act>
void tpo_cuda_logits_backward(struct tpo_cuda *cuda, const struct tpo_linear *w, int row0, int count,
                              const Act *dz, const void *h, void *dh, bool add, float *dw, int n);

/* rows.cu */
template <class Act>
void tpo_cuda_embed(struct tpo_backend *be, const struct tpo_linear *table, const int32_t *ids, void *out,
                    int n);
template <class Act>
void tpo_cuda_embed_backward(struct tpo_backend *be, const int32_t *ids, const void *dout, float *dtable,
                             int n, int dim);
template <class Act>
void tpo_cuda_gather_rows(struct tpo_backend *be, const void *x, const int32_t *index, void *out, int n,
                          int dim);
template <class Act>
void tpo_cuda_scatter_rows(struct tpo_backend *be, const void *dout, const int32_t *index, void *dx, int n,
                           int n_total, int dim);
void tpo_cuda_select_ids(struct tpo_backend *be, int32_t *ids, const int32_t *from, const int32_t *tokens,
                         int n);

/* convert.cu: out[i] = in[i] between fp32, fp16 and bf16; used by linear_set and linear_get. */
void tpo_cuda_convert(struct tpo_cuda *cuda, void *out, enum tpo_dtype out_dtype, const void *in,
                      enum tpo_dtype in_dtype, size_t n);

/* dequantise.cu */
void tpo_cuda_dequantise(struct tpo_backend *be, const void *raw, uint32_t ggml_type, float *out, size_t n);

/* norm.cu */
template <class Act>
void tpo_cuda_rms_norm(struct tpo_backend *be, const void *x, const float *w, void *y, float *rstd, int n,
                       int dim, float eps);
template <class Act>
void tpo_cuda_rms_norm_backward(struct tpo_backend *be, const void *dy, const void *x, const float *w,
                                const float *rstd, void *dx, float *dw, int n, int dim);

/* columns.cu */
template <class Act>
void tpo_cuda_bias_backward(struct tpo_backend *be, const void *dy, float *dbias, int n, int dim);
/* dw [dim] += partial [n_partial, dim], in a fixed order. */
void tpo_cuda_add_partial(struct tpo_cuda *cuda, float *dw, const float *partial, int n_partial, int dim);

/* qk_norm.cu */
template <class Act>
void tpo_cuda_qk_norm(struct tpo_backend *be, const void *raw, void *qkv, const struct tpo_qk_norm *norm,
                      float *rstd, struct tpo_attention_shape shape, int n);
template <class Act>
void tpo_cuda_qk_norm_backward(struct tpo_backend *be, void *dqkv, const void *raw,
                               const struct tpo_qk_norm *norm, const float *rstd, float *dq, float *dk,
                               struct tpo_attention_shape shape, int n);

/* rope.cu */
template <class Act>
void tpo_cuda_rope(struct tpo_backend *be, void *qkv, const int32_t *pos, const float *cos_sin,
                   struct tpo_attention_shape shape, int n, bool inverse);
template <class Act>
void tpo_cuda_kv_write(struct tpo_backend *be, const struct tpo_kv_layer *kv, const void *qkv,
                       struct tpo_attention_shape shape, const struct tpo_paged_rows *rows);
template <class Act>
void tpo_cuda_rope_kv_write(struct tpo_backend *be, const struct tpo_kv_layer *kv, void *qkv,
                            const struct tpo_qk_norm *norm, const float *cos_sin,
                            struct tpo_attention_shape shape, const struct tpo_paged_rows *rows);
void tpo_cuda_kv_copy_block(struct tpo_backend *be, const struct tpo_kv_layer *kv, int dst, int src,
                            int tokens);

/* attention_paged.cu */
int tpo_cuda_paged_open(struct tpo_cuda *cuda, struct tpo_error *err);
void tpo_cuda_paged_close(struct tpo_cuda *cuda);
/* A pass begins: what was prepared before is of another. */
void tpo_cuda_paged_begin(struct tpo_cuda *cuda);
/* Bits: whether the plan of rows that see everything, and that of a window, have parts to fold in this pass: a
 * kernel more, so that its recording is another. */
unsigned tpo_cuda_paged_folds(const struct tpo_cuda *cuda);
void tpo_cuda_paged_prepare(struct tpo_backend *be, struct tpo_paged_rows *rows,
                            const struct tpo_paged_host *host, struct tpo_attention_shape shape,
                            int block_tokens);
template <class Act>
void tpo_cuda_attention_paged(struct tpo_backend *be, const struct tpo_kv_layer *kv, const void *qkv,
                              void *out, struct tpo_attention_shape shape, const struct tpo_paged_rows *rows);

/* attention.cu, attention_backward.cu */
template <class Act>
void tpo_cuda_attention(struct tpo_backend *be, const void *qkv, void *out, float *lse,
                        struct tpo_attention_shape shape, const int32_t *cu_seqlens_host, int n_seqs);
template <class Act>
void tpo_cuda_attention_backward(struct tpo_backend *be, const void *dout, const void *qkv, const void *out,
                                 const float *lse, void *dqkv, struct tpo_attention_shape shape,
                                 const int32_t *cu_seqlens_host, int n_seqs);

/* glu.cu */
template <class Act>
void tpo_cuda_swiglu(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim);
template <class Act>
void tpo_cuda_swiglu_backward(struct tpo_backend *be, const void *dout, const void *gate_up, void *dgate_up,
                              int n, int dim);
template <class Act>
void tpo_cuda_geglu(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim);
template <class Act>
void tpo_cuda_geglu_backward(struct tpo_backend *be, const void *dout, const void *gate_up, void *dgate_up,
                             int n, int dim);

/* elementwise.cu */
template <class Act>
void tpo_cuda_add_scaled(struct tpo_backend *be, const void *base, const void *x, void *y, float scale,
                         size_t n);
void tpo_cuda_shift(struct tpo_backend *be, const float *x, float *y, float by, size_t n);
/* Logits [n] in place, as lm_head.cu's kernels cap what they read. */
void tpo_cuda_cap_logits(struct tpo_cuda *cuda, float *logits, float softcap, size_t n);

/* lm_head.cu */
template <class Act>
void tpo_cuda_lm_head_logprob(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                              const int32_t *targets, float *logprob, float *lse, int n, float softcap);
template <class Act>
void tpo_cuda_lm_head_logprob_backward(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                                       const int32_t *targets, const float *lse, const float *dlogprob,
                                       void *dh, float *dw, int n, float softcap);
template <class Act>
void tpo_cuda_lm_head_logits(struct tpo_backend *be, const struct tpo_linear *w, const void *h, float *logits,
                             int n, float softcap);

/* sample.cu */
void tpo_cuda_sample(struct tpo_backend *be, const float *logits, const struct tpo_sample_params *params_host,
                     int32_t *token, float *logprob, int n, int vocab);
void tpo_cuda_token_logprob(struct tpo_backend *be, const float *logits, const int32_t *token, float *logprob,
                            int n, int vocab);
void tpo_cuda_repetition_penalty(struct tpo_backend *be, float *logits, const int32_t *rows,
                                 const int32_t *tokens, int n_items, float penalty, int vocab);

/* preference_loss.cu */
void tpo_cuda_preference_loss(struct tpo_backend *be, const float *logprob, float *dlogprob,
                              const struct tpo_loss_pair *pairs_host, struct tpo_loss_result *results_host,
                              int n_pairs, const struct tpo_loss_args *args);

/* optimizer.cu */
void tpo_cuda_adamw(struct tpo_backend *be, float *param, const float *grad, float *m, float *v, size_t n,
                    const struct tpo_adamw_args *args, void *weights, enum tpo_dtype weights_dtype);
double tpo_cuda_sum_squares(struct tpo_backend *be, const float *x, size_t n);

#endif
