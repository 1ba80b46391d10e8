/* Emulated CUDA: a block's shared memory. The arrays lie in one arena with gaps between; AddressSanitizer,
 * the race checker, or a look at the gaps when the block ends find accesses outside. */
#include "emulation.h"

#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, bytes) ((void)(p), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(p, bytes) ((void)(p), (void)(bytes))
#endif

namespace tpo_emulation {

namespace {
constexpr size_t alignment = 128, gap = 256; /* bytes */

struct {
  char *base;
  size_t used;         /* bytes, with the gap after the last array */
  size_t static_bytes; /* of the arrays of fixed size */
  const kernel *call;
  std::vector<shared_region> regions; /* of the running block, in order; the first is the dynamic one */
} arena;

void open_arena()
{
  void *p = mmap(nullptr, shared_arena_bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    fprintf(stderr, "emulated CUDA: no memory for a block's shared memory\n");
    abort();
  }
  arena.base = static_cast<char *>(p);
  ASAN_POISON_MEMORY_REGION(arena.base, shared_arena_bytes);
}

char *add_region(const char *name, size_t bytes)
{
  const size_t offset = arena.used;
  arena.used = (offset + bytes + gap + alignment - 1) / alignment * alignment;
  arena.regions.push_back({name, offset, bytes});
  char *p = arena.base + offset;
  ASAN_UNPOISON_MEMORY_REGION(p, arena.used - offset);
  fill_garbage(p, arena.used - offset);
  ASAN_POISON_MEMORY_REGION(p + bytes, arena.used - offset - bytes);
  return p;
}

/* Writes into the gap after an array. */
void check_gaps()
{
#ifndef __SANITIZE_ADDRESS__
  char expected[gap + 2 * alignment];
  fill_garbage(expected, sizeof expected);
  for (size_t i = 0; i < arena.regions.size(); i++) {
    const shared_region &r = arena.regions[i];
    const size_t end = i + 1 < arena.regions.size() ? arena.regions[i + 1].offset : arena.used;
    const size_t start = r.offset + r.bytes, phase = start % 4; /* the pattern is 4 bytes long */
    if (__builtin_memcmp(arena.base + start, expected + phase, end - start) == 0) continue;
    size_t at = 0;
    while (arena.base[start + at] == expected[phase + at]) at++;
    kernel_fail(cudaErrorIllegalAddress, {}, "written %zu bytes after the end of shared %s (%zu bytes)", at,
                r.name, r.bytes);
  }
#endif
}
} // namespace

void fill_garbage(void *p, size_t bytes)
{
  char *to = static_cast<char *>(p);
  size_t i = 0;
  for (; i + 4 <= bytes; i += 4) __builtin_memcpy(to + i, &garbage, 4);
  __builtin_memcpy(to + i, &garbage, bytes - i);
}

void shared_begin(const kernel &call)
{
  if (arena.base == nullptr) open_arena();
  arena.call = &call;
  arena.used = arena.static_bytes = 0;
  arena.regions.clear();
  add_region("dynamic memory", call.dynamic_bytes);
}

void shared_check()
{
  check_gaps();
}

void shared_discard()
{
  if (arena.base != nullptr) ASAN_POISON_MEMORY_REGION(arena.base, shared_arena_bytes);
  arena.regions.clear();
}

void *shared_slot::get(size_t bytes)
{
  if (block == block_serial) return data;
  arena.static_bytes += bytes;
  if (arena.static_bytes > static_shared_limit ||
      arena.static_bytes + arena.call->dynamic_bytes > shared_limit()) {
    kernel_fail(cudaErrorInvalidConfiguration, {__FILE__, __LINE__},
                "too much shared memory: %zu bytes in arrays, %zu dynamic; %s is one too many",
                arena.static_bytes, arena.call->dynamic_bytes, name);
  }
  data = add_region(name, bytes);
  block = block_serial;
  return data;
}

void *dynamic_shared()
{
  return arena.base;
}

ptrdiff_t shared_offset(const void *p)
{
  const uintptr_t offset = reinterpret_cast<uintptr_t>(p) - reinterpret_cast<uintptr_t>(arena.base);
  return arena.base != nullptr && offset < shared_arena_bytes ? static_cast<ptrdiff_t>(offset) : -1;
}

const shared_region *shared_find(size_t offset)
{
  for (size_t i = arena.regions.size(); i-- > 0;) {
    if (arena.regions[i].offset <= offset) return &arena.regions[i];
  }
  return nullptr;
}

} // namespace tpo_emulation
