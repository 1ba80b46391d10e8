/* Emulated CUDA: the kernel language on the host. portable.cuh includes this when the compiler is not nvcc.
 * Every thread of a block is a fiber; where it waits for others, it hands over to the next one. */
#ifndef TPO_EMULATION_H
#define TPO_EMULATION_H

#include <memory>
#include <tuple>
#include <type_traits>

#include <cuda_runtime.h>

#define __global__
#define __device__ __attribute__((unused))
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) alignas(n)

namespace tpo_emulation {

struct thread;

/* What the built-in variables show; the scheduler keeps `current` right. */
struct thread_place {
  uint3 index;
  unsigned lane; /* in the warp */
  unsigned warp; /* in the block */
};
struct block_place {
  uint3 index;
  dim3 size; /* of a block, in threads */
  dim3 grid; /* in blocks */
};
extern thread_place *current; /* NULL outside kernels */
extern block_place block;

struct place {
  const char *file;
  int line;
};

/* A kernel with its arguments, as often as it is launched (graphs replay). */
struct kernel {
  const char *name;
  const void *function;
  dim3 grid, block;
  size_t dynamic_bytes;

  virtual ~kernel() = default;
  virtual void run() const = 0; /* one thread's part */
};

template <class... Parameters> struct kernel_call final : kernel {
  void (*entry)(Parameters...);
  std::tuple<std::decay_t<Parameters>...> arguments;

  template <class... Arguments>
  explicit kernel_call(void (*entry)(Parameters...), const Arguments &...given)
      : entry(entry), arguments(static_cast<std::decay_t<Parameters>>(given)...)
  {
  }
  void run() const override { std::apply(entry, arguments); }
};

void launch(std::shared_ptr<kernel> call, cudaStream_t stream);

template <class... Parameters, class... Arguments>
void launch(const char *name, void (*entry)(Parameters...), dim3 grid, dim3 block, size_t dynamic_bytes,
            cudaStream_t stream, const Arguments &...arguments)
{
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "a kernel gets all its arguments");
  static_assert((std::is_trivially_copyable<std::decay_t<Parameters>>::value && ...),
                "kernel arguments are copied to the device byte by byte");
  auto call = std::make_shared<kernel_call<Parameters...>>(entry, arguments...);
  call->name = name;
  call->function = reinterpret_cast<const void *>(entry);
  call->grid = grid;
  call->block = block;
  call->dynamic_bytes = dynamic_bytes;
  launch(std::move(call), stream);
}

/* One TPO_SHARED of one kernel instantiation: memory of the running block, the same for all its threads. */
struct shared_slot {
  const char *name;
  int line;
  unsigned long long block; /* for which block `data` stands */
  void *data;

  void *get(size_t bytes); /* filled with garbage the first time a block asks */
};
void *dynamic_shared();

void block_barrier(place at);
int block_vote(int predicate, int kind, place at); /* kind: 0 and, 1 or, 2 count */

/* Waits until all lanes of the mask called with the same `combine`, which is then called once for all of
 * them: arguments[lane] is what each lane of the mask gave. */
typedef void (*warp_combine)(void *const *arguments, unsigned mask);
void warp_collective(unsigned mask, const char *name, warp_combine combine, void *arguments, place at);
void warp_barrier(unsigned mask, place at);
uint64_t warp_shuffle(unsigned mask, uint64_t value, unsigned source, const char *name, place at);
unsigned warp_ballot(unsigned mask, bool predicate, const char *name, place at);
enum reduction {
  REDUCE_ADD,
  REDUCE_MIN_SIGNED,
  REDUCE_MAX_SIGNED,
  REDUCE_MIN,
  REDUCE_MAX,
  REDUCE_AND,
  REDUCE_OR,
  REDUCE_XOR
};
unsigned warp_reduce(unsigned mask, unsigned value, reduction kind, const char *name, place at);
unsigned warp_match(unsigned mask, uint64_t value, place at);
unsigned active_lanes();

/* Tells the race checker of an access that the compiler's instrumentation does not see. */
enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_ATOMIC };
void note_access(const void *p, size_t bytes, access kind, const void *instruction = nullptr);

[[noreturn]] void trap(const char *what, place at);

#define TPO_EMULATION_HERE ::tpo_emulation::place at = {__builtin_FILE(), __builtin_LINE()}

} // namespace tpo_emulation

#define TPO_SHARED(type, name, count)                                                                        \
  static ::tpo_emulation::shared_slot name##_slot = {#name, __LINE__, 0, nullptr};                           \
  type(&name)[count] = *static_cast<type(*)[count]>(name##_slot.get(sizeof(type[count])))
#define TPO_DYNAMIC_SHARED(type, name) type *name = static_cast<type *>(::tpo_emulation::dynamic_shared())
#define TPO_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                           \
  ::tpo_emulation::launch(#kernel, kernel, grid, block, shared_bytes, stream, ##__VA_ARGS__)

#define threadIdx (::tpo_emulation::current->index)
#define blockIdx (::tpo_emulation::block.index)
#define blockDim (::tpo_emulation::block.size)
#define gridDim (::tpo_emulation::block.grid)
constexpr int warpSize = 32;

#include <tpo_emulation_intrinsics.h>
#include <tpo_emulation_math.h>

/* The instrumentation of -fsanitize=thread does not look into calls of these. */
#ifdef __SANITIZE_THREAD__
#define TPO_CHECKED __attribute__((noinline, unused, no_sanitize("thread"))) static
TPO_CHECKED void *tpo_checked_memcpy(void *dst, const void *src, size_t bytes)
{
  ::tpo_emulation::note_access(src, bytes, ::tpo_emulation::ACCESS_READ, __builtin_return_address(0));
  ::tpo_emulation::note_access(dst, bytes, ::tpo_emulation::ACCESS_WRITE, __builtin_return_address(0));
  return memcpy(dst, src, bytes);
}
TPO_CHECKED void *tpo_checked_memset(void *dst, int value, size_t bytes)
{
  ::tpo_emulation::note_access(dst, bytes, ::tpo_emulation::ACCESS_WRITE, __builtin_return_address(0));
  return memset(dst, value, bytes);
}
#undef TPO_CHECKED
namespace std {
using ::tpo_checked_memcpy;
using ::tpo_checked_memset;
} // namespace std
#define memcpy tpo_checked_memcpy
#define memset tpo_checked_memset
#endif

#endif
