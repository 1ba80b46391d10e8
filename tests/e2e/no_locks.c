/* LD_PRELOAD: a file system without locks, and, where HOST_NAME is set, a host of that name. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int flock(int fd, int operation)
{
  (void)fd, (void)operation;
  errno = ENOSYS;
  return -1;
}

int gethostname(char *name, size_t len)
{
  const char *host = getenv("HOST_NAME");
  snprintf(name, len, "%s", host ? host : "here");
  return 0;
}
