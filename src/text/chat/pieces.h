/* Chats between the pieces that a configuration gives, or between nothing. */
#ifndef TPO_TEXT_CHAT_PIECES_H
#define TPO_TEXT_CHAT_PIECES_H

#include "text/chat/template.h"

/* messages: an array of objects. Roles are system, user and assistant. No piece is NULL. */
int tpo_pieces_render(const struct tpo_template_config *p, const json_t *messages, bool generation_prompt,
                      struct tpo_rendered *r, struct tpo_error *err);
int tpo_contents_render(const json_t *messages, struct tpo_rendered *r, struct tpo_error *err);

#endif
