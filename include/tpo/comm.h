/* comm: ranks working together. Control, text and scores, and on CPUs tensors too, go over MPI.
 *
 *   struct tpo_comm *comm;
 *   if (tpo_comm_open(&comm, 1800, &err) < 0) ...          // MPI only when started by mpirun or srun
 *   int64_t job;
 *   tpo_comm_queue_create(comm, &queue, n_jobs, &err);
 *   while (tpo_comm_queue_next(queue, &job, &err) == 1) work(job);
 *   status = tpo_comm_agree(comm, status, &err);   // all ranks leave with the same status and message
 *   tpo_comm_close(comm);
 *
 * Started alone (no launcher's environment) there is one rank and MPI is not initialised.
 * Every wait has a deadline: past it the message names the ranks that are missing, and the job is aborted,
 * because a collective that one rank never enters cannot be left in any other way. A collective must be
 * entered by all ranks; a rank that failed enters tpo_comm_agree, never skips ahead. */
#ifndef TPO_COMM_H
#define TPO_COMM_H

#include "tpo/base.h"

struct tpo_comm;
struct tpo_comm_queue;

TPO_API int tpo_comm_open(struct tpo_comm **out, int deadline_seconds, struct tpo_error *err);
struct tpo_comm_options {
  int deadline; /* seconds that a rank may be silent where others wait for it, at least 1 */
  /* Seconds until all ranks are together, and then until tpo_comm_started the deadline of each wait; 0: no
   * limit, and `deadline`. While MPI waits for a rank that doesn't come, no call returns: so late is called
   * then, from a thread of its own, with one sentence on who is missing as far as that is known, and ends the
   * process. */
  int start_deadline;
  void (*late)(void *arg, const char *message);
  void *late_arg;
};
TPO_API int tpo_comm_open_with(struct tpo_comm **out, const struct tpo_comm_options *options,
                               struct tpo_error *err);
/* Collective work has begun: from now on waits have options->deadline. */
TPO_API void tpo_comm_started(struct tpo_comm *comm);
/* One rank, whatever started this process: for work that only one of the
 * launcher's ranks does. MPI is not touched. */
TPO_API int tpo_comm_open_alone(struct tpo_comm **out, struct tpo_error *err);
TPO_API void tpo_comm_close(struct tpo_comm *comm); /* after success: finalises MPI */
/* Ends all ranks now with this exit status (MPI_Abort); alone it returns. */
TPO_API void tpo_comm_abort(struct tpo_comm *comm, int exit_status);
/* After a failed exchange, which every rank finds by itself: true on the first rank that asks, which tells
 * the user and aborts. A rank that can't find out within a few seconds is told that it is the first. */
TPO_API bool tpo_comm_first_to_tell(struct tpo_comm *comm);
TPO_API int tpo_comm_rank(const struct tpo_comm *comm);
TPO_API int tpo_comm_size(const struct tpo_comm *comm);
TPO_API int tpo_comm_local_size(const struct tpo_comm *comm);       /* ranks on this host */
TPO_API int tpo_comm_local_rank(const struct tpo_comm *comm);       /* this one among them */
TPO_API const char *tpo_comm_describe(const struct tpo_comm *comm); /* "2 ranks on 1 host, Open MPI 4.1.4" */

/* Collective failure agreement: status and err of this rank (0 or negative). Returns 0 when all gave 0;
 * otherwise the status of the lowest failing rank, whose message, prefixed "rank R: " (when there are several
 * ranks), every rank gets. */
TPO_API int tpo_comm_agree(struct tpo_comm *comm, int status, struct tpo_error *err);

/* Something that must be the same on all ranks, as a name and a text. */
struct tpo_comm_fact {
  const char *name;  /* "sampling.k" */
  const char *value; /* NULL: this rank doesn't know, which contradicts nothing */
};
/* Collective: 0 where no rank's facts contradict rank 0's. Otherwise TPO_E_USAGE on all ranks, with a message
 * that names the first rank that differs, its host and the facts: "rank 2 on host b07 has other settings:
 * seed is 7 there and 5 on rank 0". what: "has other settings". */
TPO_API int tpo_comm_same(struct tpo_comm *comm, const char *what, const struct tpo_comm_fact *facts,
                          size_t n, struct tpo_error *err);

/* After a signal, waiting for the other ranks ends within seconds. With `patient`, only at the deadline: for
 * what is done because of the signal and takes longer, such as keeping a state. Each rank sets its own. */
TPO_API void tpo_comm_set_patient(struct tpo_comm *comm, bool patient);

TPO_API int tpo_comm_barrier(struct tpo_comm *comm, struct tpo_error *err);
/* Any number of bytes. */
TPO_API int tpo_comm_bcast(struct tpo_comm *comm, void *data, size_t bytes, int root, struct tpo_error *err);
/* Root's *data (malloc'ed) and *len are copied to every rank (others: malloc'ed here). */
TPO_API int tpo_comm_bcast_bytes(struct tpo_comm *comm, void **data, size_t *len, int root,
                                 struct tpo_error *err);
/* Concatenates every rank's bytes at rank 0, in rank order: *out malloc'ed there (NULL elsewhere). Sizes over
 * 2 GiB are sent in pieces. */
TPO_API int tpo_comm_gather_bytes(struct tpo_comm *comm, const void *data, size_t len, void **out,
                                  size_t *out_len, struct tpo_error *err);
TPO_API int tpo_comm_allreduce_sum_f64(struct tpo_comm *comm, double *values, size_t n,
                                       struct tpo_error *err);
TPO_API int tpo_comm_allreduce_max_f64(struct tpo_comm *comm, double *values, size_t n,
                                       struct tpo_error *err);
/* Rank r's shard of n elements: [n*r/size rounded to 16, ...). */
TPO_API void tpo_comm_shard(const struct tpo_comm *comm, size_t n, int rank, size_t *first, size_t *count);

/* Tensors in a backend's memory. With a backend on the host they go over MPI; a GPU's go over NCCL, beside
 * its computations. Attaching is collective, and gives NCCL its memory on the GPU; detaching, also
 * collective, takes it back. Closing the comm detaches too, and may follow the backend's closing; whoever
 * goes on with another backend detaches first. Without a backend, tensors are in host memory. */
struct tpo_backend;
TPO_API int tpo_comm_attach(struct tpo_comm *comm, struct tpo_backend *backend, struct tpo_error *err);
TPO_API void tpo_comm_detach(struct tpo_comm *comm);
TPO_API const struct tpo_backend *tpo_comm_attached(const struct tpo_comm *comm);

/* Exchanges of tensors: begun by all ranks in the same order, after the backend's work so far, and done in
 * that order. What they read and write is left alone until they are done.
 * Reduce: elements [first, first + count) of values [n] are summed over the ranks, each in the values of the
 * rank whose shard it is in; elsewhere they are undefined afterwards. On the host the order is that of the
 * ranks; NCCL's repeats with the same ranks in the same places. Spread: of an array of n, of which each rank
 * has its shard, the elements in `ranges` (at most as many as there are ranks, ascending, none in two) one
 * range after another to `out` on all ranks; what different ranks own then travels at the same time. */
struct tpo_range {
  size_t first, count; /* elements */
};
TPO_API int tpo_comm_reduce_begin(struct tpo_comm *comm, float *values, size_t n, size_t first, size_t count,
                                  struct tpo_error *err);
TPO_API int tpo_comm_spread_begin(struct tpo_comm *comm, const void *shard, size_t element_bytes, size_t n,
                                  const struct tpo_range *ranges, int n_ranges, void *out,
                                  struct tpo_error *err);
/* The backend's work from now on comes after all exchanges begun but the last `but` of them. Doesn't wait. */
TPO_API int tpo_comm_order(struct tpo_comm *comm, unsigned but, struct tpo_error *err);
/* Waits until all are done, at most the deadline. */
TPO_API int tpo_comm_finish(struct tpo_comm *comm, struct tpo_error *err);

/* A shared queue of jobs 0..n-1, pulled with one-sided fetch-and-add. create and destroy are collective. */
TPO_API int tpo_comm_queue_create(struct tpo_comm *comm, struct tpo_comm_queue **out, int64_t n_jobs,
                                  struct tpo_error *err);
/* 1 a job, 0 none left */
TPO_API int tpo_comm_queue_next(struct tpo_comm_queue *queue, int64_t *job, struct tpo_error *err);
TPO_API int64_t tpo_comm_queue_taken(struct tpo_comm_queue *queue); /* jobs handed out so far, for progress */
TPO_API int tpo_comm_queue_destroy(struct tpo_comm_queue *queue, struct tpo_error *err);

#endif
