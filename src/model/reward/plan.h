/* Which texts can be scored, where their hidden states are wanted, and what they share. */
#ifndef TPO_MODEL_REWARD_PLAN_H
#define TPO_MODEL_REWARD_PLAN_H

#include "model/reward/reward.h"

#define REWARD_BLOCK 16 /* tokens in a block of the KV cache; what texts share is whole blocks */

/* A text takes over what it begins with alike from the text before it, which may have it from the one before
 * that: the K responses of a prompt have the prompt's keys, values and gate together. One that stands apart has
 * all its own. */
struct reward_text {
  size_t index; /* among the caller's texts */
  const int32_t *ids;
  int n;        /* tokens up to the one that is scored */
  int shared;   /* of these, computed with the text before: whole blocks, and never the last token */
  int gate;     /* position of the gate's hidden state; -1: there is no gate */
  size_t owner; /* the text, of those planned, whose gate this is too: the same tokens up to it */
};

struct reward_plan {
  struct reward_text *texts; /* [n_texts] those that can be scored, in order */
  size_t n_texts;
  int longest; /* tokens */
};

/* Fails the results of texts that can't be scored. */
int reward_plan_make(struct reward_plan *plan, const struct tpo_reward *reward,
                     const struct tpo_reward_text *texts, size_t n, struct tpo_reward_result *results,
                     struct tpo_error *err);
void reward_plan_free(struct reward_plan *plan);

#endif
