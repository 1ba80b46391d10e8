/* backend: where tensors live and are computed with.
 *
 *   struct tpo_backend *be;
 *   if (tpo_backend_open(&be, TPO_BACKEND_AUTO, 0, &err) < 0) ...
 *   printf("%s\n", tpo_backend_describe(be));    // "cpu: AVX512_BF16, 2 threads"
 *   tpo_backend_close(be);
 */
#ifndef TPO_BACKEND_H
#define TPO_BACKEND_H

#include "tpo/base.h"
#include "tpo/config.h"

struct tpo_backend;

/* threads 0: as many as this process may run on. A backend that was not built in is TPO_E_UNSUPPORTED.
 * The environment variable TPO_CPU_ISA (scalar, avx2, avx512, avx512_bf16) lowers, never raises, what the CPU
 * backend takes by itself. */
TPO_API int tpo_backend_open(struct tpo_backend **out, enum tpo_backend_kind kind, int threads,
                             struct tpo_error *err);
/* Where several ranks share a host, each takes the GPU of its local rank; more ranks than GPUs is refused
 * unless TPO_CUDA_SHARE_GPU=1 stands in the environment (tests, small experiments). */
struct tpo_backend_options {
  enum tpo_backend_kind kind; /* auto: cuda where it is built in and a GPU is there, else cpu */
  int threads;                /* as above */
  int local_rank, local_size; /* this rank among those of its host, whose memory they share */
  enum tpo_isa isa;           /* of the CPU backend; TPO_E_USAGE where this CPU doesn't have it */
};
TPO_API int tpo_backend_open_with(struct tpo_backend **out, const struct tpo_backend_options *options,
                                  struct tpo_error *err);
TPO_API void tpo_backend_close(struct tpo_backend *be);
TPO_API const char *tpo_backend_describe(const struct tpo_backend *be);
/* What it computes with: "avx512", "cuda sm_90". Where two differ, so do results, in the last bits. */
TPO_API const char *tpo_backend_kernels(const struct tpo_backend *be);
/* One line a backend for `tpo --version`: "cpu (AVX512_BF16), cuda (no driver)". */
TPO_API const char *tpo_backend_list(void);

#endif
