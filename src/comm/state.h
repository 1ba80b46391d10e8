/* comm's own state, and the one way of waiting that all of it uses. */
#ifndef TPO_COMM_STATE_H
#define TPO_COMM_STATE_H

#include <mpi.h>
#include "backend/backend.h"
#include "tpo/comm.h"

/* What a rank is doing; others read it to say who is missing. */
enum comm_kind {
  COMM_NOTHING,
  COMM_OPEN,
  COMM_CLOSE,
  COMM_AGREE,
  COMM_SAME,
  COMM_BARRIER,
  COMM_BCAST,
  COMM_BCAST_BYTES,
  COMM_GATHER,
  COMM_SUM_F64,
  COMM_MAX_F64,
  COMM_REDUCE_SCATTER,
  COMM_ALLGATHER,
  COMM_ATTACH,
  COMM_DETACH,
  COMM_QUEUE_CREATE,
  COMM_QUEUE_DESTROY,
  COMM_QUEUE_NEXT,
  COMM_KINDS = 256,
};

enum { COMM_HOST = 64 }; /* bytes of a host's name that are kept */

struct comm_service;

struct tpo_comm {
  int rank, size, local_rank, local_size;
  double deadline; /* seconds; until the start is over that of the start */
  double deadline_later;
  bool owns_mpi;  /* MPI was initialised here */
  bool patient;   /* a signal doesn't end waiting */
  MPI_Comm world; /* all ranks; a duplicate, so that a host program's messages never meet ours */
  int64_t *words; /* [COMM_WORDS], which the other ranks may read and add to at any time */
  MPI_Win window; /* words in shared memory, when all ranks are on one host */
  struct comm_service *service; /* otherwise: the thread that answers for them */
  unsigned queue_words;         /* bits of the words that queues use */
  bool broken;                  /* an exchange failed; nothing can be relied on any more */
  char broken_message[1024];
  char agreed[1024];     /* message of the last agreement on a failure */
  double *gathered;      /* [size, COMM_F64_CHUNK] */
  float *incoming;       /* [2, size - 1, sum_chunk]: two generations of chunks from the other ranks */
  size_t sum_chunk;      /* elements */
  MPI_Request *requests; /* [4 * size] */
  char description[160];
  char (*hosts)[COMM_HOST];                  /* [size]: each rank's, for messages; NULL with one rank */
  struct tpo_backend *backend;               /* attached; NULL: tensors are in host memory */
  const struct tpo_collectives *collectives; /* the backend's; NULL: its memory is the host's */
  struct tpo_device_comm *device;            /* of a backend with collectives, and several ranks; else NULL */
  /* [COMM_STAGING_BYTES] of the host, where ranks share a GPU and NCCL can't be used; else NULL */
  void *staging;
  uint64_t begun, done;           /* exchanges of `device` */
  enum comm_kind latest;          /* what the last one begun is */
  struct tpo_transfer *transfers; /* [2 * size], with several ranks */
};

enum { COMM_F64_CHUNK = 512, COMM_STAGING_BYTES = 16 << 20 };

enum {
  COMM_WORD_ARRIVAL, /* exchanges entered so far * COMM_KINDS + enum comm_kind of the latest */
  COMM_WORD_TOLD,    /* rank 0's: ranks that wanted to tell of a failure */
  COMM_WORD_QUEUE,   /* and following: counters of job queues, rank 0's */
  COMM_WORDS = 16,
};

/* An operation on another rank's word. The memory stays until both requests are done. */
struct comm_remote {
  int64_t message[2];
  int64_t before;
  MPI_Request requests[2];
};
int comm_remote_open(struct tpo_comm *comm, int hosts, struct tpo_error *err);
void comm_remote_close(struct tpo_comm *comm);
int comm_remote_set(struct tpo_comm *comm, int word, int64_t value, enum comm_kind kind,
                    struct tpo_error *err);
/* Starts op->before = word of rank; word += add. Gives MPI's result. */
int comm_remote_add(struct tpo_comm *comm, int rank, int word, int64_t add, struct comm_remote *op);

/* Begins a collective: announces it to the other ranks. Negative when an earlier exchange failed. */
int comm_enter(struct tpo_comm *comm, enum comm_kind kind, struct tpo_error *err);
/* Waits until all requests are done, at most the deadline. After SIGINT or SIGTERM it waits a few seconds
 * more, so that all ranks come to the same safe point, then gives TPO_E_INTERRUPTED. A failure marks the comm
 * as broken. */
int comm_wait(struct tpo_comm *comm, MPI_Request *requests, int n, enum comm_kind kind,
              struct tpo_error *err);
/* The same for anything that can be asked whether it is done: 1, 0 not yet, negative: failed. */
typedef int comm_poll(struct tpo_comm *comm, void *arg, struct tpo_error *err);
int comm_wait_for(struct tpo_comm *comm, comm_poll *poll, void *arg, enum comm_kind kind,
                  struct tpo_error *err);
/* Turns the result of an MPI call into a code and message; MPI_SUCCESS gives 0. */
int comm_check(struct tpo_comm *comm, int result, enum comm_kind kind, struct tpo_error *err);
/* Nothing can be relied on from here. */
int comm_break(struct tpo_comm *comm, int code, const char *message, struct tpo_error *err);
/* staged.c: the same two exchanges by way of host memory. */
int comm_reduce_staged(struct tpo_comm *comm, float *values, size_t n, size_t first, size_t count,
                       struct tpo_error *err);
int comm_broadcast_staged(struct tpo_comm *comm, const struct tpo_transfer *transfer, struct tpo_error *err);
/* Ends exchanges of tensors that other ranks may never come to: a GPU would wait for them for ever, and with
 * it whoever frees memory on it. */
void comm_give_up_device(struct tpo_comm *comm);
/* Marks the comm as broken by what a backend's collectives say. */
int comm_device_failed(struct tpo_comm *comm, int code, enum comm_kind kind, const char *why,
                       struct tpo_error *err);
/* Appends to text what differs between the parts [len] that the ranks sent (same.c), as one sentence; nothing
 * where no fact of a rank contradicts rank 0's. */
void comm_tell_difference(const char *what, const char *gathered, size_t len, struct tpo_buf *text);
/* Parts of collectives: what follows comm_enter. */
int comm_bcast(struct tpo_comm *comm, void *data, size_t bytes, int root, enum comm_kind kind,
               struct tpo_error *err);
int comm_allgather_u64(struct tpo_comm *comm, uint64_t mine, uint64_t *all, enum comm_kind kind,
                       struct tpo_error *err); /* all[size] gets every rank's value */
/* Elements [first, first + count) of an array of n, which begin at values. */
int comm_reduce_range(struct tpo_comm *comm, float *values, size_t n, size_t first, size_t count,
                      struct tpo_error *err);
/* 0 when every rank gave true; otherwise every rank fails with TPO_E_MEMORY. Part of a collective. */
int comm_all_have_memory(struct tpo_comm *comm, bool mine, enum comm_kind kind, struct tpo_error *err);

/* In place. Fixed order: element i is the sum over ranks 0, 1, 2, ... in that order, so results repeat bit for
 * bit. */
int comm_allreduce_sum_f32(struct tpo_comm *comm, float *values, size_t n, struct tpo_error *err);
/* After reduce_scatter values[the rank's shard] holds the sum, in the same order; the rest is undefined. Allgather
 * gives every rank all shards. */
int comm_reduce_scatter_sum_f32(struct tpo_comm *comm, float *values, size_t n, struct tpo_error *err);
int comm_allgather_f32(struct tpo_comm *comm, float *values, size_t n, struct tpo_error *err);

#endif
