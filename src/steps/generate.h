/* Sampling, for steps that do something else besides. */
#ifndef TPO_STEPS_GENERATE_H
#define TPO_STEPS_GENERATE_H

#include "steps/kept.h"
#include "tpo/steps.h"

/* Who follows the sampling of one rank, from its own thread. Negative: an error that ends it. */
struct generate_client {
  void *arg;
  /* A sample of instruction i, which lives until `ended` has returned; its place among the rows that are added later may
   * still change. May be NULL. */
  int (*drawn)(void *arg, size_t i, const struct tpo_sample_row *row, struct tpo_error *err);
  /* As the engine's; may be NULL. */
  int (*between)(void *arg, struct tpo_error *err);
  /* The rank has no more to draw, and the engine's memory is free again; status, also after an error, comes back unless
   * there is another one. */
  int (*ended)(void *arg, int status, struct tpo_error *err);
};

/* tpo_generate with its journal open (NULL: none), options->journal not looked at. client: NULL: nobody. After an error
 * stats->kept is what this rank knows to be in the journal: rank 0 what was, and each what it added. */
int generate_kept(const struct tpo_session *session, const struct tpo_policy *policy,
                  const struct tpo_instructions *instructions, const struct tpo_generate_options *options,
                  struct kept *kept, const struct generate_client *client, struct tpo_samples *samples,
                  struct tpo_generate_stats *stats, struct tpo_error *err);

#endif
