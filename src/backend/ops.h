/* The table of tensor operations: the seam between models and machines.
 *
 * A model is a list of calls through this table; a backend (cpu, cuda, reference) implements all of it.
 * The reference backend is the plain meaning of every operation; the others are compared with it.
 *
 * Conventions
 * - Pointers named below without "host" are memory of the backend (alloc).
 *   On the CPU that is ordinary memory.
 * - Shapes stand in comments, row-major, last dimension contiguous: // [n, dim].
 * - Activations are `act`: fp32 on the CPU backends; CUDA has one table with fp32 and one with bf16
 *   activations (activation_size is then 2), which tpo_ops_for chooses by the model's dtype.
 *   Norm weights, rope tables, gradients of weights, log-probabilities, lse and optimizer state
 *   are always fp32.
 * - Names ending in `_backward` add into weight gradients (dw += ...)
 *   and write (not add) activation gradients, unless the comment says otherwise.
 * - Row results never depend on the other rows of a call: the same row gives the same bits whatever n is and
 *   wherever it stands (batch invariance, tested bitwise). Reduction orders are fixed. Weight gradients are
 *   sums over rows, in a fixed order for the same call at any number of threads.
 * - Operations cannot fail by themselves; a backend that can (a GPU)
 *   keeps its first error and `check` reports it. */
#ifndef TPO_BACKEND_OPS_H
#define TPO_BACKEND_OPS_H

#include <math.h>

#include "base/dtype.h"
#include "tpo/backend.h"

/* A weight matrix [rows = out features, cols = in features] in the layout that the backend computes with. */
struct tpo_linear;

/* Paged KV cache of one layer. Position p of a sequence lives in block table[p / block_tokens], row p %
 * block_tokens. Only kv_write, attention_paged and kv_copy_block touch the cache: inside one head of one
 * block, a backend orders the block_tokens * head_dim numbers as suits it. */
struct tpo_kv_layer {
  void *k, *v;          /* [n_blocks, kv_heads, block_tokens, head_dim] of kv_dtype */
  enum tpo_dtype dtype; /* TPO_F32 or TPO_BF16 */
  int block_tokens;
  int kv_heads, head_dim;
};

/* How each row of a decode or prefill pass maps onto the cache. */
struct tpo_paged_rows {
  int n;              /* rows */
  const int32_t *seq; /* [n] row of block_table */
  const int32_t *pos; /* [n] position of the row's token; it attends to positions 0..pos, or to a window's */
  /* [n] the row of cos_sin that it is rotated by, where a table serves sequences of several kinds; NULL: pos */
  const int32_t *rope_at;
  /* [n_seqs, max_blocks] block numbers; those of blocks that lie wholly before the window are not looked at */
  const int32_t *blocks;
  int max_blocks;
  /* what paged_prepare left for attention_paged; the backend's own, NULL where it has none */
  const void *plan;
};

/* The same rows in host memory, for paged_prepare. */
struct tpo_paged_host {
  const int32_t *seq, *pos, *blocks; /* as in tpo_paged_rows */
  int n_seqs;
};

/* Which kind of forward pass begins. Within one kind a row's results don't depend on the other rows; between
 * the kinds they agree to rounding (a GPU uses other matrix kernels for few rows than for many). */
enum tpo_pass_kind { TPO_PASS_PACKED, TPO_PASS_PAGED };

/* The loss of preference pairs (backend/preference_loss.h has the formulas). */
struct tpo_loss_args {
  enum tpo_preference_loss kind;
  double beta, label_smoothing, nll;
  double scale; /* derivatives are multiplied by this: 1 / pairs of the global batch */
};
struct tpo_loss_pair {      /* host memory */
  int32_t chosen, n_chosen; /* values [chosen, chosen + n_chosen) of logprob belong to the chosen output */
  int32_t rejected, n_rejected; /* and these to the rejected one */
  double ref_chosen, ref_rejected;
  double nll_tokens; /* the NLL term is divided by this */
};
struct tpo_loss_result {
  double chosen, rejected; /* sums of log-probabilities */
  double loss, margin;
  double by_chosen, by_rejected; /* derivatives by the sums, scaled: what each of an output's values gets */
};

/* Zero in what follows the sizes: as in most models. */
struct tpo_attention_shape {
  int heads, kv_heads, head_dim; /* heads % kv_heads == 0 */
  int rotated;                   /* features of a head that are rotated, the first of them, even; 0: all */
  int window;                    /* a token attends to this many, itself the last; 0: all before it */
  float scale;                   /* of q . k; 0: 1/sqrt(head_dim) */
  float softcap;                 /* scores s become softcap * tanh(s / softcap); 0: they stay */
};

/* RMSNorm of queries and keys before their rotation. */
struct tpo_qk_norm {
  const float *q, *k; // [head_dim] for each head alike; `whole`: [heads * head_dim], [kv_heads * head_dim]
  bool whole;         /* the mean is taken over all heads together */
  float eps;
};

/* How one row of logits is turned into a token. */
struct tpo_sample_params {
  float temperature; /* 0: greedy (lowest id among equals) */
  float top_p;       /* 1: off */
  float min_p;       /* 0: off */
  int32_t top_k;     /* 0: off */
  float uniform;     /* [0, 1), from tpo_sample_uniform */
};

struct tpo_adamw_args {
  float lr, beta1, beta2, eps, weight_decay;
  float bias1, bias2; /* 1 - beta1^step, 1 - beta2^step */
  float grad_scale;   /* gradients are multiplied by this first (clipping, normalisation) */
};

/* What decides how much scratch memory the passes of training take besides what their callers give them. */
struct tpo_training_shape {
  struct tpo_attention_shape attention;
  int hidden, ffn, vocab;
  int tokens;             /* of a pass, at most */
  int longest;            /* of a sequence, at most */
  enum tpo_dtype weights; /* of linear layers */
};

#define TPO_FETCH_SLOTS 4

struct tpo_ops {
  const char *name;       /* "cpu", "cuda", "reference" */
  size_t activation_size; /* bytes of one `act` */
  size_t asynchronous; /* 1: calls return before their work is done, so a caller gains by having more ready */

  /* Memory. alloc gives 64-byte aligned, zeroed memory; its failure says how much was asked for and free. */
  int (*alloc)(struct tpo_backend *be, size_t bytes, void **out, struct tpo_error *err);
  void (*free)(struct tpo_backend *be, void *p);
  void (*upload)(struct tpo_backend *be, void *dst, const void *host_src, size_t bytes);
  void (*download)(struct tpo_backend *be, void *host_dst, const void *src, size_t bytes);
  void (*copy)(struct tpo_backend *be, void *dst, const void *src, size_t bytes);
  void (*zero)(struct tpo_backend *be, void *dst, size_t bytes);
  /* waits for all work; first error since the last check */
  int (*check)(struct tpo_backend *be, struct tpo_error *err);
  /* Bytes that alloc may still give: the host's are shared out among its ranks, a GPU's are one rank's. 0: not
   * known. */
  size_t (*memory_available)(struct tpo_backend *be);

  /* Scratch memory that passes of training of this shape take: at most so many bytes in all. reserve takes it
   * before they run. On a GPU that must be done before an exchange with other ranks is under way: memory that
   * is allocated or freed then waits for it, and the exchange may be waiting for a rank that waits likewise.
   * Host backends take theirs as they need it. */
  size_t (*training_scratch)(struct tpo_backend *be, const struct tpo_training_shape *shape);
  int (*training_reserve)(struct tpo_backend *be, const struct tpo_training_shape *shape,
                          struct tpo_error *err);

  /* A download that the caller waits for later, while other work goes on: fetch_begin notes src as it stands
   * after the work so far (at most 1 MiB; one in each of TPO_FETCH_SLOTS slots), fetch_end waits for that
   * alone and gives the first error since the last check. */
  void (*fetch_begin)(struct tpo_backend *be, int slot, const void *src, size_t bytes);
  int (*fetch_end)(struct tpo_backend *be, int slot, void *host_dst, size_t bytes, struct tpo_error *err);

  /* Recorded work. replay runs what was recorded under `key` and returns 1; or returns 0 after beginning a
   * recording, which the caller's next calls make up until record_end (which runs them too). Recorded calls
   * must always work on the same memory with the same arguments; they may be anything but alloc, free,
   * upload, download, fetch_*, check and paged_prepare. forget drops all recordings (memory was freed).
   * Backends without recordings always return 0 and run calls as they come. */
  int (*replay)(struct tpo_backend *be, uint64_t key);
  void (*record_end)(struct tpo_backend *be);
  void (*forget)(struct tpo_backend *be);

  /* Says which pass the following calls belong to. */
  void (*begin_pass)(struct tpo_backend *be, enum tpo_pass_kind pass);

  /* Linear layers. y = x W^T. With dtype TPO_BF16 the weights and x are rounded to bf16 and products
   * accumulate in fp32 where the machine has such arithmetic; otherwise bf16 weights are used at fp32
   * precision. */
  int (*linear_create)(struct tpo_backend *be, int rows, int cols, enum tpo_dtype dtype,
                       struct tpo_linear **out, struct tpo_error *err);
  void (*linear_free)(struct tpo_backend *be, struct tpo_linear *w);
  void (*linear_set)(struct tpo_backend *be, struct tpo_linear *w, int row0, int n_rows, const void *src,
                     enum tpo_dtype src_dtype); /* src [n_rows, cols] */
  /* dst [n_rows, cols] */
  void (*linear_get)(struct tpo_backend *be, const struct tpo_linear *w, int row0, int n_rows, float *dst);
  /* x [n, cols] -> y [n, rows] */
  void (*linear_forward)(struct tpo_backend *be, const struct tpo_linear *w, const void *x, void *y, int n);
  /* y = base + x W^T (residual); base [n, rows] may be y */
  void (*linear_forward_add)(struct tpo_backend *be, const struct tpo_linear *w, const void *x,
                             const void *base, void *y, int n);
  /* y = x W^T + bias, bias [rows] fp32 */
  void (*linear_forward_bias)(struct tpo_backend *be, const struct tpo_linear *w, const float *bias,
                              const void *x, void *y, int n);
  /* dbias [dim] += sum over rows of dy [n, dim], in a fixed order */
  void (*bias_backward)(struct tpo_backend *be, const void *dy, float *dbias, int n, int dim);
  void (*linear_backward_input)(struct tpo_backend *be, const struct tpo_linear *w, const void *dy, void *dx,
                                int n, bool add); /* dx (+)= dy W */
  void (*linear_backward_weight)(struct tpo_backend *be, const struct tpo_linear *w, const void *dy,
                                 const void *x, float *dw, int n); /* dw [rows, cols] += dy^T x */

  /* Embedding: rows of a linear's matrix. */
  void (*embed)(struct tpo_backend *be, const struct tpo_linear *table, const int32_t *ids, void *out, int n);
  void (*embed_backward)(struct tpo_backend *be, const int32_t *ids, const void *dout, float *dtable, int n,
                         int dim);

  /* ids[i] = from[i] < 0 ? ids[i] : max(tokens[from[i]], 0): rows that go on with a token drawn on the
   * device. The -1 that `sample` gives where logits are not numbers must not be looked up before the host
   * sees it. */
  void (*select_ids)(struct tpo_backend *be, int32_t *ids, const int32_t *from, const int32_t *tokens, int n);

  /* ggml blocks (numbers of types as in GGUF) to fp32: n elements, a whole number of blocks, from
   * block-aligned raw memory of the backend. The same bits as tpo_gguf_dequantize. A type that the table of
   * base/ggml_blocks.h lacks must not be passed. */
  void (*dequantise)(struct tpo_backend *be, const void *raw, uint32_t ggml_type, float *out, size_t n);

  /* RMSNorm: y = x * rstd * w, rstd = 1/sqrt(mean(x^2) + eps). rstd [n]
   * may be NULL in forward when not wanted. */
  void (*rms_norm)(struct tpo_backend *be, const void *x, const float *w, void *y, float *rstd, int n,
                   int dim, float eps);
  /* dx += d loss/dx (adds, for the residual stream); dw += */
  void (*rms_norm_backward)(struct tpo_backend *be, const void *dy, const void *x, const float *w,
                            const float *rstd, void *dx, float *dw, int n, int dim);

  /* y = base + scale * x; base NULL: y = scale * x. n elements; base and x may be y. */
  void (*add_scaled)(struct tpo_backend *be, const void *base, const void *x, void *y, float scale, size_t n);
  /* y = x + by, fp32 [n]: norms whose files hold the difference from 1 */
  void (*shift)(struct tpo_backend *be, const float *x, float *y, float by, size_t n);

  /* Queries and keys of raw [n, (heads + 2 kv_heads) * head_dim], normed, to qkv, and the values as they are;
   * raw may be qkv. rstd [n, heads + kv_heads] (whole: [n, 2]) may be NULL when not wanted. */
  void (*qk_norm)(struct tpo_backend *be, const void *raw, void *qkv, const struct tpo_qk_norm *norm,
                  float *rstd, struct tpo_attention_shape shape, int n);
  /* dqkv: on entry the gradient of qkv, on return that of raw, in place. dq, dk: like norm's q and k, added to. */
  void (*qk_norm_backward)(struct tpo_backend *be, void *dqkv, const void *raw,
                           const struct tpo_qk_norm *norm, const float *rstd, float *dq, float *dk,
                           struct tpo_attention_shape shape, int n);

  /* Rotary embedding, rotate-half convention (dimension i with i + rotated/2), in place on the q and k parts
   * of qkv [n, (heads + 2 kv_heads) * head_dim]; cos_sin [max_pos, rotated] holds rotated/2 cosines, then
   * sines (times the scaling's own factor, where it has one). inverse = rotate by the negative angle: the
   * backward of rope. */
  void (*rope)(struct tpo_backend *be, void *qkv, const int32_t *pos, const float *cos_sin,
               struct tpo_attention_shape shape, int n, bool inverse);

  /* Inference attention over the paged cache. */
  void (*kv_write)(struct tpo_backend *be, const struct tpo_kv_layer *kv, const void *qkv,
                   struct tpo_attention_shape shape, const struct tpo_paged_rows *rows);
  /* qk_norm (NULL: none), rope on q and k (cos_sin NULL: none), then kv_write, in one pass over qkv; only q is
   * needed in qkv afterwards. */
  void (*rope_kv_write)(struct tpo_backend *be, const struct tpo_kv_layer *kv, void *qkv,
                        const struct tpo_qk_norm *norm, const float *cos_sin,
                        struct tpo_attention_shape shape, const struct tpo_paged_rows *rows);
  /* Once a pass, before its attention_paged calls: lets the backend plan the work (which rows share blocks,
   * so that these are read once) and set rows->plan. Results never depend on it. block_tokens as in the
   * cache. A plan for rows with a window and one for rows without live side by side, each until the next of
   * its kind. */
  void (*paged_prepare)(struct tpo_backend *be, struct tpo_paged_rows *rows,
                        const struct tpo_paged_host *host, struct tpo_attention_shape shape,
                        int block_tokens);
  void (*attention_paged)(struct tpo_backend *be, const struct tpo_kv_layer *kv, const void *qkv, void *out,
                          struct tpo_attention_shape shape,
                          const struct tpo_paged_rows *rows); /* out [n, heads*head_dim] */
  /* Copies the first `tokens` rows of block src to block dst
   * in k and v (copy on write of a shared prefix). */
  void (*kv_copy_block)(struct tpo_backend *be, const struct tpo_kv_layer *kv, int dst, int src, int tokens);

  /* Training attention, packed: sequence s is rows cu_seqlens[s] .. cu_seqlens[s+1]-1, causal within itself.
   * Softcap and window as the shape says.
   * cu_seqlens_host is [n_seqs + 1] in host memory. lse [n, heads]. dqkv is written whole. */
  void (*attention)(struct tpo_backend *be, const void *qkv, void *out, float *lse,
                    struct tpo_attention_shape shape, const int32_t *cu_seqlens_host, int n_seqs);
  void (*attention_backward)(struct tpo_backend *be, const void *dout, const void *qkv, const void *out,
                             const float *lse, void *dqkv, struct tpo_attention_shape shape,
                             const int32_t *cu_seqlens_host, int n_seqs);

  /* gate_up [n, 2*dim]: gate then up. out = silu(gate) * up. */
  void (*swiglu)(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim);
  void (*swiglu_backward)(struct tpo_backend *be, const void *dout, const void *gate_up, void *dgate_up,
                          int n, int dim);

  /* The same with gelu in its tanh form instead of silu:
   * gelu(g) = g/2 (1 + tanh(sqrt(2/pi) (g + 0.044715 g^3))) (Hendrycks & Gimpel 2016). */
  void (*geglu)(struct tpo_backend *be, const void *gate_up, void *out, int n, int dim);
  void (*geglu_backward)(struct tpo_backend *be, const void *dout, const void *gate_up, void *dgate_up, int n,
                         int dim);

  /* LM head with log-softmax and gather, in chunks of vocabulary or rows: never an [n, vocab] fp32 matrix at
   * once for large n. logprob[i] = log softmax(h_i W^T)[target_i]; lse [n]. A target of -1 gives logprob 0
   * and no gradient. softcap: logits z become softcap * tanh(z / softcap), in all three; 0: they stay. */
  void (*lm_head_logprob)(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                          const int32_t *targets, float *logprob, float *lse, int n, float softcap);
  /* dlogprob [n] -> dh [n, cols] (written), dw [rows, cols] (added). */
  void (*lm_head_logprob_backward)(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                                   const int32_t *targets, const float *lse, const float *dlogprob, void *dh,
                                   float *dw, int n, float softcap);
  /* Decode: logits [n, rows] in fp32 whatever `act` is. */
  void (*lm_head_logits)(struct tpo_backend *be, const struct tpo_linear *w, const void *h, float *logits,
                         int n, float softcap);

  /* token[i] and its log-probability under softmax(logits_i) (temperature 1, before any truncation).
   * Order of truncation: top-k, then temperature, then top-p, then min-p on the tempered distribution; the
   * token is the first, in descending probability (ties: lower id first), whose cumulative share of what is
   * left exceeds `uniform`. params is host memory; token and logprob are memory of the backend. */
  void (*sample)(struct tpo_backend *be, const float *logits, const struct tpo_sample_params *params_host,
                 int32_t *token, float *logprob, int n, int vocab);
  /* logprob[i] = log softmax(logits_i)[token[i]], the same number that
   * `sample` gives; all memory of the backend. */
  void (*token_logprob)(struct tpo_backend *be, const float *logits, const int32_t *token, float *logprob,
                        int n, int vocab);
  /* For each (row, token) mentioned: logits > 0 are divided by
   * penalty, others multiplied. counts [n_items]. */
  void (*repetition_penalty)(struct tpo_backend *be, float *logits, const int32_t *rows,
                             const int32_t *tokens, int n_items, float penalty, int vocab);

  /* Rows picked out: out[i] = x[index[i]]; and the reverse,
   * dx[index[i]] = dout[i] with all other rows zero. */
  void (*gather_rows)(struct tpo_backend *be, const void *x, const int32_t *index, void *out, int n, int dim);
  void (*scatter_rows)(struct tpo_backend *be, const void *dout, const int32_t *index, void *dx, int n,
                       int n_total, int dim);

  /* Sums, loss and derivatives of n_pairs preference pairs. dlogprob is written where a pair's values lie and
   * left alone elsewhere; results is host memory, filled when the call returns (a backend waits for that).
   * Sums and losses are taken in double precision in a fixed order. */
  void (*preference_loss)(struct tpo_backend *be, const float *logprob, float *dlogprob,
                          const struct tpo_loss_pair *pairs_host, struct tpo_loss_result *results_host,
                          int n_pairs, const struct tpo_loss_args *args);

  /* Optimizer and reductions, over flat fp32 arrays. adamw is decoupled weight decay (Loshchilov & Hutter
   * 2019); with `weights` (may be NULL) the new parameters are also stored there as weights_dtype (fp32 or
   * bf16), in the same pass. */
  void (*adamw)(struct tpo_backend *be, float *param, const float *grad, float *m, float *v, size_t n,
                const struct tpo_adamw_args *args, void *weights, enum tpo_dtype weights_dtype);
  /* fixed order whatever the threads */
  double (*sum_squares)(struct tpo_backend *be, const float *x, size_t n);
};

/* What the shape's zeros stand for. */
static inline int tpo_rotated(struct tpo_attention_shape shape)
{
  return shape.rotated ? shape.rotated : shape.head_dim;
}

static inline float tpo_attention_scale(struct tpo_attention_shape shape)
{
  return shape.scale != 0 ? shape.scale : 1.0f / sqrtf((float)shape.head_dim);
}

/* The first position that the token at `pos` attends to. */
static inline int tpo_window_first(struct tpo_attention_shape shape, int pos)
{
  return shape.window > 0 && pos >= shape.window ? pos - shape.window + 1 : 0;
}

static inline const struct tpo_ops *tpo_ops(const struct tpo_backend *be)
{
  return *(const struct tpo_ops *const *)be;
}

/* The table for a model that computes in this dtype; its activations are tpo_ops_for(..)->activation_size
 * bytes each. tpo_ops gives the one with fp32 activations; what doesn't touch activations is the same in
 * both. */
static inline const struct tpo_ops *tpo_ops_for(const struct tpo_backend *be, enum tpo_dtype dtype)
{
  return ((const struct tpo_ops *const *)be)[dtype == TPO_BF16];
}

#endif
