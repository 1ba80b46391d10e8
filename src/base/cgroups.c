/* Finds groups through /proc/self/cgroup and /proc/self/mountinfo. */
#include "base/cgroups.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { LARGEST = 1 << 20 }; /* bytes of a list of mounts */

bool cgroups_read(const struct cgroups *groups, const char *path, struct tpo_buf *out)
{
  char full[4096];
  *out = (struct tpo_buf){0};
  int n = snprintf(full, sizeof full, "%s/%s", groups->root, path);
  if (n > 0 && (size_t)n < sizeof full && tpo_is_regular(full) &&
      tpo_read_file(full, LARGEST, out, NULL) == 0) {
    tpo_buf_putc(out, '\0');
    if (!out->failed && strlen(out->data) == out->len - 1) return true;
  }
  tpo_buf_free(out);
  return false;
}

bool cgroups_path(char path[4096], const char *folder, const char *name)
{
  return (size_t)snprintf(path, 4096, "%s/%s", folder, name) < 4096;
}

bool cgroups_next_number(const char **at, long long *number)
{
  char *end;
  errno = 0;
  *number = strtoll(*at, &end, 10);
  bool ok = end != *at && errno == 0 && (*end == '\0' || *end == ' ' || *end == '\n');
  *at = *end ? end + 1 : end;
  return ok && ((*at)[0] == '\0' || end[0] == ' ');
}

bool cgroups_read_number(const struct cgroups *groups, const char *path, long long *number)
{
  struct tpo_buf text;
  if (!cgroups_read(groups, path, &text)) return false;
  const char *at = text.data;
  bool ok = cgroups_next_number(&at, number) && *at == '\0';
  tpo_buf_free(&text);
  return ok;
}

/* A hierarchy of cgroups: where it is mounted, which of its folders is seen there, and which one we are
 * in. */
struct hierarchy {
  const char *controller;
  bool second;                                  /* version 2 */
  char mount[4096], mounted[4096], group[4096]; /* group empty: not found */
};

/* Whether a list, "a,b,c", has a name. */
static bool has_name(const char *list, size_t len, const char *name)
{
  for (size_t at = 0; at < len;) {
    size_t n = 0;
    while (at + n < len && list[at + n] != ',') n++;
    if (n == strlen(name) && strncmp(list + at, name, n) == 0) return true;
    at += n + 1;
  }
  return false;
}

/* A line of /proc/self/mountinfo, ended by a zero: "ID PARENT DEVICE ROOT POINT OPTIONS ... - TYPE SOURCE
 * OPTIONS". The first mount of the hierarchy is taken. */
static void take_mount(const char *line, struct hierarchy *h)
{
  char type[16], options[4096];
  const char *dash = strstr(line, " - ");
  char mounted[4096], mount[4096];
  if (h->mount[0] || !dash || sscanf(dash, " - %15s %*s %4095s", type, options) != 2) return;
  if (sscanf(line, "%*s %*s %*s %4095s %4095s", mounted, mount) != 2) return;
  bool is = h->second ? strcmp(type, "cgroup2") == 0
                      : strcmp(type, "cgroup") == 0 && has_name(options, strlen(options), h->controller);
  if (!is) return;
  snprintf(h->mount, sizeof h->mount, "%s", mount);
  snprintf(h->mounted, sizeof h->mounted, "%s", mounted);
}

/* A line of /proc/self/cgroup: "0::/PATH" of version 2, "NUMBER:CONTROLLERS:/PATH". */
static void take_group(const char *line, struct hierarchy *h)
{
  const char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
  if (!path || path[1] != '/') return;
  bool is = h->second ? strncmp(line, "0::", 3) == 0
                      : has_name(names + 1, (size_t)(path - names - 1), h->controller);
  if (is) snprintf(h->group, sizeof h->group, "%s", path + 1);
}

static void each_line(const struct cgroups *groups, const char *path,
                      void (*fn)(const char *, struct hierarchy *), struct hierarchy *h)
{
  struct tpo_buf text;
  char *rest = NULL;
  if (!cgroups_read(groups, path, &text)) return;
  for (char *line = strtok_r(text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) fn(line, h);
  tpo_buf_free(&text);
}

/* The group's path below the mount, "" for the mount itself; a group that isn't seen there is taken for
 * it. */
static const char *below_mount(const struct hierarchy *h)
{
  size_t n = strcmp(h->mounted, "/") == 0 ? 0 : strlen(h->mounted);
  bool below = strncmp(h->group, h->mounted, n) == 0 && (h->group[n] == '/' || h->group[n] == '\0');
  bool climbs = strstr(h->group, "/..") != NULL;
  return below && !climbs && strcmp(h->group + n, "/") != 0 ? h->group + n : "";
}

static void climb(const struct cgroups *groups, struct hierarchy *h, cgroups_take *take, void *arg)
{
  char folder[8192];
  each_line(groups, "proc/self/cgroup", take_group, h);
  each_line(groups, "proc/self/mountinfo", take_mount, h);
  if (!h->group[0] || !h->mount[0]) return;
  size_t top = strlen(h->mount);
  snprintf(folder, sizeof folder, "%s%s", h->mount, below_mount(h));
  for (;;) {
    take(arg, groups, folder, h->second);
    if (strlen(folder) <= top) return;
    *strrchr(folder, '/') = '\0'; /* the one above; below the mount there is a slash */
  }
}

void cgroups_each(const struct cgroups *groups, cgroups_take *take, void *arg)
{
  for (int second = 0; second < 2; second++) {
    struct hierarchy h = {.controller = groups->controller, .second = second};
    climb(groups, &h, take, arg);
  }
}
