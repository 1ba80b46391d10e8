/* Whether models stay in memory beside the policy: one that it is compared with, a reference or the start model, and
 * those of judges. */
#ifndef TPO_RUN_KEEPING_H
#define TPO_RUN_KEEPING_H

#include <stdbool.h>
#include <stddef.h>
#include "tpo/model.h"
#include "tpo/steps.h"

struct keeping {
  bool compares; /* with such a model at all */
  bool again;    /* more than once, with training in between */
  bool kept;     /* from its first use on; else its weights are read for each use */
  size_t bytes;  /* of its weights, on each rank */

  bool judges_again;   /* a run in steps judges with models: in each segment, and at checkpoints */
  bool judges_kept;    /* they stay from their first use on; else their weights are read for each judging */
  bool judges_known;   /* what they take could be told, of all of them */
  double judges_bytes; /* of their weights, on each rank */
};

/* By the configuration, and by the memory that is free while nothing of the run is there yet. On this rank alone. */
void run_keeping(struct keeping *out, const struct tpo_session *session, const struct tpo_arch *arch);

#endif
