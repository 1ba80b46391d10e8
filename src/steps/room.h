/* Whether prompts leave room in a model's context, by its files alone, before its weights are read.
 *
 *   prompt_room_open(&room, config, &policy, &err);
 *   tpo_instructions_read_checked(&set, "prompts.jsonl", skip_bad, prompt_room_check, room, &err);
 *   prompt_room_close(room); */
#ifndef TPO_STEPS_ROOM_H
#define TPO_STEPS_ROOM_H

#include "tpo/config.h"
#include "tpo/data.h"
#include "tpo/steps.h"

struct prompt_room;
/* policy: config.model.path with its text open, the model need not be; NULL: it is opened here. Both are borrowed
 * until the room is closed. For one rank by itself. */
int prompt_room_open(struct prompt_room **out, const struct tpo_config *config,
                     const struct tpo_policy *policy, struct tpo_error *err);
/* room: the struct prompt_room. TPO_E_INPUT where the prompt is too long (tpo_config_check_room), or can't be
 * rendered. */
int prompt_room_check(void *room, const struct tpo_instruction *item, struct tpo_error *err);
void prompt_room_close(struct prompt_room *room); /* takes NULL */

/* All three: a prompt that is too long for it is a bad row, of which config.data.skip_bad
 * may be left out. */
int prompt_room_read(const struct tpo_config *config, const struct tpo_policy *policy, const char *path,
                     struct tpo_instructions *set, struct tpo_error *err);

#endif
