/* Inference: one pass over any mix of prefill and decode rows, with keys and values in a paged cache. */
#include <string.h>

#include "model/kv_cache.h"

/* Blocks that a row attends to. */
static int blocks_of(const struct tpo_kv_cache *cache, int pos)
{
  return pos / cache->block_tokens + 1;
}

static const int32_t *blocks_in(const struct tpo_step *step, int seq)
{
  return step->blocks + (size_t)seq * (size_t)step->max_blocks;
}

static bool is_valid(const struct tpo_kv_cache *cache, int32_t block)
{
  return block >= 0 && block < cache->n_blocks;
}

/* Every block that row i attends to must be one of the cache's. */
static int check_row(const struct tpo_kv_cache *cache, const struct tpo_step *step, int i,
                     struct tpo_error *err)
{
  const struct tpo_arch *arch = &cache->model->arch;
  int seq = step->seq[i], pos = step->pos[i];
  bool drawn = step->from && step->from[i] >= 0;
  if (!drawn && (step->ids[i] < 0 || step->ids[i] >= arch->vocab_size))
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
  const int32_t *blocks = blocks_in(step, seq);
  for (int b = 0; b < blocks_of(cache, pos); b++)
    if (!is_valid(cache, blocks[b]))
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

/* Recorded steps are padded to one of few sizes, so that few recordings serve all. */
static int padded_rows(int n, const struct tpo_step_limits *limits)
{
  int most = limits->logits < limits->rows ? limits->logits : limits->rows, unit = 1;
  if (n <= 8)
    while (unit < n) unit *= 2;
  else
    unit = n <= 32 ? 8 : n <= 64 ? 16 : n <= 256 ? 32 : 64;
  int padded = (n + unit - 1) / unit * unit;
  return padded < most ? padded : most;
}

/* Every row is wanted, in order: a step of nothing but decoding. */
static bool only_decodes(const struct tpo_step *step)
{
  if (step->n_logits != step->n) return false;
  for (int i = 0; i < step->n; i++)
    if (step->logit_rows[i] != i) return false;
  return true;
}

static int ensure(struct tpo_kv_cache *cache, const struct tpo_step *step, struct tpo_error *err)
{
  struct tpo_model *model = cache->model;
  int longest = 0;
  for (int i = 0; i < step->n; i++)
    if (step->pos[i] >= longest) longest = step->pos[i] + 1;
  int code = tpo_rope_ensure(model, longest, err);
  if (code < 0) return code;
  if (model->cos_sin != cache->cos_sin) tpo_kv_cache_forget(cache);
  cache->cos_sin = model->cos_sin;
  struct tpo_step_limits limits = {
      .rows = step->n, .seqs = step->n_seqs, .max_blocks = step->max_blocks, .logits = step->n_logits};
  return tpo_kv_cache_grow(cache, &limits, err);
}

/* Brings the table's rows that this step uses up to date; between most steps nothing in them changes. What
 * follows a row's checked blocks is taken along as far as it is valid, so that a sequence whose blocks are
 * known from its start comes over once. */
static void update_table(struct tpo_kv_cache *cache, const struct tpo_step *step)
{
  const struct tpo_model *model = cache->model;
  for (int i = 0; i < step->n; i++) {
    if (i + 1 < step->n && step->seq[i + 1] == step->seq[i]) continue; /* the last row sees the most blocks */
    const int32_t *blocks = blocks_in(step, step->seq[i]);
    size_t at = (size_t)step->seq[i] * (size_t)cache->limits.max_blocks;
    int n = blocks_of(cache, step->pos[i]);
    if (memcmp(cache->table + at, blocks, (size_t)n * sizeof *blocks) == 0) continue;
    while (n < step->max_blocks && is_valid(cache, blocks[n])) n++;
    memcpy(cache->table + at, blocks, (size_t)n * sizeof *blocks);
    model->ops->upload(model->be, cache->buffers.blocks + at, blocks, (size_t)n * sizeof *blocks);
  }
}

/* The step's integers, one array after another, in host memory and in the backend's. */
struct ints {
  int32_t *ids, *from, *pos, *seq, *logit_rows;
};

static struct ints ints_at(int32_t *base, int n)
{
  return (struct ints){base, base + n, base + 2 * n, base + 3 * n, base + 4 * n};
}

/* n, m: rows and rows of logits with the padding. */
static void upload_ints(struct tpo_kv_cache *cache, const struct tpo_step *step, int n, int m)
{
  struct ints host = ints_at(cache->host_ints, n);
  size_t bytes = (size_t)step->n * sizeof(int32_t);
  memcpy(host.ids, step->ids, bytes);
  if (step->from)
    memcpy(host.from, step->from, bytes);
  else
    for (int i = 0; i < step->n; i++) host.from[i] = -1;
  memcpy(host.pos, step->pos, bytes);
  memcpy(host.seq, step->seq, bytes);
  if (step->n_logits > 0) memcpy(host.logit_rows, step->logit_rows, (size_t)step->n_logits * sizeof(int32_t));
  for (int i = step->n; i < n; i++) {
    host.ids[i] = host.pos[i] = 0;
    host.from[i] = -1;
    host.seq[i] = cache->limits.seqs;
  }
  for (int i = step->n_logits; i < m; i++) host.logit_rows[i] = i;
  cache->model->ops->upload(cache->model->be, cache->buffers.ints, cache->host_ints,
                            (4 * (size_t)n + (size_t)m) * sizeof(int32_t));
}

/* From ids to logits, or to what the head would work on: the part of a step that can be recorded. */
static void compute(struct tpo_kv_cache *cache, const struct tpo_rows *rows, const struct ints *ints, int m)
{
  struct tpo_model *model = cache->model;
  const struct tpo_ops *ops = model->ops;
  const struct tpo_step_buffers *b = &cache->buffers;
  ops->embed(model->be, model->embed.linear, ints->ids, b->state.in, rows->n);
  for (int i = 0; i < model->arch.layers; i++) tpo_layer_forward(model, i, rows, &b->state, &b->scratch);
  if (m == 0) return;
  ops->gather_rows(model->be, b->state.out, ints->logit_rows, b->head_in, m, model->arch.hidden);
  ops->rms_norm(model->be, b->head_in, model->final_norm.vector, b->head, NULL, m, model->arch.hidden,
                (float)model->arch.rms_eps);
  if (b->logits) ops->lm_head_logits(model->be, model->lm_head.linear, b->head, b->logits, m);
}

/* No other recording's: the buffers' address belongs to this cache alone, and is a multiple of 64. */
static uint64_t recording_key(const struct tpo_kv_cache *cache, int n)
{
  return (uint64_t)(uintptr_t)cache->memory / 64 << 22 | (uint64_t)n;
}

static void compute_recorded(struct tpo_kv_cache *cache, const struct tpo_rows *rows, const struct ints *ints)
{
  struct tpo_model *model = cache->model;
  if (!cache->warm[rows->n]) {
    cache->warm[rows->n] = 1;
    compute(cache, rows, ints, rows->n);
    return;
  }
  cache->recorded = true;
  if (model->ops->replay(model->be, recording_key(cache, rows->n))) return;
  compute(cache, rows, ints, rows->n);
  model->ops->record_end(model->be);
}

static void run_step(struct tpo_kv_cache *cache, const struct tpo_step *step, enum tpo_pass pass)
{
  struct tpo_model *model = cache->model;
  const struct tpo_ops *ops = model->ops;
  bool recorded = step->recorded && only_decodes(step);
  int n = recorded ? padded_rows(step->n, &cache->limits) : step->n;
  int m = recorded ? n : step->n_logits;
  ops->begin_pass(model->be, pass);
  update_table(cache, step);
  upload_ints(cache, step, n, m);
  struct ints ints = ints_at(cache->buffers.ints, n), host = ints_at(cache->host_ints, n);
  struct tpo_rows rows = {.n = n,
                          .pos = ints.pos,
                          .kv = cache->layers,
                          .paged = {.n = n,
                                    .seq = ints.seq,
                                    .pos = ints.pos,
                                    .blocks = cache->buffers.blocks,
                                    .max_blocks = cache->limits.max_blocks}};
  struct tpo_paged_host paged = {
      .seq = host.seq, .pos = host.pos, .blocks = cache->table, .n_seqs = cache->limits.seqs + 1};
  ops->paged_prepare(model->be, &rows.paged, &paged, model->shape, cache->block_tokens);
  if (step->from) ops->select_ids(model->be, ints.ids, ints.from, step->drawn, step->n);
  if (recorded)
    compute_recorded(cache, &rows, &ints);
  else
    compute(cache, &rows, &ints, m);
}

static int prepare_step(const struct tpo_model *model, struct tpo_kv_cache *cache,
                        const struct tpo_step *step, struct tpo_error *err)
{
  if (cache->model != model) return tpo_fail(err, TPO_E_USAGE, "step: the KV cache is another model's");
  int code = check_step(cache, step, err);
  return code < 0 ? code : ensure(cache, step, err);
}

int tpo_model_step(struct tpo_model *model, struct tpo_kv_cache *cache, const struct tpo_step *step,
                   float **logits, struct tpo_error *err)
{
  if (model->body_only) return tpo_fail(err, TPO_E_USAGE, "step: the model has no LM head to give logits");
  int code = prepare_step(model, cache, step, err);
  if (code < 0) return code;
  run_step(cache, step, TPO_PASS_PAGED);
  *logits = cache->buffers.logits;
  return 0;
}

int tpo_model_step_hidden(struct tpo_model *model, struct tpo_kv_cache *cache, const struct tpo_step *step,
                          float *hidden, struct tpo_error *err)
{
  if (!model->body_only)
    return tpo_fail(err, TPO_E_USAGE, "step: hidden states are of models without LM head");
  int code = prepare_step(model, cache, step, err);
  if (code < 0) return code;
  run_step(cache, step, TPO_PASS_PACKED); /* whole texts: many rows, as when training */
  if (step->n_logits == 0) return 0;
  size_t n = (size_t)step->n_logits * (size_t)model->arch.hidden, size = model->ops->activation_size;
  char *packed = (char *)hidden + (sizeof(float) - size) * n; /* at the end, to be spread from the front on */
  code = model->ops->check(model->be, err);
  if (code < 0) return code;
  model->ops->download(model->be, packed, cache->buffers.head, n * size);
  if (size == sizeof(float)) return 0;
  for (size_t i = 0; i < n; i++) {
    uint16_t half;
    memcpy(&half, packed + i * sizeof half, sizeof half);
    hidden[i] = tpo_bf16_to_f32(half);
  }
  return 0;
}
