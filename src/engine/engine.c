/* The scheduler: which prompts are worked on, and which of their samples run. */
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

static int read_layout(struct tpo_engine *e, const struct tpo_template *tmpl, struct tpo_error *err)
{
  if (!e->thought) return 0;
  int status = tpo_thought_marker_ids(e->thought->response_marker, e->tokenizer, &e->marker_ids, err);
  if (status == 0) status = tpo_thought_spoken_ids(e->thought, e->tokenizer, &e->spoken_ids, err);
  return status < 0 ? status : tpo_thought_begun(e->thought, tmpl, &e->begun, err);
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
  if (status == 0) status = read_layout(e, tmpl, err);
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
  cache_release_prefix(e, g);
  for (int r = 0; r < TPO_REACHES; r++) free(g->held[r].blocks);
  free(g);
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
  cache_drop(e);
  passes_destroy(e);
  free(e->sequences);
  free(e->running);
  tpo_ids_free(&e->end_ids);
  tpo_ids_free(&e->marker_ids);
  tpo_ids_free(&e->spoken_ids);
  tpo_buf_free(&e->begun);
  tpo_buf_free(&e->ended_text);
  free(e);
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

/* As the trainer has it, which knows of no request's own budget: one of few tokens is rotated as all are. */
static int longest_of(const struct tpo_engine *e, const struct tpo_request *request)
{
  int64_t output = request->max_tokens;
  if (e->has_marker && e->thought->force) {
    int budget = request->max_tokens > 0 ? request->max_tokens : e->sampling->max_tokens;
    int64_t forced = (int64_t)tpo_config_thought_limit(e->thought, budget) + (int64_t)e->marker_ids.n;
    if (forced > output) output = forced;
  }
  return tpo_arch_longest(tpo_model_arch(e->model), request->n_prompt, e->sampling->max_tokens,
                          request->n_prompt + output);
}

static int add_group(struct tpo_engine *e, const struct tpo_request *request, struct tpo_error *err)
{
  struct group *g = tpo_calloc(1, sizeof *g, err);
  if (!g) return TPO_E_MEMORY;
  g->request = request;
  g->prompt_key = tpo_hash64_str(request->id);
  g->prefix = request->n_prompt - 1;
  g->ready = g->prefix == 0;
  g->longest = longest_of(e, request);
  if (cache_begin_prefix(e, g, err) < 0) {
    free_group(e, g);
    return TPO_E_MEMORY;
  }
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
  if (!e->cache || (!e->groups && cache_room(e, e->waiting) == CACHE_TOO_SMALL)) {
    int status = cache_make(e, e->waiting, err);
    if (status < 0) return status;
  }
  if (cache_room(e, e->waiting) != CACHE_ROOM) return 0;
  int status = cache_fit(e, e->waiting, err);
  if (status == 0) status = add_group(e, e->waiting, err);
  if (status < 0) return status;
  e->waiting = NULL;
  return 1;
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
      if (slot == e->slots || !cache_has_room_for_sample(e, g)) return 0;
      struct sequence *s = &e->sequences[slot];
      cache_begin_sample(e, s, g);
      int status = sequence_start(e, s, g, g->request->k_first + g->started, err);
      add_running(e, slot);
      if (++g->started == g->request->k_count) cache_release_prefix(e, g);
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
  cache_end_sample(e, s);
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
    cache_end_sample(e, s);
    s->group = NULL;
  }
  e->n_running = 0;
  while (e->groups) remove_group(e, e->groups);
  e->waiting = NULL;
}

/* Slots that stand empty for good: what is left to do leaves room beside it. */
static bool has_room(const struct tpo_engine *e)
{
  if (!e->exhausted || e->waiting || free_slots(e) == 0) return false;
  for (const struct group *g = e->groups; g; g = g->next)
    if (g->started < g->request->k_count) return false;
  return true;
}

/* A pass that is under way keeps its results in memory of the engine's own, and the backend has what comes now after
 * it; recordings that what is computed makes unusable are forgotten there. */
static int work_between(const struct tpo_engine *e, const struct tpo_engine_client *client,
                        struct tpo_error *err)
{
  int status = client->between && has_room(e) ? client->between(client->arg, err) : 0;
  return status < 0 ? status : 0;
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
    if ((status = work_between(e, client, err)) < 0) break;
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
