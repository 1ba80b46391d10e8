/* How long a pair may be that is trained on. */
#ifndef TPO_TRAIN_LIMIT_H
#define TPO_TRAIN_LIMIT_H

#include "tpo/train.h"

struct pair_limit {
  int most;    /* tokens of a prompt with an output */
  bool by_key; /* which is train.max_pair_tokens; else the model's context */
};
static inline struct pair_limit pair_limit_of(const struct tpo_train_config *config, int context)
{
  bool by_key = config->max_pair_tokens > 0 && config->max_pair_tokens < context;
  return (struct pair_limit){by_key ? config->max_pair_tokens : context, by_key};
}
static inline const char *pair_limit_name(struct pair_limit limit)
{
  return limit.by_key ? "train.max_pair_tokens" : "the model's context";
}

static inline int32_t pair_longest_output(const struct tpo_pair_row *row)
{
  return row->n_chosen > row->n_rejected ? row->n_chosen : row->n_rejected;
}
static inline bool pair_fits(struct pair_limit limit, const struct tpo_pair_row *row)
{
  return row->n_prompt + (int64_t)pair_longest_output(row) <= limit.most;
}
/* That it can be made to fit by cutting its prompt. */
static inline bool pair_can_be_cut(struct pair_limit limit, const struct tpo_pair_row *row)
{
  return pair_longest_output(row) < limit.most;
}

#endif
