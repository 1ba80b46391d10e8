/* The scheduler: which prompts are worked on, and which of their
 * samples have slots and blocks of the cache. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/interrupt.h"
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
  e->record = options->run_ahead == TPO_RUN_AHEAD_AUTO ? tpo_ops(e->backend)->asynchronous
                                                       : options->run_ahead == TPO_RUN_AHEAD_ALWAYS;
  e->run_ahead = e->record && e->sampling->repetition_penalty == 1; /* the penalty needs the tokens first */
  e->has_marker = e->thought && e->thought->response_marker && *e->thought->response_marker;
  for (int i = 0; i < e->sampling->n_stop; i++) {
    size_t len = strlen(e->sampling->stop[i]);
    if (len > e->longest_stop) e->longest_stop = len;
  }
  size_t marker = e->has_marker ? strlen(e->thought->response_marker) : 0;
  if (marker > e->longest_stop) e->longest_stop = marker;
}

static int allocate_slots(struct tpo_engine *e, struct tpo_error *err)
{
  e->sequences = tpo_calloc((size_t)e->slots, sizeof *e->sequences, err);
  e->running = tpo_calloc((size_t)e->slots, sizeof *e->running, err);
  if (!e->sequences || !e->running) return TPO_E_MEMORY;
  for (int i = 0; i < e->slots; i++)
    if (sequence_init(e, &e->sequences[i], err) < 0) return TPO_E_MEMORY;
  return 0;
}

int tpo_engine_open(struct tpo_engine **out, struct tpo_model *model, const struct tpo_tokenizer *tokenizer,
                    const struct tpo_template *tmpl, const struct tpo_engine_options *options,
                    struct tpo_error *err)
{
  *out = NULL;
  const char *section = options->section ? options->section : "sampling";
  if (options->sampling->slots < 1)
    return tpo_fail(err, TPO_E_USAGE, "%s.slots is %d; at least 1 is needed", section,
                    options->sampling->slots);
  struct tpo_engine *e = tpo_calloc(1, sizeof *e, err);
  if (!e) return TPO_E_MEMORY;
  e->model = model;
  e->backend = tpo_model_backend(model);
  e->tokenizer = tokenizer;
  e->vocab = tpo_model_arch(model)->vocab_size;
  e->context = tpo_model_arch(model)->context;
  e->section = section;
  copy_settings(e, options);
  int status = tpo_tokenizer_end_ids(tokenizer, tmpl, &e->end_ids, err);
  if (status == 0 && e->has_marker)
    status = tpo_tokenizer_encode(tokenizer, e->thought->response_marker, strlen(e->thought->response_marker),
                                  TPO_ENCODE_CONTINUE, &e->marker_ids, err);
  if (status == 0) status = allocate_slots(e, err);
  if (status == 0) status = passes_init(e, err);
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
  while (e->groups) {
    struct group *g = e->groups;
    e->groups = g->next;
    free_group(e, g);
  }
  for (int i = 0; e->sequences && i < e->slots; i++) sequence_destroy(&e->sequences[i]);
  drop_cache(e);
  passes_destroy(e);
  free(e->sequences);
  free(e->running);
  tpo_ids_free(&e->end_ids);
  tpo_ids_free(&e->marker_ids);
  tpo_buf_free(&e->ended_text);
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

/* How many blocks the cache gets: what all slots can use, as far as memory
 * goes; at least what the request alone needs. */
static int plan_blocks(const struct tpo_engine *e, const struct tpo_request *request, int *n,
                       struct tpo_error *err)
{
  int least = blocks_for(e, request->n_prompt) + own_blocks(e, request);
  int64_t wanted = (int64_t)e->slots * own_blocks(e, request) + 4 * (int64_t)blocks_for(e, request->n_prompt);
  struct tpo_pass_limits limits = passes_limits(e);
  size_t pass = tpo_pass_bytes(e->model, &limits), bytes = tpo_kv_block_bytes(e->model, e->block_tokens);
  size_t available = tpo_ops(e->backend)->memory_available(e->backend);
  size_t limit = e->kv_bytes ? e->kv_bytes : tpo_kv_cache_limit(e->model, available, pass);
  if ((size_t)wanted > limit / bytes) wanted = (int64_t)(limit / bytes);
  if (wanted < least)
    return tpo_fail(err, TPO_E_MEMORY,
                    "prompt %s needs %zu MiB of KV cache for one sample, "
                    "and %zu MiB may be used (%zu MiB of memory are free, "
                    "%zu MiB of them for the %d slots' passes); lower %s.max_tokens or %s.slots",
                    request->id, (size_t)least * bytes >> 20, limit >> 20, available >> 20, pass >> 20,
                    e->slots, e->section, e->section);
  *n = wanted < INT32_MAX ? (int)wanted : INT32_MAX - 1;
  return 0;
}

/* The table's width is a few blocks more than the request's samples can come to hold: the backend's work on a
 * pass may depend on it, and it changes seldom. */
static int width_for(const struct tpo_engine *e, const struct tpo_request *request)
{
  int64_t tokens = (sequence_tokens(e, request) + 63) / 64 * 64;
  return blocks_for(e, tokens < e->context ? tokens : e->context);
}

/* Moves the table to a new one of this width. */
static int widen_table(struct tpo_engine *e, int width, struct tpo_error *err)
{
  int32_t *table = tpo_calloc((size_t)e->slots * 2 * (size_t)width, sizeof *table, err);
  if (!table) return TPO_E_MEMORY;
  for (int i = 0; i < e->slots; i++) {
    struct sequence *s = &e->sequences[i];
    int32_t *blocks = table + (size_t)i * (size_t)width;
    if (s->group) memcpy(blocks, s->blocks, (size_t)s->n_blocks * sizeof *blocks);
    s->blocks = blocks;
  }
  free(e->table);
  e->table = table;
  e->max_blocks = width;
  return 0;
}

/* Room for the request's samples in the table and in the buffers of a pass. */
static int fit_width(struct tpo_engine *e, const struct tpo_request *request, struct tpo_error *err)
{
  int width = width_for(e, request);
  if (e->table && width <= e->max_blocks) return 0;
  int status = widen_table(e, width, err);
  struct tpo_pass_limits limits = passes_limits(e);
  return status < 0 ? status : tpo_kv_cache_reserve(e->cache, &limits, err);
}

/* Makes the cache when the first request is known, and a larger one when a request comes that would not fit
 * even alone; no sample is running then. */
static int make_cache(struct tpo_engine *e, const struct tpo_request *request, struct tpo_error *err)
{
  int n = 0, status = passes_drain(e, err);
  drop_cache(e);
  e->max_blocks = width_for(e, request);
  if (status == 0) status = plan_blocks(e, request, &n, err);
  if (status < 0) return status;
  status = tpo_blocks_init(&e->blocks, n, err);
  if (status == 0) status = tpo_kv_cache_create(&e->cache, e->model, n, e->block_tokens, err);
  if (status == 0) status = fit_width(e, request, err);
  if (status == TPO_E_MEMORY)
    tpo_fail_prefix(err, "no room for the KV cache and %d slots (lower %s.max_tokens or %s.slots)", e->slots,
                    e->section, e->section);
  return status;
}

static int check_request(const struct tpo_engine *e, const struct tpo_request *request, struct tpo_error *err)
{
  if (request->n_prompt < 1) return tpo_fail(err, TPO_E_INPUT, "prompt %s has no token", request->id);
  if (request->k_count < 1)
    return tpo_fail(err, TPO_E_USAGE, "prompt %s: no sample is asked for", request->id);
  int max_tokens = request->max_tokens > 0 ? request->max_tokens : e->sampling->max_tokens;
  int inserted = e->has_marker && e->thought->force ? (int)e->marker_ids.n : 0;
  int status =
      tpo_config_check_room(e->thought, max_tokens, inserted, (size_t)request->n_prompt, e->context, err);
  if (status < 0) return tpo_fail_prefix(err, "prompt %s", request->id);
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
static int pull(struct tpo_engine *e, const struct tpo_engine_client *client, struct tpo_error *err)
{
  int unstarted = 0, n_groups = 0;
  for (const struct group *g = e->groups; g; g = g->next) {
    unstarted += g->request->k_count - g->started;
    n_groups++;
  }
  if (n_groups >= e->slots || unstarted >= free_slots(e)) return 0;
  if (!e->waiting) {
    if (e->exhausted) return 0;
    int status = client->next(client->arg, &e->waiting, err);
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
  int status = fit_width(e, e->waiting, err);
  if (status == 0) status = add_group(e, e->waiting, err);
  if (status < 0) return status;
  e->waiting = NULL;
  return 1;
}

/* Gives a sample its row of blocks: the prefix's full blocks shared,
 * its last partial one copied, the rest new. */
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

/* Behind the others of its group. */
static void add_running(struct tpo_engine *e, int slot)
{
  int at = e->n_running;
  while (at > 0 && e->sequences[e->running[at - 1]].group != e->sequences[slot].group) at--;
  if (at == 0) at = e->n_running;
  memmove(e->running + at + 1, e->running + at, (size_t)(e->n_running - at) * sizeof *e->running);
  e->running[at] = slot;
  e->n_running++;
}

static void remove_running(struct tpo_engine *e, int slot)
{
  int at = 0;
  while (e->running[at] != slot) at++;
  e->n_running--;
  memmove(e->running + at, e->running + at + 1, (size_t)(e->n_running - at) * sizeof *e->running);
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
      add_running(e, slot);
      g->started++;
      if (status < 0) return status;
    }
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

int finish_sample(struct tpo_engine *e, int slot, const struct tpo_engine_client *client,
                  struct tpo_error *err)
{
  struct sequence *s = &e->sequences[slot];
  struct group *g = s->group;
  struct tpo_output output;
  int status = sequence_output(e, s, &output, err);
  if (status < 0) return status;
  for (int i = 0; i < s->n_blocks; i++) tpo_blocks_release(&e->blocks, s->blocks[i]);
  remove_running(e, slot);
  s->group = NULL;
  status = client->output(client->arg, &output, err);
  if (++g->finished == g->request->k_count) remove_group(e, g);
  return status;
}

/* After an error or an interruption: everything unfinished is forgotten, so that the engine can run again. */
static void abandon(struct tpo_engine *e)
{
  struct tpo_error ignored = {0};
  passes_drain(e, &ignored);
  for (int i = 0; i < e->n_running; i++) {
    struct sequence *s = &e->sequences[e->running[i]];
    for (int j = 0; j < s->n_blocks; j++) tpo_blocks_release(&e->blocks, s->blocks[j]);
    s->group = NULL;
  }
  e->n_running = 0;
  while (e->groups) remove_group(e, e->groups);
  e->waiting = NULL;
}

int tpo_engine_run(struct tpo_engine *e, const struct tpo_engine_client *client, struct tpo_error *err)
{
  double begin = tpo_seconds();
  int status = 0;
  e->exhausted = false;
  for (;;) {
    while ((status = pull(e, client, err)) > 0) {
    }
    if (status == 0) status = start_samples(e, err);
    if (status < 0 || !e->groups) break;
    if ((status = tpo_stopped("sampling", err)) < 0) break;
    if ((status = passes_advance(e, client, err)) < 0) break;
  }
  if (status == 0) status = passes_drain(e, err);
  if (status < 0) abandon(e);
  e->stats.seconds += tpo_seconds() - begin;
  return status < 0 ? status : 0;
}

void tpo_engine_stats(const struct tpo_engine *e, struct tpo_engine_stats *out)
{
  *out = e->stats;
}
