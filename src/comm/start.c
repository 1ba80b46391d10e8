/* While MPI_Init waits for ranks that never come no other call returns, so a thread of its own watches the
 * time. */
#include "comm/start.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/process.h"

enum {
  GRACE_SECONDS = 2,   /* for the host where a rank is missing, which knows more than the others */
  HEARING_SECONDS = 10 /* for a lower rank of this host, which may have come later */
};

struct comm_start {
  struct comm_launch launch;
  struct tpo_comm_options options;
  double end;             /* tpo_seconds() */
  struct comm_seen *seen; /* [size + 1] */
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  bool over; /* the ranks are together */
};

/* Sleeps until tpo_seconds(), the clock that the condition waits by, is end; false as soon as the ranks are
 * together. */
static bool wait_until(struct comm_start *s, double end)
{
  const struct timespec when = {.tv_sec = (time_t)end, .tv_nsec = (long)((end - (double)(time_t)end) * 1e9)};
  pthread_mutex_lock(&s->mutex);
  while (!s->over && tpo_seconds() < end)
    if (pthread_cond_timedwait(&s->changed, &s->mutex, &when) != 0) break;
  bool over = s->over;
  pthread_mutex_unlock(&s->mutex);
  return !over;
}

/* Of a host's ranks the lowest that can speak does, and any that doesn't know its number. */
static bool is_speaker(const struct comm_launch *launch, const struct comm_seen *seen)
{
  for (int r = 0; r < launch->rank && r < launch->size; r++)
    if (seen[r].presence == COMM_PRESENT) return false;
  return true;
}

/* What a rank of this host sees; they tell one after the other, and the word of the first ends the job. */
static void give_up(struct comm_start *s, struct comm_seen *seen)
{
  struct tpo_buf text = {0};
  char host[TPO_HOST_NAME];
  const bool late = tpo_seconds() > s->end + 1; /* it was stopped itself, and wakes to be ended, perhaps */
  tpo_host_name(host);
  for (int r = 0; r < s->launch.size; r++) seen[r] = comm_launch_look(&s->launch, r);
  bool here = comm_launch_explain(&s->launch, seen, host, s->options.start_deadline, &text);
  double wait = here || s->launch.local_size == s->launch.size ? 0 : GRACE_SECONDS;
  if (!is_speaker(&s->launch, seen)) wait = HEARING_SECONDS;
  if (late && wait < GRACE_SECONDS) wait = GRACE_SECONDS;
  if (wait_until(s, tpo_seconds() + wait))
    s->options.late(s->options.late_arg, text.failed ? "the ranks were not together in time" : text.data);
  tpo_buf_free(&text);
}

static void *watch(void *arg)
{
  struct comm_start *s = arg;
  if (wait_until(s, s->end)) give_up(s, s->seen);
  return NULL;
}

/* Signals are the main thread's. */
static int start_thread(struct comm_start *s)
{
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int result = pthread_create(&s->thread, NULL, watch, s);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return result;
}

int comm_start_begin(struct comm_start **out, const struct comm_launch *launch,
                     const struct tpo_comm_options *options, struct tpo_error *err)
{
  pthread_condattr_t monotonic;
  *out = NULL;
  if (options->start_deadline == 0 || launch->size == 1) return 0;
  struct comm_start *s = tpo_calloc(1, sizeof *s, err);
  if (s) s->seen = tpo_calloc((size_t)launch->size + 1, sizeof *s->seen, err);
  if (!s || !s->seen) {
    free(s);
    return TPO_E_MEMORY;
  }
  s->launch = *launch;
  s->options = *options;
  s->end = tpo_seconds() + options->start_deadline;
  pthread_mutex_init(&s->mutex, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&s->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  if (launch->size == 0 || launch->rank >= launch->size) s->launch.job = 0; /* nobody to look for */
  comm_launch_announce(&s->launch);
  if (start_thread(s) != 0) {
    comm_launch_withdraw(&s->launch);
    free(s->seen);
    free(s);
    return tpo_fail(err, TPO_E_MEMORY, "a thread that watches the start could not be started");
  }
  *out = s;
  return 0;
}

double comm_start_end(struct comm_start *s)
{
  if (!s) return 0;
  double left = s->end - tpo_seconds();
  pthread_mutex_lock(&s->mutex);
  s->over = true;
  pthread_cond_signal(&s->changed);
  pthread_mutex_unlock(&s->mutex);
  pthread_join(s->thread, NULL);
  comm_launch_withdraw(&s->launch);
  pthread_cond_destroy(&s->changed);
  pthread_mutex_destroy(&s->mutex);
  free(s->seen);
  free(s);
  return left;
}
