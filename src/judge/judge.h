/* Inside the judge layer: what a kind of judge provides. */
#ifndef TPO_JUDGE_JUDGE_H
#define TPO_JUDGE_JUDGE_H

#include "tpo/judge.h"

struct tpo_judge_kind {
  const char *name; /* before the colon in judge.kind */
  /* argument: what follows the colon, or NULL. *state is handed to the others. */
  int (*open)(void **state, const char *argument, const struct tpo_judge_config *config,
              struct tpo_error *err);
  int (*score)(void *state, const struct tpo_judge_item *items, int n_items, struct tpo_judge_result *results,
               struct tpo_error *err);
  void (*close)(void *state);
};
extern const struct tpo_judge_kind tpo_judge_rule;

#endif
