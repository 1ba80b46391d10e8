/* Emulated NCCL: element types and their reductions. */
#ifndef TPO_EMULATION_NCCL_SUM_H
#define TPO_EMULATION_NCCL_SUM_H

#include <algorithm>
#include <time.h>
#include <vector>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <nccl.h>

namespace tpo_emulation {

static inline void nccl_pause()
{
  const struct timespec interval = {0, 50000};
  nanosleep(&interval, nullptr);
}

/* 0: no type that is here. */
static inline size_t nccl_element_bytes(ncclDataType_t type)
{
  switch (type) {
  case ncclInt8:
  case ncclUint8: return 1;
  case ncclFloat16:
  case ncclBfloat16: return 2;
  case ncclInt32:
  case ncclUint32:
  case ncclFloat32: return 4;
  case ncclInt64:
  case ncclUint64:
  case ncclFloat64: return 8;
  }
  return 0;
}

template <class T, class Wide> Wide nccl_combine(Wide a, Wide b, ncclRedOp_t op)
{
  switch (op) {
  case ncclProd: return static_cast<T>(a * b);
  case ncclMax: return std::max(a, b);
  case ncclMin: return std::min(a, b);
  default: return static_cast<T>(a + b); /* a part's type rounds after each addition */
  }
}

/* T: the elements; Wide: in what they are added. */
template <class T, class Wide>
void nccl_reduce_as(void *out, const std::vector<const void *> &parts, size_t count, ncclRedOp_t op)
{
  for (size_t i = 0; i < count; i++) {
    Wide total = 0;
    for (size_t rank = 0; rank < parts.size(); rank++) {
      T one;
      memcpy(&one, static_cast<const char *>(parts[rank]) + i * sizeof one, sizeof one);
      total = rank == 0 ? static_cast<Wide>(one) : nccl_combine<T, Wide>(total, static_cast<Wide>(one), op);
    }
    if (op == ncclAvg) total = total / static_cast<Wide>(parts.size());
    const T rounded = static_cast<T>(total);
    memcpy(static_cast<char *>(out) + i * sizeof rounded, &rounded, sizeof rounded);
  }
}

static inline void nccl_reduce(void *out, const std::vector<const void *> &parts, size_t count,
                               ncclDataType_t type, ncclRedOp_t op)
{
  switch (type) {
  case ncclInt8: return nccl_reduce_as<int8_t, int>(out, parts, count, op);
  case ncclUint8: return nccl_reduce_as<uint8_t, unsigned>(out, parts, count, op);
  case ncclInt32: return nccl_reduce_as<int32_t, int64_t>(out, parts, count, op);
  case ncclUint32: return nccl_reduce_as<uint32_t, uint64_t>(out, parts, count, op);
  case ncclInt64: return nccl_reduce_as<int64_t, int64_t>(out, parts, count, op);
  case ncclUint64: return nccl_reduce_as<uint64_t, uint64_t>(out, parts, count, op);
  case ncclFloat16: return nccl_reduce_as<__half, float>(out, parts, count, op);
  case ncclFloat32: return nccl_reduce_as<float, float>(out, parts, count, op);
  case ncclFloat64: return nccl_reduce_as<double, double>(out, parts, count, op);
  case ncclBfloat16: return nccl_reduce_as<__nv_bfloat16, float>(out, parts, count, op);
  }
}

} // namespace tpo_emulation

#endif
