/* Allocates the paged cache, and places what a pass needs beside it. */
#include "model/kv_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static int allocate_layers(struct tpo_kv_cache *cache, struct tpo_error *err)
{
  const struct tpo_model *model = cache->model;
  const struct tpo_arch *arch = &model->arch;
  enum tpo_dtype dtype = model->dtype == TPO_DTYPE_BF16 ? TPO_BF16 : TPO_F32;
  size_t row = (size_t)tpo_dim(arch, TPO_KV_DIM) * tpo_dtype_size(dtype);
  size_t bytes;
  if (__builtin_mul_overflow(((size_t)cache->n_blocks + 1) * (size_t)cache->block_tokens, row, &bytes))
    return tpo_fail(err, TPO_E_MEMORY, "KV cache of %d blocks of %d tokens is too large", cache->n_blocks,
                    cache->block_tokens);
  cache->layers = tpo_calloc((size_t)arch->layers, sizeof *cache->layers, err);
  if (!cache->layers) return TPO_E_MEMORY;
  int code = 0;
  for (int i = 0; code == 0 && i < arch->layers; i++) {
    struct tpo_kv_layer *kv = &cache->layers[i];
    *kv = (struct tpo_kv_layer){.dtype = dtype,
                                .block_tokens = cache->block_tokens,
                                .kv_heads = arch->kv_heads,
                                .head_dim = arch->head_dim};
    code = model->ops->alloc(model->be, bytes, &kv->k, err);
    if (code == 0) code = model->ops->alloc(model->be, bytes, &kv->v, err);
  }
  return code;
}

size_t tpo_kv_block_bytes(const struct tpo_model *model, int block_tokens)
{
  const struct tpo_arch *arch = &model->arch;
  size_t element = tpo_dtype_size(model->dtype == TPO_DTYPE_BF16 ? TPO_BF16 : TPO_F32);
  return 2 * element * (size_t)arch->layers * (size_t)tpo_dim(arch, TPO_KV_DIM) * (size_t)block_tokens;
}

size_t tpo_kv_cache_limit(const struct tpo_model *model, size_t available, size_t pass)
{
  if (available == 0) return (size_t)1 << 30;
  size_t usable = model->ops->asynchronous ? available / 10 * 9 : available / 2;
  return usable > pass ? usable - pass : 0;
}

int tpo_kv_cache_create(struct tpo_kv_cache **out, struct tpo_model *model, int n_blocks, int block_tokens,
                        struct tpo_error *err)
{
  *out = NULL;
  if (n_blocks < 1 || n_blocks == INT32_MAX || block_tokens < 1 || block_tokens > 1 << 16)
    return tpo_fail(err, TPO_E_USAGE,
                    "KV cache of %d blocks of %d tokens; expected at least one block of 1 to 65536", n_blocks,
                    block_tokens);
  struct tpo_kv_cache *cache = tpo_calloc(1, sizeof *cache, err);
  if (!cache) return TPO_E_MEMORY;
  cache->model = model;
  cache->n_blocks = n_blocks;
  cache->block_tokens = block_tokens;
  int code = allocate_layers(cache, err);
  if (code < 0)
    tpo_kv_cache_destroy(cache);
  else
    *out = cache;
  return code;
}

void tpo_kv_cache_forget(struct tpo_kv_cache *cache)
{
  if (cache->recorded) cache->model->ops->forget(cache->model->be);
  cache->recorded = false;
}

static void free_buffers(struct tpo_kv_cache *cache)
{
  const struct tpo_model *model = cache->model;
  tpo_kv_cache_forget(cache);
  model->ops->free(model->be, cache->memory);
  model->ops->free(model->be, cache->buffers.logits);
  free(cache->table);
  free(cache->host_ints);
  free(cache->warm);
  cache->memory = NULL;
  cache->buffers = (struct tpo_pass_buffers){0};
  cache->table = cache->host_ints = NULL;
  cache->warm = NULL;
  cache->limits = (struct tpo_pass_limits){0};
}

void tpo_kv_cache_destroy(struct tpo_kv_cache *cache)
{
  if (!cache) return;
  const struct tpo_model *model = cache->model;
  free_buffers(cache);
  for (int i = 0; cache->layers && i < model->arch.layers; i++) {
    model->ops->free(model->be, cache->layers[i].k);
    model->ops->free(model->be, cache->layers[i].v);
  }
  free(cache->layers);
  free(cache);
}

void tpo_kv_cache_copy_block(struct tpo_kv_cache *cache, int dst, int src, int tokens)
{
  for (int i = 0; i < cache->model->arch.layers; i++)
    cache->model->ops->kv_copy_block(cache->model->be, &cache->layers[i], dst, src, tokens);
}

static size_t count_ints(const struct tpo_pass_limits *limits)
{
  return 4 * (size_t)limits->rows + (size_t)limits->logits;
}

/* Places the buffers in one piece of memory from `base` on (NULL: only adds up); the bytes. */
static size_t place_buffers(const struct tpo_model *model, const struct tpo_pass_limits *limits,
                            struct tpo_pass_buffers *b, char *base)
{
  const struct tpo_arch *arch = &model->arch;
  size_t act = model->ops->activation_size, n = (size_t)limits->rows, m = (size_t)limits->logits;
  size_t hidden = (size_t)arch->hidden, q = (size_t)tpo_dim(arch, TPO_Q_DIM);
  size_t kv = (size_t)tpo_dim(arch, TPO_KV_DIM), ffn = (size_t)arch->ffn;
  bool norms_after = tpo_family(arch)->norms != TPO_NORMS_BEFORE;
  struct tpo_layer_state *s = &b->state;
  const struct {
    void *to; /* address of a pointer */
    size_t bytes;
  } pieces[] = {
      {&s->in, n * hidden * act},
      {&s->qkv, n * (q + 2 * kv) * act},
      {&s->attn, n * q * act},
      {&s->attn_out, norms_after ? n * hidden * act : 0},
      {&s->gate_up, n * 2 * ffn * act},
      {&b->scratch.normed, n * hidden * act},
      {&b->scratch.act, n * ffn * act},
      {&b->head_in, m * hidden * act},
      {&b->head, m * hidden * act},
      {&b->blocks, ((size_t)limits->seqs + 1) * (size_t)limits->max_blocks * sizeof(int32_t)},
      {&b->ints, count_ints(limits) * sizeof(int32_t)},
  };
  size_t used = 0;
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    char *place = base ? base + used : NULL;
    memcpy(pieces[i].to, &place, sizeof place);
    used += (pieces[i].bytes + 255) / 256 * 256;
  }
  s->mid = s->out = s->in;
  s->raw = s->qkv;
  s->ffn_out = s->attn_out;
  return used;
}

static size_t logits_bytes(const struct tpo_model *model, const struct tpo_pass_limits *limits)
{
  if (model->body_only) return 0;
  return (size_t)limits->logits * (size_t)model->arch.vocab_size * sizeof(float);
}

size_t tpo_pass_bytes(const struct tpo_model *model, const struct tpo_pass_limits *limits)
{
  struct tpo_pass_buffers unused;
  return place_buffers(model, limits, &unused, NULL) + logits_bytes(model, limits);
}

static int allocate_buffers(struct tpo_kv_cache *cache, const struct tpo_pass_limits *limits,
                            struct tpo_error *err)
{
  const struct tpo_model *model = cache->model;
  size_t table = ((size_t)limits->seqs + 1) * (size_t)limits->max_blocks;
  cache->table = tpo_calloc(table, sizeof *cache->table, err);
  cache->host_ints = tpo_calloc(count_ints(limits), sizeof *cache->host_ints, err);
  cache->warm = tpo_calloc((size_t)limits->logits + 1, sizeof *cache->warm, err);
  if (!cache->table || !cache->host_ints || !cache->warm) return TPO_E_MEMORY;
  struct tpo_pass_buffers *b = &cache->buffers;
  int code = model->ops->alloc(model->be, place_buffers(model, limits, b, NULL), &cache->memory, err);
  if (code == 0 && !model->body_only)
    code = model->ops->alloc(model->be, logits_bytes(model, limits), (void **)&b->logits, err);
  if (code < 0) return code;
  place_buffers(model, limits, b, cache->memory);
  cache->limits = *limits;
  /* Padding rows read and write the block that no sequence has. */
  size_t padding = (size_t)limits->seqs * (size_t)limits->max_blocks;
  cache->table[padding] = cache->n_blocks;
  model->ops->upload(model->be, b->blocks + padding, cache->table + padding, sizeof(int32_t));
  return 0;
}

static int larger(int a, int b)
{
  return a > b ? a : b;
}

int tpo_kv_cache_grow(struct tpo_kv_cache *cache, const struct tpo_pass_limits *limits, struct tpo_error *err)
{
  const struct tpo_pass_limits *have = &cache->limits;
  struct tpo_pass_limits need = {.rows = larger(limits->rows, have->rows),
                                 .seqs = larger(limits->seqs, have->seqs),
                                 .max_blocks = larger(limits->max_blocks, have->max_blocks),
                                 .logits = larger(limits->logits, have->logits)};
  if (cache->memory && need.rows == have->rows && need.seqs == have->seqs &&
      need.max_blocks == have->max_blocks && need.logits == have->logits)
    return 0;
  free_buffers(cache);
  int code = allocate_buffers(cache, &need, err);
  if (code < 0) free_buffers(cache);
  return code;
}

int tpo_kv_cache_reserve(struct tpo_kv_cache *cache, const struct tpo_pass_limits *limits,
                         struct tpo_error *err)
{
  if (limits->rows < 1 || limits->seqs < 1 || limits->max_blocks < 1 || limits->logits < 0)
    return tpo_fail(err, TPO_E_USAGE,
                    "passes of %d rows of %d sequences with %d blocks each; expected at least one of each",
                    limits->rows, limits->seqs, limits->max_blocks);
  return tpo_kv_cache_grow(cache, limits, err);
}
