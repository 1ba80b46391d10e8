/* How much scratch memory the passes of training take at most: a bound for each slot, by the operation that asks
 * for most of it. tests/model/test_scratch.c holds these against what the operations take. */
#include "backend/cpu/gemm.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/linear.h"
#include "backend/cpu/simd/table.h"

static size_t larger(size_t a, size_t b)
{
  return a > b ? a : b;
}
static size_t smaller(size_t a, size_t b)
{
  return a < b ? a : b;
}

static size_t qkv_dim(const struct tpo_training_shape *shape)
{
  return (size_t)(shape->attention.heads + 2 * shape->attention.kv_heads) * (size_t)shape->attention.head_dim;
}

/* Rows of activations rounded to bf16, with what is put between rows. */
static size_t rounded_bytes(size_t rows, size_t cols)
{
  return rows * (cols / 2 + 48) * sizeof(uint32_t);
}

/* Of products of bf16 pairs alone: the widest operand of a layer, a chunk of the head's logits. */
static size_t operand_bytes(const struct tpo_cpu *cpu, const struct tpo_training_shape *shape)
{
  size_t widest = larger(larger(2 * (size_t)shape->ffn, qkv_dim(shape)), (size_t)shape->hidden);
  widest = larger(widest, (size_t)(shape->attention.heads * shape->attention.head_dim));
  if (shape->weights != TPO_BF16 || !cpu->gemm_bf16) return 0;
  return rounded_bytes((size_t)shape->tokens, widest) + rounded_bytes(TPO_HEAD_ROWS, TPO_HEAD_COLS);
}

/* The logits whose gradient exists at once, and a partial sum of each chunk of the vocabulary. */
static size_t head_bytes(const struct tpo_training_shape *shape)
{
  size_t tokens = (size_t)shape->tokens, vocab = (size_t)shape->vocab;
  return smaller(tokens, TPO_HEAD_ROWS) * smaller(vocab, TPO_HEAD_COLS) * sizeof(float) +
         tokens * (vocab / (TPO_HEAD_COLS / 2) + 1) * 2 * sizeof(float);
}

/* Tiles of keys and values, gradients of both for each query head, and lists that are far shorter. */
static size_t attention_bytes(const struct tpo_training_shape *shape)
{
  size_t tokens = (size_t)shape->tokens, kv_heads = (size_t)shape->attention.kv_heads;
  size_t head_dim = (size_t)shape->attention.head_dim, heads = (size_t)shape->attention.heads;
  size_t tiles = 2 * (tokens / TPO_KEY_TILE + 1); /* each sequence's last is not full */
  return 2 * kv_heads * tiles * head_dim * TPO_KEY_TILE * sizeof(float) +
         2 * heads * tokens * (size_t)tpo_flash_padded(shape->attention.head_dim) * sizeof(float) +
         32 * tokens;
}

static size_t thread_bytes(const struct tpo_cpu *cpu, const struct tpo_training_shape *shape)
{
  const struct tpo_gemm_kernel *kernel =
      cpu->gemm_bf16 && cpu->gemm_bf16->kc > cpu->gemm->kc ? cpu->gemm_bf16 : cpu->gemm;
  const struct tpo_gemm product = {.kernel = kernel, .a_columns = (const float *)kernel};
  size_t bytes = tpo_gemm_scratch_bytes(&product, 1024);
  bytes = larger(bytes, tpo_flash_bytes(shape->attention));
  return larger(bytes, tpo_flash_backward_bytes(shape->attention.head_dim, shape->longest));
}

size_t tpo_cpu_training_scratch(struct tpo_backend *be, const struct tpo_training_shape *shape)
{
  const struct tpo_cpu *cpu = tpo_cpu(be);
  size_t bytes = operand_bytes(cpu, shape) + head_bytes(shape) + attention_bytes(shape) +
                 (size_t)cpu->threads * thread_bytes(cpu, shape);
  return bytes / 4 * 5; /* a buffer that grows, grows by a quarter at least */
}
