/* Whether a judge is the one that it was: its models or its program, told by their files. */
#ifndef TPO_JUDGE_IDENTITY_H
#define TPO_JUDGE_IDENTITY_H

#include "base/buf.h"
#include "tpo/config.h"

/* A line "judge model PATH: HASH\n" for each model that the judge computes with, "judge program ..." for each file
 * that a command names; none for others. */
int judge_identify(const struct tpo_judge_config *config, struct tpo_buf *out, struct tpo_error *err);
/* That of one model, a folder or file: of its settings', tokenizer's and tensors' files, large ones in samples
 * (tpo_hash_sampled), so that a model of many gigabytes takes no time. */
int judge_identify_model(const char *path, struct tpo_buf *out, struct tpo_error *err);
int judge_identify_program(const char *path, struct tpo_buf *out, struct tpo_error *err); /* of one file */

#endif
