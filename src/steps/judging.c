/* Judging over ranks: rank 0 shares its samples, prompts are jobs of a shared queue that ranks take batches
 * from, scores are gathered. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/memory.h"
#include "judge/scales.h"
#include "steps/counts.h"
#include "steps/failures.h"
#include "steps/judge_watch.h"
#include "steps/judged.h"
#include "steps/judging.h"
#include "steps/scoring.h"
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

enum {
  SHARES = 4, /* batches that each rank could still take, of the size of the next one */
  LOST = 30   /* seconds of work, about, that are done again after a kill */
};

struct judging {
  const struct tpo_session *session;
  struct judged_prompts prompts;
  struct judged judged;
  size_t *todo;  /* [n_todo] prompts that are not judged yet */
  size_t *taken; /* [SCORING_MOST] those of the batch */
  size_t n_todo, ranks;
  size_t n_kept;     /* pieces of what this rank scored that are in the journal */
  size_t n_mine;     /* prompts of them */
  double deadline;   /* seconds, run.deadline */
  bool keeps_itself; /* the judge keeps its answers */
  struct scoring *scoring;
  struct tpo_comm_queue *queue;
  struct judge_watch watch;
};

/* What is to be judged, and how. */
struct judge_call {
  const struct tpo_session *session;
  struct tpo_samples *samples; /* rank 0's */
  bool couples;
  const struct tpo_score_options *options; /* may be NULL */
  struct scoring *ahead;                   /* what this rank scored before; NULL on all: nothing */
  const char *work;                        /* with it */
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

/* The prompt that a row is of. */
static size_t prompt_of(const struct judged_prompts *prompts, size_t row)
{
  size_t low = 0, high = prompts->n;
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (prompts->firsts[middle] <= row)
      low = middle;
    else
      high = middle;
  }
  return low;
}

static int list_todo(struct judging *j, struct tpo_error *err)
{
  j->todo = tpo_calloc(j->prompts.n, sizeof *j->todo, err);
  j->taken = tpo_calloc(SCORING_MOST, sizeof *j->taken, err);
  if (!j->todo || !j->taken) return TPO_E_MEMORY;
  for (size_t p = 0; p < j->prompts.n; p++)
    if (!j->judged.done[p]) j->todo[j->n_todo++] = p;
  return 0;
}

/* Prompts of the next batch, of those that are left: at first few, since a judge that fails on all of them is to be
 * stopped before much is spent; then many, for a judge that computes much at once, and ever fewer, so that the ranks
 * end together. Whoever is done, or failed, waits for the batches of the others, at most run.deadline: so none should
 * take more than a small part of it, by the pace of the rank's batch before. A judge that gets much slower, or takes
 * longer than that for one prompt, can still pass the deadline. What a kill costs is the batch, unless the
 * judge keeps its answers: so a slow judge's have few prompts, but enough to keep it busy. */
static size_t batch_size(const struct judging *j, size_t left)
{
  double pace = j->scoring->pace;
  size_t least = scoring_least(j->scoring), n = j->ranks > 1 ? left / (SHARES * j->ranks) : SCORING_MOST;
  size_t trusted = j->scoring->trusted;
  if (j->ranks == 1 && j->keeps_itself) return trusted;
  if (!j->keeps_itself && (double)n * pace > LOST) n = (size_t)(LOST / pace);
  if (n < least || pace < 0) n = least;
  if (j->ranks > 1 && (double)n * pace * SCORING_OF_DEADLINE > j->deadline)
    n = (size_t)(j->deadline / SCORING_OF_DEADLINE / pace);
  return n < 1 ? 1 : n > trusted ? trusted : n;
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

/* What this rank scored, up to piece `end`, into the journal. */
static int keep(struct judging *j, size_t end, struct tpo_error *err)
{
  int status = 0;
  const struct scoring *s = j->scoring;
  for (; j->n_kept < end && status == 0; j->n_kept += status == 0) {
    const struct scoring_piece *p = &s->pieces[j->n_kept];
    status = judged_append(&j->judged, p->row, s->results.data + p->results, p->results_end - p->results,
                           s->counts.data + p->counts, p->counts_end - p->counts, err);
    if (status == 0) j->n_mine += p->n_prompts;
  }
  return status;
}

/* The batch's n prompts. */
static int score_batch(struct judging *j, size_t n, struct tpo_error *err)
{
  const struct judged_prompts *prompts = &j->prompts;
  scoring_clear(j->scoring);
  for (size_t i = 0; i < n; i++) {
    const size_t *first = &prompts->firsts[j->taken[i]];
    scoring_add(j->scoring, &prompts->samples->rows[first[0]], first[1] - first[0], first[0]);
  }
  int status = scoring_run(j->scoring, err);
  return status < 0 ? status : keep(j, scoring_sure(j->scoring), err);
}

/* Batches until there are none. After a failure the others find none left. */
static int score_batches(struct judging *j, struct tpo_error *err)
{
  int64_t job;
  size_t n;
  int status = scoring_opened(j->scoring, err);
  if (status == 0) status = keep(j, scoring_sure(j->scoring), err);
  while (status == 0 && (status = take_batch(j, &n, err)) == 0 && n > 0) status = score_batch(j, n, err);
  while (status < 0 && tpo_comm_queue_next(j->queue, &job, NULL) == 1) continue;
  return status;
}

/* A judge that scored before goes on. */
static int score_jobs(struct judging *j, struct tpo_error *err)
{
  int status = j->scoring->judge ? 0 : scoring_open(j->scoring, j->session, j->judged.work, err);
  j->scoring->watch = (struct tpo_watch){judge_watch_tell, &j->watch};
  status = tpo_comm_agree(j->session->comm, status, err);
  return status < 0 ? status : score_batches(j, err);
}

/* What this rank came to score. No judge is opened where all is judged already. */
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
  if (status < 0) return status;
  if (j->n_todo == 0 && j->prompts.n > 0)
    return tpo_comm_agree(comm, keep(j, j->scoring->n_pieces, err), err);
  status = tpo_comm_queue_create(comm, &j->queue, (int64_t)j->n_todo, err);
  if (status < 0) return status;
  j->watch.queue = j->queue;
  status = tpo_comm_agree(comm, score_jobs(j, err), err);
  if (status == 0) status = tpo_comm_agree(comm, keep(j, j->scoring->n_pieces, err), err);
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
  const struct tpo_buf *own = &j->scoring->results, *lines_here = &j->scoring->counts;
  int status = tpo_comm_gather_bytes(comm, own->data, own->len, &scores, &n_scores, err);
  if (status == 0)
    status = tpo_comm_gather_bytes(comm, lines_here->data, lines_here->len, &counts, &n_counts, err);
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
  free((double *)j->prompts.done);
}

/* What is kept after a failure. Failures of the judge alone are nothing: whoever goes on has them judged again.
 * The journal stays where the judge has answers of its own, which it tells from others' by the journal's name for the work. */
static int tell_kept(struct judging *j, bool opened, int status, struct tpo_error *err)
{
  size_t scored = j->scoring->n_scored + judged_count_scored(&j->judged);
  double kept = scored > 0 ? (double)j->n_mine : 0;
  if (scored > 0 && tpo_comm_rank(j->session->comm) == 0) kept += (double)j->judged.n_done;
  status = kept_tell(j->judged.kept, status, kept, (double)j->prompts.n, "prompts' judgements", err);
  if (opened && status < 0)
    kept_drop_empty(j->judged.kept, status, (double)scored + scoring_has_answers(j->scoring));
  return status;
}

/* Which prompts the ranks have scored already, for all of them. */
static int share_done(struct judging *j, struct tpo_error *err)
{
  struct judgement one;
  const struct tpo_buf *results = &j->scoring->results;
  double *done = tpo_calloc(j->prompts.n, sizeof *done, err);
  int status = tpo_comm_agree(j->session->comm, done ? 0 : TPO_E_MEMORY, err);
  j->prompts.done = done;
  if (status < 0) return status;
  for (size_t at = 0, p; judgement_unpack(&one, results->data, results->len, &at); done[p] = 1)
    p = prompt_of(&j->prompts, one.row);
  return tpo_comm_allreduce_max_f64(j->session->comm, done, j->prompts.n, err);
}

/* What was scored ahead of the others, if anything was. */
static int begin_scoring(struct judging *j, struct scoring *ahead, struct scoring *own, struct tpo_error *err)
{
  j->scoring = ahead ? ahead : own;
  if (ahead) return share_done(j, err);
  int status = scoring_begin(own, &j->session->config->judge, j->prompts.n, j->prompts.samples->n, err);
  return tpo_comm_agree(j->session->comm, status, err);
}

/* samples: rank 0's; copy: what the others have of them. */
static int judge_shared(const struct judge_call *call, const struct tpo_samples *copy, size_t *failures,
                        struct tpo_error *err)
{
  const struct tpo_session *session = call->session;
  struct scoring own = {0};
  struct judging j = {
      .session = session,
      .prompts = {.samples = tpo_comm_rank(session->comm) == 0 ? call->samples : copy, .work = call->work},
      .ranks = (size_t)tpo_comm_size(session->comm),
      .deadline = session->config->run.deadline,
      .keeps_itself = tpo_judge_keeps_answers(&session->config->judge)};
  int status = tpo_comm_agree(session->comm, list_prompts(&j.prompts, call->couples, err), err);
  if (status == 0) status = begin_scoring(&j, call->ahead, &own, err);
  if (status == 0)
    status = judged_open(&j.judged, session, &j.prompts, call->couples ? "comparisons" : "judgements",
                         call->options, err);
  bool opened = status == 0;
  if (status == 0) status = score_share(&j, err);
  if (status == 0) status = gather_scores(&j, call->samples, failures, err);
  status = tpo_comm_agree(session->comm, status, err);
  if (j.judged.kept) status = tell_kept(&j, opened, status, err);
  free_judging(&j);
  scoring_free(&own);
  if (status < 0) tpo_model_shelf_clear(session->judge_models);
  return status;
}

static int judge_all(const struct judge_call *call, size_t *failures, struct tpo_error *err)
{
  struct tpo_samples copy = {0};
  *failures = 0;
  int status = share_samples(call->session, call->samples, &copy, err);
  if (status == 0) status = judge_shared(call, &copy, failures, err);
  tpo_samples_free(&copy);
  return status;
}

int tpo_score_samples(const struct tpo_session *session, struct tpo_samples *samples,
                      const struct tpo_score_options *options, size_t *failures, struct tpo_error *err)
{
  const struct judge_call call = {.session = session, .samples = samples, .options = options};
  return judge_all(&call, failures, err);
}

int score_rest(const struct tpo_session *session, struct tpo_samples *samples,
               const struct tpo_score_options *options, struct scoring *ahead, const char *work,
               size_t *failures, struct tpo_error *err)
{
  const struct judge_call call = {
      .session = session, .samples = samples, .options = options, .ahead = ahead, .work = work};
  return judge_all(&call, failures, err);
}

int score_couples(const struct tpo_session *session, struct tpo_samples *couples,
                  const struct tpo_score_options *options, size_t *failures, struct tpo_error *err)
{
  const struct judge_call call = {
      .session = session, .samples = couples, .couples = true, .options = options};
  return judge_all(&call, failures, err);
}
