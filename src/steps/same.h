/* That all ranks work with the same models. */
#ifndef TPO_STEPS_SAME_H
#define TPO_STEPS_SAME_H

#include "tpo/steps.h"

/* All ranks, each with its model opened from path; tokenizer may be NULL. TPO_E_USAGE on all where a rank's
 * is another one than rank 0's. */
int same_model(struct tpo_comm *comm, const char *path, struct tpo_model *model,
               const struct tpo_tokenizer *tokenizer, struct tpo_error *err);

/* The same of the models and programs that the judge judges with, wherever each rank has them. */
int same_judge(struct tpo_comm *comm, const struct tpo_judge_config *config, struct tpo_error *err);

#endif
