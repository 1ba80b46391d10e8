/* Emulated CUDA: devices, their memory, and errors. */
#include "emulation.h"

#include <map>

#include <sys/mman.h>

namespace tpo_emulation {

std::recursive_mutex lock;

namespace {

struct allocation {
  size_t bytes;
  bool device; /* or page-locked host memory */
  bool owned;  /* not merely registered */
  int of;      /* the device */
};

constexpr size_t guard_bytes = 64; /* after device memory, to see writes beyond its end */

std::map<uintptr_t, allocation> allocations;
std::map<std::string, long> calls; /* for injected failures */
std::map<const void *, int> dynamic_limits;
cudaError_t sticky;
thread_local cudaError_t last;
thread_local int device;

long environment_number(const char *name, long otherwise)
{
  const char *text = getenv(name);
  return text != nullptr && *text != 0 ? strtol(text, nullptr, 10) : otherwise;
}

int driver_version()
{
  return static_cast<int>(environment_number("TPO_EMULATION_DRIVER", CUDART_VERSION));
}

int device_count()
{
  return static_cast<int>(environment_number("TPO_EMULATION_DEVICES", 1));
}

int multiprocessors()
{
  return static_cast<int>(environment_number("TPO_EMULATION_MULTIPROCESSORS", 4));
}

size_t capacity()
{
  return static_cast<size_t>(environment_number("TPO_EMULATION_MEMORY", 8l << 30));
}

/* The allocation that p points into. */
const std::pair<const uintptr_t, allocation> *find(const void *p)
{
  const uintptr_t address = reinterpret_cast<uintptr_t>(p);
  auto next = allocations.upper_bound(address);
  if (next == allocations.begin()) return nullptr;
  --next;
  return address < next->first + next->second.bytes ? &*next : nullptr;
}

size_t used_bytes()
{
  size_t sum = 0;
  for (const auto &a : allocations) sum += a.second.device && a.second.of == device ? a.second.bytes : 0;
  return sum;
}

/* Fresh memory holds garbage; of a large piece only the beginning, to not touch pages that nobody uses. */
void spoil(void *p, size_t bytes)
{
  constexpr size_t most = 64 << 20;
  fill_garbage(p, bytes < most ? bytes : most);
}

cudaError_t allocate(void **out, size_t bytes, bool on_device)
{
  *out = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (cudaError_t refused = refuse_while_capturing()) return remember(refused);
  if (on_device && (injected_failure("malloc", "") || bytes > capacity() - used_bytes())) {
    return remember(cudaErrorMemoryAllocation);
  }
#ifdef __SANITIZE_ADDRESS__
  const size_t extra = 0; /* AddressSanitizer watches the end */
#else
  const size_t extra = on_device ? guard_bytes : 0;
#endif
  if (posix_memalign(out, 256, bytes + extra) != 0) return remember(cudaErrorMemoryAllocation);
  spoil(*out, bytes);
  fill_garbage(static_cast<char *>(*out) + bytes, extra);
  allocations[reinterpret_cast<uintptr_t>(*out)] = {bytes, on_device, true, device};
  return cudaSuccess;
}

bool guard_is_intact(const void *p, size_t bytes)
{
#ifndef __SANITIZE_ADDRESS__
  char expected[guard_bytes];
  fill_garbage(expected, sizeof expected);
  return memcmp(static_cast<const char *>(p) + bytes, expected, sizeof expected) == 0;
#else
  return p != nullptr || bytes != 0;
#endif
}

cudaError_t release(void *p, bool on_device)
{
  if (p == nullptr) return cudaSuccess;
  {
    TPO_EMULATION_LOCK;
    if (cudaError_t refused = refuse_while_capturing()) return remember(refused);
  }
  cudaError_t result = synchronize_device();
  TPO_EMULATION_LOCK;
  auto found = allocations.find(reinterpret_cast<uintptr_t>(p));
  if (found == allocations.end() || found->second.device != on_device || !found->second.owned) {
    return remember(cudaErrorInvalidValue);
  }
  if (on_device && !guard_is_intact(p, found->second.bytes)) {
    last_error =
        "written after the end of device memory of " + std::to_string(found->second.bytes) + " bytes";
    fprintf(stderr, "emulated CUDA: %s\n", last_error.c_str());
    device_failed(cudaErrorIllegalAddress);
    result = remember(cudaErrorIllegalAddress);
  }
  allocations.erase(found);
  free(p);
  return result;
}

} // namespace

const char *environment(const char *name, const char *otherwise)
{
  const char *text = getenv(name);
  return text != nullptr ? text : otherwise;
}

cudaError_t current_error()
{
  if (driver_version() < CUDART_VERSION / 1000 * 1000) return cudaErrorInsufficientDriver;
  if (device_count() == 0) return cudaErrorNoDevice;
  return sticky;
}

cudaError_t remember(cudaError_t result)
{
  if (result != cudaSuccess) last = result;
  return result;
}

void device_failed(cudaError_t code)
{
  if (sticky == cudaSuccess) sticky = code;
}

bool is_pinned(const void *p, size_t bytes)
{
  const auto *a = find(p);
  return a != nullptr && !a->second.device &&
         reinterpret_cast<uintptr_t>(p) + bytes <= a->first + a->second.bytes;
}

bool is_device(const void *p)
{
  const auto *a = find(p);
  return a != nullptr && a->second.device;
}

bool device_reaches(const void *p)
{
  return find(p) != nullptr;
}

bool in_bounds(const void *p, size_t bytes)
{
  const auto *a = find(p);
  return a == nullptr || reinterpret_cast<uintptr_t>(p) + bytes <= a->first + a->second.bytes;
}

bool injected_failure(const char *kind, const char *name)
{
  const std::string rule = environment("TPO_EMULATION_FAIL", "");
  const size_t colon = rule.find(':');
  if (colon == std::string::npos || rule.compare(0, colon, kind) != 0) return false;
  std::string rest = rule.substr(colon + 1);
  long number = 1;
  const size_t last_colon = rest.rfind(':');
  const std::string tail = last_colon == std::string::npos ? rest : rest.substr(last_colon + 1);
  if (!tail.empty() && tail.find_first_not_of("0123456789") == std::string::npos) {
    number = strtol(tail.c_str(), nullptr, 10);
    rest.resize(last_colon == std::string::npos ? 0 : last_colon);
  }
  if (strstr(name, rest.c_str()) == nullptr) return false;
  return ++calls[rule] == number;
}

cudaError_t set_function_attribute(const void *function, cudaFuncAttribute attribute, int value)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  if (function == nullptr) return remember(cudaErrorInvalidDeviceFunction);
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<size_t>(value) > shared_limit()) return remember(cudaErrorInvalidValue);
  dynamic_limits[function] = value;
  return cudaSuccess;
}

size_t shared_limit()
{
  return static_cast<size_t>(environment_number("TPO_EMULATION_SHARED", 227 << 10));
}

size_t dynamic_limit(const void *function)
{
  auto found = dynamic_limits.find(function);
  const size_t asked = found == dynamic_limits.end() ? 0 : static_cast<size_t>(found->second);
  return asked > static_shared_limit ? asked : static_shared_limit;
}

cudaError_t get_function_attributes(cudaFuncAttributes *out, const void *function)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  *out = {};
  out->maxThreadsPerBlock = threads_limit;
  out->numRegs = 64;
  out->ptxVersion = out->binaryVersion = 90;
  out->maxDynamicSharedSizeBytes = static_cast<int>(dynamic_limit(function));
  return cudaSuccess;
}

cudaError_t blocks_per_multiprocessor(int *out, const void *function, int block_size, size_t dynamic_bytes)
{
  TPO_EMULATION_LOCK;
  *out = 0;
  if (cudaError_t error = current_error()) return remember(error);
  if (block_size <= 0) return remember(cudaErrorInvalidValue);
  if (static_cast<unsigned>(block_size) > threads_limit || dynamic_bytes > dynamic_limit(function))
    return cudaSuccess;
  *out = block_size > 512 || dynamic_bytes > shared_limit() / 2 ? 1 : 2;
  return cudaSuccess;
}

} // namespace tpo_emulation

using namespace tpo_emulation;

cudaError_t cudaGetLastError(void)
{
  const cudaError_t result = last;
  last = sticky;
  return result != cudaSuccess ? result : sticky;
}

cudaError_t cudaPeekAtLastError(void)
{
  return last != cudaSuccess ? last : sticky;
}

const char *tpo_emulation_last_error(void)
{
  return last_error.c_str();
}

cudaError_t cudaDriverGetVersion(int *version)
{
  *version = driver_version();
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
  TPO_EMULATION_LOCK;
  *count = 0;
  if (cudaError_t error = current_error()) return remember(error);
  *count = device_count();
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int *out)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  *out = device;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int number)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  if (number < 0 || number >= device_count()) return remember(cudaErrorInvalidDevice);
  device = number;
  return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned int)
{
  return remember(current_error());
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int number)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  if (number < 0 || number >= device_count()) return remember(cudaErrorInvalidDevice);
  *p = {};
  snprintf(p->name, sizeof p->name, "emulated GPU");
  p->totalGlobalMem = capacity();
  p->sharedMemPerBlock = static_shared_limit;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536;
  p->warpSize = 32;
  p->maxThreadsPerBlock = p->maxThreadsDim[0] = p->maxThreadsDim[1] = threads_limit;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 2147483647;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->totalConstMem = 64 << 10;
  p->major = 9;
  p->multiProcessorCount = multiprocessors();
  p->pciBusID = number + 1;
  p->asyncEngineCount = 3;
  p->unifiedAddressing = 1;
  p->memoryBusWidth = 5120;
  p->l2CacheSize = 50 << 20;
  p->maxThreadsPerMultiProcessor = 2048;
  p->sharedMemPerMultiprocessor = 228 << 10;
  p->sharedMemPerBlockOptin = shared_limit();
  p->maxBlocksPerMultiProcessor = 32;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int number)
{
  struct cudaDeviceProp p;
  if (cudaError_t error = cudaGetDeviceProperties(&p, number)) return error;
  switch (attribute) {
  case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
  case cudaDevAttrMaxGridDimX: *value = p.maxGridSize[0]; break;
  case cudaDevAttrMaxGridDimY:
  case cudaDevAttrMaxGridDimZ: *value = p.maxGridSize[1]; break;
  case cudaDevAttrMaxSharedMemoryPerBlock: *value = static_cast<int>(p.sharedMemPerBlock); break;
  case cudaDevAttrWarpSize: *value = p.warpSize; break;
  case cudaDevAttrMaxRegistersPerBlock:
  case cudaDevAttrMaxRegistersPerMultiprocessor: *value = p.regsPerBlock; break;
  case cudaDevAttrClockRate: *value = 1755000; break;
  case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
  case cudaDevAttrIntegrated:
  case cudaDevAttrComputeMode:
  case cudaDevAttrEccEnabled:
  case cudaDevAttrCooperativeLaunch: *value = 0; break;
  case cudaDevAttrMemoryClockRate: *value = 2619000; break;
  case cudaDevAttrGlobalMemoryBusWidth: *value = p.memoryBusWidth; break;
  case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; break;
  case cudaDevAttrMaxThreadsPerMultiProcessor: *value = p.maxThreadsPerMultiProcessor; break;
  case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
  case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
  case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
    *value = static_cast<int>(p.sharedMemPerMultiprocessor);
    break;
  case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(p.sharedMemPerBlockOptin); break;
  case cudaDevAttrMaxBlocksPerMultiprocessor: *value = p.maxBlocksPerMultiProcessor; break;
  default: return remember(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int length, int number)
{
  struct cudaDeviceProp p;
  if (cudaError_t error = cudaGetDeviceProperties(&p, number)) return error;
  snprintf(id, static_cast<size_t>(length), "%04x:%02x:00.0", p.pciDomainID, p.pciBusID);
  return cudaSuccess;
}

/* Only the errors are reset: the memory stays with those who have it. */
cudaError_t cudaDeviceReset(void)
{
  TPO_EMULATION_LOCK;
  sticky = last = cudaSuccess;
  calls.clear();
  last_error.clear();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  return allocate(out, bytes, true);
}

cudaError_t cudaFree(void *p)
{
  return release(p, true);
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned int)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  return allocate(out, bytes, false);
}

cudaError_t cudaMallocHost(void **out, size_t bytes)
{
  return cudaHostAlloc(out, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *p)
{
  return release(p, false);
}

cudaError_t cudaHostRegister(void *p, size_t bytes, unsigned int)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  if (p == nullptr || bytes == 0) return remember(cudaErrorInvalidValue);
  allocations[reinterpret_cast<uintptr_t>(p)] = {bytes, false, false, device};
  return cudaSuccess;
}

cudaError_t cudaHostUnregister(void *p)
{
  TPO_EMULATION_LOCK;
  auto found = allocations.find(reinterpret_cast<uintptr_t>(p));
  if (found == allocations.end() || found->second.owned) return remember(cudaErrorInvalidValue);
  allocations.erase(found);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  *total = capacity();
  *available = *total - used_bytes();
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *p)
{
  TPO_EMULATION_LOCK;
  if (cudaError_t error = current_error()) return remember(error);
  const auto *a = find(p);
  *attributes = {cudaMemoryTypeUnregistered, -2, nullptr, const_cast<void *>(p)};
  if (a == nullptr) return cudaSuccess;
  attributes->type = a->second.device ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
  attributes->device = a->second.of;
  attributes->devicePointer = const_cast<void *>(p);
  if (a->second.device) attributes->hostPointer = nullptr;
  return cudaSuccess;
}

/* A line each. */
/* clang-format off */
#define TPO_ERRORS(one)                                                                                       \
  one(cudaSuccess, "no error")                                                                                \
  one(cudaErrorInvalidValue, "invalid argument")                                                              \
  one(cudaErrorMemoryAllocation, "out of memory")                                                             \
  one(cudaErrorInitializationError, "initialization error")                                                   \
  one(cudaErrorInvalidConfiguration, "invalid configuration argument")                                        \
  one(cudaErrorInvalidDevicePointer, "invalid device pointer")                                                \
  one(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy")                                   \
  one(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version")            \
  one(cudaErrorDevicesUnavailable, "CUDA-capable device(s) is/are busy or unavailable")                       \
  one(cudaErrorInvalidDeviceFunction, "invalid device function")                                              \
  one(cudaErrorNoDevice, "no CUDA-capable device is detected")                                                \
  one(cudaErrorInvalidDevice, "invalid device ordinal")                                                       \
  one(cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device")            \
  one(cudaErrorECCUncorrectable, "uncorrectable ECC error encountered")                                       \
  one(cudaErrorIllegalState, "the operation cannot be performed in the present state")                        \
  one(cudaErrorInvalidResourceHandle, "invalid resource handle")                                              \
  one(cudaErrorNotReady, "device not ready")                                                                  \
  one(cudaErrorIllegalAddress, "an illegal memory access was encountered")                                    \
  one(cudaErrorLaunchOutOfResources, "too many resources requested for launch")                               \
  one(cudaErrorAssert, "device-side assert triggered")                                                        \
  one(cudaErrorMisalignedAddress, "misaligned address")                                                       \
  one(cudaErrorInvalidAddressSpace, "operation not supported on global/shared address space")                 \
  one(cudaErrorLaunchFailure, "unspecified launch failure")                                                   \
  one(cudaErrorNotPermitted, "operation not permitted")                                                       \
  one(cudaErrorNotSupported, "operation not supported")                                                       \
  one(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing")                  \
  one(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture")           \
  one(cudaErrorStreamCaptureMerge, "operation would result in a merge of separate capture sequences")         \
  one(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began")                \
  one(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work")                                   \
  one(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream")             \
  one(cudaErrorStreamCaptureImplicit, "operation would make the legacy stream depend on a capturing stream")  \
  one(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream")      \
  one(cudaErrorUnknown, "unknown error")
/* clang-format on */

const char *cudaGetErrorString(cudaError_t error)
{
  switch (error) {
#define TPO_ONE(code, text)                                                                                  \
  case code: return text;
    TPO_ERRORS(TPO_ONE)
#undef TPO_ONE
  }
  return "unrecognized error code";
}

const char *cudaGetErrorName(cudaError_t error)
{
  switch (error) {
#define TPO_ONE(code, text)                                                                                  \
  case code: return #code;
    TPO_ERRORS(TPO_ONE)
#undef TPO_ONE
  }
  return "unrecognized error code";
}
