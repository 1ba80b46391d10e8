/* Exchanges of tensors between GPUs by NCCL, on a stream of their own beside the backend's.
 *
 * Before an exchange NCCL's stream waits (on the GPU) for what the backend's stream had to do by then, and
 * after it an event tells that it is done. The communicator is a non-blocking one: a call that has to wait
 * for other ranks, as the first between two ranks does, says that it is in progress, and the host asks again;
 * comm has the patience and the deadline. Until such a call is through, nothing of it is in the stream, so
 * the event is recorded when `started` finds that it is.
 *
 * Bytes: a reduce or broadcast of n bytes moves n over each link of NCCL's ring, whatever the number of
 * ranks. Transfers of an exchange are one group, so that those to different owners run together. */
#include "backend.cuh"

#include <nccl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern "C" {
#include "backend/cuda_nccl.h"
}

enum { POLL_US = 100, POLLS = 100000 }; /* of what ends within some seconds */

struct tpo_device_comm {
  struct tpo_cuda *cuda;
  int device, rank;
  ncclComm_t nccl;
  cudaStream_t stream;
  cudaEvent_t before;               /* the backend's work before an exchange */
  cudaEvent_t after[TPO_EXCHANGES]; /* exchange `number` is done: [number % TPO_EXCHANGES] */
  bool unmarked;                    /* the event of exchange `latest` is not recorded yet */
  uint64_t latest;
};

static int nccl_fail(struct tpo_device_comm *comm, ncclResult_t result, struct tpo_error *err)
{
  const char *more = comm ? ncclGetLastError(comm->nccl) : "";
  return tpo_fail(err, TPO_E_COMM, "NCCL: %s%s%.600s", ncclGetErrorString(result),
                  more && more[0] ? ": " : "", more ? more : "");
}

static int cuda_fail(struct tpo_device_comm *comm, cudaError_t result, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_COMM, "GPU %d: %s (%s)", comm->device, cudaGetErrorString(result),
                  cudaGetErrorName(result));
}

/* Of the host's name and the GPU's place in it (FNV-1a). */
static uint64_t place(struct tpo_backend *be)
{
  char text[320] = "";
  gethostname(text, 255);
  size_t length = strlen(text);
  if (cudaDeviceGetPCIBusId(text + length, 32, tpo_cuda_of(be)->device) != cudaSuccess)
    snprintf(text + length, 32, "%d", tpo_cuda_of(be)->device);
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char *c = text; *c; c++) hash = (hash ^ static_cast<unsigned char>(*c)) * 0x100000001b3u;
  return hash;
}

static int make_id(void *id, struct tpo_error *err)
{
  ncclUniqueId made;
  ncclResult_t result = ncclGetUniqueId(&made);
  if (result != ncclSuccess) return nccl_fail(NULL, result, err);
  memcpy(id, &made, sizeof made);
  return 0;
}

static void free_parts(struct tpo_device_comm *comm)
{
  if (comm->before) cudaEventDestroy(comm->before);
  for (int i = 0; i < TPO_EXCHANGES; i++)
    if (comm->after[i]) cudaEventDestroy(comm->after[i]);
  if (comm->stream) cudaStreamDestroy(comm->stream);
  free(comm);
}

/* NCCL's kernels leave when they see that they are to, a moment after the call: until then they are in the
 * stream, which must not be destroyed under them. One that does not get idle is left behind. */
static void abort_comm(struct tpo_device_comm *comm)
{
  if (comm->nccl) ncclCommAbort(comm->nccl);
  cudaError_t state = comm->nccl ? cudaErrorNotReady : cudaSuccess;
  for (int i = 0; i < POLLS && state == cudaErrorNotReady; i++) {
    if (i > 0) usleep(POLL_US);
    state = cudaStreamQuery(comm->stream);
  }
  cudaGetLastError(); /* not to be met again by check */
  if (state == cudaErrorNotReady) {
    comm->cuda->stuck = true;
    free(comm);
  } else
    free_parts(comm);
}

static cudaError_t make_parts(struct tpo_device_comm *comm)
{
  int least = 0, greatest = 0;
  cudaError_t result = cudaDeviceGetStreamPriorityRange(&least, &greatest);
  /* Its blocks go first: an exchange that waits for a matrix product to end isn't beside it. */
  if (result == cudaSuccess)
    result = cudaStreamCreateWithPriority(&comm->stream, cudaStreamNonBlocking, greatest);
  if (result == cudaSuccess) result = cudaEventCreateWithFlags(&comm->before, cudaEventDisableTiming);
  for (int i = 0; result == cudaSuccess && i < TPO_EXCHANGES; i++)
    result = cudaEventCreateWithFlags(&comm->after[i], cudaEventDisableTiming);
  return result;
}

static int open_comm(struct tpo_device_comm **out, struct tpo_backend *be, const void *id, int rank, int size,
                     struct tpo_error *err)
{
  *out = NULL;
  struct tpo_device_comm *comm = static_cast<struct tpo_device_comm *>(calloc(1, sizeof *comm));
  if (!comm) return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  comm->cuda = tpo_cuda_of(be);
  comm->device = comm->cuda->device;
  comm->rank = rank;
  cudaError_t made = make_parts(comm);
  ncclUniqueId unique;
  memcpy(&unique, id, sizeof unique);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclResult_t result = ncclSuccess;
  if (made == cudaSuccess) result = ncclCommInitRankConfig(&comm->nccl, size, unique, rank, &config);
  if (made == cudaSuccess && (result == ncclSuccess || result == ncclInProgress)) {
    *out = comm;
    return 0;
  }
  int code = made == cudaSuccess ? nccl_fail(comm, result, err) : cuda_fail(comm, made, err);
  abort_comm(comm);
  return code;
}

/* NCCL's stream goes on after the backend's work so far. */
static int follow_backend(struct tpo_device_comm *comm, struct tpo_error *err)
{
  cudaError_t result = cudaEventRecord(comm->before, comm->cuda->stream);
  if (result == cudaSuccess) result = cudaStreamWaitEvent(comm->stream, comm->before, 0);
  return result == cudaSuccess ? 0 : cuda_fail(comm, result, err);
}

/* The calls of a group have been made: what became of them. */
static int end_group(struct tpo_device_comm *comm, uint64_t number, ncclResult_t called,
                     struct tpo_error *err)
{
  ncclResult_t ended = ncclGroupEnd();
  ncclResult_t result = called == ncclSuccess || called == ncclInProgress ? ended : called;
  if (result != ncclSuccess && result != ncclInProgress) return nccl_fail(comm, result, err);
  comm->latest = number;
  comm->unmarked = true;
  return 0;
}

static bool going(ncclResult_t result)
{
  return result == ncclSuccess || result == ncclInProgress;
}

static int reduce(struct tpo_device_comm *comm, uint64_t number, const struct tpo_transfer *transfers, int n,
                  struct tpo_error *err)
{
  int code = follow_backend(comm, err);
  if (code < 0) return code;
  ncclResult_t result = ncclGroupStart();
  for (int i = 0; i < n && going(result); i++)
    result = ncclReduce(transfers[i].send, transfers[i].recv, transfers[i].count, ncclFloat32, ncclSum,
                        transfers[i].root, comm->nccl, comm->stream);
  return end_group(comm, number, result, err);
}

static int broadcast(struct tpo_device_comm *comm, uint64_t number, const struct tpo_transfer *transfers,
                     int n, struct tpo_error *err)
{
  int code = follow_backend(comm, err);
  if (code < 0) return code;
  ncclResult_t result = ncclGroupStart();
  for (int i = 0; i < n && going(result); i++)
    result = ncclBroadcast(transfers[i].send, transfers[i].recv, transfers[i].count, ncclInt8,
                           transfers[i].root, comm->nccl, comm->stream);
  return end_group(comm, number, result, err);
}

/* 1: NCCL is ready for more, 0: busy with the last call, negative: it failed. */
static int ask_nccl(struct tpo_device_comm *comm, struct tpo_error *err)
{
  ncclResult_t state = ncclSuccess, asked = ncclCommGetAsyncError(comm->nccl, &state);
  if (asked != ncclSuccess) return nccl_fail(comm, asked, err);
  if (state == ncclInProgress) return 0;
  return state == ncclSuccess ? 1 : nccl_fail(comm, state, err);
}

static int started(struct tpo_device_comm *comm, struct tpo_error *err)
{
  int ready = ask_nccl(comm, err);
  if (ready <= 0 || !comm->unmarked) return ready;
  cudaError_t result = cudaEventRecord(comm->after[comm->latest % TPO_EXCHANGES], comm->stream);
  if (result != cudaSuccess) return cuda_fail(comm, result, err);
  comm->unmarked = false;
  return 1;
}

static int done(struct tpo_device_comm *comm, uint64_t number, struct tpo_error *err)
{
  int ready = ask_nccl(comm, err); /* an error of NCCL leaves the event waiting for ever */
  if (ready < 0) return ready;
  cudaError_t result = cudaEventQuery(comm->after[number % TPO_EXCHANGES]);
  if (result == cudaErrorNotReady) {
    cudaGetLastError();
    return 0;
  }
  return result == cudaSuccess ? 1 : cuda_fail(comm, result, err);
}

static int order(struct tpo_device_comm *comm, uint64_t number, struct tpo_error *err)
{
  cudaError_t result = cudaStreamWaitEvent(comm->cuda->stream, comm->after[number % TPO_EXCHANGES], 0);
  return result == cudaSuccess ? 0 : cuda_fail(comm, result, err);
}

/* Everything is done everywhere, so this waits for nothing
 * but NCCL's own threads; some seconds are plenty. */
static void close_comm(struct tpo_device_comm *comm)
{
  ncclResult_t state = ncclCommFinalize(comm->nccl);
  for (int i = 0; i < POLLS && state == ncclInProgress; i++) {
    usleep(POLL_US);
    if (ncclCommGetAsyncError(comm->nccl, &state) != ncclSuccess) state = ncclInternalError;
  }
  if (state != ncclSuccess) {
    abort_comm(comm);
    return;
  }
  ncclCommDestroy(comm->nccl);
  free_parts(comm);
}

const struct tpo_collectives tpo_cuda_collectives = {
    place, NCCL_UNIQUE_ID_BYTES, make_id,   open_comm, reduce, broadcast, started, done,
    order, abort_comm,           close_comm};
