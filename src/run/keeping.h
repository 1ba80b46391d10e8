/* Whether a model that the policy is compared with, a reference or the start model, stays in memory beside it. */
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
};

/* By the configuration, and by the memory that is free while nothing of the run is there yet. On this rank alone. */
void run_keeping(struct keeping *out, const struct tpo_session *session, const struct tpo_arch *arch);

/* Bytes of the weights of all judges' models on a rank, as far as they can be told (else *known: false). */
double run_judges_bytes(const struct tpo_config *config, bool *known);

#endif
