/* Prompts that are too long are found when their file is read. */
#include "steps/room.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "tpo/model.h"
#include "tpo/text.h"

struct prompt_room {
  const struct tpo_config *config;
  struct tpo_arch arch;
  struct tpo_policy own; /* empty where it was given one */
  const struct tpo_policy *policy;
  int marker_tokens; /* of the response marker that may be inserted */
  size_t safe_bytes; /* a prompt of so many has room, whatever its tokens are */
};

/* A token has a byte at least; what a chat template adds is far less than TEMPLATE. */
static size_t safe_bytes(const struct prompt_room *room)
{
  enum { TEMPLATE = 4096 };
  const struct tpo_thought_config *thought = &room->config->thought;
  size_t taken = TEMPLATE + (thought->prompt ? strlen(thought->prompt) : 0) +
                 (thought->system ? strlen(thought->system) : 0) +
                 (size_t)tpo_config_thought_limit(thought, room->config->sampling.max_tokens) +
                 (size_t)room->marker_tokens;
  return taken < (size_t)room->arch.context ? (size_t)room->arch.context - taken : 0;
}

int prompt_room_open(struct prompt_room **out, const struct tpo_config *config,
                     const struct tpo_policy *policy, struct tpo_error *err)
{
  struct prompt_room *room = tpo_calloc(1, sizeof *room, err);
  *out = room;
  if (!room) return TPO_E_MEMORY;
  room->config = config;
  room->policy = policy ? policy : &room->own;
  int status = tpo_arch_read(&room->arch, config->model.path, err);
  if (status == 0 && !policy) status = tpo_policy_open_text(&room->own, config, config->model.path, err);
  if (status == 0)
    status = tpo_thought_marker_tokens(&config->thought, room->policy->tokenizer, &room->marker_tokens, err);
  if (status == 0) {
    room->safe_bytes = safe_bytes(room);
    return 0;
  }
  prompt_room_close(room);
  *out = NULL;
  return status;
}

void prompt_room_close(struct prompt_room *room)
{
  if (!room) return;
  tpo_policy_close(&room->own);
  free(room);
}

int prompt_room_check(void *arg, const struct tpo_instruction *item, struct tpo_error *err)
{
  const struct prompt_room *room = arg;
  struct tpo_ids ids = {0};
  struct tpo_buf text = {0};
  size_t bytes =
      (item->instruction ? strlen(item->instruction) : 0) + (item->messages ? strlen(item->messages) : 0);
  if (bytes <= room->safe_bytes) return 0;
  int status = tpo_thought_render(&room->config->thought, room->policy->tmpl, item->instruction,
                                  item->messages, &ids, &text, err);
  if (status == 0)
    status = tpo_config_check_room(&room->config->thought, room->config->sampling.max_tokens,
                                   room->marker_tokens, ids.n, room->arch.context, err);
  tpo_ids_free(&ids);
  tpo_buf_free(&text);
  return status;
}

int prompt_room_read(const struct tpo_config *config, const struct tpo_policy *policy, const char *path,
                     struct tpo_instructions *set, struct tpo_error *err)
{
  struct prompt_room *room;
  int status = prompt_room_open(&room, config, policy, err);
  if (status == 0)
    status = tpo_instructions_read_checked(set, path, config->data.skip_bad, prompt_room_check, room, err);
  prompt_room_close(room);
  return status;
}
