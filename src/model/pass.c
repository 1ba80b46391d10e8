/* Inference: one pass over any mix of prefill and decode rows, with keys and values in a paged cache. */
#include <string.h>

#include "model/kv_cache.h"

/* The blocks that a row attends to in layers of a reach: from the first one, */
static int first_block(const struct tpo_kv_cache *cache, enum tpo_reach reach, int pos)
{
  return tpo_window_first(tpo_reach_shape(cache->model, reach), pos) / cache->block_tokens;
}

/* to before this one. */
static int end_block(const struct tpo_kv_cache *cache, int pos)
{
  return pos / cache->block_tokens + 1;
}

static const int32_t *blocks_in(const struct tpo_pass *pass, enum tpo_reach reach, int seq)
{
  return pass->blocks[reach] + (size_t)seq * (size_t)pass->max_blocks;
}

static bool is_valid(const struct tpo_kv_cache *cache, enum tpo_reach reach, int32_t block)
{
  return block >= 0 && block < cache->n_blocks[reach];
}

/* Every block that row i attends to must be one of the cache's. */
static int check_blocks(const struct tpo_kv_cache *cache, const struct tpo_pass *pass, enum tpo_reach reach,
                        int i, struct tpo_error *err)
{
  const int32_t *blocks = blocks_in(pass, reach, pass->seq[i]);
  int end = end_block(cache, pass->pos[i]);
  for (int b = first_block(cache, reach, pass->pos[i]); b < end; b++)
    if (!is_valid(cache, reach, blocks[b]))
      return tpo_fail(err, TPO_E_USAGE, "pass: sequence %d has block %d, of %d", pass->seq[i], blocks[b],
                      cache->n_blocks[reach]);
  return 0;
}

/* Tokens that a sequence can come to have. */
static int longest_of(const struct tpo_kv_cache *cache, const struct tpo_pass *pass, int seq)
{
  return pass->longest ? pass->longest[seq] : cache->model->arch.context;
}

static int check_row(const struct tpo_kv_cache *cache, const struct tpo_pass *pass, int i,
                     struct tpo_error *err)
{
  const struct tpo_arch *arch = &cache->model->arch;
  int seq = pass->seq[i], pos = pass->pos[i];
  bool drawn = pass->from && pass->from[i] >= 0;
  if (!drawn && (pass->ids[i] < 0 || pass->ids[i] >= arch->vocab_size))
    return tpo_fail(err, TPO_E_INPUT, "pass: token id %d of row %d is outside the vocabulary of %d",
                    pass->ids[i], i, arch->vocab_size);
  if (seq < 0 || seq >= pass->n_seqs)
    return tpo_fail(err, TPO_E_USAGE, "pass: row %d is of sequence %d, of %d", i, seq, pass->n_seqs);
  if (pos < 0 || pos >= arch->context || pos / cache->block_tokens >= pass->max_blocks)
    return tpo_fail(err, TPO_E_USAGE,
                    "pass: row %d is at position %d; the context is %d and the table holds %d blocks", i, pos,
                    arch->context, pass->max_blocks);
  if (i > 0 && pass->seq[i - 1] == seq && pass->pos[i - 1] >= pos)
    return tpo_fail(err, TPO_E_USAGE, "pass: row %d is at position %d after position %d of the same sequence",
                    i, pos, pass->pos[i - 1]);
  if (pos >= longest_of(cache, pass, seq))
    return tpo_fail(err, TPO_E_USAGE, "pass: row %d is at position %d of a sequence that can come to have %d",
                    i, pos, longest_of(cache, pass, seq));
  int code = 0;
  for (int r = 0; code == 0 && r < TPO_REACHES; r++)
    if (cache->n_blocks[r] > 0) code = check_blocks(cache, pass, r, i, err);
  return code;
}

static int check_pass(const struct tpo_kv_cache *cache, const struct tpo_pass *pass, struct tpo_error *err)
{
  if (pass->n < 1 || pass->n_seqs < 1 || pass->max_blocks < 1 || pass->n_logits < 0)
    return tpo_fail(err, TPO_E_USAGE,
                    "pass: %d rows of %d sequences with %d blocks each; expected at least one of each",
                    pass->n, pass->n_seqs, pass->max_blocks);
  for (int r = 0; r < TPO_REACHES; r++)
    if (cache->n_blocks[r] > 0 && !pass->blocks[r])
      return tpo_fail(err, TPO_E_USAGE, "pass: no blocks are given for layers that attend %s",
                      r == TPO_REACH_WINDOW ? "through a window" : "to everything");
  for (int i = 0; i < pass->n; i++) {
    int code = check_row(cache, pass, i, err);
    if (code < 0) return code;
  }
  for (int i = 0; i < pass->n_logits; i++)
    if (pass->logit_rows[i] < 0 || pass->logit_rows[i] >= pass->n)
      return tpo_fail(err, TPO_E_USAGE, "pass: logits of row %d are wanted, of %d", pass->logit_rows[i],
                      pass->n);
  return 0;
}

/* Recorded passes are padded to one of few sizes, so that few recordings serve all. */
static int padded_rows(int n, const struct tpo_pass_limits *limits)
{
  int most = limits->logits < limits->rows ? limits->logits : limits->rows, unit = 1;
  if (n <= 8)
    while (unit < n) unit *= 2;
  else
    unit = n <= 32 ? 8 : n <= 64 ? 16 : n <= 256 ? 32 : 64;
  int padded = (n + unit - 1) / unit * unit;
  return padded < most ? padded : most;
}

/* Every row is wanted, in order: a pass of nothing but decoding. */
static bool only_decodes(const struct tpo_pass *pass)
{
  if (pass->n_logits != pass->n) return false;
  for (int i = 0; i < pass->n; i++)
    if (pass->logit_rows[i] != i) return false;
  return true;
}

static int ensure(struct tpo_kv_cache *cache, const struct tpo_pass *pass, struct tpo_error *err)
{
  struct tpo_model *model = cache->model;
  int longest = 0;
  for (int i = 0; i < pass->n; i++)
    if (pass->pos[i] >= longest) longest = pass->pos[i] + 1;
  int code = tpo_rope_ensure(model, longest, err);
  if (code < 0) return code;
  if (model->ropes_made != cache->ropes_made) tpo_kv_cache_forget(cache);
  cache->ropes_made = model->ropes_made;
  struct tpo_pass_limits limits = {
      .rows = pass->n, .seqs = pass->n_seqs, .max_blocks = pass->max_blocks, .logits = pass->n_logits};
  return tpo_kv_cache_grow(cache, &limits, err);
}

/* Brings a sequence's row of the table up to date, of which blocks [first, end) are used. What follows them is
 * taken along as far as it is valid, so that a sequence whose blocks are known from its start comes over once. */
static void update_row(struct tpo_kv_cache *cache, const struct tpo_pass *pass, enum tpo_reach reach, int seq,
                       int first, int end)
{
  const struct tpo_model *model = cache->model;
  const int32_t *blocks = blocks_in(pass, reach, seq) + first;
  size_t at = (size_t)seq * (size_t)cache->limits.max_blocks + (size_t)first;
  if (memcmp(cache->table[reach] + at, blocks, (size_t)(end - first) * sizeof *blocks) == 0) return;
  while (end < pass->max_blocks && is_valid(cache, reach, blocks[end - first])) end++;
  size_t bytes = (size_t)(end - first) * sizeof *blocks;
  memcpy(cache->table[reach] + at, blocks, bytes);
  model->ops->upload(model->be, cache->buffers.blocks[reach] + at, blocks, bytes);
}

/* The rows of the table that this pass uses; between most passes nothing in them changes. */
static void update_table(struct tpo_kv_cache *cache, const struct tpo_pass *pass, enum tpo_reach reach)
{
  for (int i = 0, begin = 0; i < pass->n; i++) {
    if (i + 1 < pass->n && pass->seq[i + 1] == pass->seq[i]) continue;
    update_row(cache, pass, reach, pass->seq[i], first_block(cache, reach, pass->pos[begin]),
               end_block(cache, pass->pos[i]));
    begin = i + 1;
  }
}

/* The pass's integers, one array after another, in host memory and in the backend's. */
struct ints {
  int32_t *ids, *from, *pos, *seq, *rope_at, *logit_rows;
};

/* n: rows with the padding. */
static struct ints ints_at(const struct tpo_kv_cache *cache, int32_t *base, int n)
{
  struct ints ints = {base, base + n, base + 2 * n, base + 3 * n, NULL, base + 4 * n};
  if (!tpo_rope_varies(&cache->model->arch)) return ints;
  ints.rope_at = ints.logit_rows;
  ints.logit_rows += n;
  return ints;
}

static void set_rows(const struct tpo_kv_cache *cache, const struct tpo_pass *pass, const struct ints *host,
                     int n)
{
  size_t bytes = (size_t)pass->n * sizeof(int32_t);
  memcpy(host->ids, pass->ids, bytes);
  memcpy(host->pos, pass->pos, bytes);
  memcpy(host->seq, pass->seq, bytes);
  for (int i = 0; i < pass->n; i++) host->from[i] = pass->from ? pass->from[i] : -1;
  for (int i = 0; host->rope_at && i < pass->n; i++)
    host->rope_at[i] = tpo_rope_row(cache->model, longest_of(cache, pass, pass->seq[i]), pass->pos[i]);
  for (int i = pass->n; i < n; i++) {
    host->ids[i] = host->pos[i] = 0;
    host->from[i] = -1;
    host->seq[i] = cache->limits.seqs;
    if (host->rope_at) host->rope_at[i] = 0;
  }
}

/* n, m: rows and rows of logits with the padding. */
static void upload_ints(struct tpo_kv_cache *cache, const struct tpo_pass *pass, int n, int m)
{
  struct ints host = ints_at(cache, cache->host_ints, n);
  set_rows(cache, pass, &host, n);
  if (pass->n_logits > 0) memcpy(host.logit_rows, pass->logit_rows, (size_t)pass->n_logits * sizeof(int32_t));
  for (int i = pass->n_logits; i < m; i++) host.logit_rows[i] = i;
  size_t count = (size_t)(host.logit_rows - cache->host_ints) + (size_t)m;
  cache->model->ops->upload(cache->model->be, cache->buffers.ints, cache->host_ints, count * sizeof(int32_t));
}

/* From ids to logits, or to what the head would work on: the part of a pass that can be recorded. */
static void compute(struct tpo_kv_cache *cache, const struct tpo_rows *rows, const struct ints *ints, int m)
{
  struct tpo_model *model = cache->model;
  const struct tpo_pass_buffers *b = &cache->buffers;
  tpo_embed_forward(model, ints->ids, b->state.in, rows->n);
  for (int i = 0; i < model->arch.layers; i++) tpo_layer_forward(model, i, rows, &b->state, &b->scratch);
  if (m == 0) return;
  tpo_head_input(model, b->state.out, ints->logit_rows, b->head_in, b->head, NULL, m);
  if (b->logits)
    model->ops->lm_head_logits(model->be, model->lm_head.linear, b->head, b->logits, m,
                               (float)model->arch.final_softcap);
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

/* How the pass's rows map onto the cache in layers of a reach. */
static void prepare_rows(struct tpo_kv_cache *cache, enum tpo_reach reach, const struct ints *host,
                         const struct ints *ints, struct tpo_rows *rows)
{
  const struct tpo_model *model = cache->model;
  struct tpo_paged_rows *paged = &rows->paged[reach];
  struct tpo_paged_host host_rows = {
      .seq = host->seq, .pos = host->pos, .blocks = cache->table[reach], .n_seqs = cache->limits.seqs + 1};
  *paged = (struct tpo_paged_rows){.n = rows->n,
                                   .seq = ints->seq,
                                   .pos = ints->pos,
                                   .rope_at = ints->rope_at,
                                   .blocks = cache->buffers.blocks[reach],
                                   .max_blocks = cache->limits.max_blocks};
  model->ops->paged_prepare(model->be, paged, &host_rows, tpo_reach_shape(model, reach), cache->block_tokens);
}

static void run_pass(struct tpo_kv_cache *cache, const struct tpo_pass *pass, enum tpo_pass_kind kind)
{
  struct tpo_model *model = cache->model;
  const struct tpo_ops *ops = model->ops;
  bool recorded = pass->recorded && only_decodes(pass);
  int n = recorded ? padded_rows(pass->n, &cache->limits) : pass->n;
  int m = recorded ? n : pass->n_logits;
  ops->begin_pass(model->be, kind);
  for (int r = 0; r < TPO_REACHES; r++)
    if (cache->n_blocks[r] > 0) update_table(cache, pass, r);
  upload_ints(cache, pass, n, m);
  struct ints ints = ints_at(cache, cache->buffers.ints, n), host = ints_at(cache, cache->host_ints, n);
  struct tpo_rows rows = {.n = n, .pos = ints.pos, .kv = cache->layers};
  for (int r = 0; r < TPO_REACHES; r++)
    if (cache->n_blocks[r] > 0) prepare_rows(cache, r, &host, &ints, &rows);
  if (pass->from) ops->select_ids(model->be, ints.ids, ints.from, pass->drawn, pass->n);
  if (recorded)
    compute_recorded(cache, &rows, &ints);
  else
    compute(cache, &rows, &ints, m);
}

static int prepare_pass(const struct tpo_model *model, struct tpo_kv_cache *cache,
                        const struct tpo_pass *pass, struct tpo_error *err)
{
  if (cache->model != model) return tpo_fail(err, TPO_E_USAGE, "pass: the KV cache is another model's");
  int code = check_pass(cache, pass, err);
  return code < 0 ? code : ensure(cache, pass, err);
}

int tpo_model_pass(struct tpo_model *model, struct tpo_kv_cache *cache, const struct tpo_pass *pass,
                   float **logits, struct tpo_error *err)
{
  if (model->body_only) return tpo_fail(err, TPO_E_USAGE, "pass: the model has no LM head to give logits");
  int code = prepare_pass(model, cache, pass, err);
  if (code < 0) return code;
  run_pass(cache, pass, TPO_PASS_PAGED);
  *logits = cache->buffers.logits;
  return 0;
}

int tpo_model_pass_hidden(struct tpo_model *model, struct tpo_kv_cache *cache, const struct tpo_pass *pass,
                          float *hidden, struct tpo_error *err)
{
  if (!model->body_only)
    return tpo_fail(err, TPO_E_USAGE, "pass: hidden states are of models without LM head");
  int code = prepare_pass(model, cache, pass, err);
  if (code < 0) return code;
  run_pass(cache, pass, TPO_PASS_PACKED); /* whole texts: many rows, as when training */
  if (pass->n_logits == 0) return 0;
  size_t n = (size_t)pass->n_logits * (size_t)model->arch.hidden, size = model->ops->activation_size;
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
