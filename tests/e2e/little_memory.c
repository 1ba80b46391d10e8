/* LD_PRELOAD: memory that is short once. From the moment that the file FAIL_FROM is there, the first block of FAIL_BYTES
 * or more that is asked for isn't had. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_flag failed = ATOMIC_FLAG_INIT;

void *aligned_alloc(size_t alignment, size_t bytes)
{
  void *(*real)(size_t, size_t) = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "aligned_alloc");
  if (bytes >= (size_t)atoll(getenv("FAIL_BYTES")) && access(getenv("FAIL_FROM"), F_OK) == 0 &&
      !atomic_flag_test_and_set(&failed))
    return NULL;
  return real(alignment, bytes);
}
