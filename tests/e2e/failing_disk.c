/* LD_PRELOAD: a disk that fails. FAIL_PATH is a part of the paths that are meant, FAIL_ERROR an errno.
 * FAIL=write: bytes written past the first FAIL_AFTER, of all those files together, fail, and all from then
 * on; FAIL=read: likewise what is read; FAIL=map: a file is cut as soon as it is mapped. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic long long done; /* bytes */

/* The path of fd where this is what fails. */
static const char *meant(int fd, const char *what, char path[4096])
{
  char link[64];
  const char *part = getenv("FAIL_PATH"), *wanted = getenv("FAIL");
  if (!part || !wanted || strcmp(wanted, what) != 0) return NULL;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t len = readlink(link, path, 4095);
  path[len > 0 ? len : 0] = '\0';
  return strstr(path, part) ? path : NULL;
}

static int fails(int fd, const char *what, size_t len)
{
  char path[4096];
  if (!meant(fd, what, path)) return 0;
  long long before = atomic_fetch_add(&done, (long long)len);
  errno = atoi(getenv("FAIL_ERROR"));
  return before + (long long)len > atoll(getenv("FAIL_AFTER"));
}

ssize_t write(int fd, const void *bytes, size_t len)
{
  ssize_t (*real)(int, const void *, size_t) =
      (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
  return fails(fd, "write", len) ? -1 : real(fd, bytes, len);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
  ssize_t (*real)(int, const void *, size_t, off_t) =
      (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
  return fails(fd, "write", len) ? -1 : real(fd, bytes, len, at);
}

ssize_t read(int fd, void *bytes, size_t len)
{
  ssize_t (*real)(int, void *, size_t) = (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
  return fails(fd, "read", len) ? -1 : real(fd, bytes, len);
}

ssize_t pread(int fd, void *bytes, size_t len, off_t at)
{
  ssize_t (*real)(int, void *, size_t, off_t) =
      (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread");
  return fails(fd, "read", len) ? -1 : real(fd, bytes, len, at);
}

void *mmap(void *where, size_t len, int rights, int flags, int fd, off_t at)
{
  char path[4096];
  void *(*real)(void *, size_t, int, int, int, off_t) =
      (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
  void *map = real(where, len, rights, flags, fd, at);
  if (map != MAP_FAILED && fd >= 0 && meant(fd, "map", path) && truncate(path, 0) < 0) abort();
  return map;
}
