/* Finished samples in a step's journal. */
#ifndef TPO_STEPS_KEPT_SAMPLES_H
#define TPO_STEPS_KEPT_SAMPLES_H

#include "steps/kept.h"
#include "tpo/steps.h"

/* options->journal, for samples of these instructions; *out stays NULL where there is none. All ranks. */
int kept_samples_open(struct kept **out, const struct tpo_session *session, const struct tpo_policy *policy,
                      const struct tpo_instructions *instructions, const struct tpo_generate_options *options,
                      struct tpo_error *err);

/* Those of one instruction are told apart by their number k and the temperature that they are drawn at, which
 * for drawing again can be another. */
int kept_sample_add(struct kept *kept, const struct tpo_sample_row *row, double temperature,
                    struct tpo_error *err);
/* Rank 0. 1: it was kept, and is added to samples; 0: it was not; TPO_E_INPUT: it can't be read. */
int kept_sample_find(struct kept *kept, const char *prompt_id, int k, double temperature,
                     struct tpo_samples *samples, struct tpo_error *err);

#endif
