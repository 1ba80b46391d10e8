/* Scoring: the texts go through the transformer in passes of up to batch_tokens tokens, one after another.
 * What a group shares is a sequence of its own, whose blocks of the KV cache the group's texts then have as
 * their first; being whole blocks, they need no copies, and may even be computed in the same pass: in each
 * layer all keys and values are written before any row attends. */
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

/* A sequence in the table of blocks. */
struct slot {
  int first_own, n_blocks; /* blocks before first_own are another slot's */
};

struct run {
  struct tpo_reward *reward;
  const struct reward_plan *plan;
  struct tpo_reward_result *results;
  int rows, slots, most_wanted; /* of a pass at most */

  int32_t *table;       /* [slots, width] */
  struct slot *slot;    /* [slots] */
  int *free_slots;      /* [n_free_slots] */
  int *finished;        /* [n_finished] slots to be freed after the pass */
  int32_t *free_blocks; /* [n_free_blocks] */
  int n_free_slots, n_finished, n_free_blocks;

  size_t group, next;   /* the group being worked on, and the next text to be begun */
  int prefix_slot;      /* what the group shares; -1: not begun, or nothing */
  bool open, prefix;    /* a sequence is being put into passes; it is what the group shares */
  size_t text;          /* whose it is; of a prefix, the group's first */
  int at, end, current; /* next position, end and slot of that sequence */

  struct tpo_step step;
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
  r->slots = r->rows < MOST_SEQUENCES ? r->rows + 2 : MOST_SEQUENCES;
  r->most_wanted = smaller(r->rows, 2 * r->slots) + 1;
}

static size_t block_bytes(const struct tpo_model *model)
{
  size_t element = model->dtype == TPO_DTYPE_FP32 ? 4 : 2;
  return 2 * element * (size_t)model->arch.layers * (size_t)model->arch.kv_heads *
         (size_t)model->arch.head_dim * REWARD_BLOCK;
}

/* Bytes that the cache may take. A GPU's memory is there for this, but for a tenth that operations work in;
 * the host's serves everything else that runs on it. */
static size_t cache_limit(const struct tpo_reward *reward, size_t step)
{
  const struct tpo_ops *ops = reward->model->ops;
  size_t available = ops->memory_available(reward->model->be);
  if (reward->kv_bytes) return reward->kv_bytes;
  if (available == 0) return (size_t)1 << 30; /* not known */
  size_t usable = ops->asynchronous ? available / 10 * 9 : available / 2;
  return usable > step ? usable - step : 0;
}

/* How many blocks of `bytes` the cache gets: enough for the longest text, and as a rule for a pass's worth of
 * others beside it. */
static int plan_blocks(const struct run *r, const struct tpo_step_limits *limits, int *n,
                       struct tpo_error *err)
{
  const struct tpo_reward *reward = r->reward;
  size_t step = tpo_step_bytes(reward->model, limits), bytes = block_bytes(reward->model);
  size_t most = cache_limit(reward, step) / bytes;
  int64_t blocks = 2 * ((int64_t)limits->max_blocks + limits->seqs) + blocks_for(limits->rows);
  int least = blocks_for(r->plan->longest);
  if ((uint64_t)blocks > most) blocks = (int64_t)most;
  if (blocks < least)
    return tpo_fail(
        err, TPO_E_MEMORY,
        "the reward model needs %zu MiB of KV cache for its longest text, of %d tokens, and %zu MiB "
        "for passes of %d tokens; that much memory is not free (lower judge.batch_tokens)",
        (size_t)least * bytes >> 20, r->plan->longest, step >> 20, limits->rows);
  *n = blocks < INT32_MAX ? (int)blocks : INT32_MAX - 1;
  return 0;
}

static void drop_cache(struct tpo_reward *reward)
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
  drop_cache(reward);
  struct tpo_step_limits limits = {
      .rows = rows, .seqs = r->slots, .max_blocks = width, .logits = r->most_wanted};
  int status = plan_blocks(r, &limits, &n, err);
  if (status < 0) return status;
  status = tpo_kv_cache_create(&reward->cache, reward->model, n, REWARD_BLOCK, err);
  if (status == 0) status = tpo_kv_cache_reserve(reward->cache, &limits, err);
  if (status < 0) {
    drop_cache(reward);
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
  r->slot = tpo_calloc(slots, sizeof *r->slot, err);
  r->free_slots = tpo_calloc(slots, sizeof *r->free_slots, err);
  r->finished = tpo_calloc(slots, sizeof *r->finished, err);
  r->free_blocks = tpo_calloc(blocks, sizeof *r->free_blocks, err);
  r->ids = tpo_calloc(rows, sizeof *r->ids, err);
  r->seq = tpo_calloc(rows, sizeof *r->seq, err);
  r->pos = tpo_calloc(rows, sizeof *r->pos, err);
  r->wanted_rows = tpo_calloc(wanted, sizeof *r->wanted_rows, err);
  r->wanted = tpo_calloc(wanted, sizeof *r->wanted, err);
  r->hidden = tpo_calloc(wanted * (size_t)r->reward->model->arch.hidden, sizeof *r->hidden, err);
  if (!r->table || !r->slot || !r->free_slots || !r->finished || !r->free_blocks || !r->ids || !r->seq ||
      !r->pos || !r->wanted_rows || !r->wanted || !r->hidden)
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
  free(r->slot);
  free(r->free_slots);
  free(r->finished);
  free(r->free_blocks);
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

/* A slot for positions up to `end`, of which the prefix's blocks are there. False: there is no room now. */
static bool take_slot(struct run *r, int end)
{
  int before = r->prefix_slot >= 0 ? r->slot[r->prefix_slot].n_blocks : 0, n = blocks_for(end);
  if (r->n_free_slots == 0 || r->n_free_blocks < n - before) return false;
  r->current = r->free_slots[--r->n_free_slots];
  int32_t *blocks = blocks_of(r, r->current);
  if (before) memcpy(blocks, blocks_of(r, r->prefix_slot), (size_t)before * sizeof *blocks);
  for (int i = before; i < n; i++) blocks[i] = r->free_blocks[--r->n_free_blocks];
  r->slot[r->current] = (struct slot){before, n};
  return true;
}

/* Begins the next sequence. False: there is none, or no room for it before others end. */
static bool open_next(struct run *r)
{
  if (r->group == r->plan->n_groups) return false;
  const struct reward_group *group = &r->plan->groups[r->group];
  r->prefix = group->shared > 0 && r->prefix_slot < 0;
  r->text = r->prefix ? group->first : r->next;
  int end = r->prefix ? group->shared : r->plan->texts[r->text].n;
  if (!take_slot(r, end)) return false;
  r->at = r->prefix ? 0 : group->shared;
  r->end = end;
  r->open = true;
  return true;
}

/* The whole sequence is in passes. Its slot is free after this one; that of a prefix, after the last text of
 * the group. */
static void close_current(struct run *r)
{
  const struct reward_group *group = &r->plan->groups[r->group];
  r->open = false;
  if (r->prefix) {
    r->prefix_slot = r->current;
    return;
  }
  r->finished[r->n_finished++] = r->current;
  if (++r->next < group->first + group->n) return;
  if (r->prefix_slot >= 0) r->finished[r->n_finished++] = r->prefix_slot;
  r->prefix_slot = -1;
  r->group++;
}

static void want(struct run *r, size_t text, bool gate)
{
  int i = r->step.n_logits++;
  r->wanted_rows[i] = r->step.n;
  r->wanted[i] = (struct wanted){text, gate};
}

/* What is wanted of the row that is about to be added: the gate's state once for all texts that have it. */
static void want_row(struct run *r)
{
  const struct reward_group *group = &r->plan->groups[r->group];
  size_t begin = r->prefix ? group->first : r->text, end = r->prefix ? group->first + group->n : begin + 1;
  for (size_t i = begin; i < end; i++)
    if (r->plan->texts[i].gate == r->at && r->plan->texts[i].owner == i) want(r, i, true);
  if (!r->prefix && r->at == r->end - 1) want(r, r->text, false);
}

/* Rows until the pass is full. At most two states are wanted of one row. */
static void build_pass(struct run *r)
{
  r->step.n = r->step.n_logits = 0;
  while (r->step.n < r->rows && (r->open || open_next(r))) {
    for (; r->step.n < r->rows && r->at < r->end; r->at++, r->step.n++) {
      if (r->step.n_logits + 2 > r->most_wanted && r->step.n_logits > 0) return;
      want_row(r);
      r->ids[r->step.n] = r->plan->texts[r->text].ids[r->at];
      r->seq[r->step.n] = r->current;
      r->pos[r->step.n] = r->at;
    }
    if (r->at == r->end) close_current(r);
  }
}

static void take_states(struct run *r)
{
  struct reward_head *head = &r->reward->head;
  size_t objectives = (size_t)head->settings.objectives;
  for (int i = 0; i < r->step.n_logits; i++) {
    const struct reward_text *text = &r->plan->texts[r->wanted[i].text];
    const float *hidden = r->hidden + (size_t)i * (size_t)head->hidden;
    struct tpo_reward_result *result = &r->results[text->index];
    if (r->wanted[i].gate) {
      reward_head_gate(head, hidden, result->gating);
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
    for (int b = r->slot[slot].first_own; b < r->slot[slot].n_blocks; b++)
      r->free_blocks[r->n_free_blocks++] = blocks[b];
    r->free_slots[r->n_free_slots++] = slot;
  }
  r->n_finished = 0;
}

static int run_passes(struct run *r, struct tpo_error *err)
{
  struct tpo_reward *reward = r->reward;
  r->prefix_slot = -1;
  r->step = (struct tpo_step){.ids = r->ids,
                              .seq = r->seq,
                              .pos = r->pos,
                              .blocks = r->table,
                              .n_seqs = r->slots,
                              .max_blocks = reward->width,
                              .logit_rows = r->wanted_rows};
  while (r->open || r->group < r->plan->n_groups) {
    if (tpo_interrupted())
      return tpo_fail(err, TPO_E_INTERRUPTED, "stopped by signal %d while scoring", tpo_interrupted());
    build_pass(r);
    int status = tpo_model_step_hidden(reward->model, reward->cache, &r->step, r->hidden, err);
    if (status < 0) return status;
    reward->stats.computed += r->step.n;
    reward->stats.passes++;
    take_states(r);
    free_finished(r);
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
