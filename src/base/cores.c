/* Cores from the affinity mask, cgroups and Slurm. */
#include "base/cores.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgroups.h"

int cores_of_affinity(void)
{
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) < 0) return 1;
  int count = CPU_COUNT(&set);
  return count > 0 ? count : 1;
}

/* The least quota so far, and the file that has it. */
struct quota {
  double cores;
  char *path; /* [4096] */
};

/* A quota over a period, microseconds each; one of -1 is none. */
static void take(struct quota *least, long long quota, long long period, const char *path)
{
  if (quota <= 0 || period <= 0 || (double)quota / (double)period >= least->cores) return;
  least->cores = (double)quota / (double)period;
  snprintf(least->path, 4096, "%s", path);
}

/* "200000 100000", or "max 100000". */
static void take_version_2(struct quota *least, const struct cgroups *groups, const char *folder)
{
  char path[4096];
  struct tpo_buf text;
  long long quota, period;
  if (!cgroups_path(path, folder, "cpu.max") || !cgroups_read(groups, path, &text)) return;
  const char *at = text.data;
  if (cgroups_next_number(&at, &quota) && cgroups_next_number(&at, &period) && *at == '\0')
    take(least, quota, period, path);
  tpo_buf_free(&text);
}

static void take_version_1(struct quota *least, const struct cgroups *groups, const char *folder)
{
  char path[4096], period_path[4096];
  long long quota, period;
  if (cgroups_path(path, folder, "cpu.cfs_quota_us") &&
      cgroups_path(period_path, folder, "cpu.cfs_period_us") && cgroups_read_number(groups, path, &quota) &&
      cgroups_read_number(groups, period_path, &period))
    take(least, quota, period, path);
}

static void take_group(void *arg, const struct cgroups *groups, const char *folder, bool second)
{
  (second ? take_version_2 : take_version_1)(arg, groups, folder);
}

bool cores_quota(const char *root, double *cores, char path[4096])
{
  const struct cgroups groups = {.root = root, .controller = "cpu"};
  struct quota least = {INFINITY, path};
  cgroups_each(&groups, take_group, &least);
  *cores = least.cores;
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
  if (cgroups_next_number(&at, &of_task) && *at == '\0' && of_task > 0 && of_task < 1 << 20)
    take_fewer(out, (double)of_task, "SLURM_CPUS_PER_TASK=", slurm, 1, "");
}
