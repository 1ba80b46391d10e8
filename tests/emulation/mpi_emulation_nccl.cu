/* The emulated NCCL, run with 1 to 4 ranks: results, rank order, work that waits behind a collective, peers
 * that do not come, aborts. */
#include <vector>

#include "portable.cuh"

#define OMPI_SKIP_MPICXX
#define MPICH_SKIP_MPICXX
#include <mpi.h>
#include <nccl.h>
#include <time.h>

static int rank, size;
static cudaStream_t stream;

#define CHECK(condition)                                                                                     \
  do {                                                                                                       \
    if (condition) break;                                                                                    \
    fprintf(stderr, "rank %d: %s:%d: %s does not hold\n", rank, __FILE__, __LINE__, #condition);             \
    MPI_Abort(MPI_COMM_WORLD, 1);                                                                            \
  } while (0)

template <class T> struct buffer {
  T *data = NULL;
  size_t count;
  explicit buffer(const std::vector<T> &from) : count(from.size())
  {
    CHECK(cudaMalloc(&data, count * sizeof(T)) == cudaSuccess);
    CHECK(cudaMemcpy(data, from.data(), count * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
  }
  ~buffer() { cudaFree(data); }
  std::vector<T> host() const
  {
    std::vector<T> out(count);
    CHECK(cudaMemcpy(out.data(), data, count * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return out;
  }
};

static ncclComm_t open_communicator(int from, int *my_rank)
{
  ncclUniqueId id;
  if (rank == from) CHECK(ncclGetUniqueId(&id) == ncclSuccess);
  MPI_Bcast(&id, sizeof id, MPI_BYTE, from, MPI_COMM_WORLD);
  *my_rank = (rank + size - from) % size; /* another order than the world's */
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t comm;
  ncclResult_t result = ncclCommInitRankConfig(&comm, size, id, *my_rank, &config);
  CHECK(result == ncclSuccess || result == ncclInProgress);
  do CHECK(ncclCommGetAsyncError(comm, &result) == ncclSuccess);
  while (result == ncclInProgress);
  CHECK(result == ncclSuccess);
  return comm;
}

static void wait_done()
{
  cudaError_t result;
  while ((result = cudaStreamQuery(stream)) == cudaErrorNotReady) {
  }
  CHECK(result == cudaSuccess);
  cudaGetLastError();
}

/* Parts whose fp32 sum depends on the order. */
static float part(int r, size_t i)
{
  return (r % 2 ? -1.0f : 1.0f) * (1e8f / static_cast<float>(r + 1)) + static_cast<float>(i) * 0.37f;
}

static float ordered_sum(size_t i)
{
  float sum = part(0, i);
  for (int r = 1; r < size; r++) sum += part(r, i);
  return sum;
}

static void sums_add_in_rank_order(ncclComm_t comm, int me)
{
  std::vector<float> mine(101), all(static_cast<size_t>(7 * size));
  for (size_t i = 0; i < mine.size(); i++) mine[i] = part(me, i);
  for (size_t i = 0; i < all.size(); i++) all[i] = part(me, i);
  buffer<float> x(mine), y(mine), z(all), piece(std::vector<float>(7, 0.0f));
  CHECK(ncclAllReduce(x.data, x.data, x.count, ncclFloat, ncclSum, comm, stream) == ncclSuccess);
  CHECK(ncclReduce(y.data, y.data, y.count, ncclFloat, ncclSum, size - 1, comm, stream) == ncclSuccess);
  CHECK(ncclReduceScatter(z.data, piece.data, 7, ncclFloat, ncclSum, comm, stream) == ncclSuccess);
  wait_done();
  const std::vector<float> gx = x.host(), gy = y.host(), gp = piece.host();
  for (size_t i = 0; i < mine.size(); i++) {
    CHECK(gx[i] == ordered_sum(i));
    CHECK(gy[i] == (me == size - 1 ? ordered_sum(i) : mine[i]));
  }
  for (size_t i = 0; i < 7; i++) CHECK(gp[i] == ordered_sum(static_cast<size_t>(me) * 7 + i));
}

static void other_types_add_up(ncclComm_t comm, int me)
{
  buffer<double> d(std::vector<double>(3, 1.0 / (me + 1)));
  buffer<__nv_bfloat16> h(std::vector<__nv_bfloat16>(5, __float2bfloat16_rn(1.0f + static_cast<float>(me))));
  buffer<int> n(std::vector<int>(2, me));
  CHECK(ncclGroupStart() == ncclSuccess);
  CHECK(ncclAllReduce(d.data, d.data, 3, ncclFloat64, ncclSum, comm, stream) == ncclSuccess);
  CHECK(ncclAllReduce(h.data, h.data, 5, ncclBfloat16, ncclSum, comm, stream) == ncclSuccess);
  CHECK(ncclAllReduce(n.data, n.data, 2, ncclInt32, ncclMax, comm, stream) == ncclSuccess);
  CHECK(ncclGroupEnd() == ncclSuccess);
  wait_done();
  double sum = 1;
  for (int r = 1; r < size; r++) sum += 1.0 / (r + 1);
  CHECK(d.host()[2] == sum);
  CHECK(__bfloat162float(h.host()[4]) == static_cast<float>(size * (size + 1) / 2));
  CHECK(n.host()[1] == size - 1);
}

static void broadcast_and_gather_move_bytes(ncclComm_t comm, int me)
{
  std::vector<int> mine = {10 * me, 10 * me + 1, 10 * me + 2};
  buffer<int> x(mine), all(std::vector<int>(static_cast<size_t>(3 * size), -1)), sent(mine);
  CHECK(ncclAllGather(x.data, all.data, 3, ncclInt32, comm, stream) == ncclSuccess);
  CHECK(ncclBroadcast(sent.data, sent.data, 3, ncclInt32, size - 1, comm, stream) == ncclSuccess);
  wait_done();
  const std::vector<int> got = all.host(), got_sent = sent.host();
  for (int r = 0; r < size; r++) {
    for (int i = 0; i < 3; i++) CHECK(got[static_cast<size_t>(3 * r + i)] == 10 * r + i);
  }
  CHECK(got_sent[2] == 10 * (size - 1) + 2);
}

__global__ void triple(float *x)
{
  x[threadIdx.x] *= 3;
}

/* The last rank comes late: until then nothing behind the collective has happened, on this stream and on one
 * that waits for its event; work of other streams goes on. */
static void later_work_waits_for_the_collective(ncclComm_t comm, int me)
{
  if (size == 1) return;
  buffer<float> x(std::vector<float>(32, 1.0f)), y(std::vector<float>(32, 1.0f));
  cudaStream_t other;
  cudaEvent_t event;
  CHECK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking) == cudaSuccess);
  CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
  float *host;
  CHECK(cudaMallocHost(&host, 4) == cudaSuccess);
  *host = -1;
  if (me == size - 1) MPI_Barrier(MPI_COMM_WORLD);
  CHECK(ncclAllReduce(x.data, x.data, 32, ncclFloat, ncclSum, comm, stream) == ncclSuccess);
  TPO_LAUNCH(triple, 1, 32, 0, stream, x.data);
  CHECK(cudaEventRecord(event, stream) == cudaSuccess);
  TPO_LAUNCH(triple, 1, 32, 0, other, y.data);
  CHECK(cudaStreamSynchronize(other) == cudaSuccess);
  CHECK(cudaStreamWaitEvent(other, event, 0) == cudaSuccess);
  CHECK(cudaMemcpyAsync(host, x.data, 4, cudaMemcpyDeviceToHost, other) == cudaSuccess);
  if (me != size - 1) {
    for (int i = 0; i < 100; i++) {
      CHECK(cudaStreamQuery(stream) == cudaErrorNotReady);
      CHECK(cudaEventQuery(event) == cudaErrorNotReady);
      CHECK(cudaStreamQuery(other) == cudaErrorNotReady);
    }
    CHECK(*host == -1);
    MPI_Barrier(MPI_COMM_WORLD);
  }
  CHECK(cudaStreamSynchronize(other) == cudaSuccess);
  cudaGetLastError();
  CHECK(*host == 3.0f * static_cast<float>(size));
  wait_done();
  cudaFreeHost(host);
  cudaEventDestroy(event);
  cudaStreamDestroy(other);
}

/* Rank 0 calls a collective that nobody else does, and gives up. */
static void abort_ends_what_a_peer_does_not_join(ncclComm_t comm, int me)
{
  if (size == 1 || me != 0) {
    MPI_Barrier(MPI_COMM_WORLD);
    CHECK(ncclCommAbort(comm) == ncclSuccess);
    return;
  }
  buffer<float> x(std::vector<float>(32, 1.0f));
  CHECK(ncclAllReduce(x.data, x.data, 32, ncclFloat, ncclSum, comm, stream) == ncclSuccess);
  const struct timespec interval = {0, 20000000};
  nanosleep(&interval, NULL);
  CHECK(cudaStreamQuery(stream) == cudaErrorNotReady);
  CHECK(ncclCommAbort(comm) == ncclSuccess);
  CHECK(cudaStreamQuery(stream) == cudaErrorNotReady); /* it takes a moment */
  wait_done();
  MPI_Barrier(MPI_COMM_WORLD);
}

/* Rank 0 has begun a collective that nobody joins. */
static void a_stream_is_not_destroyed_under_a_collective(ncclComm_t comm, int me)
{
  if (size > 1 && me == 0) {
    buffer<float> x(std::vector<float>(32, 1.0f));
    cudaStream_t doomed;
    CHECK(cudaStreamCreateWithFlags(&doomed, cudaStreamNonBlocking) == cudaSuccess);
    CHECK(ncclAllReduce(x.data, x.data, 32, ncclFloat, ncclSum, comm, doomed) == ncclSuccess);
    CHECK(ncclCommAbort(comm) == ncclSuccess);
    CHECK(cudaStreamDestroy(doomed) == cudaSuccess);
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalState);
    CHECK(strstr(tpo_emulation_last_error(), "destroyed while a collective") != NULL);
    cudaDeviceReset();
    MPI_Barrier(MPI_COMM_WORLD);
    return;
  }
  MPI_Barrier(MPI_COMM_WORLD);
  CHECK(ncclCommAbort(comm) == ncclSuccess);
}

static void disagreement_is_told(ncclComm_t comm, int me)
{
  if (size > 1) {
    buffer<float> x(std::vector<float>(32, 1.0f));
    CHECK(ncclAllReduce(x.data, x.data, me == 0 ? 31 : 32, ncclFloat, ncclSum, comm, stream) == ncclSuccess);
    ncclResult_t result = ncclSuccess;
    while (me == 0 && result == ncclSuccess) CHECK(ncclCommGetAsyncError(comm, &result) == ncclSuccess);
    CHECK(me != 0 || result == ncclInvalidUsage);
    MPI_Barrier(MPI_COMM_WORLD);
    CHECK(ncclCommAbort(comm) == ncclSuccess);
    wait_done();
  } else {
    CHECK(ncclCommDestroy(comm) == ncclSuccess);
  }
}

static void chosen_collective_fails(ncclComm_t comm)
{
  cudaDeviceReset();
  setenv("TPO_EMULATION_FAIL", "nccl:2", 1);
  buffer<float> x(std::vector<float>(32, 1.0f));
  ncclResult_t result;
  CHECK(ncclAllReduce(x.data, x.data, 32, ncclFloat, ncclSum, comm, stream) == ncclSuccess);
  wait_done();
  CHECK(ncclCommGetAsyncError(comm, &result) == ncclSuccess && result == ncclSuccess);
  CHECK(ncclAllReduce(x.data, x.data, 32, ncclFloat, ncclSum, comm, stream) == ncclSuccess);
  CHECK(cudaStreamQuery(stream) == cudaErrorNotReady);
  CHECK(ncclCommGetAsyncError(comm, &result) == ncclSuccess && result == ncclRemoteError);
  unsetenv("TPO_EMULATION_FAIL");
  CHECK(ncclCommAbort(comm) == ncclSuccess);
  wait_done();
}

int main(void)
{
  int provided;
  MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  int me;
  ncclComm_t comm = open_communicator(0, &me), second = open_communicator(size - 1, &me);
  int first_rank;
  CHECK(ncclCommUserRank(comm, &first_rank) == ncclSuccess && first_rank == rank);
  sums_add_in_rank_order(second, me);
  other_types_add_up(comm, rank);
  broadcast_and_gather_move_bytes(second, me);
  later_work_waits_for_the_collective(comm, rank);
  CHECK(ncclCommDestroy(second) == ncclSuccess);
  abort_ends_what_a_peer_does_not_join(comm, rank);
  disagreement_is_told(open_communicator(0, &me), me);
  ncclComm_t doomed = open_communicator(0, &me);
  a_stream_is_not_destroyed_under_a_collective(doomed, me);
  chosen_collective_fails(open_communicator(0, &me));
  cudaStreamDestroy(stream);
  MPI_Finalize();
  return 0;
}
