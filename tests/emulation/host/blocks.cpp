/* Emulated CUDA: runs a grid, one block after another. A thread of the block gets a stack of its own when it
 * first waits for others; threads that never wait follow one another on the same stack. */
#include "emulation.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace tpo_emulation {

thread_place *current;
block_place block;
std::string last_error;
unsigned long long block_serial;

stack::stack(size_t bytes) : bytes(bytes)
{
  base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

stack::~stack()
{
  if (base == MAP_FAILED) return;
#ifdef __SANITIZE_ADDRESS__
  ASAN_UNPOISON_MEMORY_REGION(base, bytes);
#endif
  munmap(base, bytes);
}

namespace {

constexpr size_t stack_bytes = 256 << 10;
const size_t page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));

struct warp {
  uint32_t ready, in_barrier, in_operation; /* lanes */
  /* The operation that the first of the lanes in_operation came to; alike: all are at the same. */
  bool alike;
  unsigned mask;
  warp_combine combine;
  const char *operation;
  void *arguments[32];
};

enum order { FORWARD, REVERSE, SHUFFLE };

struct {
  const kernel *call;
  unsigned count; /* threads of a block */
  std::vector<thread> threads;
  warp warps[threads_limit / 32];
  uint32_t ready_warps;
  unsigned turn; /* the warp that runs */
  unsigned in_barrier, done;
  place barrier_at;
  std::vector<std::unique_ptr<stack>> stacks;
  std::vector<stack *> free_stacks;
  stack *on; /* the running one */
  context host;
  enum order order;
  uint64_t random;
  cudaError_t failure;
  sigjmp_buf fault;
  void *fault_address;
} run;

bool same_text(const char *a, const char *b)
{
  return a == b || strcmp(a, b) == 0;
}

void set_ready(unsigned w, uint32_t lanes)
{
  run.warps[w].ready |= lanes;
  if (run.warps[w].ready != 0) run.ready_warps |= 1u << w;
}

inline unsigned choose(uint32_t set)
{
  if (__builtin_expect(run.order == FORWARD, 1)) return static_cast<unsigned>(__builtin_ctz(set));
  if (run.order == REVERSE) return 31u - static_cast<unsigned>(__builtin_clz(set));
  run.random = run.random * 6364136223846793005u + 1442695040888963407u;
  unsigned skip = static_cast<unsigned>(run.random >> 33) % static_cast<unsigned>(__builtin_popcount(set));
  while (skip-- > 0) set &= set - 1;
  return static_cast<unsigned>(__builtin_ctz(set));
}

/* The next thread to run, NULL if all wait or have ended. A warp runs until all its lanes wait. */
thread *next_thread()
{
  if (run.ready_warps == 0) return nullptr;
  if (run.order == SHUFFLE || !(run.ready_warps >> run.turn & 1)) run.turn = choose(run.ready_warps);
  warp *w = &run.warps[run.turn];
  const unsigned lane = choose(w->ready);
  w->ready &= ~(1u << lane);
  if (w->ready == 0) run.ready_warps &= ~(1u << run.turn);
  return &run.threads[run.turn * 32 + lane];
}

void fiber_main();

stack *new_stack()
{
  stack *s = new stack(page_bytes + stack_bytes);
  run.stacks.emplace_back(s);
  if (s->base == MAP_FAILED || mprotect(s->base, page_bytes, PROT_NONE) != 0) {
    fprintf(stderr, "emulated CUDA: no memory for the stacks of a block\n");
    abort();
  }
  context_make(&s->registers, static_cast<char *>(s->base) + page_bytes, stack_bytes, fiber_main);
  return s;
}

stack *take_stack()
{
  if (run.free_stacks.empty()) return new_stack();
  stack *s = run.free_stacks.back();
  run.free_stacks.pop_back();
  return s;
}

/* Goes on with t; returns when the running thread's turn comes again. */
void switch_to(thread *t)
{
  if (t->on == nullptr) t->on = take_stack();
  stack *from = run.on;
  current = t;
  run.on = t->on;
  context_switch(&from->registers, &t->on->registers);
}

[[noreturn]] void describe_stuck()
{
  const thread *waits = nullptr, *barrier = nullptr;
  for (unsigned i = 0; i < run.count; i++) {
    const thread &t = run.threads[i];
    if (run.warps[t.warp].in_operation >> t.lane & 1) waits = waits != nullptr ? waits : &t;
    if (run.warps[t.warp].in_barrier >> t.lane & 1) barrier = barrier != nullptr ? barrier : &t;
  }
  current = const_cast<thread *>(waits != nullptr ? waits : barrier);
  if (waits == nullptr) {
    kernel_fail(cudaErrorLaunchFailure, barrier->at,
                "__syncthreads is not reached by every thread of the block: %u of %u ended before", run.done,
                run.count);
  }
  if (barrier != nullptr) {
    kernel_fail(cudaErrorLaunchFailure, waits->at,
                "deadlock: lane %u of warp %u waits in %s for the lanes of mask 0x%08x, "
                "while %u threads of the block wait in __syncthreads (%s:%d)",
                waits->lane, waits->warp, waits->operation, waits->mask, run.in_barrier, barrier->at.file,
                barrier->at.line);
  }
  kernel_fail(cudaErrorLaunchFailure, waits->at,
              "deadlock: lane %u of warp %u waits in %s for the lanes of mask 0x%08x, which do not all come",
              waits->lane, waits->warp, waits->operation, waits->mask);
}

void wait_for_turn()
{
  thread *next = next_thread();
  if (next == nullptr) describe_stuck();
  switch_to(next);
}

/* A stack's life: runs the thread that it was switched to for, then others that have not begun. */
void fiber_main()
{
  context_entered();
  for (;;) {
    thread *t = running();
    run.call->run();
    if (!t->copies.empty()) finish_copies(t);
    t->on = nullptr;
    run.done++;
    thread *next = next_thread();
    if (next != nullptr && next->on == nullptr) {
      next->on = run.on;
      current = next;
      continue;
    }
    stack *mine = run.on;
    if (next != nullptr) {
      run.free_stacks.push_back(mine);
      switch_to(next);
    } else if (run.done < run.count) {
      describe_stuck();
    } else {
      shared_check();
      run.free_stacks.push_back(mine);
      context_switch(&mine->registers, &run.host);
    }
  }
}

void run_block()
{
  block_serial++;
  shared_begin(*run.call);
  races_begin_block();
  run.in_barrier = run.done = 0;
  run.ready_warps = 0;
  for (unsigned w = 0; w * 32 < run.count; w++) {
    const unsigned lanes = run.count - w * 32;
    run.warps[w].ready = run.warps[w].in_barrier = run.warps[w].in_operation = 0;
    set_ready(w, lanes >= 32 ? 0xffffffffu : (1u << lanes) - 1);
  }
  run.turn = choose(run.ready_warps);
  thread *first = next_thread();
  first->on = take_stack();
  current = first;
  run.on = first->on;
  context_switch(&run.host, &run.on->registers);
}

/* Unfinished fibers are dropped with their stacks' contents. */
void drop_stacks()
{
  run.stacks.clear();
  run.free_stacks.clear();
  for (thread &t : run.threads) t = {};
}

void prepare(const kernel &call)
{
  run.call = &call;
  run.count = call.block.x * call.block.y * call.block.z;
  run.failure = cudaSuccess;
  if (run.threads.size() < threads_limit) run.threads.resize(threads_limit);
  for (unsigned i = 0; i < run.count; i++) {
    thread &t = run.threads[i];
    t.index = {i % call.block.x, i / call.block.x % call.block.y, i / (call.block.x * call.block.y)};
    t.lane = i % 32;
    t.warp = i / 32;
    t.group = 0;
  }
  block.size = call.block;
  block.grid = call.grid;
  const char *order = environment("TPO_EMULATION_ORDER", "forward");
  run.order = strcmp(order, "reverse") == 0 ? REVERSE : strncmp(order, "shuffle", 7) == 0 ? SHUFFLE : FORWARD;
  if (run.order == SHUFFLE && run.random == 0)
    run.random = order[7] == ':' ? strtoull(order + 8, nullptr, 10) : 1;
}

/* A kernel's wild access becomes an error, as on a GPU. AddressSanitizer has a better report of its own. */
struct fault_handler {
#ifndef __SANITIZE_ADDRESS__
  struct sigaction segv, bus;
  static void on_fault(int, siginfo_t *info, void *)
  {
    run.fault_address = info->si_addr;
    siglongjmp(run.fault, 1);
  }
  fault_handler()
  {
    thread_local bool prepared;
    if (!prepared) {
      constexpr size_t bytes = 64 << 10;
      stack_t alternative = {};
      alternative.ss_sp = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      alternative.ss_size = bytes;
      prepared = alternative.ss_sp != MAP_FAILED && sigaltstack(&alternative, nullptr) == 0;
    }
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &segv);
    sigaction(SIGBUS, &action, &bus);
  }
  ~fault_handler()
  {
    sigaction(SIGSEGV, &segv, nullptr);
    sigaction(SIGBUS, &bus, nullptr);
  }
#endif
};

void set_failure(cudaError_t code, place at, const std::string &what)
{
  const thread *t = running();
  char where[400];
  snprintf(where, sizeof where, " (block %u,%u,%u thread %u,%u,%u", block.index.x, block.index.y,
           block.index.z, t->index.x, t->index.y, t->index.z);
  last_error = std::string("kernel ") + run.call->name + ": " + what + where;
  if (at.file != nullptr) last_error += std::string(", ") + at.file + ":" + std::to_string(at.line);
  last_error += ")";
  run.failure = code;
}

void report_fault()
{
  const char *address = static_cast<const char *>(run.fault_address);
  for (const std::unique_ptr<stack> &s : run.stacks) {
    const char *base = static_cast<const char *>(s->base);
    if (address >= base && address < base + page_bytes) {
      set_failure(cudaErrorLaunchFailure, {}, "a thread's stack overflows");
      return;
    }
  }
  char what[100];
  snprintf(what, sizeof what, "illegal memory access at %p", run.fault_address);
  set_failure(cudaErrorIllegalAddress, {}, what);
}

} // namespace

cudaError_t run_grid(const kernel &call)
{
  prepare(call);
  context_host(&run.host);
  [[maybe_unused]] fault_handler handler;
  if (sigsetjmp(run.fault, 1) == 0) {
    for (block.index.z = 0; block.index.z < call.grid.z && run.failure == cudaSuccess; block.index.z++) {
      for (block.index.y = 0; block.index.y < call.grid.y && run.failure == cudaSuccess; block.index.y++) {
        for (block.index.x = 0; block.index.x < call.grid.x && run.failure == cudaSuccess; block.index.x++) {
          run_block();
        }
      }
    }
  } else {
    report_fault();
  }
  current = nullptr;
  if (run.failure != cudaSuccess) {
    fprintf(stderr, "emulated CUDA: %s\n", last_error.c_str());
    shared_discard();
    drop_stacks();
  }
  return run.failure;
}

void kernel_fail(cudaError_t code, place at, const char *format, ...)
{
  char what[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  set_failure(code, at, what);
  context_leave(&run.host);
}

void trap(const char *what, place at)
{
  kernel_fail(cudaErrorLaunchFailure, at, "%s", what);
}

unsigned active_lanes()
{
  return 1u << current->lane;
}

/* The last thread to come releases the others and goes on; the others hand over. */
void block_barrier(place at)
{
  thread *t = running();
  if (run.in_barrier == 0) {
    run.barrier_at = at;
  } else if (at.line != run.barrier_at.line || !same_text(at.file, run.barrier_at.file)) {
    kernel_fail(cudaErrorLaunchFailure, at,
                "threads of a block wait at different __syncthreads: the other is %s:%d", run.barrier_at.file,
                run.barrier_at.line);
  }
  if (++run.in_barrier < run.count) {
    t->at = at;
    run.warps[t->warp].in_barrier |= 1u << t->lane;
    wait_for_turn();
    return;
  }
  run.in_barrier = 0;
  for (unsigned w = 0; w * 32 < run.count; w++) {
    set_ready(w, run.warps[w].in_barrier);
    run.warps[w].in_barrier = 0;
  }
  races_block_barrier();
}

int block_vote(int predicate, int kind, place at)
{
  thread *t = running();
  t->ballot = predicate != 0;
  block_barrier(at);
  unsigned yes = 0;
  for (unsigned i = 0; i < run.count; i++) yes += static_cast<unsigned>(run.threads[i].ballot);
  block_barrier(at);
  return kind == 0 ? yes == run.count : kind == 1 ? yes != 0 : static_cast<int>(yes);
}

/* Have all lanes of the mask come to the same operation? They may also wait in smaller groups, each with its
 * mask. */
static bool group_is_complete(const thread *t, const warp &w)
{
  if ((w.in_operation & t->mask) != t->mask) return false;
  const thread *lanes = t - t->lane;
  for (unsigned rest = t->mask; rest != 0; rest &= rest - 1) {
    const thread &other = lanes[__builtin_ctz(rest)];
    if (other.mask != t->mask) return false;
    if (other.combine != t->combine || !same_text(other.operation, t->operation)) {
      kernel_fail(cudaErrorLaunchFailure, t->at,
                  "lanes of a warp are at different operations: %s, and lane %u %s (%s:%d)", t->operation,
                  other.lane, other.operation, other.at.file, other.at.line);
    }
  }
  return true;
}

void warp_collective(unsigned mask, const char *name, warp_combine combine, void *arguments, place at)
{
  thread *t = running();
  warp *w = &run.warps[t->warp];
  const unsigned me = 1u << t->lane;
  if (!(mask & me))
    kernel_fail(cudaErrorLaunchFailure, at, "%s: mask 0x%08x lacks the calling lane", name, mask);
  t->at = at;
  t->mask = mask;
  t->operation = name;
  t->combine = combine;
  w->arguments[t->lane] = arguments;
  if (w->in_operation == 0) {
    w->alike = true;
    w->mask = mask;
    w->combine = combine;
    w->operation = name;
  } else if (mask != w->mask || combine != w->combine || name != w->operation) {
    w->alike = false;
  }
  w->in_operation |= me;
  if (w->alike ? w->in_operation != mask : !group_is_complete(t, *w)) {
    wait_for_turn();
    return;
  }
  combine(w->arguments, mask);
  w->in_operation &= ~mask;
  set_ready(t->warp, mask & ~me);
}

} // namespace tpo_emulation
