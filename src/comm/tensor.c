/* Exchanges of tensors that lie in a backend's memory: MPI where that is the host's, the backend's own
 * collectives (NCCL) elsewhere. Those run by themselves once they are begun; what stays here is what they
 * lack: the announcement that tells the other ranks where this one is, and waiting with a deadline. */
#include <stdlib.h>
#include <string.h>
#include "base/shard.h"
#include "comm/state.h"

void comm_give_up_device(struct tpo_comm *comm)
{
  if (comm->device) comm->collectives->abort(comm->device);
  comm->device = NULL;
}

struct device_wait {
  enum comm_kind kind;
  uint64_t number;
  bool all; /* until the exchange is done, not just on its way */
};

static int poll_device(struct tpo_comm *comm, void *arg, struct tpo_error *err)
{
  const struct device_wait *wait = arg;
  const struct tpo_collectives *collectives = comm->collectives;
  struct tpo_error told = {0};
  int done = wait->all ? collectives->done(comm->device, wait->number, &told)
                       : collectives->started(comm->device, &told);
  return done >= 0 ? done : comm_device_failed(comm, done, wait->kind, told.message, err);
}

static int wait_device(struct tpo_comm *comm, struct device_wait wait, struct tpo_error *err)
{
  return comm_wait_for(comm, poll_device, &wait, wait.kind, err);
}

/* Waits until all exchanges before `number` are done. */
static int wait_until(struct tpo_comm *comm, uint64_t number, struct tpo_error *err)
{
  if (number <= comm->done) return 0;
  struct device_wait wait = {comm->latest, number - 1, true};
  int status = wait_device(comm, wait, err);
  if (status == 0) comm->done = number;
  return status;
}

/* NCCL wants a GPU for each rank. Where ranks share one, host memory is the way. */
static int choose_way(struct tpo_comm *comm, struct tpo_error *err)
{
  uint64_t *places = (uint64_t *)comm->gathered; /* size <= size * COMM_F64_CHUNK */
  int status = comm_enter(comm, COMM_ATTACH, err);
  if (status == 0)
    status = comm_allgather_u64(comm, comm->collectives->place(comm->backend), places, COMM_ATTACH, err);
  bool shared = false;
  for (int r = 0; r < comm->size && status == 0; r++)
    for (int other = 0; other < r; other++) shared = shared || places[r] == places[other];
  if (status < 0 || !shared) return status;
  tpo_log(TPO_LOG_DEBUG, "ranks share a GPU: tensors go from one to the other through host memory");
  comm->staging = malloc(COMM_STAGING_BYTES);
  return tpo_comm_agree(comm, comm->staging ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory"), err);
}

static int open_device(struct tpo_comm *comm, struct tpo_error *err)
{
  const struct tpo_collectives *collectives = comm->collectives;
  unsigned char id[256] = {0};
  int status = 0;
  if (comm->rank == 0) status = collectives->make_id(id, err);
  status = tpo_comm_agree(comm, status, err);
  if (status == 0) status = tpo_comm_bcast(comm, id, collectives->id_bytes, 0, err);
  if (status == 0) status = collectives->open(&comm->device, comm->backend, id, comm->rank, comm->size, err);
  /* A rank that could not even begin would be waited for by all the others. */
  status = tpo_comm_agree(comm, status, err);
  if (status == 0) status = comm_enter(comm, COMM_ATTACH, err);
  return status < 0 ? status : wait_device(comm, (struct device_wait){.kind = COMM_ATTACH}, err);
}

int tpo_comm_attach(struct tpo_comm *comm, struct tpo_backend *backend, struct tpo_error *err)
{
  if (comm->backend) tpo_comm_detach(comm);
  comm->backend = backend;
  comm->collectives = backend->collectives;
  comm->begun = comm->done = 0;
  if (comm->size == 1 || !comm->collectives) return 0;
  int status = choose_way(comm, err);
  if (status == 0 && !comm->staging) status = open_device(comm, err);
  if (status < 0) {
    comm_give_up_device(comm);
    tpo_comm_detach(comm);
  }
  return status;
}

void tpo_comm_detach(struct tpo_comm *comm)
{
  if (!comm) return;
  if (comm->device) {
    bool orderly = comm_enter(comm, COMM_DETACH, NULL) == 0 && wait_until(comm, comm->begun, NULL) == 0 &&
                   tpo_comm_barrier(comm, NULL) == 0;
    if (orderly && comm->device)
      comm->collectives->close(comm->device);
    else
      comm_give_up_device(comm);
    comm->device = NULL;
  }
  free(comm->staging);
  comm->staging = NULL;
  comm->backend = NULL;
  comm->collectives = NULL;
}

const struct tpo_backend *tpo_comm_attached(const struct tpo_comm *comm)
{
  return comm->backend;
}

/* Room for an exchange, and its announcement. */
static int begin_device(struct tpo_comm *comm, enum comm_kind kind, struct tpo_error *err)
{
  int status = comm_enter(comm, kind, err);
  if (status == 0 && !comm->device)
    status = tpo_fail(err, TPO_E_COMM, "the exchanges between the GPUs have been given up");
  if (status == 0 && comm->begun - comm->done >= TPO_EXCHANGES)
    status = wait_until(comm, comm->begun - TPO_EXCHANGES + 1, err);
  return status;
}

static int start_device(struct tpo_comm *comm, enum comm_kind kind, const struct tpo_transfer *transfers,
                        int n, struct tpo_error *err)
{
  const struct tpo_collectives *collectives = comm->collectives;
  struct tpo_error told = {0};
  int status = (kind == COMM_REDUCE_SCATTER ? collectives->reduce : collectives->broadcast)(
      comm->device, comm->begun, transfers, n, &told);
  if (status < 0) return comm_device_failed(comm, status, kind, told.message, err);
  comm->latest = kind;
  comm->begun++;
  return wait_device(comm, (struct device_wait){.kind = kind}, err);
}

static int reduce_device(struct tpo_comm *comm, float *values, size_t n, size_t first, size_t count,
                         struct tpo_error *err)
{
  int status = begin_device(comm, COMM_REDUCE_SCATTER, err), n_transfers = 0;
  for (int r = 0; r < comm->size && status == 0; r++) {
    size_t shard_first, shard_count, at = first;
    tpo_comm_shard(comm, n, r, &shard_first, &shard_count);
    size_t owned = tpo_overlap(&at, count, shard_first, shard_count);
    if (owned > 0)
      comm->transfers[n_transfers++] =
          (struct tpo_transfer){.send = values + at, .recv = values + at, .count = owned, .root = r};
  }
  return status < 0 ? status : start_device(comm, COMM_REDUCE_SCATTER, comm->transfers, n_transfers, err);
}

int tpo_comm_reduce_begin(struct tpo_comm *comm, float *values, size_t n, size_t first, size_t count,
                          struct tpo_error *err)
{
  if (comm->size > 1 && comm->collectives && !comm->staging)
    return reduce_device(comm, values, n, first, count, err);
  int status = comm_enter(comm, COMM_REDUCE_SCATTER, err);
  if (status < 0 || comm->size == 1) return status;
  if (comm->staging) return comm_reduce_staged(comm, values, n, first, count, err);
  return comm_reduce_range(comm, values + first, n, first, count, err);
}

/* One shard's part on its way to all ranks, where the host carries it. */
static int broadcast_host(struct tpo_comm *comm, const struct tpo_transfer *t, struct tpo_error *err)
{
  bool root = t->root == comm->rank;
  if (root && comm->collectives)
    tpo_ops(comm->backend)->copy(comm->backend, t->recv, t->send, t->count);
  else if (root)
    memcpy(t->recv, t->send, t->count);
  if (comm->size == 1) return 0;
  return comm->staging ? comm_broadcast_staged(comm, t, err)
                       : comm_bcast(comm, t->recv, t->count, t->root, COMM_ALLGATHER, err);
}

/* What `ranges` have of each shard, in order: at most size transfers and one for each range but the first. */
static int spread_transfers(struct tpo_comm *comm, const char *shard, size_t element_bytes, size_t n,
                            const struct tpo_range *ranges, int n_ranges, char *out,
                            struct tpo_transfer *transfers)
{
  int n_transfers = 0;
  for (int i = 0; i < n_ranges; i++)
    for (int r = 0; r < comm->size; r++) {
      size_t shard_first, shard_count, at = ranges[i].first;
      tpo_comm_shard(comm, n, r, &shard_first, &shard_count);
      size_t owned = tpo_overlap(&at, ranges[i].count, shard_first, shard_count);
      if (owned == 0) continue;
      struct tpo_transfer t = {.recv = out, .count = owned * element_bytes, .root = r};
      t.send = r == comm->rank ? shard + (at - shard_first) * element_bytes : out;
      transfers[n_transfers++] = t;
      out += t.count;
    }
  return n_transfers;
}

static bool ranges_ascend(const struct tpo_comm *comm, size_t n, const struct tpo_range *ranges, int n_ranges)
{
  size_t at = 0;
  for (int i = 0; i < n_ranges; at = ranges[i].first + ranges[i].count, i++)
    if (ranges[i].first < at || ranges[i].first > n || ranges[i].count > n - ranges[i].first) return false;
  return n_ranges <= comm->size;
}

int tpo_comm_spread_begin(struct tpo_comm *comm, const void *shard, size_t element_bytes, size_t n,
                          const struct tpo_range *ranges, int n_ranges, void *out, struct tpo_error *err)
{
  bool device = comm->size > 1 && comm->collectives && !comm->staging;
  int status = device ? begin_device(comm, COMM_ALLGATHER, err) : comm_enter(comm, COMM_ALLGATHER, err);
  if (status < 0) return status;
  if (!ranges_ascend(comm, n, ranges, n_ranges))
    return tpo_fail(err, TPO_E_USAGE,
                    "%d ranges of %zu elements are to be spread; expected at most one a rank, ascending",
                    n_ranges, n);
  struct tpo_transfer whole, *transfers = comm->size > 1 ? comm->transfers : &whole;
  int n_transfers = spread_transfers(comm, shard, element_bytes, n, ranges, n_ranges, out, transfers);
  if (device) return start_device(comm, COMM_ALLGATHER, transfers, n_transfers, err);
  for (int i = 0; i < n_transfers && status == 0; i++) status = broadcast_host(comm, &transfers[i], err);
  return status;
}

int tpo_comm_order(struct tpo_comm *comm, unsigned but, struct tpo_error *err)
{
  if (!comm->device || comm->begun < (uint64_t)but + comm->done + 1) return 0;
  return comm->collectives->order(comm->device, comm->begun - but - 1, err);
}

int tpo_comm_finish(struct tpo_comm *comm, struct tpo_error *err)
{
  if (comm->broken)
    return tpo_fail(err, TPO_E_COMM, "an earlier exchange between the ranks failed: %s",
                    comm->broken_message);
  return comm->device ? wait_until(comm, comm->begun, err) : 0;
}
