/* Waiting with a deadline, and finding out who is missing when it passes. */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/buf.h"
#include "base/clock.h"
#include "comm/state.h"

enum {
  SPIN_ROUNDS = 200,  /* polls before the first sleep: a small exchange ends within these */
  SLEEP_FIRST_US = 5, /* microseconds; doubled up to the last */
  SLEEP_LAST_US = 500,
  SURVEY_SECONDS = 2,     /* a rank that doesn't answer for so long is not in any exchange */
  MISMATCH_SECONDS = 5,   /* how often a long wait checks that the others do the same thing */
  INTERRUPT_SECONDS = 10, /* from a signal to giving up */
};

static const char *kind_name(int64_t kind)
{
  static const char *const names[] = {
      [COMM_NOTHING] = "no exchange",
      [COMM_OPEN] = "the start",
      [COMM_CLOSE] = "the end",
      [COMM_AGREE] = "an agreement on success",
      [COMM_SAME] = "a comparison of what must not differ",
      [COMM_BARRIER] = "a barrier",
      [COMM_BCAST] = "a broadcast",
      [COMM_BCAST_BYTES] = "a broadcast of bytes",
      [COMM_GATHER] = "a gathering at rank 0",
      [COMM_SUM_F64] = "a sum of numbers",
      [COMM_MAX_F64] = "a maximum of numbers",
      [COMM_REDUCE_SCATTER] = "a sum of tensors",
      [COMM_ALLGATHER] = "an exchange of shards",
      [COMM_ATTACH] = "the start of NCCL",
      [COMM_DETACH] = "the end of NCCL",
      [COMM_QUEUE_CREATE] = "the start of a job queue",
      [COMM_QUEUE_DESTROY] = "the end of a job queue",
      [COMM_QUEUE_NEXT] = "the job queue",
  };
  return kind >= 0 && kind <= COMM_QUEUE_NEXT ? names[kind] : "an unknown exchange";
}

int comm_break(struct tpo_comm *comm, int code, const char *message, struct tpo_error *err)
{
  if (!comm->broken) {
    comm->broken = true;
    snprintf(comm->broken_message, sizeof comm->broken_message, "%s", message);
    comm_give_up_device(comm);
  }
  return tpo_fail(err, code, "%s", message);
}

int comm_check(struct tpo_comm *comm, int result, enum comm_kind kind, struct tpo_error *err)
{
  if (result == MPI_SUCCESS) return 0;
  char text[MPI_MAX_ERROR_STRING + 1], message[sizeof text + 128];
  int len = 0;
  if (MPI_Error_string(result, text, &len) != MPI_SUCCESS)
    snprintf(text, sizeof text, "MPI error %d", result);
  snprintf(message, sizeof message, "communication failed in %s: %s", kind_name(kind), text);
  return comm_break(comm, TPO_E_COMM, message, err);
}

int comm_device_failed(struct tpo_comm *comm, int code, enum comm_kind kind, const char *why,
                       struct tpo_error *err)
{
  char message[1024];
  snprintf(message, sizeof message, "communication failed in %s on rank %d: %.900s", kind_name(kind),
           comm->rank, why);
  return comm_break(comm, code, message, err);
}

int comm_enter(struct tpo_comm *comm, enum comm_kind kind, struct tpo_error *err)
{
  if (comm->broken)
    return tpo_fail(err, TPO_E_COMM, "an earlier exchange between the ranks failed: %s",
                    comm->broken_message);
  if (comm->size == 1) return 0;
  int64_t entered = comm->words[COMM_WORD_ARRIVAL] / COMM_KINDS + 1;
  return comm_remote_set(comm, COMM_WORD_ARRIVAL, entered * COMM_KINDS + (int64_t)kind, kind, err);
}

static void nap(unsigned microseconds)
{
  struct timespec t = {.tv_sec = 0, .tv_nsec = (long)microseconds * 1000};
  nanosleep(&t, NULL);
}

/* Reads every rank's arrival; -COMM_KINDS for a rank that doesn't answer, and false then. */
static bool survey(struct tpo_comm *comm, struct comm_remote *ops, int64_t *arrivals)
{
  for (int r = 0; r < comm->size; r++) comm_remote_add(comm, r, COMM_WORD_ARRIVAL, 0, &ops[r]);
  double end = tpo_seconds() + SURVEY_SECONDS;
  bool all = false;
  while (!all && tpo_seconds() < end) {
    all = true;
    for (int r = 0; r < comm->size; r++) {
      int done = 0;
      arrivals[r] = -COMM_KINDS;
      if (MPI_Testall(2, ops[r].requests, &done, MPI_STATUSES_IGNORE) == MPI_SUCCESS && done)
        arrivals[r] = ops[r].before;
      all = all && done;
    }
    if (!all) nap(SLEEP_LAST_US);
  }
  return all;
}

bool tpo_comm_first_to_tell(struct tpo_comm *comm)
{
  if (comm->size == 1 || !comm->words) return true;
  struct comm_remote *op = calloc(1, sizeof *op);
  if (!op || comm_remote_add(comm, 0, COMM_WORD_TOLD, 1, op) != MPI_SUCCESS) return true;
  double end = tpo_seconds() + SURVEY_SECONDS;
  int done = 0;
  while (!done && tpo_seconds() < end) {
    if (MPI_Testall(2, op->requests, &done, MPI_STATUSES_IGNORE) != MPI_SUCCESS) return true;
    if (!done) nap(SLEEP_LAST_US);
  }
  bool first = !done || op->before == 0;
  if (done) free(op); /* a late answer may still be written there */
  return first;
}

static void append_ranks(struct tpo_buf *text, const bool *which, int n)
{
  int count = 0;
  for (int r = 0; r < n; r++) count += which[r];
  tpo_buf_puts(text, count == 1 ? "rank " : "ranks ");
  const char *separator = "";
  int shown = 0;
  for (int r = 0; r < n && shown < 16; r++) {
    if (!which[r]) continue;
    tpo_buf_printf(text, "%s%d", separator, r);
    separator = ", ";
    shown++;
  }
  if (count > shown) tpo_buf_printf(text, " and %d more", count - shown);
}

/* Each host once. */
static void append_hosts(struct tpo_comm *comm, const bool *which, struct tpo_buf *text)
{
  enum { TOLD_MOST = 8 };
  int told = 0, more = 0;
  for (int r = 0; r < comm->size; r++) {
    bool before = false;
    for (int q = 0; q < r && which[r]; q++)
      before = before || (which[q] && !strcmp(comm->hosts[q], comm->hosts[r]));
    if (!which[r] || before) continue;
    if (told < TOLD_MOST)
      tpo_buf_printf(text, told++ ? ", %s" : " (host %s", comm->hosts[r]);
    else
      more++;
  }
  if (more) tpo_buf_printf(text, " and %d more", more);
  tpo_buf_putc(text, ')');
}

/* Says what the arrivals tell: ranks that do something else, or, when it is late, ranks that are missing. */
static void compare(struct tpo_comm *comm, enum comm_kind kind, bool late, const int64_t *arrivals,
                    bool *missing, struct tpo_buf *text)
{
  int64_t mine = arrivals[comm->rank];
  int n_missing = 0, other = -1;
  for (int r = 0; r < comm->size; r++) {
    missing[r] = kind == COMM_QUEUE_NEXT ? r == 0 : arrivals[r] / COMM_KINDS < mine / COMM_KINDS;
    n_missing += missing[r];
    if (arrivals[r] != mine && arrivals[r] / COMM_KINDS == mine / COMM_KINDS && other < 0) other = r;
  }
  if (other >= 0 && kind != COMM_QUEUE_NEXT) {
    tpo_buf_printf(text, "the ranks are not doing the same thing: rank %d is in %s, rank %d in %s",
                   comm->rank, kind_name(kind), other, kind_name(arrivals[other] % COMM_KINDS));
  } else if (late && n_missing > 0) {
    append_ranks(text, missing, comm->size);
    tpo_buf_printf(text, " did not come to %s within %.0f seconds", kind_name(kind), comm->deadline);
    append_hosts(comm, missing, text);
    tpo_buf_puts(text, "; the job is ended");
  }
}

/* What keeps this rank waiting, in words; nothing when only time will tell. */
static void explain(struct tpo_comm *comm, enum comm_kind kind, bool late, struct tpo_buf *text)
{
  size_t n = (size_t)comm->size;
  struct comm_remote *ops = calloc(n, sizeof *ops);
  int64_t *arrivals = calloc(n, sizeof *arrivals);
  bool *missing = calloc(n, sizeof *missing);
  bool answered = true;
  if (comm->words && ops && arrivals && missing) {
    answered = survey(comm, ops, arrivals);
    compare(comm, kind, late, arrivals, missing, text);
  }
  if (!text->len && late)
    tpo_buf_printf(text,
                   "%s between %d ranks was not finished within %.0f seconds although all have come to it; "
                   "the job is ended",
                   kind_name(kind), comm->size, comm->deadline);
  free(missing);
  free(arrivals);
  if (answered) free(ops); /* a late answer may still be written there */
}

static int give_up(struct tpo_comm *comm, struct tpo_buf *text, struct tpo_error *err)
{
  int code =
      comm_break(comm, TPO_E_COMM, text->data ? text->data : "a deadline between the ranks has passed", err);
  tpo_buf_free(text);
  return code;
}

int comm_wait_for(struct tpo_comm *comm, comm_poll *poll, void *arg, enum comm_kind kind,
                  struct tpo_error *err)
{
  double start = tpo_seconds(), next_check = start + MISMATCH_SECONDS, signalled = 0;
  unsigned sleep_us = SLEEP_FIRST_US;
  for (unsigned round = 0;; round++) {
    int done = poll(comm, arg, err);
    if (done != 0) return done < 0 ? done : 0;
    if (round < SPIN_ROUNDS) {
      sched_yield();
      continue;
    }
    nap(sleep_us);
    sleep_us = sleep_us * 2 < SLEEP_LAST_US ? sleep_us * 2 : SLEEP_LAST_US;
    double now = tpo_seconds();
    int signal_number = tpo_interrupted();
    if (!comm->patient && (signal_number == SIGINT || signal_number == SIGTERM)) {
      if (signalled == 0) signalled = now;
      if (now - signalled > INTERRUPT_SECONDS)
        return comm_break(comm, TPO_E_INTERRUPTED, "stopped by a signal while waiting for the other ranks",
                          err);
    }
    bool late = now - start > comm->deadline;
    if (!late && now < next_check) continue;
    next_check = now + MISMATCH_SECONDS;
    struct tpo_buf text = {0};
    explain(comm, kind, late, &text);
    if (text.len || text.failed) return give_up(comm, &text, err);
  }
}

struct mpi_wait {
  MPI_Request *requests;
  int n;
  enum comm_kind kind;
};

static int poll_mpi(struct tpo_comm *comm, void *arg, struct tpo_error *err)
{
  const struct mpi_wait *wait = arg;
  int done = 0, result = MPI_Testall(wait->n, wait->requests, &done, MPI_STATUSES_IGNORE);
  return result == MPI_SUCCESS ? done : comm_check(comm, result, wait->kind, err);
}

int comm_wait(struct tpo_comm *comm, MPI_Request *requests, int n, enum comm_kind kind, struct tpo_error *err)
{
  struct mpi_wait wait = {requests, n, kind};
  return comm_wait_for(comm, poll_mpi, &wait, kind, err);
}

int comm_all_have_memory(struct tpo_comm *comm, bool mine, enum comm_kind kind, struct tpo_error *err)
{
  int lacking = !mine, any = 0;
  int status = comm_check(
      comm, MPI_Iallreduce(&lacking, &any, 1, MPI_INT, MPI_MAX, comm->world, comm->requests), kind, err);
  if (status == 0) status = comm_wait(comm, comm->requests, 1, kind, err);
  if (status < 0) return status;
  if (!any) return 0;
  return tpo_fail(err, TPO_E_MEMORY, "out of memory %s in %s", mine ? "on another rank" : "on this rank",
                  kind_name(kind));
}
