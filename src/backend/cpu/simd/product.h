/* Small matrix products inside attention: C[m, n] (+)= A[m, k] B[k, n], n in whole vectors. Every element of
 * C is one chain of multiply-adds over ascending k, whatever tile it lies in. */
#ifndef TPO_BACKEND_CPU_SIMD_PRODUCT_H
#define TPO_BACKEND_CPU_SIMD_PRODUCT_H

#include "backend/cpu/simd/vector.h"

/* The largest tile: ROWS x COLS vectors of C in registers. */
#define ROWS 6
#if VL == 16
#define COLS 4
#else
#define COLS 2
#endif

/* A[m, k] at a[m * a_row + k * a_k]; vector v of row k of B at b[v] + k * b_row. */
struct product {
  int k;
  const float *a;
  ptrdiff_t a_row, a_k;
  const float *const *b;
  ptrdiff_t b_row;
  float *c;
  ptrdiff_t c_row;
  bool add; /* C += */
};

INLINE void product_tile(const struct product *p, const int rows, const int cols)
{
  vf sum[ROWS][COLS];
#pragma GCC unroll 8
  for (int m = 0; m < rows; m++)
#pragma GCC unroll 8
    for (int v = 0; v < cols; v++) sum[m][v] = p->add ? vload(p->c + m * p->c_row + v * VL) : vset(0);
  const float *a = p->a, *b[COLS];
#pragma GCC unroll 8
  for (int v = 0; v < cols; v++) b[v] = p->b[v];
  ptrdiff_t at = 0, a_row = p->a_row, a_k = p->a_k, b_row = p->b_row;
  for (int k = 0; k < p->k; k++) {
    vf row[COLS];
#pragma GCC unroll 8
    for (int v = 0; v < cols; v++) row[v] = vload(b[v] + at);
#pragma GCC unroll 8
    for (int m = 0; m < rows; m++) {
      vf x = vset(a[m * a_row]);
#pragma GCC unroll 8
      for (int v = 0; v < cols; v++) sum[m][v] = vfma(x, row[v], sum[m][v]);
    }
    a += a_k;
    at += b_row;
  }
#pragma GCC unroll 8
  for (int m = 0; m < rows; m++)
#pragma GCC unroll 8
    for (int v = 0; v < cols; v++) vstore(p->c + m * p->c_row + v * VL, sum[m][v]);
}

#define PRODUCT_TILE(rows, cols)                                                                             \
  static void product_##rows##x##cols(const struct product *p)                                               \
  {                                                                                                          \
    product_tile(p, rows, cols);                                                                             \
  }
#define PRODUCT_TILES(cols)                                                                                  \
  PRODUCT_TILE(1, cols)                                                                                      \
  PRODUCT_TILE(2, cols)                                                                                      \
  PRODUCT_TILE(3, cols) PRODUCT_TILE(4, cols) PRODUCT_TILE(5, cols) PRODUCT_TILE(6, cols)
#define PRODUCT_NAMES(cols)                                                                                  \
  {                                                                                                          \
    product_1x##cols, product_2x##cols, product_3x##cols, product_4x##cols, product_5x##cols,                \
        product_6x##cols                                                                                     \
  }

PRODUCT_TILES(1)
PRODUCT_TILES(2)
#if COLS == 4
PRODUCT_TILES(3)
PRODUCT_TILES(4)
#endif

static void (*const product_tiles[COLS][ROWS])(const struct product *p) = {
    PRODUCT_NAMES(1),
    PRODUCT_NAMES(2),
#if COLS == 4
    PRODUCT_NAMES(3),
    PRODUCT_NAMES(4),
#endif
};

/* All of C: `rows` rows by `vectors` vectors, p->b holding that many pointers. */
static void product_vectors(struct product p, int rows, int vectors)
{
  const float *a = p.a;
  float *c = p.c;
  for (int v = 0; v < vectors; v += COLS) {
    int cols = vectors - v < COLS ? vectors - v : COLS;
    for (int m = 0; m < rows;) {
      int left = rows - m;
      int n = left <= ROWS ? left : left < ROWS + 3 ? 4 : ROWS; /* no thin last tile */
      p.a = a + m * p.a_row;
      p.c = c + m * p.c_row + v * VL;
      product_tiles[cols - 1][n - 1](&p);
      m += n;
    }
    p.b += cols;
  }
}

/* The same with B contiguous: [k, b_row], `vectors` vectors of each row used. */
static void product_rows(struct product p, const float *b, int rows, int vectors)
{
  float *c = p.c;
  for (int v = 0; v < vectors; v += COLS) {
    const float *columns[COLS];
    int cols = vectors - v < COLS ? vectors - v : COLS;
    for (int i = 0; i < cols; i++) columns[i] = b + (v + i) * VL;
    p.b = columns;
    p.c = c + v * VL;
    product_vectors(p, rows, cols);
  }
}

#endif
