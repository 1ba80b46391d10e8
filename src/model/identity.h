/* Whether two models are one, told by samples of their weights; tpo_model_hash reads all of them. */
#ifndef TPO_MODEL_IDENTITY_H
#define TPO_MODEL_IDENTITY_H

#include "tpo/model.h"

/* 32 hex digits over the architecture, the names and shapes of the parameters and up to 16 rows of each, as the
 * model computes with them: milliseconds for a model of any size. A change of a few weights alone may be
 * missed. */
int model_identify(struct tpo_model *model, char hex[33], struct tpo_error *err);

#endif
