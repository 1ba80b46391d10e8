/* Which texts can be scored, where their hidden states are wanted, and what they share. */
#ifndef TPO_MODEL_REWARD_PLAN_H
#define TPO_MODEL_REWARD_PLAN_H

#include "model/reward/reward.h"

#define REWARD_BLOCK 16 /* tokens in a block of the KV cache; what texts share is whole blocks */

struct reward_text {
  size_t index; /* among the caller's texts */
  const int32_t *ids;
  int n;        /* tokens up to the one that is scored */
  int gate;     /* position of the gate's hidden state; -1: there is no gate */
  size_t owner; /* the text, of those planned, whose gate this is too: the same tokens up to it */
};

/* Texts that follow each other and begin alike. */
struct reward_group {
  size_t first, n;
  int common; /* tokens that all of them begin with */
  int shared; /* of these, computed once: whole blocks, and never a text's last token */
};

struct reward_plan {
  struct reward_text *texts; /* [n_texts] those that can be scored */
  size_t n_texts;
  struct reward_group *groups; /* [n_groups] in order */
  size_t n_groups;
  int longest; /* tokens */
};

/* Fails the results of texts that can't be scored. */
int reward_plan_make(struct reward_plan *plan, const struct tpo_reward *reward,
                     const struct tpo_reward_text *texts, size_t n, struct tpo_reward_result *results,
                     struct tpo_error *err);
void reward_plan_free(struct reward_plan *plan);

#endif
