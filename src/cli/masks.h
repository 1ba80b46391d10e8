/* Which ranks share cores. */
#ifndef TPO_CLI_MASKS_H
#define TPO_CLI_MASKS_H

#include "tpo/comm.h"

/* How many ranks of this host have an affinity mask that meets this one's, which is among them: 1 where a
 * launcher gave each cores of its own. All ranks. */
int masks_beside(struct tpo_comm *comm, int *beside, struct tpo_error *err);

#endif
