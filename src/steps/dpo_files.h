/* Checkpoints in the folder that holds what is kept of training. All on one rank. */
#ifndef TPO_STEPS_DPO_FILES_H
#define TPO_STEPS_DPO_FILES_H

#include "tpo/base.h"

/* "best-EPOCH.h5" */
int dpo_best_path(char path[4096], const char *folder, int epoch, struct tpo_error *err);
/* Removes checkpoints of other epochs, and what was left of writing one; what can't be removed does no harm. */
void dpo_drop_files(const char *folder, int but_epoch);
/* The file is `to` afterwards, whole or not at all; a link there stays one, also to another file system. */
int dpo_move(const char *from, const char *to, struct tpo_error *err);

#endif
