/* Kernels that Llama doesn't use, at its sizes: what other families' layers have besides. Bytes as in jobs.c. */
#include "jobs.h"

#include <stdio.h>

#define WORDS(job, ...) snprintf((job)->what, sizeof(job)->what, __VA_ARGS__)

static const struct tpo_ops *ops_of(const struct job *job)
{
  return job->side->ops;
}

static int qkv_width(const struct sizes *d)
{
  return (d->heads + 2 * d->kv_heads) * d->head_dim;
}

/* Queries, keys and values with a bias: Qwen 2. which 1: rows of generation. */
static void make_biased(struct job *job, int which)
{
  const struct sizes *d = job->d;
  int rows = qkv_width(d), cols = d->hidden;
  job->n = which ? d->decode : d->seqs * d->seq_len;
  job_weight(job, rows, cols, which ? 4 : 1);
  job->p[0] = job_numbers(job, (size_t)job->n * cols, 1, 1);
  job->p[1] = job_numbers(job, (size_t)job->n * rows, 2, 1);
  job->p[2] = job_floats(job, (size_t)rows, 3, 1);
  job->flops = 2.0 * job->n * rows * cols;
  job->bytes = 2.0 * rows * cols + 2.0 * job->n * (rows + cols);
  job_out(job, "y", job->p[1], (size_t)job->n * rows, ACTIVATIONS);
  WORDS(job, "qkv, %d x %d x %d", job->n, rows, cols);
}

static void biased(struct job *job)
{
  struct tpo_linear *w = job->w[job->turn++ % job->n_weights];
  ops_of(job)->linear_forward_bias(job->side->be, w, job->p[2], job->p[0], job->p[1], job->n);
}

static void make_bias_backward(struct job *job, int which)
{
  int dim = qkv_width(job->d);
  (void)which;
  job->n = job->d->seqs * job->d->seq_len;
  job->p[0] = job_numbers(job, (size_t)job->n * dim, 1, 1);
  job->p[1] = job_floats(job, (size_t)dim, 2, 1);
  job->bytes = 2.0 * job->n * dim;
  job_out(job, "dbias", job->p[1], (size_t)dim, FLOATS);
  WORDS(job, "%d x %d", job->n, dim);
}

static void bias_backward(struct job *job)
{
  ops_of(job)->bias_backward(job->side->be, job->p[0], job->p[1], job->n, qkv_width(job->d));
}

/* Norms of heads: of each by itself (which 0: Qwen 3, Gemma 3) or of all together (1: OLMo 2). */
static struct tpo_qk_norm norm_of(const struct job *job)
{
  return (struct tpo_qk_norm){.q = job->p[1], .k = job->p[2], .whole = job->w_rows == 1, .eps = 1e-5f};
}

static void make_qk_norm(struct job *job, int which)
{
  const struct sizes *d = job->d;
  size_t q = (size_t)(which ? d->heads * d->head_dim : d->head_dim),
         k = (size_t)(which ? d->kv_heads * d->head_dim : d->head_dim);
  job->n = d->seqs * d->seq_len;
  job->shape =
      (struct tpo_attention_shape){.heads = d->heads, .kv_heads = d->kv_heads, .head_dim = d->head_dim};
  job->w_rows = which;
  size_t size = (size_t)job->n * (size_t)qkv_width(d);
  job->p[0] = job_numbers(job, size, 1, 1);
  job->p[1] = job_floats(job, q, 2, 1);
  job->p[2] = job_floats(job, k, 3, 1);
  job->p[3] = job_float_space(job, (size_t)job->n * (size_t)(which ? 2 : d->heads + d->kv_heads));
  job->p[4] = job_space(job, size);
  job->bytes = 4.0 * (double)size;
  job_out(job, "qkv", job->p[4], size, ACTIVATIONS);
  WORDS(job, "%d x %d/%d heads of %d%s", job->n, d->heads, d->kv_heads, d->head_dim,
        which ? ", together" : "");
}

static void qk_norm(struct job *job)
{
  struct tpo_qk_norm norm = norm_of(job);
  ops_of(job)->qk_norm(job->side->be, job->p[0], job->p[4], &norm, job->p[3], job->shape, job->n);
}

static void make_qk_norm_backward(struct job *job, int which)
{
  const struct sizes *d = job->d;
  make_qk_norm(job, which);
  qk_norm(job);
  size_t size = (size_t)job->n * (size_t)qkv_width(d);
  size_t q = (size_t)(which ? d->heads * d->head_dim : d->head_dim),
         k = (size_t)(which ? d->kv_heads * d->head_dim : d->head_dim);
  job->p[5] = job_numbers(job, size, 4, 1);
  job->p[6] = job_floats(job, q, 5, 1);
  job->p[7] = job_floats(job, k, 6, 1);
  job->bytes =
      6.0 * job->n * (d->heads + d->kv_heads) * d->head_dim; /* the gradient twice, what was normed */
  job->n_outs = 0;
  job_out(job, "dqkv", job->p[5], size, ACTIVATIONS);
  job_out(job, "dq", job->p[6], q, FLOATS);
  job_out(job, "dk", job->p[7], k, FLOATS);
}

static void qk_norm_backward(struct job *job)
{
  struct tpo_qk_norm norm = norm_of(job);
  ops_of(job)->qk_norm_backward(job->side->be, job->p[5], job->p[0], &norm, job->p[3], job->p[6], job->p[7],
                                job->shape, job->n);
}

static void make_geglu(struct job *job, int which)
{
  const struct sizes *d = job->d;
  job->n = d->seqs * d->seq_len;
  size_t size = (size_t)job->n * (size_t)d->ffn;
  job->p[0] = job_numbers(job, 2 * size, 1, 1);
  job->p[1] = job_numbers(job, size, 2, 1);
  job->p[2] = job_space(job, which ? 2 * size : 1);
  job->bytes = (which ? 10.0 : 6.0) * (double)size;
  if (which)
    job_out(job, "dgate_up", job->p[2], 2 * size, ACTIVATIONS);
  else
    job_out(job, "out", job->p[1], size, ACTIVATIONS);
  WORDS(job, "%d x %d", job->n, d->ffn);
}

static void geglu(struct job *job)
{
  ops_of(job)->geglu(job->side->be, job->p[0], job->p[1], job->n, job->d->ffn);
}

static void geglu_backward(struct job *job)
{
  ops_of(job)->geglu_backward(job->side->be, job->p[1], job->p[0], job->p[2], job->n, job->d->ffn);
}

static void make_add_scaled(struct job *job, int which)
{
  const struct sizes *d = job->d;
  (void)which;
  job->n = d->seqs * d->seq_len;
  size_t size = (size_t)job->n * (size_t)d->hidden;
  job->p[0] = job_numbers(job, size, 1, 1);
  job->p[1] = job_numbers(job, size, 2, 1);
  job->p[2] = job_space(job, size);
  job->bytes = 6.0 * (double)size;
  job_out(job, "y", job->p[2], size, ACTIVATIONS);
  WORDS(job, "%d x %d", job->n, d->hidden);
}

static void add_scaled(struct job *job)
{
  ops_of(job)->add_scaled(job->side->be, job->p[0], job->p[1], job->p[2], 0.22f,
                          (size_t)job->n * (size_t)job->d->hidden);
}

const struct kernel bench_family_kernels[] = {
    {"linear_forward_bias", "training", 2e-2, make_biased, biased, NULL, 0},
    {"bias_backward", "training", 2e-2, make_bias_backward, bias_backward, NULL, 0},
    {"qk_norm", "training", 2e-2, make_qk_norm, qk_norm, NULL, 0},
    {"qk_norm", "training", 2e-2, make_qk_norm, qk_norm, NULL, 1},
    {"qk_norm_backward", "training", 2e-2, make_qk_norm_backward, qk_norm_backward, NULL, 0},
    {"qk_norm_backward", "training", 2e-2, make_qk_norm_backward, qk_norm_backward, NULL, 1},
    {"geglu", "training", 2e-2, make_geglu, geglu, NULL, 0},
    {"geglu_backward", "training", 2e-2, make_geglu, geglu_backward, NULL, 1},
    {"add_scaled", "training", 2e-2, make_add_scaled, add_scaled, NULL, 0},
    {"linear_forward_bias", "generation", 2e-2, make_biased, biased, NULL, 1},
};
const int bench_n_family_kernels = sizeof bench_family_kernels / sizeof *bench_family_kernels;
