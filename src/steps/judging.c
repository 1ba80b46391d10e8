/* Judging over ranks: rank 0 shares its samples, prompts are jobs of a shared queue that ranks take batches
 * from, scores are gathered. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "judge/scales.h"
#include "steps/judge_item.h"
#include "steps/judge_watch.h"
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

/* One result on the wire: row, ok, score, length of the detail, detail. */
static void pack_result(struct tpo_buf *out, uint64_t row, const struct tpo_judge_result *result)
{
  uint64_t ok = result->ok, len = result->detail ? strlen(result->detail) : 0;
  tpo_buf_append(out, &row, sizeof row);
  tpo_buf_append(out, &ok, sizeof ok);
  tpo_buf_append(out, &result->score, sizeof result->score);
  tpo_buf_append(out, &len, sizeof len);
  tpo_buf_append(out, result->detail, len);
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

/* Where a judge keeps answers: the configured folder, else one in the session's. */
static const char *cache_dir(const struct tpo_session *session, char out[4096])
{
  const char *given = session->config->judge.cache;
  if (given && *given) return given;
  if (!session->judge_dir || tpo_path_join(out, 4096, session->judge_dir, "judge-cache", NULL) < 0)
    return NULL;
  return out;
}

enum {
  MOST = 256,      /* prompts of a batch */
  LEAST = 16,      /* responses of one: fewer leave idle what a judge does at once */
  SHARES = 4,      /* batches that each rank could still take, of the size of the next one */
  OF_DEADLINE = 10 /* a batch takes a tenth of run.deadline */
};

struct judging {
  const struct tpo_samples *samples;
  bool couples;   /* each two rows are a prompt's; else those of the same id are */
  size_t *firsts; /* [n_prompts + 1] the row that each begins at; last: samples->n */
  size_t *taken;  /* [MOST] those of the batch */
  size_t n_prompts, ranks;
  double deadline; /* seconds, run.deadline */
  double pace;     /* seconds that a prompt of this rank's last batch took; negative: none was scored yet */
  struct tpo_comm_queue *queue;
  struct batch batch;
  struct judge_watch watch;
};

static int list_prompts(struct judging *j, struct tpo_error *err)
{
  const struct tpo_samples *samples = j->samples;
  j->firsts = tpo_calloc(samples->n + 1, sizeof *j->firsts, err);
  j->taken = tpo_calloc(MOST, sizeof *j->taken, err);
  if (!j->firsts || !j->taken) return TPO_E_MEMORY;
  for (size_t first = 0; first < samples->n;) {
    j->firsts[j->n_prompts++] = first;
    first = j->couples ? first + 2 : tpo_samples_prompt_end(samples, first);
  }
  j->firsts[j->n_prompts] = samples->n;
  return 0;
}

/* Prompts of the next batch, of those that are left: at first many, for a judge that computes much at once,
 * and ever fewer, so that the ranks end together. Whoever is done, or failed, waits for the batches of the
 * others, at most run.deadline: so none should take more than a small part of it, by the pace of the rank's
 * batch before. The first one, whose pace is not known, is small; a judge that gets much slower, or takes
 * longer than that for one prompt, can still pass the deadline. */
static size_t batch_size(const struct judging *j, size_t left)
{
  size_t n = left / (SHARES * j->ranks), least = (LEAST * j->n_prompts + j->samples->n - 1) / j->samples->n;
  if (j->ranks == 1) return MOST;
  if (n < least || j->pace < 0) n = least;
  if ((double)n * j->pace * OF_DEADLINE > j->deadline) n = (size_t)(j->deadline / OF_DEADLINE / j->pace);
  return n < 1 ? 1 : n > MOST ? MOST : n;
}

/* n 0: none is left. */
static int take_batch(struct judging *j, size_t *n, struct tpo_error *err)
{
  int64_t job;
  int more = 1;
  *n = 0;
  judge_watch_next(&j->watch);
  for (size_t size = 1; *n < size && (more = tpo_comm_queue_next(j->queue, &job, err)) == 1;) {
    if (*n == 0) size = batch_size(j, j->n_prompts - (size_t)job);
    j->taken[(*n)++] = (size_t)job;
    judge_watch_take(&j->watch, job);
  }
  return more < 0 ? more : 0;
}

/* The batch's n prompts. */
static int score_batch(struct judging *j, struct tpo_judge *judge, size_t n, struct tpo_buf *out,
                       struct tpo_error *err)
{
  struct batch *batch = &j->batch;
  batch->n_items = 0;
  batch->n_responses = 0;
  for (size_t p = 0; p < n; p++)
    add_prompt(batch, j->samples, j->firsts[j->taken[p]], j->firsts[j->taken[p] + 1]);
  int status = tpo_judge_score(judge, batch->items, batch->n_items, batch->results, err);
  for (size_t i = 0; status == 0 && i < batch->n_responses; i++) {
    pack_result(out, batch->rows[i], &batch->results[i]);
    free(batch->results[i].detail);
  }
  return status;
}

/* Batches until there are none. After a failure the others find none left. */
static int score_batches(struct judging *j, struct tpo_judge *judge, struct tpo_buf *out,
                         struct tpo_error *err)
{
  int64_t job;
  size_t n;
  int status = allocate_batch(&j->batch, j->samples->n, err);
  while (status == 0 && (status = take_batch(j, &n, err)) == 0 && n > 0) {
    double begin = tpo_seconds();
    status = score_batch(j, judge, n, out, err);
    j->pace = (tpo_seconds() - begin) / (double)n;
  }
  if (status < 0)
    while (tpo_comm_queue_next(j->queue, &job, NULL) == 1) continue;
  return status;
}

/* Results to `out`, and the judge's counts, a line of JSON, to `counts`. */
static int score_jobs(const struct tpo_session *session, struct judging *j, struct tpo_buf *out,
                      struct tpo_buf *counts, struct tpo_error *err)
{
  char cache[4096];
  struct tpo_judge *judge = NULL;
  struct tpo_judge_env env = {.backend = session->backend,
                              .dtype = session->config->model.dtype,
                              .seed = session->config->seed,
                              .rank = tpo_comm_rank(session->comm),
                              .size = tpo_comm_size(session->comm),
                              .cache_dir = cache_dir(session, cache),
                              .watch = {judge_watch_tell, &j->watch}};
  int status = tpo_judge_open(&judge, &session->config->judge, &env, err);
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0) status = score_batches(j, judge, out, err);
  char *text = status == 0 ? tpo_judge_counts(judge) : NULL;
  if (text) tpo_buf_printf(counts, "%s\n", text);
  if (status == 0 && (!text || out->failed || counts->failed))
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for scores");
  free(text);
  tpo_judge_close(judge);
  return status;
}

/* What this rank came to score. */
static int score_share(const struct tpo_session *session, const struct tpo_samples *samples, bool couples,
                       struct tpo_buf *out, struct tpo_buf *counts, struct tpo_error *err)
{
  struct judging j = {.samples = samples,
                      .couples = couples,
                      .ranks = (size_t)tpo_comm_size(session->comm),
                      .deadline = session->config->run.deadline,
                      .pace = -1};
  int status = list_prompts(&j, err);
  struct judge_jobs jobs = {
      .samples = samples, .firsts = j.firsts, .n_prompts = j.n_prompts, .n_jobs = j.n_prompts};
  if (status == 0) status = judge_watch_begin(&j.watch, session, &jobs, err);
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0) status = tpo_comm_queue_create(session->comm, &j.queue, (int64_t)j.n_prompts, err);
  j.watch.queue = j.queue;
  if (status == 0) {
    status = tpo_comm_agree(session->comm, score_jobs(session, &j, out, counts, err), err);
    if (status == 0) judge_watch_end(&j.watch);
    int destroyed = tpo_comm_queue_destroy(j.queue, status == 0 ? err : NULL);
    if (status == 0) status = destroyed;
  }
  free(j.firsts);
  free(j.taken);
  judge_watch_free(&j.watch);
  free_batch(&j.batch);
  return status;
}

/* Rank 0 puts the gathered results into its rows, with their details in the samples' arena. */
static int take_scores(struct tpo_samples *samples, const char *bytes, size_t len, size_t *failures,
                       struct tpo_error *err)
{
  *failures = 0;
  for (size_t at = 0; at < len;) {
    uint64_t head[2], detail_len;
    double score;
    memcpy(head, bytes + at, 16);
    memcpy(&score, bytes + at + 16, 8);
    memcpy(&detail_len, bytes + at + 24, 8);
    struct tpo_sample_row *row = &samples->rows[head[0]];
    struct tpo_arena arena = {samples->arena};
    char *detail = tpo_arena_memdup(&arena, bytes + at + 32, detail_len);
    samples->arena = arena.blocks;
    if (!detail) return tpo_fail(err, TPO_E_MEMORY, "no memory for scores");
    row->scored = head[1] != 0;
    row->score = score;
    row->score_detail = detail_len ? detail : "{}";
    *failures += row->format_ok && !row->scored;
    at += 32 + detail_len;
  }
  samples->is_scored = true;
  return 0;
}

/* Numbers of the same name are added, of those that begin with "max_" the largest is taken. */
static void add_counts(json_t *sum, const json_t *counts)
{
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)counts, name, value)
  {
    const json_t *old = json_object_get(sum, name);
    bool largest = strncmp(name, "max_", 4) == 0;
    if (!old)
      json_object_set(sum, name, value);
    else if (json_is_integer(old) && json_is_integer(value) && !largest)
      json_object_set_new(sum, name, json_integer(json_integer_value(old) + json_integer_value(value)));
    else if (!largest)
      json_object_set_new(sum, name, json_real(json_number_value(old) + json_number_value(value)));
    else if (json_number_value(value) > json_number_value(old))
      json_object_set(sum, name, value);
  }
}

/* The ranks' lines of counts, one after another, to one object. */
static int take_counts(struct tpo_samples *samples, const char *lines, size_t len, struct tpo_error *err)
{
  json_t *sum = json_object();
  int status = sum ? 0 : tpo_fail(err, TPO_E_MEMORY, "no memory for the judge's counts");
  for (size_t at = 0; at < len && status == 0;) {
    const char *end = memchr(lines + at, '\n', len - at);
    size_t n = end ? (size_t)(end - (lines + at)) : len - at;
    json_t *counts = tpo_json_parse(lines + at, n, "counts of a judge", err);
    if (counts)
      add_counts(sum, counts);
    else
      status = TPO_E_INPUT;
    json_decref(counts);
    at += n + 1;
  }
  free(samples->judge_counts);
  samples->judge_counts = status == 0 ? tpo_json_dump(sum) : NULL;
  json_decref(sum);
  if (status == 0 && !samples->judge_counts)
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for the judge's counts");
  return status;
}

struct failures {
  size_t responses, of_responses; /* that have no score, of those that the judge was asked about */
  size_t prompts, of_prompts;     /* with such a response, of those with any */
  size_t first;                   /* row of the first one */
};

static void count_failures(const struct tpo_samples *samples, struct failures *f)
{
  *f = (struct failures){.first = samples->n};
  for (size_t at = 0, end; at < samples->n; at = end) {
    size_t asked = f->of_responses, failed = f->responses;
    end = tpo_samples_prompt_end(samples, at);
    for (size_t i = at; i < end; i++) {
      bool without = samples->rows[i].format_ok && !samples->rows[i].scored;
      f->of_responses += samples->rows[i].format_ok;
      f->responses += without;
      if (without && f->first == samples->n) f->first = i;
    }
    f->of_prompts += f->of_responses > asked;
    f->prompts += f->responses > failed;
  }
}

/* Too many failures are no judging: what went wrong must be seen before more is spent. What is lost are
 * prompts: one response without a score leaves no pair of its prompt. */
static int check_failures(const struct tpo_session *session, const struct tpo_samples *samples,
                          struct tpo_error *err)
{
  const struct tpo_judge_config *config = &session->config->judge;
  struct failures f;
  count_failures(samples, &f);
  if (f.prompts == 0 || (double)f.prompts <= config->max_failed * (double)f.of_prompts) return 0;
  const struct tpo_sample_row *row = &samples->rows[f.first];
  json_t *detail = tpo_json_parse(row->score_detail, strlen(row->score_detail), "detail", NULL);
  const char *why = json_string_value(json_object_get(detail, "error"));
  int status =
      tpo_fail(err, TPO_E_STATE,
               "the judge %s gave no score to some response of %zu of %zu prompts (%zu of %zu responses), "
               "more than the share of prompts that judge.max_failed allows (%g); "
               "the first, sample %d of prompt %s: %s",
               config->kind, f.prompts, f.of_prompts, f.responses, f.of_responses, config->max_failed, row->k,
               row->prompt_id, why ? why : "no reason told");
  json_decref(detail);
  return status;
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

/* Gathers what the ranks found and puts it into rank 0's samples. */
static int gather_scores(const struct tpo_session *session, struct tpo_samples *samples,
                         const struct tpo_buf *scores, const struct tpo_buf *counts, size_t *failures,
                         struct tpo_error *err)
{
  void *all = NULL, *lines = NULL;
  size_t len = 0, n_lines = 0;
  int status = tpo_comm_gather_bytes(session->comm, scores->data, scores->len, &all, &len, err);
  if (status == 0)
    status = tpo_comm_gather_bytes(session->comm, counts->data, counts->len, &lines, &n_lines, err);
  if (status == 0 && tpo_comm_rank(session->comm) == 0) {
    status = take_scores(samples, all, len, failures, err);
    if (status == 0) status = take_counts(samples, lines, n_lines, err);
    if (status == 0) status = check_failures(session, samples, err);
    if (status == 0) status = scale(session, samples, err);
  }
  free(all);
  free(lines);
  return tpo_comm_agree(session->comm, status, err);
}

static int judge_all(const struct tpo_session *session, struct tpo_samples *samples, bool couples,
                     size_t *failures, struct tpo_error *err)
{
  struct tpo_samples copy = {0};
  struct tpo_buf scores = {0}, counts = {0};
  *failures = 0;
  int status = share_samples(session, samples, &copy, err);
  if (status == 0) {
    status = score_share(session, tpo_comm_rank(session->comm) == 0 ? samples : &copy, couples, &scores,
                         &counts, err);
    status = tpo_comm_agree(session->comm, status, err);
  }
  if (status == 0) status = gather_scores(session, samples, &scores, &counts, failures, err);
  tpo_buf_free(&scores);
  tpo_buf_free(&counts);
  tpo_samples_free(&copy);
  return tpo_comm_agree(session->comm, status, err);
}

int tpo_score_samples(const struct tpo_session *session, struct tpo_samples *samples, size_t *failures,
                      struct tpo_error *err)
{
  return judge_all(session, samples, false, failures, err);
}

int score_couples(const struct tpo_session *session, struct tpo_samples *couples, size_t *failures,
                  struct tpo_error *err)
{
  return judge_all(session, couples, true, failures, err);
}
