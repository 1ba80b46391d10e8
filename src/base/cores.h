/* How many cores this process may keep busy: those of its affinity mask, less where a cgroup's quota or
 * Slurm grants fewer. */
#ifndef TPO_BASE_CORES_H
#define TPO_BASE_CORES_H

#include "tpo/base.h"

int cores_of_affinity(void); /* at least 1 */

/* The least quota of CPU time, in cores, that holds for this process: of its cgroups and all above them,
 * cpu.max of version 2, cpu.cfs_quota_us over cpu.cfs_period_us of version 1. root: the folder that proc
 * and sys are in, "/" but in tests. path: of the file that says so. Returns false where there is none;
 * files that are missing, or are not as the kernel writes them, grant and take nothing. */
bool cores_quota(const char *root, double *cores, char path[4096]);

/* Threads of one rank. */
struct cores {
  int n;         /* at least 1 */
  char why[512]; /* "16 cores of the affinity mask, shared by 2 ranks" */
};
/* The least of: the mask's cores, which are shared by `beside` ranks whose masks meet it (this one among
 * them); the quota, which all ranks of the host share, rounded up; and Slurm's cores of a task (slurm: the
 * value of SLURM_CPUS_PER_TASK or NULL; one that is no number above 0 takes nothing). */
void cores_of_rank(struct cores *out, const char *root, int affinity, int beside, int ranks,
                   const char *slurm);

#endif
