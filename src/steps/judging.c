/* Judging over ranks: rank 0 shares its samples, prompts are jobs of a shared queue that ranks take batches
 * from, scores are gathered. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "judge/scales.h"
#include "steps/counts.h"
#include "steps/failures.h"
#include "steps/judge_item.h"
#include "steps/judge_watch.h"
#include "steps/judged.h"
#include "steps/judging.h"
#include "tpo/judge.h"

/* Of a sample, what the other ranks' work needs: not its tokens, and not its thought, which no judge sees. */
static struct tpo_sample_row judged_part(const struct tpo_sample_row *row)
{
  return (struct tpo_sample_row){.prompt_id = row->prompt_id,
                                 .k = row->k,
                                 .instruction = row->instruction,
                                 .meta = row->meta,
                                 .response = row->response,
                                 .format_ok = row->format_ok};
}

static int share_samples(const struct tpo_session *session, struct tpo_samples *samples,
                         struct tpo_samples *copy, struct tpo_error *err)
{
  struct tpo_buf packed = {0};
  int status = 0, rank = tpo_comm_rank(session->comm);
  if (tpo_comm_size(session->comm) == 1) return 0;
  for (size_t i = 0; rank == 0 && i < samples->n && status == 0; i++) {
    struct tpo_sample_row part = judged_part(&samples->rows[i]);
    status = tpo_sample_pack(&part, &packed, err);
  }
  if (packed.failed) status = tpo_fail(err, TPO_E_MEMORY, "no memory to send samples");
  status = tpo_comm_agree(session->comm, status, err);
  void *bytes = packed.data;
  size_t len = packed.len;
  if (status == 0) status = tpo_comm_bcast_bytes(session->comm, &bytes, &len, 0, err);
  if (status == 0 && rank != 0) status = tpo_samples_unpack(copy, bytes, len, err);
  free(bytes);
  return tpo_comm_agree(session->comm, status, err);
}

/* Prompts as the judge gets them, and where its results go. */
struct batch {
  struct tpo_judge_item *items;     /* [n_items] */
  const char **responses;           /* [n_responses] */
  size_t *rows;                     /* [n_responses] the sample that each response is of */
  struct tpo_judge_result *results; /* [n_responses] */
  int n_items;
  size_t n_responses;
};

static int allocate_batch(struct batch *batch, size_t n_samples, struct tpo_error *err)
{
  batch->items = tpo_calloc(n_samples, sizeof *batch->items, err);
  batch->responses = tpo_calloc(n_samples, sizeof *batch->responses, err);
  batch->rows = tpo_calloc(n_samples, sizeof *batch->rows, err);
  batch->results = tpo_calloc(n_samples, sizeof *batch->results, err);
  return batch->items && batch->responses && batch->rows && batch->results ? 0 : TPO_E_MEMORY;
}

static void free_batch(struct batch *batch)
{
  free(batch->items);
  free(batch->responses);
  free(batch->rows);
  free(batch->results);
}

static void add_prompt(struct batch *batch, const struct tpo_samples *samples, size_t first, size_t end)
{
  struct tpo_judge_item *item = &batch->items[batch->n_items++];
  *item = judge_item_of_sample(&samples->rows[first]);
  item->n_responses = (int)(end - first);
  item->responses = batch->responses + batch->n_responses;
  for (size_t i = first; i < end; i++) {
    batch->responses[batch->n_responses] = samples->rows[i].format_ok ? samples->rows[i].response : NULL;
    batch->rows[batch->n_responses++] = i;
  }
}

static const char *judge_cache_dir(const struct tpo_session *session, char out[4096])
{
  const char *given = session->config->judge.cache;
  if (given && *given) return given;
  if (!session->judge_dir || tpo_path_join(out, 4096, session->judge_dir, "judge-cache", NULL) < 0)
    return NULL;
  return out;
}

enum {
  MOST = 256,       /* prompts of a batch */
  LEAST = 16,       /* responses of one: fewer leave idle what a judge does at once */
  SHARES = 4,       /* batches that each rank could still take, of the size of the next one */
  OF_DEADLINE = 10, /* a batch takes a tenth of run.deadline */
  LOST = 30         /* seconds of work, about, that are done again after a kill */
};

/* Of what this rank came to, some batches one behind the other: where they begin in results and counts. */
struct piece {
  size_t row, n_prompts; /* the first row; 0 prompts: there are none */
  size_t results, counts;
};

struct judging {
  const struct tpo_session *session;
  struct judged_prompts prompts;
  struct judged judged;
  size_t *todo;  /* [n_todo] prompts that are not judged yet */
  size_t *taken; /* [MOST] those of the batch */
  size_t n_todo, ranks;
  size_t n_mine;     /* prompts that this rank judged */
  size_t n_scored;   /* responses that the judge, asked by this rank, has scored */
  bool has_answers;  /* this rank's judge, which keeps them itself */
  double deadline;   /* seconds, run.deadline */
  double pace;       /* seconds that a prompt of this rank's last batch took; negative: none was scored yet */
  bool keeps_itself; /* the judge keeps its answers */
  size_t trusted;    /* prompts of a batch, at most: more each time that all judges scored something */
  struct failure_row failures;
  struct piece held; /* what is not in the journal yet */
  struct tpo_comm_queue *queue;
  struct batch batch;
  struct judge_watch watch;
  struct tpo_buf results, counts; /* of this rank; counts: lines */
};

/* couples: each two rows are a prompt's; else those of the same id are. */
static int list_prompts(struct judged_prompts *prompts, bool couples, struct tpo_error *err)
{
  const struct tpo_samples *samples = prompts->samples;
  size_t *firsts = tpo_calloc(samples->n + 1, sizeof *firsts, err);
  prompts->firsts = firsts;
  if (!firsts) return TPO_E_MEMORY;
  for (size_t first = 0; first < samples->n;) {
    firsts[prompts->n++] = first;
    first = couples ? first + 2 : tpo_samples_prompt_end(samples, first);
  }
  firsts[prompts->n] = samples->n;
  return 0;
}

static int list_todo(struct judging *j, struct tpo_error *err)
{
  j->todo = tpo_calloc(j->prompts.n, sizeof *j->todo, err);
  j->taken = tpo_calloc(MOST, sizeof *j->taken, err);
  if (!j->todo || !j->taken) return TPO_E_MEMORY;
  for (size_t p = 0; p < j->prompts.n; p++)
    if (!j->judged.done[p]) j->todo[j->n_todo++] = p;
  return 0;
}

/* Prompts with LEAST responses, about. */
static size_t least_prompts(const struct judging *j)
{
  size_t rows = j->prompts.samples->n;
  return rows > 0 ? (LEAST * j->prompts.n + rows - 1) / rows : 1;
}

/* Prompts of the next batch, of those that are left: at first few, since a judge that fails on all of them is to be
 * stopped before much is spent; then many, for a judge that computes much at once, and ever fewer, so that the ranks
 * end together. Whoever is done, or failed, waits for the batches of the others, at most run.deadline: so none should
 * take more than a small part of it, by the pace of the rank's batch before. A judge that gets much slower, or takes
 * longer than that for one prompt, can still pass the deadline. What a kill costs is the batch, unless the
 * judge keeps its answers: so a slow judge's have few prompts, but enough to keep it busy. */
static size_t batch_size(const struct judging *j, size_t left)
{
  size_t least = least_prompts(j), n = j->ranks > 1 ? left / (SHARES * j->ranks) : MOST;
  if (j->ranks == 1 && j->keeps_itself) return j->trusted;
  if (!j->keeps_itself && (double)n * j->pace > LOST) n = (size_t)(LOST / j->pace);
  if (n < least || j->pace < 0) n = least;
  if (j->ranks > 1 && (double)n * j->pace * OF_DEADLINE > j->deadline)
    n = (size_t)(j->deadline / OF_DEADLINE / j->pace);
  return n < 1 ? 1 : n > j->trusted ? j->trusted : n;
}

/* After a batch of n prompts; works: each judge that was asked scored something. */
static void trust(struct judging *j, size_t n, bool works)
{
  size_t least = least_prompts(j), more = 2 * (n > least ? n : least);
  if (!works) more = least;
  if (!works || more > j->trusted) j->trusted = more > MOST ? MOST : more;
}

/* n 0: none is left. */
static int take_batch(struct judging *j, size_t *n, struct tpo_error *err)
{
  int64_t job;
  int more = 1;
  *n = 0;
  judge_watch_next(&j->watch);
  for (size_t size = 1; *n < size && (more = tpo_comm_queue_next(j->queue, &job, err)) == 1;) {
    if (*n == 0) size = batch_size(j, j->n_todo - (size_t)job);
    j->taken[(*n)++] = j->todo[job];
    judge_watch_take(&j->watch, job);
  }
  return more < 0 ? more : 0;
}

static void pack_results(struct judging *j)
{
  struct batch *batch = &j->batch;
  for (size_t i = 0; i < batch->n_responses; i++) {
    const struct tpo_judge_result *result = &batch->results[i];
    const struct judgement judgement = {.row = batch->rows[i],
                                        .ok = result->ok,
                                        .score = result->score,
                                        .detail = result->detail,
                                        .n_detail = result->detail ? strlen(result->detail) : 0};
    judgement_pack(&j->results, &judgement);
    j->n_scored += result->ok;
    free(result->detail);
  }
}

/* What the judge counted since `before`, which moves on. */
static int add_counts(struct judging *j, const struct tpo_judge *judge, char **before, struct tpo_error *err)
{
  char *now = tpo_judge_counts(judge);
  int status = now ? counts_between(*before, now, &j->counts, err)
                   : tpo_fail(err, TPO_E_MEMORY, "no memory for the judge's counts");
  free(*before);
  *before = now;
  return status;
}

/* What is held, up to so many bytes of results and counts, into the journal. */
static int keep_held(struct judging *j, size_t results, size_t counts, struct tpo_error *err)
{
  const struct piece piece = j->held;
  j->held.n_prompts = 0;
  if (piece.n_prompts == 0) return 0;
  int status = judged_append(&j->judged, piece.row, j->results.data + piece.results, results - piece.results,
                             j->counts.data + piece.counts, counts - piece.counts, err);
  if (status == 0) j->n_mine += piece.n_prompts;
  return status;
}

/* The batch, which begins at `batch` and of which `any` has a score. What ends in failures is held until the judge
 * scores something again: were it to fail on everything from there on, whoever goes on has those judged again. */
static int keep_batch(struct judging *j, struct piece batch, bool any, struct tpo_error *err)
{
  if (j->results.failed || j->counts.failed) return tpo_fail(err, TPO_E_MEMORY, "no memory for scores");
  int status = any ? keep_held(j, batch.results, batch.counts, err) : 0;
  if (j->held.n_prompts == 0) j->held = (struct piece){batch.row, 0, batch.results, batch.counts};
  j->held.n_prompts += batch.n_prompts;
  if (status == 0 && j->failures.n == 0) status = keep_held(j, j->results.len, j->counts.len, err);
  return status;
}

/* The batch's n prompts. */
static int score_batch(struct judging *j, struct tpo_judge *judge, size_t n, char **counted,
                       struct tpo_error *err)
{
  struct failure_batch found;
  struct batch *batch = &j->batch;
  struct piece begin = {.n_prompts = n, .results = j->results.len, .counts = j->counts.len};
  batch->n_items = 0;
  batch->n_responses = 0;
  for (size_t p = 0; p < n; p++)
    add_prompt(batch, j->prompts.samples, j->prompts.firsts[j->taken[p]], j->prompts.firsts[j->taken[p] + 1]);
  int status = tpo_judge_score(judge, batch->items, batch->n_items, batch->results, err);
  if (status < 0) return status;
  status = failures_follow(&j->failures, &j->session->config->judge, batch->responses, batch->results,
                           batch->n_responses, &found, err);
  trust(j, n, found.every);
  pack_results(j);
  if (status == 0) status = add_counts(j, judge, counted, err);
  begin.row = batch->rows[0];
  return status < 0 ? status : keep_batch(j, begin, found.any, err);
}

/* Batches until there are none. After a failure the others find none left. */
static int score_batches(struct judging *j, struct tpo_judge *judge, struct tpo_error *err)
{
  int64_t job;
  size_t n;
  char *counted = tpo_judge_counts(judge);
  int status = allocate_batch(&j->batch, j->prompts.samples->n, err);
  if (counted) tpo_buf_printf(&j->counts, "%s\n", counted);
  if (status == 0 && !counted) status = tpo_fail(err, TPO_E_MEMORY, "no memory for the judge's counts");
  while (status == 0 && (status = take_batch(j, &n, err)) == 0 && n > 0) {
    double begin = tpo_seconds();
    status = tpo_stopped("judging", err);
    if (status == 0) status = score_batch(j, judge, n, &counted, err);
    j->pace = (tpo_seconds() - begin) / (double)n;
  }
  if (status < 0) {
    while (tpo_comm_queue_next(j->queue, &job, NULL) == 1) continue;
    free(counted); /* of a batch that failed too */
    counted = tpo_judge_counts(judge);
  }
  if (counted) j->has_answers = counts_tell_answers(counted);
  free(counted);
  return status;
}

struct tpo_judge_env judge_env(const struct tpo_session *session, const char *work, char cache[4096])
{
  return (struct tpo_judge_env){.backend = session->backend,
                                .deadline = session->config->run.deadline,
                                .dtype = session->config->model.dtype,
                                .seed = session->config->seed,
                                .rank = tpo_comm_rank(session->comm),
                                .size = tpo_comm_size(session->comm),
                                .cache_dir = judge_cache_dir(session, cache),
                                .work = *work ? work : NULL};
}

static int score_jobs(struct judging *j, struct tpo_error *err)
{
  char cache[4096];
  struct tpo_judge *judge = NULL;
  const struct tpo_session *session = j->session;
  struct tpo_judge_env env = judge_env(session, j->judged.work, cache);
  env.watch = (struct tpo_watch){judge_watch_tell, &j->watch};
  int status = tpo_judge_open(&judge, &session->config->judge, &env, err);
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0) status = score_batches(j, judge, err);
  tpo_judge_close(judge);
  return status;
}

/* What this rank came to score. No judge is opened where an earlier attempt judged all. */
static int score_share(struct judging *j, struct tpo_error *err)
{
  struct tpo_comm *comm = j->session->comm;
  int status = list_todo(j, err);
  const struct judge_jobs jobs = {.samples = j->prompts.samples,
                                  .firsts = j->prompts.firsts,
                                  .n_prompts = j->prompts.n,
                                  .prompts = j->todo,
                                  .n_jobs = j->n_todo};
  if (status == 0) status = judge_watch_begin(&j->watch, j->session, &jobs, err);
  status = tpo_comm_agree(comm, status, err);
  if (status < 0 || (j->n_todo == 0 && j->prompts.n > 0)) return status;
  status = tpo_comm_queue_create(comm, &j->queue, (int64_t)j->n_todo, err);
  if (status < 0) return status;
  j->watch.queue = j->queue;
  status = tpo_comm_agree(comm, score_jobs(j, err), err);
  if (status == 0) status = tpo_comm_agree(comm, keep_held(j, j->results.len, j->counts.len, err), err);
  if (status == 0) judge_watch_end(&j->watch);
  int destroyed = tpo_comm_queue_destroy(j->queue, status == 0 ? err : NULL);
  return status == 0 ? destroyed : status;
}

/* Rank 0 puts results into its rows, with their details in the samples' arena. */
static int take_scores(struct tpo_samples *samples, const char *bytes, size_t len, size_t *failures,
                       struct tpo_error *err)
{
  struct judgement one;
  for (size_t at = 0; at < len && judgement_unpack(&one, bytes, len, &at);) {
    struct tpo_sample_row *row = &samples->rows[one.row];
    struct tpo_arena arena = {samples->arena};
    char *detail = tpo_arena_memdup(&arena, one.detail, one.n_detail);
    samples->arena = arena.blocks;
    if (!detail) return tpo_fail(err, TPO_E_MEMORY, "no memory for scores");
    row->scored = one.ok;
    row->score = one.score;
    row->score_detail = one.n_detail ? detail : "{}";
    *failures += row->format_ok && !row->scored;
  }
  samples->is_scored = true;
  return 0;
}

/* Judges of one mixture have scales of their own. */
static int scale(const struct tpo_session *session, struct tpo_samples *samples, struct tpo_error *err)
{
  char path[4096];
  const struct tpo_judge_config *config = &session->config->judge;
  if (!tpo_judge_mixes(config) || !config->standardise) return 0;
  int status =
      session->judge_dir ? tpo_path_join(path, sizeof path, session->judge_dir, "judge-scales.json", err) : 0;
  return status < 0 ? status : scales_apply(samples, session->judge_dir ? path : NULL, err);
}

/* What earlier attempts found, and the ranks now. Rank 0. */
static int take_all(struct judging *j, struct tpo_samples *samples, const char *scores, size_t n_scores,
                    struct tpo_buf *lines, size_t *failures, struct tpo_error *err)
{
  const struct judged *judged = &j->judged;
  int status = take_scores(samples, judged->results.data, judged->results.len, failures, err);
  if (status == 0) status = take_scores(samples, scores, n_scores, failures, err);
  if (status < 0) return status;
  free(samples->judge_counts);
  samples->judge_counts = counts_sum(lines->data, lines->len, err);
  if (!samples->judge_counts) return TPO_E_MEMORY;
  failures_tell(samples);
  failures_tell_unread(samples);
  status = failures_check(samples, &j->session->config->judge, err);
  return status < 0 ? status : scale(j->session, samples, err);
}

/* Gathers what the ranks found and puts it into rank 0's samples. */
static int gather_scores(struct judging *j, struct tpo_samples *samples, size_t *failures,
                         struct tpo_error *err)
{
  struct tpo_comm *comm = j->session->comm;
  void *scores = NULL, *counts = NULL;
  size_t n_scores = 0, n_counts = 0;
  int status = tpo_comm_gather_bytes(comm, j->results.data, j->results.len, &scores, &n_scores, err);
  if (status == 0)
    status = tpo_comm_gather_bytes(comm, j->counts.data, j->counts.len, &counts, &n_counts, err);
  if (status == 0 && tpo_comm_rank(comm) == 0) {
    struct tpo_buf lines = {0};
    tpo_buf_append(&lines, j->judged.counts.data, j->judged.counts.len);
    tpo_buf_append(&lines, counts, n_counts);
    status = lines.failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for the judge's counts")
                          : take_all(j, samples, scores, n_scores, &lines, failures, err);
    tpo_buf_free(&lines);
  }
  free(scores);
  free(counts);
  return tpo_comm_agree(comm, status, err);
}

static void free_judging(struct judging *j)
{
  judged_close(&j->judged);
  free((size_t *)j->prompts.firsts);
  judge_watch_free(&j->watch);
  free(j->todo);
  free(j->taken);
  free_batch(&j->batch);
  failure_row_free(&j->failures);
  tpo_buf_free(&j->results);
  tpo_buf_free(&j->counts);
}

/* What is kept after a failure. Failures of the judge alone are nothing: whoever goes on has them judged again.
 * The journal stays where the judge has answers of its own, which it tells from others' by the journal's name for the work. */
static int tell_kept(struct judging *j, bool opened, int status, struct tpo_error *err)
{
  size_t scored = j->n_scored + judged_count_scored(&j->judged);
  double kept = scored > 0 ? (double)j->n_mine : 0;
  if (scored > 0 && tpo_comm_rank(j->session->comm) == 0) kept += (double)j->judged.n_done;
  status = kept_tell(j->judged.kept, status, kept, (double)j->prompts.n, "prompts' judgements", err);
  if (opened && status < 0) kept_drop_empty(j->judged.kept, status, (double)scored + j->has_answers);
  return status;
}

/* samples: rank 0's; copy: what the others have of them. */
static int judge_shared(const struct tpo_session *session, struct tpo_samples *samples,
                        const struct tpo_samples *copy, bool couples, const struct tpo_score_options *options,
                        size_t *failures, struct tpo_error *err)
{
  bool first = tpo_comm_rank(session->comm) == 0;
  struct judging j = {.session = session,
                      .prompts = {.samples = first ? samples : copy},
                      .ranks = (size_t)tpo_comm_size(session->comm),
                      .deadline = session->config->run.deadline,
                      .pace = -1,
                      .keeps_itself = tpo_judge_keeps_answers(&session->config->judge)};
  int status = tpo_comm_agree(session->comm, list_prompts(&j.prompts, couples, err), err);
  if (status == 0)
    status =
        judged_open(&j.judged, session, &j.prompts, couples ? "comparisons" : "judgements", options, err);
  bool opened = status == 0;
  j.trusted = least_prompts(&j);
  if (status == 0) status = score_share(&j, err);
  if (status == 0) status = gather_scores(&j, samples, failures, err);
  status = tpo_comm_agree(session->comm, status, err);
  if (j.judged.kept) status = tell_kept(&j, opened, status, err);
  free_judging(&j);
  return status;
}

static int judge_all(const struct tpo_session *session, struct tpo_samples *samples, bool couples,
                     const struct tpo_score_options *options, size_t *failures, struct tpo_error *err)
{
  struct tpo_samples copy = {0};
  *failures = 0;
  int status = share_samples(session, samples, &copy, err);
  if (status == 0) status = judge_shared(session, samples, &copy, couples, options, failures, err);
  tpo_samples_free(&copy);
  return status;
}

int tpo_score_samples(const struct tpo_session *session, struct tpo_samples *samples,
                      const struct tpo_score_options *options, size_t *failures, struct tpo_error *err)
{
  return judge_all(session, samples, false, options, failures, err);
}

int score_couples(const struct tpo_session *session, struct tpo_samples *couples,
                  const struct tpo_score_options *options, size_t *failures, struct tpo_error *err)
{
  return judge_all(session, couples, true, options, failures, err);
}
