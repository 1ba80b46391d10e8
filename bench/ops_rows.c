/* Operations that go row by row, and attention with and without window and cap: time of a call, and of the
 * first kind how much memory it reads and writes a second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ops.h"

#define MIN_SECONDS 0.1
#define TOKENS 512
#define WIDTH 2048 /* of hidden states; twice that of gates */
#define POSITIONS 4096

struct rows_bench {
  struct tpo_backend *be;
  const struct tpo_ops *ops;
  struct tpo_attention_shape shape;
  struct tpo_qk_norm norm;
  struct tpo_kv_layer kv;
  struct tpo_paged_rows rows;
  int32_t cu[2];
  int n;
  float *x, *y, *d, *w, *rstd, *table, *lse; // x, y, d [TOKENS, 4 * WIDTH]
};

static void *memory(struct tpo_backend *be, size_t bytes)
{
  void *p;
  if (tpo_ops(be)->alloc(be, bytes, &p, NULL) == 0) return p;
  fprintf(stderr, "bench_ops: no memory for %zu bytes\n", bytes);
  exit(1);
}

static float *floats(struct tpo_backend *be, size_t n)
{
  float *x = memory(be, n * sizeof *x);
  uint32_t state = 1;
  for (size_t i = 0; i < n; i++) {
    state = state * 1664525u + 1013904223u;
    x[i] = (float)(state >> 8) * 0x1p-24f - 0.5f;
  }
  return x;
}

static void rms_norm(struct rows_bench *b)
{
  b->ops->rms_norm(b->be, b->x, b->w, b->y, b->rstd, b->n, WIDTH, 1e-6f);
}
static void rms_norm_backward(struct rows_bench *b)
{
  b->ops->rms_norm_backward(b->be, b->d, b->x, b->w, b->rstd, b->y, b->lse, b->n, WIDTH);
}
static void add_scaled(struct rows_bench *b)
{
  b->ops->add_scaled(b->be, b->x, b->d, b->y, 0.5f, (size_t)b->n * WIDTH);
}
static void bias_backward(struct rows_bench *b)
{
  b->ops->bias_backward(b->be, b->x, b->lse, b->n, WIDTH);
}
static void swiglu(struct rows_bench *b)
{
  b->ops->swiglu(b->be, b->x, b->y, b->n, WIDTH);
}
static void swiglu_backward(struct rows_bench *b)
{
  b->ops->swiglu_backward(b->be, b->d, b->x, b->y, b->n, WIDTH);
}
static void geglu(struct rows_bench *b)
{
  b->ops->geglu(b->be, b->x, b->y, b->n, WIDTH);
}
static void geglu_backward(struct rows_bench *b)
{
  b->ops->geglu_backward(b->be, b->d, b->x, b->y, b->n, WIDTH);
}
static void rope(struct rows_bench *b)
{
  b->ops->rope(b->be, b->y, b->rows.pos, b->table, b->shape, b->n, false);
}
static void qk_norm(struct rows_bench *b)
{
  b->ops->qk_norm(b->be, b->x, b->y, &b->norm, b->rstd, b->shape, b->n);
}
static void qk_norm_backward(struct rows_bench *b)
{
  b->ops->qk_norm_backward(b->be, b->y, b->x, &b->norm, b->rstd, b->lse, b->lse + WIDTH, b->shape, b->n);
}
static void rope_kv_write(struct rows_bench *b)
{
  b->ops->rope_kv_write(b->be, &b->kv, b->y, NULL, b->table, b->shape, &b->rows);
}
static void norm_rope_kv_write(struct rows_bench *b)
{
  b->ops->rope_kv_write(b->be, &b->kv, b->y, &b->norm, b->table, b->shape, &b->rows);
}
static void attention_paged(struct rows_bench *b)
{
  b->ops->attention_paged(b->be, &b->kv, b->x, b->y, b->shape, &b->rows);
}
static void attention(struct rows_bench *b)
{
  b->ops->attention(b->be, b->x, b->y, b->lse, b->shape, b->cu, 1);
}
static void attention_backward(struct rows_bench *b)
{
  b->ops->attention_backward(b->be, b->x, b->x, b->x, b->lse, b->y, b->shape, b->cu, 1);
}

/* Seconds of a call: the best, as other programs share the machine. What is done in place begins with the
 * same numbers each time, lest they vanish. */
static double best_of(struct rows_bench *b, void (*call)(struct rows_bench *))
{
  double begin = tpo_seconds(), best = 1e9;
  call(b);
  do {
    memcpy(b->y, b->x, (size_t)b->n * WIDTH * sizeof *b->y);
    double start = tpo_seconds();
    call(b);
    double seconds = tpo_seconds() - start;
    if (seconds < best) best = seconds;
  } while (tpo_seconds() - begin < MIN_SECONDS);
  return best;
}

static const struct {
  const char *name;
  void (*call)(struct rows_bench *b);
  int moved; /* rows of WIDTH floats that a call reads and writes for each token */
} row_ops[] = {{"rms_norm", rms_norm, 2},
               {"rms_norm_backward", rms_norm_backward, 4},
               {"add_scaled", add_scaled, 3},
               {"bias_backward", bias_backward, 1},
               {"swiglu", swiglu, 3},
               {"swiglu_backward", swiglu_backward, 5},
               {"geglu", geglu, 3},
               {"geglu_backward", geglu_backward, 5},
               {"rope", rope, 2},
               {"qk_norm", qk_norm, 2},
               {"qk_norm_backward", qk_norm_backward, 3},
               {"rope_kv_write", rope_kv_write, 2},
               {"qk_norm, rope_kv_write", norm_rope_kv_write, 2}};

static void print_rows(struct rows_bench *b)
{
  static const int counts[] = {1, 32, TOKENS};
  printf("\n%-24s %6s %12s %8s\n", "operation", "rows", "microseconds", "GB/s");
  for (size_t i = 0; i < sizeof row_ops / sizeof *row_ops; i++)
    for (int k = 0; k < 3; k++) {
      b->n = b->rows.n = counts[k];
      double seconds = best_of(b, row_ops[i].call);
      double bytes = (double)row_ops[i].moved * counts[k] * WIDTH * sizeof(float);
      printf("%-24s %6d %12.1f %8.1f\n", row_ops[i].name, counts[k], 1e6 * seconds, 1e-9 * bytes / seconds);
    }
}

/* Positions of the rows that attend: `n` tokens up to the last. */
static void place(struct rows_bench *b, int n, int last)
{
  b->rows.n = n;
  for (int i = 0; i < n; i++) ((int32_t *)b->rows.pos)[i] = last - n + 1 + i;
}

static void print_attention(struct rows_bench *b)
{
  static const struct {
    int window;
    float softcap;
  } kinds[] = {{0, 0}, {256, 0}, {0, 50}, {256, 50}};
  printf("\n%-24s %6s %8s %12s\n", "attention", "window", "softcap", "microseconds");
  for (int k = 0; k < 4; k++) {
    b->shape.window = kinds[k].window;
    b->shape.softcap = kinds[k].softcap;
    struct {
      const char *name;
      double seconds;
    } lines[4];
    place(b, 1, POSITIONS - 1);
    lines[0].name = "1 token at 4095";
    lines[0].seconds = best_of(b, attention_paged);
    place(b, 128, POSITIONS - 1);
    lines[1].name = "128 tokens to 4095";
    lines[1].seconds = best_of(b, attention_paged);
    lines[2].name = "sequence of 1024";
    lines[2].seconds = best_of(b, attention);
    lines[3].name = "its backward";
    lines[3].seconds = best_of(b, attention_backward);
    for (int i = 0; i < 4; i++)
      printf("%-24s %6d %8.0f %12.1f\n", lines[i].name, kinds[k].window, (double)kinds[k].softcap,
             1e6 * lines[i].seconds);
    fflush(stdout);
  }
}

void bench_rows(struct tpo_backend *be)
{
  enum { HEADS = 12, KV_HEADS = 2, HEAD_DIM = 128, BLOCK = 16, SEQUENCE = 1024 };
  struct rows_bench b = {.be = be, .ops = tpo_ops(be), .cu = {0, SEQUENCE}};
  b.shape = (struct tpo_attention_shape){.heads = HEADS, .kv_heads = KV_HEADS, .head_dim = HEAD_DIM};
  size_t cache = (size_t)POSITIONS * KV_HEADS * HEAD_DIM;
  b.x = floats(be, (size_t)TOKENS * 4 * WIDTH);
  b.y = floats(be, (size_t)TOKENS * 4 * WIDTH);
  b.d = floats(be, (size_t)TOKENS * 4 * WIDTH);
  b.w = floats(be, WIDTH);
  b.rstd = floats(be, TOKENS * (HEADS + KV_HEADS));
  b.table = floats(be, (size_t)POSITIONS * HEAD_DIM);
  b.lse = floats(be, (size_t)SEQUENCE * HEADS);
  b.norm = (struct tpo_qk_norm){.q = b.w, .k = b.w, .eps = 1e-6f};
  b.kv = (struct tpo_kv_layer){
      .dtype = TPO_BF16, .block_tokens = BLOCK, .kv_heads = KV_HEADS, .head_dim = HEAD_DIM};
  b.kv.k = memory(be, cache * sizeof(uint16_t));
  b.kv.v = memory(be, cache * sizeof(uint16_t));
  int32_t *blocks = memory(be, POSITIONS / BLOCK * sizeof *blocks);
  for (int i = 0; i < POSITIONS / BLOCK; i++) blocks[i] = i;
  b.rows.seq = memory(be, TOKENS * sizeof(int32_t));
  b.rows.pos = memory(be, TOKENS * sizeof(int32_t));
  b.rows.blocks = blocks;
  b.rows.max_blocks = POSITIONS / BLOCK;
  place(&b, TOKENS, TOKENS - 1);
  print_rows(&b);
  print_attention(&b);
  void *all[] = {b.x,
                 b.y,
                 b.d,
                 b.w,
                 b.rstd,
                 b.table,
                 b.lse,
                 b.kv.k,
                 b.kv.v,
                 blocks,
                 (void *)b.rows.seq,
                 (void *)b.rows.pos};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) b.ops->free(be, all[i]);
}
