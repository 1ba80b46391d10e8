/* Allocates the paged cache, and places what a pass needs beside it. */
#include "model/kv_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static enum tpo_dtype cache_dtype(const struct tpo_model *model)
{
  return model->dtype == TPO_DTYPE_BF16 ? TPO_BF16 : TPO_F32;
}

/* Keys of one layer, or its values. */
static int allocate_half(const struct tpo_kv_cache *cache, int n_blocks, void **out, struct tpo_error *err)
{
  const struct tpo_model *model = cache->model;
  size_t row = (size_t)tpo_dim(&model->arch, TPO_KV_DIM) * tpo_dtype_size(cache_dtype(model)), bytes;
  if (__builtin_mul_overflow(((size_t)n_blocks + 1) * (size_t)cache->block_tokens, row, &bytes))
    return tpo_fail(err, TPO_E_MEMORY, "KV cache of %d blocks of %d tokens is too large", n_blocks,
                    cache->block_tokens);
  return model->ops->alloc(model->be, bytes, out, err);
}

static int allocate_layers(struct tpo_kv_cache *cache, struct tpo_error *err)
{
  const struct tpo_arch *arch = &cache->model->arch;
  cache->layers = tpo_calloc((size_t)arch->layers, sizeof *cache->layers, err);
  if (!cache->layers) return TPO_E_MEMORY;
  int code = 0;
  for (int i = 0; code == 0 && i < arch->layers; i++) {
    int n_blocks = cache->n_blocks[tpo_layer_reach(arch, i)];
    struct tpo_kv_layer *kv = &cache->layers[i];
    *kv = (struct tpo_kv_layer){.dtype = cache_dtype(cache->model),
                                .block_tokens = cache->block_tokens,
                                .kv_heads = arch->kv_heads,
                                .head_dim = arch->head_dim};
    code = allocate_half(cache, n_blocks, &kv->k, err);
    if (code == 0) code = allocate_half(cache, n_blocks, &kv->v, err);
  }
  return code;
}

static int layers_of(const struct tpo_arch *arch, enum tpo_reach reach)
{
  int n = 0;
  for (int i = 0; i < arch->layers; i++) n += tpo_layer_reach(arch, i) == reach;
  return n;
}

size_t tpo_kv_block_bytes(const struct tpo_model *model, enum tpo_reach reach, int block_tokens)
{
  const struct tpo_arch *arch = &model->arch;
  size_t token = 2 * tpo_dtype_size(cache_dtype(model)) * (size_t)tpo_dim(arch, TPO_KV_DIM);
  return token * (size_t)layers_of(arch, reach) * (size_t)block_tokens;
}

int tpo_kv_blocks_seen(const struct tpo_arch *arch, enum tpo_reach reach, int rows, int block_tokens)
{
  int64_t all = ((int64_t)arch->context + block_tokens - 1) / block_tokens;
  if (reach == TPO_REACH_ALL) return (int)all;
  /* The first of the tokens may be the last one of its block. */
  int64_t tokens = (int64_t)arch->window - 1 + rows, seen = (tokens + block_tokens - 2) / block_tokens + 1;
  return (int)(seen < all ? seen : all);
}

size_t tpo_kv_cache_limit(const struct tpo_model *model, size_t available, size_t pass)
{
  if (available == 0) return (size_t)1 << 30;
  size_t usable = model->ops->asynchronous ? available / 10 * 9 : available / 2;
  return usable > pass ? usable - pass : 0;
}

static int check_sizes(const struct tpo_model *model, const int n_blocks[TPO_REACHES], int block_tokens,
                       struct tpo_error *err)
{
  for (int r = 0; r < TPO_REACHES; r++)
    if (layers_of(&model->arch, r) > 0 &&
        (n_blocks[r] < 1 || n_blocks[r] == INT32_MAX || block_tokens < 1 || block_tokens > 1 << 16))
      return tpo_fail(err, TPO_E_USAGE,
                      "KV cache of %d blocks of %d tokens; expected at least one block of 1 to 65536",
                      n_blocks[r], block_tokens);
  return 0;
}

int tpo_kv_cache_create(struct tpo_kv_cache **out, struct tpo_model *model, const int n_blocks[TPO_REACHES],
                        int block_tokens, struct tpo_error *err)
{
  *out = NULL;
  int code = check_sizes(model, n_blocks, block_tokens, err);
  if (code < 0) return code;
  struct tpo_kv_cache *cache = tpo_calloc(1, sizeof *cache, err);
  if (!cache) return TPO_E_MEMORY;
  cache->model = model;
  cache->block_tokens = block_tokens;
  for (int r = 0; r < TPO_REACHES; r++) cache->n_blocks[r] = layers_of(&model->arch, r) > 0 ? n_blocks[r] : 0;
  code = allocate_layers(cache, err);
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
  for (int r = 0; r < TPO_REACHES; r++) {
    free(cache->table[r]);
    cache->table[r] = NULL;
  }
  free(cache->host_ints);
  free(cache->warm);
  cache->memory = NULL;
  cache->buffers = (struct tpo_pass_buffers){0};
  cache->host_ints = NULL;
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

void tpo_kv_cache_copy_block(struct tpo_kv_cache *cache, enum tpo_reach reach, int dst, int src, int tokens)
{
  const struct tpo_model *model = cache->model;
  for (int i = 0; i < model->arch.layers; i++)
    if (tpo_layer_reach(&model->arch, i) == reach)
      model->ops->kv_copy_block(model->be, &cache->layers[i], dst, src, tokens);
}

static size_t count_ints(const struct tpo_model *model, const struct tpo_pass_limits *limits)
{
  size_t of_rows = tpo_rope_varies(&model->arch) ? 5 : 4;
  return of_rows * (size_t)limits->rows + (size_t)limits->logits;
}

/* Of the table of blocks for the layers of a reach. */
static size_t count_blocks(const struct tpo_model *model, enum tpo_reach reach,
                           const struct tpo_pass_limits *limits)
{
  if (layers_of(&model->arch, reach) == 0) return 0;
  return ((size_t)limits->seqs + 1) * (size_t)limits->max_blocks;
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
      {&b->blocks[TPO_REACH_ALL], count_blocks(model, TPO_REACH_ALL, limits) * sizeof(int32_t)},
      {&b->blocks[TPO_REACH_WINDOW], count_blocks(model, TPO_REACH_WINDOW, limits) * sizeof(int32_t)},
      {&b->ints, count_ints(model, limits) * sizeof(int32_t)},
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

static int allocate_host(struct tpo_kv_cache *cache, const struct tpo_pass_limits *limits,
                         struct tpo_error *err)
{
  cache->host_ints = tpo_calloc(count_ints(cache->model, limits), sizeof *cache->host_ints, err);
  cache->warm = tpo_calloc((size_t)limits->logits + 1, sizeof *cache->warm, err);
  if (!cache->host_ints || !cache->warm) return TPO_E_MEMORY;
  for (int r = 0; r < TPO_REACHES; r++) {
    size_t n = count_blocks(cache->model, r, limits);
    if (n > 0 && !(cache->table[r] = tpo_calloc(n, sizeof *cache->table[r], err))) return TPO_E_MEMORY;
  }
  return 0;
}

/* Padding rows read and write the block that no sequence has. */
static void set_padding(struct tpo_kv_cache *cache, enum tpo_reach reach)
{
  const struct tpo_model *model = cache->model;
  size_t at = (size_t)cache->limits.seqs * (size_t)cache->limits.max_blocks;
  int32_t *block = cache->table[reach] + at;
  *block = cache->n_blocks[reach];
  model->ops->upload(model->be, cache->buffers.blocks[reach] + at, block, sizeof *block);
}

static int allocate_buffers(struct tpo_kv_cache *cache, const struct tpo_pass_limits *limits,
                            struct tpo_error *err)
{
  const struct tpo_model *model = cache->model;
  int code = allocate_host(cache, limits, err);
  if (code < 0) return code;
  struct tpo_pass_buffers *b = &cache->buffers;
  code = model->ops->alloc(model->be, place_buffers(model, limits, b, NULL), &cache->memory, err);
  if (code == 0 && !model->body_only)
    code = model->ops->alloc(model->be, logits_bytes(model, limits), (void **)&b->logits, err);
  if (code < 0) return code;
  place_buffers(model, limits, b, cache->memory);
  cache->limits = *limits;
  for (int r = 0; r < TPO_REACHES; r++)
    if (cache->table[r]) set_padding(cache, r);
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
