/* Drives the kernels of matrix products over chunks of k, panels and tiles, cut into tasks for the pool. */
#include <string.h>

#include "backend/cpu/gemm.h"
#include "backend/cpu/linear.h"

/* Rows a task takes at most. While a panel of weights is read, the rows of A should stay in the second-level
 * cache; transposing weights, or packing the columns of A, is paid once a task. */
#define ROWS_WEIGHTS 128
#define ROWS_TRANSPOSED 1024
#define ROWS_COLUMNS 512
/* Words of A up to which a task finishes one panel before the next; beyond, it keeps to one chunk of k. */
#define A_WORDS (1 << 18)

void tpo_gemm_choose(struct tpo_cpu *cpu)
{
  cpu->gemm = &tpo_gemm_scalar;
  cpu->gemm_bf16 = NULL;
#if defined(__x86_64__)
  if (cpu->isa >= TPO_CPU_AVX2) cpu->gemm = &tpo_gemm_avx2;
  if (cpu->isa >= TPO_CPU_AVX512) cpu->gemm = &tpo_gemm_avx512;
  if (cpu->isa >= TPO_CPU_AVX512_BF16) cpu->gemm_bf16 = &tpo_gemm_avx512bf16;
#endif
}

const struct tpo_gemm_kernel *tpo_gemm_kernel_for(const struct tpo_cpu *cpu, const struct tpo_linear *w)
{
  return w->dtype == TPO_BF16 && cpu->gemm_bf16 ? cpu->gemm_bf16 : cpu->gemm;
}

static int ceil_div(int a, int b)
{
  return (a + b - 1) / b;
}
static int min_int(int a, int b)
{
  return a < b ? a : b;
}

size_t tpo_gemm_scratch_bytes(const struct tpo_gemm *g, int rows)
{
  const struct tpo_gemm_kernel *kernel = g->kernel;
  size_t words = (size_t)kernel->kc * kernel->nr * 2 + (size_t)kernel->mr * kernel->nr;
  if (g->a_columns) words += (size_t)(rows + kernel->mr) * kernel->kc;
  return words * sizeof(uint32_t) + 64;
}

/* K in equal chunks of at most kernel->kc words, even; the cut follows from k alone. */
static int chunk_words(const struct tpo_gemm *g)
{
  return ceil_div(ceil_div(g->k, ceil_div(g->k, g->kernel->kc)), 2) * 2;
}

/* A tile whose panel passes the last column goes through `edge`, so
 * that the kernel always sees whole panels. */
static void edge_tile(const struct tpo_gemm *g, int rows, int cols, int kc, const uint32_t *a,
                      ptrdiff_t a_row, ptrdiff_t a_k, const uint32_t *b, float *c, bool load_c, float *edge)
{
  int nr = g->kernel->nr;
  for (int r = 0; r < rows; r++)
    for (int j = 0; j < nr; j++) edge[r * nr + j] = load_c && j < cols ? c[r * g->ldc + j] : 0.0f;
  (tpo_gemm_widens(g) ? g->kernel->tile_widen : g->kernel->tile)(rows, kc, a, a_row, a_k, b, edge, nr, true,
                                                                 (const char *)b);
  for (int r = 0; r < rows; r++)
    for (int j = 0; j < cols; j++) c[r * g->ldc + j] = edge[r * nr + j];
}

/* What a tile's sums are added to, put where the tile will find it, in the first-level cache. (A second
 * pointer for the kernels to load it by cost 5 % of the gradient of weights.) */
static void put_base(const struct tpo_gemm *g, int row, int rows, int col, int cols)
{
  for (int r = row; r < row + rows; r++)
    memcpy(g->c + r * g->ldc + col, g->base + r * g->base_ld + col, (size_t)cols * sizeof *g->c);
}

/* All tiles of rows m0..m1-1 in one panel, over one chunk of k.
 * `packed` is A's chunk when a_columns is set. */
static void run_chunk(const struct tpo_gemm *g, int m0, int m1, int panel, int k0, int kc,
                      const uint32_t *packed, uint32_t *b_scratch, float *edge)
{
  const struct tpo_gemm_kernel *kernel = g->kernel;
  int mr = kernel->mr, nr = kernel->nr;
  const uint32_t *b = tpo_gemm_chunk_b(g, panel, k0, kc, b_scratch);
  bool widen = tpo_gemm_widens(g);
  int b_words = (widen ? ceil_div(kc, 2) : kc) * nr;
  uintptr_t next = (uintptr_t)(b == b_scratch ? b : b + b_words);
  int cols = min_int(nr, g->n - panel * nr), rows = m1 - m0, blocks = ceil_div(rows, mr);
  bool load_c = g->base || k0 > 0;
  for (int i = 0; i < blocks; i++) {
    /* Rows are shared out evenly: 9 rows are 5 + 4, not 8 + 1, as short tiles leave multipliers waiting. */
    int r0 = packed ? i * mr : (int)((int64_t)rows * i / blocks);
    int r1 = packed ? min_int(rows, r0 + mr) : (int)((int64_t)rows * (i + 1) / blocks);
    const uint32_t *a = packed ? packed + (size_t)r0 * kc : g->a + (m0 + r0) * g->a_row + k0;
    ptrdiff_t a_row = packed ? 1 : g->a_row, a_k = packed ? mr : 1;
    float *c = g->c + (m0 + r0) * g->ldc + (ptrdiff_t)panel * nr;
    if (k0 == 0 && load_c && g->base != g->c) put_base(g, m0 + r0, r1 - r0, panel * nr, cols);
    if (cols < nr) {
      edge_tile(g, r1 - r0, cols, kc, a, a_row, a_k, b, c, load_c, edge);
      continue;
    }
    /* The first tiles fetch what follows this chunk; the others touch what is there already. */
    const char *prefetch =
        i * 16 * kc < b_words ? (const char *)(next + (size_t)i * 64 * kc) : (const char *)b;
    (widen ? kernel->tile_widen : kernel->tile)(r1 - r0, kc, a, a_row, a_k, b, c, g->ldc, load_c, prefetch);
  }
}

void tpo_gemm_block(const struct tpo_gemm *g, int m0, int m1, int p0, int p1, void *scratch)
{
  const struct tpo_gemm_kernel *kernel = g->kernel;
  uint32_t *b_scratch = scratch;
  float *edge = (float *)(b_scratch + (size_t)kernel->kc * kernel->nr * 2);
  uint32_t *a_scratch = (uint32_t *)(edge + (size_t)kernel->mr * kernel->nr);
  int chunk = chunk_words(g);
  if (!g->a_columns && (int64_t)(m1 - m0) * g->k <= A_WORDS) {
    for (int p = p0; p < p1; p++)
      for (int k0 = 0; k0 < g->k; k0 += chunk)
        run_chunk(g, m0, m1, p, k0, min_int(chunk, g->k - k0), NULL, b_scratch, edge);
    return;
  }
  for (int k0 = 0; k0 < g->k; k0 += chunk) {
    int kc = min_int(chunk, g->k - k0);
    if (g->a_columns) tpo_gemm_chunk_a(g, m0, m1, k0, kc, a_scratch);
    for (int p = p0; p < p1; p++)
      run_chunk(g, m0, m1, p, k0, kc, g->a_columns ? a_scratch : NULL, b_scratch, edge);
  }
}

struct gemm_tasks {
  const struct tpo_gemm *g;
  struct tpo_cpu *cpu;
  int rows, panels;    /* a task */
  int n_panels, n_col; /* all panels; tasks along n */
};

static void run_task(void *arg, int task, int thread)
{
  const struct gemm_tasks *t = arg;
  int m0 = task / t->n_col * t->rows, p0 = task % t->n_col * t->panels;
  tpo_gemm_block(t->g, m0, min_int(m0 + t->rows, t->g->m), p0, min_int(p0 + t->panels, t->n_panels),
                 t->cpu->per_thread[thread].data);
}

/* Cuts C into tasks: whole rows of panels first, as A is then read or packed once; then finer, until every
 * thread has several. How it is cut never changes a result. */
static void cut_tasks(struct gemm_tasks *t, int threads)
{
  const struct tpo_gemm *g = t->g;
  int mr = g->kernel->mr, wanted = threads == 1 ? 1 : 4 * threads;
  t->n_panels = ceil_div(g->n, g->kernel->nr);
  int most = g->a_columns ? ROWS_COLUMNS : g->b == TPO_GEMM_B_TRANSPOSED ? ROWS_TRANSPOSED : ROWS_WEIGHTS;
  int n_row = ceil_div(g->m, most);
  t->rows = ceil_div(ceil_div(g->m, n_row), mr) * mr;
  t->panels = t->n_panels;
  while (n_row * ceil_div(t->n_panels, t->panels) < wanted && t->panels > 1)
    t->panels = ceil_div(t->panels, 2);
  while (ceil_div(g->m, t->rows) * ceil_div(t->n_panels, t->panels) < 2 * threads && t->rows >= 8 * mr)
    t->rows = ceil_div(t->rows / 2, mr) * mr;
  t->n_col = ceil_div(t->n_panels, t->panels);
}

void tpo_gemm_run(struct tpo_cpu *cpu, const struct tpo_gemm *g)
{
  if (g->m <= 0 || g->n <= 0) return;
  struct gemm_tasks tasks = {.g = g, .cpu = cpu};
  cut_tasks(&tasks, cpu->threads);
  if (tpo_cpu_reserve(cpu, tpo_gemm_scratch_bytes(g, tasks.rows)) < 0) return;
  tpo_pool_run(cpu->pool, ceil_div(g->m, tasks.rows) * tasks.n_col, run_task, &tasks);
}

struct round_tasks {
  const struct tpo_gemm_kernel *kernel;
  const float *x;
  uint32_t *out;
  ptrdiff_t stride;  /* words */
  int n, cols, rows; /* rows a task */
};

static void round_task(void *arg, int task, int thread)
{
  (void)thread;
  const struct round_tasks *t = arg;
  int end = min_int(t->n, (task + 1) * t->rows);
  for (int i = task * t->rows; i < end; i++) {
    uint16_t *out = (uint16_t *)(t->out + i * t->stride);
    t->kernel->round(out, t->x + (ptrdiff_t)i * t->cols, t->cols);
    if (t->cols % 2) out[t->cols] = 0;
  }
}

bool tpo_gemm_set_a(struct tpo_cpu *cpu, struct tpo_gemm *g, enum tpo_cpu_slot slot, const float *x, int n,
                    int cols)
{
  if (!g->kernel->pairs) {
    g->a = (const uint32_t *)x;
    g->a_row = cols;
    return true;
  }
  /* Rows a multiple of 4 KiB apart would compete for the same cache lines. */
  ptrdiff_t stride = ceil_div(ceil_div(cols, 2), 16) * 16;
  if (stride % 512 == 0) stride += 16;
  uint32_t *out = tpo_cpu_scratch(cpu, slot, (size_t)n * stride * sizeof *out);
  if (!out) return false;
  struct round_tasks tasks = {g->kernel, x, out, stride, n, cols, ceil_div(32768, cols)};
  tpo_pool_run(cpu->pool, ceil_div(n, tasks.rows), round_task, &tasks);
  g->a = out;
  g->a_row = stride;
  return true;
}
