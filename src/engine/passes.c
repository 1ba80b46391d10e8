/* The forward passes: which rows each holds, and who gets its results.
 *
 * Where the backend works on its own (a GPU), a pass is built and handed over before the results of the pass
 * before it are known: the tokens that its rows are of are still being drawn, and are put in their place
 * there. What the host does between passes - text, stop strings, outputs, the next pass's arrays - then takes
 * no time of the GPU's. A sample that turns out to have ended, or to be fed something else, has a row too
 * many in the pass under way: its result is nobody's, and what it wrote to the cache is never read, because
 * later passes come after it in the backend's order. Every draw is keyed by sample and position, so nothing
 * that is sampled depends on any of this. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "engine/state.h"

/* Of one row of logits: a token and its log-probability. */
#define DRAWN_BYTES (sizeof(int32_t) + sizeof(float))

static int allocate_rows(struct tpo_engine *e, struct tpo_error *err)
{
  size_t rows = (size_t)e->row_capacity, slots = (size_t)e->slots;
  e->longest = tpo_calloc(2 * slots, sizeof *e->longest, err);
  e->row_ids = tpo_calloc(rows, sizeof *e->row_ids, err);
  e->row_from = tpo_calloc(rows, sizeof *e->row_from, err);
  e->row_seq = tpo_calloc(rows, sizeof *e->row_seq, err);
  e->row_pos = tpo_calloc(rows, sizeof *e->row_pos, err);
  e->logit_rows = tpo_calloc(slots, sizeof *e->logit_rows, err);
  e->params = tpo_calloc(slots, sizeof *e->params, err);
  e->drawn = tpo_calloc(slots, DRAWN_BYTES, err);
  if (!e->longest || !e->row_ids || !e->row_from || !e->row_seq || !e->row_pos || !e->logit_rows ||
      !e->params || !e->drawn)
    return TPO_E_MEMORY;
  for (int i = 0; i < 2; i++)
    if (!(e->flights[i].slots = tpo_calloc(slots, sizeof *e->flights[i].slots, err))) return TPO_E_MEMORY;
  return 0;
}

int passes_init(struct tpo_engine *e, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(e->backend);
  size_t slots = (size_t)e->slots;
  e->row_capacity = e->prefill_chunk + e->slots * (1 + (int)e->marker_ids.n);
  int status = allocate_rows(e, err);
  if (status == 0) status = ops->alloc(e->backend, slots * DRAWN_BYTES, &e->device_drawn, err);
  if (status == 0 && e->sampling->repetition_penalty != 1)
    status = ops->alloc(e->backend, slots * (size_t)e->vocab * sizeof(float), (void **)&e->penalised, err);
  return status;
}

void passes_destroy(struct tpo_engine *e)
{
  const struct tpo_ops *ops = tpo_ops(e->backend);
  ops->free(e->backend, e->device_drawn);
  ops->free(e->backend, e->penalised);
  ops->free(e->backend, e->penalty_items);
  for (int i = 0; i < 2; i++) free(e->flights[i].slots);
  free(e->longest);
  free(e->row_ids);
  free(e->row_from);
  free(e->row_seq);
  free(e->row_pos);
  free(e->logit_rows);
  free(e->params);
  free(e->drawn);
}

struct tpo_pass_limits passes_limits(const struct tpo_engine *e)
{
  return (struct tpo_pass_limits){
      .rows = e->row_capacity, .seqs = 2 * e->slots, .max_blocks = e->max_blocks, .logits = e->slots};
}

static void add_row(struct tpo_engine *e, int32_t id, int from, int seq, int pos)
{
  e->row_ids[e->n_rows] = id;
  e->row_from[e->n_rows] = from;
  e->row_seq[e->n_rows] = seq;
  e->row_pos[e->n_rows] = pos;
  e->n_rows++;
}

/* What a running sample feeds: the tokens it was left with, or the one that the pass under way draws for it.
 * A sample that is sure to end or to change with that one waits for the result. */
static void add_sample(struct tpo_engine *e, struct flight *f, int slot)
{
  struct sequence *s = &e->sequences[slot];
  int from = s->ahead;
  s->ahead = -1;
  e->longest[slot] = s->group->longest;
  if (from >= 0) {
    if (!sequence_goes_on(e, s)) return;
    add_row(e, 0, from, slot, s->position + s->n_feed);
    e->speculative = true;
  } else {
    for (int j = 0; j < s->n_feed; j++) add_row(e, s->feed[j], -1, slot, s->position + j);
  }
  e->logit_rows[f->n_logits] = e->n_rows - 1;
  e->params[f->n_logits] = sequence_params(e, s, from >= 0);
  f->slots[f->n_logits] = slot;
  if (e->run_ahead) s->ahead = f->n_logits;
  f->n_logits++;
}

/* Rows: what each running sample feeds, then prompt tokens of groups that are not ready. */
static void build_pass(struct tpo_engine *e, struct flight *f)
{
  e->n_rows = f->n_logits = 0;
  e->speculative = false;
  for (int i = 0; i < e->n_running; i++) add_sample(e, f, e->running[i]);
  int room = e->prefill_chunk, seq = e->slots;
  for (struct group *g = e->groups; g && room > 0; g = g->next) {
    if (g->ready) continue;
    e->longest[seq] = g->longest;
    for (int r = 0; r < TPO_REACHES; r++)
      if (e->table[r])
        memcpy(e->table[r] + (size_t)seq * (size_t)e->max_blocks, g->held[r].blocks,
               (size_t)g->n_blocks * sizeof *g->held[r].blocks);
    for (; room > 0 && g->prefilled < g->prefix; room--, g->prefilled++, e->stats.prompt_tokens++)
      add_row(e, g->request->prompt_ids[g->prefilled], -1, seq, g->prefilled);
    seq++;
  }
  e->n_seqs = seq;
}

static int need_penalty_items(struct tpo_engine *e, size_t n, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(e->backend);
  if (n <= e->penalty_capacity) return 0;
  ops->free(e->backend, e->penalty_items);
  e->penalty_items = NULL;
  e->penalty_capacity = 0;
  int status = ops->alloc(e->backend, 4 * n * sizeof(int32_t), (void **)&e->penalty_items, err);
  if (status == 0) e->penalty_capacity = 2 * n;
  return status;
}

/* Sampling from logits with the tokens seen so far made less likely; the log-probability stays the model's
 * own. */
static int penalise(struct tpo_engine *e, const float *logits, const struct flight *f, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(e->backend);
  size_t n = 0, at = 0;
  for (int i = 0; i < f->n_logits; i++) n += (size_t)e->sequences[f->slots[i]].n_seen;
  int status = need_penalty_items(e, n, err);
  if (status < 0) return status;
  int32_t *items = tpo_calloc(2 * n, sizeof *items, err);
  if (!items) return TPO_E_MEMORY;
  for (int i = 0; i < f->n_logits; i++) {
    const struct sequence *s = &e->sequences[f->slots[i]];
    for (int j = 0; j < s->n_seen; j++, at++) {
      items[at] = i;
      items[n + at] = s->seen_tokens[j];
    }
  }
  ops->upload(e->backend, e->penalty_items, items, 2 * n * sizeof *items);
  free(items);
  ops->copy(e->backend, e->penalised, logits, (size_t)f->n_logits * (size_t)e->vocab * sizeof(float));
  ops->repetition_penalty(e->backend, e->penalised, e->penalty_items, e->penalty_items + n, (int)n,
                          (float)e->sampling->repetition_penalty, e->vocab);
  return 0;
}

static int32_t *device_tokens(const struct tpo_engine *e)
{
  return e->device_drawn;
}

static float *device_logprobs(const struct tpo_engine *e)
{
  return (float *)(void *)(device_tokens(e) + e->slots);
}

static int draw(struct tpo_engine *e, float *logits, const struct flight *f, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(e->backend);
  float *from = logits;
  if (e->sampling->repetition_penalty != 1) {
    int status = penalise(e, logits, f, err);
    if (status < 0) return status;
    from = e->penalised;
  }
  ops->sample(e->backend, from, e->params, device_tokens(e), device_logprobs(e), f->n_logits, e->vocab);
  if (from != logits)
    ops->token_logprob(e->backend, logits, device_tokens(e), device_logprobs(e), f->n_logits, e->vocab);
  return 0;
}

static size_t drawn_bytes(const struct tpo_engine *e)
{
  return (size_t)e->slots * DRAWN_BYTES;
}

/* Hands over the pass that was built; its draws are fetched by slot number `index`. */
static int enqueue(struct tpo_engine *e, int index, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(e->backend);
  struct flight *f = &e->flights[index];
  struct tpo_pass pass = {.n = e->n_rows,
                          .ids = e->row_ids,
                          .seq = e->row_seq,
                          .pos = e->row_pos,
                          .blocks = {e->table[TPO_REACH_ALL], e->table[TPO_REACH_WINDOW]},
                          .longest = e->longest,
                          .n_seqs = e->n_seqs,
                          .max_blocks = e->max_blocks,
                          .logit_rows = e->logit_rows,
                          .n_logits = f->n_logits,
                          .from = e->speculative ? e->row_from : NULL,
                          .drawn = device_tokens(e),
                          .recorded = e->record};
  float *logits = NULL;
  int status = tpo_model_pass(e->model, e->cache, &pass, &logits, err);
  if (status == 0 && f->n_logits > 0) status = draw(e, logits, f, err);
  if (status < 0) return status;
  ops->fetch_begin(e->backend, index, e->device_drawn, drawn_bytes(e));
  f->active = true;
  for (struct group *g = e->groups; g; g = g->next) {
    if (g->ready || g->prefilled < g->prefix) continue;
    g->ready = true;
    cache_end_prefix(e, g);
  }
  e->stats.passes++;
  return 0;
}

/* The sample's row in the pass that was built last, if it has one, turns out to be of the wrong token. */
static void disown_row(struct tpo_engine *e, struct sequence *s)
{
  if (s->ahead >= 0) e->flights[e->newest].slots[s->ahead] = -1;
  s->ahead = -1;
}

static int take_result(struct tpo_engine *e, int slot, int32_t token, float logprob,
                       const struct tpo_engine_client *client, struct tpo_error *err)
{
  struct sequence *s = &e->sequences[slot];
  int status = sequence_accept(e, s, token, logprob, client, err);
  if (status < 0) return status;
  if (status == 1 || s->n_feed != 1 || s->feed[0] != token) disown_row(e, s);
  return status == 1 ? finish_sample(e, slot, client, err) : 0;
}

static int take_results(struct tpo_engine *e, int index, const struct tpo_engine_client *client,
                        struct tpo_error *err)
{
  struct flight *f = &e->flights[index];
  f->active = false;
  int status = tpo_ops(e->backend)->fetch_end(e->backend, index, e->drawn, drawn_bytes(e), err);
  const int32_t *tokens = e->drawn;
  const float *logprobs = (const float *)(const void *)(tokens + e->slots);
  for (int i = 0; status == 0 && i < f->n_logits; i++) {
    if (f->slots[i] < 0 || (tokens[i] >= 0 && tokens[i] < e->vocab)) continue;
    const struct sequence *s = &e->sequences[f->slots[i]];
    status = tpo_fail(err, TPO_E_NUMERIC, "prompt %s, sample %d: the logits at position %d are not numbers",
                      s->group->request->id, s->k, s->position + s->n_feed - 1);
  }
  for (int i = 0; status == 0 && i < f->n_logits; i++)
    if (f->slots[i] >= 0) status = take_result(e, f->slots[i], tokens[i], logprobs[i], client, err);
  return status;
}

int passes_advance(struct tpo_engine *e, const struct tpo_engine_client *client, struct tpo_error *err)
{
  int before = e->newest, next = 1 - before, status = 0;
  bool under_way = e->flights[before].active;
  build_pass(e, &e->flights[next]);
  /* Only where every sample waits for its result is there nothing to do ahead. */
  if (e->n_rows > 0 || !under_way) {
    e->newest = next;
    status = enqueue(e, next, err);
  }
  if (status == 0 && under_way) status = take_results(e, before, client, err);
  if (status == 0 && !e->run_ahead) status = take_results(e, next, client, err);
  return status;
}

int passes_drain(struct tpo_engine *e, struct tpo_error *err)
{
  e->flights[0].active = e->flights[1].active = false;
  return tpo_ops(e->backend)->check(e->backend, err);
}
