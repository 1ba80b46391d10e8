/* The paged cache and attention over it.
 *
 * Inside a block, keys lie transposed: k is [n_blocks, kv_heads, head_dim, block_tokens], so that a vector
 * holds the same dimension of successive keys and scores need no sums across lanes. v is [n_blocks, kv_heads,
 * block_tokens, head_dim]. Successive tokens of one sequence (a prompt) are attended to together, one task a
 * key head; a lone token (decoding) reads its keys and values once for all query heads of a key head, at
 * memory speed. */
#include <string.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/rows.h"

struct paged_job {
  struct tpo_cpu *cpu;
  const struct tpo_simd *simd;
  const struct tpo_kv_layer *kv;
  const float *qkv;
  float *out;
  struct tpo_attention_shape shape;
  const struct tpo_paged_rows *rows;
  const int32_t *first; /* [n_runs + 1] first row of each run of successive tokens */
};

#define WRITE_ROWS 16

static void write_row(const struct paged_job *job, int i)
{
  const struct tpo_kv_layer *kv = job->kv;
  const struct tpo_paged_rows *rows = job->rows;
  size_t hd = (size_t)kv->head_dim, bt = (size_t)kv->block_tokens;
  size_t at = (size_t)rows->pos[i] % bt;
  size_t block =
      (size_t)rows->blocks[(size_t)rows->seq[i] * (size_t)rows->max_blocks + (size_t)rows->pos[i] / bt];
  const float *row = job->qkv + (size_t)i * (size_t)(job->shape.heads + 2 * job->shape.kv_heads) * hd;
  const float *k = row + (size_t)job->shape.heads * hd, *v = k + (size_t)job->shape.kv_heads * hd;
  for (size_t head = 0; head < (size_t)kv->kv_heads; head++, k += hd, v += hd) {
    size_t base = (block * (size_t)kv->kv_heads + head) * hd * bt;
    if (kv->dtype == TPO_F32) {
      float *to = (float *)kv->k + base + at;
      for (size_t c = 0; c < hd; c++) to[c * bt] = k[c];
      memcpy((float *)kv->v + base + at * hd, v, hd * sizeof(float));
    } else {
      uint16_t *to = (uint16_t *)kv->k + base + at;
      for (size_t c = 0; c < hd; c++) to[c * bt] = tpo_f32_to_bf16(k[c]);
      job->simd->to_bf16((uint16_t *)kv->v + base + at * hd, v, (int)hd);
    }
  }
}

static void write_task(void *arg, int task, int thread)
{
  (void)thread;
  const struct paged_job *job = arg;
  for (int i = task * WRITE_ROWS; i < job->rows->n && i < (task + 1) * WRITE_ROWS; i++) write_row(job, i);
}

void tpo_cpu_kv_write(struct tpo_backend *be, const struct tpo_kv_layer *kv, const void *qkv,
                      struct tpo_attention_shape shape, const struct tpo_paged_rows *rows)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  struct paged_job job = {cpu, tpo_simd(cpu), kv, qkv, NULL, shape, rows, NULL};
  tpo_pool_run(cpu->pool, (rows->n + WRITE_ROWS - 1) / WRITE_ROWS, write_task, &job);
}

struct rope_write_job {
  struct paged_job write;
  float *qkv;
  const struct tpo_qk_norm *norm;
  const float *cos_sin;
};

static void rope_write_task(void *arg, int task, int thread)
{
  (void)thread;
  const struct rope_write_job *job = arg;
  const struct tpo_paged_rows *rows = job->write.rows;
  const struct tpo_simd *simd = job->write.simd;
  struct tpo_attention_shape s = job->write.shape;
  for (int i = task * WRITE_ROWS; i < rows->n && i < (task + 1) * WRITE_ROWS; i++) {
    float *row = job->qkv + (size_t)i * (size_t)(s.heads + 2 * s.kv_heads) * (size_t)s.head_dim;
    size_t at = (size_t)(rows->rope_at ? rows->rope_at[i] : rows->pos[i]);
    if (job->norm) tpo_cpu_qk_norm_row(simd, row, row, job->norm, s, NULL);
    if (job->cos_sin) tpo_cpu_rope_row(simd, row, job->cos_sin + at * (size_t)tpo_rotated(s), s, false);
    write_row(&job->write, i);
  }
}

void tpo_cpu_rope_kv_write(struct tpo_backend *be, const struct tpo_kv_layer *kv, void *qkv,
                           const struct tpo_qk_norm *norm, const float *cos_sin,
                           struct tpo_attention_shape shape, const struct tpo_paged_rows *rows)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  struct rope_write_job job = {{cpu, tpo_simd(cpu), kv, qkv, NULL, shape, rows, NULL}, qkv, norm, cos_sin};
  tpo_pool_run(cpu->pool, (rows->n + WRITE_ROWS - 1) / WRITE_ROWS, rope_write_task, &job);
}

/* Nothing to plan: attention_paged finds the runs of tokens as it goes. */
void tpo_cpu_paged_prepare(struct tpo_backend *be, struct tpo_paged_rows *rows,
                           const struct tpo_paged_host *host, struct tpo_attention_shape shape,
                           int block_tokens)
{
  (void)be, (void)host, (void)shape, (void)block_tokens;
  rows->plan = NULL;
}

static void paged_task(void *arg, int task, int thread)
{
  const struct paged_job *job = arg;
  int run = task / job->shape.kv_heads, first = job->first[run];
  size_t row = (size_t)(job->shape.heads + 2 * job->shape.kv_heads) * (size_t)job->shape.head_dim;
  struct tpo_flash flash = {
      .shape = job->shape,
      .kv_head = task % job->shape.kv_heads,
      .tokens = job->first[run + 1] - first,
      .pos = job->rows->pos[first],
      .qkv = job->qkv + (size_t)first * row,
      .out = job->out + (size_t)first * (size_t)job->shape.heads * (size_t)job->shape.head_dim,
      .kv = job->kv,
      .blocks = job->rows->blocks + (size_t)job->rows->seq[first] * (size_t)job->rows->max_blocks,
  };
  job->simd->flash(&flash, job->cpu->per_thread[thread].data);
}

void tpo_cpu_attention_paged(struct tpo_backend *be, const struct tpo_kv_layer *kv, const void *qkv,
                             void *out, struct tpo_attention_shape shape, const struct tpo_paged_rows *rows)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  int32_t *first = tpo_cpu_scratch(cpu, TPO_CPU_SLOT_OPS, ((size_t)rows->n + 1) * sizeof *first);
  if (!first || tpo_cpu_reserve(cpu, tpo_flash_bytes(shape)) < 0) return;
  int runs = 0, longest = tpo_flash_tokens(shape);
  for (int i = 0; i < rows->n; i++) {
    bool follows = i > 0 && rows->seq[i] == rows->seq[i - 1] && rows->pos[i] == rows->pos[i - 1] + 1;
    if (!follows || i - first[runs - 1] == longest) first[runs++] = i;
  }
  first[runs] = rows->n;
  struct paged_job job = {cpu, tpo_simd(cpu), kv, qkv, out, shape, rows, first};
  tpo_pool_run(cpu->pool, runs * shape.kv_heads, paged_task, &job);
}

void tpo_cpu_kv_copy_block(struct tpo_backend *be, const struct tpo_kv_layer *kv, int dst, int src,
                           int tokens)
{
  (void)be;
  size_t size = tpo_dtype_size(kv->dtype), hd = (size_t)kv->head_dim, bt = (size_t)kv->block_tokens;
  size_t head_bytes = hd * bt * size, block_bytes = head_bytes * (size_t)kv->kv_heads;
  for (size_t head = 0; head < (size_t)kv->kv_heads; head++) {
    size_t to = (size_t)dst * block_bytes + head * head_bytes,
           from = (size_t)src * block_bytes + head * head_bytes;
    for (size_t c = 0; c < hd; c++)
      memcpy((char *)kv->k + to + c * bt * size, (const char *)kv->k + from + c * bt * size,
             (size_t)tokens * size);
    memcpy((char *)kv->v + to, (const char *)kv->v + from, (size_t)tokens * hd * size);
  }
}
