/* Tensors of a GPU that ranks share, piece by piece through host memory
 * and MPI: for tests and small experiments. */
#include "base/shard.h"
#include "comm/state.h"

static size_t piece(size_t left, size_t most)
{
  return left < most ? left : most;
}

int comm_reduce_staged(struct tpo_comm *comm, float *values, size_t n, size_t first, size_t count,
                       struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(comm->backend);
  float *host = comm->staging;
  int status = 0;
  for (size_t at = first, m; at < first + count && status == 0; at += m) {
    m = piece(first + count - at, COMM_STAGING_BYTES / sizeof *host);
    ops->download(comm->backend, host, values + at, m * sizeof *host);
    status = comm_reduce_range(comm, host, n, at, m, err);
    size_t shard_first, shard_count, own = at;
    tpo_comm_shard(comm, n, comm->rank, &shard_first, &shard_count);
    size_t owned = tpo_overlap(&own, m, shard_first, shard_count);
    if (status == 0 && owned > 0)
      ops->upload(comm->backend, values + own, host + (own - at), owned * sizeof *host);
  }
  return status;
}

/* The root's recv holds it already. */
int comm_broadcast_staged(struct tpo_comm *comm, const struct tpo_transfer *transfer, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(comm->backend);
  bool root = transfer->root == comm->rank;
  int status = 0;
  for (size_t at = 0, m; at < transfer->count && status == 0; at += m) {
    char *place = (char *)transfer->recv + at;
    m = piece(transfer->count - at, COMM_STAGING_BYTES);
    if (root) ops->download(comm->backend, comm->staging, place, m);
    status = comm_bcast(comm, comm->staging, m, transfer->root, COMM_ALLGATHER, err);
    if (status == 0 && !root) ops->upload(comm->backend, place, comm->staging, m);
  }
  return status;
}
