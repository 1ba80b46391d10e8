/* Chunks of A and B in the layout of the kernels. Whole chunks are read and written in order, and their cost
 * is shared by all rows of a task. */
#include <string.h>

#include "backend/cpu/gemm.h"
#include "backend/cpu/linear.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
static void transpose4(uint32_t *dst, ptrdiff_t dst_ld, const uint32_t *src, ptrdiff_t src_ld)
{
  __m128 a = _mm_loadu_ps((const float *)src), b = _mm_loadu_ps((const float *)(src + src_ld));
  __m128 c = _mm_loadu_ps((const float *)(src + 2 * src_ld)),
         d = _mm_loadu_ps((const float *)(src + 3 * src_ld));
  _MM_TRANSPOSE4_PS(a, b, c, d);
  _mm_storeu_ps((float *)dst, a);
  _mm_storeu_ps((float *)(dst + dst_ld), b);
  _mm_storeu_ps((float *)(dst + 2 * dst_ld), c);
  _mm_storeu_ps((float *)(dst + 3 * dst_ld), d);
}
#else
static void transpose4(uint32_t *dst, ptrdiff_t dst_ld, const uint32_t *src, ptrdiff_t src_ld)
{
  for (int r = 0; r < 4; r++)
    for (int c = 0; c < 4; c++) dst[c * dst_ld + r] = src[r * src_ld + c];
}
#endif

void tpo_gemm_transpose(uint32_t *dst, ptrdiff_t dst_ld, const uint32_t *src, ptrdiff_t src_ld, int rows,
                        int cols)
{
  int r4 = rows / 4 * 4, c4 = cols / 4 * 4;
  for (int c = 0; c < c4; c += 4)
    for (int r = 0; r < r4; r += 4) transpose4(dst + c * dst_ld + r, dst_ld, src + r * src_ld + c, src_ld);
  for (int c = 0; c < cols; c++)
    for (int r = c < c4 ? r4 : 0; r < rows; r++) dst[c * dst_ld + r] = src[r * src_ld + c];
}

bool tpo_gemm_widens(const struct tpo_gemm *g)
{
  return g->b == TPO_GEMM_B_WEIGHTS && g->w->dtype == TPO_BF16 && !g->kernel->pairs;
}

static const uint32_t *chunk_weights(const struct tpo_gemm *g, int panel, int k0)
{
  const struct tpo_linear *w = g->w;
  const uint32_t *words = w->words + (size_t)(panel + g->w_row0 / w->panel) * w->k_words * w->panel;
  return words + (size_t)(tpo_gemm_widens(g) ? k0 / 2 : k0) * w->panel;
}

/* Two words a, b of weight rows f and f+1, each a pair of columns:
 * to a word a column, each a pair of rows. */
static void pair_rows(uint32_t *dst, const uint32_t *even, const uint32_t *odd, int n)
{
  for (int j = 0; j < n; j++) {
    dst[2 * j] = (even[j] & 0xffffu) | (odd[j] << 16);
    dst[2 * j + 1] = (even[j] >> 16) | (odd[j] & 0xffff0000u);
  }
}

static void expand_row(uint32_t *dst, const uint32_t *pairs, int n)
{
  for (int j = 0; j < n; j++) {
    dst[2 * j] = pairs[j] << 16;
    dst[2 * j + 1] = pairs[j] & 0xffff0000u;
  }
}

/* `turned` [run, width] = words of weight rows f..f+run-1 (in one panel) for word columns c0..c0+width-1,
 * zero past the matrix. */
static void turn_words(const struct tpo_linear *w, int f, int run, int c0, int width, uint32_t *turned)
{
  const uint32_t *src = w->words + ((size_t)(f / w->panel) * w->k_words + c0) * w->panel + f % w->panel;
  int valid = w->k_words - c0 < width ? w->k_words - c0 : width;
  tpo_gemm_transpose(turned, width, src, w->panel, valid, run);
  for (int r = 0; valid < width && r < run; r++)
    memset(turned + (size_t)r * width + valid, 0, (size_t)(width - valid) * sizeof *turned);
}

/* A weight panel at a time, as its rows lie together. */
static const uint32_t *chunk_transposed(const struct tpo_gemm *g, int panel, int k0, int kc,
                                        uint32_t *scratch)
{
  const struct tpo_linear *w = g->w;
  int nr = g->kernel->nr, pairs = g->kernel->pairs ? 2 : 1;
  int width = w->dtype == TPO_F32 ? nr : nr / 2; /* words across a row of the panel */
  uint32_t *turned = w->dtype == TPO_F32 ? scratch : scratch + (size_t)g->kernel->kc * nr;
  int f = g->w_row0 + k0 * pairs, end = f + kc * pairs;
  for (uint32_t *dst = scratch; f < end;) {
    int run = w->panel - f % w->panel < end - f ? w->panel - f % w->panel : end - f;
    if (w->dtype == TPO_F32) {
      turn_words(w, f, run, panel * width, width, dst);
    } else {
      turn_words(w, f, run, panel * width, width, turned);
      for (int r = 0; r < run; r += pairs) {
        const uint32_t *row = turned + (size_t)r * width;
        if (pairs == 2)
          pair_rows(dst + (size_t)(r / 2) * nr, row, row + width, width);
        else
          expand_row(dst + (size_t)r * nr, row, width);
      }
    }
    dst += (size_t)(run / pairs) * nr;
    f += run;
  }
  return scratch;
}

/* The row of step k of a row-major matrix, and the one that is paired with it. */
static const float *step_rows(const struct tpo_gemm *g, const float *matrix, ptrdiff_t ld, int k,
                              const float **odd)
{
  int step = g->kernel->pairs ? 2 : 1, row = k * step;
  *odd = step == 2 && row + 1 < g->k_rows ? matrix + (row + 1) * ld : NULL;
  return matrix + row * ld;
}

static void chunk_rows(const struct tpo_gemm *g, int panel, int k0, int kc, uint32_t *dst)
{
  int nr = g->kernel->nr, col0 = panel * nr, valid = g->n - col0 < nr ? g->n - col0 : nr;
  for (int k = k0; k < k0 + kc; k++, dst += nr) {
    const float *odd, *even = step_rows(g, g->rows, g->rows_ld, k, &odd);
    g->kernel->pack_b(dst, even + col0, odd ? odd + col0 : NULL, valid);
    for (int j = valid; j < nr; j++) dst[j] = 0;
  }
}

const uint32_t *tpo_gemm_chunk_b(const struct tpo_gemm *g, int panel, int k0, int kc, uint32_t *scratch)
{
  switch (g->b) {
  case TPO_GEMM_B_WEIGHTS: return chunk_weights(g, panel, k0);
  case TPO_GEMM_B_TRANSPOSED: return chunk_transposed(g, panel, k0, kc, scratch);
  case TPO_GEMM_B_ROWS: break;
  }
  chunk_rows(g, panel, k0, kc, scratch);
  return scratch;
}

void tpo_gemm_chunk_a(const struct tpo_gemm *g, int m0, int m1, int k0, int kc, uint32_t *scratch)
{
  int mr = g->kernel->mr;
  for (int k = 0; k < kc; k++) {
    const float *odd, *even = step_rows(g, g->a_columns, g->a_ld, k0 + k, &odd);
    g->kernel->pack_a(scratch + (ptrdiff_t)k * mr, (ptrdiff_t)mr * kc, even + m0, odd ? odd + m0 : NULL,
                      m1 - m0);
  }
}
