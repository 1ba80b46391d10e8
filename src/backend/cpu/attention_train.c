/* Attention over packed sequences, forward and backward.
 *
 * First the keys (for the backward also the values) of every sequence and key head are laid out in tiles
 * [n_tiles, head_dim, TPO_KEY_TILE], transposed as the products want them. Forward: a task is a few
 * successive tokens of one sequence and key head. Backward: a task is one sequence and query head; its
 * gradients of keys and values go to a buffer of their own and are added up over the query heads of a key
 * head, in order, at the end. */
#include <string.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/simd/table.h"

#define SUM_ROWS 64 /* tokens a task in the last step of the backward */

struct train_job {
  struct tpo_cpu *cpu;
  const struct tpo_simd *simd;
  struct tpo_attention_shape shape;
  const int32_t *cu_seqlens;
  int n_seqs, max_tokens, n_tiles, n_blocks;
  int32_t *seq_of_tile, *seq_of_block; /* blocks: the forward's groups of tokens */
  int32_t *first_tile, *first_block;   /* [n_seqs] */
  int32_t *by_length;                  /* [n_seqs] longest first, so that threads end together */
  float *k_tiles, *v_tiles;            /* [kv_heads, n_tiles, head_dim, TPO_KEY_TILE] */
  float *dk, *dv;                      /* [heads, tokens, padded] */
  const float *qkv, *dout, *out, *lse;
  float *out_write, *lse_write, *dqkv;
};

static ptrdiff_t qkv_row(struct tpo_attention_shape s)
{
  return (ptrdiff_t)(s.heads + 2 * s.kv_heads) * s.head_dim;
}

static int tokens_of(const struct train_job *job, int seq)
{
  return job->cu_seqlens[seq + 1] - job->cu_seqlens[seq];
}

/* Hands out `bytes` of one allocation, in pieces of whole cache lines. */
static void *piece(char **at, size_t bytes)
{
  void *p = *at;
  *at += (bytes + 63) / 64 * 64;
  return p;
}

static void sort_by_length(struct train_job *job)
{
  for (int s = 0; s < job->n_seqs; s++) {
    int at = s;
    for (; at > 0 && tokens_of(job, job->by_length[at - 1]) < tokens_of(job, s); at--)
      job->by_length[at] = job->by_length[at - 1];
    job->by_length[at] = s;
  }
}

/* Counts tiles and blocks, and lays out the scratch memory. */
static int prepare(struct train_job *job, bool backward)
{
  int tokens_per_block = tpo_flash_tokens(job->shape);
  for (int s = 0; s < job->n_seqs; s++) {
    int tokens = tokens_of(job, s);
    job->n_tiles += (tokens + TPO_KEY_TILE - 1) / TPO_KEY_TILE;
    job->n_blocks += (tokens + tokens_per_block - 1) / tokens_per_block;
    if (tokens > job->max_tokens) job->max_tokens = tokens;
  }
  size_t seqs = (size_t)job->n_seqs * 4, tiles = (size_t)job->n_tiles * 4, blocks = (size_t)job->n_blocks * 4;
  size_t tile_bytes =
      (size_t)job->shape.kv_heads * (size_t)job->n_tiles * (size_t)job->shape.head_dim * TPO_KEY_TILE * 4;
  size_t gradient_bytes = backward ? (size_t)job->shape.heads * (size_t)job->cu_seqlens[job->n_seqs] *
                                         (size_t)tpo_flash_padded(job->shape.head_dim) * 4
                                   : 0;
  char *at = tpo_cpu_scratch(job->cpu, TPO_CPU_SLOT_OPS,
                             3 * seqs + tiles + blocks + 2 * tile_bytes + 2 * gradient_bytes + 16 * 64);
  size_t per_thread = tpo_flash_bytes(job->shape);
  if (backward) per_thread = tpo_flash_backward_bytes(job->shape.head_dim, job->max_tokens);
  if (!at || tpo_cpu_reserve(job->cpu, per_thread) < 0) return TPO_E_MEMORY;
  job->first_tile = piece(&at, seqs);
  job->first_block = piece(&at, seqs);
  job->by_length = piece(&at, seqs);
  job->seq_of_tile = piece(&at, tiles);
  job->seq_of_block = piece(&at, blocks);
  job->k_tiles = piece(&at, tile_bytes);
  if (backward) {
    job->v_tiles = piece(&at, tile_bytes);
    job->dk = piece(&at, gradient_bytes);
    job->dv = piece(&at, gradient_bytes);
  }
  for (int s = 0, tile = 0, block = 0; s < job->n_seqs; s++) {
    job->first_tile[s] = tile;
    job->first_block[s] = block;
    for (int i = 0; i < tokens_of(job, s); i += TPO_KEY_TILE) job->seq_of_tile[tile++] = s;
    for (int i = 0; i < tokens_of(job, s); i += tokens_per_block) job->seq_of_block[block++] = s;
  }
  sort_by_length(job);
  return 0;
}

static size_t tile_at(const struct train_job *job, int kv_head, int tile)
{
  return ((size_t)kv_head * (size_t)job->n_tiles + (size_t)tile) * (size_t)job->shape.head_dim * TPO_KEY_TILE;
}

/* from: rows of a token each; to [head_dim, TPO_KEY_TILE], zero past the last row */
static void pack_tile(float *to, const float *from, ptrdiff_t from_row, int rows, int head_dim)
{
  int j = 0;
  for (; j + 4 <= rows; j += 4) {
    const float *a = from + j * from_row, *b = a + from_row, *c = b + from_row, *d = c + from_row;
    for (int i = 0; i < head_dim; i++) {
      float *t = to + i * TPO_KEY_TILE + j;
      t[0] = a[i];
      t[1] = b[i];
      t[2] = c[i];
      t[3] = d[i];
    }
  }
  for (; j < TPO_KEY_TILE; j++)
    for (int i = 0; i < head_dim; i++) to[i * TPO_KEY_TILE + j] = j < rows ? from[j * from_row + i] : 0;
}

static void pack_task(void *arg, int task, int thread)
{
  (void)thread;
  const struct train_job *job = arg;
  struct tpo_attention_shape s = job->shape;
  int kv_head = task % s.kv_heads, tile = task / s.kv_heads, seq = job->seq_of_tile[tile];
  int first = job->cu_seqlens[seq] + (tile - job->first_tile[seq]) * TPO_KEY_TILE;
  int rows = job->cu_seqlens[seq + 1] - first;
  if (rows > TPO_KEY_TILE) rows = TPO_KEY_TILE;
  const float *k = job->qkv + first * qkv_row(s) + (s.heads + kv_head) * s.head_dim;
  pack_tile(job->k_tiles + tile_at(job, kv_head, tile), k, qkv_row(s), rows, s.head_dim);
  if (job->v_tiles)
    pack_tile(job->v_tiles + tile_at(job, kv_head, tile), k + s.kv_heads * s.head_dim, qkv_row(s), rows,
              s.head_dim);
}

/* Late blocks see more keys: they go first. */
static void forward_task(void *arg, int task, int thread)
{
  const struct train_job *job = arg;
  struct tpo_attention_shape s = job->shape;
  int kv_head = task % s.kv_heads, block = job->n_blocks - 1 - task / s.kv_heads,
      seq = job->seq_of_block[block];
  int pos = (block - job->first_block[seq]) * tpo_flash_tokens(s), start = job->cu_seqlens[seq];
  int tokens = tokens_of(job, seq) - pos;
  struct tpo_flash flash = {
      .shape = s,
      .kv_head = kv_head,
      .tokens = tokens < tpo_flash_tokens(s) ? tokens : tpo_flash_tokens(s),
      .pos = pos,
      .qkv = job->qkv + (start + pos) * qkv_row(s),
      .out = job->out_write + (ptrdiff_t)(start + pos) * s.heads * s.head_dim,
      .lse = job->lse_write + (ptrdiff_t)(start + pos) * s.heads,
      .k_tiles = job->k_tiles + tile_at(job, kv_head, job->first_tile[seq]),
      .v = job->qkv + start * qkv_row(s) + (s.heads + s.kv_heads + kv_head) * s.head_dim,
      .v_row = qkv_row(s),
  };
  job->simd->flash(&flash, job->cpu->per_thread[thread].data);
}

void tpo_cpu_attention(struct tpo_backend *be, const void *qkv, void *out, float *lse,
                       struct tpo_attention_shape shape, const int32_t *cu_seqlens_host, int n_seqs)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  struct train_job job = {.cpu = cpu,
                          .simd = tpo_simd(cpu),
                          .shape = shape,
                          .cu_seqlens = cu_seqlens_host,
                          .n_seqs = n_seqs,
                          .qkv = qkv,
                          .out_write = out,
                          .lse_write = lse};
  if (n_seqs < 1 || prepare(&job, false) < 0) return;
  tpo_pool_run(cpu->pool, job.n_tiles * shape.kv_heads, pack_task, &job);
  tpo_pool_run(cpu->pool, job.n_blocks * shape.kv_heads, forward_task, &job);
}

static size_t gradient_at(const struct train_job *job, int head, int row)
{
  size_t rows = (size_t)job->cu_seqlens[job->n_seqs];
  return ((size_t)head * rows + (size_t)row) * (size_t)tpo_flash_padded(job->shape.head_dim);
}

static void backward_task(void *arg, int task, int thread)
{
  const struct train_job *job = arg;
  struct tpo_attention_shape s = job->shape;
  int head = task % s.heads, seq = job->by_length[task / s.heads], start = job->cu_seqlens[seq];
  size_t tile = tile_at(job, head / (s.heads / s.kv_heads), job->first_tile[seq]);
  ptrdiff_t row = (ptrdiff_t)start * s.heads;
  struct tpo_flash_backward flash = {
      .shape = s,
      .head = head,
      .tokens = tokens_of(job, seq),
      .qkv = job->qkv + start * qkv_row(s),
      .dout = job->dout + row * s.head_dim,
      .out = job->out + row * s.head_dim,
      .lse = job->lse + row,
      .k_tiles = job->k_tiles + tile,
      .v_tiles = job->v_tiles + tile,
      .dqkv = job->dqkv + start * qkv_row(s),
      .dk = job->dk + gradient_at(job, head, start),
      .dv = job->dv + gradient_at(job, head, start),
  };
  job->simd->flash_backward(&flash, job->cpu->per_thread[thread].data);
}

/* dk and dv of each token and key head: the sum over its query heads; dk has the scale already */
static void sum_task(void *arg, int task, int thread)
{
  (void)thread;
  const struct train_job *job = arg;
  struct tpo_attention_shape s = job->shape;
  int group = s.heads / s.kv_heads, end = job->cu_seqlens[job->n_seqs];
  for (int row = task * SUM_ROWS; row < end && row < (task + 1) * SUM_ROWS; row++)
    for (int kv_head = 0; kv_head < s.kv_heads; kv_head++) {
      float *dk = job->dqkv + row * qkv_row(s) + (s.heads + kv_head) * s.head_dim,
            *dv = dk + s.kv_heads * s.head_dim;
      memset(dk, 0, (size_t)s.head_dim * sizeof(float));
      memset(dv, 0, (size_t)s.head_dim * sizeof(float));
      for (int head = kv_head * group; head < (kv_head + 1) * group; head++) {
        job->simd->add(dk, job->dk + gradient_at(job, head, row), 1.0f, s.head_dim);
        job->simd->add(dv, job->dv + gradient_at(job, head, row), 1.0f, s.head_dim);
      }
    }
}

void tpo_cpu_attention_backward(struct tpo_backend *be, const void *dout, const void *qkv, const void *out,
                                const float *lse, void *dqkv, struct tpo_attention_shape shape,
                                const int32_t *cu_seqlens_host, int n_seqs)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  struct train_job job = {.cpu = cpu,
                          .simd = tpo_simd(cpu),
                          .shape = shape,
                          .cu_seqlens = cu_seqlens_host,
                          .n_seqs = n_seqs,
                          .qkv = qkv,
                          .dout = dout,
                          .out = out,
                          .lse = lse,
                          .dqkv = dqkv};
  if (n_seqs < 1 || prepare(&job, true) < 0) return;
  tpo_pool_run(cpu->pool, job.n_tiles * shape.kv_heads, pack_task, &job);
  tpo_pool_run(cpu->pool, n_seqs * shape.heads, backward_task, &job);
  int rows = cu_seqlens_host[n_seqs];
  tpo_pool_run(cpu->pool, (rows + SUM_ROWS - 1) / SUM_ROWS, sum_task, &job);
}
