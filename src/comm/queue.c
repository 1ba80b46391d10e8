/* The shared queue: a counter in rank 0's memory that every rank adds
 * to without rank 0 taking part (remote.c). */
#include <stdlib.h>
#include "base/memory.h"
#include "comm/state.h"

struct tpo_comm_queue {
  struct tpo_comm *comm;
  int64_t n_jobs;
  int64_t taken; /* one rank: the counter; several: what was last seen of it */
  int word;      /* the counter's place among rank 0's words */
};

/* A word that no queue uses; the same on every rank, because all make
 * and end their queues in the same order. */
static int find_word(const struct tpo_comm *comm)
{
  for (int word = COMM_WORD_QUEUE; word < COMM_WORDS; word++)
    if (!(comm->queue_words & 1u << word)) return word;
  return -1;
}

int tpo_comm_queue_create(struct tpo_comm *comm, struct tpo_comm_queue **out, int64_t n_jobs,
                          struct tpo_error *err)
{
  *out = NULL;
  int status = comm_enter(comm, COMM_QUEUE_CREATE, err), word = find_word(comm);
  if (status < 0) return status;
  if (word < 0)
    return tpo_fail(err, TPO_E_USAGE, "more than %d job queues at once", COMM_WORDS - COMM_WORD_QUEUE);
  struct tpo_comm_queue *queue = tpo_calloc(1, sizeof *queue, err);
  if (comm->size > 1)
    status = comm_all_have_memory(comm, queue != NULL, COMM_QUEUE_CREATE, err);
  else if (!queue)
    status = TPO_E_MEMORY;
  if (status == 0 && comm->size > 1) {
    if (comm->rank == 0) status = comm_remote_set(comm, word, 0, COMM_QUEUE_CREATE, err);
    if (status == 0) status = tpo_comm_barrier(comm, err); /* nobody adds before the counter is 0 */
  }
  if (status < 0) {
    free(queue);
    return status;
  }
  *queue = (struct tpo_comm_queue){.comm = comm, .n_jobs = n_jobs, .word = word};
  comm->queue_words |= 1u << word;
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
  struct comm_remote *op = tpo_calloc(1, sizeof *op, err);
  if (!op) return TPO_E_MEMORY;
  int status = comm_check(comm, comm_remote_add(comm, 0, queue->word, add, op), COMM_QUEUE_NEXT, err);
  if (status == 0) status = comm_wait(comm, op->requests, 2, COMM_QUEUE_NEXT, err);
  *before = op->before;
  if (status == 0) free(op); /* otherwise the answer may still be written there */
  return status;
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
  int status = comm_enter(comm, COMM_QUEUE_DESTROY, err);
  if (status == 0 && comm->size > 1) {
    status = comm_check(comm, MPI_Ibarrier(comm->world, comm->requests), COMM_QUEUE_DESTROY, err);
    if (status == 0) status = comm_wait(comm, comm->requests, 1, COMM_QUEUE_DESTROY, err);
  }
  comm->queue_words &= ~(1u << queue->word);
  free(queue);
  return status;
}
