/* Collectives on bytes and on a few numbers: agreement, barrier, broadcast, gathering. */
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "comm/state.h"

enum { PIECE = 1 << 28 }; /* bytes in one message; MPI counts in int */

static int min_piece(size_t left)
{
  return left < PIECE ? (int)left : PIECE;
}

int comm_allgather_u64(struct tpo_comm *comm, uint64_t mine, uint64_t *all, enum comm_kind kind,
                       struct tpo_error *err)
{
  int result = MPI_Iallgather(&mine, 1, MPI_UINT64_T, all, 1, MPI_UINT64_T, comm->world, comm->requests);
  int status = comm_check(comm, result, kind, err);
  return status < 0 ? status : comm_wait(comm, comm->requests, 1, kind, err);
}

int comm_bcast(struct tpo_comm *comm, void *data, size_t bytes, int root, enum comm_kind kind,
               struct tpo_error *err)
{
  for (size_t at = 0; at < bytes;) {
    int piece = min_piece(bytes - at);
    int result = MPI_Ibcast((char *)data + at, piece, MPI_BYTE, root, comm->world, comm->requests);
    int status = comm_check(comm, result, kind, err);
    if (status == 0) status = comm_wait(comm, comm->requests, 1, kind, err);
    if (status < 0) return status;
    at += (size_t)piece;
  }
  return 0;
}

void tpo_comm_set_patient(struct tpo_comm *comm, bool patient)
{
  comm->patient = patient;
}

int tpo_comm_agree(struct tpo_comm *comm, int status, struct tpo_error *err)
{
  if (comm->size == 1) return status;
  struct tpo_error mine = {0};
  if (err && status < 0) mine = *err;
  /* A rank with a message of its own keeps it when the others can't be reached. */
  struct tpo_error *wait_err = status < 0 ? NULL : err;
  int entered = comm_enter(comm, COMM_AGREE, wait_err);
  if (entered < 0) return status < 0 ? status : entered;

  uint64_t *all = (uint64_t *)comm->gathered; /* size <= size * COMM_F64_CHUNK */
  int waited = comm_allgather_u64(comm, (uint64_t)(int64_t)status, all, COMM_AGREE, wait_err);
  if (waited < 0) return status < 0 ? status : waited;
  int first = 0;
  while (first < comm->size && (int64_t)all[first] >= 0) first++;
  if (first == comm->size) return 0;

  int code = (int)(int64_t)all[first];
  struct tpo_error told = {0};
  /* What an earlier agreement gave to all ranks names its rank already, whatever was put before it since. */
  bool known = comm->agreed[0] && strstr(mine.message, comm->agreed);
  const char *text = mine.message[0] ? mine.message : "failed without a message";
  if (known)
    told = mine;
  else
    tpo_fail(&told, code, "rank %d: %s", first, text);
  waited = comm_bcast(comm, told.message, sizeof told.message, first, COMM_AGREE, wait_err);
  if (waited < 0) return status < 0 ? status : waited;
  told.message[sizeof told.message - 1] = '\0';
  memcpy(comm->agreed, told.message, sizeof comm->agreed);
  return tpo_fail(err, code, "%s", told.message);
}

int tpo_comm_barrier(struct tpo_comm *comm, struct tpo_error *err)
{
  int status = comm_enter(comm, COMM_BARRIER, err);
  if (status < 0 || comm->size == 1) return status;
  status = comm_check(comm, MPI_Ibarrier(comm->world, comm->requests), COMM_BARRIER, err);
  return status < 0 ? status : comm_wait(comm, comm->requests, 1, COMM_BARRIER, err);
}

int tpo_comm_bcast(struct tpo_comm *comm, void *data, size_t bytes, int root, struct tpo_error *err)
{
  int status = comm_enter(comm, COMM_BCAST, err);
  if (status < 0 || comm->size == 1) return status;
  return comm_bcast(comm, data, bytes, root, COMM_BCAST, err);
}

int tpo_comm_bcast_bytes(struct tpo_comm *comm, void **data, size_t *len, int root, struct tpo_error *err)
{
  int status = comm_enter(comm, COMM_BCAST_BYTES, err);
  if (status < 0 || comm->size == 1) return status;
  uint64_t bytes = *len;
  status = comm_bcast(comm, &bytes, sizeof bytes, root, COMM_BCAST_BYTES, err);
  if (status < 0) return status;
  void *copy = comm->rank == root ? *data : malloc(bytes ? (size_t)bytes : 1);
  status = comm_all_have_memory(comm, copy || comm->rank == root, COMM_BCAST_BYTES, err);
  if (status == 0) status = comm_bcast(comm, copy, (size_t)bytes, root, COMM_BCAST_BYTES, err);
  if (status < 0) {
    if (comm->rank != root && !comm->broken) free(copy);
    return status;
  }
  if (comm->rank != root) {
    *data = copy;
    *len = (size_t)bytes;
  }
  return 0;
}

/* Sends or receives all bytes, a piece after the other. */
static int transfer(struct tpo_comm *comm, void *data, size_t len, int peer, bool send, struct tpo_error *err)
{
  for (size_t at = 0; at < len;) {
    int piece = min_piece(len - at);
    char *place = (char *)data + at;
    int result = send ? MPI_Isend(place, piece, MPI_BYTE, peer, COMM_GATHER, comm->world, comm->requests)
                      : MPI_Irecv(place, piece, MPI_BYTE, peer, COMM_GATHER, comm->world, comm->requests);
    int status = comm_check(comm, result, COMM_GATHER, err);
    if (status == 0) status = comm_wait(comm, comm->requests, 1, COMM_GATHER, err);
    if (status < 0) return status;
    at += (size_t)piece;
  }
  return 0;
}

int tpo_comm_gather_bytes(struct tpo_comm *comm, const void *data, size_t len, void **out, size_t *out_len,
                          struct tpo_error *err)
{
  *out = NULL;
  int status = comm_enter(comm, COMM_GATHER, err);
  if (status < 0) return status;
  uint64_t *lens = (uint64_t *)comm->gathered, alone = len;
  if (comm->size == 1)
    lens = &alone;
  else
    status = comm_allgather_u64(comm, len, lens, COMM_GATHER, err);
  if (status < 0) return status;

  size_t total = 0;
  bool fits = true;
  for (int r = 0; r < comm->size; r++) fits = fits && !__builtin_add_overflow(total, (size_t)lens[r], &total);
  char *all = NULL;
  if (comm->rank == 0 && fits) all = malloc(total ? total : 1);
  if (comm->size > 1)
    status = comm_all_have_memory(comm, comm->rank != 0 || all, COMM_GATHER, err);
  else if (!all)
    status = tpo_fail(err, TPO_E_MEMORY, "out of memory for %zu bytes", total);
  if (status == 0 && comm->rank != 0) status = transfer(comm, (void *)(uintptr_t)data, len, 0, true, err);
  if (status == 0 && comm->rank == 0) {
    if (len) memcpy(all, data, len);
    size_t at = len;
    for (int r = 1; r < comm->size && status == 0; r++) {
      status = transfer(comm, all + at, (size_t)lens[r], r, false, err);
      at += (size_t)lens[r];
    }
  }
  if (status < 0) {
    if (!comm->broken) free(all);
    return status;
  }
  *out = all;
  if (out_len) *out_len = comm->rank == 0 ? total : 0;
  return 0;
}

static int reduce_f64(struct tpo_comm *comm, double *values, size_t n, enum comm_kind kind,
                      struct tpo_error *err)
{
  int status = comm_enter(comm, kind, err);
  if (status < 0 || comm->size == 1) return status;
  for (size_t at = 0; at < n; at += COMM_F64_CHUNK) {
    int count = n - at < COMM_F64_CHUNK ? (int)(n - at) : COMM_F64_CHUNK;
    int result = MPI_Iallgather(values + at, count, MPI_DOUBLE, comm->gathered, count, MPI_DOUBLE,
                                comm->world, comm->requests);
    status = comm_check(comm, result, kind, err);
    if (status == 0) status = comm_wait(comm, comm->requests, 1, kind, err);
    if (status < 0) return status;
    for (int i = 0; i < count; i++) {
      double total = comm->gathered[i];
      for (int r = 1; r < comm->size; r++) {
        double x = comm->gathered[(size_t)r * (size_t)count + (size_t)i];
        if (kind == COMM_SUM_F64)
          total += x;
        else if (x > total || x != x)
          total = x; /* a NaN anywhere is kept */
      }
      values[at + (size_t)i] = total;
    }
  }
  return 0;
}

int tpo_comm_allreduce_sum_f64(struct tpo_comm *comm, double *values, size_t n, struct tpo_error *err)
{
  return reduce_f64(comm, values, n, COMM_SUM_F64, err);
}

int tpo_comm_allreduce_max_f64(struct tpo_comm *comm, double *values, size_t n, struct tpo_error *err)
{
  return reduce_f64(comm, values, n, COMM_MAX_F64, err);
}
