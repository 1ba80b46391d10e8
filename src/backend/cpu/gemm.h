/* Blocked matrix products over 32-bit words: C[m, n] (+)= sum over k of A[m, k] * B[k, n], fp32 results.
 *
 * A word is one fp32 number, or a pair of bf16 numbers along k whose two products are added ("bf16 pairs").
 * One kernel computes a tile of a few rows by one panel of columns over one chunk of k; the driver goes over
 * chunks of k, panels and tiles. Every element of C is summed over k in the same order, whatever tile it lies
 * in, however many rows there are and whichever thread computes it: this is what makes the backend batch
 * invariant. */
#ifndef TPO_BACKEND_CPU_GEMM_H
#define TPO_BACKEND_CPU_GEMM_H

#include "backend/cpu/cpu.h"

/* One tile: C[0..rows, 0..nr] = (load_c ? C : 0) + A B over kc words.
 * a: word (m, k) at a[m * a_row + k * a_k]; b: [kc, nr] words, 64-byte aligned; prefetch: memory that the
 * next tiles will read, 64 bytes are touched a step of k (NULL: nothing). */
typedef void tpo_gemm_tile_fn(int rows, int kc, const uint32_t *a, ptrdiff_t a_row, ptrdiff_t a_k,
                              const uint32_t *b, float *c, ptrdiff_t ldc, bool load_c, const char *prefetch);

struct tpo_gemm_kernel {
  int mr, nr; /* rows and columns of the largest tile */
  int kc;     /* words of k a chunk, so that B's [kc, nr] stays in the first-level cache */
  tpo_gemm_tile_fn *tile;
};

/* B chunk of panel p over words k0 .. k0+kc-1: returns [kc, nr] words, in place or written to scratch. */
struct tpo_gemm;
typedef const uint32_t *tpo_gemm_b_fn(const struct tpo_gemm *g, int panel, int k0, int kc, uint32_t *scratch);
/* A chunk of rows m0 .. m0+mc-1: writes words to scratch, each block of mr rows as [kc, mr]. */
typedef void tpo_gemm_a_fn(const struct tpo_gemm *g, int m0, int mc, int k0, int kc, uint32_t *scratch);

struct tpo_gemm {
  const struct tpo_gemm_kernel *kernel;
  int m, n, k; /* k in words */
  const uint32_t *a;
  ptrdiff_t a_row; /* words from a row of A to the next, when pack_a is NULL */
  tpo_gemm_a_fn *pack_a;
  tpo_gemm_b_fn *get_b;
  const void *b;     /* for get_b */
  ptrdiff_t b_row;   /* for get_b */
  int b_limit;       /* for get_b: rows or k that exist */
  const void *a_src; /* for pack_a */
  float *c;
  ptrdiff_t ldc;
  bool add; /* C += instead of C = */
};

/* Sets cpu->gemm and cpu->gemm_bf16 for cpu->isa. */
void tpo_gemm_choose(struct tpo_cpu *cpu);

#endif
