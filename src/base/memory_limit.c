/* Limits of control groups, version 2 (memory.max) and 1 (memory.limit_in_bytes). A batch system sets them on
 * a group above the process's own, so all groups up to the mount's root are asked. */
#include "base/memory_limit.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct version {
  const char *controller; /* in the list of groups; "" in version 2 */
  const char *below;      /* the mount */
  const char *limit, *usage, *active, *inactive;
};

static const struct version versions[] = {
    {"", "", "memory.max", "memory.current", "active_file ", "inactive_file "},
    {"", "/unified", "memory.max", "memory.current", "active_file ", "inactive_file "},
    {"memory", "/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_active_file ",
     "total_inactive_file "},
};

static FILE *open_file(const char *folder, const char *name)
{
  char path[PATH_MAX];
  int n = snprintf(path, sizeof path, "%s/%s", folder, name);
  return n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
}

/* False where there is no such file, or no number in it ("max"). */
static bool read_number(const char *folder, const char *name, unsigned long long *out)
{
  FILE *file = open_file(folder, name);
  bool found = file && fscanf(file, "%llu", out) == 1;
  if (file) fclose(file);
  return found;
}

/* Bytes of file pages in use by the group, which are given back when it meets its limit. */
static unsigned long long file_bytes(const struct version *version, const char *folder)
{
  unsigned long long sum = 0;
  char line[128];
  FILE *file = open_file(folder, "memory.stat");
  while (file && fgets(line, sizeof line, file)) {
    const char *names[] = {version->active, version->inactive};
    for (int i = 0; i < 2; i++) {
      unsigned long long bytes;
      size_t len = strlen(names[i]);
      if (strncmp(line, names[i], len) == 0 && sscanf(line + len, "%llu", &bytes) == 1) sum += bytes;
    }
  }
  if (file) fclose(file);
  return sum;
}

static size_t room_of_group(const struct version *version, const char *folder)
{
  unsigned long long limit, usage, cached;
  if (!read_number(folder, version->limit, &limit) || !read_number(folder, version->usage, &usage))
    return SIZE_MAX;
  if (limit > (unsigned long long)INT64_MAX / 2) return SIZE_MAX; /* version 1's way to say none */
  cached = file_bytes(version, folder);
  usage = usage > cached ? usage - cached : 0;
  return limit > usage ? (size_t)(limit - usage) : 0;
}

/* Of the group and all above it up to the mount. Where only part of the tree is mounted (in a container), the
 * groups that aren't there set no limit that could be read. */
static size_t room_of_path(const struct version *version, const char *mount, char *path)
{
  size_t least = SIZE_MAX;
  for (;;) {
    char folder[PATH_MAX];
    int n = snprintf(folder, sizeof folder, "%s%s%s", mount, version->below, path);
    size_t room = n > 0 && (size_t)n < sizeof folder ? room_of_group(version, folder) : SIZE_MAX;
    if (room < least) least = room;
    char *slash = strrchr(path, '/');
    if (!slash) return least;
    *slash = '\0';
  }
}

/* "9:cpu,memory:/path": whether the line is of the version's controller; *path is where the group's begins. */
static bool is_line_of(const struct version *version, char *line, char **path)
{
  char *controllers = strchr(line, ':');
  char *end = controllers ? strchr(controllers + 1, ':') : NULL;
  if (!end) return false;
  *end = '\0';
  *path = end + 1;
  (*path)[strcspn(*path, "\n")] = '\0';
  if (!*version->controller) return controllers[1] == '\0';
  for (char *save, *name = strtok_r(controllers + 1, ",", &save); name; name = strtok_r(NULL, ",", &save))
    if (strcmp(name, version->controller) == 0) return true;
  return false;
}

size_t memory_limit_room(const char *groups, const char *mount)
{
  size_t least = SIZE_MAX;
  for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
    char line[PATH_MAX], *path;
    FILE *file = fopen(groups, "re");
    if (!file) return SIZE_MAX;
    while (fgets(line, sizeof line, file)) {
      if (!is_line_of(&versions[v], line, &path)) continue;
      size_t room = room_of_path(&versions[v], mount, path);
      if (room < least) least = room;
    }
    fclose(file);
  }
  return least;
}
