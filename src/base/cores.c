/* Cores from the affinity mask, cgroups and Slurm. */
#include "base/cores.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"

enum { LARGEST = 1 << 20 }; /* bytes of a list of mounts */

int cores_of_affinity(void)
{
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) < 0) return 1;
  int count = CPU_COUNT(&set);
  return count > 0 ? count : 1;
}

/* The text of root/path..., without zero bytes; false: it can't be read. */
static bool read_text(const char *root, const char *path, struct tpo_buf *out)
{
  char full[4096];
  *out = (struct tpo_buf){0};
  int n = snprintf(full, sizeof full, "%s/%s", root, path);
  if (n > 0 && (size_t)n < sizeof full && tpo_is_regular(full) &&
      tpo_read_file(full, LARGEST, out, NULL) == 0) {
    tpo_buf_putc(out, '\0');
    if (!out->failed && strlen(out->data) == out->len - 1) return true;
  }
  tpo_buf_free(out);
  return false;
}

/* A whole number at *at, which moves behind it and the blank that ends it. */
static bool next_number(const char **at, long long *number)
{
  char *end;
  errno = 0;
  *number = strtoll(*at, &end, 10);
  bool ok = end != *at && errno == 0 && (*end == '\0' || *end == ' ' || *end == '\n');
  *at = *end ? end + 1 : end;
  return ok && ((*at)[0] == '\0' || end[0] == ' ');
}

/* Takes a quota over a period, microseconds each, that is the least so far. */
static void take(long long quota, long long period, const char *path, double *cores, char least[4096])
{
  if (quota <= 0 || period <= 0 || (double)quota / (double)period >= *cores) return;
  *cores = (double)quota / (double)period;
  snprintf(least, 4096, "%s", path);
}

/* "200000 100000", or "max 100000". */
static void look_at_version_2(const char *root, const char *folder, double *cores, char least[4096])
{
  char path[4096];
  struct tpo_buf text;
  long long quota, period;
  if ((size_t)snprintf(path, sizeof path, "%s/cpu.max", folder) >= sizeof path ||
      !read_text(root, path, &text))
    return;
  const char *at = text.data;
  if (next_number(&at, &quota) && next_number(&at, &period) && *at == '\0')
    take(quota, period, path, cores, least);
  tpo_buf_free(&text);
}

static bool read_number(const char *root, const char *path, long long *number)
{
  struct tpo_buf text;
  if (!read_text(root, path, &text)) return false;
  const char *at = text.data;
  bool ok = next_number(&at, number) && *at == '\0';
  tpo_buf_free(&text);
  return ok;
}

/* A quota of -1 is none. */
static void look_at_version_1(const char *root, const char *folder, double *cores, char least[4096])
{
  char path[4096], period_path[4096];
  long long quota, period;
  if ((size_t)snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder) >= sizeof path ||
      (size_t)snprintf(period_path, sizeof period_path, "%s/cpu.cfs_period_us", folder) >= sizeof period_path)
    return;
  if (read_number(root, path, &quota) && read_number(root, period_path, &period))
    take(quota, period, path, cores, least);
}

/* A hierarchy of cgroups: where it is mounted, which of its folders is seen there, and which one we are
 * in. */
struct hierarchy {
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
                      : strcmp(type, "cgroup") == 0 && has_name(options, strlen(options), "cpu");
  if (!is) return;
  snprintf(h->mount, sizeof h->mount, "%s", mount);
  snprintf(h->mounted, sizeof h->mounted, "%s", mounted);
}

/* A line of /proc/self/cgroup: "0::/PATH" of version 2, "NUMBER:CONTROLLERS:/PATH". */
static void take_group(const char *line, struct hierarchy *h)
{
  const char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
  if (!path || path[1] != '/') return;
  bool is = h->second ? strncmp(line, "0::", 3) == 0 : has_name(names + 1, (size_t)(path - names - 1), "cpu");
  if (is) snprintf(h->group, sizeof h->group, "%s", path + 1);
}

static void each_line(const char *root, const char *path, void (*fn)(const char *, struct hierarchy *),
                      struct hierarchy *h)
{
  struct tpo_buf text;
  char *rest = NULL;
  if (!read_text(root, path, &text)) return;
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

static void look_at(const char *root, struct hierarchy *h, double *cores, char least[4096])
{
  char folder[8192];
  each_line(root, "proc/self/cgroup", take_group, h);
  each_line(root, "proc/self/mountinfo", take_mount, h);
  if (!h->group[0] || !h->mount[0]) return;
  size_t top = strlen(h->mount);
  snprintf(folder, sizeof folder, "%s%s", h->mount, below_mount(h));
  for (;;) {
    if (h->second)
      look_at_version_2(root, folder, cores, least);
    else
      look_at_version_1(root, folder, cores, least);
    if (strlen(folder) <= top) return;
    *strrchr(folder, '/') = '\0'; /* the one above; below the mount there is a slash */
  }
}

bool cores_quota(const char *root, double *cores, char path[4096])
{
  *cores = INFINITY;
  for (int second = 0; second < 2; second++) {
    struct hierarchy h = {.second = second};
    look_at(root, &h, cores, path);
  }
  return isfinite(*cores);
}

static void take_fewer(struct cores *out, double n, const char *why, const char *where, int ranks,
                       const char *whose)
{
  if (n < 1) n = 1;
  if (out->n > 0 && n >= out->n) return;
  int len = snprintf(out->why, sizeof out->why, "%.80s%.300s", why, where);
  if (ranks > 1 && len > 0 && (size_t)len < sizeof out->why)
    snprintf(out->why + len, sizeof out->why - (size_t)len, ", shared by %s%d ranks", whose, ranks);
  out->n = (int)n;
}

void cores_of_rank(struct cores *out, const char *root, int affinity, int beside, int ranks,
                   const char *slurm)
{
  double quota;
  char path[4096], why[80];
  long long of_task;
  const char *at = slurm ? slurm : "";
  *out = (struct cores){0};
  if (ranks < 1) ranks = 1;
  if (beside < 1) beside = 1;
  snprintf(why, sizeof why, "%d core%s of the affinity mask", affinity, affinity == 1 ? "" : "s");
  take_fewer(out, affinity / beside, why, "", beside, "");
  if (cores_quota(root, &quota, path)) {
    snprintf(why, sizeof why, "%g cores' time by ", quota);
    take_fewer(out, fmin(ceil(quota / ranks), 1 << 20), why, path, ranks, "the host's ");
  }
  if (next_number(&at, &of_task) && *at == '\0' && of_task > 0 && of_task < 1 << 20)
    take_fewer(out, (double)of_task, "SLURM_CPUS_PER_TASK=", slurm, 1, "");
}
