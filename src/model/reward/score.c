/* Scoring: the texts go through the transformer in passes of up to batch_tokens tokens, one after another.
 * The first blocks of the KV cache that a text has are those of the text before it, as far as both begin
 * alike; being whole blocks, they need no copies, and may even be computed in the same pass: in each layer
 * all keys and values are written before any row attends. Layers of a window keep whole texts, too: they have
 * the blocks of the same numbers. */
#include "base/interrupt.h"
#include "model/reward/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { MOST_SEQUENCES = 256 }; /* in one pass */

/* A hidden state that is wanted. */
struct wanted {
  size_t text;
  bool gate;
};

struct run {
  struct tpo_reward *reward;
  const struct reward_plan *plan;
  struct tpo_reward_result *results;
  int rows, slots, most_wanted; /* of a pass at most */

  int32_t *table;       /* [slots, width] */
  int *n_used;          /* [slots] blocks in each row of the table */
  int32_t *longest;     /* [slots] tokens of each row's text */
  int *free_slots;      /* [n_free_slots] */
  int *finished;        /* [n_finished] slots to be freed after the pass */
  int32_t *free_blocks; /* [n_free_blocks] */
  int *users;           /* [blocks of the cache] slots that have a block, and one more while it is held */
  int32_t *held;        /* [n_held] blocks of the text before that the next one has too */
  int n_free_slots, n_finished, n_free_blocks, n_held;

  size_t next;     /* the text to be begun next */
  bool open;       /* a text is being put into passes: */
  size_t text;     /* which, */
  int at, current; /* its next position, and its slot */

  struct tpo_pass pass;
  int32_t *ids, *seq, *pos, *wanted_rows; /* the pass being built */
  struct wanted *wanted;                  /* [most_wanted] */
  float *hidden;                          /* [most_wanted, hidden] */
};

static int blocks_for(int tokens)
{
  return (tokens + REWARD_BLOCK - 1) / REWARD_BLOCK;
}

static int smaller(int a, int b)
{
  return a < b ? a : b;
}

static int larger(int a, int b)
{
  return a > b ? a : b;
}

/* No more than the texts can use. */
static void set_sizes(struct run *r)
{
  int64_t tokens = 0;
  for (size_t i = 0; i < r->plan->n_texts; i++) tokens += r->plan->texts[i].n;
  r->rows = tokens < r->reward->batch_tokens ? (int)tokens : r->reward->batch_tokens;
  r->slots = smaller(r->rows, MOST_SEQUENCES); /* each has a row, and is freed after its last one's pass */
  r->most_wanted = smaller(r->rows, 2 * r->slots) + 1;
}

/* How many blocks of `bytes` the cache gets: enough for the longest text, and
 * as a rule for a pass's worth of others beside it. */
static int plan_blocks(const struct run *r, const struct tpo_pass_limits *limits, int *n,
                       struct tpo_error *err)
{
  const struct tpo_reward *reward = r->reward;
  const struct tpo_model *model = reward->model;
  size_t pass = tpo_pass_bytes(model, limits), bytes = 0;
  for (int reach = 0; reach < TPO_REACHES; reach++) bytes += tpo_kv_block_bytes(model, reach, REWARD_BLOCK);
  size_t limit = reward->kv_bytes ? reward->kv_bytes
                                  : tpo_kv_cache_limit(model, model->ops->memory_available(model->be), pass);
  size_t most = limit / bytes;
  int64_t blocks = 2 * ((int64_t)limits->max_blocks + limits->seqs) + blocks_for(limits->rows);
  int least = blocks_for(r->plan->longest);
  if ((uint64_t)blocks > most) blocks = (int64_t)most;
  if (blocks < least)
    return tpo_fail(
        err, TPO_E_MEMORY,
        "the reward model needs %zu MiB of KV cache for its longest text, of %d tokens, "
        "and %zu MiB for passes of %d tokens; that much memory is not free (lower judge.batch_tokens)",
        (size_t)least * bytes >> 20, r->plan->longest, pass >> 20, limits->rows);
  *n = blocks < INT32_MAX ? (int)blocks : INT32_MAX - 1;
  return 0;
}

void reward_rest(struct tpo_reward *reward)
{
  tpo_kv_cache_destroy(reward->cache);
  reward->cache = NULL;
  reward->n_blocks = reward->width = reward->rows = 0;
}

/* Makes the cache, or a larger one. */
static int need_cache(struct run *r, struct tpo_error *err)
{
  struct tpo_reward *reward = r->reward;
  int rounded = (r->plan->longest + 511) / 512 * 512, n = 0;
  int width = larger(reward->width, blocks_for(smaller(rounded, reward->model->arch.context)));
  int rows = larger(reward->rows, r->rows);
  if (reward->cache && width == reward->width && rows == reward->rows &&
      blocks_for(r->plan->longest) <= reward->n_blocks)
    return 0;
  reward_rest(reward);
  struct tpo_pass_limits limits = {
      .rows = rows, .seqs = r->slots, .max_blocks = width, .logits = r->most_wanted};
  int status = plan_blocks(r, &limits, &n, err);
  if (status < 0) return status;
  status = tpo_kv_cache_create(&reward->cache, reward->model, (int[TPO_REACHES]){n, n}, REWARD_BLOCK, err);
  if (status == 0) status = tpo_kv_cache_reserve(reward->cache, &limits, err);
  if (status < 0) {
    reward_rest(reward);
    tpo_fail_prefix(err, "no room for the reward model's KV cache and passes (lower judge.batch_tokens)");
    return status;
  }
  reward->n_blocks = n;
  reward->width = width;
  reward->rows = rows;
  return 0;
}

static int allocate(struct run *r, struct tpo_error *err)
{
  size_t rows = (size_t)r->rows, slots = (size_t)r->slots, wanted = (size_t)r->most_wanted;
  size_t blocks = (size_t)r->reward->n_blocks;
  r->table = tpo_calloc(slots * (size_t)r->reward->width, sizeof *r->table, err);
  r->n_used = tpo_calloc(slots, sizeof *r->n_used, err);
  r->longest = tpo_calloc(slots, sizeof *r->longest, err);
  r->free_slots = tpo_calloc(slots, sizeof *r->free_slots, err);
  r->finished = tpo_calloc(slots, sizeof *r->finished, err);
  r->free_blocks = tpo_calloc(blocks, sizeof *r->free_blocks, err);
  r->users = tpo_calloc(blocks, sizeof *r->users, err);
  r->held = tpo_calloc((size_t)r->reward->width, sizeof *r->held, err);
  r->ids = tpo_calloc(rows, sizeof *r->ids, err);
  r->seq = tpo_calloc(rows, sizeof *r->seq, err);
  r->pos = tpo_calloc(rows, sizeof *r->pos, err);
  r->wanted_rows = tpo_calloc(wanted, sizeof *r->wanted_rows, err);
  r->wanted = tpo_calloc(wanted, sizeof *r->wanted, err);
  r->hidden = tpo_calloc(wanted * (size_t)r->reward->model->arch.hidden, sizeof *r->hidden, err);
  if (!r->table || !r->n_used || !r->longest || !r->free_slots || !r->finished || !r->free_blocks ||
      !r->users || !r->held || !r->ids || !r->seq || !r->pos || !r->wanted_rows || !r->wanted || !r->hidden)
    return TPO_E_MEMORY;
  r->n_free_slots = r->slots;
  r->n_free_blocks = r->reward->n_blocks;
  for (int i = 0; i < r->slots; i++) r->free_slots[i] = r->slots - 1 - i;
  for (int i = 0; i < r->n_free_blocks; i++) r->free_blocks[i] = r->n_free_blocks - 1 - i;
  return 0;
}

static void release(struct run *r)
{
  free(r->table);
  free(r->n_used);
  free(r->longest);
  free(r->free_slots);
  free(r->finished);
  free(r->free_blocks);
  free(r->users);
  free(r->held);
  free(r->ids);
  free(r->seq);
  free(r->pos);
  free(r->wanted_rows);
  free(r->wanted);
  free(r->hidden);
}

static int32_t *blocks_of(const struct run *r, int slot)
{
  return r->table + (size_t)slot * (size_t)r->reward->width;
}

/* Begins the next text. False: there is none, or no room for it before others end. */
static bool open_next(struct run *r)
{
  if (r->next == r->plan->n_texts) return false;
  const struct reward_text *text = &r->plan->texts[r->next];
  int n = blocks_for(text->n);
  if (r->n_free_slots == 0 || r->n_free_blocks < n - r->n_held) return false;
  r->current = r->free_slots[--r->n_free_slots];
  int32_t *blocks = blocks_of(r, r->current);
  memcpy(blocks, r->held, (size_t)r->n_held * sizeof *blocks);
  for (int i = r->n_held; i < n; i++) {
    blocks[i] = r->free_blocks[--r->n_free_blocks];
    r->users[blocks[i]] = 1;
  }
  r->n_used[r->current] = n;
  r->longest[r->current] = text->n;
  r->n_held = 0;
  r->text = r->next++;
  r->at = text->shared;
  r->open = true;
  return true;
}

/* The whole text is in passes. Its slot is free after this one; what
 * the next text has of it is held for that. */
static void close_current(struct run *r)
{
  r->open = false;
  r->finished[r->n_finished++] = r->current;
  if (r->next == r->plan->n_texts) return;
  r->n_held = r->plan->texts[r->next].shared / REWARD_BLOCK;
  memcpy(r->held, blocks_of(r, r->current), (size_t)r->n_held * sizeof *r->held);
  for (int i = 0; i < r->n_held; i++) r->users[r->held[i]]++;
}

static void want(struct run *r, size_t text, bool gate)
{
  int i = r->pass.n_logits++;
  r->wanted_rows[i] = r->pass.n;
  r->wanted[i] = (struct wanted){text, gate};
}

/* What is wanted of the row that is about to be added. */
static void want_row(struct run *r)
{
  const struct reward_text *text = &r->plan->texts[r->text];
  if (r->at == text->gate && text->owner == r->text) want(r, r->text, true);
  if (r->at == text->n - 1) want(r, r->text, false);
}

/* Rows until the pass is full. At most two states are wanted of one row. */
static void build_pass(struct run *r)
{
  r->pass.n = r->pass.n_logits = 0;
  while (r->pass.n < r->rows && (r->open || open_next(r))) {
    const struct reward_text *text = &r->plan->texts[r->text];
    for (; r->pass.n < r->rows && r->at < text->n; r->at++, r->pass.n++) {
      if (r->pass.n_logits + 2 > r->most_wanted && r->pass.n_logits > 0) return;
      want_row(r);
      r->ids[r->pass.n] = text->ids[r->at];
      r->seq[r->pass.n] = r->current;
      r->pos[r->pass.n] = r->at;
    }
    if (r->at == text->n) close_current(r);
  }
}

static void take_states(struct run *r)
{
  struct reward_head *head = &r->reward->head;
  size_t objectives = (size_t)head->settings.objectives;
  for (int i = 0; i < r->pass.n_logits; i++) {
    const struct reward_text *text = &r->plan->texts[r->wanted[i].text];
    const float *hidden = r->hidden + (size_t)i * (size_t)head->hidden;
    struct tpo_reward_result *result = &r->results[text->index];
    if (r->wanted[i].gate) {
      reward_head_gate(head, hidden, result->gating);
      r->reward->stats.gates++;
      continue;
    }
    const struct tpo_reward_result *owner = &r->results[r->plan->texts[text->owner].index];
    if (owner != result) memcpy(result->gating, owner->gating, objectives * sizeof *result->gating);
    reward_head_score(head, hidden, result);
    r->reward->stats.scored += result->ok;
    r->reward->stats.failed += !result->ok;
    r->reward->stats.tokens += result->ok ? text->n : 0;
  }
}

static void free_finished(struct run *r)
{
  for (int i = 0; i < r->n_finished; i++) {
    int slot = r->finished[i];
    const int32_t *blocks = blocks_of(r, slot);
    for (int b = 0; b < r->n_used[slot]; b++)
      if (--r->users[blocks[b]] == 0) r->free_blocks[r->n_free_blocks++] = blocks[b];
    r->free_slots[r->n_free_slots++] = slot;
  }
  r->n_finished = 0;
}

static int run_passes(struct run *r, struct tpo_error *err)
{
  struct tpo_reward *reward = r->reward;
  r->pass = (struct tpo_pass){.ids = r->ids,
                              .seq = r->seq,
                              .pos = r->pos,
                              .blocks = {r->table, r->table},
                              .longest = r->longest,
                              .n_seqs = r->slots,
                              .max_blocks = reward->width,
                              .logit_rows = r->wanted_rows};
  while (r->open || r->next < r->plan->n_texts) {
    int status = tpo_stopped("scoring", err);
    if (status < 0) return status;
    build_pass(r);
    status = tpo_model_pass_hidden(reward->model, reward->cache, &r->pass, r->hidden, err);
    if (status < 0) return status;
    reward->stats.computed += r->pass.n;
    reward->stats.passes++;
    take_states(r);
    free_finished(r);
    tpo_watch_tell(&reward->watch, (double)(r->next - r->open) / (double)r->plan->n_texts);
  }
  return 0;
}

int tpo_reward_score(struct tpo_reward *reward, const struct tpo_reward_text *texts, size_t n,
                     struct tpo_reward_result *results, struct tpo_error *err)
{
  struct reward_plan plan;
  struct run r = {.reward = reward, .plan = &plan, .results = results};
  memset(results, 0, n * sizeof *results);
  int status = reward_plan_make(&plan, reward, texts, n, results, err);
  if (status == 0) reward->stats.failed += (int64_t)(n - plan.n_texts);
  if (status == 0 && plan.n_texts > 0) {
    set_sizes(&r);
    status = need_cache(&r, err);
    if (status == 0) status = allocate(&r, err);
    if (status == 0) status = run_passes(&r, err);
    release(&r);
  }
  reward_plan_free(&plan);
  return status;
}
