/* Who holds which blocks of the cache.
 *
 * Layers that attend to everything and those of a window have blocks, tables and a pool of their own each. What
 * a holder may come to need of a pool it takes when it begins, so that nothing has to wait or be thrown out
 * half-way. In the pool of a window that is what the window can reach, however long the sequence gets: the
 * table then repeats these blocks, and each is written again once the window has left it. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "engine/state.h"

/* Of a cache that is there. */
static bool has_reach(const struct tpo_engine *e, int reach)
{
  return e->blocks[reach].n > 0;
}

int64_t cache_sequence_tokens(const struct tpo_engine *e, const struct tpo_request *request)
{
  int max_tokens = request->max_tokens > 0 ? request->max_tokens : e->sampling->max_tokens;
  int64_t tokens = (int64_t)request->n_prompt + max_tokens + (int64_t)e->marker_ids.n;
  return tokens < e->context ? tokens : e->context;
}

static int blocks_for(const struct tpo_engine *e, int64_t tokens)
{
  return (int)((tokens + e->block_tokens - 1) / e->block_tokens);
}

static int smaller(int a, int b)
{
  return a < b ? a : b;
}

/* Blocks that prefilling so many tokens of a prompt takes. */
static int prefix_blocks(const struct tpo_engine *e, int reach, int tokens)
{
  return smaller(blocks_for(e, tokens),
                 tpo_kv_blocks_seen(tpo_model_arch(e->model), reach, e->prefill_chunk, e->block_tokens));
}

/* Blocks that starting one more sample of the request takes beside its shared prefix. */
static int own_blocks(const struct tpo_engine *e, int reach, const struct tpo_request *request)
{
  int all = blocks_for(e, cache_sequence_tokens(e, request)) - (request->n_prompt - 1) / e->block_tokens;
  int fed = 1 + (int)e->marker_ids.n; /* at once, at most */
  return smaller(all, tpo_kv_blocks_seen(tpo_model_arch(e->model), reach, fed, e->block_tokens));
}

/* How many blocks a pool gets. */
struct plan {
  size_t bytes; /* of a block */
  int64_t least, wanted;
};

static struct plan plan_pool(const struct tpo_engine *e, int reach, const struct tpo_request *request)
{
  size_t bytes = tpo_kv_block_bytes(e->model, reach, e->block_tokens);
  if (bytes == 0) return (struct plan){0};
  int prefix = prefix_blocks(e, reach, request->n_prompt), own = own_blocks(e, reach, request);
  return (struct plan){
      .bytes = bytes, .least = prefix + own, .wanted = (int64_t)e->slots * own + 4 * (int64_t)prefix};
}

/* Where there isn't room for all that is wanted, every pool gets the same share of what it wants beyond the
 * least, and the last one what is left over by that. */
static void share_out(const struct plan plans[TPO_REACHES], size_t limit, int n[TPO_REACHES])
{
  size_t least = 0, rest = limit;
  double beyond = 0;
  for (int r = 0; r < TPO_REACHES; r++) {
    least += (size_t)plans[r].least * plans[r].bytes;
    beyond += (double)(plans[r].wanted - plans[r].least) * (double)plans[r].bytes;
  }
  double share = beyond > 0 ? (double)(limit - least) / beyond : 1;
  for (int r = 0; r < TPO_REACHES; r++) {
    const struct plan *p = &plans[r];
    if (p->bytes == 0) continue;
    bool last = r == TPO_REACHES - 1 || plans[TPO_REACHES - 1].bytes == 0;
    int64_t fit = p->least + (int64_t)(share * (double)(p->wanted - p->least));
    if (last) fit = (int64_t)(rest / p->bytes);
    if (fit > p->wanted) fit = p->wanted;
    n[r] = fit < INT32_MAX ? (int)fit : INT32_MAX - 1;
    rest -= (size_t)n[r] * p->bytes;
  }
}

/* What all slots can use, as far as memory goes; at least what the request alone needs. */
static int plan_blocks(const struct tpo_engine *e, const struct tpo_request *request, int n[TPO_REACHES],
                       struct tpo_error *err)
{
  struct plan plans[TPO_REACHES];
  size_t least = 0;
  for (int r = 0; r < TPO_REACHES; r++) {
    plans[r] = plan_pool(e, r, request);
    least += (size_t)plans[r].least * plans[r].bytes;
  }
  struct tpo_pass_limits limits = passes_limits(e);
  size_t pass = tpo_pass_bytes(e->model, &limits);
  size_t available = tpo_ops(e->backend)->memory_available(e->backend);
  size_t limit = e->kv_bytes ? e->kv_bytes : tpo_kv_cache_limit(e->model, available, pass);
  if (limit < least)
    return tpo_fail(err, TPO_E_MEMORY,
                    "prompt %s needs %zu MiB of KV cache for one sample, "
                    "and %zu MiB may be used (%zu MiB of memory are free, "
                    "%zu MiB of them for the %d slots' passes); lower %s.max_tokens or %s.slots",
                    request->id, least >> 20, limit >> 20, available >> 20, pass >> 20, e->slots, e->section,
                    e->section);
  share_out(plans, limit, n);
  return 0;
}

/* The tables' width is a few blocks more than the request's samples can come to hold: the backend's work on a
 * pass may depend on it, and it changes seldom. */
static int width_for(const struct tpo_engine *e, const struct tpo_request *request)
{
  int64_t tokens = (cache_sequence_tokens(e, request) + 63) / 64 * 64;
  return blocks_for(e, tokens < e->context ? tokens : e->context);
}

/* Moves what a table holds to a new one of this width. */
static void move_table(struct tpo_engine *e, int reach, int32_t *table, int width)
{
  for (int i = 0; i < e->slots; i++) {
    struct sequence *s = &e->sequences[i];
    int32_t *blocks = table + (size_t)i * (size_t)width;
    if (s->group) memcpy(blocks, s->held[reach].blocks, (size_t)s->n_blocks * sizeof *blocks);
    s->held[reach].blocks = blocks;
  }
  free(e->table[reach]);
  e->table[reach] = table;
}

static int widen_tables(struct tpo_engine *e, int width, struct tpo_error *err)
{
  int32_t *tables[TPO_REACHES] = {NULL};
  bool failed = false;
  for (int r = 0; r < TPO_REACHES; r++)
    if (has_reach(e, r)) {
      tables[r] = tpo_calloc((size_t)e->slots * 2 * (size_t)width, sizeof *tables[r], err);
      failed = failed || !tables[r];
    }
  for (int r = 0; r < TPO_REACHES; r++)
    if (failed)
      free(tables[r]);
    else if (tables[r])
      move_table(e, r, tables[r], width);
  if (failed) return TPO_E_MEMORY;
  e->max_blocks = width;
  return 0;
}

int cache_fit(struct tpo_engine *e, const struct tpo_request *request, struct tpo_error *err)
{
  int width = width_for(e, request);
  bool made = e->table[TPO_REACH_ALL] || e->table[TPO_REACH_WINDOW];
  if (made && width <= e->max_blocks) return 0;
  int status = widen_tables(e, width, err);
  struct tpo_pass_limits limits = passes_limits(e);
  return status < 0 ? status : tpo_kv_cache_reserve(e->cache, &limits, err);
}

void cache_drop(struct tpo_engine *e)
{
  tpo_kv_cache_destroy(e->cache);
  e->cache = NULL;
  for (int r = 0; r < TPO_REACHES; r++) {
    tpo_blocks_destroy(&e->blocks[r]);
    free(e->table[r]);
    e->table[r] = NULL;
  }
}

/* Without a cache to drop. */
static int make(struct tpo_engine *e, const struct tpo_request *request, struct tpo_error *err)
{
  int n[TPO_REACHES] = {0};
  e->max_blocks = width_for(e, request);
  int status = plan_blocks(e, request, n, err);
  if (status < 0) return status;
  for (int r = 0; status == 0 && r < TPO_REACHES; r++)
    if (n[r] > 0) status = tpo_blocks_init(&e->blocks[r], n[r], err);
  if (status == 0) status = tpo_kv_cache_create(&e->cache, e->model, n, e->block_tokens, err);
  if (status == 0) status = cache_fit(e, request, err);
  if (status == TPO_E_MEMORY)
    tpo_fail_prefix(err, "no room for the KV cache and %d slots (lower %s.max_tokens or %s.slots)", e->slots,
                    e->section, e->section);
  return status;
}

int cache_make(struct tpo_engine *e, const struct tpo_request *request, struct tpo_error *err)
{
  int status = passes_drain(e, err);
  cache_drop(e);
  return status < 0 ? status : make(e, request, err);
}

enum cache_room cache_room(const struct tpo_engine *e, const struct tpo_request *request)
{
  enum cache_room room = CACHE_ROOM;
  for (int r = 0; r < TPO_REACHES; r++) {
    if (!has_reach(e, r)) continue;
    int needed = prefix_blocks(e, r, request->n_prompt - 1) + own_blocks(e, r, request);
    for (const struct group *g = e->groups; g; g = g->next)
      if (g->started < g->request->k_count) needed += own_blocks(e, r, g->request);
    if (needed > e->blocks[r].n) return CACHE_TOO_SMALL;
    if (needed > e->blocks[r].n_free) room = CACHE_FULL;
  }
  return room;
}

bool cache_has_room_for_sample(const struct tpo_engine *e, const struct group *g)
{
  for (int r = 0; r < TPO_REACHES; r++)
    if (has_reach(e, r) && own_blocks(e, r, g->request) > e->blocks[r].n_free) return false;
  return true;
}

/* Takes blocks [begin, end) of a row, and lets them repeat up to block `all`. */
static void take(struct tpo_engine *e, int reach, int32_t *blocks, int begin, int end, int all)
{
  for (int i = begin; i < end; i++) blocks[i] = tpo_blocks_take(&e->blocks[reach]);
  for (int i = end; i < all; i++) blocks[i] = blocks[i - (end - begin)];
}

static void release(struct tpo_engine *e, int reach, struct holding *held)
{
  for (int i = held->begin; i < held->end; i++) tpo_blocks_release(&e->blocks[reach], held->blocks[i]);
  held->begin = held->end = 0;
}

int cache_begin_prefix(struct tpo_engine *e, struct group *g, struct tpo_error *err)
{
  g->n_blocks = blocks_for(e, g->prefix);
  for (int r = 0; r < TPO_REACHES; r++) {
    struct holding *held = &g->held[r];
    if (!(held->blocks = tpo_calloc((size_t)g->n_blocks + 1, sizeof *held->blocks, err))) return TPO_E_MEMORY;
  }
  for (int r = 0; r < TPO_REACHES; r++) {
    if (!has_reach(e, r)) continue;
    g->held[r].end = prefix_blocks(e, r, g->prefix);
    take(e, r, g->held[r].blocks, 0, g->held[r].end, g->n_blocks);
  }
  return 0;
}

/* The first block that the token at `position` attends to in the layers of a window. */
static int first_seen(const struct tpo_engine *e, int position)
{
  const struct tpo_attention_shape shape = {.window = tpo_model_arch(e->model)->window};
  return tpo_window_first(shape, position) / e->block_tokens;
}

void cache_end_prefix(struct tpo_engine *e, struct group *g)
{
  struct holding *held = &g->held[TPO_REACH_WINDOW];
  int n = held->end, first = first_seen(e, g->prefix);
  if (n == 0) return;
  for (int i = 0; i < n; i++) { /* block i is there again every n blocks: where for the last time? */
    int last = g->n_blocks - 1 - (g->n_blocks - 1 - i) % n;
    if (last < first) tpo_blocks_release(&e->blocks[TPO_REACH_WINDOW], held->blocks[i]);
  }
  for (int i = 0; i < first; i++) held->blocks[i] = -1;
  held->begin = first;
  held->end = g->n_blocks;
}

void cache_release_prefix(struct tpo_engine *e, struct group *g)
{
  for (int r = 0; r < TPO_REACHES; r++) release(e, r, &g->held[r]);
}

static void begin_row(struct tpo_engine *e, int reach, struct holding *held, const struct group *g, int all)
{
  int full = g->prefix / e->block_tokens, rest = g->prefix % e->block_tokens;
  const struct holding *prefix = &g->held[reach];
  memcpy(held->blocks, prefix->blocks, (size_t)full * sizeof *held->blocks);
  held->begin = smaller(prefix->begin, full);
  held->end = full + own_blocks(e, reach, g->request);
  for (int i = held->begin; i < full; i++) tpo_blocks_share(&e->blocks[reach], held->blocks[i]);
  take(e, reach, held->blocks, full, held->end, all);
  if (rest > 0) tpo_kv_cache_copy_block(e->cache, reach, held->blocks[full], prefix->blocks[full], rest);
}

void cache_begin_sample(struct tpo_engine *e, struct sequence *s, const struct group *g)
{
  s->n_blocks = blocks_for(e, cache_sequence_tokens(e, g->request));
  for (int r = 0; r < TPO_REACHES; r++)
    if (has_reach(e, r)) begin_row(e, r, &s->held[r], g, s->n_blocks);
}

void cache_advance_sample(struct tpo_engine *e, struct sequence *s)
{
  if (!has_reach(e, TPO_REACH_WINDOW)) return;
  struct holding *held = &s->held[TPO_REACH_WINDOW];
  int passed = smaller(first_seen(e, s->position), s->group->prefix / e->block_tokens);
  for (; held->begin < passed; held->begin++) {
    tpo_blocks_release(&e->blocks[TPO_REACH_WINDOW], held->blocks[held->begin]);
    held->blocks[held->begin] = -1;
  }
}

void cache_end_sample(struct tpo_engine *e, struct sequence *s)
{
  for (int r = 0; r < TPO_REACHES; r++) release(e, r, &s->held[r]);
}
