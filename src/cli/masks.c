/* Every rank's affinity mask, compared with this one's. */
#include "cli/masks.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/process.h"

/* Cores of different hosts have the same numbers; containers of one host are told apart by nothing but
 * their cores. */
struct mask {
  char host[TPO_HOST_NAME];
  cpu_set_t cores;
};

static struct mask own_mask(void)
{
  struct mask mask;
  memset(&mask, 0, sizeof mask);
  tpo_host_name(mask.host);
  if (sched_getaffinity(0, sizeof mask.cores, &mask.cores) < 0) CPU_ZERO(&mask.cores);
  return mask;
}

static bool meet(const struct mask *a, const struct mask *b)
{
  cpu_set_t both;
  CPU_AND(&both, &a->cores, &b->cores);
  return strcmp(a->host, b->host) == 0 && CPU_COUNT(&both) > 0;
}

int masks_beside(struct tpo_comm *comm, int *beside, struct tpo_error *err)
{
  const struct mask mine = own_mask();
  void *all = NULL;
  size_t len = 0;
  int status = tpo_comm_gather_bytes(comm, &mine, sizeof mine, &all, &len, err);
  if (status == 0) status = tpo_comm_bcast_bytes(comm, &all, &len, 0, err);
  const struct mask *masks = all;
  *beside = 0;
  for (size_t i = 0; status == 0 && i < len / sizeof *masks; i++) *beside += meet(&masks[i], &mine);
  if (*beside < 1) *beside = 1;
  free(all);
  return status;
}
