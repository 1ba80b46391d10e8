/* Inside of thought prompts. */
#ifndef TPO_TEXT_CHAT_THOUGHT_THOUGHT_H
#define TPO_TEXT_CHAT_THOUGHT_THOUGHT_H

#include "text/chat/template.h"

struct thought_piece {
  const char *text; /* borrowed from the layout; no NUL need follow */
  size_t len;
};
/* What the layout puts before and behind the instruction. */
int thought_split_prompt(const struct tpo_thought_config *thought, struct thought_piece *before,
                         struct thought_piece *after, struct tpo_error *err);
/* Whether the prompt asks for anything by itself, be it with words or with the answer's beginning. */
bool thought_asks(const struct tpo_thought_config *thought);

/* tpo_thought_render's text, with what is the template's and layout's own. */
int thought_render_spans(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                         const char *instruction, const char *messages_json, struct tpo_rendered *out,
                         struct tpo_error *err);

#endif
