/* Emulated CUDA: streams are queues of work that is done when somebody asks for a result (synchronises,
 * queries), as late as a GPU may do it: a missing synchronisation shows. TPO_EMULATION_STREAMS=eager does it
 * at once. */
#include "emulation.h"

#include <algorithm>
#include <time.h>

namespace tpo_emulation {

/* One recording of an event. */
struct recording {
  CUstream_st *stream;
  unsigned long long ticket; /* done when so much of the stream is */
  unsigned long long graph;  /* recorded while capturing into that; 0: not */
  double time;               /* ms */
};

} // namespace tpo_emulation

struct CUevent_st {
  unsigned flags;
  std::shared_ptr<tpo_emulation::recording> latest;
};

namespace tpo_emulation {

namespace {

constexpr size_t queue_limit = 1024; /* launches that wait, as on a GPU */

CUstream_st default_stream;

struct kernel_work final : work {
  std::shared_ptr<kernel> call;
  explicit kernel_work(std::shared_ptr<kernel> call) : call(std::move(call)) {}
  bool poll() override
  {
    if (injected_failure("kernel", call->name)) {
      last_error = std::string("kernel ") + call->name + ": failure injected by TPO_EMULATION_FAIL";
      fprintf(stderr, "emulated CUDA: %s\n", last_error.c_str());
      device_failed(cudaErrorLaunchFailure);
    } else if (cudaError_t error = run_grid(*call)) {
      device_failed(error);
    }
    return true;
  }
};

struct wait_work final : work {
  CUstream_st *stream;
  unsigned long long ticket;
  wait_work(CUstream_st *stream, unsigned long long ticket) : stream(stream), ticket(ticket) {}
  bool poll() override { return progress(stream, ticket); }
};

struct record_work final : work {
  std::shared_ptr<recording> event;
  explicit record_work(std::shared_ptr<recording> event) : event(std::move(event)) {}
  bool poll() override
  {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    event->time = static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
    return true;
  }
};

void push(CUstream_st *stream, std::shared_ptr<work> item)
{
  stream->queue.push_back(std::move(item));
  stream->enqueued++;
}

void wait_for(CUstream_st *stream, CUstream_st *other)
{
  if (other->completed < other->enqueued) push(stream, std::make_shared<wait_work>(other, other->enqueued));
}

/* The default stream waits for the others, and they for it, but for those created as non-blocking. */
void order_with_default(CUstream_st *stream)
{
  if (stream != &default_stream) {
    if (!(stream->flags & cudaStreamNonBlocking)) wait_for(stream, &default_stream);
    return;
  }
  for (CUstream_st *other : all_streams()) {
    if (other != stream && !(other->flags & cudaStreamNonBlocking)) wait_for(stream, other);
  }
}

bool eager()
{
  return strcmp(environment("CUDA_LAUNCH_BLOCKING", "0"), "0") != 0 ||
         strcmp(environment("TPO_EMULATION_STREAMS", "lazy"), "eager") == 0;
}

void pause_briefly()
{
  const struct timespec interval = {0, 50000};
  nanosleep(&interval, nullptr);
}

/* Waits until the stream has reached the ticket; the lock is free between attempts. */
cudaError_t wait_until(CUstream_st *stream, unsigned long long ticket)
{
  for (;;) {
    {
      TPO_EMULATION_LOCK;
      if (progress(stream, ticket)) return remember(current_error());
      progress_all();
    }
    pause_briefly();
  }
}

bool check_launch(const kernel &call)
{
  const dim3 b = call.block, g = call.grid;
  const size_t threads = static_cast<size_t>(b.x) * b.y * b.z;
  if (call.function == nullptr) return remember(cudaErrorInvalidDeviceFunction) == cudaSuccess;
  if (threads == 0 || threads > threads_limit || b.z > 64 || g.x == 0 || g.y == 0 || g.z == 0 ||
      g.x > 2147483647u || g.y > 65535 || g.z > 65535) {
    return remember(cudaErrorInvalidConfiguration) == cudaSuccess;
  }
  return call.dynamic_bytes <= dynamic_limit(call.function) || remember(cudaErrorInvalidValue) == cudaSuccess;
}

} // namespace

std::vector<CUstream_st *> &all_streams()
{
  static auto *streams = new std::vector<CUstream_st *>{&default_stream}; /* until the process ends */
  return *streams;
}

CUstream_st *stream_of(cudaStream_t handle)
{
  if (handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread)
    return &default_stream;
  for (CUstream_st *stream : all_streams()) {
    if (stream == handle) return stream->destroyed ? nullptr : stream;
  }
  return nullptr;
}

bool progress(CUstream_st *stream, unsigned long long ticket)
{
  while (stream->completed < ticket && !stream->busy) {
    const std::shared_ptr<work> item = stream->queue.front();
    stream->busy = true;
    const bool done = current_error() != cudaSuccess || item->poll();
    stream->busy = false;
    if (!done) break;
    stream->queue.pop_front();
    stream->completed++;
  }
  return stream->completed >= ticket;
}

bool progress_all()
{
  bool any = false;
  for (CUstream_st *stream : all_streams()) {
    const unsigned long long before = stream->completed;
    progress(stream, stream->enqueued);
    any = any || stream->completed != before;
  }
  return any;
}

cudaError_t synchronize_device()
{
  std::vector<std::pair<CUstream_st *, unsigned long long>> tickets;
  {
    TPO_EMULATION_LOCK;
    for (CUstream_st *stream : all_streams()) tickets.emplace_back(stream, stream->enqueued);
  }
  cudaError_t result = cudaSuccess;
  for (const auto &t : tickets) {
    if (cudaError_t error = wait_until(t.first, t.second)) result = error;
  }
  return result;
}

cudaError_t enqueue(cudaStream_t handle, std::shared_ptr<work> item)
{
  if (cudaError_t error = current_error()) return remember(error);
  CUstream_st *stream = stream_of(handle);
  if (stream == nullptr) return remember(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) {
    if (stream->capture->invalid) return remember(cudaErrorStreamCaptureInvalidated);
    if (!item->repeatable()) return refuse_capture(stream);
    stream->capture->items.push_back(std::move(item));
    return cudaSuccess;
  }
  order_with_default(stream);
  const bool at_once = item->urgent() || eager() || stream->queue.size() >= queue_limit;
  push(stream, std::move(item));
  if (at_once) progress(stream, stream->enqueued);
  return cudaSuccess;
}

void launch(std::shared_ptr<kernel> call, cudaStream_t stream)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) {
    remember(error);
    return;
  }
  if (check_launch(*call)) enqueue(stream, std::make_shared<kernel_work>(std::move(call)));
}

} // namespace tpo_emulation

using namespace tpo_emulation;

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned int flags, int priority)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  *out = new CUstream_st();
  (*out)->flags = flags;
  (*out)->priority = priority;
  all_streams().push_back(*out);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned int flags)
{
  return cudaStreamCreateWithPriority(out, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t *out)
{
  return cudaStreamCreateWithPriority(out, cudaStreamDefault, 0);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

/* Its work is still done; and as events may have been recorded in it, it stays in the list. */
cudaError_t cudaStreamDestroy(cudaStream_t handle)
{
  TPO_EMULATION_LOCK;
  CUstream_st *stream = stream_of(handle);
  if (stream == nullptr || stream == &default_stream) return remember(cudaErrorInvalidResourceHandle);
  progress(stream, stream->enqueued);
  if (!stream->queue.empty() && stream->queue.front()->urgent()) {
    last_error = "a stream is destroyed while a collective is under way in it";
    fprintf(stderr, "emulated CUDA: %s\n", last_error.c_str());
    device_failed(cudaErrorIllegalState);
  }
  stream->destroyed = true;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle)
{
  CUstream_st *stream;
  unsigned long long ticket;
  {
    TPO_EMULATION_LOCK;
    if (cudaError_t error = current_error()) return remember(error);
    stream = stream_of(handle);
    if (stream == nullptr) return remember(cudaErrorInvalidResourceHandle);
    if (stream->capture != nullptr) return refuse_capture(stream);
    if (cudaError_t refused = stream == &default_stream ? refuse_while_capturing() : cudaSuccess) {
      return remember(refused);
    }
    if (stream == &default_stream) order_with_default(stream);
    ticket = stream->enqueued;
  }
  return wait_until(stream, ticket);
}

cudaError_t cudaDeviceSynchronize(void)
{
  {
    TPO_EMULATION_LOCK;
    if (cudaError_t error = current_error()) return remember(error);
    if (cudaError_t refused = refuse_while_capturing()) return remember(refused);
  }
  return synchronize_device();
}

cudaError_t cudaStreamQuery(cudaStream_t handle)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  CUstream_st *stream = stream_of(handle);
  if (stream == nullptr) return remember(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) return refuse_capture(stream);
  const bool done = progress(stream, stream->enqueued);
  if (cudaError_t error = current_error()) return remember(error);
  return remember(done ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned int)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  CUstream_st *stream = stream_of(handle);
  if (stream == nullptr || event == nullptr) return remember(cudaErrorInvalidResourceHandle);
  if (event->latest == nullptr) return cudaSuccess;
  const recording &r = *event->latest;
  if (r.graph != 0) {
    CUgraph_st *graph = capture_of(r.graph);
    if (graph == nullptr) return remember(cudaErrorCapturedEvent);
    if (stream->capture == nullptr) { /* the stream takes part in the capture from here on */
      stream->capture = graph;
      graph->joined.push_back(stream);
    }
    return stream->capture == graph ? cudaSuccess : remember(cudaErrorStreamCaptureMerge);
  }
  if (stream->capture != nullptr) {
    stream->capture->invalid = true;
    return remember(cudaErrorStreamCaptureIsolation);
  }
  return r.stream == stream ? cudaSuccess : enqueue(handle, std::make_shared<wait_work>(r.stream, r.ticket));
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data)
{
  TPO_EMULATION_LOCK;
  return enqueue_function(stream, [=] { function(data); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned int flags)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  *out = new CUevent_st{flags, nullptr};
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *out)
{
  return cudaEventCreateWithFlags(out, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
  TPO_EMULATION_LOCK;
  if (event == nullptr) return remember(cudaErrorInvalidResourceHandle);
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle)
{
  TPO_EMULATION_LOCK;
  CUstream_st *stream = stream_of(handle);
  if (event == nullptr || stream == nullptr) return remember(cudaErrorInvalidResourceHandle);
  event->latest =
      std::make_shared<recording>(recording{stream, 0, stream->capture ? stream->capture->id : 0, 0});
  cudaError_t result = enqueue(handle, std::make_shared<record_work>(event->latest));
  event->latest->ticket = stream->enqueued;
  return result;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  if (event == nullptr) return remember(cudaErrorInvalidResourceHandle);
  if (event->latest == nullptr) return cudaSuccess;
  if (event->latest->graph != 0) return remember(cudaErrorCapturedEvent);
  const bool done = progress(event->latest->stream, event->latest->ticket);
  if (cudaError_t error = current_error()) return remember(error);
  return remember(done ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
  std::shared_ptr<recording> r;
  {
    TPO_EMULATION_LOCK;
    if (cudaError_t error = current_error()) return remember(error);
    if (event == nullptr) return remember(cudaErrorInvalidResourceHandle);
    r = event->latest;
    if (r == nullptr) return cudaSuccess;
    if (r->graph != 0) {
      if (CUgraph_st *graph = capture_of(r->graph)) graph->invalid = true;
      return remember(cudaErrorCapturedEvent);
    }
  }
  return wait_until(r->stream, r->ticket);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end)
{
  TPO_EMULATION_LOCK;
  for (cudaEvent_t event : {start, end}) {
    if (event == nullptr || event->latest == nullptr || event->flags & cudaEventDisableTiming) {
      return remember(cudaErrorInvalidResourceHandle);
    }
    if (event->latest->stream->completed < event->latest->ticket) return remember(cudaErrorNotReady);
  }
  *milliseconds = static_cast<float>(end->latest->time - start->latest->time);
  return cudaSuccess;
}
