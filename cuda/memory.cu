/* Device memory, and the ways between it and the host.
 *
 * Uploads go through a ring of page-locked memory, so that they join the stream without waiting and the
 * caller's memory is free at once. Fetches copy to page-locked slots behind the work so far; an event tells
 * when they are there. */
#include "ops.cuh"

#include <stdlib.h>
#include <string.h>

enum { RING_HALVES = 2 };
static const size_t RING_HALF_BYTES = (size_t)2 << 20;

struct tpo_cuda_staging {
  unsigned char *ring;                /* [RING_HALVES * RING_HALF_BYTES] */
  cudaEvent_t half_read[RING_HALVES]; /* the uploads out of this half are done */
  int half;
  size_t used; /* bytes of the present half */
  void *fetched[TPO_FETCH_SLOTS];
  size_t fetched_bytes[TPO_FETCH_SLOTS];
  cudaEvent_t fetched_event[TPO_FETCH_SLOTS];
};

int tpo_cuda_staging_open(struct tpo_cuda *cuda, struct tpo_error *err)
{
  struct tpo_cuda_staging *s = static_cast<struct tpo_cuda_staging *>(calloc(1, sizeof *s));
  if (!s) return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  cuda->staging = s;
  cudaError_t result = cudaMallocHost(reinterpret_cast<void **>(&s->ring), RING_HALVES * RING_HALF_BYTES);
  for (int i = 0; result == cudaSuccess && i < RING_HALVES; i++)
    result = cudaEventCreateWithFlags(&s->half_read[i], cudaEventDisableTiming);
  for (int i = 0; result == cudaSuccess && i < TPO_FETCH_SLOTS; i++)
    result = cudaEventCreateWithFlags(&s->fetched_event[i], cudaEventDisableTiming);
  if (result == cudaSuccess) return 0;
  return tpo_fail(err, TPO_E_MEMORY, "page-locked host memory for GPU %d: %s", cuda->device,
                  cudaGetErrorString(result));
}

void tpo_cuda_staging_close(struct tpo_cuda *cuda)
{
  struct tpo_cuda_staging *s = cuda->staging;
  if (!s) return;
  cudaFreeHost(s->ring);
  for (int i = 0; i < RING_HALVES; i++)
    if (s->half_read[i]) cudaEventDestroy(s->half_read[i]);
  for (int i = 0; i < TPO_FETCH_SLOTS; i++) {
    cudaFreeHost(s->fetched[i]);
    if (s->fetched_event[i]) cudaEventDestroy(s->fetched_event[i]);
  }
  free(s);
  cuda->staging = NULL;
}

size_t tpo_cuda_memory_available(struct tpo_backend *be)
{
  size_t available = 0, total = 0;
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  return tpo_cuda_ok(cuda, cudaMemGetInfo(&available, &total), "asking for free memory") ? available : 0;
}

int tpo_cuda_alloc(struct tpo_backend *be, size_t bytes, void **out, struct tpo_error *err)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  *out = NULL;
  cudaError_t result = cudaMalloc(out, bytes ? bytes : 1);
  if (result == cudaSuccess && bytes) result = cudaMemsetAsync(*out, 0, bytes, cuda->stream);
  if (result == cudaSuccess) return 0;
  cudaGetLastError(); /* told here; not to be met again by check */
  cudaFree(*out);
  *out = NULL;
  if (result != cudaErrorMemoryAllocation)
    return tpo_fail(err, TPO_E_MEMORY, "GPU %d: allocating %zu bytes: %s", cuda->device, bytes,
                    cudaGetErrorString(result));
  size_t available = 0, total = 0;
  cudaMemGetInfo(&available, &total);
  return tpo_fail(err, TPO_E_MEMORY, "GPU %d: %.1f MiB are needed, %.1f of its %.1f MiB are free",
                  cuda->device, (double)bytes / (1 << 20), (double)available / (1 << 20),
                  (double)total / (1 << 20));
}

void tpo_cuda_free(struct tpo_backend *be, void *p)
{
  (void)be;
  if (p) cudaFree(p);
}

void *tpo_cuda_scratch(struct tpo_cuda *cuda, enum tpo_cuda_slot slot, size_t bytes)
{
  struct tpo_cuda_scratch *scratch = &cuda->slots[slot];
  if (bytes <= scratch->bytes) return scratch->data;
  if (tpo_cuda_recording(cuda)) {
    tpo_cuda_fail(cuda, TPO_E_STATE, "scratch memory %d would grow to %zu bytes while work is recorded",
                  (int)slot, bytes);
    return NULL;
  }
  if (scratch->bytes > 0) tpo_cuda_forget(&cuda->base); /* recordings use the old memory */
  if (bytes < scratch->bytes + scratch->bytes / 4) bytes = scratch->bytes + scratch->bytes / 4;
  tpo_cuda_free(&cuda->base, scratch->data); /* waits for the work that uses it */
  scratch->bytes = 0;
  struct tpo_error err = {};
  if (tpo_cuda_alloc(&cuda->base, bytes, &scratch->data, &err) < 0) {
    tpo_cuda_fail(cuda, err.code, "scratch memory: %s", err.message);
    return NULL;
  }
  scratch->bytes = bytes;
  return scratch->data;
}

/* Room for `bytes` of the ring; waits, when the ring
 * has gone round, for the uploads that still read there. */
static unsigned char *ring_room(struct tpo_cuda *cuda, size_t bytes)
{
  struct tpo_cuda_staging *s = cuda->staging;
  size_t rounded = (bytes + 255) / 256 * 256;
  if (s->used + rounded > RING_HALF_BYTES) {
    tpo_cuda_ok(cuda, cudaEventRecord(s->half_read[s->half], cuda->stream), "upload");
    s->half = (s->half + 1) % RING_HALVES;
    s->used = 0;
    tpo_cuda_ok(cuda, cudaEventSynchronize(s->half_read[s->half]), "upload");
  }
  unsigned char *room = s->ring + s->half * RING_HALF_BYTES + s->used;
  s->used += rounded;
  return room;
}

void tpo_cuda_upload(struct tpo_backend *be, void *dst, const void *host_src, size_t bytes)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  for (size_t at = 0; at < bytes;) {
    size_t piece = bytes - at < RING_HALF_BYTES ? bytes - at : RING_HALF_BYTES;
    unsigned char *room = ring_room(cuda, piece);
    memcpy(room, static_cast<const unsigned char *>(host_src) + at, piece);
    if (!tpo_cuda_ok(cuda,
                     cudaMemcpyAsync(static_cast<unsigned char *>(dst) + at, room, piece, cudaMemcpyDefault,
                                     cuda->stream),
                     "upload"))
      return;
    at += piece;
  }
}

void tpo_cuda_download(struct tpo_backend *be, void *host_dst, const void *src, size_t bytes)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (bytes == 0) return;
  if (tpo_cuda_ok(cuda, cudaMemcpyAsync(host_dst, src, bytes, cudaMemcpyDefault, cuda->stream), "download"))
    tpo_cuda_ok(cuda, cudaStreamSynchronize(cuda->stream), "download");
}

void tpo_cuda_copy(struct tpo_backend *be, void *dst, const void *src, size_t bytes)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (bytes && dst != src)
    tpo_cuda_ok(cuda, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDefault, cuda->stream), "copy");
}

void tpo_cuda_zero(struct tpo_backend *be, void *dst, size_t bytes)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (bytes) tpo_cuda_ok(cuda, cudaMemsetAsync(dst, 0, bytes, cuda->stream), "zero");
}

void tpo_cuda_fetch_begin(struct tpo_backend *be, int slot, const void *src, size_t bytes)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  struct tpo_cuda_staging *s = cuda->staging;
  if (bytes > s->fetched_bytes[slot]) {
    cudaFreeHost(s->fetched[slot]);
    s->fetched[slot] = NULL;
    s->fetched_bytes[slot] = 0;
    if (!tpo_cuda_ok(cuda, cudaMallocHost(&s->fetched[slot], bytes), "page-locked memory")) return;
    s->fetched_bytes[slot] = bytes;
  }
  if (bytes == 0) return;
  if (tpo_cuda_ok(cuda, cudaMemcpyAsync(s->fetched[slot], src, bytes, cudaMemcpyDefault, cuda->stream),
                  "download"))
    tpo_cuda_ok(cuda, cudaEventRecord(s->fetched_event[slot], cuda->stream), "download");
}

static int take_error(struct tpo_cuda *cuda, struct tpo_error *err)
{
  int code = cuda->error.code;
  if (code && err) *err = cuda->error;
  cuda->error.code = 0;
  return code;
}

int tpo_cuda_fetch_end(struct tpo_backend *be, int slot, void *host_dst, size_t bytes, struct tpo_error *err)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  struct tpo_cuda_staging *s = cuda->staging;
  if (bytes && !cuda->error.code &&
      tpo_cuda_ok(cuda, cudaEventSynchronize(s->fetched_event[slot]), "the work on the GPU"))
    memcpy(host_dst, s->fetched[slot], bytes);
  return take_error(cuda, err);
}

int tpo_cuda_check(struct tpo_backend *be, struct tpo_error *err)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  tpo_cuda_ok(cuda, cudaStreamSynchronize(cuda->stream), "the work on the GPU");
  return take_error(cuda, err);
}

extern "C" void *tpo_cuda_host_alloc(size_t bytes)
{
  void *p = NULL;
  return cudaHostAlloc(&p, bytes ? bytes : 1, cudaHostAllocDefault) == cudaSuccess ? p : NULL;
}

extern "C" void tpo_cuda_host_free(void *p)
{
  cudaFreeHost(p);
}
