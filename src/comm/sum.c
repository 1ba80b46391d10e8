/* Sums of large arrays in a fixed order, and the exchange of shards.
 *
 * Reduce-scatter: each rank owns a shard. It gets that shard's part from every other rank, chunk by chunk,
 * and adds the parts in the order of the ranks, its own in its place. The next chunk travels while one is
 * being added. Bytes sent by a rank: 4 n (size - 1) / size, the least possible. Memory: two chunks for each
 * other rank, whatever n is.
 *
 * Allgather: shards travel around a ring, each rank passing on what it got last: the same number of bytes. */
#include <string.h>
#include "base/shard.h"
#include "comm/state.h"

enum { RING_PIECE = 1 << 26 }; /* elements in one message */

void tpo_comm_shard(const struct tpo_comm *comm, size_t n, int rank, size_t *first, size_t *count)
{
  tpo_shard(n, rank, comm->size, first, count);
}

/* What is summed in one go: elements [first, first + count) of an array of n. */
struct range {
  float *values; /* [count] */
  size_t n, first, count;
};

/* How many of them rank r owns, and where in values they begin. */
static size_t owned(const struct tpo_comm *comm, const struct range *range, int r, size_t *first)
{
  size_t shard_first, shard_count;
  tpo_comm_shard(comm, range->n, r, &shard_first, &shard_count);
  *first = range->first;
  size_t count = tpo_overlap(first, range->count, shard_first, shard_count);
  *first -= range->first;
  return count;
}

/* Elements of chunk c of `count` owned ones. */
static size_t chunk_count(const struct tpo_comm *comm, size_t count, size_t c)
{
  size_t at = c * comm->sum_chunk;
  if (at >= count) return 0;
  return count - at < comm->sum_chunk ? count - at : comm->sum_chunk;
}

/* Posts chunk c: a receive from and a send to each other rank. Requests and buffers of even and odd chunks
 * are apart. */
static int post_chunk(struct tpo_comm *comm, const struct range *range, size_t c, struct tpo_error *err)
{
  size_t others = (size_t)comm->size - 1, generation = c % 2;
  MPI_Request *requests = comm->requests + generation * 2 * others;
  float *incoming = comm->incoming + generation * others * comm->sum_chunk;
  size_t first;
  int mine = (int)chunk_count(comm, owned(comm, range, comm->rank, &first), c);
  for (int r = 0, k = 0; r < comm->size; r++) {
    if (r == comm->rank) continue;
    requests[2 * k] = requests[2 * k + 1] = MPI_REQUEST_NULL;
    int result = MPI_SUCCESS;
    if (mine > 0)
      result = MPI_Irecv(incoming + (size_t)k * comm->sum_chunk, mine, MPI_FLOAT, r, COMM_REDUCE_SCATTER,
                         comm->world, &requests[2 * k]);
    int theirs = (int)chunk_count(comm, owned(comm, range, r, &first), c);
    if (result == MPI_SUCCESS && theirs > 0)
      result = MPI_Isend(range->values + first + c * comm->sum_chunk, theirs, MPI_FLOAT, r,
                         COMM_REDUCE_SCATTER, comm->world, &requests[2 * k + 1]);
    int status = comm_check(comm, result, COMM_REDUCE_SCATTER, err);
    if (status < 0) return status;
    k++;
  }
  return 0;
}

static void add_chunk(struct tpo_comm *comm, float *own, size_t count, size_t generation)
{
  enum { BLOCK = 2048 }; /* elements: 8 KiB stay in the first-level cache over all ranks */
  size_t others = (size_t)comm->size - 1, self = (size_t)comm->rank;
  const float *incoming = comm->incoming + generation * others * comm->sum_chunk;
  float total[BLOCK];
  for (size_t at = 0; at < count; at += BLOCK) {
    size_t m = count - at < BLOCK ? count - at : BLOCK;
    memcpy(total, self == 0 ? own + at : incoming + at, m * sizeof *total);
    for (size_t r = 1; r <= others; r++) {
      const float *part = r == self ? own + at : incoming + (r < self ? r : r - 1) * comm->sum_chunk + at;
      for (size_t i = 0; i < m; i++) total[i] += part[i];
    }
    memcpy(own + at, total, m * sizeof *total);
  }
}

int comm_reduce_range(struct tpo_comm *comm, float *values, size_t n, size_t first, size_t count,
                      struct tpo_error *err)
{
  const struct range range = {values, n, first, count};
  size_t longest = 0, own_first, others = (size_t)comm->size - 1;
  for (int r = 0; r < comm->size; r++) {
    size_t theirs = owned(comm, &range, r, &own_first);
    if (theirs > longest) longest = theirs;
  }
  size_t own = owned(comm, &range, comm->rank, &own_first);
  size_t n_chunks = (longest + comm->sum_chunk - 1) / comm->sum_chunk;
  int status = n_chunks > 0 ? post_chunk(comm, &range, 0, err) : 0;
  for (size_t c = 0; c < n_chunks && status == 0; c++) {
    if (c + 1 < n_chunks) status = post_chunk(comm, &range, c + 1, err);
    if (status == 0)
      status =
          comm_wait(comm, comm->requests + c % 2 * 2 * others, (int)(2 * others), COMM_REDUCE_SCATTER, err);
    if (status == 0)
      add_chunk(comm, values + own_first + c * comm->sum_chunk, chunk_count(comm, own, c), c % 2);
  }
  return status;
}

int comm_reduce_scatter_sum_f32(struct tpo_comm *comm, float *values, size_t n, struct tpo_error *err)
{
  int status = comm_enter(comm, COMM_REDUCE_SCATTER, err);
  return status < 0 || comm->size == 1 ? status : comm_reduce_range(comm, values, n, 0, n, err);
}

/* One step around the ring: the shard of rank `from` comes in from the left while that of `to` goes out to
 * the right. */
static int ring_step(struct tpo_comm *comm, float *values, size_t n, int out, int in, struct tpo_error *err)
{
  int right = (comm->rank + 1) % comm->size, left = (comm->rank + comm->size - 1) % comm->size;
  size_t out_first, out_count, in_first, in_count;
  tpo_comm_shard(comm, n, out, &out_first, &out_count);
  tpo_comm_shard(comm, n, in, &in_first, &in_count);
  for (size_t at = 0; at < out_count || at < in_count; at += RING_PIECE) {
    comm->requests[0] = comm->requests[1] = MPI_REQUEST_NULL;
    int result = MPI_SUCCESS;
    if (at < in_count) {
      int m = in_count - at < RING_PIECE ? (int)(in_count - at) : RING_PIECE;
      result = MPI_Irecv(values + in_first + at, m, MPI_FLOAT, left, COMM_ALLGATHER, comm->world,
                         &comm->requests[0]);
    }
    if (result == MPI_SUCCESS && at < out_count) {
      int m = out_count - at < RING_PIECE ? (int)(out_count - at) : RING_PIECE;
      result = MPI_Isend(values + out_first + at, m, MPI_FLOAT, right, COMM_ALLGATHER, comm->world,
                         &comm->requests[1]);
    }
    int status = comm_check(comm, result, COMM_ALLGATHER, err);
    if (status == 0) status = comm_wait(comm, comm->requests, 2, COMM_ALLGATHER, err);
    if (status < 0) return status;
  }
  return 0;
}

int comm_allgather_f32(struct tpo_comm *comm, float *values, size_t n, struct tpo_error *err)
{
  int status = comm_enter(comm, COMM_ALLGATHER, err);
  for (int step = 0; status == 0 && step + 1 < comm->size; step++) {
    int out = (comm->rank - step + comm->size) % comm->size;
    int in = (comm->rank - step - 1 + comm->size) % comm->size;
    status = ring_step(comm, values, n, out, in, err);
  }
  return status;
}

int comm_allreduce_sum_f32(struct tpo_comm *comm, float *values, size_t n, struct tpo_error *err)
{
  int status = comm_reduce_scatter_sum_f32(comm, values, n, err);
  return status < 0 ? status : comm_allgather_f32(comm, values, n, err);
}
