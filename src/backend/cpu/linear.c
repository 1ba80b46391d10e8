/* Weight matrices in packed panels: set and read back, embedding, and products forward and backward. */
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/gemm.h"
#include "backend/cpu/linear.h"
#include "backend/cpu/simd/table.h"
#include "base/memory.h"

static int min_int(int a, int b)
{
  return a < b ? a : b;
}

int tpo_cpu_linear_create(struct tpo_backend *be, int rows, int cols, enum tpo_dtype dtype,
                          struct tpo_linear **out, struct tpo_error *err)
{
  *out = NULL;
  if (rows < 1 || cols < 1)
    return tpo_fail(err, TPO_E_USAGE, "weight matrix of %d x %d: expected at least 1 x 1", rows, cols);
  if (dtype != TPO_F32 && dtype != TPO_BF16)
    return tpo_fail(err, TPO_E_UNSUPPORTED, "weight matrix of type %s: expected fp32 or bf16",
                    tpo_dtype_name(dtype));
  struct tpo_linear *w = tpo_calloc(1, sizeof *w, err);
  if (!w) return TPO_E_MEMORY;
  w->rows = rows;
  w->cols = cols;
  w->dtype = dtype;
  w->panel = tpo_gemm_kernel_for(tpo_cpu(be), w)->nr;
  w->n_panels = (int)(((int64_t)rows + w->panel - 1) / w->panel);
  w->k_words = dtype == TPO_F32 ? cols : cols / 2 + cols % 2;
  size_t bytes;
  if (__builtin_mul_overflow((size_t)w->n_panels * (size_t)w->panel, (size_t)w->k_words * sizeof(uint32_t),
                             &bytes)) {
    free(w);
    return tpo_fail(err, TPO_E_MEMORY, "weight matrix of %d x %d is larger than memory can be", rows, cols);
  }
  void *words;
  int code = be->ops->alloc(be, bytes, &words, err);
  if (code < 0) {
    free(w);
    return code;
  }
  w->words = words;
  *out = w;
  return 0;
}

void tpo_cpu_linear_free(struct tpo_backend *be, struct tpo_linear *w)
{
  if (!w) return;
  be->ops->free(be, w->words);
  free(w);
}

struct set_tasks {
  struct tpo_linear *w;
  int row0, n_rows;
  const char *src;
  enum tpo_dtype src_dtype;
};

#define SET_WORDS 32 /* words of k that are converted, then transposed, at a time */
#define MAX_PANEL 48

/* The rows of one panel that the call covers. */
static void set_task(void *arg, int task, int thread)
{
  (void)thread;
  const struct set_tasks *t = arg;
  struct tpo_linear *w = t->w;
  int panel = t->row0 / w->panel + task, first = panel * w->panel;
  int begin = first > t->row0 ? first : t->row0, end = min_int(first + w->panel, t->row0 + t->n_rows);
  int per_word = w->dtype == TPO_F32 ? 1 : 2;
  uint32_t converted[MAX_PANEL * SET_WORDS]; // [end - begin, SET_WORDS]
  for (int k0 = 0; k0 < w->k_words; k0 += SET_WORDS) {
    int n_words = min_int(SET_WORDS, w->k_words - k0), col0 = k0 * per_word;
    int n_cols = min_int(n_words * per_word, w->cols - col0);
    for (int r = begin; r < end; r++) {
      uint32_t *row = converted + (r - begin) * SET_WORDS;
      row[n_words - 1] = 0;
      const char *src = t->src + ((size_t)(r - t->row0) * w->cols + col0) * tpo_dtype_size(t->src_dtype);
      tpo_convert(row, w->dtype, src, t->src_dtype, (size_t)n_cols);
    }
    uint32_t *dst = w->words + ((size_t)panel * w->k_words + k0) * w->panel + (begin - first);
    tpo_gemm_transpose(dst, w->panel, converted, SET_WORDS, end - begin, n_words);
  }
}

static int panels_of(const struct tpo_linear *w, int row0, int n_rows)
{
  return n_rows < 1 ? 0 : (row0 + n_rows - 1) / w->panel - row0 / w->panel + 1;
}

void tpo_cpu_linear_set(struct tpo_backend *be, struct tpo_linear *w, int row0, int n_rows, const void *src,
                        enum tpo_dtype src_dtype)
{
  struct set_tasks tasks = {w, row0, n_rows, src, src_dtype};
  tpo_pool_run(tpo_cpu(be)->pool, panels_of(w, row0, n_rows), set_task, &tasks);
}

static void read_row(const struct tpo_linear *w, int row, float *dst)
{
  const uint32_t *src = w->words + (size_t)(row / w->panel) * w->k_words * w->panel + row % w->panel;
  if (w->dtype == TPO_F32) {
    for (int k = 0; k < w->cols; k++) memcpy(dst + k, src + (size_t)k * w->panel, sizeof *dst);
    return;
  }
  for (int k = 0; k < w->cols; k++) {
    uint32_t word = src[(size_t)(k / 2) * w->panel];
    dst[k] = tpo_bf16_to_f32((uint16_t)(k % 2 ? word >> 16 : word));
  }
}

struct read_tasks {
  const struct tpo_linear *w;
  const int32_t *ids; /* NULL: row0 + i */
  int row0;
  float *out; // [n, cols]
};

static void read_task(void *arg, int task, int thread)
{
  (void)thread;
  const struct read_tasks *t = arg;
  read_row(t->w, t->ids ? t->ids[task] : t->row0 + task, t->out + (size_t)task * t->w->cols);
}

void tpo_cpu_linear_get(struct tpo_backend *be, const struct tpo_linear *w, int row0, int n_rows, float *dst)
{
  struct read_tasks tasks = {w, NULL, row0, dst};
  tpo_pool_run(tpo_cpu(be)->pool, n_rows, read_task, &tasks);
}

void tpo_cpu_embed(struct tpo_backend *be, const struct tpo_linear *table, const int32_t *ids, void *out,
                   int n)
{
  struct read_tasks tasks = {table, ids, 0, out};
  tpo_pool_run(tpo_cpu(be)->pool, n, read_task, &tasks);
}

struct embed_backward_tasks {
  const int32_t *ids;
  const float *dout;
  float *dtable;
  int n, dim;
};

#define EMBED_COLS 64

/* A task owns some columns of the table and goes over all tokens, so that sums are in the tokens' order. */
static void embed_backward_task(void *arg, int task, int thread)
{
  (void)thread;
  const struct embed_backward_tasks *t = arg;
  int begin = task * EMBED_COLS, end = min_int(t->dim, begin + EMBED_COLS);
  for (int i = 0; i < t->n; i++) {
    float *row = t->dtable + (size_t)t->ids[i] * t->dim;
    const float *add = t->dout + (size_t)i * t->dim;
    for (int j = begin; j < end; j++) row[j] += add[j];
  }
}

void tpo_cpu_embed_backward(struct tpo_backend *be, const int32_t *ids, const void *dout, float *dtable,
                            int n, int dim)
{
  struct embed_backward_tasks tasks = {ids, dout, dtable, n, dim};
  tpo_pool_run(tpo_cpu(be)->pool, (dim + EMBED_COLS - 1) / EMBED_COLS, embed_backward_task, &tasks);
}

/* y = base + x W^T, rows of base being base_ld numbers apart */
static void forward(struct tpo_cpu *cpu, const struct tpo_linear *w, const void *x, const float *base,
                    int base_ld, void *y, int n)
{
  const struct tpo_gemm_kernel *kernel = tpo_gemm_kernel_for(cpu, w);
  struct tpo_gemm g = {.kernel = kernel,
                       .m = n,
                       .n = w->rows,
                       .k = kernel->pairs ? w->k_words : w->cols,
                       .b = TPO_GEMM_B_WEIGHTS,
                       .w = w,
                       .c = y,
                       .ldc = w->rows,
                       .base = base,
                       .base_ld = base_ld};
  if (n > 0 && tpo_gemm_set_a(cpu, &g, TPO_CPU_SLOT_A, x, n, w->cols)) tpo_gemm_run(cpu, &g);
}

void tpo_cpu_linear_forward(struct tpo_backend *be, const struct tpo_linear *w, const void *x, void *y, int n)
{
  forward(tpo_cpu(be), w, x, NULL, 0, y, n);
}

void tpo_cpu_linear_forward_add(struct tpo_backend *be, const struct tpo_linear *w, const void *x,
                                const void *base, void *y, int n)
{
  forward(tpo_cpu(be), w, x, base, w->rows, y, n);
}

void tpo_cpu_linear_forward_bias(struct tpo_backend *be, const struct tpo_linear *w, const float *bias,
                                 const void *x, void *y, int n)
{
  forward(tpo_cpu(be), w, x, bias, 0, y, n);
}

#define CAP_COLS 4096 /* logits a task */

struct cap_tasks {
  const struct tpo_simd *simd;
  float *logits;
  size_t n;
  float cap;
};

static void cap_task(void *arg, int task, int thread)
{
  (void)thread;
  const struct cap_tasks *t = arg;
  size_t at = (size_t)task * CAP_COLS, left = t->n - at;
  t->simd->softcap(t->logits + at, left < CAP_COLS ? (int)left : CAP_COLS, t->cap);
}

void tpo_cpu_lm_head_logits(struct tpo_backend *be, const struct tpo_linear *w, const void *h, float *logits,
                            int n, float softcap)
{
  forward(tpo_cpu(be), w, h, NULL, 0, logits, n);
  struct cap_tasks tasks = {tpo_simd(tpo_cpu(be)), logits, (size_t)n * (size_t)w->rows, softcap};
  if (softcap > 0)
    tpo_pool_run(tpo_cpu(be)->pool, (int)((tasks.n + CAP_COLS - 1) / CAP_COLS), cap_task, &tasks);
}

void tpo_cpu_linear_backward_input(struct tpo_backend *be, const struct tpo_linear *w, const void *dy,
                                   void *dx, int n, bool add)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  const struct tpo_gemm_kernel *kernel = tpo_gemm_kernel_for(cpu, w);
  struct tpo_gemm g = {.kernel = kernel,
                       .m = n,
                       .n = w->cols,
                       .k = kernel->pairs ? w->rows / 2 + w->rows % 2 : w->rows,
                       .b = TPO_GEMM_B_TRANSPOSED,
                       .w = w,
                       .c = dx,
                       .ldc = w->cols,
                       .base = add ? dx : NULL,
                       .base_ld = w->cols};
  if (n > 0 && tpo_gemm_set_a(cpu, &g, TPO_CPU_SLOT_A, dy, n, w->rows)) tpo_gemm_run(cpu, &g);
}

void tpo_cpu_linear_backward_weight(struct tpo_backend *be, const struct tpo_linear *w, const void *dy,
                                    const void *x, float *dw, int n)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  const struct tpo_gemm_kernel *kernel = tpo_gemm_kernel_for(cpu, w);
  struct tpo_gemm g = {.kernel = kernel,
                       .m = w->rows,
                       .n = w->cols,
                       .k = kernel->pairs ? n / 2 + n % 2 : n,
                       .a_columns = dy,
                       .a_ld = w->rows,
                       .b = TPO_GEMM_B_ROWS,
                       .rows = x,
                       .rows_ld = w->cols,
                       .k_rows = n,
                       .c = dw,
                       .ldc = w->cols,
                       .base = dw,
                       .base_ld = w->cols};
  if (n > 0) tpo_gemm_run(cpu, &g);
}
