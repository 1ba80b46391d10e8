/* Questions over the ranks: a shared queue, from which each takes some at a time. */
#include "eval/asking.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/memory.h"
#include "config/judge_kinds.h"
#include "eval/asked.h"
#include "judge/chat.h"
#include "steps/counts.h"
#include "steps/judged.h"
#include "steps/judging.h"

enum {
  MOST = 1024,      /* questions of a batch */
  SHARES = 4,       /* batches that each rank could still take, of the size of the next one */
  OF_DEADLINE = 10, /* a batch takes a tenth of run.deadline */
  LOST = 30         /* seconds of work, about, that are done again after a kill */
};

struct asking {
  const struct tpo_session *session;
  const struct eval_question *questions; /* [n] */
  const struct eval_asking *options;
  size_t n, n_kept, n_mine; /* n_kept: answered by earlier attempts, on all ranks */
  struct asked_index index;
  struct kept *kept; /* NULL: nothing is kept */
  size_t n_found; /* rank 0: entries at the beginning, attempts' names among them; 0: it could not be read */
  uint64_t attempt, n_entries;
  char work[33];              /* names this work to the judge's server */
  bool *done;                 /* [n] */
  struct ask_answer *answers; /* [n] rank 0's */
  size_t *todo;               /* [n_todo] */
  size_t n_todo;
  struct tpo_comm_queue *queue;
  struct ask_chat chat;
  bool is_open;                /* chat */
  char *counted;               /* its counts when it was asked last */
  struct tpo_buf got, counts;  /* this rank's answers; lines of counts */
  int in_a_row;                /* answers that failed, up to the last */
  double pace;                 /* seconds a question of the last batch; negative: there was none */
  size_t taken, settled, told; /* by this rank; questions that progress told */
  size_t batch;                /* of those taken, that are asked now */
};

static int no_memory(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "no memory for questions");
}

int eval_ask_check(const struct tpo_judge_config *judge, struct tpo_error *err)
{
  return judge_chat_check(judge, err);
}

void eval_answers_free(struct ask_answer *answers, size_t n)
{
  for (size_t i = 0; answers && i < n; i++) ask_answer_clear(&answers[i]);
  free(answers);
}

static bool is_first(const struct asking *a)
{
  return tpo_comm_rank(a->session->comm) == 0;
}

/* Rank 0's. */
static int open_journal(struct asking *a, struct tpo_error *err)
{
  struct tpo_buf work = {0};
  const struct eval_asking *options = a->options;
  int status = 0;
  if (is_first(a)) {
    tpo_buf_printf(&work, "what: answers\n%s", options->work ? options->work : "");
    status = judged_describe(a->session->config, &work, err);
    if (status == 0 && work.failed) status = no_memory(err);
  }
  status = tpo_comm_agree(a->session->comm, status, err);
  if (status == 0)
    status = kept_open(&a->kept, a->session->comm, options->journal, work.data ? work.data : "",
                       options->drop_other ? KEPT_ASIDE : KEPT_REFUSE, err);
  tpo_buf_free(&work);
  return status;
}

/* Rank 0's: what earlier attempts were told, into answers. */
static int read_journal(struct asking *a, struct tpo_error *err)
{
  const struct asked_into into = {&a->index, a->answers, a->done, &a->n_kept};
  int status = asked_read(a->kept, &into, &a->counts, err);
  if (status == 0) status = kept_name_attempt(a->kept, &a->attempt, a->work, err);
  if (status == 0) a->n_found = journal_size(a->kept->journal);
  if (status == 0 && a->n_kept > 0)
    tpo_log(TPO_LOG_INFO, "%s: %zu of %zu questions are answered already; going on with the others",
            a->options->journal, a->n_kept, a->n);
  return status;
}

/* A journal without any answer, to these questions or another round's, keeps nothing. */
static void drop_empty(const struct asking *a, int status)
{
  double n = (double)a->n_mine;
  if (is_first(a)) n += a->n_found == 0 ? 1 : (double)(a->n_found - a->attempt);
  kept_drop_empty(a->kept, status, n);
}

/* All ranks. */
static int take_up(struct asking *a, struct tpo_error *err)
{
  struct tpo_comm *comm = a->session->comm;
  if (!a->options->journal || a->n == 0) return 0;
  int status = open_journal(a, err);
  if (status < 0) return status;
  status = tpo_comm_agree(comm, is_first(a) ? read_journal(a, err) : 0, err);
  if (status == 0) status = tpo_comm_bcast(comm, a->done, a->n * sizeof *a->done, 0, err);
  if (status == 0) status = tpo_comm_bcast(comm, &a->attempt, sizeof a->attempt, 0, err);
  if (status == 0) status = tpo_comm_bcast(comm, a->work, sizeof a->work, 0, err);
  return status;
}

static int list_todo(struct asking *a, struct tpo_error *err)
{
  a->todo = tpo_calloc(a->n, sizeof *a->todo, err);
  if (!a->todo) return TPO_E_MEMORY;
  for (size_t i = 0; i < a->n; i++)
    if (!a->done[i]) a->todo[a->n_todo++] = i;
  return 0;
}

static void tell(const struct asking *a, size_t done)
{
  tpo_session_tell(a->session, &(struct tpo_progress){.phase = a->options->what,
                                                      .unit = "questions",
                                                      .done = (double)done,
                                                      .total = (double)a->n});
}

/* The other ranks are taken to be as far as this one with what they took; all is done only when all say so. */
static void tell_share(void *arg, double share)
{
  struct asking *a = arg;
  if (!a->session->progress || a->taken == 0) return;
  double own = ((double)a->settled + share * (double)a->batch) / (double)a->taken;
  double all = (double)tpo_comm_queue_taken(a->queue) * fmin(own, 1);
  size_t done = (size_t)fmin(all, (double)a->n_todo - 1);
  if (done > a->told) a->told = done;
  tell(a, a->n - a->n_todo + a->told);
}

/* Questions that keep the judge busy. */
static size_t least_batch(const struct asking *a)
{
  const struct tpo_judge_config *judge = &a->session->config->judge;
  int size = tpo_comm_size(a->session->comm);
  int n = tpo_judge_needs_model(judge) ? judge->slots : (judge->concurrency + size - 1) / size;
  return n > 0 ? (size_t)n : 1;
}

/* Of those that are left: at first few; then by the pace of the batch before, so that a kill costs little and no rank
 * waits long for another; ever fewer, so that the ranks end together. */
static size_t batch_size(const struct asking *a, size_t left)
{
  size_t ranks = (size_t)tpo_comm_size(a->session->comm), least = least_batch(a), n = MOST;
  double deadline = a->session->config->run.deadline;
  if (ranks > 1) n = left / (SHARES * ranks);
  if (a->pace > 0 && (double)n * a->pace > LOST) n = (size_t)(LOST / a->pace);
  if (n < least || a->pace < 0) n = least;
  if (ranks > 1 && a->pace > 0 && (double)n * a->pace * OF_DEADLINE > deadline)
    n = (size_t)(deadline / OF_DEADLINE / a->pace);
  if (n > (left + ranks - 1) / ranks) n = (left + ranks - 1) / ranks;
  return n < 1 ? 1 : n > MOST ? MOST : n;
}

/* taken [MOST] of the questions; n 0: none is left. */
static int take_batch(struct asking *a, size_t *taken, size_t *n, struct tpo_error *err)
{
  int64_t job;
  int more = 1;
  *n = 0;
  for (size_t size = 1; *n < size && (more = tpo_comm_queue_next(a->queue, &job, err)) == 1;) {
    if (*n == 0) size = batch_size(a, a->n_todo - (size_t)job);
    taken[(*n)++] = a->todo[job];
  }
  a->batch = *n;
  a->taken += *n;
  return more < 0 ? more : 0;
}

/* What the judge counted since the last time, as a line. */
static int add_counts(struct asking *a, struct tpo_error *err)
{
  json_t *counts = a->chat.counts(a->chat.state);
  char *now = counts ? tpo_json_dump(counts) : NULL;
  json_decref(counts);
  int status = now ? counts_between(a->counted, now, &a->counts, err) : no_memory(err);
  free(a->counted);
  a->counted = now;
  return status;
}

/* Answers that failed are asked for again by whoever goes on: they aren't kept. */
static int keep_batch(struct asking *a, const size_t *taken, const struct ask_answer *answers, size_t n,
                      struct tpo_error *err)
{
  struct tpo_buf kept = {0};
  size_t from = a->counts.len, good = 0;
  for (size_t i = 0; i < n; i++) {
    if (!answers[i].text) continue;
    const char *hash = a->index.own[taken[i]].hex;
    asked_pack(&a->got, hash, &answers[i]);
    if (answers[i].ok) asked_pack(&kept, hash, &answers[i]);
    good += answers[i].ok;
  }
  int status = a->got.failed ? no_memory(err) : add_counts(a, err);
  if (status == 0 && a->kept && good > 0) {
    const struct asked_entry entry = {.attempt = a->attempt,
                                      .number = a->n_entries++,
                                      .answers = &kept,
                                      .counts = a->counts.data + from,
                                      .n_counts = a->counts.len - from};
    status = asked_append(a->kept, &a->index, &entry, err);
    a->n_mine += good;
  }
  tpo_buf_free(&kept);
  return status;
}

/* An error where too many answers in a row failed. */
static int follow(struct asking *a, const struct ask_answer *answers, size_t n, struct tpo_error *err)
{
  const char *judge = a->session->config->judge.kind;
  for (size_t i = 0; i < n; i++) {
    a->in_a_row = answers[i].ok ? 0 : a->in_a_row + 1;
    if (a->in_a_row >= ASK_IN_A_ROW)
      return tpo_fail(err, TPO_E_STATE,
                      "the judge %.*s left %d questions in a row without an answer; the last: %s",
                      (int)config_judge_told(judge), judge, a->in_a_row, answers[i].text);
  }
  return 0;
}

static int check_answers(const struct ask_answer *answers, size_t n, struct tpo_error *err)
{
  for (size_t i = 0; i < n; i++)
    if (!answers[i].text) return tpo_fail(err, TPO_E_STATE, "a question to the judge was passed over");
  return 0;
}

/* What was answered is kept, whatever ended the rest. */
static int ask_batch(struct asking *a, const size_t *taken, size_t n, struct tpo_error *err)
{
  struct ask_question *questions = tpo_calloc(n, sizeof *questions, err);
  struct ask_answer *answers = tpo_calloc(n, sizeof *answers, err);
  const struct tpo_watch watch = {tell_share, a};
  struct tpo_error later = {0};
  int status = questions && answers ? 0 : TPO_E_MEMORY;
  for (size_t i = 0; i < n && status == 0; i++) questions[i] = a->questions[taken[i]].ask;
  if (status == 0) {
    status = a->chat.ask(a->chat.state, questions, n, answers, &watch, err);
    if (status == 0) status = check_answers(answers, n, err);
    int kept = keep_batch(a, taken, answers, n, &later);
    if (status == 0 && kept < 0) status = tpo_fail(err, kept, "%s", later.message);
  }
  if (status == 0) status = follow(a, answers, n, err);
  a->settled += n;
  a->batch = 0;
  eval_answers_free(answers, n);
  free(questions);
  return status;
}

/* Until there are none. After a failure the others find none left. */
static int ask_batches(struct asking *a, struct tpo_error *err)
{
  int64_t job;
  size_t n, *taken = tpo_calloc(MOST, sizeof *taken, err);
  int status = taken ? 0 : TPO_E_MEMORY;
  while (status == 0 && (status = take_batch(a, taken, &n, err)) == 0 && n > 0) {
    double begin = tpo_seconds();
    status = tpo_stopped(a->options->what, err);
    if (status == 0) status = ask_batch(a, taken, n, err);
    a->pace = (tpo_seconds() - begin) / (double)n;
  }
  if (status < 0)
    while (tpo_comm_queue_next(a->queue, &job, NULL) == 1) continue;
  free(taken);
  return status;
}

static int open_chat(struct asking *a, struct tpo_error *err)
{
  char cache[4096];
  const struct tpo_session *session = a->session;
  const struct tpo_judge_env env = judge_env(session, a->work, cache);
  int status = judge_chat_open(&a->chat, &session->config->judge, &env, err);
  a->is_open = status == 0;
  a->counted = strdup("{}");
  return status == 0 && !a->counted ? no_memory(err) : status;
}

/* No judge is opened where all is answered. */
static int ask_all(struct asking *a, struct tpo_error *err)
{
  struct tpo_comm *comm = a->session->comm;
  int status = tpo_comm_agree(comm, list_todo(a, err), err);
  if (status < 0 || a->n_todo == 0) return status;
  status = tpo_comm_agree(comm, open_chat(a, err), err);
  if (status == 0) status = tpo_comm_queue_create(comm, &a->queue, (int64_t)a->n_todo, err);
  if (status < 0) return status;
  tell(a, a->n - a->n_todo);
  status = tpo_comm_agree(comm, ask_batches(a, err), err);
  int destroyed = tpo_comm_queue_destroy(a->queue, status == 0 ? err : NULL);
  if (status == 0) tell(a, a->n);
  return status == 0 ? destroyed : status;
}

/* Rank 0, of what all ranks were told now; earlier attempts' answers are there. */
static int take_all(struct asking *a, const void *got, size_t n_got, const struct tpo_buf *lines,
                    json_t **counts, struct tpo_error *err)
{
  size_t n = 0;
  const struct asked_into into = {&a->index, a->answers, NULL, &n};
  int status = asked_unpack(&into, got, n_got, err);
  if (status == 0) status = check_answers(a->answers, a->n, err);
  if (status < 0 || !counts) return status;
  char *sum = counts_sum(lines->data ? lines->data : "", lines->len, err);
  *counts = sum ? tpo_json_parse(sum, strlen(sum), "counts", err) : NULL;
  free(sum);
  return *counts ? 0 : TPO_E_MEMORY;
}

static int gather(struct asking *a, json_t **counts, struct tpo_error *err)
{
  struct tpo_comm *comm = a->session->comm;
  void *got = NULL;
  struct tpo_buf lines = {0};
  size_t n_got = 0;
  int status = tpo_comm_gather_bytes(comm, a->got.data, a->got.len, &got, &n_got, err);
  if (status == 0)
    status =
        tpo_comm_gather_bytes(comm, a->counts.data, a->counts.len, (void **)&lines.data, &lines.len, err);
  if (status == 0 && is_first(a)) status = take_all(a, got, n_got, &lines, counts, err);
  free(got);
  free(lines.data);
  return tpo_comm_agree(comm, status, err);
}

static void close_asking(struct asking *a)
{
  if (a->is_open) a->chat.close(a->chat.state);
  free(a->counted);
  kept_close(a->kept);
  asked_index_free(&a->index);
  free(a->done);
  free(a->todo);
  tpo_buf_free(&a->got);
  tpo_buf_free(&a->counts);
}

static int open_asking(struct asking *a, struct tpo_error *err)
{
  int status = asked_index_open(&a->index, a->questions, a->n, err);
  if (status == 0 && !(a->done = tpo_calloc(a->n, sizeof *a->done, err))) status = TPO_E_MEMORY;
  return tpo_comm_agree(a->session->comm, status, err);
}

int eval_ask(const struct tpo_session *session, const struct eval_question *questions, size_t n,
             const struct eval_asking *options, struct ask_answer *answers, json_t **counts,
             struct tpo_error *err)
{
  struct asking a = {
      .session = session, .questions = questions, .options = options, .n = n, .answers = answers, .pace = -1};
  if (counts) *counts = NULL;
  int status = open_asking(&a, err);
  if (status == 0) status = take_up(&a, err);
  if (status == 0) status = ask_all(&a, err);
  if (a.kept) {
    status = kept_tell(a.kept, status, (double)(a.n_mine + a.n_kept), (double)n, "answers", err);
    drop_empty(&a, status);
  }
  if (status == 0) status = gather(&a, counts, err);
  close_asking(&a);
  return status;
}

int eval_check_failed(const struct tpo_judge_config *judge, size_t failed, size_t n, const char *what,
                      const char *why, const char *journal, struct tpo_error *err)
{
  if ((double)failed <= judge->max_failed * (double)n) return 0;
  if (failed == n) journal = NULL;
  return tpo_fail(
      err, TPO_E_STATE,
      "the judge failed on %zu of %zu %s, and judge.max_failed allows the share %g; the first reason: "
      "%s%s%.300s%s",
      failed, n, what, judge->max_failed, why, journal ? "; the other answers are kept in " : "",
      journal ? journal : "", journal ? ": --resume asks for these alone" : "");
}
