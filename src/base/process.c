/* The host's name, and /proc/PID/stat. */
#include "base/process.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"

void tpo_host_name(char out[TPO_HOST_NAME])
{
  char name[TPO_HOST_NAME] = "";
  bool told = gethostname(name, sizeof name - 1) == 0 && *name;
  strcpy(out, told ? name : "unknown");
}

/* Behind the process's name in brackets, which may hold anything, the state is the first field and the start the
 * 20th. */
bool tpo_process_stat(long long pid, char *state, long long *started)
{
  char path[64];
  struct tpo_buf text = {0};
  snprintf(path, sizeof path, "/proc/%lld/stat", pid);
  bool read = tpo_read_file(path, 1 << 16, &text, NULL) == 0;
  tpo_buf_putc(&text, '\0');
  const char *behind = read && !text.failed ? strrchr(text.data, ')') : NULL;
  bool told =
      behind &&
      sscanf(behind + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lld",
             state, started) == 2;
  tpo_buf_free(&text);
  return told;
}
