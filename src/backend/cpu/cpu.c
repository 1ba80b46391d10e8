/* The CPU backend: instruction set, scratch memory, opening, and the table of its operations. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/linear.h"
#include "backend/host.h"
#include "base/memory.h"

const char *tpo_cpu_isa_name(enum tpo_cpu_isa isa)
{
  switch (isa) {
  case TPO_CPU_SCALAR: return "scalar";
  case TPO_CPU_AVX2: return "AVX2";
  case TPO_CPU_AVX512: return "AVX512";
  case TPO_CPU_AVX512_BF16: return "AVX512_BF16";
  }
  return "unknown";
}

/* __builtin_cpu_supports also asks xgetbv whether the operating system saves the wide registers. */
enum tpo_cpu_isa tpo_cpu_detect(void)
{
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return TPO_CPU_SCALAR;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
    return TPO_CPU_AVX2;
  return __builtin_cpu_supports("avx512bf16") ? TPO_CPU_AVX512_BF16 : TPO_CPU_AVX512;
#else
  return TPO_CPU_SCALAR;
#endif
}

/* Intel's cores start vdpbf16ps every second cycle (measured: half the rate of fp32 multiply-adds); AMD's at
 * least every cycle. Where it is slow, bf16 weights are computed with at fp32 precision, unless TPO_CPU_ISA
 * asks. */
static bool bf16_is_fast(void)
{
#if defined(__x86_64__)
  return !__builtin_cpu_is("intel");
#else
  return false;
#endif
}

/* As options and the environment name them. */
static const char *const isa_names[] = {"scalar", "avx2", "avx512", "avx512_bf16"};

static int choose_by_environment(const char *wish, enum tpo_cpu_isa *out, struct tpo_error *err)
{
  for (int i = 0; i < 4; i++)
    if (strcmp(wish, isa_names[i]) == 0) {
      if (i < (int)*out) *out = (enum tpo_cpu_isa)i;
      return 0;
    }
  return tpo_fail(err, TPO_E_USAGE, "TPO_CPU_ISA is '%s'; expected scalar, avx2, avx512 or avx512_bf16",
                  wish);
}

int tpo_cpu_choose(enum tpo_isa wish, enum tpo_cpu_isa *out, struct tpo_error *err)
{
  enum tpo_cpu_isa highest = tpo_cpu_detect();
  const char *environment = getenv("TPO_CPU_ISA");
  *out = highest;
  if (wish == TPO_ISA_AUTO && environment && *environment)
    return choose_by_environment(environment, out, err);
  if (wish == TPO_ISA_AUTO) {
    if (highest == TPO_CPU_AVX512_BF16 && !bf16_is_fast()) *out = TPO_CPU_AVX512;
    return 0;
  }
  *out = (enum tpo_cpu_isa)(wish - TPO_ISA_SCALAR);
  if (*out <= highest) return 0;
  return tpo_fail(err, TPO_E_USAGE, "model.isa is %s, which this CPU doesn't have; the highest here is %s",
                  isa_names[*out], isa_names[highest]);
}

void tpo_cpu_fail(struct tpo_cpu *cpu, int code, const char *format, ...)
{
  if (cpu->error.code) return;
  va_list args;
  va_start(args, format);
  cpu->error.code = code;
  vsnprintf(cpu->error.message, sizeof cpu->error.message, format, args);
  va_end(args);
}

#define HUGE_PAGE ((size_t)2 << 20)

/* 64-byte aligned; NULL when memory is short. Large blocks ask for huge pages: panels are read in long runs,
 * which otherwise wait for address translation. */
static void *allocate(size_t bytes)
{
  size_t alignment = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : 64;
  if (bytes > SIZE_MAX - alignment) return NULL;
  size_t rounded = (bytes ? bytes + alignment - 1 : alignment) / alignment * alignment;
  void *p = aligned_alloc(alignment, rounded);
  if (p && alignment == HUGE_PAGE) madvise(p, rounded, MADV_HUGEPAGE);
  return p;
}

static int scratch_grow(struct tpo_cpu *cpu, struct tpo_cpu_scratch *scratch, size_t bytes)
{
  if (bytes <= scratch->bytes) return 0;
  if (bytes < scratch->bytes + scratch->bytes / 4) bytes = scratch->bytes + scratch->bytes / 4;
  void *data = allocate(bytes);
  if (!data) {
    tpo_cpu_fail(cpu, TPO_E_MEMORY, "the CPU backend could not get %zu bytes of scratch memory", bytes);
    return TPO_E_MEMORY;
  }
  free(scratch->data);
  scratch->data = data;
  scratch->bytes = bytes;
  return 0;
}

void *tpo_cpu_scratch(struct tpo_cpu *cpu, enum tpo_cpu_slot slot, size_t bytes)
{
  return scratch_grow(cpu, &cpu->slots[slot], bytes) < 0 ? NULL : cpu->slots[slot].data;
}

int tpo_cpu_reserve(struct tpo_cpu *cpu, size_t bytes)
{
  for (int t = 0; t < cpu->threads; t++)
    if (scratch_grow(cpu, &cpu->per_thread[t], bytes) < 0) return TPO_E_MEMORY;
  return 0;
}

static int cpu_alloc(struct tpo_backend *be, size_t bytes, void **out, struct tpo_error *err)
{
  (void)be;
  *out = NULL;
  void *p = allocate(bytes);
  if (!p) return tpo_fail(err, TPO_E_MEMORY, "the CPU backend could not allocate %zu bytes", bytes);
  memset(p, 0, bytes);
  *out = p;
  return 0;
}

static void cpu_free(struct tpo_backend *be, void *p)
{
  (void)be;
  free(p);
}

static void cpu_copy(struct tpo_backend *be, void *dst, const void *src, size_t bytes)
{
  (void)be;
  if (bytes) memmove(dst, src, bytes);
}

static void cpu_zero(struct tpo_backend *be, void *dst, size_t bytes)
{
  (void)be;
  if (bytes) memset(dst, 0, bytes);
}

static int cpu_check(struct tpo_backend *be, struct tpo_error *err)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  int code = cpu->error.code;
  if (code && err) *err = cpu->error;
  cpu->error.code = 0;
  return code;
}

static void cpu_close(struct tpo_backend *be)
{
  struct tpo_cpu *cpu = tpo_cpu(be);
  tpo_pool_destroy(cpu->pool);
  for (int i = 0; i < TPO_CPU_SLOTS; i++) free(cpu->slots[i].data);
  for (int t = 0; cpu->per_thread && t < cpu->threads; t++) free(cpu->per_thread[t].data);
  free(cpu->per_thread);
  tpo_host_free_fetched(be);
  free(cpu);
}

static const struct tpo_ops cpu_ops = {
    .name = "cpu",
    .activation_size = sizeof(float),
    TPO_HOST_OPS,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_copy,
    .download = cpu_copy,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .check = cpu_check,
    .training_scratch = tpo_cpu_training_scratch,
    .linear_create = tpo_cpu_linear_create,
    .linear_free = tpo_cpu_linear_free,
    .linear_set = tpo_cpu_linear_set,
    .linear_get = tpo_cpu_linear_get,
    .linear_forward = tpo_cpu_linear_forward,
    .linear_forward_add = tpo_cpu_linear_forward_add,
    .linear_forward_bias = tpo_cpu_linear_forward_bias,
    .bias_backward = tpo_cpu_bias_backward,
    .linear_backward_input = tpo_cpu_linear_backward_input,
    .linear_backward_weight = tpo_cpu_linear_backward_weight,
    .embed = tpo_cpu_embed,
    .embed_backward = tpo_cpu_embed_backward,
    .lm_head_logprob = tpo_cpu_lm_head_logprob,
    .lm_head_logprob_backward = tpo_cpu_lm_head_logprob_backward,
    .lm_head_logits = tpo_cpu_lm_head_logits,
    .rms_norm = tpo_cpu_rms_norm,
    .rms_norm_backward = tpo_cpu_rms_norm_backward,
    .add_scaled = tpo_cpu_add_scaled,
    .shift = tpo_cpu_shift,
    .qk_norm = tpo_cpu_qk_norm,
    .qk_norm_backward = tpo_cpu_qk_norm_backward,
    .rope = tpo_cpu_rope,
    .rope_kv_write = tpo_cpu_rope_kv_write,
    .paged_prepare = tpo_cpu_paged_prepare,
    .kv_write = tpo_cpu_kv_write,
    .attention_paged = tpo_cpu_attention_paged,
    .kv_copy_block = tpo_cpu_kv_copy_block,
    .attention = tpo_cpu_attention,
    .attention_backward = tpo_cpu_attention_backward,
    .swiglu = tpo_cpu_swiglu,
    .swiglu_backward = tpo_cpu_swiglu_backward,
    .geglu = tpo_cpu_geglu,
    .geglu_backward = tpo_cpu_geglu_backward,
    .sample = tpo_cpu_sample,
    .token_logprob = tpo_cpu_token_logprob,
    .repetition_penalty = tpo_cpu_repetition_penalty,
    .gather_rows = tpo_cpu_gather_rows,
    .scatter_rows = tpo_cpu_scatter_rows,
    .dequantise = tpo_cpu_dequantise,
    .preference_loss = tpo_cpu_preference_loss,
    .adamw = tpo_cpu_adamw,
    .sum_squares = tpo_cpu_sum_squares,
};

int tpo_cpu_open(struct tpo_backend **out, const struct tpo_backend_options *options, struct tpo_error *err)
{
  *out = NULL;
  enum tpo_cpu_isa isa;
  int code = tpo_cpu_choose(options->isa, &isa, err);
  if (code < 0) return code;
  struct tpo_cpu *cpu = tpo_calloc(1, sizeof *cpu, err);
  if (!cpu) return TPO_E_MEMORY;
  cpu->base.ops = cpu->base.ops_bf16 = &cpu_ops;
  cpu->base.close = cpu_close;
  cpu->isa = isa;
  tpo_gemm_choose(cpu);
  cpu->base.has_bf16 = cpu->gemm_bf16 != NULL;
  code = tpo_pool_create(&cpu->pool, options->threads, err);
  if (code == 0) {
    cpu->threads = tpo_pool_threads(cpu->pool);
    cpu->per_thread = tpo_calloc((size_t)cpu->threads, sizeof *cpu->per_thread, err);
    if (!cpu->per_thread) code = TPO_E_MEMORY;
  }
  if (code < 0) {
    cpu_close(&cpu->base);
    return code;
  }
  snprintf(cpu->base.description, sizeof cpu->base.description, "cpu: %s, %d thread%s", tpo_cpu_isa_name(isa),
           cpu->threads, cpu->threads == 1 ? "" : "s");
  strcpy(cpu->base.kernels, isa_names[isa]);
  *out = &cpu->base;
  return 0;
}
