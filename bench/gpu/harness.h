/* What the kernel bench is made of: two sides, the GPU's table and the plain reference, each with its own
 * memory and the same numbers in it; the jobs that run on either. */
#ifndef TPO_BENCH_GPU_HARNESS_H
#define TPO_BENCH_GPU_HARNESS_H

#include "backend/ops.h"

/* Sizes of a model and of the work on it. */
struct sizes {
  int hidden, heads, kv_heads, head_dim, ffn, vocab;
  int seqs, seq_len;         /* packed sequences: seqs * seq_len rows */
  int head_rows;             /* rows that the LM head is trained on at once */
  int decode, context;       /* sequences generated at once, tokens in each one's cache */
  size_t params, dequantise; /* elements for the optimizer and for dequantisation */
};

struct side {
  struct tpo_backend *be;
  const struct tpo_ops *ops;
  bool fast; /* activations and weights in bf16; otherwise fp32 that holds the same bf16 values */
};

enum { JOB_BLOCKS = 40, JOB_WEIGHTS = 8, JOB_OUTS = 4 };
enum kind { ACTIVATIONS, FLOATS, INTEGERS };

struct out {
  const char *name;
  const void *p;
  size_t n;
  enum kind kind;
};

/* One kernel's work on one side: what it reads and writes, and what it costs at least. */
struct job {
  struct side *side;
  const struct sizes *d;
  void *p[16];
  /* taken in turn, so that small ones come from memory and not from the cache */
  struct tpo_linear *w[JOB_WEIGHTS];
  int n_weights, turn, w_rows, w_cols;
  int n; /* rows */
  struct tpo_attention_shape shape;
  struct tpo_kv_layer kv;
  struct tpo_paged_rows rows;
  struct tpo_paged_host host;
  int32_t *cu_seqlens, *seq, *pos, *blocks; /* host */
  struct tpo_sample_params *sampling;
  struct tpo_loss_pair *pairs;
  struct tpo_loss_result *results;
  double bytes, flops; /* least memory traffic and arithmetic of one call */
  char what[96];       /* the shape in words */
  struct out outs[JOB_OUTS];
  int n_outs;
  void *memory[JOB_BLOCKS], *host_memory[JOB_BLOCKS];
  int n_memory, n_host;
};

/* Each ends the program with a message when memory is short. */
void *job_numbers(struct job *job, size_t n, uint32_t stream, float scale); /* activations, normal */
float *job_floats(struct job *job, size_t n, uint32_t stream, float scale); /* fp32, normal */
void *job_space(struct job *job, size_t n);                                 /* activations, zeros */
float *job_float_space(struct job *job, size_t n);                          /* fp32, zeros */
int32_t *job_integers(struct job *job, const int32_t *host, size_t n);      /* a copy on the backend */
void *job_host(struct job *job, size_t bytes);                              /* host memory, zeros */
void job_weight(struct job *job, int rows, int cols, int copies);           /* adds to job->w */
void job_out(struct job *job, const char *name, const void *p, size_t n, enum kind kind);
void job_wait(struct job *job);
void job_free(struct job *job);

/* Of both sides' outputs, the largest |a - b| / |b| (norms over an output); infinite for NaN. */
double job_difference(struct job *got, struct job *expected, const char **worst);

#endif
