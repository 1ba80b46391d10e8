/* The scheduler: which rows each forward pass holds, and who gets its results. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "engine/state.h"

static void copy_settings(struct tpo_engine *e, const struct tpo_engine_options *options)
{
  e->sampling = options->sampling;
  e->thought = options->thought;
  e->seed = options->seed;
  e->iteration = options->iteration;
  e->block_tokens = options->block_tokens > 0 ? options->block_tokens : 16;
  e->prefill_chunk = options->prefill_chunk > 0 ? options->prefill_chunk : 512;
  e->kv_bytes = options->kv_bytes;
  e->slots = e->sampling->slots;
  e->has_marker = e->thought && e->thought->response_marker && *e->thought->response_marker;
  for (int i = 0; i < e->sampling->n_stop; i++) {
    size_t len = strlen(e->sampling->stop[i]);
    if (len > e->longest_stop) e->longest_stop = len;
  }
}

static int allocate_step(struct tpo_engine *e, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(e->backend);
  size_t slots = (size_t)e->slots;
  e->row_capacity = e->prefill_chunk + e->slots * (1 + (int)e->marker_ids.n);
  e->row_ids = tpo_calloc((size_t)e->row_capacity, sizeof *e->row_ids, err);
  e->row_seq = tpo_calloc((size_t)e->row_capacity, sizeof *e->row_seq, err);
  e->row_pos = tpo_calloc((size_t)e->row_capacity, sizeof *e->row_pos, err);
  e->logit_rows = tpo_calloc(slots, sizeof *e->logit_rows, err);
  e->logit_slots = tpo_calloc(slots, sizeof *e->logit_slots, err);
  e->params = tpo_calloc(slots, sizeof *e->params, err);
  e->drawn = tpo_calloc(slots, sizeof *e->drawn, err);
  e->drawn_logprob = tpo_calloc(slots, sizeof *e->drawn_logprob, err);
  e->sequences = tpo_calloc(slots, sizeof *e->sequences, err);
  if (!e->row_ids || !e->row_seq || !e->row_pos || !e->logit_rows || !e->logit_slots || !e->params ||
      !e->drawn || !e->drawn_logprob || !e->sequences)
    return TPO_E_MEMORY;
  for (int i = 0; i < e->slots; i++)
    if (sequence_init(e, &e->sequences[i], err) < 0) return TPO_E_MEMORY;
  if (ops->alloc(e->backend, slots * sizeof(int32_t), (void **)&e->device_tokens, err) < 0 ||
      ops->alloc(e->backend, slots * sizeof(float), (void **)&e->device_logprobs, err) < 0)
    return TPO_E_MEMORY;
  if (e->sampling->repetition_penalty != 1 &&
      ops->alloc(e->backend, slots * (size_t)e->vocab * sizeof(float), (void **)&e->penalised, err) < 0)
    return TPO_E_MEMORY;
  return 0;
}

int tpo_engine_open(struct tpo_engine **out, struct tpo_model *model, const struct tpo_tokenizer *tokenizer,
                    const struct tpo_template *tmpl, const struct tpo_engine_options *options,
                    struct tpo_error *err)
{
  *out = NULL;
  if (options->sampling->slots < 1)
    return tpo_fail(err, TPO_E_USAGE, "sampling.slots is %d; at least 1 is needed", options->sampling->slots);
  struct tpo_engine *e = tpo_calloc(1, sizeof *e, err);
  if (!e) return TPO_E_MEMORY;
  e->model = model;
  e->backend = tpo_model_backend(model);
  e->tokenizer = tokenizer;
  e->vocab = tpo_model_arch(model)->vocab_size;
  e->context = tpo_model_arch(model)->context;
  copy_settings(e, options);
  int status = tpo_tokenizer_end_ids(tokenizer, tmpl, &e->end_ids, err);
  if (status == 0 && e->has_marker)
    status = tpo_tokenizer_encode(tokenizer, e->thought->response_marker, strlen(e->thought->response_marker),
                                  TPO_ENCODE_CONTINUE, &e->marker_ids, err);
  if (status == 0) status = allocate_step(e, err);
  if (status < 0) {
    tpo_engine_close(e);
    return status;
  }
  *out = e;
  return 0;
}

static void free_group(struct tpo_engine *e, struct group *g)
{
  for (int i = 0; i < g->n_blocks; i++) tpo_blocks_release(&e->blocks, g->blocks[i]);
  free(g->blocks);
  free(g);
}

static void drop_cache(struct tpo_engine *e)
{
  tpo_kv_cache_destroy(e->cache);
  e->cache = NULL;
  tpo_blocks_destroy(&e->blocks);
  free(e->table);
  e->table = NULL;
}

void tpo_engine_close(struct tpo_engine *e)
{
  if (!e) return;
  const struct tpo_ops *ops = tpo_ops(e->backend);
  while (e->groups) {
    struct group *g = e->groups;
    e->groups = g->next;
    free_group(e, g);
  }
  for (int i = 0; e->sequences && i < e->slots; i++) sequence_destroy(&e->sequences[i]);
  drop_cache(e);
  ops->free(e->backend, e->device_tokens);
  ops->free(e->backend, e->device_logprobs);
  ops->free(e->backend, e->penalised);
  ops->free(e->backend, e->penalty_items);
  free(e->sequences);
  free(e->row_ids);
  free(e->row_seq);
  free(e->row_pos);
  free(e->logit_rows);
  free(e->logit_slots);
  free(e->params);
  free(e->drawn);
  free(e->drawn_logprob);
  tpo_ids_free(&e->end_ids);
  tpo_ids_free(&e->marker_ids);
  free(e);
}

/* Tokens that one sample of a request may come to hold in the cache. */
static int64_t sequence_tokens(const struct tpo_engine *e, const struct tpo_request *request)
{
  int max_tokens = request->max_tokens > 0 ? request->max_tokens : e->sampling->max_tokens;
  int64_t tokens = (int64_t)request->n_prompt + max_tokens + (int64_t)e->marker_ids.n;
  return tokens < e->context ? tokens : e->context;
}

static int blocks_for(const struct tpo_engine *e, int64_t tokens)
{
  return (int)((tokens + e->block_tokens - 1) / e->block_tokens);
}

/* Blocks that starting one more sample of the request takes beside its shared prefix. */
static int own_blocks(const struct tpo_engine *e, const struct tpo_request *request)
{
  return blocks_for(e, sequence_tokens(e, request)) - (request->n_prompt - 1) / e->block_tokens;
}

/* Makes the cache when the first request is known, and a larger one when a request comes that would not fit
 * even alone; nothing is running then. */
static int make_cache(struct tpo_engine *e, const struct tpo_request *request, struct tpo_error *err)
{
  const struct tpo_arch *arch = tpo_model_arch(e->model);
  drop_cache(e);
  size_t element = tpo_model_dtype(e->model) == TPO_DTYPE_FP32 ? 4 : 2;
  size_t block_bytes = 2 * element * (size_t)arch->layers * (size_t)arch->kv_heads * (size_t)arch->head_dim *
                       (size_t)e->block_tokens;
  int least = blocks_for(e, request->n_prompt) + own_blocks(e, request);
  int64_t wanted = (int64_t)e->slots * own_blocks(e, request) + 4 * (int64_t)blocks_for(e, request->n_prompt);
  size_t limit = e->kv_bytes ? e->kv_bytes : tpo_memory_available() / 2;
  if ((size_t)wanted * block_bytes > limit) wanted = (int64_t)(limit / block_bytes);
  if (wanted < least)
    return tpo_fail(err, TPO_E_MEMORY,
                    "prompt %s needs %zu MiB of KV cache for one sample, and %zu MiB may be used; "
                    "lower sampling.max_tokens",
                    request->id, (size_t)least * block_bytes >> 20, limit >> 20);
  e->max_blocks = blocks_for(e, e->context);
  e->table = tpo_calloc((size_t)e->slots * 2 * (size_t)e->max_blocks, sizeof *e->table, err);
  if (!e->table) return TPO_E_MEMORY;
  for (int i = 0; i < e->slots; i++) e->sequences[i].blocks = e->table + (size_t)i * (size_t)e->max_blocks;
  int status = tpo_blocks_init(&e->blocks, (int)wanted, err);
  if (status == 0) status = tpo_kv_cache_create(&e->cache, e->model, (int)wanted, e->block_tokens, err);
  return status;
}

static int check_request(const struct tpo_engine *e, const struct tpo_request *request, struct tpo_error *err)
{
  if (request->n_prompt < 1) return tpo_fail(err, TPO_E_INPUT, "prompt %s has no token", request->id);
  if (request->k_count < 1)
    return tpo_fail(err, TPO_E_USAGE, "prompt %s: no sample is asked for", request->id);
  if (request->n_prompt >= e->context)
    return tpo_fail(err, TPO_E_INPUT,
                    "prompt %s has %d tokens; the model's context of %d leaves no room for an answer",
                    request->id, request->n_prompt, e->context);
  for (int i = 0; i < request->n_prompt; i++)
    if (request->prompt_ids[i] < 0 || request->prompt_ids[i] >= e->vocab)
      return tpo_fail(err, TPO_E_INPUT,
                      "prompt %s: token id %d at %d is outside the model's vocabulary of %d", request->id,
                      request->prompt_ids[i], i, e->vocab);
  return 0;
}

static int free_slots(const struct tpo_engine *e)
{
  int n = 0;
  for (int i = 0; i < e->slots; i++) n += e->sequences[i].group == NULL;
  return n;
}

static int add_group(struct tpo_engine *e, const struct tpo_request *request, struct tpo_error *err)
{
  struct group *g = tpo_calloc(1, sizeof *g, err);
  if (!g) return TPO_E_MEMORY;
  g->request = request;
  g->prompt_key = tpo_hash64_str(request->id);
  g->prefix = request->n_prompt - 1;
  g->ready = g->prefix == 0;
  g->blocks = tpo_calloc((size_t)blocks_for(e, g->prefix) + 1, sizeof *g->blocks, err);
  if (!g->blocks) {
    free(g);
    return TPO_E_MEMORY;
  }
  g->n_blocks = blocks_for(e, g->prefix);
  for (int i = 0; i < g->n_blocks; i++) g->blocks[i] = tpo_blocks_take(&e->blocks);
  struct group **end = &e->groups;
  while (*end) end = &(*end)->next;
  *end = g;
  return 0;
}

/* Pulls requests while slots would stand empty. 1: another was taken, 0: enough, or no room, or none left. */
static int pull(struct tpo_engine *e, const struct tpo_source *source, struct tpo_error *err)
{
  int unstarted = 0, n_groups = 0;
  for (const struct group *g = e->groups; g; g = g->next) {
    unstarted += g->request->k_count - g->started;
    n_groups++;
  }
  if (n_groups >= e->slots || unstarted >= free_slots(e)) return 0;
  if (!e->waiting) {
    if (e->exhausted) return 0;
    int status = source->next(source->arg, &e->waiting, err);
    if (status < 0) return status;
    if (status == 0) {
      e->exhausted = true;
      e->waiting = NULL;
      return 0;
    }
    if ((status = check_request(e, e->waiting, err)) < 0) return status;
  }
  int needed = blocks_for(e, e->waiting->n_prompt - 1) + own_blocks(e, e->waiting);
  for (const struct group *g = e->groups; g;
       g = g->next) /* each can still start a sample, so none waits forever */
    if (g->started < g->request->k_count) needed += own_blocks(e, g->request);
  if (!e->cache || (needed > e->blocks.n && !e->groups)) {
    int status = make_cache(e, e->waiting, err);
    if (status < 0) return status;
  }
  if (needed > e->blocks.n_free) return 0;
  int status = add_group(e, e->waiting, err);
  if (status < 0) return status;
  e->waiting = NULL;
  return 1;
}

/* Gives a sample its row of blocks: the prefix's full blocks shared, its last partial one copied, the rest
 * new. */
static void give_blocks(struct tpo_engine *e, struct sequence *s, const struct group *g)
{
  int total = blocks_for(e, sequence_tokens(e, g->request));
  int full = g->prefix / e->block_tokens, rest = g->prefix % e->block_tokens;
  s->n_blocks = total;
  for (int i = 0; i < full; i++) {
    s->blocks[i] = g->blocks[i];
    tpo_blocks_share(&e->blocks, g->blocks[i]);
  }
  for (int i = full; i < total; i++) s->blocks[i] = tpo_blocks_take(&e->blocks);
  if (rest > 0) tpo_kv_cache_copy_block(e->cache, s->blocks[full], g->blocks[full], rest);
}

/* Starts samples of ready groups in free slots, oldest group first. */
static int start_samples(struct tpo_engine *e, struct tpo_error *err)
{
  int slot = 0;
  for (struct group *g = e->groups; g; g = g->next) {
    while (g->ready && g->started < g->request->k_count) {
      while (slot < e->slots && e->sequences[slot].group) slot++;
      if (slot == e->slots || own_blocks(e, g->request) > e->blocks.n_free) return 0;
      struct sequence *s = &e->sequences[slot];
      give_blocks(e, s, g);
      int status = sequence_start(e, s, g, g->request->k_first + g->started, err);
      g->started++;
      if (status < 0) return status;
    }
  }
  return 0;
}

static void add_row(struct tpo_engine *e, int32_t id, int seq, int pos)
{
  e->row_ids[e->n_rows] = id;
  e->row_seq[e->n_rows] = seq;
  e->row_pos[e->n_rows] = pos;
  e->n_rows++;
}

/* Rows: what each running sample feeds, then prompt tokens of groups that are not ready. Returns the rows of
 * logits. */
static int build_step(struct tpo_engine *e, int *n_seqs)
{
  int n_logits = 0;
  e->n_rows = 0;
  for (int i = 0; i < e->slots; i++) {
    struct sequence *s = &e->sequences[i];
    if (!s->group) continue;
    for (int j = 0; j < s->n_feed; j++) add_row(e, s->feed[j], i, s->position + j);
    e->logit_rows[n_logits] = e->n_rows - 1;
    e->logit_slots[n_logits] = i;
    e->params[n_logits] = sequence_params(e, s);
    n_logits++;
  }
  int room = e->prefill_chunk, seq = e->slots;
  for (struct group *g = e->groups; g && room > 0; g = g->next) {
    if (g->ready) continue;
    memcpy(e->table + (size_t)seq * (size_t)e->max_blocks, g->blocks,
           (size_t)g->n_blocks * sizeof *g->blocks);
    for (; room > 0 && g->prefilled < g->prefix; room--, g->prefilled++, e->stats.prompt_tokens++)
      add_row(e, g->request->prompt_ids[g->prefilled], seq, g->prefilled);
    seq++;
  }
  *n_seqs = seq;
  return n_logits;
}

/* Sampling from logits with the tokens seen so far made less likely; the log-probability stays the model's
 * own. */
static int penalise(struct tpo_engine *e, const float *logits, int n_logits, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(e->backend);
  size_t n = 0;
  for (int i = 0; i < n_logits; i++) n += (size_t)e->sequences[e->logit_slots[i]].n_seen;
  if (n > e->penalty_capacity) {
    ops->free(e->backend, e->penalty_items);
    e->penalty_items = NULL;
    e->penalty_capacity = 0;
    int status = ops->alloc(e->backend, 4 * n * sizeof(int32_t), (void **)&e->penalty_items, err);
    if (status < 0) return status;
    e->penalty_capacity = 2 * n;
  }
  int32_t *items = tpo_calloc(2 * n, sizeof *items, err);
  if (!items) return TPO_E_MEMORY;
  size_t at = 0;
  for (int i = 0; i < n_logits; i++) {
    const struct sequence *s = &e->sequences[e->logit_slots[i]];
    for (int j = 0; j < s->n_seen; j++, at++) {
      items[at] = i;
      items[n + at] = s->seen_tokens[j];
    }
  }
  ops->upload(e->backend, e->penalty_items, items, 2 * n * sizeof *items);
  free(items);
  ops->copy(e->backend, e->penalised, logits, (size_t)n_logits * (size_t)e->vocab * sizeof(float));
  ops->repetition_penalty(e->backend, e->penalised, e->penalty_items, e->penalty_items + n, (int)n,
                          (float)e->sampling->repetition_penalty, e->vocab);
  return 0;
}

static int draw(struct tpo_engine *e, float *logits, int n_logits, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(e->backend);
  float *from = logits;
  if (e->sampling->repetition_penalty != 1) {
    int status = penalise(e, logits, n_logits, err);
    if (status < 0) return status;
    from = e->penalised;
  }
  ops->sample(e->backend, from, e->params, e->device_tokens, e->device_logprobs, n_logits, e->vocab);
  if (from != logits)
    ops->token_logprob(e->backend, logits, e->device_tokens, e->device_logprobs, n_logits, e->vocab);
  ops->download(e->backend, e->drawn, e->device_tokens, (size_t)n_logits * sizeof *e->drawn);
  ops->download(e->backend, e->drawn_logprob, e->device_logprobs,
                (size_t)n_logits * sizeof *e->drawn_logprob);
  int status = ops->check(e->backend, err);
  if (status < 0) return status;
  for (int i = 0; i < n_logits; i++) {
    const struct sequence *s = &e->sequences[e->logit_slots[i]];
    if (e->drawn[i] < 0 || e->drawn[i] >= e->vocab)
      return tpo_fail(err, TPO_E_NUMERIC, "prompt %s, sample %d: the logits at position %d are not numbers",
                      s->group->request->id, s->k, s->position + s->n_feed - 1);
  }
  return 0;
}

static void remove_group(struct tpo_engine *e, struct group *g)
{
  struct group **link = &e->groups;
  while (*link != g) link = &(*link)->next;
  *link = g->next;
  free_group(e, g);
}

static int finish_sample(struct tpo_engine *e, struct sequence *s, enum tpo_finish finish, size_t text_end,
                         const struct tpo_source *source, struct tpo_error *err)
{
  struct group *g = s->group;
  struct tpo_output output = {.request = g->request,
                              .k = s->k,
                              .tokens = s->tokens,
                              .logprobs = s->logprobs,
                              .inserted = s->inserted,
                              .n = s->n_tokens,
                              .n_thought = s->n_thought,
                              .finish = finish,
                              .text_end = text_end};
  for (int i = 0; i < s->n_blocks; i++) tpo_blocks_release(&e->blocks, s->blocks[i]);
  s->group = NULL;
  int status = source->output(source->arg, &output, err);
  if (++g->finished == g->request->k_count) remove_group(e, g);
  return status;
}

static int take_results(struct tpo_engine *e, int n_logits, const struct tpo_source *source,
                        struct tpo_error *err)
{
  for (struct group *g = e->groups; g; g = g->next) g->ready = g->prefilled >= g->prefix;
  for (int i = 0; i < n_logits; i++) {
    struct sequence *s = &e->sequences[e->logit_slots[i]];
    enum tpo_finish finish;
    size_t text_end;
    int status = sequence_accept(e, s, e->drawn[i], e->drawn_logprob[i], &finish, &text_end, source, err);
    if (status == 1) status = finish_sample(e, s, finish, text_end, source, err);
    if (status < 0) return status;
  }
  return 0;
}

static int run_step(struct tpo_engine *e, const struct tpo_source *source, struct tpo_error *err)
{
  int n_seqs;
  int n_logits = build_step(e, &n_seqs);
  struct tpo_step step = {.n = e->n_rows,
                          .ids = e->row_ids,
                          .seq = e->row_seq,
                          .pos = e->row_pos,
                          .blocks = e->table,
                          .n_seqs = n_seqs,
                          .max_blocks = e->max_blocks,
                          .logit_rows = e->logit_rows,
                          .n_logits = n_logits};
  float *logits = NULL;
  int status = tpo_model_step(e->model, e->cache, &step, &logits, err);
  if (status == 0 && n_logits > 0) status = draw(e, logits, n_logits, err);
  if (status == 0) status = take_results(e, n_logits, source, err);
  e->stats.steps++;
  return status;
}

/* After an error or an interruption: everything unfinished is forgotten, so that the engine can run again. */
static void abandon(struct tpo_engine *e)
{
  for (int i = 0; i < e->slots; i++) {
    struct sequence *s = &e->sequences[i];
    if (!s->group) continue;
    for (int j = 0; j < s->n_blocks; j++) tpo_blocks_release(&e->blocks, s->blocks[j]);
    s->group = NULL;
  }
  while (e->groups) remove_group(e, e->groups);
  e->waiting = NULL;
}

int tpo_engine_run(struct tpo_engine *e, const struct tpo_source *source, struct tpo_error *err)
{
  double begin = tpo_seconds();
  int status = 0;
  e->exhausted = false;
  for (;;) {
    while ((status = pull(e, source, err)) > 0) {
    }
    if (status == 0) status = start_samples(e, err);
    if (status < 0 || !e->groups) break;
    if (tpo_interrupted()) {
      status = tpo_fail(err, TPO_E_INTERRUPTED, "stopped by signal %d while sampling", tpo_interrupted());
      break;
    }
    if ((status = run_step(e, source, err)) < 0) break;
  }
  if (status < 0) abandon(e);
  e->stats.seconds += tpo_seconds() - begin;
  return status < 0 ? status : 0;
}

void tpo_engine_stats(const struct tpo_engine *e, struct tpo_engine_stats *out)
{
  *out = e->stats;
}
