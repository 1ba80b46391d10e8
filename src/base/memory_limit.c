/* Limits of control groups, version 2 (memory.max) and 1 (memory.limit_in_bytes). */
#include "base/memory_limit.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgroups.h"

struct version {
  const char *limit, *usage, *active, *inactive;
};

static const struct version versions[] = {
    {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_active_file ", "total_inactive_file "},
    {"memory.max", "memory.current", "active_file ", "inactive_file "},
};

/* The number behind a name that begins a line; 0: there is none. */
static long long number_of(const char *text, const char *name)
{
  long long number;
  for (const char *at = text; at; at = strchr(at, '\n')) {
    if (*at == '\n') at++;
    if (strncmp(at, name, strlen(name)) != 0) continue;
    number = strtoll(at + strlen(name), NULL, 10);
    return number > 0 ? number : 0;
  }
  return 0;
}

/* Bytes of file pages in use by the group, which are given back when it meets its limit. */
static long long file_bytes(const struct version *version, const struct cgroups *groups, const char *folder)
{
  char path[4096];
  struct tpo_buf text;
  if (!cgroups_path(path, folder, "memory.stat") || !cgroups_read(groups, path, &text)) return 0;
  long long sum = number_of(text.data, version->active) + number_of(text.data, version->inactive);
  tpo_buf_free(&text);
  return sum;
}

static void take_group(void *arg, const struct cgroups *groups, const char *folder, bool second)
{
  const struct version *version = &versions[second];
  size_t *least = arg;
  char limit_path[4096], usage_path[4096];
  long long limit, usage;
  if (!cgroups_path(limit_path, folder, version->limit) ||
      !cgroups_path(usage_path, folder, version->usage) || !cgroups_read_number(groups, limit_path, &limit) ||
      !cgroups_read_number(groups, usage_path, &usage))
    return;
  if (limit > INT64_MAX / 2) return; /* version 1's way to say none */
  usage -= file_bytes(version, groups, folder);
  long long room = limit - (usage > 0 ? usage : 0);
  if (room < 0) room = 0;
  if ((size_t)room < *least) *least = (size_t)room;
}

size_t memory_limit_room(const char *root)
{
  const struct cgroups groups = {.root = root, .controller = "memory"};
  size_t least = SIZE_MAX;
  cgroups_each(&groups, take_group, &least);
  return least;
}
