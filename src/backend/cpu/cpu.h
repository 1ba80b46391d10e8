/* The CPU backend's state: instruction set, threads, scratch memory, first error. */
#ifndef TPO_BACKEND_CPU_CPU_H
#define TPO_BACKEND_CPU_CPU_H

#include "backend/backend.h"
#include "base/pool.h"

/* In rising order: a level implies all before it. */
enum tpo_cpu_isa { TPO_CPU_SCALAR, TPO_CPU_AVX2, TPO_CPU_AVX512, TPO_CPU_AVX512_BF16 };

/* Scratch memory that is kept between calls, one buffer a purpose; an operation that calls another must not
 * share a slot with it. */
enum tpo_cpu_slot {
  TPO_CPU_SLOT_A,       /* rounded activations of a matrix product */
  TPO_CPU_SLOT_B,       /* lm_head: rounded gradients of logits */
  TPO_CPU_SLOT_LOGITS,  /* lm_head: a chunk of logits and their gradients */
  TPO_CPU_SLOT_PARTIAL, /* lm_head: per chunk maximum and sum */
  TPO_CPU_SLOT_OPS,     /* for the other operations */
  TPO_CPU_SLOTS
};

struct tpo_cpu_scratch {
  void *data; /* 64-byte aligned, contents undefined */
  size_t bytes;
};

struct tpo_gemm_kernel;

struct tpo_cpu {
  struct tpo_backend base;
  enum tpo_cpu_isa isa;
  struct tpo_pool *pool;
  int threads;
  const struct tpo_gemm_kernel *gemm;      /* products of fp32 words */
  const struct tpo_gemm_kernel *gemm_bf16; /* products of bf16 pairs; NULL where the machine has none */
  struct tpo_cpu_scratch slots[TPO_CPU_SLOTS];
  struct tpo_cpu_scratch *per_thread; /* [threads] */
  struct tpo_error error;             /* the first since the last check */
};

static inline struct tpo_cpu *tpo_cpu(struct tpo_backend *be)
{
  return (struct tpo_cpu *)be;
}

int tpo_cpu_open(struct tpo_backend **out, const struct tpo_backend_options *options, struct tpo_error *err);

/* The highest level that this processor and operating system offer, and the one to use: what was asked for
 * (TPO_E_USAGE where it isn't there), or for auto the highest, lowered by TPO_CPU_ISA, or where bf16
 * arithmetic is slower than fp32. */
enum tpo_cpu_isa tpo_cpu_detect(void);
int tpo_cpu_choose(enum tpo_isa wish, enum tpo_cpu_isa *out, struct tpo_error *err);
const char *tpo_cpu_isa_name(enum tpo_cpu_isa isa); /* "AVX2" */

/* The slot's buffer with room for at least `bytes`; NULL when memory is short, which is remembered for
 * check(). */
void *tpo_cpu_scratch(struct tpo_cpu *cpu, enum tpo_cpu_slot slot, size_t bytes);
/* Gives each thread's per_thread buffer room for `bytes`; call it before tpo_pool_run. */
int tpo_cpu_reserve(struct tpo_cpu *cpu, size_t bytes);
/* Remembers the first error for check(). */
void tpo_cpu_fail(struct tpo_cpu *cpu, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
