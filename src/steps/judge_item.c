/* An instruction, as it was read or as a sample carries it, as a judge's item. */
#include "steps/judge_item.h"

/* meta is whole in both: with the messages of a chat, which some judges are shown and routes may ask for. */
static struct tpo_judge_item item_of(const char *id, const char *instruction, const char *meta)
{
  return (struct tpo_judge_item){.id = id, .instruction = instruction, .meta = meta};
}

struct tpo_judge_item judge_item_of_instruction(const struct tpo_instruction *instruction)
{
  return item_of(instruction->id, instruction->instruction, instruction->meta);
}

struct tpo_judge_item judge_item_of_sample(const struct tpo_sample_row *row)
{
  return item_of(row->prompt_id, row->instruction, row->meta);
}
