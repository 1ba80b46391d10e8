/* Taking models from a shelf (tpo_model_shelf) and putting them back. Without a shelf, NULL, they are opened and closed.
 *
 *   struct tpo_model_options options = {.backend = be, .dtype = TPO_DTYPE_BF16};
 *   shelf_take_model(&model, shelf, "models/judge", &options, &err);
 *   ...
 *   shelf_put_model(shelf, model); */
#ifndef TPO_MODEL_SHELF_H
#define TPO_MODEL_SHELF_H

#include "tpo/model.h"

/* As tpo_model_open and tpo_reward_open, to compute with alone (no keep_master). One that somebody has is not lent to
 * another: that gets the same once more. What it counts begins anew. */
int shelf_take_model(struct tpo_model **out, struct tpo_model_shelf *shelf, const char *path,
                     const struct tpo_model_options *options, struct tpo_error *err);
int shelf_take_reward(struct tpo_reward **out, struct tpo_model_shelf *shelf, const char *folder,
                      const struct tpo_reward_options *options, struct tpo_error *err);
/* On the shelf that it came from; takes a NULL model. Nothing that was made for it, as a KV cache, is there any more. */
void shelf_put_model(struct tpo_model_shelf *shelf, struct tpo_model *model);
void shelf_put_reward(struct tpo_model_shelf *shelf, struct tpo_reward *reward);

#endif
