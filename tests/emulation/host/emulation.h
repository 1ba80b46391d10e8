/* Emulated CUDA: what its sources share.
 *   context.cpp   stacks and switching between them
 *   blocks.cpp    runs a grid: threads of a block as fibers, barriers, errors of kernels
 *   warps.cpp     shuffles, votes, reductions
 *   ptx.cpp       ptx.cuh's instructions
 *   shared.cpp    shared memory and its bounds
 *   races.cpp     the race checker behind -fsanitize=thread
 *   device.cpp    devices, memory, errors
 *   streams.cpp   streams, events, copies, launches
 *   graphs.cpp    capture and replay
 *   cublaslt.cpp, nccl.cpp  the libraries' subsets */
#ifndef TPO_EMULATION_INTERNAL_H
#define TPO_EMULATION_INTERNAL_H

#include "context.h"

#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <ptx_host.h>

namespace tpo_emulation {

/* Everything below is used by one host thread at a time: API calls hold this lock. */
extern std::recursive_mutex lock;
#define TPO_EMULATION_LOCK std::lock_guard<std::recursive_mutex> guard(::tpo_emulation::lock)

constexpr size_t static_shared_limit = 48 << 10; /* bytes: without cudaFuncSetAttribute, too */
constexpr unsigned threads_limit = 1024;         /* of a block */
constexpr uint32_t garbage = 0x7fa57fa5u;        /* NaN as fp32, bf16 and fp16; out of bounds as an index */
void fill_garbage(void *p, size_t bytes);

/* blocks.cpp */

struct stack {
  context registers;
  void *base; /* its guard page */
  size_t bytes;

  explicit stack(size_t bytes);
  ~stack();
  stack(const stack &) = delete;
  stack &operator=(const stack &) = delete;
};

struct async_copy {
  void *dst;
  const void *src;
  bool valid;
  unsigned group;
  const void *from; /* the instruction */
};

struct thread : thread_place {
  stack *on;  /* NULL: has not begun, or has ended */
  place at;   /* where it waits */
  int ballot; /* its voice in block_vote */
  /* the warp operation that it waits in */
  unsigned mask;
  const char *operation;
  warp_combine combine;
  /* cp.async */
  unsigned group;
  std::vector<async_copy> copies;
};

static inline thread *running()
{
  return static_cast<thread *>(current);
}

/* Runs all blocks. The result is cudaSuccess or the error that stopped it, which last_error then tells. */
cudaError_t run_grid(const kernel &call);
/* Ends the kernel with an error. Only while one runs. */
[[noreturn]] void kernel_fail(cudaError_t code, place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
extern std::string last_error;
extern unsigned long long block_serial; /* a number for each block that ever ran; 0 is none */

/* ptx.cpp: a thread that ends gets what it copies. */
void finish_copies(thread *t);

/* shared.cpp */
void shared_begin(const kernel &call); /* a block begins */
void shared_check();                   /* the last thread ends: writes beyond an array are errors */
void shared_discard();                 /* after an error */
/* The offset in the memory of the block, or -1 when p is not there. */
ptrdiff_t shared_offset(const void *p);
constexpr size_t shared_arena_bytes = 1 << 20;
struct shared_region {
  const char *name;
  size_t offset, bytes;
};
/* The region with the offset, or the one before it. NULL: before all. */
const shared_region *shared_find(size_t offset);

/* races.cpp */
void races_begin_block();
void races_block_barrier();
void races_warp_barrier(unsigned warp);
/* cp.async: nobody may touch the bytes between start and end. */
void races_async_start(const void *p, size_t bytes, const void *instruction);
void races_async_end(const void *p, size_t bytes, const void *instruction);
/* "file:line" of an instruction, with the help of addr2line where that is installed; good for 4 calls. */
const char *source_of(const void *instruction);

/* device.cpp */
cudaError_t current_error();              /* the sticky error */
cudaError_t remember(cudaError_t result); /* for cudaGetLastError; returns it */
void device_failed(cudaError_t code);     /* from now on all calls return it */
bool is_pinned(const void *p, size_t bytes);
bool is_device(const void *p);
bool device_reaches(const void *p);          /* the device's memory or page-locked */
size_t shared_limit();                       /* bytes of shared memory that a block may have */
bool in_bounds(const void *p, size_t bytes); /* of the memory that p points into, if CUDA gave it */
size_t dynamic_limit(const void *function);  /* bytes of dynamic shared memory that a launch may ask for */
/* TPO_EMULATION_FAIL=KIND:...; counts calls of the kind, true when this one must fail. */
bool injected_failure(const char *kind, const char *name);
const char *environment(const char *name, const char *otherwise);

/* streams.cpp */

/* One piece of work in a stream. */
struct work {
  virtual ~work() = default;
  /* Does what it can; true when it is done. Called when all earlier work of the stream is done. */
  virtual bool poll() = 0;
  /* May it be captured in a graph and done again? */
  virtual bool repeatable() const { return true; }
  /* Must it begin at once, not when someone asks for its result? */
  virtual bool urgent() const { return false; }
};

/* Appends to the stream, or to the graph that the stream captures. */
cudaError_t enqueue(cudaStream_t stream, std::shared_ptr<work> item);
/* Does what can be done everywhere; false if nothing could. */
bool progress_all();

template <class F> struct function_work final : work {
  F function;
  explicit function_work(F function) : function(std::move(function)) {}
  bool poll() override
  {
    function();
    return true;
  }
};

template <class F> cudaError_t enqueue_function(cudaStream_t stream, F function)
{
  return enqueue(stream, std::make_shared<function_work<F>>(std::move(function)));
}

} // namespace tpo_emulation

struct CUgraph_st {
  std::vector<std::shared_ptr<tpo_emulation::work>> items;
  unsigned long long id = 0; /* of the capture, from 1 */
  cudaStream_t origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread; /* that began */
  bool invalid = false;
  std::vector<cudaStream_t> joined; /* other streams that take part */
};

struct CUstream_st {
  unsigned flags = 0;
  int priority = 0;
  unsigned long long enqueued = 0, completed = 0; /* pieces of work so far */
  std::deque<std::shared_ptr<tpo_emulation::work>> queue;
  bool busy = false; /* its work is being done right now */
  bool destroyed = false;
  CUgraph_st *capture = nullptr;
};

namespace tpo_emulation {

/* The stream behind a handle (the default stream for NULL and its names); NULL: there is none such. */
CUstream_st *stream_of(cudaStream_t handle);
std::vector<CUstream_st *> &all_streams();
/* Does the stream's work up to the ticket as far as possible; true when the ticket is reached. */
bool progress(CUstream_st *stream, unsigned long long ticket);
/* Waits for all streams. */
cudaError_t synchronize_device();
/* For calls that are not allowed while a stream captures: invalidates those captures. */
cudaError_t refuse_while_capturing();
cudaError_t refuse_capture(CUstream_st *stream);
CUgraph_st *capture_of(unsigned long long id); /* NULL: the capture has ended */

} // namespace tpo_emulation

#endif
