/* Emulated CUDA: finds races on shared memory. Kernels compiled with -fsanitize=thread call the functions at
 * the end of this file for each access; they are linked with this file in place of the compiler's own
 * run-time library.
 *
 * Two accesses of different threads to a byte, at least one a write and not both atomic, are a race unless a
 * __syncthreads came between them, or, when both threads are of one warp, a __syncwarp of the full warp.
 * Whether the fibers happened to run in a good order does not matter. For each byte it remembers who read,
 * wrote or changed it atomically since then: two threads are enough to find one that is not the next one. */
#include "emulation.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

namespace tpo_emulation {

namespace {

constexpr uint16_t nobody = 0xffff;

/* Small, because memory's speed is the checker's: a history fills a cache line. */
struct access_set {
  uint32_t epoch;      /* of the block: accesses of earlier epochs don't count */
  uint32_t warp_epoch; /* of the warp of `first` */
  uint16_t first, second;
  int32_t first_at, second_at; /* instructions, from here */
};

struct alignas(64) access_history {
  access_set reads, writes, atomics;
  uint32_t async_block; /* in which block a cp.async is under way */
};

/* Of the arena's aligned words of 4 bytes, and of the bytes of words that a block does not only access as a
 * whole. */
struct histories {
  access_history words[shared_arena_bytes / 4], bytes[shared_arena_bytes];
  uint32_t split[shared_arena_bytes / 4];        /* of a word: the block that accesses its bytes one by one */
  uint16_t async_thread[shared_arena_bytes / 4]; /* of a word */
};

bool active; /* some kernel is instrumented */
histories *history;
uint32_t epoch, block_number;
uint32_t warp_epochs[threads_limit / 32];

void here() {}

int32_t from_here(const void *instruction)
{
  return static_cast<int32_t>(static_cast<const char *>(instruction) - reinterpret_cast<const char *>(here));
}

const void *instruction_at(int32_t distance)
{
  return reinterpret_cast<const char *>(here) + distance;
}

bool several_warps(const access_set &set)
{
  return set.second != nobody && set.second / 32 != set.first / 32;
}

/* Who of the set is not in order with thread t's access now; nobody if all are. */
uint16_t conflict(const access_set &set, const thread &t, uint16_t number, int32_t *at)
{
  if (set.epoch != epoch) return nobody;
  const bool mine = set.first / 32u == t.warp;
  bool second = false;
  if (several_warps(set)) {
    second = mine;
  } else if (mine) {
    if (set.warp_epoch != warp_epochs[t.warp]) return nobody;
    if (set.first == number && (set.second == nobody || set.second == number)) return nobody;
    second = set.first == number;
  }
  *at = second ? set.second_at : set.first_at;
  return second ? set.second : set.first;
}

void add(access_set *set, const thread &t, uint16_t number, int32_t at)
{
  const bool several = several_warps(*set), mine = set->first / 32u == t.warp;
  if (set->epoch != epoch || (mine && !several && set->warp_epoch != warp_epochs[t.warp])) {
    *set = {epoch, warp_epochs[t.warp], number, nobody, at, 0};
  } else if (!several && (!mine || (set->first != number && set->second == nobody))) {
    set->second = number;
    set->second_at = at;
  }
}

const char *const verbs[] = {"reads", "writes", "atomically changes"};

[[noreturn]] void report(size_t offset, access kind, int32_t at, uint16_t other, access other_kind,
                         int32_t other_at)
{
  const shared_region *region = shared_find(offset);
  const bool same_warp = other / 32u == running()->warp;
  kernel_fail(cudaErrorLaunchFailure, {},
              "race on byte %zu of shared %s: thread %u %s it at %s, "
              "thread %u %s it at %s, and no __syncthreads%s is between",
              offset - region->offset, region->name, running()->warp * 32 + running()->lane, verbs[kind],
              source_of(instruction_at(at)), other, verbs[other_kind], source_of(instruction_at(other_at)),
              same_warp ? " or __syncwarp" : "");
}

void open_history()
{
  void *p = mmap(nullptr, sizeof(histories), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    fprintf(stderr, "emulated CUDA: no memory for the race checker\n");
    abort();
  }
  history = static_cast<histories *>(p); /* all epochs are 0: no access yet */
}

void check_history(access_history *h, size_t offset, access kind, const thread &t, uint16_t number,
                   int32_t at)
{
  if (h->async_block == block_number) {
    const shared_region *region = shared_find(offset);
    kernel_fail(cudaErrorLaunchFailure, {},
                "race on byte %zu of shared %s: "
                "thread %u %s it at %s while the cp_async_16 of thread %u is under way",
                offset - region->offset, region->name, number, verbs[kind], source_of(instruction_at(at)),
                history->async_thread[offset / 4]);
  }
  int32_t other_at = 0;
  uint16_t other = conflict(h->writes, t, number, &other_at);
  if (other != nobody) report(offset, kind, at, other, ACCESS_WRITE, other_at);
  if (kind != ACCESS_READ) {
    other = conflict(h->reads, t, number, &other_at);
    if (other != nobody) report(offset, kind, at, other, ACCESS_READ, other_at);
  }
  if (kind != ACCESS_ATOMIC) {
    other = conflict(h->atomics, t, number, &other_at);
    if (other != nobody) report(offset, kind, at, other, ACCESS_ATOMIC, other_at);
  }
  add(kind == ACCESS_READ ? &h->reads : kind == ACCESS_WRITE ? &h->writes : &h->atomics, t, number, at);
}

void check_bounds(size_t offset, size_t bytes, access kind, const void *at)
{
  const shared_region *region = shared_find(offset);
  if (region != nullptr && offset + bytes <= region->offset + region->bytes) return;
  kernel_fail(
      cudaErrorIllegalAddress, {}, "%s %zu bytes at offset %zu of shared %s, which has %zu bytes, at %s",
      verbs[kind], bytes, region != nullptr ? offset - region->offset : offset,
      region != nullptr ? region->name : "memory", region != nullptr ? region->bytes : 0, source_of(at));
}

void check_access(size_t offset, size_t bytes, access kind, const void *at)
{
  check_bounds(offset, bytes, kind, at);
  if (history == nullptr) open_history();
  const thread &t = *running();
  const uint16_t number = static_cast<uint16_t>(t.warp * 32 + t.lane);
  const int32_t distance = from_here(at);
  const size_t end = offset + bytes;
  while (offset < end) {
    const size_t word = offset / 4;
    const bool whole = offset % 4 == 0 && offset + 4 <= end;
    if (whole && history->split[word] != block_number) {
      check_history(&history->words[word], offset, kind, t, number, distance);
      offset += 4;
      continue;
    }
    if (history->split[word] != block_number) {
      history->split[word] = block_number;
      for (size_t i = 0; i < 4; i++) history->bytes[4 * word + i] = history->words[word];
    }
    check_history(&history->bytes[offset], offset, kind, t, number, distance);
    offset++;
  }
}

inline void instrumented(const void *p, size_t bytes, access kind, const void *at)
{
  const ptrdiff_t offset = shared_offset(p);
  if (offset >= 0 && current != nullptr) check_access(static_cast<size_t>(offset), bytes, kind, at);
}

} // namespace

/* No std::string: the stack of a thread that fails is dropped without running destructors. */
const char *source_of(const void *instruction)
{
  static char texts[4][4200];
  static unsigned next;
  char *text = texts[next++ % 4], self[4096], command[5000];
  Dl_info info;
  if (instruction == nullptr || dladdr(instruction, &info) == 0 || info.dli_fname == nullptr) return "?";
  const size_t offset = static_cast<size_t>(static_cast<const char *>(instruction) -
                                            static_cast<const char *>(info.dli_fbase)) -
                        1;
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  self[length > 0 ? length : 0] = 0;
  const char *file = strchr(info.dli_fname, '/') != nullptr ? info.dli_fname : self;
  snprintf(command, sizeof command, "addr2line -i -e '%s' 0x%zx 2>/dev/null", file, offset);
  text[0] = 0;
  if (FILE *out = strchr(file, '\'') == nullptr ? popen(command, "r") : nullptr) {
    /* Of functions inlined into one another the innermost that is not part of the emulation. */
    do {
      if (fgets(text, sizeof texts[0], out) == nullptr) text[0] = 0;
    } while (strstr(text, "emulation/include/") != nullptr);
    pclose(out);
  }
  text[strcspn(text, " \n")] = 0; /* " (discriminator 3)" may follow */
  if (text[0] == 0 || text[0] == '?') snprintf(text, sizeof texts[0], "%.4000s+0x%zx", file, offset);
  return text;
}

void races_begin_block()
{
  epoch++;
  block_number++;
}

void races_block_barrier()
{
  epoch++;
}

void races_warp_barrier(unsigned warp)
{
  warp_epochs[warp]++;
}

static void mark_async(size_t offset, size_t bytes, uint32_t number)
{
  for (size_t i = offset; i < offset + bytes; i++) {
    history->words[i / 4].async_block = history->bytes[i].async_block = number;
    history->async_thread[i / 4] = static_cast<uint16_t>(running()->warp * 32 + running()->lane);
  }
}

void races_async_start(const void *p, size_t bytes, const void *instruction)
{
  const ptrdiff_t offset = active ? shared_offset(p) : -1;
  if (offset < 0) return;
  check_access(static_cast<size_t>(offset), bytes, ACCESS_WRITE, instruction);
  mark_async(static_cast<size_t>(offset), bytes, block_number);
}

void races_async_end(const void *p, size_t bytes, const void *instruction)
{
  const ptrdiff_t offset = active ? shared_offset(p) : -1;
  if (offset < 0) return;
  mark_async(static_cast<size_t>(offset), bytes, 0);
  check_access(static_cast<size_t>(offset), bytes, ACCESS_WRITE, instruction);
}

void note_access(const void *p, size_t bytes, access kind, const void *at)
{
  if (active) instrumented(p, bytes, kind, at != nullptr ? at : __builtin_return_address(0));
}

} // namespace tpo_emulation

/* What the compiler calls. The names are the linker's only, because the compiler has its own ideas of these
 * functions' types. */
#define TPO_AT __builtin_return_address(0)
#define TPO_CALLED(result, name, parameters)                                                                 \
  result called_##name parameters __asm__("__tsan_" #name);                                                  \
  result called_##name parameters
#define TPO_ACCESS(name, bytes, kind)                                                                        \
  TPO_CALLED(void, name, (void *p))                                                                          \
  {                                                                                                          \
    ::tpo_emulation::instrumented(p, bytes, ::tpo_emulation::kind, TPO_AT);                                  \
  }
#define TPO_ACCESSES(bytes)                                                                                  \
  TPO_ACCESS(read##bytes, bytes, ACCESS_READ)                                                                \
  TPO_ACCESS(write##bytes, bytes, ACCESS_WRITE)                                                              \
  TPO_ACCESS(unaligned_read##bytes, bytes, ACCESS_READ)                                                      \
  TPO_ACCESS(unaligned_write##bytes, bytes, ACCESS_WRITE)                                                    \
  TPO_ACCESS(volatile_read##bytes, bytes, ACCESS_READ)                                                       \
  TPO_ACCESS(volatile_write##bytes, bytes, ACCESS_WRITE)

#define TPO_NOTE(p) ::tpo_emulation::instrumented(p, sizeof *p, ::tpo_emulation::ACCESS_ATOMIC, TPO_AT)
#define TPO_CHANGE(bits, type, name, builtin)                                                                \
  TPO_CALLED(type, atomic##bits##_##name, (type * p, type value, int))                                       \
  {                                                                                                          \
    TPO_NOTE(p);                                                                                             \
    return builtin(p, value, __ATOMIC_SEQ_CST);                                                              \
  }
#define TPO_COMPARE(bits, type, name)                                                                        \
  TPO_CALLED(bool, atomic##bits##_##name, (type * p, type * expected, type value, int, int))                 \
  {                                                                                                          \
    TPO_NOTE(p);                                                                                             \
    return __atomic_compare_exchange_n(p, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);       \
  }
#define TPO_ATOMICS(bits, type)                                                                              \
  TPO_CALLED(type, atomic##bits##_load, (const type *p, int))                                                \
  {                                                                                                          \
    TPO_NOTE(p);                                                                                             \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                             \
  }                                                                                                          \
  TPO_CALLED(void, atomic##bits##_store, (type * p, type value, int))                                        \
  {                                                                                                          \
    TPO_NOTE(p);                                                                                             \
    __atomic_store_n(p, value, __ATOMIC_SEQ_CST);                                                            \
  }                                                                                                          \
  TPO_CHANGE(bits, type, exchange, __atomic_exchange_n)                                                      \
  TPO_CHANGE(bits, type, fetch_add, __atomic_fetch_add)                                                      \
  TPO_CHANGE(bits, type, fetch_sub, __atomic_fetch_sub)                                                      \
  TPO_CHANGE(bits, type, fetch_and, __atomic_fetch_and)                                                      \
  TPO_CHANGE(bits, type, fetch_or, __atomic_fetch_or)                                                        \
  TPO_CHANGE(bits, type, fetch_xor, __atomic_fetch_xor)                                                      \
  TPO_COMPARE(bits, type, compare_exchange_strong)                                                           \
  TPO_COMPARE(bits, type, compare_exchange_weak)

extern "C" {

TPO_CALLED(void, init, ())
{
  ::tpo_emulation::active = true;
}
TPO_CALLED(void, func_entry, (void *)) {}
TPO_CALLED(void, func_exit, ()) {}
TPO_CALLED(void, vptr_update, (void **, void *)) {}
TPO_CALLED(void, vptr_read, (void **)) {}
TPO_CALLED(void, atomic_thread_fence, (int)) {}
TPO_CALLED(void, atomic_signal_fence, (int)) {}
TPO_CALLED(void, read_range, (void *p, size_t bytes))
{
  ::tpo_emulation::instrumented(p, bytes, ::tpo_emulation::ACCESS_READ, TPO_AT);
}
TPO_CALLED(void, write_range, (void *p, size_t bytes))
{
  ::tpo_emulation::instrumented(p, bytes, ::tpo_emulation::ACCESS_WRITE, TPO_AT);
}

/* Clang's. */
TPO_CALLED(void *, memcpy, (void *dst, const void *src, size_t bytes))
{
  ::tpo_emulation::instrumented(src, bytes, ::tpo_emulation::ACCESS_READ, TPO_AT);
  ::tpo_emulation::instrumented(dst, bytes, ::tpo_emulation::ACCESS_WRITE, TPO_AT);
  return memcpy(dst, src, bytes);
}
TPO_CALLED(void *, memmove, (void *dst, const void *src, size_t bytes))
{
  ::tpo_emulation::instrumented(src, bytes, ::tpo_emulation::ACCESS_READ, TPO_AT);
  ::tpo_emulation::instrumented(dst, bytes, ::tpo_emulation::ACCESS_WRITE, TPO_AT);
  return memmove(dst, src, bytes);
}
TPO_CALLED(void *, memset, (void *dst, int value, size_t bytes))
{
  ::tpo_emulation::instrumented(dst, bytes, ::tpo_emulation::ACCESS_WRITE, TPO_AT);
  return memset(dst, value, bytes);
}

TPO_ACCESSES(1)
TPO_ACCESSES(2)
TPO_ACCESSES(4)
TPO_ACCESSES(8)
TPO_ACCESSES(16)

TPO_ATOMICS(8, uint8_t)
TPO_ATOMICS(16, uint16_t)
TPO_ATOMICS(32, uint32_t)
TPO_ATOMICS(64, uint64_t)
}
