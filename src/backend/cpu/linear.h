/* Weight matrices in packed form, and the operations that use them. */
#ifndef TPO_BACKEND_CPU_LINEAR_H
#define TPO_BACKEND_CPU_LINEAR_H

#include "backend/cpu/cpu.h"

/* Packed as panels of `panel` output features: words [n_panels, k_words, panel] of 32 bits. With TPO_F32 a
 * word is one weight; with TPO_BF16 it is the pair of input features 2k (low half) and 2k+1. What lies past
 * the matrix is zero. */
struct tpo_linear {
  int rows, cols; /* output features, input features */
  enum tpo_dtype dtype;
  int panel;    /* output features a panel */
  int n_panels; /* ceil(rows / panel) */
  int k_words;  /* cols, or ceil(cols / 2) with bf16 */
  uint32_t *words;
};

/* Rows and vocabulary entries of the gradient of the LM head's logits that exist at once. */
#define TPO_HEAD_ROWS 1024
#define TPO_HEAD_COLS 1536

int tpo_cpu_linear_create(struct tpo_backend *be, int rows, int cols, enum tpo_dtype dtype,
                          struct tpo_linear **out, struct tpo_error *err);
void tpo_cpu_linear_free(struct tpo_backend *be, struct tpo_linear *w);
void tpo_cpu_linear_set(struct tpo_backend *be, struct tpo_linear *w, int row0, int n_rows, const void *src,
                        enum tpo_dtype src_dtype);
void tpo_cpu_linear_get(struct tpo_backend *be, const struct tpo_linear *w, int row0, int n_rows, float *dst);
void tpo_cpu_linear_forward(struct tpo_backend *be, const struct tpo_linear *w, const void *x, void *y,
                            int n);
void tpo_cpu_linear_forward_add(struct tpo_backend *be, const struct tpo_linear *w, const void *x,
                                const void *base, void *y, int n);
void tpo_cpu_linear_forward_bias(struct tpo_backend *be, const struct tpo_linear *w, const float *bias,
                                 const void *x, void *y, int n);
void tpo_cpu_linear_backward_input(struct tpo_backend *be, const struct tpo_linear *w, const void *dy,
                                   void *dx, int n, bool add);
void tpo_cpu_linear_backward_weight(struct tpo_backend *be, const struct tpo_linear *w, const void *dy,
                                    const void *x, float *dw, int n);
void tpo_cpu_embed(struct tpo_backend *be, const struct tpo_linear *table, const int32_t *ids, void *out,
                   int n);
void tpo_cpu_embed_backward(struct tpo_backend *be, const int32_t *ids, const void *dout, float *dtable,
                            int n, int dim);
void tpo_cpu_lm_head_logprob(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                             const int32_t *targets, float *logprob, float *lse, int n, float softcap);
void tpo_cpu_lm_head_logprob_backward(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                                      const int32_t *targets, const float *lse, const float *dlogprob,
                                      void *dh, float *dw, int n, float softcap);
void tpo_cpu_lm_head_logits(struct tpo_backend *be, const struct tpo_linear *w, const void *h, float *logits,
                            int n, float softcap);

#endif
