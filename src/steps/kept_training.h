/* The folder with the state of a training that goes on: whose it is, when the next state is due, what is told of it.
 *
 *   kept_training_open(&kept, session, trainer, work, folder, &err);
 *   kept_training_take_up(&kept, drop_others, NULL, &text, &err); // 1: text is what was given to keep
 *   ...
 *   kept_training_due(&kept, steps, &due, &err); // before a step
 *   if (due) kept_training_keep(&kept, text, true, steps, &err);
 *   kept_training_close(&kept);
 *
 * All ranks together, with the same numbers. */
#ifndef TPO_STEPS_KEPT_TRAINING_H
#define TPO_STEPS_KEPT_TRAINING_H

#include "tpo/steps.h"

struct kept_training {
  const struct tpo_session *session; /* borrowed, as are trainer and folder */
  struct tpo_trainer *trainer;
  const char *folder;
  char *work;     /* what its states are of: tpo_trainer_keep */
  int lock;       /* rank 0's, by which no other training has the folder; -1: none */
  bool is_taken;  /* on rank 0: another process has the folder, and it is left alone */
  double at;      /* when the last state was kept, on the clock; at first: when this was opened */
  double seconds; /* that keeping the last state took in this process; 0 before the first */
  int64_t steps;  /* of the state that stands in the folder; -1: none does */
};

/* Makes the folder, and keeps others out of it: found out before training, not at its first state. work becomes its
 * own, also after a failure, and close is called then, too. */
int kept_training_open(struct kept_training *k, const struct tpo_session *session,
                       struct tpo_trainer *trainer, char *work, const char *folder, struct tpo_error *err);
void kept_training_close(struct kept_training *k); /* once more does no harm; of zeros neither */
/* The state that is there, to the trainer. 1: it is taken up, *text is its JSON (free() it), and the caller sets
 * k->steps; 0: there is none, or it was damaged, or of other training with drop_others: that goes, with a warning.
 * damage (may be NULL): one that is damaged is left where it is, and *damage says what is wrong with it. */
int kept_training_take_up(struct kept_training *k, bool drop_others, struct tpo_error *damage, char **text,
                          struct tpo_error *err);
/* The state as it is, after so many steps, with `extra` in its JSON. weights as in tpo_trainer_keep. */
int kept_training_keep(struct kept_training *k, const char *extra, bool weights, int64_t steps,
                       struct tpo_error *err);
/* What comes of a failure (why) to keep a state: training can go on where there is no room for a second one, with
 * less to go on from. That is a warning, and 0. status 0: 0. */
int kept_training_warn(const struct kept_training *k, int status, const struct tpo_error *why, int64_t steps,
                       struct tpo_error *err);
/* Whether train.state_minutes have passed, by rank 0's clock, and there is something new to keep. */
int kept_training_due(const struct kept_training *k, int64_t steps, bool *due, struct tpo_error *err);
/* Adds to err's message, of a failure with this status that all ranks agreed on, which of `total` steps are kept, and
 * why not all `steps`, where keeping them failed (keeping, why). Returns status. */
int kept_training_tell(const struct kept_training *k, int status, int keeping, const struct tpo_error *why,
                       int64_t steps, int64_t total, struct tpo_error *err);

#endif
