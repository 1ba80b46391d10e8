/* A queue of prompts between the rank's own thread and its judge's. */
#include "steps/ahead.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/memory.h"

static const char no_detail[] = "{}";

/* An instruction's samples, as far as this rank drew them. */
struct prompt {
  struct tpo_sample_row *rows; /* [n] by their numbers; NULL: none is there. Scored by the judge's thread */
  int n, n_drawn, k_first;
  size_t first; /* of all samples, the number of its first one */
};

struct ahead {
  const struct tpo_session *session;
  const struct tpo_judged_options *options;
  struct generate_client client;
  struct prompt *prompts; /* [n_prompts] */
  size_t n_prompts;
  bool tells; /* the scores are those in the end, which `judged` may be told */
  struct ahead_times times;
  pthread_t thread;
  bool running;  /* the thread is there */
  size_t n_told; /* prompts of `ready` that `judged` was told of */

  /* The thread's alone while it runs. */
  struct scoring scoring;

  pthread_mutex_t lock; /* for all below */
  pthread_cond_t changed;
  struct prompt **ready; /* [n_prompts] whose samples are all there, in the order in which they came */
  size_t n_ready, n_taken, n_scored;
  bool closed;  /* no more come */
  bool stopped; /* no more are taken */
  bool over;    /* the thread is at its end */
  int status;   /* of the thread */
  struct tpo_error err;
};

static int list_prompts(struct ahead *a, const struct tpo_instructions *instructions, size_t *n_rows,
                        struct tpo_error *err)
{
  const struct tpo_generate_options *options = &a->options->generate;
  a->n_prompts = instructions->n;
  a->prompts = tpo_calloc(a->n_prompts, sizeof *a->prompts, err);
  a->ready = tpo_calloc(a->n_prompts, sizeof *a->ready, err);
  *n_rows = 0;
  if (!a->prompts || !a->ready) return TPO_E_MEMORY;
  for (size_t i = 0; i < a->n_prompts; i++) {
    int n = options->k_counts ? options->k_counts[i] : options->sampling->k;
    a->prompts[i] = (struct prompt){.n = n, .k_first = options->k_first, .first = *n_rows};
    *n_rows += (size_t)n;
  }
  return 0;
}

static int by_row(const void *one, const void *other)
{
  const struct prompt *a = *(struct prompt *const *)one, *b = *(struct prompt *const *)other;
  return (a->first > b->first) - (a->first < b->first);
}

/* Seconds of a batch, about: whoever waits for its end, since sampling failed say, waits for all of it. */
static double longest_batch(const struct ahead *a)
{
  enum { ALONE = 5 };
  double of_deadline = a->session->config->run.deadline / (double)SCORING_OF_DEADLINE;
  return tpo_comm_size(a->session->comm) == 1 && of_deadline > ALONE ? ALONE : of_deadline;
}

/* Prompts that a judge is given whatever its pace: where it asks many questions at once, what keeps it busy for about
 * two answers, since then a batch takes no longer than those, and fewer would only be slower. */
static size_t least_batch(const struct ahead *a)
{
  const struct tpo_judge_config *config = &a->session->config->judge;
  size_t n = 2 * (size_t)config->concurrency * a->n_prompts / (a->scoring.n_rows > 0 ? a->scoring.n_rows : 1);
  return tpo_judge_keeps_answers(config) && n > 0 ? n : 1;
}

/* Prompts of the next batch: what is there, but no more than the judge is trusted with, nor what takes long. */
static size_t batch_size(const struct ahead *a)
{
  const struct scoring *s = &a->scoring;
  double longest = longest_batch(a);
  bool alone = tpo_comm_size(a->session->comm) == 1;
  size_t n = a->n_ready - a->n_taken, least = alone ? least_batch(a) : 1;
  if (n > s->trusted) n = s->trusted;
  if (n <= least || (double)n * s->pace <= longest) return n;
  n = (size_t)(longest / s->pace);
  return n > least ? n : least;
}

/* Waits for prompts, whose batch [n] is then the thread's, in the order of their rows; 0: there are no more. */
static size_t take_batch(struct ahead *a)
{
  size_t n = 0;
  pthread_mutex_lock(&a->lock);
  while (!a->stopped && !a->closed && a->n_taken == a->n_ready) pthread_cond_wait(&a->changed, &a->lock);
  if (!a->stopped && a->n_taken < a->n_ready) n = batch_size(a);
  if (n > 0) qsort(a->ready + a->n_taken, n, sizeof *a->ready, by_row);
  a->n_taken += n;
  pthread_mutex_unlock(&a->lock);
  return n;
}

/* The batch's results into its rows, with their details. */
static void give_scores(struct ahead *a, struct prompt *const *prompts, size_t n)
{
  struct tpo_judge_result *result = a->scoring.batch.results;
  for (size_t p = 0; p < n; p++)
    for (int i = 0; i < prompts[p]->n; i++, result++) {
      struct tpo_sample_row *row = &prompts[p]->rows[i];
      row->scored = result->ok;
      row->score = result->score;
      row->score_detail = result->detail ? result->detail : no_detail;
      result->detail = NULL;
    }
}

static int score_batch(struct ahead *a, struct prompt *const *prompts, size_t n, struct tpo_error *err)
{
  scoring_clear(&a->scoring);
  for (size_t p = 0; p < n; p++)
    scoring_add(&a->scoring, prompts[p]->rows, (size_t)prompts[p]->n, prompts[p]->first);
  int status = scoring_run(&a->scoring, err);
  if (status == 0) give_scores(a, prompts, n);
  return status;
}

static void *judge(void *arg)
{
  struct ahead *a = arg;
  struct tpo_error err = {0};
  int status = 0;
  for (size_t n, at = 0; status == 0 && (n = take_batch(a)) > 0; at += n) {
    status = score_batch(a, a->ready + at, n, &err);
    pthread_mutex_lock(&a->lock);
    if (status == 0) a->n_scored = at + n;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
  }
  pthread_mutex_lock(&a->lock);
  a->status = status;
  a->err = err;
  a->over = true;
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
  return NULL;
}

/* Tells of prompts that came back; the thread's error, if it has one. */
static int tell_scored(struct ahead *a, struct tpo_error *err)
{
  pthread_mutex_lock(&a->lock);
  size_t n = a->n_scored;
  int status = a->status < 0 ? tpo_fail(err, a->status, "%s", a->err.message) : 0;
  pthread_mutex_unlock(&a->lock);
  for (; status == 0 && a->n_told < n; a->n_told++) {
    const struct prompt *p = a->ready[a->n_told];
    if (a->tells) status = a->options->judged(a->options->arg, p->rows, (size_t)p->n, err);
  }
  return status;
}

static int take_drawn(void *arg, size_t i, const struct tpo_sample_row *row, struct tpo_error *err)
{
  struct ahead *a = arg;
  struct prompt *p = &a->prompts[i];
  if (!p->rows && !(p->rows = tpo_calloc((size_t)p->n, sizeof *p->rows, err))) return TPO_E_MEMORY;
  p->rows[row->k - p->k_first] = *row;
  if (++p->n_drawn < p->n) return tell_scored(a, err);
  pthread_mutex_lock(&a->lock);
  a->ready[a->n_ready++] = p;
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
  return tell_scored(a, err);
}

static int work_between(void *arg, struct tpo_error *err)
{
  struct ahead *a = arg;
  int status = tell_scored(a, err);
  return status < 0 || !a->options->between ? status : a->options->between(a->options->arg, err);
}

static void stop(struct ahead *a)
{
  pthread_mutex_lock(&a->lock);
  a->stopped = true;
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
}

/* Where there is nothing else to do, until the thread has done something, for a moment at most. Whether it is at its
 * end. */
static bool look_at_thread(struct ahead *a, bool idle)
{
  enum { MOMENT = 50 * 1000 * 1000, SECOND = 1000 * 1000 * 1000 }; /* ns; a signal is to be seen soon */
  struct timespec until;
  double begin = tpo_seconds();
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += MOMENT;
  until.tv_sec += until.tv_nsec / SECOND;
  until.tv_nsec %= SECOND;
  pthread_mutex_lock(&a->lock);
  if (idle && !a->over && a->n_scored == a->n_told) pthread_cond_timedwait(&a->changed, &a->lock, &until);
  bool over = a->over;
  pthread_mutex_unlock(&a->lock);
  if (idle) a->times.waited += tpo_seconds() - begin;
  return over;
}

/* How far this rank's thread is, of what it was given. */
static void tell_progress(const struct ahead *a, size_t *told)
{
  if (*told == a->n_told) return;
  *told = a->n_told;
  tpo_session_tell(a->session, &(struct tpo_progress){.phase = "judging",
                                                      .unit = "prompts",
                                                      .done = (double)a->n_told,
                                                      .total = (double)a->n_ready});
}

/* Until the thread is at its end, or there is an error. What it is not done with in time is left to be judged by all
 * ranks: they wait for this one no longer than for a batch. */
static int work_beside_thread(struct ahead *a, struct tpo_error *err)
{
  bool others = tpo_comm_size(a->session->comm) > 1, over = false;
  double longest = a->session->config->run.deadline / (double)SCORING_OF_DEADLINE, begin = tpo_seconds();
  size_t told = 0;
  while (!over) {
    int did = tpo_stopped("judging", err);
    if (did == 0) did = work_between(a, err);
    if (did < 0) return did;
    tell_progress(a, &told);
    if (others && tpo_seconds() - begin > longest) stop(a);
    over = look_at_thread(a, did == 0);
  }
  return 0;
}

static void join(struct ahead *a)
{
  if (a->running) pthread_join(a->thread, NULL);
  a->running = false;
}

/* Of a signal that ended both: what the judge says of it behind how it was stopped, such as what it keeps. */
static void tell_stopped(const struct ahead *a, struct tpo_error *err)
{
  const char *more = a->status == TPO_E_INTERRUPTED ? strchr(a->err.message, ';') : NULL;
  if (more && err && !strstr(err->message, more))
    tpo_fail(err, TPO_E_INTERRUPTED, "%s%s", strdupa(err->message), more);
}

/* Judging behind sampling that came to its end: until the thread is done. */
static int end_thread(struct ahead *a, struct tpo_error *err)
{
  int status = work_beside_thread(a, err);
  if (status < 0) stop(a);
  join(a);
  if (status == TPO_E_INTERRUPTED) tell_stopped(a, err);
  return status < 0 ? status : tell_scored(a, err);
}

/* What fails once all samples are there is for who judges the rest to tell, so that what was judged is kept first. */
static int end(void *arg, int status, struct tpo_error *err)
{
  struct ahead *a = arg;
  a->times.sampled = tpo_seconds();
  pthread_mutex_lock(&a->lock);
  a->closed = true;
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
  if (status == 0) {
    struct tpo_error why = {0};
    a->scoring.status = end_thread(a, &why);
    a->scoring.err = why;
  } else {
    stop(a);
    join(a);
    if (status == TPO_E_INTERRUPTED) tell_stopped(a, err);
  }
  a->times.ended = tpo_seconds();
  return status;
}

/* This rank's part: the judge, with its place. */
static int prepare(struct ahead *a, const struct tpo_instructions *instructions, const char *work,
                   struct tpo_error *err)
{
  size_t n_rows;
  int status = list_prompts(a, instructions, &n_rows, err);
  if (status == 0) status = scoring_begin(&a->scoring, &a->session->config->judge, a->n_prompts, n_rows, err);
  if (status == 0) status = scoring_open(&a->scoring, a->session, work, err);
  return status < 0 ? status : scoring_opened(&a->scoring, err);
}

static int start(struct ahead *a, struct tpo_error *err)
{
  int why = pthread_create(&a->thread, NULL, judge, a);
  a->running = why == 0;
  return why == 0 ? 0 : tpo_fail(err, TPO_E_MEMORY, "no thread for the judge: %s", strerror(why));
}

int ahead_open(struct ahead **out, const struct tpo_session *session,
               const struct tpo_instructions *instructions, const struct tpo_judged_options *options,
               const char *work, struct tpo_error *err)
{
  const struct tpo_judge_config *config = &session->config->judge;
  struct ahead *a = tpo_calloc(1, sizeof *a, err);
  int status = a ? 0 : TPO_E_MEMORY;
  *out = NULL;
  if (a) {
    a->session = session;
    a->options = options;
    a->client =
        (struct generate_client){.arg = a, .drawn = take_drawn, .between = work_between, .ended = end};
    a->tells = options->judged && !(tpo_judge_mixes(config) && config->standardise);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    status = prepare(a, instructions, work, err);
  }
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0) status = tpo_comm_agree(session->comm, start(a, err), err);
  if (status == 0)
    *out = a;
  else
    ahead_close(a);
  return status;
}

const struct generate_client *ahead_client(struct ahead *ahead)
{
  return &ahead->client;
}

struct scoring *ahead_scoring(struct ahead *ahead)
{
  stop(ahead); /* where nothing was drawn */
  join(ahead);
  return &ahead->scoring;
}

struct ahead_times ahead_times(const struct ahead *ahead)
{
  return ahead->times;
}

void ahead_close(struct ahead *a)
{
  if (!a) return;
  stop(a);
  join(a);
  for (size_t i = 0; i < a->n_scored; i++)
    for (int k = 0; k < a->ready[i]->n; k++) {
      const char *detail = a->ready[i]->rows[k].score_detail;
      if (detail != no_detail) free((char *)detail);
    }
  for (size_t i = 0; a->prompts && i < a->n_prompts; i++) free(a->prompts[i].rows);
  free(a->prompts);
  free(a->ready);
  scoring_free(&a->scoring);
  pthread_cond_destroy(&a->changed);
  pthread_mutex_destroy(&a->lock);
  free(a);
}
