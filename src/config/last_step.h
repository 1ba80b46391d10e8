/* Where the iterations of a run in steps end. */
#ifndef TPO_CONFIG_LAST_STEP_H
#define TPO_CONFIG_LAST_STEP_H

#include "tpo/config.h"

/* The step, from 1, that an iteration of a run in steps ends with; 0: the start. */
static inline int config_last_step(const struct tpo_run_config *run, int iteration)
{
  int64_t end = (int64_t)iteration * tpo_run_interval(run);
  return end < run->steps ? (int)end : run->steps;
}

#endif
