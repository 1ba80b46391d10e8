/* The handler for SIGBUS. It does nothing but system calls, as a handler must. */
#include "base/lost_map.h"
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* The next line of fd into line, cut to its size; false at the end. */
static bool next_line(int fd, char *line, size_t size)
{
  size_t len = 0;
  char c;
  while (read(fd, &c, 1) == 1) {
    if (c == '\n') {
      line[len] = '\0';
      return true;
    }
    if (len + 1 < size) line[len++] = c;
  }
  return false;
}

static uintptr_t hex_number(const char **at)
{
  uintptr_t value = 0;
  for (; strchr("0123456789abcdef", **at) && **at; ++*at)
    value = value * 16 + (uintptr_t)(**at <= '9' ? **at - '0' : **at - 'a' + 10);
  return value;
}

/* The file that address lies in, by lines "BEGIN-END rights offset device inode   PATH". */
static const char *file_at(uintptr_t address, char *line, size_t size)
{
  const char *found = NULL;
  int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  while (fd >= 0 && !found && next_line(fd, line, size)) {
    const char *at = line;
    uintptr_t begin = hex_number(&at);
    if (*at++ != '-') continue;
    if (address >= begin && address < hex_number(&at)) found = strchr(at, '/');
    if (found) break;
  }
  if (fd >= 0) close(fd);
  return found;
}

/* In one piece, so that lines of several ranks don't mix. */
static void say(const char *path)
{
  static const char before[] = "tpo: ",
                    after[] =
                        ": reading failed: the disk gave an error, or the file was cut while it was read\n";
  const struct iovec parts[] = {
      {(void *)before, sizeof before - 1}, {(void *)path, strlen(path)}, {(void *)after, sizeof after - 1}};
  ssize_t written = writev(STDERR_FILENO, parts, 3);
  (void)written; /* there is nobody to tell */
}

static void on_lost(int number, siginfo_t *info, void *context)
{
  char line[4352];
  (void)context;
  const char *path = file_at((uintptr_t)info->si_addr, line, sizeof line);
  if (!path) { /* no file: it comes again, and ends the process as it would have */
    signal(number, SIG_DFL);
    return;
  }
  say(path);
  _exit(EXIT_FAILURE);
}

void tpo_lost_map_tell(void)
{
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_lost;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, NULL);
}
