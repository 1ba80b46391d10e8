/* Inside of thought prompts. */
#ifndef TPO_TEXT_CHAT_THOUGHT_H
#define TPO_TEXT_CHAT_THOUGHT_H

#include "text/chat/template.h"

/* tpo_thought_render's text, with what is the template's and layout's own. */
int thought_render_spans(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                         const char *instruction, const char *messages_json, struct tpo_rendered *out,
                         struct tpo_error *err);

#endif
