/* Blocked matrix products over 32-bit words: C[m, n] = (base[m, n] +) sum over k of A[m, k] * B[k, n], fp32
 * results.
 *
 * A word is one fp32 number, or a pair of bf16 numbers along k whose two products are added ("bf16 pairs"). A
 * kernel computes a tile of a few rows by one panel of columns over one chunk of k; the driver goes over
 * chunks of k, panels and tiles. Every element of C is summed over k in the same order, whatever tile it lies
 * in, however many rows there are and whichever thread computes it: this is what makes the backend batch
 * invariant.
 *
 *   struct tpo_gemm g = {.kernel = kernel, .m = n, .n = w->rows, .k = w->cols, .w = w,
 *                        .b = TPO_GEMM_B_WEIGHTS, ...};
 *   tpo_gemm_run(cpu, &g);
 */
#ifndef TPO_BACKEND_CPU_GEMM_H
#define TPO_BACKEND_CPU_GEMM_H

#include "backend/cpu/cpu.h"

struct tpo_linear;

struct tpo_gemm_kernel {
  int mr, nr; /* rows and columns of the largest tile; nr is a multiple of 4 */
  int kc;     /* words of k a chunk, even */
  bool pairs; /* words are bf16 pairs */

  /* C[0..rows, 0..nr] = (load_c ? C : 0) + A B over kc words. Word (m, k) of A is a[m * a_row + k * a_k]; b
   * is [kc, nr] words, 64-byte aligned; each step of k asks for the next 64 bytes at prefetch. */
  void (*tile)(int rows, int kc, const uint32_t *a, ptrdiff_t a_row, ptrdiff_t a_k, const uint32_t *b,
               float *c, ptrdiff_t ldc, bool load_c, const char *prefetch);
  /* The same with fp32 A and bf16 pairs in b, [ceil(kc / 2), nr]; NULL when `pairs`. */
  void (*tile_widen)(int rows, int kc, const uint32_t *a, ptrdiff_t a_row, ptrdiff_t a_k, const uint32_t *b,
                     float *c, ptrdiff_t ldc, bool load_c, const char *prefetch);
  /* n numbers to bf16, nearest even; NULL unless `pairs`. */
  void (*round)(uint16_t *dst, const float *src, int n);
  /* n words of one step of k, from one row (fp32) or two (pairs; odd may be NULL, which is zero) of a matrix:
   * side by side, or in blocks of mr words `stride` apart. */
  void (*pack_b)(uint32_t *dst, const float *even, const float *odd, int n);
  void (*pack_a)(uint32_t *dst, ptrdiff_t stride, const float *even, const float *odd, int n);
  /* Largest of x[0..n] and the sum of exp(x - largest). */
  void (*sum_exp)(const float *x, int n, float *largest, float *sum);
  /* x = scale * exp(x - lse) */
  void (*softmax_scaled)(float *x, int n, float lse, float scale);
};

extern const struct tpo_gemm_kernel tpo_gemm_scalar, tpo_gemm_avx2, tpo_gemm_avx512, tpo_gemm_avx512bf16;

/* Where B comes from. */
enum tpo_gemm_b {
  TPO_GEMM_B_WEIGHTS,    /* B[k, n] = W[w_row0 + n, k]; w_row0 is a multiple of the panel */
  TPO_GEMM_B_TRANSPOSED, /* B[k, n] = W[w_row0 + k, n]; likewise */
  TPO_GEMM_B_ROWS,       /* B[k, n] = rows[k * rows_ld + n], k of k_rows */
};

struct tpo_gemm {
  const struct tpo_gemm_kernel *kernel;
  int m, n, k; /* k in words of the kernel */

  /* A: words, row-major, or (a_columns set) A[m, k] = a_columns[k * a_ld + m], k of k_rows. */
  const uint32_t *a;
  ptrdiff_t a_row;
  const float *a_columns;
  ptrdiff_t a_ld;

  enum tpo_gemm_b b;
  const struct tpo_linear *w;
  int w_row0;
  const float *rows;
  ptrdiff_t rows_ld;
  int k_rows; /* numbers along k, for a_columns and TPO_GEMM_B_ROWS */

  float *c;
  ptrdiff_t ldc;
  const float *base; /* what the product is added to, as large as C or C itself; NULL: nothing */
  ptrdiff_t base_ld; /* from a row of base to the next; 0: all have the same */
};

/* Sets cpu->gemm and cpu->gemm_bf16 for cpu->isa. */
void tpo_gemm_choose(struct tpo_cpu *cpu);
/* The kernel that computes with w's words. */
const struct tpo_gemm_kernel *tpo_gemm_kernel_for(const struct tpo_cpu *cpu, const struct tpo_linear *w);

void tpo_gemm_run(struct tpo_cpu *cpu, const struct tpo_gemm *g);
/* Rows m0..m1-1 of panels p0..p1-1 on the calling thread; scratch of tpo_gemm_scratch_bytes. */
void tpo_gemm_block(const struct tpo_gemm *g, int m0, int m1, int p0, int p1, void *scratch);
size_t tpo_gemm_scratch_bytes(const struct tpo_gemm *g, int rows);

/* x [n, cols] as A's words for the kernel: x itself for fp32, else rounded into the slot. False when memory
 * is short. */
bool tpo_gemm_set_a(struct tpo_cpu *cpu, struct tpo_gemm *g, enum tpo_cpu_slot slot, const float *x, int n,
                    int cols);

/* Whether B is bf16 pairs that an fp32 kernel must widen. */
bool tpo_gemm_widens(const struct tpo_gemm *g);

/* gemm_pack.c: one chunk of B, words [kc, nr] (pairs if widened), in place or in scratch; and one of A for
 * a_columns, in blocks of mr rows as [kc, mr]. */
const uint32_t *tpo_gemm_chunk_b(const struct tpo_gemm *g, int panel, int k0, int kc, uint32_t *scratch);
void tpo_gemm_chunk_a(const struct tpo_gemm *g, int m0, int m1, int k0, int kc, uint32_t *scratch);
/* dst[c * dst_ld + r] = src[r * src_ld + c] for rows x cols words. */
void tpo_gemm_transpose(uint32_t *dst, ptrdiff_t dst_ld, const uint32_t *src, ptrdiff_t src_ld, int rows,
                        int cols);

#endif
