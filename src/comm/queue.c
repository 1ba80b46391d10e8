/* The shared queue: a counter in rank 0's memory that every rank adds to without rank 0 taking part.
 *
 * Between ranks of one host the counter is shared memory and an answer takes microseconds whatever rank 0 is
 * doing. From other hosts, over a network without hardware atomics, rank 0 answers whenever it is in any
 * function of this layer, its own tpo_comm_queue_next and tpo_comm_queue_taken among them: once a job at the
 * least. */
#include <stdlib.h>
#include "base/memory.h"
#include "comm/state.h"

struct tpo_comm_queue {
  struct tpo_comm *comm;
  int64_t n_jobs;
  int64_t taken;   /* one rank: the counter; several: what was last seen of it */
  int64_t *memory; /* rank 0's counter */
  MPI_Win window;
};

int tpo_comm_queue_create(struct tpo_comm *comm, struct tpo_comm_queue **out, int64_t n_jobs,
                          struct tpo_error *err)
{
  *out = NULL;
  int status = comm_enter(comm, COMM_QUEUE_CREATE, err);
  if (status < 0) return status;
  struct tpo_comm_queue *queue = tpo_calloc(1, sizeof *queue, err);
  if (comm->size > 1)
    status = comm_all_have_memory(comm, queue != NULL, COMM_QUEUE_CREATE, err);
  else if (!queue)
    status = TPO_E_MEMORY;
  if (status < 0) {
    free(queue);
    return status;
  }
  queue->comm = comm;
  queue->n_jobs = n_jobs;
  if (comm->size > 1) {
    MPI_Aint bytes = comm->rank == 0 ? (MPI_Aint)sizeof(int64_t) : 0;
    int result =
        MPI_Win_allocate(bytes, sizeof(int64_t), MPI_INFO_NULL, comm->world, &queue->memory, &queue->window);
    status = comm_check(comm, result, COMM_QUEUE_CREATE, err);
    if (status == 0) {
      MPI_Win_set_errhandler(queue->window, MPI_ERRORS_RETURN);
      if (comm->rank == 0) *queue->memory = 0;
      status = comm_check(comm, MPI_Win_lock_all(MPI_MODE_NOCHECK, queue->window), COMM_QUEUE_CREATE, err);
    }
    if (status == 0) status = comm_check(comm, MPI_Win_sync(queue->window), COMM_QUEUE_CREATE, err);
    if (status == 0) status = tpo_comm_barrier(comm, err); /* nobody adds before the counter is 0 */
  }
  if (status < 0) {
    free(queue);
    return status;
  }
  *out = queue;
  return 0;
}

/* *before = counter; counter += add. */
static int fetch_add(struct tpo_comm_queue *queue, int64_t add, int64_t *before, struct tpo_error *err)
{
  struct tpo_comm *comm = queue->comm;
  if (comm->broken)
    return tpo_fail(err, TPO_E_COMM, "an earlier exchange between the ranks failed: %s",
                    comm->broken_message);
  MPI_Request request = MPI_REQUEST_NULL;
  int result = MPI_Rget_accumulate(&add, 1, MPI_INT64_T, before, 1, MPI_INT64_T, 0, 0, 1, MPI_INT64_T,
                                   MPI_SUM, queue->window, &request);
  int status = comm_check(comm, result, COMM_QUEUE_NEXT, err);
  return status < 0 ? status : comm_wait(comm, &request, 1, COMM_QUEUE_NEXT, err);
}

int tpo_comm_queue_next(struct tpo_comm_queue *queue, int64_t *job, struct tpo_error *err)
{
  int64_t before = queue->taken;
  if (queue->comm->size == 1) {
    if (before < queue->n_jobs) queue->taken++;
  } else {
    if (before >= queue->n_jobs) return 0;
    int status = fetch_add(queue, 1, &before, err);
    if (status < 0) return status;
    queue->taken = before + 1;
  }
  if (before >= queue->n_jobs) return 0;
  *job = before;
  return 1;
}

int64_t tpo_comm_queue_taken(struct tpo_comm_queue *queue)
{
  int64_t seen = queue->taken;
  if (queue->comm->size > 1 && seen < queue->n_jobs && fetch_add(queue, 0, &seen, NULL) == 0)
    queue->taken = seen;
  return queue->taken < queue->n_jobs ? queue->taken : queue->n_jobs;
}

int tpo_comm_queue_destroy(struct tpo_comm_queue *queue, struct tpo_error *err)
{
  if (!queue) return 0;
  struct tpo_comm *comm = queue->comm;
  int status = 0;
  if (comm->size > 1) {
    status = comm_enter(comm, COMM_QUEUE_DESTROY, err);
    if (status == 0)
      status = comm_check(comm, MPI_Ibarrier(comm->world, comm->requests), COMM_QUEUE_DESTROY, err);
    if (status == 0) status = comm_wait(comm, comm->requests, 1, COMM_QUEUE_DESTROY, err);
    if (status == 0) status = comm_check(comm, MPI_Win_unlock_all(queue->window), COMM_QUEUE_DESTROY, err);
    if (status == 0) status = comm_check(comm, MPI_Win_free(&queue->window), COMM_QUEUE_DESTROY, err);
  }
  free(queue);
  return status;
}
