/* Emulated CUDA: NCCL's collectives over MPI messages between the ranks' processes. A collective is work of
 * its stream: it sends and receives without blocking, and is done when all messages are. A peer that does not
 * come leaves it pending for ever, as on a GPU. Sums add the ranks' parts in rank order. Each message begins
 * with what the sender takes the collective for, so that ranks that disagree are told. */
#include "emulation.h"

#define OMPI_SKIP_MPICXX
#define MPICH_SKIP_MPICXX
#include <mpi.h>

#include <nccl.h>

#include "nccl_sum.h"

namespace tpo_emulation {

namespace {

constexpr int hello_tag = 20471, table_tag = 20472, group_tag = 20473;

struct unique_id {
  char magic[8];
  int creator; /* rank in MPI_COMM_WORLD */
  int serial;
};

struct hello {
  int serial, rank, size, world_rank;
};

enum collective_kind { ALL_REDUCE, REDUCE, REDUCE_SCATTER, BROADCAST, ALL_GATHER };
const char *const kind_names[] = {"ncclAllReduce", "ncclReduce", "ncclReduceScatter", "ncclBroadcast",
                                  "ncclAllGather"};

struct header {
  int kind, type, op, root;
  unsigned long long count, sequence;
};

/* Messages that nobody waits for any more keep their memory. */
std::vector<std::vector<char>> abandoned;

bool mpi_runs()
{
  int initialised = 0, finalised = 0;
  MPI_Initialized(&initialised);
  MPI_Finalized(&finalised);
  return initialised && !finalised;
}

} // namespace

/* Outlives its handle while work is pending. */
struct communicator {
  int rank = 0, size = 1, device = 0;
  unique_id id = {};
  MPI_Comm mpi = MPI_COMM_NULL;
  bool blocking = true, aborted = false, ready = false, finalizing = false;
  ncclResult_t error = ncclSuccess;
  std::string message;
  unsigned long long sequence = 0;
  int pending = 0; /* collectives */

  /* Setting up: everybody says hello to the creator of the id, who answers with the table of members. */
  std::vector<MPI_Request> requests;
  hello mine = {};
  std::vector<hello> hellos;
  std::vector<int> table;
  bool answered = false;

  void begin();
  bool poll_ready();
  void answer();
  void open();
  void fail(ncclResult_t result, const std::string &text)
  {
    if (error == ncclSuccess) {
      error = result;
      message = text;
      fprintf(stderr, "emulated NCCL: rank %d: %s\n", rank, text.c_str());
    }
  }
};

void communicator::begin()
{
  if (size == 1) {
    ready = true;
    return;
  }
  mine = {id.serial, rank, size, 0};
  MPI_Comm_rank(MPI_COMM_WORLD, &mine.world_rank);
  table.resize(static_cast<size_t>(size));
  requests.resize(2);
  MPI_Isend(&mine, sizeof mine, MPI_BYTE, id.creator, hello_tag + 8 * (id.serial % 1000), MPI_COMM_WORLD,
            &requests[0]);
  MPI_Irecv(table.data(), size, MPI_INT, id.creator, table_tag + 8 * (id.serial % 1000), MPI_COMM_WORLD,
            &requests[1]);
  if (mine.world_rank != id.creator) return;
  hellos.resize(static_cast<size_t>(size));
  for (hello &h : hellos) {
    requests.emplace_back();
    MPI_Irecv(&h, sizeof h, MPI_BYTE, MPI_ANY_SOURCE, hello_tag + 8 * (id.serial % 1000), MPI_COMM_WORLD,
              &requests.back());
  }
}

void communicator::answer()
{
  answered = true;
  std::vector<int> members(static_cast<size_t>(size), -1);
  for (const hello &h : hellos) {
    if (h.size != size || h.rank < 0 || h.rank >= size || members[static_cast<size_t>(h.rank)] != -1) {
      fail(ncclInvalidUsage, "ranks disagree on the communicator's size or have the same rank");
      return;
    }
    members[static_cast<size_t>(h.rank)] = h.world_rank;
  }
  for (int member : members) {
    MPI_Send(members.data(), size, MPI_INT, member, table_tag + 8 * (id.serial % 1000), MPI_COMM_WORLD);
  }
}

/* All members are known and have come; the call waits only for those that have not read the table yet. */
void communicator::open()
{
  MPI_Group world, group;
  MPI_Comm_group(MPI_COMM_WORLD, &world);
  MPI_Group_incl(world, size, table.data(), &group);
  MPI_Comm_create_group(MPI_COMM_WORLD, group, group_tag + 8 * (id.serial % 1000), &mpi);
  MPI_Group_free(&group);
  MPI_Group_free(&world);
  MPI_Comm_set_errhandler(mpi, MPI_ERRORS_RETURN);
  ready = true;
}

bool communicator::poll_ready()
{
  if (ready || aborted || error != ncclSuccess) return true;
  int done = 0;
  if (!hellos.empty() && !answered) {
    MPI_Testall(size, &requests[2], &done, MPI_STATUSES_IGNORE);
    if (!done) return false;
    answer();
    if (error != ncclSuccess) return true;
  }
  MPI_Testall(2, requests.data(), &done, MPI_STATUSES_IGNORE);
  if (done) open();
  return done;
}

namespace {

struct collective final : work {
  std::shared_ptr<communicator> comm;
  header what = {};
  const void *send = nullptr;
  void *recv = nullptr;
  bool started = false, never = false;
  int lingering = 0; /* polls since the abort */
  std::vector<MPI_Request> requests;
  std::vector<std::vector<char>> outgoing, incoming; /* a message for each rank */

  size_t bytes() const { return what.count * nccl_element_bytes(static_cast<ncclDataType_t>(what.type)); }
  bool sends_to(int peer) const;
  bool receives_from(int peer) const;
  void start();
  bool agree();
  void reduce(size_t offset);
  void finish();
  void drop();
  bool poll() override;
  bool repeatable() const override { return false; }
  bool urgent() const override { return true; }
};

bool collective::sends_to(int peer) const
{
  if (peer == comm->rank) return false;
  if (what.kind == REDUCE) return peer == what.root;
  return what.kind != BROADCAST || comm->rank == what.root;
}

bool collective::receives_from(int peer) const
{
  if (peer == comm->rank) return false;
  if (what.kind == REDUCE) return comm->rank == what.root;
  return what.kind != BROADCAST || peer == what.root;
}

void collective::start()
{
  started = true;
  const int tag = static_cast<int>(what.sequence % 32768);
  outgoing.resize(static_cast<size_t>(comm->size));
  incoming.resize(static_cast<size_t>(comm->size));
  for (int peer = 0; peer < comm->size; peer++) {
    const size_t p = static_cast<size_t>(peer);
    if (receives_from(peer)) {
      incoming[p].resize(sizeof what + bytes());
      requests.emplace_back();
      MPI_Irecv(incoming[p].data(), static_cast<int>(incoming[p].size()), MPI_BYTE, peer, tag, comm->mpi,
                &requests.back());
    }
    if (sends_to(peer)) {
      outgoing[p].resize(sizeof what + bytes());
      memcpy(outgoing[p].data(), &what, sizeof what);
      const size_t offset = what.kind == REDUCE_SCATTER ? p * bytes() : 0;
      memcpy(outgoing[p].data() + sizeof what, static_cast<const char *>(send) + offset, bytes());
      requests.emplace_back();
      MPI_Isend(outgoing[p].data(), static_cast<int>(outgoing[p].size()), MPI_BYTE, peer, tag, comm->mpi,
                &requests.back());
    }
  }
}

bool collective::agree()
{
  for (int peer = 0; peer < comm->size; peer++) {
    if (!receives_from(peer)) continue;
    header theirs;
    memcpy(&theirs, incoming[static_cast<size_t>(peer)].data(), sizeof theirs);
    if (memcmp(&theirs, &what, sizeof what) == 0) continue;
    comm->fail(ncclInvalidUsage, std::string("collective ") + std::to_string(what.sequence) + ": " +
                                     kind_names[what.kind] + " of " + std::to_string(what.count) +
                                     " elements, but rank " + std::to_string(peer) + " called " +
                                     kind_names[theirs.kind % 5] + " of " + std::to_string(theirs.count));
    return false;
  }
  return true;
}

void collective::reduce(size_t offset)
{
  std::vector<const void *> parts(static_cast<size_t>(comm->size));
  for (int peer = 0; peer < comm->size; peer++) {
    const size_t p = static_cast<size_t>(peer);
    parts[p] =
        peer == comm->rank ? static_cast<const char *>(send) + offset : incoming[p].data() + sizeof what;
  }
  std::vector<char> total(bytes());
  nccl_reduce(total.data(), parts, what.count, static_cast<ncclDataType_t>(what.type),
              static_cast<ncclRedOp_t>(what.op));
  memcpy(recv, total.data(), total.size());
}

void collective::finish()
{
  if (what.kind == ALL_REDUCE || (what.kind == REDUCE && comm->rank == what.root)) {
    reduce(0);
  } else if (what.kind == REDUCE_SCATTER) {
    reduce(static_cast<size_t>(comm->rank) * bytes());
  } else if (what.kind == BROADCAST) {
    const void *from =
        comm->rank == what.root ? send : incoming[static_cast<size_t>(what.root)].data() + sizeof what;
    memmove(recv, from, bytes());
  } else if (what.kind == ALL_GATHER) {
    for (int peer = 0; peer < comm->size; peer++) {
      const void *from = peer == comm->rank ? send : incoming[static_cast<size_t>(peer)].data() + sizeof what;
      memmove(static_cast<char *>(recv) + static_cast<size_t>(peer) * bytes(), from, bytes());
    }
  }
}

/* After an abort: MPI may still use the messages' memory. */
void collective::drop()
{
  for (MPI_Request &request : requests) {
    if (request == MPI_REQUEST_NULL) continue;
    MPI_Cancel(&request);
    MPI_Request_free(&request);
  }
  for (std::vector<char> &message : outgoing) abandoned.push_back(std::move(message));
  for (std::vector<char> &message : incoming) abandoned.push_back(std::move(message));
}

bool collective::poll()
{
  if (comm->aborted) {
    if (++lingering < 4) return false; /* a kernel leaves some time after it is told to */
    if (started) drop();
    comm->pending--;
    return true;
  }
  if (never || comm->error != ncclSuccess || !comm->poll_ready()) return false;
  if (!started) start();
  int done = 1;
  const int count = static_cast<int>(requests.size());
  if (count > 0 && MPI_Testall(count, requests.data(), &done, MPI_STATUSES_IGNORE) != MPI_SUCCESS) {
    comm->fail(ncclInvalidUsage,
               std::string(kind_names[what.kind]) + ": a rank sent more than this rank expects");
    return false;
  }
  if (!done || !agree()) return false;
  finish();
  comm->pending--;
  return true;
}

thread_local int group_depth;
thread_local std::vector<std::pair<cudaStream_t, std::shared_ptr<collective>>> group;

ncclResult_t submit(cudaStream_t stream, std::shared_ptr<collective> item)
{
  std::shared_ptr<communicator> comm = item->comm;
  if (injected_failure("nccl", "")) {
    item->never = true;
    comm->fail(ncclRemoteError, "failure injected by TPO_EMULATION_FAIL");
  }
  comm->pending++;
  if (enqueue(stream, item) == cudaSuccess) return ncclSuccess;
  comm->pending--;
  return ncclUnhandledCudaError;
}

bool device_range(const void *p, size_t bytes, const char *kind)
{
  if (bytes == 0 || (device_reaches(p) && in_bounds(p, bytes))) return true;
  fprintf(stderr, "emulated NCCL: %s: a buffer is not device memory of %zu bytes\n", kind, bytes);
  return false;
}

} // namespace
} // namespace tpo_emulation

struct ncclComm {
  std::shared_ptr<tpo_emulation::communicator> shared;
};

using namespace tpo_emulation;

static ncclResult_t start(collective_kind kind, const void *send, void *recv, size_t count,
                          ncclDataType_t type, ncclRedOp_t op, int root, ncclComm_t comm, cudaStream_t stream)
{
  TPO_EMULATION_LOCK;
  if (comm == nullptr || nccl_element_bytes(type) == 0) return ncclInvalidArgument;
  communicator &c = *comm->shared;
  if (c.error != ncclSuccess) return c.error;
  if (root < 0 || root >= c.size) return ncclInvalidArgument;
  const size_t bytes = count * nccl_element_bytes(type), all = bytes * static_cast<size_t>(c.size);
  const bool is_root = c.rank == root;
  if ((kind != BROADCAST || is_root) &&
      !device_range(send, kind == REDUCE_SCATTER ? all : bytes, kind_names[kind])) {
    return ncclInvalidArgument;
  }
  if ((kind != REDUCE || is_root) &&
      !device_range(recv, kind == ALL_GATHER ? all : bytes, kind_names[kind])) {
    return ncclInvalidArgument;
  }
  auto item = std::make_shared<collective>();
  item->comm = comm->shared;
  memset(&item->what, 0, sizeof item->what);
  item->what.kind = kind;
  item->what.type = type;
  item->what.op = op;
  item->what.root = root;
  item->what.count = count;
  item->what.sequence = c.sequence++;
  item->send = send;
  item->recv = recv;
  if (group_depth == 0) return submit(stream, std::move(item));
  group.emplace_back(stream, std::move(item));
  return ncclSuccess;
}

ncclResult_t ncclGetVersion(int *version)
{
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *out)
{
  TPO_EMULATION_LOCK;
  static int serial;
  unique_id id = {{'t', 'p', 'o', 'n', 'c', 'c', 'l', 0}, 0, serial++};
  if (mpi_runs()) MPI_Comm_rank(MPI_COMM_WORLD, &id.creator);
  memset(out, 0, sizeof *out);
  memcpy(out, &id, sizeof id);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int size, ncclUniqueId given, int rank,
                                    ncclConfig_t *config)
{
  *out = nullptr;
  auto shared = std::make_shared<communicator>();
  {
    TPO_EMULATION_LOCK;
    if (current_error() != cudaSuccess) return ncclUnhandledCudaError;
    memcpy(&shared->id, &given, sizeof shared->id);
    if (strcmp(shared->id.magic, "tponccl") != 0 || size < 1 || rank < 0 || rank >= size)
      return ncclInvalidArgument;
    if (config != nullptr && config->magic != 0xcafebeef) return ncclInvalidArgument;
    if (size > 1 && !mpi_runs()) return ncclSystemError;
    shared->rank = rank;
    shared->size = size;
    cudaGetDevice(&shared->device);
    shared->begin();
    *out = new ncclComm{shared};
    shared->blocking = config == nullptr || config->blocking != 0;
    if (!shared->blocking) return shared->poll_ready() ? shared->error : ncclInProgress;
  }
  for (;;) {
    {
      TPO_EMULATION_LOCK;
      if (shared->poll_ready()) return shared->error;
    }
    nccl_pause();
  }
}

ncclResult_t ncclCommInitRank(ncclComm_t *out, int size, ncclUniqueId id, int rank)
{
  return ncclCommInitRankConfig(out, size, id, rank, nullptr);
}

/* Is all the communicator's work done, and what was wrong with it? */
static ncclResult_t finished(communicator &c)
{
  TPO_EMULATION_LOCK;
  progress_all();
  if (c.error != ncclSuccess) return c.error;
  return c.pending == 0 || current_error() != cudaSuccess ? ncclSuccess : ncclInProgress;
}

static ncclResult_t wait_finished(communicator &c)
{
  for (;;) {
    const ncclResult_t result = finished(c);
    if (result != ncclInProgress) return result;
    nccl_pause();
  }
}

ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
  if (comm == nullptr) return ncclInvalidArgument;
  comm->shared->finalizing = true;
  return comm->shared->blocking ? wait_finished(*comm->shared) : finished(*comm->shared);
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
  if (comm == nullptr) return ncclInvalidArgument;
  const ncclResult_t result = wait_finished(*comm->shared);
  if (result != ncclSuccess) return result;
  TPO_EMULATION_LOCK;
  if (comm->shared->mpi != MPI_COMM_NULL && mpi_runs()) MPI_Comm_free(&comm->shared->mpi);
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
  TPO_EMULATION_LOCK;
  if (comm == nullptr) return ncclInvalidArgument;
  comm->shared->aborted = true;
  progress_all();
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error)
{
  TPO_EMULATION_LOCK;
  if (comm == nullptr) return ncclInvalidArgument;
  const bool ready = comm->shared->poll_ready();
  const ncclResult_t state = finished(*comm->shared);
  *error =
      !ready || (comm->shared->finalizing && state == ncclInProgress) ? ncclInProgress : comm->shared->error;
  return ncclSuccess;
}

ncclResult_t ncclCommCount(ncclComm_t comm, int *size)
{
  *size = comm->shared->size;
  return ncclSuccess;
}

ncclResult_t ncclCommCuDevice(ncclComm_t comm, int *device)
{
  *device = comm->shared->device;
  return ncclSuccess;
}

ncclResult_t ncclCommUserRank(ncclComm_t comm, int *rank)
{
  *rank = comm->shared->rank;
  return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
  switch (result) {
  case ncclSuccess: return "no error";
  case ncclUnhandledCudaError: return "unhandled cuda error";
  case ncclSystemError: return "unhandled system error";
  case ncclInternalError: return "internal error";
  case ncclInvalidArgument: return "invalid argument";
  case ncclInvalidUsage: return "invalid usage";
  case ncclRemoteError: return "remote process exited or there was a network error";
  case ncclInProgress: return "NCCL operation in progress";
  default: return "unknown result code";
  }
}

const char *ncclGetLastError(ncclComm_t comm)
{
  return comm != nullptr ? comm->shared->message.c_str() : "";
}

ncclResult_t ncclAllReduce(const void *send, void *recv, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream)
{
  return start(ALL_REDUCE, send, recv, count, type, op, 0, comm, stream);
}

ncclResult_t ncclReduce(const void *send, void *recv, size_t count, ncclDataType_t type, ncclRedOp_t op,
                        int root, ncclComm_t comm, cudaStream_t stream)
{
  return start(REDUCE, send, recv, count, type, op, root, comm, stream);
}

ncclResult_t ncclReduceScatter(const void *send, void *recv, size_t recv_count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
  return start(REDUCE_SCATTER, send, recv, recv_count, type, op, 0, comm, stream);
}

ncclResult_t ncclBroadcast(const void *send, void *recv, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream)
{
  return start(BROADCAST, send, recv, count, type, ncclSum, root, comm, stream);
}

ncclResult_t ncclBcast(void *buffer, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                       cudaStream_t stream)
{
  return ncclBroadcast(buffer, buffer, count, type, root, comm, stream);
}

ncclResult_t ncclAllGather(const void *send, void *recv, size_t send_count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream)
{
  return start(ALL_GATHER, send, recv, send_count, type, ncclSum, 0, comm, stream);
}

ncclResult_t ncclGroupStart(void)
{
  group_depth++;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void)
{
  TPO_EMULATION_LOCK;
  if (group_depth == 0) return ncclInvalidUsage;
  if (--group_depth > 0) return ncclSuccess;
  ncclResult_t result = ncclSuccess;
  for (auto &item : group) {
    const ncclResult_t one = submit(item.first, std::move(item.second));
    if (result == ncclSuccess) result = one;
  }
  group.clear();
  return result;
}
