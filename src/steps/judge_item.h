/* An instruction as a judge is shown it: the one place where it becomes a judge's item, so that what is
 * planned and checked beforehand is what is asked later. */
#ifndef TPO_STEPS_JUDGE_ITEM_H
#define TPO_STEPS_JUDGE_ITEM_H

#include "tpo/data.h"
#include "tpo/judge.h"
#include "tpo/store.h"

/* Of an instruction that was read, and of a sample of it: the same. Without responses; texts are borrowed. */
struct tpo_judge_item judge_item_of_instruction(const struct tpo_instruction *instruction);
struct tpo_judge_item judge_item_of_sample(const struct tpo_sample_row *row);

#endif
