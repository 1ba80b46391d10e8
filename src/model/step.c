/* Inference: one pass over any mix of prefill and decode rows, with keys and values in a paged cache. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/transformer.h"

struct tpo_kv_cache {
  struct tpo_model *model; /* borrowed */
  int n_blocks, block_tokens;
  struct tpo_kv_layer *layers; // [arch.layers]
  /* Buffers of a step, grown as needed. */
  void *memory;
  size_t memory_bytes;
  float *logits; // [logit_capacity, vocab]
  int logit_capacity;
};

int tpo_kv_cache_create(struct tpo_kv_cache **out, struct tpo_model *model, int n_blocks, int block_tokens,
                        struct tpo_error *err)
{
  *out = NULL;
  if (n_blocks < 1 || block_tokens < 1 || block_tokens > 1 << 16)
    return tpo_fail(err, TPO_E_USAGE,
                    "KV cache of %d blocks of %d tokens; expected at least one block of 1 to 65536", n_blocks,
                    block_tokens);
  const struct tpo_arch *arch = &model->arch;
  struct tpo_kv_cache *cache = tpo_calloc(1, sizeof *cache, err);
  if (!cache) return TPO_E_MEMORY;
  cache->model = model;
  cache->n_blocks = n_blocks;
  cache->block_tokens = block_tokens;
  cache->layers = tpo_calloc((size_t)arch->layers, sizeof *cache->layers, err);
  int code = cache->layers ? 0 : TPO_E_MEMORY;
  enum tpo_dtype dtype = model->dtype == TPO_DTYPE_BF16 ? TPO_BF16 : TPO_F32;
  size_t row = (size_t)arch->kv_heads * (size_t)arch->head_dim * tpo_dtype_size(dtype);
  size_t bytes;
  if (code == 0 && __builtin_mul_overflow((size_t)n_blocks * (size_t)block_tokens, row, &bytes))
    code = tpo_fail(err, TPO_E_MEMORY, "KV cache of %d blocks of %d tokens is too large", n_blocks,
                    block_tokens);
  for (int i = 0; code == 0 && i < arch->layers; i++) {
    struct tpo_kv_layer *kv = &cache->layers[i];
    *kv = (struct tpo_kv_layer){
        .dtype = dtype, .block_tokens = block_tokens, .kv_heads = arch->kv_heads, .head_dim = arch->head_dim};
    code = model->ops->alloc(model->be, bytes, &kv->k, err);
    if (code == 0) code = model->ops->alloc(model->be, bytes, &kv->v, err);
  }
  if (code < 0)
    tpo_kv_cache_destroy(cache);
  else
    *out = cache;
  return code;
}

void tpo_kv_cache_destroy(struct tpo_kv_cache *cache)
{
  if (!cache) return;
  const struct tpo_model *model = cache->model;
  for (int i = 0; cache->layers && i < model->arch.layers; i++) {
    model->ops->free(model->be, cache->layers[i].k);
    model->ops->free(model->be, cache->layers[i].v);
  }
  model->ops->free(model->be, cache->memory);
  model->ops->free(model->be, cache->logits);
  free(cache->layers);
  free(cache);
}

void tpo_kv_cache_copy_block(struct tpo_kv_cache *cache, int dst, int src, int tokens)
{
  for (int i = 0; i < cache->model->arch.layers; i++)
    cache->model->ops->kv_copy_block(cache->model->be, &cache->layers[i], dst, src, tokens);
}

/* Every block that row i attends to must be one of the cache's. */
static int check_row(const struct tpo_kv_cache *cache, const struct tpo_step *step, int i,
                     struct tpo_error *err)
{
  const struct tpo_arch *arch = &cache->model->arch;
  int seq = step->seq[i], pos = step->pos[i];
  if (step->ids[i] < 0 || step->ids[i] >= arch->vocab_size)
    return tpo_fail(err, TPO_E_INPUT, "step: token id %d of row %d is outside the vocabulary of %d",
                    step->ids[i], i, arch->vocab_size);
  if (seq < 0 || seq >= step->n_seqs)
    return tpo_fail(err, TPO_E_USAGE, "step: row %d is of sequence %d, of %d", i, seq, step->n_seqs);
  if (pos < 0 || pos >= arch->context || pos / cache->block_tokens >= step->max_blocks)
    return tpo_fail(err, TPO_E_USAGE,
                    "step: row %d is at position %d; the context is %d and the table holds %d blocks", i, pos,
                    arch->context, step->max_blocks);
  if (i > 0 && step->seq[i - 1] == seq && step->pos[i - 1] >= pos)
    return tpo_fail(err, TPO_E_USAGE, "step: row %d is at position %d after position %d of the same sequence",
                    i, pos, step->pos[i - 1]);
  const int32_t *blocks = step->blocks + (size_t)seq * (size_t)step->max_blocks;
  for (int b = 0; b <= pos / cache->block_tokens; b++)
    if (blocks[b] < 0 || blocks[b] >= cache->n_blocks)
      return tpo_fail(err, TPO_E_USAGE, "step: sequence %d has block %d, of %d", seq, blocks[b],
                      cache->n_blocks);
  return 0;
}

static int check_step(const struct tpo_kv_cache *cache, const struct tpo_step *step, struct tpo_error *err)
{
  if (step->n < 1 || step->n_seqs < 1 || step->max_blocks < 1 || step->n_logits < 0)
    return tpo_fail(err, TPO_E_USAGE,
                    "step: %d rows of %d sequences with %d blocks each; expected at least one of each",
                    step->n, step->n_seqs, step->max_blocks);
  for (int i = 0; i < step->n; i++) {
    int code = check_row(cache, step, i, err);
    if (code < 0) return code;
  }
  for (int i = 0; i < step->n_logits; i++)
    if (step->logit_rows[i] < 0 || step->logit_rows[i] >= step->n)
      return tpo_fail(err, TPO_E_USAGE, "step: logits of row %d are wanted, of %d", step->logit_rows[i],
                      step->n);
  return 0;
}

struct step_buffers {
  struct tpo_layer_state state;
  struct tpo_layer_scratch scratch;
  void *head_in, *head; // [n_logits, hidden]
  int32_t *ids, *pos, *seq, *blocks, *logit_rows;
};

/* Buffer number i of the step: where its pointer goes, and its size. */
struct piece {
  void *to; /* address of a pointer */
  size_t elements, size;
};

static int place_buffers(struct tpo_kv_cache *cache, const struct tpo_step *step, struct step_buffers *b,
                         struct tpo_error *err)
{
  const struct tpo_model *model = cache->model;
  const struct tpo_arch *arch = &model->arch;
  size_t act = model->ops->activation_size, n = (size_t)step->n, m = (size_t)step->n_logits;
  size_t hidden = (size_t)arch->hidden, q = (size_t)arch->heads * (size_t)arch->head_dim;
  size_t kv = (size_t)arch->kv_heads * (size_t)arch->head_dim, ffn = (size_t)arch->ffn;
  struct tpo_layer_state *s = &b->state;
  const struct piece pieces[] = {
      {&s->in, n * hidden, act},
      {&s->qkv, n * (q + 2 * kv), act},
      {&s->attn, n * q, act},
      {&s->gate_up, n * 2 * ffn, act},
      {&b->scratch.normed, n * hidden, act},
      {&b->scratch.act, n * ffn, act},
      {&b->head_in, m * hidden, act},
      {&b->head, m * hidden, act},
      {&b->ids, n, 4},
      {&b->pos, n, 4},
      {&b->seq, n, 4},
      {&b->blocks, (size_t)step->n_seqs * (size_t)step->max_blocks, 4},
      {&b->logit_rows, m, 4},
  };
  const size_t n_pieces = sizeof pieces / sizeof *pieces;
  size_t total = 0;
  for (size_t i = 0; i < n_pieces; i++) total += (pieces[i].elements * pieces[i].size + 63) / 64 * 64;
  if (total > cache->memory_bytes) {
    model->ops->free(model->be, cache->memory);
    cache->memory = NULL;
    cache->memory_bytes = 0;
    int code = model->ops->alloc(model->be, total, &cache->memory, err);
    if (code < 0) return code;
    cache->memory_bytes = total;
  }
  char *next = cache->memory;
  for (size_t i = 0; i < n_pieces; i++) {
    memcpy(pieces[i].to, &next, sizeof next);
    next += (pieces[i].elements * pieces[i].size + 63) / 64 * 64;
  }
  s->mid = s->out = s->in;
  return 0;
}

static int need_logits(struct tpo_kv_cache *cache, int n, struct tpo_error *err)
{
  const struct tpo_model *model = cache->model;
  if (n <= cache->logit_capacity) return 0;
  model->ops->free(model->be, cache->logits);
  cache->logits = NULL;
  cache->logit_capacity = 0;
  int code = model->ops->alloc(model->be, (size_t)n * (size_t)model->arch.vocab_size * sizeof(float),
                               (void **)&cache->logits, err);
  if (code == 0) cache->logit_capacity = n;
  return code;
}

static void upload_step(const struct tpo_model *model, const struct tpo_step *step,
                        const struct step_buffers *b)
{
  const struct {
    int32_t *to;
    const int32_t *from;
    size_t n;
  } arrays[] = {{b->ids, step->ids, (size_t)step->n},
                {b->pos, step->pos, (size_t)step->n},
                {b->seq, step->seq, (size_t)step->n},
                {b->blocks, step->blocks, (size_t)step->n_seqs * (size_t)step->max_blocks},
                {b->logit_rows, step->logit_rows, (size_t)step->n_logits}};
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
    if (arrays[i].n > 0)
      model->ops->upload(model->be, arrays[i].to, arrays[i].from, arrays[i].n * sizeof(int32_t));
}

static void run_step(struct tpo_kv_cache *cache, const struct tpo_step *step, const struct step_buffers *b)
{
  struct tpo_model *model = cache->model;
  const struct tpo_ops *ops = model->ops;
  upload_step(model, step, b);
  struct tpo_rows rows = {
      .n = step->n,
      .pos = b->pos,
      .kv = cache->layers,
      .paged = {
          .n = step->n, .seq = b->seq, .pos = b->pos, .blocks = b->blocks, .max_blocks = step->max_blocks}};
  ops->embed(model->be, model->embed, b->ids, b->state.in, step->n);
  for (int i = 0; i < model->arch.layers; i++) tpo_layer_forward(model, i, &rows, &b->state, &b->scratch);
  if (step->n_logits == 0) return;
  ops->gather_rows(model->be, b->state.out, b->logit_rows, b->head_in, step->n_logits, model->arch.hidden);
  ops->rms_norm(model->be, b->head_in, model->final_norm, b->head, NULL, step->n_logits, model->arch.hidden,
                (float)model->arch.rms_eps);
  ops->lm_head_logits(model->be, model->lm_head, b->head, cache->logits, step->n_logits);
}

int tpo_model_step(struct tpo_model *model, struct tpo_kv_cache *cache, const struct tpo_step *step,
                   float **logits, struct tpo_error *err)
{
  if (cache->model != model) return tpo_fail(err, TPO_E_USAGE, "step: the KV cache is another model's");
  int code = check_step(cache, step, err);
  if (code < 0) return code;
  int longest = 0;
  for (int i = 0; i < step->n; i++)
    if (step->pos[i] >= longest) longest = step->pos[i] + 1;
  struct step_buffers buffers = {0};
  code = tpo_rope_ensure(model, longest, err);
  if (code == 0) code = place_buffers(cache, step, &buffers, err);
  if (code == 0) code = need_logits(cache, step->n_logits, err);
  if (code < 0) return code;
  run_step(cache, step, &buffers);
  *logits = cache->logits;
  return model->ops->check(model->be, err);
}
