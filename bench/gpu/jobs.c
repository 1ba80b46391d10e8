/* Each kernel's buffers at given sizes, its call, and the bytes and operations that it can't do without.
 * Bytes count each input read and each output written once, activations and weights as bf16. */
#include "jobs.h"

#include <stdio.h>
#include <string.h>

#include "base/ggml_blocks.h"

#define WORDS(job, ...) snprintf((job)->what, sizeof(job)->what, __VA_ARGS__)

static const struct tpo_ops *ops_of(const struct job *job)
{
  return job->side->ops;
}

static struct tpo_attention_shape shape_of(const struct sizes *d)
{
  return (struct tpo_attention_shape){.heads = d->heads, .kv_heads = d->kv_heads, .head_dim = d->head_dim};
}

static int qkv_width(const struct sizes *d)
{
  return (d->heads + 2 * d->kv_heads) * d->head_dim;
}

static int packed_rows(const struct sizes *d)
{
  return d->seqs * d->seq_len;
}

/* Numbers below `limit` in no order. */
static int32_t *some_integers(struct job *job, int n, int limit)
{
  int32_t *host = job_host(job, (size_t)n * sizeof *host);
  for (int i = 0; i < n; i++) host[i] = (int32_t)((uint32_t)i * 2654435761u % (uint32_t)limit);
  return host;
}

/* Matrix products. which: the matrix, + 8 for few rows (generation). */
enum { QKV, ATTENTION_OUT, GATE_UP, DOWN, SQUARE, FEW = 8 };

static void make_linear(struct job *job, int which)
{
  const struct sizes *d = job->d;
  static const char *const names[] = {"qkv", "attention out", "gate and up", "down", "square"};
  int m = which & 7, rows = d->hidden, cols = d->hidden;
  if (m == QKV) rows = qkv_width(d);
  if (m == ATTENTION_OUT) cols = d->heads * d->head_dim;
  if (m == GATE_UP) rows = 2 * d->ffn;
  if (m == DOWN) cols = d->ffn;
  if (m == SQUARE) rows = cols = 2 * d->hidden;
  job->w_rows = rows;
  job->w_cols = cols;
  job->n = which & FEW ? d->decode : m == SQUARE ? 2 * d->hidden : packed_rows(d);
  job_weight(job, rows, cols, which & FEW ? 4 : 1);
  job->p[0] = job_numbers(job, (size_t)job->n * cols, 1, 1);
  job->p[1] = job_numbers(job, (size_t)job->n * rows, 2, 1);
  job->flops = 2.0 * job->n * rows * cols;
  job->bytes = 2.0 * rows * cols + 2.0 * job->n * (rows + cols);
  WORDS(job, "%s, %d x %d x %d", names[m], job->n, rows, cols);
}

static struct tpo_linear *next_weight(struct job *job)
{
  return job->w[job->turn++ % job->n_weights];
}

static void make_forward(struct job *job, int which)
{
  make_linear(job, which);
  job_out(job, "y", job->p[1], (size_t)job->n * job->w_rows, ACTIVATIONS);
}

static void forward(struct job *job)
{
  ops_of(job)->linear_forward(job->side->be, next_weight(job), job->p[0], job->p[1], job->n);
}

static void forward_add(struct job *job)
{
  ops_of(job)->linear_forward_add(job->side->be, next_weight(job), job->p[0], job->p[1], job->p[1], job->n);
}

static void make_backward_input(struct job *job, int which)
{
  make_linear(job, which);
  job_out(job, "dx", job->p[0], (size_t)job->n * job->w_cols, ACTIVATIONS);
}

static void backward_input(struct job *job)
{
  ops_of(job)->linear_backward_input(job->side->be, job->w[0], job->p[1], job->p[0], job->n, false);
}

static void make_backward_weight(struct job *job, int which)
{
  make_linear(job, which);
  size_t elements = (size_t)job->w_rows * job->w_cols;
  job->p[2] = job_floats(job, elements, 3, 1);
  job->bytes += 8.0 * elements - 2.0 * elements; /* gradients are read and written, weights are not read */
  job_out(job, "dw", job->p[2], elements, FLOATS);
}

static void backward_weight(struct job *job)
{
  ops_of(job)->linear_backward_weight(job->side->be, job->w[0], job->p[1], job->p[0], job->p[2], job->n);
}

/* Rows of activations. */
static void make_norm(struct job *job, int which)
{
  const struct sizes *d = job->d;
  job->n = which & FEW ? d->decode : packed_rows(d);
  size_t size = (size_t)job->n * d->hidden;
  job->p[0] = job_numbers(job, size, 1, 1);
  job->p[1] = job_floats(job, d->hidden, 2, 1);
  job->p[2] = job_space(job, size);
  job->p[3] = job_float_space(job, job->n);
  job->bytes = 4.0 * size;
  job_out(job, "y", job->p[2], size, ACTIVATIONS);
  job_out(job, "rstd", job->p[3], job->n, FLOATS);
  WORDS(job, "%d x %d", job->n, d->hidden);
}

static void norm(struct job *job)
{
  ops_of(job)->rms_norm(job->side->be, job->p[0], job->p[1], job->p[2], job->p[3], job->n, job->d->hidden,
                        1e-5f);
}

static void make_norm_backward(struct job *job, int which)
{
  make_norm(job, which);
  norm(job);
  size_t size = (size_t)job->n * job->d->hidden;
  job->p[4] = job_numbers(job, size, 5, 1);
  job->p[5] = job_numbers(job, size, 6, 1);
  job->p[6] = job_floats(job, job->d->hidden, 7, 1);
  job->bytes = 8.0 * size; /* dy, x, and dx twice */
  job->n_outs = 0;
  job_out(job, "dx", job->p[5], size, ACTIVATIONS);
  job_out(job, "dw", job->p[6], job->d->hidden, FLOATS);
}

static void norm_backward(struct job *job)
{
  ops_of(job)->rms_norm_backward(job->side->be, job->p[4], job->p[0], job->p[1], job->p[3], job->p[5],
                                 job->p[6], job->n, job->d->hidden);
}

static void make_swiglu(struct job *job, int which)
{
  const struct sizes *d = job->d;
  (void)which;
  job->n = packed_rows(d);
  size_t size = (size_t)job->n * d->ffn;
  job->p[0] = job_numbers(job, 2 * size, 1, 1);
  job->p[1] = job_numbers(job, size, 2, 1);
  job->bytes = 6.0 * size;
  job_out(job, "out", job->p[1], size, ACTIVATIONS);
  WORDS(job, "%d x %d", job->n, d->ffn);
}

static void swiglu(struct job *job)
{
  ops_of(job)->swiglu(job->side->be, job->p[0], job->p[1], job->n, job->d->ffn);
}

static void make_swiglu_backward(struct job *job, int which)
{
  make_swiglu(job, which);
  size_t size = (size_t)job->n * job->d->ffn;
  job->p[2] = job_space(job, 2 * size);
  job->bytes = 10.0 * size;
  job->n_outs = 0;
  job_out(job, "dgate_up", job->p[2], 2 * size, ACTIVATIONS);
}

static void swiglu_backward(struct job *job)
{
  ops_of(job)->swiglu_backward(job->side->be, job->p[1], job->p[0], job->p[2], job->n, job->d->ffn);
}

static void make_rope(struct job *job, int which)
{
  const struct sizes *d = job->d;
  (void)which;
  job->n = packed_rows(d);
  job->shape = shape_of(d);
  size_t size = (size_t)job->n * qkv_width(d);
  job->p[0] = job_numbers(job, size, 1, 1);
  job->p[1] = job_floats(job, (size_t)d->seq_len * d->head_dim, 2, 0.5f); /* any numbers do for cosines */
  int32_t *pos = some_integers(job, job->n, d->seq_len);
  job->p[2] = job_integers(job, pos, job->n);
  job->bytes = 4.0 * job->n * (d->heads + d->kv_heads) * d->head_dim;
  job_out(job, "qkv", job->p[0], size, ACTIVATIONS);
  WORDS(job, "%d x %d", job->n, qkv_width(d));
}

static void rope(struct job *job)
{
  ops_of(job)->rope(job->side->be, job->p[0], job->p[2], job->p[1], job->shape, job->n, false);
}

static void make_embed(struct job *job, int which)
{
  const struct sizes *d = job->d;
  (void)which;
  job->n = packed_rows(d);
  job_weight(job, d->vocab, d->hidden, 1);
  job->p[0] = job_integers(job, some_integers(job, job->n, d->vocab), job->n);
  job->p[1] = job_space(job, (size_t)job->n * d->hidden);
  job->bytes = 4.0 * job->n * d->hidden;
  job_out(job, "out", job->p[1], (size_t)job->n * d->hidden, ACTIVATIONS);
  WORDS(job, "%d x %d of %d", job->n, d->hidden, d->vocab);
}

static void embed(struct job *job)
{
  ops_of(job)->embed(job->side->be, job->w[0], job->p[0], job->p[1], job->n);
}

static void make_embed_backward(struct job *job, int which)
{
  const struct sizes *d = job->d;
  (void)which;
  job->n = packed_rows(d);
  job->p[0] = job_integers(job, some_integers(job, job->n, d->vocab), job->n);
  job->p[1] = job_numbers(job, (size_t)job->n * d->hidden, 1, 1);
  job->p[2] = job_float_space(job, (size_t)d->vocab * d->hidden);
  job->bytes = (2.0 + 8.0) * job->n * d->hidden;
  job_out(job, "dtable", job->p[2], (size_t)d->vocab * d->hidden, FLOATS);
  WORDS(job, "%d x %d of %d", job->n, d->hidden, d->vocab);
}

static void embed_backward(struct job *job)
{
  ops_of(job)->embed_backward(job->side->be, job->p[0], job->p[1], job->p[2], job->n, job->d->hidden);
}

/* Attention over packed sequences. */
static void make_attention(struct job *job, int which)
{
  const struct sizes *d = job->d;
  (void)which;
  job->n = packed_rows(d);
  job->shape = shape_of(d);
  size_t width = (size_t)d->heads * d->head_dim;
  job->p[0] = job_numbers(job, (size_t)job->n * qkv_width(d), 1, 1);
  job->p[1] = job_space(job, job->n * width);
  job->p[2] = job_float_space(job, (size_t)job->n * d->heads);
  job->cu_seqlens = job_host(job, (size_t)(d->seqs + 1) * sizeof *job->cu_seqlens);
  for (int s = 0; s <= d->seqs; s++) job->cu_seqlens[s] = s * d->seq_len;
  /* half of the square, two products */
  job->flops = 2.0 * d->seqs * d->seq_len * d->seq_len * d->heads * d->head_dim;
  job->bytes = 2.0 * job->n * (qkv_width(d) + width);
  job_out(job, "out", job->p[1], job->n * width, ACTIVATIONS);
  job_out(job, "lse", job->p[2], (size_t)job->n * d->heads, FLOATS);
  WORDS(job, "%d x %d tokens, %d/%d heads of %d", d->seqs, d->seq_len, d->heads, d->kv_heads, d->head_dim);
}

static void attention(struct job *job)
{
  ops_of(job)->attention(job->side->be, job->p[0], job->p[1], job->p[2], job->shape, job->cu_seqlens,
                         job->d->seqs);
}

static void make_attention_backward(struct job *job, int which)
{
  make_attention(job, which);
  attention(job);
  size_t width = (size_t)job->d->heads * job->d->head_dim, qkv = (size_t)job->n * qkv_width(job->d);
  job->p[3] = job_numbers(job, job->n * width, 4, 1);
  job->p[4] = job_space(job, qkv);
  job->flops *= 2.5; /* five products */
  job->bytes = 2.0 * (2 * qkv + 2 * job->n * width);
  job->n_outs = 0;
  job_out(job, "dqkv", job->p[4], qkv, ACTIVATIONS);
}

static void attention_backward(struct job *job)
{
  ops_of(job)->attention_backward(job->side->be, job->p[3], job->p[0], job->p[1], job->p[2], job->p[4],
                                  job->shape, job->cu_seqlens, job->d->seqs);
}

/* Attention over the paged cache: `context` tokens of each sequence, written first. which 1: all sequences
 * share the blocks of the first half, as samples of one prompt do. */
enum { BLOCK_TOKENS = 16, SPARE_ROWS = 64 };

static void make_tables(struct job *job, bool shared)
{
  const struct sizes *d = job->d;
  int each = d->context / BLOCK_TOKENS + 1;
  job->seq = job_host(job, (size_t)job->n * sizeof *job->seq);
  job->pos = job_host(job, (size_t)(d->context + 1) * job->n * sizeof *job->pos);
  job->blocks = job_host(job, (size_t)job->n * each * sizeof *job->blocks);
  for (int i = 0; i < job->n; i++) {
    job->seq[i] = i;
    for (int p = 0; p <= d->context; p++) job->pos[(size_t)p * job->n + i] = p;
    for (int b = 0; b < each; b++) /* neighbours of a sequence lie apart */
      job->blocks[i * each + b] = shared && b < each / 2 ? b * job->n : b * job->n + (i * 7 + b * 3) % job->n;
  }
  job->rows = (struct tpo_paged_rows){.n = job->n,
                                      .seq = job_integers(job, job->seq, job->n),
                                      .pos = job_integers(job, job->pos, (size_t)(d->context + 1) * job->n),
                                      .blocks = job_integers(job, job->blocks, (size_t)job->n * each),
                                      .max_blocks = each};
}

static void make_paged(struct job *job, int which)
{
  const struct sizes *d = job->d;
  const struct tpo_ops *ops = ops_of(job);
  job->n = d->decode;
  job->shape = shape_of(d);
  int width = qkv_width(d), out_width = d->heads * d->head_dim;
  make_tables(job, which == 1);
  /* The cache has bf16 on both sides; a float counts for two of them. */
  size_t cache = (size_t)job->n * job->rows.max_blocks * d->kv_heads * BLOCK_TOKENS * d->head_dim;
  job->kv = (struct tpo_kv_layer){job_float_space(job, cache / 2),
                                  job_float_space(job, cache / 2),
                                  TPO_BF16,
                                  BLOCK_TOKENS,
                                  d->kv_heads,
                                  d->head_dim};
  job->p[0] = job_numbers(job, (size_t)(job->n + SPARE_ROWS) * width, 1, 1);
  job->p[1] = job_space(job, (size_t)job->n * out_width);
  job->p[2] = job_floats(job, (size_t)(d->context + 1) * d->head_dim, 2, 0.5f);
  struct tpo_paged_rows at = job->rows;
  for (int p = 0; p < d->context; p++) {
    at.pos = job->rows.pos + (size_t)p * job->n;
    /* a shared row has one writer */
    at.n = which == 1 && p / BLOCK_TOKENS < job->rows.max_blocks / 2 ? 1 : job->n;
    char *qkv = (char *)job->p[0] + (size_t)(p % SPARE_ROWS) * width * ops->activation_size;
    ops->kv_write(job->side->be, &job->kv, qkv, job->shape, &at);
  }
  int last = d->context - 1;
  job->rows.pos += (size_t)last * job->n;
  job->host = (struct tpo_paged_host){job->seq, job->pos + (size_t)last * job->n, job->blocks, job->n};
  ops->paged_prepare(job->side->be, &job->rows, &job->host, job->shape, BLOCK_TOKENS);
  double tokens = (double)job->n * d->context;
  if (which == 1) tokens -= (double)(job->n - 1) * (job->rows.max_blocks / 2) * BLOCK_TOKENS;
  job->bytes = 4.0 * tokens * d->kv_heads * d->head_dim + 2.0 * job->n * (width + out_width);
  job->flops = 0; /* vector work beside the memory traffic */
  job_out(job, "out", job->p[1], (size_t)job->n * out_width, ACTIVATIONS);
  WORDS(job, "%d sequences of %d, %d/%d heads of %d%s", job->n, d->context, d->heads, d->kv_heads,
        d->head_dim, which == 1 ? ", first half shared" : "");
}

static void paged(struct job *job)
{
  ops_of(job)->attention_paged(job->side->be, &job->kv, job->p[0], job->p[1], job->shape, &job->rows);
}

static void make_rope_write(struct job *job, int which)
{
  const struct sizes *d = job->d;
  make_paged(job, which);
  job->bytes = 2.0 * job->n * d->head_dim * (2.0 * d->heads + 4.0 * d->kv_heads);
  job->n_outs = 0;
  job_out(job, "attention over what was written", job->p[1], (size_t)job->n * d->heads * d->head_dim,
          ACTIVATIONS);
  WORDS(job, "%d x %d", job->n, qkv_width(d));
}

static void rope_write(struct job *job)
{
  ops_of(job)->rope_kv_write(job->side->be, &job->kv, job->p[0], NULL, job->p[2], job->shape, &job->rows);
}

/* Whose queries and keys are normed on the way. */
static void make_normed_write(struct job *job, int which)
{
  make_rope_write(job, which);
  job->p[3] = job_floats(job, (size_t)job->d->head_dim, 3, 1);
  job->p[4] = job_floats(job, (size_t)job->d->head_dim, 4, 1);
}

static void normed_write(struct job *job)
{
  const struct tpo_qk_norm norm = {.q = job->p[3], .k = job->p[4], .eps = 1e-5f};
  ops_of(job)->rope_kv_write(job->side->be, &job->kv, job->p[0], &norm, job->p[2], job->shape, &job->rows);
}

/* The vocabulary. */
static void make_head(struct job *job, int which)
{
  const struct sizes *d = job->d;
  job->n = which & FEW ? d->decode : d->head_rows;
  job_weight(job, d->vocab, d->hidden, 1);
  job->p[0] = job_numbers(job, (size_t)job->n * d->hidden, 1, 1);
  job->p[1] = job_integers(job, some_integers(job, job->n, d->vocab), job->n);
  job->p[2] = job_float_space(job, job->n);
  job->p[3] = job_float_space(job, job->n);
  double elements = (double)d->vocab * d->hidden;
  job->flops = 2.0 * job->n * elements;
  job->bytes = 2.0 * elements + 2.0 * job->n * d->hidden;
  WORDS(job, "%d x %d x %d", job->n, d->vocab, d->hidden);
}

static void make_logprob(struct job *job, int which)
{
  make_head(job, which);
  job_out(job, "logprob", job->p[2], job->n, FLOATS);
  job_out(job, "lse", job->p[3], job->n, FLOATS);
}

static void logprob(struct job *job)
{
  ops_of(job)->lm_head_logprob(job->side->be, job->w[0], job->p[0], job->p[1], job->p[2], job->p[3], job->n,
                               0);
}

static void make_logprob_backward(struct job *job, int which)
{
  const struct sizes *d = job->d;
  make_head(job, which);
  logprob(job);
  job->p[4] = job_floats(job, job->n, 5, 1);
  job->p[5] = job_space(job, (size_t)job->n * d->hidden);
  job->p[6] = job_float_space(job, (size_t)d->vocab * d->hidden);
  job->flops *= 3; /* logits again, dh, dw */
  job->bytes = 10.0 * d->vocab * d->hidden + 4.0 * job->n * d->hidden;
  job_out(job, "dh", job->p[5], (size_t)job->n * d->hidden, ACTIVATIONS);
  job_out(job, "dw", job->p[6], (size_t)d->vocab * d->hidden, FLOATS);
}

static void logprob_backward(struct job *job)
{
  ops_of(job)->lm_head_logprob_backward(job->side->be, job->w[0], job->p[0], job->p[1], job->p[3], job->p[4],
                                        job->p[5], job->p[6], job->n, 0);
}

static void make_logits(struct job *job, int which)
{
  make_head(job, which);
  job->p[4] = job_float_space(job, (size_t)job->n * job->d->vocab);
  job->bytes += 4.0 * job->n * job->d->vocab;
  job_out(job, "logits", job->p[4], (size_t)job->n * job->d->vocab, FLOATS);
}

static void logits(struct job *job)
{
  ops_of(job)->lm_head_logits(job->side->be, job->w[0], job->p[0], job->p[4], job->n, 0);
}

static void make_sample(struct job *job, int which)
{
  const struct sizes *d = job->d;
  job->n = d->decode;
  job->p[0] = job_floats(job, (size_t)job->n * d->vocab, 1, 3);
  job->p[1] = job_integers(job, some_integers(job, job->n, d->vocab), job->n);
  job->p[2] = job_float_space(job, job->n);
  job->sampling = job_host(job, (size_t)job->n * sizeof *job->sampling);
  for (int i = 0; i < job->n; i++)
    job->sampling[i] = (struct tpo_sample_params){
        .temperature = which ? 0 : 0.8f, .top_p = which ? 1 : 0.95f, .uniform = (float)(i % 97) / 97.0f};
  job->bytes = 4.0 * job->n * d->vocab;
  job_out(job, "token", job->p[1], job->n, INTEGERS);
  job_out(job, "logprob", job->p[2], job->n, FLOATS);
  WORDS(job, "%d x %d, %s", job->n, d->vocab, which ? "greedy" : "temperature 0.8, top-p 0.95");
}

static void sample(struct job *job)
{
  ops_of(job)->sample(job->side->be, job->p[0], job->sampling, job->p[1], job->p[2], job->n, job->d->vocab);
}

/* Training without activations. */
static void make_adamw(struct job *job, int which)
{
  size_t n = job->d->params;
  (void)which;
  job->p[0] = job_floats(job, n, 1, 0.02f);
  job->p[1] = job_floats(job, n, 2, 1);
  job->p[2] = job_floats(job, n, 3, 0.1f);
  job->p[3] = job_float_space(job, n);
  job->p[4] = job_space(job, n);
  job->bytes = 30.0 * n;
  job_out(job, "parameters", job->p[0], n, FLOATS);
  job_out(job, "m", job->p[2], n, FLOATS);
  job_out(job, "v", job->p[3], n, FLOATS);
  job_out(job, "weights", job->p[4], n, ACTIVATIONS);
  WORDS(job, "%zu parameters", n);
}

static void adamw(struct job *job)
{
  const struct tpo_adamw_args args = {.lr = 1e-4f,
                                      .beta1 = 0.9f,
                                      .beta2 = 0.999f,
                                      .eps = 1e-8f,
                                      .bias1 = 0.1f,
                                      .bias2 = 0.001f,
                                      .grad_scale = 1};
  ops_of(job)->adamw(job->side->be, job->p[0], job->p[1], job->p[2], job->p[3], job->d->params, &args,
                     job->p[4], job->side->fast ? TPO_BF16 : TPO_F32);
}

static void make_sum(struct job *job, int which)
{
  size_t n = job->d->params;
  (void)which;
  job->p[0] = job_floats(job, n, 1, 1);
  job->p[1] = job_float_space(job, 1);
  job->p[2] = job_host(job, sizeof(float));
  job->bytes = 4.0 * n;
  job_out(job, "sum", job->p[1], 1, FLOATS);
  WORDS(job, "%zu numbers", n);
}

static void sum(struct job *job)
{
  *(float *)job->p[2] = (float)ops_of(job)->sum_squares(job->side->be, job->p[0], job->d->params);
}

static void sum_finish(struct job *job)
{
  ops_of(job)->upload(job->side->be, job->p[1], job->p[2], sizeof(float));
}

static void make_loss(struct job *job, int which)
{
  enum { PAIRS = 32 };
  (void)which;
  job->n = PAIRS;
  int each = job->d->seq_len / 2;
  size_t n = (size_t)PAIRS * 2 * each;
  job->p[0] = job_floats(job, n, 1, 1);
  job->p[1] = job_float_space(job, n);
  job->pairs = job_host(job, PAIRS * sizeof *job->pairs);
  job->results = job_host(job, PAIRS * sizeof *job->results);
  for (int i = 0; i < PAIRS; i++)
    job->pairs[i] = (struct tpo_loss_pair){2 * i * each, each, (2 * i + 1) * each, each, i % 5, i % 7, each};
  job->bytes = 8.0 * n;
  job_out(job, "dlogprob", job->p[1], n, FLOATS);
  WORDS(job, "%d pairs of 2 x %d", PAIRS, each);
}

static void loss(struct job *job)
{
  const struct tpo_loss_args args = {TPO_LOSS_DPO, 0.1, 0, 0, 1.0 / 32};
  ops_of(job)->preference_loss(job->side->be, job->p[0], job->p[1], job->pairs, job->results, job->n, &args);
}

static void make_dequantise(struct job *job, int which)
{
  const struct tpo_ggml_block *block = tpo_ggml_find_block((uint32_t)which);
  size_t n = job->d->dequantise, bytes = n / block->elements * block->bytes,
         piece = (size_t)block->bytes << 10;
  if (piece > bytes) piece = bytes;
  uint8_t *raw = job_host(job, piece);
  /* whatever lands in a scale is finite */
  for (size_t i = 0; i < piece; i++) raw[i] = (uint8_t)(i * 37 % 59);
  job->n = which;
  job->p[0] = job_float_space(job, bytes / 4 + 1);
  for (size_t done = 0; done < bytes; done += piece) {
    size_t more = piece < bytes - done ? piece : bytes - done;
    ops_of(job)->upload(job->side->be, (char *)job->p[0] + done, raw, more);
  }
  job->p[1] = job_float_space(job, n);
  job->bytes = (double)bytes + 4.0 * n;
  job_out(job, "values", job->p[1], n, FLOATS);
  WORDS(job, "%zu numbers, %u bytes for %u", n, block->bytes, block->elements);
}

static void dequantise(struct job *job)
{
  ops_of(job)->dequantise(job->side->be, job->p[0], (uint32_t)job->n, job->p[1], job->d->dequantise);
}

#define TRAINING(name, make, call, which)                                                                    \
  {                                                                                                          \
    name, "training", 2e-2, make, call, NULL, which                                                          \
  }
#define GENERATION(name, make, call, which)                                                                  \
  {                                                                                                          \
    name, "generation", 2e-2, make, call, NULL, (which) | FEW                                                \
  }
#define UPDATE(name, tolerance, make, call, finish)                                                          \
  {                                                                                                          \
    name, "update", tolerance, make, call, finish, 0                                                         \
  }
#define LOADING(name, which)                                                                                 \
  {                                                                                                          \
    name, "loading", 0, make_dequantise, dequantise, NULL, which                                             \
  }

const struct kernel bench_kernels[] = {
    TRAINING("linear_forward", make_forward, forward, QKV),
    TRAINING("linear_forward_add", make_forward, forward_add, ATTENTION_OUT),
    TRAINING("linear_forward", make_forward, forward, GATE_UP),
    TRAINING("linear_forward_add", make_forward, forward_add, DOWN),
    TRAINING("linear_backward_input", make_backward_input, backward_input, GATE_UP),
    TRAINING("linear_backward_input", make_backward_input, backward_input, DOWN),
    TRAINING("linear_backward_weight", make_backward_weight, backward_weight, GATE_UP),
    TRAINING("linear_backward_weight", make_backward_weight, backward_weight, DOWN),
    TRAINING("attention", make_attention, attention, 0),
    TRAINING("attention_backward", make_attention_backward, attention_backward, 0),
    TRAINING("rms_norm", make_norm, norm, 0),
    TRAINING("rms_norm_backward", make_norm_backward, norm_backward, 0),
    TRAINING("rope", make_rope, rope, 0),
    TRAINING("swiglu", make_swiglu, swiglu, 0),
    TRAINING("swiglu_backward", make_swiglu_backward, swiglu_backward, 0),
    TRAINING("embed", make_embed, embed, 0),
    TRAINING("embed_backward", make_embed_backward, embed_backward, 0),
    TRAINING("lm_head_logprob", make_logprob, logprob, 0),
    TRAINING("lm_head_logprob_backward", make_logprob_backward, logprob_backward, 0),
    GENERATION("linear_forward", make_forward, forward, QKV),
    GENERATION("linear_forward_add", make_forward, forward_add, ATTENTION_OUT),
    GENERATION("linear_forward", make_forward, forward, GATE_UP),
    GENERATION("linear_forward_add", make_forward, forward_add, DOWN),
    GENERATION("rms_norm", make_norm, norm, 0),
    {"rope_kv_write", "generation", 2e-2, make_rope_write, rope_write, paged, 0},
    {"rope_kv_write, normed", "generation", 2e-2, make_normed_write, normed_write, paged, 0},
    {"attention_paged", "generation", 2e-2, make_paged, paged, NULL, 0},
    {"attention_paged", "generation", 2e-2, make_paged, paged, NULL, 1},
    GENERATION("lm_head_logits", make_logits, logits, 0),
    {"sample", "generation", 1e-4, make_sample, sample, NULL, 0},
    {"sample", "generation", 1e-4, make_sample, sample, NULL, 1},
    UPDATE("preference_loss", 1e-4, make_loss, loss, NULL),
    UPDATE("sum_squares", 1e-6, make_sum, sum, sum_finish),
    UPDATE("adamw", 5e-3, make_adamw, adamw, NULL),
    LOADING("dequantise Q4_1", TPO_GGML_Q4_1),
    LOADING("dequantise Q8_0", TPO_GGML_Q8_0),
    LOADING("dequantise Q4_K", TPO_GGML_Q4_K),
    LOADING("dequantise Q6_K", TPO_GGML_Q6_K),
};
const int bench_n_kernels = sizeof bench_kernels / sizeof *bench_kernels;
