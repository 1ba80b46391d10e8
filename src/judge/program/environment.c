/* What of our environment a judge's program gets. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/memory.h"
#include "judge/program/process.h"

/* What MPI libraries (Open MPI, PMIx, MPICH, MVAPICH) and Slurm's steps tell a rank of its place. A program that
 * starts MPI itself would take it for its own: it would join our ranks, or wait for them. What belongs to the job
 * stays, so that a program may start steps of its own in it. Names, or beginnings of them. */
static const char *const of_a_rank[] = {
    "OMPI_",          "PMIX_",
    "PMI_",           "PMI2_",
    "PRTE_",          "HYDRA_",
    "HYDI_",          "MPI_LOCAL",
    "MV2_COMM_",      "SLURM_STEP",
    "SLURM_PMI",      "SLURM_SRUN_",
    "SLURM_MPI_",     "SLURM_PROCID=",
    "SLURM_GTIDS",    "SLURM_LOCALID=",
    "SLURM_NODEID=",  "SLURM_TASK_PID=",
    "SLURM_CPU_BIND", "SLURM_NTASKS=",
    "SLURM_NPROCS=",  "SLURM_LAUNCH_NODE_IPADDR=",
};

/* variable: "NAME=value". */
static bool is_of_a_rank(const char *variable)
{
  for (size_t i = 0; i < sizeof of_a_rank / sizeof *of_a_rank; i++)
    if (strncmp(variable, of_a_rank[i], strlen(of_a_rank[i])) == 0) return true;
  return false;
}

char **judge_program_environment(const char *hidden, struct tpo_error *err)
{
  size_t n = 0, len = hidden ? strlen(hidden) : 0, kept = 0;
  while (environ[n]) n++;
  char **copy = tpo_calloc(n + 1, sizeof *copy, err);
  for (size_t i = 0; copy && i < n; i++) {
    bool is_hidden = len && strncmp(environ[i], hidden, len) == 0 && environ[i][len] == '=';
    if (!is_hidden && !is_of_a_rank(environ[i])) copy[kept++] = environ[i];
  }
  return copy;
}
