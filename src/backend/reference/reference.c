/* Opens the reference backend: its memory, and the table of its operations. */
#include "backend/backend.h"
#include "backend/reference/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/host.h"
#include "base/memory.h"

double *tpo_reference_buffer(struct tpo_backend *be, size_t count)
{
  struct tpo_reference_backend *reference = (struct tpo_reference_backend *)be;
  return tpo_calloc(count, sizeof(double), reference->error.code ? NULL : &reference->error);
}

static int reference_alloc(struct tpo_backend *be, size_t bytes, void **out, struct tpo_error *err)
{
  (void)be;
  *out = NULL;
  size_t rounded = bytes > SIZE_MAX - 64 ? 0 : (bytes ? bytes + 63 : 64) / 64 * 64;
  void *p = rounded ? aligned_alloc(64, rounded) : NULL;
  if (!p) return tpo_fail(err, TPO_E_MEMORY, "the reference backend could not allocate %zu bytes", bytes);
  memset(p, 0, rounded);
  *out = p;
  return 0;
}

static void reference_free(struct tpo_backend *be, void *p)
{
  (void)be;
  free(p);
}

static void reference_copy(struct tpo_backend *be, void *dst, const void *src, size_t bytes)
{
  (void)be;
  if (bytes) memmove(dst, src, bytes);
}

static void reference_zero(struct tpo_backend *be, void *dst, size_t bytes)
{
  (void)be;
  if (bytes) memset(dst, 0, bytes);
}

static int reference_check(struct tpo_backend *be, struct tpo_error *err)
{
  struct tpo_reference_backend *reference = (struct tpo_reference_backend *)be;
  int code = reference->error.code;
  if (code && err) *err = reference->error;
  reference->error.code = 0;
  return code;
}

/* For tests alone: what it takes is given back at the end of each call, and not counted. */
static size_t reference_training_scratch(struct tpo_backend *be, const struct tpo_training_shape *shape)
{
  (void)be, (void)shape;
  return 0;
}

static void reference_close(struct tpo_backend *be)
{
  tpo_host_free_fetched(be);
  free(be);
}

static const struct tpo_ops reference_ops = {
    .name = "reference",
    .activation_size = sizeof(float),
    TPO_HOST_OPS,
    .alloc = reference_alloc,
    .free = reference_free,
    .upload = reference_copy,
    .download = reference_copy,
    .copy = reference_copy,
    .zero = reference_zero,
    .check = reference_check,
    .training_scratch = reference_training_scratch,
    .linear_create = tpo_reference_linear_create,
    .linear_free = tpo_reference_linear_free,
    .linear_set = tpo_reference_linear_set,
    .linear_get = tpo_reference_linear_get,
    .linear_forward = tpo_reference_linear_forward,
    .linear_forward_add = tpo_reference_linear_forward_add,
    .linear_forward_bias = tpo_reference_linear_forward_bias,
    .bias_backward = tpo_reference_bias_backward,
    .linear_backward_input = tpo_reference_linear_backward_input,
    .linear_backward_weight = tpo_reference_linear_backward_weight,
    .embed = tpo_reference_embed,
    .embed_backward = tpo_reference_embed_backward,
    .rms_norm = tpo_reference_rms_norm,
    .rms_norm_backward = tpo_reference_rms_norm_backward,
    .add_scaled = tpo_reference_add_scaled,
    .shift = tpo_reference_shift,
    .qk_norm = tpo_reference_qk_norm,
    .qk_norm_backward = tpo_reference_qk_norm_backward,
    .rope = tpo_reference_rope,
    .rope_kv_write = tpo_reference_rope_kv_write,
    .paged_prepare = tpo_reference_paged_prepare,
    .kv_write = tpo_reference_kv_write,
    .attention_paged = tpo_reference_attention_paged,
    .kv_copy_block = tpo_reference_kv_copy_block,
    .attention = tpo_reference_attention,
    .attention_backward = tpo_reference_attention_backward,
    .swiglu = tpo_reference_swiglu,
    .swiglu_backward = tpo_reference_swiglu_backward,
    .geglu = tpo_reference_geglu,
    .geglu_backward = tpo_reference_geglu_backward,
    .lm_head_logprob = tpo_reference_lm_head_logprob,
    .lm_head_logprob_backward = tpo_reference_lm_head_logprob_backward,
    .lm_head_logits = tpo_reference_lm_head_logits,
    .sample = tpo_reference_sample,
    .token_logprob = tpo_reference_token_logprob,
    .repetition_penalty = tpo_reference_repetition_penalty,
    .gather_rows = tpo_reference_gather_rows,
    .scatter_rows = tpo_reference_scatter_rows,
    .dequantise = tpo_reference_dequantise,
    .preference_loss = tpo_reference_preference_loss,
    .adamw = tpo_reference_adamw,
    .sum_squares = tpo_reference_sum_squares,
};

int tpo_backend_open_reference(struct tpo_backend **out, struct tpo_error *err)
{
  *out = NULL;
  struct tpo_reference_backend *reference = tpo_calloc(1, sizeof *reference, err);
  if (!reference) return TPO_E_MEMORY;
  reference->base.ops = reference->base.ops_bf16 = &reference_ops;
  reference->base.close = reference_close;
  reference->base.has_bf16 = false;
  snprintf(reference->base.description, sizeof reference->base.description, "reference: plain C, 1 thread");
  strcpy(reference->base.kernels, "reference");
  *out = &reference->base;
  return 0;
}
