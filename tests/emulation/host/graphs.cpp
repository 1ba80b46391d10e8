/* Emulated CUDA: stream capture keeps the work, in order, instead of doing it; a graph does it again and
 * again. */
#include "emulation.h"

#include <algorithm>
#include <thread>

struct CUgraphExec_st {
  std::vector<std::shared_ptr<tpo_emulation::work>> items;
};

namespace tpo_emulation {

namespace {
struct graph_work final : work {
  std::vector<std::shared_ptr<work>> items;
  size_t next = 0;
  explicit graph_work(std::vector<std::shared_ptr<work>> items) : items(std::move(items)) {}
  bool poll() override
  {
    while (next < items.size() && current_error() == cudaSuccess && items[next]->poll()) next++;
    return next == items.size() || current_error() != cudaSuccess;
  }
};

void end_capture(CUstream_st *stream)
{
  for (CUstream_st *other : stream->capture->joined) other->capture = nullptr;
  stream->capture = nullptr;
}
} // namespace

CUgraph_st *capture_of(unsigned long long id)
{
  for (CUstream_st *stream : all_streams()) {
    if (stream->capture != nullptr && stream->capture->id == id) return stream->capture;
  }
  return nullptr;
}

cudaError_t refuse_capture(CUstream_st *stream)
{
  stream->capture->invalid = true;
  return remember(cudaErrorStreamCaptureUnsupported);
}

cudaError_t refuse_while_capturing()
{
  cudaError_t result = cudaSuccess;
  for (CUstream_st *stream : all_streams()) {
    CUgraph_st *graph = stream->capture;
    if (graph == nullptr || graph->mode == cudaStreamCaptureModeRelaxed) continue;
    if (graph->mode == cudaStreamCaptureModeThreadLocal && graph->thread != std::this_thread::get_id())
      continue;
    graph->invalid = true;
    result = cudaErrorStreamCaptureUnsupported;
  }
  return result;
}

} // namespace tpo_emulation

using namespace tpo_emulation;

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, enum cudaStreamCaptureMode mode)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  CUstream_st *stream = stream_of(handle);
  if (stream == nullptr) return remember(cudaErrorInvalidResourceHandle);
  if (stream == stream_of(nullptr)) return remember(cudaErrorStreamCaptureUnsupported);
  if (stream->capture != nullptr) return remember(cudaErrorIllegalState);
  stream->capture = new CUgraph_st();
  static unsigned long long count;
  stream->capture->id = ++count;
  stream->capture->origin = stream;
  stream->capture->mode = mode;
  stream->capture->thread = std::this_thread::get_id();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *out)
{
  TPO_EMULATION_LOCK;
  *out = nullptr;
  CUstream_st *stream = stream_of(handle);
  if (stream == nullptr) return remember(cudaErrorInvalidResourceHandle);
  CUgraph_st *graph = stream->capture;
  if (graph == nullptr) return remember(cudaErrorIllegalState);
  if (graph->origin != stream) {
    graph->invalid = true;
    return remember(cudaErrorStreamCaptureUnmatched);
  }
  end_capture(stream);
  if (cudaError_t error = current_error()) {
    delete graph;
    return remember(error);
  }
  if (graph->invalid) {
    delete graph;
    return remember(cudaErrorStreamCaptureInvalidated);
  }
  *out = graph;
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, enum cudaStreamCaptureStatus *status)
{
  TPO_EMULATION_LOCK;
  const CUstream_st *stream = stream_of(handle);
  if (stream == nullptr) return remember(cudaErrorInvalidResourceHandle);
  *status = stream->capture == nullptr ? cudaStreamCaptureStatusNone
            : stream->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                       : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long)
{
  TPO_EMULATION_LOCK;
  *out = nullptr;
  if (cudaError_t error = current_error()) return remember(error);
  if (graph == nullptr) return remember(cudaErrorInvalidValue);
  *out = new CUgraphExec_st{graph->items};
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t)
{
  return remember(exec != nullptr ? current_error() : cudaErrorInvalidValue);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
  TPO_EMULATION_LOCK;
  if (exec == nullptr) return remember(cudaErrorInvalidValue);
  return enqueue(stream, std::make_shared<graph_work>(exec->items));
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
  TPO_EMULATION_LOCK;
  delete exec;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
  TPO_EMULATION_LOCK;
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count)
{
  TPO_EMULATION_LOCK;
  if (graph == nullptr) return remember(cudaErrorInvalidValue);
  if (nodes != nullptr) return remember(cudaErrorNotSupported);
  *count = graph->items.size();
  return cudaSuccess;
}
