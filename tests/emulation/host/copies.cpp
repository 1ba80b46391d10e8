/* Emulated CUDA: copies and fills. Their arguments are checked as on a GPU: kind, and that device memory is
 * large enough. */
#include "emulation.h"

namespace tpo_emulation {

namespace {

struct copy {
  void *dst;
  size_t dst_pitch;
  const void *src;
  size_t src_pitch, width, height;
  cudaMemcpyKind kind;

  size_t dst_bytes() const { return (height - 1) * dst_pitch + width; }
  size_t src_bytes() const { return (height - 1) * src_pitch + width; }
  void run() const
  {
    for (size_t row = 0; row < height; row++) {
      memmove(static_cast<char *>(dst) + row * dst_pitch, static_cast<const char *>(src) + row * src_pitch,
              width);
    }
  }
};

cudaError_t complain(const char *what, const void *p, size_t bytes)
{
  last_error = std::string(what) + " of " + std::to_string(bytes) + " bytes";
  fprintf(stderr, "emulated CUDA: %s at %p\n", last_error.c_str(), p);
  return remember(cudaErrorInvalidValue);
}

/* Page-locked memory is both the host's and the device's. */
cudaError_t check(const copy &c)
{
  const bool to_device = c.kind == cudaMemcpyHostToDevice || c.kind == cudaMemcpyDeviceToDevice;
  const bool from_device = c.kind == cudaMemcpyDeviceToHost || c.kind == cudaMemcpyDeviceToDevice;
  if (c.kind != cudaMemcpyDefault) {
    if (to_device ? !device_reaches(c.dst) : is_device(c.dst)) {
      return complain("copy to the wrong kind of memory", c.dst, c.dst_bytes());
    }
    if (from_device ? !device_reaches(c.src) : is_device(c.src)) {
      return complain("copy from the wrong kind of memory", c.src, c.src_bytes());
    }
  }
  if (!in_bounds(c.dst, c.dst_bytes()))
    return complain("copy beyond the end of the memory", c.dst, c.dst_bytes());
  if (!in_bounds(c.src, c.src_bytes()))
    return complain("copy beyond the end of the memory", c.src, c.src_bytes());
  return cudaSuccess;
}

/* From pageable memory the caller may overwrite its source at once, and a copy to pageable memory is there
 * when the call returns; neither can be captured. */
cudaError_t copy_async(const copy &c, cudaStream_t stream)
{
  bool wait = false;
  {
    TPO_EMULATION_LOCK;
    if (cudaError_t error = current_error()) return remember(error);
    if (c.width == 0 || c.height == 0) return cudaSuccess;
    if (cudaError_t error = check(c)) return error;
    const bool from_pageable = !is_device(c.src) && !is_pinned(c.src, c.src_bytes());
    const bool to_pageable = !is_device(c.dst) && !is_pinned(c.dst, c.dst_bytes());
    CUstream_st *s = stream_of(stream);
    if (s != nullptr && s->capture != nullptr && (from_pageable || to_pageable)) return refuse_capture(s);
    cudaError_t result;
    if (from_pageable && !to_pageable) {
      const char *src = static_cast<const char *>(c.src);
      auto kept = std::make_shared<std::vector<char>>(src, src + c.src_bytes());
      copy from_kept = c;
      from_kept.src = kept->data();
      result = enqueue_function(stream, [from_kept, kept] { from_kept.run(); });
    } else {
      result = enqueue_function(stream, [c] { c.run(); });
    }
    if (result != cudaSuccess) return result;
    wait = to_pageable;
  }
  return wait ? cudaStreamSynchronize(stream) : cudaSuccess;
}

cudaError_t copy_and_wait(const copy &c)
{
  {
    TPO_EMULATION_LOCK;
    if (cudaError_t refused = refuse_while_capturing()) return remember(refused);
  }
  if (cudaError_t error = copy_async(c, nullptr)) return error;
  return cudaStreamSynchronize(nullptr);
}

} // namespace
} // namespace tpo_emulation

using namespace tpo_emulation;

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
  return copy_async({dst, bytes, src, bytes, bytes, 1, kind}, stream);
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind)
{
  return copy_and_wait({dst, bytes, src, bytes, bytes, 1, kind});
}

cudaError_t cudaMemcpy2DAsync(void *dst, size_t dst_pitch, const void *src, size_t src_pitch, size_t width,
                              size_t height, enum cudaMemcpyKind kind, cudaStream_t stream)
{
  return copy_async({dst, dst_pitch, src, src_pitch, width, height, kind}, stream);
}

cudaError_t cudaMemcpy2D(void *dst, size_t dst_pitch, const void *src, size_t src_pitch, size_t width,
                         size_t height, enum cudaMemcpyKind kind)
{
  return copy_and_wait({dst, dst_pitch, src, src_pitch, width, height, kind});
}

cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  if (bytes == 0) return cudaSuccess;
  if (!is_device(dst) && !is_pinned(dst, bytes))
    return complain("fill of memory that is not the device's", dst, bytes);
  if (!in_bounds(dst, bytes)) return complain("fill beyond the end of the memory", dst, bytes);
  return enqueue_function(stream, [=] { memset(dst, value, bytes); });
}

cudaError_t cudaMemset(void *dst, int value, size_t bytes)
{
  return cudaMemsetAsync(dst, value, bytes, nullptr);
}
