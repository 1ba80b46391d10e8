/* A few words of memory a rank that the other ranks read and add to without its main thread taking part: who
 * has come to which exchange, and the counters of job queues.
 *
 * On one host the words are an MPI window in shared memory. Between hosts one-sided operations over TCP are
 * missing from common builds of Open MPI (Debian's switches its component for them off), so there a small
 * thread of each rank answers messages. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/memory.h"
#include "comm/state.h"

enum { TAG_REQUEST = 1, TAG_REPLY = 2, N_REPLIES = 64, POLL_US = 500 };

struct comm_service {
  pthread_t thread;
  MPI_Comm channel;   /* a duplicate of its own */
  int64_t *words;     /* [COMM_WORDS], the rank's */
  int stop;           /* atomic */
  int64_t request[2]; /* word, what is added */
  int64_t replies[N_REPLIES];
  MPI_Request sends[N_REPLIES];
  unsigned n_replies;
};

static void nap(void)
{
  struct timespec t = {.tv_sec = 0, .tv_nsec = POLL_US * 1000L};
  nanosleep(&t, NULL);
}

/* Waits for a request as long as the service runs; false when it is stopped or the request failed. */
static bool poll_until(struct comm_service *s, MPI_Request *request, MPI_Status *status)
{
  for (;;) {
    int done = 0;
    if (MPI_Test(request, &done, status) != MPI_SUCCESS) return false;
    if (done) return true;
    if (__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) return false;
    nap();
  }
}

static void *serve(void *arg)
{
  struct comm_service *s = arg;
  MPI_Request receive = MPI_REQUEST_NULL;
  for (;;) {
    MPI_Status status;
    if (MPI_Irecv(s->request, 2, MPI_INT64_T, MPI_ANY_SOURCE, TAG_REQUEST, s->channel, &receive) !=
        MPI_SUCCESS)
      return NULL;
    if (!poll_until(s, &receive, &status)) break;
    unsigned slot = s->n_replies++ % N_REPLIES;
    if (!poll_until(s, &s->sends[slot], MPI_STATUS_IGNORE)) break;
    bool known = s->request[0] >= 0 && s->request[0] < COMM_WORDS;
    s->replies[slot] =
        known ? __atomic_fetch_add(&s->words[s->request[0]], s->request[1], __ATOMIC_ACQ_REL) : -1;
    if (MPI_Isend(&s->replies[slot], 1, MPI_INT64_T, status.MPI_SOURCE, TAG_REPLY, s->channel,
                  &s->sends[slot]) != MPI_SUCCESS)
      return NULL;
  }
  if (receive != MPI_REQUEST_NULL) {
    MPI_Cancel(&receive);
    MPI_Request_free(&receive);
  }
  return NULL;
}

static int open_service(struct tpo_comm *comm, struct tpo_error *err)
{
  int level = MPI_THREAD_SINGLE;
  MPI_Query_thread(&level);
  if (level < MPI_THREAD_MULTIPLE)
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "ranks on several hosts need an MPI initialised with MPI_THREAD_MULTIPLE");
  struct comm_service *s = tpo_calloc(1, sizeof *s, err);
  comm->words = tpo_calloc(COMM_WORDS, sizeof *comm->words, err);
  comm->service = s;
  if (!s || !comm->words) return TPO_E_MEMORY;
  for (int i = 0; i < N_REPLIES; i++) s->sends[i] = MPI_REQUEST_NULL;
  s->words = comm->words;
  int status = comm_check(comm, MPI_Comm_dup(comm->world, &s->channel), COMM_OPEN, err);
  if (status < 0) return status;
  MPI_Comm_set_errhandler(s->channel, MPI_ERRORS_RETURN);
  if (pthread_create(&s->thread, NULL, serve, s) != 0)
    return tpo_fail(err, TPO_E_MEMORY, "a thread for the exchange between hosts could not be started");
  return 0;
}

int comm_remote_open(struct tpo_comm *comm, int hosts, struct tpo_error *err)
{
  if (hosts > 1) return open_service(comm, err);
  int result = MPI_Win_allocate(COMM_WORDS * sizeof(int64_t), sizeof(int64_t), MPI_INFO_NULL, comm->world,
                                &comm->words, &comm->window);
  int status = comm_check(comm, result, COMM_OPEN, err);
  if (status < 0) return status;
  MPI_Win_set_errhandler(comm->window, MPI_ERRORS_RETURN);
  memset(comm->words, 0, COMM_WORDS * sizeof(int64_t));
  status = comm_check(comm, MPI_Win_lock_all(MPI_MODE_NOCHECK, comm->window), COMM_OPEN, err);
  return status < 0 ? status : comm_check(comm, MPI_Win_sync(comm->window), COMM_OPEN, err);
}

void comm_remote_close(struct tpo_comm *comm)
{
  if (comm->service) {
    __atomic_store_n(&comm->service->stop, 1, __ATOMIC_RELEASE);
    pthread_join(comm->service->thread, NULL);
    MPI_Comm_free(&comm->service->channel);
    free(comm->service);
    free(comm->words);
  } else if (comm->window != MPI_WIN_NULL) {
    MPI_Win_unlock_all(comm->window);
    MPI_Win_free(&comm->window);
  }
}

int comm_remote_set(struct tpo_comm *comm, int word, int64_t value, enum comm_kind kind,
                    struct tpo_error *err)
{
  __atomic_store_n(&comm->words[word], value, __ATOMIC_RELEASE);
  return comm->service ? 0 : comm_check(comm, MPI_Win_sync(comm->window), kind, err);
}

int comm_remote_add(struct tpo_comm *comm, int rank, int word, int64_t add, struct comm_remote *op)
{
  op->requests[0] = op->requests[1] = MPI_REQUEST_NULL;
  op->message[0] = word;
  op->message[1] = add;
  if (!comm->service)
    return MPI_Rget_accumulate(&op->message[1], 1, MPI_INT64_T, &op->before, 1, MPI_INT64_T, rank, word, 1,
                               MPI_INT64_T, MPI_SUM, comm->window, &op->requests[0]);
  if (rank == comm->rank) {
    op->before = __atomic_fetch_add(&comm->words[word], add, __ATOMIC_ACQ_REL);
    return MPI_SUCCESS;
  }
  MPI_Comm channel = comm->service->channel;
  int result = MPI_Irecv(&op->before, 1, MPI_INT64_T, rank, TAG_REPLY, channel, &op->requests[0]);
  if (result != MPI_SUCCESS) return result;
  return MPI_Isend(op->message, 2, MPI_INT64_T, rank, TAG_REQUEST, channel, &op->requests[1]);
}
